"""Streets of any SUMO network, and building sites along them.

Coordinates ``x, y`` are those of the network, in metres.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeAlias
from weakref import WeakValueDictionary
from xml.sax import SAXException

import networkx as nx
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyproj
import shapely
import sumolib

from cosim.adapters.traffic.files import elements, version_of
from cosim.core import CosimError, InputFileError
from cosim.core.quantities import Vector
from cosim.core.random import uniform

Net: TypeAlias = Any
"""A network as sumolib reads it."""

_OPEN: WeakValueDictionary[tuple[Any, ...], Any] = WeakValueDictionary()
"""Networks that somebody holds: each is read once."""

_SLOT_M = 16.0  # a plot's frontage where only streets are known


def without_dates(path: Path) -> None:
    """Strip the comment with date and paths from a file of SUMO's, so that the same input gives the same bytes."""
    text = path.read_text(encoding="utf-8")
    path.write_text(re.sub(r"<!-- generated on.*?-->\s*", "", text, count=1, flags=re.DOTALL), encoding="utf-8")


def read_net(path: Path | str, *, programs: bool = False) -> Net:
    """Read a SUMO network, with the programs of its traffic lights if told.

    Raises
    ------
    InputFileError
        If the file is absent, is not a SUMO network, or declares entities (unsafe XML).
    """
    path = Path(path)
    if not path.is_file():
        raise InputFileError(f"there is no network {path}: give the path of a .net.xml or .net.xml.gz")
    try:
        # sumolib's own parser accepts a document type declaration, which can only stand before the root.
        root = next(elements(path, ("start",)))[1].tag
    except InputFileError as error:
        raise InputFileError(f"{path} cannot be read as a SUMO network: {error}") from error
    if root != "net":
        raise InputFileError(f"{path} is not a SUMO network: its root element is <{root}>, not <net>")
    key = (path.resolve(), *version_of(path), programs)
    if (known := _OPEN.get(key)) is not None:
        return known
    try:
        found = sumolib.net.readNet(str(path), withInternal=False, withPrograms=programs)
    except (SAXException, KeyError, ValueError) as error:
        raise InputFileError(f"{path} cannot be read as a SUMO network: {error!r}") from error
    _OPEN[key] = found
    return found


def _loaded(net: Net | Path | str) -> Net:
    return read_net(net) if isinstance(net, (str, Path)) else net


def drivable(net: Net) -> list[Any]:
    """Return the edges of the largest part of the network in which cars can reach every edge from every other.

    They are sorted by id. Cars are SUMO's vehicle class ``passenger``.
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
    their label, so that a larger ``n`` keeps the sites of a smaller one. Plots that overlap one another or a
    street are left out.

    Parameters
    ----------
    net
        A SUMO network.
    n
        Number of sites.
    setback_m
        Distance from the edge of the carriageway to the façade. [m]

    Returns
    -------
    Columns as in `building_sites`; ``block`` is the street edge's id. ``attached`` counts the neighbouring
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
        raise CosimError("the network has no geographic projection (its location is '!'): build it with one")
    return pyproj.Proj(parameter), net.getLocationOffset()


def way_lengths(net: Net, ways: Iterable[str]) -> Vector:
    """Return the lengths of ways, each the names of its edges separated by blanks, shape (n_ways,). [m]"""
    metres = {edge.getID(): edge.getLength() for edge in net.getEdges(withInternal=False)}
    return np.array([sum(map(metres.__getitem__, way.split())) for way in ways], np.float64)


def project(net: Net | Path | str, longitude: npt.ArrayLike, latitude: npt.ArrayLike) -> tuple[Vector, Vector]:
    """Return the network's ``x, y`` [m] of longitudes and latitudes (WGS 84) [°], each of the shape given."""
    projection, (dx, dy) = _projection(_loaded(net))
    x, y = projection(np.asarray(longitude, float), np.asarray(latitude, float))
    return np.asarray(x, float) + dx, np.asarray(y, float) + dy


def unproject(net: Net | Path | str, x: npt.ArrayLike, y: npt.ArrayLike) -> tuple[Vector, Vector]:
    """Return longitude and latitude (WGS 84) [°] of the network's ``x, y`` [m], each of the shape given.

    Raises
    ------
    CosimError
        If the network has no geographic projection.
    """
    projection, (dx, dy) = _projection(_loaded(net))
    longitude, latitude = projection(np.asarray(x, float) - dx, np.asarray(y, float) - dy, inverse=True)
    return np.asarray(longitude, float), np.asarray(latitude, float)
