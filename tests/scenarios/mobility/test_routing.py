"""Routes of many vehicles through networks of any size."""

import itertools
from collections import Counter

import numpy as np
import pandas as pd
import pytest

from cosim.scenarios.mobility import routing
from cosim.scenarios.mobility.routing import assigned_routes, lengths_of, let_through, shortest_routes
from cosim.scenarios.streets.eixample import eixample_streets
from cosim.scenarios.streets.network import drivable, read_net


@pytest.fixture(scope="module")
def trips(tmp_path_factory):
    net = eixample_streets(tmp_path_factory.mktemp("streets"), 5, 5)
    edges = [str(edge.getID()) for edge in drivable(read_net(net))]
    rows = {f"car.{k}": (60.0 * k, edges[k * 7 % len(edges)], edges[(k * 31 + 40) % len(edges)]) for k in range(120)}
    return net, pd.DataFrame.from_dict(rows, orient="index", columns=["depart_s", "start", "end"])


def seconds(net, routes):
    streets = read_net(net)
    edges = {e.getID(): e.getLength() / e.getSpeed() for e in streets.getEdges(withInternal=False)}
    return sum(edges[edge] for route in routes.values() for edge in route)


def test_few_trips_take_ways_as_short_as_by_dijkstra(trips, tmp_path):
    net, table = trips
    plain, fast = (find(net, table, tmp_path, 1) for find in (shortest_routes, assigned_routes))
    assert plain.keys() == fast.keys() == set(table.index)
    assert all(route[0] == table.at[car, "start"] and route[-1] == table.at[car, "end"] for car, route in fast.items())
    streets = read_net(net)
    for route in fast.values():
        assert all(streets.getEdge(b) in streets.getEdge(a).getOutgoing() for a, b in itertools.pairwise(route))
    assert seconds(net, fast) == pytest.approx(seconds(net, plain), rel=0.05)
    assert list(tmp_path.iterdir()) == []


def test_many_trips_avoid_streets_that_others_fill(trips, tmp_path):
    net, _ = trips

    def busiest(number, stand_for=1.0):
        cars = [f"car.{k}" for k in range(number)]
        same = pd.DataFrame({"depart_s": 0.0, "start": "x4y4-x3y4", "end": "x1y1-x1y2"}, index=cars)
        routes = assigned_routes(net, same, tmp_path, 1, cars_per_trip=stand_for)
        assert len(routes) == number
        used = Counter(edge for route in routes.values() for edge in route[3:-3])
        return max(used.values()) / number

    assert busiest(6000) < 0.9 * busiest(60)
    assert busiest(60, 100.0) < 0.9 * busiest(60)


def test_signals_let_through_their_share_of_green(trips):
    net = read_net(trips[0], programs=True)
    found = {edge.getID(): let_through(edge) for edge in drivable(net) if edge.getTLS()}
    assert found
    for label, (per_hour, red_s) in found.items():
        lanes = sum(lane.allows("passenger") for lane in net.getEdge(label).getLanes())
        share = per_hour / (1800.0 * lanes)
        program = next(iter(net.getEdge(label).getTLS().getPrograms().values()))
        cycle = sum(phase.duration for phase in program.getPhases())
        assert 0.0 < share < 0.95
        assert red_s == pytest.approx(0.5 * cycle * (1 - share) ** 2)


def test_large_networks_take_ways_as_short_whoever_else_drives(trips, tmp_path, monkeypatch):
    net, table = trips
    by_vehicle = shortest_routes(net, table, tmp_path, 1)
    monkeypatch.setattr(routing, "SMALL", 10)
    drawn, some = shortest_routes(net, table, tmp_path, 1), shortest_routes(net, table.iloc[::7], tmp_path, 1)
    assert list(drawn) == list(table.index)
    assert all(route[0] == table.at[car, "start"] and route[-1] == table.at[car, "end"] for car, route in drawn.items())
    assert some == {car: drawn[car] for car in table.index[::7]}
    assert drawn != shortest_routes(net, table, tmp_path, 2)
    assert seconds(net, drawn) == pytest.approx(seconds(net, by_vehicle), rel=0.05)
    assert list(tmp_path.iterdir()) == []


def test_streets_of_large_networks_are_as_busy_as_with_weights_by_vehicle(tmp_path, monkeypatch):
    net = eixample_streets(tmp_path / "streets", 8, 8)
    edges = [str(edge.getID()) for edge in drivable(read_net(net))]
    chance = np.random.default_rng(0)
    table = pd.DataFrame({"depart_s": 0.0, "start": chance.choice(edges, 6000), "end": chance.choice(edges, 6000)})
    table.index = [f"car.{k}" for k in table.index]

    def volumes():
        routes = shortest_routes(net, table, tmp_path, 1).values()
        return pd.Series(Counter(edge for route in routes for edge in route))

    by_vehicle = volumes()
    monkeypatch.setattr(routing, "SMALL", 10)
    busy = by_vehicle[by_vehicle > by_vehicle.mean()]
    apart = volumes()[busy.index] / busy - 1
    # no further apart than the counts of two drawings of independent vehicles
    assert np.sqrt((apart**2).mean()) < np.sqrt(2 / busy.mean())


def test_lengths_by_the_mean_detour_of_a_sample_add_up_to_those_of_all_routes(trips, tmp_path, monkeypatch):
    net, _ = trips
    edges = [str(edge.getID()) for edge in drivable(read_net(net))]
    n = len(edges)
    rows = [(f"{a}.{k}", 60.0, edges[a], edges[(a * 31 + 17 * k) % n]) for a in range(n) for k in range(20)]
    table = pd.DataFrame(rows, columns=["trip", "depart_s", "start", "end"]).set_index("trip")
    routed = lengths_of(net, table, tmp_path, 1)
    monkeypatch.setattr(routing, "SMALL", 10)
    monkeypatch.setattr(routing, "SAMPLE", 400)
    estimated = lengths_of(net, table, tmp_path, 1)
    assert not np.array_equal(estimated, routed)
    # four standard errors of a ratio, from the sample's size and how far single lengths are from the mean detour
    spread = (routed - estimated).std() / routed.mean() / 400**0.5
    assert estimated.sum() == pytest.approx(routed.sum(), rel=4 * spread)
    assert spread < 0.03
