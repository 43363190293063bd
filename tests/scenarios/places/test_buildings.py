"""Dirty buildings, each with its right answer."""

import numpy as np
import pytest
import shapely

from cosim.core import CosimError
from cosim.scenarios.buildings.footprints import TOUCH
from cosim.scenarios.places.buildings import SNAP_M, build_buildings
from cosim.scenarios.places.countries import figures, locate
from cosim.scenarios.places.findings import Findings
from cosim.scenarios.places.homes import premises_of, settle_homes, type_code
from cosim.scenarios.places.sources.osm import Place, read_osm
from cosim.scenarios.places.streets import build_streets
from cosim.scenarios.places.uses import HOME, NOTHING
from cosim.scenarios.streets.network import read_net
from tests.support.maps import degrees, town

GERMANY = figures("DE")


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    folder = tmp_path_factory.mktemp("net")
    extract = read_osm(town(houses=False).write(folder / "map.osm"), folder, Findings())
    build_streets(extract.streets, locate(extract.bounds), folder / "streets.net.xml", Findings())
    return read_net(folder / "streets.net.xml")


def house(x, y, width=12.0, depth=10.0, label="", **tags):
    """Return a building of the map, its lower left corner at a place in metres."""
    corners = [(x, y), (x + width, y), (x + width, y + depth), (x, y + depth)]
    named = {key.replace("__", ":"): str(value) for key, value in tags.items()}
    if "building:part" not in named and "landuse" not in named and "amenity_only" not in named:
        named.setdefault("building", "yes")
    named.pop("amenity_only", None)
    return Place(label or f"way/{x:.0f}{y:.0f}", shapely.Polygon([degrees(*c) for c in corners]), named)


def table(net, *places, **options):
    findings = Findings()
    return build_buildings(places, net, options.pop("country", GERMANY), findings, **options), findings


@pytest.mark.parametrize(
    ("tags", "storeys"),
    [
        ({"building__levels": "3;4"}, 4.0),
        ({"building__levels": "1,2"}, 2.0),
        ({"building__levels": "3.5"}, 3.5),
        ({"building__levels": "<4"}, 4.0),
        ({"height": "12.13 m"}, 4.0),
        ({"height": "40 ft"}, 4.0),
        ({"building__levels": "0", "height": "9"}, 3.0),
        ({"building__levels": "3", "roof__levels": "2"}, 3.0),
    ],
)
def test_storeys_are_read_as_meant(net, tags, storeys):
    made, _ = table(net, house(20, 20, building="apartments", **tags))
    assert (made["storeys"].iloc[0], made["storeys_source"].iloc[0]) == (storeys, "measured")
    assert made["floor_m2"].iloc[0] == pytest.approx(120.0 * storeys, rel=5e-3)


@pytest.mark.parametrize("tags", [{"building__levels": "many"}, {"height": "1 m"}, {"height": "tall"}])
def test_unreadable_storeys_are_missing_and_listed(net, tags):
    made, findings = table(net, house(20, 20, building="apartments", **tags), storeys=5)
    assert made["storeys_source"].iloc[0] == "country"
    assert list(findings.found["guessed"]["storeys are no plain number"]) == [made.index[0]]


def test_building_without_storeys_is_unheated(net):
    made, _ = table(net, house(20, 20, building__levels="0"), house(60, 20, building__levels="2"))
    assert made["use"].to_list() == [NOTHING, HOME]
    assert made["home_m2"].iloc[0] == 0


def test_missing_storeys_come_from_the_same_type_then_neighbours_then_the_country(net):
    known = [house(20 + 15 * k, 20, building="apartments", building__levels=5) for k in range(3)]
    near = house(20, 40, label="way/near")
    alike = house(300, 300, building="apartments", label="way/alike")
    far = house(330, 200, 40.0, 20.0, label="way/far")
    made, _ = table(net, *known, near, alike, far, country=figures("ES"))
    found = made[["storeys", "storeys_source"]].apply(tuple, axis=1)
    assert found["way/alike"] == (5.0, "same type")
    assert found["way/near"] == (5.0, "neighbour")
    assert found["way/far"] == (4.0, "country")
    assert set(made["storeys_source"].iloc[:3]) == {"measured"}


def test_parts_within_an_outline_are_one_building_without_a_phantom_floor(net):
    whole = house(20, 20, 20.0, 20.0, building="apartments", building__levels=6, label="way/1")
    tower = house(20, 20, 10.0, 20.0, building__part="yes", building__levels=6, label="way/2")
    low = house(30, 20, 10.0, 20.0, building__part="yes", building__levels=2, label="way/3")
    made, findings = table(net, whole, tower, low)
    assert made.index.to_list() == ["way/1"]
    assert made["storeys"].iloc[0] == pytest.approx(4.0, rel=1e-3)
    assert made["floor_m2"].iloc[0] == pytest.approx(1600.0, rel=5e-3)
    assert "way/1" in findings.found["mended"]["floor area from its parts"]


def test_part_without_an_outline_is_a_building(net):
    made, _ = table(net, house(20, 20, building__part="yes", building__levels=2, label="way/2"))
    assert made.index.to_list() == ["way/2"]


def test_overlapping_outlines_count_once(net):
    made, findings = table(net, house(20, 20, 20.0, 20.0, label="way/1"), house(20, 20, 20.0, 15.0, label="way/2"))
    assert made.index.to_list() == ["way/1"]
    assert findings.found["dropped"]["lies within another building"] == {"way/2": "100% in way/1"}


def test_underground_and_unfinished_buildings_are_left_out(net):
    made, findings = table(
        net,
        house(20, 20),
        house(40, 20, label="way/a", layer="-1"),
        house(60, 20, label="way/b", location="underground"),
        house(80, 20, label="way/c", building="construction"),
    )
    assert len(made) == 1
    assert set(findings.found["dropped"]["building below the ground"]) == {"way/a", "way/b"}
    assert list(findings.found["dropped"]["building that does not stand yet"]) == ["way/c"]


def test_outline_that_crosses_itself_is_dropped_by_name(net):
    bow = Place("way/x", shapely.Polygon([degrees(*c) for c in ((0, 0), (9, 9), (9, 0), (0, 9))]), {"building": "yes"})
    made, findings = table(net, house(20, 20), bow)
    assert len(made) == 1
    assert list(findings.found["dropped"]["outline crosses itself or has no area"]) == ["way/x"]


@pytest.mark.parametrize(
    ("tags", "use"),
    [
        ({"building": "garage"}, NOTHING),
        ({"building": "roof"}, NOTHING),
        ({"amenity": "toilets"}, NOTHING),
        ({"power": "substation"}, NOTHING),
        ({"building": "church"}, "assembly"),
        ({"shop": "supermarket"}, "retail"),
        ({"amenity": "school"}, "school"),
        ({"building": "hospital"}, "hospital"),
        ({"office": "company"}, "office"),
        ({"building": "house"}, HOME),
        ({}, HOME),
    ],
)
def test_use_follows_from_tags_and_nobody_lives_in_a_toilet(net, tags, use):
    made, _ = table(net, house(20, 20, 20.0, 20.0, **tags))
    assert made["use"].iloc[0] == use
    assert (made["home_m2"].iloc[0] > 0) == (use == HOME)


def test_use_follows_from_the_area_around(net):
    works = house(0, 0, 110.0, 110.0, landuse="industrial", label="way/works")
    school = house(120, 0, 110.0, 110.0, amenity="school", amenity_only="", label="way/school")
    made, _ = table(net, works, school, house(20, 20, 20.0, label="way/a"), house(150, 20, 20.0, label="way/b"))
    assert made["use"].to_dict() == {"way/a": "workshop", "way/b": "school"}
    assert set(made["use_source"]) == {"neighbour"}


def test_nobody_lives_below_25_square_metres(net):
    made, _ = table(net, house(20, 20, 4.0, 5.0), house(60, 20))
    assert made["use"].to_list() == [NOTHING, HOME]


def test_shop_in_a_house_takes_its_floor_from_the_dwellings(net):
    place = Place("node/1", shapely.Point(degrees(25, 25)), {"shop": "bakery"})
    with_shop, _ = table(net, house(20, 20, building="apartments", building__levels=4), place)
    without, _ = table(net, house(20, 20, building="apartments", building__levels=4))
    assert with_shop["home_m2"].iloc[0] < without["home_m2"].iloc[0]
    premises, stock = premises_of(with_shop)
    assert stock.uses == ("retail",)
    assert premises["building"].to_list() == [with_shop.index[0]]


def test_buildings_stand_at_a_street_within_reach(net):
    made, findings = table(net, house(20, 20), house(60, 500 + SNAP_M + 200.0, label="way/far"))
    assert len(made) == 1
    assert made["snap_m"].iloc[0] < SNAP_M
    assert made["edge"].iloc[0] in {e.getID() for e in net.getEdges(withInternal=False)}
    assert list(findings.found["dropped"]) == [f"building further than {SNAP_M:g} m from any street"]


def test_shared_walls_are_no_facade(net):
    made, _ = table(net, house(20, 20), house(32, 20), house(80, 20))
    assert made["attached"].to_list() == [1, 1, 0]
    length = np.array(made["facade_m"].to_list()).sum(axis=1)
    assert length == pytest.approx([34.0 - 2 * TOUCH] * 2 + [44.0], rel=2e-3)


def test_years_and_flats_of_the_map_are_taken(net):
    made, findings = table(
        net,
        house(
            20, 20, building="apartments", building__levels=4, start_date="1936-05", building__flats="7", label="way/1"
        ),
        house(200, 20, building="apartments", building__levels=4, start_date="C19", label="way/2"),
        house(300, 300, building="apartments", building__levels=4, start_date="long ago", label="way/z"),
    )
    assert made["year"].to_list()[:2] == [1936, 1850]
    assert made["year_source"].to_list() == ["measured", "measured", "country"]
    assert list(findings.found["guessed"]["year of construction cannot be read"]) == ["way/z"]
    sites, stock = settle_homes(made, GERMANY)
    assert stock.dwellings[0] == 7
    assert sites["persons"].iloc[0] == pytest.approx(14 * 0.955)  # some dwellings are empty
    assert stock.types[0] == type_code("DE", made["size_class"].iloc[0], 1936)


def test_degrees_are_refused_where_they_are_metres(net):
    place = Place("way/1", shapely.box(397000, 5808000, 397010, 5808010), {"building": "yes"})
    with pytest.raises(CosimError, match="seem to be in metres"):
        table(net, place)


def test_map_without_buildings_says_what_to_do(net):
    with pytest.raises(CosimError, match="give footprints with --footprints, or draw sites"):
        table(net)


def test_countries_without_types_have_those_of_a_neighbour():
    assert type_code("FI", "AB", 1970).startswith("SE.")
    assert type_code("PT", "AB", 1970).startswith("ES.")


def test_small_buildings_without_a_use_are_sheds(net):
    shed, home = house(20, 20, 8.0, 6.0, label="way/shed"), house(60, 20, 8.0, 6.0, building="house", label="way/home")
    made, _ = table(net, shed, home)
    assert made["use"].to_dict() == {"way/home": HOME, "way/shed": NOTHING}


def test_garage_makes_no_row_of_a_house(net):
    places = [
        house(20, 20, building="house", label="way/house"),
        house(32, 20, 5.0, 6.0, building="garage", label="way/garage"),
        house(15, 20, 5.0, 6.0, building="garage", label="way/other"),
        *(house(60 + 12 * k, 20, building="house", label=f"way/row {k}") for k in range(3)),
    ]
    made, _ = table(net, *places)
    assert made["attached"]["way/house"] == 2
    assert made["storeys"]["way/house"] == GERMANY.house_storeys < made["storeys"]["way/row 1"] == GERMANY.storeys
