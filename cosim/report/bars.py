"""Bar charts of indicators that are bars of one, such as residents by band of exposure: base beside plans."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from cosim.results.notebook import environment
from cosim.results.result import Result
from cosim.results.tables import number

from .scene import Scene

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
"""Okabe and Ito's, in the order of the curves."""


def bars_html(scenes: Mapping[str, Scene]) -> Markup:
    """Return the bar charts of all cases as HTML; empty if no run has any."""
    found = [
        {"title": f"{case}: {chart}" if case else chart, "names": scene.names, "colours": COLOURS, **shown}
        for case, scene in scenes.items()
        for chart, shown in _charts(scene.groups).items()
    ]
    if not found:
        return Markup()
    return Markup(environment("cosim.report").get_template("bars.html").render(charts=found, number=number))


def _charts(groups: Sequence[Sequence[Result]]) -> dict[str, dict[str, Any]]:
    """Return by chart its unit, note and rows: a label, and for each group the mean over its runs and its width."""
    charts: dict[str, dict[str, Any]] = {}
    indicators = {
        name: one for group in groups for run in group for name, one in run.indicators.items() if one.role == "bar"
    }
    for name, one in indicators.items():
        title, _, label = name.partition(": ")
        chart = charts.setdefault(title, {"unit": one.unit, "about": one.about, "rows": []})
        chart["rows"].append((label, [_mean(group, name) for group in groups]))
    for chart in charts.values():
        highest = max((abs(v) for _, values in chart["rows"] for v in values if math.isfinite(v)), default=0.0) or 1.0
        chart["rows"] = [
            (label, [(v, round(100 * abs(v) / highest, 1) if math.isfinite(v) else 0.0) for v in values])
            for label, values in chart["rows"]
        ]
    return charts


def _mean(runs: Sequence[Result], name: str) -> float:
    values = [run.indicators[name].value for run in runs if name in run.indicators]
    known = [value for value in values if math.isfinite(value)]
    return float(np.mean(known)) if known else math.nan
