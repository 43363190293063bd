"""Exposure against published counts and the values of annex III of the Directive."""

import numpy as np
import pytest

from cosim import CosimError
from cosim.core.environment.exposure import (
    HEALTH_FUNCTIONS,
    LIMITS,
    attributable,
    highly_annoyed,
    highly_sleep_disturbed,
    share_above,
)


def test_norways_count_of_the_highly_annoyed():
    # Norwegian Institute of Public Health, in healthiar's tests: 174,232
    people = np.array([387_500, 286_000, 191_800, 72_200, 7_700])
    count = (highly_annoyed([57.5, 62.5, 67.5, 72.5, 77.5]) * people).sum()
    assert round(float(count)) == 174_232
    assert round(float(count), 2) == 174_231.84


def test_annex_iii_by_band():
    annoyed = 100 * highly_annoyed([53, 57.5, 62.5, 67.5, 72.5, 77.5])
    np.testing.assert_array_equal(annoyed.round(3), [9.836, 12.819, 17.758, 24.407, 32.766, 42.835])
    disturbed = 100 * highly_sleep_disturbed([45, 47.5, 52.5, 57.5, 62.5])
    np.testing.assert_array_equal(disturbed.round(3), [2.934, 3.514, 5.146, 7.408, 10.300])


def test_quiet_places_annoy_nobody():
    np.testing.assert_array_equal(highly_annoyed([-np.inf, 0.0, 52.99]), 0.0)
    np.testing.assert_array_equal(highly_sleep_disturbed([-np.inf, 0.0, 44.99]), 0.0)


def test_shares_are_strictly_above_a_limit_and_weighted_by_people():
    assert share_above([40.0, 40.1, 10.0], [1.0, 2.0, 1.0], 40.0) == 0.5
    assert np.isnan(share_above([], [], 40.0))
    assert {(limit.quantity, limit.value) for limit in LIMITS} == {
        ("NO2", 20.0), ("NO2", 40.0), ("PM2.5", 10.0), ("PM2.5", 25.0),
        ("Lden", 55.0), ("Lden", 65.0), ("Lnight", 50.0), ("Lnight", 55.0),
    }  # fmt: skip


def test_heart_disease_follows_annex_iii():
    function = HEALTH_FUNCTIONS["Lden, WHO 2018"]
    for level, risk in ((60.0, 1.05535), (70.0, 1.13978), (50.0, 1.0)):
        central, low, high = attributable(function, [level], [1000.0], 0.01)
        assert central == pytest.approx((risk - 1) / risk * 10.0, rel=1e-4)
        assert low <= central <= high


def test_deaths_equal_the_exponential_form_where_all_are_exposed_alike():
    function = HEALTH_FUNCTIONS["PM2.5, WHO 2021"]
    central, low, high = attributable(function, [15.0, 15.0], [400.0, 600.0], 0.012)
    found = [1000 * 0.012 * (1 - np.exp(-np.log(risk) / 10 * 10.0)) for risk in (1.08, 1.06, 1.09)]
    np.testing.assert_allclose([central, low, high], found)
    assert attributable(function, [4.0], [1000.0], 0.012) == (0.0, 0.0, 0.0)
    assert attributable(function, [40.0], [0.0], 0.012) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("levels", "people", "words"),
    [
        ([1.0, 2.0], [1.0], r"levels \(2,\) and people \(1,\)"),
        ([1.0], [-1.0], "negative or not finite"),
        ([np.nan], [1.0], "a level is missing"),
    ],
)
def test_bad_residents_get_one_clear_error(levels, people, words):
    with pytest.raises(CosimError, match=words):
        share_above(levels, people, 40.0)


def test_incidence_is_a_share():
    with pytest.raises(CosimError, match=r"incidence is 1200: give cases for each person and year"):
        attributable(HEALTH_FUNCTIONS["NO2, WHO 2021"], [30.0], [10.0], 1200)
