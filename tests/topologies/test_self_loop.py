"""A self-loop: an adapter receives what it published some steps ago.

┌────────────┐
▼            │ delay 2
echo ────────┘
"""

from cosim import Clock, Scenario
from tests.support.toys import Echo
from tests.topologies.closing import PLACEMENTS, check


def build():
    scenario = Scenario(Clock("2025-01-15", hours=2), steps={"echo": 120}, echo=Echo())
    scenario.connect("echo.received", "echo.load", delay=2, initial=[1.0, 2.0])
    return scenario


@PLACEMENTS
def test_adapter_receives_its_own_output_one_step_later(placement, tmp_path):
    result = check(build, placement, tmp_path)
    received = result.series("echo.received").to_numpy()
    assert (received == [1.0, 2.0]).all()
    assert len(received) == 60
