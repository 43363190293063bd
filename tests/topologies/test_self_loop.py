"""A loop through itself: an adapter hears what it said some steps ago.

    ┌────────────┐
    ▼            │ delay 2
    echo ────────┘
"""

from cosim import Clock, Scenario
from tests.topologies.closing import PLACEMENTS, check
from tests.toys import Echo


def build():
    scenario = Scenario(Clock("2025-01-15", hours=2), steps={"echo": 120}, echo=Echo())
    scenario.connect("echo.heard", "echo.load", delay=2, initial=[1.0, 2.0])
    return scenario


@PLACEMENTS
def test_adapter_hears_itself_one_step_later(placement, tmp_path):
    result = check(build, placement, tmp_path)
    heard = result.series("echo.heard").to_numpy()
    assert (heard == [1.0, 2.0]).all()
    assert len(heard) == 60
