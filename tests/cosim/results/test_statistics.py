"""Intervals and verdicts of paired differences, against published examples."""

import numpy as np
import pytest
from scipy import stats

from cosim import CosimError
from cosim.results.statistics import Interval, PairedDifference, bca_interval, paired_difference, t_interval

# Student's own example (Biometrika 1908, data of Cushny and Peebles): hours of sleep gained by two drugs.
SLEEP_1 = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
SLEEP_2 = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]


def test_paired_t_gives_what_r_prints_for_students_sleep_data():
    # R's documented example: t.test(extra ~ group, paired = TRUE): mean 1.58, interval 0.7001 to 2.4599, p = 0.002833
    found = paired_difference(SLEEP_1, SLEEP_2)
    assert found.n == 10
    assert found.mean == pytest.approx(1.58)
    assert found.t == pytest.approx((0.7001142, 2.4598858), abs=1e-7)
    assert found.p == pytest.approx(0.002833, abs=1e-6)
    assert found.verdict == "higher"
    assert paired_difference(SLEEP_2, SLEEP_1).verdict == "lower"


def test_bca_interval_is_shifted_towards_the_tail_of_skewed_differences():
    low, high = bca_interval(np.array(SLEEP_2) - SLEEP_1)
    assert 0.7 < low < 1.58 < high
    assert high - 1.58 > 1.58 - low


@pytest.mark.parametrize("interval", [t_interval, bca_interval])
def test_intervals_cover_the_true_mean_with_their_confidence_level(interval):
    # 150 samples of 20 normal values: the count of misses is binomial(150, 0.05); BCa is known to miss a little more
    rng = np.random.default_rng(7)
    misses = sum(not interval(rng.normal(3.0, 2.0, 20)).holds(3.0) for _ in range(150))
    allowed = stats.binom.ppf(0.999, 150, 0.05 if interval is t_interval else 0.07)
    assert stats.binom.ppf(0.001, 150, 0.05) <= misses <= allowed


def test_pairs_reveal_an_effect_that_is_small_compared_with_the_spread_over_seeds():
    noise = np.random.default_rng(1).normal(100, 50, 10)
    found = paired_difference(noise, noise + 1 + 0.1 * np.sin(np.arange(10)))
    assert found.verdict == "higher"
    assert stats.ttest_ind(noise, noise + 1).pvalue > 0.9


def test_an_interval_that_holds_zero_shows_no_effect():
    found = paired_difference([1.0, 2.0, 3.0, 4.0], [2.0, 1.0, 4.0, 3.0])
    assert found.t.holds(0.0)
    assert found.verdict == "no effect shown"


def test_one_pair_gives_a_difference_but_no_uncertainty():
    found = paired_difference([1.0], [3.0])
    assert found.mean == 2.0
    assert np.isnan([*found.t, *found.bca, found.p]).all()
    assert found.verdict == "one pair: inconclusive"


def test_two_pairs_have_only_a_t_interval_and_so_no_direction():
    found = paired_difference([1.0, 2.0], [11.0, 12.001])
    assert found.t.low > 0
    assert np.isnan(found.bca).all()
    assert found.verdict == "two pairs: inconclusive"
    assert paired_difference([1.0, 2.0], [1.0, 2.0]).verdict == "the same"


def test_a_direction_needs_both_intervals():
    known, unknown = Interval(1.0, 2.0), Interval(np.nan, np.nan)
    for t, bca, verdict in [
        (known, known, "higher"),
        (known, unknown, "no effect shown"),
        (unknown, known, "no effect shown"),
    ]:
        found = PairedDifference(n=5, mean=1.5, level=0.95, t=t, bca=bca, p=0.01)
        assert found.verdict == verdict


@pytest.mark.parametrize(("shift", "verdict"), [(0.0, "the same"), (0.1, "higher")])
def test_the_same_difference_in_every_pair_has_intervals_without_width(shift, verdict):
    found = paired_difference(np.zeros(5), np.full(5, shift))
    assert found.t == found.bca == (shift, shift)
    assert found.verdict == verdict


def test_the_same_values_give_the_same_bootstrap_interval():
    assert bca_interval(SLEEP_1) == bca_interval(SLEEP_1)


@pytest.mark.parametrize(
    ("base", "plan", "level", "words"),
    [
        ([1.0, 2.0], [1.0], 0.95, "2 values cannot be paired with 1"),
        ([], [], 0.95, "statistics need a non-empty vector of values"),
        ([1.0, np.nan], [1.0, 2.0], 0.95, "1 of 2 values are not finite"),
        ([1.0], [2.0], 95, "the confidence level is 95: it must lie between 0 and 1"),
    ],
)
def test_values_that_cannot_be_compared_are_refused(base, plan, level, words):
    with pytest.raises(CosimError, match=words):
        paired_difference(base, plan, level=level)
