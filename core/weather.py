"""What was the weather, hour by hour, and what is its mean over any step of a run?

A `WeatherYear` comes from an EnergyPlus weather file (`weather_file.read_epw`) or from published monthly normals
(`weather_normals.synthetic_year`). Records follow the EPW convention [1]_: record ``i`` closes hour ``i`` of the year
in local standard time; radiation is the mean over that hour, everything else the value at its end.

References
----------
.. [1] US Department of Energy, EnergyPlus Auxiliary Programs, "EnergyPlus Weather File (EPW) Data
   Dictionary".
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt

from .errors import CosimError
from .ports import Vector, frozen

HOURS = 8760
STEFAN_BOLTZMANN = 5.670374419e-8
MONTH_DAYS = np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
MONTH_START = np.concatenate(([0], np.cumsum(MONTH_DAYS)[:-1]))
MONTH = np.repeat(np.arange(12), MONTH_DAYS)
"""Month (0 to 11) of each of the 365 days."""


@dataclass(frozen=True)
class WeatherYear:
    """One year of hourly weather at one place, in local standard time, without 29 February.

    Parameters
    ----------
    dry_bulb, relative_humidity, wind_speed, pressure : shape (8760,)
        Values at the end of each hour. [°C], [1], [m/s], [Pa]
    ghi, dni, dhi : shape (8760,)
        Global horizontal, direct normal and diffuse horizontal radiation, means over each hour. [W/m²]
    horizontal_infrared : shape (8760,)
        Long-wave radiation from the sky on the horizontal, means over each hour. [W/m²]
    latitude, longitude, elevation, utc_offset_h
        Place [° north, ° east, m above sea level] and standard time. [h]
    name, source
        The place, and where the data come from.
    notes
        What was filled or left out while reading.
    path
        The file it was read from, if any.

    Raises
    ------
    CosimError
        If an array has not 8760 finite values.
    """

    dry_bulb: Vector
    relative_humidity: Vector
    ghi: Vector
    dni: Vector
    dhi: Vector
    wind_speed: Vector
    pressure: Vector
    horizontal_infrared: Vector
    latitude: float
    longitude: float
    elevation: float
    utc_offset_h: float
    name: str
    source: str
    notes: tuple[str, ...] = ()
    path: Path | None = None

    def __post_init__(self) -> None:
        for field in fields(self)[:8]:
            values = np.array(getattr(self, field.name), dtype=np.float64)
            if values.shape != (HOURS,) or not np.isfinite(values).all():
                raise CosimError(
                    f"{field.name} of the weather year {self.name!r} has shape {values.shape} and "
                    f"{int((~np.isfinite(values)).sum())} values that are not finite: "
                    f"it takes {HOURS} finite numbers"
                )
            object.__setattr__(self, field.name, frozen(values))


@dataclass(frozen=True)
class Course:
    """Quantities along a run, linear or constant between given times, whose mean over any interval is exact.

    Parameters
    ----------
    times : shape (n + 1,)
        Increasing times since the run's start. [s]
    first, last : shape (n, n_quantities)
        Values at both ends of each interval between two times.
    """

    times: Vector
    first: Vector
    last: Vector

    def __post_init__(self) -> None:
        length = np.diff(self.times)[:, None]
        parts = np.cumsum(length * (self.first + self.last) / 2, axis=0)
        total = np.concatenate((np.zeros((1, parts.shape[1])), parts))
        object.__setattr__(self, "_total", total)
        object.__setattr__(self, "_slope", (self.last - self.first) / length)

    def _integral(self, when_s: Vector) -> Vector:
        k = np.clip(np.searchsorted(self.times, when_s, side="right") - 1, 0, len(self.first) - 1)
        since = (when_s - self.times[k])[:, None]
        total, slope = self.__dict__["_total"], self.__dict__["_slope"]
        integral: Vector = total[k] + since * (self.first[k] + 0.5 * slope[k] * since)
        return integral

    def mean(self, start_s: npt.ArrayLike, end_s: npt.ArrayLike) -> Vector:
        """Return the means from each ``start_s`` to ``end_s``, shape (n_intervals, n_quantities).

        Raises
        ------
        CosimError
            If an interval is empty or reaches beyond the course.

        Examples
        --------
        >>> Course(np.array([0.0, 10.0]), np.array([[0.0]]), np.array([[10.0]])).mean(4, 8)
        array([[6.]])
        """
        start, end = (np.atleast_1d(np.asarray(x, dtype=np.float64)) for x in (start_s, end_s))
        low, high = self.times[0], self.times[-1]
        if not (end > start).all() or start.min() < low - 1e-6 or end.max() > high + 1e-6:
            raise CosimError(
                f"a mean from {start.min():g} to {end.max():g} s was asked of a course from {low:g} to "
                f"{high:g} s: intervals must be longer than 0 s and lie within it"
            )
        return (self._integral(end) - self._integral(start)) / (end - start)[:, None]


def run_hours(year: WeatherYear, start_utc: dt.datetime, span_s: float) -> tuple[float, npt.NDArray[np.int64]]:
    """Find the records that cover a run.

    The calendar day and hour decide, whatever the years of run and file; 29 February repeats the 28th, and
    after December comes January of the same weather year.

    Returns
    -------
    lead_s
        How long before the run's start its first hour of local standard time began, 0 to 3600. [s]
    index : shape (n_hours + 1,)
        The record of the hour before, then of each hour that the run touches.

    Raises
    ------
    CosimError
        If the start has no time zone or the span is not positive.
    """
    if start_utc.tzinfo is None or not (0 < span_s < math.inf):
        raise CosimError(
            f"weather was asked from {start_utc.isoformat()} for {span_s} s: the start needs a time zone and "
            "the span must be positive"
        )
    local = start_utc.astimezone(dt.UTC).replace(tzinfo=None) + dt.timedelta(hours=year.utc_offset_h)
    hour = local.replace(minute=0, second=0, microsecond=0)
    lead_s = (local - hour).total_seconds()
    starts = np.datetime64(hour, "h") + np.arange(-1, math.ceil((lead_s + span_s) / 3600.0 - 1e-9))
    days, months = starts.astype("M8[D]"), starts.astype("M8[M]")
    month = months.astype(np.int64) % 12
    day = np.minimum((days - months.astype("M8[D]")).astype(np.int64), MONTH_DAYS[month] - 1)
    return lead_s, (MONTH_START[month] + day) * 24 + (starts - days.astype("M8[h]")).astype(np.int64)


def interpolated(year: WeatherYear, names: Sequence[str], start_utc: dt.datetime, span_s: float) -> Course:
    """Return the named quantities along a run, linear between the ends of hours (not for radiation)."""
    lead_s, index = run_hours(year, start_utc, span_s)
    nodes: Vector = np.stack([getattr(year, name) for name in names], axis=1)[index]
    times: Vector = 3600.0 * np.arange(len(index), dtype=np.float64) - lead_s
    return Course(times, nodes[:-1], nodes[1:])


def saturation_pressure(temp: npt.ArrayLike) -> Vector:
    """Return the saturation vapour pressure at temperatures in °C. [Pa] FAO-56 [1]_, eq. 11.

    References
    ----------
    .. [1] Allen, Pereira, Raes, Smith, Crop evapotranspiration, FAO Irrigation and Drainage Paper 56, 1998.
    """
    temp = np.asarray(temp, dtype=np.float64)
    pressure: Vector = 610.8 * np.exp(17.27 * temp / (temp + 237.3))
    return pressure


def sky_infrared(dry_bulb: Vector, relative_humidity: Vector, cover: Vector) -> Vector:
    """Return the long-wave radiation of the sky on the horizontal. [W/m²]

    Clear-sky emissivity by Clark and Allen and the cloud factor by Walton, as EnergyPlus uses them [1]_.

    Parameters
    ----------
    dry_bulb, relative_humidity, cover : shape (n,)
        Temperature [°C], humidity [1] and opaque sky cover. [1]

    References
    ----------
    .. [1] US Department of Energy, EnergyPlus Engineering Reference, "Climate Calculations", sky radiation.
    """
    x = np.log(np.maximum(relative_humidity, 0.01) * saturation_pressure(dry_bulb) / 610.8)
    dew_point = 237.3 * x / (17.27 - x) + 273.15
    tenths = 10.0 * cover
    emissivity = (0.787 + 0.764 * np.log(dew_point / 273.0)) * (
        1 + 0.0224 * tenths - 0.0035 * tenths**2 + 0.00028 * tenths**3
    )
    infrared: Vector = emissivity * STEFAN_BOLTZMANN * (dry_bulb + 273.15) ** 4
    return infrared
