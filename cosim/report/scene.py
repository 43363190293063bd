"""The map scene of runs over the same period: common layers, their shapes, scales and moments in time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cosim.core import units
from cosim.results.days import weighted_day
from cosim.results.layers import Layer, read_layers
from cosim.results.result import Result

from .cells import Cells, make_cells

FRAMES = 96
"""Number of moments on the slider: a day in quarters of an hour."""

MOST_ELEMENTS = 20_000
"""Largest number of elements of a layer that a report draws one by one; a larger layer is drawn as square cells."""

_ROUND_S = (60, 120, 300, 600, 900, 1200, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 604_800)
_SHARES = (0.01, 0.99)
"""Quantiles of the values at the two ends of a colour scale, unless the scenario sets it."""
_SHARE_OF_CHANGES = 0.95
_APART_M = 9.0
"""Distance between points that stand at the same place."""


@dataclass(frozen=True)
class Shapes:
    """Elements on the map, from all runs together.

    Parameters
    ----------
    kind
        ``"line"``, ``"polygon"`` or ``"point"``.
    labels
        Names of the elements.
    points
        An array of shape (n_points, 2) for each. [m] east and north of the centre of the map.
    names
        Displayed names of the elements, empty where the label is displayed; empty if no element has one.
    cells
        The cells that are drawn in place of the layer's elements, if it has too many of them.
    """

    kind: str
    labels: tuple[str, ...]
    points: tuple[NDArray[np.float64], ...]
    names: tuple[str, ...] = ()
    cells: Cells | None = None

    @property
    def elements(self) -> tuple[str, ...]:
        """Labels of the layer's elements, whether they are drawn one by one or as cells."""
        return self.labels if self.cells is None else self.cells.members


@dataclass(frozen=True)
class View:
    """One layer as drawn for several runs.

    Parameters
    ----------
    layer
        Title, port, unit and factor.
    shapes
        Index of its shapes in the scene.
    adds_up
        Whether the sum over elements is meaningful; otherwise their mean is shown.
    level
        Whether values are levels, averaged by energy.
    instant
        Whether a recorded value is a state rather than a mean over time.
    present
        Whether each run has recorded the layer's port.
    """

    layer: Layer
    shapes: int
    adds_up: bool
    level: bool
    instant: bool
    present: tuple[bool, ...]


@dataclass(frozen=True)
class Frame:
    """The coordinates of a map's centre in the frame of its layers.

    Parameters
    ----------
    x, y
        The centre. [m]
    latitude
        The latitude around which degrees were projected; None if the layers are in metres. [°]
    """

    x: float = 0.0
    y: float = 0.0
    latitude: float | None = None


@dataclass(frozen=True, kw_only=True)
class Scene:
    """The content of a map of runs over the same period.

    Parameters
    ----------
    groups
        The runs, those of the base first; the runs of a group differ in their seed. All cover the same period.
    names
        Names of the groups.
    shapes, views
        The shapes and layers on the map.
    outlines
        Outlines drawn over every layer, by title, each an array of shape (n_points, 2). [m]
    frame
        The frame of the coordinates.
    length_s
        Simulated time shown. [s]
    notes
        Descriptions of what was left out.
    """

    groups: tuple[tuple[Result, ...], ...]
    names: tuple[str, ...]
    shapes: tuple[Shapes, ...]
    views: tuple[View, ...]
    outlines: Mapping[str, tuple[NDArray[np.float64], ...]]
    frame: Frame
    length_s: float
    notes: tuple[str, ...]

    @property
    def runs(self) -> list[Result]:
        """The first run of each group."""
        return [runs[0] for runs in self.groups]

    @property
    def start(self) -> pd.Timestamp:
        """The start of the runs, in the city's time zone."""
        clock = self.runs[0].provenance["clock"]
        return pd.Timestamp(clock["start"]).tz_convert(clock["zone"])

    def means(self, view: View, run: int, window_s: float) -> tuple[float, NDArray[np.float64]]:
        """Return the length of a layer's frames and their values, shape (n_frames, n_elements), in the displayed unit.

        Frames have the requested length, or a longer one if the run was recorded less often; a layer of weighted hours
        has one. Values are means over the runs of a group; elements that are in none of them are NaN. Elements that are
        drawn as cells have a value each: see `drawn`.
        """
        port, hours = view.layer.port, view.layer.hours
        frame_s = self.every(view, run)
        frame_s *= max(1, math.ceil(window_s / frame_s - 1e-9)) if not hours else 1
        tables = [
            self.aligned(view, weighted_day(r, port, hours).to_frame().T if hours else r.means(port, frame_s))
            for r in self.groups[run]
            if port in r.ports
        ]
        if view.level:
            return frame_s, units.levels(_mean([units.energies(table) for table in tables]))
        return frame_s, _mean(tables)

    def drawn(self, view: View, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the values of what is drawn of a layer, its elements or their cells, from those of its elements."""
        cells = self.shapes[view.shapes].cells
        return values if cells is None else cells.summarized(values, adds_up=view.adds_up, level=view.level)

    def title(self, view: View) -> str:
        """Return the title of a layer on the map, which tells cells from elements."""
        cells = self.shapes[view.shapes].cells
        return view.layer.title if cells is None else f"{view.layer.title}, {_cells(view)} of {cells.side_m:g} m cells"

    def every(self, view: View, run: int) -> float:
        """Return the interval between the values of a layer that a run can show. [s]"""
        if view.layer.hours:
            return self.length_s
        return float(self.runs[run].provenance["outputs"][view.layer.port]["every_s"])

    def aligned(self, view: View, table: pd.DataFrame) -> NDArray[np.float64]:
        """Return a table's values in the order of a layer's elements and in the displayed unit."""
        labels = self.shapes[view.shapes].elements
        values: NDArray[np.float64] = table.reindex(columns=list(labels)).to_numpy(dtype=float) * view.layer.factor
        return values


def make_scene(groups: Sequence[Sequence[Result]], names: Sequence[str], *, cells: bool = True) -> Scene:
    """Combine the layers of runs over the same period, by title, port and unit.

    Layers of more than `MOST_ELEMENTS` are drawn as cells, unless every element is wanted.
    """
    notes: list[str] = []
    runs = [group[0] for group in groups]
    drawn_by = [read_layers(run.folder) for run in runs]
    by_run = [
        {(x.title, x.port, x.unit): x for x in layers if x.port in run.ports} for run, layers in zip(runs, drawn_by)
    ]
    keys = list(dict.fromkeys(key for found in by_run for key in found))
    latitude = _middle_latitude([layer for found in by_run for layer in found.values()])
    shapes: list[Shapes] = []
    views: list[View] = []
    for key in keys:
        versions = [found.get(key) for found in by_run]
        drawn = _shapes(versions, latitude, notes, MOST_ELEMENTS if cells else math.inf)
        if drawn is None:
            continue
        digests = {
            (k, run.provenance["outputs"][key[1]]["labels"])
            for k, group in enumerate(groups)
            for run in group
            if key[1] in run.ports
        }
        if len(digests) > len({k for k, _ in digests}):
            notes.append(
                f"Elements of “{key[0]}” differ between seeds: those of the first seed are drawn, with means over the "
                "runs that contain them."
            )
        known = next((k for k, other in enumerate(shapes) if _same(other, drawn)), None)
        if known is None:
            known = len(shapes)
            shapes.append(drawn)
        k = next(k for k, version in enumerate(versions) if version is not None)
        layer, about = versions[k], runs[k].provenance["outputs"][key[1]]
        assert layer is not None
        adds_up = units.is_extensive(about["unit"])
        view = View(
            # the scenario's scale is that of one element, not of the sum of many
            replace(layer, scale=None) if drawn.cells is not None and adds_up else layer,
            known,
            adds_up,
            units.is_level(about["unit"]),
            about["kind"] == "end",
            tuple(version is not None for version in versions),
        )
        views.append(view)
        if drawn.cells is not None:
            notes.append(
                f"The {len(drawn.elements):,} elements of “{layer.title}” are drawn as {len(drawn.labels):,} square "
                f"cells of {drawn.cells.side_m:g} m, with the {_cells(view)} of the elements in each; cosim view shows "
                "every element."
            )
    length_s = max((_length_s(run) for run in runs), default=0.0)
    found, outlines, frame = _centred(shapes, [layer for layers in drawn_by for layer in layers], latitude)
    return Scene(
        groups=tuple(map(tuple, groups)),
        names=tuple(names),
        shapes=found,
        views=tuple(views),
        outlines=outlines,
        frame=frame,
        length_s=length_s,
        notes=tuple(dict.fromkeys(notes)),
    )


def window_s(scene: Scene, frames: int = FRAMES) -> float:
    """Return a round frame length that divides the run into at most a given number of frames. [s]"""
    step_s = float(scene.runs[0].provenance["clock"]["step_s"])
    least = max(scene.length_s / frames, step_s)
    for length in _ROUND_S:
        if length >= least - 1e-9 and abs(length / step_s - round(length / step_s)) < 1e-9:
            return float(length)
    return math.ceil(least / step_s - 1e-9) * step_s


def scale_of(view: View, values: Sequence[NDArray[np.float64]]) -> tuple[float, float]:
    """Return the ends of a layer's colour scale: the scenario's, or such that 1 % of the values lie beyond each end."""
    if view.layer.scale is not None:
        return view.layer.scale
    known = _finite(values)
    if not len(known):
        return 0.0, 1.0
    low, high = np.quantile(known, _SHARES)
    if view.adds_up and low > 0:
        low = 0.0
    return (float(low), float(high)) if high > low else (float(low), float(low) + 1.0)


def change_scale_of(differences: Sequence[NDArray[np.float64]]) -> float:
    """Return the end of a symmetric colour scale for differences, such that 5 % of the changes lie beyond it."""
    known = np.abs(_finite(differences))
    known = known[known > 0]
    return float(np.quantile(known, _SHARE_OF_CHANGES)) if len(known) else 1.0


def is_still(frames: Sequence[NDArray[np.float64] | None]) -> bool:
    """Return whether a layer shows nothing: one value everywhere in a single run, or no difference to the base."""
    base, *plans = frames
    if plans:
        return all(
            plan is None or base is None or (plan.shape == base.shape and np.array_equal(plan, base, equal_nan=True))
            for plan in plans
        )
    known = _finite([base]) if base is not None else np.empty(0)
    return not len(known) or float(known.min()) == float(known.max())


def plan_scene(layers: Sequence[Layer]) -> tuple[list[tuple[Layer, Shapes]], Mapping[str, Any], Frame]:
    """Return the layers of a scenario that has not run with their shapes, its outlines and the frame."""
    latitude = _middle_latitude(layers)
    found = [(layer, _shapes([layer], latitude, [], MOST_ELEMENTS)) for layer in layers if layer.port]
    drawn = [(layer, shapes) for layer, shapes in found if shapes is not None]
    centred, outlines, frame = _centred([shapes for _, shapes in drawn], layers, latitude)
    return [(layer, shapes) for (layer, _), shapes in zip(drawn, centred)], outlines, frame


def _mean(tables: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return the mean of tables of the same shape, ignoring missing values."""
    known = sum(np.isfinite(table).astype(float) for table in tables)
    total = sum(np.nan_to_num(table) for table in tables)
    mean: NDArray[np.float64] = np.where(known, total / np.maximum(known, 1.0), np.nan)
    return mean


def _finite(values: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    flat = np.concatenate([np.empty(0), *(v.ravel() for v in values)])
    known: NDArray[np.float64] = flat[np.isfinite(flat)]
    return known


def _length_s(run: Result) -> float:
    """Return the simulated length of a run; for a killed run, up to its last row."""
    simulated_s = run.provenance.get("simulated_s")
    if simulated_s is not None:
        return float(simulated_s)
    start = pd.Timestamp(run.provenance["clock"]["start"])
    last = [totals.index[-1] for port in run.ports if len(totals := run.total(port))]
    return max(((moment - start).total_seconds() for moment in last), default=0.0)


def _cells(view: View) -> str:
    return "sums" if view.adds_up else "means by energy" if view.level else "means"


def _shapes(versions: Sequence[Layer | None], latitude: float, notes: list[str], most: float) -> Shapes | None:
    """Return the elements of a layer in all runs or their cells, with the geometry of the first run that has them."""
    points: dict[str, NDArray[np.float64]] = {}
    for layer in versions:
        for label, path in (layer.geometry if layer is not None else {}).items():
            if label not in points and len(path):
                points[label] = np.asarray(path, dtype=float)
    layer = next(layer for layer in versions if layer is not None)
    usable = {label: path for label, path in points.items() if np.isfinite(path).all()}
    if len(usable) < len(points):
        notes.append(f"{len(points) - len(usable)} elements of “{layer.title}” have no finite coordinates.")
    if not usable:
        return None
    for position, other in enumerate(versions):
        missing = len(usable) - sum(label in usable for label in other.geometry) if other is not None else 0
        if missing:
            which = "the base" if position == 0 else f"plan {position}" if len(versions) > 2 else "the plan"
            notes.append(f"{missing} elements of “{layer.title}” are missing in {which}.")
    if layer.coordinates == "degrees":
        usable = {label: _metres(path, latitude) for label, path in usable.items()}
    if len(usable) > most:
        cells = make_cells(usable, lines=layer.shape == "line")
        counts = tuple(f"{n} element{'s' * (n > 1)}" for n in cells.counts.tolist())
        return Shapes("polygon", cells.labels, cells.squares, counts, cells)
    if layer.shape == "point":
        usable = _apart(usable)
    names = {label: name for version in versions if version is not None for label, name in version.names.items()}
    shown = tuple(names.get(label, "") for label in usable)
    return Shapes(layer.shape, tuple(usable), tuple(usable.values()), shown if any(shown) else ())


def _apart(points: Mapping[str, NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
    """Move points at the same place apart, onto a circle around it, so that each can be seen and clicked. [m]"""
    groups: dict[tuple[float, float], list[str]] = {}
    for label, path in points.items():
        groups.setdefault((round(float(path[0, 0]), 1), round(float(path[0, 1]), 1)), []).append(label)
    moved = dict(points)
    for labels in groups.values():
        radius = max(_APART_M, _APART_M * len(labels) / (2 * math.pi))
        for k, label in enumerate(labels if len(labels) > 1 else ()):
            angle = 2 * math.pi * k / len(labels)
            moved[label] = points[label] + radius * np.array([math.cos(angle), math.sin(angle)])
    return moved


def _middle_latitude(layers: Sequence[Layer]) -> float:
    found = [
        y for layer in layers if layer.coordinates == "degrees" for path in layer.geometry.values() for _, y in path
    ]
    return float(np.median(found)) if found else 0.0


def _metres(degrees: NDArray[np.float64], latitude: float) -> NDArray[np.float64]:
    """Return metres east and north of (0°, 0°), accurate near the given latitude (equirectangular projection)."""
    per_degree = math.radians(6_371_000.0)
    east_and_north: NDArray[np.float64] = np.array([per_degree * math.cos(math.radians(latitude)), per_degree])
    return degrees * east_and_north


def _same(one: Shapes, two: Shapes) -> bool:
    return (
        one.kind == two.kind
        and one.labels == two.labels
        and one.elements == two.elements
        and one.names == two.names
        and all(np.array_equal(a, b) for a, b in zip(one.points, two.points))
    )


def _centred(
    shapes: Sequence[Shapes], layers: Sequence[Layer], latitude: float
) -> tuple[tuple[Shapes, ...], dict[str, tuple[NDArray[np.float64], ...]], Frame]:
    """Return shapes and outlines around the centre of the map, and the frame of the coordinates."""
    if not shapes:
        return (), {}, Frame()
    every = np.concatenate([np.concatenate(s.points) for s in shapes])
    centre = (every.min(axis=0) + every.max(axis=0)) / 2
    outlines: dict[str, dict[bytes, NDArray[np.float64]]] = {}
    for layer in layers:
        for path in layer.geometry.values() if not layer.port else ():
            points = np.asarray(path, float)
            points = (_metres(points, latitude) if layer.coordinates == "degrees" else points) - centre
            outlines.setdefault(layer.title, {})[points.tobytes()] = points  # runs with the same plan draw the same
    in_degrees = any(layer.coordinates == "degrees" for layer in layers)
    return (
        tuple(replace(s, points=tuple(path - centre for path in s.points)) for s in shapes),
        {title: tuple(paths.values()) for title, paths in outlines.items()},
        Frame(float(centre[0]), float(centre[1]), latitude if in_degrees else None),
    )
