"""Electric vehicles: their batteries, trips and charging between traffic and grid."""

from __future__ import annotations

from collections.abc import Mapping

from cosim import Adapter, Clock, Indicator, Layer, Result, Scenario
from cosim.adapters.fleet import Fleet
from cosim.scenarios.carbon.account import CarbonAccount, Emission
from cosim.scenarios.fleet.wiring import connect_fleet, transformers
from cosim.scenarios.indicators.traffic import charging_indicators
from cosim.scenarios.model import City

ORDER = 50
INDICATOR_ORDER = 25  # charging follows the traffic


def adapters(city: City, clock: Clock, steps: Mapping[str, float]) -> dict[str, Adapter]:
    """Return the city's fleet, if it has one."""
    if not city.fleet:
        return {}
    return {"fleet": Fleet(city.fleet, clock, city.strategy, grid_step_s=steps.get("grid"))}


def connect(scenario: Scenario, city: City) -> None:
    """Connect the fleet with traffic, grid and buildings."""
    if not city.fleet:
        return
    names = dict(zip(city.grid.net.bus.index, city.grid.net.bus["name"], strict=True))
    behind, _ = transformers(city.grid.net, city.grid.bus_of, city.stock.ids)
    connect_fleet(scenario, city.fleet, city.grid.bus_of, names, transformer_of=behind)


def layers(city: City) -> list[Layer]:
    """Return charging power by station, of the fleet or of the traffic's own stations."""
    plugs = {str(c): [(row["x"], row["y"])] for c, row in city.chargers.iterrows()}
    source = "fleet" if city.fleet else "traffic"
    facts = {name: {str(c): float(v) for c, v in city.chargers[name].items()} for name in ("points", "power_w")}
    charging = Layer("Charging", f"{source}.charging_power", "point", plugs, "kW", 1e-3, properties=facts)
    return [charging] if plugs else []


def facts(city: City) -> dict[str, str]:
    """Return the number of electric cars and charging stations."""
    if city.fleet is None:
        return {"electric cars": "none of the city's own"}
    return {"electric cars": f"{len(city.fleet.vehicle_ids):,}, {len(city.fleet.station_ids):,} charging stations"}


def indicators(result: Result, city: City) -> dict[str, Indicator]:
    """Return charging energy and peak, and the trips that failed for lack of charge."""
    return charging_indicators(result)


def emissions(result: Result, account: CarbonAccount) -> dict[str, Emission]:
    """Return the emissions of the electricity that charges vehicles."""
    ports = ["traffic.charging_power", "fleet.charging_power"]
    return account.electricity(result, "traffic, charging", ports, "electricity at its hour's intensity")
