"""What a building stock holds, and the one check of it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from cosim.core.errors import CosimError
from cosim.core.quantities import Array, Indices32

from .zones import ZoneParameters

_BY_SURFACE = ("window_area", "sun_on_exterior", "sun_to_exterior")
_SHARES = ("sun_to_exterior", "ground_share", "blinds")


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
    def storeys(self) -> Array: ...
    @property
    def dwellings(self) -> Array: ...
    @property
    def window_area(self) -> Array: ...
    @property
    def solar_transmittance(self) -> Array: ...
    @property
    def sun_on_exterior(self) -> Array: ...
    @property
    def sun_to_exterior(self) -> Array: ...
    @property
    def sky_depression(self) -> Array: ...
    @property
    def ground_share(self) -> Array: ...
    @property
    def party_walls(self) -> Array: ...
    @property
    def infiltration(self) -> Array: ...
    @property
    def shelter(self) -> Array: ...
    @property
    def blinds(self) -> Array: ...
    @property
    def emission(self) -> Sequence[str]: ...
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
    @property
    def household_sizes(self) -> Sequence[float]: ...
    @property
    def gas_hobs(self) -> float: ...
    @property
    def heated_hours(self) -> Sequence[tuple[float, float]]: ...


def check_stock(stock: StockLike, n_surfaces: int) -> None:
    """Check that every array of a stock fits its ids and holds what it may.

    Raises
    ------
    CosimError
        If one does not; it names the first.
    """
    n = len(stock.ids)
    shapes = {
        name: (n, n_surfaces) if name in _BY_SURFACE else (n,)
        for name in (
            "floor_area",
            "storeys",
            "dwellings",
            "window_area",
            "solar_transmittance",
            "sun_on_exterior",
            "sun_to_exterior",
            "ground_share",
            "infiltration",
            "shelter",
            "blinds",
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
        if name in _SHARES and (array > 1).any():
            raise CosimError(f"stock.{name} is {array.max():g} somewhere: it is a share, from 0 to 1")
    if len(stock.emission) != n or not set(stock.emission) <= {"radiators", "underfloor", "air"}:
        raise CosimError(
            f"stock.emission has {len(stock.emission)} entries {sorted(set(stock.emission))}: give each of the {n} "
            "buildings 'radiators', 'underfloor' or 'air'"
        )
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
    hours = [hour for begin_end in stock.heated_hours for hour in begin_end]
    if not (len(hours) and all(0 <= a < b <= 24 for a, b in itertools.pairwise(hours))):
        raise CosimError(
            f"stock.heated_hours is {tuple(stock.heated_hours)}: give spans of hours that follow each other, from 0 "
            "to 24"
        )
