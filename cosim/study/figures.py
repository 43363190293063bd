"""How does a study look on paper? Indicators over a factor with intervals over seeds, or their indices."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cosim.statistics import t_interval

from .analysis import sensitivity, table
from .extra import needs
from .factors import StudyError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .campaign import Study

_COLUMNS = 3
_MOST_TICKS = 12
_TICK_CHARS = 12
_WIDTH_IN, _HEIGHT_IN = 3.6, 2.7


def plot(study: Study, indicators: Sequence[str] | None, x: str | None) -> Figure:
    """Return a figure with a panel per indicator.

    Of a grid or a list: means over seeds with 95 % intervals by Student's t, a line per combination of the other
    factors. Of a Sobol or Morris design: the indices with their 95 % intervals. Of a Latin hypercube: the runs.

    Parameters
    ----------
    study
        The study.
    indicators
        Their names; by default those of which lower or higher is better and which the factors change.
    x
        The factor along the axis; by default the first that is varied and has numbers, else the first.

    Raises
    ------
    StudyError
        If nothing is done yet, or there is no such factor or indicator.
    """
    with needs("matplotlib", "a figure"):
        from matplotlib.figure import Figure
    frame = table(study)
    names = list(indicators or _judged(frame) or frame.attrs["indicators"])
    unknown = [name for name in names if name not in frame.attrs["indicators"]]
    if not names or unknown:
        known = ", ".join(frame.attrs["indicators"]) or "none yet"
        raise StudyError(f"there is no indicator {unknown[0] if unknown else 'to draw'!r}: there are {known}")
    varied = study.points.varied
    if not varied or (x is not None and x not in varied):
        raise StudyError(f"{x!r} is not varied: there are {', '.join(varied) or 'none'}")
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
            values = group.loc[group[x] == label, name].dropna().to_numpy(float)
            mean = float(values.mean()) if len(values) else math.nan
            interval = t_interval(values) if len(values) > 1 else (mean, mean)
            middle.append(mean)
            low.append(mean - interval[0])
            high.append(interval[1] - mean)
        # side by side, that intervals do not hide each other
        span = (max(positions.values()) - min(positions.values())) or 1.0
        at = np.array([positions[label] for label in ticks]) + (k - (len(groups) - 1) / 2) * 0.015 * span
        panel.errorbar(at, middle, yerr=[low, high], marker="o", markersize=3, capsize=3, linewidth=1,
                       label=_legend(others, levels))  # fmt: skip
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
