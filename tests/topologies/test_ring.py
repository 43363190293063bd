"""A ring: three adapters feed each other, and one delayed connection determines which steps first.

first ──▶ second ──▶ third
  ▲                    │
  └──── delay 1 ◀──────┘
"""

from cosim import Clock, Scenario
from tests.support.toys import Echo
from tests.topologies.closing import PLACEMENTS, check


def build():
    scenario = Scenario(Clock("2025-01-15", hours=2), first=Echo(), second=Echo(), third=Echo())
    scenario.connect("first.received", "second.load")
    scenario.connect("second.received", "third.load")
    scenario.connect("third.received", "first.load", delay=1, initial=[3.0, 4.0])
    return scenario


@PLACEMENTS
def test_value_in_a_ring_circulates_unchanged(placement, tmp_path):
    result = check(build, placement, tmp_path)
    assert (result.series("third.received").to_numpy() == [3.0, 4.0]).all()
