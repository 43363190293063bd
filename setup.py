"""Compiled numerics and entry points; everything else is in pyproject.toml."""

import ast
import sys
from pathlib import Path

import numpy as np
from Cython.Build import cythonize
from setuptools import Extension, setup

# -ffp-contract=off: a fused multiply-add rounds once instead of twice, so results would depend on the processor.
# -fno-trapping-math: nobody reads floating-point traps, and with them no selection becomes vector code.
FLAGS = ["-O3", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-Wno-unreachable-code"]

# no module to import but a library for the loader, which no other system has in this form
PRELOADED = [
    Extension(
        "cosim.adapters.traffic._preloaded",
        ["adapters/traffic/socket.c", "adapters/traffic/memory.c"],
        libraries=["dl"],
        extra_compile_args=["-O3", "-fno-builtin-malloc"],
    )
]


def kernel(source: Path) -> Extension:
    """Return the extension of one Cython source; headers stand beside their source."""
    return Extension(
        ".".join(["cosim", *source.with_suffix("").parts]),
        [str(source)],
        include_dirs=[np.get_include(), str(source.parent)],
        depends=[str(header) for header in sorted(source.parent.glob("*.h"))],
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION")],
        extra_compile_args=FLAGS,
    )


def policies() -> list[str]:
    """Return the entry points of the policies, which are named nowhere but in their modules."""
    found = []
    for source in sorted(Path("scenarios/policies").glob("*.py")):
        for node in ast.parse(source.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and any(getattr(base, "id", "") == "Policy" for base in node.bases):
                found.append(f"{node.name} = cosim.scenarios.policies.{source.stem}:{node.name}")
    return found


ADAPTERS = {
    "buildings": "Buildings",
    "demand": "DemandFilter",
    "environment": "Environment",
    "feed": "Feed",
    "fleet": "Fleet",
    "fmu": "Fmu",
    "grid": "Grid",
    "helics": "HelicsFederation",
    "mosaik_sim": "MosaikSimulator",
    "premises": "Premises",
    "tariff": "Tariff",
    "traffic": "Traffic",
    "weather": "Weather",
}

setup(
    entry_points={
        "console_scripts": ["cosim = cosim.cli.app:main"],
        "cosim.scenarios": [
            "eixample = cosim.scenarios.eixample",
            "bologna = cosim.scenarios.bologna",
            "place = cosim.scenarios.places.twin",
        ],
        "cosim.commands": ["city = cosim.scenarios.places:app", "validate = cosim.scenarios.validation:app"],
        "cosim.vocabularies": ["city = cosim.scenarios.vocabulary:VOCABULARY"],
        "cosim.comparisons": ["places = cosim.scenarios.indicators.by_resident:resident_table"],
        "cosim.adapters": [f"{name} = cosim.adapters.{name}:{kind}" for name, kind in ADAPTERS.items()],
        "cosim.policies": policies(),
    },
    ext_modules=(PRELOADED if sys.platform == "linux" else [])
    + cythonize(
        [kernel(source) for room in ("core", "adapters") for source in sorted(Path(room).rglob("*.pyx"))],
        language_level=3,
    ),
)
