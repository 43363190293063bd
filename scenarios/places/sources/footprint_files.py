"""Buildings from files of other sources, as places of a map: GeoJSON, CityJSON(Seq) and INSPIRE cadastre."""

from __future__ import annotations

import gzip
import re
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError

import defusedxml.ElementTree
import numpy as np
import pyproj
import shapely
from defusedxml import DefusedXmlException

from cosim.core import InputFileError
from cosim.scenarios.buildings.cityjson import read_cityjson
from cosim.scenarios.buildings.footprints import read_records
from cosim.scenarios.buildings.outlines import polygons_of
from cosim.scenarios.places.findings import Findings

from .osm import Place

_USES = {
    "1_residential": "residential", "2_agriculture": "farm_auxiliary", "3_industrial": "industrial",
    "4_1_office": "office", "4_2_retail": "retail", "4_3_publicServices": "public",
}  # fmt: skip
"""INSPIRE's ``currentUse`` as a value of ``building``."""


def read_footprints(path: Path, findings: Findings) -> list[Place]:
    """Return the buildings of a file in longitude and latitude.

    Raises
    ------
    InputFileError
        If the file is damaged, of an unknown kind, or has no usable building.
    """
    name = path.name.lower()
    if name.endswith(".gml"):
        return _cadastre(path, findings)
    if name.endswith(".gz"):
        with tempfile.TemporaryDirectory() as work:
            plain = Path(work) / path.stem
            try:
                plain.write_bytes(gzip.decompress(path.read_bytes()))
            except (OSError, EOFError) as error:
                raise InputFileError(f"cannot read {path}: {error}; it is damaged or truncated") from error
            return read_footprints(plain, findings)
    records = read_records(path)
    if records[0].get("type") == "CityJSON":
        return _cityjson(path, records[0])
    return _geojson(path, records, findings)


def _geojson(path: Path, records: list[dict[str, Any]], findings: Findings) -> list[Place]:
    features = records[0].get("features") if len(records) == 1 and records[0].get("type") != "Feature" else records
    if not isinstance(features, list) or not features:
        raise InputFileError(f"{path} has no features: give a GeoJSON FeatureCollection of building footprints")
    system = _named_system(path, records[0].get("crs"))
    found = []
    for k, feature in enumerate(features):
        properties = (feature.get("properties") if isinstance(feature, dict) else None) or {}
        tags = {str(key): str(value) for key, value in properties.items() if value is not None}
        label = (
            tags.get("@id") or tags.get("id") or str(feature.get("id") if isinstance(feature, dict) else "") or f"{k}"
        )
        label = label if "/" in label else f"feature/{label if label != 'None' else k}"
        try:
            shape = polygons_of(shapely.geometry.shape(feature["geometry"]))
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, shapely.errors.ShapelyError) as error:
            findings.add("dropped", "footprint without a usable geometry", label, str(error))
            continue
        if shape is None:
            findings.add("dropped", "footprint that is no polygon", label)
            continue
        if "building" not in tags and "building:part" not in tags:
            tags["building"] = "yes"
        found.append(Place(label, shape, tags))
    return _in_degrees(path, found, system)


def _named_system(path: Path, crs: Any) -> pyproj.CRS | None:
    if crs is None:
        return None
    try:
        return pyproj.CRS.from_user_input(crs["properties"]["name"])
    except (KeyError, TypeError, pyproj.exceptions.CRSError) as error:
        raise InputFileError(
            f"{path} has crs {crs!r}, which is no known system: convert the file to EPSG:4326"
        ) from error


def _in_degrees(path: Path, places: Iterable[Place], system: pyproj.CRS | None) -> list[Place]:
    """Return places with shapes in degrees, from the system of their file."""
    places = list(places)
    if not places:
        raise InputFileError(f"{path} has no usable building: see that it has polygons")
    if system is not None and not system.is_geographic:
        turn = pyproj.Transformer.from_crs(system, "EPSG:4326", always_xy=True).transform
        places = [
            Place(p.label, shapely.transform(p.shape, lambda c: np.column_stack(turn(c[:, 0], c[:, 1]))), p.tags)
            for p in places
        ]
    west, south, east, north = shapely.total_bounds([place.shape for place in places])
    if not (-180 <= west <= east <= 180 and -90 <= south <= north <= 90):
        raise InputFileError(
            f"{path} reaches from {west:g}, {south:g} to {east:g}, {north:g}: these seem to be metres; convert the "
            "file to degrees (ogr2ogr -t_srs EPSG:4326), or name its system in 'crs'"
        )
    return places


def _cityjson(path: Path, head: Mapping[str, Any]) -> list[Place]:
    text = str((head.get("metadata") or {}).get("referenceSystem", ""))
    code = re.search(r"(\d{4,6})(?:\D*)$", text)
    if code is None:
        raise InputFileError(f"{path} names no referenceSystem: add it to its metadata, such as EPSG/0/28992")
    found = read_cityjson(path)
    tags = [{"building": "yes", "building:levels": f"{number:g}"} for number in found.storeys]
    places = [Place(f"building/{name}", shape, t) for name, shape, t in zip(found.ids, found.shapes, tags)]
    system = pyproj.CRS.from_epsg(int(code[1]))
    return _in_degrees(path, places, system.sub_crs_list[0] if system.is_compound else system)


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


def _cadastre(path: Path, findings: Findings) -> list[Place]:
    """Read buildings or building parts of INSPIRE GML, as the Spanish cadastre publishes them."""
    try:
        root = defusedxml.ElementTree.parse(path).getroot()
    except (OSError, ParseError, DefusedXmlException) as error:
        raise InputFileError(f"{path} cannot be read as GML: {error!r}; it is damaged or truncated") from error
    found: list[Place] = []
    system: pyproj.CRS | None = None
    for thing in root.iter() if root is not None else ():
        kind = _local(thing.tag)
        kind = {"building": "Building", "buildingpart": "BuildingPart"}.get(kind.lower(), "")
        if not kind:
            continue
        label = next((v for k, v in thing.attrib.items() if _local(k) in ("id", "fid")), f"{kind} {len(found)}")
        values: dict[str, str] = {}
        outlines = []
        for part in thing.iter():
            name = _local(part.tag)
            if name == "Polygon" or name == "PolygonPatch":
                outlines.append(_polygon(part))
            if (srs := part.get("srsName")) and system is None and (code := re.search(r"(\d{4,6})$", srs)):
                system = pyproj.CRS.from_epsg(int(code[1]))
            if part.text and part.text.strip():
                values.setdefault(name, part.text.strip())
        shape = polygons_of(shapely.union_all([o for o in outlines if o is not None])) if any(outlines) else None
        if shape is None:
            findings.add("dropped", "building without a polygon", f"{kind.lower()}/{label}")
            continue
        label = values.get("localId", label)
        found.append(Place(f"{kind.lower()}/{label}", shape, _tags(kind, values)))
    if system is None:
        raise InputFileError(f"{path} names no coordinate system (srsName): give a file as the cadastre publishes it")
    return _in_degrees(path, found, system)


def _tags(kind: str, values: Mapping[str, str]) -> dict[str, str]:
    """Return INSPIRE's attributes as tags of OpenStreetMap."""
    use = _USES.get(values.get("currentUse", ""), "yes")
    tags = {"building": use} if kind == "Building" else {"building:part": "yes"}
    if values.get("conditionOfConstruction") == "ruin":
        tags["building"] = "ruins"
    if floors := values.get("numberOfFloorsAboveGround"):
        tags["building:levels"] = floors
        if floors == "0" and kind == "BuildingPart":
            tags["location"] = "underground"
    if (dwellings := values.get("numberOfDwellings", "0")) != "0":
        tags["building:flats"] = dwellings
    begun = values.get("beginning", values.get("end", ""))[:4]
    if begun.isdigit() and int(begun) > 1000:
        tags["start_date"] = begun
    return tags


def _polygon(element: Any) -> Any | None:
    rings: dict[str, list[Any]] = {"exterior": [], "interior": []}
    older = {"outerBoundaryIs": "exterior", "innerBoundaryIs": "interior"}  # GML 2, as GDAL writes it
    for side in element:
        name = older.get(_local(side.tag), _local(side.tag))
        if name in rings:
            text = " ".join(p.text or "" for p in side.iter() if _local(p.tag) in ("posList", "pos", "coordinates"))
            numbers = [float(word) for word in text.replace(",", " ").split()]
            rings[name].append(list(zip(numbers[::2], numbers[1::2])))
    try:
        return shapely.Polygon(rings["exterior"][0], rings["interior"])
    except (IndexError, ValueError, shapely.errors.ShapelyError):
        return None
