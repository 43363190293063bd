"""Reader of EnergyPlus weather files (EPW), with rules for missing values.

The format is that of the EPW data dictionary [1]_; which hour a record belongs to is in `epw_times`.

References
----------
.. [1] US Department of Energy, EnergyPlus Auxiliary Programs, "EnergyPlus Weather File (EPW) Data
   Dictionary".
"""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cosim.core.errors import InputFileError
from cosim.core.quantities import Vector

from .epw_times import Hours, hours_of_records
from .solar import beam_factors
from .year import HOURS, WeatherYear, hour_text, saturation_pressure, sky_infrared

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
_RADIATION = ("ghi", "dni", "dhi")
_MEANS = (*_RADIATION, "horizontal_infrared")
_DEW_POINT = 7
_WIND_DIRECTION = 20
_TOTAL_SKY, _OPAQUE_SKY = 22, 23
_LOWEST_COSINE = 0.065
"""Cosine of the zenith below which beam radiation is not derived from horizontal radiation: 3.7° over the horizon."""
_LARGEST_SHIFT_H = 1.5
"""Largest shift between the centre of the radiation's day and the sun's noon. [h] Assumption: stamps at the beginning
instead of the end of the hour or summer time shift it by 1 h, morning fog by some minutes."""
_LONGEST_GAP_H = 6
_HIGHEST_FRACTION = 0.0101
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
        raise InputFileError(f"{path} is not comma-separated text ({error}): give an EPW file") from error


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


def _column(records: Sequence[Sequence[str]], column: int) -> Vector:
    return np.array([_number(row[column]) if len(row) > column else math.nan for row in records])


def _by_hour(values: Vector, hours: Hours, name: str) -> Vector:
    """Return one value for each hour: the mean of its records, or that at its end where the field is no mean."""
    parts = values.reshape(-1, hours.per_hour)
    if name not in _MEANS:
        return parts[:, -1].copy()
    known = np.isfinite(parts)
    total: Vector = np.where(known, parts, 0.0).sum(axis=1)
    mean: Vector = np.divide(total, known.sum(axis=1), out=np.full(len(parts), math.nan), where=known.any(axis=1))
    return mean


def _gaps(missing: np.ndarray[tuple[int], np.dtype[np.bool_]], is_cyclic: bool) -> list[tuple[int, int]]:
    """Return first position and length of each run of missing values; a cyclic one may go past the end."""
    if missing.all():
        return [(0, len(missing))]
    n, first = len(missing), int(np.argmin(missing)) if is_cyclic else 0
    rolled = np.concatenate(([False], np.roll(missing, -first), [False])).astype(np.int8)
    begins, ends = np.flatnonzero(np.diff(rolled) == 1), np.flatnonzero(np.diff(rolled) == -1)
    return [((int(begin) + first) % n, int(end - begin)) for begin, end in zip(begins, ends, strict=True)]


def _fill(name: str, values: Vector, hours: Hours, notes: list[str]) -> list[str]:
    """Fill short gaps in place by linear interpolation, over New Year where the year is whole.

    Returns a problem for each gap that is too long.
    """
    missing = np.isnan(values)
    if not missing.any():
        return []
    problems = [
        f"row {hours.rows[first]}, {name} is missing for {length} hours: gaps of up to {_LONGEST_GAP_H} hours are "
        f"interpolated, longer ones must be filled in the file ({hour_text(hours.index[first])} to "
        f"{hour_text(hours.index[(first + length - 1) % len(values)])})"
        for first, length in _gaps(missing, hours.is_whole)
        if length > _LONGEST_GAP_H
    ]
    if not problems:
        period = HOURS if hours.is_whole else None
        values[missing] = np.interp(hours.elapsed[missing], hours.elapsed[~missing], values[~missing], period=period)
        notes.append(f"{name}: {missing.sum()} missing hours interpolated")
    return problems


def _derive_radiation(columns: dict[str, Vector], hours: Hours, place: Sequence[float], notes: list[str]) -> list[str]:
    """Derive one of global, direct and diffuse radiation from the two others in place; all are 0 without sun.

    Returns a problem for the first hour of sun where two are missing.
    """
    ghi, dni, dhi = (columns[name] for name in _RADIATION)
    absent = {name: np.isnan(columns[name]) for name in _RADIATION}
    n_absent = np.sum(list(absent.values()), axis=0)
    if not n_absent.any():
        return []
    latitude, longitude, utc_offset_h, elevation = place
    factor, normal = (x[hours.index] for x in beam_factors(latitude, longitude, elevation, utc_offset_h))
    dark = factor == 0
    for name in _RADIATION:
        columns[name][absent[name] & dark] = 0.0
    ghi[:] = np.where(np.isnan(ghi), dhi + dni * factor, ghi)
    dhi[:] = np.where(np.isnan(dhi), np.maximum(ghi - dni * factor, 0.0), dhi)
    beam = np.divide(ghi - dhi, factor, out=np.zeros(len(ghi)), where=factor > _LOWEST_COSINE)
    beam[np.isnan(ghi) | np.isnan(dhi)] = math.nan
    dni[:] = np.where(np.isnan(dni), np.clip(beam, 0.0, normal), dni)
    lost = [name for name in _RADIATION if np.isnan(columns[name]).any()]
    if lost:
        k = int(np.argmax(np.isnan(columns[lost[0]])))
        names = " and ".join(name for name in _RADIATION if absent[name][k])
        n = int((n_absent[~dark] > 1).sum())
        return [
            f"row {hours.rows[k]}, {names} are '9999', which means missing, while the sun is up "
            f"({hour_text(hours.index[k])}; {n} such hours): one of ghi, dni and dhi is derived from the two others; "
            "solar radiation is never interpolated: fill it in the file"
        ]
    sources = {"ghi": "dni, dhi", "dni": "ghi, dhi", "dhi": "ghi, dni"}
    notes += [
        f"{name}: {absent[name].sum()} missing hours derived from {sources[name]} and the sun's height"
        for name in _RADIATION
        if absent[name].any()
    ]
    return []


def _check_noon(path: Path, ghi: Vector, hours: Hours, place: Sequence[float]) -> None:
    """Refuse a file whose radiation is centred far from the sun's noon at its place, in its own time."""
    _, longitude, utc_offset_h, _ = place
    turn = np.exp(2j * np.pi * (hours.index % 24 + 0.5) / 24.0)
    centre = np.sum(ghi * turn)
    if ghi.sum() <= 0 or abs(centre) < 0.1 * ghi.sum():
        return
    noon = 12.0 + utc_offset_h - longitude / 15.0
    found = float(np.angle(centre)) * 12.0 / math.pi
    shift = (found - noon + 12.0) % 24.0 - 12.0
    if abs(shift) > _LARGEST_SHIFT_H:
        raise InputFileError(
            f"{path}, row 1 puts the place at longitude {longitude:g} with its clock at UTC{utc_offset_h:+g} h, where "
            f"the sun is highest about {_clock_text(noon)}, but its radiation is centred at {_clock_text(found)}: "
            "correct longitude or time zone"
        )


def _check_intervals(path: Path, ghi: Vector, hours: Hours, place: Sequence[float]) -> None:
    """Refuse several records an hour whose radiation is energy of the interval instead of its mean power.

    The format's dictionary says Wh/m² for both; EnergyPlus reads the numbers as W/m² whatever the interval.
    """
    latitude, longitude, utc_offset_h, elevation = place
    factor, normal = (x[hours.index] for x in beam_factors(latitude, longitude, elevation, utc_offset_h))
    high = factor > 0.35
    clearness = float((ghi[high] / (normal * factor)[high]).max()) if high.sum() > 100 else 1.0
    if clearness < 0.9 / hours.per_hour:
        raise InputFileError(
            f"{path}, ghi is at most {clearness:.0%} of that above the atmosphere: with {hours.per_hour} records per "
            f"hour radiation must be the mean power of each, in W/m²; if it is energy per interval, multiply it by "
            f"{hours.per_hour}"
        )


def _clock_text(hour: float) -> str:
    minutes = round(hour * 60.0) % 1440
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def _standard_pressure(elevation: float) -> float:
    """Return the pressure of the standard atmosphere. [Pa] ASHRAE Handbook Fundamentals, chapter 1, equation 3."""
    return float(101325.0 * (1.0 - 2.25577e-5 * elevation) ** 5.2559)


def _sky_cover(records: Sequence[Sequence[str]], hours: Hours, absent: np.ndarray, notes: list[str]) -> Vector:
    """Return the opaque sky cover, by the total one where it is missing, 0 where both are. [1]"""
    opaque, total = (_by_hour(_column(records, c), hours, "sky_cover") for c in (_OPAQUE_SKY, _TOTAL_SKY))
    opaque, total = (np.where((x >= 0) & (x <= 10), x, math.nan) for x in (opaque, total))
    cover = np.where(np.isnan(opaque), total, opaque)
    clear = np.isnan(cover) & absent
    if clear.any():
        notes.append(f"sky cover: {clear.sum()} missing hours taken as clear for the sky's long-wave radiation")
    return np.nan_to_num(cover) / 10.0


def _ground(row: Sequence[str]) -> tuple[float, ...] | None:
    """Return depth and monthly temperatures of the first set in a row of ground temperatures, if it has one."""
    values = [_number(text) for text in ([*row[2:3], *row[6:18]] if len(row) >= 18 else [])]
    return tuple(values) if values and all(map(math.isfinite, values)) else None


def read_epw(path: str | Path) -> WeatherYear:
    """Read an EnergyPlus weather file.

    Records belong to the hours that they are stamped with: files may begin in any month, cover a part of a year, have
    several records an hour (radiation is averaged over the hour, everything else read at its end) or a 29 February,
    which is left out.

    Missing-value codes follow one rule. Dry bulb, humidity, pressure and wind are interpolated over gaps of up
    to six hours; humidity follows from the dew point where that is there, pressure is that of the standard atmosphere
    where it is missing throughout. The sky's long-wave radiation is computed from temperature, humidity and sky cover
    (`sky_infrared`). One of global, direct and diffuse radiation follows from the two others and the sun's height;
    where two are missing, the file is refused. `WeatherYear.notes` lists what was filled and left out. Files in Latin-1
    are read as such.

    Raises
    ------
    InputFileError
        If the file cannot be read, a row is missing, duplicated or out of order, a field is not a number, missing
        without a rule, or outside its credible range, or the radiation does not fit place and time zone. The message
        names file, row, field and rule.
    """
    path = Path(path)
    rows = _rows(path)
    name, kind, place = _location(path, rows[0] if rows else [])
    first_fields = [row[0].strip().upper() if row else "" for row in rows[:40]]
    head = first_fields.index("DATA PERIODS") if "DATA PERIODS" in first_fields else None
    if head is None:
        raise InputFileError(f"{path}, DATA PERIODS is missing: the file must have that row before its records")
    records = rows[head + 1 :]
    while records and not any(records[-1]):
        records.pop()
    for k, row in enumerate(records):
        if len(row) <= _FIELDS["wind_speed"][0]:
            raise InputFileError(f"{path}, row {k + head + 2} has {len(row)} fields: an EPW record has at least 22")
    hours = hours_of_records(path, rows[head], [row[1:5] for row in records], head + 2)
    records = [records[k] for k in hours.kept]
    notes, problems = list(hours.notes), list[str]()
    columns: dict[str, Vector] = {}
    for field, (column, code, low, high, factor, _) in _FIELDS.items():
        values = _column(records, column)
        absent = (values >= code) | np.array([not row[column].strip() for row in records])
        if field == "horizontal_infrared":
            absent |= values == 0  # no sky is at absolute zero: files without the field write it
        bad = ~(absent | ((values >= low) & (values <= high)))
        if bad.any():
            k = int(np.argmax(bad))
            raise InputFileError(
                f"{path}, row {hours.record_rows[k]}, {field} is {records[k][column]!r}: it must be a number in "
                f"{low:g} to {high:g}"
            )
        values[absent] = math.nan
        columns[field] = _by_hour(values * factor, hours, field)
    if np.isnan(columns["pressure"]).all():
        columns["pressure"][:] = _standard_pressure(place[3])
        notes.append(f"pressure: missing throughout, that of the standard atmosphere at {place[3]:g} m")
    problems += _fill("dry_bulb", columns["dry_bulb"], hours, notes)
    _humidity_from_dew_point(columns, _by_hour(_column(records, _DEW_POINT), hours, "dew_point"), notes)
    for field in ("relative_humidity", "pressure", "wind_speed"):
        problems += _fill(field, columns[field], hours, notes)
    problems += _derive_radiation(columns, hours, place, notes)
    if problems:
        raise InputFileError(f"{path}, {'; '.join(problems)}")
    _check_noon(path, columns["ghi"], hours, place)
    if hours.per_hour > 1:
        _check_intervals(path, columns["ghi"], hours, place)
    if columns["relative_humidity"].max() <= _HIGHEST_FRACTION:
        raise InputFileError(
            f"{path}, relative_humidity is at most {100 * columns['relative_humidity'].max():g} %, which no place has: "
            "multiply fractions by 100"
        )
    if (n := int((columns["relative_humidity"] > 1.0).sum())) > 0:
        notes.append(f"relative_humidity: {n} hours above 100 % taken as 100 %")
    columns["relative_humidity"] = np.minimum(columns["relative_humidity"], 1.0)
    absent = np.isnan(columns["horizontal_infrared"])
    if absent.any():
        cover = _sky_cover(records, hours, absent, notes)
        sky = sky_infrared(columns["dry_bulb"], columns["relative_humidity"], cover)
        columns["horizontal_infrared"][absent] = sky[absent]
        notes.append(f"horizontal_infrared: {absent.sum()} missing hours computed from humidity and sky cover")
    turned = _by_hour(_column(records, _WIND_DIRECTION), hours, "wind_direction")
    turned[~((turned >= 0.0) & (turned <= 360.0))] = math.nan  # 999 means missing
    lost = int(np.isnan(turned).sum())
    if lost:
        notes.append(f"wind_direction: {lost} hours without one, in which every direction counts as equally likely")
    ground = first_fields.index("GROUND TEMPERATURES") if "GROUND TEMPERATURES" in first_fields[:head] else None
    latitude, longitude, utc_offset_h, elevation = place
    spread: dict[str, Any] = {field: hours.spread(values) for field, values in columns.items()}
    return WeatherYear(
        **spread,
        latitude=latitude,
        longitude=longitude,
        elevation=elevation,
        utc_offset_h=utc_offset_h,
        name=name,
        source=f"EPW {kind} {path.name}",
        notes=tuple(notes),
        path=path,
        is_partial=not hours.is_whole,
        ground=None if ground is None else _ground(rows[ground]),
        wind_direction=None if lost == len(turned) else hours.spread(turned),
    )


def _humidity_from_dew_point(columns: dict[str, Vector], dew_point: Vector, notes: list[str]) -> None:
    humidity, dry_bulb = columns["relative_humidity"], columns["dry_bulb"]
    found = np.isnan(humidity) & np.isfinite(dry_bulb) & (dew_point > -90.0) & (dew_point <= dry_bulb)
    if found.any():
        humidity[found] = saturation_pressure(dew_point[found]) / saturation_pressure(dry_bulb[found])
        notes.append(f"relative_humidity: {found.sum()} missing hours from the dew point")
