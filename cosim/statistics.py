"""How sure is a difference? Means of few values with Student's t and with the bootstrap, and what may be said of them.

Two intervals stand side by side, since each fails where the other holds: Student's t [1]_ assumes that the differences
are normal, the bias-corrected and accelerated bootstrap (BCa) [2]_ only that the sample shows their distribution, which
a handful of values does badly: below about ten pairs it is too narrow.

References
----------
.. [1] Student, "The probable error of a mean", Biometrika 6 (1908), 1-25.
.. [2] B. Efron, "Better bootstrap confidence intervals", Journal of the American Statistical Association 82 (1987),
   171-185.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

import numpy as np
from scipy import stats

from cosim.core.errors import CosimError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

Verdict: TypeAlias = Literal["higher", "lower", "the same", "no effect shown", "one pair: not known"]

RESAMPLES = 9999
"""Bootstrap samples, as scipy's default."""

SMALLEST_BOOTSTRAP = 3
"""Two values have three distinct resampled means: no interval is read from them."""


class Interval(NamedTuple):
    """Lower and upper bound; NaN where too few values say nothing."""

    low: float
    high: float

    def holds(self, value: float) -> bool:
        """Tell whether a value lies in it; an interval that is not known holds everything."""
        return not (value < self.low or value > self.high)


_UNKNOWN = Interval(math.nan, math.nan)


@dataclass(frozen=True)
class PairedDifference:
    """What pairs of values say of a difference.

    Parameters
    ----------
    n
        Number of pairs.
    mean
        Mean of the differences.
    level
        Confidence level of both intervals.
    t, bca
        Intervals of the mean difference by Student's t and by the bootstrap.
    p
        Two-sided p-value of the paired t-test; NaN for one pair.
    """

    n: int
    mean: float
    level: float
    t: Interval
    bca: Interval
    p: float

    @property
    def verdict(self) -> Verdict:
        """What may be said: a direction only if neither interval holds zero."""
        if self.n == 1:
            return "one pair: not known"
        if self.t == Interval(0.0, 0.0):
            return "the same"
        if self.t.holds(0.0) or (not math.isnan(self.bca.low) and self.bca.holds(0.0)):
            return "no effect shown"
        return "higher" if self.mean > 0 else "lower"


def paired_difference(base: ArrayLike, plan: ArrayLike, *, level: float = 0.95, seed: int = 0) -> PairedDifference:
    """Compare pairs of values, as from the same seed with and without a policy.

    Parameters
    ----------
    base, plan : shape (n_pairs,)
        Values without and with.
    level
        Confidence level, between 0 and 1.
    seed
        Seed of the resampling.

    Returns
    -------
    PairedDifference
        Of ``plan - base``.

    Raises
    ------
    CosimError
        If the values are none, do not pair, or are not finite.

    Examples
    --------
    >>> found = paired_difference([10.0, 12.0, 11.0, 13.0], [12.1, 13.9, 13.0, 15.2])
    >>> round(found.mean, 3), found.verdict
    (2.05, 'higher')
    """
    first, second = np.asarray(base, dtype=float), np.asarray(plan, dtype=float)
    if first.shape != second.shape:
        raise CosimError(f"{first.shape[0]} values cannot be paired with {second.shape[0]}: give one of each per pair")
    differences = _checked(second - first, level)
    n = len(differences)
    p = math.nan
    if n > 1:
        p = _p_value(differences)
    return PairedDifference(
        n, float(differences.mean()), level, t_interval(differences, level=level),
        bca_interval(differences, level=level, seed=seed), p,
    )  # fmt: skip


def t_interval(values: ArrayLike, *, level: float = 0.95) -> Interval:
    """Return Student's interval of the mean; NaN for one value.

    Parameters
    ----------
    values : shape (n,)
        Independent values.
    level
        Confidence level, between 0 and 1.

    Raises
    ------
    CosimError
        If there is no value, or one that is not finite.
    """
    sample = _checked(values, level)
    if len(sample) == 1:
        return _UNKNOWN
    mean, error = float(sample.mean()), float(stats.sem(sample)) if np.ptp(sample) else 0.0
    half = float(stats.t.ppf((1 + level) / 2, len(sample) - 1)) * error
    return Interval(mean - half, mean + half)


def bca_interval(values: ArrayLike, *, level: float = 0.95, seed: int = 0) -> Interval:
    """Return the BCa bootstrap interval of the mean; NaN below three values.

    Parameters
    ----------
    values : shape (n,)
        Independent values.
    level
        Confidence level, between 0 and 1.
    seed
        Seed of the resampling: the same values give the same interval.

    Raises
    ------
    CosimError
        If there is no value, or one that is not finite.
    """
    sample = _checked(values, level)
    if len(sample) < SMALLEST_BOOTSTRAP:
        return _UNKNOWN
    if not np.ptp(sample):  # every resample is the sample: scipy's BCa divides zero by zero
        return Interval(float(sample[0]), float(sample[0]))
    found = stats.bootstrap(
        (sample,), np.mean, confidence_level=level, n_resamples=RESAMPLES, method="BCa",
        rng=np.random.default_rng(seed),
    ).confidence_interval  # fmt: skip
    return Interval(float(found.low), float(found.high))


def _p_value(differences: NDArray[np.float64]) -> float:
    if not np.ptp(differences):
        return 1.0 if differences[0] == 0 else 0.0
    return float(stats.ttest_1samp(differences, 0.0).pvalue)


def _checked(values: ArrayLike, level: float) -> NDArray[np.float64]:
    sample = np.asarray(values, dtype=float)
    if not 0 < level < 1:
        raise CosimError(f"the confidence level is {level}: it must lie between 0 and 1, as 0.95 does")
    if sample.ndim != 1 or not len(sample):
        raise CosimError(f"statistics need one row of values, got the shape {sample.shape}")
    if not np.isfinite(sample).all():
        raise CosimError(
            f"{np.count_nonzero(~np.isfinite(sample))} of {len(sample)} values are not finite: leave these runs out, "
            "and say so"
        )
    return sample
