"""Fan-in: two sources and a matrix feed one input, which receives their sum.

one ──────────▶┐
two ──────────▶├─▶ echo
wide ──(via)──▶┘
"""

import numpy as np

from cosim import Clock, Scenario
from tests.support.toys import Echo, Source
from tests.topologies.closing import PLACEMENTS, check

SHARES = np.array([[0.25, 1.0, 0.0], [0.75, 0.0, 1.0]])


def build():
    scenario = Scenario(
        Clock("2025-01-15", hours=2),
        one=Source(seed=1),
        two=Source(seed=2),
        wide=Source(("x", "y", "z"), seed=3),
        echo=Echo(),
    )
    scenario.connect("one.power", "echo.load")
    scenario.connect("two.power", "echo.load", delay=2, initial=1.0)
    scenario.connect("wide.power", "echo.load", via=SHARES)
    return scenario


@PLACEMENTS
def test_sources_into_one_input_add_up(placement, tmp_path):
    result = check(build, placement, tmp_path)
    one, two, wide = (result.series(f"{name}.power").to_numpy() for name in ("one", "two", "wide"))
    late = np.vstack([np.ones((2, 2)), two[:-2]])
    np.testing.assert_allclose(result.series("echo.received"), one + late + wide @ SHARES.T, rtol=1e-12)
