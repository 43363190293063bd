"""Areas of policies in metres, in degrees, and from GeoJSON files."""

import json

import numpy as np
import pytest
import shapely

from cosim import CosimError
from cosim.adapters.traffic.installation import run_sumo_tool
from cosim.registry.parameters import load_policy
from cosim.scenarios.policies.areas import area_in
from cosim.scenarios.policies.mobility import LowEmissionZone, Superblocks
from cosim.scenarios.streets.network import read_net, unproject
from tests.support.maps import town

SQUARE = [[100.0, 100.0], [300.0, 100.0], [300.0, 300.0], [100.0, 300.0]]


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    folder = tmp_path_factory.mktemp("net")
    osm = town(houses=False).write(folder / "town.osm")
    run_sumo_tool("netconvert", "--osm-files", osm, "--proj.utm", "--output-file", folder / "town.net.xml")
    return read_net(folder / "town.net.xml")


def geojson(path, *rings):
    shapes = [{"type": "Polygon", "coordinates": [[*ring, ring[0]]]} for ring in rings]
    path.write_text(
        json.dumps({"type": "FeatureCollection", "features": [{"type": "Feature", "geometry": s} for s in shapes]})
    )
    return str(path)


def text_of(shape):
    return json.dumps(shapely.geometry.mapping(shape))


def degrees(net, corners):
    return np.column_stack(unproject(net, *np.array(corners).T)).tolist()


def test_area_in_degrees_is_that_in_metres(net):
    metres, drawn = area_in(net, SQUARE), area_in(net, degrees(net, SQUARE))
    assert metres.area == 40_000.0
    assert drawn.symmetric_difference(metres).area < 0.1


def test_area_of_another_city_is_refused(net):
    with pytest.raises(CosimError, match=r"does not touch the city, which in degrees reaches from 13\.5"):
        area_in(net, [(2.1, 41.3), (2.2, 41.3), (2.2, 41.4)])


def test_policies_take_geojson_files_by_code_and_command_line(net, tmp_path):
    corners = degrees(net, SQUARE)
    path = geojson(tmp_path / "zone.geojson", corners)
    zone = LowEmissionZone(polygon=path)
    assert np.array(zone.polygon) == pytest.approx(np.array(corners))
    assert load_policy(f"LowEmissionZone:polygon={path}") == zone
    assert load_policy(str(zone)) == zone  # the record of a run holds the corners, not the file
    both = geojson(tmp_path / "blocks.geojson", corners, degrees(net, [[400.0, 0.0], [500.0, 0.0], [500.0, 100.0]]))
    assert [len(outline) for outline in load_policy(f"Superblocks:polygons={both}").polygons] == [4, 3]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "no GeoJSON file of polygons that can be read"),
        ('{"type": "Point", "coordinates": [13.5, 52.4]}', "must hold polygons and nothing else"),
        (text_of(shapely.box(0, 0, 3, 3) - shapely.box(1, 1, 2, 2)), "a polygon with a hole"),
        (text_of(shapely.box(0, 0, 1, 1) | shapely.box(2, 2, 3, 3)), "the file holds 2 polygons: give one"),
    ],
)  # fmt: skip
def test_wrong_files_are_refused(tmp_path, content, message):
    (tmp_path / "zone.geojson").write_text(content)
    with pytest.raises(CosimError, match=message):
        LowEmissionZone(polygon=str(tmp_path / "zone.geojson"))
    with pytest.raises(CosimError, match="no GeoJSON file"):
        Superblocks(polygons=str(tmp_path / "absent.geojson"))
