"""Which fast charger does a driver go by who lacks charge for a trip, and how far is that?"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .fleet_plan import Array, FleetPlan, Index

CIRCUITY = 1.3
"""Way along streets over distance as the crow flies. Assumption."""
DETOUR_M_PER_S = 20 / 3.6
"""Speed that is expected of ways to and from a fast charger. [m/s] Assumption."""
SESSION_S = 1_500.0
"""What a vehicle ahead in the queue is expected to take at a fast charger. [s] Assumption."""


def is_on_the_way(plan: FleetPlan) -> npt.NDArray[np.bool_]:
    """Return which stations drivers go by who lack charge: fast and open to the public, shape (n_stations,)."""
    return (plan.stations["fast"] > 0.5) & (plan.stations["public"] > 0.5)


def way_m(start_xy: Array, goal_xy: Array) -> Array:
    """Return expected ways along streets, shape (..., ) for places of shape (..., 2). [m]"""
    ways: Array = CIRCUITY * np.hypot(*np.moveaxis(goal_xy - start_xy, -1, 0))
    return ways


def leg(there_m: Array, j_per_m: Array) -> tuple[Array, Array]:
    """Return the time [s] and energy [J] expected of ways to a charger."""
    return there_m / DETOUR_M_PER_S + 1.0, there_m * j_per_m


def station_xy(plan: FleetPlan) -> Array:
    """Return where stations are, shape (n_stations, 2). [m]"""
    return np.stack([plan.stations["x"], plan.stations["y"]], axis=1)


def choose(
    plan: FleetPlan,
    start_xy: Array,
    goal_xy: Array,
    reach_m: Array,
    works: npt.NDArray[np.bool_],
    busy: Array,
) -> tuple[Index, Array, Array]:
    """Choose for each driver the working fast charger in reach from which they expect to be soonest at their goal.

    Parameters
    ----------
    plan
        The fleet's plan.
    start_xy, goal_xy : shape (n, 2)
        From where to where they go. [m]
    reach_m : shape (n,)
        How far they get with the charge left. [m]
    works : shape (n_stations,)
        Whether a station works.
    busy : shape (n_stations,)
        Vehicles that are at each station or on their way there.

    Returns
    -------
    station, there_m, on_m : shape (n,)
        The charger, -1 if none is in reach; the way there and that from there to the goal. [m]
    """
    n = len(start_xy)
    fast = np.flatnonzero(works & is_on_the_way(plan))
    if not (n and len(fast)):
        return np.full(n, -1, np.int32), np.zeros(n), np.zeros(n)
    xy, points = station_xy(plan)[fast], plan.stations["points"][fast]
    there, on = way_m(start_xy[:, None], xy), way_m(goal_xy[:, None], xy)
    queue_s = np.maximum(busy[fast] - points + 1, 0.0) * SESSION_S / points
    takes_s = np.where(there <= reach_m[:, None], (there + on) / DETOUR_M_PER_S + queue_s, np.inf)
    best, rows = np.argmin(takes_s, axis=1), np.arange(n)
    station = np.where(np.isfinite(takes_s[rows, best]), fast[best], -1).astype(np.int32)
    return station, there[rows, best], on[rows, best]
