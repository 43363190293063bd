"""What if a city's buses drove on batteries? Depot and terminals with chargers and transformers of their own."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandapower as pp

from cosim import CosimError
from cosim.adapters.sumo_demand import BATTERY
from cosim.adapters.sumo_files import read_configuration, root_of
from cosim.core.fleet_plan import FleetPlan
from cosim.scenarios.city import City
from cosim.scenarios.grid_synthesis import Station, SynthesizedGrid
from cosim.scenarios.mobility import transformers
from cosim.scenarios.mobility_buses import bus_tables
from cosim.scenarios.policy import Policy
from cosim.scenarios.streets import Net, read_net

from .trips import Variant, retype, types_of

_DEPOT = "depot plugs"
_BUS_CLASS = "HBEFA4/UBus_Electric_Std_gt15-18t"


class BusElectrification(Policy):
    """Makes all timetabled buses of a SUMO scenario electric, charged in a depot and, if asked for, at terminals.

    The runs of a line are made by as few buses as can; each charger has a transformer of its own at the medium-voltage
    bus nearest to it, as their power asks for. The depot stands amid the terminals, an assumption. Electric cars and
    buses are one fleet, which charges by one strategy.

    Parameters
    ----------
    opportunity
        Whether every line's terminal has a pantograph of 300 kW beside the depot's plugs of 75 kW.
    """

    opportunity: bool = True

    def change_city(self, city: City) -> City:
        """Give the buses batteries, chargers and a plan."""
        configuration = read_configuration(city.sumocfg, city.traffic_options)
        runs = _bus_routes(configuration.routes, configuration.additionals)
        net = read_net(configuration.net)
        tables = bus_tables(runs, net, opportunity=self.opportunity, begin_s=configuration.begin_s)
        stations = tables["stations"]
        powers = dict(zip(stations.index, stations["power_w"] * stations["points"]))
        grid = _with_chargers(city.grid, _places(runs, net, powers), powers)
        behind, ratings = transformers(grid.net, grid.bus_of, stations.index)
        plan = FleetPlan.from_tables(
            tables["vehicles"], tables["trips"], tables["places"],
            stations.assign(transformer=[behind[station] for station in stations.index]), ratings,
        )  # fmt: skip
        driven = set(plan.trip_ids)
        battery = Variant({"emissionClass": _BUS_CLASS}, BATTERY)
        city, _ = retype(city, lambda trip: "battery" if trip.id in driven else None, {"battery": battery})
        return replace(city, fleet=joined(city.fleet, plan) if city.fleet else plan, grid=grid)


def joined(one: FleetPlan, other: FleetPlan) -> FleetPlan:
    """Return a plan of two fleets that have no label in common.

    Raises
    ------
    CosimError
        If they have one.
    """
    names = ("vehicle_ids", "trip_ids", "place_ids", "station_ids", "transformer_ids", "zone_ids")
    ids = {name: (getattr(one, name), getattr(other, name)) for name in names}
    for name, (first, second) in ids.items():
        if shared := sorted(set(first) & set(second)):
            raise CosimError(f"two fleets have {name[:-4]} {shared[0]!r} in common: rename it in one of them")
    # Indices of the second fleet count on from the first one's.
    begins = {"home": "place_ids", "trip_vehicle": "vehicle_ids", "origin": "place_ids", "destination": "place_ids",
              "zone": "zone_ids", "offers": "station_ids", "transformer": "transformer_ids"}  # fmt: skip
    columns: dict[str, Any] = {name: first + second for name, (first, second) in ids.items()}
    for name, label in begins.items():
        shifted = getattr(other, name) + np.int32(len(ids[label][0]))
        columns[name] = np.concatenate([getattr(one, name), shifted])
    for name in ("first_trip", "first_offer"):
        first, second = getattr(one, name), getattr(other, name)
        columns[name] = np.concatenate([first, second[1:] + first[-1]])
    for name in ("depart_s", "duration_s", "energy_j", "approach_j", "outside_j", "ahead_j", "place_xy", "rating_w"):
        columns[name] = np.concatenate([getattr(one, name), getattr(other, name)])
    for name in ("vehicles", "stations"):
        first, second = getattr(one, name), getattr(other, name)
        columns[name] = {column: np.concatenate([first[column], second[column]]) for column in first}
    return FleetPlan(**columns)


def _bus_routes(routes: tuple[Path, ...], additionals: tuple[Path, ...]) -> Path:
    """Return the route file whose vehicles are buses."""
    types = types_of({path: root_of(path) for path in (*additionals, *routes)})
    for path in routes:
        kinds = [types.get(v.get("type", ""), ("", ""))[1] for v in root_of(path).iter("vehicle")]
        if kinds and set(kinds) == {"bus"}:
            return path
    raise CosimError("no route file of the scenario holds buses alone: give timetabled buses a file of their own")


def _places(runs: Path, net: Net, powers: Mapping[str, float]) -> dict[str, tuple[float, float]]:
    """Return where the chargers stand: pantographs at the last edge of a line, the depot amid them. [m]"""
    ends: dict[str, tuple[float, float]] = {}
    for vehicle in root_of(runs).iter("vehicle"):
        route: Any = vehicle.find("route")
        line = vehicle.attrib["id"].rsplit("_", 1)[0]
        ends.setdefault(f"{line} pantograph", net.getEdge(route.get("edges").split()[-1]).getToNode().getCoord()[:2])
    x, y = np.mean(list(ends.values()), axis=0)
    return {name: (float(x), float(y)) if name == _DEPOT else ends[name] for name in powers}


def _with_chargers(
    grid: SynthesizedGrid, places: Mapping[str, tuple[float, float]], powers: Mapping[str, float]
) -> SynthesizedGrid:
    """Return the grid with a transformer behind each charger."""
    net, bus_of, stations = copy.deepcopy(grid.net), dict(grid.bus_of), list(grid.stations)
    model = net.trafo.loc[net.trafo["sn_mva"].idxmax()]
    shared = ("sn_mva", "vn_hv_kv", "vn_lv_kv", "vk_percent", "vkr_percent", "pfe_kw", "i0_percent")
    for name, (x, y) in places.items():
        near = min(grid.stations, key=lambda station: math.hypot(station.x - x, station.y - y))
        label = f"transformer of {name}"
        bus = pp.create_bus(net, float(model["vn_lv_kv"]), name=f"{name} bus", geodata=(x, y))
        net.bus.loc[bus, "geo"] = json.dumps({"type": "Point", "coordinates": [x, y]})
        units = math.ceil(powers[name] / (0.9e6 * float(model["sn_mva"])))
        pp.create_transformer_from_parameters(
            net, near.mv_bus, bus, name=label, parallel=units, **{key: float(model[key]) for key in shared}
        )
        bus_of[name] = int(bus)
        rated = units * float(model["sn_mva"]) * 1e6
        stations.append(Station(label, x, y, near.mv_bus, int(bus), rated, 1, near.ring))
    return replace(grid, net=net, bus_of=bus_of, stations=stations)
