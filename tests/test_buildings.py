"""The buildings adapter: balances of electricity, heat and gas, schedules in civil time, and what it refuses."""

import dataclasses
import pickle

import numpy as np
import pytest

import cosim.adapters.buildings as buildings_module
from cosim.adapters.buildings import (
    APPLIANCE_POWER,
    APPLIANCES,
    BOILER_EFFICIENCY,
    OCCUPANCY_WEEKEND,
    OCCUPANCY_WORKDAY,
    OCCUPANT_GAIN,
    SURFACES,
    Buildings,
    heat_pump_cop,
    radiator_temperature,
)
from cosim.core import Clock, CosimError, PortError, Step
from cosim.core.adapter import outputs
from cosim.scenarios.stock import make_stock

CLOCK = Clock("2025-01-15", hours=24, step_s=900, zone="Europe/Madrid")
DARK = np.zeros(len(SURFACES))


def stock_of(n=40, **changes):
    arguments = {"floor_area": 1500.0, "storeys": 6, "attached": 2, "azimuths": 45.0, "heat_pump_share": 0.5}
    return make_stock([f"b{i}" for i in range(n)], ["ES.ME.AB.03"] * n, **{**arguments, **changes})


def run(buildings, hours=24.0, step_s=900.0, outdoor=5.0, sun=DARK, shift=None, start_s=0.0):
    """Advance over steps and return every output, shape (n_steps, n_buildings) each."""
    buildings.open()
    rows: dict[str, list[np.ndarray]] = {name: [] for name in outputs(buildings)}
    for k in range(round(hours * 3600 / step_s)):
        now = start_s + k * step_s
        buildings.outdoor_temperature.deliver([outdoor(now) if callable(outdoor) else outdoor])
        buildings.irradiance.deliver(sun)
        if shift is not None:
            buildings.heating_shift.deliver(shift(now))
        for port in outputs(buildings).values():
            port.assigned = False
        buildings.advance(Step(now, step_s))
        for name, port in outputs(buildings).items():
            assert port.assigned, name
            rows[name].append(port.value)
    buildings.close()
    buildings.close()
    return {name: np.array(values) for name, values in rows.items()}


def test_electric_power_is_the_sum_of_its_uses():
    r = run(Buildings(stock_of(), CLOCK))
    uses = r["heat_pump_power"] + r["cooling_power"] + r["appliance_power"] + r["hot_water_power"]
    np.testing.assert_allclose(r["electric_power"], uses, rtol=1e-13)
    assert (r["reactive_power"] > 0).all()
    assert (r["reactive_power"] < 0.4 * r["electric_power"]).all()


def test_each_building_burns_gas_or_runs_a_heat_pump():
    stock = stock_of()
    r = run(Buildings(stock, CLOCK))
    pump = np.array(stock.heating) == "heat_pump"
    assert (r["gas_power"][:, pump] == 0).all()
    assert (r["heat_pump_power"][:, ~pump] == 0).all()
    assert (r["hot_water_power"][:, ~pump] == 0).all()
    assert (r["gas_power"][:, ~pump] >= r["heating_heat"][:, ~pump] / BOILER_EFFICIENCY).all()
    assert r["heating_heat"].sum(axis=0).min() > 0


def test_heat_pump_draws_heat_over_cop_and_backup_draws_the_rest():
    stock = stock_of(heat_pump_share=1.0)
    small = dataclasses.replace(stock, heat_pump_capacity=0.2 * stock.design_load)
    r = run(Buildings(small, CLOCK), outdoor=2.0)
    cop = heat_pump_cop(radiator_temperature(2.0), 2.0)
    by_pump = np.minimum(r["heating_heat"], small.heat_pump_capacity)
    np.testing.assert_allclose(r["heat_pump_power"], by_pump / cop + r["heating_heat"] - by_pump, rtol=1e-12)
    assert (r["heating_heat"] > small.heat_pump_capacity).any()


def test_cop_follows_staffell_and_stays_in_the_fitted_range():
    assert heat_pump_cop(35, 5) == pytest.approx(6.81 - 0.121 * 30 + 0.00063 * 900)
    assert heat_pump_cop(20, 20) == heat_pump_cop(35, 20)
    assert heat_pump_cop(90, -20) == heat_pump_cop(60, 0)


def test_heating_and_gains_cover_the_losses_in_the_steady_state():
    stock = dataclasses.replace(stock_of(), heating_capacity=np.full(40, 1e9))
    clock = Clock("2025-01-01", hours=24 * 60, step_s=3600, zone="Europe/Madrid")
    buildings = Buildings(stock, clock)

    def no_setback(start_s):
        return np.where(buildings._sleeps(buildings._hours(clock.civil(start_s)) + 0.5), 3.0, 0.0)

    r = run(buildings, hours=24 * 60, step_s=3600, outdoor=0.0, shift=no_setback)
    week = slice(-24 * 7, None)
    occupancy = (5 * np.mean(OCCUPANCY_WORKDAY) + 2 * np.mean(OCCUPANCY_WEEKEND)) / 7
    covered = (r["heating_heat"] + r["appliance_power"])[week].mean(axis=0) + OCCUPANT_GAIN * occupancy * 1500
    loss, light = (
        getattr(stock.zones, name)[stock.archetype] * 1500 for name in ("loss_coefficient", "outdoor_conductance")
    )
    # 1 %: radiant gains warm the outer walls, so a little of them leaves without ever warming the air.
    np.testing.assert_allclose(covered, loss * 20 + (loss - light) * stock.sky_depression, rtol=0.01)


def test_appliances_average_to_the_standard_over_many_households():
    stock = stock_of(2000, floor_area=90.0, storeys=1)
    power = run(Buildings(stock, CLOCK, seed=4))["appliance_power"].mean()
    assert power == pytest.approx(90 * APPLIANCE_POWER * np.mean(APPLIANCES), rel=0.02)


def test_households_do_not_move_in_step_and_blocks_of_many_dwellings_hardly_differ():
    homes = run(Buildings(stock_of(200, floor_area=90.0, storeys=1), CLOCK))["appliance_power"].mean(axis=0)
    blocks = run(Buildings(stock_of(200, floor_area=9000.0), CLOCK))["appliance_power"].mean(axis=0)
    assert np.std(homes) / np.mean(homes) > 0.2
    assert np.std(blocks) / np.mean(blocks) < 0.06


def test_adding_a_building_leaves_the_others_exactly_as_they_were():
    few, many = run(Buildings(stock_of(3), CLOCK, seed=7)), run(Buildings(stock_of(5), CLOCK, seed=7))
    for name in few:
        np.testing.assert_array_equal(few[name], many[name][:, :3])


def test_energy_does_not_depend_on_the_step_length():
    stock = stock_of(20)
    totals = {}
    for step_s in (300.0, 3600.0):
        r = run(Buildings(stock, CLOCK, seed=1), hours=48, step_s=step_s, outdoor=6.0)
        totals[step_s] = {name: values.mean(axis=0) for name, values in r.items()}
    for name in ("appliance_power", "hot_water_power"):
        np.testing.assert_allclose(totals[300.0][name], totals[3600.0][name], rtol=1e-9)
    np.testing.assert_allclose(totals[300.0]["heating_heat"], totals[3600.0]["heating_heat"], rtol=0.05)


def test_setback_follows_civil_time_through_the_change_to_summer_time():
    clock = Clock("2025-03-29", hours=48, step_s=900, zone="Europe/Madrid")
    stock = stock_of(1, floor_area=500000.0)  # hundreds of dwellings: hardly any shift of the rhythm
    r = run(Buildings(stock, clock), hours=48, outdoor=-5.0)
    heat = r["heating_heat"][:, 0]
    recovery = [int(np.argmax(heat[d : d + 40])) + d for d in (8, 100)]
    assert [clock.civil(900.0 * k).hour for k in recovery] == [7, 7]
    assert recovery[1] - recovery[0] == 92  # that day has 23 hours


def test_a_lower_setpoint_saves_heat_now_and_rebounds_later():
    stock = stock_of(20)
    base = run(Buildings(stock, CLOCK), hours=24)
    event = run(
        Buildings(stock, CLOCK), hours=24, shift=lambda t: -2.0 if 18 * 3600 <= t < 20 * 3600 else 0.0
    )
    during, after = slice(72, 80), slice(80, 84)
    assert event["heating_heat"][during].sum() < base["heating_heat"][during].sum()
    assert event["heating_heat"][after].sum() > base["heating_heat"][after].sum()
    assert event["unmet_degree"][during].sum() > base["unmet_degree"][during].sum()
    np.testing.assert_array_equal(event["appliance_power"], base["appliance_power"])


def test_summer_sun_calls_for_cooling_only_where_there_are_coolers():
    stock = stock_of(cooling_share=0.5)
    clock = Clock("2025-07-15", hours=72, step_s=900, zone="Europe/Madrid")
    r = run(Buildings(stock, clock), hours=72, outdoor=32.0, sun=np.full(len(SURFACES), 150.0))
    has = stock.cooling_capacity > 0
    assert (r["cooling_power"][-96:, has].sum(axis=0) > 0).all()
    assert (r["cooling_power"][:, ~has] == 0).all()
    assert r["unmet_degree"][-1, ~has].min() > r["unmet_degree"][-1, has].max()
    assert (r["heating_heat"] == 0).all()


def test_open_windows_cool_warm_rooms_while_it_is_cooler_outdoors(monkeypatch):
    clock = Clock("2025-07-15", hours=6, step_s=900, zone="Europe/Madrid")
    stock = stock_of(cooling_share=0.0)
    aired = run(Buildings(stock, clock, start_temperature=28.0), hours=6, outdoor=20.0)["indoor_temperature"]
    hot = run(Buildings(stock, clock, start_temperature=28.0), hours=6, outdoor=33.0)["indoor_temperature"]
    monkeypatch.setattr(buildings_module, "AIRING", 0.0)
    shut = run(Buildings(stock, clock, start_temperature=28.0), hours=6, outdoor=20.0)["indoor_temperature"]
    hot_shut = run(Buildings(stock, clock, start_temperature=28.0), hours=6, outdoor=33.0)["indoor_temperature"]
    assert (aired[-1] < shut[-1] - 1).all()
    np.testing.assert_array_equal(hot, hot_shut)


def test_sun_through_south_windows_saves_heat():
    south = DARK.copy()
    south[SURFACES.index("south")] = 400.0
    stock = stock_of(azimuths=180.0)
    lit, dark = run(Buildings(stock, CLOCK), sun=south), run(Buildings(stock, CLOCK))
    assert (lit["heating_heat"].sum(axis=0) < dark["heating_heat"].sum(axis=0)).all()


def test_a_closed_adapter_pickles_and_repeats_bit_for_bit():
    buildings = Buildings(stock_of(), CLOCK, seed=3)
    copy = pickle.loads(pickle.dumps(buildings))
    first, second, again = run(buildings, hours=3), run(copy, hours=3), run(buildings, hours=3)
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])
        np.testing.assert_array_equal(first[name], again[name])


def test_impossible_weather_and_setpoints_are_refused():
    buildings = Buildings(stock_of(2), CLOCK)
    negative = DARK.copy()
    negative[3] = -1.0
    with pytest.raises(PortError, match=r"irradiance\['east'\] is -1\.0: it cannot be negative"):
        run(buildings, sun=negative)
    with pytest.raises(PortError, match=r"288\.15 °C"):
        run(buildings, outdoor=288.15)
    with pytest.raises(PortError, match="finite"):
        run(buildings, outdoor=np.nan)
    with pytest.raises(PortError, match="keep the shifted setpoints apart"):
        run(buildings, shift=lambda t: [0.0, 12.0])
    with pytest.raises(CosimError, match=r"call open\(\)"):
        Buildings(stock_of(2), CLOCK).advance(Step(0, 60))


def test_a_stock_that_does_not_fit_is_refused():
    stock = stock_of(2)
    with pytest.raises(CosimError, match=r"stock\.floor_area has shape \(1,\): 2 buildings need \(2,\)"):
        Buildings(dataclasses.replace(stock, floor_area=np.ones(1)), CLOCK)
    with pytest.raises(CosimError, match=r"stock\.heating has 2 systems"):
        Buildings(dataclasses.replace(stock, heating=("wood", "gas_boiler")), CLOCK)
    with pytest.raises(CosimError, match=r"stock\.hot_water_need is negative"):
        Buildings(dataclasses.replace(stock, hot_water_need=np.array([1.0, -1.0])), CLOCK)
    with pytest.raises(CosimError, match=r"stock\.dwellings is below 1"):
        Buildings(dataclasses.replace(stock, dwellings=np.zeros(2)), CLOCK)
