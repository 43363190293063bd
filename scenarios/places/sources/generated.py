"""Districts drawn by rules instead of read from a map, as streets and places that the later stages take alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import shapely

from cosim.core.random import uniform
from cosim.scenarios.streets.eixample import building_sites, eixample_streets
from cosim.scenarios.streets.network import read_net, unproject

from .osm import Place

GENERATED = ("eixample", "bologna")
"""Names of the districts that can be drawn; Bologna's has streets and traffic of a SUMO configuration."""

STOREYS = (6, 8)
"""Least and largest number of storeys, as in `cosim.scenarios.eixample`. Assumption."""
BUILT = {1890: 0.35, 1920: 0.30, 1950: 0.10, 1970: 0.20, 1990: 0.05}
"""Share of the buildings by year, as in `cosim.scenarios.eixample`. Assumption."""


def draw_eixample(
    blocks: tuple[int, int], seed: int, net_file: Path
) -> tuple[list[Place], tuple[float, float, float, float]]:
    """Draw n × m of Cerdà's blocks.

    Parameters
    ----------
    blocks
        Blocks along the two directions of the streets.
    seed
        Seed of storeys and years.
    net_file
        Receives the network.

    Returns
    -------
    The buildings, and west, south, east, north. [°]

    Raises
    ------
    CosimError
        If there are fewer than 2 × 2 blocks, or more than several times the Eixample.
    """
    work = eixample_streets(net_file.parent, *blocks)
    work.replace(net_file)
    net = read_net(net_file)
    sites = building_sites(*blocks)
    low, high = STOREYS
    storeys = low + (uniform(seed, "storeys", sites.index) * (high - low + 1)).astype(int)
    bounds = np.cumsum(list(BUILT.values()))
    years = np.array(list(BUILT))[np.searchsorted(bounds, uniform(seed, "year", sites.index) * bounds[-1], "right")]
    places = []
    for label, shape, floors, year in zip(sites.index, sites["footprint"], storeys.tolist(), years.tolist()):
        corners = shapely.get_coordinates(shape)
        outline = shapely.Polygon(np.column_stack(unproject(net, corners[:, 0], corners[:, 1])))
        tags = {"building": "apartments", "building:levels": str(floors), "start_date": str(year)}
        places.append(Place(f"site/{label}", outline, tags))
    (west, south), (east, north) = net.getBBoxXY()
    lon, lat = unproject(net, [west, east, west, east], [south, south, north, north])
    return places, (float(lon.min()), float(lat.min()), float(lon.max()), float(lat.max()))
