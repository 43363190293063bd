"""Public transport on a city's streets and rails, from a timetable or from the lines of the map at a headway."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import defusedxml.ElementTree
import numpy as np
import shapely

from cosim.adapters.traffic.installation import run_sumo_tool
from cosim.scenarios.mobility.routing import write_xml
from cosim.scenarios.streets.network import Net, project

from .findings import Findings
from .sources.gtfs import Timetable

HEADWAY_S = {"bus": 900.0, "tram": 600.0, "subway": 300.0, "rail_urban": 600.0}
"""Time between vehicles of a line whose relation has no ``interval``. [s] Assumption."""
SERVICE_S = (5 * 3600.0, 24 * 3600.0)
"""Beginning and end of the day of lines without a timetable. [s] Assumption."""
DWELL_S = 20.0
SNAP_M = 50.0
STOP_M = 15.0
_CLASS = {
    "bus": "bus",
    "trolleybus": "bus",
    "tram": "tram",
    "subway": "subway",
    "light_rail": "rail_urban",
    "rail": "rail_urban",
}
_TYPES = {
    "bus": 'vClass="bus" length="12" emissionClass="HBEFA4/UBus_Std_gt15-18t_Euro-VI_A-C"',
    "tram": 'vClass="tram" length="36" emissionClass="Energy/unknown"',
    "subway": 'vClass="subway" length="90" emissionClass="Energy/unknown"',
    "rail_urban": 'vClass="rail_urban" length="90" emissionClass="Energy/unknown"',
}


@dataclass(frozen=True, slots=True)
class Stop:
    """A stop beside a lane. [m]"""

    label: str
    name: str
    lane: str
    start_m: float
    end_m: float

    @property
    def edge(self) -> str:
        """The edge of its lane."""
        return self.lane.rpartition("_")[0]


@dataclass(frozen=True)
class Line:
    """A sequence of stops that vehicles of one class serve.

    Attributes
    ----------
    label, kind
        Name, and SUMO's vehicle class.
    stops
        The stops in order.
    runs
        For each vehicle its name and the times at which it leaves the stops; a single one where only the departure at
        the first stop is known. [s]
    ends
        First and last edge, beyond the stops; empty: those of the stops.
    """

    label: str
    kind: str
    stops: tuple[Stop, ...]
    runs: tuple[tuple[str, tuple[float, ...]], ...]
    ends: tuple[str, ...] = ()


def map_lines(
    net: Net, stops_file: Path, lines_file: Path, intervals: Mapping[str, str], findings: Findings
) -> list[Line]:
    """Return the lines of the map that have two stops or more on the network, at their headway.

    Parameters
    ----------
    net
        The network.
    stops_file, lines_file
        As written by netconvert.
    intervals
        Tag ``interval`` by relation.
    findings
        Receives the stops and lines that are left out.
    """
    stops = {}
    for row in defusedxml.ElementTree.parse(stops_file).iter():
        if row.tag not in ("busStop", "trainStop"):
            continue
        label, lane = str(row.get("id")), str(row.get("lane"))
        if not net.hasEdge(lane.rpartition("_")[0]):
            findings.add("dropped", "stop at a street that is cut off", f"node/{label.lstrip('-')}")
            continue
        length = net.getLane(lane).getLength()
        end = min(float(row.get("endPos", length)), length)
        start = max(0.0, min(float(row.get("startPos", 0.0)), end - min(STOP_M, length)))
        stops[label] = Stop(label, row.get("name", ""), lane, start, end)
    found = []
    for row in defusedxml.ElementTree.parse(lines_file).iter("ptLine"):
        label, kind = str(row.get("id")), _CLASS.get(str(row.get("type")), "bus")
        served = [stops[str(s.get("id"))] for s in row.iter("busStop") if s.get("id") in stops]
        served = _ahead([s for s in served if net.getLane(s.lane).allows(kind)])
        if len(served) < 2:
            findings.add(
                "dropped", "line with fewer than two stops on the network", f"relation/{label}", str(row.get("name"))
            )
            continue
        headway = headway_s(intervals.get(label, "")) or HEADWAY_S[kind]
        route = row.find("route")
        path = [e for e in (route.get("edges", "").split() if route is not None else []) if net.hasEdge(e)]
        ends = (path[0], path[-1]) if path else ()
        times = np.arange(SERVICE_S[0], SERVICE_S[1], headway)
        runs = tuple((f"line.{label}.{k}", (float(t),)) for k, t in enumerate(times))
        found.append(Line(f"line.{label}", kind, tuple(served), runs, ends))
    return found


def headway_s(text: str) -> float | None:
    """Return the time of a tag ``interval``: minutes, H:MM or H:MM:SS. [s]

    Examples
    --------
    >>> [headway_s(text) for text in ("10", "00:20", "1:00:00", "", "often")]
    [600.0, 1200.0, 3600.0, None, None]
    """
    parts = text.split(":")
    if not all(part.strip().isdigit() for part in parts):
        return None
    numbers = [int(part) for part in parts]
    seconds = 60 * numbers[0] if len(numbers) == 1 else sum(n * 60**k for n, k in zip(numbers, (2, 1, 0)))
    return float(seconds) or None


def timetable_lines(net: Net, timetable: Timetable, left_hand: bool, findings: Findings) -> list[Line]:
    """Return the lines of a timetable: trips that serve the same stops, each with its times."""
    patterns: dict[tuple[str, str, tuple[str, ...]], list[Any]] = {}
    for trip in timetable.trips:
        patterns.setdefault((trip.line, trip.mode, trip.stops), []).append(trip)
    matched: dict[tuple[str, str], Stop | None] = {}
    places = _Stops(net, left_hand)
    found = []
    for k, ((line, mode, stops), trips) in enumerate(sorted(patterns.items())):
        kind = _CLASS[mode]
        for label in stops:
            if (label, kind) not in matched:
                matched[label, kind] = places.match(label, *timetable.stops[label], kind, findings)
        on_net = {i: stop for i, label in enumerate(stops) if (stop := matched[label, kind]) is not None}
        kept = _ahead(list(on_net.values()))
        there = [(i, stop) for i, stop in on_net.items() if any(stop is one for one in kept)]
        if len(there) < 2:
            findings.add(
                "dropped", "timetabled line with fewer than two stops on the network", f"line/{line}.{k}", mode
            )
            continue
        runs = tuple((f"trip.{trip.name}", tuple(trip.depart_s[i] for i, _ in there)) for trip in trips)
        found.append(Line(f"gtfs.{line}.{k}", kind, tuple(stop for _, stop in there), runs))
    return found


def _ahead(stops: Sequence[Stop]) -> list[Stop]:
    """Return the stops without those that lie behind the one before on the same edge."""
    kept: list[Stop] = []
    for stop in stops:
        if not kept or stop.edge != kept[-1].edge or stop.end_m > kept[-1].end_m:
            kept.append(stop)
    return kept


class _Stops:
    """Matches stops to the lanes beside which they stand."""

    def __init__(self, net: Net, left_hand: bool) -> None:
        self.net, self.left = net, left_hand
        self.lanes: dict[str, tuple[list[Any], Any, list[Any]]] = {}

    def match(self, stop: str, name: str, lon: float, lat: float, kind: str, findings: Findings) -> Stop | None:
        """Return the stop at the nearest lane of its class, on the side on which it stands where there is one."""
        if kind not in self.lanes:
            edges = [e for e in self.net.getEdges(withInternal=False) if e.allows(kind)]
            lanes = [next(lane for lane in e.getLanes() if lane.allows(kind)) for e in edges]
            lines = [shapely.LineString([p[:2] for p in lane.getShape()]) for lane in lanes]
            self.lanes[kind] = lanes, shapely.STRtree(lines), lines
        lanes, tree, lines = self.lanes[kind]
        (x,), (y,) = project(self.net, [lon], [lat])
        at = shapely.Point(x, y)
        near = [k for k in tree.query(at, predicate="dwithin", distance=SNAP_M).tolist() if lanes[k].getLength() > 5.0]
        if not near:
            findings.add("dropped", f"stop further than {SNAP_M:g} m from any way of its kind", f"stop/{stop}", kind)
            return None
        best = min(
            near, key=lambda k: (kind == "bus" and self._wrong_side(lines[k], at), round(lines[k].distance(at), 3), k)
        )
        if kind == "bus" and self._wrong_side(lines[best], at):
            findings.add("mended", "stop stands on the far side of its only street", f"stop/{stop}")
        length = lanes[best].getLength()
        end = min(max(lines[best].project(at) / lines[best].length * length + STOP_M / 2, min(STOP_M, length)), length)
        return Stop(f"stop.{stop}.{kind}", name, lanes[best].getID(), max(0.0, end - STOP_M), end)

    def _wrong_side(self, line: Any, at: Any) -> bool:
        s = line.project(at)
        a, b = (line.interpolate(min(max(s + d, 0.0), line.length)) for d in (-1.0, 1.0))
        cross = (b.x - a.x) * (at.y - a.y) - (b.y - a.y) * (at.x - a.x)
        return bool((cross < 0) if self.left else (cross > 0))


def write_transit(net_file: Path, lines: Sequence[Line], folder: Path, findings: Findings) -> dict[str, int]:
    """Write stops and vehicles for SUMO, and return how many stops, lines and vehicles there are.

    Lines that find no way between their stops are left out and listed.
    """
    with tempfile.TemporaryDirectory() as work:
        routes = _routes(net_file, lines, Path(work))
    rows: list[tuple[float, str]] = []
    used: dict[str, Stop] = {}
    kept = 0
    for line in lines:
        edges = routes.get(line.label)
        if not edges:
            findings.add("dropped", "line without a way between its stops", line.label)
            continue
        kept += 1
        used |= {stop.label: stop for stop in line.stops}
        for name, times in line.runs:
            stops = "".join(
                f'<stop busStop={quoteattr(stop.label)} duration="{DWELL_S:g}"'
                + (f' until="{times[k]:.0f}"' if len(times) > 1 else "")
                + "/>"
                for k, stop in enumerate(line.stops)
            )
            depart = max(times[0] - (DWELL_S if len(times) > 1 else 0.0), 0.0)
            rows.append(
                (depart, f'<vehicle id={quoteattr(name)} type="transit_{line.kind}" depart="{depart:.0f}" '
                 f'line={quoteattr(line.label)}><route edges="{" ".join(edges)}"/>{stops}</vehicle>')
            )  # fmt: skip
    types = [f'<vType id="transit_{kind}" {about}/>' for kind, about in _TYPES.items()]
    places = [
        f'<busStop id={quoteattr(s.label)} lane={quoteattr(s.lane)} startPos="{s.start_m:.2f}" endPos="{s.end_m:.2f}"'
        + (f" name={quoteattr(s.name)}" if s.name else "")  # SUMO refuses an empty one
        + ' friendlyPos="true"/>'
        for _, s in sorted(used.items())
    ]
    write_xml(folder / "transit.add.xml", "additional", [*types, *places])
    write_xml(folder / "transit.rou.xml", "routes", [row for _, row in sorted(rows)])
    return {"stops": len(used), "lines": kept, "timetabled vehicles": len(rows)}


def _routes(net_file: Path, lines: Sequence[Line], work: Path) -> dict[str, list[str]]:
    """Return the edges of every line, by duarouter: first from end to end, then between its stops."""
    found: dict[str, list[str]] = {}
    for ends in (True, False):
        todo = [line for line in lines if line.label not in found and (line.ends or not ends)]
        rows = [f'<vType id="transit_{kind}" {about}/>' for kind, about in _TYPES.items()]
        for line in todo:
            edges = [stop.edge for stop in line.stops]
            first, last = line.ends if ends else (edges[0], edges[-1])
            rows.append(
                f'<trip id={quoteattr(line.label)} type="transit_{line.kind}" depart="0" from={quoteattr(first)} '
                f"to={quoteattr(last)} via={quoteattr(' '.join(edges))}/>"
            )
        given = write_xml(work / "lines.trips.xml", "routes", rows)
        out = work / "lines.rou.xml"
        run_sumo_tool(
            "duarouter",
            "--net-file",
            net_file,
            "--route-files",
            given,
            "--output-file",
            out,
            "--ignore-errors",
            "--no-warnings",
        )
        for vehicle in defusedxml.ElementTree.parse(out).iter("vehicle"):
            route = vehicle.find("route")
            edges = route.get("edges", "").split() if route is not None else []
            if _serves(edges, next(line for line in todo if line.label == vehicle.get("id"))):
                found[str(vehicle.get("id"))] = edges
    return found


def _serves(edges: Sequence[str], line: Line) -> bool:
    """Return whether a route passes the stops of a line in order."""
    at = -1
    for stop in line.stops:
        at = next((k for k in range(max(at, 0), len(edges)) if edges[k] == stop.edge), math.inf)  # type: ignore[assignment]
        if at == math.inf:
            return False
    return True
