"""Electrification of a city's buses: depot and terminal chargers with their own transformers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np

from cosim import CosimError
from cosim.adapters.traffic.demand import BATTERY, Variant, scenario_files
from cosim.adapters.traffic.files import read_configuration, root_of
from cosim.core.fleet.plan import FleetPlan, join_plans
from cosim.scenarios.fleet.buses import bus_tables
from cosim.scenarios.fleet.wiring import transformers
from cosim.scenarios.grid.customers import Customer, add_customers
from cosim.scenarios.model import City
from cosim.scenarios.policies.policy import Policy
from cosim.scenarios.streets.network import Net, read_net

from .trips import retype, types_of

__all__ = ["BusElectrification"]

SECTOR = "Mobility"

_DEPOT = "depot plugs"
_BUS_CLASS = "HBEFA4/UBus_Electric_Std_gt15-18t"


class BusElectrification(Policy):
    """Makes all timetabled buses of a SUMO scenario electric, charged in a depot and optionally at terminals.

    The runs of a line are made by the fewest buses possible. Each charger has its own transformer, sized for its power,
    at the nearest medium-voltage bus. The depot is in the middle of the terminals, an assumption. Electric cars and
    buses form one fleet with one charging strategy.

    Parameters
    ----------
    opportunity
        Whether every line's terminal has a 300 kW pantograph in addition to the 75 kW plugs in the depot.
    """

    opportunity: bool = True

    def change_city(self, city: City) -> City:
        """Add the buses' batteries, chargers and fleet plan."""
        configuration = read_configuration(city.sumocfg, city.traffic_options)
        runs = _bus_routes(scenario_files(configuration))
        net = read_net(configuration.net)
        tables = bus_tables(runs, net, opportunity=self.opportunity, begin_s=configuration.begin_s)
        stations = tables["stations"]
        powers = dict(zip(stations.index, stations["power_w"] * stations["points"]))
        places = _places(runs, net, powers)
        grid = add_customers(city.grid, [Customer(name, powers[name], x, y) for name, (x, y) in places.items()])
        behind, ratings = transformers(grid.net, grid.bus_of, stations.index)
        plan = FleetPlan.from_tables(
            tables["vehicles"],
            tables["trips"],
            tables["places"],
            stations.assign(transformer=[behind[station] for station in stations.index]),
            ratings,
        )
        driven = set(plan.trip_ids)
        battery = Variant({"emissionClass": _BUS_CLASS}, BATTERY)
        city, _ = retype(city, lambda trip: "battery" if trip.id in driven else None, {"battery": battery})
        return replace(city, fleet=join_plans(city.fleet, plan) if city.fleet else plan, grid=grid)


def _bus_routes(files: Mapping[Path, Element]) -> Path:
    """Return the file whose vehicles are buses."""
    types = types_of(files)
    for path, root in files.items():
        kinds = [types.get(v.get("type", ""), ("", ""))[1] for v in root.iter("vehicle")]
        if kinds and set(kinds) == {"bus"}:
            return path
    raise CosimError("no route file of the scenario has only buses: put timetabled buses into a separate file")


def _places(runs: Path, net: Net, powers: Mapping[str, float]) -> dict[str, tuple[float, float]]:
    """Return the positions of chargers: pantographs at the last edge of a line, the depot in the middle. [m]"""
    ends: dict[str, tuple[float, float]] = {}
    for vehicle in root_of(runs).iter("vehicle"):
        route: Any = vehicle.find("route")
        line = vehicle.attrib["id"].rsplit("_", 1)[0]
        ends.setdefault(f"{line} pantograph", net.getEdge(route.get("edges").split()[-1]).getToNode().getCoord()[:2])
    x, y = np.mean(list(ends.values()), axis=0)
    return {name: (float(x), float(y)) if name == _DEPOT else ends[name] for name in powers}
