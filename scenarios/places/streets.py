"""The SUMO network of a city's streets, built by netconvert and cut to what cars can reach."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import defusedxml.ElementTree
import networkx as nx
import numpy as np
import shapely

from cosim.adapters.traffic.installation import run_sumo_tool, sumo_home
from cosim.core import CosimError
from cosim.scenarios.mobility.routing import gates, write_xml
from cosim.scenarios.streets.network import Net, drivable, read_net, without_dates

from .countries import Location
from .findings import Findings
from .sources.street_tags import BUS_ONLY, CAR_CLASSES, NO_CARS

_ALLOWED = {NO_CARS: "bicycle emergency", BUS_ONLY: "bus coach taxi bicycle emergency"}
_AGAIN = (
    "--output.street-names", "--no-turnarounds.except-deadend", "--junctions.corner-detail", "5", "--tls.default-type",
    "actuated", "--aggregate-warnings", "3",
)  # fmt: skip
# Not --tls.join: in a dense grid it links the lights of a dozen junctions to one program, in which every approach waits
# minutes for a green of its own.
_OPTIONS = (
    "--geometry.remove", "--ramps.guess", "--junctions.join", "--tls.guess-signals", "--tls.discard-simple",
    "--roundabouts.guess", "--railway.signals.discard", "--osm.lane-access", "--geometry.max-grade.fix", "false",
    *_AGAIN,
)  # fmt: skip

ROOM_M = 8.0
"""Length of an edge on which one car stands clear of the junctions at both ends: its 5 m, SUMO's gap of 2.5 m. [m]"""
SIGNALS_M = 20.0
"""Length of an edge up to which the lights at both ends are those of one crossing. [m] Assumption."""
CROSSING_M = 130.0
"""Size of a crossing, beyond which junctions are not joined. [m] Assumption: two roads of 50 m, as Barcelona's widest,
meet at 45°: the rhombus of their overlap is 131 m long."""

GATE_CLASSES = ("motorway", "motorway_link", "trunk", "trunk_link", "primary", "primary_link", "secondary", "tertiary")
"""Streets that lead on beyond the map where they end; a lesser one does if it is one-way and ends at the outline."""

BORDER_M = 200.0
"""Distance of such an end from the convex outline of the map. [m] Assumption: a block or two."""


def build_streets(
    prepared: Path, where: Location, target: Path, findings: Findings, *, guess_signals_kmh: float | None = None
) -> None:
    """Build a network from prepared streets.

    The network holds the largest part in which cars can reach every street from every other, the major streets that
    lead into it and out of it at the border, and the streets of buses, bicycles and trams.

    Parameters
    ----------
    prepared
        Streets as written by `osm.read_osm`.
    where
        Place, for the projection and the side of traffic.
    target
        The network to write; ``….stops.xml`` and ``….lines.xml`` beside it are the stops and lines of public transport,
        those of streets that are cut off among them.
    findings
        Receives the streets that are cut off.
    guess_signals_kmh
        Sum of the speed limits of all lanes that lead to a junction, from which on it has traffic lights where the map
        shows none; by default it has none. [km/h]

    Raises
    ------
    CosimError
        If netconvert fails, or there is no street for cars.
    """
    raw, types = target.with_suffix(".raw.xml"), target.with_suffix(".typ.xml")
    stops, lines = (target.with_suffix(f".{kind}.xml") for kind in ("stops", "lines"))
    _write_types(types)
    bundled = sumo_home() / "data" / "typemap"
    maps = [bundled / "osmNetconvert.typ.xml", bundled / "osmNetconvertUrbanDe.typ.xml", types]
    run_sumo_tool(
        "netconvert",
        "--osm-files", prepared, "--type-files", ",".join(map(str, maps)), *_OPTIONS,
        "--proj", where.projection, *(["--lefthand"] if where.left_hand else []),
        *(["--tls.guess", "--tls.guess.threshold", f"{guess_signals_kmh / 3.6:.2f}"] if guess_signals_kmh else []),
        "--ptstop-output", stops, "--ptline-output", lines, "--output-file", raw,
    )  # fmt: skip
    if guess_signals_kmh:
        findings.add(
            "guessed", f"traffic lights where the limits of lanes sum to {guess_signals_kmh:g} km/h", "signals"
        )
    net = read_net(raw)
    if crowded := _crowded_rings(net):
        _forget_roundabouts(raw, crowded)
        net = read_net(raw)
        for ring in crowded:
            findings.add("mended", "roundabout with lights and no room for a car between them: one crossing", ring)
    lost = _cut_off(net)
    for edge in lost:
        way = str(edge.getID()).lstrip("-").partition("#")[0]
        findings.add("dropped", "street that cars cannot leave or reach", f"way/{way}", str(edge.getType()))
    listed, nodes = target.with_suffix(".cut.txt"), target.with_suffix(".nod.xml")
    listed.write_text("".join(f"{edge.getID()}\n" for edge in lost), encoding="utf-8")
    # netconvert 1.28 puts what it joins with traffic on the left a million kilometres to the south
    crossings = [] if where.left_hand else _one_crossing(net, {str(edge.getID()) for edge in lost})
    rails = [f'<node id={quoteattr(label)} type="priority"/>' for label in _merging_rails(net)]

    def finish(crossings: Sequence[Sequence[str]]) -> None:
        write_xml(nodes, "nodes", [*rails, *(f"<join nodes={quoteattr(' '.join(each))}/>" for each in crossings)])
        run_sumo_tool(
            "netconvert",
            "--sumo-net-file", raw, "--node-files", nodes, "--remove-edges.input-file", listed,
            "--roundabouts.guess", "false", *_AGAIN, "--output-file", target,
        )  # fmt: skip

    joined = True
    try:
        finish(crossings)
    except CosimError:  # netconvert 1.28 crashes on some
        joined = False
        finish([])
    for crossing in map(" ".join, crossings):
        if joined:
            findings.add("mended", "junctions without room between them: one junction", crossing)
        else:
            findings.add("listed", "junctions without room between them: netconvert does not join them", crossing)
    for path in (target, stops, lines):
        without_dates(path)
    for path in (raw, types, listed, nodes):
        path.unlink()


def _one_crossing(net: Net, lost: Collection[str]) -> list[tuple[str, ...]]:
    """Return groups of junctions that are one crossing, as no car can stand between them, or few between their lights.

    Where divided roads cross, the map has a junction for each pair of carriageways; netconvert 1.28 joins only some of
    these, and makes edges of a decimetre of the rest, at which queues of all directions block each other.
    """
    # netconvert 1.28 crashes where a junction of a roundabout is joined
    ring = {str(label) for roundabout in net.getRoundabouts() for label in roundabout.getNodes()}
    tight = []
    for edge in net.getEdges(withInternal=False):
        ends = edge.getFromNode(), edge.getToNode()
        room = SIGNALS_M if all(node.getType() == "traffic_light" for node in ends) else ROOM_M
        if not edge.allows("passenger") or edge.getLength() >= room or str(edge.getID()) in lost:
            continue
        if all(len(node.getNeighboringNodes()) > 1 and str(node.getID()) not in ring for node in ends):
            tight.append((edge.getLength(), *sorted(str(node.getID()) for node in ends)))
    group = {label: [label] for _, *ends in tight for label in ends}
    for _, a, b in sorted(tight):
        if group[a] is not group[b] and _span(net, both := group[a] + group[b]) <= CROSSING_M:
            group.update(dict.fromkeys(both, both))
    return sorted({tuple(sorted(found)) for found in group.values() if len(found) > 1})


def _crowded_rings(net: Net) -> list[str]:
    """Return the edges of roundabouts with traffic lights on which no car can stand between two junctions."""
    found = []
    for roundabout in net.getRoundabouts():
        lights = any(net.getNode(label).getType() == "traffic_light" for label in roundabout.getNodes())
        if lights and any(net.getEdge(label).getLength() < ROOM_M for label in roundabout.getEdges()):
            found.append(" ".join(roundabout.getEdges()))
    return sorted(found)


def _forget_roundabouts(net_file: Path, rings: Collection[str]) -> None:
    lines = net_file.read_text(encoding="utf-8").splitlines(keepends=True)
    gone = [f'edges="{ring}"' for ring in rings]
    kept = (line for line in lines if "<roundabout " not in line or not any(ring in line for ring in gone))
    net_file.write_text("".join(kept), encoding="utf-8")


def _span(net: Net, nodes: Sequence[str]) -> float:
    """Return the longer side of the box around nodes. [m]"""
    return float(np.ptp([net.getNode(label).getCoord()[:2] for label in nodes], axis=0).max())


def _merging_rails(net: Net) -> list[str]:
    """Return where rails merge: netconvert 1.28 makes zippers of these, at which trams longer than their edge stand."""
    return [
        str(node.getID())
        for node in net.getNodes()
        if node.getType() == "zipper" and not any(edge.allows("passenger") for edge in node.getIncoming())
    ]


def _write_types(path: Path) -> None:
    """Write the classes of streets that are closed to cars, each with lanes and speed of the open class."""
    found: dict[str, dict[str, str]] = {}
    for name in ("osmNetconvert.typ.xml", "osmNetconvertUrbanDe.typ.xml"):
        for row in defusedxml.ElementTree.parse(sumo_home() / "data" / "typemap" / name).iter("type"):
            found.setdefault(str(row.get("id")), {}).update(row.attrib)
    rows = []
    for street in CAR_CLASSES:
        kind = found[f"highway.{street}"]
        for suffix, allowed in _ALLOWED.items():
            rows.append(
                f'<type id="highway.{street}.{suffix}" numLanes="{kind.get("numLanes", "1")}" speed="{kind["speed"]}" '
                f'priority="{kind["priority"]}" oneway="{kind.get("oneway", "false")}" allow="{allowed}"/>'
            )
    path.write_text("\n".join(["<types>", *rows, "</types>\n"]), encoding="utf-8")


def street_class(edge: Any) -> str:
    """Return the class of a street, such as ``primary``."""
    return str(edge.getType()).partition("|")[0].removeprefix("highway.").partition(".")[0]


def _cut_off(net: Net) -> list[Any]:
    """Return the edges for cars outside the largest strongly connected part that do not lead into it or out of it."""
    leads_in, leads_out = _reach(net)
    cars = [edge for edge in net.getEdges(withInternal=False) if edge.allows("passenger")]
    return [edge for edge in cars if str(edge.getID()) not in leads_in | leads_out]


def _reach(net: Net) -> tuple[set[str], set[str]]:
    """Return the edges of the largest strongly connected part with the major ones that lead into it, and out of it."""
    inside = {str(edge.getID()) for edge in drivable(net)}
    cars = [edge for edge in net.getEdges(withInternal=False) if edge.allows("passenger")]
    graph: nx.DiGraph[str] = nx.DiGraph()
    for edge in cars:
        for target, ways in edge.getOutgoing().items():
            if any(way.getFromLane().allows("passenger") and way.getToLane().allows("passenger") for way in ways):
                graph.add_edge(str(edge.getID()), str(target.getID()))
    kept = nx.DiGraph(graph.subgraph(_leading_on(net) | inside))
    anyone = next((label for label in sorted(inside) if label in kept), None)
    if anyone is None:
        return inside, inside
    return inside | nx.ancestors(kept, anyone), inside | nx.descendants(kept, anyone)


def _leading_on(net: Net) -> set[str]:
    """Return the streets that lead on beyond the map where they end, see `GATE_CLASSES`."""
    cars = [edge for edge in net.getEdges(withInternal=False) if edge.allows("passenger")]
    both = {(edge.getFromNode().getID(), edge.getToNode().getID()) for edge in cars}
    outline = shapely.MultiPoint([node.getCoord()[:2] for node in net.getNodes()]).convex_hull.boundary
    found = set()
    for edge in cars:
        ends = edge.getFromNode(), edge.getToNode()
        one_way = (
            street_class(edge) in ("residential", "unclassified") and (ends[1].getID(), ends[0].getID()) not in both
        )
        outside = one_way and min(outline.distance(shapely.Point(end.getCoord()[:2])) for end in ends) <= BORDER_M
        if outside or street_class(edge) in GATE_CLASSES:
            found.add(str(edge.getID()))
    return found


def border(net: Net) -> tuple[dict[str, float], dict[str, float]]:
    """Return the edges that lead in from beyond the map and out of it, each with the weight of its class.

    They are the ends of one-way streets that begin or end there, and of two-way major streets with a dead end. Where
    there are none, every street with a dead end counts.

    Raises
    ------
    CosimError
        If there is none.
    """
    if not any(street_class(edge) in CAR_CLASSES for edge in net.getEdges(withInternal=False)):
        leads_in, leads_out = gates(net)  # drawn streets have no classes
        return dict.fromkeys(sorted(leads_in), 1.0), dict.fromkeys(sorted(leads_out), 1.0)
    into, out_of = _reach(net)
    everywhere = {str(edge.getID()) for edge in net.getEdges(withInternal=False)}
    for leading_on in (_leading_on(net), everywhere):
        entries: dict[str, float] = {}
        exits: dict[str, float] = {}
        for edge in net.getEdges(withInternal=False):
            kind = street_class(edge)
            if kind not in CAR_CLASSES or not edge.allows("passenger") or str(edge.getID()) not in leading_on:
                continue
            weight = GATE_WEIGHTS.get(kind.removesuffix("_link"), 0.5) * edge.getLaneNumber()
            if str(edge.getID()) in into and _is_end(edge, edge.getFromNode()):
                entries[str(edge.getID())] = weight
            if str(edge.getID()) in out_of and _is_end(edge, edge.getToNode()):
                exits[str(edge.getID())] = weight
        if entries and exits:
            return dict(sorted(entries.items())), dict(sorted(exits.items()))
    raise CosimError("no street of the network ends at its border: give --through 0 for a city without through traffic")


GATE_WEIGHTS = {
    "motorway": 12.0, "trunk": 8.0, "primary": 4.0, "secondary": 2.0, "tertiary": 1.0,
}  # fmt: skip
"""Traffic of a lane that enters, relative to a tertiary street's; lesser streets have half of it. Assumption, in
the order of the classes."""


def _is_end(edge: Any, node: Any) -> bool:
    return len({other.getID() for other in node.getNeighboringNodes()}) == 1 or not (
        [e for e in node.getIncoming() if e is not edge and e.allows("passenger")]
        if node is edge.getFromNode()
        else [e for e in node.getOutgoing() if e is not edge and e.allows("passenger")]
    )
