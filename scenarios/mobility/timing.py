"""When drivers leave: departures move away from prices that change with the time of day.

A drive may begin up to an hour earlier or later. Being early or late costs a part of what travel time costs [1]_; the
choice is a logit over the quarters of an hour. What a driver values beside that is drawn by key, such that the time of
the base case is the best one without a price: who meets no price that changes with time leaves as before.

.. [1] K. A. Small: The scheduling of consumer activities: work trips. American Economic Review 72(3) (1982) 467–479.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from cosim.core.quantities import Array, Vector
from cosim.core.random import uniform
from cosim.scenarios.mobility.costs import MONEY_SCALE, TASTES

EARLY, LATE = 0.61, 2.38
"""Cost of a minute of being early and late over that of a minute's drive [1]_. They were estimated for ways to work;
that other drives have them too, and that the choice of the time is as sensitive as that of the mode, are
assumptions."""

SHIFTS_MIN = (-60, -45, -30, -15, 0, 15, 30, 45, 60)
"""Changes of the departure among which drivers choose. [min] Assumption."""

_STAYS = SHIFTS_MIN.index(0)


def schedule_min(shift_s: Vector | float) -> Vector:
    """Return the minutes in the car that cost as much as leaving earlier or later by a shift [s].

    Examples
    --------
    >>> schedule_min(np.array([-600.0, 0.0, 600.0])).tolist()
    [6.1, 0.0, 23.799999999999997]
    """
    minutes = np.asarray(shift_s, float) / 60
    found: Vector = np.where(minutes < 0, -EARLY * minutes, LATE * minutes)
    return found


def room_s(drives: pd.DataFrame) -> Vector:
    """Return by how much each drive may move without meeting another of its car, shape (n_drives,). [s]"""
    car, depart_s = pd.factorize(drives["car"])[0], drives["depart_s"].to_numpy(float)
    order = np.lexsort([depart_s, car])
    between = np.where(np.diff(car[order]) == 0, np.diff(depart_s[order]) / 2, np.inf)
    found = np.empty(len(drives))
    found[order] = np.minimum(np.append(np.inf, between), np.append(between, np.inf))[: len(drives)]
    return found


def departure_shifts(
    drives: pd.DataFrame, toll_eur: Callable[[str, float], float], distance_km: Vector, seed: int
) -> dict[str, float]:
    """Return the drives that leave at another time, with the change of their departure. [s]

    None leaves before the first or after the last of them, or meets another drive of its car.

    Parameters
    ----------
    drives
        Those of the base case, see `drives.DRIVE_COLUMNS`.
    toll_eur
        What a drive pays if it departs at a time [s]. [EUR]
    distance_km : shape (n_drives,)
        Length of the trips, by which a euro weighs.
    seed
        Seed of the draws.
    """
    if drives.empty:
        return {}
    options = 60.0 * np.array(SHIFTS_MIN)
    departs = drives["depart_s"].to_numpy(float)
    each = zip(drives.index, departs.tolist(), strict=True)
    paid = np.array([[toll_eur(label, depart_s + s) for s in options] for label, depart_s in each])
    there = departs[:, None] + options
    within = (there >= departs.min()) & (there <= departs.max())
    possible = (np.abs(options) <= room_s(drives)[:, None]) & within
    changing = (np.where(possible, paid, paid[:, [_STAYS]]) != paid[:, [_STAYS]]).any(axis=1)
    if not changing.any():
        return {}
    labels = drives.index[changing].tolist()
    base = np.where(possible[changing], TASTES.car * schedule_min(options), -np.inf)
    draws = np.column_stack([uniform(seed, f"departure {shift}", labels) for shift in SHIFTS_MIN])
    utility = _with_best(base, draws)
    euro = TASTES.of_euro(distance_km[changing], MONEY_SCALE)
    best = np.argmax(utility + euro[:, None] * paid[changing], axis=1)
    return {label: float(options[k]) for label, k in zip(labels, best, strict=True) if k != _STAYS}


def _with_best(base: Array, draws: Array) -> Array:
    """Return utilities with Gumbel-distributed errors, drawn such that staying is the best alternative.

    The best utility is Gumbel-distributed around the logsum, whichever alternative has it; all others are distributed
    as without it, cut off there.

    Parameters
    ----------
    base : shape (n_drives, n_shifts)
        Utilities without errors; minus infinity where a shift is impossible.
    draws : shape (n_drives, n_shifts)
        Uniform numbers in [0, 1).
    """
    uniforms = np.clip(draws, 1e-12, 1 - 1e-12)
    best = np.log(np.exp(base).sum(axis=1)) - np.log(-np.log(uniforms[:, _STAYS]))
    with np.errstate(over="ignore"):
        found: Array = -np.log(np.exp(-best)[:, None] - np.exp(-base) * np.log(uniforms))
    found[:, _STAYS] = best
    return found
