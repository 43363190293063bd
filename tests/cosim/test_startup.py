"""What a fresh process loads before anybody asks for a simulation."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

from tests.support.paths import ROOT

HEAVY = {
    "libsumo",
    "mosaik",
    "networkx",
    "pandapower",
    "pandas",
    "pint",
    "pvlib",
    "pyarrow",
    "scipy",
    "xarray",
}


def loaded_by(code, *arguments):
    """Return what a fresh process has imported by the end of this code, by the first part of its name."""
    tell = f"import atexit, sys; atexit.register(lambda: print('loaded', *sys.modules, file=sys.stderr)); {code}"
    done = subprocess.run(
        [sys.executable, "-c", tell, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=300, check=True
    )
    words = done.stderr.split()
    return set(words[words.index("loaded") + 1 :])


def test_importing_cosim_loads_no_numerics():
    loaded = loaded_by("import cosim")
    assert "cosim" in loaded
    assert not loaded & (HEAVY | {"numpy"})


def test_contract_loads_numpy_and_no_units():
    loaded = loaded_by("from cosim import Adapter, Clock, Input, Output, Step")
    assert "numpy" in loaded
    assert not loaded & HEAVY


def test_first_port_of_an_uncommon_unit_loads_them_all():
    assert "pint" not in loaded_by("from cosim import Output; Output('W', ['roof'], 'mean')")
    assert "pint" in loaded_by("from cosim import Output; Output('kW', ['roof'], 'mean')")


def test_comparing_does_without_the_slowest_part_of_scipy():
    assert "scipy.stats" not in loaded_by("import cosim.results.comparison")


def test_help_lists_every_command_without_loading_numerics():
    loaded = loaded_by("from cosim.cli.app import main; main()", "--help")
    assert "cosim.scenarios.validation.commands" in loaded  # a plug-in like any other: it is listed
    assert not loaded & (HEAVY | {"numpy", "rich.console"})


@pytest.mark.parametrize("package", ["cosim", "cosim.core"])
def test_every_public_name_stands_where_the_package_looks_for_it(package):
    module = importlib.import_module(package)
    for name in module.__all__:
        assert getattr(module, name) is not None
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'Nothing'"):
        _ = module.Nothing
