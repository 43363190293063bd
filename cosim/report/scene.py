"""What does a map show of runs over one time? Layers that the runs share, their shapes, scales, and moments in time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cosim.core import units
from cosim.layers import Layer, read_layers
from cosim.results import Result

FRAMES = 96
"""Moments on the slider: a day in quarters of an hour."""

MOST_ELEMENTS = 20_000
"""Elements of a layer that a report draws."""

_ROUND_S = (60, 120, 300, 600, 900, 1200, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 604_800)
_SHARES = (0.01, 0.99)
"""Shares of the values below the two ends of a colour scale that the scenario left open."""
_SHARE_OF_CHANGES = 0.95


@dataclass(frozen=True)
class Shapes:
    """Elements on the map, of all runs together.

    Parameters
    ----------
    kind
        ``"line"``, ``"polygon"`` or ``"point"``.
    labels
        Names of the elements.
    points
        For each an array of shape (n_points, 2). [m] east and north of the centre of all that is drawn.
    """

    kind: str
    labels: tuple[str, ...]
    points: tuple[NDArray[np.float64], ...]


@dataclass(frozen=True)
class View:
    """One layer as it is drawn of several runs.

    Parameters
    ----------
    layer
        Title, port, unit and factor.
    shapes
        Index of its shapes in the scene.
    adds_up
        Whether the sum over elements means something; else their mean is shown.
    instant
        Whether a recorded value is a state and not a mean over time.
    present
        Whether each run has recorded it.
    """

    layer: Layer
    shapes: int
    adds_up: bool
    instant: bool
    present: tuple[bool, ...]


@dataclass(frozen=True)
class Scene:
    """What a map shows of runs over one time.

    Parameters
    ----------
    groups
        The runs, the base's first; those of a group differ by their seed. All are over the same time.
    names
        What they are called.
    shapes, views
        What is drawn.
    length_s
        Simulated time that is shown. [s]
    notes
        What was left out, in words.
    """

    groups: tuple[tuple[Result, ...], ...]
    names: tuple[str, ...]
    shapes: tuple[Shapes, ...]
    views: tuple[View, ...]
    length_s: float
    notes: tuple[str, ...]

    @property
    def runs(self) -> list[Result]:
        """The first run of each group."""
        return [runs[0] for runs in self.groups]

    @property
    def start(self) -> pd.Timestamp:
        """When the runs begin, in the city's time."""
        clock = self.runs[0].provenance["clock"]
        return pd.Timestamp(clock["start"]).tz_convert(clock["zone"])

    def means(self, view: View, run: int, window_s: float) -> tuple[float, NDArray[np.float64]]:
        """Return the length of a layer's frames and their values, shape (n_frames, n_elements), in the unit shown.

        A frame is as long as was asked for, or longer where the run was not recorded as often. Values are means over
        the runs of a group; elements that none of them has are NaN.
        """
        port = view.layer.port
        row_s = float(self.runs[run].provenance["outputs"][port]["every_s"])
        frame_s = max(1, math.ceil(window_s / row_s - 1e-9)) * row_s
        tables = [
            self.aligned(view, result.means(port, frame_s)) for result in self.groups[run] if port in result.ports
        ]
        return frame_s, _mean(tables)

    def aligned(self, view: View, table: pd.DataFrame) -> NDArray[np.float64]:
        """Return a table's values in the order of a layer's elements and in the unit shown."""
        labels = self.shapes[view.shapes].labels
        values: NDArray[np.float64] = table.reindex(columns=list(labels)).to_numpy(dtype=float) * view.layer.factor
        return values


def make_scene(groups: Sequence[Sequence[Result]], names: Sequence[str]) -> Scene:
    """Bring the layers of runs over the same time together, by title, port and unit."""
    notes: list[str] = []
    runs = [group[0] for group in groups]
    by_run = [{(x.title, x.port, x.unit): x for x in read_layers(run.folder) if x.port in run.ports} for run in runs]
    keys = list(dict.fromkeys(key for found in by_run for key in found))
    latitude = _middle_latitude([layer for found in by_run for layer in found.values()])
    shapes: list[Shapes] = []
    views: list[View] = []
    for key in keys:
        versions = [found.get(key) for found in by_run]
        drawn = _shapes(versions, latitude, notes)
        if drawn is None:
            continue
        digests = {(k, run.provenance["outputs"][key[1]]["labels"]) for k, group in enumerate(groups) for run in group
                   if key[1] in run.ports}  # fmt: skip
        if len(digests) > len({k for k, _ in digests}):
            notes.append(f"Elements of “{key[0]}” differ between seeds: those of the first seed are drawn, with means "
                         "over the runs that have them.")  # fmt: skip
        known = next((k for k, other in enumerate(shapes) if _same(other, drawn)), None)
        if known is None:
            known = len(shapes)
            shapes.append(drawn)
        k = next(k for k, version in enumerate(versions) if version is not None)
        layer, about = versions[k], runs[k].provenance["outputs"][key[1]]
        assert layer is not None
        views.append(
            View(layer, known, units.is_extensive(about["unit"]), about["kind"] == "end",
                 tuple(version is not None for version in versions))
        )  # fmt: skip
    length_s = max((_length_s(run) for run in runs), default=0.0)
    return Scene(
        tuple(map(tuple, groups)), tuple(names), _centred(shapes), tuple(views), length_s, tuple(dict.fromkeys(notes))
    )


def window_s(scene: Scene, frames: int = FRAMES) -> float:
    """Return a round length of time of which the run has at most a number of frames. [s]"""
    step_s = float(scene.runs[0].provenance["clock"]["step_s"])
    least = max(scene.length_s / frames, step_s)
    for length in _ROUND_S:
        if length >= least - 1e-9 and abs(length / step_s - round(length / step_s)) < 1e-9:
            return float(length)
    return math.ceil(least / step_s - 1e-9) * step_s


def scale_of(view: View, values: Sequence[NDArray[np.float64]]) -> tuple[float, float]:
    """Return the ends of a layer's colour scale: the scenario's, or such that one value in a hundred lies beyond."""
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
    """Return the end of a symmetric colour scale for differences: one change in twenty lies beyond."""
    known = np.abs(_finite(differences))
    known = known[known > 0]
    return float(np.quantile(known, _SHARE_OF_CHANGES)) if len(known) else 1.0


def _mean(tables: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return the mean of tables of one shape, of what is not missing."""
    known = sum(np.isfinite(table).astype(float) for table in tables)
    total = sum(np.nan_to_num(table) for table in tables)
    mean: NDArray[np.float64] = np.where(known, total / np.maximum(known, 1.0), np.nan)
    return mean


def _finite(values: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    flat = np.concatenate([np.empty(0), *(v.ravel() for v in values)])
    known: NDArray[np.float64] = flat[np.isfinite(flat)]
    return known


def _length_s(run: Result) -> float:
    """Return how long a run simulated; of one that was killed, as long as its most recent row says."""
    simulated_s = run.provenance.get("simulated_s")
    if simulated_s is not None:
        return float(simulated_s)
    start = pd.Timestamp(run.provenance["clock"]["start"])
    last = [totals.index[-1] for port in run.ports if len(totals := run.total(port))]
    return max(((moment - start).total_seconds() for moment in last), default=0.0)


def _shapes(versions: Sequence[Layer | None], latitude: float, notes: list[str]) -> Shapes | None:
    """Return the elements of a layer in any run, the base's place for those that several have."""
    points: dict[str, NDArray[np.float64]] = {}
    for layer in versions:
        for label, path in (layer.geometry if layer is not None else {}).items():
            if label not in points and len(path):
                points[label] = np.asarray(path, dtype=float)
    layer = next(layer for layer in versions if layer is not None)
    usable = {label: path for label, path in points.items() if np.isfinite(path).all()}
    if len(usable) < len(points):
        notes.append(f"{len(points) - len(usable)} elements of “{layer.title}” have no finite coordinates.")
    if len(usable) > MOST_ELEMENTS:
        notes.append(f"{MOST_ELEMENTS:,} of the {len(usable):,} elements of “{layer.title}” are drawn, "
                     "evenly spread over their list.")  # fmt: skip
        chosen = np.linspace(0, len(usable) - 1, MOST_ELEMENTS).round().astype(int)
        labels = list(usable)
        usable = {labels[i]: usable[labels[i]] for i in chosen}
    if not usable:
        return None
    for position, other in enumerate(versions):
        missing = len(usable) - sum(label in usable for label in other.geometry) if other is not None else 0
        if missing:
            which = "the base" if position == 0 else f"plan {position}" if len(versions) > 2 else "the plan"
            notes.append(f"{missing} elements of “{layer.title}” are not there in {which}.")
    if layer.coordinates == "degrees":
        usable = {label: _metres(path, latitude) for label, path in usable.items()}
    return Shapes(layer.shape, tuple(usable), tuple(usable.values()))


def _middle_latitude(layers: Sequence[Layer]) -> float:
    found = [
        y for layer in layers if layer.coordinates == "degrees" for path in layer.geometry.values() for _, y in path
    ]
    return float(np.median(found)) if found else 0.0


def _metres(degrees: NDArray[np.float64], latitude: float) -> NDArray[np.float64]:
    """Return metres east and north of (0°, 0°), true near a latitude (equirectangular projection)."""
    per_degree = math.radians(6_371_000.0)
    east_and_north: NDArray[np.float64] = np.array([per_degree * math.cos(math.radians(latitude)), per_degree])
    return degrees * east_and_north


def _same(one: Shapes, two: Shapes) -> bool:
    return (
        one.kind == two.kind
        and one.labels == two.labels
        and all(np.array_equal(a, b) for a, b in zip(one.points, two.points))
    )


def _centred(shapes: Sequence[Shapes]) -> tuple[Shapes, ...]:
    if not shapes:
        return ()
    every = np.concatenate([np.concatenate(s.points) for s in shapes])
    centre = (every.min(axis=0) + every.max(axis=0)) / 2
    return tuple(Shapes(s.kind, s.labels, tuple(path - centre for path in s.points)) for s in shapes)
