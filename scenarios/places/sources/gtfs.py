"""Reader of a GTFS timetable: the trips of one day with the times at their stops within an area."""

from __future__ import annotations

import datetime as dt
import io
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import shapely

from cosim.core import InputFileError
from cosim.scenarios.places.findings import Findings

MODES = {0: "tram", 1: "subway", 2: "rail", 3: "bus", 5: "tram", 11: "bus", 12: "rail"}
"""``route_type`` of the basic types; extended ones are told by their hundreds (200: coach, 700: bus, 900: tram)."""
_EXTENDED = {1: "rail", 2: "bus", 4: "subway", 7: "bus", 8: "bus", 9: "tram"}
DAY_S = 86_400
_NEEDED = ("routes", "trips", "stops", "stop_times")
_OPTIONAL = ("calendar", "calendar_dates", "frequencies")
_COLUMNS = {
    "routes": ("route_id",),
    "trips": ("route_id", "service_id", "trip_id"),
    "stops": ("stop_id", "stop_lat", "stop_lon"),
    "stop_times": ("trip_id", "arrival_time", "departure_time", "stop_id", "stop_sequence"),
    "calendar_dates": ("service_id", "date", "exception_type"),
    "frequencies": ("trip_id",),
}
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


@dataclass(frozen=True, slots=True)
class Trip:
    """The part of a vehicle's trip that lies within the area.

    Attributes
    ----------
    name, line, mode
        ``trip_id``, the route's short name, and the means of transport.
    stops
        ``stop_id`` of each stop.
    arrive_s, depart_s
        Times at each stop. [s since midnight]
    """

    name: str
    line: str
    mode: str
    stops: tuple[str, ...]
    arrive_s: tuple[float, ...]
    depart_s: tuple[float, ...]


@dataclass(frozen=True)
class Timetable:
    """The trips of a day, and the stops that they serve: ``stop_id`` → name, longitude, latitude. [°]"""

    day: dt.date
    trips: tuple[Trip, ...]
    stops: dict[str, tuple[str, float, float]]


def read_gtfs(path: Path, area: Any, findings: Findings) -> Timetable:
    """Return the working day with most trips, cut to an area.

    A trip that leaves the area and comes back keeps its longest part inside. Times beyond 24:00 are those of the night
    that begins the day.

    Parameters
    ----------
    path
        A GTFS zip file.
    area
        Polygon in degrees.
    findings
        Receives what is cut and left out.

    Raises
    ------
    InputFileError
        If a table or column is missing, a time cannot be read, or no stop lies in the area.
    """
    tables = _tables(path)
    stops = tables["stops"].drop_duplicates("stop_id").set_index("stop_id")
    lon, lat = (pd.to_numeric(stops[c], errors="coerce") for c in ("stop_lon", "stop_lat"))
    inside = pd.Series(shapely.contains_xy(area, lon, lat), index=stops.index)
    if not inside.any():
        spread = f"{lon.min():.2f}, {lat.min():.2f} to {lon.max():.2f}, {lat.max():.2f}"
        raise InputFileError(
            f"{path} has no stop in the area: its stops reach from {spread} degrees; give the timetable of this city"
        )
    day, services = _busiest(path, tables)
    trips = tables["trips"].drop_duplicates("trip_id").set_index("trip_id")
    trips = trips[trips["service_id"].isin(services)]
    routes = tables["routes"].drop_duplicates("route_id").set_index("route_id")
    if "frequencies" in tables and (often := set(tables["frequencies"]["trip_id"]) & {*trips.index}):
        for name in sorted(often):
            findings.add("dropped", "repeats of a trip in frequencies.txt", f"trip/{name}", "it runs once")
    times = tables["stop_times"]
    times = times[times["trip_id"].isin(trips.index)].copy()
    known = times["stop_id"].isin(stops.index)
    for name, at in zip(times.loc[~known, "trip_id"], times.loc[~known, "stop_id"]):
        findings.add("dropped", "call at a stop that the timetable does not have", f"trip/{name}", f"stop {at}")
    times = times[known].drop_duplicates(["trip_id", "stop_sequence"])
    times["stop_sequence"] = _numbers(path, "stop_times", times["stop_sequence"])
    for column in ("arrival_time", "departure_time"):
        times[column] = _seconds(path, times[column])
    times = times.sort_values(["trip_id", "stop_sequence"])
    for column in ("arrival_time", "departure_time"):
        times[column] = times.groupby("trip_id")[column].transform(lambda s: s.interpolate())
    found = []
    for name, rows in times.groupby("trip_id"):
        if trips.at[name, "route_id"] not in routes.index or rows["arrival_time"].isna().any():
            why = "trip without a route" if trips.at[name, "route_id"] not in routes.index else "trip without times"
            findings.add("dropped", why, f"trip/{name}")
            continue
        route = routes.loc[trips.at[name, "route_id"]]
        line = str(route.get("route_short_name") or route.get("route_long_name") or route.name)
        part = _longest_inside(rows, inside)
        if part is None:
            continue
        if len(part) < len(rows):
            findings.add(
                "mended",
                "trip crosses the border: its part inside is kept",
                f"trip/{name}",
                f"{len(part)} of {len(rows)} stops",
            )
        arrive, depart = part["arrival_time"].to_numpy(float), part["departure_time"].to_numpy(float)
        late = DAY_S if arrive[0] >= DAY_S else 0
        found.append(
            Trip(
                str(name),
                line,
                _mode(route),
                tuple(part["stop_id"]),
                tuple((arrive - late).tolist()),
                tuple((depart - late).tolist()),
            )
        )
    used = {stop for trip in found for stop in trip.stops}
    names = stops.get("stop_name", pd.Series("", index=stops.index))
    return Timetable(day, tuple(found), {s: (str(names[s]), float(lon[s]), float(lat[s])) for s in sorted(used)})


def _tables(path: Path) -> dict[str, pd.DataFrame]:
    found = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.namelist():
                name = Path(member).stem
                if member.endswith(".txt") and name in (*_NEEDED, *_OPTIONAL):
                    content = archive.read(member)
                    try:
                        text = content.decode("utf-8-sig")
                    except UnicodeDecodeError:  # the standard wants UTF-8
                        text = content.decode("cp1252")
                    table = pd.read_csv(io.StringIO(text), dtype=str, skipinitialspace=True, keep_default_na=False)
                    table.columns = [column.strip() for column in table.columns]
                    found[name] = table.apply(lambda column: column.str.strip())
    except (
        OSError,
        zipfile.BadZipFile,
        UnicodeDecodeError,
        pd.errors.ParserError,
        pd.errors.EmptyDataError,
        EOFError,
    ) as error:
        raise InputFileError(
            f"{path} cannot be read as GTFS: {error}; it is damaged or no zip of text tables"
        ) from error
    missing = [name for name in _NEEDED if name not in found]
    if not {"calendar", "calendar_dates"} & found.keys():
        missing.append("calendar or calendar_dates")
    if missing:
        raise InputFileError(f"{path} has no table {missing[0]}.txt: give a complete GTFS feed")
    for name, columns in _COLUMNS.items():
        if name in found and (absent := [column for column in columns if column not in found[name]]):
            raise InputFileError(f"{path}: {name}.txt has no column {absent[0]}: give a complete GTFS feed")
    return found


def _busiest(path: Path, tables: dict[str, pd.DataFrame]) -> tuple[dt.date, set[str]]:
    """Return the working day (Monday to Friday) with most trips, the first of several, and its services."""
    per_service = tables["trips"]["service_id"].value_counts()
    best: tuple[int, dt.date, set[str]] = (0, dt.date.min, set())
    for day, services in _days(tables):
        number = int(per_service.reindex(sorted(services)).fillna(0).sum())
        if day.weekday() < 5 and number > best[0]:
            best = number, day, services
    if not best[0]:
        raise InputFileError(f"{path} has no trip on any working day: see its calendar")
    return best[1], best[2]


def _days(tables: dict[str, pd.DataFrame]) -> Iterator[tuple[dt.date, set[str]]]:
    """Yield every day with its services: those of the calendar, and the dates added and removed."""
    by_day: dict[dt.date, set[str]] = {}
    for row in tables.get("calendar", pd.DataFrame()).to_dict("records"):
        day, last = (_date(row[c]) for c in ("start_date", "end_date"))
        last = min(last, day + dt.timedelta(days=370))
        while day <= last:
            if row[_WEEKDAYS[day.weekday()]] == "1":
                by_day.setdefault(day, set()).add(row["service_id"])
            day += dt.timedelta(days=1)
    for row in tables.get("calendar_dates", pd.DataFrame()).to_dict("records"):
        day = _date(row["date"])
        services = by_day.setdefault(day, set())
        (services.add if row["exception_type"] == "1" else services.discard)(row["service_id"])
    yield from sorted(by_day.items())


def _date(text: str) -> dt.date:
    try:
        return dt.datetime.strptime(text.replace("-", ""), "%Y%m%d").date()
    except ValueError:
        raise InputFileError(f"the timetable's calendar has the date {text!r}: write it as 20250131") from None


def _numbers(path: Path, table: str, column: pd.Series[Any]) -> pd.Series[Any]:
    numbers = pd.to_numeric(column, errors="coerce")
    if numbers.isna().any():
        wrong = column[numbers.isna()].iloc[0]
        raise InputFileError(f"{path}: {table}.txt has the {column.name} {wrong!r}: it must be a number")
    return numbers


def _seconds(path: Path, column: pd.Series[Any]) -> pd.Series[Any]:
    """Return times of ``H:MM:SS`` in seconds; empty ones are missing."""
    column = column.where(~column.str.fullmatch(r"\d{1,3}:\d\d"), column + ":00")  # without seconds
    parts = column.str.extract(r"^(\d{1,3}):(\d\d):(\d\d)$")
    wrong = parts[0].isna() & (column != "")
    if wrong.any():
        raise InputFileError(f"{path}: stop_times has the time {column[wrong].iloc[0]!r}: write hours:minutes:seconds")
    return parts.astype(float) @ np.array([3600.0, 60.0, 1.0])


def _longest_inside(rows: pd.DataFrame, inside: pd.Series[Any]) -> pd.DataFrame | None:
    """Return the longest run of at least two stops inside."""
    here = inside.reindex(rows["stop_id"]).fillna(False).to_numpy(bool)
    runs = np.split(np.arange(len(here)), np.flatnonzero(np.diff(here)) + 1)
    best = max((run for run in runs if here[run[0]]), key=len, default=np.zeros(0, int))
    return rows.iloc[best] if len(best) > 1 else None


def _mode(route: pd.Series[Any]) -> str:
    text = str(route.get("route_type") or 3)
    kind = int(float(text)) if re.fullmatch(r"\d+(\.0*)?", text) else 3
    return MODES.get(kind) or _EXTENDED.get(kind // 100, "bus")
