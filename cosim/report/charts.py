"""Which curves does a report draw? What sectors hand to each other, and the course of every layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cosim.core import units

from .scene import Scene, View

POINTS = 288
"""Points of a curve: a day in five minutes."""

_PREFIXED = ("W", "J", "var", "VA")
_PREFIXES = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


def course(view: View, values: NDArray[np.float64]) -> dict[str, list[float | None]]:
    """Return a layer over time: its sum over elements, or its mean, lowest and highest."""
    known = np.isfinite(values)
    there = known.any(axis=1)
    filled = np.where(known, values, 0.0)
    if view.adds_up:
        return {"sum": _plain(np.where(there, filled.sum(axis=1), np.nan))}
    mean = filled.sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    low = np.where(known, values, np.inf).min(axis=1, initial=np.inf)
    high = np.where(known, values, -np.inf).max(axis=1, initial=-np.inf)
    return {name: _plain(np.where(there, row, np.nan)) for name, row in (("mean", mean), ("low", low), ("high", high))}


def coupled_quantities(scene: Scene) -> list[dict[str, Any]]:
    """Return for each output that feeds another simulator its total or mean over time, in every run."""
    targets: dict[str, list[str]] = {}
    for run in scene.runs:
        for connection in run.provenance["connections"]:
            source, _, target = connection["connection"].partition(" → ")
            if target not in targets.setdefault(source, []):
                targets[source].append(target)
    titles: dict[str, View] = {view.layer.port: view for view in reversed(scene.views)}
    charts = []
    # what the map shows too comes first, under the same title
    for port, inputs in sorted(targets.items(), key=lambda one: one[0] not in titles):
        about = next((r.provenance["outputs"][port] for r in scene.runs if port in r.ports), None)
        if about is None:
            continue
        adds_up = units.is_extensive(about["unit"])
        column = "sum" if adds_up else "mean"
        series = [
            _mean([run.spread(port, [column])[column] for run in runs if port in run.ports]) for runs in scene.groups
        ]
        known = [s.abs().max() for s in series if s is not None and s.notna().any()]
        view = titles.get(port)
        factor, unit = (
            (view.layer.factor, view.layer.unit) if view else _unit_shown(about["unit"], max(known, default=0))
        )
        charts.append({
            "title": view.layer.title if view else port,
            "about": f"{column} of {port} → {', '.join(inputs)}",
            "unit": unit,
            "runs": [None if s is None else thinned(s * factor, scene.start, float(about["every_s"])) for s in series],
        })  # fmt: skip
    return charts


def _mean(series: Sequence[pd.Series[float]]) -> pd.Series[float] | None:
    """Return the mean over runs at each time; nothing of no run."""
    return pd.concat(series, axis=1).mean(axis=1) if series else None


def _unit_shown(unit: str, highest: float) -> tuple[float, str]:
    """Return factor and unit with a prefix that keeps numbers short."""
    if unit in _PREFIXED:
        for size, prefix in _PREFIXES:
            if highest >= size:
                return 1 / size, prefix + unit
    return 1.0, "" if unit == "1" else unit.replace("degC", "°C").replace("**2", "²").replace("**3", "³")


def thinned(
    series: pd.Series[float], start: pd.Timestamp, every_s: float, how: Literal["mean", "min", "max"] = "mean"
) -> dict[str, Any]:
    """Bring so many rows together that few points are left.

    Returns
    -------
    ``every``, the time from one point to the next [s], and ``values``; the state at the start is left out.
    """
    after = series[series.index > start]
    rows = max(1, math.ceil(len(after) / POINTS))
    points = after.groupby(np.arange(len(after)) // rows).agg(how)
    return {"every": rows * every_s, "values": _plain(points.to_numpy(dtype=float))}


def _plain(values: NDArray[np.float64]) -> list[float | None]:
    """Return numbers of five digits for JSON, null where missing."""
    return [float(f"{v:.5g}") if math.isfinite(v) else None for v in values.tolist()]
