"""Confidence intervals and verdicts for paired differences, by Student's t and by the bootstrap.

Two intervals are reported, since their assumptions differ: Student's t [1]_ assumes normal differences, the
bias-corrected and accelerated bootstrap (BCa) [2]_ only that the sample represents their distribution, which few values
do poorly: below about ten pairs its interval is too narrow.

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

from cosim.core import units
from cosim.core.errors import CosimError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

Conclusion: TypeAlias = Literal[
    "higher", "lower", "the same", "no effect shown", "one pair: inconclusive", "two pairs: inconclusive"
]

RESAMPLES = 9999
"""Number of bootstrap samples, scipy's default."""

SMALLEST_BOOTSTRAP = 3
"""Smallest sample for a bootstrap: two values have only three distinct resampled means."""


class Interval(NamedTuple):
    """Lower and upper bound; NaN if there are too few values for an interval."""

    low: float
    high: float

    def holds(self, value: float) -> bool:
        """Return whether a value lies in the interval; an unknown interval holds every value."""
        return not (value < self.low or value > self.high)


_UNKNOWN = Interval(math.nan, math.nan)


@dataclass(frozen=True, kw_only=True)
class PairedDifference:
    """The mean difference of pairs of values, with its uncertainty.

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
    def verdict(self) -> Conclusion:
        """The conclusion: a direction only if both intervals are known and neither holds zero."""
        if self.n == 1:
            return "one pair: inconclusive"
        if self.t == Interval(0.0, 0.0):
            return "the same"
        if self.n < SMALLEST_BOOTSTRAP:
            return "two pairs: inconclusive"
        if self.t.holds(0.0) or self.bca.holds(0.0):
            return "no effect shown"
        return "higher" if self.mean > 0 else "lower"


def additive(values: ArrayLike, unit: str) -> NDArray[np.float64]:
    """Return values whose arithmetic mean is the mean of values in a unit; other values are returned as they are.

    The mean of levels in dB is that of the energies behind them. Each is replaced by its linear contribution to that
    mean (its influence [3]_), so that the spread of these gives the interval of the mean.

    Parameters
    ----------
    values : shape (n,)
        The values.
    unit
        Their unit.

    References
    ----------
    .. [3] F. R. Hampel, "The influence curve and its role in robust estimation", Journal of the American Statistical
       Association 69 (1974), 383-393.

    Examples
    --------
    >>> round(float(additive([70.0, 60.0], "dB").mean()), 2), float(additive([70.0, 60.0], "W").mean())
    (67.4, 65.0)
    """
    found = np.asarray(values, dtype=float)
    if not units.is_level(unit) or not len(found):
        return found
    energy = units.energies(found - found.max())  # relative to the loudest, so that none is too large
    mean = energy.mean()
    level: NDArray[np.float64] = found.max() + 10 / math.log(10) * (math.log(mean) + energy / mean - 1)
    return level


def paired_difference(
    base: ArrayLike, plan: ArrayLike, *, level: float = 0.95, seed: int = 0, unit: str = ""
) -> PairedDifference:
    """Compare pairs of values, such as those of the same seed with and without a policy.

    Parameters
    ----------
    base, plan : shape (n_pairs,)
        Values without and with the plan.
    unit
        Their unit; means of levels are by energy.
    level
        Confidence level, between 0 and 1.
    seed
        Seed of the resampling.

    Returns
    -------
    PairedDifference
        The difference ``plan - base``.

    Raises
    ------
    CosimError
        If there are no values, they do not form pairs, or are not finite.

    Examples
    --------
    >>> found = paired_difference([10.0, 12.0, 11.0, 13.0], [12.1, 13.9, 13.0, 15.2])
    >>> round(found.mean, 3), found.verdict
    (2.05, 'higher')
    """
    first, second = np.asarray(base, dtype=float), np.asarray(plan, dtype=float)
    if first.shape != second.shape:
        raise CosimError(f"{first.shape[0]} values cannot be paired with {second.shape[0]}: pass two values per pair")
    differences = _checked(additive(second, unit) - additive(first, unit), level)
    n = len(differences)
    return PairedDifference(
        n=n,
        mean=float(differences.mean()),
        level=level,
        t=t_interval(differences, level=level),
        bca=bca_interval(differences, level=level, seed=seed),
        p=_p_value(differences) if n > 1 else math.nan,
    )


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
    from scipy.special import stdtrit  # takes 0.3 s to import, which every run would pay

    mean, error = float(sample.mean()), _standard_error(sample)
    half = float(stdtrit(len(sample) - 1, (1 + level) / 2)) * error
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
        Seed of the resampling, so that the same values give the same interval.

    Raises
    ------
    CosimError
        If there is no value, or one that is not finite.
    """
    sample = _checked(values, level)
    if len(sample) < SMALLEST_BOOTSTRAP:
        return _UNKNOWN
    if not np.ptp(sample):  # all resamples are equal: scipy's BCa would divide zero by zero
        return Interval(float(sample[0]), float(sample[0]))
    from scipy import stats  # takes 0.7 s to import, which every run would pay

    found = stats.bootstrap(
        (sample,),
        np.mean,
        confidence_level=level,
        n_resamples=RESAMPLES,
        method="BCa",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Interval(float(found.low), float(found.high))


def _standard_error(sample: NDArray[np.float64]) -> float:
    return float(sample.std(ddof=1) / np.sqrt(len(sample)))


def _p_value(differences: NDArray[np.float64]) -> float:
    mean, error = float(differences.mean()), _standard_error(differences)
    if error == 0:
        return 1.0 if mean == 0 else 0.0
    from scipy.special import stdtr

    return float(2 * stdtr(len(differences) - 1, -abs(mean / error)))


def _checked(values: ArrayLike, level: float) -> NDArray[np.float64]:
    sample = np.asarray(values, dtype=float)
    if not 0 < level < 1:
        raise CosimError(f"the confidence level is {level}: it must lie between 0 and 1, as in 0.95")
    if sample.ndim != 1 or not len(sample):
        raise CosimError(f"statistics need a non-empty vector of values, got shape {sample.shape}")
    if not np.isfinite(sample).all():
        raise CosimError(
            f"{np.count_nonzero(~np.isfinite(sample))} of {len(sample)} values are not finite: exclude these runs "
            "explicitly"
        )
    return sample
