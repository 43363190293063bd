"""Superblocks: groups of blocks found in any network or drawn as polygons, and the streets inside."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import networkx as nx
import numpy as np
import shapely
import shapely.ops

from cosim import CosimError
from cosim.scenarios.streets.network import Net, drivable, street_graph

_SNAP_M = 1.0
_LEAST_BLOCK_M2 = 1_000.0
"""Smaller faces of the street map are traffic islands. Assumption."""
_COMPACT = 1.5
"""Groups count as compact as the best if their perimeter² over area is within this factor of its. Assumption."""


@dataclass(frozen=True)
class Cell:
    """A superblock: its area [m], the edges that only local traffic may use, and those along its border."""

    area: shapely.Polygon
    interior: tuple[str, ...]
    border: tuple[str, ...]


def find_cells(
    net: Net, *, blocks_per_cell: int = 9, cells: int = 4, local_kmh: float = 50.0, local_lanes: int = 3
) -> list[Cell]:
    """Return superblocks of a network: compact groups of neighbouring blocks separated only by local streets.

    Blocks are the faces of the street map. From every block, neighbours across local streets are added one by one, each
    time the one that keeps the group most compact. Of all groups about as compact as the best, those that do not
    overlap are taken, from the centre of the network outwards, from its edge inwards, or the most compact from its edge
    inwards, whichever gives more. A group whose streets the remaining traffic cannot do without is left out.

    Parameters
    ----------
    net
        A SUMO network.
    blocks_per_cell
        Number of blocks in a superblock; 9 are 3 × 3.
    cells
        Maximum number of superblocks.
    local_kmh, local_lanes
        Highest speed limit and number of lanes of a street inside a superblock. [km/h, 1]

    Raises
    ------
    CosimError
        If none is found.
    """
    graph = street_graph(net)
    lines, names = [], []
    for _, _, data in graph.edges(data=True):
        lines.append(shapely.set_precision(shapely.LineString(data["shape"]), 0.01))
        names.append(data["edges"])
    local = [all(_is_local(net.getEdge(name), local_kmh, local_lanes) for name in edges) for edges in names]
    blocks = _faces(graph)
    between = _dual(blocks, [line for line, may in zip(lines, local) if may])
    groups = {frozenset(group) for start in between if (group := _grow(between, blocks, start, blocks_per_cell))}
    middle = shapely.unary_union(blocks).centroid
    areas = [(shapely.unary_union([blocks[k] for k in group]), sorted(group)) for group in groups]
    best = min((_spread(area) for area, _ in areas), default=0.0)
    ranked = sorted(
        ((area, group) for area, group in areas if _spread(area) <= _COMPACT * best),
        key=lambda entry: (round(entry[0].centroid.distance(middle), 1), entry[1]),
    )
    inwards = ranked[::-1]
    tight = sorted(inwards, key=lambda entry: round(_spread(entry[0]), 1))
    found = max((_disjoint(net, order, cells) for order in (ranked, inwards, tight)), key=len)
    if not found:
        raise CosimError(
            f"the network has no group of {blocks_per_cell} blocks around local streets that other traffic could do "
            "without: ask for smaller cells, or draw them"
        )
    return found


def _disjoint(net: Net, groups: Sequence[tuple[shapely.Polygon, list[int]]], most: int) -> list[Cell]:
    found: list[Cell] = []
    taken: set[int] = set()
    for area, group in groups:
        if len(found) == most:
            break
        if taken.isdisjoint(group) and (cell := _cell(net, _outline(area), found)) is not None:
            found.append(cell)
            taken.update(group)
    return found


def cell_in(net: Net, area: shapely.Polygon) -> Cell:
    """Return the superblock within an area, in the network's coordinates [m].

    Raises
    ------
    CosimError
        If the polygon has no street inside, or cuts off other streets.
    """
    cell = _cell(net, area, [])
    if cell is None:
        raise CosimError(
            "the superblock has no street for cars inside, or the traffic around cannot do without its streets: change "
            "its outline"
        )
    return cell


def edges_within(net: Net, area: shapely.Polygon) -> list[str]:
    """Return the edges for cars whose middle lies within an area, sorted."""
    shapely.prepare(area)
    return [str(e.getID()) for e in drivable(net) if area.contains(_line(e).interpolate(0.5, normalized=True))]


def _is_local(edge: Any, kmh: float, lanes: int) -> bool:
    return bool(edge.getSpeed() * 3.6 <= kmh + 0.1 and edge.getLaneNumber() <= lanes)


def _line(edge: Any) -> shapely.LineString:
    return shapely.LineString([point[:2] for point in edge.getShape()])


def _faces(graph: nx.Graph[str]) -> list[shapely.Polygon]:
    """Return the blocks, with streets taken as straight from crossing to crossing, so that their ends meet."""
    at = {node: (data["x"], data["y"]) for node, data in graph.nodes(data=True)}
    straight = shapely.unary_union([shapely.LineString([at[a], at[b]]) for a, b in graph.edges])
    faces = [face for face in shapely.ops.polygonize(straight) if face.area >= _LEAST_BLOCK_M2]
    return sorted(faces, key=lambda face: (round(face.centroid.x, 1), round(face.centroid.y, 1)))


def _dual(blocks: Sequence[shapely.Polygon], local: Sequence[shapely.LineString]) -> nx.Graph[int]:
    """Return the graph of blocks that lie across a local street from each other."""
    dual: nx.Graph[int] = nx.Graph()
    dual.add_nodes_from(range(len(blocks)))
    tree, streets = shapely.STRtree(blocks), shapely.STRtree([line.buffer(5.0) for line in local])
    for a, b in np.array(tree.query(blocks, predicate="intersects")).T.tolist():
        if a < b:
            shared = blocks[a].intersection(blocks[b])
            if shared.length > _SNAP_M and len(streets.query(shared.interpolate(0.5, normalized=True), "intersects")):
                dual.add_edge(a, b)
    return dual


def _grow(dual: nx.Graph[int], blocks: Sequence[shapely.Polygon], start: int, size: int) -> list[int]:
    """Return a compact group of blocks grown from one block, empty if there are too few."""
    group, area = [start], blocks[start]
    while len(group) < size:
        near = sorted({k for member in group for k in dual[member]} - set(group))
        if not near:
            return []
        unions = [shapely.union(area, blocks[k]) for k in near]
        best = int(np.argmin([_spread(union) for union in unions]))
        group.append(near[best])
        area = unions[best]
    return group


def _spread(area: shapely.Polygon) -> float:
    """Return perimeter² over area: 16 for a square, more for what is less compact."""
    return round(float(area.length**2 / area.area), 6)


def _outline(area: Any) -> shapely.Polygon:
    return shapely.Polygon(area.exterior) if area.geom_type == "Polygon" else shapely.Polygon(area.convex_hull.exterior)


def _cell(net: Net, area: shapely.Polygon, others: Iterable[Cell]) -> Cell | None:
    streets = drivable(net)
    inner = area.buffer(-5.0)
    interior = {str(e.getID()) for e in streets if inner.contains(_line(e).interpolate(0.5, normalized=True))}
    if not interior:
        return None
    closed = interior.union(*(cell.interior for cell in others))
    open_streets = {str(e.getID()) for e in streets} - closed
    lost = open_streets - _connected(net, open_streets)
    if len(lost) > len(interior):
        return None
    interior |= lost  # a street that leads only inside belongs to it
    ring = shapely.LineString(area.exterior.coords).buffer(10.0)
    along = [str(e.getID()) for e in streets if ring.contains(_line(e).interpolate(0.5, normalized=True))]
    return Cell(area, tuple(sorted(interior)), tuple(edge for edge in along if edge not in interior))


def _connected(net: Net, streets: set[str]) -> set[str]:
    """Return the largest part of these streets in which cars can reach every street from every other."""
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(sorted(streets))
    for pair in ((a, b) for a in sorted(streets) for b in net.getEdge(a).getOutgoing()):
        if (name := str(pair[1].getID())) in streets:
            graph.add_edge(pair[0], name)
    return max(nx.strongly_connected_components(graph), key=len, default=set())
