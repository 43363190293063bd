"""Spatial distribution of traffic, emissions, energy and overload: indicators by square cell."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cosim import CosimError, Result
from cosim.core.quantities import J_PER_KWH, Array
from cosim.scenarios.model import City

_STREETS = {
    "vehicle-kilometres [km]": ("traffic.travel", 1e-3),
    "vehicle-hours [h]": ("traffic.vehicles", 1 / 3600),
    "time loss [h]": ("traffic.time_loss", 1 / 3600),
    "tailpipe CO2 [kg]": ("traffic.co2", 1.0),
    "tailpipe NOx [g]": ("traffic.nox", 1e3),
    "tailpipe PM [g]": ("traffic.pmx", 1e3),
}
_BUILDINGS = {
    "electricity of buildings [kWh]": ("buildings.electric_power", 1 / J_PER_KWH),
    "gas [kWh]": ("buildings.gas_power", 1 / J_PER_KWH),
    "unmet degree-hours of all buildings [K h]": ("buildings.unmet_degree", 1 / 3600),
}


def cell_indicators(result: Result, city: City, side_m: float = 250.0) -> pd.DataFrame:
    """Return indicators by square cell.

    A street counts for the cell of its midpoint, buildings and transformer stations for the cell they stand in. Each
    column sums to the value of the whole city.

    Parameters
    ----------
    result
        A run of the city.
    city
        The city.
    side_m
        Side of a cell. [m]

    Returns
    -------
    One row per non-empty cell, index ``column, row`` counted from the network's origin; units are part of
    the columns' names.

    Raises
    ------
    CosimError
        If the side is not positive.
    """
    if not side_m > 0:
        raise CosimError(f"the side of a cell is {side_m} m: it must be positive")
    network = city.network
    streets = _cells(network.labels, np.array([_middle(shape) for shape in network.shapes]), side_m)
    houses = _cells([str(site) for site in city.sites.index], city.sites[["x", "y"]].to_numpy(float), side_m)
    stations = _cells(
        [station.label for station in city.grid.stations],
        np.array([(station.x, station.y) for station in city.grid.stations]),
        side_m,
    )
    columns: dict[str, pd.Series[float]] = {}
    for table, cells in ((_STREETS, streets), (_BUILDINGS, houses)):
        for name, (port, factor) in table.items():
            if port in result.ports:
                columns[name] = (result.integral(port) * factor).groupby(cells).sum()
    if "grid.transformer_loading" in result.ports:
        minutes = overload_minutes(result, "grid.transformer_loading")
        columns["overload of transformers [min]"] = minutes.groupby(stations).sum()
    table = pd.DataFrame(columns).fillna(0.0)
    table.index = pd.MultiIndex.from_tuples(table.index, names=["column", "row"])
    return table.sort_index()


def overload_minutes(result: Result, port: str, limit: float = 1.0) -> pd.Series[float]:
    """Return how long the loading of each element exceeded the limit. [min]"""
    loading = result.series(port).iloc[1:]
    every_s = result.provenance["outputs"][port]["every_s"]
    return (loading > limit).sum() * (every_s / 60)


def _cells(labels: object, xy: Array, side_m: float) -> pd.Series:
    return pd.Series([tuple(cell) for cell in np.floor(xy / side_m).astype(int).tolist()], index=list(labels))  # type: ignore[call-overload]


def _middle(shape: Array) -> tuple[float, float]:
    along = np.concatenate([[0.0], np.hypot(*np.diff(shape, axis=0).T).cumsum()])
    return tuple(float(np.interp(along[-1] / 2, along, shape[:, k])) for k in (0, 1))  # type: ignore[return-value]
