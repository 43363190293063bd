"""Tests of streets, blocks and sites: geometry against closed forms, networks against SUMO's own connections."""

import itertools
import math
import re

import defusedxml.ElementTree
import networkx as nx
import numpy as np
import pyproj
import pytest
import shapely

from cosim.adapters.traffic.installation import run_sumo_tool, sumo_binary
from cosim.adapters.traffic.network import network_edges
from cosim.core import CosimError, InputFileError
from cosim.scenarios import eixample as twin
from cosim.scenarios.mobility.chargers import place_chargers, write_chargers
from cosim.scenarios.streets.classes import street_classes
from cosim.scenarios.streets.eixample import (
    PITCH_M,
    PROGRESSION_KMH,
    block_polygons,
    building_sites,
    eixample_streets,
)
from cosim.scenarios.streets.network import (
    drivable,
    project,
    read_net,
    sites_along,
    street_graph,
    unproject,
)
from tests.support.paths import BOLOGNA


@pytest.fixture(scope="module")
def eixample(tmp_path_factory):
    return eixample_streets(tmp_path_factory.mktemp("eixample"), 4, 3)


@pytest.fixture(scope="module", params=["joined", "acosta"])
def bologna(request):
    path = BOLOGNA / request.param / f"{request.param}_buslanes.net.xml"
    if not path.exists():
        pytest.skip("../shared/data/bologna is absent")
    return read_net(path)


@pytest.mark.parametrize(("n", "m", "avenues"), [(2, 2, ()), (3, 2, ()), (4, 4, ("x2", "y1")), (5, 3, ("y2",))])
def test_every_edge_is_reached_from_every_other(tmp_path, n, m, avenues):
    net = read_net(eixample_streets(tmp_path, n, m, avenues=avenues))
    both = 4 * (n + m) + sum(2 * (n if street[0] == "y" else m) for street in avenues)
    inner = n * (m - 1) + m * (n - 1) - sum(n if street[0] == "y" else m for street in avenues)
    assert len(drivable(net)) == len(net.getEdges()) == both + inner


def test_inner_one_way_streets_alternate_in_direction(eixample):
    net = read_net(eixample)
    assert net.hasEdge("x1y1-x2y1")
    assert not net.hasEdge("x2y1-x1y1")
    assert net.hasEdge("x2y2-x1y2")
    assert not net.hasEdge("x1y2-x2y2")
    assert net.hasEdge("x0y0-x1y0")
    assert net.hasEdge("x1y0-x0y0")
    assert {lane.getSpeed() for edge in net.getEdges() for lane in edge.getLanes()} == {13.89}


def test_crossings_stand_at_the_pitch_and_lights_share_a_cycle(eixample):
    graph = street_graph(eixample)
    assert (len(graph), graph.number_of_edges()) == (20, 4 * 4 + 5 * 3)
    for a, b in graph.edges:
        ends = [(graph.nodes[label]["x"], graph.nodes[label]["y"]) for label in (a, b)]
        assert math.dist(*ends) == pytest.approx(PITCH_M, abs=0.02)
    cycles = {
        sum(float(phase.get("duration", 0)) for phase in light.iter("phase"))
        for light in defusedxml.ElementTree.parse(eixample).iter("tlLogic")
    }
    assert cycles == {90.0}


def test_y_axis_points_to_true_north_and_streets_run_north_east(eixample):
    net = read_net(eixample)
    geod = pyproj.Geod(ellps="WGS84")
    (west, south), (west2, north) = (unproject(net, 0.0, y) for y in (-200.0, 200.0))
    azimuth, _, metres = geod.inv(west, south, west2, north)
    assert azimuth == pytest.approx(0, abs=1e-6)
    assert metres == pytest.approx(400, abs=0.01)
    ends = [unproject(net, *net.getNode(label).getCoord()) for label in ("x0y1", "x4y1")]
    assert geod.inv(*ends[0], *ends[1])[0] == pytest.approx(45, abs=0.02)
    x, y = project(net, *unproject(net, [10.0, -30.0], [20.0, 40.0]))
    np.testing.assert_allclose([x, y], [[10, -30], [20, 40]], atol=1e-6)


@pytest.mark.parametrize(
    "projection",
    [
        "+proj=utm +zone=31 +ellps=WGS84 +datum=WGS84 +units=m +no_defs",
        "+proj=aeqd +lat_0=41.4 +lon_0=2.1 +datum=WGS84",
    ],
)
def test_reference_system_of_a_network_has_its_offset_in_it(eixample, tmp_path, projection):
    path, (x, y) = tmp_path / "moved.net.xml", ([10.0, -30.0], [20.0, 40.0])
    text = eixample.read_text(encoding="utf-8")
    location = f'<location netOffset="-431000.5,-4583000.25" projParameter="{projection}" '
    path.write_text(re.sub(r'<location netOffset="[^"]*"(.*?) projParameter="[^"]*"', rf"{location}\1", text))
    assert f'projParameter="{projection}"' in path.read_text(encoding="utf-8")
    turn = pyproj.Transformer.from_crs(network_edges(path).crs, "EPSG:4326", always_xy=True).transform
    np.testing.assert_allclose(turn(x, y), unproject(path, x, y), atol=1e-9)


def test_buildings_fill_their_block_except_for_the_courtyard():
    sites, blocks = building_sites(3, 2), block_polygons(3, 2)
    assert len(sites) == 3 * 2 * 24
    for label, block in blocks.items():
        footprints = list(sites.loc[sites["block"] == label, "footprint"])
        built = shapely.union_all(footprints)
        assert sum(f.area for f in footprints) == pytest.approx(built.area)
        assert built.difference(block.buffer(1e-6)).area == pytest.approx(0, abs=1e-6)
        assert block.area - built.area == pytest.approx((113.3 - 2 * 24) ** 2)


def test_facades_face_away_from_the_courtyard_in_eight_directions():
    sites, blocks = building_sites(2, 2), block_polygons(2, 2)
    assert set(sites["azimuth_deg"]) == {45.0 * k for k in range(8)}
    for site in sites.itertuples():
        normal = np.array([math.sin(math.radians(site.azimuth_deg)), math.cos(math.radians(site.azimuth_deg))])
        outside = shapely.Point(np.array([site.x, site.y]) + 14.0 * normal)
        assert not blocks[site.block].contains(outside)


def test_buildings_stand_right_of_an_edge_that_exists_and_clear_of_all_lanes(eixample):
    net, sites = read_net(eixample), building_sites(4, 3)
    streets = shapely.union_all([shapely.LineString(e.getShape()) for e in net.getEdges()])
    for block in block_polygons(4, 3).values():
        assert block.distance(streets) > 3.0
    for site in sites.itertuples():
        (ax, ay), (bx, by) = (net.getEdge(site.edge).getShape()[k][:2] for k in (0, -1))
        side = (bx - ax) * (site.y - ay) - (by - ay) * (site.x - ax)
        two_way = net.hasEdge("-".join(reversed(site.edge.split("-"))))
        assert side < 0 or not two_way
        assert shapely.LineString([(ax, ay), (bx, by)]).distance(site.footprint) < 20


@pytest.fixture(scope="module")
def classified(tmp_path_factory):
    net = eixample_streets(tmp_path_factory.mktemp("classified"), 4, 4, classes=street_classes(4, 4))
    return net, read_net(net)


def test_classes_give_lanes_limits_and_bus_lanes(classified):
    net = classified[1]
    one_way, two_way = net.getEdge("x1y3-x2y3"), net.getEdge("x0y1-x0y2")
    assert (one_way.getType(), one_way.getLaneNumber(), two_way.getLaneNumber()) == ("main", 5, 3)
    for edge in (one_way, two_way):
        assert [lane.allows("passenger") for lane in edge.getLanes()] == [False] + [True] * (edge.getLaneNumber() - 1)
        assert edge.getLanes()[0].allows("bus")
        assert edge.getLanes()[0].allows("taxi")
    calm = net.getEdge("x2y2-x1y2")
    assert (calm.getType(), calm.getLaneNumber(), round(calm.getSpeed() * 3.6)) == ("calm", 2, 30)
    assert net.getEdge("x1y1-x2y1").getLaneNumber() == 3
    assert len(drivable(net)) == len(net.getEdges())


def test_green_advances_along_the_streets_parallel_to_the_sea(classified):
    lights = {light.get("id"): light for light in defusedxml.ElementTree.parse(classified[0]).iter("tlLogic")}
    assert {sum(float(p.get("duration")) for p in light.iter("phase")) for light in lights.values()} == {90.0}
    ride_s = PITCH_M / (PROGRESSION_KMH / 3.6)
    along = [int(lights[f"x{i}y1"].get("offset")) for i in range(5)]
    against = [int(lights[f"x{i}y2"].get("offset")) for i in range(5)]
    assert along == [round(i * ride_s) % 90 for i in range(5)]
    assert against == along[::-1]


def test_every_link_has_green_in_one_of_two_phases_and_crossing_streets_never_together(classified):
    root = defusedxml.ElementTree.parse(classified[0]).getroot()
    for light in root.iter("tlLogic"):
        first, _, second, _ = [phase.attrib["state"] for phase in light.iter("phase")]
        assert all((a in "Gg") != (b in "Gg") for a, b in zip(first, second))
        links = [c for c in root.iter("connection") if c.get("tl") == light.get("id")]
        for link in links:
            start, end = link.attrib["from"].split("-")
            parallel = start.split("y")[1] == end.split("y")[1]
            assert ((first[int(link.attrib["linkIndex"])]) in "Gg") == parallel


def test_same_arguments_give_the_same_bytes(tmp_path):
    first, second = (eixample_streets(tmp_path / name, 3, 2).read_bytes() for name in "ab")
    assert first == second
    assert b"generated on" not in first


def test_a_district_of_any_size_is_refused_before_its_streets_are_counted(monkeypatch):
    monkeypatch.setattr(twin, "street_classes", None)
    with pytest.raises(CosimError, match="1000000000 × 2 blocks: at most 4096"):
        twin.build(blocks=(10**9, 2))


def test_wrong_arguments_are_refused(tmp_path):
    with pytest.raises(CosimError, match="1000000 × 2 blocks: at most 4096"):
        eixample_streets(tmp_path, 1_000_000, 2)
    with pytest.raises(CosimError, match="at least 2 × 2"):
        eixample_streets(tmp_path, 1, 4)
    with pytest.raises(CosimError, match="no street 'x9'"):
        eixample_streets(tmp_path, 3, 3, avenues=("x9",))
    with pytest.raises(CosimError, match="must be positive"):
        eixample_streets(tmp_path, 3, 3, lanes=0)
    with pytest.raises(CosimError, match="multiple of 4"):
        building_sites(2, 2, per_block=10)
    with pytest.raises(CosimError, match="no program 'sumoo'"):
        sumo_binary("sumoo")


def test_failing_tool_is_quoted(tmp_path):
    with pytest.raises(CosimError, match=r"netconvert failed: .*absent\.nod\.xml"):
        run_sumo_tool("netconvert", "--node-files", tmp_path / "absent.nod.xml", "--output-file", tmp_path / "n.xml")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('<?xml version="1.0"?><!DOCTYPE net [<!ENTITY a "b">]><net/>', "cannot be read"),
        ("<routes/>", "root element is <routes>"),
        ("no xml", "cannot be read"),
    ],
)
def test_files_that_are_not_networks_are_refused(tmp_path, text, words):
    (tmp_path / "a.net.xml").write_text(text)
    with pytest.raises(InputFileError, match=words):
        read_net(tmp_path / "a.net.xml")
    with pytest.raises(InputFileError, match="there is no network"):
        read_net(tmp_path / "absent.net.xml")


def test_larger_numbers_keep_the_sites_and_chargers_of_smaller_ones(eixample):
    few, many = (sites_along(eixample, n, seed=3) for n in (40, 120))
    assert set(few.index) < set(many.index)
    assert set(sites_along(eixample, 40, seed=4).index) != set(few.index)
    sites = building_sites(4, 3)
    small = place_chargers(eixample, sites, 10, 12, seed=3)
    for large in (place_chargers(eixample, sites, 30, 12, seed=3), place_chargers(eixample, sites, 10, 40, seed=3)):
        assert large.loc[small.index].equals(small)


def test_impossible_numbers_are_refused(eixample):
    with pytest.raises(CosimError, match=r"room for .* sites, not 99999"):
        sites_along(eixample, 99_999)
    sites = building_sites(4, 3)
    with pytest.raises(CosimError, match=r"room for .* street stations, not 9999: ask for at most \d+ % of them"):
        place_chargers(eixample, sites, 9_999, 0)
    with pytest.raises(CosimError, match="at most one"):
        place_chargers(eixample, sites.iloc[:3], 0, 4)
    with pytest.raises(CosimError, match="none may be negative"):
        place_chargers(eixample, sites, -1, 4)


def _stations_are_sound(net, table):
    for lane, group in table.sort_values("start_m").groupby("lane"):
        assert (group["start_m"] > 0).all()
        assert (group["end_m"] < net.getLane(lane).getLength()).all()
        assert (group["start_m"].to_numpy()[1:] > group["end_m"].to_numpy()[:-1]).all()
        assert net.getLane(lane).allows("passenger")
    assert set(table.loc[table["kind"] == "street", "power_w"]) <= {7_400.0, 22_000.0}
    assert set(table.loc[table["kind"] == "building", "power_w"]) <= {3_700.0, 7_400.0}


def test_stations_do_not_overlap_and_building_stations_are_near_their_building(eixample, tmp_path):
    sites = building_sites(4, 3)
    table = place_chargers(eixample, sites, 20, 40, seed=1)
    _stations_are_sound(read_net(eixample), table)
    private = table[table["kind"] == "building"]
    gap = np.hypot(*(private[["x", "y"]].to_numpy() - sites.loc[private["site"], ["x", "y"]].to_numpy()).T)
    assert gap.max() < 100
    path = write_chargers(table, tmp_path / "chargers.add.xml")
    net = tmp_path / "check"
    net.mkdir()
    run_sumo_tool("sumo", "--net-file", eixample, "--additional-files", path, "--end", "1", "--no-step-log")


def test_any_network_gives_a_connected_graph_sites_and_chargers(bologna):
    graph = street_graph(bologna)
    assert nx.is_connected(graph)
    assert len(graph) > 100
    ids = list(itertools.chain.from_iterable(data["edges"] for _, _, data in graph.edges(data=True)))
    assert len(ids) == len(set(ids))
    for _, _, data in graph.edges(data=True):
        assert data["length"] > 0
        assert all(bologna.getEdge(label).allows("passenger") for label in data["edges"])
    sites = sites_along(bologna, 400, seed=2)
    assert list(sites.columns) == list(building_sites(2, 2).columns)
    tree = shapely.STRtree([f.buffer(-0.6) for f in sites["footprint"]])
    assert len(tree.query(list(sites["footprint"]), predicate="intersects")[0]) == len(sites)
    longitude, latitude = unproject(bologna, sites["x"], sites["y"])
    assert (abs(longitude - 11.35) < 0.15).all()
    assert (abs(latitude - 44.5) < 0.1).all()
    _stations_are_sound(bologna, place_chargers(bologna, sites, 20, 40, seed=2))


def test_network_without_projection_cannot_be_unprojected(tmp_path):
    (tmp_path / "a.nod.xml").write_text('<nodes><node id="a" x="0" y="0"/><node id="b" x="90" y="0"/></nodes>')
    (tmp_path / "a.edg.xml").write_text('<edges><edge id="ab" from="a" to="b"/></edges>')
    path = tmp_path / "a.net.xml"
    run_sumo_tool("netconvert", "-n", tmp_path / "a.nod.xml", "-e", tmp_path / "a.edg.xml", "-o", path)
    with pytest.raises(CosimError, match="no geographic projection"):
        unproject(path, 0, 0)
    assert network_edges(path).crs == ""


def test_network_closed_to_cars_has_no_street_graph(tmp_path):
    (tmp_path / "a.nod.xml").write_text('<nodes><node id="a" x="0" y="0"/><node id="b" x="90" y="0"/></nodes>')
    (tmp_path / "a.edg.xml").write_text('<edges><edge id="ab" from="a" to="b" allow="bicycle"/></edges>')
    path = tmp_path / "a.net.xml"
    run_sumo_tool("netconvert", "-n", tmp_path / "a.nod.xml", "-e", tmp_path / "a.edg.xml", "-o", path)
    with pytest.raises(CosimError, match="no edge that cars may use"):
        street_graph(path)
    with pytest.raises(CosimError, match="no edge that cars may use"):
        drivable(read_net(path))
