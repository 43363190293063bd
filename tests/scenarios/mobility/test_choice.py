"""Choice of mode against closed forms of the incremental logit."""

import numpy as np
import pytest

from cosim.core import CosimError
from cosim.scenarios.mobility.choice import CAR, MODES, PUBLIC, STAYS, Frequency, Tastes, pivot, redraw, respond

SHARES = np.array([[0.25, 0.10, 0.35, 0.05, 0.25]])


def _change(mode: int, utility: float) -> np.ndarray:
    change = np.zeros((1, len(MODES)))
    change[0, mode] = utility
    return change


def test_own_and_cross_elasticities_are_those_of_the_logit():
    cost, beta, step = 2.0, -0.2, 1e-6
    after = pivot(SHARES, _change(CAR, beta * cost * step))
    elasticity = (after / SHARES - 1)[0] / step
    assert elasticity[CAR] == pytest.approx(beta * cost * (1 - SHARES[0, CAR]), rel=1e-5)
    assert elasticity[PUBLIC] == pytest.approx(-beta * cost * SHARES[0, CAR], rel=1e-5)


def test_a_charge_changes_the_odds_by_its_utility():
    after = pivot(SHARES, _change(CAR, -0.7))[0]
    odds = (after[CAR] / (1 - after[CAR])) / (0.25 / 0.75)
    assert odds == pytest.approx(np.exp(-0.7), rel=1e-12)
    assert after.sum() == pytest.approx(1.0, abs=1e-15)


def test_without_a_change_shares_stay_bit_by_bit():
    shares = np.random.default_rng(3).dirichlet(np.ones(5), 100)
    zero = np.zeros_like(shares)
    assert (pivot(shares, zero) == shares).all()
    after = respond(shares, zero, Frequency(0.7))
    assert (after[:, :STAYS] == shares).all()
    assert (after[:, STAYS] == 0).all()


def test_a_mode_that_is_no_longer_possible_loses_all_its_trips():
    after = pivot(SHARES, _change(CAR, -np.inf))[0]
    assert after[CAR] == 0.0
    assert after[PUBLIC] == pytest.approx(0.35 / 0.75, rel=1e-12)


def test_trips_given_up_follow_the_logsum_of_the_modes():
    step, firm, scale = -1e-6, 0.6, 0.5
    after = respond(SHARES, _change(CAR, step), Frequency(firm, scale))[0]
    # d ln q / d V_car = θ (1 - q) P_car
    assert after[STAYS] == pytest.approx(-scale * (1 - firm) * 0.25 * step, rel=1e-4)
    assert after.sum() == pytest.approx(1.0, abs=1e-12)
    assert respond(SHARES, _change(CAR, -3.0))[0, STAYS] == 0.0


def test_more_trips_are_made_when_travel_gets_better():
    assert respond(SHARES, _change(PUBLIC, 0.5), Frequency(0.6))[0, STAYS] < 0


def test_only_those_who_lose_move_and_shares_are_met():
    n, draw = 200_000, np.random.default_rng(1)
    before = np.column_stack([np.repeat(SHARES, n, axis=0), np.zeros(n)])
    after = respond(before[:, :STAYS], np.repeat(_change(CAR, -0.8), n, axis=0), Frequency(0.7))
    modes = (draw.random(n)[:, None] >= np.cumsum(before, axis=1)).sum(axis=1)
    new = redraw(modes, before, after, draw.random(n))
    assert (new[modes != CAR] == modes[modes != CAR]).all()
    assert np.bincount(new, minlength=6) / n == pytest.approx(after[0], abs=4e-3)
    assert 0.05 < (new != modes).mean() < 0.25


def test_equal_shares_move_nobody():
    before = np.random.default_rng(2).dirichlet(np.ones(6), 1000)
    modes = np.arange(1000) % 6
    assert (redraw(modes, before, before, np.full(1000, np.nextafter(1, 0))) == modes).all()


def test_money_weighs_less_on_longer_trips():
    tastes = Tastes()
    euro = tastes.of_euro(np.array([0.1, 1.0, 4.4, 44.0]), 1.0)
    assert euro[0] == euro[1]
    assert euro[2] == pytest.approx(-0.310998)
    assert euro[3] == pytest.approx(-0.310998 * 10**-0.257501)
    # value of time in a car at the reference distance, in EUR/h
    assert tastes.car / tastes.money * 60 == pytest.approx(8.19, abs=0.01)


def test_impossible_nests_are_refused():
    with pytest.raises(CosimError, match="firm must be above 0"):
        Frequency(0.0)
    with pytest.raises(CosimError, match="scale is 2"):
        Frequency(0.5, 2)
