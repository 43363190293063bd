"""What may be concluded from a study? Its table, paired effects, sensitivity indices, and whether the seeds suffice.

Runs of the same seed are paired: what chance gives to a household or a trip is the same in all of them. A seed is one
independent observation; levels of other factors are not.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cosim.statistics import bca_interval, paired_difference, t_interval

from .design import MORRIS_LEVELS, problem
from .extra import needs
from .factors import StudyError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .campaign import Study


def table(study: Study) -> pd.DataFrame:
    """Return one row per run that is done, and of which no input has changed since.

    Returns
    -------
    pandas.DataFrame
        Columns ``run``, ``point``, one per factor, ``seed``, one per indicator. ``attrs``: ``units`` and ``better`` of
        the indicators, ``indicators``, their names.
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
        raise StudyError(f"{both[0]!r} is the name of an indicator and of a column of the table: rename the indicator")
    frame = pd.DataFrame(rows, columns=[*own, *units])
    frame.attrs = {"units": units, "better": better, "indicators": list(units)}
    return frame


def effects(study: Study, factor: str | None, within: Sequence[str], level: float) -> pd.DataFrame:
    """Return paired differences of indicators between the first level of a factor and its others.

    Parameters
    ----------
    study
        A grid, or a list of points that has every combination of its levels.
    factor
        The factor; by default each that is varied.
    within
        Factors at each of whose levels the difference is told. Over all others that are varied it is averaged, seed by
        seed, before anything is said of its uncertainty.
    level
        Confidence level of the intervals.

    Returns
    -------
    pandas.DataFrame
        A row per level but the first, per indicator. A seed of which a run is missing, or not a number, is left out.
        Columns ``factor``, ``level``, ``base``, those of ``within``, ``indicator``, ``unit``, ``n`` (pairs, which are
        seeds), ``base mean``, ``difference``, ``t low``, ``t high``, ``bca low``, ``bca high``, ``p``, ``verdict``.

    Raises
    ------
    StudyError
        If the design has no pairs, or a factor does not exist.
    """
    if study.points.design not in ("grid", "list"):
        raise StudyError(
            f"a {study.points.design} design has no pairs that differ in one factor: make a grid, or ask for "
            "sensitivity() of a 'sobol' or 'morris' design"
        )
    varied = study.points.varied
    for name in [*([factor] if factor else []), *within]:
        if name not in varied:
            raise StudyError(f"{name!r} is not varied: there are {', '.join(varied) or 'none'}")
    frame = table(study)
    rows = []
    for name in [factor] if factor else [n for n in varied if n not in within]:
        base, *others = (one.label for one in study.points.factors[name].levels)
        for place in _places(study, within):
            for other in others:
                for indicator in frame.attrs["indicators"]:
                    first, second = _pairs(study, frame, name, base, other, place, indicator)
                    head = {"factor": name, "level": other, "base": base, **place, "indicator": indicator}
                    rows.append(head | {"unit": frame.attrs["units"][indicator]} | _row(first, second, level))
    return pd.DataFrame(rows)


def _row(first: NDArray[np.float64], second: NDArray[np.float64], level: float) -> dict[str, Any]:
    if not len(first):
        return {"n": 0, "verdict": "no pair is complete"}
    found = paired_difference(first, second, level=level)
    return {
        "n": found.n, "base mean": float(first.mean()), "difference": found.mean, "t low": found.t.low,
        "t high": found.t.high, "bca low": found.bca.low, "bca high": found.bca.high, "p": found.p,
        "verdict": found.verdict,
    }  # fmt: skip


def _places(study: Study, names: Sequence[str]) -> list[dict[str, Any]]:
    levels = [[one.label for one in study.points.factors[name].levels] for name in names]
    return [dict(zip(names, found)) for found in itertools.product(*levels)]


def _pairs(
    study: Study, frame: pd.DataFrame, factor: str, base: Any, other: Any, place: dict[str, Any], indicator: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return an indicator without and with, per seed, averaged over the other factors; only seeds that are whole."""
    for name, label in place.items():
        frame = frame[frame[name] == label]
    rest = [name for name in study.points.varied if name != factor and name not in place]
    sides = []
    for label in (base, other):
        side = frame[frame[factor] == label]
        sides.append(side.set_index([*rest, "seed"])[indicator].astype(float))
    both = pd.concat(sides, axis=1, keys=["base", "plan"], join="outer")
    by_seed = both.groupby("seed").agg(["mean", "count"])
    if not len(by_seed):
        return np.empty(0), np.empty(0)
    # A mean over what happens to be done would compare other points in one seed than in the next.
    n_points = math.prod(len(study.points.factors[name].levels) for name in rest)
    whole = by_seed[(by_seed["base"]["count"] == n_points) & (by_seed["plan"]["count"] == n_points)]
    return whole["base"]["mean"].to_numpy(), whole["plan"]["mean"].to_numpy()


def sensitivity(study: Study, indicators: Sequence[str] | None, level: float) -> pd.DataFrame:
    """Return sensitivity indices of indicators, each the mean over seeds at its point, to the varied factors.

    Parameters
    ----------
    study
        A Sobol or Morris design of which every run is done.
    indicators
        Their names; all by default.
    level
        Confidence level of the intervals, which SALib finds by resampling.

    Returns
    -------
    pandas.DataFrame
        Columns ``indicator``, ``factor``, and for Sobol ``S1`` (share of the variance by the factor alone) and ``ST``
        (with its interactions), for Morris ``mu``, ``mu_star`` (mean elementary effect and of its size, over the whole
        range of the factor) and ``sigma``; each with the half width of its interval, ``…_conf``.

    Raises
    ------
    StudyError
        If the design is another, or runs are missing: an index of what is there would be wrong.
    """
    design = study.points.design
    if design not in ("sobol", "morris"):
        raise StudyError(f"a {design} design has no sensitivity indices: make it with design='sobol' or 'morris'")
    frame = table(study)
    missing = sorted(set(study.runs.values()) - set(frame["run"]))
    if missing:
        which = "; ".join(", ".join(f"{k}={v}" for k, v in study.given(key).items()) for key in missing[:3])
        raise StudyError(
            f"{len(missing)} of {len(set(study.runs.values()))} runs are not done, and {design} indices need every "
            f"one: {which}{' …' if len(missing) > 3 else ''}; run the study with resume=True"
        )
    names = list(indicators or frame.attrs["indicators"])
    unknown = [name for name in names if name not in frame.attrs["indicators"]]
    if unknown:
        raise StudyError(f"there is no indicator {unknown[0]!r}: there are {', '.join(frame.attrs['indicators'])}")
    means = frame.groupby("point")[names].mean()
    gaps = frame[names].isna().sum()
    if gaps.any():
        name = str(gaps.idxmax())
        raise StudyError(f"{name!r} is not a number in {gaps[name]} runs: name other indicators, sensitivity([...])")
    found = [
        {"indicator": name, "factor": factor, **{index: float(values[k]) for index, values in indices.items()}}
        for name in names
        for indices in [_indices(study, means[name].to_numpy(float), level)]
        for k, factor in enumerate(study.points.varied)
    ]
    return pd.DataFrame(found)


def _indices(study: Study, values: NDArray[np.float64], level: float) -> dict[str, Any]:
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


def convergence(study: Study, indicator: str, factor: str | None, level: float) -> pd.DataFrame:
    """Return the interval that the first n seeds give, for every n from 2 on.

    Parameters
    ----------
    study
        A study of several seeds.
    indicator
        Name of the indicator.
    factor
        Tell the paired difference to the first level of this factor, averaged over the others; by default the mean of
        the indicator over all points.
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
        If there are fewer than two seeds, or no such indicator or factor.
    """
    frame = table(study)
    if indicator not in frame.attrs["indicators"]:
        known = ", ".join(frame.attrs["indicators"]) or "none yet"
        raise StudyError(f"there is no indicator {indicator!r}: there are {known}")
    if factor is not None and factor not in study.points.varied:
        raise StudyError(f"{factor!r} is not varied: there are {', '.join(study.points.varied) or 'none'}")
    series: Iterable[tuple[Any, NDArray[np.float64]]]
    if factor is None:
        by_seed = frame.groupby("seed")[indicator].agg(["mean", "count"])
        series = [(None, by_seed["mean"][by_seed["count"] == len(study.points.points)].to_numpy(float))]
    else:
        base, *others = (one.label for one in study.points.factors[factor].levels)
        pairs = ((other, _pairs(study, frame, factor, base, other, {}, indicator)) for other in others)
        series = [(other, second - first) for other, (first, second) in pairs]
    rows = [
        {"level": label, "n": n, "mean": float(values[:n].mean()),
         **dict(zip(("t low", "t high"), t_interval(values[:n], level=level))),
         **dict(zip(("bca low", "bca high"), bca_interval(values[:n], level=level)))}
        for label, values in series
        for n in range(2, len(values) + 1)
    ]  # fmt: skip
    if not rows:
        raise StudyError(f"{len(study.seeds)} seeds show no uncertainty: run the study with at least two")
    found = pd.DataFrame(rows)
    found["half width"] = (found["t high"] - found["t low"]) / 2
    return found
