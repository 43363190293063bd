"""What does a report draw? Generic layers: geometry, a port, its unit and scale. The scenario names them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Layer:
    """Elements of one port, drawn on the map.

    Parameters
    ----------
    title
        Name of the layer, for a reader.
    port
        The output whose values colour it, as in ``"traffic.co2"``.
    shape
        How the geometry is drawn.
    geometry
        Coordinates (x, y) by label, in metres of the city's own frame or degrees; one pair for a point.
    unit
        Unit shown; a value is multiplied by ``factor`` to be in it.
    factor
        From the port's unit to the one shown.
    scale
        Values at the two ends of the colour scale, in the unit shown; None to take them from the run.
    """

    title: str
    port: str
    shape: Literal["line", "polygon", "point"]
    geometry: Mapping[str, Sequence[tuple[float, float]]]
    unit: str
    factor: float = 1.0
    scale: tuple[float, float] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON data, coordinates rounded to centimetres."""
        return {
            "title": self.title,
            "port": self.port,
            "shape": self.shape,
            "unit": self.unit,
            "factor": self.factor,
            "scale": self.scale,
            "geometry": {
                label: [[round(float(x), 2), round(float(y), 2)] for x, y in points]
                for label, points in self.geometry.items()
            },
        }
