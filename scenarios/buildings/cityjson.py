"""Reader of buildings from CityJSON 1.0 to 2.0, and from CityJSONSeq."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import shapely

from cosim.core import InputFileError
from cosim.core.quantities import Array

from .footprints import LEAST_AREA, Footprints, assemble, check_plausible, read_records, usable
from .outlines import NO_AREA, mended, polygons_of
from .tags import levels, of_height

_BUILDINGS = ("Building", "BuildingPart")
_NESTING = {"MultiSurface": 0, "CompositeSurface": 0, "Solid": 1, "MultiSolid": 2, "CompositeSolid": 2}
_DEGREES = "the coordinates seem to be degrees: convert the file to a metric system (cjio … crs_reproject)"
_FLAT = 0.1  # m, within which the lowest surface is flat
_DIRTY = (KeyError, TypeError, ValueError, IndexError, AttributeError, shapely.errors.ShapelyError)


def read_cityjson(path: Path) -> Footprints:
    """Read buildings and building parts with ground surfaces from a CityJSON file in a projected system.

    The storeys are ``storeysAboveGround``, else the height over the storey of 3 m. The ground is what the file calls
    so, else the lowest flat surface, else what all surfaces cover from above, in the highest level of detail that gives
    one. Where a building consists of parts,
    the parts stand for it. Feet become metres by the file's ``referenceSystem``.

    Raises
    ------
    InputFileError
        If the file cannot be read, is no CityJSON, is in degrees, or has no usable building.
    """
    records = read_records(path)
    city = records[0]
    if city.get("type") != "CityJSON" or not isinstance(city.get("CityObjects"), dict):
        raise InputFileError(f"{path} is not CityJSON: its type is {city.get('type')!r}")
    to_metres = _system(path, city)
    skipped: list[str] = []
    notes: list[str] = []
    found: dict[str, tuple[Any, float, float | None]] = {}
    things: dict[str, Any] = {}
    others: Counter[str] = Counter()
    for record in records:
        objects = record.get("CityObjects")
        if not isinstance(objects, dict):
            skipped.append(f"{record.get('id', 'a line')}: it has no CityObjects")
            continue
        model = _Model(path, city, record, to_metres)
        for name, thing in objects.items():
            kind = str(thing.get("type")) if isinstance(thing, dict) else "no object"
            if kind not in _BUILDINGS:
                others[kind] += 1
                continue
            things[name] = thing
            outline, height, about = model.ground(thing)
            if outline is None:
                if not (about == "no geometry" and thing.get("children")):
                    skipped.append(f"{name}: {about}")
                continue
            if about:
                notes.append(f"{name}: {about}")
            found[name] = outline, height, _storeys(name, thing, notes)
    skipped += [f"{count} of type {kind}: no buildings of CityJSON's own" for kind, count in sorted(others.items())]
    for name in [name for name in found if any(child in found for child in things[name].get("children") or ())]:
        notes.append(f"{name}: its parts stand for it")
        del found[name]
    check_plausible(path, [outline for outline, _, _ in found.values()], (_DEGREES, "the file's unit is no metre"))
    names = list(found)
    kept = usable(names, [found[name][0] for name in names], skipped, notes, least=[LEAST_AREA] * len(names))
    numbers = []
    for k in kept:
        _, height, number = found[names[k]]
        if number is None:
            number = _inherited(names[k], things, found)
        numbers.append(of_height(height) if number is None else number)
    wholes = [next(iter(things[names[k]].get("parents") or ()), None) for k in kept]
    return assemble(path, [names[k] for k in kept], list(kept.values()), numbers, skipped, notes, wholes)


def _storeys(name: str, thing: Mapping[str, Any], notes: list[str]) -> float | None:
    text = (thing.get("attributes") or {}).get("storeysAboveGround")
    if text is None:
        return None
    number = levels(text)
    if not number:
        notes.append(f"{name}: storeysAboveGround is {text!r}, its height taken")
        return None
    return max(1.0, number)


def _inherited(name: str, things: Mapping[str, Any], found: Mapping[str, Any]) -> float | None:
    """Return the storeys of a part's building, if it is the only one."""
    for parent in things[name].get("parents") or ():
        if parent in things and sum(child in found for child in things[parent].get("children") or ()) == 1:
            number = levels((things[parent].get("attributes") or {}).get("storeysAboveGround"))
            return max(1.0, number) if number else None
    return None


def _system(path: Path, city: Mapping[str, Any]) -> Array | pyproj.CRS:
    """Return metres per unit along the three axes; or the system itself, if it does not keep areas."""
    metadata = city.get("metadata") or {}
    text = str(metadata.get("referenceSystem") or (metadata.get("crs") or {}).get("epsg") or "")
    code = re.search(r"(\d+)/?$", text)
    if code is None:
        return np.ones(3)
    try:
        system = pyproj.CRS.from_epsg(int(code[1]))
    except pyproj.exceptions.CRSError as error:
        raise InputFileError(f"{path} has referenceSystem {text!r}: it is no known EPSG code ({error})") from error
    if not system.is_projected and not any(part.is_projected for part in system.sub_crs_list):
        raise InputFileError(f"{path} has referenceSystem {text!r} ({system.name}), which is in degrees: {_DEGREES}")
    if "Pseudo-Mercator" in system.name:
        return system
    units = [axis.unit_conversion_factor for axis in system.axis_info]
    return np.array([*units, units[0]][:3] if len(units) == 2 else units[:3])


class _Model:
    """The vertices of one CityJSON object or feature, in metres."""

    def __init__(
        self, path: Path, city: Mapping[str, Any], record: Mapping[str, Any], to_metres: Array | pyproj.CRS
    ) -> None:
        try:
            vertices = np.asarray(record["vertices"], dtype=np.float64).reshape(-1, 3)
            if "transform" in city:
                vertices = vertices * city["transform"]["scale"] + city["transform"]["translate"]
            templates = city.get("geometry-templates") or {}
            self._templates = templates.get("templates") or []
            corners = np.asarray(templates.get("vertices-templates") or [], dtype=np.float64).reshape(-1, 3)
        except (KeyError, TypeError, ValueError) as error:
            raise InputFileError(f"{path}: vertices and transform must be lists of three numbers ({error})") from error
        if isinstance(to_metres, pyproj.CRS):
            vertices, self._scale = _unfolded(vertices, to_metres), np.ones(3)
        else:
            vertices, self._scale = vertices * to_metres, to_metres
        self._vertices, self._corners = vertices, corners

    def ground(self, thing: Mapping[str, Any]) -> tuple[Any | None, float, str]:
        """Return the outline on the ground, the height above it [m], and where it is from or why there is none."""
        geometries = thing.get("geometry")
        if not geometries:
            return None, 0.0, "no geometry"
        problem = "no ground surface under a height"
        try:
            for geometry in sorted(geometries, key=self._detail, reverse=True):
                outline, height, about = self._one(geometry)
                if outline is not None and height > 0:
                    return outline, height, about
        except _DIRTY as error:
            problem = str(error) or type(error).__name__
        return None, 0.0, problem

    def _detail(self, geometry: Mapping[str, Any]) -> float:
        if geometry.get("type") == "GeometryInstance":
            geometry = self._templates[geometry["template"]]
        try:
            return float(geometry.get("lod", 0))
        except (TypeError, ValueError):
            return 0.0

    def _one(self, geometry: Mapping[str, Any]) -> tuple[Any | None, float, str]:
        vertices = self._vertices
        if geometry["type"] == "GeometryInstance":
            matrix = np.asarray(geometry["transformationMatrix"], dtype=np.float64).reshape(4, 4)
            at = vertices[int(np.ravel(geometry["boundaries"])[0])]
            corners = np.column_stack([self._corners, np.ones(len(self._corners))]) @ matrix.T
            vertices = corners[:, :3] * self._scale + at
            geometry = self._templates[geometry["template"]]
        if geometry["type"] not in _NESTING:
            return None, 0.0, ""
        return _ground(geometry, vertices)


def _unfolded(vertices: Array, system: pyproj.CRS) -> Array:
    """Return vertices of a system that does not keep areas in metres round their middle."""
    lon, lat = pyproj.Transformer.from_crs(system, "EPSG:4326", always_xy=True).transform(
        vertices[:, 0], vertices[:, 1]
    )
    there = pyproj.Proj(proj="aeqd", lat_0=(lat.min() + lat.max()) / 2, lon_0=(lon.min() + lon.max()) / 2)
    return np.column_stack([*there(lon, lat), vertices[:, 2]])


def _surfaces(boundaries: Sequence[Any], values: Sequence[Any] | None, depth: int) -> list[tuple[Any, int | None]]:
    """Return all surfaces of the outer shells, with the number of their meaning."""
    if depth == 0:
        return list(zip(boundaries, values if values is not None else [None] * len(boundaries), strict=True))
    if depth == 1:  # of a solid, only the outer shell
        return _surfaces(boundaries[0], None if values is None else values[0], 0)
    parts = zip(boundaries, values if values is not None else [None] * len(boundaries), strict=True)
    return [surface for part, mine in parts for surface in _surfaces(part, mine, depth - 1)]


def _ground(geometry: Mapping[str, Any], vertices: Array) -> tuple[Any | None, float, str]:
    """Return the outline on the ground, the height above it [m], and where it is from if there is no ground."""
    meanings = geometry.get("semantics") or {}
    kinds = [kind["type"] for kind in meanings["surfaces"]] if meanings.get("values") else []
    surfaces = [
        ([vertices[np.asarray(ring, dtype=int)] for ring in surface], kind)
        for surface, kind in _surfaces(geometry["boundaries"], meanings.get("values"), _NESTING[geometry["type"]])
    ]
    low = min(rings[0][:, 2].min() for rings, _ in surfaces)
    high = max(rings[0][:, 2].max() for rings, _ in surfaces)
    if kinds:
        mine = [rings for rings, kind in surfaces if kind is not None and kinds[kind] == "GroundSurface"]
    else:
        mine = []
    if not mine:
        flat = [rings for rings, _ in surfaces if np.ptp(rings[0][:, 2]) < _FLAT]
        mine = [rings for rings in flat if rings[0][:, 2].min() < low + _FLAT]
    outline = _union(mine)
    if outline is not None:
        return outline, float(high - low), ""
    about = "it has no ground surface: its outline is what its surfaces cover from above"
    return _union([rings for rings, _ in surfaces]), float(high - low), about


def _union(surfaces: Sequence[Sequence[Array]]) -> Any | None:
    """Return what surfaces cover, seen from above; None if nothing."""
    shapes = []
    for rings in surfaces:
        shape, problem = mended(shapely.Polygon(rings[0][:, :2], [hole[:, :2] for hole in rings[1:]]))
        if shape is not None and shape.area > 0:
            shapes.append(shape)
        elif shape is None and problem != NO_AREA:
            raise ValueError(problem)
    return polygons_of(shapely.union_all(shapes))
