"""Areas of policies: outlines in a network's coordinates, or in degrees as drawn on a map."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import shapely
import shapely.geometry

from cosim import CosimError
from cosim.scenarios.streets.network import Net, project, unproject

Outline = tuple[tuple[float, float], ...]

_DEGREES = (180.0, 90.0)


def read_outlines(path: str) -> tuple[Outline, ...]:
    """Return the outlines of all polygons of a GeoJSON file, in longitude and latitude. [°]

    Raises
    ------
    ValueError
        If it cannot be read, or holds no polygon or one with a hole.
    """
    try:
        record = json.loads(Path(path).read_text(encoding="utf-8-sig"))
        parts = record.get("features", [record])
        shapes = [shapely.geometry.shape(part.get("geometry", part)) for part in parts]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, shapely.errors.ShapelyError) as error:
        raise ValueError(
            f"it is no GeoJSON file of polygons that can be read ({error}): give one, or corners"
        ) from None
    found = [polygon for shape in shapes for polygon in getattr(shape, "geoms", [shape])]
    if not found or any(polygon.geom_type != "Polygon" or polygon.is_empty for polygon in found):
        raise ValueError("the file must hold polygons and nothing else")
    if any(polygon.interiors for polygon in found):
        raise ValueError("the file has a polygon with a hole: draw it without")
    return tuple(tuple((float(x), float(y)) for x, y, *_ in polygon.exterior.coords[:-1]) for polygon in found)


def one_outline(given: Any) -> Any:
    """Return an outline, read from a GeoJSON file where a path is given, which must hold exactly one polygon."""
    found = outlines(given)
    if found is not given and len(found) > 1:
        raise ValueError(f"the file holds {len(found)} polygons: give one")
    return given if found is given else found[0]


def outlines(given: Any) -> Any:
    """Return outlines, read from a GeoJSON file where a path is given."""
    is_path = isinstance(given, (str, Path)) and str(given).lower().endswith((".geojson", ".json"))
    return read_outlines(str(given)) if is_path else given


def area_in(net: Net, outline: Sequence[tuple[float, float]]) -> shapely.Polygon:
    """Return an area in a network's coordinates. [m]

    Parameters
    ----------
    net
        The network.
    outline
        Corners in the network's coordinates [m], or in longitude and latitude [°]. They are taken for degrees if they
        could be such and would hold less than a square metre otherwise.

    Raises
    ------
    CosimError
        If it is given in degrees, but the network has no projection or lies elsewhere.
    """
    corners = np.asarray(outline, float)
    area = shapely.Polygon(corners)
    if (np.abs(corners) > _DEGREES).any() or area.area >= 1.0:
        return area
    west, south, east, north = _bounds(net)
    if not area.intersects(shapely.box(west, south, east, north)):
        raise CosimError(
            f"the area reaches from {area.bounds[0]:g}, {area.bounds[1]:g} to {area.bounds[2]:g}, {area.bounds[3]:g}: "
            f"it does not touch the city, which in degrees reaches from {west:.4f}, {south:.4f} to {east:.4f}, "
            f"{north:.4f}"
        )
    return shapely.Polygon(np.column_stack(project(net, *corners.T)))


def _bounds(net: Net) -> tuple[float, float, float, float]:
    west, south, east, north = net.getBBoxXY()[0] + net.getBBoxXY()[1]
    lon, lat = unproject(net, [west, west, east, east], [south, north, south, north])
    return float(lon.min()), float(lat.min()), float(lon.max()), float(lat.max())
