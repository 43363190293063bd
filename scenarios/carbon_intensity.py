"""What does a kilowatt-hour from the grid emit, hour by hour: by published figures, or by a series of one's own?

A country's published mean of the year gets the shape that the sun gives it: solar power displaces all other generation
alike, in proportion to the sine of the sun's height above the country's capital. So the intensity falls at noon, in
summer more and for longer than in winter, and its mean over a year is the published one. Demand, wind, water, weather
and trade with neighbours, which also move the real intensity, are not in it: an assumption.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pandas as pd
import pvlib

from cosim.core import CosimError, InputFileError

_HOUR = pd.Timedelta(hours=1)


@dataclass(frozen=True, eq=False)
class Carbon:
    """What a kilowatt-hour from the grid emits, and whether the supply of fuels counts.

    Parameters
    ----------
    by_hour
        Intensity of electricity in each hour of the civil day, 24 values. [kg CO2e/kWh]
    series
        Instead: intensity by the begin of each hour, in UTC. [kg CO2e/kWh] If neither is given, the country's
        published mean with the shape that the sun gives it.
    with_supply
        Whether gas and motor fuels count from the well; the intensities of electricity always do.
    """

    by_hour: tuple[float, ...] | None = None
    series: pd.Series[float] | None = None
    with_supply: bool = True

    def intensity(self, times: pd.DatetimeIndex, country: str, zone: str) -> npt.NDArray[np.float64]:
        """Return the intensity at moments in UTC, shape (n_times,). [kg CO2e/kWh]

        Raises
        ------
        CosimError
            If the series does not reach as far.
        """
        if self.series is not None:
            begins, index = times.floor("h"), self.series.index
            if missing := [t for t in begins if t not in index]:
                raise CosimError(
                    f"the series of carbon intensities has no hour from {missing[0]:%Y-%m-%d %H:%M} UTC on: it goes "
                    f"from {index[0]:%Y-%m-%d %H:%M} to {index[-1]:%Y-%m-%d %H:%M}; give one that covers the run"
                )
            return np.asarray(self.series.loc[begins], float)
        if self.by_hour is not None:
            hours = times.tz_convert(ZoneInfo(zone)).hour.to_numpy()
            return np.asarray(np.asarray(self.by_hour, float)[hours])
        return typical_intensity(country, times)


def typical_intensity(country: str, times: pd.DatetimeIndex) -> npt.NDArray[np.float64]:
    """Return a country's intensity with the shape that the sun gives it, shape (n_times,). [kg CO2e/kWh]

    Examples
    --------
    >>> noon, night = pd.DatetimeIndex(["2023-06-21T12:15Z"]), pd.DatetimeIndex(["2023-06-21T00:00Z"])
    >>> [round(float(typical_intensity("ES", t)[0]), 3) for t in (noon, night)]
    [0.103, 0.198]
    """
    row = _country(country)
    share, solar = float(row["solar_share"]), technology_intensity("solar")
    others = (float(row["kg_per_kwh"]) - share * solar) / (1 - share)
    part = share * _height(country, times) / _mean_height(country)
    return np.asarray(others + part * (solar - others))


def annual_intensity(country: str) -> float:
    """Return the mean intensity of a country's electricity in 2023. [kg CO2e/kWh]

    Raises
    ------
    CosimError
        If the table has no such country.
    """
    return float(_country(country)["kg_per_kwh"])


def technology_intensity(technology: str) -> float:
    """Return the life-cycle intensity of a technology. [kg CO2e/kWh]

    Raises
    ------
    CosimError
        If the table has no such technology.
    """
    factors = {row["technology"]: float(row["kg_per_kwh"]) for row in _table("carbon_technologies.csv")}
    if technology not in factors:
        raise CosimError(f"there is no technology {technology!r}: there are {', '.join(factors)}")
    return factors[technology]


def mix_intensity(generation: Mapping[str, npt.ArrayLike]) -> npt.NDArray[np.float64]:
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
        raise CosimError("a generation mix has a negative part or generates nothing somewhere: give energies above 0")
    emitted = np.sum([technology_intensity(name) * part for name, part in parts.items()], axis=0)
    return np.asarray(emitted / total)


def read_intensity(path: Path) -> Carbon:
    """Read intensities from a CSV file with a column ``kg_per_kwh`` beside ``hour`` or ``time``.

    ``hour`` counts the hours of the civil day, each of the 24 once; ``time`` is the begin of an hour with its offset
    from UTC, as in ``2023-01-01T00:00+01:00``, hour after hour without a gap.

    Raises
    ------
    InputFileError
        If it is missing, a column or an hour is missing or stands twice, or a figure is no number or out of range.
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
        raise InputFileError(f"{path} has an intensity out of range: give 0 to 2 kg CO2e/kWh (grams are 1000 times too "
                             "much)")  # fmt: skip
    if not timed:
        if sorted(hours) != list(range(24)):
            raise InputFileError(f"{path} must have the hours 0 to 23 once each")
        return Carbon(by_hour=tuple(dict(zip(hours, values))[hour] for hour in range(24)))
    if moments.tz is None:
        raise InputFileError(f"{path} has times without an offset from UTC: write 2023-01-01T00:00+00:00")
    moments = moments.tz_convert("UTC")
    if (moments != moments.floor("h")).any() or (np.diff(moments) != _HOUR).any():
        raise InputFileError(f"{path} has a gap, or times out of order or not on the hour: give every hour once")
    return Carbon(series=pd.Series(values, moments))


def _height(country: str, times: pd.DatetimeIndex) -> npt.NDArray[np.float64]:
    """Return the sine of the sun's height, 0 below the horizon, shape (n_times,)."""
    row = _country(country)
    sun = pvlib.solarposition.get_solarposition(times, float(row["latitude"]), float(row["longitude"]))
    return np.asarray(np.maximum(np.sin(np.radians(sun["elevation"].to_numpy(float))), 0.0))


@cache
def _mean_height(country: str) -> float:
    year = pd.date_range("2023-01-01", "2024-01-01", freq="30min", tz="UTC", inclusive="left")
    return float(_height(country, year).mean())


def _country(country: str) -> dict[str, str]:
    known = {row["country"]: row for row in _table("carbon_intensity.csv")}
    if country not in known:
        raise CosimError(f"the table of carbon intensities has no country {country!r}: there are {', '.join(known)}")
    return known[country]


@cache
def _table(name: str) -> list[dict[str, str]]:
    text = Path(__file__).with_name(name).read_text(encoding="utf-8")
    return list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))
