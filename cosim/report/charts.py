"""The curves of a report: quantities exchanged between simulators, and each layer over time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cosim.core import units

from .scene import Scene, View

POINTS = 288
"""Number of points of a curve: a day in steps of five minutes."""

_PREFIXED = ("W", "J", "var", "VA")
_PREFIXES = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


def course(view: View, values: NDArray[np.float64]) -> dict[str, list[float | None]]:
    """Return a layer over time: its sum over elements, or its mean, lowest and highest value."""
    known = np.isfinite(values)
    there = known.any(axis=1)
    filled = np.where(known, values, 0.0)
    if view.adds_up:
        return {"sum": plain(np.where(there, filled.sum(axis=1), np.nan))}
    if view.level:
        mean = units.levels(np.where(known, units.energies(values), 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1))
    else:
        mean = filled.sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    low = np.where(known, values, np.inf).min(axis=1, initial=np.inf)
    high = np.where(known, values, -np.inf).max(axis=1, initial=-np.inf)
    return {name: plain(np.where(there, row, np.nan)) for name, row in (("mean", mean), ("low", low), ("high", high))}


def coupled_quantities(scene: Scene) -> list[dict[str, Any]]:
    """Return for each output that is connected to another simulator its total or mean over time, in every run."""
    targets: dict[str, list[str]] = {}
    for run in scene.runs:
        for connection in run.provenance["connections"]:
            source, _, target = connection["connection"].partition(" → ")
            if target not in targets.setdefault(source, []):
                targets[source].append(target)
    titles: dict[str, View] = {view.layer.port: view for view in reversed(scene.views)}
    charts = []
    # quantities that are also on the map come first, with the same title
    for port, inputs in sorted(targets.items(), key=lambda one: one[0] not in titles):
        about = next((r.provenance["outputs"][port] for r in scene.runs if port in r.ports), None)
        if about is None:
            continue
        adds_up = units.is_extensive(about["unit"])
        column = "sum" if adds_up else "mean"
        level = units.is_level(about["unit"])
        series = [
            _mean([run.spread(port, [column])[column] for run in runs if port in run.ports], level)
            for runs in scene.groups
        ]
        known = [s.abs().max() for s in series if s is not None and s.notna().any()]
        view = titles.get(port)
        factor, unit = (
            (view.layer.factor, view.layer.unit) if view else _unit_shown(about["unit"], max(known, default=0))
        )
        charts.append(
            {
                "title": view.layer.title if view else port,
                "about": f"{column} of {port} → {', '.join(inputs)}",
                "unit": unit,
                "runs": [
                    None if s is None else thinned(s * factor, scene.start, float(about["every_s"]), level=level)
                    for s in series
                ],
            }
        )
    return charts


def _mean(series: Sequence[pd.Series[float]], level: bool) -> pd.Series[float] | None:
    """Return the mean over runs at each time, of levels by energy; None if there are no runs."""
    if not series:
        return None
    table = pd.concat(series, axis=1)
    return _by_energy(table, lambda energies: energies.mean(axis=1)) if level else table.mean(axis=1)


def _by_energy(levels: Any, mean: Callable[[Any], pd.Series[float]]) -> pd.Series[float]:
    energies = mean(10 ** (levels / 10))
    return pd.Series(units.levels(energies.to_numpy()), index=energies.index)


def _unit_shown(unit: str, highest: float) -> tuple[float, str]:
    """Return the factor to a unit with a prefix that keeps numbers short, and this unit."""
    if unit in _PREFIXED:
        for size, prefix in _PREFIXES:
            if highest >= size:
                return 1 / size, prefix + unit
    return 1.0, "" if unit == "1" else unit.replace("degC", "°C").replace("**2", "²").replace("**3", "³")


def thinned(
    series: pd.Series[float],
    start: pd.Timestamp,
    every_s: float,
    how: Literal["mean", "min", "max"] = "mean",
    *,
    level: bool = False,
) -> dict[str, Any]:
    """Aggregate rows so that at most `POINTS` remain; means of levels are those of their energies.

    Returns
    -------
    ``every``, the interval between points [s], and ``values``; the initial state is omitted.
    """
    after = series[series.index > start]
    rows = max(1, math.ceil(len(after) / POINTS))
    group = np.arange(len(after)) // rows
    if level and how == "mean" and rows > 1:
        points = _by_energy(after, lambda energies: energies.groupby(group).mean())
    else:
        points = after.groupby(group).agg(how)
    return {"every": rows * every_s, "values": plain(points.to_numpy(dtype=float))}


def plain(values: NDArray[np.float64]) -> list[float | None]:
    """Return numbers with five significant digits for JSON, null where missing."""
    return [float(f"{v:.5g}") if math.isfinite(v) else None for v in values.tolist()]
