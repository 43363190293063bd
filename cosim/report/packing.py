"""The packing of series and shapes for a page: one byte per value, whole decimetres, deflated, as base64 text."""

from __future__ import annotations

import base64
import json
import zlib
from itertools import pairwise

import numpy as np
import shapely
from numpy.typing import NDArray

from .scene import Shapes

LEVELS = 254
"""Number of steps between the lowest and the highest value of an element; code 255 is a missing value."""

SIMPLIFIED_M = 0.5
"""Largest distance between a simplified line and the original. [m] Douglas and Peucker, Cartographica 10 (1973)
112-122."""


def packed(content: bytes) -> str:
    """Return bytes deflated (zlib format) and encoded in base64."""
    return base64.b64encode(zlib.compress(content, 9)).decode("ascii")


def pack_values(values: NDArray[np.float64]) -> str:
    """Pack the values of elements over time.

    Every element has its own scale, so that a quiet street is as accurate as a busy one: the error of a value is at
    most 1/508 of the range of its element.

    Parameters
    ----------
    values : shape (n_frames, n_elements)
        NaN where missing.

    Returns
    -------
    Lowest and highest value of each element (float32, little-endian), then the codes of each element, each except the
    first as the difference from the previous one modulo 256: consecutive values are similar, so they compress well.
    """
    known = np.isfinite(values)
    low = np.where(known, values, np.inf).min(axis=0, initial=np.inf)
    high = np.where(known, values, -np.inf).max(axis=0, initial=-np.inf)
    low, high = (np.where(np.isfinite(ends), ends, 0.0) for ends in (low, high))
    span = np.where(high > low, high - low, 1.0)
    codes = np.where(known, np.round((np.where(known, values, 0.0) - low) / span * LEVELS), 255).astype(np.uint8)
    steps = np.diff(codes, axis=0, prepend=np.uint8(0))
    return packed(low.astype("<f4").tobytes() + high.astype("<f4").tobytes() + np.ascontiguousarray(steps.T).tobytes())


def pack_shapes(shapes: Shapes) -> str:
    """Pack labels and points in the format of `shapes_json`."""
    return packed(shapes_json(shapes))


def shapes_json(shapes: Shapes) -> bytes:
    """Return labels and points in whole decimetres, each point except the first relative to the previous one."""
    of = np.repeat(np.arange(len(shapes.points)), [len(path) for path in shapes.points])
    points = np.concatenate([np.empty((0, 2)), *shapes.points])
    if shapes.kind != "point":
        of, points = _simplified(of, points)
    steps = np.round(points * 10).astype(int)
    starts = np.searchsorted(of, np.arange(len(shapes.points) + 1))
    inner = np.diff(of, prepend=-1) == 0
    steps[inner] = np.diff(steps, axis=0, prepend=0)[inner]
    flat = steps.ravel().tolist()
    paths = [flat[2 * first : 2 * last] for first, last in pairwise(starts)]
    content = {"labels": shapes.labels, "paths": paths, **({"names": shapes.names} if any(shapes.names) else {})}
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode("utf-8")


def _simplified(of: NDArray[np.intp], points: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Simplify paths of more than two points, each point given with the number of its path."""
    long = (np.bincount(of) > 2)[of]
    numbers, path = np.unique(of[long], return_inverse=True)
    lines = shapely.simplify(shapely.linestrings(points[long], indices=path), SIMPLIFIED_M)
    kept, path = shapely.get_coordinates(lines, return_index=True)
    of, points = np.concatenate([of[~long], numbers[path]]), np.concatenate([points[~long], kept])
    order = np.argsort(of, kind="stable")
    return of[order], points[order]
