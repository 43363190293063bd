"""Premises: electricity and fuel of the city's buildings without dwellings."""

from __future__ import annotations

from collections.abc import Mapping

from cosim import Adapter, Clock, Indicator, Layer, Result, Scenario
from cosim.adapters.premises import Premises as PremisesAdapter
from cosim.core.quantities import J_PER_KWH
from cosim.scenarios.buildings.premises import BASE_TEMPERATURE, Premises
from cosim.scenarios.carbon.account import CarbonAccount, Emission
from cosim.scenarios.intervals import energy
from cosim.scenarios.model import City

ORDER = 35
NAME = "premises"
OUTLINES = "premises outlines"
"""Entry of ``City.sectors`` with the outline of each, for the map."""


def _of(city: City) -> Premises | None:
    found = city.sectors.get(NAME)
    return found if isinstance(found, Premises) and len(found.labels) else None


def adapters(city: City, clock: Clock, steps: Mapping[str, float]) -> dict[str, Adapter]:
    """Return the adapter of the city's premises, if it has any."""
    found = _of(city)
    if found is None:
        return {}
    return {NAME: adapter_of(found, clock)}


def adapter_of(found: Premises, clock: Clock) -> PremisesAdapter:
    """Return the adapter of premises."""
    return PremisesAdapter(
        found.labels,
        clock,
        schedules=found.schedules,
        use_index=found.use_index,
        floor_area=found.floor_area,
        fuel_base=found.fuel_base,
        fuel_per_kelvin=found.fuel_per_kelvin,
        base_temperature=BASE_TEMPERATURE,
    )


def connect(scenario: Scenario, city: City) -> None:
    """Connect the premises' power to the grid."""
    if (found := _of(city)) is not None:
        at_grid = city.at_grid(found.labels)
        scenario.connect(f"{NAME}.electric_power", "grid.power", via=at_grid)
        scenario.connect(f"{NAME}.reactive_power", "grid.reactive_power", via=at_grid)


def layers(city: City) -> list[Layer]:
    """Return electricity by building."""
    outlines = city.sectors.get(OUTLINES, {})
    if _of(city) is None or not outlines:
        return []
    return [Layer("Electricity of premises", f"{NAME}.electric_power", "polygon", outlines, "kW", 1e-3)]


def indicators(result: Result, city: City) -> dict[str, Indicator]:
    """Return electricity and fuel."""
    if f"{NAME}.electric_power" not in result.ports:
        return {}
    about = "buildings without dwellings"
    gas = float(result.integral(f"{NAME}.gas_power").sum()) / J_PER_KWH
    used = float(energy(result, f"{NAME}.electric_power").to_numpy().sum()) / J_PER_KWH
    return {
        "electricity of premises": Indicator(used, "kWh", "lower", about),
        "fuel of premises": Indicator(gas, "kWh", "lower", about),
    }


def emissions(result: Result, account: CarbonAccount) -> dict[str, Emission]:
    """Return the emissions of fuel and electricity."""
    return account.gas(result, NAME) | account.electricity(
        result, "premises, electricity", [f"{NAME}.electric_power"], "electricity at its hour's intensity"
    )
