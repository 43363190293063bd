"""Which ways do cars take through a network, and how many must there be to match what detectors counted?

Routes come from SUMO's own tools: duarouter for the shortest way, duaIterate for an equilibrium in which nobody gains
by another way, routeSampler for a set of routes that matches counts.
"""

from __future__ import annotations

import os
import shutil
import subprocess
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

from cosim.core import CosimError, InputFileError
from cosim.core.random import generator
from cosim.scenarios.streets import Net, drivable, run_sumo_tool, sumo_home

LEAST_ARRIVED = 0.98
"""Share of the cars that must arrive within the day, or the network does not carry the demand. Assumption."""


def door_position(edge: Any, x: float, y: float) -> float:
    """Return where along an edge a building's door is, clear of both crossings. [m]"""
    position, _ = edge.getClosestLanePosDist((x, y))[1:]
    return float(np.clip(position, min(8.0, edge.getLength() / 2), max(edge.getLength() - 12.0, edge.getLength() / 2)))


def gates(net: Net) -> tuple[dict[str, tuple[float, float]], dict[str, tuple[float, float]]]:
    """Find the edges that lead in from the network's border and out to it, with the place at the border. [m]

    Those are the edges that begin and end at nothing, as in networks that are cut out of a city. Where there are none,
    they are the streets that end at the convex hull, and those that run along it from corner to corner.

    Raises
    ------
    CosimError
        If no street leads in, or none out.
    """
    entries, exits = _open_ends(net)
    if not (entries and exits):
        entries, exits = _at_hull(drivable(net))
    if not entries or not exits:
        raise CosimError("no street leads into the network and out of it at its border: through traffic needs both")
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
    corner = {
        label for label in at_border if len({n.getID() for n in nodes[label].getNeighboringNodes()}) == 2
    }  # fmt: skip
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
    """Write lines of XML below a root element, and return the path."""
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
            found[str(element.get("id"))] = route.get("edges", "").split()
    return found


def shortest_routes(net: Path, trips: pd.DataFrame, folder: Path, seed: int) -> dict[str, list[str]]:
    """Return the edges of every trip, by duarouter.

    Edge weights are disturbed by vehicle, so that the many equally short ways through a grid are all used, and a
    vehicle's way does not depend on who else drives.

    Parameters
    ----------
    net
        The network.
    trips
        Index vehicle; columns ``depart_s``, ``start`` and ``end`` (edges).
    folder
        For intermediate files.
    """
    given, routed = _write_trips(folder / "legs.trips.xml", trips), folder / "legs.rou.xml"
    run_sumo_tool(
        "duarouter", "--net-file", net, "--route-files", given, "--output-file", routed,
        "--weights.random-factor", "2", "--seed", str(generator(seed, "duarouter").integers(2**31)),
    )  # fmt: skip
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
        raise CosimError(f"an equilibrium takes {iterations} iterations: give at least 1")
    work = folder / "equilibrium"
    work.mkdir(parents=True, exist_ok=True)
    given = _write_trips(work / "day.trips.xml", trips)
    number = str(generator(seed, "equilibrium").integers(2**31))
    end = float(trips["depart_s"].max()) + 7_200 if len(trips) else 0.0
    run_sumo_script(
        "assign/duaIterate.py", "-n", net.resolve(), "-t", given.resolve(), "-l", str(iterations), "-e", f"{end:.0f}",
        "--mesosim", "--meso-junctioncontrol", "--disable-warnings", "--disable-summary", "--no-gzip",
        "duarouter--seed", number, "sumo--seed", number, cwd=work,
    )  # fmt: skip
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


def run_sumo_script(name: str, *arguments: str | Path, cwd: Path, timeout_s: float = 3_600) -> str:
    """Run one of the Python tools in SUMO's wheel and return what it said.

    Raises
    ------
    CosimError
        With the tool's own last words if it fails or takes longer than ``timeout_s``.
    """
    home = sumo_home()
    environment = os.environ | {"SUMO_HOME": str(home), "PROJ_DATA": str(home / "data" / "proj")}
    try:
        done = subprocess.run(
            [sys.executable, home / "tools" / name, *arguments], cwd=cwd, env=environment, capture_output=True,
            text=True, timeout=timeout_s,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise CosimError(f"{name} was still running after {timeout_s:g} s: simplify its input") from error
    if done.returncode:
        words = (done.stderr or done.stdout).strip().splitlines()[-3:]
        raise CosimError(f"{name} failed: {' '.join(words) or 'it gave no reason'}")
    return done.stdout + done.stderr


def detector_edges(path: Path) -> dict[str, str]:
    """Return the edge of every induction loop (E1) in an additional file of SUMO, by detector.

    Raises
    ------
    InputFileError
        If the file is missing, malformed or not to be trusted.
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
    """Write vehicles on known routes so that they match counts, by SUMO's routeSampler.

    Parameters
    ----------
    routes
        Route file with the ways to choose from, e.g. one that a scenario came with.
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
        If a count is negative or not finite, or routeSampler refuses (with its words).
    """
    for column in ("begin_s", "end_s", "edge", "count"):
        if column not in counts:
            raise CosimError(f"counts has no column {column!r}: give begin_s, end_s, edge and count")
    number = counts["count"].to_numpy(float)
    if not (np.isfinite(number).all() and (number >= 0).all()):
        raise CosimError("counts holds a number that is negative or not finite: counts are vehicles per interval")
    output.parent.mkdir(parents=True, exist_ok=True)
    lines = []
    for (begin, end), group in counts.groupby(["begin_s", "end_s"]):
        lines.append(f'<interval id="counts" begin="{begin:g}" end="{end:g}">')
        lines += [f'<edge id={quoteattr(str(r.edge))} entered="{r.count:.0f}"/>' for r in group.itertuples()]
        lines.append("</interval>")
    given = write_xml(output.with_suffix(".counts.xml"), "data", lines)
    extra = ["-a", f'type="{vehicle_type}"'] if vehicle_type else []
    run_sumo_script(
        "routeSampler.py", "-r", routes.resolve(), "-d", given.resolve(), "-o", output.resolve(),
        "--optimize", "full", "-s", str(generator(seed, "routeSampler").integers(2**31)), *extra, cwd=output.parent,
    )  # fmt: skip
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
