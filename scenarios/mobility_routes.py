"""Which cars of an existing SUMO scenario are electric, where do they park after their trip, and where do they charge?

Route files are taken as they are: every vehicle makes its one trip. A car that ends within the network parks at the
building nearest to its last edge and may charge there; one that ends at the border is gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError

import defusedxml.ElementTree
import numpy as np
import pandas as pd
from defusedxml import DefusedXmlException

from cosim.core import CosimError, InputFileError
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
        Route files of SUMO whose vehicles have routes.
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
        If the share is out of range.
    """
    if not 0 <= ev_share <= 1:
        raise CosimError(f"ev_share is {ev_share}: it must lie between 0 and 1")
    rows = [row for path in routes for row in _trips(path)]
    rows = [row for row, u in zip(rows, uniform(seed, "electric car", [r[0] for r in rows])) if u < ev_share]
    rows = [row for row in rows if row[1] >= begin_s]
    if not rows:
        return None
    edges = {edge.getID(): edge for edge in net.getEdges(withInternal=False)}
    entries, exits = gates(net)
    labels = [row[0] for row in rows]
    metres = np.array([sum(edges[e].getLength() for e in way if e in edges) for _, _, way in rows])
    trips = pd.DataFrame(
        {
            "vehicle": labels,
            "depart_s": [depart - begin_s for _, depart, _ in rows],
            "duration_s": np.maximum(metres / MPS, 60.0),
            "energy_j": metres * J_PER_M,
            "origin": _nearest([way[0] for *_, way in rows], edges, entries, sites),
            "destination": _nearest([way[-1] for *_, way in rows], edges, exits, sites),
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


def _trips(path: Path) -> list[tuple[str, float, list[str]]]:
    """Read name, departure and edges of the vehicles without stops."""
    found = []
    try:
        for _, element in defusedxml.ElementTree.iterparse(path):
            if element.tag != "vehicle":
                continue
            route = element.find("route")
            edges = [] if route is None else str(route.get("edges", "")).split()
            if edges and element.find("stop") is None:
                found.append((str(element.get("id")), float(element.get("depart", "nan")), edges))
    except (OSError, ParseError, DefusedXmlException, ValueError) as error:
        raise InputFileError(f"{path} cannot be read as routes: {error!r}") from error
    return found


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
