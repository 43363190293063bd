"""The grid along real streets."""

import networkx as nx
import pytest

from cosim.scenarios.grid.rules import ServicePoint
from cosim.scenarios.grid.synthesis import synthesize_grid
from cosim.scenarios.places.supply import BEND_M, in_straight_pieces


@pytest.fixture
def bypass():
    """A bypass whose chord runs along a village street."""
    streets = nx.Graph()
    for label, x, y in (("a", 0.0, 0.0), ("b", 3000.0, 0.0), ("c", 1400.0, -40.0), ("d", 1600.0, -40.0)):
        streets.add_node(label, x=x, y=y)
    streets.add_edge("a", "b", length=5000.0, shape=((0.0, 0.0), (0.0, 1000.0), (3000.0, 1000.0), (3000.0, 0.0)))
    streets.add_edge("c", "d", length=200.0, shape=((1400.0, -40.0), (1600.0, -40.0)))
    streets.add_edge("b", "d", length=1500.0, shape=((3000.0, 0.0), (1600.0, -40.0)))
    return streets


def test_bends_keep_the_length_of_a_street(bypass):
    pieces = in_straight_pieces(bypass)
    assert {(d["x"], d["y"]) for _, d in pieces.nodes(data=True)} >= {(0.0, 1000.0), (3000.0, 1000.0)}
    assert sum(d["length"] for *_, d in pieces.edges(data=True)) == pytest.approx(6700.0)
    slight = nx.Graph(bypass)
    slight.edges["c", "d"]["shape"] = ((1400.0, -40.0), (1500.0, -40.0 + 0.9 * BEND_M), (1600.0, -40.0))
    assert len(in_straight_pieces(slight)) == len(pieces)


def test_house_under_the_chord_of_a_road_is_supplied_from_its_own_street(bypass):
    homes = [ServicePoint(f"home {k}", 1420.0 + 20 * k, -15.0, dwellings=1) for k in range(8)]
    metres = [
        synthesize_grid(graph, homes, country="DE").report.lv_length_m for graph in (bypass, in_straight_pieces(bypass))
    ]
    assert metres[1] < 300.0 < 1000.0 < metres[0]
