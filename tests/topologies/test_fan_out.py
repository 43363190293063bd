"""Fan-out: one output feeds many, each with a delay of its own.

          ┌──────────▶ now
source ───┼─ delay 1 ─▶ next
          └─ delay 3 ─▶ later
"""

import numpy as np

from cosim import Clock, Scenario
from tests.support.toys import Echo, Source
from tests.topologies.closing import PLACEMENTS, check


def build():
    scenario = Scenario(Clock("2025-01-15", hours=2), source=Source(), now=Echo(), next=Echo(), later=Echo())
    scenario.connect("source.power", "now.load")
    scenario.connect("source.power", "next.load", delay=1, initial=0.0)
    scenario.connect("source.power", "later.load", delay=3, initial=0.0)
    return scenario


@PLACEMENTS
def test_each_target_receives_the_source_with_its_own_delay(placement, tmp_path):
    result = check(build, placement, tmp_path)
    published = result.series("source.power").to_numpy()
    for name, delay in (("now", 0), ("next", 1), ("later", 3)):
        received = result.series(f"{name}.received").to_numpy()
        np.testing.assert_array_equal(received[delay:], published[: len(published) - delay])
        assert (received[:delay] == 0.0).all()
