"""The buildings adapter: balances of electricity, heat and gas, schedules in civil time, and invalid input."""

import dataclasses
import pickle

import numpy as np
import pytest

import cosim.adapters.buildings as buildings_module
from cosim.adapters.buildings import (
    BOILER_EFFICIENCY,
    COOLING_EER,
    SURFACES,
    WATER_TEMPERATURE,
    Buildings,
    floor_temperature,
    radiator_temperature,
)
from cosim.core import Clock, CosimError, PortError, Step
from cosim.core.adapter import inputs, outputs
from cosim.core.buildings.cooling import CoolingUnits
from cosim.core.buildings.heat_pump import FittedCurve, HeatPumpUnits, LiftCurve
from cosim.core.buildings.households import PERSON_GAIN
from cosim.core.buildings.storage import WATER
from cosim.scenarios.buildings.stock import make_stock
from tests.support.buildings_reference import ReferenceBuildings

CLOCK = Clock("2025-01-15", hours=24, step_s=900, zone="Europe/Madrid")
DARK = np.zeros(len(SURFACES))


def stock_of(n=40, **changes):
    arguments = {"floor_area": 1500.0, "storeys": 6, "attached": 2, "azimuths": 45.0, "heat_pump_share": 0.5}
    return make_stock([f"b{i}" for i in range(n)], ["ES.ME.AB.03"] * n, **{**arguments, **changes})


def run(buildings, hours=24.0, step_s=900.0, outdoor=5.0, sun=DARK, shift=None, start_s=0.0, **controls):
    """Advance over steps and return every output, shape (n_steps, n_buildings) each; controls take the time."""
    buildings.open()
    rows: dict[str, list[np.ndarray]] = {name: [] for name in outputs(buildings)}
    for k in range(round(hours * 3600 / step_s)):
        now = start_s + k * step_s
        buildings.outdoor_temperature.deliver([outdoor(now) if callable(outdoor) else outdoor])
        buildings.irradiance.deliver(sun)
        buildings.window_irradiance.deliver(sun)
        if shift is not None:
            buildings.heating_shift.deliver(shift(now))
        for name, control in controls.items():
            getattr(buildings, name).deliver(control(now) if callable(control) else control)
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
    assert (r["pv_power"] == 0).all()
    assert (r["battery_power"] == 0).all()
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


def test_resistance_heaters_draw_their_heat_and_unheated_buildings_burn_gas_for_water_only():
    stock = stock_of(heat_pump_share=0.25).with_old_heating(0.3, 0.25)
    r = run(Buildings(stock, CLOCK), outdoor=0.0)
    kind = np.array(stock.heating)
    resists, cold = kind == "resistance", stock.heating_capacity == 0
    assert resists.any()
    assert cold.any()
    np.testing.assert_allclose(r["heat_pump_power"][:, resists], r["heating_heat"][:, resists], rtol=1e-12)
    assert r["heating_heat"][:, resists].sum() > 0
    assert (r["gas_power"][:, resists] == 0).all()
    warm = run(Buildings(dataclasses.replace(stock, heating=("heat_pump",) * len(stock)), CLOCK), outdoor=0.0)
    assert r["hot_water_power"][:, resists].sum() > 1.5 * warm["hot_water_power"][:, resists].sum()
    assert (r["heating_heat"][:, cold] == 0).all()
    boiler = cold & (kind == "gas_boiler")
    water = r["gas_power"][:, boiler] * BOILER_EFFICIENCY
    assert 0.5 < water.mean() / stock.hot_water_need[boiler].mean() < 1.5
    assert r["indoor_temperature"][-1, cold].mean() < r["indoor_temperature"][-1, ~cold].mean() - 1


def test_shares_of_old_heating_are_exact_and_heat_pumps_replace_it_without_touching_others():
    stock = stock_of(n=100, heat_pump_share=0.0).with_old_heating(0.35, 0.05)
    assert (stock.heating_capacity == 0).sum() == 35
    assert stock.heating.count("resistance") == 5
    few, many = stock.with_heat_pumps(0.2), stock.with_heat_pumps(0.6)
    for pumped in (few, many):
        others = np.array(pumped.heating) != "heat_pump"
        assert (np.array(pumped.heating)[others] == np.array(stock.heating)[others]).all()
        assert (pumped.heating_capacity == stock.heating_capacity).all()
        heated = ~others & (stock.heating_capacity > 0)
        assert (pumped.heat_pump_capacity == np.where(heated, stock.design_load, 0.0)).all()
    other_way = stock_of(n=100, heat_pump_share=0.2).with_old_heating(0.35, 0.05)
    assert other_way.heating == few.heating
    assert (other_way.heat_pump_capacity == few.heat_pump_capacity).all()
    with pytest.raises(CosimError, match=r"0.8 of the buildings are unheated and 0.3 have resistance heaters"):
        stock.with_old_heating(0.8, 0.3)


def test_heat_pump_draws_heat_over_cop_and_backup_draws_the_rest():
    stock = stock_of(heat_pump_share=1.0)
    small = dataclasses.replace(stock, heat_pump_capacity=0.2 * stock.design_load, tank_volume=np.zeros(40))
    r = run(Buildings(small, CLOCK), outdoor=2.0)
    pumps = HeatPumpUnits(small.heat_pump_capacity, LiftCurve(False), np.zeros(40, dtype=bool))
    cop = pumps.cop(radiator_temperature(2.0), 2.0, 2.0)
    by_pump = np.minimum(r["heating_heat"], small.heat_pump_capacity)
    expected = np.stack([pumps.power(heat, cop) for heat in by_pump]) + r["heating_heat"] - by_pump
    np.testing.assert_allclose(r["heat_pump_power"], expected, rtol=1e-12)
    assert (r["heating_heat"] > small.heat_pump_capacity).any()


def test_a_fitted_curve_replaces_the_one_by_lift():
    stock = stock_of(heat_pump_share=1.0)
    steady = FittedCurve(0.0, 0.0, 5.0, 0.0)
    r = run(Buildings(dataclasses.replace(stock, tank_volume=np.zeros(40)), CLOCK, cop_curve=steady), outdoor=10.0)
    full = r["heating_heat"] > 0.5 * stock.heat_pump_capacity
    alone = full & (r["heating_heat"] < stock.heat_pump_capacity)
    np.testing.assert_allclose(r["heat_pump_power"][alone], r["heating_heat"][alone] / 5.0)
    assert alone.any()


def test_pumps_on_the_ground_need_less_in_the_cold():
    air = stock_of(heat_pump_share=1.0)
    ground = air.with_heat_pumps(1.0, ground_share=1.0)
    assert set(ground.heat_pump_source) == {"ground"}
    a, g = (run(Buildings(stock, CLOCK), outdoor=0.0, ground_temperature=[12.0]) for stock in (air, ground))
    assert g["heat_pump_power"].sum() < 0.8 * a["heat_pump_power"].sum()
    np.testing.assert_allclose(g["heating_heat"].sum(), a["heating_heat"].sum(), rtol=0.05)


def test_heating_and_gains_cover_the_losses_in_the_steady_state():
    stock = dataclasses.replace(stock_of(), heating_capacity=np.full(40, 1e9))
    clock = Clock("2025-01-01", hours=24 * 60, step_s=3600, zone="Europe/Madrid")
    buildings = Buildings(stock, clock)

    def no_setback(start_s):
        civil = clock.civil(start_s)
        hour = (civil.hour + buildings._systems.shift_h + 0.5) % 24
        return np.where((hour >= 23) | (hour < 7), 3.0, 0.0)

    r = run(buildings, hours=24 * 60, step_s=3600, outdoor=0.0, shift=no_setback, ground_temperature=8.0)
    week = slice(-24 * 7, None)
    tanks = 9.5 * np.where(np.array(stock.heating) == "heat_pump", stock.tank_volume, 0) * (r["tank_temperature"] - 20)
    covered = (r["heating_heat"] + r["appliance_power"] + PERSON_GAIN * r["persons"] + tanks)[week].mean(axis=0)
    loss, light = (
        getattr(stock.zones, name)[stock.archetype] * 1500 for name in ("loss_coefficient", "outdoor_conductance")
    )
    # 1 %: radiant gains warm the outer walls, so a little of them leaves without ever warming the air.
    beyond = stock.ground_share * 8.0 - stock.sky_depression
    assert stock.ground_share.min() > 0.05
    np.testing.assert_allclose(covered, loss * 20 - (loss - light) * beyond, rtol=0.01)


def test_households_are_not_synchronised_and_blocks_of_many_dwellings_hardly_differ():
    homes = run(Buildings(stock_of(200, floor_area=90.0, storeys=1), CLOCK))["appliance_power"].mean(axis=0)
    blocks = run(Buildings(stock_of(200, floor_area=9000.0), CLOCK))["appliance_power"].mean(axis=0)
    assert np.std(homes) / np.mean(homes) > 0.2
    assert np.std(blocks) / np.mean(blocks) < 0.06


def test_adding_a_building_leaves_the_others_exactly_as_they_were():
    # of heat pumps all or none: a share is a quota of all buildings
    few, many = (run(Buildings(stock_of(n, heat_pump_share=1.0), CLOCK, seed=7)) for n in (3, 5))
    for name in few:
        np.testing.assert_array_equal(few[name], many[name][:, :3])


def test_energy_does_not_depend_on_the_step_length():
    stock = stock_of(20)
    totals = {}
    for step_s in (300.0, 3600.0):
        r = run(Buildings(stock, CLOCK, seed=1), hours=48, step_s=step_s, outdoor=6.0)
        totals[step_s] = {name: values.mean(axis=0) for name, values in r.items()}
    for name in ("appliance_power", "persons"):
        np.testing.assert_allclose(totals[300.0][name], totals[3600.0][name], rtol=1e-9)
    # The heat stored in the thermostats' bands of 7 K may differ at the end; COP at least 2.
    apart = abs(totals[300.0]["hot_water_power"] - totals[3600.0]["hot_water_power"])
    assert (apart <= 7 * WATER * stock.tank_volume / (48 * 3600) / 2).all()
    np.testing.assert_allclose(totals[300.0]["heating_heat"], totals[3600.0]["heating_heat"], rtol=0.05)


def test_rooms_are_heated_in_the_hours_of_the_stock_and_hobs_burn_gas():
    stock = dataclasses.replace(
        stock_of(1, floor_area=500000.0, heat_pump_share=0.0), heated_hours=((6.0, 9.0), (16.0, 22.0)), gas_hobs=1.0
    )
    r = run(Buildings(stock, CLOCK), outdoor=-5.0)
    rise = np.diff(r["heating_heat"][:, 0])
    step_h = 24 / len(r["heating_heat"])
    assert {int(k * step_h) for k in np.argsort(rise)[-2:]} <= {5, 6, 15, 16}
    assert (r["gas_power"] - r["cooking_power"] >= r["heating_heat"] / BOILER_EFFICIENCY - 1e-6).all()
    assert r["cooking_power"].mean() > 0
    with pytest.raises(CosimError, match="give spans of hours that follow each other"):
        Buildings(dataclasses.replace(stock, heated_hours=((9.0, 6.0),)), CLOCK)


def test_setback_follows_civil_time_through_the_change_to_summer_time():
    clock = Clock("2025-03-29", hours=48, step_s=900, zone="Europe/Madrid")
    stock = stock_of(1, floor_area=500000.0)  # hundreds of dwellings: hardly any shift of the schedule
    r = run(Buildings(stock, clock), hours=48, outdoor=-5.0)
    heat = r["heating_heat"][:, 0]
    recovery = [int(np.argmax(heat[d : d + 40])) + d for d in (8, 100)]
    assert [clock.civil(900.0 * k).hour for k in recovery] == [7, 7]
    assert recovery[1] - recovery[0] == 92  # that day has 23 hours


def test_a_lower_setpoint_saves_heat_now_and_rebounds_later():
    stock = stock_of(20)
    base = run(Buildings(stock, CLOCK), hours=24)
    event = run(Buildings(stock, CLOCK), hours=24, shift=lambda t: -2.0 if 18 * 3600 <= t < 20 * 3600 else 0.0)
    during, after = slice(72, 80), slice(80, 84)
    assert event["heating_heat"][during].sum() < base["heating_heat"][during].sum()
    assert event["heating_heat"][after].sum() > base["heating_heat"][after].sum()
    assert event["unmet_degree"][during].sum() > base["unmet_degree"][during].sum()
    np.testing.assert_array_equal(event["appliance_power"], base["appliance_power"])


def test_summer_sun_causes_cooling_only_where_there_are_coolers():
    stock = stock_of(cooling_share=0.5)
    clock = Clock("2025-07-15", hours=72, step_s=900, zone="Europe/Madrid")
    r = run(Buildings(stock, clock), hours=72, outdoor=32.0, sun=np.full(len(SURFACES), 150.0))
    has = stock.cooling_capacity > 0
    assert (r["cooling_power"][-96:, has].sum(axis=0) > 0).all()
    assert (r["cooling_power"][:, ~has] == 0).all()
    assert r["unmet_degree"][-1, ~has].min() > r["unmet_degree"][-1, has].max()
    assert (r["heating_heat"] == 0).all()


def test_split_units_draw_by_load_and_outdoor_temperature_and_keep_a_cap():
    stock = stock_of(20, cooling_share=1.0)
    clock = Clock("2025-07-15", hours=24, step_s=900, zone="Europe/Madrid")
    r = run(Buildings(stock, clock, start_temperature=28.0), outdoor=36.0)
    lost = run(Buildings(stock, clock, start_temperature=28.0), outdoor=36.0, power_cap=0.0)
    assert (lost["cooling_power"] == 0).all()
    units = CoolingUnits(stock.cooling_capacity, COOLING_EER)
    assert (r["cooling_power"][0] <= units.power(stock.cooling_capacity, 36.0) * (1 + 1e-12)).all()
    cap = r["appliance_power"].max(axis=0) + 0.4 * units.power(stock.cooling_capacity, 36.0)
    held = run(Buildings(stock, clock, start_temperature=28.0), outdoor=36.0, power_cap=cap)
    assert (held["electric_power"] <= cap * (1 + 1e-12)).all()
    assert held["cooling_power"].sum() > 0


def test_blinds_close_by_rule_against_strong_sun_in_warm_rooms():
    stock = stock_of(cooling_share=0.0)
    blinds = dataclasses.replace(stock, blinds=np.full(40, 0.2))
    clock = Clock("2025-07-15", hours=6, step_s=900, zone="Europe/Madrid")

    def warms(which, start, sun):
        light = np.full(len(SURFACES), sun)
        return run(Buildings(which, clock, start_temperature=start), hours=6, outdoor=14.0, sun=light)[
            "indoor_temperature"
        ]

    assert (warms(blinds, 27.0, 400.0)[-1] < warms(stock, 27.0, 400.0)[-1] - 0.3).all()
    np.testing.assert_array_equal(warms(blinds, 27.0, 290.0), warms(stock, 27.0, 290.0))
    np.testing.assert_array_equal(warms(blinds, 18.0, 400.0)[0], warms(stock, 18.0, 400.0)[0])


def test_heat_passes_through_party_walls_to_unheated_neighbours():
    stock = stock_of(2, heat_pump_share=0.0)
    stock = dataclasses.replace(stock, heating_capacity=stock.heating_capacity * [1.0, 0.0])
    walls = dataclasses.replace(stock, party_walls=np.array([[0, 1, 800.0]]))
    alone, together = (run(Buildings(s, CLOCK), hours=24 * 10, step_s=3600) for s in (stock, walls))
    assert (together["indoor_temperature"][-1] - alone["indoor_temperature"][-1])[1] > 0.5
    assert together["heating_heat"][:, 0].sum() > 1.02 * alone["heating_heat"][:, 0].sum()


def test_floors_on_warm_ground_save_heat():
    stock = stock_of()
    cold, warm = (run(Buildings(stock, CLOCK), hours=48, ground_temperature=t) for t in (2.0, 14.0))
    assert (warm["heating_heat"].sum(axis=0) < cold["heating_heat"].sum(axis=0)).all()


def test_floor_heating_gives_heat_pumps_a_lower_temperature():
    stock = stock_of(heat_pump_share=1.0)
    stock = dataclasses.replace(stock, heat_pump_capacity=stock.heating_capacity)  # without back-up heaters
    a, b = (run(Buildings(s, CLOCK)) for s in (stock, stock.with_underfloor(1.0)))
    heat = [r["heating_heat"].sum() for r in (a, b)]
    assert b["heat_pump_power"].sum() / heat[1] < 0.9 * a["heat_pump_power"].sum() / heat[0]
    assert floor_temperature([-10.0, 12.0]).tolist() == [35.0, 24.0]


def test_varying_films_and_infiltration_follow_the_wind_and_are_refused_without_sense(tmp_path):
    stock = stock_of(20)
    heat = {}
    for wind in (0.5, 8.0):
        r = run(Buildings(stock, CLOCK, varying=True), hours=24 * 3, wind_speed=wind)
        heat[wind] = r["heating_heat"].sum(axis=0)
    assert (heat[8.0] > 1.02 * heat[0.5]).all()
    assert "wind_speed" not in inputs(Buildings(stock, CLOCK))
    with pytest.raises(PortError, match=r"wind_speed\['outdoor'\] is -1\.0: it cannot be negative"):
        run(Buildings(stock, CLOCK, varying=True), wind_speed=-1.0)


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


def test_a_power_cap_holds_and_the_heat_is_made_up_for_afterwards():
    stock = stock_of(heat_pump_share=1.0)
    base = run(Buildings(stock, CLOCK), outdoor=3.0)
    households = base["appliance_power"]
    cap = np.maximum(0.6 * base["electric_power"].max(axis=0), households.max(axis=0))
    event = slice(72, 80)

    def capped(now):
        return cap if 18 * 3600 <= now < 20 * 3600 else np.full(len(stock), 1e9)

    held = run(Buildings(stock, CLOCK), outdoor=3.0, power_cap=capped)
    assert (held["electric_power"][event] <= cap * (1 + 1e-12)).all()
    tight = run(Buildings(stock, CLOCK), outdoor=3.0, power_cap=lambda t: 0.0 if 18 * 3600 <= t < 20 * 3600 else 1e9)
    assert (tight["heat_pump_power"][event] == 0).all()
    np.testing.assert_array_equal(tight["electric_power"][event], households[event])
    assert tight["heat_pump_power"][80:84].sum() > 1.2 * base["heat_pump_power"][80:84].sum()
    assert (tight["unmet_degree"][event].sum(axis=0) > base["unmet_degree"][event].sum(axis=0)).all()


def test_an_expensive_hour_shifts_heating_out_of_it_and_demand_rebounds():
    stock = stock_of(heat_pump_share=1.0)

    def price(now):
        return [(0.5 if 18 * 3600 <= now < 20 * 3600 else 0.2) / 3.6e6]

    flat, priced = (run(Buildings(stock, CLOCK, price_response=r), price=price) for r in (0.0, 6.0))
    during, after = slice(72, 80), slice(80, 84)
    assert priced["heat_pump_power"][during].sum() < flat["heat_pump_power"][during].sum()
    assert priced["heat_pump_power"][after].sum() > flat["heat_pump_power"][after].sum()


def test_panels_cover_the_load_first_then_the_battery_then_the_grid():
    stock = stock_of(heat_pump_share=0.0).with_photovoltaics(1.0, battery_hours=1.0)

    def light(now):
        return [0.7 if 10 * 3600 <= now < 16 * 3600 else 0.0]

    r = run(Buildings(stock, CLOCK), pv_yield=light)
    load = r["appliance_power"] + r["cooling_power"] + r["heat_pump_power"] + r["hot_water_power"]
    np.testing.assert_allclose(r["electric_power"], load - r["pv_power"] + r["battery_power"], atol=1e-9)
    charges = r["battery_power"] > 0
    assert (r["pv_power"][charges] >= load[charges]).all()
    assert (r["electric_power"] < 0).any()
    assert (r["battery_power"] < 0).any()
    dark = run(Buildings(stock, CLOCK), pv_yield=light, pv_curtailment=1.0)
    assert (dark["pv_power"] == 0).all()


def test_persons_who_arrive_warm_the_rooms():
    stock = stock_of(4)
    base, full = run(Buildings(stock, CLOCK)), run(Buildings(stock, CLOCK), occupancy=20.0)
    np.testing.assert_allclose(full["persons"], base["persons"] + 20, rtol=1e-12)
    assert (full["heating_heat"].sum(axis=0) < base["heating_heat"].sum(axis=0)).all()
    assert (run(Buildings(stock, CLOCK), occupancy=-1e6)["persons"] == 0).all()


def test_tanks_supply_hot_water_and_the_heat_pump_heats_it():
    stock = stock_of(heat_pump_share=1.0)
    r = run(Buildings(stock, CLOCK), hours=24 * 7)
    assert np.mean(r["tank_temperature"] > WATER_TEMPERATURE) > 0.98
    cop = LiftCurve(False)(55.0, 5.0) * 0.94  # frost takes 6 % at 5 °C
    heat = stock.hot_water_need.sum()
    assert heat < r["hot_water_power"].sum(axis=1).mean() * cop < 1.6 * heat


@pytest.mark.parametrize("varies", [False, True])
def test_a_run_continues_bit_for_bit_from_a_saved_state(tmp_path, varies):
    stock = stock_of(heat_pump_share=0.5).with_photovoltaics(0.5, battery_hours=1.0)
    drive = {"pv_yield": lambda t: [0.5 if t > 1800 else 0.0], "price": lambda t: [(0.1 + t * 1e-6) / 3.6e6]}

    dark = {name: lambda t: DARK for name in ("irradiance", "window_irradiance")}
    constant = {"outdoor_temperature": lambda t: [5.0], **dark}
    if varies:
        constant["wind_speed"] = lambda t: [3.0 + t * 1e-4]

    def go(buildings, start, hours):
        rows = []
        for k in range(round(hours * 4)):
            now = start + 900.0 * k
            for name, value in {**drive, **constant}.items():
                getattr(buildings, name).deliver(value(now))
            buildings.advance(Step(now, 900.0))
            rows.append({name: port.value.tobytes() for name, port in outputs(buildings).items()})
        return rows

    whole, first, second = (Buildings(stock, CLOCK, seed=2, price_response=3.0, varying=varies) for _ in range(3))
    for buildings in (whole, first, second):
        buildings.open()
    expected = go(whole, 0.0, 6)
    go(first, 0.0, 3)
    first.save(tmp_path)
    second.load(tmp_path)
    assert second.indoor_temperature.value.tobytes() == first.indoor_temperature.value.tobytes()
    assert go(second, 3 * 3600.0, 3) == expected[12:]
    other = Buildings(stock_of(3), CLOCK)
    other.open()
    with pytest.raises(CosimError, match=r"zones has shape \(3, 40\), these buildings \(3, 3\)"):
        other.load(tmp_path)
    with pytest.raises(CosimError, match="cannot read the buildings' state"):
        other.load(tmp_path / "nowhere")


def test_impossible_controls_are_refused_with_the_building_named():
    with pytest.raises(PortError, match=r"pv_curtailment\['b1'\] is 1.5: it must be from 0 to 1"):
        run(Buildings(stock_of(2), CLOCK), pv_curtailment=[0.0, 1.5])
    with pytest.raises(PortError, match=r"power_cap\['b0'\] is -5: it must not be negative"):
        run(Buildings(stock_of(2), CLOCK), power_cap=-5.0)
    with pytest.raises(CosimError, match="price_response is -1"):
        Buildings(stock_of(2), CLOCK, price_response=-1)


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


def test_an_inconsistent_stock_is_refused():
    stock = stock_of(2)
    with pytest.raises(CosimError, match=r"stock\.floor_area has shape \(1,\): 2 buildings need \(2,\)"):
        Buildings(dataclasses.replace(stock, floor_area=np.ones(1)), CLOCK)
    with pytest.raises(CosimError, match="unknown source of heat pumps 'sea'"):
        Buildings(dataclasses.replace(stock, heat_pump_source=("sea", "air")), CLOCK)
    with pytest.raises(CosimError, match=r"stock\.heat_pump_source has 1 entries"):
        Buildings(dataclasses.replace(stock, heat_pump_source=("air",)), CLOCK)
    with pytest.raises(CosimError, match=r"stock\.heating has 2 systems"):
        Buildings(dataclasses.replace(stock, heating=("wood", "gas_boiler")), CLOCK)
    with pytest.raises(CosimError, match=r"stock\.hot_water_need is negative"):
        Buildings(dataclasses.replace(stock, hot_water_need=np.array([1.0, -1.0])), CLOCK)
    with pytest.raises(CosimError, match=r"stock\.ground_share is 1\.5 somewhere: it is a share, from 0 to 1"):
        Buildings(dataclasses.replace(stock, ground_share=np.array([0.1, 1.5])), CLOCK)
    with pytest.raises(CosimError, match=r"stock\.emission has 2 entries \['radiators', 'stove'\]"):
        Buildings(dataclasses.replace(stock, emission=("stove", "radiators")), CLOCK)
    with pytest.raises(CosimError, match=r"party wall 0 is \[0\.0, 7\.0, 1\.0\]"):
        Buildings(dataclasses.replace(stock, party_walls=np.array([[0, 7, 1.0]])), CLOCK)
    with pytest.raises(CosimError, match=r"stock\.dwellings is below 1"):
        Buildings(dataclasses.replace(stock, dwellings=np.zeros(2)), CLOCK)


def test_compiled_passes_equal_the_units_own_methods():
    """Exponentials of NumPy and of the C library may differ by their last bit."""
    stock = stock_of(n=60).with_old_heating(0.3, 0.15).with_underfloor(0.4).with_photovoltaics(0.5, battery_hours=1.0)
    stock = dataclasses.replace(
        stock,
        blinds=np.where(np.arange(60) % 2, 0.3, 1.0),
        heat_pump_source=("air", "ground") * 30,
        party_walls=np.array([(k, k + 1, 20.0 + k) for k in range(59)]),
        gas_hobs=0.4,
    )
    sun = np.array([700, 100, 150, 400, 600, 650, 500, 300, 120.0])
    rng = np.random.default_rng(1)
    given = {
        "power_cap": lambda now: np.where(np.arange(60) % 3, 1e12, 100 * (now / 900 % 50)),
        "pv_curtailment": rng.random(60),
        "occupancy": rng.integers(-1, 3, 60),
        "cooling_shift": rng.random(60),
        "pv_yield": lambda now: 0.8 * np.sin(now / 86400 * np.pi),
        "price": lambda now: (0.1 + 0.1 * (now > 50000)) / 3.6e6,
    }
    for outdoor in (3.0, 27.0):
        both = [
            run(kind(stock, CLOCK, price_response=3.0), outdoor=outdoor, sun=sun, **given)
            for kind in (Buildings, ReferenceBuildings)
        ]
        for name, values in both[1].items():
            np.testing.assert_allclose(both[0][name], values, rtol=1e-12, atol=1e-12 * np.abs(values).max())


def test_results_do_not_depend_on_the_number_of_threads(monkeypatch):
    stock, found = dataclasses.replace(stock_of(n=9000), dwellings=np.ones(9000)), []
    for threads in (1, 2):
        monkeypatch.setattr(buildings_module, "CPUS", threads)
        found.append(run(Buildings(stock, CLOCK), hours=1.0, sun=DARK + 400.0))
    for name, values in found[0].items():
        assert values.tobytes() == found[1][name].tobytes(), name
