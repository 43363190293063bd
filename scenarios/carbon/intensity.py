"""Hourly carbon intensity of grid electricity, from published figures or from a series of the user's own.

Spain has a table of measured means by month and civil hour (``carbon_hourly.csv``): the mean of 2023 and 2024, in which
sun, wind, water, demand and trade all show. Its weather of single days is left out.

Italy's table has its season and its mean hours, from published means by month and by hour: its days differ by month
with the sun alone (``docs/carbon_italy.py``). P. Valdiserri, V. Ballerini, E. Rossi di Schio, Data in Brief 45 (2022)
108682, publish hourly factors of 2016 to 2019, which `read_intensity` takes.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pandas as pd

from cosim.core import CosimError, InputFileError
from cosim.core.quantities import Vector

_HOUR = pd.Timedelta(hours=1)


@dataclass(frozen=True, eq=False)
class Carbon:
    """Carbon intensity of grid electricity, and whether the supply of fuels counts.

    Parameters
    ----------
    by_hour
        Intensity of electricity in each hour of the civil day, 24 values. [kg CO2e/kWh]
    series
        Alternatively, intensity by the start of each hour, in UTC. [kg CO2e/kWh] If neither is given, the typical
        intensity of the country.
    with_supply
        Whether gas and motor fuels count from the well on; the intensities of electricity always do.
    """

    by_hour: tuple[float, ...] | None = None
    series: pd.Series[float] | None = None
    with_supply: bool = True

    def intensity(self, times: pd.DatetimeIndex, country: str, zone: str) -> Vector:
        """Return the intensity at moments in UTC, shape (n_times,). [kg CO2e/kWh]

        Raises
        ------
        CosimError
            If the series does not cover all moments.
        """
        if self.series is not None:
            starts, index = times.floor("h"), self.series.index
            if missing := [t for t in starts if t not in index]:
                raise CosimError(
                    f"the series of carbon intensities has no hour {missing[0]:%Y-%m-%d %H:%M} UTC: it runs from "
                    f"{index[0]:%Y-%m-%d %H:%M} to {index[-1]:%Y-%m-%d %H:%M}; give one that covers the run"
                )
            return np.asarray(self.series.loc[starts], float)
        if self.by_hour is not None:
            hours = times.tz_convert(ZoneInfo(zone)).hour.to_numpy()
            return np.asarray(np.asarray(self.by_hour, float)[hours])
        return typical_intensity(country, times)


def typical_intensity(country: str, times: pd.DatetimeIndex) -> Vector:
    """Return a country's intensity by month and civil hour, from its table, shape (n_times,). [kg CO2e/kWh]

    Raises
    ------
    CosimError
        If the table does not have the country.

    Examples
    --------
    >>> noon, evening = pd.DatetimeIndex(["2023-01-21T12:15Z"]), pd.DatetimeIndex(["2023-01-21T18:15Z"])
    >>> [round(float(typical_intensity("ES", t)[0]), 3) for t in (noon, evening)]
    [0.1, 0.145]
    """
    zone, grams = _hourly(country)
    civil = times.tz_convert(zone)
    return np.asarray(grams[civil.month.to_numpy() - 1, civil.hour.to_numpy()] / 1000)


def technology_intensity(technology: str) -> float:
    """Return the life-cycle intensity of a technology. [kg CO2e/kWh]

    Raises
    ------
    CosimError
        If the table does not have the technology.
    """
    factors = {row["technology"]: float(row["kg_per_kwh"]) for row in _table("carbon_technologies.csv")}
    if technology not in factors:
        raise CosimError(f"unknown technology {technology!r}: known are {', '.join(factors)}")
    return factors[technology]


def mix_intensity(generation: Mapping[str, npt.ArrayLike]) -> Vector:
    """Return the life-cycle intensity of a generation mix. [kg CO2e/kWh]

    Parameters
    ----------
    generation
        Technology → energy generated, a number or one for each hour, in any one unit.

    Raises
    ------
    CosimError
        If a technology is unknown, or nothing is generated.

    Examples
    --------
    >>> float(mix_intensity({"gas": 1.0, "wind": 1.0}).round(4))
    0.2653
    """
    parts = {name: np.asarray(values, float) for name, values in generation.items()}
    total = np.sum(list(parts.values()), axis=0)
    if not parts or not (total > 0).all() or any((part < 0).any() for part in parts.values()):
        raise CosimError(
            "a generation mix has a negative part or an hour with nothing generated: give energies above 0"
        )
    emitted = np.sum([technology_intensity(name) * part for name, part in parts.items()], axis=0)
    return np.asarray(emitted / total)


def read_intensity(path: Path) -> Carbon:
    """Read intensities from a CSV file with a column ``kg_per_kwh`` beside ``hour`` or ``time``.

    ``hour`` counts the hours of the civil day, each of the 24 once; ``time`` is the start of an hour with its offset
    from UTC, as in ``2023-01-01T00:00+01:00``, hour after hour without a gap.

    Raises
    ------
    InputFileError
        If the file, a column or an hour is missing, an hour is duplicated, or a figure is not a number in range.
    """
    try:
        rows = list(csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines()))
        values = [float(row["kg_per_kwh"]) for row in rows]
        timed = bool(rows) and "time" in rows[0]
        hours = [] if timed else [int(row["hour"]) for row in rows]
        moments = pd.DatetimeIndex([pd.Timestamp(row["time"]) for row in rows] if timed else [])
    except (OSError, UnicodeDecodeError, KeyError, TypeError, ValueError) as error:
        raise InputFileError(f"cannot read kg_per_kwh by hour or time from {path}: {error!r}") from error
    if not all(0 <= value <= 2 for value in values):
        raise InputFileError(
            f"{path} has an intensity out of range: give 0 to 2 kg CO2e/kWh (values in grams are 1000 times too large)"
        )
    if not timed:
        if sorted(hours) != list(range(24)):
            raise InputFileError(f"{path} must have the hours 0 to 23 once each")
        return Carbon(by_hour=tuple(dict(zip(hours, values))[hour] for hour in range(24)))
    if moments.tz is None:
        raise InputFileError(f"{path} has times without an offset from UTC: write 2023-01-01T00:00+00:00")
    moments = moments.tz_convert("UTC")
    if (moments != moments.floor("h")).any() or (np.diff(moments) != _HOUR).any():
        raise InputFileError(
            f"{path} has a gap, or times that are out of order or not on the hour: give every hour once"
        )
    return Carbon(series=pd.Series(values, moments))


@cache
def _hourly(country: str) -> tuple[ZoneInfo, Vector]:
    """Return a country's zone and means by month and civil hour over all years, shape (12, 24). [g CO2e/kWh]"""
    known = _table("carbon_hourly.csv")
    rows = [row for row in known if row["country"] == country]
    if not rows:
        countries = dict.fromkeys(row["country"] for row in known)
        raise CosimError(f"the table of carbon intensities has no country {country!r}: it has {', '.join(countries)}")
    means = np.array([[float(row[str(hour)]) for hour in range(24)] for row in rows]).reshape(-1, 12, 24).mean(axis=0)
    return ZoneInfo(rows[0]["zone"]), means


@cache
def _table(name: str) -> list[dict[str, str]]:
    text = resources.files("cosim.scenarios.carbon").joinpath(name).read_text(encoding="utf-8")
    return list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))
