"""Air that comes into the streets of a city: urban background by month, or a series of the user's own."""

from __future__ import annotations

import csv
import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from itertools import pairwise
from pathlib import Path

import numpy as np

from cosim.core.environment.chemistry import check_background
from cosim.core.errors import CosimError, InputFileError
from cosim.core.quantities import Array, Vector

POLLUTANTS = ("NO2", "NOx", "O3", "PM10", "PM2.5")
COLUMNS = ("no2", "nox", "o3", "pm10", "pm25")
_KG_PER_UG = 1e-9


@dataclass(frozen=True)
class Background:
    """Concentrations of the background.

    Attributes
    ----------
    monthly : shape (12, 5)
        Means by month, in the order of `POLLUTANTS`. [kg/m³]
    hours, series
        Beginnings of hours in UTC, ascending, and their values, shape (n_hours, 5) [kg/m³]; hours outside them have the
        monthly means.
    source
        Where they come from.
    balanced
        Whether NOx is unknown and taken as in balance with NO2 and ozone, hour by hour.

    Raises
    ------
    CosimError
        If a concentration is negative or not finite, NO2 is above NOx, or PM2.5 above PM10.
    """

    monthly: Array
    source: str
    hours: tuple[dt.datetime, ...] = ()
    series: Array | None = None
    balanced: bool = False

    def __post_init__(self) -> None:
        for values in (*self.monthly, *(() if self.series is None else self.series)):
            check_background(values)

    def covers(self, start: dt.datetime, end: dt.datetime) -> bool:
        """Return whether any hour between two moments is in the series; means cover every time."""
        return self.series is None or any(start - dt.timedelta(hours=1) < hour < end for hour in self.hours)

    def at(self, moment: dt.datetime) -> Vector:
        """Return the values of the hour in which a moment lies, shape (5,). [kg/m³]"""
        if self.series is not None:
            k = int(np.searchsorted([hour.timestamp() for hour in self.hours], moment.timestamp(), side="right")) - 1
            if k >= 0 and moment - self.hours[k] < dt.timedelta(hours=1):
                return np.asarray(self.series[k])
        return np.asarray(self.monthly[moment.month - 1])


def read_background(name_or_path: str | Path) -> Background:
    """Return the published monthly means of a city, or read a file.

    Parameters
    ----------
    name_or_path
        ``"barcelona"``, ``"bologna"``, or a CSV file with the columns ``no2``, ``o3``, ``pm10`` and ``pm25`` [µg/m³]
        and either ``month`` (1 to 12, all of them) or ``time`` (beginning of an hour, ISO 8601 with its offset from
        UTC). A column ``nox``, counted as NO2, belongs to hourly series; without it NOx is in balance with NO2 and
        ozone.

    Raises
    ------
    InputFileError
        If the file cannot be read, a column or month is missing, or a value is no number.
    CosimError
        If there is no such city, or a value is impossible.
    """
    path = Path(name_or_path)
    if path.suffix.lower() == ".csv":
        try:
            rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
        except (OSError, UnicodeDecodeError) as error:
            raise InputFileError(f"{path} cannot be read ({error}): give a CSV file of background air") from error
        return _from_rows(str(path), rows)
    text = resources.files("cosim.scenarios.environment").joinpath("background.csv").read_text("utf-8")
    published = list(csv.DictReader(text.splitlines()))
    mine = [row for row in published if row["place"] == str(name_or_path).strip().lower()]
    if not mine:
        known = ", ".join(sorted({row["place"] for row in published}))
        raise CosimError(f"no background air is published for {str(name_or_path)!r} (known: {known}): give a CSV file")
    return _from_rows(mine[0]["source"], mine)


def _from_rows(source: str, rows: Sequence[dict[str, str]]) -> Background:
    if not rows:
        raise InputFileError(f"{source} has no rows: give a line of column names, and values below")
    columns = set(rows[0])
    key = "time" if "time" in columns else "month"
    needed = [key, *(name for name in COLUMNS if name != "nox")]
    if lacking := [name for name in needed if name not in columns]:
        raise InputFileError(
            f"{source} lacks the column {lacking[0]!r}: it needs {', '.join(needed)}, separated by commas"
        )
    balanced = "nox" not in columns
    try:
        names = ["no2" if name == "nox" and balanced else name for name in COLUMNS]
        values = np.array([[float(row[name]) for name in names] for row in rows]) * _KG_PER_UG
        if key == "month":
            order = [int(row["month"]) for row in rows]
        else:
            hours = tuple(dt.datetime.fromisoformat(row["time"]) for row in rows)
    except (TypeError, ValueError) as error:
        raise InputFileError(f"{source}: a row of background air is malformed ({error}): write numbers") from error
    if key == "month":
        if sorted(order) != list(range(1, 13)):
            raise InputFileError(f"{source} has the months {order}: give each of 1 to 12 once")
        return Background(values[np.argsort(order)], source, balanced=balanced)
    if any(hour.tzinfo is None for hour in hours) or any(b <= a for a, b in pairwise(hours)):
        raise InputFileError(
            f"{source}: times must ascend and have their offset from UTC, as in 2025-01-15T08:00+01:00"
        )
    return Background(_monthly(hours, values), source, hours, values, balanced)


def _monthly(hours: Sequence[dt.datetime], values: Array) -> Array:
    """Return the means by month of a series, the mean of all for months that it does not have."""
    month = np.array([hour.month for hour in hours])
    return np.stack(
        [values[month == m].mean(axis=0) if (month == m).any() else values.mean(axis=0) for m in range(1, 13)]
    )
