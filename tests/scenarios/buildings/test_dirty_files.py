"""GeoJSON and CityJSON as people have them: what is mended, what is left out by name, and the right areas."""

from __future__ import annotations

import json

import numpy as np
import pyproj
import pytest
import shapely

from cosim.adapters.buildings import SURFACES
from cosim.core import InputFileError
from cosim.scenarios.buildings.cityjson import read_cityjson
from cosim.scenarios.buildings.footprints import free_facades
from cosim.scenarios.buildings.geojson import read_geojson
from tests.support.paths import DATA

DEGREES = pyproj.Proj(proj="aeqd", lat_0=41.0, lon_0=2.0)
"""Metres round a place to longitude and latitude."""


def degrees(ring):
    lon, lat = DEGREES(*np.asarray(ring, float).T, inverse=True)
    return np.column_stack([lon, lat]).tolist()


def box(west, south, east, north):
    return [[west, south], [east, south], [east, north], [west, north], [west, south]]


def feature(name, *polygons, kind="MultiPolygon", **tags):
    """Polygons in metres, each a list of rings, as a feature."""
    coordinates = [[degrees(ring) for ring in rings] for rings in polygons]
    if kind == "Polygon":
        [coordinates] = coordinates
    tags = {key.replace("__", ":"): value for key, value in tags.items()}
    return {"type": "Feature", "id": name, "properties": tags, "geometry": {"type": kind, "coordinates": coordinates}}


def house(name, *corners, **tags):
    return feature(name, [box(*corners)], kind="Polygon", **tags)


def read(tmp_path, *features, storeys=None, **members):
    path = tmp_path / "city.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": list(features), **members}))
    return read_geojson(path, storeys=storeys)


def test_every_polygon_of_a_multipolygon_counts(tmp_path):
    found = read(tmp_path, feature("two", [box(0, 0, 20, 10)], [box(50, 0, 60, 10)], building__levels=3))
    assert found.floor_area[0] == pytest.approx((200 + 100) * 3, rel=1e-4)
    assert found.facade_length.sum() == pytest.approx(60 + 40, rel=1e-4)


def test_polygons_in_a_geometry_collection_count(tmp_path):
    one = house("mixed", 0, 0, 20, 10, building__levels=3)
    one["geometry"] = {
        "type": "GeometryCollection",
        "geometries": [{"type": "Point", "coordinates": [2.0, 41.0]}, one["geometry"]],
    }
    assert read(tmp_path, one).floor_area[0] == pytest.approx(600, rel=1e-4)


def test_a_courtyard_has_facades(tmp_path):
    tags = {"building__levels": 4}
    rings = [box(0, 0, 30, 30), box(10, 10, 20, 20)]
    found = read(tmp_path, feature("yard", rings, kind="Polygon", **tags))
    assert found.facade_length.sum() == pytest.approx(4 * 30 + 4 * 10, rel=1e-4)
    assert found.floor_area[0] == pytest.approx(800 * 4, rel=1e-4)
    walls = free_facades([shapely.Polygon(*rings[:1], rings[1:])])[0]
    sides = [walls[SURFACES.index(name)] for name in ("north", "east", "south", "west")]
    np.testing.assert_allclose(sides, 40.0)  # the yard's north wall looks south


def test_a_wall_of_a_courtyard_looks_into_it():
    yard = shapely.Polygon(box(0, 0, 30, 30), [box(10, 20, 20, 28)])
    walls = dict(zip(SURFACES, free_facades([yard])[0], strict=True))
    # A neighbour closes the outer north and south, so that what is left there looks into the yard.
    closed = free_facades([yard, shapely.box(-5, 30, 35, 40), shapely.box(-5, -10, 35, 0)])[0]
    assert walls["north"] == pytest.approx(30 + 10)
    assert dict(zip(SURFACES, closed, strict=True))["north"] == pytest.approx(10)
    assert dict(zip(SURFACES, closed, strict=True))["south"] == pytest.approx(10)


def test_parts_give_their_floors_to_their_building_which_counts_once(tmp_path):
    found = read(
        tmp_path,
        house("whole", 0, 0, 20, 20, building="yes", building__levels=10),
        house("podium", 0, 0, 20, 20, building__part="yes", building__levels=2),
        house("tower", 0, 0, 10, 10, building__part="yes", building__levels=10, building__min_level=2),
    )
    assert found.ids == ("whole",)
    assert found.floor_area[0] == pytest.approx(400 * 2 + 100 * 8, rel=1e-4)
    assert any(note.startswith("whole: 2 parts") for note in found.notes)


def test_parts_over_each_other_count_no_floor_twice(tmp_path):
    found = read(
        tmp_path,
        house("whole", 0, 0, 20, 20, building="yes"),
        house("low", 0, 0, 20, 10, building__part="yes", building__levels=2),
        house("tower", 0, 0, 5, 10, building__part="yes", building__levels=10),
    )
    # 50 m² of ten, 150 m² of two, and one storey on the half without a part, which is said.
    assert found.floor_area[0] == pytest.approx(50 * 10 + 150 * 2 + 200, rel=1e-4)
    assert any("one storey taken there" in note for note in found.notes)


def test_parts_without_an_outline_are_buildings(tmp_path):
    found = read(tmp_path, house("part", 0, 0, 10, 10, building__part="yes", building__levels=2))
    assert found.ids == ("part",)


def test_of_two_outlines_over_each_other_the_larger_is_kept_and_the_other_named(tmp_path):
    found = read(
        tmp_path,
        house("small", 1, 1, 9, 9, building="yes", building__levels=2),
        house("large", 0, 0, 10, 10, building="yes", building__levels=2),
        house("beside", 10, 0, 20, 10, building="yes", building__levels=2),
    )
    assert found.ids == ("large", "beside")
    assert found.skipped == ("small: 100% of it lie in large, which is kept",)


@pytest.mark.parametrize(
    ("tags", "storeys"),
    [
        ({"building__levels": "3;4"}, 4),
        ({"building__levels": "1,2"}, 2),
        ({"building__levels": 3.5}, 3.5),
        ({"building__levels": "<4"}, 4),
        ({"building__levels": "0", "height": "9"}, 3),
        ({"building__levels": float("nan"), "height": "12.13 m"}, 4),
        ({"building__levels": "many", "height": "40 ft"}, 4),  # 12.2 m
        ({"height": "39'4\""}, 4),  # 12.0 m
        ({"height": "12,5m"}, 4),
    ],
)
def test_levels_and_heights_are_read_in_their_spellings(tmp_path, tags, storeys):
    found = read(tmp_path, house("house", 0, 0, 10, 10, **tags))
    assert found.storeys.tolist() == [storeys]


@pytest.mark.parametrize(
    "tags", [{"building__levels": "0"}, {"height": "0"}, {"height": "1.5 m"}, {"height": "3 floors"}, {"layer": "-1"}]
)
def test_a_row_without_a_number_of_storeys_is_left_out_alone_and_named(tmp_path, tags):
    good = house("good", 50, 0, 60, 10, building__levels=2)
    found = read(tmp_path, house("bad", 0, 0, 10, 10, **tags), good)
    assert found.ids == ("good",)
    [reason] = found.skipped
    assert reason.startswith("bad: ")


def test_what_was_understood_of_a_dirty_row_is_noted(tmp_path):
    found = read(tmp_path, house("house", 0, 0, 10, 10, building__levels="3;4"))
    assert found.notes == ("house: building:levels is '3;4': 4 storeys taken",)


def test_what_is_no_heated_building_is_left_out_by_name(tmp_path):
    kinds = ("yes", "no", "ruins", "construction", "roof")
    rows = [house(kind, 40 * k, 0, 40 * k + 20, 10, building=kind, building__levels=3) for k, kind in enumerate(kinds)]
    found = read(tmp_path, *rows)
    assert found.ids == ("yes",)
    assert found.skipped == tuple(f"{kind}: building={kind} is not heated" for kind in kinds[1:])


def test_a_feature_without_geometry_is_left_out_alone(tmp_path):
    bare = {"type": "Feature", "id": "bare", "geometry": None, "properties": None}
    found = read(tmp_path, bare, "no feature", house("good", 0, 0, 10, 10, building__levels=2))
    assert found.ids == ("good",)
    assert found.skipped == ("bare: it has no geometry", "feature 1: it has no geometry")


def test_an_outline_that_crosses_itself_is_mended_where_its_area_stays(tmp_path):
    # The end of the last edge passes the first corner by 2 cm: the loop there is far below 1 %.
    nearly = [[0, 0], [20, 0], [20, 10], [-0.02, 10], [0.02, -0.02], [0, 0]]
    bow_tie = [[30, 0], [40, 10], [40, 0], [30, 10], [30, 0]]
    found = read(
        tmp_path,
        feature("nearly", [nearly], kind="Polygon", building__levels=2),
        feature("bow tie", [bow_tie], kind="Polygon", building__levels=2),
    )
    assert found.ids == ("nearly",)
    assert found.floor_area[0] == pytest.approx(400, rel=0.01)
    assert all(shape.is_valid for shape in found.shapes)
    assert "nearly: its outline crossed itself: mended" in found.notes[0]
    assert "bow tie: its outline crosses itself" in found.skipped[0]


def metres(name, *corners):
    ring = box(*corners)
    return {
        "type": "Feature",
        "properties": {"@id": name, "building:levels": 2},
        "geometry": {"type": "Polygon", "coordinates": [ring]},
    }


def test_metres_taken_for_degrees_are_refused_with_the_remedy(tmp_path):
    with pytest.raises(InputFileError, match=r"footprints of .* m² .*seem to be metres: convert .*EPSG:4326.* 'crs'"):
        read(tmp_path, metres("a", 0, 0, 20, 10), metres("b", 30, 0, 50, 10))
    with pytest.raises(InputFileError, match=r"GeoJSON is in degrees; .*seem to be metres"):
        read(tmp_path, metres("a", 430_000, 4_580_000, 430_020, 4_580_010))


@pytest.mark.parametrize("code", [25831, 3857])
def test_a_system_named_in_the_file_is_honoured(tmp_path, code):
    # On the ground 20 m × 10 m; Web Mercator stretches lengths by 1/cos(latitude).
    to = pyproj.Transformer.from_crs("EPSG:4326", f"EPSG:{code}", always_xy=True)
    ring = np.column_stack(to.transform(*np.array(degrees(box(0, 0, 20, 10))).T)).tolist()
    one = metres("a", 0, 0, 1, 1)
    one["geometry"]["coordinates"] = [ring]
    crs = {"type": "name", "properties": {"name": f"urn:ogc:def:crs:EPSG::{code}"}}
    assert read(tmp_path, one, crs=crs).floor_area[0] == pytest.approx(400, rel=1e-3)
    with pytest.raises(InputFileError, match="no known system"):
        read(tmp_path, one, crs={"type": "name", "properties": {"name": "nowhere"}})


def test_a_feature_a_line_is_read_too(tmp_path):
    path = tmp_path / "city.geojsonl"
    rows = [house("a", 0, 0, 10, 10, building__levels=2), house("b", 20, 0, 30, 10, building__levels=2)]
    path.write_text("".join(f"\x1e{json.dumps(row)}\n" for row in rows))
    assert read_geojson(path).ids == ("a", "b")


def block(width=20.0, depth=10.0, height=9.0, at=(0.0, 0.0, 0.0)):
    """Vertices and the surfaces of a box, the ground first."""
    x, y, z = at
    corners = [
        [x + a * width, y + b * depth, z + c * height] for c in (0, 1) for a, b in ((0, 0), (1, 0), (1, 1), (0, 1))
    ]
    surfaces = [[[3, 2, 1, 0]], [[4, 5, 6, 7]], [[0, 1, 5, 4]], [[1, 2, 6, 5]], [[2, 3, 7, 6]], [[3, 0, 4, 7]]]
    return corners, surfaces


def shifted(surfaces, by):
    return [[[corner + by for corner in ring] for ring in surface] for surface in surfaces]


def city(tmp_path, objects, vertices, **members):
    path = tmp_path / "city.json"
    path.write_text(
        json.dumps({"type": "CityJSON", "version": "2.0", "CityObjects": objects, "vertices": vertices, **members})
    )
    return read_cityjson(path)


def building(*geometry, **more):
    return {"type": "Building", "geometry": list(geometry), **more}


def solid(surfaces, lod="2"):
    return {"type": "Solid", "lod": lod, "boundaries": [surfaces]}


def test_every_solid_of_a_multisolid_counts(tmp_path):
    first, surfaces = block()
    second, _ = block(at=(50, 0, 0))
    both = {"type": "MultiSolid", "lod": "1", "boundaries": [[surfaces], [shifted(surfaces, 8)]]}
    found = city(tmp_path, {"b": building(both)}, first + second)
    assert found.floor_area.tolist() == pytest.approx([2 * 200 * 3])


def test_the_highest_level_of_detail_counts_wherever_it_is_listed(tmp_path):
    vertices, surfaces = block()
    flat = {"type": "MultiSurface", "lod": "0", "boundaries": surfaces[:1]}
    found = city(tmp_path, {"b": building(solid(surfaces), flat)}, vertices)
    assert found.floor_area.tolist() == pytest.approx([600])


def test_an_instance_of_a_template_stands_where_it_is_put(tmp_path):
    vertices, surfaces = block(1, 1, 1)
    matrix = [20, 0, 0, 0, 0, 10, 0, 0, 0, 0, 9, 0, 0, 0, 0, 1]
    instance = {"type": "GeometryInstance", "template": 0, "boundaries": [0], "transformationMatrix": matrix}
    templates = {"templates": [solid(surfaces)], "vertices-templates": vertices}
    found = city(tmp_path, {"b": building(instance)}, [[100, 200, 5]], **{"geometry-templates": templates})
    assert found.floor_area.tolist() == pytest.approx([600])
    assert found.shapes[0].bounds == pytest.approx((100, 200, 120, 210))


def test_the_ground_of_a_courtyard_has_its_hole(tmp_path):
    vertices, surfaces = block(30, 30, 9)
    hole = [[10, 10, 0], [10, 20, 0], [20, 20, 0], [20, 10, 0]]
    surfaces[0] = [surfaces[0][0], [8, 9, 10, 11]]
    found = city(tmp_path, {"b": building(solid(surfaces))}, vertices + hole)
    assert found.floor_area.tolist() == pytest.approx([800 * 3])
    assert found.facade_length.sum() == pytest.approx(160)


def test_storeys_above_ground_count_before_the_height(tmp_path):
    vertices, surfaces = block(height=12.0)
    found = city(tmp_path, {"b": building(solid(surfaces), attributes={"storeysAboveGround": 3})}, vertices)
    assert found.storeys.tolist() == [3]
    odd = city(tmp_path, {"b": building(solid(surfaces), attributes={"storeysAboveGround": "?"})}, vertices)
    assert odd.storeys.tolist() == [4]
    assert "storeysAboveGround is '?'" in odd.notes[0]


def test_a_single_part_has_the_storeys_of_its_building(tmp_path):
    vertices, surfaces = block(height=12.0)
    objects = {
        "b": {"type": "Building", "children": ["p"], "attributes": {"storeysAboveGround": 3}},
        "p": {"type": "BuildingPart", "parents": ["b"], "geometry": [solid(surfaces)]},
    }
    found = city(tmp_path, objects, vertices)
    assert (found.ids, found.storeys.tolist(), found.skipped) == (("p",), [3], ())


def test_a_building_and_its_parts_count_once(tmp_path):
    vertices, surfaces = block()
    objects = {
        "b": building(solid(surfaces), children=["p"]),
        "p": {"type": "BuildingPart", "parents": ["b"], "geometry": [solid(surfaces)]},
    }
    found = city(tmp_path, objects, vertices)
    assert found.floor_area.sum() == pytest.approx(600)
    assert found.notes == ("b: its parts stand for it",)


def test_parts_of_a_building_may_stand_on_each_other(tmp_path):
    low, surfaces = block()
    high, _ = block(10, 10, 9, at=(0, 0, 9))
    objects = {
        "b": {"type": "Building", "children": ["p", "q"]},
        "p": {"type": "BuildingPart", "parents": ["b"], "geometry": [solid(surfaces)]},
        "q": {"type": "BuildingPart", "parents": ["b"], "geometry": [solid(shifted(surfaces, 8))]},
    }
    found = city(tmp_path, objects, low + high)
    assert found.floor_area.sum() == pytest.approx(600 + 300)


def test_a_building_without_a_floor_has_the_outline_of_its_roof_and_says_so(tmp_path):
    vertices, surfaces = block()
    found = city(tmp_path, {"b": building(solid(surfaces[1:]))}, vertices)
    assert found.floor_area.tolist() == pytest.approx([600])
    assert found.notes == ("b: it has no ground surface: its outline is what its surfaces cover from above",)


def test_objects_that_are_no_buildings_are_counted_by_type(tmp_path):
    vertices, surfaces = block()
    objects = {"a": building(solid(surfaces)), "b": {"type": "+NoiseBuilding"}, "c": {"type": "Road"}}
    found = city(tmp_path, objects | {"d": {"type": "Road"}}, vertices)
    assert found.skipped == (
        "1 of type +NoiseBuilding: no buildings of CityJSON's own",
        "2 of type Road: no buildings of CityJSON's own",
    )


def test_a_building_without_geometry_is_named(tmp_path):
    vertices, surfaces = block()
    found = city(tmp_path, {"b": building(solid(surfaces)), "bare": {"type": "Building"}}, vertices)
    assert found.skipped == ("bare: no geometry",)


def test_feet_become_metres_by_the_file_s_system(tmp_path):
    # EPSG 2263 is New York in US survey feet of 1200/3937 m.
    foot = 1200 / 3937
    vertices, surfaces = block(20 / foot, 10 / foot, 9 / foot, at=(980_000, 200_000, 0))
    metadata = {"referenceSystem": "https://www.opengis.net/def/crs/EPSG/0/2263"}
    found = city(tmp_path, {"b": building(solid(surfaces))}, vertices, metadata=metadata)
    assert found.floor_area.tolist() == pytest.approx([600])
    assert found.shapes[0].area == pytest.approx(200)


def test_web_mercator_s_stretch_is_taken_out(tmp_path):
    to = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:3857", always_xy=True)
    vertices, surfaces = block()
    lon, lat = DEGREES(*np.array(vertices)[:, :2].T, inverse=True)
    stretched = np.column_stack([*to.transform(lon, lat), np.array(vertices)[:, 2]]).tolist()
    metadata = {"referenceSystem": "urn:ogc:def:crs:EPSG::3857"}
    found = city(tmp_path, {"b": building(solid(surfaces))}, stretched, metadata=metadata)
    assert found.floor_area.tolist() == pytest.approx([600], rel=1e-3)


def test_degrees_taken_for_metres_are_refused_with_the_remedy(tmp_path):
    vertices, surfaces = block(2e-4, 1e-4, 9, at=(2, 41, 0))
    with pytest.raises(InputFileError, match=r"footprints of 2e-08 m².*seem to be degrees: convert"):
        city(tmp_path, {"b": building(solid(surfaces))}, vertices)
    metadata = {"referenceSystem": "https://www.opengis.net/def/crs/EPSG/0/4979"}
    with pytest.raises(InputFileError, match="which is in degrees"):
        city(tmp_path, {"b": building(solid(surfaces))}, vertices, metadata=metadata)


def test_a_sequence_of_features_has_the_buildings_of_the_one_file(tmp_path):
    whole = DATA / "citymodels" / "delft.city.json"
    if not whole.exists():
        pytest.skip(f"the city models are not at {whole}")
    model = json.loads(whole.read_text())
    head = {key: model[key] for key in ("type", "version", "transform", "metadata")}
    lines = [{**head, "CityObjects": {}, "vertices": []}]
    for name, thing in model["CityObjects"].items():
        lines.append(
            {"type": "CityJSONFeature", "id": name, "CityObjects": {name: thing}, "vertices": model["vertices"]}
        )
        if len(lines) > 40:
            break
    names = {name for line in lines for name in line["CityObjects"]}
    path = tmp_path / "delft.city.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    found, expected = read_cityjson(path), read_cityjson(whole)
    same = [k for k, name in enumerate(expected.ids) if name in names]
    assert list(found.ids) == [expected.ids[k] for k in same]
    np.testing.assert_allclose(found.floor_area, expected.floor_area[same])
