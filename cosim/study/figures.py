"""Figures of a study: indicators over a factor with intervals over seeds, or sensitivity indices."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cosim.results.statistics import additive, t_interval

from .analysis import sensitivity, table
from .extra import needs
from .factors import StudyError
from .plan import StudyPlan

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


MOST_PANELS = 12
"""Largest number of indicators in a figure of the study's page."""

_COLUMNS = 3
_MOST_TICKS = 12
_TICK_CHARS = 12
_WIDTH_IN, _HEIGHT_IN = 3.6, 2.7


def plot(study: StudyPlan, indicators: Sequence[str] | None, x: str | None) -> Figure:
    """Return a figure with one panel per indicator.

    A grid or list is shown as means over seeds with 95 % intervals by Student's t, with one line per combination of the
    other factors; a Sobol or Morris design as indices with their 95 % intervals; a Latin hypercube as single runs.

    Parameters
    ----------
    study
        The study.
    indicators
        Names of the indicators; by default those with a better direction that the factors change.
    x
        The factor on the horizontal axis; by default the first varied numeric factor, otherwise the first varied one.

    Raises
    ------
    StudyError
        If no run is done yet, or the factor or indicator is unknown.
    """
    with needs("matplotlib", "a figure"):
        from matplotlib.figure import Figure
    frame = table(study)
    names = list(indicators or _judged(frame) or frame.attrs["indicators"])
    unknown = [name for name in names if name not in frame.attrs["indicators"]]
    if not names or unknown:
        known = ", ".join(frame.attrs["indicators"]) or "none yet"
        raise StudyError(
            f"unknown indicator {unknown[0]!r}; available: {known}"
            if unknown
            else "the study has no indicator to draw yet: run it first"
        )
    varied = study.points.varied
    if not varied or (x is not None and x not in varied):
        raise StudyError(f"{x!r} is not varied; varied factors: {', '.join(varied) or 'none'}")
    x = x or next((n for n in varied if pd.api.types.is_numeric_dtype(frame[n])), varied[0])
    columns = min(_COLUMNS, len(names))
    rows = math.ceil(len(names) / columns)
    figure = Figure(figsize=(_WIDTH_IN * columns, _HEIGHT_IN * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel in panels[len(names) :]:
        panel.set_axis_off()
    for panel, name in zip(panels, names):
        if study.points.design in ("sobol", "morris"):
            _indices(panel, sensitivity(study, [name], 0.95), name)
            continue
        if study.points.design == "lhs":
            panel.plot(frame[x], frame[name], ".", markersize=3)
        else:
            _lines(panel, frame, name, x, [n for n in varied if n != x])
        panel.set_xlabel(x)
        unit = frame.attrs["units"][name]
        panel.set_title(f"{name} [{unit}]", fontsize=9)
    if panels[0].get_legend_handles_labels()[1]:
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=4, fontsize=8)
    return figure


def split(study: StudyPlan, indicators: Sequence[str] | None) -> tuple[list[list[str]], str]:
    """Return the indicators of each figure, at most `MOST_PANELS`, and in words which ones are left out and why.

    Raises
    ------
    StudyError
        If no run is done yet.
    """
    frame = table(study)
    names = list(indicators or _judged(frame) or frame.attrs["indicators"])
    if not names:
        raise StudyError("the study has no indicator to draw yet: run it first")
    left_out = [name for name in frame.attrs["indicators"] if name not in names] if not indicators else []
    zero = [name for name in left_out if not frame[name].fillna(0.0).any()]
    reasons = {
        "0 in every run": zero,
        "not changed by the factors": [n for n in left_out if n not in zero and frame.attrs["better"].get(n)],
        "neither better nor worse": [n for n in left_out if n not in zero and not frame.attrs["better"].get(n)],
    }
    said = "; ".join(f"{reason}: {', '.join(found)}" for reason, found in reasons.items() if found)
    return [
        names[k : k + MOST_PANELS] for k in range(0, len(names), MOST_PANELS)
    ], f"Not drawn, {said}." if said else ""


def _judged(frame: pd.DataFrame) -> list[str]:
    by_seed = frame.groupby("seed")
    return [n for n, better in frame.attrs["better"].items() if better and by_seed[n].nunique().max() > 1]


def _lines(panel: Axes, frame: pd.DataFrame, name: str, x: str, others: Sequence[str]) -> None:
    groups = list(frame.groupby(list(others), sort=False)) if others else [((), frame)]
    ticks = list(dict.fromkeys(frame[x]))
    numeric = pd.api.types.is_numeric_dtype(frame[x])
    positions = {label: float(label) if numeric else float(k) for k, label in enumerate(ticks)}
    for k, (levels, group) in enumerate(groups):
        middle, low, high = [], [], []
        for label in ticks:
            values = additive(group.loc[group[x] == label, name].dropna(), frame.attrs["units"][name])
            mean = float(values.mean()) if len(values) else math.nan
            interval = t_interval(values) if len(values) > 1 else (mean, mean)
            middle.append(mean)
            low.append(mean - interval[0])
            high.append(interval[1] - mean)
        # slightly shifted, so that intervals do not overlap
        span = (max(positions.values()) - min(positions.values())) or 1.0
        at = np.array([positions[label] for label in ticks]) + (k - (len(groups) - 1) / 2) * 0.015 * span
        panel.errorbar(
            at,
            middle,
            yerr=[low, high],
            marker="o",
            markersize=3,
            capsize=3,
            linewidth=1,
            label=_legend(others, levels),
        )
    if not numeric or len(ticks) <= _MOST_TICKS:
        panel.set_xticks(list(positions.values()), [textwrap.fill(str(label), _TICK_CHARS) for label in ticks])
    panel.tick_params(labelsize=8)


def _legend(others: Sequence[str], levels: Any) -> str | None:
    if not others:
        return None
    return ", ".join(f"{name} = {level}" for name, level in zip(others, levels))


def _indices(panel: Axes, found: pd.DataFrame, name: str) -> None:
    index = "ST" if "ST" in found else "mu_star"
    panel.barh(found["factor"], found[index], xerr=found[f"{index}_conf"], capsize=3, height=0.5)
    panel.invert_yaxis()
    what = "total Sobol index" if index == "ST" else "mean size of elementary effects"
    panel.set_title(f"{name}: {what}", fontsize=9)
    panel.tick_params(labelsize=8)
