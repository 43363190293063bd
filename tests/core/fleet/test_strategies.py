"""Charging strategies and the guarantee that cars are charged at departure."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq, minimize

from cosim import CosimError
from cosim.core.fleet import _fleet
from cosim.core.fleet import reference as fleet_reference
from cosim.core.fleet.model import FleetModel
from cosim.core.fleet.plan import FleetPlan
from cosim.core.fleet.state import FAILURES
from cosim.core.fleet.strategies import (
    V2G,
    DayProfile,
    Delayed,
    GridLimited,
    Plain,
    PriceFollowing,
    PvFollowing,
    Sessions,
    ValleyFilling,
    share_out,
    within,
)
from cosim.core.quantities import HOUR_S, J_PER_KWH
from tests.support.fleet_tables import calm, commuters, one_car, run

EVENING = 200e3 * (0.5 + np.exp(-(((np.arange(48) / 2 - 20) / 2.5) ** 2)))
"""A load of a district by half-hours: 100 kW, and a peak of 300 kW at eight in the evening. [W]"""


def overnight(strategy, n=200, days=2, **cars):
    """Run commuters whose transformers carry the evening's load; return the fleet's power on each and the model."""
    plan = FleetPlan.from_tables(**commuters(n, per_transformer=n, **cars))
    model = FleetModel(plan, strategy, notice_s=300.0)

    def signals(time_s):
        return calm(plan, base_w=EVENING[[int(time_s % 86_400 // 1800)]])

    power, soc = run(model, 24 * days, 300.0, signals)
    return power.sum(axis=1), soc, model


def base(n_steps):
    return EVENING[(np.arange(n_steps) * 300 % 86_400 // 1800).astype(int)]


def test_valley_filling_flattens_the_transformers_peak_and_serves_the_same_energy():
    plain, _, _ = overnight(Plain())
    valley, _, model = overnight(ValleyFilling(EVENING))
    evening = slice(18 * 12, 42 * 12)  # from six in the evening to six in the evening
    load = base(len(plain))
    assert (load + plain)[evening].max() > load.max() * 1.15
    assert (load + valley)[evening].max() <= load.max() * 1.005
    night = slice(24 * 12, 28 * 12)
    # The filled valley is flat: it varies far less than the load itself.
    assert np.ptp((load + valley)[night]) < 0.1 * np.ptp(load)
    assert not model.state.failures.any()
    assert valley.sum() == pytest.approx(plain.sum(), rel=1e-9)


def test_valley_filling_learns_a_load_that_was_not_given():
    valley, _, _ = overnight(ValleyFilling(), days=3)
    load = base(len(valley))
    second_evening = slice(42 * 12, 66 * 12)
    assert (load + valley)[second_evening].max() <= load.max() * 1.02


@pytest.mark.parametrize(("rate_w", "expected_w"), [(8_000.0, 0.0), (2_000.0, 1_000.0), (2_500.0, 250.0)])
def test_valley_filling_charges_outside_the_valley_at_a_slow_point(rate_w, expected_w):
    # Two hours at 9 kW, three at zero: 8 kWh fit into the valley at 8 kW; at 2 kW 2 kWh must come before, evenly.
    strategy = ValleyFilling(np.repeat([9e3, 0.0, 9e3], [4, 6, 38]))
    strategy.start(1)
    sessions = Sessions(
        day_s=0.0,
        step_s=300.0,
        need_j=np.array([8 * J_PER_KWH]),
        left_s=np.array([5 * HOUR_S]),
        least_w=np.zeros(1),
        full_w=np.array([rate_w]),
        rate_w=np.array([rate_w]),
        efficiency=np.ones(1),
        station=np.zeros(1, np.int32),
        transformer=np.zeros(1, np.int64),
        price=0.0,
        pv_surplus_w=np.zeros(1),
        base_w=np.zeros(1),
        spare_w=np.zeros(1),
    )
    assert strategy.power(sessions) == pytest.approx([expected_w])


def test_delayed_charging_waits_for_its_window():
    power, _ = run(FleetModel(FleetPlan.from_tables(**one_car(soc=0.5)), Delayed(2, 5)), 7)
    charging = np.flatnonzero(power[:, 0])
    assert (charging.min(), charging.max()) == (120, 299)


def test_delayed_charging_begins_before_its_window_where_it_would_be_late():
    model = FleetModel(FleetPlan.from_tables(**one_car(trips=((8, "home", "work"),), soc=0.1)), Delayed(4, 6))
    _, soc = run(model, 8)
    # 45 kWh at 6.66 kW take 6.76 hours.
    assert soc[-2, 0] == pytest.approx(1.0, abs=1e-9)


def test_a_short_stay_guarantees_only_the_need_of_the_next_trips():
    tables = one_car(trips=((2, "home", "work"),), soc=0.3, trip_kwh=10.0, target_after_s=4 * HOUR_S)
    tables["trips"]["depart_s"] = 2 * HOUR_S
    model = FleetModel(FleetPlan.from_tables(**tables), Delayed(12, 13))
    _, soc = run(model, 1.99)
    # 1.25 times 10 kWh above a reserve of 2.5 kWh, of 50 kWh.
    assert soc[-1, 0] == pytest.approx(0.3)
    tables["trips"]["depart_s"] = 5 * HOUR_S
    model = FleetModel(FleetPlan.from_tables(**tables), Delayed(12, 13))
    _, soc = run(model, 4.99)
    assert soc[-1, 0] == pytest.approx(0.3 + 4.99 * 7.4 * 0.9 / 50, abs=0.01)


def test_the_window_is_in_civil_time():
    plan = FleetPlan.from_tables(**one_car(trips=()))
    power, _ = run(FleetModel(plan, Delayed(23, 7), begin_s=22 * HOUR_S), 2)
    assert (power[:60] == 0).all()
    assert (power[60:] > 0).all()


def test_price_following_takes_the_cheapest_hours_that_suffice():
    prices = np.array([5, 4, 1, 2, 3, 6, 7, 8] + [9] * 16, dtype=float)
    tables = one_car(trips=((8, "home", "work"),), soc=1 - 2 * 7.4 * 0.9 / 50)  # lacks two hours of charging
    model = FleetModel(FleetPlan.from_tables(**tables), PriceFollowing(prices))
    power, soc = run(model, 9, signals=lambda t: calm(model.plan, price=prices[int(t // HOUR_S)]))
    hours = power[:, 0].reshape(9, 60).mean(axis=1)
    assert hours == pytest.approx([0, 0, 7_400, 7_400, 0, 0, 0, 0, 0], abs=1)
    assert soc[7 * 60, 0] == pytest.approx(1.0)


def test_price_following_does_not_wait_for_a_price_after_departure():
    prices = np.array([2] * 8 + [1] * 16, dtype=float)
    model = FleetModel(FleetPlan.from_tables(**one_car(trips=((8, "home", "work"),))), PriceFollowing(prices))
    _, soc = run(model, 8, signals=lambda t: calm(model.plan, price=prices[int(t // HOUR_S)]))
    assert soc[-2, 0] == pytest.approx(1.0)


def test_pv_following_takes_the_surplus_and_no_more():
    plan = FleetPlan.from_tables(**one_car(trips=(), soc=0.2))
    surplus = 1e3 * np.array([0.0, 2.0, 5.0, 9.0])
    model = FleetModel(plan, PvFollowing())
    power, _ = run(model, 4, signals=lambda t: calm(plan, pv_surplus_w=surplus[[int(t // HOUR_S)]]))
    assert power[:, 0].reshape(4, 60).mean(axis=1) == pytest.approx([0, 2_000, 5_000, 7_400])


def test_pv_following_charges_from_the_grid_when_it_must():
    plan = FleetPlan.from_tables(**one_car(trips=((8, "home", "work"),), soc=0.6))
    power, soc = run(FleetModel(plan, PvFollowing()), 8)
    assert (power[:60] == 0).all()
    assert soc[-2, 0] == pytest.approx(1.0)


def test_grid_limited_fleet_stays_within_the_limit_and_serves_departures_first():
    tables = commuters(300, per_transformer=100)
    plan = FleetPlan.from_tables(**tables)
    model = FleetModel(plan, GridLimited(), notice_s=300.0)
    limits = np.array([30e3, 60e3, 0.0])
    power, _ = run(model, 24, 300.0, calm(plan, limit_w=limits))
    groups = np.stack([power[:, plan.transformer == k].sum(axis=1) for k in range(3)], axis=1)
    assert (groups <= limits * (1 + 1e-12)).all()
    assert groups.max(axis=0) == pytest.approx(limits)


def test_unmanaged_cars_charge_plainly_and_the_others_share_what_they_leave():
    plan = FleetPlan.from_tables(**commuters(100, managed=np.arange(100) < 50, soc=0.3))
    model = FleetModel(plan, GridLimited(), notice_s=300.0)
    power, _ = run(model, 1, 300.0, calm(plan, limit_w=np.array([4e5])))
    assert power[0, 50:] == pytest.approx(7_400)
    assert power[0].sum() == pytest.approx(4e5)


def departures(model, soc):
    """Return the states of charge at which vehicles set off on their first trips of the day, at 5-minute steps."""
    plan = model.plan
    first = plan.first_trip[:-1]
    step = np.ceil((plan.depart_s[first] - model.notice_s) / 300).astype(int)
    # The charge at departure is that at the end of the step in which the trip is allowed.
    return soc[step - 1, np.arange(plan.n_vehicles)]


PRICES = np.repeat([4.0, 1.0, 3.0, 1.5, 5.0, 2.0], 4)


@pytest.mark.parametrize("counted_on", [1.0, 0.5, 0.0])
def test_v2g_feeds_back_and_never_breaks_a_departure_guarantee(counted_on):
    tables = commuters(500, discharge_w=7_400.0, target_soc=0.8)
    plan = FleetPlan.from_tables(**tables)
    plain, v2g = (FleetModel(plan, s, notice_s=300.0) for s in (Plain(), V2G(PRICES, counted_on=counted_on)))
    _, fullest = run(plain, 24, 300.0)
    power, soc = run(v2g, 24, 300.0, lambda t: calm(plan, price=PRICES[int(t // HOUR_S)]))
    assert power.min() < -7_000
    promised = np.minimum(departures(plain, fullest), 0.8)
    assert (departures(v2g, soc) >= promised - 1e-9).all()
    assert not v2g.state.failures.any()


@settings(max_examples=40, deadline=None)
@given(soc=st.floats(0.05, 1.0), target=st.floats(0.1, 1.0), depart_h=st.floats(0.6, 10.0), seed=st.integers(0, 10**6))
def test_v2g_keeps_its_guarantee_at_any_charge_target_time_and_prices(soc, target, depart_h, seed):
    prices = np.random.default_rng(seed).random(96) * 5
    tables = one_car(trips=((depart_h, "home", "work"),), trip_kwh=0.5, soc=soc, target_soc=target, discharge_w=7_400.0)
    plan = FleetPlan.from_tables(**tables)
    left = []
    for strategy in (Plain(), V2G(prices)):
        model = FleetModel(plan, strategy)
        run(model, np.ceil(depart_h * 60 - 1) / 60, signals=lambda t: calm(plan, price=prices[int(t // 900)]))
        left.append(model.soc[0])
    assert left[1] >= min(target, left[0]) - 1e-9


def test_v2g_that_relies_on_no_later_power_keeps_its_guarantee_through_an_outage():
    tables = one_car(trips=((8, "home", "work"),), soc=0.9, target_soc=0.7, discharge_w=7_400.0)
    model = FleetModel(FleetPlan.from_tables(**tables), V2G([3.0] * 12 + [1.0] * 12, counted_on=0.0))
    prices = [3.0] * 12
    _, soc = run(
        model, 8, signals=lambda t: calm(model.plan, price=prices[int(t // HOUR_S)], works=np.array([t < 4 * HOUR_S]))
    )
    assert soc.min() == pytest.approx(0.7)


def test_v2g_under_a_limit_never_goes_below_its_target():
    tables = one_car(trips=((8, "home", "work"),), soc=0.9, target_soc=0.7, discharge_w=7_400.0)
    model = FleetModel(FleetPlan.from_tables(**tables), GridLimited(V2G([3.0, 1.0] * 12)))
    prices = [3.0, 1.0] * 12
    power, soc = run(model, 7, signals=lambda t: calm(model.plan, price=prices[int(t // HOUR_S)], limit_w=np.zeros(1)))
    assert power.max() == 0
    assert power.min() < 0
    assert soc.min() == pytest.approx(0.7)


def test_no_energy_is_fed_back_below_the_reserve():
    tables = one_car(trips=(), soc=0.3, target_soc=0.0, reserve_soc=0.2, discharge_w=7_400.0)
    model = FleetModel(FleetPlan.from_tables(**tables), V2G([3.0] * 12 + [1.0] * 12))
    _, soc = run(model, 3, signals=lambda t: calm(model.plan, price=3.0))
    assert soc.min() == pytest.approx(0.2)


def test_the_fleet_reports_vehicles_that_depart_below_target_under_a_limit():
    tables = one_car(soc=0.1, trip_kwh=15.0)
    model = FleetModel(FleetPlan.from_tables(**tables), GridLimited())
    run(model, 9, signals=calm(model.plan, limit_w=np.zeros(1)))
    assert dict(zip(FAILURES, model.state.failures))["no charge"] == 1


def plan_of(fill, load, energy, left, rate, row=None, rounds=50):
    power = np.empty(len(energy))
    row = np.zeros(len(energy), np.int32) if row is None else row
    fill(load, np.full(load.shape[1], 1.0), row, energy, left, rate, rounds, 0.0, power)
    return power


def test_one_session_fills_its_valley_to_the_level_that_holds_its_energy():
    rng = np.random.default_rng(5)
    for _ in range(20):
        load, energy, rate = rng.normal(size=(1, 30)) * 100, rng.random(1) * 1e3, np.array([150.0])

        def missing(x, load=load, energy=energy):
            return np.clip(x - load, 0, 150.0).sum() - energy[0]

        level = brentq(missing, -1e3, 1e4)
        got = plan_of(_fleet.fill_valleys, load, energy, np.array([30.0]), rate)
        assert got == pytest.approx(np.clip(level - load[0, :1], 0, 150.0), abs=1e-6)


def test_sessions_together_reach_the_least_sum_of_squared_loads():
    # Each slot's first power is the plan's: replanning slot by slot yields the whole plan.
    rng = np.random.default_rng(7)
    load, energy, rate = rng.random((1, 8)) * 10, rng.random(4) * 8 + 2, rng.random(4) * 3 + 2
    left = np.array([3.0, 5.0, 8.0, 8.0])
    energy = np.minimum(energy, rate * left * 0.9)
    total, rest = [], energy.copy()
    for k in range(8):
        power = plan_of(_fleet.fill_valleys, load[:, k:].copy(), rest, np.maximum(left - k, 0.0), rate)
        total.append(load[0, k] + power.sum())
        rest = rest - power
    assert rest == pytest.approx(0, abs=1e-6)
    here = np.arange(8) < left[:, None]
    found: Any = minimize(  # type: ignore[call-overload]
        lambda x: ((load[0] + x.reshape(4, 8).sum(axis=0)) ** 2).sum(),
        (here * (energy / left)[:, None]).ravel(),
        bounds=[(0, r) if h else (0, 0) for r, row in zip(rate, here) for h in row],
        constraints={"type": "eq", "fun": lambda x: x.reshape(4, 8).sum(axis=1) - energy},
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 500},
    )
    np.testing.assert_allclose(total, load[0] + found.x.reshape(4, 8).sum(axis=0), atol=2e-3)


def test_a_slow_point_charges_all_night_so_that_nothing_is_left_for_the_morning_peak():
    # The valley is deep for two hours only; at 7 kW the car needs six of the eight before the peak.
    strategy = ValleyFilling(np.repeat([50e3, 10e3, 50e3, 200e3, 50e3], [4, 4, 8, 4, 28]))
    model = FleetModel(
        FleetPlan.from_tables(**one_car(trips=((10, "home", "work"),), soc=0.2, ac_w=7000.0)), strategy, notice_s=300.0
    )
    power, soc = run(model, 10, 300.0, lambda time_s: calm(model.plan, base_w=np.array([50e3])))
    assert power[96:, 0].max() == 0
    assert soc[-1, 0] == pytest.approx(1.0, abs=1e-6)


def test_valley_filling_leaves_no_car_emptier_than_plain_charging_after_a_short_stay():
    soc = {}
    for strategy in (Plain(), ValleyFilling(np.repeat([1e5, 0.0], [6, 42]))):
        tables = one_car(trips=((2, "home", "work"),), soc=0.6, trip_kwh=5.0, target_after_s=4 * HOUR_S)
        _, found = run(FleetModel(FleetPlan.from_tables(**tables), strategy), 2)
        soc[type(strategy)] = found[-2, 0]
    assert soc[ValleyFilling] == pytest.approx(soc[Plain], abs=1e-6)


def test_the_compiled_plan_equals_the_plain_reference():
    rng = np.random.default_rng(6)
    load, n = rng.random((5, 48)) * 1e5, 40
    energy, left, rate = rng.random(n) * 3e4, rng.random(n) * 48, rng.random(n) * 1e4
    row = rng.integers(0, 5, n).astype(np.int32)
    compiled = plan_of(_fleet.fill_valleys, load, energy, left, rate, row, rounds=6)
    plain = plan_of(fleet_reference.fill_valleys, load, energy, left, rate, row, rounds=6)
    np.testing.assert_allclose(compiled, plain, atol=1e-4)


def test_shares_stay_below_their_maximum_and_add_up():
    group = np.array([0, 0, 0, 1, 1])
    got = share_out(
        np.array([10.0, 100.0]), np.array([1.0, 1.0, 2.0, 1.0, 1.0]), np.array([1.0, 9.0, 9.0, 5.0, 6.0]), group
    )
    assert got[:3].sum() == pytest.approx(10.0)
    assert got[0] == 1.0
    assert got[3:].tolist() == [5.0, 6.0]


def test_power_fed_back_by_others_makes_room_below_a_cap():
    power = within(np.array([8.0, -3.0]), np.array([2.0, 0.0]), np.array([0, 0]), np.array([4.0]))
    assert power.tolist() == [7.0, -3.0]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Delayed(7, 7), "give two hours from 0 to 24"),
        (lambda: Delayed(-1, 7), "give two hours from 0 to 24"),
        (lambda: V2G(low=0.8, high=0.2), "low below high"),
        (lambda: PriceFollowing([np.nan]), "must be finite"),
        (lambda: DayProfile(3, np.zeros((2, 24))), "with one row or 3 rows"),
    ],
)
def test_strategies_out_of_range_are_refused(make, words):
    with pytest.raises(CosimError, match=words):
        make()


def test_a_strategy_serves_many_thousand_joules_exactly():
    # A session receives exactly the energy it needs, to the joule, under every strategy.
    for strategy in (Plain(), Delayed(1, 6), ValleyFilling(EVENING), PriceFollowing(PRICES)):
        plan = FleetPlan.from_tables(**one_car(trips=((8, "home", "work"),), soc=0.6))
        power, soc = run(FleetModel(plan, strategy), 479 / 60)
        assert soc[-1, 0] == pytest.approx(1.0, abs=1e-9)
        assert power.sum() * 60 * 0.9 == pytest.approx(20 * J_PER_KWH, rel=1e-9)
