"""How do series and shapes fit into a page? One byte a value, whole decimetres, deflated, as base64 text."""

from __future__ import annotations

import base64
import json
import zlib

import numpy as np
import shapely
from numpy.typing import NDArray

from .scene import Shapes

LEVELS = 254
"""Steps between the lowest and the highest value of an element; the code 255 is a missing value."""

SIMPLIFIED_M = 0.5
"""How far a drawn line may run beside the true one. [m] Douglas and Peucker, Cartographica 10 (1973) 112-122."""


def packed(content: bytes) -> str:
    """Return bytes deflated (zlib format) in base64."""
    return base64.b64encode(zlib.compress(content, 9)).decode("ascii")


def pack_values(values: NDArray[np.float64]) -> str:
    """Pack the values of elements over time.

    Every element has a scale of its own, so that a quiet street is drawn as exactly as a busy one: a value is off by
    at most 1/508 of what lies between its element's lowest and highest.

    Parameters
    ----------
    values : shape (n_frames, n_elements)
        NaN where missing.

    Returns
    -------
    Lowest and highest of each element (float32, little-endian), then for each element its codes, each but the first
    as the difference to the one before modulo 256: neighbours in time are alike, and deflate makes little of them.
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
    """Pack labels and points as `shapes_json` writes them."""
    return packed(shapes_json(shapes))


def shapes_json(shapes: Shapes) -> bytes:
    """Write labels and points, each in whole decimetres, each point but the first as the step from the one before."""
    paths = []
    for path in shapes.points:
        if shapes.kind != "point" and len(path) > 2:
            path = shapely.get_coordinates(shapely.LineString(path).simplify(SIMPLIFIED_M))
        paths.append(np.diff(np.round(path * 10).astype(int), axis=0, prepend=0).ravel().tolist())
    content = {"labels": shapes.labels, "paths": paths}
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
