"""Demand of a city's days: what residents drive, trip by trip with their own cars, and others beside them.

The chains of `population` become drives on the network's edges: to places inside, or to the border and from there on
to places outside, which the traffic does not simulate. A car keeps its battery over the days: the drives of one car
follow each other, and each begins where the one before has ended. Every day is drawn with its own key.
"""

from __future__ import annotations

import datetime as dt
import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from cosim.core import CosimError
from cosim.core.quantities import DAY_S
from cosim.scenarios.built import built_once, files_built_once
from cosim.scenarios.mobility.answers import answer, unchanged
from cosim.scenarios.mobility.cars import make_cars, vehicle_types
from cosim.scenarios.mobility.costs import TravelChanges
from cosim.scenarios.mobility.drives import (
    DRIVE_COLUMNS,
    OF_RESIDENT,
    CarDay,
    DayPlan,
    Demand,
    by_departure,
    compose_vehicles,
    drives_table,
)
from cosim.scenarios.mobility.population import Habits, activity_chains, has_car, persons
from cosim.scenarios.mobility.routing import assigned_routes, equilibrium_routes, lengths_of, shortest_ways
from cosim.scenarios.mobility.through import Others, is_car
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
    given: dict[str, Any] = {
        "habits": habits,
        "visitor_trips_per_person": visitor_trips_per_person,
        "through_trips_per_person": through_trips_per_person,
        "iterations": iterations,
        "border": border,
        "days": days,
        "zone": zone,
        "others": others,
    }
    place = {"net": net, "sites": sites.drop(columns="footprint", errors="ignore"), "seed": seed}

    def drives() -> pd.DataFrame:
        planned = plan_day(net, sites, folder, seed, **given)
        return planned.legs.assign(kind=[planned.kinds.get(car, "") for car in planned.legs["car"]])

    def planned() -> DayPlan:
        if changes is not None:
            return plan_day(net, sites, folder, seed, **given, changes=changes)
        legs = built_once("drives of days", place | given, drives)
        kinds = {car: kind for car, kind in zip(legs["car"], legs.pop("kind")) if kind}
        return DayPlan(legs, _owned_cars(sites, seed, habits), kinds=kinds, ways=(others or Others()).ways)

    history: dict[str, Any] = {
        "habits": habits or Habits(),
        "ev_share": ev_share,
        "first": days[0],
        "zone": zone,
        "settle_days": settle_days,
    }

    def earlier() -> pd.DataFrame:
        return _drives_before(net, sites, folder, seed, **history)

    demand = _demand_of(planned, place | given if changes is None else None, net, folder, seed, ev_share)
    before = built_once("drives before", place | history, earlier)
    return replace(demand, before=before if len(before) else pd.DataFrame())


def _demand_of(
    planned: Callable[[], DayPlan], given: Mapping[str, Any] | None, net: Path, folder: Path, seed: int, ev_share: float
) -> Demand:
    """Return the demand of drives, which are planned if they have not been for what is given (None: in any case)."""
    folder.mkdir(parents=True, exist_ok=True)
    made: list[Demand] = []

    def make() -> Demand:
        if not made:
            day = planned()
            if lost := day.lost:
                raise CosimError(f"{lost[0]!r} (and {len(lost) - 1} more) found no way through {net}")
            made.append(replace(day.demand(folder, net, seed, ev_share), answer=day.answer))
        return made[0]

    if given is None:
        return make()
    given = {**given, "ev_share": ev_share}
    vehicles = built_once("vehicles of days", given, lambda: make().vehicles)
    through = ["through.rou.xml"] if given["others"] is not None and given["others"].ways else []
    names = ["cars.rou.xml", *through, "types.add.xml"]
    *routes, types = files_built_once("files of days", given, folder, names, make)
    return Demand(routes, [types], vehicles)


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
    cars_per_drive: float | None = None,
    others: Others | None = None,
    changes: TravelChanges | None = None,
) -> DayPlan:
    """Return all drives of a day or several with their routes.

    See `city_demand` for the parameters. With ``cars_per_drive``, and without ``iterations``, routes are
    those of `assigned_routes`, for networks of any size. Those who drive in the base case are the same, with the same
    routes, whether demand answers or not.

    Raises
    ------
    CosimError
        If a site stands at no street for cars, or the network does not carry the day.
    """
    folder.mkdir(parents=True, exist_ok=True)
    owners = _owned_cars(sites, seed, habits)
    others = others or Others()
    near = (habits or Habits()).surroundings is not None
    day = CarDay(net, sites, seed, border, others.by_hour, near)
    rates = {"visit": visitor_trips_per_person, "through": through_trips_per_person}
    drives, tables, everybody = [], [], []
    wanted = None if changes is not None else ("car",)
    for date in days:
        chains = activity_chains(sites, seed, habits, day=date, modes=wanted)
        found, places = _resident_drives(day, chains[chains["mode"] == "car"])
        others_drives = [others.legs(purpose, day, rate, date) for purpose, rate in rates.items()]
        drives.append(_counted_from(days[0], date, pd.concat([found, *others_drives]), zone))
        tables.append(places)
        if changes is not None:
            everybody.append(everybody_of(day, chains, habits or Habits(), rates, date, days[0], zone, others))
        del chains  # of all modes if demand answers: 50 MB for a town, while routes are found
    table = others.within(pd.concat(drives))
    del drives
    kinds = others.kinds(table, seed)
    routes = others.routes(table)
    trips = table[~table.index.isin(routes)]
    if iterations:
        routes |= _as_ways(equilibrium_routes(net, trips, folder, seed, iterations=iterations))
    elif cars_per_drive is None:
        routes |= shortest_ways(net, trips, folder, seed)
    else:
        routes |= _as_ways(assigned_routes(net, trips, folder, seed, cars_per_trip=cars_per_drive))
    answered = None
    if changes is not None and changes != TravelChanges():
        travellers = join_travellers(everybody)
        possible = travellers.drives
        routes |= others.routes(possible)
        routes |= shortest_ways(net, possible[~possible.index.isin(routes)], folder, seed)
        firm = table[~is_car(table, kinds)]
        edges = {label: way.split() for label, way in routes.items()}
        answered = answer(travellers, edges, net, changes, folder / "answers", seed, background=firm)
        driving = travellers.driving(answered.tours["mode"].to_numpy())
        shift = driving.index.map(answered.shifts).to_numpy(float)
        driving = driving.assign(depart_s=driving["depart_s"] + np.nan_to_num(shift))
        table = pd.concat([others.within(driving)[list(DRIVE_COLUMNS)], firm])
        tables = [travellers.places]
    elif everybody:
        answered = unchanged(join_travellers(everybody))
    table = table.assign(edges=[routes.get(label, "") for label in table.index])
    about = _joined(tables).reindex(table.index)
    for column in ("origin", "destination"):
        table[column] = about[column].where(about[column].notna(), "")
    table["outside_km"] = about["outside_km"].astype(float).fillna(0.0)
    return DayPlan(table, owners, answer=answered, kinds=kinds, ways=others.ways)


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
    drives, places = _resident_drives(day, chains[chains["person"].isin(owners)])
    found = [residents(chains, drives, places, day.seed, habits, date)]
    for purpose, rate in rates.items():
        draw = functools.partial(others.cars, purpose, day, rate, date)
        found.append(outsiders(purpose, draw, habits, day.seed))
    return join_travellers([replace(each, drives=_counted_from(first, date, each.drives, zone)) for each in found])


def _as_ways(routes: Mapping[str, Sequence[str]]) -> dict[str, str]:
    return {label: " ".join(edges) for label, edges in routes.items()}


def _joined(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """Return the tables as one; empty ones would change the types of columns."""
    return pd.concat([table for table in tables if len(table)] or tables[:1])


def _owned_cars(sites: pd.DataFrame, seed: int, habits: Habits | None) -> list[str]:
    people = [str(label) for label in persons(sites).index]
    return [f"{person}{OF_RESIDENT}" for person in itertools.compress(people, has_car(people, seed, habits))]


def _drives_before(
    net: Path,
    sites: pd.DataFrame,
    folder: Path,
    seed: int,
    habits: Habits,
    ev_share: float,
    first: dt.date | int,
    zone: str,
    settle_days: int,
) -> pd.DataFrame:
    """Return the drives of the residents with electric cars on the days before the first one."""
    owned = _owned_cars(sites, seed, habits)
    electric = DayPlan(pd.DataFrame(columns=DRIVE_COLUMNS), owned).electric(seed, ev_share)
    if not electric:
        return pd.DataFrame()
    drivers = {car.removesuffix(OF_RESIDENT) for car in electric}
    drives, tables, day = [], [], CarDay(net, sites, seed, near=habits.surroundings is not None)
    for date in [_shifted(first, -k) for k in range(settle_days, 0, -1)]:
        chains = activity_chains(sites, seed, habits, day=date, among=drivers, modes=("car",))
        found, table = _resident_drives(day, chains)
        drives.append(_counted_from(first, date, found, zone))
        tables.append(table)
    every = pd.concat(drives)
    if not len(every):
        return pd.DataFrame()
    rows = by_departure(every.assign(inside_m=lengths_of(net, every, folder, seed)).dropna(subset="inside_m"))
    number, labels = pd.factorize(rows["car"])
    cars = make_cars(labels, seed, electric, vehicle_types()).iloc[number]
    return compose_vehicles(rows, cars).assign(inside_m=rows["inside_m"].to_numpy()).join(_joined(tables))


def _shifted(day: dt.date | int, by: int) -> dt.date | int:
    return day + by if isinstance(day, int) else day + dt.timedelta(by)


def _counted_from(first: dt.date | int, day: dt.date | int, drives: pd.DataFrame, zone: str) -> pd.DataFrame:
    """Return drives of a day with their departures from the midnight of the first one on, in elapsed time.

    A civil time that summer time skips comes an hour later, one that occurs twice the first time.
    """
    depart_s = drives["depart_s"]
    if isinstance(day, int) or isinstance(first, int):
        return drives.assign(depart_s=depart_s + (day - first) * DAY_S)  # type: ignore[operator]
    there = ZoneInfo(zone)
    begin = dt.datetime.combine(first, dt.time(), there).astimezone(dt.UTC)
    midnight = dt.datetime.combine(day, dt.time())
    ends = midnight + dt.timedelta(2)
    if midnight.replace(tzinfo=there).utcoffset() == ends.replace(tzinfo=there).utcoffset():
        shift_s = (midnight.replace(tzinfo=there).astimezone(dt.UTC) - begin).total_seconds()
        return drives.assign(depart_s=depart_s + shift_s)
    moments = [(midnight + dt.timedelta(seconds=s)).replace(tzinfo=there) for s in depart_s.tolist()]
    return drives.assign(depart_s=[(moment.astimezone(dt.UTC) - begin).total_seconds() for moment in moments])


def _resident_drives(day: CarDay, trips: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the drives of residents, and from where to where each goes.

    Parameters
    ----------
    day
        The network's doors and gates.
    trips
        As of `activity_chains`: those of a person follow each other.

    Returns
    -------
    The drives, with `DRIVE_COLUMNS`; ``origin``, ``destination`` and ``outside_km`` of each. Ways along one street
    are made on foot, the car staying where it is; a car next door to its home counts as at home. Ways outside belong
    to the drive that leads back.
    """
    tour, tours = pd.factorize(trips["tour"])
    person, people = pd.factorize(trips["person"])
    site = pd.Index(day.sites)
    street = np.append(pd.factorize(np.array(day.edge, object))[0], -1)
    home = site.get_indexer([who.rsplit(".p", 1)[0] for who in people])
    begun = home[person[np.unique(tour, return_index=True)[1]]]
    leaving = day.pick("tour exit", tours.tolist(), day.exits, begun)
    coming = day.pick("tour entry", tours.tolist(), day.entries, begun)
    goal = site.get_indexer(trips["destination"])  # beyond the border: -1
    far_km = trips["outside_km"].to_numpy(float)
    at, last, beyond_km = home.copy(), np.full(len(people), -1), np.zeros(len(people))
    drives, km = np.zeros(len(trips), bool), np.zeros(len(trips))
    left, door, reached = np.zeros((3, len(trips)), np.int64)
    begins = np.searchsorted(person, np.arange(len(people)))
    numbers = np.diff(begins, append=len(trips))
    for k in range(numbers.max(initial=0)):
        who = np.flatnonzero(numbers > k)
        row = begins[who] + k
        origin, to = at[who], goal[row]
        next_door = (origin >= 0) & (to >= 0) & (street[origin] == street[to])
        back = who[next_door & (to == home[who]) & (last[who] >= 0)]
        at[back] = reached[last[back]] = home[back]
        outside = (origin < 0) & (to < 0)
        beyond_km[who[outside]] += far_km[row[outside]]
        moves = ~next_door & ~outside
        who, row, origin, to = who[moves], row[moves], origin[moves], to[moves]
        drives[row], left[row], door[row], reached[row], at[who], last[who] = True, origin, to, to, to, row
        km[row] = np.where((origin < 0) | (to < 0), far_km[row], 0.0) + beyond_km[who]
        beyond_km[who] = 0.0
    made = np.flatnonzero(drives)
    edge, position = np.append(np.array(day.edge, object), ""), np.append(day.position, np.nan)
    names = np.append(np.array(day.sites, object), OUTSIDE)
    left, door, reached, tour = left[made], door[made], reached[made], tour[made]
    labels = trips.index.to_numpy()[made]
    table = drives_table(
        labels,
        np.array([f"{who}{OF_RESIDENT}" for who in people], object)[person[made]],
        "home",
        trips["depart_s"].to_numpy(float)[made],
        (np.where(left < 0, coming[tour], edge[left]), position[left]),
        (np.where(door < 0, leaving[tour], edge[door]), position[door]),
    )
    about = {"origin": names[left], "destination": names[reached], "outside_km": km[made]}
    return table, pd.DataFrame(about, index=table.index)
