"""Which cars of an existing SUMO scenario are electric, where do they park after their trip, and where do they charge?

Route files are taken as they are: every vehicle or trip makes its one way. A car that ends within the network parks at
the building nearest to its last edge and may charge there; one that ends at the border is gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree.ElementTree import ParseError

import defusedxml.ElementTree
import numpy as np
import pandas as pd
from defusedxml import DefusedXmlException

from cosim.core import CosimError, InputFileError
from cosim.core.fleet_detours import way_m
from cosim.core.fleet_plan import FleetPlan
from cosim.core.random import uniform
from cosim.scenarios.demand_cars import ELECTRIC, vehicle_types
from cosim.scenarios.demand_city import OUTSIDE
from cosim.scenarios.demand_routes import gates
from cosim.scenarios.mobility import J_PER_M, MPS, charging_stations, parking_places, plugs_in_below
from cosim.scenarios.streets import Net


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

    Which vehicles are electric is keyed by their name: a larger share keeps the electric cars of a smaller one. Those
    with stops, as buses have them, are left as they are. `electric_variant` of the traffic adapter gives the cars of
    `FleetPlan.trip_ids` their batteries.

    Parameters
    ----------
    routes
        Route files of SUMO with vehicles or trips.
    net, sites, chargers, seed, transformer_of, ratings, cars
        See `mobility.fleet_plan`.
    ev_share
        Share of the cars that are electric.
    begin_s
        SUMO's time at which the run begins. [s]

    Raises
    ------
    InputFileError
        If a file is missing, malformed or not to be trusted.
    CosimError
        If the share is out of range, or a file holds flows, whose vehicles have no names to choose from.
    """
    if not 0 <= ev_share <= 1:
        raise CosimError(f"ev_share is {ev_share}: it must lie between 0 and 1")
    if not ev_share:
        return None
    known: dict[str, list[str]] = {}
    rows = [row for path in routes for row in _ways(path, known)]
    rows = [row for row, u in zip(rows, uniform(seed, "electric car", [row.name for row in rows])) if u < ev_share]
    rows = [row for row in rows if row.depart_s >= begin_s]
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
            "origin": _nearest([row.edges[0] for row in rows], edges, entries, sites),
            "destination": _nearest([row.edges[-1] for row in rows], edges, exits, sites),
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


class _Way(NamedTuple):
    name: str
    depart_s: float
    edges: list[str]
    routed: bool
    """Whether these are all edges of the way, or those that it leads over."""


def _ways(path: Path, known: dict[str, list[str]]) -> list[_Way]:
    """Read the vehicles and trips without stops; ``known`` are the routes read so far, by name."""
    found = []
    try:
        for _, element in defusedxml.ElementTree.iterparse(path):
            name, depart = str(element.get("id")), element.get("depart", "nan")
            if element.tag == "flow":
                raise CosimError(
                    f"{path} holds the flow {name!r}, whose vehicles have no names before they depart: write them as "
                    "vehicles, e.g. with the option --vehroute-output of a run of sumo, or leave ev_share at 0"
                )
            if element.tag == "route" and "id" in element.attrib:
                known[name] = str(element.get("edges", "")).split()
            if element.tag not in ("vehicle", "trip") or element.find("stop") is not None:
                continue
            route = element.find("route")
            edges = known.get(element.get("route", ""), []) if route is None else str(route.get("edges", "")).split()
            ends = [element.get("from", ""), *element.get("via", "").split(), element.get("to", "")]
            if edges or all(ends):
                found.append(_Way(name, float(depart), edges or ends, bool(edges)))
    except (OSError, ParseError, DefusedXmlException, ValueError) as error:
        raise InputFileError(f"{path} cannot be read as routes: {error!r}") from error
    return found


def _length_m(way: _Way, edges: Mapping[str, Any]) -> float:
    """Return the length of a way, as expected where SUMO is to find it. [m]"""
    there = [edges[edge] for edge in way.edges if edge in edges]
    if way.routed:
        return float(sum(edge.getLength() for edge in there))
    middles = np.array([np.mean([point[:2] for point in edge.getShape()], axis=0) for edge in there])
    return float(way_m(middles[:-1], middles[1:]).sum()) if len(middles) > 1 else 0.0


def _nearest(ends: list[str], edges: Mapping[str, Any], border: Mapping[str, Any], sites: pd.DataFrame) -> list[str]:
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
