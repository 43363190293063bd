"""Tests of footprints from files of real cities and from malformed files."""

import json

import numpy as np
import pytest
import shapely

from cosim.adapters.buildings import SURFACES
from cosim.core import CosimError, InputFileError
from cosim.scenarios.buildings.cityjson import read_cityjson
from cosim.scenarios.buildings.footprints import free_facades
from cosim.scenarios.buildings.geojson import read_geojson
from cosim.scenarios.buildings.stock import make_stock
from tests.support.paths import DATA

CITY_MODELS = DATA / "citymodels"
EIXAMPLE, ROTTERDAM = (
    CITY_MODELS / "barcelona_eixample_santpere_osm_buildings.geojson",
    CITY_MODELS / "rotterdam_subset.city.json",
)
needs_data = pytest.mark.skipif(not CITY_MODELS.exists(), reason=f"the city models are not at {CITY_MODELS}")


def test_row_of_houses_shares_its_party_walls():
    row = [shapely.box(10 * k, 0, 10 * k + 10, 20) for k in range(3)]
    free = free_facades(row)
    north, east, south, west = (SURFACES.index(name) for name in ("north", "east", "south", "west"))
    # The buffer round a neighbour takes its 0.3 m off the street façades, too.
    np.testing.assert_allclose(free[:, [north, south]], [[9.7, 9.7], [9.4, 9.4], [9.7, 9.7]], atol=1e-9)
    np.testing.assert_allclose(free[:, [east, west]], [[0, 20], [0, 0], [20, 0]], atol=1e-9)


@needs_data
def test_the_eixample_has_its_buildings_with_levels_and_a_stock_of_them():
    found = read_geojson(EIXAMPLE)
    assert len(found) + len(found.skipped) == 2444
    assert 1500 <= len(found) <= 1610
    assert 1 <= np.median(found.storeys) <= 8
    whole = 4 * np.sqrt([shape.area for shape in found.shapes])
    assert np.median(found.facade_length.sum(axis=1) / whole) < 0.8  # party walls
    stock = make_stock(
        found.ids,
        ["ES.ME.AB.02"] * len(found),
        found.floor_area,
        found.storeys,
        2,
        0.0,
        facade_length=found.facade_length,
    )
    assert stock.window_area.sum() > 0
    np.testing.assert_allclose(stock.window_area[:, 0], 0)


@needs_data
def test_buildings_without_levels_may_be_given_some():
    assert len(read_geojson(EIXAMPLE, storeys=6)) > 2200


@needs_data
def test_buildings_of_rotterdam_stand_on_their_ground_surfaces():
    found = read_cityjson(ROTTERDAM)
    assert len(found) + len(found.skipped) == 16
    assert len(found) >= 12
    areas = np.array([shape.area for shape in found.shapes])
    assert ((areas > 10) & (areas < 5000)).all()
    assert found.storeys.max() <= 10


def square(**properties):
    ring = [[2.0, 41.0], [2.0002, 41.0], [2.0002, 41.0002], [2.0, 41.0002], [2.0, 41.0]]
    return {"type": "Feature", "properties": properties, "geometry": {"type": "Polygon", "coordinates": [ring]}}


def written(tmp_path, *features):
    path = tmp_path / "city.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": list(features)}))
    return path


def test_dirty_rows_are_left_out_all_of_them_by_name(tmp_path):
    path = written(
        tmp_path,
        square(**{"@id": "good", "building:levels": "5"}),
        square(**{"@id": "low", "building:levels": "-2"}),
        square(**{"@id": "word", "building:levels": "many"}),
        {"type": "Feature", "properties": {"@id": "bare"}},
    )
    found = read_geojson(path)
    assert found.ids == ("good",)
    assert sorted(found.skipped) == [
        "bare: it has no geometry",
        "low: building:levels is '-2'",
        "word: building:levels is 'many'",
    ]


def test_files_without_buildings_give_one_clear_error(tmp_path):
    with pytest.raises(InputFileError, match="cannot read"):
        read_geojson(tmp_path / "nowhere.geojson")
    with pytest.raises(InputFileError, match="has no features"):
        read_geojson(written(tmp_path))
    with pytest.raises(InputFileError, match="a: duplicate name"):
        read_geojson(written(tmp_path, *[square(id="a", height="9 m")] * 2))
    with pytest.raises(InputFileError, match=r"no usable building: .*neither building:levels nor height"):
        read_geojson(written(tmp_path, square(id="a")))
    with pytest.raises(InputFileError, match="is not CityJSON"):
        read_cityjson(written(tmp_path, square(id="a")))
    path = tmp_path / "bad.city.json"
    thing = {"type": "Building", "geometry": [{"type": "MultiSurface", "boundaries": [[[0, 1, 99]]]}]}
    path.write_text(json.dumps({"type": "CityJSON", "CityObjects": {"b7": thing}, "vertices": [[0, 0, 0], [1, 0, 0]]}))
    with pytest.raises(InputFileError, match="no usable building: b7"):
        read_cityjson(path)


def test_facade_lengths_that_do_not_fit_are_refused():
    with pytest.raises(CosimError, match=r"facade_length has shape \(1, 2\)"):
        make_stock(["a"], ["ES.ME.AB.02"], 100.0, 2, 0, 0.0, facade_length=np.ones((1, 2)))
