"""Flows on known routes from hourly counts, by generalised least squares.

The flow on every route is its prior, scaled to the hour, and corrected by what the counts say (Cascetta 1984). Routes
that no loop tells apart are corrected alike, so that a scenario of many routes with a vehicle each is as free as one of
few. Two things keep the correction from spoiling streets without a loop. The error of a count is not the loop's alone:
traffic begins and ends in side streets that no route knows, so that even the right flows would miss a count by a share
of the edge's volume. And loops that contradict the others, because they see a part of the lanes or are broken, lose
their weight (Holland and Welsch 1977).

References
----------
.. [1] Cascetta, E. (1984): Estimation of trip matrices from traffic counts and survey data. Transportation Research
   18B(4/5), 289-299.
.. [2] Holland, P. W., Welsch, R. E. (1977): Robust regression using iteratively reweighted least-squares.
   Communications in Statistics A6(9), 813-827.
"""

from __future__ import annotations

import numpy as np

from cosim.core import CosimError
from cosim.core.quantities import Array, Vector
from cosim.core.random import uniform

PRIOR_CV = 10**0.5
"""Standard deviation of the flow over its prior, of many vehicles on routes that pass the same loops; with few it is
larger. Large: the prior is a guess."""
MODEL_CV = 0.06**0.5
"""Standard deviation of an edge's volume around that of the right route flows, over its prior."""
COUNT_CV = 0.1
"""Standard deviation of a loop's count over the count, beside that of a Poisson variable."""
DOUBTED_GEH = 4.0
"""Root mean square GEH of a loop from which on it loses weight, with the fourth power of their ratio."""
ROUNDS = 6
"""Rounds of reweighting."""


def geh(flow: Array, count: Array) -> Array:
    """Return the GEH statistic of hourly flows, 0 where both are 0.

    Examples
    --------
    >>> geh(np.array([1100.0, 0.0]), np.array([1000.0, 0.0])).round(2).tolist()
    [3.09, 0.0]
    """
    return np.sqrt(2 * (flow - count) ** 2 / np.maximum(flow + count, 1e-12))


def path_flows(passes: Array, prior: Vector, counts: Array) -> Array:
    """Estimate the flow on every route in every hour.

    Parameters
    ----------
    passes : shape (n_edges, n_routes)
        How often a route passes an edge.
    prior : shape (n_routes,)
        Flow on every route, in any unit: every hour it is scaled so that it has the sum of the counts.
    counts : shape (n_edges, n_hours)
        Vehicles counted. [veh/h]

    Returns
    -------
    shape (n_routes, n_hours)
        Never negative. [veh/h]

    Raises
    ------
    CosimError
        If no route passes a counted edge.

    Examples
    --------
    One route ends before the second loop:

    >>> flows = path_flows(np.array([[1, 1], [0, 1]]), np.array([1.0, 1.0]), np.array([[500.0], [200.0]]))
    >>> flows.round(-1).ravel().tolist()
    [300.0, 200.0]
    """
    patterns, pattern = np.unique(passes, axis=1, return_inverse=True)
    pattern = pattern.ravel()
    together = np.bincount(pattern, prior, patterns.shape[1])
    usual = together[patterns.any(axis=0)].mean() if patterns.any() else 0.0
    variance = PRIOR_CV**2 * together * (together + usual)
    volume = patterns @ together
    if not volume.any():
        raise CosimError("no route passes an edge with a count: the scenario's routes must cross the counted streets")
    scale = counts[volume > 0].sum(axis=0) / volume.sum()
    error = [
        np.sqrt(MODEL_CV**2 * (volume * s) ** 2 + (COUNT_CV * count) ** 2 + np.maximum(count, 1.0))
        for s, count in zip(scale, counts.T)
    ]
    looser = np.ones(len(counts))
    for _ in range(ROUNDS):
        hours = zip(scale, counts.T, error)
        found = np.array([_hour(patterns, together * s, variance * s**2, c, looser * e) for s, c, e in hours]).T
        missed = np.sqrt((geh(patterns @ found, counts) ** 2).mean(axis=1))
        looser = np.maximum(1.0, missed / DOUBTED_GEH) ** 2
    share = prior / np.where(together > 0, together, 1.0)[pattern]
    flows: Array = share[:, np.newaxis] * found[pattern]
    return flows


def _hour(passes: Array, prior: Vector, variance: Vector, counts: Vector, error: Vector) -> Vector:
    """Return the flows of one hour; routes whose flow would be negative leave the problem one round after the other."""
    used = prior > 0
    flow = np.zeros_like(prior)
    while used.any():
        a, x = passes[:, used], prior[used]
        spread = a * variance[used]
        flow = np.zeros_like(prior)
        flow[used] = x + spread.T @ np.linalg.solve(spread @ a.T + np.diag(error**2), counts - a @ x)
        if (flow >= 0).all():
            break
        used &= flow > 0
    return np.maximum(flow, 0.0)


def held_out(passes: Array, prior: Vector, counts: Array, folds: int, labels: tuple[str, ...], seed: int = 0) -> Array:
    """Predict the counts of every edge from those of the other folds' edges.

    Parameters
    ----------
    folds
        Number of parts of the edges, which are drawn by ``seed`` and ``labels``; no more than there are edges.

    Returns
    -------
    shape (n_edges, n_hours)
        [veh/h]

    Raises
    ------
    CosimError
        If there are fewer than two folds, or fewer edges than folds.
    """
    if not 2 <= folds <= len(counts):
        raise CosimError(f"folds is {folds}: it must lie between 2 and the number of counted edges, {len(counts)}")
    fold = np.empty(len(counts), int)
    fold[np.argsort(uniform(seed, "fold of counts", labels), kind="stable")] = np.arange(len(counts)) % folds
    predicted = np.empty(counts.shape)
    for k in range(folds):
        left, kept = fold == k, fold != k
        predicted[left] = passes[left] @ path_flows(passes[kept], prior, counts[kept])
    return predicted
