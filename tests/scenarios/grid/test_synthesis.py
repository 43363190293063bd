"""Tests of the synthesized grid: radial, within its limits, reproducible."""

from __future__ import annotations

import copy
import json
import math
from typing import Any

import networkx as nx
import numpy as np
import pandapower as pp
import pandapower.toolbox
import pandapower.topology
import pytest
from scipy.spatial import Delaunay

from cosim.adapters.grid import Grid
from cosim.core import ScenarioError, Step
from cosim.core.random import generator
from cosim.scenarios.grid import cabinets
from cosim.scenarios.grid.cabinets import Streets
from cosim.scenarios.grid.synthesis import ServicePoint, coincident_load, synthesize_grid

PITCH = 133.3


def blocks(n=6, per_block=24, dwellings=8):
    streets = nx.grid_2d_graph(n + 1, n + 1)
    for (i, j), d in streets.nodes(data=True):
        d.update(x=i * PITCH, y=j * PITCH)
    nx.set_edge_attributes(streets, PITCH, "length")
    services = []
    for i in range(n):
        for j in range(n):
            for k in range(per_block):
                side, place = divmod(k, per_block // 4)
                along = 20 + (place + 0.5) / (per_block // 4) * (PITCH - 40)
                x, y = [(along, 20), (PITCH - 20, along), (along, PITCH - 20), (20, along)][side]
                services.append(ServicePoint(f"b{i}.{j}.{k}", i * PITCH + x, j * PITCH + y, dwellings))
    return streets, services


def irregular(n_nodes=120, n_services=400, size_m=1200.0):
    """Return a planar street graph: a Delaunay mesh without its long edges, with slightly winding streets."""
    rng = generator(1, "streets")
    xy = rng.uniform(0, size_m, (n_nodes, 2))
    edges = {tuple(sorted((int(t[a]), int(t[b])))) for t in Delaunay(xy).simplices for a, b in ((0, 1), (1, 2), (2, 0))}
    full = nx.Graph()
    for u, v in sorted(edges):
        full.add_edge(u, v, length=float(np.hypot(*(xy[u] - xy[v])) * rng.uniform(1, 1.2)))
    streets = nx.minimum_spanning_tree(full, weight="length")
    streets.add_edges_from((u, v, d) for u, v, d in full.edges(data=True) if d["length"] < 150 and rng.random() < 0.7)
    for node in streets:
        streets.nodes[node].update(x=float(xy[node, 0]), y=float(xy[node, 1]))
    places = rng.uniform(0, size_m, (n_services, 2))
    dwellings = rng.integers(1, 12, n_services)
    services = [
        ServicePoint(f"s{k}", x, y, int(n), shop_m2=60.0 if k % 9 == 0 else 0.0)
        for k, ((x, y), n) in enumerate(zip(places.tolist(), dwellings))
    ]
    return streets, services


CASES: dict[str, tuple[Any, dict[str, Any]]] = {
    "blocks, Spain": (blocks, {"country": "ES"}),
    "blocks, Italy": (blocks, {"country": "IT"}),
    "blocks, high electrification": (blocks, {"country": "ES", "dwelling_w": 9200.0}),
    "irregular, Spain": (irregular, {"country": "ES"}),
    "irregular, own buses": (irregular, {"country": "IT", "share_within_m": 0.0}),
}


@pytest.fixture(params=CASES, scope="module")
def case(request):
    make, options = CASES[request.param]
    streets, services = make()
    return streets, services, options, synthesize_grid(streets, services, **options)


def at_design_load(grid):
    net = copy.deepcopy(grid.net)
    load = net.load
    watt = dict.fromkeys(load.bus, 0.0)
    for label, bus in grid.bus_of.items():
        watt[bus] += grid.design_load_w[label]
    net.load["p_mw"] = [watt[bus] * 1e-6 for bus in load.bus]
    net.load["q_mvar"] = net.load["p_mw"] * math.tan(math.acos(0.95))
    pp.runpp(net, numba=False)
    return net


def test_everything_is_within_limits_at_design_load(case):
    *_, grid = case
    net = at_design_load(grid)
    assert net.res_bus.vm_pu.between(0.95, 1.05).all()
    assert (net.res_line.loading_percent <= 100).all()
    assert (net.res_trafo.loading_percent <= 100).all()
    report = grid.report
    assert report.lowest_voltage == pytest.approx(net.res_bus.vm_pu.min())
    assert report.worst_line_loading == pytest.approx(net.res_line.loading_percent.max() / 100)
    assert max(report.transformer_loading.values()) == pytest.approx(net.res_trafo.loading_percent.max() / 100)


def test_grid_is_operated_radially_and_its_medium_voltage_forms_rings(case):
    *_, grid = case
    running = nx.Graph(pandapower.topology.create_nxgraph(grid.net))
    assert nx.is_tree(running)
    assert len(running) == len(grid.net.bus)
    closed = nx.Graph(pandapower.topology.create_nxgraph(grid.net, respect_switches=False))
    assert len(nx.cycle_basis(closed)) <= grid.report.n_rings == len(grid.net.switch)
    sizes = np.bincount([station.ring for station in grid.stations])
    assert sizes.max() <= 12
    assert sizes.max() - sizes.min() <= 1


def test_every_service_point_is_supplied_once_at_low_voltage(case):
    _, services, _, grid = case
    assert list(grid.bus_of) == [s.label for s in services]
    assert set(grid.net.bus.vn_kv.loc[list(grid.bus_of.values())]) == {0.4}
    assert set(grid.net.load.bus) == set(grid.bus_of.values())
    assert sum(station.services for station in grid.stations) == len(services)
    assert (grid.net.load.p_mw == 0).all()


def test_stations_hold_their_coincident_load(case):
    _, services, options, grid = case
    dwellings = {s.label: s.dwellings for s in services}
    shop = {s.label: max(s.shop_m2 * 100, 3450) if s.shop_m2 else 0 for s in services}
    station_of = {}
    for i, station in enumerate(grid.stations):
        graph = nx.Graph(pandapower.topology.create_nxgraph(grid.net, include_trafos=False))
        station_of.update(dict.fromkeys(nx.node_connected_component(graph, station.lv_bus), i))
    members: list[list[str]] = [[] for _ in grid.stations]
    for label, bus in grid.bus_of.items():
        members[station_of[bus]].append(label)
    for station, labels in zip(grid.stations, members):
        n, fixed = sum(dwellings[k] for k in labels), sum(shop[k] for k in labels)
        load = coincident_load(n, options["country"], fixed, options.get("dwelling_w", 5750.0))
        assert sum(grid.design_load_w[k] for k in labels) == pytest.approx(load)
        assert load / 0.95 <= 0.9 * station.rated_va * (1 + 1e-9)
        assert station.rated_va <= 630e3


def test_cables_follow_streets_from_bus_to_bus(case):
    streets, _, _, grid = case
    net = grid.net
    assert set(grid.lines) == set(net.line.name)
    place = {bus: json.loads(geo)["coordinates"] for bus, geo in net.bus.geo.items()}
    for _, line in net.line.iterrows():
        route = grid.lines[line["name"]]
        np.testing.assert_allclose(route[0], place[line.from_bus], atol=1e-6)
        np.testing.assert_allclose(route[-1], place[line.to_bus], atol=1e-6)
        straight = np.hypot(*np.diff(route, axis=0).T).sum()
        assert line.length_km * 1e3 >= straight - 1e-6
    total = sum(d["length"] for *_, d in streets.edges(data=True))
    assert grid.report.length_m == pytest.approx(net.line.length_km.sum() * 1e3)
    assert 0.3 * total < grid.report.length_m < 8 * total


def test_every_low_voltage_cable_carries_the_coincident_load_beyond_it(case):
    _, services, options, grid = case
    net, known = grid.net, {s.label: s for s in services}
    at_bus: dict[int, list[Any]] = {}
    for label, bus in grid.bus_of.items():
        at_bus.setdefault(bus, []).append(known[label])
    low = nx.Graph((line.from_bus, line.to_bus) for line in net.line.itertuples() if net.bus.vn_kv[line.from_bus] < 1)
    roots = {station.lv_bus for station in grid.stations}
    order = list(nx.dfs_edges(nx.Graph([*low.edges, *(("above", root) for root in roots)]), "above"))
    beyond = {bus: [0, 0.0] for _, bus in order} | {"above": [0, 0.0]}
    for bus, members in at_bus.items():
        beyond[bus] = [
            sum(s.dwellings for s in members),
            sum(max(s.shop_m2 * 100, 3450) if s.shop_m2 else 0 for s in members),
        ]
    for above, bus in reversed(order):
        beyond[above] = [a + b for a, b in zip(beyond[above], beyond[bus])]
    depth = {bus: k for k, (_, bus) in enumerate(order)}
    for line in net.line[net.bus.vn_kv.loc[net.line.from_bus].to_numpy() < 1].itertuples():
        end = max(line.from_bus, line.to_bus, key=lambda bus: depth[bus])
        n, fixed = beyond[end]
        load = coincident_load(n, options["country"], fixed, options.get("dwelling_w", 5750.0))
        most = math.sqrt(3) * 0.95 * 400 * 0.95 * line.max_i_ka * 1e3 * line.parallel
        assert load <= most * (1 + 1e-9), line.name


def test_report_counts_what_was_built(case):
    *_, grid = case
    net, report = grid.net, grid.report
    assert report.n_stations == len(grid.stations) == len(net.trafo)
    assert report.n_buses == len(net.bus)
    assert report.design_load_w == pytest.approx(sum(grid.design_load_w.values()))
    high = net.bus.vn_kv.loc[net.line.from_bus].to_numpy() > 1
    assert report.mv_length_m == pytest.approx(net.line.length_km[high].sum() * 1e3)
    assert report.lv_length_m == pytest.approx(net.line.length_km[~high].sum() * 1e3)
    assert report.bound["stations by transformer"] + report.bound["stations by voltage"] == report.n_stations
    assert set(report.transformer_loading) == {station.label for station in grid.stations}


def test_same_input_gives_the_same_grid(case):
    streets, services, options, grid = case
    again = synthesize_grid(streets, services, **options)
    assert pandapower.toolbox.nets_equal(grid.net, again.net)
    assert again.bus_of == grid.bus_of
    assert again.report == grid.report


def test_grid_of_a_thousand_buses_can_be_built():
    streets, services = blocks(8)
    grid = synthesize_grid(streets, services, country="ES", share_within_m=0)
    assert len(grid.net.bus) > 1000
    assert grid.report.lowest_voltage > 0.95


def test_grid_adapter_accepts_the_synthesized_grid_unchanged(case):
    *_, grid = case
    adapter = Grid(grid.net, connection_points=grid.bus_of)
    adapter.open()
    adapter.power.deliver([grid.design_load_w[label] for label in adapter.power.labels])
    adapter.reactive_power.deliver(adapter.power.value * math.tan(math.acos(0.95)))
    adapter.advance(Step(0, 900))
    assert adapter.voltage.value.min() == pytest.approx(grid.report.lowest_voltage, abs=1e-7)
    assert adapter.own_load_w == 0


def test_coincidence_follows_the_published_rules():
    # ITC-BT-10, table 1 and its rule above 21 dwellings.
    assert coincident_load(4, "ES") == pytest.approx(3.8 * 5750)
    assert coincident_load(21, "ES") == pytest.approx(15.3 * 5750)
    assert coincident_load(101, "ES", dwelling_w=9200.0) == pytest.approx((15.3 + 80 * 0.5) * 9200)
    assert coincident_load(16, "IT") == pytest.approx(16 * 30e3 * (0.07 + 0.93 / 8))
    assert coincident_load(0, "IT", 500.0) == 500
    n = np.arange(1, 200)
    for country in ("ES", "IT"):
        assert (np.diff(coincident_load(n, country) / n) <= 1e-9).all()


def test_service_points_on_one_piece_of_street_share_a_bus():
    streets, _ = blocks(1)
    near = [ServicePoint("north", 62, 10, 4), ServicePoint("south", 68, -10, 4), ServicePoint("far", 110, 10, 4)]
    shared = synthesize_grid(streets, near, country="ES")
    assert shared.bus_of["north"] == shared.bus_of["south"] != shared.bus_of["far"]
    alone = synthesize_grid(streets, near, country="ES", share_within_m=0)
    assert len(set(alone.bus_of.values())) == 3


def test_large_service_point_gets_parallel_transformers_and_cables():
    streets, _ = blocks(1)
    grid = synthesize_grid(streets, [ServicePoint("hall", 10, 5, design_load_w=8e5)], country="ES")
    assert grid.net.trafo.parallel.tolist() == [2]
    assert grid.net.line.parallel.max() >= 4
    assert at_design_load(grid).res_line.loading_percent.max() <= 100


def test_long_street_gets_more_stations_for_its_voltage_drop():
    streets = nx.path_graph(16)
    for node, d in streets.nodes(data=True):
        d.update(x=300.0 * node, y=0.0)
    nx.set_edge_attributes(streets, 300.0, "length")
    services = [ServicePoint(f"h{k}", 45.0 * k, 8.0, 1) for k in range(100)]
    grid = synthesize_grid(streets, services, country="ES")
    assert grid.report.bound["stations by voltage"] > 0
    assert grid.report.lowest_voltage >= 0.95


def test_medium_voltage_is_that_of_the_country():
    streets, services = blocks(1)
    assert synthesize_grid(streets, services, country="ES").net.bus.vn_kv.max() == 25
    assert synthesize_grid(streets, services, country="IT").net.bus.vn_kv.max() == 15


def test_all_invalid_input_is_refused_in_one_error():
    streets, _ = blocks(1)
    with pytest.raises(ScenarioError) as caught:
        synthesize_grid(
            streets,
            [ServicePoint("a", 0, 0, 1), ServicePoint("a", math.nan, 0, 1), ServicePoint("c", 0, 0)],
            country="France",
        )
    text = str(caught.value)
    assert "country is 'France'" in text
    assert "'a' is given twice" in text
    assert "'c' at (0, 0) has 0 dwellings and 0 W" in text
    apart = nx.Graph()
    for k in range(4):
        apart.add_node(k, x=float(k), y=0.0)
    apart.add_edge(0, 1, length=1.0)
    apart.add_edge(2, 3, length=-1.0)
    with pytest.raises(ScenarioError, match=r"has length -1\.0(.|\n)*not connected: pass its largest component"):
        synthesize_grid(apart, [ServicePoint("a", 0, 0, 1)], country="ES")


@pytest.mark.parametrize("streets", [blocks(), irregular()], ids=["blocks", "irregular"])
def test_paths_found_nearby_are_those_through_all_streets(streets):
    graph, services = streets
    cut = Streets(graph, services, 20.0)
    cabinets = range(cut.n_street, len(cut.xy))
    draw = generator(0, "groups")
    for _ in range(20):
        group = sorted(draw.choice(cabinets, 5, replace=False).tolist())
        roots = draw.choice(cut.n_street, 3, replace=False).tolist()
        near, distance, before = cut.paths_to(roots, group)
        whole, _ = cut.paths(roots)
        at = np.searchsorted(near, group)
        np.testing.assert_array_equal(near[at], group)
        np.testing.assert_allclose(distance[:, at], whole[:, group], rtol=1e-12)
        for row, root in enumerate(roots):
            node = group[0]
            while node != root:
                node = before[row, np.searchsorted(near, node)]
                assert node in near


def test_ways_between_stations_are_as_long_on_streets_without_their_cabinets(monkeypatch):
    graph, services = irregular()
    streets = Streets(graph, services, 20.0)
    roots = [0, 5, 17]
    monkeypatch.setattr(cabinets, "LARGE", 0)
    distance, before = streets.paths_between(roots)
    assert distance.shape == before.shape == (3, streets.n_street)
    np.testing.assert_allclose(distance, streets.paths(roots)[0][:, : streets.n_street], rtol=1e-12)


def test_part_of_the_streets_is_that_of_the_whole_matrix():
    graph, services = irregular()
    streets = Streets(graph, services, 20.0)
    near = np.flatnonzero(streets.xy[:, 0] < 500.0)
    part, expected = streets._part(near), streets.matrix[near][:, near]
    for name in ("data", "indices", "indptr"):
        np.testing.assert_array_equal(getattr(part, name), getattr(expected, name))
