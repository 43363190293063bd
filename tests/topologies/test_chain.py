"""A chain: what enters at one end leaves at the other within the same step.

    source ──power──▶ first ──heard──▶ second
"""

import numpy as np

from cosim import Clock, Scenario
from tests.topologies.closing import PLACEMENTS, check
from tests.toys import Echo, Source


def build():
    scenario = Scenario(Clock("2025-01-15", hours=2), source=Source(), first=Echo(), second=Echo())
    scenario.connect("source.power", "first.load")
    scenario.connect("first.heard", "second.load")
    return scenario


@PLACEMENTS
def test_chain_passes_everything_on_within_the_step(placement, tmp_path):
    result = check(build, placement, tmp_path)
    np.testing.assert_array_equal(result.series("second.heard"), result.series("source.power"))
