"""Fan-out: one output feeds many, each with a delay of its own.

              ┌──────────▶ now
    source ───┼─ delay 1 ─▶ next
              └─ delay 3 ─▶ later
"""

import numpy as np

from cosim import Clock, Scenario
from tests.topologies.closing import PLACEMENTS, check
from tests.toys import Echo, Source


def build():
    scenario = Scenario(Clock("2025-01-15", hours=2), source=Source(), now=Echo(), next=Echo(), later=Echo())
    scenario.connect("source.power", "now.load")
    scenario.connect("source.power", "next.load", delay=1, initial=0.0)
    scenario.connect("source.power", "later.load", delay=3, initial=0.0)
    return scenario


@PLACEMENTS
def test_each_target_hears_the_source_at_its_own_delay(placement, tmp_path):
    result = check(build, placement, tmp_path)
    said = result.series("source.power").to_numpy()
    for name, delay in (("now", 0), ("next", 1), ("later", 3)):
        heard = result.series(f"{name}.heard").to_numpy()
        np.testing.assert_array_equal(heard[delay:], said[: len(said) - delay])
        assert (heard[:delay] == 0.0).all()
