"""OSPM against the values of its equations, its kernel against them, and the average over wind directions."""

import numpy as np
import pytest

from cosim.core import CosimError
from cosim.core.environment.ospm import (
    facade_concentrations,
    half_sector,
    roof_exchange,
    roof_wind,
    traffic_turbulence,
    unit_concentrations,
)
from cosim.core.environment.streets import Streets

KMH = 1 / 3.6
TRAFFIC = float(traffic_turbulence(1000 / 3600 * 50 * KMH, 50 / 3600 * 50 * KMH, 20.0))
# s/m² at the lee and the windward façade, for winds at roof level and angles to a street of 20 m by 20 m
VALUES = {
    0.5: {90: (0.61792, 0.10024), 45: (0.57177, 0.41944), 10: (0.69091, 0.69384)},
    1.0: {90: (0.49020, 0.09392), 45: (0.48471, 0.05175), 10: (0.61406, 0.60444)},
    2.0: {90: (0.49237, 0.20508), 45: (0.36120, 0.04220), 10: (0.49226, 0.45908)},
    4.0: {90: (0.30852, 0.11803), 45: (0.23626, 0.02178), 10: (0.36037, 0.32668)},
    8.0: {90: (0.17465, 0.06157), 45: (0.13901, 0.01099), 10: (0.22640, 0.20251)},
}


def streets(n=200, seed=0):
    rng = np.random.default_rng(seed)
    height = rng.uniform(0, 30, (n, 2))
    height[: n // 4, 0] = 0.0
    height[: n // 8] = 0.0
    return {
        "turbulence": rng.uniform(0.02, 0.4, n),
        "bearing": rng.uniform(0, 2 * np.pi, n),
        "width": rng.uniform(6, 60, n),
        "height": height,
    }


def average(given, wind, direction, intervals, spread=None):
    """Return facade_concentrations in NumPy, from unit_concentrations."""
    half = float(half_sector(wind)) if spread is None else spread
    turns = direction + np.linspace(-half, half, intervals + 1)
    weights = np.full(intervals + 1, 1.0 / intervals)
    weights[[0, -1]] /= 2
    sine = np.sin(turns[:, None] - given["bearing"])
    left, right = given["height"].T
    lee, windward = unit_concentrations(
        wind,
        np.arcsin(np.abs(sine)),
        given["turbulence"],
        width=given["width"],
        height=given["height"].mean(axis=1),
        upwind_height=np.where(sine < 0, left, right),
        downwind_height=np.where(sine < 0, right, left),
    )
    return np.stack([weights @ np.where(sine < 0, lee, windward), weights @ np.where(sine < 0, windward, lee)], axis=1)


def test_turbulence_of_traffic_and_exchange_have_the_published_values():
    assert pytest.approx(0.2205, abs=5e-5) == TRAFFIC
    assert float(traffic_turbulence(1000 / 3600 * 50 * KMH, 0.0, 20.0)) == pytest.approx(0.1863, abs=5e-5)
    assert float(roof_exchange(4.0, TRAFFIC)) == pytest.approx(0.4236, abs=5e-5)


@pytest.mark.parametrize("wind", VALUES)
@pytest.mark.parametrize("degrees", [90, 45, 10])
def test_unit_concentrations_have_the_values_of_the_equations(wind, degrees):
    found = unit_concentrations(wind, np.radians(degrees), TRAFFIC, width=20.0, height=20.0)
    assert [float(x) for x in found] == pytest.approx(VALUES[wind][degrees], abs=5.1e-6)


def test_wind_along_the_street_treats_both_facades_alike():
    lee, windward = unit_concentrations(3.0, 0.0, TRAFFIC, width=20.0, height=20.0)
    found = facade_concentrations(
        3.0,
        0.7,
        np.array([TRAFFIC]),
        bearing=np.array([0.7]),
        width=np.array([20.0]),
        height=np.full((1, 2), 20.0),
        spread=0.0,
    )
    assert found[0] == pytest.approx([float(lee)] * 2)
    assert float(windward) == pytest.approx(float(lee), rel=0.2)


def test_the_facade_of_the_buildings_from_which_the_wind_comes_is_the_lee_side():
    # wind from the west onto a street to the north: the left façade is lee
    found = facade_concentrations(
        4.0,
        np.radians(270),
        np.array([TRAFFIC]),
        bearing=np.zeros(1),
        width=np.array([20.0]),
        height=np.full((1, 2), 20.0),
        spread=0.0,
    )
    assert found[0] == pytest.approx(VALUES[4.0][90], abs=5.1e-6)


@pytest.mark.parametrize(("wind", "direction"), [(0.05, 1.0), (0.7, 3.0), (1.9, 5.0), (2.1, 0.2), (9.0, 2.0)])
def test_the_kernel_equals_the_equations_in_numpy(wind, direction):
    given = streets()
    kernel = facade_concentrations(wind, direction, **given, intervals=24)
    assert kernel == pytest.approx(average(given, wind, direction, 24), rel=1e-9, abs=1e-12)


def test_the_average_over_wind_directions_converges():
    given = streets(1000)
    given["height"] += 3.0  # the side of an open street from which the wind comes has nothing to compare
    fine = facade_concentrations(2.0, 1.0, **given, intervals=4800)
    errors = {}
    for intervals in (6, 12, 24, 48):
        apart = np.abs(facade_concentrations(2.0, 1.0, **given, intervals=intervals) / fine - 1)
        errors[intervals] = float(np.sqrt((apart**2).mean()))
    assert errors[6] > 2 * errors[12] > 4 * errors[24] > 8 * errors[48] / 2
    assert errors[24] < 0.005  # of OSPM's own tolerance of 1 %, in the mean over streets
    tail = np.abs(facade_concentrations(2.0, 1.0, **given, intervals=24) / fine - 1)
    assert np.percentile(tail, 98) < 0.01


def test_the_upwind_side_of_an_open_street_gets_nothing():
    flat = {"width": 20.0, "height": 0.0}
    lee, windward = (float(x) for x in unit_concentrations(4.0, np.pi / 2, TRAFFIC, **flat))
    assert lee == 0.0
    assert windward > 0.0


def test_a_weak_wind_turns_through_all_directions():
    given = streets(50)
    weak = facade_concentrations(0.1, 0.0, **given, intervals=96)
    turned = facade_concentrations(0.1, 2.0, **given, intervals=96)
    assert weak == pytest.approx(turned, rel=0.03)
    assert half_sector(0.1) == pytest.approx(np.pi)
    assert half_sector([1.0, 7.0]) == pytest.approx(0.5)


def test_a_calm_has_the_wind_of_the_model_and_finite_concentrations():
    assert float(roof_wind(0.0)) == pytest.approx(0.82 * 0.01)
    found = facade_concentrations(float(roof_wind(0.0)), 0.0, **streets())
    assert np.isfinite(found).all()
    assert (found > 0).all()


def test_an_open_street_dilutes_more_than_a_canyon():
    one = {"bearing": np.zeros(1), "width": np.array([20.0])}
    spread = np.array([TRAFFIC])
    canyon = facade_concentrations(3.0, 1.0, spread, height=np.full((1, 2), 20.0), **one)
    open_ = facade_concentrations(3.0, 1.0, spread, height=np.zeros((1, 2)), **one)
    assert open_.mean() < canyon.mean()
    assert open_.min() >= 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"distance": np.zeros((1, 2))}, r"street 'a' has a width of 0 m: it must be positive, from façade to façade"),
        ({"height": np.array([[20.0, np.nan]])}, "street 'a' has buildings of height nan m: give the height of the"),
        ({"height": np.array([[-1.0, 20.0]])}, "street 'a' has buildings of height -1 m"),
        ({"length": np.zeros(1)}, "street 'a' is 0 m long: leave it out"),
        ({"tree_factor": np.array([0.5])}, "a tree factor is 0.5: SRM1 has 1, 1.25 and 1.5"),
        ({"bearing": np.zeros(2)}, r"bearing of streets expects shape \(1,\), got \(2,\)"),
    ],
)
def test_impossible_streets_get_one_clear_error(changes, message):
    given = {
        "labels": ("a",),
        "length": np.array([100.0]),
        "bearing": np.zeros(1),
        "distance": np.full((1, 2), 10.0),
        "height": np.full((1, 2), 20.0),
    }
    with pytest.raises(CosimError, match=message):
        Streets(**given | changes)


@pytest.mark.parametrize("wind", [np.nan, -1.0])
def test_no_wind_gets_one_clear_error(wind):
    with pytest.raises(CosimError, match=r"the wind is .* m/s: air quality in streets needs a wind speed"):
        roof_wind([2.0, wind])


def test_facades_stand_beside_the_axis():
    given = Streets(
        ("a",),
        np.array([10.0]),
        np.zeros(1),
        np.array([[8.0, 12.0]]),
        np.zeros((1, 2)),
        (np.array([[0.0, 0], [0, 10]]),),
    )
    assert given.facades == ("a|left", "a|right")
    assert given.facade_points()[0].tolist() == [[-8.0, 5.0], [12.0, 5.0]]
