"""What should the compiled parts of a fleet's step do? The same in plain Python, to be read beside them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .fleet_plan import Array, Index


def take_points(
    queue: npt.NDArray[np.int64],
    aim: Index,
    place: Index,
    first_offer: Index,
    offers: Index,
    free: Index,
    station: Index,
) -> None:
    """Give each vehicle of the queue, in turn, the first station it may use that has a free point.

    Parameters
    ----------
    queue : shape (n_queue,)
        Vehicles without a point, who came first first.
    aim, place : shape (n_vehicles,)
        The one station that a vehicle waits at, or -1; the place where it parks.
    first_offer : shape (n_places + 1,)
        Where in ``offers`` the stations of a place begin.
    offers : shape (n_offers,)
        Stations by place, in order of preference.
    free : shape (n_stations,)
        Free points; changed in place.
    station : shape (n_vehicles,)
        The station that a vehicle is plugged in at, or -1; changed in place.
    """
    for i in queue:
        choice = [aim[i]] if aim[i] >= 0 else offers[first_offer[place[i]] : first_offer[place[i] + 1]]
        found = next((s for s in choice if free[s] > 0), None)
        if found is not None:
            free[found] -= 1
            station[i] = found


def fill_valleys(base: Array, due: Array, level: Array) -> None:
    """Find the level up to which each row's first valley must be filled.

    For every slot in which energy falls due, all that is due until then is poured into the slots until then; the
    highest of these levels is the one that must be kept from now on.

    Parameters
    ----------
    base : shape (n_rows, n_slots)
        Load in each slot.
    due : shape (n_rows, n_slots)
        Energy that must be served by the end of each slot, in the unit of ``base`` times slots.
    level : shape (n_rows,)
        Filled with the levels; the first slot's load where nothing is due.
    """
    for g in range(len(base)):
        level[g] = base[g, 0]
        for d in np.flatnonzero(due[g] > 0):
            low = np.sort(base[g, : d + 1])
            filled = (due[g, : d + 1].sum() + np.cumsum(low)) / np.arange(1, d + 2)
            fits = np.append(filled[:-1] <= low[1:], True)
            level[g] = max(level[g], filled[np.argmax(fits)])
