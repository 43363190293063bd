"""Tests of flows that the streets can carry."""

import numpy as np
import pytest

from cosim.adapters.traffic.installation import run_sumo_tool
from cosim.scenarios.mobility.counts.capacity import capacities, passing, times_to, within_capacity
from cosim.scenarios.mobility.routing import let_through
from cosim.scenarios.streets.network import read_net

ROUTES = [["loop", "narrow"], ["loop", "wide"], ["elsewhere"]]
COUNTS = {"loop": np.array([1000.0, 300.0])}
FLOWS = np.array([[600.0, 150.0], [400.0, 150.0], [70.0, 70.0]])


def test_flows_leave_a_full_street_for_routes_past_the_same_loop():
    found = within_capacity(ROUTES, FLOWS, COUNTS, {"narrow": 500.0, "wide": 1800.0})
    assert found[0, 0] <= 450.0 + 1e-6
    assert found[:2, 0].sum() == pytest.approx(1000.0, rel=0.01)
    np.testing.assert_array_equal(found[:, 1], FLOWS[:, 1])  # nothing is full in the second hour
    np.testing.assert_array_equal(found[2], FLOWS[2])


def test_without_another_route_the_capacity_holds_and_the_count_is_missed():
    found = within_capacity([["loop", "narrow"]], np.array([[600.0]]), {"loop": np.array([600.0])}, {"narrow": 500.0})
    assert found[0, 0] == pytest.approx(450.0)


def test_edge_carries_what_was_counted_on_it():
    found = within_capacity([["loop"]], np.array([[600.0]]), {"loop": np.array([600.0])}, {"loop": 450.0})
    assert found[0, 0] == 600.0


def test_street_that_another_relieves_gives_back_what_it_took():
    routes = [["first"], ["first", "second"]]
    found = within_capacity(routes, np.array([[500.0], [500.0]]), {}, {"first": 1000.0, "second": 1000.0 / 9})
    assert found[:, 0] == pytest.approx([500.0, 100.0])


def test_passing_counts_every_pass():
    found = passing([["a", "b", "a"], ["c"]], ["a", "b"]).toarray()
    assert found.tolist() == [[2.0, 0.0], [1.0, 0.0]]


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    path = tmp_path_factory.mktemp("streets") / "grid.net.xml"
    run_sumo_tool(
        "netgenerate", "--grid", "--grid.number", "3", "--grid.attach-length", "200", "--default-junction-type",
        "traffic_light", "--output-file", path,
    )  # fmt: skip
    return path


@pytest.fixture(scope="module")
def net(grid):
    return read_net(grid, programs=True)


def test_capacity_is_what_the_assignment_lets_through(net):
    found = capacities(net)
    assert found == {edge.getID(): let_through(edge)[0] for edge in net.getEdges(withInternal=False)}
    lights = [edge for edge in net.getEdges(withInternal=False) if edge.getTLS()]
    assert all(0 < found[edge.getID()] < 1800.0 * edge.getLaneNumber() for edge in lights)


def test_lights_whose_programs_are_unknown_count_as_green(grid):
    net = read_net(grid)
    lights = [edge for edge in net.getEdges(withInternal=False) if edge.getTLS()]
    assert lights
    assert all(capacities(net)[edge.getID()] == 1800.0 * edge.getLaneNumber() for edge in lights)


def test_time_to_a_loop_has_the_streets_and_the_waits_before_it(net):
    start = next(e for e in net.getEdges(withInternal=False) if e.getTLS() and e.getOutgoing())
    after = next(iter(start.getOutgoing()))
    over_s = start.getLength() / start.getSpeed() + let_through(start)[1]
    routes = [[start.getID(), after.getID()]] * 2
    assert times_to(net, routes, {after.getID()}).tolist() == pytest.approx([over_s, over_s])
    assert times_to(net, routes[:1], {start.getID()}).tolist() == [0.0]
    assert times_to(net, routes[:1], set()).tolist() == pytest.approx([over_s / 2])
