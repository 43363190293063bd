"""Tests of the state in which buildings begin: it must not depend on when a run begins."""

from dataclasses import fields

import numpy as np
import pytest

from cosim import Clock, Step
from cosim.adapters.buildings import Buildings
from cosim.adapters.weather import ROLES, Weather, load
from cosim.core.adapter import inputs, outputs
from cosim.core.buildings.storage import WATER
from cosim.core.buildings.zones import Zones
from cosim.core.quantities import HOUR_S
from cosim.core.weather.epw import read_epw
from cosim.scenarios import eixample
from cosim.scenarios.buildings.stock import make_stock
from cosim.scenarios.measures import Measures, between
from cosim.scenarios.warm_up import LAST_ERROR_K, WarmUp
from tests.support.epw import write_epw

STEP_S, N = 900.0, 12
STOCK = make_stock([f"b{i}" for i in range(N)], ["ES.ME.AB.03"] * N, 1500.0, 6, 2, 45.0, heat_pump_share=0.5)
PORTS = ("heating_heat", "hot_water_power", "heat_pump_power", "cooling_power")


def run(start, hours, measures=None):
    """Run buildings alone in their weather after a warm-up; return powers by step, the final and the first state."""
    clock = Clock(start, hours=hours, step_s=STEP_S, zone="Europe/Madrid")
    weather = Weather(clock, load("barcelona"))
    buildings = Buildings(
        STOCK, clock, initial=WarmUp(STOCK, load("barcelona"), clock, measures=measures or Measures())
    )
    offered, wanted = outputs(weather), inputs(buildings)
    weather.open()
    buildings.open()
    begins, rows = buildings.state, []
    for k in range(round(hours * HOUR_S / STEP_S)):
        step = Step(k * STEP_S, STEP_S)
        weather.advance(step)
        for role, port in ROLES.items():
            if role in wanted:
                wanted[role].deliver(offered[port].value)
        buildings.advance(step)
        rows.append([getattr(buildings, port).value for port in PORTS])
    return np.array(rows), begins, buildings


@pytest.fixture(scope="module", params=["2025-01-15", "2025-07-16"], ids=["winter", "summer"])
def day(request):
    return request.param, run(request.param, 24)


def test_run_begun_at_16_h_equals_the_same_hours_of_one_begun_at_midnight(day):
    date, (whole, _, _) = day
    late, _, _ = run(f"{date}T16:00", 2)
    np.testing.assert_allclose(late, whole[64:72], rtol=1e-9, atol=1e-6)
    assert whole[64:72].sum(axis=(0, 1, 2)) > 0


def test_run_begun_three_days_earlier_agrees_within_what_the_warm_up_leaves(day):
    date, (whole, begins, buildings) = day
    long, _, _ = run(f"{date[:8]}{int(date[8:]) - 3}", 96)
    long = long[-96:]
    # The power that holds the air's temperature answers to an error of the masses, as the kernel itself says.
    zones = Zones(STOCK.zones, STOCK.archetype, STOCK.floor_area, 20.0)
    held = {"heating_setpoint": 20.0, "cooling_setpoint": 20.0}
    power = zones.step(STEP_S, 10.0, **held).power
    zones.state[:] = [[20.0], [20.0 - LAST_ERROR_K], [20.0 - LAST_ERROR_K]] * np.ones(N)
    most = (zones.step(STEP_S, 10.0, **held).power - power).sum()
    assert most > 0
    for port in (0, 3):
        assert np.abs(long[:, port].sum(axis=1) - whole[:, port].sum(axis=1)).max() < most
    # The phase of a tank's thermostat differs, by no more than the energy between its limits at the run's two ends.
    tanks = buildings._tanks
    at_most = 2 * (tanks.band * WATER * tanks.volume).sum()
    used = [float(power[:, 1].sum() * STEP_S) for power in (whole, long)]
    assert abs(used[1] - used[0]) < at_most / 2.0  # by heat pumps with a COP of 2 or more
    assert used[0] == pytest.approx(used[1], rel=0.15)
    assert np.isfinite(begins.zones).all()


def test_rooms_begin_as_their_weather_and_orientation_left_them(day):
    _, (_, begins, _) = day
    air = begins.zones[0]
    assert np.ptp(air) < 10
    assert (abs(air - 20) > 0.5).any()


def test_scheduled_inputs_act_before_the_run_too():
    lowered = Measures().with_input("buildings.heating_shift", {"b0": between(0, 24, -2.0, 0.0)})
    plain, changed = (run("2025-01-15T12:00", 1, m)[1] for m in (None, lowered))
    assert (changed.zones[:, 0] < plain.zones[:, 0] - 0.5).all()
    assert (changed.zones[:, 1:] == plain.zones[:, 1:]).all()
    priced = Measures(price_response=5.0).with_input("*.price", {"*": between(18, 24, 0.4 / 3.6e6, 0.1 / 3.6e6)})
    assert 0.12 < float(run("2025-01-15", 1, priced)[1].price) < 0.25


def test_days_of_the_warm_up_follow_from_the_slowest_room():
    clock = Clock("2025-01-15", hours=1, zone="Europe/Madrid")
    warm = WarmUp(STOCK, load("barcelona"), clock)
    slowest_h = STOCK.zones.time_constant.max() / HOUR_S
    assert warm.days == np.ceil(slowest_h * np.log(10 / LAST_ERROR_K) / 24)
    refurbished = make_stock(["b"], ["ES.ME.AB.03"], 1500.0, 6, 2, 45.0, 3)
    assert WarmUp(refurbished, load("barcelona"), clock).days > warm.days
    assert str(warm) == f"{warm.days} days from 2025-01-{15 - warm.days:02d}: rooms, hot-water tanks, batteries"


def test_file_that_begins_with_the_run_repeats_its_first_day(tmp_path):
    def change(rows):
        rows[:] = rows[:240]

    path = write_epw(tmp_path, change, period="1/ 1,1/10")
    text = path.read_text().replace("GROUND TEMPERATURES,0", "GROUND TEMPERATURES,1,1,,,," + ",".join(["12"] * 12))
    path.write_text(text)
    year = read_epw(path)
    warm = WarmUp(STOCK, year, Clock("2025-01-02", hours=24, zone="Europe/Madrid"))
    assert str(warm).endswith(
        f"the weather of {(warm.days - 1) * 24} hours before the file begins is that of its first day"
    )
    assert np.isfinite(warm().zones).all()
    assert np.isnan(year.dry_bulb).any()


def test_warm_up_is_told_in_the_runs_record_and_its_state_is_the_first_one_recorded(tmp_path):
    scenario = eixample.build(blocks=(2, 2), ev_share=0, hours=0.1, through_traffic=0.05, step_s=360, grid_step_s=360)
    result = scenario.run(tmp_path / "run", double=True)
    assert result.provenance["adapters"]["buildings"]["settings"]["warm_up"].endswith(
        "days from 2025-01-08: rooms, hot-water tanks, batteries"
    )
    air = result.series("buildings.indoor_temperature").iloc[0].to_numpy()
    assert np.ptp(air) > 0.5


def test_warm_up_is_simulated_once_and_again_for_what_acts_on_buildings(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    days, simulate = [], WarmUp._simulated

    def simulated(warm_up):
        days.append(warm_up.clock)
        return simulate(warm_up)

    monkeypatch.setattr(WarmUp, "_simulated", simulated)

    def state(seed=0, hours=24, measures=None):
        clock = Clock("2025-01-15", hours=hours, step_s=STEP_S, zone="Europe/Madrid")
        return WarmUp(STOCK, load("barcelona"), clock, seed, measures or Measures())()

    first = state()
    assert len(days) == 1
    elsewhere = Measures().with_input("traffic.toll", {"e": between(7, 9, 1.0, 0.0)})
    for again in (state(), state(hours=3), state(measures=elsewhere)):
        assert len(days) == 1
        for field in fields(first):
            np.testing.assert_array_equal(getattr(again, field.name), getattr(first, field.name))
    state(seed=1)
    shift = Measures().with_input("buildings.heating_shift", {"*": between(18, 21, -2.0, 0.0)})
    assert (state(measures=shift).zones != first.zones).any()
    assert len(days) == 3
