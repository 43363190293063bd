"""Tests of programs of traffic lights by the hour, for the mesoscopic model."""

import gzip
import subprocess

import defusedxml.ElementTree
import numpy as np
import pytest

from cosim.adapters.traffic.installation import run_sumo_tool, sumo_binary, sumo_environment
from cosim.scenarios.mobility.counts.greens import (
    OPTIONS,
    best_greens,
    turns_of,
    without_roundabouts,
    write_programs,
)
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


RING = {"r0": (20, 0), "r1": (0, 20), "r2": (-20, 0), "r3": (0, -20)}
ARMS = {"a0": (300, 0), "a1": (0, 300), "a2": (-300, 0), "a3": (0, -300)}


@pytest.fixture(scope="module")
def roundabout(tmp_path_factory):
    """Return a ring of one lane with four arms."""
    folder = tmp_path_factory.mktemp("roundabout")
    nodes = [f'<node id="{name}" x="{x}" y="{y}" type="priority"/>' for name, (x, y) in (RING | ARMS).items()]
    edges = [f'<edge id="ring{k}" from="r{k}" to="r{(k + 1) % 4}" priority="5" speed="8.3"/>' for k in range(4)]
    edges += [f'<edge id="in{k}" from="a{k}" to="r{k}" priority="3" speed="13.9"/>' for k in range(4)]
    edges += [f'<edge id="out{k}" from="r{k}" to="a{k}" priority="3" speed="13.9"/>' for k in range(4)]
    edges += ['<roundabout nodes="r0 r1 r2 r3" edges="ring0 ring1 ring2 ring3"/>']
    (folder / "n.nod.xml").write_text("\n".join(["<nodes>", *nodes, "</nodes>"]))
    (folder / "n.edg.xml").write_text("\n".join(["<edges>", *edges, "</edges>"]))
    path = folder / "roundabout.net.xml"
    run_sumo_tool(
        "netconvert", "-n", folder / "n.nod.xml", "-e", folder / "n.edg.xml", "--no-turnarounds", "-o", path,
    )  # fmt: skip
    return path


def arrived(net, flows, folder, options=OPTIONS):
    """Return how many vehicles of flows arrive within an hour, in the mesoscopic model."""
    rows = [
        f'<flow id="f{k}" begin="0" end="3600" number="{number}" departLane="best"><route edges="{edges}"/></flow>'
        for k, (edges, number) in enumerate(flows)
    ]
    (folder / "f.rou.xml").write_text("\n".join(["<routes>", *rows, "</routes>"]))
    out = folder / "trips.xml"
    command = [sumo_binary("sumo"), "-n", net, "-r", folder / "f.rou.xml", "-e", "3600", "--tripinfo-output", out]
    command += [*MESOSCOPIC, *options, "--time-to-teleport", "-1"]
    subprocess.run(list(map(str, command)), check=True, capture_output=True, env=sumo_environment())
    return len(defusedxml.ElementTree.parse(out).getroot().findall("tripinfo"))


def test_roundabouts_become_junctions_like_others_that_sumo_runs(roundabout, tmp_path):
    plain = without_roundabouts(roundabout, tmp_path / "plain.net.xml")
    assert "<roundabout " in roundabout.read_text()
    assert "<roundabout " not in plain.read_text()
    assert {e.getID() for e in read_net(plain).getEdges()} == {e.getID() for e in read_net(roundabout).getEdges()}
    assert arrived(plain, [("in0 ring0 ring1 out2", 500), ("in1 ring1 ring2 out3", 300)], tmp_path) > 750
    packed = tmp_path / "packed.net.xml.gz"
    packed.write_bytes(gzip.compress(roundabout.read_bytes()))
    assert without_roundabouts(packed, tmp_path / "other.net.xml").read_bytes() == plain.read_bytes()


def test_network_without_roundabouts_is_used_as_it_is(grid, tmp_path):
    assert without_roundabouts(grid, tmp_path / "none.net.xml") == grid
    assert list(tmp_path.iterdir()) == []


def test_short_and_slow_edge_lets_more_through_than_with_a_longer_recheck(tmp_path):
    xs = {"n0": 0, "n1": 400, "n2": 408, "n3": 800}
    nodes = [f'<node id="{name}" x="{x}" y="0"/>' for name, x in xs.items()]
    edges = [f'<edge id="e{k}" from="n{k}" to="n{k + 1}" speed="{5 if k == 1 else 13.9}"/>' for k in range(3)]
    (tmp_path / "n.nod.xml").write_text("\n".join(["<nodes>", *nodes, "</nodes>"]))
    (tmp_path / "n.edg.xml").write_text("\n".join(["<edges>", *edges, "</edges>"]))
    net = tmp_path / "short.net.xml"
    run_sumo_tool("netconvert", "-n", tmp_path / "n.nod.xml", "-e", tmp_path / "n.edg.xml", "-o", net)
    flows = [("e0 e1 e2", 1700)]
    assert arrived(net, flows, tmp_path) > 1100
    assert arrived(net, flows, tmp_path, (*OPTIONS[:-1], "5")) < 900
