"""Reference implementation of the compiled parts of a fleet's step in plain Python."""

from __future__ import annotations

import numpy as np

from cosim.core.quantities import Array, Indices, Indices32

from . import _fleet as rows


def take_points(
    queue: Indices,
    aim: Indices32,
    place: Indices32,
    first_offer: Indices32,
    offers: Indices32,
    free: Indices32,
    station: Indices32,
) -> None:
    """Assign each vehicle of the queue, in turn, to the first station it may use that has a free point.

    Parameters
    ----------
    queue : shape (n_queue,)
        Vehicles without a point, in order of arrival.
    aim, place : shape (n_vehicles,)
        The station at which a vehicle waits, or -1; the place where it is parked.
    first_offer : shape (n_places + 1,)
        Index in ``offers`` of a place's first station.
    offers : shape (n_offers,)
        Stations by place, in order of preference.
    free : shape (n_stations,)
        Free points; changed in place.
    station : shape (n_vehicles,)
        The station at which a vehicle is plugged in, or -1; changed in place.
    """
    for i in queue:
        choice = [aim[i]] if aim[i] >= 0 else offers[first_offer[place[i]] : first_offer[place[i] + 1]]
        found = next((s for s in choice if free[s] > 0), None)
        if found is not None:
            free[found] -= 1
            station[i] = found


def fill_valleys(
    base: Array,
    length: Array,
    row: Indices32,
    energy: Array,
    left: Array,
    rate: Array,
    rounds: int,
    least_change: float,
    power: Array,
) -> None:
    """Compute the power with which sessions fill the valleys of a load.

    Sessions take turns: each pours its energy into the lowest slots of its window, on top of the load and of what the
    others have planned, with its own greatest power; after some rounds nobody gains by another plan, which makes
    the sum of the squared loads the least possible.

    Parameters
    ----------
    base : shape (n_rows, n_slots)
        Load from now on. [W]
    length : shape (n_slots,)
        Length of the slots. [s]
    row, energy, left, rate : shape (n,)
        Row of each session; energy to draw [J], time left [s] and greatest power [W].
    rounds, least_change
        Maximum number of rounds; the change of power at which they end earlier. [W]
    power : shape (n,)
        Filled with the power in the first slot. [W]
    """
    n, load = len(row), base.copy()
    begin = np.concatenate([[0.0], np.cumsum(length)[:-1]])
    most = rate[:, None] * np.clip(left[:, None] - begin, 0.0, length) / length
    part = np.zeros_like(most)
    for _ in range(rounds):
        moved = 0.0
        for j in range(n):
            own = load[row[j]]
            own -= part[j]
            low, high = own.min(), (own + most[j]).max()
            for _ in range(60):
                level = (low + high) / 2
                if (length * np.clip(level - own, 0.0, most[j])).sum() < energy[j]:
                    low = level
                else:
                    high = level
            now = np.clip(high - own, 0.0, most[j])
            moved = max(moved, np.abs(now - part[j]).max())
            part[j] = now
            own += now
        if moved <= least_change:
            break
    power[:] = part[:, 0] * length[0] / np.clip(left, 1e-9, length[0])


def session_ranges(
    vehicles: Indices,
    station: Indices32,
    trip: Indices32,
    cars: Array,
    stations: Array,
    trips: Array,
    state: Array,
    setting: Array,
    found: Array,
) -> None:
    """Compute the power range of each charging session that keeps its departure guarantee.

    Parameters
    ----------
    vehicles : shape (n,)
        Vehicles plugged in.
    station, trip : shape (n_vehicles,)
        Station of each; its next trip, or -1: it is then expected to depart at the time of its first departure.
    cars : shape (8, n_vehicles)
        Capacity and reserve [J]; AC, DC and discharging power [W]; target charge [J], the shortest stay for which it
        is guaranteed [s]; time of day of the first departure [s].
    stations : shape (3, n_stations)
        Power [W], efficiency, whether it is fast.
    trips : shape (2, n_trips)
        Departure [s]; energy to the next place with a charger [J].
    state : shape (3, n_vehicles)
        Charge [J], time of arrival [s], used over planned energy of its trips.
    setting : shape (7,)
        Time and step [s]; notice [s] and margin of departures; share of later power that is relied on; state of
        charge up to which fast charging runs at full power; length of the day [s].
    found : shape (6, n)
        Filled with: missing energy [J], time left [s], least and full power [W], rate of point and car [W], efficiency.
    """
    time_s, step_s, notice_s, margin = (
        setting[k] for k in (rows.AT_TIME, rows.AT_STEP, rows.AT_NOTICE, rows.AT_MARGIN)
    )
    counted_on, fast_soc, day_s = (setting[k] for k in (rows.AT_COUNTED_ON, rows.AT_FAST_SOC, rows.AT_DAY))
    at, k = station[vehicles], trip[vehicles]
    car, here, now = cars[:, vehicles], stations[:, at], state[:, vehicles]
    capacity, reserve, goal = car[rows.CAR_CAPACITY], car[rows.CAR_RESERVE], car[rows.CAR_TARGET]
    charge, ratio = now[rows.STATE_CHARGE], now[rows.STATE_RATIO]
    power, efficiency = here[rows.STATION_POWER], here[rows.STATION_EFFICIENCY]
    fast = here[rows.STATION_FAST] > 0.5
    rate = np.minimum(power, np.where(fast, car[rows.CAR_DC], car[rows.CAR_AC]))
    rate = np.where(fast, rate * np.clip((1.0 - charge / capacity) / (1.0 - fast_soc), 0.05, 1.0), rate)
    planned = k >= 0
    trip_rows = trips[:, k] if trips.size else np.zeros((rows.TRIP_ROWS, len(k)))
    depart_s, ahead, first_s = trip_rows[rows.TRIP_DEPARTURE], trip_rows[rows.TRIP_AHEAD], car[rows.CAR_FIRST_DEPARTURE]
    leaves = np.where(planned, depart_s - notice_s, time_s + (first_s - notice_s - time_s) % day_s)
    needs = np.where(planned, margin * ratio * ahead + reserve, 0.0)
    stays = leaves - now[rows.STATE_SINCE] >= car[rows.CAR_TARGET_AFTER]
    target = np.minimum(np.maximum(np.where(stays, goal, 0.0), needs), capacity)
    lacking = target - charge
    left = np.maximum(leaves - time_s, 0.0)
    into = efficiency * step_s
    full = np.minimum(rate, np.maximum(capacity - charge, 0.0) / into)
    later = efficiency * rate * np.maximum(left - step_s, 0.0)
    must = lacking - later
    given = np.maximum(np.maximum(must, lacking - counted_on * later), reserve - charge)
    give_w = np.minimum(-np.minimum(given, 0.0) * efficiency / step_s, car[rows.CAR_DISCHARGE])
    least = np.where(must > 0, np.minimum(must / into, full), -give_w)
    found[rows.RANGE_LACKING], found[rows.RANGE_LEFT] = np.maximum(lacking, 0.0), left
    found[rows.RANGE_LEAST], found[rows.RANGE_FULL] = least, full
    found[rows.RANGE_RATE], found[rows.RANGE_EFFICIENCY] = rate, efficiency
