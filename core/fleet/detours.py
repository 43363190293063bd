"""Choice of fast chargers for vehicles short of charge, and the distance of the detour."""

from __future__ import annotations

import numpy as np

from cosim.core.quantities import Array, Flags, Indices32

from .plan import FleetPlan

CIRCUITY = 1.3
"""Distance along streets over straight-line distance. Assumption."""
DETOUR_M_PER_S = 20 / 3.6
"""Expected speed to and from a fast charger. [m/s] Assumption."""
SESSION_S = 1_500.0
"""Expected charging time of a vehicle ahead in the queue at a fast charger. [s] Assumption."""


def is_on_the_way(plan: FleetPlan) -> Flags:
    """Return which stations serve vehicles short of charge: fast and public ones, shape (n_stations,)."""
    return (plan.stations["fast"] > 0.5) & (plan.stations["public"] > 0.5)


def way_m(start_xy: Array, goal_xy: Array) -> Array:
    """Return expected distances along streets, shape (..., ) for places of shape (..., 2). [m]"""
    ways: Array = CIRCUITY * np.hypot(*np.moveaxis(goal_xy - start_xy, -1, 0))
    return ways


def leg(there_m: Array, j_per_m: Array) -> tuple[Array, Array]:
    """Return the expected time [s] and energy [J] of legs to a charger."""
    return there_m / DETOUR_M_PER_S + 1.0, there_m * j_per_m


def station_xy(plan: FleetPlan) -> Array:
    """Return the coordinates of stations, shape (n_stations, 2). [m]"""
    return np.stack([plan.stations["x"], plan.stations["y"]], axis=1)


def choose(
    plan: FleetPlan,
    start_xy: Array,
    goal_xy: Array,
    reach_m: Array,
    works: Flags,
    busy: Array,
) -> tuple[Indices32, Array, Array]:
    """Choose for each vehicle the working fast charger within reach that lets it arrive earliest at its destination.

    Parameters
    ----------
    plan
        The fleet's plan.
    start_xy, goal_xy : shape (n, 2)
        Start and destination. [m]
    reach_m : shape (n,)
        Remaining range. [m]
    works : shape (n_stations,)
        Whether a station is working.
    busy : shape (n_stations,)
        Number of vehicles at each station or on the way there.

    Returns
    -------
    station, there_m, on_m : shape (n,)
        The charger, -1 if none is within reach; the distances there and from there to the destination. [m]
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
