"""The SUMO network of a map: what netconvert makes of corrected tags, and what is cut off."""

import math
from itertools import pairwise

import pytest

from cosim.adapters.traffic.installation import run_sumo_tool
from cosim.core import CosimError
from cosim.scenarios.mobility.routing import write_xml
from cosim.scenarios.places import streets
from cosim.scenarios.places.countries import locate
from cosim.scenarios.places.findings import Findings
from cosim.scenarios.places.sources.osm import read_osm
from cosim.scenarios.places.streets import border, build_streets, street_class
from cosim.scenarios.streets.network import drivable, read_net
from tests.support.maps import CENTRE, Map, town

LEEDS = (-1.53, 53.81)


def network(drawn, folder, guess_signals_kmh=None, **where):
    findings = Findings()
    extract = read_osm(drawn.write(folder / "map.osm"), folder, findings)
    place, target = locate(extract.bounds, **where), folder / "streets.net.xml"
    build_streets(extract.streets, place, target, findings, guess_signals_kmh=guess_signals_kmh)
    return read_net(folder / "streets.net.xml"), findings


def of_way(net, number):
    found = [e for e in net.getEdges(withInternal=False) if e.getID().lstrip("-").split("#")[0] == str(number)]
    assert found, f"way {number} is not in the network"
    return found


@pytest.fixture(scope="module")
def special(tmp_path_factory):
    """A town with one street of each special kind between its second and third row."""
    drawn = town(houses=False)
    ways = {}
    for name, x, tags in (
        ("no cars", 30.0, {"motor_vehicle": "no"}),
        ("buses", 60.0, {"access": "no", "bus": "yes"}),
        ("private", 90.0, {"access": "private"}),
        ("signals", 150.0, {"maxspeed": "signals"}),
        ("two speeds", 180.0, {"maxspeed": "50;30"}),
        ("mph", 210.0, {"maxspeed": "30 mph"}),
        ("lanes", 270.0, {"lanes": "2;3", "oneway": "yes"}),
        ("no lanes", 300.0, {"lanes": "0"}),
        ("psv", 330.0, {"lanes": "2", "lanes:psv": "1", "oneway": "-1"}),
    ):
        for row in (120.0, 240.0):  # a node where it meets the row
            k = next(i for i, (_, nodes, t) in enumerate(drawn.ways) if t.get("name") == f"Row {int(row // 120)}")
            number, nodes, t = drawn.ways[k]
            nodes = sorted({*nodes, drawn.node(x, row)}, key=lambda n: drawn.nodes[n][0])
            drawn.ways[k] = (number, nodes, t)
        ways[name] = drawn.way((x, 120.0), (x, 240.0), highway="tertiary", **tags)
    net, findings = network(drawn, tmp_path_factory.mktemp("special"))
    return net, ways, findings


def test_cars_are_kept_out_of_streets_without_motor_vehicles(special):
    net, ways, _ = special
    assert all(not e.allows("passenger") and e.allows("bicycle") for e in of_way(net, ways["no cars"]))
    assert all(not e.allows("passenger") and e.allows("bus") for e in of_way(net, ways["buses"]))
    assert not {e.getID() for e in of_way(net, ways["no cars"])} & {e.getID() for e in drivable(net)}


def test_speeds_are_those_that_are_meant(special):
    net, ways, _ = special
    kmh = {name: round(of_way(net, ways[name])[0].getSpeed() * 3.6) for name in ways}
    assert (kmh["two speeds"], kmh["mph"], kmh["private"]) == (30, 48, 10)
    assert kmh["signals"] == kmh["no lanes"] == 50


def test_lanes_are_those_that_are_meant(special):
    net, ways, _ = special
    assert [e.getLaneNumber() for e in of_way(net, ways["lanes"])] == [2]
    assert [e.getLaneNumber() for e in of_way(net, ways["no lanes"])] == [1, 1]


def test_bus_lane_is_closed_to_cars(special):
    net, ways, _ = special
    [edge] = of_way(net, ways["psv"])
    allowed = [lane.allows("passenger") for lane in edge.getLanes()]
    assert allowed.count(True) >= 1
    assert False in allowed
    assert all(lane.allows("bus") for lane in edge.getLanes())


def test_names_and_classes_are_kept(special):
    net, ways, _ = special
    assert {e.getName() for e in net.getEdges(withInternal=False)} >= {"Row 0", "Column 3"}
    assert street_class(of_way(net, ways["mph"])[0]) == "tertiary"
    assert street_class(of_way(net, ways["no cars"])[0]) == "tertiary"


def test_streets_that_cars_cannot_leave_are_cut_off_and_listed(tmp_path):
    drawn = town(houses=False)
    trap = drawn.way((120.0, 120.0), (160.0, 150.0), (170.0, 180.0), highway="residential", oneway="yes")
    island = drawn.way((2000.0, 0.0), (2100.0, 0.0), highway="residential")
    net, findings = network(drawn, tmp_path)
    cut = set(findings.found["dropped"]["street that cars cannot leave or reach"])
    assert {f"way/{trap}", f"way/{island}"} <= cut
    assert {e.getID() for e in drivable(net)} == {e.getID() for e in net.getEdges(withInternal=False)}


def test_through_traffic_enters_by_major_streets(tmp_path):
    net, _ = network(town(houses=False), tmp_path)
    entries, exits = border(net)
    assert len(entries) == len(exits) == 4
    assert {street_class(net.getEdge(edge)) for edge in entries} == {"secondary"}


def test_divided_road_at_the_border_is_kept(tmp_path):
    drawn = town(houses=False)
    drawn.way((-800.0, 120.0), (-300.0, 120.0), highway="primary", oneway="yes")
    drawn.way((-300.0, 120.0), (-800.0, 140.0), highway="primary", oneway="yes")
    net, _ = network(drawn, tmp_path)
    entries, exits = border(net)
    assert "primary" in {street_class(net.getEdge(edge)) for edge in entries}
    assert "primary" in {street_class(net.getEdge(edge)) for edge in exits}


def test_one_way_streets_at_the_outline_lead_on(tmp_path):
    drawn = town(houses=False)
    out = drawn.way((0.0, 0.0), (-200.0, -50.0), highway="residential", oneway="yes")
    into = drawn.way((560.0, 400.0), (360.0, 360.0), highway="residential", oneway="yes")
    net, findings = network(drawn, tmp_path)
    entries, exits = border(net)
    [leaving], [coming] = of_way(net, out), of_way(net, into)
    assert exits[leaving.getID()] == entries[coming.getID()] == 0.5
    assert max(entries.values()) == 2.0  # a secondary street
    assert not findings.found.get("dropped", {}).get("street that cars cannot leave or reach")


def test_signals_are_guessed_only_when_told(tmp_path):
    def signals(name, guess):
        drawn = Map()
        drawn.way((-300.0, 0.0), (0.0, 0.0), (300.0, 0.0), highway="primary", lanes=4)
        drawn.way((0.0, -300.0), (0.0, 0.0), (0.0, 300.0), highway="primary", lanes=4)
        (tmp_path / name).mkdir()
        net, findings = network(drawn, tmp_path / name, guess)
        return len(net.getTrafficLights()), "traffic lights where" in str(findings.as_json())

    assert signals("mapped", None) == (0, False)
    assert signals("guessed", 300.0) == (1, True)
    assert signals("small", 900.0) == (0, True)


def test_roundabout_is_one(tmp_path):
    drawn = town(houses=False)
    ring = [(180 + 20 * math.cos(a * math.pi / 4), 180 + 20 * math.sin(a * math.pi / 4)) for a in range(8)]
    number = drawn.way(*ring, ring[0], highway="tertiary", junction="roundabout", oneway="yes")
    for k, end in ((0, (240.0, 120.0)), (2, (120.0, 240.0)), (4, (120.0, 120.0)), (6, (240.0, 240.0))):
        drawn.way(ring[k], end, highway="tertiary")
    net, _ = network(drawn, tmp_path)
    [roundabout] = net.getRoundabouts()
    assert {e.getID() for e in of_way(net, number)} == set(roundabout.getEdges())
    assert all(len(e.getIncoming()) >= 1 for e in of_way(net, number))


def test_trams_longer_than_their_edge_pass_where_rails_merge(tmp_path):
    drawn = town(houses=False)
    rails = {"railway": "tram", "oneway": "yes"}
    drawn.way((-30.0, -60.0), (-12.0, -60.0), **rails)
    drawn.way((-30.0, -50.0), (-12.0, -60.0), **rails)
    drawn.way((-12.0, -60.0), (300.0, -60.0), **rails)
    net, _ = network(drawn, tmp_path)
    [merge] = [n for n in net.getNodes() if len([e for e in n.getIncoming() if not e.allows("passenger")]) == 2]
    assert merge.getType() == "priority"
    starts, [goal] = sorted(e.getID() for e in merge.getIncoming()), [e.getID() for e in merge.getOutgoing()]
    trams = [
        f'<trip id="{k}" type="tram" depart="{60 * (k // 2)}" from="{starts[k % 2]}" to="{goal}"/>' for k in range(8)
    ]
    routes = write_xml(tmp_path / "r.rou.xml", "routes", ['<vType id="tram" vClass="tram" length="36"/>', *trams])
    text = run_sumo_tool(
        "sumo", "--net-file", tmp_path / "streets.net.xml", "--route-files", routes, "--time-to-teleport", "100"
    )
    assert "eleport" not in text


def test_traffic_is_on_the_left_where_the_place_has_it(tmp_path):
    (tmp_path / "leeds").mkdir()
    (tmp_path / "berlin").mkdir()
    left, _ = network(town(2, houses=False, centre=LEEDS), tmp_path / "leeds")
    right, _ = network(town(2, houses=False, centre=CENTRE), tmp_path / "berlin")
    text = [(tmp_path / place / "streets.net.xml").read_text() for place in ("leeds", "berlin")]
    assert ['lefthand="true"' in part for part in text] == [True, False]
    assert len(left.getEdges()) == len(right.getEdges())


def test_country_zone_and_projection_follow_from_the_place():
    helsinki = locate((24.93, 60.16, 24.95, 60.18))
    assert (helsinki.country, helsinki.zone, helsinki.left_hand) == ("FI", "Europe/Helsinki", False)
    assert "+zone=35 " in helsinki.projection
    assert "+south" in locate((151.1, -33.9, 151.2, -33.8)).projection


def test_wrong_country_and_unknown_zones_are_refused():
    berlin = (13.5, 52.4, 13.6, 52.5)
    with pytest.raises(CosimError, match=r"lies in DE .*, not in ES: leave out --country"):
        locate(berlin, country="ES")
    with pytest.raises(CosimError, match="unknown country 'XX'"):
        locate(berlin, country="XX")
    with pytest.raises(CosimError, match="unknown time zone 'Mars'"):
        locate(berlin, zone="Mars")
    with pytest.raises(CosimError, match="no country's time zone"):
        locate((-30.0, 30.0, -29.9, 30.1))


def test_network_of_buses_only_is_refused(tmp_path):
    drawn = Map()
    drawn.way((0, 0), (100, 0), highway="busway")
    with pytest.raises(CosimError, match="no edge that cars may use"):
        network(drawn, tmp_path)


@pytest.mark.parametrize("centre", [CENTRE, LEEDS])
def test_crossing_of_divided_roads_is_one_junction(tmp_path, centre):
    drawn = Map(centre)
    south_north, west_east = [-400.0, 30.0, 46.0, 400.0], [-400.0, 30.0, 46.0, 400.0]
    for points in (
        [(x, 30.0) for x in west_east],
        [(x, 46.0) for x in reversed(west_east)],
        [(46.0, y) for y in south_north],
        [(30.0, y) for y in reversed(south_north)],
    ):
        drawn.way(*points, highway="primary", oneway="yes", lanes=4, name="divided")
    for ends in ([(400, 30), (400, 46)], [(-400, 46), (-400, 30)], [(46, 400), (30, 400)], [(30, -400), (46, -400)]):
        drawn.way(*(tuple(map(float, end)) for end in ends), highway="primary", oneway="yes", name="turn")
    net, findings = network(drawn, tmp_path)
    assert max(abs(c) for node in net.getNodes() for c in node.getCoord()) < 1e5
    if centre == LEEDS:  # netconvert misplaces what it joins there
        return
    assert "junctions without room between them: one junction" in findings.found["mended"]
    divided = [edge for edge in net.getEdges(withInternal=False) if edge.getName() == "divided"]
    assert len(divided) == 8
    assert all(len(edge.getOutgoing()) >= 1 for edge in divided)


def test_roundabout_with_lights_and_no_room_is_one_crossing(tmp_path):
    def made(name, radius, **tags):
        drawn = town(houses=False)
        ring = [(180 + radius * math.cos(a * math.pi / 2), 180 + radius * math.sin(a * math.pi / 2)) for a in range(4)]
        drawn.way(*ring, ring[0], highway="tertiary", junction="roundabout", oneway="yes", lanes="2")
        for point, end in zip(ring, ((240.0, 120.0), (120.0, 240.0), (120.0, 120.0), (240.0, 240.0))):
            drawn.way(point, end, highway="tertiary", lanes="4")
            drawn.node(*point, **tags)
        (tmp_path / name).mkdir()
        net, findings = network(drawn, tmp_path / name)
        return len(net.getRoundabouts()), "roundabout with lights" in str(findings.as_json())

    lights = {"highway": "traffic_signals"}
    assert made("small", 12.0, **lights) == (0, True)
    assert made("without lights", 12.0)[1] is False
    assert made("large", 45.0, **lights) == (1, False)


def test_crossings_larger_than_the_limit_are_joined_in_parts(tmp_path, monkeypatch):
    places = {"a": -100.0, "b": 0.0, "c": 6.0, "d": 14.0, "e": 20.0, "f": 120.0}
    rows = [f'<node id="{name}" x="{x}" y="0"/>' for name, x in places.items()]
    nodes = write_xml(tmp_path / "chain.nod.xml", "nodes", rows)
    rows = [f'<edge id="{a}{b}" from="{a}" to="{b}" length="{places[b] - places[a]}"/>' for a, b in pairwise("abcdef")]
    edges = write_xml(tmp_path / "chain.edg.xml", "edges", rows)
    run_sumo_tool("netconvert", "--node-files", nodes, "--edge-files", edges, "--output-file", tmp_path / "net.xml")
    net = read_net(tmp_path / "net.xml")
    monkeypatch.setattr(streets, "ROOM_M", 10.0)
    assert streets._one_crossing(net, set()) == [("b", "c", "d", "e")]
    monkeypatch.setattr(streets, "CROSSING_M", 15.0)
    assert streets._one_crossing(net, set()) == [("b", "c"), ("d", "e")]


def test_junctions_that_netconvert_cannot_join_are_left_and_listed(tmp_path, monkeypatch):
    monkeypatch.setattr(streets, "_one_crossing", lambda net, lost: [["nowhere", "elsewhere"]])
    net, findings = network(town(houses=False), tmp_path)
    assert drivable(net)
    assert list(findings.found["listed"]["junctions without room between them: netconvert does not join them"])


def test_through_traffic_leaves_only_where_it_can_get_to(tmp_path, monkeypatch):
    net, _ = network(town(houses=False), tmp_path)
    entries, exits = border(net)
    first, *others = exits
    monkeypatch.setattr(streets, "_reach", lambda net: (set(entries), set(others)))
    assert border(net) == (entries, {label: exits[label] for label in others})
    assert first not in border(net)[1]
