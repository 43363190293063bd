"""Slow to fast: a fast target receives the value of a slow source once the slow step is over.

source (300 s) ── delay 5 ──▶ echo (60 s)
"""

import numpy as np

from cosim import Clock, Scenario
from tests.support.toys import Echo, Source
from tests.topologies.closing import PLACEMENTS, check


def build():
    scenario = Scenario(Clock("2025-01-15", hours=2), steps={"source": 300}, source=Source(), echo=Echo())
    scenario.connect("source.power", "echo.load", delay=5, initial=0.0)
    scenario.connect("source.count", "echo.state")
    return scenario


@PLACEMENTS
def test_fast_target_receives_the_last_finished_step(placement, tmp_path):
    result = check(build, placement, tmp_path)
    published = np.repeat(result.series("source.power").to_numpy(), 5, axis=0)
    np.testing.assert_array_equal(result.series("echo.received").to_numpy()[5:], published[:-5])
    assert result.series("echo.seen")["a"].tolist()[1:8] == [0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0]
