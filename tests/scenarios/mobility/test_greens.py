"""Tests of programs of traffic lights by the hour, for the mesoscopic model."""

import subprocess

import defusedxml.ElementTree
import numpy as np
import pytest

from cosim.adapters.traffic.installation import sumo_binary, sumo_environment
from cosim.scenarios.mobility.counts.greens import OPTIONS, best_greens, turns_of, write_programs
from cosim.scenarios.parts import MESOSCOPIC
from cosim.scenarios.streets.network import read_net

OWN, GREENS = [42.0, 3.0, 42.0, 3.0], [0, 2]


def test_greens_follow_the_volumes_within_the_cycle():
    lengths = best_greens(np.array([900.0, 300.0]), np.eye(2), OWN, GREENS)
    assert lengths == [63.0, 3.0, 21.0, 3.0]


def test_the_busiest_lane_of_a_phase_decides_and_permitted_green_counts_half():
    worth = np.array([[1.0, 0.0], [0.5, 0.0], [0.0, 1.0]])  # the second turns left against the first's opposite
    first, _, second, _ = best_greens(np.array([300.0, 200.0, 400.0]), worth, OWN, GREENS)
    assert (first, second) == (42.0, 42.0)


def test_cycle_is_lengthened_where_its_greens_do_not_suffice():
    enough, busy = (best_greens(np.array([v, v]), np.eye(2), OWN, GREENS) for v in (800.0, 850.0))
    assert (sum(enough), sum(busy)) == (90.0, 120.0)


def test_shortest_greens_are_kept_and_nothing_changes_without_traffic():
    assert best_greens(np.array([1000.0, 1.0]), np.eye(2), OWN, GREENS) == [79.0, 3.0, 5.0, 3.0]
    assert best_greens(np.zeros(2), np.eye(2), OWN, GREENS) == OWN


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    path = tmp_path_factory.mktemp("grid") / "grid.net.xml"
    command = [sumo_binary("netgenerate"), "--grid", "--grid.number", "3", "--grid.attach-length", "200", "-o", path]
    command += ["--default-junction-type", "traffic_light", "--tls.default-type", "actuated"]
    subprocess.run(command, check=True, capture_output=True, env=sumo_environment())
    return path


def test_programs_change_by_the_hour_and_sumo_runs_them(grid, tmp_path):
    net = read_net(grid, programs=True)
    into = net.getNode("B1").getIncoming()
    across, along = (next(e for e in into if e.getFromNode().getID() == name) for name in ("A1", "B0"))
    ways = [[e.getID(), e.getToNode().getID()] for e in (across, along)]
    ways = [
        [start, next(o.getID() for o in net.getEdge(start).getOutgoing() if _straight(net, start, o))]
        for start, _ in ways
    ]
    flows = np.zeros((2, 24))
    flows[0, 8], flows[1, 9] = 600.0, 600.0
    turns = turns_of(ways, flows)
    assert turns[tuple(ways[0])][8] == 600.0
    target = tmp_path / "signals.add.xml"
    assert write_programs(net, turns, target, range(8, 10)) == 1
    root = defusedxml.ElementTree.parse(target).getroot()
    greens = {
        logic.get("programID"): [float(p.get("duration")) for p in logic if set(p.get("state")) & {"G"}][:1]
        for logic in root.iter("tlLogic")
    }
    assert greens.keys() == {"h08", "h09"}
    assert greens["h08"] != greens["h09"]
    again = tmp_path / "again.add.xml"
    write_programs(net, turns, again, range(8, 10))
    assert again.read_bytes() == target.read_bytes()
    command = [sumo_binary("sumo"), "-n", grid, "-a", target, "-b", "28800", "-e", "32500", *MESOSCOPIC, *OPTIONS]
    states = tmp_path / "states.xml"
    (tmp_path / "tls.add.xml").write_text(
        f'<additional><timedEvent type="SaveTLSSwitchStates" source="B1" dest="{states}"/></additional>'
    )
    command[4] = f"{target},{tmp_path / 'tls.add.xml'}"
    subprocess.run(list(map(str, command)), check=True, capture_output=True, env=sumo_environment())
    seen = {state.get("programID") for state in defusedxml.ElementTree.parse(states).getroot()}
    assert {"h08", "h09"} <= seen


def _straight(net, start, other):
    (x0, y0), (x1, y1) = (net.getEdge(start).getFromNode().getCoord(), other.getToNode().getCoord())
    return x0 == x1 or y0 == y1
