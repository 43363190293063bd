"""Figures for publications: maps, curves and differences as PNG and SVG, drawn by matplotlib."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cosim.core.errors import CosimError
from cosim.results.comparison import Comparison
from cosim.results.result import Result

from .charts import coupled_quantities
from .page import scene_of
from .scene import Scene, View, change_scale_of, scale_of, window_s

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CURVES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
"""Okabe and Ito's colours, as in B. Wong, Nature Methods 8 (2011) 441."""
DASHES = ("-", "--", ":", "-.", (0, (4, 2)), (0, (8, 3)), (0, (1, 2)))

_MOST_VECTORS = 3000
"""Number of elements beyond which a map is rasterized within the SVG."""


def write_figures(runs: Result | Comparison, folder: Path) -> list[Path]:
    """Write a map of each layer at its busiest moment, the curves, and the differences, each as PNG and SVG.

    Parameters
    ----------
    runs
        A run or a comparison.
    folder
        Folder for the files; created if needed.

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    CosimError
        If matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError:
        raise CosimError("figures need matplotlib: pip install 'cosim-city[figures]'") from None
    folder.mkdir(parents=True, exist_ok=True)
    scene = scene_of(runs)
    written = []
    with mpl.rc_context(
        {"svg.hashsalt": "cosim", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
    ):
        for view in scene.views:
            written += _save(_map(scene, view, Figure), folder / f"map-{_slug(view.layer.title)}")
        charts = coupled_quantities(scene)
        if charts:
            written += _save(_curves(scene, charts, Figure), folder / "exchange")
        if isinstance(runs, Comparison):
            for plan in runs.plans:
                written += _save(_differences(runs, plan, Figure), folder / f"differences-{_slug(plan)}")
    return written


def _save(figure: Figure, path: Path) -> list[Path]:
    files = [path.with_name(f"{path.name}.{kind}") for kind in ("png", "svg")]
    for file in files:
        # without a date, the same runs give the same bytes
        figure.savefig(file, dpi=200, metadata={"Date": None} if file.suffix == ".svg" else None)
    return files


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "figure"


def _map(scene: Scene, view: View, figure_type: type[Figure]) -> Figure:
    window = window_s(scene)
    found = [scene.means(view, run, window) if there else None for run, there in enumerate(view.present)]
    frames = [None if f is None else scene.drawn(view, f[1]) for f in found]
    known = [values for values in frames if values is not None]
    every = next(f[0] for f in found if f is not None)
    sums = np.nansum(known[-1], axis=1)
    moment = int(np.argmax(sums)) if len(sums) else 0
    low, high = scale_of(view, known)
    panels: list[tuple[str, Any, tuple[float, float], str]] = []
    for name, values in zip(scene.names, frames):
        if values is not None and moment < len(values):
            panels.append((name, values[moment], (low, high), "YlGnBu"))
    base = frames[0]
    for name, values in zip(scene.names[1:], frames[1:]):
        if base is not None and values is not None and values.shape == base.shape:
            end = change_scale_of([values - base])
            panels.append((f"{name} − {scene.names[0]}", values[moment] - base[moment], (-end, end), "PuOr_r"))
    figure = figure_type(figsize=(3.6 * max(len(panels), 1), 3.9), layout="constrained")
    start = scene.start + np.timedelta64(round(moment * every), "s")
    figure.suptitle(f"{scene.title(view)}, {start:%d %b %H:%M}, mean of {every / 60:g} min")
    for axes, (title, values, ends, ramp) in zip(np.ravel(figure.subplots(1, max(len(panels), 1))), panels):
        drawn = _elements(axes, scene, view, values=values, ends=ends, ramp=ramp)
        axes.set_title(title)
        bar = figure.colorbar(
            drawn, ax=axes, location="bottom", shrink=0.8, extend="both" if ramp == "PuOr_r" else "max"
        )
        bar.set_label(f"{'difference ' if ramp == 'PuOr_r' else ''}[{view.layer.unit}]")
    return figure


def _elements(axes: Axes, scene: Scene, view: View, *, values: Any, ends: tuple[float, float], ramp: str) -> Any:
    from matplotlib.collections import LineCollection, PolyCollection

    for shapes in scene.shapes:
        if shapes.kind != "point":
            axes.add_collection(LineCollection(list(shapes.points), colors="#dfe3e9", linewidths=0.4, zorder=1))
    shapes = scene.shapes[view.shapes]
    style: dict[str, Any] = {"cmap": ramp, "zorder": 2, "rasterized": len(shapes.labels) > _MOST_VECTORS}
    if shapes.kind == "point":
        places = np.array([path[0] for path in shapes.points])
        drawn: Any = axes.scatter(
            places[:, 0],
            places[:, 1],
            s=16,
            c=values,
            vmin=ends[0],
            vmax=ends[1],
            linewidths=0.3,
            edgecolors="#6b7686",
            **style,
        )
    else:
        collection = LineCollection if shapes.kind == "line" else PolyCollection
        drawn = collection(list(shapes.points), array=np.ma.masked_invalid(values), **style)
        drawn.set_clim(*ends)
        drawn.set_linewidth(1.6 if shapes.kind == "line" else 0.2)
        axes.add_collection(drawn)
    axes.set_aspect("equal")
    axes.autoscale()
    axes.set_axis_off()
    return drawn


def _curves(scene: Scene, charts: list[dict[str, Any]], figure_type: type[Figure]) -> Figure:
    columns = min(2, len(charts))
    rows = math.ceil(len(charts) / columns)
    figure = figure_type(figsize=(3.6 * columns, 2.2 * rows), layout="constrained")
    grid = np.ravel(figure.subplots(rows, columns))
    for axes, chart in zip(grid, charts):
        for r, (name, run) in enumerate(zip(scene.names, chart["runs"])):
            if run is None:
                continue
            values = np.array([np.nan if v is None else v for v in run["values"]])
            hours = (np.arange(len(values)) + 0.5) * run["every"] / 3600
            axes.plot(hours, values, color=CURVES[r % 7], linestyle=DASHES[r % 7], linewidth=1.2, label=name)
        axes.set_title(chart["title"], loc="left")
        axes.set_ylabel(f"[{chart['unit'] or '1'}]")
        axes.set_xlabel(f"hours since {scene.start:%d %b %Y %H:%M}")
        axes.grid(color="#e3e7ed", linewidth=0.6)
    for axes in grid[len(charts) :]:
        axes.set_axis_off()
    if len(scene.names) > 1:
        grid[0].legend(frameon=False)
    return figure


def _differences(comparison: Comparison, plan: str, figure_type: type[Figure]) -> Figure:
    changes = [
        c
        for c in comparison.changes[plan]
        if c.difference is not None and math.isfinite(c.relative) and c.role != "bar"
    ]
    figure = figure_type(figsize=(5.6, 0.8 + 0.24 * len(changes)), layout="constrained")
    axes = figure.subplots()
    for row, change in enumerate(reversed(changes)):
        assert change.difference is not None
        ends = np.array([change.difference.mean, *change.difference.t]) / abs(change.base) * 100
        shown = change.verdict in ("higher", "lower")
        axes.plot(ends[0], row, "o" if shown else "s", color=CURVES[0] if shown else "#7b8794", markersize=4)
        if np.isfinite(ends).all():
            axes.plot(ends[1:], [row, row], color=CURVES[0] if shown else "#7b8794", linewidth=1.4)
    axes.axvline(0, color="#1b2430", linewidth=0.8)
    axes.set_yticks(range(len(changes)), [c.indicator for c in reversed(changes)])
    axes.set_xlabel(f"mean difference [% of {comparison.base_name}], 95 % paired t interval")
    axes.set_title(plan, loc="left")
    axes.grid(axis="x", color="#e3e7ed", linewidth=0.6)
    return figure
