"""Reader of buildings from GeoJSON (RFC 7946), with the tags of OpenStreetMap."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import shapely

from cosim.core import InputFileError

from .footprints import LEAST_AREA, Footprints, assemble, check_plausible, read_records, usable
from .outlines import homes_of, mean_storeys, polygons_of
from .tags import Storeys, storeys_of

_LEFT = 0.02  # share of an outline without parts from which on it is named
_IN_METRES = (
    "the coordinates seem to be metres: convert them to degrees (ogr2ogr -t_srs EPSG:4326), or name their system in "
    "'crs'"
)


@dataclass(frozen=True)
class _Feature:
    name: str
    shape: Any
    storeys: Storeys
    is_part: bool


def read_geojson(path: Path, *, storeys: float | None = None) -> Footprints:
    """Read polygons with ``building:levels`` (or ``height``) in longitude and latitude.

    A ``building:part`` within an outline gives its floors to that building; one without an outline is a building. Of
    outlines that lie over each other by more than half of the smaller, the larger is kept.

    Parameters
    ----------
    path
        A FeatureCollection, a Feature, or one Feature a line. Coordinates in another system than longitude and latitude
        are read where the file names it in ``crs``.
    storeys
        For buildings without either; by default they are left out, and named in ``skipped``.

    Raises
    ------
    InputFileError
        If the file cannot be read, its coordinates are no degrees, or it has no usable building.
    """
    features, to_degrees = _features(path)
    skipped: list[str] = []
    notes: list[str] = []
    found = list(_read(features, skipped))
    shapes = _metric(path, [feature.shape for feature in found], to_degrees)
    check_plausible(path, shapes, ("the coordinates are no longitudes and latitudes", _IN_METRES))
    names = [feature.name for feature in found]
    kept = usable(names, shapes, skipped, notes, least=[0.0 if f.is_part else LEAST_AREA for f in found])
    wholes = [k for k in kept if not found[k].is_part]
    parts = [k for k in kept if found[k].is_part]
    home = dict(zip(parts, homes_of([kept[k] for k in parts], [kept[k] for k in wholes])))
    alone = [k for k, at in home.items() if at < 0 and kept[k].area >= LEAST_AREA]
    skipped += [
        f"{names[k]}: {kept[k].area:.1f} m² in no outline are below {LEAST_AREA:g} m²"
        for k, at in home.items()
        if at < 0 and k not in alone
    ]
    named, outlines, numbers = [], [], []
    for at, k in enumerate(wholes + alone):
        feature, outline = found[k], kept[k]
        mine = [part for part, place in home.items() if place == at] if at < len(wholes) else []
        own = storeys if feature.storeys.number is None else feature.storeys.number
        number = _together(feature.name, outline, own, [(kept[p], found[p].storeys) for p in mine], notes)
        if not number:
            reason = feature.storeys.problem or "neither building:levels nor height"
            skipped.append(f"{feature.name}: {reason}")
            continue
        if feature.storeys.problem and not mine:
            notes.append(f"{feature.name}: {feature.storeys.problem}: {number:g} storeys taken")
        named.append(feature.name)
        outlines.append(outline)
        numbers.append(number)
    return assemble(path, named, outlines, numbers, skipped, notes)


def _together(
    name: str, outline: Any, own: float | None, parts: Sequence[tuple[Any, Storeys]], notes: list[str]
) -> float | None:
    """Return the mean storeys of a building of parts; None if neither it nor any part has a number."""
    if not parts:
        return own
    known = [(shape, each.lowest, each.number) for shape, each in parts if each.number and each.number > each.lowest]
    if not known:
        return own
    number = max(1.0, mean_storeys(outline, 1.0 if own is None else own, known))
    left = 1 - shapely.union_all([shape for shape, _, _ in known]).intersection(outline).area / outline.area
    if own is None and left > _LEFT:
        notes.append(f"{name}: no part with storeys on {left:.0%} of it, one storey taken there")
    notes.append(f"{name}: {len(parts)} parts give it {number:.2f} storeys on average")
    return number


def _features(path: Path) -> tuple[list[Any], Callable[[Any, Any], Any] | None]:
    """Return the features of a file, and what turns its coordinates into degrees, if they are in another system."""
    records = read_records(path)
    if len(records) == 1 and records[0].get("type") != "Feature":
        features = records[0].get("features")
        if not isinstance(features, list) or not features:
            raise InputFileError(f"{path} has no features: give a GeoJSON FeatureCollection of building footprints")
        return features, _system(path, records[0].get("crs"))
    return records, None


def _system(path: Path, crs: Any) -> Callable[[Any, Any], Any] | None:
    if crs is None:
        return None
    try:
        system = pyproj.CRS.from_user_input(crs["properties"]["name"])
    except (KeyError, TypeError, pyproj.exceptions.CRSError) as error:
        raise InputFileError(
            f"{path} has crs {crs!r}, which is no known system: convert the file to EPSG:4326 and remove it ({error})"
        ) from error
    if system.is_geographic:
        return None
    return pyproj.Transformer.from_crs(system, "EPSG:4326", always_xy=True).transform


def _read(features: Sequence[Any], skipped: list[str]) -> Any:
    for k, feature in enumerate(features):
        properties = feature.get("properties") if isinstance(feature, dict) else None
        properties = properties if isinstance(properties, dict) else {}
        given = feature.get("id") if isinstance(feature, dict) else None
        name = str(properties.get("@id") or properties.get("id") or given or f"feature {k}")
        geometry = feature.get("geometry") if isinstance(feature, dict) else None
        if geometry is None:
            skipped.append(f"{name}: it has no geometry")
            continue
        try:
            shape = shapely.geometry.shape(geometry)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError, shapely.errors.ShapelyError) as error:
            skipped.append(f"{name}: {error or type(error).__name__}")
            continue
        outline = polygons_of(shape)
        if outline is None:
            skipped.append(f"{name}: {shape.geom_type} is no outline")
        elif not np.isfinite(shapely.get_coordinates(outline)).all():
            skipped.append(f"{name}: its coordinates are no finite numbers")
        elif problem := _unheated(properties) or _below_ground(properties):
            skipped.append(f"{name}: {problem}")
        else:
            is_part = properties.get("building:part", "no") not in ("no", None) and not properties.get("building")
            yield _Feature(name, outline, storeys_of(properties), is_part)


_UNHEATED = ("no", "construction", "proposed", "ruins", "collapsed", "demolished", "roof")


def _unheated(properties: dict[str, Any]) -> str:
    kind = str(properties.get("building", "")).strip().lower()
    return f"building={kind} is not heated" if kind in _UNHEATED else ""


def _below_ground(properties: dict[str, Any]) -> str:
    try:
        layer = float(properties.get("layer") or 0)
    except (TypeError, ValueError):
        layer = 0.0
    if layer < 0 or properties.get("location") == "underground":
        return "it stands below the ground"
    return ""


def _metric(path: Path, outlines: Sequence[Any], to_degrees: Callable[[Any, Any], Any] | None) -> list[Any]:
    """Project longitude and latitude to metres round the middle of all."""
    if not outlines:
        return []
    if to_degrees is not None:
        outlines = [shapely.transform(o, lambda c: np.column_stack(to_degrees(c[:, 0], c[:, 1]))) for o in outlines]
    west, south, east, north = shapely.total_bounds(outlines)
    if not (-180 <= west <= east <= 180 and -90 <= south <= north <= 90):
        raise InputFileError(
            f"{path} reaches from {west}, {south} to {east}, {north}: GeoJSON is in degrees; {_IN_METRES}"
        )
    there = pyproj.Proj(proj="aeqd", lat_0=(south + north) / 2, lon_0=(west + east) / 2)
    return [shapely.transform(shape, lambda c: np.column_stack(there(c[:, 0], c[:, 1]))) for shape in outlines]
