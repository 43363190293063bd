"""The fleet model: driving, parking, queueing, charging, failed trips and the energy ledger."""

import numpy as np
import pandas as pd
import pytest

from cosim import CosimError, ScenarioError
from cosim.core.fleet import _fleet
from cosim.core.fleet import reference as fleet_reference
from cosim.core.fleet.climate import climate_share
from cosim.core.fleet.model import FleetModel
from cosim.core.fleet.plan import FleetPlan
from cosim.core.fleet.state import FAILURES, LEDGER, Where
from cosim.core.fleet.strategies import V2G, GridLimited, Plain, PriceFollowing, ValleyFilling
from cosim.core.quantities import HOUR_S, J_PER_KWH
from tests.support.fleet_tables import calm, commuters, one_car, run


def model_of(tables, strategy=None, **settings):
    return FleetModel(FleetPlan.from_tables(**tables), strategy or Plain(), **settings)


def failures(model):
    return {why: int(n) for why, n in zip(FAILURES, model.state.failures) if n}


def term(model, name):
    return model.state.ledger[LEDGER.index(name)] / J_PER_KWH


def test_a_car_charges_at_its_points_power_until_it_is_full():
    model = model_of(one_car(trips=(), soc=0.5))
    power, soc = run(model, 6)
    hours = 25 / (7.4 * 0.9)
    assert power[: int(hours * 60)] == pytest.approx(7_400)
    assert power.sum() * 60 == pytest.approx(25 * J_PER_KWH / 0.9)
    assert soc[-1] == pytest.approx(1.0)
    assert power[int(hours * 60) + 1 :] == pytest.approx(0, abs=1e-6)


def test_a_car_draws_at_most_the_power_of_its_own_charger():
    power, _ = run(model_of(one_car(trips=(), ac_w=3_700.0)), 1)
    assert power.max() == pytest.approx(3_700)


def test_charge_after_home_work_home_is_reduced_by_the_energy_of_the_trips():
    model = model_of(one_car(soc=1.0, plug_in_soc=0.5))
    _, soc = run(model, 20)
    assert soc[10 * 60, 0] == pytest.approx(1 - 4 / 50)
    assert soc[-1, 0] == pytest.approx(1 - 8 / 50)
    assert term(model, "driven") == pytest.approx(8)
    assert model.plan.place_ids[model.state.place[0]] == "home"


def test_a_car_is_unplugged_at_its_notice_before_departure():
    model = model_of(one_car(trips=((1, "home", "work"),), soc=0.1, trip_kwh=1.0), notice_s=120.0)
    power, _ = run(model, 2)
    assert np.flatnonzero(power[:, 0]).max() == 57
    assert model.state.where[0] == Where.PARKED


def test_a_car_plugs_in_only_below_its_habit_or_the_need_of_its_next_trips():
    keen = run(model_of(one_car(soc=0.5, plug_in_soc=0.6)), 1)[0]
    content = run(model_of(one_car(soc=0.5, plug_in_soc=0.4)), 1)[0]
    # Work has no charger: 4 + 4 kWh with margin 1.25 and a reserve of 2.5 kWh are 12.5 kWh, 25 %.
    worried = run(model_of(one_car(soc=0.24, plug_in_soc=0.1)), 1)[0]
    assert keen.max() > 0
    assert content.max() == 0
    assert worried.max() > 0


def test_a_trip_without_the_charge_for_it_fails_and_the_car_is_still_there_for_the_evening():
    trips = ((8, "home", "work"), (17, "work", "home"), (19, "home", "work"))
    tables = one_car(trips=trips, soc=0.1, trip_kwh=20.0, power_w=0.0)
    model = model_of(tables)
    run(model, 24)
    assert failures(model) == {"no charge": 2, "elsewhere": 1}
    assert model.state.may_depart.tolist() == [-1, -1, -1]
    assert term(model, "driven") == 0


def test_a_car_left_behind_has_been_fetched_by_the_next_morning_and_charges_at_home():
    trips = (
        (0.5, "home", "work"),
        (17, "work", "home"),
        (19, "home", "work"),
        (32, "home", "work"),
        (56, "home", "work"),
    )
    model = model_of(one_car(trips=trips, soc=0.5, trip_kwh=17.0))
    run(model, 60)
    # It lacks charge at 17 h; on the next morning it is back at home, but still empty, on the one after it drives.
    assert failures(model) == {"no charge": 2, "elsewhere": 1}
    assert model.state.may_depart.tolist() == [1, -1, -1, -1, 1]
    assert model.residual < 1e-12


def test_a_car_still_on_its_way_begins_its_next_trip_when_it_has_arrived():
    # Due 12 minutes after the first, which takes 20.
    model = model_of(one_car(trips=((8, "home", "work"), (8.2, "work", "home")), soc=1.0, plug_in_soc=0.1))
    _, soc = run(model, 10)
    assert failures(model) == {}
    assert model.state.delays.tolist() == [1, pytest.approx(8 * 60, abs=60)]
    kwh = soc[:, 0] * 50
    assert kwh[8 * 60 + 19] == pytest.approx(46, abs=0.25)
    assert kwh[8 * 60 + 39] == pytest.approx(42, abs=0.25)
    assert kwh[8 * 60 + 25] == pytest.approx(46 - 4 * 5 / 20, abs=0.25)


def test_a_driver_waits_no_longer_than_their_patience():
    model = model_of(one_car(trips=((8, "home", "work"), (8.2, "work", "home")), soc=1.0), patience_s=300.0)
    run(model, 10)
    assert failures(model) == {"late": 1}
    assert model.state.delays.tolist() == [0, 0]


def test_a_trip_waits_for_the_charge_that_it_lacks_if_that_comes_soon():
    # 10 kWh with margin 1.25 and a reserve of 2.5 are 15; at 7.4 kW and 0.9 it has charged 2 kWh in 18 minutes.
    tables = one_car(trips=((1.0, "home", "work"),), trip_kwh=10.0, soc=(15 - 2 - 6.66) / 50)
    model = model_of(tables)
    run(model, 3)
    assert failures(model) == {}
    assert model.state.delays == pytest.approx([1, 18 * 60], abs=90)
    hopeless = model_of(one_car(trips=((1.0, "home", "work"),), trip_kwh=10.0, soc=0.02))
    run(hopeless, 3)
    assert failures(hopeless) == {"no charge": 1}


def test_a_postponed_trip_is_not_allowed_until_it_may_depart():
    model = model_of(one_car(trips=((8, "home", "work"), (8.2, "work", "home")), soc=1.0, plug_in_soc=0.1))
    allowed = []
    for k in range(9 * 60):
        model.advance(k * 60.0, 60.0)
        allowed.append(int(model.state.may_depart[1]))
    assert allowed[489] == 1  # not due yet
    assert allowed[495] == 0
    assert allowed[501] == 1


def test_trips_are_reconciled_with_the_traffic():
    model = model_of(one_car(soc=0.8, plug_in_soc=0.1))
    energy, state = np.zeros(2), np.zeros(2)
    used = 0.0
    for k in range(24 * 60):
        time_s = k * 60.0
        if 8 * HOUR_S <= time_s < 8.5 * HOUR_S:
            used += 0.3 * J_PER_KWH if k % 2 else -0.1 * J_PER_KWH  # recuperation between pulls
            energy[0], state[0] = used, 1
        elif time_s >= 8.5 * HOUR_S:
            state[0] = 2
        if time_s >= 18 * HOUR_S:
            energy[1], state[1] = 2.0 * J_PER_KWH, 2
        model.advance(time_s, 60.0, calm(model.plan), energy, state)
    assert term(model, "driven") == pytest.approx(3.0 + 2.0)
    assert model.soc[0] == pytest.approx(0.8 - 5 / 50)
    # 3 and 2 kWh of the 4 that were planned: the next trips are expected to use less.
    assert model.state.ratio[0] == pytest.approx(0.7 * (0.7 + 0.3 * 0.75) + 0.3 * 0.5)


def test_a_trip_beyond_the_network_uses_its_outside_part_when_it_reaches_the_border():
    tables = one_car(soc=0.8, plug_in_soc=0.1, trips=((8, "home", "work"),))
    tables["trips"] = tables["trips"].assign(outside_j=3.0 * J_PER_KWH)
    model = model_of(tables)
    for k in range(10 * 60):
        arrived = k > 8.2 * 60
        energy = np.array([1.0 * J_PER_KWH if k > 8 * 60 else 0.0])
        model.advance(k * 60.0, 60.0, calm(model.plan), energy, np.array([2.0 if arrived else float(k > 8 * 60)]))
    assert term(model, "driven") == pytest.approx(4.0)


@pytest.mark.parametrize(("used_kwh", "why", "place"), [(0.0, "not inserted", "home"), (1.0, "removed", "work")])
def test_a_trip_that_the_traffic_drops_fails(used_kwh, why, place):
    model = model_of(one_car(soc=0.8, plug_in_soc=0.1, trips=((8, "home", "work"),)))
    for k in range(9 * 60):
        dropped = k > 8.3 * 60
        model.advance(
            k * 60.0, 60.0, calm(model.plan), np.array([used_kwh * J_PER_KWH * dropped]), np.array([3.0 * dropped])
        )
    assert failures(model) == {why: 1}
    assert model.plan.place_ids[model.state.place[0]] == place


def test_a_battery_that_runs_empty_en_route_fails_the_trip_and_its_deficit_is_counted():
    model = model_of(one_car(soc=0.2, plug_in_soc=0.1, power_w=0.0, trips=((8, "home", "work"),)))
    for k in range(9 * 60):
        driving = k >= 8 * 60
        model.advance(
            k * 60.0, 60.0, calm(model.plan), np.array([12.0 * J_PER_KWH * driving]), np.array([1.0 * driving])
        )
    assert failures(model) == {"ran empty": 1}
    assert model.soc[0] == 0
    assert term(model, "without charge") == pytest.approx(2.0)
    assert term(model, "driven") == pytest.approx(10.0)


def test_a_full_battery_does_not_absorb_recuperation():
    model = model_of(one_car(soc=1.0, trips=((8, "home", "work"),)))
    for k in range(9 * 60):
        driving = k >= 8 * 60
        model.advance(
            k * 60.0, 60.0, calm(model.plan), np.array([-1.0 * J_PER_KWH * driving]), np.array([1.0 * driving])
        )
    assert model.soc[0] == 1.0
    assert term(model, "spilled") == pytest.approx(1.0)
    assert model.residual < 1e-12


def crowd(n_cars, n_points):
    vehicles = pd.DataFrame(
        {"capacity_j": 50 * J_PER_KWH, "home": "street", "soc": 0.2}, index=[f"car {i}" for i in range(n_cars)]
    )
    trips = pd.DataFrame(
        {"vehicle": vehicles.index, "depart_s": [(1 + i / 4) * HOUR_S for i in range(n_cars)], "duration_s": 600.0,
         "energy_j": 1.0 * J_PER_KWH, "origin": "street", "destination": "kerb"},
        index=[f"trip {i}" for i in range(n_cars)],
    )  # fmt: skip
    places = pd.DataFrame({"stations": [(), ("fast",)]}, index=["street", "kerb"])
    stations = pd.DataFrame({"power_w": [50_000.0], "points": n_points, "fast": 1}, index=["fast"])
    return {"vehicles": vehicles, "trips": trips, "places": places, "stations": stations}


def test_a_queue_at_a_fast_charger_is_served_in_the_order_of_arrival():
    model = model_of(crowd(5, 1))
    served, most = [], 0
    for k in range(8 * 60):
        model.advance(k * 60.0, 60.0)
        at = np.flatnonzero(model.state.station >= 0).tolist()
        most = max(most, len(at))
        served += [i for i in at if i not in served]
    assert most == 1
    assert served == [0, 1, 2, 3, 4]
    # Each has left the point at 80 % to the next one.
    assert model.soc == pytest.approx(0.8, abs=0.02)


def test_points_are_assigned_as_in_the_plain_reference():
    rng = np.random.default_rng(7)
    n, n_places, n_stations = 500, 60, 40
    first = np.concatenate([[0], np.cumsum(rng.integers(0, 5, n_places))]).astype(np.int32)
    offers = rng.integers(0, n_stations, first[-1]).astype(np.int32)
    place = rng.integers(0, n_places, n).astype(np.int32)
    aim = np.where(rng.random(n) < 0.2, rng.integers(0, n_stations, n), -1).astype(np.int32)
    queue = rng.permutation(n)[:300].astype(np.int64)
    found = []
    for kernel in (_fleet.take_points, fleet_reference.take_points):
        free, station = rng.integers(0, 1, n_stations).astype(np.int32) + 3, np.full(n, -1, np.int32)
        kernel(queue, aim, place, first, offers, free, station)
        found.append((free, station))
    np.testing.assert_array_equal(found[0][0], found[1][0])
    np.testing.assert_array_equal(found[0][1], found[1][1])
    assert (found[0][1] >= 0).sum() > 50


@pytest.mark.parametrize("counted_on", [0.0, 0.6, 1.0])
def test_ranges_of_sessions_equal_the_plain_reference(counted_on):
    rng = np.random.default_rng(11)
    n, n_stations, n_trips = 400, 50, 300
    capacity = rng.uniform(2e8, 3e8, n)
    cars = np.stack(
        [
            capacity,
            0.1 * capacity,
            *rng.uniform(3e3, 1e5, (3, n)),
            rng.uniform(0, 1, n) * capacity,
            rng.choice([0.0, 14_400.0], n),
            rng.uniform(0, 86_400, n),
        ]
    )
    stations = np.stack(
        [rng.uniform(3e3, 2e5, n_stations), rng.uniform(0.8, 1, n_stations), rng.integers(0, 2, n_stations)]
    )
    trips = np.stack([rng.uniform(3e4, 9e4, n_trips), rng.uniform(0, 1e8, n_trips)])
    state = np.stack([rng.uniform(0, 1, n) * capacity, rng.uniform(0, 3e4, n), rng.uniform(0.5, 2, n)])
    vehicles = np.flatnonzero(rng.random(n) < 0.8)
    station, trip = rng.integers(0, n_stations, n).astype(np.int32), rng.integers(-1, n_trips, n).astype(np.int32)
    trip[::7] = -1
    setting = np.array([29_000.0, 300.0, 300.0, 1.25, counted_on, 0.8, 86_400.0])
    found = np.empty((2, 6, len(vehicles)))
    for kernel, out in zip((_fleet.session_ranges, fleet_reference.session_ranges), found):
        kernel(vehicles, station, trip, cars, stations, trips, state, setting, out)
    np.testing.assert_allclose(found[0], found[1], rtol=1e-12, atol=1e-6)
    assert (found[0][2] < 0).any()
    assert (found[0][2] > 0).any()


def with_fast_charger(tables, **station):
    tables["places"] = tables["places"].assign(x=[0.0, 3_000.0], y=0.0)
    fast = {"power_w": 50_000.0, "efficiency": 0.9, "fast": 1, "x": 1_000.0, "y": 0.0} | station
    tables["stations"] = pd.concat([tables["stations"], pd.DataFrame(fast, index=["fast"])])
    tables["stations"]["fast"] = tables["stations"]["fast"].fillna(0)
    tables["stations"][["x", "y"]] = tables["stations"][["x", "y"]].fillna(0.0)
    return tables


def test_no_car_detours_via_a_fast_charger_that_is_not_public():
    tables = with_fast_charger(one_car(soc=0.12, trip_kwh=10.0, power_w=0.0, drive_j_per_m=720.0))
    tables["stations"]["public"] = 0
    tables["trips"] = tables["trips"].iloc[:1]
    model = model_of(tables)
    run(model, 12)
    assert model.state.detours[0] == 0
    assert sum(failures(model).values()) == 1


def test_a_car_short_of_charge_detours_via_a_fast_charger():
    tables = with_fast_charger(one_car(soc=0.12, trip_kwh=10.0, power_w=0.0, drive_j_per_m=720.0), y=2_000.0)
    tables["trips"] = tables["trips"].iloc[:1]
    model = model_of(tables)
    power, _ = run(model, 12)
    assert failures(model) == {}
    more_m = 1.3 * (np.hypot(1e3, 2e3) + np.hypot(2e3, 2e3) - 3e3)
    drives, metres, joules, seconds = model.state.detours
    assert drives == 1
    assert metres == pytest.approx(more_m)
    assert joules == pytest.approx(more_m * 720)
    assert term(model, "driven") == pytest.approx(10.0 + more_m * 720 / J_PER_KWH)
    # It leaves with 80 %: 40 kWh and what it had spent to get there, at 50 kW and 0.9.
    standing = np.flatnonzero(power[:, 1])
    assert seconds == pytest.approx(60 * len(standing), abs=120)
    assert power[:, 1].sum() * 60 * 0.9 == pytest.approx(
        (40 - 6) * J_PER_KWH + 1.3 * np.hypot(1e3, 2e3) * 720, rel=0.03
    )
    assert model.plan.place_ids[model.state.place[0]] == "work"
    assert model.residual < 1e-12


def test_a_trip_via_a_charger_is_reconciled_with_the_traffic():
    model = model_of(with_fast_charger(one_car(soc=0.12, trip_kwh=10.0, power_w=0.0, drive_j_per_m=720.0)))
    used, stands, via = 0.0, 0, []
    for k in range(12 * 60):
        asked = model.via[0]
        via.append(int(asked))
        if k < 480:
            state = 0
        elif asked >= 0:  # two minutes to the charger, where it waits until it is routed on
            stands += 1
            state, used = (1, 1.0) if stands <= 2 else (4, 1.5)
        else:
            state, used = 2, 12.0
        model.advance(
            k * 60.0, 60.0, calm(model.plan), np.array([used * J_PER_KWH, 0.0]), np.array([float(state), 0.0])
        )
    assert via[478] == -1
    assert via[485] == 1
    assert via[-1] == -1
    assert term(model, "driven") == pytest.approx(12.0)
    assert model.soc[0] == pytest.approx(0.8 - (12.0 - 1.5) / 50, abs=0.02)
    # The energy of a detour does not affect the forecast of the next trip.
    assert model.state.ratio[0] == 1.0


def test_a_cold_day_needs_more_than_the_traffic_reports_and_raises_the_forecast_of_the_next_trips():
    model = model_of(one_car(soc=0.8, plug_in_soc=0.1))
    for k in range(9 * 60):
        driving, used = k >= 480, 2.0 if k < 500 else 1.9  # at last it recuperates
        energy = np.array([used * J_PER_KWH * driving, 0.0])
        state = np.array([float(driving) + (k > 510), 0.0])
        model.advance(k * 60.0, 60.0, calm(model.plan, outdoor=-10.0), energy, state)
    share = climate_share(-10.0)
    assert share == pytest.approx(0.4, abs=0.01)
    assert term(model, "driven") == pytest.approx(1.9 + share * 2.0)
    assert model.state.ratio[0] == pytest.approx(0.7 + 0.3 * (1.9 + share * 2.0) / 4.0)
    assert model.residual < 1e-12


def test_planned_energy_does_not_depend_on_the_weather():
    model = model_of(one_car(soc=0.8, plug_in_soc=0.1))
    run(model, 20, signals=calm(model.plan, outdoor=-10.0))
    assert term(model, "driven") == pytest.approx(8.0)


def test_a_fast_charger_out_of_reach_is_not_used():
    tables = with_fast_charger(one_car(soc=0.01, trip_kwh=10.0, power_w=0.0), x=9_000.0)
    model = model_of(tables)
    run(model, 12)
    assert failures(model) == {"no charge": 1}
    assert model.state.detours.tolist() == [0, 0, 0, 0]


def test_energy_used_before_entering_the_network_is_drawn_on_entry():
    tables = with_fast_charger(one_car(soc=0.2, trip_kwh=6.0, trips=((8, "work", "home"),), drive_j_per_m=720.0))
    tables["vehicles"]["home"] = "work"
    tables["trips"] = tables["trips"].assign(approach_j=4.0 * J_PER_KWH)
    model = model_of(tables)
    for k in range(9 * 60):
        inside = np.array([float(k >= 480)])
        model.advance(k * 60.0, 60.0, calm(model.plan), 1e3 * inside, inside)
    assert term(model, "driven") == pytest.approx(4.0, abs=0.01)
    tables["vehicles"]["soc"] = 0.07  # less than it needs to enter the network
    model = model_of(tables)
    run(model, 9)
    assert failures(model) == {"no charge": 1}


def test_a_car_at_a_broken_fast_charger_drives_to_another():
    tables = with_fast_charger(one_car(soc=0.12, trip_kwh=10.0, power_w=0.0))
    other = tables["stations"].loc[["fast"]].assign(x=2_000.0, y=1_000.0).rename(index={"fast": "other"})
    tables["stations"] = pd.concat([tables["stations"], other])
    model = model_of(tables)

    def broken(time_s):
        works = np.ones(3, bool)
        works[1] = time_s < 8.2 * HOUR_S
        return calm(model.plan, works=works)

    power, _ = run(model, 12, signals=broken)
    assert power[:, 1].max() > 0
    assert power[:, 2].max() > 0
    assert failures(model) == {}
    drives, metres, *_ = model.state.detours
    assert drives == 2
    # From home by both of them to work, less the way straight there.
    assert metres == pytest.approx(1.3 * (1_000 + np.hypot(1e3, 1e3) + np.hypot(1e3, 1e3) - 3_000))
    assert model.residual < 1e-12


def test_no_car_waits_at_a_fast_charger_for_a_cheaper_hour():
    tables = with_fast_charger(one_car(soc=0.12, trip_kwh=10.0, power_w=0.0))
    power = {}
    for name, strategy in {"plain": Plain(), "price": PriceFollowing(np.arange(24.0)[::-1])}.items():
        power[name], _ = run(model_of(tables, strategy), 12)
    assert power["plain"][:, 1].max() == pytest.approx(50_000)
    np.testing.assert_array_equal(power["plain"], power["price"])


def neighbours():
    tables = one_car(trips=(), soc=0.2)
    tables["places"] = pd.DataFrame({"stations": [("point", "next door")]}, index=["home"])
    tables["stations"] = pd.DataFrame({"power_w": [7_400.0, 3_700.0]}, index=["point", "next door"])
    return tables


def test_a_charger_out_of_service_stops_and_the_car_takes_another():
    model = model_of(neighbours())
    power, _ = run(model, 3, signals=lambda t: calm(model.plan, works=np.array([t < HOUR_S, True])))
    assert (power[:60, 0] == 7_400).all()
    assert (power[60:, 0] == 0).all()
    assert power[60, 1] == 0
    assert (power[61:, 1] == 3_700).all()


def test_a_voltage_too_low_stops_a_charger_until_it_has_recovered():
    model = model_of(one_car(trips=(), soc=0.2))
    levels = {0: 0.95, 1: 0.84, 2: 0.86, 3: 0.875}
    power, _ = run(model, 4, signals=lambda t: calm(model.plan, voltage=np.array([levels[int(t // HOUR_S)]])))
    assert power[59, 0] == 7_400
    assert (power[60:180] == 0).all()
    # It is plugged in again at the end of the step in which the station has recovered.
    assert power[180, 0] == 0
    assert power[181, 0] == 7_400


def test_a_stations_cap_is_obeyed_at_once():
    model = model_of(one_car(trips=(), soc=0.2))
    power, _ = run(model, 2, signals=lambda t: calm(model.plan, station_cap_w=np.array([4_200.0 + 1e9 * (t < HOUR_S)])))
    assert power[59, 0] == 7_400
    assert power[60:] == pytest.approx(4_200)


def test_parked_persons_are_counted_where_they_are():
    model = model_of(one_car(soc=0.9, persons=2.0))
    assert model.persons().tolist() == [2, 0]
    assert model.persons(visitors=True).tolist() == [0, 0]
    run(model, 9)
    assert model.persons().tolist() == [0, 2]
    assert model.persons(visitors=True).tolist() == [0, 2]


@pytest.mark.parametrize(
    "strategy",
    [Plain(), ValleyFilling(), GridLimited(V2G(np.repeat([1.0, 3.0], 12), counted_on=0.5))],
    ids=lambda s: type(s).__name__,
)
def test_ledger_of_ten_thousand_vehicles_closes_over_a_day(strategy):
    tables = commuters(10_000, discharge_w=5_000.0)
    plan = FleetPlan.from_tables(**tables)
    model = FleetModel(plan, strategy)
    efficiency, capacity = plan.stations["efficiency"], plan.vehicles["capacity_j"]
    charged = given = 0.0
    before = model.soc * capacity
    for k in range(288):
        signals = calm(plan, price=1.0 if k < 144 else 3.0, limit_w=np.full(100, 3e4))
        model.notice_s = 300.0
        model.advance(k * 300.0, 300.0, signals)
        charged += (np.maximum(model.station_w, 0) * efficiency).sum() * 300
        given += (np.minimum(model.station_w, 0) / efficiency).sum() * 300
    driven = plan.energy_j[model.state.may_depart > 0].sum()
    stored = (model.soc * capacity - before).sum()
    assert failures(model) == {}
    assert charged > 1e3 * J_PER_KWH
    # Ten thousand cars with one point each: no power is shared, so station powers are those of the batteries.
    on_the_road = (model.state.where == Where.DRIVING).sum()
    assert on_the_road == 0
    assert abs(charged + given - driven - stored) <= 1e-9 * (charged - given + driven + abs(stored))
    assert model.residual < 1e-9


def test_a_run_continues_bit_for_bit_from_a_saved_state(tmp_path):
    tables = commuters(300, discharge_w=5_000.0, plug_in_soc=0.8)
    prices = np.random.default_rng(3).random(96)

    def fresh():
        return model_of(tables, GridLimited(PriceFollowing(prices)), notice_s=300.0)

    whole, first, second = fresh(), fresh(), fresh()
    power, _ = run(whole, 30, 300.0)
    run(first, 13, 300.0)
    first.state.save(tmp_path / "fleet.npz")
    second.state.load(tmp_path / "fleet.npz")
    second.strategy.profile.values = first.strategy.profile.values.copy()
    rest, _ = run(second, 17, 300.0, start_s=13 * HOUR_S)
    np.testing.assert_array_equal(rest, power[13 * 12 :])
    np.testing.assert_array_equal(second.state.ledger, whole.state.ledger)


def test_the_state_of_another_fleet_is_refused(tmp_path):
    model_of(commuters(3)).state.save(tmp_path / "fleet.npz")
    with pytest.raises(CosimError, match="state of another fleet"):
        model_of(commuters(4)).state.load(tmp_path / "fleet.npz")


def test_a_step_longer_than_the_notice_is_refused_with_the_remedy():
    with pytest.raises(CosimError, match="pass notice_s=300"):
        run(model_of(one_car()), 1, 300.0)


def test_a_fleet_without_trips_and_stations_is_accepted():
    tables = one_car(trips=())
    tables["stations"] = tables["stations"].iloc[:0]
    tables["places"] = tables["places"].drop(columns="stations")
    power, soc = run(model_of(tables), 1)
    assert power.shape == (60, 0)
    assert soc[-1] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("table", "changes", "words"),
    [
        ("vehicles", {"capacity_j": -1.0}, r"vehicles\['capacity_j'\] of 'car' is -1: it must be finite and from 1"),
        ("vehicles", {"soc": 1.2}, r"vehicles\['soc'\] of 'car' is 1.2"),
        ("vehicles", {"home": "moon"}, r"vehicles\['home'\] of 'car' is 'moon': unknown label"),
        ("vehicles", {"ac_w": "much"}, "has a value that is not a number"),
        ("trips", {"depart_s": np.nan}, r"trips\['depart_s'\] of 'trip 0' is nan \(and 1 more\)"),
        ("trips", {"vehicle": "bike"}, "'bike'"),
        ("trips", {"destination": "mars"}, "'mars'"),
        ("stations", {"efficiency": 0.0}, r"stations\['efficiency'\] of 'point' is 0"),
        ("stations", {"points": 0}, r"stations\['points'\]"),
        ("stations", {"transformer": "t9"}, "'t9'"),
    ],
)
def test_bad_tables_are_refused_by_name(table, changes, words):
    tables = one_car()
    tables[table] = tables[table].assign(**changes)
    with pytest.raises(ScenarioError, match=words):
        FleetPlan.from_tables(**tables)


def test_all_problems_of_a_fleet_are_reported_at_once():
    tables = one_car()
    tables["vehicles"] = tables["vehicles"].drop(columns="capacity_j").assign(soc=-1.0)
    tables["places"]["stations"] = [("nowhere",), ()]
    with pytest.raises(ScenarioError) as raised:
        FleetPlan.from_tables(**tables, transformers={"t": 0.0})
    assert len(raised.value.problems) == 4


def test_a_negative_patience_is_refused():
    with pytest.raises(CosimError, match="patience_s is -1"):
        model_of(one_car(), patience_s=-1.0)


@pytest.mark.parametrize("settings", [{"notice_s": 0.0}, {"margin": 0.5}, {"begin_s": 90_000.0}])
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(CosimError, match="the notice must be positive"):
        model_of(one_car(), **settings)
