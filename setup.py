"""Compile the numerics of ``cosim.core`` and what keeps SUMO's port shut; everything else is in pyproject.toml."""

import sys
from pathlib import Path

import numpy as np
from Cython.Build import cythonize
from setuptools import Extension, setup

# -ffp-contract=off: a fused multiply-add rounds once instead of twice, so results would depend on the processor.
# -fno-trapping-math: nobody reads floating-point traps, and with them no selection becomes vector code.
FLAGS = ["-O3", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-Wno-unreachable-code"]

# no module to import but a library for the loader, which no other system has in this form
PRELOADED = [Extension("cosim.adapters._sumo_socket", ["adapters/sumo_socket.c"], libraries=["dl"])]

setup(
    ext_modules=(PRELOADED if sys.platform == "linux" else [])
    + cythonize(
        [
            Extension(
                f"cosim.core.{source.stem}",
                [str(source)],
                include_dirs=[np.get_include(), "core"],
                depends=[str(header) for header in sorted(Path("core").glob("*.h"))],
                define_macros=[("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION")],
                extra_compile_args=FLAGS,
            )
            for source in sorted(Path("core").glob("*.pyx"))
        ],
        language_level=3,
        include_path=["core"],
    )
)
