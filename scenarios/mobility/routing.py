"""Routes of cars through a network, and calibration of their number to detector counts.

Routes come from SUMO's own tools: duarouter for shortest paths, duaIterate for an equilibrium in which no driver gains
by another route, routeSampler for a set of routes that matches counts.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError
from xml.sax.saxutils import quoteattr

import defusedxml.ElementTree
import networkx as nx
import numpy as np
import pandas as pd
import shapely
from defusedxml import DefusedXmlException

from cosim.adapters.traffic.installation import run_sumo_script, run_sumo_tool
from cosim.core import CosimError, InputFileError
from cosim.core.quantities import DAY_S
from cosim.core.random import generator, uniform
from cosim.scenarios.streets.network import Net, drivable, read_net

LEAST_ARRIVED = 0.98
"""Share of the cars that must arrive within the day, or else the network does not carry the demand. Assumption."""


def door_position(edge: Any, x: float, y: float) -> float:
    """Return the position of a building's door along its edge, clear of both crossings. [m]"""
    position, _ = edge.getClosestLanePosDist((x, y))[1:]
    return float(np.clip(position, min(8.0, edge.getLength() / 2), max(edge.getLength() - 12.0, edge.getLength() / 2)))


def gates(net: Net) -> tuple[dict[str, tuple[float, float]], dict[str, tuple[float, float]]]:
    """Return the edges that lead in from the network's border and out to it, with the position at the border. [m]

    These are the edges with a dead end, as in networks cut out of a city. Where there are none, they are the streets
    that end at the convex hull, and those that run along it from corner to corner.

    Raises
    ------
    CosimError
        If no street leads in, or none out.
    """
    entries, exits = _open_ends(net)
    if not (entries and exits):
        entries, exits = _at_hull(drivable(net))
    if not entries or not exits:
        raise CosimError("no street leads into the network or none out of it at its border: through traffic needs both")
    return entries, exits


def _open_ends(net: Net) -> tuple[dict[str, tuple[float, float]], dict[str, tuple[float, float]]]:
    edges = [e for e in net.getEdges(withInternal=False) if e.allows("passenger")]
    graph: nx.DiGraph[str] = nx.DiGraph()
    for edge in edges:
        graph.add_node(edge.getID())
        graph.add_edges_from((edge.getID(), t.getID()) for t in edge.getOutgoing() if t.allows("passenger"))
    inside = {edge.getID() for edge in drivable(net)}
    anyone = min(inside)
    leads_in, leads_out = nx.ancestors(graph, anyone) - inside, nx.descendants(graph, anyone) - inside
    entries, exits = {}, {}
    for edge in sorted(edges, key=lambda edge: str(edge.getID())):
        label = edge.getID()
        if label in leads_in and not graph.in_degree(label):
            entries[label] = tuple(map(float, edge.getFromNode().getCoord()[:2]))
        if label in leads_out and not graph.out_degree(label):
            exits[label] = tuple(map(float, edge.getToNode().getCoord()[:2]))
    return entries, exits  # type: ignore[return-value]


def _at_hull(edges: list[Any]) -> tuple[dict[str, tuple[float, float]], dict[str, tuple[float, float]]]:
    nodes = {node.getID(): node for edge in edges for node in (edge.getFromNode(), edge.getToNode())}
    place = {label: (float(node.getCoord()[0]), float(node.getCoord()[1])) for label, node in nodes.items()}
    hull = shapely.MultiPoint(list(place.values())).convex_hull
    at_border = {label for label, xy in place.items() if hull.exterior.distance(shapely.Point(xy)) < 1.0}
    corner = {label for label in at_border if len({n.getID() for n in nodes[label].getNeighboringNodes()}) == 2}
    entries = {
        e.getID(): place[e.getFromNode().getID()]
        for e in edges
        if e.getFromNode().getID() in at_border
        and (e.getToNode().getID() not in at_border or e.getFromNode().getID() in corner)
    }
    exits = {
        e.getID(): place[e.getToNode().getID()]
        for e in edges
        if e.getToNode().getID() in at_border
        and (e.getFromNode().getID() not in at_border or e.getToNode().getID() in corner)
    }
    return entries, exits


def write_xml(path: Path, root: str, lines: Iterable[str]) -> Path:
    """Write lines of XML under a root element, and return the path."""
    path.write_text("\n".join([f"<{root}>", *lines, f"</{root}>\n"]), encoding="utf-8")
    return path


def _write_trips(path: Path, trips: pd.DataFrame) -> Path:
    lines = [
        f'<trip id={quoteattr(str(row.Index))} depart="{row.depart_s:.0f}" from={quoteattr(str(row.start))} '
        f'to={quoteattr(str(row.end))} departLane="best"/>'
        for row in trips.rename_axis("vehicle").sort_values(["depart_s", "vehicle"]).itertuples()
    ]
    return write_xml(path, "routes", lines)


def _read_routes(path: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for _, element in defusedxml.ElementTree.iterparse(path):
        if element.tag == "vehicle":
            route = element.find("route")
            found[str(element.get("id"))] = list(map(sys.intern, route.get("edges", "").split()))
            element.clear()  # names of edges are shared and elements freed: a day has millions of edges
    return found


def shortest_routes(net: Path, trips: pd.DataFrame, folder: Path, seed: int) -> dict[str, list[str]]:
    """Return the edges of every trip, by duarouter.

    Edge weights are perturbed by vehicle, so that the many equally short routes through a grid are all used, and the
    route of a vehicle does not depend on other vehicles.

    Parameters
    ----------
    net
        The network.
    trips
        Index vehicle; columns ``depart_s``, ``start`` and ``end`` (edges).
    folder
        For intermediate files.
    """
    number = generator(seed, "duarouter").integers(2**31)
    return _routed(net, trips, folder, "--weights.random-factor", f"{WEIGHT_FACTOR:g}", "--seed", str(number))


def assigned_routes(net: Path, trips: pd.DataFrame, folder: Path, seed: int) -> dict[str, list[str]]:
    """Return the edges of every trip, by incremental assignment: later trips avoid the streets that earlier ones fill.

    The trips are drawn into `SHARES` equal shares. One after the other is routed, on travel times by the function of
    the Bureau of Public Roads [1]_ of the traffic that those before have left, as large as it would be in the peak hour
    with all trips, and perturbed by a factor of their own. Routes are found by contraction hierarchies, several times
    as fast as by Dijkstra's algorithm.

    Parameters
    ----------
    net, trips, folder
        See `shortest_routes`.

    References
    ----------
    .. [1] Bureau of Public Roads: Traffic Assignment Manual. US Department of Commerce, 1964: time × (1 + 0.15
       (volume / capacity)^4).
    """
    found: dict[str, list[str]] = {}
    streets = [edge for edge in read_net(net).getEdges(withInternal=False) if edge.allows("passenger")]
    place = {str(edge.getID()): k for k, edge in enumerate(streets)}
    free_s = np.array([edge.getLength() / edge.getSpeed() for edge in streets])
    capacity = np.array([_capacity(edge) for edge in streets])
    volume = np.zeros(len(streets))
    hours = np.bincount((trips["depart_s"].to_numpy(float) % DAY_S // 3600).astype(int), minlength=24)
    peak = float(hours.max() / max(hours.sum(), 1))
    drawn = (uniform(seed, "share of the assignment", trips.index) * SHARES).astype(int)
    for share in range(SHARES):
        factor = 1 + (WEIGHT_FACTOR - 1) * uniform(seed, f"weights {share}", place)
        expected = volume * peak * len(trips) / max(len(found), 1)
        times = free_s * factor * (1 + 0.15 * (expected / capacity) ** 4)
        rows = [f'<edge id={quoteattr(label)} traveltime="{s:.3f}"/>' for label, s in zip(place, times.tolist())]
        head = f'<interval id="weights" begin="0" end="{_FOR_EVER_S}">'
        weights = write_xml(folder / "weights.xml", "meandata", [head, *rows, "</interval>"])
        options = ("--weight-files", str(weights), "--routing-algorithm", "CH", "--weight-period", str(_FOR_EVER_S))
        # hierarchies are built anew as time goes on, and the weights are the same at any time
        routes = _routed(net, trips[drawn == share].assign(depart_s=0.0), folder, *options)
        for edges in routes.values():
            volume[[place[edge] for edge in edges]] += 1
        found |= routes
        weights.unlink()
    return found


SHARES = 10
"""Shares of the trips that are assigned one after the other."""
WEIGHT_FACTOR = 2.0
"""Largest factor by which the weight of an edge is perturbed; the least is 1. Assumption."""
LANE_PER_HOUR = {"motorway": 1800.0, "dead_end": 900.0, "priority": 900.0, "traffic_light": 600.0}
"""Vehicles that a lane lets through, on motorways and by the junction at its end. [1/h] Assumption: saturation flow of
1,800 vehicles an hour, a third of it at signals, half of it elsewhere."""
OTHER_PER_HOUR = 450.0
"""Of lanes that give way. [1/h] Assumption."""
_FOR_EVER_S = 10**8


def _capacity(edge: Any) -> float:
    """Return how many vehicles an edge lets through. [1/h]"""
    lanes = sum(lane.allows("passenger") for lane in edge.getLanes())
    if edge.getSpeed() > FAST_MPS:
        return float(lanes * LANE_PER_HOUR["motorway"])
    gives_way = any(
        edge.getID() != other.getID() and other.getPriority() > edge.getPriority()
        for other in edge.getToNode().getIncoming()
    )
    kind = str(edge.getToNode().getType())
    a_lane = OTHER_PER_HOUR if gives_way and kind == "priority" else LANE_PER_HOUR.get(kind, OTHER_PER_HOUR)
    return float(lanes * a_lane)


FAST_MPS = 80 / 3.6
"""Speed limit above which streets have no junctions at level. [m/s] Assumption."""


def _routed(net: Path, trips: pd.DataFrame, folder: Path, *options: str) -> dict[str, list[str]]:
    if trips.empty:
        return {}
    given, routed = _write_trips(folder / "legs.trips.xml", trips), folder / "legs.rou.xml"
    run_sumo_tool(
        "duarouter",
        "--net-file",
        net,
        "--route-files",
        given,
        "--output-file",
        routed,
        "--alternatives-output",
        "NUL",
        *options,
        timeout_s=3_600,
    )
    found = _read_routes(routed)
    given.unlink()
    routed.unlink()
    return found


def equilibrium_routes(
    net: Path, trips: pd.DataFrame, folder: Path, seed: int, *, iterations: int = 8
) -> dict[str, list[str]]:
    """Return the edges of every trip in a dynamic user equilibrium, by duaIterate with SUMO's mesoscopic model.

    Parameters
    ----------
    net, trips, folder
        See `shortest_routes`.
    iterations
        Number of rounds of routing and simulating.

    Raises
    ------
    CosimError
        If the network does not carry the trips: fewer than 98 % of the vehicles arrive within two hours of the last
        departure.
    """
    if iterations < 1:
        raise CosimError(f"iterations is {iterations}: give at least 1")
    work = folder / "equilibrium"
    work.mkdir(parents=True, exist_ok=True)
    given = _write_trips(work / "day.trips.xml", trips)
    number = str(generator(seed, "equilibrium").integers(2**31))
    end = float(trips["depart_s"].max()) + 7_200 if len(trips) else 0.0
    run_sumo_script(
        "assign/duaIterate.py",
        "-n",
        net.resolve(),
        "-t",
        given.resolve(),
        "-l",
        str(iterations),
        "-e",
        f"{end:.0f}",
        "--mesosim",
        "--meso-junctioncontrol",
        "--disable-warnings",
        "--disable-summary",
        "--no-gzip",
        "duarouter--seed",
        number,
        "sumo--seed",
        number,
        cwd=work,
    )
    last = work / f"{iterations - 1:03d}"
    arrived = (last / f"tripinfo_{iterations - 1:03d}.xml").read_bytes().count(b"<tripinfo ")
    if arrived < LEAST_ARRIVED * len(trips):
        raise CosimError(
            f"the network carries {arrived} of {len(trips)} vehicles of the day, after {iterations} rounds of "
            "routing: ask for fewer trips, a smaller share of cars, or more streets"
        )
    found = _read_routes(last / f"day_{iterations - 1:03d}.rou.xml")
    shutil.rmtree(work)
    return found


def detector_edges(path: Path) -> dict[str, str]:
    """Return the edge of every induction loop (E1) in an additional file of SUMO, by detector.

    Raises
    ------
    InputFileError
        If the file is missing, malformed or unsafe.
    """
    try:
        elements = list(defusedxml.ElementTree.parse(path).iter())
    except (OSError, ParseError, DefusedXmlException) as error:
        raise InputFileError(f"{path} cannot be read as detectors: {error!r}") from error
    loops = [e for e in elements if e.tag in ("e1Detector", "inductionLoop")]
    return {str(e.get("id")): str(e.get("lane")).rsplit("_", 1)[0] for e in loops}


def calibrate(
    routes: Path, counts: pd.DataFrame, output: Path, seed: int = 0, *, vehicle_type: str | None = None
) -> pd.DataFrame:
    """Write vehicles on known routes that match counts, by SUMO's routeSampler.

    Parameters
    ----------
    routes
        Route file with the routes to choose from, e.g. that of an existing scenario.
    counts
        Columns ``begin_s``, ``end_s``, ``edge`` and ``count``: vehicles that entered the edge in the interval.
    output
        The route file to write.
    vehicle_type
        Type of the vehicles; SUMO's default type if None.

    Returns
    -------
    ``counts`` with the column ``sampled``, and ``geh``, the GEH statistic of each count as an hourly flow; below 5 is
    the usual acceptance for 85 % of the counts (UK DMRB vol. 12, quoted from memory).

    Raises
    ------
    CosimError
        If a count is negative or not finite, or routeSampler fails (with its message).
    """
    for column in ("begin_s", "end_s", "edge", "count"):
        if column not in counts:
            raise CosimError(f"counts has no column {column!r}: give begin_s, end_s, edge and count")
    number = counts["count"].to_numpy(float)
    if not (np.isfinite(number).all() and (number >= 0).all()):
        raise CosimError("counts has a number that is negative or not finite: give vehicles per interval")
    output.parent.mkdir(parents=True, exist_ok=True)
    lines = []
    for (begin, end), group in counts.groupby(["begin_s", "end_s"]):
        lines.append(f'<interval id="counts" begin="{begin:g}" end="{end:g}">')
        lines += [f'<edge id={quoteattr(str(r.edge))} entered="{r.count:.0f}"/>' for r in group.itertuples()]
        lines.append("</interval>")
    given = write_xml(output.with_suffix(".counts.xml"), "data", lines)
    extra = ["-a", f'type="{vehicle_type}"'] if vehicle_type else []
    run_sumo_script(
        "routeSampler.py",
        "-r",
        routes.resolve(),
        "-d",
        given.resolve(),
        "-o",
        output.resolve(),
        "--optimize",
        "full",
        "-s",
        str(generator(seed, "routeSampler").integers(2**31)),
        *extra,
        cwd=output.parent,
    )
    given.unlink()
    sampled = _passed(output, counts)
    hours = (counts["end_s"] - counts["begin_s"]).to_numpy(float) / 3600
    a, b = sampled / hours, number / hours
    geh = np.sqrt(2 * (a - b) ** 2 / np.maximum(a + b, 1e-12))
    return counts.assign(sampled=sampled, geh=geh)


def _passed(routes: Path, counts: pd.DataFrame) -> Any:
    """Count the vehicles of a route file over each counted edge, by the interval of their departure."""
    vehicles = []
    for _, element in defusedxml.ElementTree.iterparse(routes):
        if element.tag == "vehicle":
            vehicles.append((float(element.get("depart")), element.find("route").get("edges", "").split()))
    begins = sorted(set(counts["begin_s"]))
    table: dict[tuple[float, str], int] = {}
    for depart, edges in vehicles:
        begin = begins[max(int(np.searchsorted(begins, depart, side="right")) - 1, 0)]
        for edge in set(edges):
            table[begin, edge] = table.get((begin, edge), 0) + 1
    return np.array([table.get((b, str(e)), 0) for b, e in zip(counts["begin_s"], counts["edge"])], dtype=float)
