"""Propagation against ISO/TR 17534-4, the closed forms of line sources, and what façades see."""

from itertools import pairwise

import numpy as np
import pytest

from cosim import CosimError
from cosim.core.environment.noise_emission import sound_power
from cosim.core.environment.noise_levels import a_weighted, decibels, energy
from cosim.core.environment.noise_paths import Built, noise_paths
from cosim.core.environment.noise_propagation import air_absorption, ground_attenuation, segment_view, transmission

DISTANCE = np.hypot(190.0, 40.0)
CASES = {
    # ISO/TR 17534-4, as in NoiseModelling's AttenuationComputeOutputCnossosTest: ground, homogeneous, favourable, level
    "TC01": (0.0, [-3.0] * 8, [-4.36] * 8, [39.95, 39.89, 39.77, 39.60, 39.26, 38.09, 33.61, 17.27]),
    "TC02": (
        0.5,
        [-1.5, -1.5, -1.5, 0.85, 5.71, -1.5, -1.5, -1.5],
        [-2.18, -2.18, -2.18, -2.18, -0.93, -2.18, -2.18, -2.18],
        [38.07, 38.01, 37.89, 36.79, 34.29, 36.21, 31.73, 15.39],
    ),
    "TC03": (
        1.0,
        [0, 0, 1.59, 9.67, 5.03, 0, 0, 0],
        [0, 0, 0, 4.23, 0, 0, 0, 0],
        [36.21, 36.16, 35.31, 29.71, 33.70, 34.36, 29.87, 13.54],
    ),
}


def level_of_point(ground, favourable_share):
    """Level of 93 dB per band at (10, 10, 1) m heard at (200, 50, 4) m."""
    spread = 20 * np.log10(np.hypot(DISTANCE, 3.0)) + 11
    path = transmission(DISTANCE, 1.0, 4.0, ground=ground, source_ground=ground, favourable_share=favourable_share)
    return 93 - spread + decibels(path)


@pytest.mark.parametrize("case", CASES)
def test_iso_17534_cases_are_reproduced_to_their_digits(case):
    ground, homogeneous, favourable, level = CASES[case]
    for bent, expected in ((False, homogeneous), (True, favourable)):
        found = ground_attenuation(DISTANCE, 1.0, 4.0, ground, ground, favourable=bent)
        np.testing.assert_allclose(found.round(2), expected, atol=1e-9)
    np.testing.assert_allclose(level_of_point(ground, 0.5).round(2), level, atol=1e-9)


def test_conditions_of_the_second_case_are_reproduced():
    homogeneous = [37.71, 37.66, 37.53, 35.01, 29.82, 35.86, 31.37, 15.04]
    favourable = [38.39, 38.34, 38.22, 38.04, 36.45, 36.54, 32.05, 15.72]
    np.testing.assert_allclose(level_of_point(0.5, 0.0).round(2), homogeneous, atol=0.0101)
    np.testing.assert_allclose(level_of_point(0.5, 1.0).round(2), favourable, atol=0.0101)


def test_air_absorbs_as_in_iso_9613():
    found = (1000 * air_absorption(10.0, 0.7)).round(2)
    np.testing.assert_array_equal(found, [0.12, 0.41, 1.04, 1.93, 3.66, 9.66, 32.77, 116.88])


def test_infinite_street_follows_the_closed_form():
    view, _ = segment_view(np.zeros((1, 2)), np.array([[-1e7, 10.0]]), np.array([[1e7, 10.0]]), 0.0)
    # L'W - 10 lg d - 3.0 over hard ground, 81.45 dB(A) per metre at 10 m: 68.4 dB(A)
    assert 81.45 + float(decibels(view[0])) + 3.0 == pytest.approx(68.4, abs=0.05)


def test_line_pieces_equal_a_sum_of_many_points():
    axis = np.array([[-150.0, 0.0], [40.0, 0.0], [40.0, 120.0]])
    receivers = np.array([[0.0, 8.0], [-60.0, 15.0], [30.0, 60.0]])
    power = sound_power({"1": [800.0], "3": [30.0]}, {"1": [45.0], "3": [40.0]})
    found = noise_paths(
        receivers, [0, 0, 0], [axis], facing=[[0, -1], [0, -1], [1, 0]], ground=0.3, favourable_share=0.4
    ).received(power)
    points = np.concatenate([a + (b - a) * (np.arange(4000)[:, None] + 0.5) / 4000 for a, b in pairwise(axis)])
    lengths = np.repeat(np.hypot(*np.diff(axis, axis=0).T) / 4000, 4000)
    for receiver, level in zip(receivers, decibels(found)):
        d = np.hypot(*(points - receiver).T)
        spread = lengths / (4 * np.pi * (d**2 + 3.95**2))
        exact = (transmission(d, ground=0.3, favourable_share=0.4) * spread[:, None] * power[0]).sum(axis=0)
        assert level == pytest.approx(float(decibels(a_weighted(exact))), abs=0.1)


def crossing():
    """Two streets that cross between four square blocks, and a street behind the block to the north-east."""
    axes = [np.array([[-100.0, 0.0], [100.0, 0.0]]), np.array([[0.0, -100.0], [0.0, 100.0]])]
    axes.append(np.array([[10.0, 110.0], [100.0, 110.0]]))
    cells = np.zeros((120, 120), bool)
    middle = np.arange(120) * 2.0 - 119.0
    built = (np.abs(middle) > 10) & (np.abs(middle) < 100)
    cells[np.ix_(built, built)] = True
    return axes, Built(cells, (-120.0, -120.0), 2.0)


def test_blocks_hide_streets_and_facades_do_not_hear_what_lies_behind_them():
    axes, built = crossing()
    facade = {"points": [[50.0, 10.0]], "own": [0], "axes": axes, "facing": [[0.0, -1.0]]}
    hidden = noise_paths(**facade, built=built).factors.toarray().reshape(3, 8)
    assert (hidden[0] > 0).all()
    assert (hidden[2] == 0).all()  # behind the façade
    around = noise_paths(**{**facade, "facing": [[-1.0, 0.0]]}, built=built).factors.toarray().reshape(3, 8)
    assert (around[1] == 0).all()  # behind the block's corner
    corner = noise_paths(**{**facade, "points": [[14.0, 10.0]]}, built=built).factors.toarray().reshape(3, 8)
    assert (corner[1] > 0).all()
    free = noise_paths(**{**facade, "facing": [[-1.0, 0.0]]}).factors.toarray().reshape(3, 8)
    assert (free[1] > 0).all()


def test_reflections_raise_the_level_of_their_street():
    axes, built = crossing()
    quiet, loud = (
        noise_paths([[50.0, 10.0]], [0], axes, facing=[[0.0, -1.0]], built=built, reflection=r).factors.toarray()
        for r in (0.0, [1.6, 0.0, 0.0])
    )
    np.testing.assert_allclose(loud[0, :8] / quiet[0, :8], energy(1.6), rtol=1e-6)
    np.testing.assert_array_equal(loud[0, 8:], quiet[0, 8:])


def test_hours_are_received_alike_alone_and_together():
    axes, built = crossing()
    paths = noise_paths([[50.0, 10.0], [14.0, 10.0]], [0, 0], axes, facing=[[0, -1], [0, -1]], built=built)
    power = sound_power({"1": np.arange(72.0).reshape(24, 3)}, {"1": 50.0})
    day = paths.received(power)
    assert day.shape == (24, 2)
    np.testing.assert_allclose(day[5], paths.received(power[5]), rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"own": [7]}, "a façade's own street is 7: there are 3 streets"),
        ({"own": [0, 1]}, "give shapes (n, 2), (n,), (n, 2)"),
        ({"points": [[np.nan, 0.0]]}, "a façade's place is not finite"),
        ({"axes": [np.zeros((2, 2))]}, "the axis of street 0 has no length"),
        ({"ground": 2.0}, "absorption of the ground is 2.0"),
        ({"favourable_share": -1.0}, "share of favourable conditions is -1.0"),
    ],
)
def test_bad_geometry_gets_one_clear_error(change, words):
    axes, _ = crossing()
    given = {"points": [[50.0, 10.0]], "own": [0], "axes": axes, "facing": [[0.0, -1.0]]} | change
    with pytest.raises(CosimError) as error:
        noise_paths(given.pop("points"), given.pop("own"), given.pop("axes"), **given)
    assert words in str(error.value)


def test_other_bad_input_of_propagation():
    with pytest.raises(CosimError, match=r"distance to a source is 0\.0 m"):
        ground_attenuation(0.0, 1.0, 4.0, 0.0)
    with pytest.raises(CosimError, match="ISO 9613-1 holds"):
        air_absorption(10.0, 70.0)
    axes, _ = crossing()
    paths = noise_paths([[50.0, 10.0]], [0], axes, facing=[[0.0, -1.0]])
    with pytest.raises(CosimError, match=r"sound power expects shape \(…, 3, 8\), got \(2, 8\)"):
        paths.received(np.zeros((2, 8)))
