"""Reader of OpenStreetMap files: streets as netconvert needs them, and the places of a city.

Any of .osm, .osm.gz, .osm.bz2 and .osm.pbf is read by osmium, sorted if its ids are out of order, and cut to an area.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import osmium
import shapely

from cosim.core import InputFileError
from cosim.scenarios.places.findings import Findings

from .street_tags import corrected, fill_lanes

PLACE_KEYS = (
    "building", "building:part", "landuse", "amenity", "shop", "office", "leisure", "tourism", "healthcare", "power",
)  # fmt: skip
RAILS = ("tram", "light_rail", "subway")
ROUTES = ("bus", "trolleybus", *RAILS)
MOST_STREETS = 100_000
"""Streets of a file, or of what is cut from it, beyond which it is refused: several times those of Berlin's centre."""

_WGS84 = (-180.0, -90.0, 180.0, 90.0)


@dataclass(frozen=True, slots=True)
class Place:
    """An area or point of the map.

    Attributes
    ----------
    label
        ``way/…``, ``relation/…`` or ``node/…`` and its OSM id.
    shape
        Outline or point in longitude and latitude. [°]
    tags
        Its tags.
    """

    label: str
    shape: Any
    tags: dict[str, str]


@dataclass(frozen=True)
class Extract:
    """What a city takes from a map.

    Attributes
    ----------
    streets
        File of the streets, rails, stops, turn restrictions and routes, for netconvert.
    places
        Buildings, areas and points.
    bounds
        West, south, east, north of the streets. [°]
    routes
        Public transport by relation: ``route``, ``ref``, ``name``, ``interval``, and its stops in order.
    """

    streets: Path
    places: tuple[Place, ...]
    bounds: tuple[float, float, float, float]
    routes: tuple[dict[str, Any], ...]


def parse_clip(text: str) -> Any:
    """Return the area of ``W,S,E,N`` in degrees, or of a GeoJSON file.

    Raises
    ------
    InputFileError
        If it is neither, is in metres, or holds no area.

    Examples
    --------
    >>> parse_clip("13.5,52.4,13.6,52.5").bounds
    (13.5, 52.4, 13.6, 52.5)
    """
    try:
        west, south, east, north = (float(part) for part in text.split(","))
        shape = shapely.box(west, south, east, north) if west < east and south < north else shapely.Polygon()
    except ValueError:
        shape = _polygon(text)
        west, south, east, north = shape.bounds if not shape.is_empty else (0.0,) * 4
    if not (_WGS84[0] <= west < east <= _WGS84[2] and _WGS84[1] <= south < north <= _WGS84[3]) or not shape.area:
        raise InputFileError(
            f"clip reaches from {west:g}, {south:g} to {east:g}, {north:g}: give an area in degrees of longitude and "
            "latitude, west before east and south before north"
        )
    return shape


def _polygon(text: str) -> Any:
    """Return the union of all geometries of a GeoJSON file."""
    try:
        record = json.loads(Path(text).read_text(encoding="utf-8-sig"))
        parts = record.get("features", [record])
        found = [part for part in (part.get("geometry", part) for part in parts) if part]
        return shapely.union_all([shapely.make_valid(shapely.geometry.shape(part)) for part in found])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, shapely.errors.ShapelyError) as error:
        what = str(error) if isinstance(error, (OSError, ValueError)) else "it is no GeoJSON of polygons"
        raise InputFileError(
            f"clip is {text!r}: give west,south,east,north in degrees, or a GeoJSON file of a polygon ({what})"
        ) from error


def read_osm(path: Path, folder: Path, findings: Findings, clip: Any = None) -> Extract:
    """Read a map and write its streets into a folder.

    Parameters
    ----------
    path
        An OpenStreetMap file.
    folder
        Receives ``streets.osm``.
    findings
        Receives what is mended, guessed and dropped.
    clip
        The area to take, as of `parse_clip`; by default everything, and where ways lack nodes what lies within the
        bounds that the file declares.

    Raises
    ------
    InputFileError
        If the file is missing or damaged, has no streets, or far more of them than a city.
    """
    if not path.is_file():
        raise InputFileError(f"there is no file {path}: give an OpenStreetMap file (.osm, .osm.gz or .osm.pbf)")
    with _readable(path):
        # every further pass over the file takes a tenth of the time in this format
        source = folder / "map.osm.pbf"
        with osmium.SimpleWriter(str(source), overwrite=True) as writer:
            osmium.apply(osmium.io.Reader(str(path)), writer)
        scan = _Scan(path, source, clip is None)
        if scan.unsorted:
            _sort(source, folder / "sorted.osm.pbf")
            (folder / "sorted.osm.pbf").replace(source)
            findings.add("mended", "ids out of order: the file was sorted", path.name)
        reader = _Streets(source, scan, clip, findings)
        bounds = reader.write(folder / "streets.osm")
        places = tuple(_places(source, reader.clip, findings))
    source.unlink()
    return Extract(folder / "streets.osm", places, bounds, tuple(reader.routes))


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except InputFileError:
        raise
    except (RuntimeError, ValueError, osmium.InvalidLocationError) as error:
        if "required feature" in str(error):
            raise InputFileError(
                f"{path} uses a feature of PBF that is not known here ({str(error).rpartition(': ')[2]}): ask its "
                "publisher for a plain file, or convert it with the program that wrote it"
            ) from error
        raise InputFileError(
            f"{path} cannot be read as an OpenStreetMap file: {error}; it is damaged or truncated, or of another "
            "format: download it again, or convert it with 'osmium cat'"
        ) from error


class _Scan:
    """One pass over all that has tags: whether ids are in order, and how many streets there are."""

    def __init__(self, path: Path, source: Path, limited: bool) -> None:
        self.path, self.unsorted, self.streets = path, False, 0
        box = osmium.io.Reader(str(path)).header().box()
        corners = (
            (box.bottom_left.lon, box.bottom_left.lat, box.top_right.lon, box.top_right.lat) if box.valid() else ()
        )
        self.declared = shapely.box(*corners) if corners else None
        last = (0, 0)
        for thing in osmium.FileProcessor(str(source)).with_filter(osmium.filter.EmptyTagFilter()):
            here = ("nwr".index(thing.type_str()), thing.id)
            self.unsorted |= here < last
            last = here
            if here[0] == 1 and "highway" in thing.tags:
                self.streets += 1
                if limited and self.streets > MOST_STREETS:
                    where = f" {','.join(f'{x:.2f}' for x in self.declared.bounds)}" if self.declared else ""
                    raise InputFileError(
                        f"{path} has more than {MOST_STREETS} streets, a country rather than a city: cut it with "
                        f"--clip WEST,SOUTH,EAST,NORTH in degrees (the file covers{where or ' an undeclared area'})"
                    )
        if not self.streets:
            raise InputFileError(f"{path} has no streets (ways with the tag highway): give an extract that has them")


def _sort(path: Path, target: Path) -> None:
    reader = osmium.MergeInputReader()
    reader.add_file(str(path))
    with osmium.SimpleWriter(str(target), overwrite=True) as writer:
        reader.apply(writer)


class _Streets:
    """The ways of a map that cars, buses and trams use, cut to an area."""

    def __init__(self, path: Path, scan: _Scan, clip: Any, findings: Findings) -> None:
        self.path, self.findings = path, findings
        ways = []
        kinds = osmium.filter.KeyFilter("highway", "railway")
        for way in osmium.FileProcessor(str(path), osmium.osm.WAY).with_filter(kinds):
            name, tags = f"way/{way.id}", dict(way.tags)
            if tags.get("railway") in RAILS and "highway" not in tags:
                kept: dict[str, str] | None = tags
            else:
                kept = corrected(name, tags, findings)
            if kept is not None:
                ways.append((way.id, [node.ref for node in way.nodes], kept))
        fill_lanes(((f"way/{number}", tags) for number, _, tags in ways), findings)
        wanted = {node for _, nodes, _ in ways for node in nodes}
        at: dict[int, tuple[float, float]] = {}
        self.node_tags: dict[int, dict[str, str]] = {}
        for node in osmium.FileProcessor(str(path), osmium.osm.NODE):
            number, tagged = node.id, len(node.tags)
            if number in wanted or (tagged and _is_stop(node.tags)):
                at[number] = (node.location.lon, node.location.lat)
                if tagged:
                    self.node_tags[number] = dict(node.tags)
        found = at
        missing = {node for node in wanted if node not in at}
        if clip is None and missing and scan.declared is not None:
            clip = scan.declared
        self.clip = clip
        if clip is not None:
            shapely.prepare(clip)
            labels = list(at)
            inside = shapely.intersects_xy(clip, *zip(*(at[label] for label in labels))) if labels else []
            at = {label: at[label] for label, here in zip(labels, inside) if here}
        self.at = at
        self.ways = [part for way in ways for part in self._runs(*way, missing)]
        if not self.ways:
            west, south, east, north = shapely.MultiPoint(list(found.values())).bounds if found else (0.0,) * 4
            where = f"; its streets reach from {west:.4f}, {south:.4f} to {east:.4f}, {north:.4f}" if found else ""
            raise InputFileError(
                f"{scan.path} has no streets for cars or buses in the area{where}: give another file or --clip"
            )
        if len(self.ways) > MOST_STREETS:
            raise InputFileError(
                f"the area has {len(self.ways)} streets, more than {MOST_STREETS}: give a smaller --clip "
                "WEST,SOUTH,EAST,NORTH"
            )
        self.routes: list[dict[str, Any]] = []

    def _runs(
        self, number: int, nodes: Sequence[int], tags: dict[str, str], missing: set[int]
    ) -> Iterator[tuple[int, list[int], dict[str, str]]]:
        """Yield the parts of a way that lie in the area; those after the first get numbers of their own."""
        runs = [list(group) for here, group in groupby(nodes, self.at.__contains__) if here]
        runs = [run for run in runs if len(run) > 1]
        if any(node in missing for node in nodes):
            self.findings.add("mended" if runs else "dropped", "way lacks nodes: cut where they end", f"way/{number}")
        for k, run in enumerate(runs):
            yield number if not k else 10**13 + 100 * number + k, run, tags

    def write(self, path: Path) -> tuple[float, float, float, float]:
        """Write nodes, ways, restrictions and routes in order, and return the bounds of the streets. [°]"""
        used = {node for _, nodes, _ in self.ways for node in nodes}
        stops = {node for node, tags in self.node_tags.items() if node in self.at and _is_stop(tags)}
        kept_ways = {number for number, _, _ in self.ways}
        with osmium.SimpleWriter(str(path), overwrite=True) as writer:
            for node in sorted(used | stops):
                tags = self.node_tags.get(node, {})
                writer.add_node(osmium.osm.mutable.Node(id=node, location=self.at[node], tags=tags))
            for number, nodes, tags in sorted(self.ways, key=lambda way: way[0]):
                writer.add_way(osmium.osm.mutable.Way(id=number, nodes=nodes, tags=tags))
            for relation in osmium.FileProcessor(str(self.path), osmium.osm.RELATION):
                kind, route = relation.tags.get("type", ""), relation.tags.get("route", "")
                if not (kind.startswith("restriction") or (kind == "route" and route in ROUTES)):
                    continue
                members = [(m.type, m.ref, m.role) for m in relation.members]
                here = [m for m in members if m[1] in (kept_ways if m[0] == "w" else stops | used)]
                if kind.startswith("restriction") and len(here) < len(members):
                    continue
                if any(m[0] == "w" for m in here):
                    writer.add_relation(osmium.osm.mutable.Relation(id=relation.id, members=here, tags=relation.tags))
                    if kind == "route":
                        self._add_route(relation.id, dict(relation.tags), here)
        lon, lat = zip(*(self.at[node] for node in used))
        return min(lon), min(lat), max(lon), max(lat)

    def _add_route(self, number: int, tags: dict[str, str], members: Sequence[tuple[str, int, str]]) -> None:
        self.routes.append(
            {
                "id": number,
                "route": tags["route"],
                "ref": tags.get("ref", ""),
                "name": tags.get("name", ""),
                "interval": tags.get("interval", ""),
                "ways": [ref for kind, ref, _ in members if kind == "w"],
                "stops": [ref for kind, ref, role in members if kind == "n" and role.startswith(("stop", "platform"))],
            }
        )


def _is_stop(tags: Any) -> bool:
    return (
        tags.get("highway") == "bus_stop"
        or tags.get("public_transport") in ("stop_position", "platform")
        or tags.get("railway") in ("tram_stop", "halt", "station")
    )


def _places(path: Path, clip: Any, findings: Findings) -> Iterator[Place]:
    keys = osmium.filter.KeyFilter(*PLACE_KEYS)
    factory = osmium.geom.WKBFactory()
    whole: set[int] = set()
    wanted: dict[int, dict[str, str]] = {}
    processor = osmium.FileProcessor(str(path)).with_areas(keys)
    only = osmium.filter.EntityFilter(osmium.osm.AREA | osmium.osm.NODE | osmium.osm.RELATION)
    for thing in processor.with_filter(only).with_filter(keys):
        kind, tags = thing.type_str(), dict(thing.tags)
        if kind == "r":
            if tags.get("type") == "multipolygon":
                wanted[thing.id] = tags
            continue
        if kind == "n":
            shape, label = shapely.Point(thing.location.lon, thing.location.lat), f"node/{thing.id}"
        else:
            label = f"{'way' if thing.from_way() else 'relation'}/{thing.orig_id()}"
            whole.add(0 if thing.from_way() else thing.orig_id())
            try:
                shape = shapely.from_wkb(factory.create_multipolygon(thing))
            except (RuntimeError, shapely.errors.GEOSException) as error:
                findings.add("dropped", "outline cannot be assembled", label, str(error))
                continue
            if len(shape.geoms) == 1:
                shape = shape.geoms[0]
        if clip is None or shape.representative_point().intersects(clip):
            yield Place(label, shape, tags)
    broken = {number: tags for number, tags in wanted.items() if number not in whole}
    for place in _outer_rings(path, broken, findings):
        if clip is None or place.shape.representative_point().intersects(clip):
            yield place


def _outer_rings(path: Path, broken: dict[int, dict[str, str]], findings: Findings) -> Iterator[Place]:
    """Yield what is left of multipolygons whose members are not all there: their complete outer rings."""
    if not broken:
        return
    outer: dict[int, list[int]] = {}
    holes: dict[int, int] = {}
    for relation in osmium.FileProcessor(str(path), osmium.osm.RELATION):
        if relation.id in broken:
            outer[relation.id] = [
                m.ref for m in relation.members if m.type == "w" and m.role in ("outer", "outline", "")
            ]
            holes[relation.id] = sum(m.role == "inner" for m in relation.members)
    needed = {way for ways in outer.values() for way in ways}
    lines: dict[int, list[tuple[float, float]]] = {}
    for way in (
        osmium.FileProcessor(str(path), osmium.osm.NODE | osmium.osm.WAY)
        .with_locations()
        .with_filter(osmium.filter.EntityFilter(osmium.osm.WAY))
    ):
        if way.id in needed and all(node.location.valid() for node in way.nodes):
            lines[way.id] = [(node.location.lon, node.location.lat) for node in way.nodes]
    for number, ways in sorted(outer.items()):
        there = [shapely.LineString(lines[way]) for way in ways if way in lines and len(lines[way]) > 1]
        rings = list(shapely.polygonize([shapely.union_all(there)]).geoms) if there else []
        lost = len(ways) - len(there)
        if not rings:
            findings.add(
                "dropped", "multipolygon without a complete outer ring", f"relation/{number}", f"{lost} ways missing"
            )
            continue
        detail = f"{len(rings)} rings kept, {lost} outer ways missing, {holes[number]} holes filled"
        findings.add("mended", "multipolygon lacks members: complete outer rings kept", f"relation/{number}", detail)
        shape = rings[0] if len(rings) == 1 else shapely.MultiPolygon(rings)
        yield Place(f"relation/{number}", shape, broken[number])
