"""A year of a city's dwellings and premises, alone in their weather, by the hour."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cosim import Clock
from cosim.adapters.buildings import BOILER_EFFICIENCY, Buildings
from cosim.adapters.premises import Premises
from cosim.core.adapter import outputs
from cosim.core.quantities import DAY_S, HOUR_S, J_PER_KWH
from cosim.scenarios.carbon.account import GAS_CO2
from cosim.scenarios.model import City
from cosim.scenarios.parts import PERSONS_PER_DWELLING
from cosim.scenarios.sectors.premises import NAME, adapters
from cosim.scenarios.warm_up import WarmUp

YEAR = 2025


def inhabitants(city: City) -> float:
    """Return the number of residents; where none are placed, that of average households."""
    if "persons" in city.sites:
        return float(city.sites["persons"].sum())
    return float(city.stock.dwellings.sum()) * PERSONS_PER_DWELLING


@dataclass(frozen=True)
class BuildingYear:
    """Energy of a year. [kWh]

    Attributes
    ----------
    dwellings
        By port of `Buildings`.
    services
        ``electric_power`` and ``gas_power`` of premises; empty without any.
    kg
        Greenhouse gas of ``"dwellings"`` and ``"services"``, without the supply of gas: cities' balances, beside which
        it stands, count what is burnt there and the electricity that is used. [kg CO2e]
    intensity
        Mean carbon intensity of electricity over the year. [kg CO2e/kWh]
    """

    dwellings: dict[str, float]
    services: dict[str, float]
    kg: dict[str, float]
    intensity: float

    def figures(self, city: City) -> dict[str, float]:
        """Return energy by use of a dwelling, equipment and greenhouse gas, by the keys of the published figures."""
        stock, used = city.stock, self.dwellings
        n, people = float(stock.dwellings.sum()), inhabitants(city)
        boilers = np.array([kind == "gas_boiler" for kind in stock.heating])
        water = float(stock.hot_water_need[boilers].sum()) / 1000 * 8760 / BOILER_EFFICIENCY
        total = used["electric_power"] + used["gas_power"] + used["pv_power"]
        heated = stock.dwellings * (stock.heating_capacity > 0)
        share_electric = 100 * float(heated[~boilers].sum() / heated.sum())
        found = {
            "energy dwelling": total / n,
            "energy inhabitant": total / people,
            "energy heating": (used["gas_power"] - used["cooking_power"] - water + used["heat_pump_power"]) / n,
            "energy water": (water + used["hot_water_power"]) / n,
            "energy appliances": used["appliance_power"] / n,
            "energy cooling": used["cooling_power"] / n,
            "energy cooking gas": used["cooking_power"] / n,
            "electricity dwelling": used["electric_power"] / n,
            "electricity inhabitant": used["electric_power"] / people,
            "gas inhabitant": used["gas_power"] / people,
            "area inhabitant": float(stock.floor_area.sum()) / people,
            "share heated": 100 * float(heated.sum()) / n,
            "share electric heating": share_electric,
            "share gas heating": 100 - share_electric,
            "share cooling": 100 * float(stock.dwellings[stock.cooling_capacity > 0].sum()) / n,
            "intensity": 1000 * self.intensity,
            "CO2e dwellings": self.kg["dwellings"] / 1000 / people,
        }
        if self.services:
            found["CO2e services"] = self.kg["services"] / 1000 / people
            found["services over dwellings"] = self.kg["services"] / self.kg["dwellings"]
            services = sum(self.services.values())
            found["energy services"] = services / people
            found["energy buildings"] = (total + services) / people
            found["CO2e combustion"] = (used["gas_power"] + self.services["gas_power"]) * GAS_CO2 / 1000 / people
        return found


def building_year(city: City) -> BuildingYear:
    """Simulate a year of a city's buildings by the hour, from a warmed-up first of January on."""
    clock = Clock(f"{YEAR}-01-01", hours=365 * 24.0, step_s=HOUR_S, zone=city.zone)
    buildings = Buildings(city.stock, clock, seed=city.seed, varying=city.measures.varying_buildings)
    premises = adapters(city, clock, {}).get(NAME)
    hours = pd.date_range(clock.utc(0.0), periods=365 * 24, freq="h")
    intensity = city.carbon.intensity(hours, city.country, city.zone)
    used: dict[str, float] = defaultdict(float)
    others: dict[str, float] = defaultdict(float)
    kg: dict[str, float] = defaultdict(float)
    for step in WarmUp(city.stock, city.weather, clock, city.seed, city.measures).steps(buildings, 365 * DAY_S):
        if step.start_s < -1e-6:
            continue
        per_kwh = float(intensity[min(int(step.start_s // HOUR_S), len(intensity) - 1)])
        kwh = {
            name: float(port.value.sum()) * step.length_s / J_PER_KWH
            for name, port in outputs(buildings).items()
            if port.unit == "W"
        }
        for name, energy in kwh.items():
            used[name] += energy
        kg["dwellings"] += kwh["electric_power"] * per_kwh
        if isinstance(premises, Premises):
            premises.outdoor_temperature.deliver(buildings.outdoor_temperature.value[:1])
            premises.advance(step)
            for name in ("electric_power", "gas_power"):
                others[name] += float(getattr(premises, name).value.sum()) * step.length_s / J_PER_KWH
            kg["services"] += float(premises.electric_power.value.sum()) * step.length_s / J_PER_KWH * per_kwh
    kg["dwellings"] += used["gas_power"] * GAS_CO2
    kg["services"] += others["gas_power"] * GAS_CO2
    return BuildingYear(dict(used), dict(others), dict(kg), float(intensity.mean()))
