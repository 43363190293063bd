"""Buildings drawn along the streets, for cities whose map has none."""

from __future__ import annotations

import numpy as np
import shapely

from cosim.scenarios.streets.network import Net, sites_along, unproject

from .osm import Place


def sites_as_places(net: Net, number: int, seed: int) -> list[Place]:
    """Return plots of 16 m × 12 m along the streets as buildings of the map, named ``site/…``.

    Parameters
    ----------
    net
        The network of the streets.
    number
        How many.
    seed
        Seed of the draw.
    """
    sites = sites_along(net, number, seed)
    found = []
    for label, shape in sites["footprint"].items():
        points = shapely.get_coordinates(shape)
        outline = shapely.Polygon(np.column_stack(unproject(net, points[:, 0], points[:, 1])))
        found.append(Place(f"site/{label}", outline, {"building": "apartments"}))
    return found
