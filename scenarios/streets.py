"""Where do the streets of a twin run, and where do its buildings stand along them?

The Eixample district is drawn here as plain nodes and edges and built by SUMO's netconvert; street graphs,
building sites and coordinates are read from any SUMO network. Coordinates ``x, y`` are those of the network,
in metres; the Eixample's frame is a transverse Mercator projection centred on the district, so that its y
axis points to true north.
"""

from __future__ import annotations

import gzip
import importlib.util
import math
import os
import re
import subprocess
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias
from xml.sax import SAXException, handler
from xml.sax.saxutils import quoteattr

import defusedxml.sax
import networkx as nx
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyproj
import shapely
import sumolib

from cosim.core import CosimError, InputFileError
from cosim.core.random import uniform

Net: TypeAlias = Any
"""A network as sumolib reads it."""

PITCH_M = 133.3
"""Cerdà's grid: blocks of 113.3 m and streets of 20 m, axis to axis. [m]"""
STREET_M = 20.0
CHAMFER_M = 15.0
"""What a chamfer takes off either side of a block's corner; its façade is then 21.2 m long. [m]"""
DEPTH_M = 24.0
"""Built depth round the courtyard. [m] Assumption."""
CYCLE_S = 90
"""Common cycle of the traffic lights. [s] Assumption."""

_CENTRE = (41.3930, 2.1640)  # latitude and longitude of a corner in the Dreta de l'Eixample
_PROJECTION = f"+proj=tmerc +lat_0={_CENTRE[0]} +lon_0={_CENTRE[1]} +k=1 +x_0=0 +y_0=0 +ellps=WGS84 +units=m +no_defs"
_ROTATION = math.radians(45)  # streets run NE-SW and NW-SE
_SLOT_M = 16.0  # a plot's frontage where only streets are known


def sumo_home() -> Path:
    """Return the folder of the installed SUMO wheel, without importing it (which changes the environment)."""
    spec = importlib.util.find_spec("sumo")
    if spec is None or not spec.submodule_search_locations:
        raise CosimError("SUMO is not installed: pip install eclipse-sumo")
    return Path(next(iter(spec.submodule_search_locations)))


def sumo_binary(name: str) -> Path:
    """Return the path of one of SUMO's programs.

    Examples
    --------
    >>> sumo_binary("netconvert").stem
    'netconvert'
    """
    for path in (sumo_home() / "bin" / name, sumo_home() / "bin" / f"{name}.exe"):
        if path.is_file():
            return path
    raise CosimError(f"SUMO's wheel has no program {name!r}: use one as 'sumo', 'netconvert' or 'duarouter'")


def run_sumo_tool(name: str, *arguments: str | Path, timeout_s: float = 600) -> str:
    """Run one of SUMO's programs and return what it said.

    Raises
    ------
    CosimError
        With the program's own words if it fails or takes longer than ``timeout_s``.
    """
    home = sumo_home()
    environment = {**os.environ, "SUMO_HOME": str(home), "PROJ_DATA": str(home / "data" / "proj")}
    try:
        done = subprocess.run(
            [sumo_binary(name), *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )
    except subprocess.TimeoutExpired as error:
        raise CosimError(f"{name} was still running after {timeout_s:g} s: simplify its input") from error
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("Error")] or done.stderr.splitlines()
        raise CosimError(f"{name} failed: {' '.join(lines) or 'it gave no reason'}")
    return done.stdout + done.stderr


def without_dates(path: Path) -> None:
    """Strip the comment with date and paths that SUMO writes into its files: same input, same bytes."""
    text = path.read_text(encoding="utf-8")
    path.write_text(re.sub(r"<!-- generated on.*?-->\s*", "", text, count=1, flags=re.DOTALL), encoding="utf-8")


def _plan(u: float, v: float) -> tuple[float, float]:
    """Turn grid coordinates (u to the north-east, v to the north-west) into x (east) and y (north). [m]"""
    s, c = math.sin(_ROTATION), math.cos(_ROTATION)
    return u * s - v * c, u * c + v * s


def _check(n: int, m: int, avenues: Sequence[str]) -> None:
    if n < 2 or m < 2:
        raise CosimError(f"the district has {n} × {m} blocks: it needs at least 2 × 2, or one-way streets cannot turn")
    lines = {f"x{i}" for i in range(n + 1)} | {f"y{j}" for j in range(m + 1)}
    if unknown := sorted(set(avenues) - lines):
        raise CosimError(f"the district has no street {unknown[0]!r}: avenues are among x0 to x{n} and y0 to y{m}")


def _segments(n: int, m: int, avenues: Sequence[str]) -> Iterator[tuple[str, tuple[int, int], tuple[int, int], bool]]:
    """Yield street, from-crossing, to-crossing and whether two-way, of every directed street segment.

    Streets alternate their one way; those round the edge and the avenues run both ways, which closes all
    loops.
    """
    for street, index, last, count in (
        *((f"y{j}", j, m, n) for j in range(m + 1)),
        *((f"x{i}", i, n, m) for i in range(n + 1)),
    ):
        both = index in (0, last) or street in avenues
        for k in range(count):
            ends = ((k, index), (k + 1, index)) if street[0] == "y" else ((index, k), (index, k + 1))
            if both or index % 2:
                yield street, *ends, both
            if both or not index % 2:
                yield street, *ends[::-1], both


def _edge(a: tuple[int, int], b: tuple[int, int]) -> str:
    return f"x{a[0]}y{a[1]}-x{b[0]}y{b[1]}"


def eixample_streets(
    folder: Path,
    n: int,
    m: int,
    *,
    lanes: int = 3,
    speed_kmh: float = 50.0,
    avenues: Sequence[str] = (),
    cycle_s: int = CYCLE_S,
) -> Path:
    """Build the street network of ``n × m`` Eixample blocks.

    Parameters
    ----------
    folder
        Where the network goes; made if absent.
    n, m
        Number of blocks to the north-east and to the north-west.
    lanes
        Lanes of a one-way street. Two-way streets have two lanes each way.
    speed_kmh
        Speed limit. [km/h]
    avenues
        Inner streets that run both ways, e.g. ``("x2", "y3")``; those round the edge always do.
    cycle_s
        Common cycle of the traffic lights. [s]

    Returns
    -------
    The SUMO network, ``eixample.net.xml``. Crossings are named ``x<i>y<j>``, edges ``x<i>y<j>-x<i>y<j>``.

    Raises
    ------
    CosimError
        If there are too few blocks, an avenue does not exist, or netconvert refuses (with its words).
    """
    _check(n, m, avenues)
    if lanes < 1 or not speed_kmh > 0:
        raise CosimError(f"streets have {lanes} lanes and {speed_kmh} km/h: both must be positive")
    folder.mkdir(parents=True, exist_ok=True)
    nodes, edges, net = (folder / f"eixample.{kind}.xml" for kind in ("nod", "edg", "net"))
    half_u, half_v = n * PITCH_M / 2, m * PITCH_M / 2
    corners = {(0, 0), (n, 0), (0, m), (n, m)}
    lines = []
    for i in range(n + 1):
        for j in range(m + 1):
            x, y = _plan(i * PITCH_M - half_u, j * PITCH_M - half_v)
            kind = "priority" if (i, j) in corners else "traffic_light"
            lines.append(f'<node id="x{i}y{j}" x="{x:.3f}" y="{y:.3f}" type="{kind}"/>')
    reach = half_u + half_v
    boundary = f"{-reach:.2f},{-reach:.2f},{reach:.2f},{reach:.2f}"
    location = (
        f'<location netOffset="0.00,0.00" convBoundary="{boundary}" origBoundary="{boundary}" '
        f"projParameter={quoteattr(_PROJECTION)}/>"
    )
    nodes.write_text("\n".join(["<nodes>", location, *lines, "</nodes>\n"]), encoding="utf-8")
    lines = [
        f'<edge id="{_edge(a, b)}" from="x{a[0]}y{a[1]}" to="x{b[0]}y{b[1]}" name="{street}" '
        f'priority="{2 if both else 1}" numLanes="{2 if both else lanes}" speed="{speed_kmh / 3.6:.4f}" '
        f'spreadType="{"right" if both else "center"}"/>'
        for street, a, b, both in _segments(n, m, avenues)
    ]
    edges.write_text("\n".join(["<edges>", *lines, "</edges>\n"]), encoding="utf-8")
    run_sumo_tool(
        "netconvert", "--node-files", nodes, "--edge-files", edges, "--output-file", net, "--no-turnarounds",
        "--offset.disable-normalization", "--tls.cycle.time", str(cycle_s), "--no-internal-links", "false",
    )  # fmt: skip
    without_dates(net)
    return net


def block_polygons(n: int, m: int) -> dict[str, shapely.Polygon]:
    """Return the chamfered blocks by label ``b<i>.<j>``, in the network's coordinates.

    Examples
    --------
    >>> round(block_polygons(2, 2)["b0.0"].area)  # 113.3² less four chamfers of 15 × 15 / 2
    12387
    """
    side, c = PITCH_M - STREET_M, CHAMFER_M
    ring = [
        (c, 0),
        (side - c, 0),
        (side, c),
        (side, side - c),
        (side - c, side),
        (c, side),
        (0, side - c),
        (0, c),
    ]
    return {
        f"b{i}.{j}": shapely.Polygon([_plan(*_in_block(n, m, i, j, u, v)) for u, v in ring])
        for i in range(n)
        for j in range(m)
    }


def _in_block(n: int, m: int, i: int, j: int, u: float, v: float) -> tuple[float, float]:
    """Shift a point from a block's south corner to grid coordinates."""
    return (i - n / 2) * PITCH_M + STREET_M / 2 + u, (j - m / 2) * PITCH_M + STREET_M / 2 + v


def building_sites(n: int, m: int, per_block: int = 24, *, avenues: Sequence[str] = ()) -> pd.DataFrame:
    """Return the buildings round every block: four on the chamfers, the rest shoulder to shoulder along the
    sides.

    Parameters
    ----------
    n, m, avenues
        As in `eixample_streets`.
    per_block
        Buildings round a block, a multiple of four from 8 on.

    Returns
    -------
    One row per building, index ``site`` = ``b<i>.<j>.<k>``, columns: ``x``, ``y`` centroid [m];
    ``azimuth_deg`` outward normal of the street façade, clockwise from true north; ``frontage_m`` and
    ``depth_m``; ``area_m2`` of the footprint; ``attached`` number of party walls and ``party_wall_m`` their
    length; ``block``; ``edge`` the nearest street edge; ``footprint`` (shapely polygon). The footprints of a
    block tile its octagon but for the courtyard.

    Raises
    ------
    CosimError
        If there are too few blocks, or ``per_block`` is no multiple of four from 8 on.
    """
    _check(n, m, avenues)
    if per_block < 8 or per_block % 4:
        raise CosimError(f"a block has {per_block} buildings: give a multiple of 4 from 8 on (four stand at chamfers)")
    side, c, d = PITCH_M - STREET_M, CHAMFER_M, DEPTH_M
    along = per_block // 4 - 1
    front = (side - 2 * d) / along
    segments = {_edge(a, b): (a, b) for _, a, b, _ in _segments(n, m, avenues)}
    diagonal = (d - c / 2) * math.sqrt(2)
    # One side of the block, run counter-clockwise from its corner: a chamfer building, then the row.
    shapes: list[tuple[list[tuple[float, float]], float, float, float]] = [
        ([(c, 0), (d, 0), (d, d), (0, d), (0, c)], -45.0, math.hypot(c, c) + 2 * (d - c), diagonal)
    ]
    for k in range(along):
        a, b = d + k * front, d + (k + 1) * front
        shapes.append(([(a, 0), (b, 0), (b, d), (a, d)], 0.0, front, d))
    rows = []
    for i in range(n):
        for j in range(m):
            around = [(i, j), (i + 1, j), (i + 1, j + 1), (i, j + 1)]
            for turn in range(4):
                ends = around[turn], around[(turn + 1) % 4]
                # Traffic keeps right, so a block that is run round counter-clockwise lies left of a -> b.
                edge = next(name for name in (_edge(*ends[::-1]), _edge(*ends)) if name in segments)
                for k, (ring, tilt, frontage, depth) in enumerate(shapes):
                    points = [_plan(*_in_block(n, m, i, j, *_turned(u, v, side, turn))) for u, v in ring]
                    footprint = shapely.Polygon(points)
                    # The first side faces -v, that is south-east (135°); every turn of the side takes 90°
                    # off.
                    azimuth = (180 - math.degrees(_ROTATION) - 90 * turn - tilt) % 360
                    rows.append(
                        {
                            "site": f"b{i}.{j}.{turn * len(shapes) + k}",
                            "x": footprint.centroid.x,
                            "y": footprint.centroid.y,
                            "azimuth_deg": azimuth,
                            "frontage_m": frontage,
                            "depth_m": depth,
                            "area_m2": footprint.area,
                            "attached": 2,
                            "party_wall_m": 2 * d,
                            "block": f"b{i}.{j}",
                            "edge": edge,
                            "footprint": footprint,
                        }
                    )
    return pd.DataFrame(rows).set_index("site")


def _turned(u: float, v: float, side: float, quarters: int) -> tuple[float, float]:
    """Turn a point of a block counter-clockwise about its centre by quarters."""
    for _ in range(quarters):
        u, v = side - v, u
    return u, v


class _Root(handler.ContentHandler):
    """Notes the root element of a file and stops there."""

    class Found(Exception):
        pass

    def startElement(self, name: str, attrs: object) -> None:
        raise self.Found(name)


def read_net(path: Path | str) -> Net:
    """Read a SUMO network.

    Raises
    ------
    InputFileError
        If the file is absent, is no SUMO network, or declares entities (XML that is not to be trusted).
    """
    path = Path(path)
    if not path.is_file():
        raise InputFileError(f"there is no network {path}: give the path of a .net.xml or .net.xml.gz")
    root = ""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            # sumolib's own parser accepts a document type declaration, which can only stand before the root.
            defusedxml.sax.parse(stream, _Root(), forbid_dtd=True)
    except _Root.Found as found:
        root = str(found)
    except (defusedxml.DefusedXmlException, SAXException, OSError) as error:
        raise InputFileError(f"{path} cannot be read as a SUMO network: {error!r}") from error
    if root != "net":
        raise InputFileError(f"{path} is no SUMO network: its root element is <{root}>, not <net>")
    try:
        return sumolib.net.readNet(str(path), withInternal=False)
    except (SAXException, KeyError, ValueError) as error:
        raise InputFileError(f"{path} cannot be read as a SUMO network: {error!r}") from error


def _loaded(net: Net | Path | str) -> Net:
    return read_net(net) if isinstance(net, (str, Path)) else net


def drivable(net: Net) -> list[Any]:
    """Return the edges of the largest part of the network in which cars can get from every edge to every
    other.

    Sorted by id. Cars are SUMO's vehicle class ``passenger``.
    """
    graph: nx.DiGraph[str] = nx.DiGraph()
    for edge in net.getEdges(withInternal=False):
        if not edge.allows("passenger"):
            continue
        graph.add_node(edge.getID())
        for target, connections in edge.getOutgoing().items():
            if target.allows("passenger") and any(
                c.getFromLane().allows("passenger") and c.getToLane().allows("passenger") for c in connections
            ):
                graph.add_edge(edge.getID(), target.getID())
    if not graph:
        raise CosimError("the network has no edge that cars may use: street_graph and the demand need one")
    part = max(nx.strongly_connected_components(graph), key=lambda ids: (len(ids), min(ids)))
    return [net.getEdge(label) for label in sorted(part)]


def street_graph(net: Net | Path | str) -> nx.Graph[str]:
    """Return the streets that cars may use as an undirected graph: the largest connected part.

    Returns
    -------
    Nodes are SUMO junctions with ``x`` and ``y`` [m]; edges have ``length`` [m] (the shortest where several
    run side by side), ``edges`` (the SUMO edge ids of both directions, sorted) and ``shape`` (tuple of (x,
    y), from the smaller to the larger junction id).

    Raises
    ------
    CosimError
        If no edge is open to cars.
    """
    net = _loaded(net)
    between: dict[tuple[str, str], list[Any]] = defaultdict(list)
    for edge in sorted(net.getEdges(withInternal=False), key=lambda edge: str(edge.getID())):
        a, b = sorted((edge.getFromNode().getID(), edge.getToNode().getID()))
        if edge.allows("passenger") and a != b:
            between[a, b].append(edge)
    if not between:
        raise CosimError("the network has no edge that cars may use: street_graph and the demand need one")
    graph: nx.Graph[str] = nx.Graph()
    for (a, b), edges in sorted(between.items()):
        shortest = min(edges, key=lambda edge: edge.getLength())
        shape = [(float(x), float(y)) for x, y, *_ in shortest.getShape()]
        if shortest.getFromNode().getID() != a:
            shape.reverse()
        for label in (a, b):
            x, y = net.getNode(label).getCoord()[:2]
            graph.add_node(label, x=float(x), y=float(y))
        graph.add_edge(
            a,
            b,
            length=float(shortest.getLength()),
            edges=tuple(str(edge.getID()) for edge in edges),
            shape=tuple(shape),
        )
    part = max(nx.connected_components(graph), key=lambda nodes: (len(nodes), min(nodes)))
    return nx.Graph(graph.subgraph(part))


def sites_along(net: Net | Path | str, n: int, seed: int = 0, *, setback_m: float = 6.0) -> pd.DataFrame:
    """Place building sites on the right-hand side of the streets of any network.

    Every drivable edge is cut into plots of 16 m frontage and 12 m depth; ``n`` plots are drawn, keyed by
    their label, so that a larger ``n`` keeps the sites of a smaller one. Plots on top of one another, or on a
    street, are left out.

    Parameters
    ----------
    net
        A SUMO network.
    n
        Number of sites.
    setback_m
        From the edge of the carriageway to the façade. [m]

    Returns
    -------
    The columns of `building_sites`; ``block`` is the street edge's id. ``attached`` counts the neighbouring
    plots that are built as well.

    Raises
    ------
    CosimError
        If the streets are too short for ``n`` sites.
    """
    net = _loaded(net)
    plots: dict[str, tuple[str, float, shapely.Polygon]] = {}
    streets = drivable(net)
    width = {edge.getID(): sum(lane.getWidth() for lane in edge.getLanes()) for edge in streets}
    for edge in streets:
        kerb = shapely.LineString([point[:2] for point in edge.getLanes()[0].getShape()])
        offset = edge.getLanes()[0].getWidth() / 2 + setback_m
        for k in range(int(kerb.length // _SLOT_M)):
            a, b = (np.array(kerb.interpolate(s).coords[0]) for s in (k * _SLOT_M, (k + 1) * _SLOT_M))
            chord = float(np.hypot(*(b - a)))
            if chord < 0.9 * _SLOT_M:  # a sharp bend
                continue
            right = np.array([(b - a)[1], -(b - a)[0]]) / chord
            front = a + right * offset, b + right * offset
            footprint = shapely.Polygon([*front, front[1] + right * 12.0, front[0] + right * 12.0])
            azimuth = math.degrees(math.atan2(-right[0], -right[1])) % 360
            plots[f"{edge.getID()}.{k}"] = edge.getID(), azimuth, footprint
    labels = list(plots)
    draw = uniform(seed, "building site", labels)
    roads = shapely.STRtree(
        [shapely.LineString([p[:2] for p in edge.getShape()]).buffer(width[edge.getID()] / 2 + 1.0) for edge in streets]
    )
    footprints = [plots[label][2] for label in labels]
    blocked = set(roads.query(footprints, predicate="intersects")[0].tolist())
    tree = shapely.STRtree([polygon.buffer(-0.5) for polygon in footprints])
    taken: dict[str, None] = {}
    clash: set[int] = set(blocked)
    for k in np.argsort(draw, kind="stable").tolist():
        if len(taken) == n:
            break
        if k not in clash:
            taken[labels[k]] = None
            clash.update(tree.query(footprints[k], predicate="intersects").tolist())
    if len(taken) < n:
        raise CosimError(f"the network's streets have room for {len(taken)} sites, not {n}: ask for fewer")
    rows = []
    for label in sorted(taken):
        edge_id, azimuth, footprint = plots[label]
        street, number = label.rsplit(".", 1)
        attached = sum(f"{street}.{int(number) + step}" in taken for step in (-1, 1))
        rows.append(
            {
                "site": label,
                "x": footprint.centroid.x,
                "y": footprint.centroid.y,
                "azimuth_deg": azimuth,
                "frontage_m": _SLOT_M,
                "depth_m": 12.0,
                "area_m2": footprint.area,
                "attached": attached,
                "party_wall_m": attached * 12.0,
                "block": edge_id,
                "edge": edge_id,
                "footprint": footprint,
            }
        )
    return pd.DataFrame(rows).set_index("site")


def _projection(net: Net) -> tuple[pyproj.Proj, tuple[float, float]]:
    parameter = net._location["projParameter"]
    if parameter in ("!", "-", "."):
        raise CosimError("the network has no geographic projection (its location says '!'): build it with one")
    return pyproj.Proj(parameter), net.getLocationOffset()


def project(
    net: Net | Path | str, longitude: npt.ArrayLike, latitude: npt.ArrayLike
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the network's ``x, y`` [m] of longitudes and latitudes (WGS 84) [°], each of the shape given."""
    projection, (dx, dy) = _projection(_loaded(net))
    x, y = projection(np.asarray(longitude, float), np.asarray(latitude, float))
    return np.asarray(x, float) + dx, np.asarray(y, float) + dy


def unproject(
    net: Net | Path | str, x: npt.ArrayLike, y: npt.ArrayLike
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return longitude and latitude (WGS 84) [°] of the network's ``x, y`` [m], each of the shape given.

    Raises
    ------
    CosimError
        If the network has no geographic projection.
    """
    projection, (dx, dy) = _projection(_loaded(net))
    longitude, latitude = projection(np.asarray(x, float) - dx, np.asarray(y, float) - dy, inverse=True)
    return np.asarray(longitude, float), np.asarray(latitude, float)
