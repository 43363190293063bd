"""A chain: values pass from one end to the other within the same step.

source ──power──▶ first ──received──▶ second
"""

import numpy as np

from cosim import Clock, Scenario
from tests.support.toys import Echo, Source
from tests.topologies.closing import PLACEMENTS, check


def build():
    scenario = Scenario(Clock("2025-01-15", hours=2), source=Source(), first=Echo(), second=Echo())
    scenario.connect("source.power", "first.load")
    scenario.connect("first.received", "second.load")
    return scenario


@PLACEMENTS
def test_chain_passes_everything_on_within_the_step(placement, tmp_path):
    result = check(build, placement, tmp_path)
    np.testing.assert_array_equal(result.series("second.received"), result.series("source.power"))
