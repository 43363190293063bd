"""Map layers of a report, defined by the scenario: geometry, port, unit and colour scale."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from cosim.core.errors import CosimError

Shape: TypeAlias = Literal["line", "polygon", "point"]
Geometry: TypeAlias = Mapping[str, Sequence[tuple[float, float]]]

_FILE = "layers.json"


@dataclass(frozen=True)
class Layer:
    """A map layer with the elements of one port.

    Parameters
    ----------
    title
        Displayed name of the layer.
    port
        The output whose values colour the layer, as in ``"traffic.co2"``; empty for outlines, such as those of zones,
        which are drawn over every layer.
    shape
        How the geometry is drawn.
    geometry
        Coordinates (x, y) by label; one pair for a point.
    unit
        Displayed unit.
    factor
        Factor from the port's unit to the displayed unit.
    scale
        Values at the two ends of the colour scale, in the displayed unit; None to derive them from the run.
    coordinates
        ``"metres"`` in the city's own frame, or ``"degrees"`` of longitude and latitude.
    names
        Displayed names by label, such as those of streets.
    worst
        Which values matter most: the report ranks them first, and its peak is theirs.
    hours
        Weights of the 24 hours of the local day, for a layer that shows the weighted sum of their means instead of
        values over time, levels by energy; see `cosim.results.days.weighted_day`. Empty for a layer over time.
    properties
        What does not change over the run, by name and label, such as the number of points of charging stations.
    """

    title: str
    port: str
    shape: Shape
    geometry: Geometry
    unit: str
    factor: float = 1.0
    scale: tuple[float, float] | None = None
    coordinates: Literal["metres", "degrees"] = "metres"
    names: Mapping[str, str] = field(default_factory=dict)
    worst: Literal["highest", "lowest"] = "highest"
    hours: tuple[float, ...] = ()
    properties: Mapping[str, Mapping[str, float | str]] = field(default_factory=dict)

    @classmethod
    def outline(cls, title: str, geometry: Geometry) -> Layer:
        """Return outlines without values, by label, each as the corners of a polygon [m]."""
        return cls(title, "", "polygon", geometry, "")

    def __post_init__(self) -> None:
        if self.worst not in ("highest", "lowest"):
            raise CosimError(f"layer {self.title!r} has worst = {self.worst!r}: write 'highest' or 'lowest'")
        if self.shape not in ("line", "polygon", "point"):
            raise CosimError(f"layer {self.title!r} has shape {self.shape!r}: write 'line', 'polygon' or 'point'")
        if self.coordinates not in ("metres", "degrees"):
            raise CosimError(
                f"layer {self.title!r} has coordinates in {self.coordinates!r}: write 'metres' or 'degrees'"
            )
        if self.scale is not None and not self.scale[0] < self.scale[1]:
            raise CosimError(
                f"layer {self.title!r} has the scale {self.scale}: its first value must be below its second"
            )
        if self.hours and (len(self.hours) != 24 or min(self.hours) < 0 or not 0 < sum(self.hours) < math.inf):
            raise CosimError(
                f"layer {self.title!r} has {len(self.hours)} weights of hours: give 24, none negative and not all 0"
            )


def write_layers(folder: Path, layers: Sequence[Layer]) -> None:
    """Write layers into a run's folder, each shared geometry once, rounded to centimetres."""
    geometries: list[Geometry] = []
    rows = []
    for layer in layers:
        if layer.geometry not in geometries:
            geometries.append(layer.geometry)
        rows.append(
            {
                "title": layer.title,
                "port": layer.port,
                "shape": layer.shape,
                "unit": layer.unit,
                "factor": layer.factor,
                "scale": layer.scale,
                "coordinates": layer.coordinates,
                "names": dict(layer.names),
                "worst": layer.worst,
                "hours": layer.hours,
                "properties": {name: dict(values) for name, values in layer.properties.items()},
                "geometry": geometries.index(layer.geometry),
            }
        )
    digits = {geometries.index(layer.geometry): 2 if layer.coordinates == "metres" else 7 for layer in layers}
    content = {
        "layers": rows,
        "geometries": [
            {
                label: [[round(float(x), digits[k]), round(float(y), digits[k])] for x, y in points]
                for label, points in geometry.items()
            }
            for k, geometry in enumerate(geometries)
        ],
    }
    temporary = (folder / _FILE).with_suffix(".tmp")
    temporary.write_text(json.dumps(content, separators=(",", ":"), ensure_ascii=False), encoding="utf-8")
    temporary.replace(folder / _FILE)


def read_layers(folder: Path) -> list[Layer]:
    """Return the layers in a run's folder; an empty list if the scenario defines none.

    Raises
    ------
    CosimError
        If the file does not have the format of `write_layers`.
    """
    path = folder / _FILE
    if not path.is_file():
        return []
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        geometries = [
            {str(label): [(float(x), float(y)) for x, y in points] for label, points in geometry.items()}
            for geometry in content["geometries"]
        ]
        return [
            Layer(
                **row
                | {
                    "geometry": geometries[row["geometry"]],
                    "scale": row["scale"] and tuple(row["scale"]),
                    "hours": tuple(row.get("hours", ())),
                }
            )
            for row in content["layers"]
        ]
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise CosimError(
            f"{path} is not a layers file: {type(error).__name__}: {error}; run the scenario again"
        ) from error
