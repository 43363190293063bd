"""Electric cars of an existing SUMO scenario: their choice, and where they park and charge after their trip.

Route files are taken as they are: every vehicle or trip makes one way. A car that ends within the network parks at the
building nearest to its last edge and may charge there; one that ends at the border leaves.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import compress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from cosim.adapters.traffic.demand import BUILT_IN_CARS, DEFAULT_TYPE, VEHICLES, electric_variant, is_car
from cosim.adapters.traffic.files import included_elements, read_configuration, seconds
from cosim.adapters.traffic.flows import flows_as_trips
from cosim.core import CosimError, InputFileError
from cosim.core.fleet.detours import way_m
from cosim.core.fleet.plan import FleetPlan
from cosim.core.random import quota, uniform
from cosim.scenarios.fleet.plan import J_PER_M, MPS, charging_stations, parking_places, plugs_in_below
from cosim.scenarios.fleet.wiring import transformers
from cosim.scenarios.grid.synthesis import SynthesizedGrid
from cosim.scenarios.mobility.cars import ELECTRIC, vehicle_types
from cosim.scenarios.mobility.resident_cars import OUTSIDE
from cosim.scenarios.mobility.routing import gates
from cosim.scenarios.streets.network import Net


def with_electric_cars(
    sumocfg: Path,
    net: Net,
    sites: pd.DataFrame,
    chargers: pd.DataFrame,
    grid: SynthesizedGrid,
    folder: Path,
    seed: int,
    ev_share: float,
) -> tuple[Path, FleetPlan | None, Mapping[str, float]]:
    """Write a scenario in which a share of the cars is electric, see `routes_fleet`.

    Returns
    -------
    The new configuration, the plan of its electric cars, and the ratings of the transformers behind chargers. [W]
    """
    sumocfg = flows_as_trips(sumocfg, folder / "flows", seed=seed)
    sumo = read_configuration(sumocfg)
    behind, ratings = transformers(grid.net, grid.bus_of, chargers.index)
    plan = routes_fleet(
        (*sumo.additionals, *sumo.routes),
        net,
        sites,
        chargers,
        seed,
        ev_share=ev_share,
        begin_s=sumo.begin_s,
        transformer_of=behind,
        ratings=ratings or None,
    )
    return electric_variant(sumocfg, plan.trip_ids, folder / "electric") if plan else sumocfg, plan, ratings


def routes_fleet(
    routes: Iterable[Path],
    net: Net,
    sites: pd.DataFrame,
    chargers: pd.DataFrame,
    seed: int = 0,
    *,
    ev_share: float,
    begin_s: float = 0.0,
    transformer_of: Mapping[str, str] | None = None,
    ratings: Mapping[str, float] | None = None,
    cars: Mapping[str, Any] | None = None,
) -> FleetPlan | None:
    """Return the electric cars of route files, or None if there is none.

    Electric vehicles are drawn by name: a larger share keeps the electric cars of a smaller one. Vehicles that are no
    passenger cars, or have stops, stay as they are. `electric_variant` of the traffic adapter gives the cars of
    `FleetPlan.trip_ids` their batteries.

    Parameters
    ----------
    routes
        SUMO route and additional files with vehicles, trips and routes; what they include is read too.
    net, sites, chargers, seed, transformer_of, ratings, cars
        See `mobility.fleet_plan`.
    ev_share
        Share of the cars that are electric.
    begin_s
        SUMO's time at which the run begins. [s]

    Raises
    ------
    InputFileError
        If a file is missing, malformed or unsafe.
    CosimError
        If the share is out of range, or a file has flows, whose vehicles have no names to draw from, or types that are
        drawn among cars and others.
    """
    if not 0 <= ev_share <= 1:
        raise CosimError(f"ev_share is {ev_share}: it must lie between 0 and 1")
    if not ev_share:
        return None
    rows = [row for row in _ways(routes) if row.depart_s >= begin_s]
    rows = list(compress(rows, quota(seed, "electric car", [row.name for row in rows], ev_share)))
    if not rows:
        return None
    edges = {edge.getID(): edge for edge in net.getEdges(withInternal=False)}
    entries, exits = gates(net)
    labels = [row.name for row in rows]
    metres = np.array([_length_m(row, edges) for row in rows])
    trips = pd.DataFrame(
        {
            "vehicle": labels,
            "depart_s": [row.depart_s - begin_s for row in rows],
            "duration_s": np.maximum(metres / MPS, 60.0),
            "energy_j": metres * J_PER_M,
            "origin": nearest_sites([row.edges[0] for row in rows], edges, entries, sites),
            "destination": nearest_sites([row.edges[-1] for row in rows], edges, exits, sites),
        },
        index=labels,
    )
    models = np.array([vehicle_types()["capacity_wh"][model] for model in ELECTRIC])
    vehicles = pd.DataFrame(
        {
            "capacity_j": 3600 * models[(uniform(seed, "electric model", labels) * len(models)).astype(int)],
            "soc": 0.3 + 0.65 * uniform(seed, "charge", labels),
            "home": trips["origin"].tolist(),
            "plug_in_soc": plugs_in_below(labels, seed),
            "drive_j_per_m": J_PER_M,
            **(cars or {}),
        },
        index=labels,
    )
    stations = charging_stations(chargers, transformer_of)
    return FleetPlan.from_tables(vehicles, trips, parking_places(sites, chargers), stations, ratings)


_EVENTS = ("triggered", "containerTriggered", "split")
"""Departures that wait for a person, a container or another vehicle."""


class _Way(NamedTuple):
    name: str
    depart_s: float
    edges: list[str]
    routed: bool
    """Whether ``edges`` is the whole route, or only edges along it."""


def _ways(files: Iterable[Path]) -> list[_Way]:
    """Read the vehicles and trips without stops that depart by the clock, from files and those that they include."""
    found = []
    known: dict[str, list[str]] = {}
    cars = dict(BUILT_IN_CARS)
    for path, element in included_elements(files):
        name, depart = str(element.get("id")), element.get("depart", "")
        if element.tag == "flow":
            raise CosimError(
                f"{path} has the flow {name!r}, whose vehicles have no names before they depart: write them as "
                "trips, by flows_as_trips() or the option --vehroute-output of a run of sumo, or leave ev_share at 0"
            )
        if element.tag == "route" and "id" in element.attrib:
            known[name] = str(element.get("edges", "")).split()
        if element.tag in ("vType", "vTypeDistribution"):
            cars[name] = is_car(element, cars)
        if element.tag not in VEHICLES or element.find("stop") is not None or depart in _EVENTS:
            continue
        if (is_one := cars.get(kind := element.get("type", DEFAULT_TYPE), True)) is None:
            raise CosimError(
                f"{path}: SUMO draws the type of {element.tag} {name!r} among cars and other vehicles of {kind!r}: "
                "write the types that it draws, by flows_as_trips(), or leave ev_share at 0"
            )
        if not is_one:
            continue
        route = element.find("route")
        edges = known.get(element.get("route", ""), []) if route is None else str(route.get("edges", "")).split()
        ends = [element.get("from", ""), *element.get("via", "").split(), element.get("to", "")]
        if edges or all(ends):
            try:
                found.append(_Way(name, seconds(depart), edges or ends, bool(edges)))
            except ValueError:
                raise InputFileError(
                    f"{path}: {element.tag} {name!r} departs at {depart!r}: write seconds, or hours:minutes:seconds"
                ) from None
    return found


def _length_m(way: _Way, edges: Mapping[str, Any]) -> float:
    """Return the length of a way, estimated where SUMO has yet to route it. [m]"""
    there = [edges[edge] for edge in way.edges if edge in edges]
    if way.routed:
        return float(sum(edge.getLength() for edge in there))
    middles = np.array([np.mean([point[:2] for point in edge.getShape()], axis=0) for edge in there])
    return float(way_m(middles[:-1], middles[1:]).sum()) if len(middles) > 1 else 0.0


def nearest_sites(
    ends: list[str], edges: Mapping[str, Any], border: Mapping[str, Any], sites: pd.DataFrame
) -> list[str]:
    """Return the building nearest to the middle of each edge, or the outside for those at the border."""
    xy = sites[["x", "y"]].to_numpy(float)
    names = [str(label) for label in sites.index]
    place: dict[str, str] = {}
    for end in dict.fromkeys(ends):
        if end in border or end not in edges or not names:
            place[end] = OUTSIDE
            continue
        middle = np.mean([point[:2] for point in edges[end].getShape()], axis=0)
        place[end] = names[int(np.argmin(np.hypot(*(xy - middle).T)))]
    return [place[end] for end in ends]
