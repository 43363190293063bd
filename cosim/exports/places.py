"""Where elements are: geometry in degrees by label, from a run's or scenario's map layers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import pyproj
import shapely

from cosim.core.errors import CosimError
from cosim.results.layers import Layer

Shapes: TypeAlias = dict[str, Any]
"""Shapely geometry by label; x is the longitude, y the latitude (WGS 84). [°]"""
DEGREES = "EPSG:4326"


class Places:
    """Geometry, names and properties of labelled elements.

    Parameters
    ----------
    layers
        Map layers; those with an hourly weighting repeat the geometry of others.
    crs
        System of the layers in metres, see `cosim.Scenario.crs`; empty if there is none.

    Raises
    ------
    CosimError
        If the system is unknown to PROJ.
    """

    def __init__(self, layers: Iterable[Layer], crs: str) -> None:
        self.crs = crs
        self.layers = [layer for layer in layers if layer.port and not layer.hours]
        self._shapes: dict[int, Shapes] = {}
        try:
            self._to_degrees = pyproj.Transformer.from_crs(crs, DEGREES, always_xy=True).transform if crs else None
        except pyproj.exceptions.CRSError as error:
            raise CosimError(f"the run's coordinate reference system is {crs!r}: PROJ cannot read it") from error

    @property
    def located(self) -> list[Layer]:
        """The layers whose elements have a place in degrees."""
        return [layer for layer in self.layers if layer.coordinates == "degrees" or self._to_degrees]

    def layer_of(self, port: str, labels: Sequence[str]) -> Layer | None:
        """Return the layer with the elements of a port: its own, or one of another port with these labels."""
        own = [layer for layer in self.located if layer.port == port]
        sector = port.partition(".")[0] + "."
        near = [layer for layer in self.located if layer.port.startswith(sector)]
        wanted = set(labels)
        return next(
            (layer for layer in (*own, *near, *self.located) if wanted and wanted <= layer.geometry.keys()), None
        )

    def shapes(self, layer: Layer) -> Shapes:
        """Return a layer's geometry in degrees, to a centimetre.

        Polygons run counter-clockwise; a line without length becomes a point.
        """
        found = self._shapes.get(id(layer.geometry))
        if found is None:
            found = self._shapes[id(layer.geometry)] = {
                label: _shape(layer, np.asarray(points, float)) for label, points in layer.geometry.items()
            }
            if layer.coordinates == "metres":
                assert self._to_degrees is not None
                turn = self._to_degrees
                for label, shape in found.items():
                    found[label] = shapely.transform(shape, lambda c: np.column_stack(turn(c[:, 0], c[:, 1])).round(7))
        return found

    def centre(self) -> Any:
        """Return the point in the middle of all layers in degrees; None if none has a place."""
        shapes = [shape for layer in self.located for shape in self.shapes(layer).values()]
        return shapely.box(*shapely.total_bounds(shapes)).centroid if shapes else None

    def bounds(self) -> tuple[float, float, float, float] | None:
        """Return west, south, east and north of all layers. [°]"""
        shapes = [shape for layer in self.located for shape in self.shapes(layer).values()]
        return tuple(map(float, shapely.total_bounds(shapes))) if shapes else None  # type: ignore[return-value]

    def names(self, layer: Layer) -> Mapping[str, str]:
        """Return displayed names by label, of the layer or another one with the same elements."""
        return next((one.names for one in (layer, *self.layers) if one.names and one.geometry == layer.geometry), {})


def _shape(layer: Layer, points: np.ndarray) -> Any:
    kept = points[np.r_[True, (np.diff(points, axis=0) != 0).any(axis=1)]]
    if layer.shape == "point" or len(kept) == 1:
        return shapely.Point(kept[0])
    if layer.shape == "line" or len(kept) == 2:
        return shapely.LineString(kept)
    polygon = shapely.Polygon(kept)
    return shapely.geometry.polygon.orient(polygon) if polygon.area else shapely.LineString(kept)
