"""How much electricity and gas do the city's dwellings draw to be warm, cool, lit and washed?

Each building is one zone of `cosim.core.zones` with its household uses and its heating: a heat pump with a
resistance heater behind it, or a gas boiler.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Sequence
from typing import ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from cosim.core import Adapter, Clock, CosimError, Input, Output, Placement, PortError, Step
from cosim.core.random import uniform
from cosim.core.zones import Array, ZoneParameters, Zones

SURFACES = (
    "horizontal", "north", "northeast", "east", "southeast", "south", "southwest", "west", "northwest",
)  # fmt: skip
"""Surfaces that the sun shines on: the horizontal, and façades by azimuth in steps of 45°."""

# Residential apartment of EN 16798-1:2019, Annex C: power density and its 24 hourly shares. The standard's 3 W/m²
# of appliances stand for lighting, too; its separate lighting schedule has no power density for dwellings.
OCCUPANT_GAIN = 4.2  # W/m² at full occupancy, 28.3 m² a person
APPLIANCE_POWER = 3.0  # W/m²
OCCUPANCY_WORKDAY = (
    1, 1, 1, 1, 1, 1, 0.5, 0.5, 0.5, 0.1, 0.1, 0.1, 0.2, 0.2, 0.2, 0.2, 0.5, 0.5, 0.5, 0.8, 0.8, 0.8, 1, 1,
)  # fmt: skip
OCCUPANCY_WEEKEND = (1,) * 6 + (0.8,) * 16 + (1, 1)
APPLIANCES = (
    0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.7, 0.7, 0.5, 0.5, 0.6,
    0.6, 0.6, 0.6, 0.5, 0.5, 0.7, 0.7, 0.8, 0.8, 0.8, 0.6, 0.6,
)  # fmt: skip
# Assumption: draws of hot water by hour, peaks in the morning and the evening, night almost none.
HOT_WATER = (1, 1, 1, 1, 1, 3, 7, 11, 9, 6, 4, 4, 5, 5, 3, 3, 3, 4, 6, 8, 8, 6, 4, 2)

HEATING_SETPOINT, COOLING_SETPOINT = 20.0, 26.0  # °C, EN 16798-1:2019, category II
SETBACK = 17.0  # °C, assumption: from 23 to 7 h in civil time
SETBACK_FROM, SETBACK_UNTIL = 23.0, 7.0
# Assumption: windows are opened on air above 24 °C while it is 16 °C or more outdoors and at least 1 K cooler than
# indoors, and add 4 air changes an hour of rooms 2.5 m high.
AIRING_ABOVE, AIRING_OUTDOOR, AIRING_GAP = 24.0, 16.0, 1.0  # °C, °C, K
AIRING = 4 * 2.5 * 0.34  # W/(m² K) per floor area
CONVECTIVE_GAIN = 0.5  # assumption: half of what persons and appliances give off warms the air directly
CONVECTIVE_SUN = 0.09  # VDI 6007-1, test case 5

HOT_WATER_TEMPERATURE = 50.0  # °C, assumption
BOILER_EFFICIENCY = 0.86  # assumption, of gross calorific value: the least that Regulation (EU) 813/2013 admits
COOLING_EER = 3.2  # assumption, constant: lower bound of class A of split units, Directive 2002/31/EC
LIFT_RANGE = (15.0, 60.0)  # K, where the heat-pump fit holds

# Assumptions: power factors of inverter-driven units and of household mixes; resistance heaters have none.
POWER_FACTOR = {"heat pump": 0.95, "cooling": 0.95, "appliances": 0.97}

TIMING_SPREAD_H = 1.5  # assumption: households are up to this much earlier or later than the standard
LEVEL_SPREAD = 0.4  # assumption: and use up to this share more or less, once for good and once again every day


class StockLike(Protocol):
    """What buildings must tell about themselves; `cosim.scenarios.stock.Stock` does."""

    @property
    def ids(self) -> Sequence[str]: ...
    @property
    def zones(self) -> ZoneParameters: ...
    @property
    def archetype(self) -> npt.NDArray[np.int32]: ...
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


def heat_pump_cop(sink: npt.ArrayLike, source: npt.ArrayLike) -> Array:
    """Return the coefficient of performance of an air-source heat pump.

    Parameters
    ----------
    sink, source
        Temperatures of the heated water and the outdoor air. [°C] The lift is capped to the fitted 15 to 60 K.

    References
    ----------
    .. [1] Staffell et al. (2012), A review of domestic heat pumps, Energy Environ. Sci. 5, 9291.

    Examples
    --------
    >>> float(heat_pump_cop(45.0, 5.0).round(3))
    2.978
    """
    lift = np.clip(np.asarray(sink, float) - np.asarray(source, float), *LIFT_RANGE)
    return np.asarray(6.81 - 0.121 * lift + 0.00063 * lift**2)


def radiator_temperature(outdoor: npt.ArrayLike) -> Array:
    """Return the flow temperature of radiators by heating curve: 40 °C at 0 °C, 1 K more per K colder. [°C]

    An assumption in the manner of Ruhnau, Hirth and Praktiknjo (2019), Scientific Data 6, 189.
    """
    return np.asarray(40.0 - np.asarray(outdoor, float))


class _Week:
    """A weekly schedule whose mean over any interval is exact, shifted building by building."""

    def __init__(self, workday: Sequence[float], weekend: Sequence[float]) -> None:
        self._sum = np.concatenate([[0.0], np.cumsum([*workday] * 5 + [*weekend] * 2, dtype=float)])

    def _until(self, hours: Array) -> Array:
        weeks, rest = np.divmod(hours, 168.0)
        return np.asarray(weeks * self._sum[-1] + np.interp(rest, np.arange(169.0), self._sum))

    def mean(self, start_h: Array, length_h: float) -> Array:
        """Mean from ``start_h`` hours after Monday's midnight over ``length_h``."""
        return (self._until(start_h + length_h) - self._until(start_h)) / length_h


class Buildings(Adapter):
    """Residential buildings: zones, household uses, heat pumps, boilers and coolers.

    All powers are positive when they are consumed or delivered. ``heat_pump_power`` includes the back-up heater;
    hot water is made by the heat pump or the boiler of the building, without a tank. Windows are opened on warm air
    while it is cooler outdoors. ``unmet_degree`` is the distance of the mean air temperature from the comfort band
    that holds without the setpoint shifts.

    Parameters
    ----------
    stock
        The buildings.
    clock
        Gives the civil time that schedules follow.
    seed
        Varies timing and level of household use.
    start_temperature
        Initial temperature of all buildings. [°C]

    Raises
    ------
    CosimError
        If an array of the stock does not fit its ids, or a heating system is unknown.
    """

    placement: ClassVar[Placement] = "thread"

    def __init__(self, stock: StockLike, clock: Clock, *, seed: int = 0, start_temperature: float = 20.0) -> None:
        ids = tuple(stock.ids)
        _check(stock, len(ids))
        self.outdoor_temperature = Input("degC", ["outdoor"])
        self.irradiance = Input("W/m**2", SURFACES)
        self.heating_shift = Input("K", ids, default=0.0)
        self.cooling_shift = Input("K", ids, default=0.0)
        self.electric_power = Output("W", ids, "mean")
        self.reactive_power = Output("var", ids, "mean")
        self.heat_pump_power = Output("W", ids, "mean")
        self.cooling_power = Output("W", ids, "mean")
        self.appliance_power = Output("W", ids, "mean")
        self.hot_water_power = Output("W", ids, "mean")
        self.heating_heat = Output("W", ids, "mean")
        self.gas_power = Output("W", ids, "mean")
        self.indoor_temperature = Output("degC", ids, "end")
        self.unmet_degree = Output("K", ids, "mean")

        self._clock, self._seed, self._ids = clock, seed, ids
        self._stock = stock
        self._start_temperature = start_temperature
        self._has_heat_pump = np.array([system == "heat_pump" for system in stock.heating], dtype=bool)
        # Dwellings of one building even out: the spread of their mean falls with the square root of their number.
        self._evening_out = 1 / np.sqrt(stock.dwellings)
        self._shift_h = TIMING_SPREAD_H * self._evening_out * (2 * uniform(seed, "timing", ids) - 1)
        self._level = 1 + LEVEL_SPREAD * self._evening_out * (2 * uniform(seed, "level", ids) - 1)
        self._day: dt.date | None = None
        self._day_level = np.ones(len(ids))
        self._occupancy = _Week(OCCUPANCY_WORKDAY, OCCUPANCY_WEEKEND)
        self._appliances = _Week(APPLIANCES, APPLIANCES)
        water = [24 * share / sum(HOT_WATER) for share in HOT_WATER]
        self._hot_water = _Week(water, water)
        self._exterior_share = stock.zones.exterior_share[stock.archetype]
        self._solar_area = stock.window_area * stock.solar_transmittance[:, None]
        self._zones: Zones | None = None

    def open(self) -> None:
        stock = self._stock
        closed = stock.zones
        aired = dataclasses.replace(closed, outdoor_conductance=closed.outdoor_conductance + AIRING)
        self._zones = Zones(closed + aired, stock.archetype, stock.floor_area, self._start_temperature)
        self.indoor_temperature.value = self._start_temperature

    def advance(self, step: Step) -> None:
        if self._zones is None:
            raise CosimError("buildings are not open: call open() before advance(step)")
        stock = self._stock
        outdoor = float(self.outdoor_temperature.value[0])
        sun = self.irradiance.value
        if (sun < 0).any():
            first = int(np.argmax(sun < 0))
            raise PortError(f"{self.irradiance.name}[{SURFACES[first]!r}] is {sun[first]}: it cannot be negative")
        if not -90 <= outdoor <= 60:
            raise PortError(f"{self.outdoor_temperature.name} is {outdoor} °C: no weather on Earth; is it in °C?")

        civil = self._clock.civil(step.start_s)
        hours, length_h = self._hours(civil), step.length_s / 3600
        use = self._level * self._daily_level(civil.date())
        appliances = use * stock.floor_area * APPLIANCE_POWER * self._appliances.mean(hours, length_h)
        persons = stock.floor_area * OCCUPANT_GAIN * self._occupancy.mean(hours, length_h)
        hot_water = use * stock.hot_water_need * self._hot_water.mean(hours, length_h)
        inner, solar = appliances + persons, self._solar_area @ sun
        radiant = (1 - CONVECTIVE_GAIN) * inner + (1 - CONVECTIVE_SUN) * solar

        comfort = np.where(self._sleeps(hours + length_h / 2), SETBACK, HEATING_SETPOINT)
        heat_to, cool_to = comfort + self.heating_shift.value, COOLING_SETPOINT + self.cooling_shift.value
        if (heat_to > cool_to).any():
            first = int(np.argmax(heat_to > cool_to))
            raise PortError(
                f"{self.heating_shift.name}[{self._ids[first]!r}] heats to {heat_to[first]:g} °C, above the "
                f"{cool_to[first]:g} °C that it cools to: keep the shifted setpoints apart"
            )
        air = self._zones.state[0]
        aired = (air > AIRING_ABOVE) & (air - AIRING_GAP >= outdoor) & (outdoor >= AIRING_OUTDOOR)
        self._zones.archetype = stock.archetype + np.where(aired, len(stock.zones), 0).astype(np.int32)
        zone = self._zones.step(
            step.length_s,
            outdoor,
            equivalent=outdoor + stock.sun_on_exterior @ sun - stock.sky_depression,
            gain_air=CONVECTIVE_GAIN * inner + CONVECTIVE_SUN * solar,
            gain_exterior=self._exterior_share * radiant,
            gain_interior=(1 - self._exterior_share) * radiant,
            heating_setpoint=heat_to,
            cooling_setpoint=cool_to,
            heating_capacity=stock.heating_capacity,
            cooling_capacity=stock.cooling_capacity,
        )
        self._tell(outdoor, zone.power, appliances, hot_water)
        self.indoor_temperature.value = self._zones.state[0]
        self.unmet_degree.value = np.maximum(comfort - zone.air, 0) + np.maximum(zone.air - COOLING_SETPOINT, 0)

    def _tell(self, outdoor: float, power: Array, appliances: Array, hot_water: Array) -> None:
        """Turn heat into electricity and gas, and assign the outputs."""
        heat = np.maximum(power, 0.0)
        cooling = np.maximum(-power, 0.0) / COOLING_EER
        by_pump = np.where(self._has_heat_pump, np.minimum(heat, self._stock.heat_pump_capacity), 0.0)
        compressor = by_pump / heat_pump_cop(radiator_temperature(outdoor), outdoor)
        backup = np.where(self._has_heat_pump, heat - by_pump, 0.0)
        water = np.where(self._has_heat_pump, hot_water / heat_pump_cop(HOT_WATER_TEMPERATURE, outdoor), 0.0)
        self.heating_heat.value = heat
        self.heat_pump_power.value = compressor + backup
        self.cooling_power.value = cooling
        self.appliance_power.value = appliances
        self.hot_water_power.value = water
        self.electric_power.value = compressor + backup + cooling + appliances + water
        self.reactive_power.value = (
            _TAN["heat pump"] * (compressor + water) + _TAN["cooling"] * cooling + _TAN["appliances"] * appliances
        )
        self.gas_power.value = np.where(self._has_heat_pump, 0.0, (heat + hot_water) / BOILER_EFFICIENCY)

    def close(self) -> None:
        self._zones = None

    def _hours(self, civil: dt.datetime) -> Array:
        """Hours since Monday's midnight in each building's own rhythm."""
        clock_h = civil.hour + civil.minute / 60 + (civil.second + civil.microsecond * 1e-6) / 3600
        return 24 * civil.weekday() + clock_h + self._shift_h

    @staticmethod
    def _sleeps(hours: Array) -> npt.NDArray[np.bool_]:
        of_day = hours % 24
        return (of_day >= SETBACK_FROM) | (of_day < SETBACK_UNTIL)

    def _daily_level(self, day: dt.date) -> Array:
        if day != self._day:
            draw = uniform(self._seed, f"day level {day.isoformat()}", self._ids)
            self._day, self._day_level = day, 1 + LEVEL_SPREAD * self._evening_out * (2 * draw - 1)
        return self._day_level


_TAN = {use: float(np.tan(np.arccos(factor))) for use, factor in POWER_FACTOR.items()}


def _check(stock: StockLike, n: int) -> None:
    shapes = {
        name: (n, len(SURFACES)) if name in ("window_area", "sun_on_exterior") else (n,)
        for name in (
            "floor_area", "dwellings", "window_area", "solar_transmittance", "sun_on_exterior", "sky_depression",
            "hot_water_need", "heating_capacity", "heat_pump_capacity", "cooling_capacity",
        )
    }  # fmt: skip
    for name, shape in shapes.items():
        array = np.asarray(getattr(stock, name))
        if array.shape != shape:
            raise CosimError(f"stock.{name} has shape {array.shape}: {n} buildings need {shape}")
        if not (np.isfinite(array) & (array >= 0)).all():
            raise CosimError(f"stock.{name} is negative or not finite somewhere: it must be neither")
    if (np.asarray(stock.dwellings) < 1).any():
        raise CosimError("stock.dwellings is below 1 somewhere: every building has a dwelling")
    if len(stock.heating) != n or not set(stock.heating) <= {"heat_pump", "gas_boiler"}:
        raise CosimError(
            f"stock.heating has {len(stock.heating)} systems {sorted(set(stock.heating))}: give each of the "
            f"{n} buildings 'heat_pump' or 'gas_boiler'"
        )
