"""Designs of studies: their points, with the position of each in the unit cube."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np

from .extra import needs
from .factors import Factor, Level, StudyError, factor

if TYPE_CHECKING:
    from numpy.typing import NDArray

Design: TypeAlias = Literal["grid", "lhs", "sobol", "morris", "list"]
Point: TypeAlias = dict[str, Level]

MORRIS_LEVELS = 4
"""Levels of Morris' grid, the usual choice: M. D. Morris, Technometrics 33 (1991), 161-174."""


@dataclass(frozen=True)
class Points:
    """The points of a design.

    Parameters
    ----------
    design
        The type of design.
    factors
        All factors by name.
    points
        The level of every factor, per point.
    cube : shape (n_points, n_varied) or None
        Quantiles of the varied factors, for sampled designs.
    """

    design: Design
    factors: Mapping[str, Factor]
    points: Sequence[Point]
    cube: NDArray[np.float64] | None = None

    @property
    def varied(self) -> list[str]:
        """Names of the factors that take more than one value."""
        return [name for name, one in self.factors.items() if one.varied]


def make_points(
    design: Design | Sequence[Mapping[str, Any]], given: Mapping[str, Any], samples: int | None, seed: int = 0
) -> Points:
    """Return the points of a design.

    Parameters
    ----------
    design
        ``"grid"``: every combination of levels. ``"lhs"``: a Latin hypercube of ``samples`` points. ``"sobol"``:
        Saltelli's ``samples * (n + 2)`` points for n varied factors, ``samples`` a power of two. ``"morris"``:
        ``samples`` trajectories of n + 1 points. Or a list of points, each a mapping of factors to values.
    given
        The factors as passed by the user.
    samples
        Size of a sampled design.
    seed
        Seed of the sampling.

    Raises
    ------
    StudyError
        If the design and the factors are incompatible.
    """
    factors, problems = {}, []
    for name, value in given.items():
        try:
            factors[name] = factor(name, value)
        except StudyError as error:
            problems += error.problems
    if problems:
        raise StudyError(problems)
    if not isinstance(design, str):
        return _listed(design, factors)
    if design not in get_args(Design) or design == "list":
        raise StudyError(f"design is {design!r}: write 'grid', 'lhs', 'sobol' or 'morris', or pass a list of points")
    if design == "grid":
        return _grid(factors, samples)
    return _sampled(design, factors, samples, seed)


def _listed(rows: Sequence[Mapping[str, Any]], fixed: dict[str, Factor]) -> Points:
    problems = [
        f"{name} is varied in addition to a list of points: include it in each point"
        for name, one in fixed.items()
        if one.varied
    ]
    if not rows:
        problems.append("the list of points is empty: pass at least one")
    names = list(rows[0]) if rows else []
    for k, row in enumerate(rows):
        if set(row) != set(names):
            problems.append(
                f"point {k} has the factors {', '.join(row) or 'none'}, the first has {', '.join(names)}: give all "
                "points the same factors"
            )
    if problems:
        raise StudyError(problems)
    points: list[Point] = []
    for row in rows:
        own = {
            name: factor(name, {str(value): value} if isinstance(value, list) else value).levels[0]
            for name, value in row.items()
        }
        points.append(own | {name: one.levels[0] for name, one in fixed.items()})
    factors = {
        name: Factor(name, tuple({str(point[name].label): point[name] for point in points}.values())) for name in names
    }
    return Points("list", factors | fixed, points)


def _grid(factors: dict[str, Factor], samples: int | None) -> Points:
    problems = [
        f"{name} is a distribution, but a grid needs levels: pass levels, or design='lhs' or 'sobol'"
        for name, one in factors.items()
        if one.distribution is not None
    ]
    if samples is not None:
        problems.append("a grid has every combination of levels: omit samples, or use design='lhs'")
    if problems:
        raise StudyError(problems)
    combinations = itertools.product(*(one.levels for one in factors.values()))
    return Points("grid", factors, [dict(zip(factors, levels)) for levels in combinations])


def _sampled(design: Design, factors: dict[str, Factor], samples: int | None, seed: int) -> Points:
    varied = [one for one in factors.values() if one.varied]
    problems = []
    if not varied:
        problems.append(f"design {design!r} has no varied factor: pass levels or a distribution")
    if samples is None or samples < 1:
        problems.append(f"samples of design {design!r} is {samples}: it must be a positive number")
    elif design == "sobol" and samples & (samples - 1):
        problems.append(
            f"samples is {samples}: a Sobol sequence needs a power of two, such as {2 ** samples.bit_length()}"
        )
    elif design == "morris" and samples < 2:
        problems.append("samples is 1: one trajectory gives no spread, pass at least 2")
    if design == "morris":
        problems += [
            f"{one.name} is unbounded, but a Morris design needs bounds: truncate it, or use design='sobol'"
            for one in varied
            if one.distribution is not None and not np.isfinite(one.distribution.support()).all()
        ]
    if problems:
        raise StudyError(problems)
    assert samples is not None
    cube = _cube(design, len(varied), samples, seed)
    fixed = {name: one.levels[0] for name, one in factors.items() if not one.varied}
    points = []
    for row in cube:
        own = {one.name: one.at(float(u)) for one, u in zip(varied, row)} | fixed
        points.append({name: own[name] for name in factors})
    return Points(design, factors, points, cube)


def problem(n: int) -> dict[str, Any]:
    """Return SALib's description of a problem with n factors in the unit cube."""
    return {"num_vars": n, "names": [str(k) for k in range(n)], "bounds": [[0.0, 1.0]] * n}


def _cube(design: Design, n: int, samples: int, seed: int) -> NDArray[np.float64]:
    if design == "lhs":
        from scipy.stats import qmc  # takes 0.7 s to import, which every command would pay

        return qmc.LatinHypercube(n, rng=np.random.default_rng(seed)).random(samples)
    with needs("SALib", f"design {design!r}"), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from SALib.sample import morris, sobol
    if design == "morris":
        return np.asarray(morris.sample(problem(n), samples, num_levels=MORRIS_LEVELS, seed=seed))
    return np.asarray(sobol.sample(problem(n), samples, calc_second_order=False, seed=seed))
