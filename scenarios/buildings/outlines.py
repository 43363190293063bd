"""Outlines of buildings: mending what crosses itself, parts within a whole, and outlines over each other."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import shapely

MOST_CHANGE = 0.01
"""Share of its area that an outline may lose or gain by being mended."""
OVERLAP = 0.5
"""Share of the smaller of two outlines from which on they are the same building."""

NO_AREA = "its outline has no area"
_LEAST_M2 = 1e-3


def polygons_of(shape: Any) -> Any | None:
    """Return the polygons of any shape as one polygon or multipolygon; None if there is none."""
    if isinstance(shape, shapely.Polygon | shapely.MultiPolygon):
        return None if shape.is_empty else shape
    parts = [polygons_of(part) for part in getattr(shape, "geoms", ())]
    pieces = [piece for part in parts if part is not None for piece in getattr(part, "geoms", [part])]
    if not pieces:
        return None
    return pieces[0] if len(pieces) == 1 else shapely.MultiPolygon(pieces)


def mended(shape: Any) -> tuple[Any | None, str]:
    """Return a valid outline and what was done to it; None with the reason if that would change its area by over 1 %.

    Examples
    --------
    >>> bow_tie = shapely.Polygon([(0, 0), (10, 10), (10, 0), (0, 10)])
    >>> mended(bow_tie)
    (None, 'its outline crosses itself: mending it takes its area from 0.0 m² to 50.0 m²')
    """
    if shape.is_valid:
        return shape, ""
    written = sum(polygon.area for polygon in getattr(shape, "geoms", [shape]))
    whole = polygons_of(shapely.make_valid(shape))
    area = 0.0 if whole is None else whole.area
    if whole is None and written < _LEAST_M2:
        return None, NO_AREA
    if abs(area - written) > MOST_CHANGE * written:
        what = f"its outline crosses itself: mending it takes its area from {written:.1f} m² to {area:.1f} m²"
        return None, what
    return whole, f"its outline crossed itself: mended, its area is {area:.1f} m² and was {written:.1f} m²"


def mean_storeys(outline: Any, storeys: float, parts: Sequence[tuple[Any, float, float]]) -> float:
    """Return the floor area of a building of parts over the area of its outline.

    Parameters
    ----------
    outline, storeys
        The whole, and the storeys where it has no part.
    parts
        Outline, lowest and highest storey of each. Where parts stand over each other, no floor counts twice.

    Examples
    --------
    A tower of ten storeys on a quarter of a podium of two:

    >>> mean_storeys(shapely.box(0, 0, 20, 20), 2.0, [(shapely.box(0, 0, 10, 10), 0.0, 10.0)])
    4.0
    """
    rest = shapely.difference(outline, shapely.union_all([shape for shape, _, _ in parts]))
    layers = [*parts, (rest, 0.0, storeys)]
    bounds = sorted({bound for _, low, high in layers for bound in (low, high)})
    floor = 0.0
    for low, high in pairwise(bounds):
        here = [shape for shape, bottom, top in layers if bottom <= low and top >= high]
        floor += shapely.union_all(here).area * (high - low)
    return float(floor / outline.area)


def homes_of(parts: Sequence[Any], outlines: Sequence[Any]) -> list[int]:
    """Return for each part the outline in which most of it lies; -1 for a part outside all."""
    found = [-1] * len(parts)
    if not parts or not outlines:
        return found
    tree = shapely.STRtree(outlines)
    for k, part in enumerate(parts):
        shared = {int(i): shapely.intersection(part, outlines[i]).area for i in tree.query(part, "intersects")}
        best = max(sorted(shared), key=lambda i: shared[i], default=-1)
        if best >= 0 and shared[best] > OVERLAP * part.area:
            found[k] = best
    return found


def covered(shapes: Sequence[Any], wholes: Sequence[object]) -> dict[int, tuple[int, float]]:
    """Return the outlines of which over a half lies in a larger one, with that one and the share.

    Outlines of the same whole, unless it is None, are not compared.
    """
    tree = shapely.STRtree(shapes)
    area = np.array([shape.area for shape in shapes])
    order = sorted(range(len(shapes)), key=lambda k: (-area[k], k))
    rank = {k: place for place, k in enumerate(order)}
    found: dict[int, tuple[int, float]] = {}
    for k in order:
        for j in sorted(tree.query(shapes[k], "intersects").tolist()):
            if wholes[k] is not None and wholes[k] == wholes[j]:
                continue
            if rank[j] < rank[k] and j not in found:
                share = shapely.intersection(shapes[k], shapes[j]).area / area[k]
                if share > OVERLAP:
                    found[k] = (j, float(share))
                    break
    return found
