"""Does each strategy do what its name says, and keep the promise that the car is charged at departure?"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq

from cosim import CosimError
from cosim.core import _fleet, fleet_reference
from cosim.core.fleet import FleetModel
from cosim.core.fleet_plan import FleetPlan
from cosim.core.fleet_state import FAILURES
from cosim.core.fleet_strategies import (
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
from tests.fleet_tables import HOUR, KWH, calm, commuters, one_car, run

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
    # The filled valley is a plain: what it varies by is far less than the load itself does.
    assert np.ptp((load + valley)[night]) < 0.1 * np.ptp(load)
    assert not model.state.failures.any()
    assert valley.sum() == pytest.approx(plain.sum(), rel=1e-9)


def test_valley_filling_learns_the_load_it_was_not_told():
    valley, _, _ = overnight(ValleyFilling(), days=3)
    load = base(len(valley))
    second_evening = slice(42 * 12, 66 * 12)
    assert (load + valley)[second_evening].max() <= load.max() * 1.02


@pytest.mark.parametrize(("rate_w", "expected_w"), [(8_000.0, 0.0), (2_000.0, 1_000.0), (2_500.0, 250.0)])
def test_valley_filling_knows_that_a_slow_point_needs_more_than_the_valley(rate_w, expected_w):
    # Two hours at 9 kW, three at nothing: 8 kWh fit into the valley at 8 kW, at 2 kW 2 kWh must come before, evenly.
    strategy = ValleyFilling(np.repeat([9e3, 0.0, 9e3], [4, 6, 38]))
    strategy.start(1)
    sessions = Sessions(
        day_s=0.0, step_s=300.0, need_j=np.array([8 * KWH]), left_s=np.array([5 * HOUR]), least_w=np.zeros(1),
        full_w=np.array([rate_w]), rate_w=np.array([rate_w]), efficiency=np.ones(1), station=np.zeros(1, np.int32),
        transformer=np.zeros(1, np.int64), price=0.0, pv_surplus_w=np.zeros(1), base_w=np.zeros(1), spare_w=np.zeros(1),
    )  # fmt: skip
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


def test_a_short_stay_guarantees_what_the_next_trips_need_and_no_more():
    tables = one_car(trips=((2, "home", "work"),), soc=0.3, trip_kwh=10.0, target_after_s=4 * HOUR)
    tables["trips"]["depart_s"] = 2 * HOUR
    model = FleetModel(FleetPlan.from_tables(**tables), Delayed(12, 13))
    _, soc = run(model, 1.99)
    # 1.25 times 10 kWh above a reserve of 2.5 kWh, of 50 kWh.
    assert soc[-1, 0] == pytest.approx(0.3)
    tables["trips"]["depart_s"] = 5 * HOUR
    model = FleetModel(FleetPlan.from_tables(**tables), Delayed(12, 13))
    _, soc = run(model, 4.99)
    assert soc[-1, 0] == pytest.approx(0.3 + 4.99 * 7.4 * 0.9 / 50, abs=0.01)


def test_the_window_is_in_civil_time():
    plan = FleetPlan.from_tables(**one_car(trips=()))
    power, _ = run(FleetModel(plan, Delayed(23, 7), begin_s=22 * HOUR), 2)
    assert (power[:60] == 0).all()
    assert (power[60:] > 0).all()


def test_price_following_takes_the_cheapest_hours_that_suffice():
    prices = np.array([5, 4, 1, 2, 3, 6, 7, 8] + [9] * 16, dtype=float)
    tables = one_car(trips=((8, "home", "work"),), soc=1 - 2 * 7.4 * 0.9 / 50)  # lacks two hours of charging
    model = FleetModel(FleetPlan.from_tables(**tables), PriceFollowing(prices))
    power, soc = run(model, 9, signals=lambda t: calm(model.plan, price=prices[int(t // HOUR)]))
    hours = power[:, 0].reshape(9, 60).mean(axis=1)
    assert hours == pytest.approx([0, 0, 7_400, 7_400, 0, 0, 0, 0, 0], abs=1)
    assert soc[7 * 60, 0] == pytest.approx(1.0)


def test_price_following_does_not_wait_for_a_price_after_departure():
    prices = np.array([2] * 8 + [1] * 16, dtype=float)
    model = FleetModel(FleetPlan.from_tables(**one_car(trips=((8, "home", "work"),))), PriceFollowing(prices))
    _, soc = run(model, 8, signals=lambda t: calm(model.plan, price=prices[int(t // HOUR)]))
    assert soc[-2, 0] == pytest.approx(1.0)


def test_pv_following_takes_the_surplus_and_no_more():
    plan = FleetPlan.from_tables(**one_car(trips=(), soc=0.2))
    surplus = 1e3 * np.array([0.0, 2.0, 5.0, 9.0])
    model = FleetModel(plan, PvFollowing())
    power, _ = run(model, 4, signals=lambda t: calm(plan, pv_surplus_w=surplus[[int(t // HOUR)]]))
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
    # What a vehicle leaves with is what it has when the step ends in which its trip is allowed.
    return soc[step - 1, np.arange(plan.n_vehicles)]


PRICES = np.repeat([4.0, 1.0, 3.0, 1.5, 5.0, 2.0], 4)


@pytest.mark.parametrize("counted_on", [1.0, 0.5, 0.0])
def test_v2g_gives_back_and_never_breaks_a_departure_guarantee(counted_on):
    tables = commuters(500, discharge_w=7_400.0, target_soc=0.8)
    plan = FleetPlan.from_tables(**tables)
    plain, v2g = (FleetModel(plan, s, notice_s=300.0) for s in (Plain(), V2G(PRICES, counted_on=counted_on)))
    _, fullest = run(plain, 24, 300.0)
    power, soc = run(v2g, 24, 300.0, lambda t: calm(plan, price=PRICES[int(t // HOUR)]))
    assert power.min() < -7_000
    promised = np.minimum(departures(plain, fullest), 0.8)
    assert (departures(v2g, soc) >= promised - 1e-9).all()
    assert not v2g.state.failures.any()


@settings(max_examples=40, deadline=None)
@given(
    soc=st.floats(0.05, 1.0), target=st.floats(0.1, 1.0), depart_h=st.floats(0.6, 10.0), seed=st.integers(0, 10**6)
)
def test_v2g_keeps_its_guarantee_at_any_charge_target_time_and_prices(soc, target, depart_h, seed):
    prices = np.random.default_rng(seed).random(96) * 5
    tables = one_car(
        trips=((depart_h, "home", "work"),), trip_kwh=0.5, soc=soc, target_soc=target, discharge_w=7_400.0
    )
    plan = FleetPlan.from_tables(**tables)
    left = []
    for strategy in (Plain(), V2G(prices)):
        model = FleetModel(plan, strategy)
        run(model, np.ceil(depart_h * 60 - 1) / 60, signals=lambda t: calm(plan, price=prices[int(t // 900)]))
        left.append(model.soc[0])
    assert left[1] >= min(target, left[0]) - 1e-9


def test_v2g_that_counts_on_nothing_holds_through_an_outage():
    tables = one_car(trips=((8, "home", "work"),), soc=0.9, target_soc=0.7, discharge_w=7_400.0)
    model = FleetModel(FleetPlan.from_tables(**tables), V2G([3.0] * 12 + [1.0] * 12, counted_on=0.0))
    prices = [3.0] * 12
    _, soc = run(
        model, 8, signals=lambda t: calm(model.plan, price=prices[int(t // HOUR)], works=np.array([t < 4 * HOUR]))
    )
    assert soc.min() == pytest.approx(0.7)


def test_v2g_under_a_limit_never_goes_below_its_target():
    tables = one_car(trips=((8, "home", "work"),), soc=0.9, target_soc=0.7, discharge_w=7_400.0)
    model = FleetModel(FleetPlan.from_tables(**tables), GridLimited(V2G([3.0, 1.0] * 12)))
    prices = [3.0, 1.0] * 12
    power, soc = run(
        model, 7, signals=lambda t: calm(model.plan, price=prices[int(t // HOUR)], limit_w=np.zeros(1))
    )
    assert power.max() == 0
    assert power.min() < 0
    assert soc.min() == pytest.approx(0.7)


def test_nothing_is_given_back_below_the_reserve():
    tables = one_car(trips=(), soc=0.3, target_soc=0.0, reserve_soc=0.2, discharge_w=7_400.0)
    model = FleetModel(FleetPlan.from_tables(**tables), V2G([3.0] * 12 + [1.0] * 12))
    _, soc = run(model, 3, signals=lambda t: calm(model.plan, price=3.0))
    assert soc.min() == pytest.approx(0.2)


def test_the_fleet_reports_who_leaves_uncharged_under_a_limit():
    tables = one_car(soc=0.1, trip_kwh=15.0)
    model = FleetModel(FleetPlan.from_tables(**tables), GridLimited())
    run(model, 9, signals=calm(model.plan, limit_w=np.zeros(1)))
    assert dict(zip(FAILURES, model.state.failures))["no charge"] == 1


def test_a_level_fills_valleys_to_the_energy_that_is_due():
    rng = np.random.default_rng(5)
    load = rng.normal(size=(20, 30)) * 100
    due = np.zeros_like(load)
    due[:, -1] = rng.random(20) * 3e3
    level = np.empty(20)
    _fleet.fill_valleys(load, due, level)

    def missing(x, k):
        return np.maximum(x - load[k], 0).sum() - due[k, -1]

    expected = [brentq(missing, -1e3, 1e4, args=(k,)) for k in range(20)]
    np.testing.assert_allclose(level, np.maximum(expected, load[:, 0]), rtol=1e-9, atol=1e-7)


def test_an_early_deadline_raises_the_level():
    level = np.empty(1)
    _fleet.fill_valleys(np.array([[1.0, 1.0, 0.0, 0.0]]), np.array([[0.0, 4.0, 0.0, 2.0]]), level)
    assert level[0] == 3.0  # 4 in the first two slots, though 6 in all four would only reach 2


def test_the_compiled_level_equals_the_plain_reference():
    rng = np.random.default_rng(6)
    load, due = rng.normal(size=(50, 48)), rng.random((50, 48)) * (rng.random((50, 48)) < 0.3)
    levels = np.empty((2, 50))
    _fleet.fill_valleys(load, due, levels[0])
    fleet_reference.fill_valleys(load, due, levels[1])
    np.testing.assert_allclose(levels[0], levels[1], rtol=1e-13)


def test_shares_stay_below_their_most_and_add_up():
    group = np.array([0, 0, 0, 1, 1])
    got = share_out(
        np.array([10.0, 100.0]), np.array([1.0, 1.0, 2.0, 1.0, 1.0]), np.array([1.0, 9.0, 9.0, 5.0, 6.0]), group
    )
    assert got[:3].sum() == pytest.approx(10.0)
    assert got[0] == 1.0
    assert got[3:].tolist() == [5.0, 6.0]


def test_what_others_give_back_makes_room_below_a_cap():
    power = within(np.array([8.0, -3.0]), np.array([2.0, 0.0]), np.array([0, 0]), np.array([4.0]))
    assert power.tolist() == [7.0, -3.0]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Delayed(7, 7), "give two hours from 0 to 24"),
        (lambda: Delayed(-1, 7), "give two hours from 0 to 24"),
        (lambda: V2G(low=0.8, high=0.2), "low below high"),
        (lambda: PriceFollowing([np.nan]), "must be finite"),
        (lambda: DayProfile(3, np.zeros((2, 24))), "one for each of 3"),
    ],
)
def test_strategies_out_of_range_are_refused(make, words):
    with pytest.raises(CosimError, match=words):
        make()


def test_a_strategy_serves_many_thousand_joules_exactly():
    # What a session asks for is what it gets, to the joule, whatever the strategy's way there.
    for strategy in (Plain(), Delayed(1, 6), ValleyFilling(EVENING), PriceFollowing(PRICES)):
        plan = FleetPlan.from_tables(**one_car(trips=((8, "home", "work"),), soc=0.6))
        power, soc = run(FleetModel(plan, strategy), 479 / 60)
        assert soc[-1, 0] == pytest.approx(1.0, abs=1e-9)
        assert power.sum() * 60 * 0.9 == pytest.approx(20 * KWH, rel=1e-9)
