"""What a building stock holds, and the one check of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from cosim.core.errors import CosimError
from cosim.core.quantities import Array, Indices32

from .zones import ZoneParameters


class StockLike(Protocol):
    """What buildings must tell about themselves; `cosim.scenarios.buildings.stock.Stock` does."""

    @property
    def ids(self) -> Sequence[str]: ...
    @property
    def zones(self) -> ZoneParameters: ...
    @property
    def archetype(self) -> Indices32: ...
    @property
    def floor_area(self) -> Array: ...
    @property
    def dwellings(self) -> Array: ...
    @property
    def window_area(self) -> Array: ...
    @property
    def solar_transmittance(self) -> Array: ...
    @property
    def sun_on_exterior(self) -> Array: ...
    @property
    def sky_depression(self) -> Array: ...
    @property
    def hot_water_need(self) -> Array: ...
    @property
    def heating(self) -> Sequence[str]: ...
    @property
    def heating_capacity(self) -> Array: ...
    @property
    def heat_pump_capacity(self) -> Array: ...
    @property
    def cooling_capacity(self) -> Array: ...
    @property
    def heat_pump_source(self) -> Sequence[str]: ...
    @property
    def tank_volume(self) -> Array: ...
    @property
    def pv_capacity(self) -> Array: ...
    @property
    def battery_capacity(self) -> Array: ...


def check_stock(stock: StockLike, n_surfaces: int) -> None:
    """Check that every array of a stock fits its ids and holds what it may.

    Raises
    ------
    CosimError
        If one does not; it names the first.
    """
    n = len(stock.ids)
    shapes = {
        name: (n, n_surfaces) if name in ("window_area", "sun_on_exterior") else (n,)
        for name in (
            "floor_area",
            "dwellings",
            "window_area",
            "solar_transmittance",
            "sun_on_exterior",
            "sky_depression",
            "hot_water_need",
            "heating_capacity",
            "heat_pump_capacity",
            "cooling_capacity",
            "tank_volume",
            "pv_capacity",
            "battery_capacity",
        )
    }
    for name, shape in shapes.items():
        array = np.asarray(getattr(stock, name))
        if array.shape != shape:
            raise CosimError(f"stock.{name} has shape {array.shape}: {n} buildings need {shape}")
        if not (np.isfinite(array) & (array >= 0)).all():
            raise CosimError(f"stock.{name} is negative or not finite somewhere: it must be neither")
    if (np.asarray(stock.dwellings) < 1).any():
        raise CosimError("stock.dwellings is below 1 somewhere: every building has a dwelling")
    if len(stock.heat_pump_source) != n:
        raise CosimError(
            f"stock.heat_pump_source has {len(stock.heat_pump_source)} entries: {n} buildings need one each"
        )
    if len(stock.heating) != n or not set(stock.heating) <= {"heat_pump", "resistance", "gas_boiler"}:
        raise CosimError(
            f"stock.heating has {len(stock.heating)} systems {sorted(set(stock.heating))}: give each of the "
            f"{n} buildings 'heat_pump', 'resistance' or 'gas_boiler'"
        )
