"""What does an EnergyPlus weather file say, and what is done about what it lacks?

The format is that of the EPW data dictionary [1]_.

References
----------
.. [1] US Department of Energy, EnergyPlus Auxiliary Programs, "EnergyPlus Weather File (EPW) Data
   Dictionary".
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from .errors import InputFileError
from .ports import Vector
from .weather import HOURS, MONTH_DAYS, WeatherYear, sky_infrared

_FEBRUARY_29 = (31 + 28) * 24 + np.arange(24)
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
    for month, days in enumerate(MONTH_DAYS, 1):
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
