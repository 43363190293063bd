"""Dirty and foreign OpenStreetMap files."""

import gzip
import json
import struct

import osmium
import pytest

from cosim.core import InputFileError
from cosim.scenarios.places.findings import Findings
from cosim.scenarios.places.sources import osm
from cosim.scenarios.places.sources.osm import parse_clip, read_osm
from tests.support.maps import Map, degrees, town


def read(path, folder, clip=None):
    findings = Findings()
    folder.mkdir(exist_ok=True)
    return read_osm(path, folder, findings, clip), findings


def ways(path):
    return {way.id: len(way.nodes) for way in osmium.FileProcessor(str(path), osmium.osm.WAY)}


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return town().write(tmp_path_factory.mktemp("map") / "town.osm")


def test_unsorted_ids_are_sorted_and_told(plain, tmp_path):
    straight, none = read(plain, tmp_path / "a")
    mixed, findings = read(town().write(tmp_path / "unsorted.osm", unsorted=True), tmp_path / "b")
    assert not none.found
    assert list(findings.found["mended"]) == ["ids out of order: the file was sorted"]
    assert mixed.streets.read_bytes() == straight.streets.read_bytes()
    assert {place.label for place in mixed.places} == {place.label for place in straight.places}


def test_pbf_and_gzip_give_what_xml_gives(plain, tmp_path):
    packed, binary = tmp_path / "town.osm.gz", tmp_path / "town.osm.pbf"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    with osmium.SimpleWriter(str(binary)) as writer:
        osmium.apply(osmium.io.Reader(str(plain)), writer)
    found = [read(path, tmp_path / f"from{k}")[0] for k, path in enumerate((plain, packed, binary))]
    assert len({extract.streets.read_bytes() for extract in found}) == 1
    assert len({len(extract.places) for extract in found}) == 1


def test_ways_end_where_their_nodes_are_missing(tmp_path):
    drawn = Map()
    street = drawn.way((0, 0), (100, 0), (200, 0), (300, 0), (400, 0), (500, 0), highway="residential")
    lost = drawn.way((0, 0), (0, 200), highway="residential")
    gone = {drawn.node(300, 0), drawn.node(0, 200)}
    extract, findings = read(drawn.write(tmp_path / "clipped.osm", without=gone), tmp_path / "out")
    found = ways(extract.streets)
    assert found[street] == 3
    assert sum(found.values()) == 5  # the far end is a street of its own
    assert f"way/{lost}" in findings.found["dropped"]["way lacks nodes: cut where they end"]


def test_file_with_missing_nodes_is_cut_to_its_bounds(tmp_path):
    drawn = Map()
    street = drawn.way((0, 0), (100, 0), (200, 0), (900, 0), (1000, 0), highway="residential")
    gone = {drawn.node(1000, 0)}
    path = drawn.write(tmp_path / "clipped.osm", without=gone, bounds=(-10, -10, 500, 500))
    assert ways(read(path, tmp_path / "out")[0].streets) == {street: 3}


def test_multipolygon_that_lacks_members_keeps_its_complete_outer_ring(tmp_path):
    drawn = town(houses=False)
    corners = [(0, 0), (20, 0), (20, 20), (0, 20), (0, 0)]
    outer, missing = drawn.way(*corners), drawn.way((50, 0), (60, 0), (60, 10))
    half = drawn.way((50, 0), (50, 10), (60, 10))
    kept = drawn.relation([("way", outer, "outer"), ("way", 999_999, "inner")], type="multipolygon", building="yes")
    lost = drawn.relation([("way", missing, "outer"), ("way", half, "outer")], type="multipolygon", building="yes")
    extract, findings = read(drawn.write(tmp_path / "map.osm", without={missing}), tmp_path / "out")
    assert [place.label for place in extract.places] == [f"relation/{kept}"]
    assert list(findings.found["mended"]["multipolygon lacks members: complete outer rings kept"]) == [
        f"relation/{kept}"
    ]
    assert list(findings.found["dropped"]["multipolygon without a complete outer ring"]) == [f"relation/{lost}"]


def test_multipolygon_building_has_its_courtyard(tmp_path):
    drawn = town(houses=False)
    outer = drawn.way((10, 10), (70, 10), (70, 70), (10, 70), (10, 10))
    inner = drawn.way((30, 30), (50, 30), (50, 50), (30, 50), (30, 30))
    drawn.relation([("way", outer, "outer"), ("way", inner, "inner")], type="multipolygon", building="apartments")
    [place] = read(drawn.write(tmp_path / "map.osm"), tmp_path / "out")[0].places
    assert len(place.shape.interiors) == 1


def test_clip_takes_what_lies_inside(plain, tmp_path):
    (west, south), (east, north) = degrees(-10, -10), degrees(130, 130)
    part, _ = read(plain, tmp_path / "out", parse_clip(f"{west},{south},{east},{north}"))
    whole, _ = read(plain, tmp_path / "whole")
    assert 0 < len(part.places) < len(whole.places)
    assert part.bounds[2] < whole.bounds[2]


def test_clip_may_be_a_geojson_polygon(tmp_path):
    ring = [[13.5, 52.4], [13.6, 52.4], [13.6, 52.5], [13.5, 52.4]]
    path = tmp_path / "clip.geojson"
    path.write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}))
    assert parse_clip(str(path)).bounds == (13.5, 52.4, 13.6, 52.5)


def test_clip_that_crosses_itself_is_mended_and_features_without_a_shape_are_passed_over(tmp_path):
    ring = [[13.5, 52.4], [13.6, 52.5], [13.6, 52.4], [13.5, 52.5], [13.5, 52.4]]
    shapes = [{"geometry": {"type": "Polygon", "coordinates": [ring]}}, {"geometry": None}]
    path = tmp_path / "clip.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": shapes}))
    assert parse_clip(str(path)).area == pytest.approx(0.005)
    path.write_text("[1, 2]")
    with pytest.raises(InputFileError, match="it is no GeoJSON of polygons"):
        parse_clip(str(path))


def test_clip_beside_the_map_names_the_file_and_where_its_streets_are(plain, tmp_path):
    with pytest.raises(InputFileError, match=rf"{plain.name} has no streets .* reach from 13\.\d+, 52\.4"):
        read(plain, tmp_path / "out", parse_clip("2.0,41.0,2.1,41.1"))


@pytest.mark.parametrize(
    ("clip", "message"),
    [("397000,5808000,398000,5809000", "in degrees"), ("13.6,52.4,13.5,52.5", "west before east"),
     ("13.5,52.4", "give west,south,east,north"), ("nowhere.geojson", "give west,south,east,north")],
)  # fmt: skip
def test_clip_in_metres_or_without_an_area_is_refused(clip, message):
    with pytest.raises(InputFileError, match=message):
        parse_clip(clip)


def test_map_of_a_country_is_refused_with_the_command_that_cuts_it(plain, tmp_path, monkeypatch):
    monkeypatch.setattr(osm, "MOST_STREETS", 3)
    with pytest.raises(InputFileError, match=r"more than 3 streets.*--clip WEST,SOUTH,EAST,NORTH"):
        read(plain, tmp_path / "out")


def test_truncated_and_foreign_files_are_refused_in_one_line(plain, tmp_path):
    packed = gzip.compress(plain.read_bytes())
    for name, content in (
        ("half.osm.gz", packed[: len(packed) // 2]),
        ("half.osm", plain.read_bytes()[:5000]),
        ("page.osm", b"<html>not found</html>"),
        ("noise.osm.pbf", b"\x00\x00\x00\x0dnonsense" * 9),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputFileError, match=r"cannot be read as an OpenStreetMap file") as caught:
            read(tmp_path / name, tmp_path / "out")
        assert "\n" not in str(caught.value)


def test_pbf_with_an_unknown_feature_is_refused_by_its_name(tmp_path):
    def field(number, content):
        return bytes([number << 3 | 2, len(content)]) + content

    header = b"".join(field(4, name) for name in (b"OsmSchema-V0.6", b"DenseNodes", b"TeleportingWays"))
    blob = field(1, header)
    head = field(1, b"OSMHeader") + bytes([3 << 3, len(blob)])
    path = tmp_path / "new.osm.pbf"
    path.write_bytes(struct.pack(">I", len(head)) + head + blob)
    with pytest.raises(InputFileError, match=r"feature of PBF that is not known here \(TeleportingWays\)") as caught:
        read(path, tmp_path / "out")
    assert "\n" not in str(caught.value)


def test_map_without_streets_is_refused(tmp_path):
    drawn = Map()
    drawn.house(0, 0)
    with pytest.raises(InputFileError, match="has no streets"):
        read(drawn.write(tmp_path / "houses.osm"), tmp_path / "out")
    with pytest.raises(InputFileError, match="there is no file"):
        read(tmp_path / "absent.osm", tmp_path / "out")
