"""Buildings adapter: electricity and gas demand of dwellings.

Each building is one zone of `cosim.core.buildings.zones` with its households, its heating (a heat pump with a back-up
resistance heater and a hot-water tank, resistance heaters with a tank, or a gas boiler), coolers, solar panels and
a battery.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from cosim.core import Adapter, Clock, CosimError, Input, Output, Placement, PortError, Step
from cosim.core.buildings.cooling import CoolingUnits
from cosim.core.buildings.heat_pump import CopCurve, sources
from cosim.core.buildings.households import PERSON_GAIN, Households, HouseholdStep
from cosim.core.buildings.party_walls import PartyWalls
from cosim.core.buildings.rows import Balance, Fixed, Node, ToZones
from cosim.core.buildings.state import BuildingsState
from cosim.core.buildings.stock import StockLike, check_stock
from cosim.core.buildings.storage import Batteries, Tanks
from cosim.core.buildings.systems import Controls, Systems, Weather
from cosim.core.buildings.varying import VaryingZones
from cosim.core.buildings.zones import Zones
from cosim.core.processes import CPUS
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
SETBACK = 17.0  # °C, assumption: outside the heated hours, from 23 to 7 h in civil time by default
# Assumption: windows are opened at indoor air above 24 °C while it is 16 °C or more outdoors and at least 1 K cooler
# than indoors, and add 4 air changes per hour in rooms 2.5 m high.
AIRING_ABOVE, AIRING_OUTDOOR, AIRING_GAP = 24.0, 16.0, 1.0  # °C, °C, K
AIRING = 4 * 2.5 * 0.34  # W/(m² K) per floor area
CONVECTIVE_GAIN = 0.5  # assumption: half the heat of persons and appliances is convective
CONVECTIVE_SUN = 0.09  # VDI 6007-1, test case 5
BLINDS_ABOVE = 300.0  # W/m² on the window: shading is in use, ISO 13790 as in City Energy Analyst,
BLINDS_WARM = 24.0  # °C, in rooms that are warm, an assumption as for airing

WATER_TEMPERATURE = 42.0  # °C, assumption: temperature to which users mix hot water
TANK_CHARGE = 1500.0  # W of heat per dwelling, assumption: maximum charging heat of the tank
BOILER_EFFICIENCY = 0.86  # assumption, of gross calorific value: the minimum under Regulation (EU) 813/2013
COOLING_EER = 3.2  # assumption, rated: lower bound of class A of split units, Directive 2002/31/EC; fixed speed
BATTERY_HOURS = 2.0  # assumption: batteries charge or discharge fully in two hours
PRICE_MEMORY_S = DAY_S  # averaging time of the mean price with which the current price is compared
PRICE_SHIFT = 2.0  # K, assumption: the largest shift of a setpoint by the price

# Assumptions: power factors of inverter-driven units and of household mixes; resistance heaters have none, and
# inverters of panels and batteries run at unity.
POWER_FACTOR = {"heat pump": 0.95, "cooling": 0.95, "appliances": 0.97}

NO_CAP = 1e12  # W
STATE_FILE = "buildings.npz"
TIMING_SPREAD_H = 1.5  # assumption: setbacks are up to this much earlier or later


def floor_temperature(outdoor: npt.ArrayLike) -> Array:
    """Return the flow temperature of floor heating by the heating curve of EN 14825's low temperature application. [°C]

    For its average climate, variable outlet: 34, 30, 27 and 24 °C at -7, 2, 7 and 12 °C.
    """
    return np.asarray(
        np.interp(np.asarray(outdoor, float), [-10.0, -7.0, 2.0, 7.0, 12.0], [35.0, 34.0, 30.0, 27.0, 24.0])
    )


def radiator_temperature(outdoor: npt.ArrayLike) -> Array:
    """Return the flow temperature of radiators by heating curve: 40 °C at 0 °C, rising 1 K per K colder. [°C]

    An assumption following Ruhnau, Hirth and Praktiknjo (2019), Scientific Data 6, 189.
    """
    return np.asarray(40.0 - np.asarray(outdoor, float))


class Buildings(Adapter):
    """Residential buildings: zones, households, heat pumps with tanks, boilers, coolers, panels and batteries.

    Powers are positive when consumed or delivered; ``pv_power`` is generation, ``battery_power`` is charging, and
    ``electric_power`` is the power drawn from the grid, negative when fed in. ``heat_pump_power``
    includes back-up and other resistance heaters, ``cooking_power`` is the part of the gas that hobs burn. Hot water
    comes from a tank that the heat pump or a resistance heater charges, or directly from the boiler.
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
    varying
        Whether films inside and outside, and infiltration, follow temperatures and wind instead of being constant
        (`varying.VaryingZones`); it takes the wind as an input.
    cop_curve
        COP of all heat pumps, e.g. of a measured model by `heat_pump.read_hplib`; by default from lift and source. It
        is asked for each kind of source and emission, not for each building.

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
        varying: bool = False,
        cop_curve: CopCurve | None = None,
    ) -> None:
        ids = tuple(stock.ids)
        check_stock(stock, len(SURFACES))
        if not (np.isfinite(price_response) and price_response >= 0):
            raise CosimError(f"price_response is {price_response}: it must be finite and not negative")
        self.outdoor_temperature = Input("degC", ["outdoor"])
        self.ground_temperature = Input("degC", ["ground"], default=12.0)
        if varying:
            self.wind_speed = Input("m/s", ["outdoor"])
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
        self.cooking_power = Output("W", ids, "mean")
        self.pv_power = Output("W", ids, "mean")
        self.battery_power = Output("W", ids, "mean")
        self.persons = Output("person", ids, "mean")
        self.unmet_degree = Output("K", ids, "mean")
        self.indoor_temperature = Output("degC", ids, "end")
        self.tank_temperature = Output("degC", ids, "end")
        self.battery_energy = Output("J", ids, "end")

        self._clock, self._ids, self._stock = clock, ids, stock
        self._start_temperature, self._initial, self._price_response = start_temperature, initial, price_response
        self._households = Households(
            ids,
            stock.dwellings,
            stock.hot_water_need,
            seed,
            sizes=stock.household_sizes,
            gas_hobs=stock.gas_hobs,
            threads=CPUS,
        )
        self._walls = PartyWalls(stock.party_walls, len(ids))
        self._varies, self._cop_curve, self._seed = varying, cop_curve, seed
        sources(stock.heat_pump_source)
        self._zones: Zones | None = None
        self._varying: VaryingZones | None = None

    def open(self) -> None:
        stock = self._stock
        closed = stock.zones
        aired = dataclasses.replace(closed, outdoor_conductance=closed.outdoor_conductance + AIRING)
        self._zones = Zones(
            closed + aired,
            stock.archetype,
            stock.floor_area,
            self._start_temperature,
            labels=self._ids,
            threads=CPUS,
        )
        self._varying = (
            VaryingZones(self._zones, stock.storeys, stock.shelter, stock.infiltration) if self._varies else None
        )
        self._systems = _systems(stock, self._seed, self._cop_curve)
        self._tanks, self._batteries = self._systems.tanks, self._systems.batteries
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
            films=np.zeros((5, len(self._ids))) if self._varying is None else self._varying.memory,
            price=np.array(np.nan if self._mean_price is None else self._mean_price),
        )

    def _restore(self, state: BuildingsState) -> None:
        assert self._zones is not None
        self._zones.state[:] = state.zones
        if self._varying is not None:
            self._varying.memory = state.films
        self._tanks.temperature[:], self._tanks.charging[:] = state.tank, state.charging
        self._batteries.energy[:] = state.battery
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
        civil, state, archetype = self._clock.civil(step.start_s), self._zones.state, self._stock.archetype
        homes = self._households.mean(civil, step.length_s, out=self._systems.homes)
        weather = Weather(
            outdoor, float(self.ground_temperature.value[0]), self.irradiance.value, self.window_irradiance.value
        )
        controls = Controls(
            self.heating_shift.value,
            self.cooling_shift.value,
            self.power_cap.value,
            self.pv_curtailment.value,
            self.occupancy.value,
        )
        self._systems.before(
            step.length_s,
            self._zones,
            archetype,
            weather,
            controls,
            self._walls.gains(state[Node.INTERIOR]) if len(self._stock.party_walls) else 0.0,
            flow=(float(radiator_temperature(outdoor)), float(floor_temperature(outdoor))),
            clock_h=civil.hour + civil.minute / 60 + (civil.second + civil.microsecond * 1e-6) / HOUR_S,
            price_shift=self._price_shift(step.length_s),
            pv_yield=float(self.pv_yield.value[0]),
        )
        row = self._zones.given
        self._check_setpoints(row[ToZones.HEAT_TO], row[ToZones.COOL_TO])
        if self._varying is None:
            balance = self._systems.advance(self._zones, controls)
        else:
            wind, row = float(self.wind_speed.value[0]), row.copy()
            zone = self._varying.step(
                step.length_s,
                outdoor,
                wind,
                self._systems.boundary,
                row[ToZones.EQUIVALENT],
                row[ToZones.GAIN_AIR],
                gain_exterior=row[ToZones.GAIN_EXTERIOR],
                gain_interior=row[ToZones.GAIN_INTERIOR],
                heating_setpoint=row[ToZones.HEAT_TO],
                cooling_setpoint=row[ToZones.COOL_TO],
                heating_capacity=row[ToZones.HEAT_MOST],
                cooling_capacity=row[ToZones.COOL_MOST],
            )
            balance = self._systems.balance(zone.power, zone.air, controls)
        self._publish(homes, balance)
        self.persons.value = self._systems.persons
        self._publish_state()

    def _publish(self, homes: HouseholdStep, balance: Array) -> None:
        for row, port in (
            (Balance.HEAT, self.heating_heat),
            (Balance.ELECTRIC_HEAT, self.heat_pump_power),
            (Balance.COOLING, self.cooling_power),
            (Balance.PV, self.pv_power),
            (Balance.BATTERY, self.battery_power),
            (Balance.POWER, self.electric_power),
            (Balance.REACTIVE, self.reactive_power),
            (Balance.GAS, self.gas_power),
            (Balance.UNMET, self.unmet_degree),
        ):
            port.value = balance[row]
        self.appliance_power.value = homes.appliances
        self.hot_water_power.value = self._systems.water
        self.cooking_power.value = homes.cooking

    def _weather(self) -> float:
        """Check all weather inputs and return the outdoor temperature. [°C]"""
        outdoor = float(self.outdoor_temperature.value[0])
        for port in (self.irradiance, self.window_irradiance, *((self.wind_speed,) if self._varies else ())):
            if (port.value < 0).any():
                first = int(np.argmax(port.value < 0))
                raise PortError(f"{port.name}[{port.labels[first]!r}] is {port.value[first]}: it cannot be negative")
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

    def _check_setpoints(self, heat_to: Array, cool_to: Array) -> None:
        crossed = heat_to > cool_to
        if crossed.any():
            first = int(np.argmax(crossed))
            raise PortError(
                f"{self.heating_shift.name}[{self._ids[first]!r}] sets heating to {heat_to[first]:g} °C, above "
                f"cooling at {cool_to[first]:g} °C: keep the shifted setpoints apart"
            )

    def _price_shift(self, length_s: float) -> float:
        """Return the setpoint shift caused by the price. [K]"""
        price = float(self.price.value[0]) * J_PER_KWH  # EUR/J -> EUR/kWh
        if self._mean_price is None:
            self._mean_price = price
        shift = float(np.clip(self._price_response * (price - self._mean_price), -PRICE_SHIFT, PRICE_SHIFT))
        self._mean_price += -np.expm1(-length_s / PRICE_MEMORY_S) * (price - self._mean_price)
        return shift

    def close(self) -> None:
        self._zones = self._varying = None

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
_CONSTANTS = {
    "tank_at": WATER_TEMPERATURE,
    "person_gain": PERSON_GAIN,
    "convective_gain": CONVECTIVE_GAIN,
    "convective_sun": CONVECTIVE_SUN,
    "boiler": BOILER_EFFICIENCY,
    "airing_above": AIRING_ABOVE,
    "airing_outdoor": AIRING_OUTDOOR,
    "airing_gap": AIRING_GAP,
    "blinds_warm": BLINDS_WARM,
    "setback": SETBACK,
    "heating_setpoint": HEATING_SETPOINT,
    "cooling_setpoint": COOLING_SETPOINT,
    "tan_pump": _TAN["heat pump"],
    "tan_cooling": _TAN["cooling"],
    "tan_appliances": _TAN["appliances"],
}


def _systems(stock: StockLike, seed: int, curve: CopCurve | None) -> Systems:
    """Return the systems of a stock, with tanks and batteries half full."""
    pumped, resists = (np.array([s == kind for s in stock.heating], bool) for kind in ("heat_pump", "resistance"))
    electric = pumped | resists
    # The spread of the mean over a building's dwellings falls with the square root of their number.
    shift_h = TIMING_SPREAD_H / np.sqrt(stock.dwellings) * (2 * uniform(seed, "timing", stock.ids) - 1)
    return Systems(
        {
            Fixed.PUMP_CAPACITY: np.where(pumped, stock.heat_pump_capacity, 0.0),
            Fixed.HEATING_CAPACITY: stock.heating_capacity,
            Fixed.ELECTRIC: electric.astype(float),
            Fixed.PV_CAPACITY: stock.pv_capacity,
            Fixed.GROUND_SHARE: stock.ground_share,
            Fixed.SKY_DEPRESSION: stock.sky_depression,
            Fixed.EXTERIOR_SHARE: stock.zones.exterior_share[stock.archetype],
            Fixed.BLINDS: stock.blinds,
        },
        tanks=Tanks(np.where(electric, stock.tank_volume, 0.0), TANK_CHARGE * stock.dwellings),
        batteries=Batteries(stock.battery_capacity, stock.battery_capacity / (HOUR_S * BATTERY_HOURS)),
        coolers=CoolingUnits(np.asarray(stock.cooling_capacity, float), COOLING_EER),
        curve=curve,
        on_ground=sources(stock.heat_pump_source),
        on_floor=np.array([system == "underfloor" for system in stock.emission], bool),
        resists=resists,
        solar_area=stock.window_area * stock.solar_transmittance[:, None],
        sun_to_exterior=stock.sun_to_exterior,
        sun_on_exterior=stock.sun_on_exterior,
        heated_hours=stock.heated_hours,
        shift_h=shift_h,
        constants=_CONSTANTS,
        bright=BLINDS_ABOVE,
        threads=CPUS,
    )
