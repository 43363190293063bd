"""Hourly traffic counts in CSV files, and the edges of a network on which they were made."""

from __future__ import annotations

import csv
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from cosim.core import CosimError, InputFileError
from cosim.core.quantities import Array, Flags, Vector
from cosim.scenarios.mobility.counts.sampling import detector_edges
from cosim.scenarios.mobility.counts.streams import is_stream, read_sites
from cosim.scenarios.streets.network import Net, project

HOURS = 24
NEAR_M = 15.0
"""Largest distance of a loop from the middle of the carriageway on which it counts. [m]"""
CLEAR_M = 3.0
"""A second edge of the same direction must be farther from the loop than the nearest one by so much. [m]"""
TURNED_DEG = 45.0
"""Largest angle between a street and the direction of its loop, which is one of eight."""
DETECTOR_M = 50.0
"""Largest distance of a loop from the edge of the detector that has its name. [m]"""
ELSEWHERE_M = 20_000.0
"""Coordinates farther from the network than this are an error; nearer ones are loops beyond its border. [m]"""
URBAN_MPS, LANE_PER_H = 25.0, {True: 1_200, False: 2_300}
"""Speed limit below which streets have junctions, and what a lane carries with (True) and without them. [veh/h]

The Highway Capacity Manual's saturation flow of 1,900 veh/h with a green share of 0.6, and a motorway lane.
"""
_DEGREES = {name: 45.0 * k for k, name in enumerate(("N", "NE", "E", "SE", "S", "SW", "W", "NW"))}
_DEGREES |= {"O": 270.0, "SO": 225.0, "NO": 315.0}  # ovest, oeste, ouest

_NAMES = ("id_univoco_stazione_spira", "station", "loop", "id", "edge")
_COLUMNS = {
    "street": ("nome via", "street"),
    "direction": ("direzione", "direction"),
    "edge": ("edge",),
    "detector": ("codice_spira", "detector"),
    "point": ("geopoint",),
    "latitude": ("latitude", "latitudine", "lat"),
    "longitude": ("longitude", "longitudine", "lon", "lng"),
}
_SEPARATED = re.compile(r"-?\d{1,3}(\.\d{3}){2,}")
_HOUR = re.compile(r"h?(\d{1,2})(?::00.*)?")


@dataclass(frozen=True)
class Loop:
    """A place at which vehicles were counted in one direction: a named edge, or coordinates."""

    name: str
    flow: Vector
    """Vehicles by hour of the day, shape (24,), the mean over the days of the file. [veh/h]"""
    edge: str = ""
    detector: str = ""
    point: tuple[float, float] | None = None
    """Longitude and latitude. [°]"""
    direction_deg: float | None = None
    """Clockwise from north."""
    street: str = ""


@dataclass(frozen=True)
class Counts:
    """Counts of edges."""

    edges: tuple[str, ...]
    flow: Array
    """Vehicles by edge and hour, shape (n_edges, 24), the mean of the loops of an edge. [veh/h]"""
    lanes: Vector
    """Lanes open to cars, shape (n_edges,)."""
    left_out: Mapping[str, str]
    """Loops without an edge, each with the reason."""

    @property
    def wide(self) -> Flags:
        """Whether an edge has two or more lanes, shape (n_edges,)."""
        return self.lanes >= 2


def read_counts(path: str | Path, zone: str = "UTC") -> list[Loop]:
    """Read the loops of a CSV file, or of messages in NGSI-LD or DATEX II.

    A row is one loop on one day (or a mean day), separated by commas, semicolons or tabs. It has a column for each of
    24 hours (``h00`` to ``h23``, or ``00:00-01:00`` to ``23:00-24:00``) and says where it counts by ``edge`` or by
    ``geopoint`` ("latitude, longitude") or ``latitude`` and ``longitude``, with ``direction`` (one of eight points of
    the compass). Columns of Bologna's open data are understood. Days of one loop are averaged; a row that comes twice
    counts once. Numbers may have a decimal comma, unless commas separate the columns, and spaces or apostrophes between
    thousands; a file that is not UTF-8 is read as Windows-1252.

    Files that end in .json, .jsonld, .jsonl, .ndjson or .xml, and folders of them, are messages; see
    `cosim.scenarios.mobility.counts.streams`.

    Parameters
    ----------
    path
        The file or folder.
    zone
        IANA time zone to which the hours of messages belong.

    Raises
    ------
    InputFileError
        If the file or rows of it cannot be used: all rows are named in one error.
    """
    path = Path(path)
    if is_stream(path):
        return _from_messages(path, zone)
    try:
        content = path.read_bytes()
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = content.decode("cp1252")
    except (OSError, UnicodeError) as error:
        raise InputFileError(f"{path} cannot be read as counts: {error}") from error
    header = text.partition("\n")[0]
    delimiter = max(";,\t", key=header.count)
    table = list(dict.fromkeys(tuple(row) for row in csv.reader(text.splitlines(), delimiter=delimiter)))
    columns = [name.strip().lower() for name in table[0]] if table else []
    hour = {int(match[1]): k for k, name in enumerate(columns) if (match := _HOUR.fullmatch(name))}
    if missing := [f"h{h:02d}" for h in range(HOURS) if h not in hour]:
        raise InputFileError(
            f"{path} has no column of {', '.join(missing)}: counts need all 24 hours of a day, as h00 to h23 or "
            "00:00-01:00 to 23:00-24:00"
        )
    where = {key: next((columns.index(n) for n in names if n in columns), None) for key, names in _COLUMNS.items()}
    if where["edge"] is None and where["point"] is None and None in (where["latitude"], where["longitude"]):
        raise InputFileError(
            f"{path} does not say where it counts: give a column edge, geopoint, or latitude and longitude"
        )
    named = next((columns.index(name) for name in _NAMES if name in columns), None)
    rows: dict[str, list[Loop]] = defaultdict(list)
    problems = []
    for number, row in enumerate(table[1:], 2):
        if any(cell.strip() for cell in row):
            name = row[named].strip() if named is not None and named < len(row) else f"row {number}"
            try:
                cells = {key: row[k].strip() for key, k in where.items() if k is not None}
                hours = [_number(row[hour[h]], delimiter) for h in range(HOURS)]
                rows[name].append(_loop(name, cells, hours))
            except IndexError:
                problems.append(f"{name} (line {number}) has {len(row)} of {len(columns)} columns")
            except ValueError as error:
                problems.append(f"{name} (line {number}) {error}")
    _refuse(path, problems)
    if not rows:
        raise InputFileError(f"{path} has no row: give a row per loop and day")
    return [_mean(days) for days in rows.values()]


def _number(text: str, delimiter: str) -> str:
    """Return a number without separators of thousands and with a decimal point.

    Examples
    --------
    >>> _number("1 234,5", ";"), _number("1'234", ";"), _number("12.5", ",")
    ('1234.5', '1234', '12.5')
    """
    text = re.sub(r"(?<=\d)[\s'’](?=\d{3}(\D|$))", "", text.strip())
    return text.replace(",", ".") if delimiter != "," and text.count(",") == 1 else text


def _from_messages(path: Path, zone: str) -> list[Loop]:
    loops, problems = [], []
    for name, (site, flow) in read_sites(path, zone).items():
        missing = np.flatnonzero(np.isnan(flow))
        if len(missing):
            problems.append(f"{name} has no count at hour {', '.join(map(str, missing))}")
        elif site.point is None:
            problems.append(f"{name} has no place: give its location, or the table of measurement sites beside it")
        elif not flow.any():
            problems.append(f"{name} counts nothing all day: a dead loop looks like an empty street")
        else:
            loops.append(Loop(name, flow, point=site.point, direction_deg=site.direction_deg, street=site.street))
    _refuse(path, problems)
    return loops


def _refuse(path: Path, problems: Sequence[str]) -> None:
    if problems:
        more = f"; and {len(problems) - 10} more" if len(problems) > 10 else ""
        raise InputFileError(
            f"{path} has rows that cannot be used: {'; '.join(problems[:10])}{more}. Correct or remove them"
        )


def _loop(name: str, cells: Mapping[str, str], hours: Sequence[str]) -> Loop:
    flow = np.full(HOURS, np.nan)
    for h, text in enumerate(hours):
        try:
            flow[h] = float(text.strip() or "nan")
        except ValueError:
            raise ValueError(f"has {text!r} at hour {h}: not a number") from None
    if not np.isfinite(flow).all():
        raise ValueError(f"has no count at hour {', '.join(map(str, np.flatnonzero(~np.isfinite(flow))))}")
    if (flow < 0).any():
        raise ValueError(f"counts {flow.min():g} vehicles at hour {flow.argmin()}: a count cannot be negative")
    if not flow.any():
        raise ValueError("counts nothing all day: a dead loop looks like an empty street")
    direction = cells.get("direction", "").upper()
    if direction and direction not in _DEGREES:
        raise ValueError(f"has the direction {direction!r}: it must be one of {', '.join(_DEGREES)}")
    return Loop(
        name,
        flow,
        cells.get("edge", ""),
        cells.get("detector", ""),
        None if cells.get("edge") else _point(cells),
        _DEGREES.get(direction),
        cells.get("street", ""),
    )


def _point(cells: Mapping[str, str]) -> tuple[float, float]:
    text = cells.get("point") or f"{cells.get('latitude', '')},{cells.get('longitude', '')}"
    if any(_SEPARATED.fullmatch(part.strip()) for part in text.split(",")):
        raise ValueError(
            f"is at {text!r}, which has lost its decimal point to thousands separators: give the place as geopoint"
        )
    try:
        latitude, longitude = (float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"is at {text!r}: write latitude, longitude in degrees") from None
    if not (abs(latitude) <= 90 and abs(longitude) <= 180):
        raise ValueError(f"is at latitude {latitude:g}, longitude {longitude:g}: no place on earth")
    return longitude, latitude


def _mean(days: Sequence[Loop]) -> Loop:
    first = days[0]
    flow = np.mean([day.flow for day in days], axis=0)
    return Loop(first.name, flow, first.edge, first.detector, first.point, first.direction_deg, first.street)


def locate(loops: Sequence[Loop], net: Net, detectors: Iterable[Path] = (), source: str | Path = "counts") -> Counts:
    """Find the edges on which loops count.

    A loop with an edge is there. One that bears the name of a detector of the scenario is on the detector's edge. Any
    other belongs to the nearest edge for cars that runs in its direction, if that is near and clearly the nearest. As
    directions are rounded to eight, a grid of streets may be turned against all of them: the median is taken off. Where
    an edge has loops of both kinds, those with coordinates alone are not used. Loops that count more than the lanes of
    their edge can carry are left out too.

    Parameters
    ----------
    loops
        See `read_counts`.
    net
        The network, geographically projected unless all loops name their edges.
    detectors
        Additional files of SUMO with induction loops.
    source
        Where the loops come from, for messages.

    Raises
    ------
    InputFileError
        If edges are not in the network, or coordinates are far from it.
    CosimError
        If no loop finds an edge.
    """
    edges = {edge.getID(): edge for edge in net.getEdges(withInternal=False)}
    points, problems = _points([loop for loop in loops if loop.point], net)
    problems += [
        f"{loop.name} is on {loop.edge!r}, no edge of the network" for loop in loops if loop.edge not in (*edges, "")
    ]
    _refuse(Path(source), problems)
    lines = {label: _middle(edge) for label, edge in edges.items()}
    open_lines = {label: line for label, line in lines.items() if edges[label].allows("passenger")}
    named = {_plain(re.sub(r"__l\d+$", "", k)): e for file in detectors for k, e in detector_edges(file).items()}
    turned = _turn(loops, points, open_lines)
    found: dict[str, list[tuple[bool, Vector]]] = defaultdict(list)
    left_out = {}
    for loop in loops:
        edge = loop.edge or named.get(_plain(loop.detector), "")
        certain = bool(loop.edge) or (edge in lines and lines[edge].distance(points[loop.name]) <= DETECTOR_M)
        if not certain:
            edge, reason = _nearest(loop, points[loop.name], open_lines, turned)
            if not edge:
                left_out[loop.name] = reason
                continue
        lanes, limit = _lanes(edges[edge]), LANE_PER_H[edges[edge].getSpeed() < URBAN_MPS]
        if loop.flow.max() > limit * lanes:
            left_out[loop.name] = f"counts {loop.flow.max():.0f} veh/h on {lanes} lanes of {edge}, more than they carry"
        else:
            found[edge].append((certain, loop.flow))
    if not found:
        raise CosimError(
            f"{source}: none of {len(loops)} loops lies on an edge of the network ({next(iter(left_out.values()))})"
        )
    best = ([flow for certain, flow in flows if certain >= max(c for c, _ in flows)] for flows in found.values())
    flow = np.array([np.mean(flows, axis=0) for flows in best])
    return Counts(tuple(found), flow, np.array([_lanes(edges[edge]) for edge in found], float), left_out)


def _plain(name: str) -> str:
    return re.sub(r"[^0-9a-z]+", "_", name.lower())


def _lanes(edge: Any) -> int:
    return sum(lane.allows("passenger") for lane in edge.getLanes()) or len(edge.getLanes())


def _middle(edge: Any) -> shapely.LineString:
    """Return the middle lane of those for cars, or of all."""
    lanes = [lane for lane in edge.getLanes() if lane.allows("passenger")] or edge.getLanes()
    return shapely.LineString([point[:2] for point in lanes[len(lanes) // 2].getShape()])


def _points(loops: Sequence[Loop], net: Net) -> tuple[dict[str, shapely.Point], list[str]]:
    """Return the loops' places in the network's coordinates, and what is wrong with those that are elsewhere."""
    if not loops:
        return {}, []
    x0, y0, x1, y1 = net.getBBoxXY()[0] + net.getBBoxXY()[1]
    border = shapely.box(x0, y0, x1, y1)
    points, problems = {}, []
    for loop in loops:
        longitude, latitude = loop.point or (math.nan, math.nan)
        here, swapped = (_place(net, *pair) for pair in ((longitude, latitude), (latitude, longitude)))
        points[loop.name] = here
        if not here.distance(border) <= ELSEWHERE_M:
            said = f"{loop.name} is at latitude {latitude:g}, longitude {longitude:g}"
            wrong_order = swapped.distance(border) <= ELSEWHERE_M
            problems.append(f"{said}, {'in the wrong order' if wrong_order else 'off the network'}")
    return points, problems


def _place(net: Net, longitude: float, latitude: float) -> shapely.Point:
    if abs(latitude) > 90:
        return shapely.Point(math.inf, math.inf)
    x, y = project(net, longitude, latitude)
    return shapely.Point(float(x), float(y))


def _bearing(line: shapely.LineString, point: shapely.Point) -> float:
    """Return the direction of a line at its point next to another. [° clockwise from north]"""
    at = line.project(point)
    (x0, y0), (x1, y1) = (line.interpolate(s).coords[0] for s in (max(at - 1.0, 0.0), min(at + 1.0, line.length)))
    return math.degrees(math.atan2(x1 - x0, y1 - y0))


def _turned(line: shapely.LineString, point: shapely.Point, direction_deg: float) -> float:
    return (_bearing(line, point) - direction_deg + 180.0) % 360.0 - 180.0


def _turn(loops: Sequence[Loop], points: Mapping[str, shapely.Point], lines: Mapping[str, shapely.LineString]) -> float:
    """Return the median angle between loops' directions and the streets nearest to them, at most half a point. [°]"""
    angles = []
    for loop in loops:
        if loop.direction_deg is not None and loop.name in points:
            point = points[loop.name]
            near = sorted((line.distance(point), _turned(line, point, loop.direction_deg)) for line in lines.values())
            angles += [angle for metres, angle in near if metres <= NEAR_M and abs(angle) <= 1.5 * TURNED_DEG][:1]
    return float(np.clip(np.median(angles), -22.5, 22.5)) if len(angles) >= 5 else 0.0


def _nearest(
    loop: Loop, point: shapely.Point, lines: Mapping[str, shapely.LineString], turned: float
) -> tuple[str, str]:
    """Return the edge of a loop, or why there is none."""
    near = sorted(
        (metres, edge)
        for edge, line in lines.items()
        if (metres := line.distance(point)) <= NEAR_M + CLEAR_M
        and (loop.direction_deg is None or abs(_turned(line, point, loop.direction_deg + turned)) <= TURNED_DEG)
    )
    if not near or near[0][0] > NEAR_M:
        return "", f"no edge in its direction within {NEAR_M:g} m"
    if len(near) > 1 and near[1][0] - near[0][0] < CLEAR_M:
        return "", f"{near[0][1]} and {near[1][1]} are equally near"
    return near[0][1], ""
