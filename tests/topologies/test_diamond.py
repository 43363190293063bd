"""A diamond: two branches of different steps and delays from one source meet again.

          ┌─▶ quick (60 s) ────────────┐
source ───┤                            ├─▶ sink (240 s)
          └─ delay 1 ─▶ slow (120 s) ──┘
"""

import numpy as np

from cosim import Clock, Scenario
from tests.support.toys import Echo, Source
from tests.topologies.closing import PLACEMENTS, check


def build():
    scenario = Scenario(
        Clock("2025-01-15", hours=4),
        steps={"slow": 120, "sink": 240},
        source=Source(),
        quick=Echo(),
        slow=Echo(),
        sink=Echo(),
    )
    scenario.connect("source.power", "quick.load")
    scenario.connect("source.power", "slow.load", delay=1, initial=0.0)
    scenario.connect("quick.received", "sink.load")
    scenario.connect("slow.received", "sink.load")
    return scenario


@PLACEMENTS
def test_branches_of_a_diamond_arrive_in_the_right_interval(placement, tmp_path):
    result = check(build, placement, tmp_path)
    published = result.series("source.power").to_numpy()
    both = published + np.vstack([np.zeros((1, 2)), published[:-1]])
    np.testing.assert_allclose(result.series("sink.received"), both.reshape(60, 4, 2).mean(axis=1), rtol=1e-11)
