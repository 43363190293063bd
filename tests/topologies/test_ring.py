"""A ring: three adapters feed each other, and one delayed connection lets somebody begin.

    first ──▶ second ──▶ third
      ▲                    │
      └──── delay 1 ◀──────┘
"""

from cosim import Clock, Scenario
from tests.topologies.closing import PLACEMENTS, check
from tests.toys import Echo


def build():
    scenario = Scenario(Clock("2025-01-15", hours=2), first=Echo(), second=Echo(), third=Echo())
    scenario.connect("first.heard", "second.load")
    scenario.connect("second.heard", "third.load")
    scenario.connect("third.heard", "first.load", delay=1, initial=[3.0, 4.0])
    return scenario


@PLACEMENTS
def test_what_is_in_a_ring_goes_round_for_ever(placement, tmp_path):
    result = check(build, placement, tmp_path)
    assert (result.series("third.heard").to_numpy() == [3.0, 4.0]).all()
