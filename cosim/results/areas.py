"""What plans change inside the areas of their policies, along the border of these, and elsewhere."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import shapely

from cosim.core import units
from cosim.core.errors import CosimError

from .comparison import Comparison
from .days import weighted_day
from .indicator import Change
from .layers import Geometry, Layer, Shape, read_layers
from .result import Result
from .statistics import additive, paired_difference

BORDER_M = 25.0
"""Distance from an outline within which an element lies along it: half an avenue and its façades. [m] Assumption."""
PLACES = ("inside", "border", "elsewhere")


@dataclass(frozen=True)
class AreaChanges:
    """Changes of layers by place, for tables like those of a comparison.

    Attributes
    ----------
    base_name
        Name of the base.
    changes
        By plan; indicators are named by area, place and layer, as in ``"superblocks, inside: Speed"``.
    unshared, cautions
        As in `Comparison`, and the layers that are left out because their map is in degrees.
    """

    base_name: str
    changes: Mapping[str, Sequence[Change]]
    unshared: Mapping[str, Sequence[str]]
    cautions: Mapping[str, Sequence[str]]


def by_area(comparison: Comparison, layers: Sequence[Layer] | None = None) -> AreaChanges:
    """Return what plans change inside, along the border of and outside every area that a policy has drawn.

    An element of a layer lies along the border if its middle is within `BORDER_M` of the outline. Values are means over
    the run, or weighted days of layers of hours; elements are summed where that is a total, otherwise averaged, levels
    by energy.

    Parameters
    ----------
    comparison
        Plans and their base. The areas of all of them count for each plan, so that a plan for the whole city is told
        apart by the area of another.
    layers
        The layers to compare; by default those that the base and a plan share.

    Raises
    ------
    CosimError
        If no run has drawn an area in metres.
    """
    drawn = [layer for runs in comparison.runs for layer in read_layers(runs[0].folder)]
    areas = _areas(drawn)
    if not areas:
        raise CosimError("no policy of these runs has drawn an area: compare plans with Superblocks or another area")
    if layers is None:
        layers = list({(layer.title, layer.port): layer for layer in drawn if layer.port}.values())
    left_out = [f"{layer.title}: its map is in degrees, areas are in metres" for layer in layers if _in_degrees(layer)]
    layers = [layer for layer in layers if not _in_degrees(layer)]
    places = {layer.title: _middles(layer) for layer in layers}
    base, *plans = comparison.runs
    values: dict[tuple[str, str], pd.Series[float]] = {}

    def value(run: Result, layer: Layer, labels: Sequence[str]) -> float:
        key = str(run.folder), layer.title
        if key not in values:
            values[key] = _of_run(run, layer)
        return _total(values[key].reindex(labels).dropna(), run.provenance["outputs"][layer.port]["unit"])

    changes: dict[str, list[Change]] = {plan: [] for plan in comparison.plans}
    for title, area in areas.items():
        for layer in layers:
            for place, labels in _by_place(places[layer.title], area).items():
                for plan, runs in zip(comparison.plans, plans):
                    pairs = [pair for pair in zip(base, runs) if all(layer.port in run.ports for run in pair)]
                    if pairs:
                        before, after = ([value(pair[k], layer, labels) for pair in pairs] for k in (0, 1))
                        name = f"{title}, {place}: {layer.title}"
                        changes[plan].append(_change(name, layer, len(labels), before, after))
    cautions = {plan: [*told, *left_out] for plan, told in comparison.cautions.items()}
    return AreaChanges(comparison.base_name, changes, {}, cautions)


def _in_degrees(layer: Layer) -> bool:
    return layer.coordinates == "degrees"


def _areas(drawn: Sequence[Layer]) -> dict[str, shapely.Geometry]:
    """Return the union of the outlines of each title; equal areas once."""
    outlines: dict[str, list[shapely.Polygon]] = {}
    for layer in drawn:
        if not layer.port and not _in_degrees(layer):
            outlines.setdefault(layer.title, []).extend(map(shapely.Polygon, layer.geometry.values()))
    found: dict[str, shapely.Geometry] = {}
    for title, shapes in outlines.items():
        area = shapely.unary_union(shapes)
        if not any(area.equals(other) for other in found.values()):
            found[title] = area
    return found


def _middles(layer: Layer) -> pd.Series:
    """Return the middle of every element: half way along a line, the centroid of a polygon."""
    geometry: Geometry = layer.geometry
    return pd.Series({label: _middle(layer.shape, points) for label, points in geometry.items()}, dtype=object)


def _middle(shape: Shape, points: Sequence[tuple[float, float]]) -> shapely.Point:
    if shape == "polygon" and len(points) > 2:
        return shapely.Polygon(points).centroid
    if shape == "line" and len(points) > 1:
        return shapely.LineString(points).interpolate(0.5, normalized=True)
    return shapely.Point(points[0])


def _by_place(middles: pd.Series, area: shapely.Geometry) -> dict[str, list[str]]:
    """Return the labels of the elements by place; places without any are left out."""
    points = np.array(middles.tolist())
    near = shapely.distance(points, area.boundary) <= BORDER_M
    within = shapely.contains(area, points)
    chosen = dict(zip(PLACES, (within & ~near, near, ~within & ~near)))
    return {place: middles.index[rows].tolist() for place, rows in chosen.items() if rows.any()}


def _of_run(run: Result, layer: Layer) -> pd.Series[float]:
    """Return the mean of every element over the run, or its weighted day, in the displayed unit."""
    if layer.hours:
        return layer.factor * weighted_day(run, layer.port, layer.hours)
    every = float(run.provenance["outputs"][layer.port]["every_s"])
    length = float(run.provenance["simulated_s"])
    return layer.factor * run.means(layer.port, max(1, math.ceil(length / every - 1e-9)) * every).iloc[0]


def _total(values: pd.Series[float], unit: str) -> float:
    if values.empty:
        return math.nan
    if units.is_level(unit):
        return float(units.levels(units.energies(values.to_numpy()).mean()))
    return float(values.sum() if units.is_extensive(unit) else values.mean())


def _change(name: str, layer: Layer, n: int, before: Sequence[float], after: Sequence[float]) -> Change:
    known = [pair for pair in zip(before, after) if np.isfinite(pair).all()]
    first, second = zip(*known, strict=True) if known else ((), ())
    unit = layer.unit
    return Change(
        indicator=name,
        unit=unit,
        better=None,
        about=f"over {n} elements of {layer.port}",
        base=float(additive(first, unit).mean()) if known else math.nan,
        plan=float(additive(second, unit).mean()) if known else math.nan,
        difference=paired_difference(first, second, unit=unit) if known else None,
    )
