"""Which hours of the year the records of an EnergyPlus weather file belong to, by their own stamps."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cosim.core.errors import InputFileError
from cosim.core.quantities import Vector

from .year import HOURS, MONTH_DAYS, MONTH_START

_Stamp = tuple[int, int, int]


@dataclass(frozen=True)
class Hours:
    """Hours that records belong to, in the order of the file, without 29 February."""

    index: npt.NDArray[np.int64]
    """Hour of the year of each hour, shape (n_hours,)."""
    rows: npt.NDArray[np.int64]
    """Row in the file of each hour's first record."""
    kept: npt.NDArray[np.int64]
    """Positions of the records of these hours, shape (n_hours * per_hour,)."""
    record_rows: npt.NDArray[np.int64]
    """Row in the file of each of these records."""
    per_hour: int
    notes: tuple[str, ...]

    @property
    def is_whole(self) -> bool:
        """Whether they are all hours of the year."""
        return len(self.index) == HOURS

    @property
    def elapsed(self) -> Vector:
        """Hours from the first one to each, shape (n_hours,), so that what is far apart is not taken for neighbours."""
        return np.concatenate(([0.0], np.cumsum(np.diff(self.index) % HOURS)))

    def spread(self, values: Vector) -> Vector:
        """Return values of the hours as an array over the year, NaN in other hours."""
        year: Vector = np.full(HOURS, np.nan)
        year[self.index] = values
        return year


def hours_of_records(path: Path, head: Sequence[str], stamps: Sequence[Sequence[str]], first_row: int) -> Hours:
    """Return the hours of all records.

    Parameters
    ----------
    path
        For messages.
    head
        The row of data periods.
    stamps
        Month, day, hour and minute of each record.
    first_row
        Row of the first record in the file.

    Raises
    ------
    InputFileError
        If the row of data periods is malformed, or records are missing, out of order, or more or fewer than it
        announces.
    """
    n_periods, per_hour, periods = _periods(path, head)
    found: list[_Stamp] = []
    for k, texts in enumerate(stamps):
        stamp, row = _stamp(texts), first_row + k
        expected = found[-1] if found and k % per_hour else _after(found[-1], stamp) if found else None
        jumps = expected is not None and stamp != expected and k % per_hour == 0 and n_periods > 1 and _is_date(stamp)
        if jumps and stamp is not None and stamp[2] == 1:
            n_periods -= 1
        elif stamp is None or not _is_date(stamp) or (expected is not None and stamp != expected):
            wanted = "1,1,1" if expected is None else ",".join(map(str, expected))
            raise InputFileError(
                f"{path}, row {row} is stamped month, day, hour {','.join(texts[:3])}: expected {wanted}, "
                f"{'every hour' if per_hour == 1 else f'{per_hour} records for every hour'} once and in order"
            )
        _check_minute(path, row, texts[3], k % per_hour, per_hour)
        found.append(stamp)
    _check_count(path, found, per_hour, periods)
    is_leap_day = np.array([stamp[:2] == (2, 29) for stamp in found])
    kept = np.flatnonzero(~is_leap_day)
    month, day, hour = np.array(found)[kept[::per_hour]].T
    index = (MONTH_START[month - 1] + day - 1) * 24 + hour - 1
    if len(np.unique(index)) < len(index):
        twice = int(np.flatnonzero(np.bincount(index, minlength=HOURS) > 1)[0])
        raise InputFileError(f"{path} has hour {twice % 24 + 1} of day {twice // 24 + 1} twice: give one year at most")
    notes = []
    if is_leap_day.any():
        notes.append("29 February left out")
    if per_hour > 1:
        notes.append(f"{per_hour} records an hour: radiation [W/m²] averaged over the hour, the others read at its end")
    if len(index) < HOURS:
        notes.append(f"{len(index)} of {HOURS} hours of the year are covered")
    rows = first_row + kept
    return Hours(index.astype(np.int64), rows[::per_hour], kept, rows, per_hour, tuple(notes))


def _periods(path: Path, head: Sequence[str]) -> tuple[int, int, list[tuple[_Stamp, _Stamp]]]:
    """Return number of periods, records per hour, and first and last day of the periods that are readable."""
    try:
        n_periods, per_hour = int(head[1]), int(head[2])
    except (IndexError, ValueError):
        n_periods = per_hour = 0
    if n_periods < 1 or per_hour < 1 or 60 % per_hour:
        raise InputFileError(
            f"{path}, DATA PERIODS is {','.join(head)[:60]}: it must give the number of periods and that of records "
            "per hour, which divides 60"
        )
    periods = []
    for k in range(n_periods):
        dates = [re.findall(r"\d+", text)[:2] for text in head[5 + 4 * k : 7 + 4 * k]]
        if len(dates) == 2 and all(len(date) == 2 for date in dates):
            first, last = ((int(month), int(day), 1) for month, day in dates)
            if _is_date(first) and _is_date(last):
                periods.append((first, last))
    return n_periods, per_hour, periods if len(periods) == n_periods else []


def _stamp(texts: Sequence[str]) -> _Stamp | None:
    try:
        month, day, hour = (float(text) for text in texts[:3])
    except ValueError:
        return None
    stamp = (int(month), int(day), int(hour))
    return stamp if stamp == (month, day, hour) else None


def _is_date(stamp: _Stamp | None) -> bool:
    if stamp is None:
        return False
    month, day, hour = stamp
    return 1 <= month <= 12 and 1 <= day <= MONTH_DAYS[month - 1] + (month == 2) and 1 <= hour <= 24


def _after(stamp: _Stamp, found: _Stamp | None) -> _Stamp:
    """Return the hour after one; after 28 February the 29th where the file has it."""
    month, day, hour = stamp
    if hour < 24:
        return month, day, hour + 1
    if (month, day) == (2, 28) and found == (2, 29, 1):
        return 2, 29, 1
    if day < MONTH_DAYS[month - 1]:
        return month, day + 1, 1
    return month % 12 + 1, 1, 1


def _check_minute(path: Path, row: int, text: str, part: int, per_hour: int) -> None:
    """Check the minute of a record, which names its end; hourly files write 0, 60 or anything."""
    if per_hour == 1:
        return
    expected = (part + 1) * 60 // per_hour
    try:
        minute = float(text)
    except ValueError:
        minute = -1.0
    if minute % 60 != expected % 60:
        raise InputFileError(
            f"{path}, row {row} is stamped minute {text}: with {per_hour} records per hour it must be {expected}, the "
            "end of its interval"
        )


def _check_count(path: Path, found: Sequence[_Stamp], per_hour: int, periods: Sequence[tuple[_Stamp, _Stamp]]) -> None:
    leap = any(stamp[:2] == (2, 29) for stamp in found)
    announced = 0
    for first, last in periods:
        begin, end = (int(MONTH_START[month - 1]) + day for month, day, _ in (first, last))
        announced += ((end - begin) % 365 + 1) * 24
    announced += 24 if leap and announced else 0
    n_hours = len(found) / per_hour
    if n_hours == announced or (not announced and found and n_hours == int(n_hours)):
        return
    what = "hourly rows" if per_hour == 1 else f"rows of {per_hour} per hour"
    if announced in (0, HOURS, HOURS + 24):
        rule = f"a year has {HOURS * per_hour}, or {(HOURS + 24) * per_hour} if leap"
        also = "; name the days that a shorter file covers in DATA PERIODS"
    else:
        (month, day, _), (last_month, last_day, _) = periods[0][0], periods[-1][1]
        rule, also = f"DATA PERIODS announces {announced * per_hour}, {month}/{day} to {last_month}/{last_day}", ""
    raise InputFileError(f"{path} has {len(found)} {what}: {rule}{also}")
