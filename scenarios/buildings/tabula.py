"""TABULA building types, and the zone parameters that follow from their U-values.

Building types come from the IEE projects TABULA and EPISCOPE (www.episcope.eu), in
``tabula_types.csv`` (Spain, Italy) and ``tabula_europe.csv`` (18 more countries).
"""

from __future__ import annotations

import csv
import dataclasses
import math
from dataclasses import dataclass
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cosim.core import CosimError, InputFileError
from cosim.core.buildings.zones import ZoneParameters
from cosim.core.quantities import Array

EUROPE_FILE = resources.files("cosim.scenarios.buildings").joinpath("tabula_europe.csv")
TYPES_FILE = resources.files("cosim.scenarios.buildings").joinpath("tabula_types.csv")

AIR_HEAT = 0.34  # Wh/(m³ K), TABULA calculation method
SURFACE_RATIO = 4.5  # all inner surfaces per floor area, ISO 13790:2008, 7.2.2.2
MASS_COEFFICIENT = 9.1  # W/(m² K) from inner surface to mass, ISO 13790:2008, 12.2.2
FURNISHED_AIR = 1e4  # J/(m² K) of air and furniture, default of ISO 52016-1:2017
RADIANT = {"radiators": 0.3, "underfloor": 1.0, "air": 0.0}
"""Share of the heat that acts on surfaces, by system: of radiators what they radiate (an assumption), of floor heating
all, in the floor itself, of fan coils and split units nothing. [1]"""
CELLAR_ON_GROUND = 0.5
"""Share of the ground in what lies behind a floor above an unheated cellar, the rest being outdoor air. [1]

Of an unheated basement ISO 13370:2017 adds floor and walls in the ground, walls above ground and 0.3 air changes an
hour (7.4 and H.8, as in the United Kingdom's Home Energy Model): for 10 by 10 m, 2 m deep and 0.5 m high, with U of
0.3, 0.5 and 1.5 W/(m² K), an assumption, 70 W/K through the ground and 55 W/K to outdoor air; rounded."""
SLAB = 0.3  # m between a storey's height and its room height, assumption


@dataclass(frozen=True, slots=True)
class Areas:
    """Envelope areas per m² of floor, scalars or shape (n_buildings,). [m²/m²]"""

    roof: Array
    wall: Array
    floor: Array
    window: Array
    door: Array


@dataclass(frozen=True)
class TabulaType:
    """One building type at one refurbishment level; units as in the header of ``tabula_types.csv``."""

    type: str
    level: int
    first_year: int
    last_year: int
    reference_area: float
    storeys: int
    dwellings: int
    attached_sides: int
    room_height: float
    roof_area: float
    roof_u: float
    wall_area: float
    wall_u: float
    floor_area: float
    floor_u: float
    window_area: float
    window_u: float
    window_g: float
    door_area: float
    door_u: float
    thermal_bridge_u: float
    infiltration: float
    air_use: float
    c_m: float
    heating_days: float
    heating_outdoor: float
    h_transmission: float
    h_ventilation: float
    q_ht_tr: float
    q_ht_ve: float
    q_sol: float
    q_int: float
    q_h_nd: float
    q_w_nd: float
    wall_unheated: float
    cellar: float

    @property
    def published_areas(self) -> Areas:
        """Areas of the type's own example building, per m² of its floor."""
        parts = (self.roof_area, self.wall_area, self.floor_area, self.window_area, self.door_area)
        return Areas(*(np.asarray(part / self.reference_area) for part in parts))

    def areas(
        self,
        floor_area: npt.ArrayLike,
        storeys: npt.ArrayLike,
        attached_sides: npt.ArrayLike,
        facade_length: npt.ArrayLike | None = None,
    ) -> Areas:
        """Return the areas of a building with the type's share of windows and doors.

        Parameters
        ----------
        floor_area, storeys, attached_sides : scalar or shape (n_buildings,)
            Floor area of all storeys [m²], number of storeys, sides that touch heated neighbours (0 to 3).
        facade_length : scalar or shape (n_buildings,)
            Length of façade that touches no neighbour; by default the free sides of a square footprint. [m]
        """
        floor, levels = np.asarray(floor_area, float), np.asarray(storeys, float)
        sides = 4 - np.asarray(attached_sides, float)
        length = sides * np.sqrt(floor / levels) if facade_length is None else np.asarray(facade_length, float)
        facade = length * levels * (self.room_height + SLAB) / floor
        whole = self.wall_area + self.window_area + self.door_area
        window, door = facade * (self.window_area / whole), facade * (self.door_area / whole)
        return Areas(1 / levels, facade - window - door, 1 / levels, window, door)

    def zone(
        self,
        floor_area: npt.ArrayLike,
        storeys: npt.ArrayLike | None = None,
        attached_sides: npt.ArrayLike | None = None,
    ) -> ZoneParameters:
        """Return the zone of a building of this type, per m² of floor: see `zone_of`.

        Storeys and attached sides are the type's own by default.
        """
        storeys = self.storeys if storeys is None else storeys
        attached_sides = self.attached_sides if attached_sides is None else attached_sides
        return self.zone_of(self.areas(floor_area, storeys, attached_sides))

    def zone_of(self, areas: Areas) -> ZoneParameters:
        """Map areas and U-values to zone parameters per m² of floor.

        In steady state the zone, heated by radiators, loses exactly U·A, thermal bridges and air change. The heat
        capacity ``c_m`` is shared between exterior and interior mass by inner surface, and a mass lies 1/9.1 m² K/W
        behind its surface, at most halfway through the wall; both are assumptions, as TABULA publishes no layers.

        Raises
        ------
        CosimError
            If the U-values imply a wall without any resistance.
        """
        exterior = areas.roof + areas.wall + areas.floor
        interior = np.maximum(SURFACE_RATIO - exterior - areas.window - areas.door, 1.0)
        h_ext, h_int, h_rad = ZoneParameters.h_exterior, ZoneParameters.h_interior, ZoneParameters.h_radiation
        share, radiation = exterior / (exterior + interior), h_rad * np.minimum(exterior, interior)
        by_air = (
            self.window_u * areas.window
            + self.door_u * areas.door
            + AIR_HEAT * (self.air_use + self.infiltration) * self.room_height
        )
        # Balance of both surfaces per kelvin between room and outdoors: the exterior one stands below the air by what
        # it loses, and is warmed by its share of the radiators' heat and by radiation from the interior surface.
        radiant = RADIANT["radiators"] * (self.opaque(areas) + by_air)
        passed = radiation / (radiation + h_int * interior)
        gain = radiant * share + passed * radiant * (1 - share) - self.opaque(areas)
        above_air = gain / (h_ext * exterior + passed * h_int * interior)
        wall = (1 + above_air) / self.opaque(areas)
        if (wall <= 0).any():
            raise CosimError(
                f"type {self.type} level {self.level} has U-values of {1 / (1 / self.opaque(areas) / exterior)} "
                "W/(m² K): its walls would need a negative resistance"
            )
        r_exterior = np.minimum(1 / (MASS_COEFFICIENT * exterior), wall / 2)
        capacity = 3600 * self.c_m
        return ZoneParameters(
            air_capacity=np.full_like(share, FURNISHED_AIR),
            exterior_capacity=capacity * share,
            interior_capacity=capacity * (1 - share),
            r_exterior=r_exterior,
            r_interior=1 / (MASS_COEFFICIENT * interior),
            r_rest=wall - r_exterior,
            exterior_area=exterior,
            interior_area=interior,
            outdoor_conductance=by_air,
            heating_exterior=RADIANT["radiators"] * share,
            heating_interior=RADIANT["radiators"] * (1 - share),
        )

    def on_ground(self, areas: Areas) -> Array:
        """Share of the opaque heat loss that goes to the ground; unheated cellars lie between ground and air. [1]"""
        return np.asarray(self.floor_u * areas.floor * (1 - CELLAR_ON_GROUND * self.cellar) / self.opaque(areas))

    def opaque(self, areas: Areas) -> Array:
        """Heat loss through roof, wall, floor and thermal bridges per m² of floor. [W/K]"""
        plain = self.roof_u * areas.roof + self.wall_u * areas.wall + self.floor_u * areas.floor
        every = areas.roof + areas.wall + areas.floor + areas.window + areas.door
        return np.asarray(plain + self.thermal_bridge_u * every)


def read_types(path: Path | Traversable = TYPES_FILE) -> dict[tuple[str, int], TabulaType]:
    """Read building types by code and refurbishment level.

    Raises
    ------
    InputFileError
        If a column is missing, or a figure is not a number or not plausible; names the row.
    """
    try:
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    except (OSError, UnicodeDecodeError) as error:
        raise InputFileError(f"cannot read building types from {path}: {error}") from error
    types: dict[tuple[str, int], TabulaType] = {}
    whole = {"level", "first_year", "last_year", "storeys", "dwellings", "attached_sides"}
    for row in csv.DictReader(lines):
        name = f"{path.name}: row {row.get('type')!r} level {row.get('level')!r}"
        values: dict[str, object] = {}
        for field in dataclasses.fields(TabulaType):
            text = row.get(field.name)
            if text is None:
                raise InputFileError(f"{name} has no {field.name}: every row needs all columns")
            try:
                values[field.name] = text if field.name == "type" else (int if field.name in whole else float)(text)
            except ValueError as error:
                raise InputFileError(f"{name} has {field.name} = {text!r}: it must be a number") from error
        found = TabulaType(**values)  # type: ignore[arg-type]
        problem = _implausible(found)
        if problem is None and found.level > 1:
            existing = types.get((found.type, 1))
            if existing is not None and found.h_transmission > existing.h_transmission:
                problem = f"h_transmission {found.h_transmission}: above that of the existing state"
        if problem is not None:
            raise InputFileError(f"{name} has {problem}; correct or remove the row")
        if (found.type, found.level) in types:
            raise InputFileError(f"{name} is a duplicate: remove one of the rows")
        types[found.type, found.level] = found
    return types


def _implausible(row: TabulaType) -> str | None:
    for field in dataclasses.fields(row):
        value = getattr(row, field.name)
        if field.name == "heating_outdoor" and math.isfinite(value):  # of a cold climate
            continue
        if field.name != "type" and not (math.isfinite(value) and value >= 0):
            return f"{field.name} = {value}: it must be finite and not negative"
    for name in ("roof", "wall", "floor", "window"):
        area, u = getattr(row, f"{name}_area"), getattr(row, f"{name}_u")
        if area <= 0:
            return f"{name}_area = {area}: it must be positive"
        if not 0 < u <= 7:
            return f"{name}_u = {u}: it must be above 0 and at most 7 W/(m2 K)"
    for name in ("wall_unheated", "cellar"):
        if getattr(row, name) > 1:
            return f"{name} = {getattr(row, name)}: it must be from 0 to 1"
    if not 0 < row.window_g <= 1:
        return f"window_g = {row.window_g}: it must be above 0 and at most 1"
    if row.level not in (1, 2, 3) or row.attached_sides > 3 or min(row.storeys, row.dwellings) < 1:
        return "level, attached_sides, storeys or dwellings out of range"
    if min(row.reference_area, row.c_m, row.room_height) <= 0:
        return "reference_area, c_m or room_height of 0"
    # No building code required insulation before the first oil crisis: solid walls lose 1 W/(m² K) and more.
    if row.level == 1 and row.last_year < 1980 and row.wall_u < 0.4:
        return f"wall_u = {row.wall_u} in the existing state of a type built until {row.last_year}"
    everything = row.window_u * row.window_area + row.door_u * row.door_area
    opaque = float(row.opaque(row.published_areas)) * row.reference_area
    h = (opaque + everything) / row.reference_area
    if abs(h - row.h_transmission) > 0.05 * row.h_transmission:
        return f"h_transmission = {row.h_transmission}, but its areas and U-values give {h:.3f}"
    return None


@cache
def tabula_types() -> dict[tuple[str, int], TabulaType]:
    """Return the packaged types by code and refurbishment level, e.g. ``("ES.ME.AB.04", 1)``."""
    return read_types() | read_types(EUROPE_FILE)
