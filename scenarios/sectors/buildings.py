"""Buildings: heat, electricity and gas of the city's stock."""

from __future__ import annotations

from collections.abc import Mapping

from cosim import Adapter, Clock, Indicator, Layer, Result, Scenario
from cosim.adapters.buildings import Buildings
from cosim.scenarios.carbon.account import CarbonAccount, Emission
from cosim.scenarios.indicators.buildings import building_indicators
from cosim.scenarios.model import City
from cosim.scenarios.warm_up import WarmUp

ORDER = 30


def adapters(city: City, clock: Clock, steps: Mapping[str, float]) -> dict[str, Adapter]:
    """Return the adapter of the city's building stock."""
    warm_up = WarmUp(city.stock, city.weather, clock, city.seed, city.measures)
    buildings = Buildings(
        city.stock,
        clock,
        seed=city.seed,
        initial=warm_up,
        price_response=city.measures.price_response,
        varying=city.measures.varying_buildings,
    )
    buildings.settings = {"warm_up": str(warm_up)}
    return {"buildings": buildings}


def connect(scenario: Scenario, city: City) -> None:
    """Connect the buildings' power to the grid."""
    at_grid = city.at_grid(city.stock.ids)
    scenario.connect("buildings.electric_power", "grid.power", via=at_grid)
    scenario.connect("buildings.reactive_power", "grid.reactive_power", via=at_grid)


def layers(city: City) -> list[Layer]:
    """Return electricity, heat pumps and temperature by building."""
    houses = {str(site): list(shape.exterior.coords)[:-1] for site, shape in city.sites["footprint"].items()}
    return [
        Layer("Electricity of buildings", "buildings.electric_power", "polygon", houses, "kW", 1e-3),
        Layer("Heat pumps", "buildings.heat_pump_power", "polygon", houses, "kW", 1e-3),
        Layer("Indoor temperature", "buildings.indoor_temperature", "polygon", houses, "°C"),
    ]


def facts(city: City) -> dict[str, str]:
    """Return the number of buildings and dwellings, and their systems."""
    stock = city.stock
    text = (
        f"{len(stock):,} with {stock.dwellings.sum():,.0f} dwellings, {stock.heating.count('heat_pump'):,} heated by "
        "heat pumps"
    )
    if panels := int((stock.pv_capacity > 0).sum()):
        text += f", {panels:,} with solar panels ({stock.pv_capacity.sum() / 1000:,.0f} kW)"
    return {"buildings": text}


def indicators(result: Result, city: City) -> dict[str, Indicator]:
    """Return heat, electricity by use, gas and discomfort."""
    return building_indicators(result)


def emissions(result: Result, account: CarbonAccount) -> dict[str, Emission]:
    """Return the emissions of gas and electricity."""
    return account.gas(result, "buildings") | account.electricity(
        result, "buildings, electricity", ["buildings.electric_power"], "drawn less fed in, at its hour's intensity"
    )
