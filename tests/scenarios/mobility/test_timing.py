"""Departures that move away from prices which change with the time of day."""

import numpy as np
import pandas as pd
import pytest

from cosim.scenarios.mobility.costs import MONEY_SCALE, TASTES
from cosim.scenarios.mobility.drives import drives_table
from cosim.scenarios.mobility.timing import EARLY, LATE, SHIFTS_MIN, departure_shifts, room_s, schedule_min

KM = 4.4
MINUTE = 60.0
SEVEN = 7 * 3600.0


def drives_at(moments, cars=None, name="v"):
    labels = [f"{name}{k}" for k in range(len(moments))]
    start, end = ((np.full(len(moments), edge), 0.0) for edge in "ab")
    return drives_table(labels, cars or labels, "visit", moments, start, end)


def every(n, step_s=MINUTE, start=6 * 3600.0):
    return drives_at([start + step_s * k for k in range(n)])


def shifts(drives, toll, seed=0):
    return departure_shifts(drives, toll, np.full(len(drives), KM), seed)


def charged(label, depart_s):
    return 2.0 if SEVEN <= depart_s < 20 * 3600 else 0.0


def test_being_early_and_late_costs_what_was_published():
    assert schedule_min(np.array([-1800.0, 1800.0])).tolist() == pytest.approx([30 * EARLY, 30 * LATE])
    assert (EARLY, LATE) == (0.61, 2.38)


def test_nobody_moves_without_a_price_that_changes_with_time():
    for toll in (lambda label, t: 0.0, lambda label, t: 5.0):
        assert shifts(every(200), toll) == {}
    assert shifts(every(0), charged) == {}


def test_drives_leave_before_a_toll_the_more_the_nearer_its_beginning():
    near = every(6000, step_s=1.0, start=SEVEN)
    drives = pd.concat([near, drives_at([0.0, 86_000.0], name="end")])
    moved = shifts(drives, charged)
    quarter = (near["depart_s"] - SEVEN) // (15 * MINUTE)
    share = [near.index[quarter == k].isin(moved).mean() for k in range(6)]
    assert share[0] == pytest.approx(0.31, abs=0.03)
    assert share[0] > share[1] > share[2] > share[3] > 0.01
    assert share[4] == 0
    assert all(shift < 0 for shift in moved.values())
    # nobody gains by leaving within the charged hours
    before = drives["depart_s"]
    assert all(before[label] + shift < SEVEN for label, shift in moved.items())


def test_share_that_stays_is_that_of_the_logit():
    """Where only the present time becomes dearer, who stays had chosen it, and would again: P'(stay)/P(stay)."""
    drives = every(4000, step_s=86_400.0, start=SEVEN)  # far apart: no drive may pass the ends
    moved = shifts(drives, lambda label, t: 2.0 if t == drives["depart_s"][label] else 0.0)
    weights = np.exp(TASTES.car * schedule_min(60.0 * np.array(SHIFTS_MIN)))
    stay = weights[SHIFTS_MIN.index(0)]
    dearer = stay * np.exp(2.0 * TASTES.money * MONEY_SCALE)
    expected = dearer / (weights.sum() - stay + dearer) / (stay / weights.sum())
    assert 1 - len(moved) / len(drives) == pytest.approx(expected, abs=0.02)


def test_a_drive_does_not_meet_another_of_its_car_and_the_others_stay_as_they_were():
    pair = drives_at([SEVEN, SEVEN + 1200], cars=["car", "car"], name="pair")
    assert room_s(pair).tolist() == room_s(pair[::-1]).tolist() == [600.0, 600.0]
    assert np.isinf(room_s(every(3))).all()
    many = every(120)
    assert set(pair.index).isdisjoint(shifts(pd.concat([many, pair]), charged))
    alone = shifts(many, charged)
    among = shifts(pd.concat([many, drives_at([SEVEN], name="x")]), charged)
    assert alone
    assert {k: v for k, v in among.items() if k != "x0"} == alone
    assert shifts(many, charged, seed=1) != alone
