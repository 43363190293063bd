"""What was the weather, hour by hour, and what is its mean over any step of a run?

A `WeatherYear` comes from an EnergyPlus weather file (`read_epw`) or from published monthly normals
(`synthetic_year`). Records follow the EPW convention [1]_: record ``i`` closes hour ``i`` of the year in
local standard time; radiation is the mean over that hour, everything else the value at its end.

References
----------
.. [1] US Department of Energy, EnergyPlus Auxiliary Programs, "EnergyPlus Weather File (EPW) Data
   Dictionary".
"""

from __future__ import annotations

import csv
import datetime as dt
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from importlib import resources
from pathlib import Path

import numpy as np
import numpy.typing as npt

from .errors import CosimError, InputFileError
from .ports import Vector, frozen

HOURS = 8760
STEFAN_BOLTZMANN = 5.670374419e-8
_MONTH_DAYS = np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
_MONTH_START = np.concatenate(([0], np.cumsum(_MONTH_DAYS)[:-1]))
MONTH = np.repeat(np.arange(12), _MONTH_DAYS)
"""Month (0 to 11) of each of the 365 days."""
_FEBRUARY_29 = (31 + 28) * 24 + np.arange(24)


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
    day = np.minimum((days - months.astype("M8[D]")).astype(np.int64), _MONTH_DAYS[month] - 1)
    return lead_s, (_MONTH_START[month] + day) * 24 + (starts - days.astype("M8[h]")).astype(np.int64)


def interpolated(year: WeatherYear, names: Sequence[str], start_utc: dt.datetime, span_s: float) -> Course:
    """Return the named quantities along a run, linear between the ends of hours (not for radiation)."""
    lead_s, index = run_hours(year, start_utc, span_s)
    nodes: Vector = np.stack([getattr(year, name) for name in names], axis=1)[index]
    times: Vector = 3600.0 * np.arange(len(index), dtype=np.float64) - lead_s
    return Course(times, nodes[:-1], nodes[1:])


# EPW column, value from which on the field is missing, lowest and highest credible value, factor to SI, and
# whether short gaps are interpolated; missing codes as in the EPW data dictionary.
_FIELDS: dict[str, tuple[int, float, float, float, float, bool]] = {
    "dry_bulb": (6, 99.9, -90.0, 60.0, 1.0, True),
    "relative_humidity": (8, 999.0, 0.0, 110.0, 0.01, True),
    "pressure": (9, 999999.0, 31000.0, 120000.0, 1.0, True),
    "horizontal_infrared": (12, 9999.0, 0.0, 800.0, 1.0, False),
    "ghi": (13, 9999.0, 0.0, 1500.0, 1.0, False),
    "dni": (14, 9999.0, 0.0, 1500.0, 1.0, False),
    "dhi": (15, 9999.0, 0.0, 1500.0, 1.0, False),
    "wind_speed": (21, 999.0, 0.0, 75.0, 1.0, True),
}
_OPAQUE_SKY = 23
_LONGEST_GAP_H = 6
_LARGEST_FILE = 20_000_000


def _rows(path: Path) -> list[list[str]]:
    try:
        raw = path.read_bytes() if path.stat().st_size <= _LARGEST_FILE else None
    except OSError as error:
        raise InputFileError(f"{path} cannot be read ({error.strerror}): give the path of an EPW file") from error
    if raw is None:
        raise InputFileError(f"{path} is larger than {_LARGEST_FILE} bytes: an hourly EPW file has about 1.6 million")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")  # many EPW files: a place or author name with an accent
    try:
        return list(csv.reader(text.splitlines()))
    except csv.Error as error:
        raise InputFileError(f"{path} is no comma-separated text ({error}): give an EPW file") from error


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _location(path: Path, row: Sequence[str]) -> tuple[str, str, list[float]]:
    if not row or row[0].strip().upper() != "LOCATION" or len(row) < 10:
        raise InputFileError(f"{path}, row 1 is {','.join(row)[:60]!r}: an EPW file begins with LOCATION and 9 fields")
    values = []
    limits = (
        ("latitude", -90, 90),
        ("longitude", -180, 180),
        ("time zone", -12, 14),
        ("elevation", -500, 9000),
    )
    for field, (name, low, high) in enumerate(limits, start=6):
        values.append(_number(row[field]))
        if not low <= values[-1] <= high:
            raise InputFileError(f"{path}, row 1, {name} is {row[field]!r}: it must lie in {low} to {high}")
    return row[1].strip(), row[4].strip(), values


def _calendar(leap: bool) -> Iterator[tuple[int, int, int]]:
    for month, days in enumerate(_MONTH_DAYS, 1):
        for day in range(1, days + 1 + (leap and month == 2)):
            for hour in range(1, 25):
                yield month, day, hour


def _fill(path: Path, name: str, values: Vector, offset: int, leap: bool) -> str:
    """Close short gaps in place by linear interpolation around the year; refuse long ones."""
    missing = np.isnan(values)
    known = np.flatnonzero(~missing)
    gaps = np.diff(np.append(known, known[:1] + HOURS)) - 1 if len(known) else np.array([HOURS])
    if gaps.max() > _LONGEST_GAP_H:
        first = int(known[np.argmax(gaps)] + 1) % HOURS if len(known) else 0
        row = first + offset + (24 if leap and first >= _FEBRUARY_29[0] else 0)
        raise InputFileError(
            f"{path}, row {row}, {name} is missing for {gaps.max()} hours: gaps of up to {_LONGEST_GAP_H} hours "
            "are interpolated, longer ones must be filled in the file"
        )
    values[missing] = np.interp(np.flatnonzero(missing), known, values[known], period=HOURS)
    return f"{name}: {missing.sum()} missing hours interpolated"


def read_epw(path: str | Path) -> WeatherYear:
    """Read an EnergyPlus weather file.

    Missing-value codes follow one rule. Dry bulb, humidity, pressure and wind are interpolated over gaps of up
    to six hours. The sky's long-wave radiation is computed from temperature, humidity and opaque sky cover
    (`sky_infrared`). Missing radiation from the sun is refused. What was filled stands in
    `WeatherYear.notes`, also that a 29 February was left out. Files in Latin-1 are read as such.

    Raises
    ------
    InputFileError
        If the file cannot be read, a row is missing, doubled or out of order, or a field is no number,
        missing without a rule, or outside its credible range. The message names file, row, field and rule.
    """
    path = Path(path)
    rows = _rows(path)
    name, kind, (latitude, longitude, utc_offset_h, elevation) = _location(path, rows[0] if rows else [])
    first_fields = [row[0].strip().upper() if row else "" for row in rows[:40]]
    head = first_fields.index("DATA PERIODS") if "DATA PERIODS" in first_fields else None
    if head is None or len(rows[head]) < 3 or rows[head][2].strip() != "1":
        got = "missing" if head is None else ",".join(rows[head])[:60]
        raise InputFileError(f"{path}, DATA PERIODS is {got}: the file must have that row, with 1 record per hour")
    records = rows[head + 1 :]
    while records and not any(records[-1]):
        records.pop()
    offset = head + 2  # the number of the first record as an editor shows it
    leap = len(records) == HOURS + 24
    if len(records) not in (HOURS, HOURS + 24):
        raise InputFileError(f"{path} has {len(records)} hourly rows: a year has {HOURS}, or {HOURS + 24} if leap")
    for k, (row, expected) in enumerate(zip(records, _calendar(leap), strict=True)):
        if len(row) <= _FIELDS["wind_speed"][0]:
            raise InputFileError(f"{path}, row {k + offset} has {len(row)} fields: an EPW record has at least 22")
        if tuple(_number(text) for text in row[1:4]) != expected:
            raise InputFileError(
                f"{path}, row {k + offset} is stamped month, day, hour {','.join(row[1:4])}: expected "
                f"{','.join(map(str, expected))}, every hour of the year once and in order"
            )
    notes = []
    columns: dict[str, Vector] = {}
    if leap:
        notes.append("29 February left out")
    for field, (column, code, low, high, factor, fill) in _FIELDS.items():
        values = np.array([_number(row[column]) for row in records])
        absent = values >= code
        bad = ~(absent | ((values >= low) & (values <= high)))
        if bad.any() or (absent.any() and not fill and field != "horizontal_infrared"):
            k = int(np.argmax(bad | absent))
            rule = f"it must be a number in {low:g} to {high:g}"
            if absent[k]:
                rule = "that means missing, and radiation from the sun is never invented: fill it in the file"
            raise InputFileError(f"{path}, row {k + offset}, {field} is {records[k][column]!r}: {rule}")
        values[absent] = math.nan
        columns[field] = (np.delete(values, _FEBRUARY_29) if leap else values) * factor
        if fill and np.isnan(columns[field]).any():
            notes.append(_fill(path, field, columns[field], offset, leap))
    columns["relative_humidity"] = np.minimum(columns["relative_humidity"], 1.0)
    absent = np.isnan(columns["horizontal_infrared"])
    if absent.any():
        cover = np.array([_number(row[_OPAQUE_SKY]) if len(row) > _OPAQUE_SKY else 0.0 for row in records])
        cover = np.where((cover >= 0) & (cover <= 10), cover, 0.0) / 10.0
        cover = np.delete(cover, _FEBRUARY_29) if leap else cover
        sky = sky_infrared(columns["dry_bulb"], columns["relative_humidity"], cover)
        columns["horizontal_infrared"][absent] = sky[absent]
        notes.append(f"horizontal_infrared: {absent.sum()} missing hours computed from humidity and sky cover")
    return WeatherYear(
        **columns,
        latitude=latitude,
        longitude=longitude,
        elevation=elevation,
        utc_offset_h=utc_offset_h,
        name=name,
        source=f"EPW {kind} {path.name}",
        notes=tuple(notes),
        path=path,
    )


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


def _normals(place: str) -> dict[str, list[str]]:
    text = resources.files("cosim.core").joinpath("climate_normals.csv").read_text("utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    mine = [row for row in rows if row["place"] == place.strip().lower()]
    if not mine:
        known = ", ".join(sorted({row["place"] for row in rows}))
        raise CosimError(f"no climate normals for {place!r}: there are {known}; for other places give an EPW file")
    return {column: [row[column] for row in mine] for column in rows[0]}


def _daily(monthly: Vector) -> Vector:
    """Return 365 daily values, piecewise linear, whose monthly means are the given ones."""
    middle = _MONTH_START + _MONTH_DAYS / 2
    day = np.arange(365) + 0.5
    knots = np.stack([np.interp(day, middle, unit, period=365) for unit in np.eye(12)], axis=1)
    means = np.stack([knots[month == MONTH].mean(axis=0) for month in range(12)])
    daily: Vector = knots @ np.linalg.solve(means, monthly)
    return daily


def _daily_curve(low: Vector, high: Vector) -> Vector:
    """Return hourly temperatures, half cosines from each day's low at 5 h to its high at 15 h and on."""
    hour = np.arange(1, 25)
    rise = 0.5 - 0.5 * np.cos(np.pi * (hour - 5) / 10)
    fall = 0.5 + 0.5 * np.cos(np.pi * ((hour - 15) % 24) / 14)
    from_high = np.where(hour[None, :] < 5, np.roll(high, 1)[:, None], high[:, None])
    to_low = np.where(hour[None, :] > 15, np.roll(low, -1)[:, None], low[:, None])
    rising = low[:, None] + (high - low)[:, None] * rise
    falling = to_low + (from_high - to_low) * fall
    curve: Vector = np.where((hour >= 5) & (hour <= 15), rising, falling).ravel()
    return curve


def synthetic_year(place: str) -> WeatherYear:
    """Return a mean year made from published monthly climate normals.

    Every day is the mean day of its date: there is no day-to-day variability, no cold spell, no heat wave and
    no overcast or clear day, so it shows typical energy and never a design peak. Monthly means of the daily
    minimum and maximum temperature and monthly sunshine reproduce the normals in ``climate_normals.csv``
    (sources and checks stand there).

    Global radiation follows from sunshine by Ångström-Prescott, 0.25 + 0.50 n/N of the extraterrestrial ([1]_
    eq. 35) and is split and spread over the day by mean-day correlations (`solar.radiation_from_sunshine`).
    Temperature runs in half cosines from the low at 5 h to the high at 15 h standard time (assumption). The dew
    point is the day's lowest temperature ([1]_ eq. 48), the wind 2 m/s throughout ([1]_, for want of data),
    pressure the standard atmosphere ([1]_ eq. 7); cloud cover, for the sky's long-wave radiation, is taken as
    1 - n/N (assumption).

    Parameters
    ----------
    place
        ``"barcelona"`` or ``"bologna"``.

    Raises
    ------
    CosimError
        If there are no normals for the place.

    References
    ----------
    .. [1] Allen, Pereira, Raes, Smith, Crop evapotranspiration, FAO Irrigation and Drainage Paper 56, 1998.

    Examples
    --------
    >>> round(float(synthetic_year("barcelona").dry_bulb.mean()), 1)
    16.1
    """
    from .solar import radiation_from_sunshine  # it stands on this module

    table = _normals(place)
    low, high, sunshine_h = (np.array([float(x) for x in table[name]]) for name in ("tmin_c", "tmax_c", "sunshine_h"))
    latitude, longitude, elevation, utc_offset_h = (
        float(table[name][0]) for name in ("latitude", "longitude", "elevation_m", "utc_offset_h")
    )
    daily_low = _daily(low)
    dry_bulb = _daily_curve(daily_low, _daily(high))
    humidity = np.minimum(np.repeat(saturation_pressure(daily_low), 24) / saturation_pressure(dry_bulb), 1.0)
    radiation, relative_sunshine = radiation_from_sunshine(sunshine_h, latitude, longitude, elevation, utc_offset_h)
    cover = np.repeat(1.0 - relative_sunshine[MONTH], 24)
    return WeatherYear(
        dry_bulb=dry_bulb,
        relative_humidity=humidity,
        ghi=radiation[0],
        dni=radiation[1],
        dhi=radiation[2],
        wind_speed=np.full(HOURS, 2.0),
        pressure=np.full(HOURS, 101300.0 * ((293.0 - 0.0065 * elevation) / 293.0) ** 5.26),
        horizontal_infrared=sky_infrared(dry_bulb, humidity, cover),
        latitude=latitude,
        longitude=longitude,
        elevation=elevation,
        utc_offset_h=utc_offset_h,
        name=table["station"][0],
        source=f"mean year from monthly normals: {table['source'][0]}",
    )
