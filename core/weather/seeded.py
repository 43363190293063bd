"""Seeded years around monthly normals: days that differ, with observed spread and persistence."""

from __future__ import annotations

import csv
import datetime as dt
from importlib import resources

import numpy as np
from scipy.special import ndtr, ndtri

from cosim.core.errors import CosimError
from cosim.core.quantities import Flags, Vector
from cosim.core.random import uniform

from .normals import Climate, climate_of, year_of_days
from .solar import ANGSTROM, daily_diffuse, radiation_of_days, relative_sunshine
from .year import MONTH, WeatherYear

SUN_LAG1 = 0.29
"""Correlation of the sky's clearness from day to day, as a normal variable; an assumption.

The model is that of [2]_ of `seeded_year`. The twelve real months of Barcelona's and Bologna's TMYx years have more,
0.40 and 0.44 (``docs/weather_spread.py``)."""

RANGE_WITH_SUN = 0.44
"""Correlation of the daily range of temperature with radiation: from 0.633 between highest and lowest temperature, and
0.186 and -0.193 of these with radiation, whose mean makes that of the mean temperature 0.00.

These follow from the matrices of [4]_ of `seeded_year`, as SWAT+ has them (``cli_weatgn.f90``)."""

LEAST_RANGE = 0.1
"""Smallest daily range over its mean. An assumption."""

_SEASON = np.array([0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 0])
_DATES = [f"{dt.date(2001, 1, 1) + dt.timedelta(days=k):%m-%d}" for k in range(365)]


def seeded_year(place: str, seed: int) -> WeatherYear:
    """Return a year around the normals of a place, drawn by a seed.

    Anomalies of daily mean temperature are a first-order autoregression with the standard deviation and the lag-1
    correlation of the season in ``climate_spread.csv``; in Catalonia, such Gaussian processes describe the length of
    hot and cold events ([1]_). The daily range varies about that of the normals. The clearness of days has the
    distribution that belongs to its monthly mean (Bendt, Collares-Pereira and Rabl, in the closed form of Herzog,
    [3]_ eq. 2.9.6), and the persistence of [2]_; wide ranges go with clear days, the mean temperature does not depend
    on them ([4]_). The anomalies of December and January join. Means over many seeds are the normals. Everything else
    follows from the days as in `normals.synthetic_year`; there is no trend from year to year. What that gives is
    compared with observed years in ``docs/model.md``.

    Each draw is keyed by the seed and the date, so one seed gives one year.

    Parameters
    ----------
    place
        ``"barcelona"`` or ``"bologna"``.
    seed
        The seed.

    Raises
    ------
    CosimError
        If there are no normals for the place.

    References
    ----------
    .. [1] Lana, Martínez, Burgueño, Serra, Statistics of hot and cold events in Catalonia (NE Spain) for the recording
       period 1950-2004, Theoretical and Applied Climatology 97 (2009), 10.1007/s00704-008-0052-2.
    .. [2] Graham, Hollands, Huget, A time-series model for Kt with application to global synthetic weather generation,
       Solar Energy 40 (1988) 83-92.
    .. [3] Duffie, Beckman, Solar Engineering of Thermal Processes, 4th edition, 2013.
    .. [4] Richardson, Stochastic simulation of daily precipitation, temperature, and solar radiation, Water Resources
       Research 17 (1981) 182-190.

    Examples
    --------
    >>> cold, mild = (float(seeded_year("bologna", seed).dry_bulb[: 31 * 24].mean()) for seed in (1, 2))
    >>> abs(cold - mild) > 0.1
    True
    """
    climate = climate_of(place)
    spread = _spread(place)
    noise = {name: ndtri(uniform(seed, f"weather {name}", _DATES) + 2.0**-54) for name in ("mean", "range", "sun")}
    mean = (climate.low + climate.high) / 2 + spread["mean_sd_k"] * _persistent(noise["mean"], spread["mean_lag1"])
    mixed = RANGE_WITH_SUN * noise["sun"] + np.sqrt(1 - RANGE_WITH_SUN**2) * noise["range"]
    share = np.maximum(1.0 + spread["range_cv"] * _persistent(mixed, spread["range_lag1"]), LEAST_RANGE)
    half = (climate.high - climate.low) / 2 * share
    sky = _persistent(noise["sun"], np.full(365, SUN_LAG1))
    clearness = _clearness(climate, sky)
    radiation = radiation_of_days(clearness, daily_diffuse(clearness, *climate.location), *climate.location)
    cover = np.clip(1.0 - (clearness - ANGSTROM[0]) / ANGSTROM[1], 0.0, 1.0)
    source = f"year of seed {seed} around monthly normals: {climate.source}"
    return year_of_days(climate, mean - half, mean + half, radiation, cover, source)


def waves(beyond: Flags, shortest: int = 3) -> int:
    """Return the number of runs of at least ``shortest`` days beyond a threshold, as AEMET counts heat and cold waves.

    >>> waves(np.array([True, True, True, False, True, True]))
    1
    """
    edges = np.diff(np.concatenate(([0], np.asarray(beyond, int), [0])))
    return int((np.flatnonzero(edges < 0) - np.flatnonzero(edges > 0) >= shortest).sum())


def _persistent(noise: Vector, lag1: Vector) -> Vector:
    """Return normal variables of unit variance with the given correlation to the day before, around the year."""
    shocks, anomalies, value = (np.sqrt(1.0 - lag1**2) * noise).tolist(), np.zeros(365), 0.0
    for k, factor in enumerate([*lag1.tolist()] * 2):  # the second lap begins where December has led
        value = anomalies[k % 365] = factor * value + shocks[k % 365]
    return anomalies


def _clearness(climate: Climate, normal: Vector) -> Vector:
    """Return clearness of days with the distribution of its month from standard normal variables."""
    mean = (ANGSTROM[0] + ANGSTROM[1] * relative_sunshine(climate.sunshine_h, *climate.location))[MONTH]
    low, high = 0.05, 0.6313 + 0.267 * mean - 11.9 * (mean - 0.75) ** 8
    xi = (high - low) / (high - mean)
    gamma = -1.498 + (1.184 * xi - 27.182 * np.exp(-1.5 * xi)) / (high - low)
    share = ndtr(normal)
    clearness: Vector = np.log((1 - share) * np.exp(gamma * low) + share * np.exp(gamma * high)) / gamma
    return clearness


def _spread(place: str) -> dict[str, Vector]:
    text = resources.files("cosim.core.weather").joinpath("climate_spread.csv").read_text("utf-8")
    rows = list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))
    mine = [row for row in rows if row["place"] == place.strip().lower()]
    if not mine:
        raise CosimError(f"the spread of the weather of {place!r} is not known: pass weather_year='given'")
    names = [name for name in rows[0] if name not in ("place", "season")]
    return {name: np.array([float(row[name]) for row in mine])[_SEASON][MONTH] for name in names}
