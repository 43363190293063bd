"""How much electricity and gas do the city's dwellings draw to be warm, cool, lit and washed?

Each building is one zone of `cosim.core.zones` with its households, its heating (a heat pump with a resistance heater
behind it and a hot-water tank, or a gas boiler), coolers, solar panels and a battery.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from cosim.core import Adapter, Clock, CosimError, Input, InputFileError, Output, Placement, PortError, Step
from cosim.core.heat_pump import CopCurve, HeatPumps, LiftCurve, sources
from cosim.core.households import PERSON_GAIN, Households, HouseholdStep
from cosim.core.random import uniform
from cosim.core.storage import Batteries, Tanks
from cosim.core.zones import Array, ZoneParameters, Zones

SURFACES = (
    "horizontal", "north", "northeast", "east", "southeast", "south", "southwest", "west", "northwest",
)  # fmt: skip
"""Surfaces that the sun shines on: the horizontal, and façades by azimuth in steps of 45°."""

HEATING_SETPOINT, COOLING_SETPOINT = 20.0, 26.0  # °C, EN 16798-1:2019, category II
SETBACK = 17.0  # °C, assumption: from 23 to 7 h in civil time
SETBACK_FROM, SETBACK_UNTIL = 23.0, 7.0
# Assumption: windows are opened on air above 24 °C while it is 16 °C or more outdoors and at least 1 K cooler than
# indoors, and add 4 air changes an hour of rooms 2.5 m high.
AIRING_ABOVE, AIRING_OUTDOOR, AIRING_GAP = 24.0, 16.0, 1.0  # °C, °C, K
AIRING = 4 * 2.5 * 0.34  # W/(m² K) per floor area
CONVECTIVE_GAIN = 0.5  # assumption: half of what persons and appliances give off warms the air directly
CONVECTIVE_SUN = 0.09  # VDI 6007-1, test case 5

WATER_TEMPERATURE = 42.0  # °C, assumption: what users mix hot water to
TANK_CHARGE = 1500.0  # W of heat per dwelling, assumption: what a heat pump spares for the tank at once
BOILER_EFFICIENCY = 0.86  # assumption, of gross calorific value: the least that Regulation (EU) 813/2013 admits
COOLING_EER = 3.2  # assumption, constant: lower bound of class A of split units, Directive 2002/31/EC
BATTERY_HOURS = 2.0  # assumption: batteries charge or discharge fully in two hours
PRICE_MEMORY_S = 86400.0  # of the mean price that the present one is compared with
PRICE_SHIFT = 2.0  # K, assumption: the most that a price moves a setpoint

# Assumptions: power factors of inverter-driven units and of household mixes; resistance heaters have none, and
# inverters of panels and batteries run at unity.
POWER_FACTOR = {"heat pump": 0.95, "cooling": 0.95, "appliances": 0.97}

NO_CAP = 1e12  # W
STATE_FILE = "buildings.npz"
TIMING_SPREAD_H = 1.5  # assumption: setbacks are up to this much earlier or later


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
    @property
    def heat_pump_source(self) -> Sequence[str]: ...
    @property
    def tank_volume(self) -> Array: ...
    @property
    def pv_capacity(self) -> Array: ...
    @property
    def battery_capacity(self) -> Array: ...


def radiator_temperature(outdoor: npt.ArrayLike) -> Array:
    """Return the flow temperature of radiators by heating curve: 40 °C at 0 °C, 1 K more per K colder. [°C]

    An assumption in the manner of Ruhnau, Hirth and Praktiknjo (2019), Scientific Data 6, 189.
    """
    return np.asarray(40.0 - np.asarray(outdoor, float))


class _Supply(NamedTuple):
    """What systems can give in a step, shape (n_buildings,) each. [W] unless said"""

    water: Array
    """Electricity that charges the tanks."""
    warmth: Array
    """Heat that the tanks lose to the rooms."""
    cop: Array
    """Of heating. [1]"""
    by_pump: Array
    """Most heat of the heat pumps for rooms."""
    heating_capacity: Array
    cooling_capacity: Array


class Buildings(Adapter):
    """Residential buildings: zones, households, heat pumps with tanks, boilers, coolers, panels and batteries.

    Powers are positive when they are consumed or delivered; ``pv_power`` is generated, ``battery_power`` charges, and
    ``electric_power`` is what the building takes from the grid, negative when it feeds in. ``heat_pump_power``
    includes the back-up heater. Hot water comes from a tank that the heat pump charges, or directly from the boiler.
    Windows are opened on warm air while it is cooler outdoors. ``unmet_degree`` is the distance of the mean air
    temperature from the comfort band that holds without shifts of the setpoints.

    A power cap holds back charging of the tank, heating and cooling, in this order, never households; the battery
    acts behind it. Persons in ``occupancy`` come on top of the households' own (negative: are missing).

    Parameters
    ----------
    stock
        The buildings.
    clock
        Gives the civil time that schedules follow.
    seed
        Of all that is drawn by chance.
    start_temperature
        Initial temperature of all buildings. [°C]
    price_response
        By how much setpoints give way per difference of the price to its mean over a day. [K/(EUR/kWh)]
    cop_curve
        COP of all heat pumps, e.g. a measured model's by `heat_pump.read_hplib`; by default by lift and source.

    Raises
    ------
    CosimError
        If an array of the stock does not fit its ids, or a heating system is unknown.
    """

    placement: ClassVar[Placement] = "thread"

    def __init__(
        self,
        stock: StockLike,
        clock: Clock,
        *,
        seed: int = 0,
        start_temperature: float = 20.0,
        price_response: float = 0.0,
        cop_curve: CopCurve | None = None,
    ) -> None:
        ids = tuple(stock.ids)
        _check(stock, len(ids))
        if not (np.isfinite(price_response) and price_response >= 0):
            raise CosimError(f"price_response is {price_response}: it must be finite and not negative")
        self.outdoor_temperature = Input("degC", ["outdoor"])
        self.ground_temperature = Input("degC", ["ground"], default=12.0)
        self.irradiance = Input("W/m**2", SURFACES)
        self.window_irradiance = Input("W/m**2", SURFACES)
        self.pv_yield = Input("1", ["roof"], default=0.0)
        self.heating_shift = Input("K", ids, default=0.0)
        self.cooling_shift = Input("K", ids, default=0.0)
        self.price = Input("EUR/J", ["electricity"], default=0.0)
        self.power_cap = Input("W", ids, default=NO_CAP)
        self.pv_curtailment = Input("1", ids, default=0.0)
        self.occupancy = Input("person", ids, default=0.0)
        self.electric_power = Output("W", ids, "mean")
        self.reactive_power = Output("var", ids, "mean")
        self.heat_pump_power = Output("W", ids, "mean")
        self.cooling_power = Output("W", ids, "mean")
        self.appliance_power = Output("W", ids, "mean")
        self.hot_water_power = Output("W", ids, "mean")
        self.heating_heat = Output("W", ids, "mean")
        self.gas_power = Output("W", ids, "mean")
        self.pv_power = Output("W", ids, "mean")
        self.battery_power = Output("W", ids, "mean")
        self.persons = Output("person", ids, "mean")
        self.unmet_degree = Output("K", ids, "mean")
        self.indoor_temperature = Output("degC", ids, "end")
        self.tank_temperature = Output("degC", ids, "end")
        self.battery_energy = Output("J", ids, "end")

        self._clock, self._ids, self._stock = clock, ids, stock
        self._start_temperature, self._price_response = start_temperature, price_response
        self._has_heat_pump = np.array([system == "heat_pump" for system in stock.heating], dtype=bool)
        ground = sources(stock.heat_pump_source)
        capacity = np.where(self._has_heat_pump, stock.heat_pump_capacity, 0.0)
        self._pumps = HeatPumps(capacity, cop_curve or LiftCurve(ground), ground)
        self._households = Households(ids, stock.dwellings, stock.hot_water_need, seed)
        # Dwellings of one building even out: the spread of their mean falls with the square root of their number.
        self._shift_h = TIMING_SPREAD_H / np.sqrt(stock.dwellings) * (2 * uniform(seed, "timing", ids) - 1)
        self._exterior_share = stock.zones.exterior_share[stock.archetype]
        self._solar_area = stock.window_area * stock.solar_transmittance[:, None]
        self._zones: Zones | None = None

    def open(self) -> None:
        stock = self._stock
        closed = stock.zones
        aired = dataclasses.replace(closed, outdoor_conductance=closed.outdoor_conductance + AIRING)
        self._zones = Zones(
            closed + aired, stock.archetype, stock.floor_area, self._start_temperature, labels=self._ids
        )
        self._tanks = Tanks(np.where(self._has_heat_pump, stock.tank_volume, 0.0), TANK_CHARGE * stock.dwellings)
        self._batteries = Batteries(stock.battery_capacity, stock.battery_capacity / (3600 * BATTERY_HOURS))
        self._mean_price: float | None = None
        self._tell_state()

    def _tell_state(self) -> None:
        assert self._zones is not None
        self.indoor_temperature.value = self._zones.state[0]
        self.tank_temperature.value = self._tanks.temperature
        self.battery_energy.value = self._batteries.energy

    def advance(self, step: Step) -> None:
        if self._zones is None:
            raise CosimError("buildings are not open: call open() before advance(step)")
        outdoor = self._weather()
        self._check_controls()
        civil = self._clock.civil(step.start_s)
        homes = self._households.mean(civil, step.length_s)
        supply = self._supply(homes, outdoor, step.length_s)
        persons = np.maximum(homes.persons + self.occupancy.value, 0.0)
        comfort, heat_to, cool_to = self._setpoints(civil, step.length_s)
        zone = self._zones.step(
            step.length_s,
            outdoor,
            **self._gains(homes.appliances + PERSON_GAIN * persons + supply.warmth, outdoor),
            heating_setpoint=heat_to,
            cooling_setpoint=cool_to,
            heating_capacity=supply.heating_capacity,
            cooling_capacity=supply.cooling_capacity,
        )
        self._tell(homes, supply, zone.power, step.length_s)
        self.persons.value = persons
        self.unmet_degree.value = np.maximum(comfort - zone.air, 0) + np.maximum(zone.air - COOLING_SETPOINT, 0)
        self._tell_state()

    def _supply(self, homes: HouseholdStep, outdoor: float, length_s: float) -> _Supply:
        """Charge the tanks, and return what the power cap and the heat pumps leave for rooms."""
        stock, pumps = self._stock, self._pumps
        source = np.where(pumps.ground, self.ground_temperature.value[0], outdoor)
        water_cop = pumps.cop(self._tanks.setpoint, source, outdoor)
        cop = pumps.cop(radiator_temperature(outdoor), source, outdoor)
        spare = np.maximum(self.power_cap.value - homes.appliances, 0.0)
        charge, _, warmth = self._tanks.step(length_s, homes.hot_water, WATER_TEMPERATURE, spare * water_cop)
        water = charge / water_cop
        spare = np.maximum(spare - water, 0.0)
        # While it charges the tank, that much less of the heat pump is there for the rooms.
        by_pump = np.minimum(pumps.heat(spare, cop), np.maximum(pumps.capacity - charge, 0.0))
        backup = np.maximum(spare - pumps.power(by_pump, cop), 0.0)
        warm = np.where(self._has_heat_pump, by_pump + backup, np.inf)
        return _Supply(
            water, warmth, cop, by_pump, np.minimum(stock.heating_capacity, warm),
            np.minimum(stock.cooling_capacity, spare * COOLING_EER),
        )  # fmt: skip

    def _gains(self, inner: Array, outdoor: float) -> dict[str, Array]:
        """Return what heats the zones: the sun, and what is given off inside; windows are opened where it is warm."""
        assert self._zones is not None
        stock, solar = self._stock, self._solar_area @ self.window_irradiance.value
        radiant = (1 - CONVECTIVE_GAIN) * inner + (1 - CONVECTIVE_SUN) * solar
        air = self._zones.state[0]
        aired = (air > AIRING_ABOVE) & (air - AIRING_GAP >= outdoor) & (outdoor >= AIRING_OUTDOOR)
        self._zones.archetype = stock.archetype + np.where(aired, len(stock.zones), 0).astype(np.int32)
        return {
            "equivalent": outdoor + stock.sun_on_exterior @ self.irradiance.value - stock.sky_depression,
            "gain_air": CONVECTIVE_GAIN * inner + CONVECTIVE_SUN * solar,
            "gain_exterior": self._exterior_share * radiant,
            "gain_interior": (1 - self._exterior_share) * radiant,
        }

    def _tell(self, homes: HouseholdStep, supply: _Supply, power: Array, length_s: float) -> None:
        """Turn heat into electricity and gas, balance it with panels and batteries, and assign the outputs."""
        heat, cooling = np.maximum(power, 0.0), np.maximum(-power, 0.0) / COOLING_EER
        by_pump = np.where(self._has_heat_pump, np.minimum(heat, supply.by_pump), 0.0)
        compressor = self._pumps.power(by_pump, supply.cop)
        backup = np.where(self._has_heat_pump, heat - by_pump, 0.0)
        boiler = np.where(self._has_heat_pump, 0.0, heat + homes.hot_water)
        load = compressor + backup + cooling + homes.appliances + supply.water
        pv = self._stock.pv_capacity * self.pv_yield.value[0] * (1 - self.pv_curtailment.value)
        battery = self._batteries.step(length_s, pv - load)
        self.heating_heat.value = heat
        self.heat_pump_power.value = compressor + backup
        self.cooling_power.value = cooling
        self.appliance_power.value = homes.appliances
        self.hot_water_power.value = supply.water
        self.pv_power.value = pv
        self.battery_power.value = battery
        self.electric_power.value = load - pv + battery
        self.reactive_power.value = (
            _TAN["heat pump"] * (compressor + supply.water)
            + _TAN["cooling"] * cooling
            + _TAN["appliances"] * homes.appliances
        )
        self.gas_power.value = boiler / BOILER_EFFICIENCY

    def _weather(self) -> float:
        """Return the outdoor temperature after a look at all weather. [°C]"""
        outdoor = float(self.outdoor_temperature.value[0])
        for port in (self.irradiance, self.window_irradiance):
            if (port.value < 0).any():
                first = int(np.argmax(port.value < 0))
                raise PortError(f"{port.name}[{SURFACES[first]!r}] is {port.value[first]}: it cannot be negative")
        if not -90 <= outdoor <= 60:
            raise PortError(f"{self.outdoor_temperature.name} is {outdoor} °C: no weather on Earth; is it in °C?")
        return outdoor

    def _check_controls(self) -> None:
        for port, top in ((self.power_cap, np.inf), (self.pv_curtailment, 1.0)):
            good = (port.value >= 0) & (port.value <= top)
            if not good.all():
                first = int(np.argmin(good))
                rule = "it must not be negative" if top == np.inf else f"it must be from 0 to {top:g}"
                raise PortError(f"{port.name}[{self._ids[first]!r}] is {port.value[first]:g}: {rule}")

    def _setpoints(self, civil: dt.datetime, length_s: float) -> tuple[Array, Array, Array]:
        """Return the comfortable lower temperature, and what is heated and cooled to. [°C]"""
        clock_h = civil.hour + civil.minute / 60 + (civil.second + civil.microsecond * 1e-6) / 3600
        hour = (clock_h + self._shift_h + length_s / 7200) % 24
        comfort = np.where((hour >= SETBACK_FROM) | (hour < SETBACK_UNTIL), SETBACK, HEATING_SETPOINT)
        gives = self._price_shift(length_s)
        heat_to = comfort + self.heating_shift.value - gives
        cool_to = COOLING_SETPOINT + self.cooling_shift.value + gives
        if (heat_to > cool_to).any():
            first = int(np.argmax(heat_to > cool_to))
            raise PortError(
                f"{self.heating_shift.name}[{self._ids[first]!r}] heats to {heat_to[first]:g} °C, above the "
                f"{cool_to[first]:g} °C that it cools to: keep the shifted setpoints apart"
            )
        return comfort, heat_to, cool_to

    def _price_shift(self, length_s: float) -> float:
        """Return by how much setpoints give way to the price. [K]"""
        price = float(self.price.value[0]) * 3.6e6  # EUR/J -> EUR/kWh
        if self._mean_price is None:
            self._mean_price = price
        shift = float(np.clip(self._price_response * (price - self._mean_price), -PRICE_SHIFT, PRICE_SHIFT))
        self._mean_price += -np.expm1(-length_s / PRICE_MEMORY_S) * (price - self._mean_price)
        return shift

    def close(self) -> None:
        self._zones = None

    def save(self, folder: Path) -> None:
        """Write the state of zones, tanks and batteries, and the mean price; households have none."""
        if self._zones is None:
            raise CosimError("buildings are not open: there is no state to save")
        np.savez(
            folder / STATE_FILE,
            zones=self._zones.state, tank=self._tanks.temperature, charging=self._tanks.charging,
            battery=self._batteries.energy, price=np.nan if self._mean_price is None else self._mean_price,
        )  # fmt: skip

    def load(self, folder: Path) -> None:
        """Go on from a saved state.

        Raises
        ------
        InputFileError
            If it is missing or of other buildings.
        """
        if self._zones is None:
            raise CosimError("buildings are not open: call open() before load(folder)")
        places = {"zones": self._zones.state, "tank": self._tanks.temperature, "charging": self._tanks.charging,
                  "battery": self._batteries.energy}  # fmt: skip
        try:
            with np.load(folder / STATE_FILE, allow_pickle=False) as saved:
                for name, place in places.items():
                    if saved[name].shape != place.shape:
                        raise InputFileError(
                            f"{folder / STATE_FILE}: {name} has shape {saved[name].shape}, "
                            f"these buildings {place.shape}"
                        )
                    place[:] = saved[name]
                price = float(saved["price"])
        except (OSError, KeyError, ValueError) as error:
            raise InputFileError(f"cannot read the buildings' state in {folder}: {error}") from error
        self._mean_price = None if np.isnan(price) else price
        self._tell_state()


_TAN = {use: float(np.tan(np.arccos(factor))) for use, factor in POWER_FACTOR.items()}


def _check(stock: StockLike, n: int) -> None:
    shapes = {
        name: (n, len(SURFACES)) if name in ("window_area", "sun_on_exterior") else (n,)
        for name in (
            "floor_area", "dwellings", "window_area", "solar_transmittance", "sun_on_exterior", "sky_depression",
            "hot_water_need", "heating_capacity", "heat_pump_capacity", "cooling_capacity", "tank_volume",
            "pv_capacity", "battery_capacity",
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
    if len(stock.heat_pump_source) != n:
        raise CosimError(
            f"stock.heat_pump_source has {len(stock.heat_pump_source)} entries: {n} buildings need one each"
        )
    if len(stock.heating) != n or not set(stock.heating) <= {"heat_pump", "gas_boiler"}:
        raise CosimError(
            f"stock.heating has {len(stock.heating)} systems {sorted(set(stock.heating))}: give each of the "
            f"{n} buildings 'heat_pump' or 'gas_boiler'"
        )
