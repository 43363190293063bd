"""A step of the buildings adapter in plain NumPy, one quantity at a time, as a reference for its compiled passes."""

from __future__ import annotations

import numpy as np

import cosim.adapters.buildings as b
from cosim.core import Step
from cosim.core.buildings.heat_pump import HeatPumpUnits, LiftCurve, sources
from cosim.core.buildings.households import PERSON_GAIN
from cosim.core.random import uniform


class ReferenceBuildings(b.Buildings):
    """The adapter with its units' own methods, without varying films."""

    def advance(self, step: Step) -> None:
        assert self._zones is not None
        stock, tanks, air = self._stock, self._tanks, self._zones.state[0]
        outdoor, ground_temperature = self._weather(), self.ground_temperature.value[0]
        civil, length_s = self._clock.civil(step.start_s), step.length_s
        homes = self._households.mean(civil, length_s)
        kind = np.array(stock.heating)
        resists, electric = kind == "resistance", kind != "gas_boiler"
        ground = sources(stock.heat_pump_source)
        pumps = HeatPumpUnits(np.where(kind == "heat_pump", stock.heat_pump_capacity, 0.0), LiftCurve(ground), ground)
        coolers = b.CoolingUnits(np.asarray(stock.cooling_capacity, float), b.COOLING_EER)

        # Tanks first, then rooms with what the cap and the pumps leave.
        source = np.where(ground, ground_temperature, outdoor)
        water_cop = np.where(resists, 1.0, pumps.cop(tanks.setpoint, source, outdoor))
        on_floor = np.array(stock.emission) == "underfloor"
        flow = np.where(on_floor, b.floor_temperature(outdoor), b.radiator_temperature(outdoor))
        cop = pumps.cop(flow, source, outdoor)
        spare = np.maximum(self.power_cap.value - homes.appliances, 0.0)
        charge, _, warmth = tanks.step(length_s, homes.hot_water, b.WATER_TEMPERATURE, spare * water_cop)
        water = charge / water_cop
        spare = np.maximum(spare - water, 0.0)
        by_pump = np.minimum(pumps.heat(spare, cop), np.maximum(pumps.capacity - charge, 0.0))
        backup = np.maximum(spare - pumps.power(by_pump, cop), 0.0)
        warm = np.where(electric, by_pump + backup, np.inf)

        persons = np.maximum(homes.persons + self.occupancy.value, 0.0)
        shift_h = b.TIMING_SPREAD_H / np.sqrt(stock.dwellings) * (2 * uniform(self._seed, "timing", stock.ids) - 1)
        clock_h = civil.hour + civil.minute / 60 + civil.second / 3600
        hour = (clock_h + shift_h + length_s / 7200) % 24
        heated = np.any([(hour >= begin) & (hour < end) for begin, end in stock.heated_hours], axis=0)
        comfort = np.where(heated, b.HEATING_SETPOINT, b.SETBACK)
        gives = self._price_shift(length_s)

        inner = homes.appliances + homes.cooking + PERSON_GAIN * persons + warmth
        solar = stock.window_area * stock.solar_transmittance[:, None] * self.window_irradiance.value
        closed = (self.irradiance.value > b.BLINDS_ABOVE) & (air > b.BLINDS_WARM)[:, None]
        solar = np.where(closed, stock.blinds[:, None], 1.0) * solar
        entered, on_exterior = solar.sum(axis=1), (stock.sun_to_exterior * solar).sum(axis=1)
        radiant, share = (1 - b.CONVECTIVE_GAIN) * inner, stock.zones.exterior_share[stock.archetype]
        sun_exterior = (1 - b.CONVECTIVE_SUN) * on_exterior
        sun_interior = (1 - b.CONVECTIVE_SUN) * entered - sun_exterior
        through_walls = self._walls.gains(self._zones.state[2])
        aired = (air > b.AIRING_ABOVE) & (air - b.AIRING_GAP >= outdoor) & (outdoor >= b.AIRING_OUTDOOR)
        self._zones.archetype = stock.archetype + np.where(aired, len(stock.zones), 0).astype(np.int32)
        boundary = outdoor + stock.ground_share * (ground_temperature - outdoor)
        on_walls = (stock.sun_on_exterior * self.irradiance.value).sum(axis=1)
        zone = self._zones.step(
            length_s,
            outdoor,
            equivalent=boundary + on_walls - stock.sky_depression,
            gain_air=b.CONVECTIVE_GAIN * inner + b.CONVECTIVE_SUN * entered,
            gain_exterior=share * radiant + sun_exterior,
            gain_interior=(1 - share) * radiant + sun_interior + through_walls,
            heating_setpoint=comfort + self.heating_shift.value - gives,
            cooling_setpoint=b.COOLING_SETPOINT + self.cooling_shift.value + gives,
            heating_capacity=np.minimum(stock.heating_capacity, warm),
            cooling_capacity=coolers.cooling(spare, outdoor),
        )

        heat, cooling = np.maximum(zone.power, 0.0), coolers.power(np.maximum(-zone.power, 0.0), outdoor)
        by_pump = np.where(electric, np.minimum(heat, by_pump), 0.0)
        compressor = pumps.power(by_pump, cop)
        backup = np.where(electric, heat - by_pump, 0.0)
        boiler = np.where(electric, 0.0, heat + homes.hot_water)
        load = compressor + backup + cooling + homes.appliances + water
        pv = stock.pv_capacity * self.pv_yield.value[0] * (1 - self.pv_curtailment.value)
        battery = self._batteries.step(length_s, pv - load)
        tan = {use: np.tan(np.arccos(factor)) for use, factor in b.POWER_FACTOR.items()}
        self.heating_heat.value = heat
        self.heat_pump_power.value = compressor + backup
        self.cooling_power.value = cooling
        self.appliance_power.value = homes.appliances
        self.hot_water_power.value = water
        self.pv_power.value = pv
        self.battery_power.value = battery
        self.electric_power.value = load - pv + battery
        self.reactive_power.value = (
            tan["heat pump"] * (compressor + np.where(resists, 0.0, water))
            + tan["cooling"] * cooling
            + tan["appliances"] * homes.appliances
        )
        self.cooking_power.value = homes.cooking
        self.gas_power.value = boiler / b.BOILER_EFFICIENCY + homes.cooking
        self.persons.value = persons
        self.unmet_degree.value = np.maximum(comfort - zone.air, 0) + np.maximum(zone.air - b.COOLING_SETPOINT, 0)
        self._publish_state()
