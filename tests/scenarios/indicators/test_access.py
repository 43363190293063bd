"""15-minute access on foot and by bicycle."""

import types

import numpy as np
import pandas as pd
import pytest

from cosim.scenarios.indicators.access import FUNCTIONS, access_indicators, distances

PLACES = {"office": 100.0, "retail": 200.0, "food": 300.0, "school": 1000.0, "clinic": 2000.0}


@pytest.fixture(scope="module")
def street():
    """A street along the x axis with a corner every 100 m, drawn in one direction, and a corner beside it."""
    nodes = {f"n{k}": (100.0 * k, 0.0) for k in range(41)} | {"island": (0.0, 9000.0)}
    return types.SimpleNamespace(
        node_xy=nodes,
        from_node=[f"n{k}" for k in range(40)],
        to_node=[f"n{k + 1}" for k in range(40)],
        length_m=np.full(40, 100.0),
    )


def homes(*places, persons=1.0):
    return pd.DataFrame({"x": [x for x, _ in places], "y": [y for _, y in places], "persons": persons})


def served(function, homes, street, without=()):
    kept = {use: x for use, x in PLACES.items() if use not in without}
    return function(homes, list(kept), np.array([(x, 0.0) for x in kept.values()]), street)


def test_distances_are_those_along_the_streets_in_both_directions(street):
    found = served(distances, np.array([[0.0, 0.0], [3000.0, 0.0]]), street)
    assert found["education"].tolist() == pytest.approx([1000, 2000], abs=0.01)
    assert found["healthcare"].tolist() == pytest.approx([2000, 1000], abs=0.01)
    assert set(found) == set(FUNCTIONS)


def test_all_functions_count_and_the_bicycle_reaches_further(street):
    """1,125 m on foot and 3,250 m by bicycle."""
    people = homes((1000.0, 0.0), (0.0, 0.0), (3600.0, 0.0), persons=[2.0, 1.0, 1.0])
    found = served(access_indicators, people, street)
    assert found["15-minute access, on foot"].value == pytest.approx(50)  # from x = 1,000 m all are within 1,000 m
    assert found["15-minute access, by bicycle"].value == pytest.approx(75)
    assert "healthcare is served least, 50 %" in found["15-minute access, on foot"].about


def test_a_function_without_a_place_is_reached_by_nobody(street):
    found = served(access_indicators, homes((1000.0, 0.0)), street, without=("clinic",))
    assert [indicator.value for indicator in found.values()] == [0, 0]
    assert np.isinf(served(distances, np.array([[0.0, 0.0]]), street, without=("clinic",))["healthcare"]).all()


def test_homes_without_residents_have_no_access(street):
    assert served(access_indicators, homes((0.0, 0.0), persons=0.0), street) == {}
