"""What do the residents of any city drive in a day, trip by trip, each with their own car?

The chains of `population` become drives on the network's edges: to places inside, or to the border and from there on
to places outside, which the traffic does not simulate. A car keeps its battery over the day: the drives of one car
follow each other, and each begins where the one before has ended.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pandas as pd

from cosim.core import CosimError
from cosim.scenarios.demand import CarDay, Demand, Leg, compose_vehicles, leg_trips
from cosim.scenarios.demand_cars import make_cars, vehicle_types
from cosim.scenarios.demand_routes import equilibrium_routes, shortest_routes, write_xml
from cosim.scenarios.population import Habits, activity_chains

OUTSIDE = "outside"
"""The place of cars that have left the network."""


def city_demand(
    net: Path,
    sites: pd.DataFrame,
    folder: Path,
    seed: int = 0,
    *,
    habits: Habits | None = None,
    ev_share: float = 0.1,
    visitor_trips_per_person: float = 0.0,
    through_trips_per_person: float = 0.0,
    iterations: int = 0,
) -> Demand:
    """Write a working day of cars for any network, from the residents of its buildings.

    Parameters
    ----------
    net
        A network of streets.
    sites
        Buildings as of `building_sites` or `sites_along`, with ``persons``.
    folder
        Where the files go; made if absent.
    habits
        How much, when and by what means people move.
    ev_share
        Share of the cars that are electric; a larger share keeps the electric cars of a smaller one.
    visitor_trips_per_person, through_trips_per_person
        Trips of others' cars to and from the city, and across it, per resident.
    iterations
        Rounds of routing and simulating towards an equilibrium that the network can carry; 0: everybody takes the
        shortest way, whoever else drives.

    Returns
    -------
    The files and vehicles; these have further columns ``origin`` and ``destination`` (a site, or "outside"; empty for
    visitors and through traffic) and ``outside_km`` driven beyond the network in the same trip.

    Raises
    ------
    CosimError
        If a share or rate is out of range, a site stands at no street for cars, or the network does not carry the day.
    """
    if not 0 <= ev_share <= 1:
        raise CosimError(f"ev_share is {ev_share}: it must lie between 0 and 1")
    for name, value in (("visitor", visitor_trips_per_person), ("through", through_trips_per_person)):
        if not 0 <= value <= 20:
            raise CosimError(f"{name}_trips_per_person is {value}: it must lie between 0 and 20")
    folder.mkdir(parents=True, exist_ok=True)
    day = CarDay(net, sites, seed)
    chains = activity_chains(sites, seed, habits)
    legs, places = _resident_legs(day, chains[chains["mode"] == "car"])
    legs += day.tours("visit", visitor_trips_per_person) + day.crossings(through_trips_per_person)
    types = vehicle_types()
    cars = make_cars(dict.fromkeys(leg.car for leg in legs), seed, ev_share, types)
    for leg in legs:
        leg.charge_wh = cars[leg.car].charge_wh
    trips = leg_trips(legs)
    if iterations:
        routes = equilibrium_routes(net, trips, folder, seed, iterations=iterations)
    else:
        routes = shortest_routes(net, trips, folder, seed)
    if lost := [leg.vehicle for leg in legs if leg.vehicle not in routes]:
        raise CosimError(f"{lost[0]!r} (and {len(lost) - 1} more) found no way through {net}")
    vehicles = compose_vehicles(legs, cars, None, routes)
    written = write_xml(folder / "cars.rou.xml", "routes", vehicles.pop("xml"))
    added = write_xml(folder / "types.add.xml", "additional", types["xml"])
    about = places.reindex(vehicles.index)
    for column in ("origin", "destination"):
        about[column] = about[column].fillna("")
    about["outside_km"] = about["outside_km"].fillna(0.0)
    return Demand([written], [added], vehicles.join(about))


def _resident_legs(day: CarDay, trips: Any) -> tuple[list[Leg], pd.DataFrame]:
    """Return the drives of residents, and from where to where each goes."""
    number = {site: i for i, site in enumerate(day.sites)}
    tours = list(dict.fromkeys(trips["tour"]))
    leaving = dict(zip(tours, day.pick("tour exit", tours, day.exits)))
    coming = dict(zip(tours, day.pick("tour entry", tours, day.entries)))
    legs: list[Leg] = []
    rows: list[list[Any]] = []
    at: dict[str, str] = {}
    last: dict[str, int] = {}
    beyond_km: dict[str, float] = {}
    for trip in trips.itertuples():
        car, home = f"{trip.person}.car", trip.person.rsplit(".p", 1)[0]
        origin = at.get(car, home)
        goal = trip.destination or OUTSIDE
        if OUTSIDE not in (origin, goal) and day.edge[number[origin]] == day.edge[number[goal]]:
            # Next door, on foot; a car next door to its home counts as at home.
            if goal == home and car in last:
                at[car] = rows[last[car]][2] = goal
            continue
        if origin == goal == OUTSIDE:
            beyond_km[car] = beyond_km.get(car, 0.0) + trip.outside_km
            continue
        at[car] = goal
        start = (coming[trip.tour], math.nan) if origin == OUTSIDE else _door(day, number[origin])
        end = (leaving[trip.tour], math.nan) if goal == OUTSIDE else _door(day, number[goal])
        legs.append(Leg(str(trip.Index), car, "home", "", home, float(trip.depart_s), *start, *end))
        outside_km = trip.outside_km if OUTSIDE in (origin, goal) else 0.0
        last[car] = len(rows)
        rows.append([str(trip.Index), origin, goal, outside_km + beyond_km.pop(car, 0.0)])
    table = pd.DataFrame(rows, columns=["vehicle", "origin", "destination", "outside_km"]).set_index("vehicle")
    return legs, table


def _door(day: CarDay, site: int) -> tuple[str, float]:
    return day.edge[site], day.position[site]
