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


def session_ranges(
    vehicles: npt.NDArray[np.int64],
    station: Index,
    trip: Index,
    cars: Array,
    stations: Array,
    trips: Array,
    state: Array,
    setting: Array,
    found: Array,
) -> None:
    """Find what each charging session may draw without breaking the guarantee of its departure.

    Parameters
    ----------
    vehicles : shape (n,)
        Those that are plugged in.
    station, trip : shape (n_vehicles,)
        Where each is plugged in; its next trip, or -1: it is expected to leave when it left on its first day.
    cars : shape (8, n_vehicles)
        Capacity and reserve [J]; alternating, direct and discharging power [W]; target charge [J], the stay from
        which on it is guaranteed [s]; time of the day of the first departure [s].
    stations : shape (3, n_stations)
        Power [W], efficiency, whether it is fast.
    trips : shape (2, n_trips)
        Departure [s]; energy to the next place with a charger [J].
    state : shape (3, n_vehicles)
        Charge [J], when it came [s], used over planned energy of its trips.
    setting : shape (7,)
        Time and step [s]; notice [s] and margin of departures; share of later power that is counted on; state of
        charge up to which fast charging keeps its power; the day [s].
    found : shape (6, n)
        Filled with: lacking energy [J], time left [s], least and full power [W], rate of point and car [W], efficiency.
    """
    time_s, step_s, notice_s, margin, counted_on, fast_soc, day_s = setting
    at, k = station[vehicles], trip[vehicles]
    capacity, reserve, ac_w, dc_w, discharge_w, goal, after_s, first_s = cars[:, vehicles]
    charge, since_s, ratio = state[:, vehicles]
    power, efficiency, fast = stations[:, at]
    fast = fast > 0.5
    rate = np.minimum(power, np.where(fast, dc_w, ac_w))
    rate = np.where(fast, rate * np.clip((1.0 - charge / capacity) / (1.0 - fast_soc), 0.05, 1.0), rate)
    planned = k >= 0
    depart_s, ahead = trips[:, k] if trips.size else np.zeros((2, len(k)))
    leaves = np.where(planned, depart_s - notice_s, time_s + (first_s - notice_s - time_s) % day_s)
    needs = np.where(planned, margin * ratio * ahead + reserve, 0.0)
    target = np.minimum(np.maximum(np.where(leaves - since_s >= after_s, goal, 0.0), needs), capacity)
    lacking = target - charge
    left = np.maximum(leaves - time_s, 0.0)
    into = efficiency * step_s
    full = np.minimum(rate, np.maximum(capacity - charge, 0.0) / into)
    later = efficiency * rate * np.maximum(left - step_s, 0.0)
    must = lacking - later
    given = np.maximum(np.maximum(must, lacking - counted_on * later), reserve - charge)
    give_w = np.minimum(-np.minimum(given, 0.0) * efficiency / step_s, discharge_w)
    least = np.where(must > 0, np.minimum(must / into, full), -give_w)
    found[:] = np.maximum(lacking, 0.0), left, least, full, rate, efficiency
