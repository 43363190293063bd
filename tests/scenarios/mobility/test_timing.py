"""Departures that move away from prices which change with the time of day."""

import numpy as np
import pytest

from cosim.scenarios.mobility.costs import MONEY_SCALE, TASTES
from cosim.scenarios.mobility.drives import Leg
from cosim.scenarios.mobility.timing import EARLY, LATE, SHIFTS_MIN, departure_shifts, room_s, schedule_min

KM = 4.4
MINUTE = 60.0
SEVEN = 7 * 3600.0


def legs(n, every_s=MINUTE, start=6 * 3600.0):
    return [Leg(f"v{k}", f"c{k}", "visit", start + every_s * k, "a", 0.0, "b", 0.0) for k in range(n)]


def shifts(drives, toll, seed=0):
    return departure_shifts(drives, toll, np.full(len(drives), KM), seed)


def charged(leg, depart_s):
    return 2.0 if SEVEN <= depart_s < 20 * 3600 else 0.0


def test_being_early_and_late_costs_what_was_published():
    assert schedule_min(np.array([-1800.0, 1800.0])).tolist() == pytest.approx([30 * EARLY, 30 * LATE])
    assert (EARLY, LATE) == (0.61, 2.38)


def test_nobody_moves_without_a_price_that_changes_with_time():
    for toll in (lambda leg, t: 0.0, lambda leg, t: 5.0):
        assert shifts(legs(200), toll) == {}
    assert shifts([], charged) == {}


def test_drives_leave_before_a_toll_the_more_the_nearer_its_beginning():
    drives = legs(6000, every_s=1.0, start=SEVEN)
    drives += [Leg(f"end{k}", f"end{k}", "visit", at, "a", 0.0, "b", 0.0) for k, at in enumerate((0.0, 86_000.0))]
    moved = shifts(drives, charged)
    share = [
        np.mean([d.vehicle in moved for d in drives[:6000] if a <= (d.depart_s - SEVEN) / 60 < a + 15])
        for a in range(0, 90, 15)
    ]
    assert share[0] == pytest.approx(0.31, abs=0.03)
    assert share[0] > share[1] > share[2] > share[3] > 0.01
    assert share[4] == 0
    assert all(shift < 0 for shift in moved.values())
    # nobody gains by leaving within the charged hours
    before = {d.vehicle: d.depart_s for d in drives}
    assert all(before[label] + shift < SEVEN for label, shift in moved.items())


def test_share_that_stays_is_that_of_the_logit():
    """Where only the present time becomes dearer, who stays had chosen it, and would again: P'(stay)/P(stay)."""
    moments = {k: SEVEN + 86_400.0 * k for k in range(4000)}  # far apart: no drive may pass the ends
    drives = [Leg(f"v{k}", f"c{k}", "visit", at, "a", 0.0, "b", 0.0) for k, at in moments.items()]
    moved = shifts(drives, lambda leg, t: 2.0 if t == leg.depart_s else 0.0)
    weights = np.exp(TASTES.car * schedule_min(60.0 * np.array(SHIFTS_MIN)))
    stay = weights[SHIFTS_MIN.index(0)]
    dearer = stay * np.exp(2.0 * TASTES.money * MONEY_SCALE)
    expected = dearer / (weights.sum() - stay + dearer) / (stay / weights.sum())
    assert 1 - len(moved) / len(drives) == pytest.approx(expected, abs=0.02)


def test_a_drive_does_not_meet_another_of_its_car_and_the_others_stay_as_they_were():
    out, back = (Leg(name, "car", "home", at, "a", 0.0, "b", 0.0) for name, at in (("o", SEVEN), ("b", SEVEN + 1200)))
    assert room_s([out, back]).tolist() == [600.0, 600.0]
    assert np.isinf(room_s(legs(3))).all()
    many = legs(120)
    assert {"o", "b"}.isdisjoint(shifts([*many, out, back], charged))
    alone, among = (
        shifts(many, charged),
        shifts([*many, *(Leg("x", "x", "visit", SEVEN, "a", 0, "b", 0) for _ in (0,))], charged),
    )
    assert alone
    assert {k: v for k, v in among.items() if k != "x"} == alone
    assert shifts(many, charged, seed=1) != alone
