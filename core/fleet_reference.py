"""What should the compiled hand-out of charging points do? The same in plain Python, to be read beside it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .fleet_plan import Index


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
