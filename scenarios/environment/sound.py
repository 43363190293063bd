"""Sound from streets to façades: where buildings stand between them, and how walls reflect."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import shapely

from cosim.core.environment.noise_paths import Built, NoisePaths, noise_paths
from cosim.core.environment.rls19 import multiple_reflection
from cosim.core.environment.streets import Streets

_AT_ONCE = 4096  # buildings whose cells are looked at together, to bound the memory
CELL_M = 2.0
"""Side of a cell of the raster of buildings. [m]"""
MOST_CELLS = 100_000_000


def built_over(outlines: Sequence[shapely.Polygon], side_m: float = CELL_M) -> Built | None:
    """Return where buildings stand as a raster; None without buildings. Large cities have larger cells."""
    if not outlines:
        return None
    low_x, low_y, high_x, high_y = shapely.total_bounds(np.array(outlines))
    side_m = max(side_m, float(np.sqrt((high_x - low_x) * (high_y - low_y) / MOST_CELLS)))
    size = np.ceil(np.array([high_x - low_x, high_y - low_y]) / side_m).astype(int) + 1
    cells = np.zeros(tuple(size), bool)
    for begin in range(0, len(outlines), _AT_ONCE):
        some = np.array(outlines[begin : begin + _AT_ONCE])
        shapely.prepare(some)
        box = np.floor((shapely.bounds(some) - (low_x, low_y, low_x, low_y)) / side_m).astype(int)
        high = box[:, 3] - box[:, 1] + 1
        number = (box[:, 2] - box[:, 0] + 1) * high
        of = np.repeat(np.arange(len(some)), number)
        column, row = np.divmod(np.arange(len(of)) - np.repeat(np.cumsum(number) - number, number), high[of])
        column, row = column + box[of, 0], row + box[of, 1]
        inside = shapely.contains_xy(some[of], low_x + (column + 0.5) * side_m, low_y + (row + 0.5) * side_m)
        cells[column[inside], row[inside]] = True
    return Built(cells, (float(low_x), float(low_y)), side_m)


def paths_of(streets: Streets, outlines: Sequence[shapely.Polygon]) -> NoisePaths:
    """Return the attenuation from streets to the façades of `Streets.facades`.

    A street between buildings on both sides is louder by the reflections between them (RLS-19).
    """
    low = streets.height.min(axis=1)
    louder = np.where(low > 0, multiple_reflection(low, streets.width), 0.0)
    return noise_paths(
        streets.facade_points().reshape(-1, 2),
        np.repeat(np.arange(len(streets)), 2),
        streets.axis,
        facing=streets.facade_normals().reshape(-1, 2),
        built=built_over(outlines),
        reflection=louder,
    )
