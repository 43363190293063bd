"""Tests of loops that see a part of the traffic of their edge."""

import numpy as np
import pytest

from cosim.adapters.traffic.installation import run_sumo_tool
from cosim.scenarios.mobility.counts.loops import Loop, locate
from cosim.scenarios.mobility.counts.partial import partial_loops
from cosim.scenarios.streets.network import read_net

PLACES = {"n0": (0, 0), "n1": (100, 0), "n2": (200, 0), "n3": (300, 0), "n4": (900, 0), "s1": (100, -100)}
STREETS = {"in": "n0 n1", "way": "n1 n2", "out": "n2 n3", "far": "n3 n4", "side": "n1 s1"}


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    """Return three lanes in a row, of which a side street of one lane leads away."""
    folder = tmp_path_factory.mktemp("row")
    nodes = [f'<node id="{name}" x="{x}" y="{y}" type="priority"/>' for name, (x, y) in PLACES.items()]
    edges = [
        f'<edge id="{name}" from="{ends[:2]}" to="{ends[3:]}" numLanes="{1 if name == "side" else 3}" speed="13.9"/>'
        for name, ends in STREETS.items()
    ]
    (folder / "row.nod.xml").write_text("\n".join(["<nodes>", *nodes, "</nodes>"]))
    (folder / "row.edg.xml").write_text("\n".join(["<edges>", *edges, "</edges>"]))
    path = folder / "row.net.xml"
    run_sumo_tool("netconvert", "-n", folder / "row.nod.xml", "-e", folder / "row.edg.xml", "-o", path)
    return read_net(path)


def day(busy):
    return np.r_[np.full(12, 50.0), np.full(12, busy)]


def test_loop_behind_another_that_counts_less_than_half_of_what_must_pass_is_named(net):
    # the side street takes 900 vehicles an hour at most
    found = partial_loops(["in", "way"], np.array([day(2000.0), day(400.0)]), net)
    assert found == {"way": "counts 4800 of at least 13200 vehicles that come from in: it sees a part of the lanes"}


def test_loop_before_another_is_named_if_nothing_joins_between(net):
    found = partial_loops(["way", "out"], np.array([day(400.0), day(2000.0)]), net)
    assert list(found) == ["way"]
    assert "of at least 24600 vehicles that go on to out" in found["way"]


@pytest.mark.parametrize("busy", [600.0, 1100.0])
def test_loop_is_kept_where_a_side_street_can_have_taken_the_rest(net, busy):
    assert partial_loops(["in", "way"], np.array([day(2000.0), day(busy)]), net) == {}


def test_loops_far_apart_are_not_compared(net):
    assert partial_loops(["out", "far"], np.array([day(2000.0), day(400.0)]), net) == {}


def test_loops_that_see_a_part_are_left_out_with_the_reason(net):
    loops = [Loop("A", day(2000.0), "way"), Loop("B", day(400.0), "out"), Loop("C", day(420.0), "out")]
    found = locate(loops, net)
    assert found.edges == ("way",)
    assert found.left_out.keys() == {"B", "C"}
    assert found.left_out["B"].endswith("that come from way: it sees a part of the lanes of out")
