"""Annual means at façades: a typical day's traffic through the hours of a weather year, and SRM1 beside it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cosim.core.environment.air import POLLUTANTS, direction_and_spread, facade_air
from cosim.core.environment.srm1 import increments, no2_increments, street_types
from cosim.core.environment.streets import Streets
from cosim.core.quantities import Array, Indices, Vector
from cosim.core.weather.year import MONTH, WeatherYear

from .background import Background

STREET_HOURS = 300_000
"""Number of streets times hours that are computed for an annual mean, where this gives at least a day each month."""
MOST_DAYS = 4
"""Days of each month at most."""
INTERVALS = 8
"""Of the average over wind directions of an hour: those of many hours overlap."""
TRAFFIC = ("nox", "pm10", "pm25", "turbulence", "primary")
_UG_PER_KG = 1e9


def typical_days(n_streets: int) -> Indices:
    """Return days of the year, evenly within every month, as many as `STREET_HOURS` allows, at least one a month.

    >>> len(typical_days(100)), len(typical_days(10_000)), typical_days(10_000)[:3].tolist()
    (48, 12, [15, 45, 74])
    """
    number = int(np.clip(STREET_HOURS // (24 * 12 * max(n_streets, 1)), 1, MOST_DAYS))
    found = []
    for month in range(12):
        days = np.flatnonzero(np.equal(MONTH, month))
        found += [days[int((k + 0.5) / number * len(days))] for k in range(number)]
    return np.array(found)


def annual_means(streets: Streets, traffic: Mapping[str, Array], year: WeatherYear, background: Background) -> Array:
    """Return annual mean concentrations at façades, shape (5, n_streets, 2), in the order of `POLLUTANTS`. [kg/m³]

    Every day of the year has the same traffic by the hour of standard time; weather and background are those of
    `typical_days`, each of which stands for its share of its month. Days without weather count as the others.

    Parameters
    ----------
    streets
        Their geometry.
    traffic
        The day's ``nox``, ``pm10`` and ``pm25`` [kg/s], ``turbulence`` [m/s], shape (24, n_streets), and the share of
        NO2 in the NOx, ``primary``, shape (24,).
    year
        The weather.
    background
        The air above the roofs, by its monthly means.
    """
    days = typical_days(len(streets))
    total, weight = np.zeros((len(POLLUTANTS), len(streets), 2)), 0.0
    covered, east, north = year.covered, year.wind_east, year.wind_north
    for day in days:
        share = float((MONTH[day] == MONTH).sum())
        for hour in range(24):
            record = int(day) * 24 + hour
            if not covered[record]:
                continue
            wind = float(year.wind_speed[record])
            direction, spread = direction_and_spread(wind, float(east[record]), float(north[record]))
            total += share * facade_air(
                streets,
                nox=traffic["nox"][hour] / streets.length,
                pm10=traffic["pm10"][hour] / streets.length,
                pm25=traffic["pm25"][hour] / streets.length,
                turbulence=traffic["turbulence"][hour],
                primary_share=float(traffic["primary"][hour]),
                wind=wind,
                direction=direction,
                spread=spread,
                temperature=float(year.dry_bulb[record]),
                radiation=float(year.ghi[record]),
                background=background.monthly[MONTH[day]],
                balanced=background.balanced,
                intervals=INTERVALS,
            )
            weight += share
    return total / weight


def screening(streets: Streets, traffic: Mapping[str, Array], year: WeatherYear, background: Background) -> Array:
    """Return annual means of NO2 and PM10 at façades by SRM1, shape (2, n_streets, 2). [kg/m³]"""
    wind = float(np.nanmean(year.wind_speed))
    above = background.monthly.mean(axis=0)
    kinds = np.broadcast_to(street_types(streets.width, streets.height)[:, None], streets.distance.shape)
    added = {
        name: increments(
            (traffic[name].mean(axis=0) / streets.length * _UG_PER_KG)[:, None],
            kinds,
            streets.distance,
            wind,
            tree_factor=streets.tree_factor[:, None],
        )
        for name in ("nox", "pm10")
    }
    emitted = traffic["nox"].sum(axis=1)
    primary = float(np.average(traffic["primary"], weights=emitted)) if emitted.any() else 0.0
    no2 = no2_increments(added["nox"], primary, above[2] * _UG_PER_KG)
    return np.stack([no2 / _UG_PER_KG + above[0], added["pm10"] / _UG_PER_KG + above[3]])


def hours_of_day(values: Array, hours: Vector) -> Array | None:
    """Return means by hour of the day, shape (24, …), or None if an hour of the day is missing.

    Parameters
    ----------
    values : shape (n, …)
        Means of intervals.
    hours : shape (n,)
        Hour of the day in which each begins.
    """
    if len(np.unique(hours)) < 24:
        return None
    return np.stack([values[hours == hour].mean(axis=0) for hour in range(24)])
