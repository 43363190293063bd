"""Units come from one registry, and common ones without it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from cosim.core import units
from tests.support.paths import ROOT

RACE = """
import threading
from cosim.core import units

together = threading.Barrier(4)
found = []

def resolve(text):
    together.wait()
    found.append(units.parse(text))

threads = [threading.Thread(target=resolve, args=(text,)) for text in ("W", "kW", "MW", "J/s")]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert len(found) == 4
print(len({id(unit._REGISTRY) for unit in found}))
"""


def test_threads_that_resolve_the_first_units_share_one_registry():
    done = subprocess.run(
        [sys.executable, "-c", RACE], cwd=ROOT, capture_output=True, text=True, timeout=300, check=True
    )
    assert done.stdout.strip() == "1"


def test_units_known_without_pint_are_what_pint_makes_of_them():
    for unit, adds_up in units._COMMON.items():
        assert (units.parse(unit).dimensionality in units._extensive()) == adds_up == units.is_extensive(unit)


def test_factors_known_without_pint_are_those_of_pint():
    for (source, target), factor in units._FACTORS.items():
        assert units.factor(source, target) == factor
        assert float(units._registry().convert(1.0, units.parse(source), units.parse(target))) == pytest.approx(factor)


def test_common_units_are_checked_and_connected_without_loading_pint():
    script = (
        "import sys; from cosim.core import units; units.check('W'); units.factor('kg/s', 'kg/s');"
        "units.is_extensive('degC'); sys.exit('pint' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
