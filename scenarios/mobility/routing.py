"""Routes of cars through a network.

Routes come from SUMO's own tools: duarouter for shortest paths, duaIterate for an equilibrium in which no driver gains
by another route.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal
from xml.sax.saxutils import quoteattr, unescape

import networkx as nx
import numpy as np
import pandas as pd
import shapely

from cosim.adapters.traffic.files import attributes
from cosim.adapters.traffic.installation import run_sumo_script, run_sumo_tool
from cosim.core import CosimError
from cosim.core.quantities import DAY_S, Indices, Vector
from cosim.core.random import generator, uniform
from cosim.scenarios.streets.network import Net, drivable, read_net, way_lengths

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
    with path.open("w", encoding="utf-8") as file:  # line by line: a day's vehicles as one text take hundreds of MB
        file.write(f"<{root}>\n")
        file.writelines(f"{line}\n" for line in lines)
        file.write(f"</{root}>\n")
    return path


_PLAIN = re.compile(r"[\w.:|#/ -]*")


def attribute(text: object) -> str:
    """Return the quoted value of an attribute, as `quoteattr` does, at once where nothing is to be escaped."""
    value = str(text)
    return f'"{value}"' if _PLAIN.fullmatch(value) else quoteattr(value)


def _write_trips(path: Path, trips: pd.DataFrame) -> Path:
    rows = trips.rename_axis("vehicle").sort_values(["depart_s", "vehicle"])
    lines = [
        f'<trip id={attribute(label)} depart="{s:.0f}" from={attribute(start)} to={attribute(end)} departLane="best"/>'
        for label, s, start, end in zip(rows.index, rows["depart_s"], rows["start"], rows["end"])
    ]
    return write_xml(path, "routes", lines)


_ROUTED = re.compile(r'<vehicle id="([^"]*)"[^>]*>\s*<route(?: [^>]*)? edges="([^"]*)"')


def _read_ways(path: Path) -> dict[str, str]:
    """Return the edges of every vehicle in a file that duarouter has just written; expat takes ten times as long."""
    found: dict[str, str] = {}
    number, rest = 0, ""
    with path.open(encoding="utf-8") as file:
        while chunk := file.read(1 << 24):
            whole, end, rest = (rest + chunk).rpartition("</vehicle>")
            number += whole.count("<vehicle ")
            found.update(_ROUTED.findall(whole + end))
    if len(found) != number + rest.count("<vehicle "):
        raise CosimError(f"{path} has {number} vehicles, {len(found)} of them with a route: report it")
    return {unescape(label, {"&quot;": '"'}) if "&" in label else label: edges for label, edges in found.items()}


def shortest_routes(net: Path, trips: pd.DataFrame, folder: Path, seed: int) -> dict[str, list[str]]:
    """Return the edges of every trip, see `shortest_ways`."""
    return {label: edges.split() for label, edges in shortest_ways(net, trips, folder, seed).items()}


def shortest_ways(net: Path, trips: pd.DataFrame, folder: Path, seed: int) -> dict[str, str]:
    """Return the edges of every trip, separated by blanks, by duarouter.

    Edge weights are perturbed by vehicle, so that the many equally short routes through a grid are all used, and the
    route of a vehicle does not depend on other vehicles. In networks of more than `SMALL` edges, where Dijkstra's
    algorithm takes minutes for a thousand trips, weights are those of one of `DRAWS` draws, and routes are found by
    contraction hierarchies.

    Parameters
    ----------
    net
        The network.
    trips
        Index vehicle; columns ``depart_s``, ``start`` and ``end`` (edges).
    folder
        For intermediate files.
    """
    free_s = _free_s(net)
    if len(free_s) <= SMALL:
        number = generator(seed, "duarouter").integers(2**31)
        return _routed(net, trips, folder, "--weights.random-factor", f"{WEIGHT_FACTOR:g}", "--seed", str(number))
    drawn = (uniform(seed, "draw of the weights", trips.index) * DRAWS).astype(int)
    free = np.array(list(free_s.values()))
    factors = [1 + (WEIGHT_FACTOR - 1) * uniform(seed, f"draw {draw} of the weights", free_s) for draw in range(DRAWS)]
    found = _weighted(net, trips, folder, list(free_s), [free * factor for factor in factors], drawn, "CCH")
    return {str(label): found[label] for label in trips.index if label in found}


SAMPLE = 5_000
"""Drives by which the mean detour through a network is found. The standard error of their total length is 0.5 %."""


def lengths_of(net: Path, trips: pd.DataFrame, folder: Path, seed: int) -> Vector:
    """Return the length of every trip's way, NaN without one, shape (n_trips,). [m]

    In networks of more than `SMALL` edges only `SAMPLE` trips are routed, and the lengths of all are those between the
    middles of their edges, as the crow flies, times the mean detour of these. For the parameters see `shortest_ways`.
    """
    network = read_net(net)
    edges = network.getEdges(withInternal=False)
    large = len(edges) > SMALL and len(trips) > SAMPLE
    drawn = np.argsort(uniform(seed, "detour", trips.index), kind="stable")
    chosen = drawn[:SAMPLE] if large else np.arange(len(trips))
    among = trips.iloc[chosen]
    ways = shortest_ways(net, among.assign(depart_s=0.0), folder, seed)  # duarouter knows no time before 0
    routed = way_lengths(network, [ways.get(label, "") for label in among.index])
    routed[~among.index.isin(ways)] = np.nan
    if not large:
        return routed
    middle = {edge.getID(): np.mean(edge.getShape()[:1] + edge.getShape()[-1:], axis=0) for edge in edges}
    ends = [np.array([middle[name][:2] for name in trips[column]]) for column in ("start", "end")]
    straight_m, found = np.hypot(*(ends[1] - ends[0]).T), np.isfinite(routed)
    return np.asarray(straight_m * (routed[found].sum() / straight_m[chosen][found].sum()))


def _free_s(net: Path) -> dict[str, float]:
    """Return the time over each edge of a network without other traffic. [s]"""
    found: dict[str, float] = {}
    edge = ""
    for tag, given in attributes(net, ("edge", "lane"), ("id", "length", "speed")):
        if tag == "edge":
            edge = given["id"]
        elif not edge.startswith(":"):
            found[edge] = float(given["length"]) / float(given["speed"])
    return found


def _weighted(
    net: Path,
    trips: pd.DataFrame,
    folder: Path,
    edges: Sequence[str],
    times_s: Sequence[Vector],
    which: Indices,
    algorithm: Literal["CH", "CCH"],
) -> dict[str, str]:
    """Return the fastest way of every trip by one of several weights, the same at any time of the day.

    Each weights stand in an interval of their own, at whose beginning their trips depart: the network is loaded once,
    and a hierarchy is built for each interval.

    Parameters
    ----------
    net, trips, folder
        See `shortest_routes`.
    edges
        Names of the edges.
    times_s : shape (n_weights, n_edges)
        Weights. [s]
    which : shape (n_trips,)
        The weights of each trip.
    algorithm
        The kind of hierarchy.
    """
    names = [quoteattr(label) for label in edges]

    def lines() -> Iterator[str]:
        for k, times in enumerate(times_s):
            yield f'<interval id="weights" begin="{k * _APART_S}" end="{(k + 1) * _APART_S}">'
            yield from (f'<edge id={name} traveltime="{s:.3f}"/>' for name, s in zip(names, times.tolist()))
            yield "</interval>"

    weights = write_xml(folder / "weights.xml", "meandata", lines())
    options = ["--weight-files", f"{weights}", "--weight-period", f"{_APART_S}", "--route-steps", f"{_APART_S}"]
    options += ["--routing-algorithm", algorithm]
    found = _routed(net, trips.assign(depart_s=which * float(_APART_S)), folder, *options)
    weights.unlink()
    return found


def assigned_routes(
    net: Path, trips: pd.DataFrame, folder: Path, seed: int, *, cars_per_trip: float = 1.0
) -> dict[str, list[str]]:
    """Return the edges of every trip, by incremental assignment: later trips avoid the streets that earlier ones fill.

    The trips are drawn into `SHARES` equal shares. One after the other is routed, on travel times with the waits
    for green and in the queues that those before have left, as large as they would be in the peak hour with all trips,
    and perturbed by a factor of their own. Routes are found by contraction hierarchies, several times
    as fast as by Dijkstra's algorithm.

    Parameters
    ----------
    net, trips, folder
        See `shortest_routes`.
    cars_per_trip
        Cars that each trip stands for, where the trips are a sample of the traffic.
    """
    found: dict[str, list[str]] = {}
    streets = [edge for edge in read_net(net, programs=True).getEdges(withInternal=False) if edge.allows("passenger")]
    place = {str(edge.getID()): k for k, edge in enumerate(streets)}
    free_s = np.array([edge.getLength() / edge.getSpeed() for edge in streets])
    capacity, red_s = np.array([let_through(edge) for edge in streets]).T
    volume = np.zeros(len(streets))
    hours = np.bincount((trips["depart_s"].to_numpy(float) % DAY_S // 3600).astype(int), minlength=24)
    peak = float(hours.max() / max(hours.sum(), 1))
    drawn = (uniform(seed, "share of the assignment", trips.index) * SHARES).astype(int)
    for share in range(SHARES):
        factor = 1 + (WEIGHT_FACTOR - 1) * uniform(seed, f"weights {share}", place)
        expected = cars_per_trip * volume * peak * len(trips) / max(len(found), 1)
        times = factor * (free_s + red_s) + queue_delay_s(expected, capacity)
        among = trips[drawn == share]
        ways = _weighted(net, among, folder, list(place), [times], np.zeros(len(among), int), "CH")
        routes = {label: edges.split() for label, edges in ways.items()}
        for edges in routes.values():
            volume[[place[edge] for edge in edges]] += 1
        found |= routes
    return found


SHARES = 20
"""Shares of the trips that are assigned one after the other."""
SMALL = 500
"""Largest number of edges of a network in which the weights of edges are perturbed by vehicle."""
DRAWS = 128
"""Draws of the weights of edges in larger networks."""
WEIGHT_FACTOR = 2.0
"""Largest factor by which the weight of an edge is perturbed; the least is 1. Assumption."""
SATURATION_PER_HOUR = 1800.0
"""Vehicles that a lane lets through while nothing stops them. [1/h] Assumption."""
LANE_PER_HOUR = {"dead_end": 900.0, "priority": 900.0}
"""Vehicles that a lane lets through by the junction at its end. [1/h] Assumption: half of the saturation flow."""
OTHER_PER_HOUR = 450.0
"""Of lanes that give way. [1/h] Assumption."""
_APART_S = 10**7
"""Time between the weights of different trips, beyond which no trip lasts. [s]"""


def queue_delay_s(volume: Vector, capacity: Vector) -> Vector:
    """Return the mean delay in the queue at the end of each edge, in an hour of traffic.

    The incremental delay of the Highway Capacity Manual, also above capacity, for random arrivals at signals that do
    not adapt (k = 0.5, I = 1) [1]_.

    Parameters
    ----------
    volume, capacity
        Vehicles that arrive, and that are let through. [1/h]

    Returns
    -------
    Of the same shape. [s]

    References
    ----------
    .. [1] Transportation Research Board: Highway Capacity Manual 2000, equation 16-12.

    Examples
    --------
    >>> queue_delay_s(np.array([0.0, 300.0, 600.0, 720.0]), np.full(4, 600.0)).round()
    array([  0.,   3.,  73., 377.])
    """
    ratio = volume / capacity
    return np.asarray(900.0 * (ratio - 1 + np.sqrt((ratio - 1) ** 2 + 4.0 * ratio / capacity)))


def let_through(edge: Any) -> tuple[float, float]:
    """Return how many vehicles an edge lets through [1/h], and the mean wait for green without a queue [s]."""
    lanes = [lane for lane in edge.getLanes() if lane.allows("passenger")]
    if edge.getSpeed() > FAST_MPS:
        return len(lanes) * SATURATION_PER_HOUR, 0.0
    if (signals := edge.getTLS()) and (programs := signals.getPrograms()):
        return _green(lanes, next(iter(programs.values())))
    gives_way = any(
        edge.getID() != other.getID() and other.getPriority() > edge.getPriority()
        for other in edge.getToNode().getIncoming()
    )
    kind = str(edge.getToNode().getType())
    a_lane = OTHER_PER_HOUR if gives_way and kind == "priority" else LANE_PER_HOUR.get(kind, OTHER_PER_HOUR)
    return len(lanes) * a_lane, 0.0


def _green(lanes: Sequence[Any], program: Any) -> tuple[float, float]:
    """Return the same for lanes with signals: the uniform delay of the Highway Capacity Manual 2000, equation 16-11.

    A green without priority counts half, an assumption.
    """
    phases = program.getPhases()
    cycle = sum(phase.duration for phase in phases)
    shares = []
    for lane in lanes:
        links = [way.getTLLinkIndex() for way in lane.getOutgoing() if way.getTLLinkIndex() >= 0]
        green = [sum(phase.duration * _GREEN.get(phase.state[k], 0.0) for phase in phases) / cycle for k in links]
        shares.append(float(np.mean(green)) if green else 0.5)
    share = max(sum(shares) / len(shares), 0.02)
    return len(lanes) * SATURATION_PER_HOUR * share, 0.5 * cycle * (1 - share) ** 2


_GREEN = {"G": 1.0, "g": 0.5}

FAST_MPS = 80 / 3.6
"""Speed limit above which streets have no junctions at level. [m/s] Assumption."""


def _routed(net: Path, trips: pd.DataFrame, folder: Path, *options: str) -> dict[str, str]:
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
        "--routing-threads",
        str(os.cpu_count() or 1),
        *options,
        timeout_s=3_600,
    )
    found = _read_ways(routed)
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
    found = _read_ways(last / f"day_{iterations - 1:03d}.rou.xml")
    shutil.rmtree(work)
    return {label: edges.split() for label, edges in found.items()}
