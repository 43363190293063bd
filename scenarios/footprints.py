"""Which buildings do a GeoJSON or a CityJSON file describe, and where are their free façades?"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyproj
import shapely
from shapely.geometry.polygon import orient

from cosim.adapters.buildings import SURFACES
from cosim.core import InputFileError
from cosim.core.zones import Array

STOREY = 3.0  # m from floor to floor, where a file gives a height and no storeys. Assumption.
TOUCH = 0.3  # m, within which a façade touches a neighbour. Assumption.
LEAST_AREA = 10.0  # m², below which a footprint is no dwelling. Assumption.
_LARGEST = 500_000_000
_MOST_NAMED = 10


@dataclass(frozen=True)
class Footprints:
    """Buildings as they stand on the ground.

    Attributes
    ----------
    ids, shapes
        Name and outline, in metres.
    storeys : shape (n_buildings,)
        Number above ground.
    facade_length : shape (n_buildings, 9)
        Length of façade that touches no neighbour, by the orientation of `SURFACES` (the horizontal has none). [m]
    skipped
        What was left out, and why.
    """

    ids: tuple[str, ...]
    shapes: tuple[Any, ...]
    storeys: Array
    facade_length: Array
    skipped: tuple[str, ...] = ()

    @property
    def floor_area(self) -> Array:
        """Of all storeys, gross, shape (n_buildings,). [m²]"""
        return np.asarray([shape.area for shape in self.shapes]) * self.storeys

    def __len__(self) -> int:
        return len(self.ids)


def by_orientation(azimuth: float, length: float) -> Array:
    """Share a length between the two nearest of the eight orientations, shape (9,). [m]

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
    """Return the length of façade that touches no other shape, by orientation, shape (n, 9). [m]"""
    tree = shapely.STRtree(shapes)
    found = np.zeros((len(shapes), len(SURFACES)))
    for i, shape in enumerate(shapes):
        near = [shapes[j] for j in tree.query(shape, predicate="dwithin", distance=TOUCH) if j != i]
        around = shapely.union_all(near).buffer(TOUCH) if near else None
        corners = np.asarray(orient(shape).exterior.coords)[:, :2]
        for a, b in pairwise(corners):
            edge = shapely.LineString([a, b])
            free = edge.length if around is None else edge.difference(around).length
            # Outside lies to the right of an outline that runs against the clock.
            azimuth = math.degrees(math.atan2(b[1] - a[1], a[0] - b[0]))
            found[i] += by_orientation(azimuth, free)
    return found


def read_geojson(path: Path, *, storeys: float | None = None) -> Footprints:
    """Read polygons with ``building:levels`` (or ``height``) in longitude and latitude.

    Parameters
    ----------
    path
        The file.
    storeys
        For buildings without either; by default they are left out, and named in ``skipped``.

    Raises
    ------
    InputFileError
        If the file cannot be read, or rows are dirty: all of them, by name.
    """
    features = _json(path).get("features")
    if not isinstance(features, list) or not features:
        raise InputFileError(f"{path} has no features: give a GeoJSON FeatureCollection of building footprints")
    named, outlines, levels, skipped, problems = [], [], [], [], []
    for k, feature in enumerate(features):
        properties = feature.get("properties") or {} if isinstance(feature, dict) else {}
        name = str(properties.get("@id") or properties.get("id") or f"feature {k}")
        try:
            shape = shapely.geometry.shape(feature["geometry"])
            height = _levels(properties)
        except (KeyError, TypeError, ValueError, AttributeError, shapely.errors.ShapelyError) as error:
            problems.append(f"{name}: {error}")
            continue
        if height is None:
            height = storeys
        if height is None:
            skipped.append(f"{name}: neither building:levels nor height")
        elif not isinstance(shape, shapely.Polygon | shapely.MultiPolygon) or shape.is_empty:
            skipped.append(f"{name}: {shape.geom_type} is no outline")
        else:
            named.append(name)
            outlines.append(_largest(shape))
            levels.append(height)
    _refuse(path, problems)
    return _made(path, named, _metric(path, outlines), levels, skipped)


def _levels(properties: dict[str, Any]) -> float | None:
    for key, unit in (("building:levels", 1.0), ("height", STOREY)):
        text = properties.get(key)
        if text is not None:
            number = float(str(text).removesuffix("m").strip())
            if not 0 < number < 1000:
                raise ValueError(f"{key} is {text!r}: it must be positive")
            return max(1.0, round(number / unit))
    return None


def _metric(path: Path, outlines: Sequence[Any]) -> list[Any]:
    """Project longitude and latitude to metres round the middle of all."""
    if not outlines:
        return []
    west, south, east, north = shapely.total_bounds(outlines)
    if not (-180 <= west <= east <= 180 and -90 <= south <= north <= 90):
        raise InputFileError(f"{path} reaches from {west}, {south} to {east}, {north}: GeoJSON is in degrees")
    there = pyproj.Proj(proj="aeqd", lat_0=(south + north) / 2, lon_0=(west + east) / 2)
    return [shapely.transform(shape, lambda c: np.column_stack(there(c[:, 0], c[:, 1]))) for shape in outlines]


def read_cityjson(path: Path) -> Footprints:
    """Read buildings and building parts with ground surfaces from a CityJSON file in a metric system.

    Storeys are the height over the storey of 3 m. The ground is what the file calls so, else the lowest flat surface.

    Raises
    ------
    InputFileError
        If the file cannot be read, is no CityJSON, or objects are dirty: all of them, by name.
    """
    city = _json(path)
    if city.get("type") != "CityJSON" or not isinstance(city.get("CityObjects"), dict):
        raise InputFileError(f"{path} is no CityJSON: its type is {city.get('type')!r}")
    try:
        vertices = np.asarray(city["vertices"], dtype=np.float64).reshape(-1, 3)
        if "transform" in city:
            vertices = vertices * city["transform"]["scale"] + city["transform"]["translate"]
    except (KeyError, TypeError, ValueError) as error:
        raise InputFileError(f"{path}: vertices and transform must be lists of three numbers ({error})") from error
    named, outlines, levels, skipped, problems = [], [], [], [], []
    for name, thing in city["CityObjects"].items():
        try:
            if thing["type"] not in ("Building", "BuildingPart") or not thing.get("geometry"):
                continue
            ground, height = _ground(thing["geometry"][-1], vertices)  # the last one is the most detailed
        except (KeyError, TypeError, ValueError, IndexError, AttributeError, shapely.errors.ShapelyError) as error:
            problems.append(f"{name}: {error}")
            continue
        if ground is None or height <= 0:
            skipped.append(f"{name}: no ground surface under a height")
            continue
        named.append(name)
        outlines.append(ground)
        levels.append(max(1.0, round(height / STOREY)))
    _refuse(path, problems)
    return _made(path, named, outlines, levels, skipped)


def _ground(geometry: dict[str, Any], vertices: Array) -> tuple[Any | None, float]:
    """Return the outline on the ground, and the height above it. [m]"""
    surfaces, values = geometry["boundaries"], (geometry.get("semantics") or {}).get("values")
    if geometry["type"] == "Solid":
        surfaces, values = surfaces[0], values[0] if values else None
    rings = [vertices[np.asarray(surface[0], dtype=int)] for surface in surfaces]
    kinds = [kind["type"] for kind in geometry["semantics"]["surfaces"]] if values else []
    low, high = min(ring[:, 2].min() for ring in rings), max(ring[:, 2].max() for ring in rings)
    if values:
        mine = [r for r, v in zip(rings, values, strict=True) if v is not None and kinds[v] == "GroundSurface"]
    else:
        mine = [ring for ring in rings if np.ptp(ring[:, 2]) < 0.1 and ring[:, 2].min() < low + 0.1]
    shapes = [shape for shape in (shapely.Polygon(ring[:, :2]).buffer(0) for ring in mine) if shape.area > 0]
    if not shapes:
        return None, 0.0
    return _largest(shapely.union_all(shapes)), float(high - low)


def _largest(shape: Any) -> Any:
    return max(getattr(shape, "geoms", [shape]), key=lambda part: part.area)


def _made(path: Path, ids: list[str], shapes: list[Any], storeys: list[float], skipped: list[str]) -> Footprints:
    kept = [k for k, shape in enumerate(shapes) if shape.is_valid and shape.area >= LEAST_AREA]
    lost = sorted(set(range(len(shapes))) - set(kept))
    skipped = [*skipped, *(f"{ids[k]}: {shapes[k].area:.1f} m², or its outline crosses itself" for k in lost)]
    if not kept:
        raise InputFileError(f"{path} has no usable building: {'; '.join(skipped[:_MOST_NAMED])}")
    names = [ids[k] for k in kept]
    twice = {name for name in names if names.count(name) > 1} if len(set(names)) < len(names) else set()
    _refuse(path, [f"{name}: stands twice" for name in sorted(twice)])
    outlines = tuple(shapes[k] for k in kept)
    levels = np.array([storeys[k] for k in kept], dtype=np.float64)
    return Footprints(tuple(names), outlines, levels, free_facades(outlines), tuple(skipped))


def _refuse(path: Path, problems: Iterable[str]) -> None:
    listed = list(problems)
    if listed:
        more = f" (and {len(listed) - _MOST_NAMED} more)" if len(listed) > _MOST_NAMED else ""
        raise InputFileError(f"{path} has dirty rows: {'; '.join(listed[:_MOST_NAMED])}{more}; correct or remove them")


def _json(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _LARGEST:
            raise InputFileError(f"{path} is larger than {_LARGEST} bytes: cut it into parts")
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise InputFileError(f"cannot read {path}: {error}") from error
    if not isinstance(content, dict):
        raise InputFileError(f"{path} is no table of names and values: give a GeoJSON or CityJSON file")
    return content


def facade_shares(length: Array) -> npt.NDArray[np.float64]:
    """Return each building's façade by orientation as shares, even where there is none, shape (n, 9)."""
    total = length.sum(axis=1, keepdims=True)
    even = np.array([0.0] + [1 / 8] * 8)
    return np.asarray(np.divide(length, total, out=np.tile(even, (len(length), 1)), where=total > 0))
