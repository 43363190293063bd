"""Streets, blocks and sites: geometry against closed forms, networks against SUMO's own connections."""

import itertools
import math
from pathlib import Path

import defusedxml.ElementTree
import networkx as nx
import numpy as np
import pyproj
import pytest
import shapely

from cosim.core import CosimError, InputFileError
from cosim.scenarios.chargers import place_chargers, write_chargers
from cosim.scenarios.streets import (
    drivable,
    project,
    read_net,
    run_sumo_tool,
    sites_along,
    street_graph,
    sumo_binary,
    unproject,
)
from cosim.scenarios.streets_eixample import PITCH_M, block_polygons, building_sites, eixample_streets

BOLOGNA = Path(__file__).parents[2] / "shared/data/bologna"


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


def test_inner_streets_alternate_their_one_way(eixample):
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


def test_buildings_tile_their_block_but_for_the_courtyard():
    sites, blocks = building_sites(3, 2), block_polygons(3, 2)
    assert len(sites) == 3 * 2 * 24
    for label, block in blocks.items():
        footprints = list(sites.loc[sites["block"] == label, "footprint"])
        built = shapely.union_all(footprints)
        assert sum(f.area for f in footprints) == pytest.approx(built.area)
        assert built.difference(block.buffer(1e-6)).area == pytest.approx(0, abs=1e-6)
        assert block.area - built.area == pytest.approx((113.3 - 2 * 24) ** 2)


def test_facades_face_away_from_the_courtyard_to_the_eight_winds():
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


def test_same_arguments_give_the_same_bytes(tmp_path):
    first, second = (eixample_streets(tmp_path / name, 3, 2).read_bytes() for name in "ab")
    assert first == second
    assert b"generated on" not in first


def test_wrong_arguments_are_refused(tmp_path):
    with pytest.raises(CosimError, match="1000000 × 2 blocks: 2500 are the most"):
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


def test_a_failing_tool_is_quoted(tmp_path):
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
def test_files_that_are_no_network_are_refused(tmp_path, text, words):
    (tmp_path / "a.net.xml").write_text(text)
    with pytest.raises(InputFileError, match=words):
        read_net(tmp_path / "a.net.xml")
    with pytest.raises(InputFileError, match="there is no network"):
        read_net(tmp_path / "absent.net.xml")


def test_more_sites_or_chargers_keep_those_there_were(eixample):
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
    with pytest.raises(CosimError, match="street stations, not 9999"):
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


def test_stations_do_not_overlap_and_building_stations_are_near(eixample, tmp_path):
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


def test_any_network_has_a_connected_graph_sites_and_chargers(bologna):
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


def test_a_network_without_projection_cannot_be_unprojected(tmp_path):
    (tmp_path / "a.nod.xml").write_text('<nodes><node id="a" x="0" y="0"/><node id="b" x="90" y="0"/></nodes>')
    (tmp_path / "a.edg.xml").write_text('<edges><edge id="ab" from="a" to="b"/></edges>')
    path = tmp_path / "a.net.xml"
    run_sumo_tool("netconvert", "-n", tmp_path / "a.nod.xml", "-e", tmp_path / "a.edg.xml", "-o", path)
    with pytest.raises(CosimError, match="no geographic projection"):
        unproject(path, 0, 0)


def test_a_network_closed_to_cars_has_no_street_graph(tmp_path):
    (tmp_path / "a.nod.xml").write_text('<nodes><node id="a" x="0" y="0"/><node id="b" x="90" y="0"/></nodes>')
    (tmp_path / "a.edg.xml").write_text('<edges><edge id="ab" from="a" to="b" allow="bicycle"/></edges>')
    path = tmp_path / "a.net.xml"
    run_sumo_tool("netconvert", "-n", tmp_path / "a.nod.xml", "-e", tmp_path / "a.edg.xml", "-o", path)
    with pytest.raises(CosimError, match="no edge that cars may use"):
        street_graph(path)
    with pytest.raises(CosimError, match="no edge that cars may use"):
        drivable(read_net(path))
