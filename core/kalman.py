"""A Kalman filter of factors that a model's inputs are multiplied by, from what was counted and what was simulated."""

from __future__ import annotations

import numpy as np

from .errors import CosimError
from .quantities import Array, Vector

COMMON_SD = 0.3
"""Standard deviation of the factor that all zones have in common, before anything was counted. An assumption."""
OWN_SD = 0.2
"""Standard deviation of a zone's own part of its factor, before anything was counted. Of 0.2, 0.4 and 1.5 the one that
predicts loops of Bologna best that are not used."""
MEMORY_S = 6 * 3600.0
"""Time after which a deviation from 1 that nothing confirms has decayed to 1/e. [s] An assumption."""
MODEL_CV = 0.24
"""Standard deviation of what an edge carries around what the right factors make of it, as in the estimate of a day."""
COUNT_CV = 0.1
"""Standard deviation of a loop's count over the count, beside that of a Poisson variable; as there."""
MOST_USUAL = 5.0
"""Largest lasting ratio between model and counts that is corrected, either way."""
LIMITS = (0.25, 3.0)
"""Least and largest factor."""


class FactorFilter:
    """Factors of zones, corrected at every interval by counts on edges.

    The state is the deviation of every factor from 1. It decays towards 0, with the noise that keeps the variance of
    zones without counts at its first value, so that the model's own daily course remains the forecast's backbone; an
    observation's expectation is what the simulator, run with the factors of the time, had on the edge, and its
    derivative the share of every zone in that [1]_.

    Parameters
    ----------
    shares : shape (n_edges, n_zones)
        Flow on every edge that comes from every zone at factors of 1, in any unit.
    usual : shape (n_edges,)
        What the model usually has over what is usually counted, 1 by default: counts are multiplied by it, so that a
        lasting disagreement is not taken for another demand.

    Raises
    ------
    CosimError
        If a share is negative or not finite.

    References
    ----------
    .. [1] Kalman, R. E. (1960): A new approach to linear filtering and prediction problems. Journal of Basic
       Engineering 82, 35-45. The extended form: the simulator predicts, its derivative is approximated.

    Examples
    --------
    Both zones send twice as much as the model thinks, and two loops see one zone each:

    >>> factors = FactorFilter(np.eye(2))
    >>> for _ in range(6):
    ...     x = factors.correct(np.array([2000.0, 500.0]), np.array([1000.0, 250.0]) * factors.factors, 3600.0)
    >>> x.round(1).tolist()
    [1.8, 1.8]
    """

    def __init__(self, shares: Array, usual: Vector | None = None) -> None:
        self._shares = np.asarray(shares, float)
        if self._shares.ndim != 2 or not (np.isfinite(self._shares) & (self._shares >= 0)).all():
            raise CosimError(f"shares has shape {self._shares.shape}: give finite flows of 0 or more by edge and zone")
        self._usual = np.ones(len(self._shares)) if usual is None else np.clip(usual, 1 / MOST_USUAL, MOST_USUAL)
        n = self._shares.shape[1]
        self._first = COMMON_SD**2 * np.ones((n, n)) + OWN_SD**2 * np.eye(n)
        self.factors: Vector = np.ones(n)
        """The factors after the last correction, shape (n_zones,)."""
        self.covariance: Array = self._first.copy()
        """Of the factors, shape (n_zones, n_zones)."""

    def ahead(self, seconds: float) -> Vector:
        """Return the factors expected some time after the last correction, shape (n_zones,)."""
        return 1.0 + float(np.exp(-seconds / MEMORY_S)) * (self.factors - 1.0)

    def correct(self, counted: Vector, simulated: Vector, length_s: float) -> Vector:
        """Correct the factors by the counts of an interval and return them, shape (n_zones,).

        Parameters
        ----------
        counted : shape (n_edges,)
            Vehicles counted; negative or NaN where there is no count. [veh/h]
        simulated : shape (n_edges,)
            Vehicles that the simulator, at the present factors, had there. [veh/h]
        length_s
            Length of the interval. [s]
        """
        keep = float(np.exp(-length_s / MEMORY_S))
        state = keep * (self.factors - 1.0)
        covariance = keep**2 * self.covariance + (1 - keep**2) * self._first
        through = self._shares @ self.factors
        used = (np.nan_to_num(counted, nan=-1.0) >= 0) & (through > 0)
        if used.any():
            # veh/h per unit of each factor
            slope = self._shares[used] * (simulated[used] / through[used])[:, None]
            count, expected = (counted * self._usual)[used], slope @ (1.0 + state)
            per_hour = 3600.0 / length_s
            noise = (MODEL_CV * expected) ** 2 + (COUNT_CV * count) ** 2 + np.maximum(count, 1.0) * per_hour
            gain = np.linalg.solve(slope @ covariance @ slope.T + np.diag(noise), slope @ covariance).T
            state = state + gain @ (count - expected)
            covariance = covariance - gain @ slope @ covariance
        self.factors = np.clip(1.0 + state, *LIMITS)
        self.covariance = (covariance + covariance.T) / 2
        return self.factors
