"""Street geometry from a network and building outlines: who stands how far from the axis, how high, on which side."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import scipy.sparse as sp
import shapely

from cosim.adapters.traffic.network import Network
from cosim.core.environment.streets import Streets
from cosim.core.quantities import Array, Vector

REACH_M = 50.0
"""Distance from the axis within which a building belongs to a street. [m] Assumption."""
RAYS = 9
"""Lines of sight to either side, evenly along the axis."""
LANE_M, PAVEMENT_M = 3.2, 3.0
"""Width of a lane and of a pavement, from which an open side's façade line is taken. [m] Assumptions."""
LEAST_LENGTH_M = 5.0
"""Length below which a piece of street between two crossings is none of its own. [m]"""
STOREY_M = 3.2
"""Height of a storey. [m] Assumption."""
_MOTOR = ("passenger", "bus", "delivery", "truck", "motorcycle")


def street_edges(network: Network) -> dict[str, tuple[str, ...]]:
    """Return the edges of every street for motor vehicles, by its first edge: two edges in opposite directions are one.

    Edges that are no motor traffic's belong to no street.
    """
    open_to = np.any([network.permits(kind) for kind in _MOTOR], axis=0)
    ends = {label: (a, b) for label, a, b in zip(network.labels, network.from_node, network.to_node, strict=True)}
    waiting: dict[tuple[str, str], list[str]] = {}
    found: dict[str, list[str]] = {}
    length = dict(zip(network.labels, network.length_m.tolist(), strict=True))
    for label in (label for label, is_open in zip(network.labels, open_to, strict=True) if is_open):
        a, b = ends[label]
        back = waiting.get((b, a), [])
        # of several parallel ways that of about the same length runs beside it
        twin = min(back, key=lambda other: abs(length[other] - length[label]), default=None)
        if twin is not None and abs(length[twin] - length[label]) <= 0.2 * length[label]:
            back.remove(twin)
            found[twin].append(label)
        else:
            found[label] = [label]
            waiting.setdefault((a, b), []).append(label)
    return {label: tuple(edges) for label, edges in found.items()}


def make_streets(
    network: Network, outlines: Sequence[shapely.Polygon], heights: Sequence[float]
) -> tuple[Streets, sp.csr_array]:
    """Return the streets of a network between buildings, and the matrix from its edges to them.

    From points along the axis lines of sight go to both sides. A side is built if at least half of them meet a
    building within `REACH_M`; its façade is as far as their median, which leaves corners and gaps out, and as high as
    their mean. An open side has the façade line at the pavement's edge and the height 0.

    Parameters
    ----------
    network
        The streets.
    outlines
        Footprints of buildings, in the network's coordinates. [m]
    heights
        Height of each. [m]

    Returns
    -------
    streets
        In the order of the network.
    membership : shape (n_streets, n_edges)
        1 where an edge belongs to a street; edges shorter than `LEAST_LENGTH_M` and footpaths belong to none.
    """
    row = {label: k for k, label in enumerate(network.labels)}
    groups = {
        label: edges for label, edges in street_edges(network).items() if network.length_m[row[label]] >= LEAST_LENGTH_M
    }
    axes = [_axis([network.shapes[row[edge]] for edge in edges]) for edges in groups.values()]
    labels = tuple(groups)
    lanes = np.array([sum(int(network.lanes[row[edge]]) for edge in edges) for edges in groups.values()], float)
    bearing = np.array([_bearing(axis) for axis in axes])
    distance, height = _sides(axes, bearing, list(outlines), np.asarray(heights, float))
    line = np.maximum(lanes * LANE_M / 2 + PAVEMENT_M, LANE_M)[:, None]
    distance = np.where(np.isnan(distance), line, distance)
    members = [(k, row[edge]) for k, edges in enumerate(groups.values()) for edge in edges]
    rows, columns = np.array(members, dtype=np.int64).reshape(-1, 2).T
    matrix = sp.csr_array((np.ones(len(rows)), (rows, columns)), shape=(len(labels), len(network.labels)))
    length = np.array([float(network.length_m[row[label]]) for label in labels])
    return Streets(labels, length, bearing, distance, height, tuple(axes)), matrix


def _axis(shapes: Sequence[Array]) -> Array:
    """Return the line between the two directions of a street, or that of its only one."""
    if len(shapes) == 1:
        return shapes[0]
    there, back = shapely.LineString(shapes[0]), shapely.LineString(shapes[1][::-1])
    steps = np.linspace(0.0, 1.0, max(len(shapes[0]), len(shapes[1]), 2))
    ends = [
        shapely.get_coordinates(shapely.line_interpolate_point(line, steps, normalized=True)) for line in (there, back)
    ]
    return np.asarray((ends[0] + ends[1]) / 2.0)


def _bearing(axis: Array) -> float:
    """Return the direction from a line's first to its last corner, clockwise from north. [°]"""
    x, y = axis[-1] - axis[0]
    return math.degrees(math.atan2(x, y)) % 360.0


def _sides(
    axes: Sequence[Array], bearing: Vector, outlines: Sequence[shapely.Polygon], heights: Vector
) -> tuple[Array, Array]:
    """Return distance (NaN where it is open) and height of the buildings on either side, shape (n_streets, 2)."""
    distance, height = np.full((len(axes), 2), np.nan), np.zeros((len(axes), 2))
    if not outlines or not axes:
        return distance, height
    lines = np.array([shapely.LineString(axis) for axis in axes])
    along = (np.arange(RAYS) + 0.5) / RAYS
    starts = shapely.get_coordinates(
        shapely.line_interpolate_point(np.repeat(lines, RAYS), np.tile(along, len(lines)), normalized=True)
    )
    turned = np.repeat(np.radians(bearing), RAYS)
    right = np.stack([np.cos(turned), -np.sin(turned)], axis=1)
    polygons = np.array(outlines)
    tree = shapely.STRtree(polygons)
    for side, sign in enumerate((-1.0, 1.0)):
        rays = shapely.linestrings(np.stack([starts, starts + sign * REACH_M * right], axis=1))
        ray, house = tree.query(rays, predicate="intersects")
        away = shapely.distance(shapely.points(starts[ray]), shapely.intersection(rays[ray], polygons[house]))
        order = np.lexsort((away, ray))
        first, at = np.unique(ray[order], return_index=True)
        seen_at, seen_height = np.full(len(rays), np.nan), np.full(len(rays), np.nan)
        seen_at[first] = away[order][at]
        seen_height[first] = heights[house[order][at]]
        met = np.isfinite(seen_at).reshape(-1, RAYS)
        built = met.mean(axis=1) >= 0.5
        distance[built, side] = np.nanmedian(seen_at.reshape(-1, RAYS)[built], axis=1)
        height[built, side] = np.nanmean(seen_height.reshape(-1, RAYS)[built], axis=1)
    # an axis may touch a building, in tunnels and gateways: the pavement's edge is as near as a façade comes
    return np.where(distance < LANE_M / 2, LANE_M / 2, distance), height


def heights_of(storeys: Mapping[str, float] | Sequence[float]) -> list[float]:
    """Return building heights for numbers of storeys. [m]"""
    values = storeys.values() if isinstance(storeys, Mapping) else storeys
    return [STOREY_M * float(number) for number in values]
