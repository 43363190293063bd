"""The analysis of a study: table, paired effects, sensitivity indices, convergence over seeds.

Runs with the same seed are paired: the random draws of each household and trip are the same in all of them. A seed is
one independent observation; levels of other factors are not.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cosim.results.statistics import additive, bca_interval, paired_difference, t_interval

from .design import MORRIS_LEVELS, problem
from .extra import needs
from .factors import StudyError
from .plan import StudyPlan

if TYPE_CHECKING:
    from numpy.typing import NDArray


def table(study: StudyPlan) -> pd.DataFrame:
    """Return one row per run that is done and whose inputs have not changed since.

    Returns
    -------
    pandas.DataFrame
        Columns ``run``, ``point``, one per factor, ``seed``, one per indicator. ``attrs`` holds ``units`` and
        ``better`` of the indicators, and their names as ``indicators``.
    """
    rows, units, better = [], {}, {}
    markers = {key: study.run_folder(key).valid() for key in set(study.runs.values())}
    for (k, seed), key in study.runs.items():
        marker = markers[key]
        if marker is None:
            continue
        row: dict[str, Any] = {"run": key, "point": k}
        row |= {name: level.label for name, level in study.points.points[k].items()} | {"seed": seed}
        for name, found in marker["indicators"].items():
            row[name] = np.nan if found["value"] is None else found["value"]
            units[name], better[name] = found["unit"], found["better"]
        rows.append(row)
    own = ["run", "point", *study.points.factors, "seed"]
    both = sorted(set(own) & set(units))
    if both:
        raise StudyError(f"{both[0]!r} names both an indicator and a column of the table: rename the indicator")
    frame = pd.DataFrame(rows, columns=[*own, *units])
    frame.attrs = {"units": units, "better": better, "indicators": list(units)}
    return frame


def effects(study: StudyPlan, factor: str | None, within: Sequence[str], level: float) -> pd.DataFrame:
    """Return paired differences of indicators between the first level of a factor and its others.

    Parameters
    ----------
    study
        A grid, or a list of points with every combination of its levels.
    factor
        The factor; by default every varied factor.
    within
        Factors for each of whose levels the difference is given separately. It is averaged over all other varied
        factors, seed by seed, before its uncertainty is estimated.
    level
        Confidence level of the intervals.

    Returns
    -------
    pandas.DataFrame
        One row per level except the first, and per indicator. Seeds with missing runs or missing values are excluded.
        Columns ``factor``, ``level``, ``base``, those of ``within``, ``indicator``, ``unit``, ``n`` (number of pairs,
        one per seed), ``base mean``, ``difference``, ``t low``, ``t high``, ``bca low``, ``bca high``, ``p``,
        ``verdict``.

    Raises
    ------
    StudyError
        If the design has no pairs, or a factor is unknown.
    """
    if study.points.design not in ("grid", "list"):
        raise StudyError(
            f"the {study.points.design} design has no pairs that differ in one factor: use a grid, or sensitivity() "
            "with a 'sobol' or 'morris' design"
        )
    varied = study.points.varied
    for name in [*([factor] if factor else []), *within]:
        if name not in varied:
            raise StudyError(f"{name!r} is not varied; varied factors: {', '.join(varied) or 'none'}")
    frame = table(study)
    rows = []
    for name in [factor] if factor else [n for n in varied if n not in within]:
        base, *others = (one.label for one in study.points.factors[name].levels)
        for place in _places(study, within):
            for other in others:
                for indicator in frame.attrs["indicators"]:
                    first, second = _pairs(
                        study, frame, factor=name, base=base, other=other, place=place, indicator=indicator
                    )
                    head = {"factor": name, "level": other, "base": base, **place, "indicator": indicator}
                    unit = frame.attrs["units"][indicator]
                    rows.append(head | {"unit": unit} | _row(first, second, level, unit))
    return pd.DataFrame(rows)


def _row(first: NDArray[np.float64], second: NDArray[np.float64], level: float, unit: str) -> dict[str, Any]:
    if not len(first):
        return {"n": 0, "verdict": "no complete pair"}
    found = paired_difference(first, second, level=level, unit=unit)
    return {
        "n": found.n,
        "base mean": float(additive(first, unit).mean()),
        "difference": found.mean,
        "t low": found.t.low,
        "t high": found.t.high,
        "bca low": found.bca.low,
        "bca high": found.bca.high,
        "p": found.p,
        "verdict": found.verdict,
    }


def _mean_in(unit: str) -> Callable[[pd.Series[float]], float]:
    """Return the mean of indicators in a unit, of levels by energy; without missing values."""

    def mean(values: pd.Series[float]) -> float:
        return float(additive(values.dropna(), unit).mean()) if values.notna().any() else math.nan

    return mean


def _places(study: StudyPlan, names: Sequence[str]) -> list[dict[str, Any]]:
    levels = [[one.label for one in study.points.factors[name].levels] for name in names]
    return [dict(zip(names, found)) for found in itertools.product(*levels)]


def _pairs(
    study: StudyPlan,
    frame: pd.DataFrame,
    *,
    factor: str,
    base: Any,
    other: Any,
    place: Mapping[str, Any],
    indicator: str,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return an indicator at two levels of a factor, per complete seed, averaged over the other factors."""
    for name, label in place.items():
        frame = frame[frame[name] == label]
    rest = [name for name in study.points.varied if name != factor and name not in place]
    sides = []
    for label in (base, other):
        side = frame[frame[factor] == label]
        sides.append(side.set_index([*rest, "seed"])[indicator].astype(float))
    both = pd.concat(sides, axis=1, keys=["base", "plan"], join="outer")
    by_seed = both.groupby("seed").agg([_mean_in(frame.attrs["units"][indicator]), "count"])
    if not len(by_seed):
        return np.empty(0), np.empty(0)
    # A mean over only those runs that are done would average over different points in different seeds.
    n_points = math.prod(len(study.points.factors[name].levels) for name in rest)
    whole = by_seed[(by_seed["base"]["count"] == n_points) & (by_seed["plan"]["count"] == n_points)]
    return whole["base"]["mean"].to_numpy(), whole["plan"]["mean"].to_numpy()


def sensitivity(study: StudyPlan, indicators: Sequence[str] | None, level: float) -> pd.DataFrame:
    """Return the sensitivity indices of indicators, averaged over seeds, to the varied factors.

    Parameters
    ----------
    study
        A Sobol or Morris design whose runs are all done.
    indicators
        Names of the indicators; all by default.
    level
        Confidence level of the intervals, which SALib computes by resampling.

    Returns
    -------
    pandas.DataFrame
        Columns ``indicator``, ``factor``, and for Sobol ``S1`` (share of the variance due to the factor alone) and
        ``ST`` (including its interactions), for Morris ``mu`` and ``mu_star`` (mean elementary effect over the whole
        range of the factor, signed and absolute) and ``sigma``; each with the half width of its interval, ``…_conf``.

    Raises
    ------
    StudyError
        If the design has no indices, or runs are missing: indices from incomplete designs would be wrong.
    """
    design = study.points.design
    if design not in ("sobol", "morris"):
        raise StudyError(f"the {design} design has no sensitivity indices: use design='sobol' or 'morris'")
    frame = table(study)
    missing = sorted(set(study.runs.values()) - set(frame["run"]))
    if missing:
        which = "; ".join(", ".join(f"{k}={v}" for k, v in study.given(key).items()) for key in missing[:3])
        raise StudyError(
            f"{len(missing)} of {len(set(study.runs.values()))} runs are not done, but {design} indices need all of "
            f"them: {which}{' …' if len(missing) > 3 else ''}; run the study with resume=True"
        )
    names = list(indicators or frame.attrs["indicators"])
    unknown = [name for name in names if name not in frame.attrs["indicators"]]
    if unknown:
        raise StudyError(f"unknown indicator {unknown[0]!r}; available: {', '.join(frame.attrs['indicators'])}")
    means = frame.groupby("point").agg({name: _mean_in(frame.attrs["units"][name]) for name in names})
    gaps = frame[names].isna().sum()
    if gaps.any():
        name = str(gaps.idxmax())
        raise StudyError(f"{name!r} has no value in {gaps[name]} runs: choose other indicators, sensitivity([...])")
    found = [
        {"indicator": name, "factor": factor, **{index: float(values[k]) for index, values in indices.items()}}
        for name in names
        for indices in [_indices(study, means[name].to_numpy(float), level)]
        for k, factor in enumerate(study.points.varied)
    ]
    return pd.DataFrame(found)


def _indices(study: StudyPlan, values: NDArray[np.float64], level: float) -> dict[str, Any]:
    n = len(study.points.varied)
    with needs("SALib", "sensitivity()"), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from SALib.analyze import morris, sobol
    options = {"conf_level": level, "seed": 0}
    is_sobol = study.points.design == "sobol"
    wanted = ("S1", "S1_conf", "ST", "ST_conf") if is_sobol else ("mu", "mu_star", "mu_star_conf", "sigma")
    if not np.ptp(values):  # SALib divides by the variance
        return dict.fromkeys(wanted, np.zeros(n))
    if is_sobol:
        found = sobol.analyze(problem(n), values, calc_second_order=False, **options)
    else:
        found = morris.analyze(problem(n), study.points.cube, values, num_levels=MORRIS_LEVELS, **options)
    return {name: found[name] for name in wanted}


def convergence(study: StudyPlan, indicator: str, factor: str | None, level: float) -> pd.DataFrame:
    """Return the confidence interval from the first n seeds, for every n from 2 on.

    Parameters
    ----------
    study
        A study with several seeds.
    indicator
        Name of the indicator.
    factor
        Return the paired difference to the first level of this factor, averaged over the others; by default the mean
        of the indicator over all points.
    level
        Confidence level.

    Returns
    -------
    pandas.DataFrame
        Columns ``level`` (of the factor), ``n``, ``mean``, ``t low``, ``t high``, ``bca low``, ``bca high``,
        ``half width`` of the t interval.

    Raises
    ------
    StudyError
        If there are fewer than two seeds, or the indicator or factor is unknown.
    """
    frame = table(study)
    if indicator not in frame.attrs["indicators"]:
        known = ", ".join(frame.attrs["indicators"]) or "none yet"
        raise StudyError(f"unknown indicator {indicator!r}; available: {known}")
    if factor is not None and factor not in study.points.varied:
        raise StudyError(f"{factor!r} is not varied; varied factors: {', '.join(study.points.varied) or 'none'}")
    unit = frame.attrs["units"][indicator]
    series: Iterable[tuple[Any, tuple[NDArray[np.float64], ...]]]
    if factor is None:
        by_seed = frame.groupby("seed")[indicator].agg([_mean_in(unit), "count"])
        series = [(None, (by_seed["mean"][by_seed["count"] == len(study.points.points)].to_numpy(float),))]
    else:
        base, *others = (one.label for one in study.points.factors[factor].levels)
        series = [
            (other, _pairs(study, frame, factor=factor, base=base, other=other, place={}, indicator=indicator))
            for other in others
        ]
    rows = [
        {
            "level": label,
            "n": n,
            "mean": float(values.mean()),
            **dict(zip(("t low", "t high"), t_interval(values, level=level))),
            **dict(zip(("bca low", "bca high"), bca_interval(values, level=level))),
        }
        for label, (*base_side, side) in series
        for n in range(2, len(side) + 1)
        for values in [additive(side[:n], unit) - sum(additive(each[:n], unit) for each in base_side)]
    ]
    if not rows:
        raise StudyError(f"uncertainty needs at least two seeds, got {len(study.seeds)}: run the study with more seeds")
    found = pd.DataFrame(rows)
    found["half width"] = (found["t high"] - found["t low"]) / 2
    return found
