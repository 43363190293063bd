"""Cost against effect in a report: a table and a chart of plans side by side."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from cosim.results.comparison import Comparison
from cosim.results.cost_effect import CostEffect, cost_effects
from cosim.results.notebook import environment
from cosim.results.tables import number

_WIDTH, _HEIGHT = 720, 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 90, 560, 24, 270
_TICKS = 5


def costs_html(comparisons: Mapping[str, Comparison]) -> Markup:
    """Return cost against effect of all plans by case as HTML; empty if no run has costs."""
    found = {case: cost_effects(comparison) for case, comparison in comparisons.items()}
    cases = [(case, effects, chart(effects)) for case, effects in found.items() if effects]
    if not cases:
        return Markup()
    template = environment("cosim.report").overlay()
    template.tests["finite"] = math.isfinite
    template.tests["nan"] = math.isnan
    return Markup(template.get_template("costs.html").render(cases=cases, number=number))


def chart(effects: Sequence[CostEffect]) -> dict[str, Any] | None:
    """Return places of marks and ticks on a chart of cost over CO2e avoided; None without plans that have both."""
    shown = [effect for effect in effects if math.isfinite(effect.yearly) and math.isfinite(effect.avoided)]
    if not shown:
        return None
    x_ticks = _ticks([0.0, *(effect.avoided for effect in shown)])
    y_ticks = _ticks([0.0, *(bound for effect in shown for bound in (effect.low, effect.yearly, effect.high))])

    def x(value: float) -> float:
        return float(np.interp(value, [x_ticks[0], x_ticks[-1]], [_LEFT, _RIGHT]).round(1))

    def y(value: float) -> float:
        return float(np.interp(value, [y_ticks[0], y_ticks[-1]], [_BOTTOM, _TOP]).round(1))

    return {
        "width": _WIDTH,
        "height": _HEIGHT,
        "left": _LEFT,
        "right": _RIGHT,
        "top": _TOP,
        "bottom": _BOTTOM,
        "x_ticks": [{"at": x(value), "value": value} for value in x_ticks],
        "y_ticks": [{"at": y(value), "value": value} for value in y_ticks],
        "marks": [
            {"plan": e.plan, "x": x(e.avoided), "y": y(e.yearly), "low": y(e.low), "high": y(e.high)} for e in shown
        ],
    }


def _ticks(values: Sequence[float]) -> list[float]:
    """Return round values, at equal steps of 1, 2 or 5 times a power of ten, that enclose the given ones.

    Examples
    --------
    >>> _ticks([0.0, 37.0]), _ticks([-3.0, 0.0])
    ([0.0, 10.0, 20.0, 30.0, 40.0], [-3.0, -2.0, -1.0, 0.0])
    """
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    power = 10.0 ** math.floor(math.log10(span / _TICKS))
    step = next(power * k for k in (1, 2, 5, 10) if span / (power * k) <= _TICKS)
    first, last = math.floor(low / step + 1e-9), max(math.ceil(high / step - 1e-9), math.floor(low / step) + 1)
    return [step * k for k in range(first, last + 1)]
