"""Hourly weather of one year and its exact means over the steps of a run.

A `WeatherYear` comes from an EnergyPlus weather file (`epw.read_epw`) or from published monthly normals
(`normals.synthetic_year`). Records follow the EPW convention [1]_: record ``i`` ends hour ``i`` of the year
in local standard time; radiation is the mean over that hour, everything else the value at its end.

References
----------
.. [1] US Department of Energy, EnergyPlus Auxiliary Programs, "EnergyPlus Weather File (EPW) Data
   Dictionary".
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cosim.core.errors import CosimError
from cosim.core.ports import frozen
from cosim.core.quantities import HOUR_S, Indices, Vector

HOURS = 8760
STEFAN_BOLTZMANN = 5.670374419e-8
MONTH_DAYS = np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
MONTH_START = np.concatenate(([0], np.cumsum(MONTH_DAYS)[:-1]))
MONTH = np.repeat(np.arange(12), MONTH_DAYS)
"""Month (0 to 11) of each of the 365 days."""


@dataclass(frozen=True)
class WeatherYear:
    """One year of hourly weather at one place, in local standard time, without 29 February.

    Where a file covers only a part of the year, the other hours are NaN in every array and a run cannot touch them.

    Parameters
    ----------
    dry_bulb, relative_humidity, wind_speed, pressure : shape (8760,)
        Values at the end of each hour. [°C], [1], [m/s], [Pa]
    ghi, dni, dhi : shape (8760,)
        Global horizontal, direct normal and diffuse horizontal radiation, means over each hour. [W/m²]
    horizontal_infrared : shape (8760,)
        Long-wave radiation from the sky on the horizontal, means over each hour. [W/m²]
    latitude, longitude, elevation, utc_offset_h
        Location [° north, ° east, m above sea level] and offset of standard time. [h]
    name, source
        Name of the place, and origin of the data.
    notes
        Values filled or left out while reading.
    path
        The file it was read from, if any.
    is_partial
        Whether hours are left open.
    ground
        Depth [m] of monthly mean ground temperatures that the file publishes, and these temperatures [°C], if any.
    days
        Days of this year that were chosen by name, with their figures.
    wind_direction : shape (8760,)
        Direction that the wind comes from at the end of each hour, clockwise from north, NaN where it is unknown. [°]
        None where the source has none.

    Raises
    ------
    CosimError
        If an array does not have 8760 finite values, apart from the hours that a partial year leaves open.
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
    is_partial: bool = False
    ground: tuple[float, ...] | None = None
    days: tuple[str, ...] = ()
    wind_direction: Vector | None = None

    def __post_init__(self) -> None:
        for field in fields(self)[:8]:
            values = np.array(getattr(self, field.name), dtype=np.float64)
            is_open = np.isnan(self.dry_bulb) & np.isnan(values) if self.is_partial else False
            if values.shape != (HOURS,) or not (np.isfinite(values) | is_open).all():
                raise CosimError(
                    f"{field.name} of the weather year {self.name!r} has shape {values.shape} and "
                    f"{int((~np.isfinite(values)).sum())} values that are not finite: "
                    f"it needs {HOURS} finite numbers"
                )
            object.__setattr__(self, field.name, frozen(values))
        if self.wind_direction is not None:
            turned = np.array(self.wind_direction, dtype=np.float64)
            if turned.shape != (HOURS,) or (np.abs(turned - 180.0) > 180.0).any():
                raise CosimError(
                    f"wind_direction of the weather year {self.name!r} has shape {turned.shape}, up to "
                    f"{np.nanmax(turned, initial=0.0):g}: it needs {HOURS} numbers from 0 to 360°, NaN where it is "
                    "unknown"
                )
            object.__setattr__(self, "wind_direction", frozen(turned))

    @property
    def wind_east(self) -> Vector:
        """The wind's velocity towards the east, 0 where its direction is unknown, shape (8760,). [m/s]"""
        return self._towards(np.sin)

    @property
    def wind_north(self) -> Vector:
        """The wind's velocity towards the north, 0 where its direction is unknown, shape (8760,). [m/s]"""
        return self._towards(np.cos)

    def _towards(self, axis: Callable[[Vector], Vector]) -> Vector:
        if self.wind_direction is None:
            return np.where(self.covered, 0.0, math.nan)
        part: Vector = -self.wind_speed * axis(np.radians(self.wind_direction))
        return np.where(np.isnan(part) & self.covered, 0.0, part)

    @property
    def covered(self) -> npt.NDArray[np.bool_]:
        """Whether an hour has weather, shape (8760,)."""
        return np.isfinite(self.dry_bulb)


def hour_text(hour: int) -> str:
    """Return an hour of the year as a date with the number of the hour that ends then.

    >>> hour_text(24 * 31 + 4)
    '1 February, hour 5'
    """
    day = dt.date(2001, 1, 1) + dt.timedelta(days=int(hour) // 24)
    return f"{day.day} {day:%B}, hour {int(hour) % 24 + 1}"


@dataclass(frozen=True)
class Course:
    """Quantities over a run, linear or constant between given times, with exact means over any interval.

    Parameters
    ----------
    times : shape (n + 1,)
        Increasing times from the run's start. [s]
    first, last : shape (n, n_quantities)
        Values at the beginning and end of each interval between two times.
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
            If an interval is empty or extends beyond the course.

        Examples
        --------
        >>> Course(np.array([0.0, 10.0]), np.array([[0.0]]), np.array([[10.0]])).mean(4, 8)
        array([[6.]])
        """
        start, end = (np.atleast_1d(np.asarray(x, dtype=np.float64)) for x in (start_s, end_s))
        low, high = self.times[0], self.times[-1]
        if not (end > start).all() or start.min() < low - 1e-6 or end.max() > high + 1e-6:
            raise CosimError(
                f"mean requested from {start.min():g} to {end.max():g} s of a course from {low:g} to "
                f"{high:g} s: intervals must be longer than 0 s and lie within it"
            )
        return (self._integral(end) - self._integral(start)) / (end - start)[:, None]


def run_hours(year: WeatherYear, start_utc: dt.datetime, span_s: float) -> tuple[float, Indices]:
    """Return the records that cover a run.

    Records are matched by calendar day and hour, regardless of the years of run and file; 29 February repeats
    the 28th, and January of the same weather year follows December.

    Returns
    -------
    lead_s
        Time from the start of the run's first hour of local standard time to the run's start, 0 to 3600. [s]
    index : shape (n_hours + 1,)
        The record of the preceding hour, then of each hour that overlaps the run.

    Raises
    ------
    CosimError
        If the start has no time zone, the span is not positive, or the weather does not cover the run.
    """
    lead_s, index = _hours_of(year, start_utc, span_s)
    if year.is_partial:
        covered = year.covered
        if not covered[index[1:]].all():
            first = int(index[1:][np.argmin(covered[index[1:]])])
            known = np.flatnonzero(covered)
            begins = known[~covered[(known - 1) % HOURS]]
            ends = known[~covered[(known + 1) % HOURS]]
            ends = np.roll(ends, -1) if ends[0] < begins[0] else ends
            parts = ", ".join(f"{hour_text(a)} to {hour_text(b)}" for a, b in zip(begins, ends, strict=True))
            raise CosimError(
                f"{year.source} ({year.name}) has no weather for {hour_text(first)}, which the run needs: it covers "
                f"{parts}; choose a run within that, or a file of a whole year"
            )
        if not covered[index[0]]:
            index[0] = index[1]
    return lead_s, index


def covered_s(year: WeatherYear, start_utc: dt.datetime, span_s: float) -> float:
    """Return for how long the weather covers a run that begins then, at most ``span_s``. [s]"""
    lead_s, index = _hours_of(year, start_utc, span_s)
    lacks = np.flatnonzero(~year.covered[index[1:]])
    return span_s if not len(lacks) else max(lacks[0] * 3600.0 - lead_s, 0.0)


def filled(year: WeatherYear, start_utc: dt.datetime, span_s: float) -> tuple[WeatherYear, int]:
    """Return a year with weather for a span, and the number of hours that it lacked.

    An hour without weather repeats the one a day later, or the next one where that is missing too: a file that begins
    within the span repeats its first day. Where none follows, it repeats the one a day or an hour before.
    """
    index = _hours_of(year, start_utc, span_s)[1]
    arrays = {item.name: getattr(year, item.name).copy() for item in fields(year)[:8]}
    lacking = [int(hour) for hour in index if not year.covered[hour]]
    for way, hours in ((1, lacking[::-1]), (-1, lacking)):
        for hour in hours:
            if np.isnan(arrays["dry_bulb"][hour]):
                a_day = (hour + 24 * way) % HOURS
                source = (hour + way) % HOURS if np.isnan(arrays["dry_bulb"][a_day]) else a_day
                for values in arrays.values():
                    values[hour] = values[source]
    missing = int((~year.covered[index[1:]]).sum())  # the first record is that of the hour before
    return (replace(year, **arrays), missing) if lacking else (year, 0)


def _hours_of(year: WeatherYear, start_utc: dt.datetime, span_s: float) -> tuple[float, npt.NDArray[np.int64]]:
    if start_utc.tzinfo is None or not (0 < span_s < math.inf):
        raise CosimError(
            f"weather requested from {start_utc.isoformat()} for {span_s} s: the start needs a time zone and "
            "the span must be positive"
        )
    local = start_utc.astimezone(dt.UTC).replace(tzinfo=None) + dt.timedelta(hours=year.utc_offset_h)
    hour = local.replace(minute=0, second=0, microsecond=0)
    lead_s = (local - hour).total_seconds()
    starts = np.datetime64(hour, "h") + np.arange(-1, math.ceil((lead_s + span_s) / HOUR_S - 1e-9))
    days, months = starts.astype("M8[D]"), starts.astype("M8[M]")
    month = months.astype(np.int64) % 12
    day = np.minimum((days - months.astype("M8[D]")).astype(np.int64), MONTH_DAYS[month] - 1)
    return lead_s, (MONTH_START[month] + day) * 24 + (starts - days.astype("M8[h]")).astype(np.int64)


def interpolated(year: WeatherYear, names: Sequence[str], start_utc: dt.datetime, span_s: float) -> Course:
    """Return the named quantities over a run, linear between the ends of hours (not for radiation)."""
    lead_s, index = run_hours(year, start_utc, span_s)
    nodes: Vector = np.stack([getattr(year, name) for name in names], axis=1)[index]
    times: Vector = HOUR_S * np.arange(len(index), dtype=np.float64) - lead_s
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
