"""The points of each design, and the identity of values."""

import dataclasses
import enum
import itertools

import numpy as np
import pydantic
import pytest
from scipy import stats

from cosim.study.design import make_points
from cosim.study.factors import StudyError, canonical, factor


@dataclasses.dataclass
class Charging:
    power_w: float
    smart: bool = False


class Share(pydantic.BaseModel):
    share: float


class Plain:
    def __init__(self, x):
        self.x = x


class Colour(enum.Enum):
    RED = 1


def values(points):
    return [{name: level.value for name, level in point.items()} for point in points.points]


def test_a_grid_is_every_combination_of_levels():
    points = make_points("grid", {"a": [1, 2], "b": range(3), "c": "x"}, None)
    assert len(points.points) == 6
    assert {(p["a"], p["b"], p["c"]) for p in values(points)} == {(a, b, "x") for a in (1, 2) for b in range(3)}
    assert points.varied == ["a", "b"]


def test_a_tuple_is_one_value_and_a_mapping_labels_its_levels():
    points = make_points("grid", {"blocks": (2, 3), "charging": {"plain": Charging(3.7), "fast": Charging(22.0)}}, None)
    assert [p["charging"].label for p in points.points] == ["plain", "fast"]
    assert points.points[1]["charging"].value == Charging(22.0)
    assert points.points[0]["blocks"].value == (2, 3)


def test_a_latin_hypercube_has_one_point_in_every_stratum_of_every_factor():
    points = make_points("lhs", {"a": stats.uniform(10, 5), "b": stats.norm(0, 1)}, 20)
    for name, cdf in (("a", stats.uniform(10, 5).cdf), ("b", stats.norm(0, 1).cdf)):
        strata = np.floor(np.array([cdf(p[name]) for p in values(points)]) * 20)
        assert sorted(strata) == list(range(20))


def test_saltellis_design_has_n_times_factors_plus_two_points_and_levels_are_equally_likely():
    points = make_points("sobol", {"a": stats.uniform(0, 2), "mode": ["x", "y"], "fixed": 7}, 64)
    assert len(points.points) == 64 * (2 + 2)
    modes = [p["mode"] for p in values(points)]
    assert modes.count("x") == len(modes) / 2
    assert {p["fixed"] for p in values(points)} == {7}


def test_morris_changes_one_factor_at_a_time():
    found = values(make_points("morris", {"a": stats.uniform(0, 2), "b": stats.uniform(5, 1)}, 4))
    assert len(found) == 4 * 3
    for k in range(4):
        trajectory = found[3 * k : 3 * k + 3]
        assert all(sum(one[n] != two[n] for n in one) == 1 for one, two in itertools.pairwise(trajectory))


def test_points_may_be_listed():
    points = make_points([{"a": 1, "b": (2, 2)}, {"a": 3, "b": (4, 4)}], {"c": 5}, None)
    assert values(points) == [{"a": 1, "b": (2, 2), "c": 5}, {"a": 3, "b": (4, 4), "c": 5}]


def test_the_same_design_has_the_same_points():
    given = {"a": stats.uniform(0, 2), "b": stats.uniform(5, 1)}
    for design in ("lhs", "sobol", "morris"):
        assert values(make_points(design, given, 4)) == values(make_points(design, given, 4))


@pytest.mark.parametrize(
    ("design", "given", "samples", "words"),
    [
        ("grids", {"a": [1]}, None, "design is 'grids': write 'grid', 'lhs', 'sobol' or 'morris'"),
        ("grid", {"a": stats.uniform(0, 1)}, None, "a is a distribution, but a grid needs levels"),
        ("grid", {"a": [1, 2]}, 5, "a grid has every combination of levels: omit samples"),
        ("lhs", {"a": [1, 2]}, None, "samples of design 'lhs' is None: it must be a positive number"),
        ("sobol", {"a": stats.uniform(0, 1)}, 6, "samples is 6: a Sobol sequence needs a power of two"),
        ("morris", {"a": stats.norm(0, 1)}, 4, "a is unbounded"),
        ("sobol", {"a": 3}, 4, "has no varied factor"),
        ("grid", {"a": []}, None, "a has no levels"),
        ("grid", {"a": [1, 1]}, None, "a has two levels with the same values, 1"),
        ("grid", {"a": [float("nan")]}, None, "a=nan: nan is not finite"),
        ("grid", {"a": {"x": object()}}, None, "a object cannot be identified by its content"),
        ([{"a": 1}, {"b": 1}], {}, None, "point 1 has the factors b, the first has a: give all points"),
        ([], {}, None, "the list of points is empty"),
        ([{"a": 1}], {"b": [1, 2]}, None, "b is varied in addition to a list of points"),
    ],
)
def test_a_design_that_does_not_fit_its_factors_is_refused(design, given, samples, words):
    with pytest.raises(StudyError, match=words.replace("(", r"\(")):
        make_points(design, given, samples)


def test_problems_of_several_factors_are_reported_together():
    with pytest.raises(StudyError) as caught:
        make_points("grid", {"a": [], "b": [float("inf")]}, None)
    assert len(caught.value.problems) == 2


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (Charging(1.0), Charging(1.0)),
        (Share(share=0.4), Share(share=0.4)),
        (Plain([1, (2, 3)]), Plain([1, (2, 3)])),
        ({"a": 1, "b": {2, 3}}, {"b": {3, 2}, "a": 1}),
        (np.array([1.0, 2.0]), [1.0, 2.0]),
        (np.float64(0.5), 0.5),
        (Colour.RED, Colour.RED),
    ],
)
def test_equal_values_have_the_same_identity(one, two):
    assert canonical(one) == canonical(two)


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (Charging(1.0), Charging(2.0)),
        (Share(share=0.4), Plain(0.4)),
        (1, 1.0),
        ("1", 1),
        (True, 1),
        (Plain(1), Plain(2)),
    ],
)
def test_different_values_have_different_identities(one, two):
    assert repr(canonical(one)) != repr(canonical(two))


def test_a_discrete_distribution_gives_whole_numbers():
    assert isinstance(factor("n", stats.randint(1, 7)).at(0.5).value, int)
