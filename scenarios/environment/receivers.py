"""Receiver points around buildings: which of them look onto a street with façades, and which onto a courtyard."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely

from cosim.core.environment.streets import SIDES, Streets
from cosim.core.quantities import Array

SPACING_M = 5.0
"""Distance between receiver points along a façade at most. [m] Directive (EU) 2015/996, annex, 2.8."""
REACH_M = 50.0
"""Distance within which a façade looks onto a street. [m] Assumption, as for the geometry of streets."""
_OUTWARDS_M = 0.5
QUIET = ""
"""Façade of receivers that look onto no street."""


def receivers(labels: Sequence[str], outlines: Sequence[shapely.Polygon], streets: Streets) -> pd.DataFrame:
    """Return the receiver points of buildings; walls shared with a neighbour have none.

    A point looks onto the nearest street within `REACH_M` if no building stands between it and the axis.

    Parameters
    ----------
    labels, outlines
        Name of every building, and its footprint in the network's coordinates. [m]
    streets
        The streets.

    Returns
    -------
    One row per point: ``site``, and ``facade`` as in `Streets.facades`, `QUIET` where it looks onto no street.
    """
    polygons = np.array(outlines, dtype=object)
    points, owner = _around(polygons)
    tree = shapely.STRtree(polygons)
    walled = np.zeros(len(points), bool)
    walled[tree.query(points, predicate="intersects")[0]] = True
    points, owner = points[~walled], owner[~walled]
    facade = np.full(len(points), QUIET, dtype=object)
    if len(points) and len(streets):
        axes = np.array([shapely.LineString(axis) for axis in streets.axis], dtype=object)
        of_point, street = shapely.STRtree(axes).query_nearest(points, max_distance=REACH_M, all_matches=False)
        sight = shapely.shortest_line(points[of_point], axes[street])
        hidden = np.zeros(len(sight), bool)
        hidden[tree.query(sight, predicate="intersects")[0]] = True
        seen, street = of_point[~hidden], street[~hidden]
        side = _side(axes[street], points[seen])
        facade[seen] = [f"{streets.labels[k]}|{SIDES[s]}" for k, s in zip(street, side)]
    return pd.DataFrame({"site": np.asarray(labels, dtype=object)[owner], "facade": facade})


def _around(polygons: npt.NDArray[np.object_]) -> tuple[npt.NDArray[np.object_], npt.NDArray[np.int64]]:
    """Return points just outside every wall, at most `SPACING_M` apart, and to which polygon each belongs."""
    found, owner = [], []
    for k, polygon in enumerate(shapely.orient_polygons(polygons)):  # counter-clockwise: the outside is to the right
        for ring in (polygon.exterior, *polygon.interiors):
            corners = shapely.get_coordinates(ring)
            steps = np.diff(corners, axis=0)
            lengths = np.hypot(*steps.T)
            for corner, step, length in zip(corners[:-1], steps, lengths):
                if length < 2 * _OUTWARDS_M:
                    continue
                number = int(np.ceil(length / SPACING_M))
                along = (np.arange(number)[:, None] + 0.5) / number
                found.append(corner + along * step + _OUTWARDS_M * np.array([step[1], -step[0]]) / length)
                owner.append(np.full(number, k))
    if not found:
        return np.empty(0, dtype=object), np.empty(0, dtype=np.int64)
    return shapely.points(np.concatenate(found)), np.concatenate(owner)


def _side(axes: npt.NDArray[np.object_], points: npt.NDArray[np.object_]) -> npt.NDArray[np.int64]:
    """Return on which side of its line each point lies, 0 for the left and 1 for the right."""
    at, length = shapely.line_locate_point(axes, points), shapely.length(axes)

    def beside(step: float) -> Array:
        moved = np.clip(at + step, 0.0, length)
        return np.asarray(shapely.get_coordinates(shapely.line_interpolate_point(axes, moved)))

    before, after, place = beside(-0.5), beside(0.5), shapely.get_coordinates(points)
    (dx, dy), (px, py) = (after - before).T, (place - before).T
    return np.asarray(dx * py - dy * px <= 0, np.int64)
