"""Footprints of other sources as places in degrees."""

import gzip
import json

import pytest
import shapely

from cosim.core import InputFileError
from cosim.scenarios.places.findings import Findings
from cosim.scenarios.places.sources.footprint_files import read_footprints
from tests.support.maps import degrees
from tests.support.paths import DATA

RING = [list(degrees(*c)) for c in ((0, 0), (20, 0), (20, 10), (0, 10), (0, 0))]
needs_cadastre = pytest.mark.skipif(not (DATA / "cadastre").is_dir(), reason="../shared/data/cadastre is absent")
needs_models = pytest.mark.skipif(not (DATA / "citymodels").is_dir(), reason="../shared/data/citymodels is absent")


def collection(*features, **more):
    return json.dumps({"type": "FeatureCollection", "features": list(features), **more})


def feature(ring=RING, **properties):
    return {"type": "Feature", "properties": properties, "geometry": {"type": "Polygon", "coordinates": [ring]}}


def test_geojson_keeps_tags_and_names_and_drops_what_is_no_polygon(tmp_path):
    point = {"type": "Feature", "properties": {"@id": "node/7"}, "geometry": {"type": "Point", "coordinates": RING[0]}}
    bare = {"type": "Feature", "properties": {"@id": "way/8"}, "geometry": None}
    path = tmp_path / "f.geojson"
    path.write_text(collection(feature(**{"@id": "way/5", "building:levels": "4"}), feature(), point, bare))
    findings = Findings()
    first, second = read_footprints(path, findings)
    assert (first.label, first.tags["building:levels"], first.tags["building"]) == ("way/5", "4", "yes")
    assert second.label == "feature/1"
    assert set(findings.found["dropped"]) == {"footprint that is no polygon", "footprint without a usable geometry"}


def test_packed_geojson_is_unpacked_and_a_truncated_one_refused(tmp_path):
    whole = gzip.compress(collection(feature()).encode())
    (tmp_path / "f.geojson.gz").write_bytes(whole)
    assert len(read_footprints(tmp_path / "f.geojson.gz", Findings())) == 1
    (tmp_path / "g.geojson.gz").write_bytes(whole[:40])
    with pytest.raises(InputFileError, match="damaged or truncated"):
        read_footprints(tmp_path / "g.geojson.gz", Findings())


def test_metres_are_converted_when_named_and_refused_otherwise(tmp_path):
    ring = [[397000.0, 5808000.0], [397020.0, 5808000.0], [397020.0, 5808010.0], [397000.0, 5808000.0]]
    named = {"crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::25833"}}}
    (tmp_path / "a.geojson").write_text(collection(feature(ring), **named))
    [place] = read_footprints(tmp_path / "a.geojson", Findings())
    assert place.shape.centroid.x == pytest.approx(13.48, abs=0.02)
    (tmp_path / "b.geojson").write_text(collection(feature(ring)))
    with pytest.raises(InputFileError, match="these seem to be metres"):
        read_footprints(tmp_path / "b.geojson", Findings())


@needs_cadastre
def test_spanish_cadastre_gives_floors_dwellings_and_years():
    findings = Findings()
    wholes = read_footprints(DATA / "cadastre" / "catastro-building.gml", findings)
    parts = read_footprints(DATA / "cadastre" / "catastro-buildingpart.gml", findings)
    west, south, east, north = shapely.total_bounds([place.shape for place in wholes])
    assert -19 < west < east < 5
    assert 27 < south < north < 44
    assert all(place.tags.get("building") for place in wholes)
    assert any(place.tags.get("start_date", "").isdigit() for place in wholes)
    assert all("building:part" in place.tags for place in parts)
    assert any(float(place.tags.get("building:levels", 0)) >= 1 for place in parts)


@needs_models
def test_cityjson_lies_where_its_system_says():
    found = read_footprints(DATA / "citymodels" / "delft.city.json", Findings())
    centre = found[0].shape.centroid
    assert (centre.x, centre.y) == (pytest.approx(4.37, abs=0.05), pytest.approx(52.0, abs=0.05))
    assert all(float(place.tags["building:levels"]) >= 1 for place in found)
