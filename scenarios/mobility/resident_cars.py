"""Demand of a city's days: what residents drive, trip by trip with their own cars, and others beside them.

The chains of `population` become drives on the network's edges: to places inside, or to the border and from there on
to places outside, which the traffic does not simulate. A car keeps its battery over the days: the drives of one car
follow each other, and each begins where the one before has ended. Every day is drawn with its own key.
"""

from __future__ import annotations

import datetime as dt
import functools
import itertools
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd

from cosim.core import CosimError
from cosim.core.quantities import DAY_S
from cosim.core.random import quota
from cosim.scenarios.mobility.answers import answer, unchanged
from cosim.scenarios.mobility.cars import make_cars, vehicle_types
from cosim.scenarios.mobility.choice import Answer
from cosim.scenarios.mobility.costs import TravelChanges
from cosim.scenarios.mobility.drives import CarDay, Demand, Leg, compose_vehicles, leg_trips
from cosim.scenarios.mobility.kinds import CAR
from cosim.scenarios.mobility.population import Habits, activity_chains, has_car, persons
from cosim.scenarios.mobility.routing import assigned_routes, equilibrium_routes, shortest_routes, write_xml
from cosim.scenarios.mobility.through import Others
from cosim.scenarios.mobility.travellers import Travellers, join_travellers, outsiders, residents

OUTSIDE = "outside"
"""The place of cars that have left the network."""

SETTLE_DAYS = 7
"""Days of driving and charging before a run, each weekday once, after which no car remembers the charge drawn for it.
Drivers plug in about three times a week, see `cosim.scenarios.fleet.plan.PLUG_IN_SOC`."""


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
    border: tuple[Mapping[str, float], Mapping[str, float]] | None = None,
    days: Sequence[dt.date] | Sequence[int] = (0,),
    zone: str = "UTC",
    settle_days: int = SETTLE_DAYS,
    others: Others | None = None,
    changes: TravelChanges | None = None,
) -> Demand:
    """Write days of cars for any network, from the residents of its buildings.

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
        Share of the residents' cars, and of those of others, that are electric, exact to one car; a larger share keeps
        the electric cars of a smaller one.
    visitor_trips_per_person, through_trips_per_person
        Trips of others' cars to and from the city, and across it, per resident.
    iterations
        Rounds of routing and simulating towards an equilibrium that the network can carry; 0: everybody takes the
        shortest way, whoever else drives.
    days
        Consecutive dates, or numbers of working days. Departures are counted from the first midnight on.
    zone
        Time zone of the dates.
    settle_days
        Number of days before these for which the drives of electric cars are returned too; they are those of the base
        case, whatever changes.
    changes
        What policies change in the costs of travel, for demand that answers by mode, see `answers`; None: whoever
        drives keeps driving.
    others
        Through traffic in given numbers, kinds of vehicles and the hourly profile of others' traffic.

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
    day = plan_day(
        net,
        sites,
        folder,
        seed,
        habits=habits,
        visitor_trips_per_person=visitor_trips_per_person,
        through_trips_per_person=through_trips_per_person,
        iterations=iterations,
        border=border,
        days=days,
        zone=zone,
        others=others,
        changes=changes,
    )
    if lost := day.lost:
        raise CosimError(f"{lost[0]!r} (and {len(lost) - 1} more) found no way through {net}")
    demand = day.demand(folder, seed, ev_share)
    electric = day.electric(seed, ev_share)
    before = _drives_before(net, sites, folder, seed, habits or Habits(), electric, days[0], zone, settle_days)
    return replace(demand, before=before, answer=day.answer)


@dataclass(frozen=True)
class DayPlan:
    """All drives of a day or several with their routes, before it is drawn which cars are electric.

    Attributes
    ----------
    legs
        Index ``vehicle``; the columns of `drives.Leg`, ``edges`` of the route (empty without one), ``origin`` and
        ``destination`` (a site, "outside", or empty for visitors and through traffic), ``outside_km``.
    owners
        Cars of residents, also those that do not drive on these days; empty: those that do.
    answer
        What travellers of all modes do, if demand answers by mode.
    kinds
        Kind of others' vehicles, by car; empty: all are cars.
    ways
        Edges of routes that many vehicles of the through traffic share: these get a file of their own.
    """

    legs: pd.DataFrame
    owners: Sequence[str] = ()
    answer: Answer | None = None
    kinds: Mapping[str, str] = field(default_factory=dict)
    ways: tuple[str, ...] = ()

    @property
    def lost(self) -> list[str]:
        """Drives without a route."""
        return [str(label) for label in self.legs.index[self.legs["edges"] == ""]]

    def electric(self, seed: int, ev_share: float) -> set[str]:
        """Return the electric cars: a share of the residents', and of those of others."""
        driving = {car for car in set(self.legs["car"]) if self.kinds.get(car, CAR) == CAR}
        residents = set(self.owners) or {car for car in driving if car.endswith(_CAR)}
        found: set[str] = set()
        for cars in (sorted(residents), sorted(driving - residents)):
            found.update(itertools.compress(cars, quota(seed, "electric car", cars, ev_share)))
        return found

    def demand(self, folder: Path, seed: int, ev_share: float) -> Demand:
        """Write vehicles with a route and their types into a folder.

        Parameters
        ----------
        folder
            Where the files go.
        seed
            Seed of the cars.
        ev_share
            Share of the cars that are electric, see `electric`.
        """
        rows = self.legs[self.legs["edges"] != ""]
        legs = [Leg(str(row.Index), *(getattr(row, name) for name in _LEG_COLUMNS)) for row in rows.itertuples()]
        types = vehicle_types(sorted(set(self.kinds.values())))
        cars = make_cars(
            dict.fromkeys(leg.car for leg in legs), seed, self.electric(seed, ev_share), types, self.kinds or None
        )
        for leg in legs:
            leg.charge_wh = cars[leg.car].charge_wh
        routes = {str(label): list(map(sys.intern, edges.split())) for label, edges in rows["edges"].items()}
        names = {way: f"way{k}" for k, way in enumerate(self.ways)}
        vehicles = compose_vehicles(legs, cars, routes, names)
        xml, named = vehicles.pop("xml"), vehicles.pop("named")
        written = [write_xml(folder / "cars.rou.xml", "routes", xml[~named])]
        if names:
            ways = [f'<route id="{name}" edges="{way}"/>' for way, name in names.items()]
            written.append(write_xml(folder / "through.rou.xml", "routes", [*ways, *xml[named]]))
        added = write_xml(folder / "types.add.xml", "additional", types["xml"])
        about = rows[["origin", "destination", "outside_km"]].reindex(vehicles.index)
        return Demand(written, [added], vehicles.join(about))


_CAR = ".car"
_LEG_COLUMNS = ("car", "purpose", "depart_s", "start", "start_m", "end", "end_m")


def plan_day(
    net: Path,
    sites: pd.DataFrame,
    folder: Path,
    seed: int = 0,
    *,
    habits: Habits | None = None,
    visitor_trips_per_person: float = 0.0,
    through_trips_per_person: float = 0.0,
    iterations: int = 0,
    border: tuple[Mapping[str, float], Mapping[str, float]] | None = None,
    days: Sequence[dt.date] | Sequence[int] = (0,),
    zone: str = "UTC",
    assigned: bool = False,
    others: Others | None = None,
    changes: TravelChanges | None = None,
) -> DayPlan:
    """Return all drives of a day or several with their routes.

    See `city_demand` for the parameters. With ``assigned``, and without ``iterations``, routes are those of
    `assigned_routes`, for networks of any size. Those who drive in the base case are the same, with the same routes,
    whether demand answers or not.

    Raises
    ------
    CosimError
        If a site stands at no street for cars, or the network does not carry the day.
    """
    folder.mkdir(parents=True, exist_ok=True)
    owners = _owned_cars(sites, seed, habits)
    others = others or Others()
    day = CarDay(net, sites, seed, border, others.by_hour)
    rates = {"visit": visitor_trips_per_person, "through": through_trips_per_person}
    legs, tables, everybody = [], [], []
    for date in days:
        chains = activity_chains(sites, seed, habits, day=date)
        found, places = _resident_legs(day, chains[chains["mode"] == "car"])
        for purpose, rate in rates.items():
            found += others.legs(purpose, day, rate, date)
        _count_from(days[0], date, found, zone)
        legs += found
        tables.append(places)
        if changes is not None:
            everybody.append(everybody_of(day, chains, habits or Habits(), rates, date, days[0], zone, others))
    legs = others.within(legs)
    kinds = others.kinds(legs, seed)
    routes = others.routes(legs)
    trips = leg_trips([leg for leg in legs if leg.vehicle not in routes])
    if iterations:
        routes |= equilibrium_routes(net, trips, folder, seed, iterations=iterations)
    else:
        routes |= (assigned_routes if assigned else shortest_routes)(net, trips, folder, seed)
    answered = None
    if changes is not None and changes != TravelChanges():
        travellers = join_travellers(everybody)
        possible = [leg for legs in travellers.legs.values() for leg in legs]
        routes |= others.routes(possible)
        new = leg_trips([leg for leg in possible if leg.vehicle not in routes])
        routes = {**routes, **shortest_routes(net, new, folder, seed)}
        firm = [leg for leg in legs if kinds.get(leg.car, CAR) != CAR]
        answered = answer(travellers, routes, net, changes, folder / "answers", seed, background=firm)
        legs = others.within(travellers.driving(answered.tours["mode"].tolist())) + firm
        tables = [travellers.places]
    elif everybody:
        answered = unchanged(join_travellers(everybody))
    table = pd.DataFrame(
        [[getattr(leg, name) for name in _LEG_COLUMNS] for leg in legs],
        columns=list(_LEG_COLUMNS),
        index=pd.Index([leg.vehicle for leg in legs], name="vehicle"),
    )
    table["edges"] = [" ".join(routes.get(leg.vehicle, ())) for leg in legs]
    about = _joined(tables).reindex(table.index)
    for column in ("origin", "destination"):
        table[column] = about[column].where(about[column].notna(), "")
    table["outside_km"] = about["outside_km"].astype(float).fillna(0.0)
    ways = tuple(dict.fromkeys(way for way in others.flows["edges"] if way))
    return DayPlan(table, owners, answered, kinds, ways)


def everybody_of(
    day: CarDay,
    chains: pd.DataFrame,
    habits: Habits,
    rates: Mapping[str, float],
    date: dt.date | int,
    first: dt.date | int,
    zone: str,
    others: Others | None = None,
) -> Travellers:
    """Return residents, visitors and through traffic of a day, of all modes, with their drives as if all drove.

    Vans, lorries, taxis, motorcycles and buses keep driving and are left out.
    """
    others = others or Others()
    owners = pd.Index(chains["person"].unique())
    owners = owners[has_car([str(person) for person in owners], day.seed, habits)]
    legs, places = _resident_legs(day, chains[chains["person"].isin(owners)])
    found = [residents(chains, legs, places, day.seed, habits, date)]
    for purpose, rate in rates.items():
        draw = functools.partial(others.cars, purpose, day, rate, date)
        found.append(outsiders(purpose, draw, habits, day.seed))
    for travellers in found:
        _count_from(first, date, [leg for legs in travellers.legs.values() for leg in legs], zone)
    return join_travellers(found)


def _joined(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """Return the tables as one; empty ones would change the types of columns."""
    return pd.concat([table for table in tables if len(table)] or tables[:1])


def _owned_cars(sites: pd.DataFrame, seed: int, habits: Habits | None) -> list[str]:
    people = [str(label) for label in persons(sites).index]
    return [f"{person}{_CAR}" for person in itertools.compress(people, has_car(people, seed, habits))]


def _drives_before(
    net: Path,
    sites: pd.DataFrame,
    folder: Path,
    seed: int,
    habits: Habits,
    electric: set[str],
    first: dt.date | int,
    zone: str,
    settle_days: int,
) -> pd.DataFrame:
    """Return the drives of the residents' electric cars on the days before the first one."""
    drivers = {car.removesuffix(_CAR) for car in electric if car.endswith(_CAR)}
    if not drivers:
        return pd.DataFrame()
    legs, tables, day = [], [], CarDay(net, sites, seed)
    for date in [_shifted(first, -k) for k in range(settle_days, 0, -1)]:
        chains = activity_chains(sites, seed, habits, day=date, among=drivers)
        found, table = _resident_legs(day, chains[chains["mode"] == "car"])
        _count_from(first, date, found, zone)
        legs += found
        tables.append(table)
    if not legs:
        return pd.DataFrame()
    cars = make_cars(dict.fromkeys(leg.car for leg in legs), seed, electric, vehicle_types())
    for leg in legs:
        leg.charge_wh = cars[leg.car].charge_wh
    # duarouter knows no time before 0; the shortest way is the same at any time.
    routes = shortest_routes(net, leg_trips(legs).assign(depart_s=0.0), folder, seed)
    before = compose_vehicles([leg for leg in legs if leg.vehicle in routes], cars, routes)
    return before.drop(columns=["xml", "named"]).join(_joined(tables))


def _shifted(day: dt.date | int, by: int) -> dt.date | int:
    return day + by if isinstance(day, int) else day + dt.timedelta(by)


def _count_from(first: dt.date | int, day: dt.date | int, legs: list[Leg], zone: str) -> None:
    """Count departures of a day from the midnight of the first one on, in elapsed time.

    A civil time that summer time skips comes an hour later, one that occurs twice the first time.
    """
    if isinstance(day, int) or isinstance(first, int):
        for leg in legs:
            leg.depart_s += (day - first) * DAY_S  # type: ignore[operator]
        return
    there = ZoneInfo(zone)
    begin = dt.datetime.combine(first, dt.time(), there).astimezone(dt.UTC)
    midnight = dt.datetime.combine(day, dt.time())
    for leg in legs:
        moment = (midnight + dt.timedelta(seconds=leg.depart_s)).replace(tzinfo=there)
        leg.depart_s = (moment.astimezone(dt.UTC) - begin).total_seconds()


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
        car, home = f"{trip.person}{_CAR}", trip.person.rsplit(".p", 1)[0]
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
        legs.append(Leg(str(trip.Index), car, "home", float(trip.depart_s), *start, *end))
        outside_km = trip.outside_km if OUTSIDE in (origin, goal) else 0.0
        last[car] = len(rows)
        rows.append([str(trip.Index), origin, goal, outside_km + beyond_km.pop(car, 0.0)])
    table = pd.DataFrame(rows, columns=["vehicle", "origin", "destination", "outside_km"]).set_index("vehicle")
    return legs, table


def _door(day: CarDay, site: int) -> tuple[str, float]:
    return day.edge[site], day.position[site]
