"""The building stock of a city: envelopes, heating, cooling, panels and batteries.

A building has the U-values, air change, heat capacity and window share of its type in `tabula`; its own floor area,
storeys and party walls give the areas.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cosim.adapters.buildings import SURFACES
from cosim.core import CosimError
from cosim.core.buildings.households import SIZES
from cosim.core.buildings.zones import ZoneParameters
from cosim.core.quantities import Array, Indices32
from cosim.core.random import quota
from cosim.scenarios.buildings.footprints import by_orientation, facade_shares, party_walls
from cosim.scenarios.buildings.tabula import AIR_HEAT, RADIANT, SLAB, tabula_types

OUTER_FILM = 0.04  # m² K/W, ISO 6946
ABSORPTANCE = 0.6  # assumption: façades and roofs of medium colour
SKY_LOSS = 5 * 0.9 * 11.0  # W/m²: 5 ε times 11 K between air and sky, ISO 13790:2008, 11.4.6
TANK = 0.15  # m³ per dwelling with a heat pump, assumption
SHADING = 0.6 * (1 - 0.3)  # vertical windows: shading, frame; TABULA standard values
PARTY_WALL_U = 1 / (2 * 0.13 + 0.3 / 0.8)  # W/(m² K): 0.3 m of brick between two rooms, an assumption
FREE_SIDES = {0: (0, 90, 180, 270), 1: (0, 90, 180), 2: (0, 180), 3: (0,)}  # degrees from the street façade


@dataclass(frozen=True)
class Stock:
    """The buildings of a city; arrays have the shape (n_buildings,) unless stated.

    Attributes
    ----------
    ids, types
        Name and TABULA type of each building.
    zones, archetype
        Zone parameters per m² of floor, and the index of each building's own.
    floor_area, storeys, dwellings
        Floor area of all storeys [m²], numbers of storeys and dwellings.
    window_area : shape (n_buildings, 9)
        Window area by surface, in the order of `SURFACES`. [m²]
    solar_transmittance
        Solar gain behind the window per irradiance of windows (`Weather.window_irradiance`).
    sun_on_exterior : shape (n_buildings, 9)
        Rise in the equivalent outdoor temperature per irradiance on each surface. [K m²/W]
    sun_to_exterior : shape (n_buildings, 9)
        Share of the sun through the windows of each surface that falls on the exterior surface: it does not reach the
        façade that it comes through, and spreads over all others by area, as in VDI 6007-1.
    sky_depression
        Drop in the equivalent outdoor temperature due to long-wave radiation to the sky. [K]
    ground_share
        Weight of the ground in the equivalent outdoor temperature, the rest being outdoor air.
    party_walls : shape (n_walls, 3)
        Numbers of two buildings, and the conductance of the wall between their rooms [W/K]; none by default.
    infiltration
        Conductance of infiltration per floor area, as it is in ``zones``. [W/(m² K)]
    shelter
        Shelter class, see `cosim.core.buildings.infiltration`.
    blinds
        Share of the sun that passes closed blinds, 1 without any.
    emission
        How heat is given to the rooms: ``"radiators"``, ``"underfloor"`` or ``"air"``.
    hot_water_need
        Mean heat drawn as hot water. [W]
    design_load
        Heat loss at the design temperature. [W]
    heating
        ``"heat_pump"``, ``"resistance"`` or ``"gas_boiler"``.
    heating_capacity, heat_pump_capacity, cooling_capacity
        Heat of the boiler or heaters, or of heat pump and back-up together, 0 without heating; of the heat pump alone;
        of the coolers. [W]
    heat_pump_source
        ``"air"`` or ``"ground"``.
    tank_volume, pv_capacity, battery_capacity
        Volume of hot-water tanks beside heat pumps [m³], peak power of solar panels [W], energy of batteries [J].
    household_sizes, gas_hobs
        Shares of households of 1, 2, 3 … persons, and of dwellings that cook on gas.
    heated_hours
        Spans of the civil day in which rooms are heated to the setpoint; outside them to a setback. [h]
    """

    ids: tuple[str, ...]
    types: tuple[str, ...]
    zones: ZoneParameters
    archetype: Indices32
    floor_area: Array
    storeys: Array
    dwellings: Array
    window_area: Array
    solar_transmittance: Array
    sun_on_exterior: Array
    sun_to_exterior: Array
    sky_depression: Array
    ground_share: Array
    party_walls: Array
    infiltration: Array
    shelter: Array
    blinds: Array
    emission: tuple[str, ...]
    hot_water_need: Array
    design_load: Array
    heating: tuple[str, ...]
    heating_capacity: Array
    heat_pump_capacity: Array
    cooling_capacity: Array
    heat_pump_source: tuple[str, ...]
    tank_volume: Array
    pv_capacity: Array
    battery_capacity: Array
    household_sizes: tuple[float, ...] = SIZES
    gas_hobs: float = 0.0
    heated_hours: tuple[tuple[float, float], ...] = ((7.0, 23.0),)

    def __len__(self) -> int:
        return len(self.ids)

    def with_heat_pumps(self, share: float, seed: int = 0, *, ground_share: float = 0.0) -> Stock:
        """Return the stock with heat pumps in this share of its buildings; the others keep what they had, or boilers.

        Shares are exact to one building, drawn by key. A larger share keeps the buildings of a smaller one; that of
        ground-source heat pumps is a share of all buildings' heat pumps.
        Heat pumps cover the design load and a resistance heater half of it on top; boilers have the same total
        (assumed sizing, for recovery in the morning). In unheated buildings they heat the water only.
        """
        if not 0 <= share <= 1:
            raise CosimError(f"the share of heat pumps is {share}: it must be from 0 to 1")
        if not 0 <= ground_share <= 1:
            raise CosimError(f"the share of ground-source heat pumps is {ground_share}: it must be from 0 to 1")
        chosen = quota(seed, "has heat pump", self.ids, share)
        deep = quota(seed, "heat pump on the ground", self.ids, ground_share)
        return dataclasses.replace(
            self,
            heating=tuple(
                "heat_pump" if pump else "gas_boiler" if had == "heat_pump" else had
                for pump, had in zip(chosen, self.heating, strict=True)
            ),
            heat_pump_capacity=np.where(chosen & (self.heating_capacity > 0), self.design_load, 0.0),
            heat_pump_source=tuple(np.where(deep, "ground", "air").tolist()),
        )

    def with_old_heating(self, unheated: float, resistance: float, seed: int = 0) -> Stock:
        """Return the stock with no heating, and with resistance heaters, in shares of its buildings.

        Unheated buildings keep their boilers or heat pumps for hot water; beside resistance heaters it comes from
        electric tanks. The shares are of all buildings, exact to one and drawn by key; heat pumps replace the heaters.
        """
        if not (unheated >= 0 and resistance >= 0 and unheated + resistance <= 1):
            raise CosimError(
                f"{unheated:g} of the buildings are unheated and {resistance:g} have resistance heaters: give shares "
                "from 0 to 1 that add up to 1 at most"
            )
        cold = quota(seed, "has old heating", self.ids, unheated)
        electric = quota(seed, "has old heating", self.ids, unheated + resistance) & ~cold
        pumped = np.array(self.heating) == "heat_pump"
        return dataclasses.replace(
            self,
            heating=tuple(np.where(electric & ~pumped, "resistance", self.heating).tolist()),
            heating_capacity=np.where(cold, 0.0, self.heating_capacity),
            heat_pump_capacity=np.where(cold, 0.0, self.heat_pump_capacity),
        )

    def with_neighbours(self, shapes: Sequence[Any]) -> Stock:
        """Return the stock with heat between buildings whose footprints touch, as far as both are in the stock.

        Behind other party walls it is as warm as before them. A wall is as high as the lower building.

        Parameters
        ----------
        shapes
            Footprint of each building, in metres.
        """
        if len(shapes) != len(self):
            raise CosimError(f"{len(shapes)} footprints are given for {len(self)} buildings: give one each")
        walls = party_walls(shapes)
        first, second = walls[:, :2].T.astype(int)
        walls[:, 2] *= PARTY_WALL_U * (2.5 + SLAB) * np.minimum(self.storeys[first], self.storeys[second])
        return dataclasses.replace(self, party_walls=walls)

    def with_underfloor(self, share: float, seed: int = 0) -> Stock:
        """Return the stock with floor heating instead of radiators in this share of its heated buildings.

        The share is exact to one building, drawn by key; a larger one keeps the buildings of a smaller one. The heat
        acts on the surfaces of floors, and heat pumps give it at a lower temperature.
        """
        if not 0 <= share <= 1:
            raise CosimError(f"the share of floor heating is {share}: it must be from 0 to 1")
        chosen = quota(seed, "has floor heating", self.ids, share) & (self.heating_capacity > 0)
        _, first = np.unique(self.archetype, return_index=True)
        ground = np.ones(len(self.zones))  # an archetype without a building keeps the floor of a single storey
        ground[self.archetype[first]] = 1 / self.storeys[first]
        heated = dataclasses.replace(self.zones, heating_exterior=ground, heating_interior=1 - ground)
        return dataclasses.replace(
            self,
            zones=self.zones + heated,
            archetype=self.archetype + np.where(chosen, len(self.zones), 0).astype(np.int32),
            emission=tuple(np.where(chosen, "underfloor", self.emission).tolist()),
        )

    def with_photovoltaics(self, share: float, seed: int = 0, *, battery_hours: float = 0.0) -> Stock:
        """Return the stock with solar panels on half the roof of this share of its buildings (200 W of peak per m²).

        The share is exact to one building, drawn by key.
        ``battery_hours`` is the capacity of the batteries beside them over their peak. A larger share keeps the
        buildings of a smaller one; half the roof and 200 W/m² are assumptions.
        """
        if not (0 <= share <= 1 and 0 <= battery_hours < 100):
            raise CosimError(
                f"the share of photovoltaics is {share} and its batteries hold {battery_hours} hours: give a share "
                "from 0 to 1 and hours from 0 to 100"
            )
        chosen = quota(seed, "has photovoltaics", self.ids, share)
        peak = np.where(chosen, 0.5 * 200.0 * self.floor_area / self.storeys, 0.0)
        return dataclasses.replace(self, pv_capacity=peak, battery_capacity=battery_hours * 3600.0 * peak)


def _free_facades(azimuth: Array, attached: Array) -> Array:
    """Return the share of the free façades by surface, each split between the two nearest of the eight azimuths."""
    known: dict[tuple[float, float], Array] = {}
    found = np.zeros((len(azimuth), len(SURFACES)))
    for i, (degrees, sides) in enumerate(zip(azimuth.tolist(), attached.tolist(), strict=True)):
        if (degrees, sides) not in known:
            turns = FREE_SIDES[int(sides)]
            known[degrees, sides] = np.asarray(sum(by_orientation(degrees + turn, 1 / len(turns)) for turn in turns))
        found[i] = known[degrees, sides]
    return found


def _emission(systems: Sequence[str], zone: ZoneParameters, floor: Array) -> dict[str, Any]:
    """Return the shares of heat that act on both surfaces, given the floor on the ground per floor area."""
    exterior = np.where(np.array(systems) == "underfloor", floor, zone.exterior_share)
    radiant = np.array([RADIANT[system] for system in systems])
    return {"heating_exterior": radiant * exterior, "heating_interior": radiant * (1 - exterior)}


def make_stock(
    ids: Sequence[str],
    type_codes: Sequence[str],
    floor_area: npt.ArrayLike,
    storeys: npt.ArrayLike,
    attached: npt.ArrayLike,
    azimuths: npt.ArrayLike,
    level: npt.ArrayLike = 1,
    *,
    facade_length: Array | None = None,
    heat_pump_share: float = 0.0,
    cooling_share: float = 0.5,
    design_outdoor: float = 0.0,
    emission: str | Sequence[str] = "radiators",
    seed: int = 0,
) -> Stock:
    """Return a stock with the envelopes and systems of the given types.

    Parameters
    ----------
    ids, type_codes
        Name and TABULA code of each building, e.g. ``"ES.ME.AB.04"``.
    floor_area, storeys : shape (n_buildings,) or scalar
        Floor area of all storeys [m²], number of storeys.
    attached : shape (n_buildings,) or scalar
        Sides with party walls, 0 to 3. With 2, the street and the rear façade are free. What lies behind them:
        `with_neighbours`.
    azimuths : shape (n_buildings,) or scalar
        Orientation of the street façade, clockwise from north. [°]
    level : shape (n_buildings,) or scalar
        Refurbishment: 1 existing, 2 usual, 3 advanced.
    facade_length : shape (n_buildings, 9)
        Free façade by orientation, as in `footprints.Footprints`; replaces ``attached`` and ``azimuths``. [m]
    heat_pump_share, cooling_share
        Shares of buildings with heat pumps and with coolers (60 W/m², an assumption).
    design_outdoor
        Outdoor temperature that heating is sized for. [°C]
    emission
        How heat is given to the rooms, of all buildings or one each: ``"radiators"``, ``"underfloor"`` or ``"air"``.
    seed
        Seed of the draws of heating and cooling systems.

    Raises
    ------
    CosimError
        If an id is duplicated, a type or level is unknown, or a figure is out of range.
    """
    ids = tuple(str(i) for i in ids)
    n = len(ids)
    if len(set(ids)) != n or len(type_codes) != n:
        raise CosimError(
            f"stock has {n} ids, {len(set(ids))} of them distinct, and {len(type_codes)} type codes: "
            "give one type per building and every building a unique id"
        )
    columns = {"floor_area": floor_area, "storeys": storeys, "attached": attached, "azimuths": azimuths, "level": level}
    try:
        area, floors, sides, azimuth, levels = (
            np.array(np.broadcast_to(np.asarray(column, float), (n,))) for column in columns.values()
        )
    except ValueError as error:
        raise CosimError(f"a column of the stock does not fit its {n} buildings: {error}") from error
    for name, column, good in (
        ("floor_area", area, (area > 0) & np.isfinite(area)),
        ("storeys", floors, (floors >= 1) & np.isfinite(floors)),
        ("attached", sides, np.isin(sides, list(FREE_SIDES))),
        ("azimuths", azimuth, np.isfinite(azimuth)),
    ):
        if not good.all():
            first = int(np.argmin(good))
            raise CosimError(f"building {ids[first]!r} has {name} = {column[first]:g}, which is out of range")
    given = (emission,) * n if isinstance(emission, str) else tuple(emission)
    if len(given) != n or not set(given) <= set(RADIANT):
        raise CosimError(
            f"emission of heat is {sorted(set(given))} for {len(given)} of {n} buildings: give each one of "
            f"{', '.join(RADIANT)}"
        )
    free = None if facade_length is None else np.asarray(facade_length, float)
    if free is not None and not (free.shape == (n, len(SURFACES)) and np.isfinite(free).all() and (free >= 0).all()):
        raise CosimError(
            f"facade_length has shape {free.shape}: {n} buildings need ({n}, {len(SURFACES)}) lengths, finite and not "
            "negative"
        )
    known = tabula_types()
    kinds: dict[tuple[str, float], list[int]] = {}
    for i, pair in enumerate(zip(type_codes, levels.tolist(), strict=True)):
        kinds.setdefault(pair, []).append(i)
    for (code, number), members in kinds.items():
        if (code, number) not in known:
            raise CosimError(
                f"building {ids[members[0]]!r} has type {code!r} at level {number:g}, which TABULA does not have; "
                f"types are {', '.join(sorted({c for c, _ in known})[:4])}, …"
            )
    types = [known[code, int(number)] for code, number in zip(type_codes, levels, strict=True)]
    names = [field.name for field in dataclasses.fields(ZoneParameters)]
    rows = np.zeros((n, len(names)))
    window, sun, spread = (np.zeros((n, len(SURFACES))) for _ in range(3))
    sky, ground = np.zeros(n), np.zeros(n)
    free_m = None if free is None else np.array([row.sum() for row in free])
    facades = _free_facades(azimuth, sides) if free is None else facade_shares(free)
    for (code, number), among in kinds.items():
        kind, k = known[code, int(number)], np.array(among)
        areas = kind.areas(area[k], floors[k], sides[k], None if free_m is None else free_m[k])
        zone = kind.zone_of(areas)
        zone = dataclasses.replace(zone, **_emission([given[i] for i in among], zone, areas.floor))
        rows[k] = np.stack([np.asarray(getattr(zone, name)) for name in names], axis=1)
        window[k] = (areas.window * area[k])[:, None] * facades[k]
        outer = zone.exterior_area[:, None] - areas.wall[:, None] * facades[k]
        spread[k] = outer / (outer + zone.interior_area[:, None])
        exposed = 1 - kind.wall_unheated  # walls to unheated stairs lie in the shade
        wall, roof = exposed * kind.wall_u * areas.wall, kind.roof_u * areas.roof
        opaque, ground[k] = kind.opaque(areas), kind.on_ground(areas)
        sun[k] = (ABSORPTANCE * OUTER_FILM * wall / opaque)[:, None] * facades[k]
        sun[k, 0] += ABSORPTANCE * OUTER_FILM * roof / opaque
        sky[k] = OUTER_FILM * SKY_LOSS * (0.5 * wall + roof) / opaque  # form factors of ISO 13790:2008, 11.4.6
    shared, archetype = np.unique(rows, axis=0, return_inverse=True)
    zones = ZoneParameters(**dict(zip(names, shared.T, strict=True)))
    index: Indices32 = archetype.reshape(-1).astype(np.int32)
    loss = zones.loss_coefficient[index] * area
    cools = quota(seed, "has cooling", ids, cooling_share)
    dwellings = np.maximum(1, np.round(area * [t.dwellings / t.reference_area for t in types]))
    stock = Stock(
        ids=ids,
        types=tuple(type_codes),
        zones=zones,
        archetype=index,
        floor_area=area,
        storeys=floors,
        dwellings=dwellings,
        window_area=window,
        solar_transmittance=np.array([t.window_g for t in types]) * SHADING,
        sun_on_exterior=sun,
        sun_to_exterior=spread,
        sky_depression=sky,
        ground_share=ground,
        party_walls=np.zeros((0, 3)),
        infiltration=np.array([AIR_HEAT * t.infiltration * t.room_height for t in types]),
        shelter=np.where(sides > 0, 5, 4),
        blinds=np.ones(n),
        emission=given,
        hot_water_need=area * [t.q_w_nd for t in types] * (1000 / 8760),  # kWh/(m² a) -> W
        design_load=loss * (20.0 - design_outdoor),
        heating=("gas_boiler",) * n,
        heating_capacity=1.5 * loss * (20.0 - design_outdoor),
        heat_pump_capacity=np.zeros(n),
        cooling_capacity=np.where(cools, 60.0 * area, 0.0),
        heat_pump_source=("air",) * n,
        tank_volume=TANK * dwellings,
        pv_capacity=np.zeros(n),
        battery_capacity=np.zeros(n),
    )
    return stock.with_heat_pumps(heat_pump_share, seed)
