"""Buildings adapter: electricity and gas demand of dwellings.

Each building is one zone of `cosim.core.buildings.zones` with its households, its heating (a heat pump with a back-up
resistance heater and a hot-water tank, resistance heaters with a tank, or a gas boiler), coolers, solar panels and
a battery.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from cosim.core import Adapter, Clock, CosimError, Input, Output, Placement, PortError, Step
from cosim.core.buildings.heat_pump import CopCurve, HeatPumpUnits, LiftCurve, sources
from cosim.core.buildings.households import PERSON_GAIN, Households, HouseholdStep
from cosim.core.buildings.state import BuildingsState
from cosim.core.buildings.stock import StockLike, check_stock
from cosim.core.buildings.storage import Batteries, Tanks
from cosim.core.buildings.zones import Zones
from cosim.core.quantities import DAY_S, HOUR_S, J_PER_KWH, Array
from cosim.core.random import uniform

SURFACES = (
    "horizontal",
    "north",
    "northeast",
    "east",
    "southeast",
    "south",
    "southwest",
    "west",
    "northwest",
)
"""Surfaces exposed to the sun: the horizontal, and façades by azimuth in steps of 45°."""

HEATING_SETPOINT, COOLING_SETPOINT = 20.0, 26.0  # °C, EN 16798-1:2019, category II
SETBACK = 17.0  # °C, assumption: from 23 to 7 h in civil time
SETBACK_FROM, SETBACK_UNTIL = 23.0, 7.0
# Assumption: windows are opened at indoor air above 24 °C while it is 16 °C or more outdoors and at least 1 K cooler
# than indoors, and add 4 air changes per hour in rooms 2.5 m high.
AIRING_ABOVE, AIRING_OUTDOOR, AIRING_GAP = 24.0, 16.0, 1.0  # °C, °C, K
AIRING = 4 * 2.5 * 0.34  # W/(m² K) per floor area
CONVECTIVE_GAIN = 0.5  # assumption: half the heat of persons and appliances is convective
CONVECTIVE_SUN = 0.09  # VDI 6007-1, test case 5

WATER_TEMPERATURE = 42.0  # °C, assumption: temperature to which users mix hot water
TANK_CHARGE = 1500.0  # W of heat per dwelling, assumption: maximum charging heat of the tank
BOILER_EFFICIENCY = 0.86  # assumption, of gross calorific value: the minimum under Regulation (EU) 813/2013
COOLING_EER = 3.2  # assumption, constant: lower bound of class A of split units, Directive 2002/31/EC
BATTERY_HOURS = 2.0  # assumption: batteries charge or discharge fully in two hours
PRICE_MEMORY_S = DAY_S  # averaging time of the mean price with which the current price is compared
PRICE_SHIFT = 2.0  # K, assumption: the largest shift of a setpoint by the price

# Assumptions: power factors of inverter-driven units and of household mixes; resistance heaters have none, and
# inverters of panels and batteries run at unity.
POWER_FACTOR = {"heat pump": 0.95, "cooling": 0.95, "appliances": 0.97}

NO_CAP = 1e12  # W
STATE_FILE = "buildings.npz"
TIMING_SPREAD_H = 1.5  # assumption: setbacks are up to this much earlier or later


def radiator_temperature(outdoor: npt.ArrayLike) -> Array:
    """Return the flow temperature of radiators by heating curve: 40 °C at 0 °C, rising 1 K per K colder. [°C]

    An assumption following Ruhnau, Hirth and Praktiknjo (2019), Scientific Data 6, 189.
    """
    return np.asarray(40.0 - np.asarray(outdoor, float))


class _Supply(NamedTuple):
    """Available supply in a step, shape (n_buildings,) each. [W] unless stated otherwise."""

    water: Array
    """Electricity that charges the tanks."""
    warmth: Array
    """Heat loss of the tanks to the rooms."""
    cop: Array
    """COP of heating. [1]"""
    by_pump: Array
    """Maximum heat of the heat pumps for rooms."""
    heating_capacity: Array
    cooling_capacity: Array


class Buildings(Adapter):
    """Residential buildings: zones, households, heat pumps with tanks, boilers, coolers, panels and batteries.

    Powers are positive when consumed or delivered; ``pv_power`` is generation, ``battery_power`` is charging, and
    ``electric_power`` is the power drawn from the grid, negative when fed in. ``heat_pump_power``
    includes back-up and other resistance heaters. Hot water comes from a tank that the heat pump or a resistance heater
    charges, or directly from the boiler.
    Windows are opened in warm rooms while it is cooler outdoors. ``unmet_degree`` is the deviation of the mean air
    temperature from the comfort band without setpoint shifts.

    A power cap curtails tank charging, heating and cooling, in this order, but never households; the battery acts
    behind it. Persons in ``occupancy`` are added to the households' own (negative: subtracted).

    Parameters
    ----------
    stock
        The buildings.
    clock
        Clock with the civil time that schedules follow.
    seed
        Seed of all random numbers.
    start_temperature
        Initial temperature of all buildings, with tanks and batteries half full. [°C]
    initial
        Returns the state in which the buildings begin instead, when the adapter opens.
    price_response
        Setpoint shift per deviation of the price from its mean over a day. [K/(EUR/kWh)]
    cop_curve
        COP of all heat pumps, e.g. of a measured model by `heat_pump.read_hplib`; by default from lift and source.

    Raises
    ------
    CosimError
        If an array of the stock does not match its ids, or a heating system is unknown.
    """

    placement: ClassVar[Placement] = "thread"

    def __init__(
        self,
        stock: StockLike,
        clock: Clock,
        *,
        seed: int = 0,
        start_temperature: float = 20.0,
        initial: Callable[[], BuildingsState] | None = None,
        price_response: float = 0.0,
        cop_curve: CopCurve | None = None,
    ) -> None:
        ids = tuple(stock.ids)
        check_stock(stock, len(SURFACES))
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
        self._start_temperature, self._initial, self._price_response = start_temperature, initial, price_response
        pumped = np.array([system == "heat_pump" for system in stock.heating], dtype=bool)
        self._resists = np.array([system == "resistance" for system in stock.heating], dtype=bool)
        self._is_electric = pumped | self._resists
        ground = sources(stock.heat_pump_source)
        capacity = np.where(pumped, stock.heat_pump_capacity, 0.0)
        self._pumps = HeatPumpUnits(capacity, cop_curve or LiftCurve(ground), ground)
        self._households = Households(ids, stock.dwellings, stock.hot_water_need, seed)
        # The spread of the mean over a building's dwellings falls with the square root of their number.
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
        self._tanks = Tanks(np.where(self._is_electric, stock.tank_volume, 0.0), TANK_CHARGE * stock.dwellings)
        self._batteries = Batteries(stock.battery_capacity, stock.battery_capacity / (HOUR_S * BATTERY_HOURS))
        self._mean_price: float | None = None
        if self._initial is not None:
            self._restore(self._initial())
        self._publish_state()

    @property
    def state(self) -> BuildingsState:
        """A copy of the present state.

        Raises
        ------
        CosimError
            If the adapter is not open.
        """
        if self._zones is None:
            raise CosimError("buildings are not open: they have no state")
        return BuildingsState(
            zones=self._zones.state.copy(),
            tank=self._tanks.temperature.copy(),
            charging=self._tanks.charging.copy(),
            battery=self._batteries.energy.copy(),
            price=np.array(np.nan if self._mean_price is None else self._mean_price),
        )

    def _restore(self, state: BuildingsState) -> None:
        assert self._zones is not None
        self._zones.state[:] = state.zones
        self._tanks.temperature, self._tanks.charging = state.tank.copy(), state.charging.copy()
        self._batteries.energy = state.battery.copy()
        self._mean_price = None if np.isnan(state.price) else float(state.price)

    def _publish_state(self) -> None:
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
        self._publish(homes, supply, zone.power, step.length_s)
        self.persons.value = persons
        self.unmet_degree.value = np.maximum(comfort - zone.air, 0) + np.maximum(zone.air - COOLING_SETPOINT, 0)
        self._publish_state()

    def _supply(self, homes: HouseholdStep, outdoor: float, length_s: float) -> _Supply:
        """Charge the tanks, and return the supply left for rooms by the power cap and the heat pumps."""
        stock, pumps = self._stock, self._pumps
        source = np.where(pumps.ground, self.ground_temperature.value[0], outdoor)
        water_cop = np.where(self._resists, 1.0, pumps.cop(self._tanks.setpoint, source, outdoor))
        cop = pumps.cop(radiator_temperature(outdoor), source, outdoor)
        spare = np.maximum(self.power_cap.value - homes.appliances, 0.0)
        charge, _, warmth = self._tanks.step(length_s, homes.hot_water, WATER_TEMPERATURE, spare * water_cop)
        water = charge / water_cop
        spare = np.maximum(spare - water, 0.0)
        # Heat that charges the tank is not available for the rooms.
        by_pump = np.minimum(pumps.heat(spare, cop), np.maximum(pumps.capacity - charge, 0.0))
        backup = np.maximum(spare - pumps.power(by_pump, cop), 0.0)
        warm = np.where(self._is_electric, by_pump + backup, np.inf)
        return _Supply(
            water,
            warmth,
            cop,
            by_pump,
            np.minimum(stock.heating_capacity, warm),
            np.minimum(stock.cooling_capacity, spare * COOLING_EER),
        )

    def _gains(self, inner: Array, outdoor: float) -> dict[str, Array]:
        """Return the solar and internal gains of the zones, and open windows in warm rooms."""
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

    def _publish(self, homes: HouseholdStep, supply: _Supply, power: Array, length_s: float) -> None:
        """Convert heat into electricity and gas, balance it with panels and batteries, and assign the outputs."""
        heat, cooling = np.maximum(power, 0.0), np.maximum(-power, 0.0) / COOLING_EER
        by_pump = np.where(self._is_electric, np.minimum(heat, supply.by_pump), 0.0)
        compressor = self._pumps.power(by_pump, supply.cop)
        backup = np.where(self._is_electric, heat - by_pump, 0.0)
        boiler = np.where(self._is_electric, 0.0, heat + homes.hot_water)
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
            _TAN["heat pump"] * (compressor + np.where(self._resists, 0.0, supply.water))
            + _TAN["cooling"] * cooling
            + _TAN["appliances"] * homes.appliances
        )
        self.gas_power.value = boiler / BOILER_EFFICIENCY

    def _weather(self) -> float:
        """Check all weather inputs and return the outdoor temperature. [°C]"""
        outdoor = float(self.outdoor_temperature.value[0])
        for port in (self.irradiance, self.window_irradiance):
            if (port.value < 0).any():
                first = int(np.argmax(port.value < 0))
                raise PortError(f"{port.name}[{SURFACES[first]!r}] is {port.value[first]}: it cannot be negative")
        if not -90 <= outdoor <= 60:
            raise PortError(f"{self.outdoor_temperature.name} is {outdoor} °C: it must be -90 to 60; is it in °C?")
        return outdoor

    def _check_controls(self) -> None:
        for port, top in ((self.power_cap, np.inf), (self.pv_curtailment, 1.0)):
            good = (port.value >= 0) & (port.value <= top)
            if not good.all():
                first = int(np.argmin(good))
                rule = "it must not be negative" if top == np.inf else f"it must be from 0 to {top:g}"
                raise PortError(f"{port.name}[{self._ids[first]!r}] is {port.value[first]:g}: {rule}")

    def _setpoints(self, civil: dt.datetime, length_s: float) -> tuple[Array, Array, Array]:
        """Return the lower comfort limit, and the heating and cooling setpoints. [°C]"""
        clock_h = civil.hour + civil.minute / 60 + (civil.second + civil.microsecond * 1e-6) / HOUR_S
        hour = (clock_h + self._shift_h + length_s / 7200) % 24
        comfort = np.where((hour >= SETBACK_FROM) | (hour < SETBACK_UNTIL), SETBACK, HEATING_SETPOINT)
        gives = self._price_shift(length_s)
        heat_to = comfort + self.heating_shift.value - gives
        cool_to = COOLING_SETPOINT + self.cooling_shift.value + gives
        if (heat_to > cool_to).any():
            first = int(np.argmax(heat_to > cool_to))
            raise PortError(
                f"{self.heating_shift.name}[{self._ids[first]!r}] sets heating to {heat_to[first]:g} °C, above "
                f"cooling at {cool_to[first]:g} °C: keep the shifted setpoints apart"
            )
        return comfort, heat_to, cool_to

    def _price_shift(self, length_s: float) -> float:
        """Return the setpoint shift caused by the price. [K]"""
        price = float(self.price.value[0]) * J_PER_KWH  # EUR/J -> EUR/kWh
        if self._mean_price is None:
            self._mean_price = price
        shift = float(np.clip(self._price_response * (price - self._mean_price), -PRICE_SHIFT, PRICE_SHIFT))
        self._mean_price += -np.expm1(-length_s / PRICE_MEMORY_S) * (price - self._mean_price)
        return shift

    def close(self) -> None:
        self._zones = None

    def save(self, folder: Path) -> None:
        """Write the state of zones, tanks and batteries, and the mean price; households have no state."""
        self.state.save(folder / STATE_FILE)

    def load(self, folder: Path) -> None:
        """Restore a saved state.

        Raises
        ------
        InputFileError
            If it is missing or belongs to other buildings.
        """
        if self._zones is None:
            raise CosimError("buildings are not open: call open() before load(folder)")
        self._restore(BuildingsState.load(folder / STATE_FILE, len(self._ids)))
        self._publish_state()


_TAN = {use: float(np.tan(np.arccos(factor))) for use, factor in POWER_FACTOR.items()}
