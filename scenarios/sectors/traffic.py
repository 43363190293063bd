"""Traffic: SUMO on the city's streets, and the charging stations that its configuration brings."""

from __future__ import annotations

from collections.abc import Mapping

from cosim import Adapter, Clock, CosimError, Indicator, Layer, Result, Scenario
from cosim.adapters.traffic import Traffic
from cosim.scenarios.carbon.account import CarbonAccount, Emission
from cosim.scenarios.fleet.wiring import charger_stops
from cosim.scenarios.indicators.traffic import traffic_indicators, volume_indicators
from cosim.scenarios.model import City

ORDER = 20
EMISSION_GROUPS = "emission groups"
"""Entry of ``City.sectors`` with the name under which each emission class is published."""
ZONES = "traffic zones"
"""Entry with the zone of every edge whose departures are counted and may follow a demand of their own."""
RESIDENTS, AREA_M2 = "residents", "area"
"""Entries with the residents' habits, if the traffic is made from them, and with the city's area. [m²]"""
COUNTS = "counts"
"""Entry with the counts that the traffic was fitted to, if any."""


def adapters(city: City, clock: Clock, steps: Mapping[str, float]) -> dict[str, Adapter]:
    """Return the traffic adapter, whose electric trips are those of the city's fleet."""
    fleet = city.fleet
    return {
        "traffic": Traffic(
            city.sumocfg,
            seed=city.seed,
            extra_options=city.traffic_options,
            electric=fleet.trip_ids if fleet else (),
            stops=charger_stops(fleet, city.chargers) if fleet else (),
            zones=city.sectors.get(ZONES),
            permission_classes=city.measures.permission_classes,
            kinds=city.measures.vehicle_kinds,
            emission_groups=city.sectors.get(EMISSION_GROUPS),
        )
    }


def connect(scenario: Scenario, city: City) -> None:
    """Connect charging stations of the SUMO configuration to the grid."""
    places = scenario.adapters["traffic"].charging_power.labels  # type: ignore[attr-defined]
    if not places:
        return
    unknown = [place for place in places if place not in city.grid.bus_of]
    if unknown:
        raise CosimError(
            f"charging station {unknown[0]!r} has no connection point in the grid: add it to the city's chargers"
        )
    scenario.connect("traffic.charging_power", "grid.power", via=city.at_grid(places))


def layers(city: City) -> list[Layer]:
    """Return vehicles, volume, speed and emissions by street."""
    network = city.network
    streets = {label: [(x, y) for x, y in shape] for label, shape in zip(network.labels, network.shapes, strict=True)}
    names = network.street_names
    return [
        Layer("Vehicles on streets", "traffic.vehicles", "line", streets, "vehicles", names=names),
        Layer("Traffic volume", "traffic.flow", "line", streets, "vehicles/h", 3600, names=names),
        Layer("Speed", "traffic.speed", "line", streets, "km/h", 3.6, (0, 50), names=names, worst="lowest"),
        Layer("Tailpipe CO2", "traffic.co2", "line", streets, "kg/h", 3600, names=names),
    ]


def indicators(result: Result, city: City) -> dict[str, Indicator]:
    """Return distance, speed, delay, trips, tailpipe emissions and volume by street class."""
    return traffic_indicators(result) | volume_indicators(result, city.network)


def emissions(result: Result, account: CarbonAccount) -> dict[str, Emission]:
    """Return tailpipe emissions, and those of the fuels' supply."""
    return account.exhaust(result, "traffic")
