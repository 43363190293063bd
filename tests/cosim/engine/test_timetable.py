"""Scheduled inputs, which must change at the given times of the city's clock."""

import numpy as np
import pytest

from cosim import Clock, CosimError, Scenario, ScenarioError
from tests.support.toys import Echo, Source


class Listener(Echo):
    """Receives a load that need not be connected."""

    def __init__(self, labels=("a", "b")):
        super().__init__(labels)
        self.load = type(self.load)("W", labels, default=[1.0, 2.0])


def received(clock, changes, folder, step_s=None):
    scenario = Scenario(clock, steps={"listener": step_s} if step_s else {}, listener=Listener())
    scenario.schedule("listener.load", changes)
    table = scenario.run(folder / "run", double=True).series("listener.received")
    return table.tz_convert(clock.zone)


def test_change_takes_effect_at_its_moment_and_only_on_the_named_elements(tmp_path):
    clock = Clock("2025-01-15T07:00", hours=4, zone="Europe/Madrid")
    table = received(clock, {"08:00": {"a": 10.0}, "09:30": 5.0}, tmp_path)
    assert table.loc["2025-01-15 08:00", "a"] == 1.0  # the step that ends at 08:00
    assert table.loc["2025-01-15 08:01", "a"] == 10.0
    assert (table.loc[:"2025-01-15 09:30", "b"] == 2.0).all()
    assert (table.loc["2025-01-15 09:31":] == 5.0).all(axis=None)


def test_time_of_day_recurs_every_day_by_the_citys_clock_across_the_change_to_summer_time(tmp_path):
    clock = Clock("2025-03-29", end="2025-04-01", step_s=3600, zone="Europe/Rome")
    table = received(clock, {"08:00": {"a": 7.0}, "18:00": {"a": 0.0}}, tmp_path)
    begins = table.index[(table["a"] == 7.0) & (table["a"].shift(1) != 7.0)]
    assert [str(time) for time in begins] == [
        "2025-03-29 09:00:00+01:00",
        "2025-03-30 09:00:00+02:00",
        "2025-03-31 09:00:00+02:00",
    ]


def test_change_before_the_start_on_the_first_day_is_in_force(tmp_path):
    table = received(Clock("2025-01-15T09:00", hours=1, zone="Europe/Madrid"), {"08:00": {"a": 10.0}}, tmp_path)
    assert (table["a"] == 10.0).all()


def test_dates_take_effect_once(tmp_path):
    clock = Clock("2025-01-15", hours=48, step_s=1800, zone="Europe/Madrid")
    table = received(clock, {"2025-01-15T08:00": {"a": 10.0}, "2025-01-15T10:00": {"a": 1.0}}, tmp_path)
    assert np.count_nonzero(table["a"] == 10.0) == 4


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"08:00:30": 1.0}, "lies within a step of 60 s"),
        ({"25:00": 1.0}, "'25:00' is not a time of day"),
        ({"2030-01-01T08:00": 1.0}, "is after the end of the run: it would have no effect"),
        ({"tomorrow": 1.0}, "write a date such as"),
        ({3: 1.0}, "a moment of the clock is 3: write a date such as"),
        (None, "changes is None: write values by moment"),
        ({"08:00": {"z": 1.0}}, "unknown element 'z'"),
        ({"08:00": float("nan")}, "must be a finite number"),
        ({"08:00": {"a": "closed"}}, "must be a finite number"),
        ({"2025-03-30T02:30": 1.0}, "skips when summer time begins"),
    ],
)
def test_impossible_changes_are_refused(changes, words):
    scenario = Scenario(Clock("2025-03-30", hours=12, zone="Europe/Madrid"), listener=Listener())
    scenario.schedule("listener.load", changes)
    with pytest.raises(ScenarioError, match=f"the schedule of listener.load: .*{words}"):
        scenario.check()


def test_change_within_the_step_of_a_slow_adapter_is_refused():
    scenario = Scenario(Clock("2025-01-15", hours=12), steps={"listener": 300}, listener=Listener())
    scenario.schedule("listener.load", {"08:02": 1.0})
    with pytest.raises(ScenarioError, match="lies within a step of 300 s"):
        scenario.check()


def test_schedule_and_connection_on_one_input_are_refused():
    scenario = Scenario(Clock("2025-01-15", hours=12), listener=Listener(), source=Source())
    scenario.schedule("listener.load", {"08:00": 1.0})
    scenario.schedule("listener.load", {"09:00": 1.0})
    scenario.schedule("listener.state", {"09:00": 1.0})
    scenario.schedule("listener.nothing", {"09:00": 1.0})
    with pytest.raises(ScenarioError) as raised:
        scenario.check()
    assert raised.value.problems[0] == "listener.load is scheduled twice: pass all its changes in one call"
    assert "unknown input 'listener.nothing'" in raised.value.problems[1]
    scenario = Scenario(Clock("2025-01-15", hours=12), listener=Listener(), source=Source())
    scenario.schedule("listener.load", {"08:00": 1.0})
    scenario.connect("source.power", "listener.load")
    with pytest.raises(ScenarioError, match=r"listener\.load is both scheduled and connected: remove one of the two"):
        scenario.check()


def test_input_without_default_cannot_be_scheduled():
    scenario = Scenario(Clock("2025-01-15", hours=12), echo=Echo())
    scenario.schedule("echo.load", {"08:00": 1.0})
    with pytest.raises(ScenarioError, match=r"echo\.load is scheduled but has no default"):
        scenario.check()


def test_clock_does_not_start_at_a_moment_that_does_not_exist():
    with pytest.raises(CosimError, match=r"2025-03-30T02:30:00, which Europe/Madrid skips when summer time begins"):
        Clock("2025-03-30T02:30", hours=1, zone="Europe/Madrid")


def test_ambiguous_moment_is_the_first_unless_its_offset_is_given():
    clock = Clock("2025-10-26", hours=24, zone="Europe/Madrid")
    assert clock.seconds("2025-10-26T02:30") == 2.5 * 3600
    assert clock.seconds("2025-10-26T02:30+01:00") == 3.5 * 3600
