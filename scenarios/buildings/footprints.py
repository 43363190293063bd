"""Building footprints from GeoJSON and CityJSON files, and their free façades."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from shapely.geometry.polygon import orient

from cosim.adapters.buildings import SURFACES
from cosim.core import InputFileError
from cosim.core.quantities import Array

from .outlines import covered, mended

TOUCH = 0.3  # m, within which a façade touches a neighbour. Assumption.
LEAST_AREA = 10.0  # m², below which a footprint is no dwelling. Assumption.
_LARGEST = 500_000_000
_MOST_NAMED = 10
# Median footprints of real districts lie between 50 and 2,000 m².
_MEDIAN_M2 = (1e-2, 1e6)


@dataclass(frozen=True)
class Footprints:
    """Outlines, storeys and free façades of buildings.

    Attributes
    ----------
    ids, shapes
        Name and outline, a polygon or multipolygon, in metres.
    storeys : shape (n_buildings,)
        Number above ground; the mean over the outline where parts of a building differ.
    facade_length : shape (n_buildings, 9)
        Length of façade that touches no neighbour, courtyards included, by the orientation of `SURFACES` (the
        horizontal has none). [m]
    skipped
        What was left out, and why.
    notes
        What was mended or merged, and how.
    """

    ids: tuple[str, ...]
    shapes: tuple[Any, ...]
    storeys: Array
    facade_length: Array
    skipped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def floor_area(self) -> Array:
        """Gross floor area of all storeys, shape (n_buildings,). [m²]"""
        return np.asarray([shape.area for shape in self.shapes]) * self.storeys

    def __len__(self) -> int:
        return len(self.ids)


def by_orientation(azimuth: float, length: float) -> Array:
    """Split a length between the two nearest of the eight orientations, shape (9,). [m]

    Examples
    --------
    >>> by_orientation(100.0, 9.0).round(9).tolist()  # 7 m to the east, 2 m to the southeast
    [0.0, 0.0, 0.0, 7.0, 2.0, 0.0, 0.0, 0.0, 0.0]
    """
    shares = np.zeros(len(SURFACES))
    position = (azimuth % 360) / 45
    low = int(position)
    shares[1 + low % 8] += length * (1 - (position - low))
    shares[1 + (low + 1) % 8] += length * (position - low)
    return shares


def free_facades(shapes: Sequence[Any]) -> Array:
    """Return the length of façade that touches no other polygon, by orientation, shape (n, 9). [m]

    Courtyards have façades, and the polygons of a multipolygon are neighbours.
    """
    owners = np.array([k for k, shape in enumerate(shapes) for _ in getattr(shape, "geoms", [shape])], int)
    polygons = np.array([p for shape in shapes for p in getattr(shape, "geoms", [shape])] + [None], object)[:-1]
    found = np.zeros((len(shapes), len(SURFACES)))
    if not len(polygons):
        return found
    rings, of_polygon = shapely.get_rings([orient(polygon) for polygon in polygons], return_index=True)
    corners, of_ring = shapely.get_coordinates(rings, return_index=True)
    follows = of_ring[:-1] == of_ring[1:]
    a, b = corners[:-1][follows], corners[1:][follows]
    of_edge = of_polygon[of_ring[:-1][follows]]
    edges = shapely.linestrings(np.stack([a, b], axis=1))
    free = shapely.length(edges)
    around = _around(polygons)
    touched = np.array([shape is not None for shape in around[of_edge]], dtype=bool)
    free[touched] = shapely.length(shapely.difference(edges[touched], around[of_edge[touched]]))
    # The open lies to the right of an outline that runs against the clock, and of a hole that runs with it.
    azimuth = np.degrees(np.arctan2(b[:, 1] - a[:, 1], a[:, 0] - b[:, 0]))
    position = (azimuth % 360) / 45
    low = np.floor(position).astype(int)
    np.add.at(found, (owners[of_edge], 1 + low % 8), free * (1 - (position - low)))
    np.add.at(found, (owners[of_edge], 1 + (low + 1) % 8), free * (position - low))
    return found


def party_walls(shapes: Sequence[Any]) -> Array:
    """Return the walls that buildings share, shape (n_walls, 3): numbers of both, and the length. [m]

    Outlines that stand within `TOUCH` of each other share a wall if it is longer than that of a corner.
    """
    outlines = np.array([*shapes, None], object)[:-1]
    if not len(outlines):
        return np.zeros((0, 3))
    first, second = shapely.STRtree(outlines).query(outlines, predicate="dwithin", distance=TOUCH)
    first, second = first[first < second], second[first < second]
    near = shapely.buffer(outlines[second], TOUCH, cap_style="square", join_style="mitre")
    length = shapely.length(shapely.intersection(shapely.boundary(outlines[first]), near)) - 2 * TOUCH
    return np.asarray(np.stack([first, second, length], axis=1)[length > 4 * TOUCH])


def _around(polygons: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return what stands against each polygon, None where nothing does."""
    near, other = shapely.STRtree(polygons).query(polygons, predicate="dwithin", distance=TOUCH)
    near, other = near[near != other], other[near != other]
    order = np.lexsort((other, near))
    owners, begins = np.unique(near[order], return_index=True)
    around = np.full(len(polygons), None, object)
    for owner, others in zip(owners.tolist(), np.split(other[order], begins[1:])):
        around[owner] = shapely.union_all(polygons[others])
    around[owners] = shapely.buffer(around[owners], TOUCH, quad_segs=16)
    return around


def facade_shares(length: Array) -> npt.NDArray[np.float64]:
    """Return each building's façade by orientation as shares, even where there is none, shape (n, 9)."""
    total = length.sum(axis=1, keepdims=True)
    even = np.array([0.0] + [1 / 8] * 8)
    return np.asarray(np.divide(length, total, out=np.tile(even, (len(length), 1)), where=total > 0))


def usable(
    names: Sequence[str], shapes: Sequence[Any], skipped: list[str], notes: list[str], least: Sequence[float]
) -> dict[int, Any]:
    """Return the outlines, mended where necessary, that are at least so large [m²], by their place in the list."""
    kept: dict[int, Any] = {}
    for k, (name, shape) in enumerate(zip(names, shapes, strict=True)):
        whole, done = mended(shape)
        if whole is None:
            skipped.append(f"{name}: {done}")
        elif whole.area < least[k]:
            skipped.append(f"{name}: {whole.area:.1f} m² are below {least[k]:g} m²")
        else:
            kept[k] = whole
            if done:
                notes.append(f"{name}: {done}")
    return kept


def assemble(
    path: Path,
    ids: Sequence[str],
    shapes: Sequence[Any],
    storeys: Sequence[float],
    skipped: list[str],
    notes: list[str],
    wholes: Sequence[str | None] | None = None,
) -> Footprints:
    """Return the buildings of a file without those that lie over another.

    Parameters
    ----------
    path, ids, shapes, storeys, skipped, notes
        The file, and what it holds, as in `Footprints`.
    wholes
        The building that each is a part of, if any: parts of one building may stand on each other.

    Raises
    ------
    InputFileError
        If no building is left, or two have the same name.
    """
    if not shapes:
        raise InputFileError(f"{path} has no usable building: {_listed(skipped)}")
    twice = {name for name in ids if ids.count(name) > 1} if len(set(ids)) < len(ids) else set()
    if twice:
        problems = _listed([f"{name}: duplicate name" for name in sorted(twice)])
        raise InputFileError(f"{path} has dirty rows: {problems}; correct or remove them")
    inside = covered(shapes, wholes or [None] * len(shapes))
    skipped += [f"{ids[k]}: {share:.0%} of it lie in {ids[j]}, which is kept" for k, (j, share) in inside.items()]
    kept = [k for k in range(len(shapes)) if k not in inside]
    outlines = tuple(shapes[k] for k in kept)
    return Footprints(
        tuple(ids[k] for k in kept),
        outlines,
        np.array([storeys[k] for k in kept], dtype=np.float64),
        free_facades(outlines),
        tuple(skipped),
        tuple(notes),
    )


def check_plausible(path: Path, shapes: Sequence[Any], remedies: tuple[str, str]) -> None:
    """Check that footprints are as large as buildings.

    Parameters
    ----------
    path
        The file.
    shapes
        All outlines, in metres.
    remedies
        What to do if they are far too small, and far too large.

    Raises
    ------
    InputFileError
        If their median is not between 0.01 m² and 1 km².
    """
    if not shapes:
        return
    median = float(np.median([shape.area for shape in shapes]))
    for wrong, remedy in zip((median < _MEDIAN_M2[0], median > _MEDIAN_M2[1]), remedies, strict=True):
        if wrong:
            raise InputFileError(
                f"{path} has footprints of {median:.1g} m² (median), which no buildings have: {remedy}"
            )


def read_records(path: Path) -> list[dict[str, Any]]:
    """Return the tables of a JSON file: one, or as many as there are lines in a file of one table a line.

    Raises
    ------
    InputFileError
        If the file cannot be read, or does not hold tables of names and values.
    """
    try:
        if path.stat().st_size > _LARGEST:
            raise InputFileError(f"{path} is larger than {_LARGEST} bytes: cut it into parts")
        text = path.read_text(encoding="utf-8-sig")
        try:
            found = [json.loads(text)]
        except json.JSONDecodeError:
            # A record separator may begin the lines (RFC 8142).
            lines = [line for line in (each.strip("\x1e \t\r") for each in text.split("\n")) if line]
            if len(lines) < 2:
                raise
            found = [json.loads(line) for line in lines]
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise InputFileError(f"cannot read {path}: {error}") from error
    if not all(isinstance(each, dict) for each in found):
        raise InputFileError(f"{path} is no table of names and values: give a GeoJSON or CityJSON file")
    return found


def _listed(problems: Iterable[str]) -> str:
    listed = list(problems)
    more = f" (and {len(listed) - _MOST_NAMED} more)" if len(listed) > _MOST_NAMED else ""
    return f"{'; '.join(listed[:_MOST_NAMED])}{more}"
