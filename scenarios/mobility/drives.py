"""Drives of cars over a day: departures, ways of visitors and through traffic, and what SUMO inserts.

A visitor's car makes one tour between the border of the network and a building; through traffic crosses the network
once. Every property of a car is keyed by its label, and SUMO's duarouter disturbs edge weights by vehicle too: more
electric cars leave the trips, times and routes of all cars exactly as they were.
"""

from __future__ import annotations

import datetime as dt
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from cosim.core import CosimError
from cosim.core.quantities import Indices, Vector
from cosim.core.random import quota, uniform
from cosim.scenarios.mobility.cars import make_cars, vehicle_types
from cosim.scenarios.mobility.choice import Answer
from cosim.scenarios.mobility.gravity import Gravity
from cosim.scenarios.mobility.kinds import CAR
from cosim.scenarios.mobility.population import SUNDAY_BY_HOUR, WEEKEND_TRIPS, is_weekend
from cosim.scenarios.mobility.routing import attribute, door_position, gates, write_xml
from cosim.scenarios.streets.network import drivable, read_net, way_lengths

HOURLY_SHARE = (
    0.8, 0.5, 0.4, 0.3, 0.4, 1.2, 4.5, 7.4, 6.6, 5.2, 5.0, 5.0,
    5.2, 5.3, 5.6, 6.7, 8.4, 8.6, 7.4, 5.0, 3.9, 3.0, 2.1, 1.6,
)  # fmt: skip
"""Share of the day's cars by hour of departure, Tuesday to Thursday, streets at the border of an inner city
("TGw2_PKW") [1]_, p. 95, as reproduced in SUMO's documentation, "Importing O/D Matrices". [%] That
Barcelona's day is like that of West German cities is an assumption.

.. [1] G. Schmidt, B. Thomas: Hochrechnungsfaktoren für manuelle und automatische Kurzzeitzählungen im
   Innerortsbereich. Forschung Straßenbau und Straßenverkehrstechnik 732, Bonn-Bad Godesberg, 1996.
"""

BOLOGNA_BY_HOUR = (
    1.1, 0.5, 0.2, 0.2, 0.3, 0.8, 2.1, 6.6, 7.7, 6.4, 5.4, 5.5,
    5.6, 5.7, 6.0, 5.8, 6.7, 7.3, 7.4, 6.6, 4.8, 2.8, 2.3, 2.2,
)  # fmt: skip
"""Share of a working day's traffic by hour in Bologna, Tuesdays to Thursdays of February 2024 [2]_. [%] For Barcelona
none by the hour is published, its open counts being daily means: that its day is like Bologna's is an assumption.

.. [2] Comune di Bologna, open data "Rilevazione flusso veicoli tramite spire", 58 edges, own means.
"""

_LEAST_STAY_S = 1_800.0
OF_RESIDENT = ".car"
"""Ending of the names of residents' cars, after that of the person."""


@dataclass(frozen=True)
class Demand:
    """One day of traffic or several: the files to run and what is in them."""

    routes: list[Path]
    """Route files of SUMO."""
    additional: list[Path]
    """Additional files of SUMO: vehicle types."""
    vehicles: pd.DataFrame
    """One row per vehicle that SUMO inserts, index ``vehicle``: ``car``, ``purpose`` (``home``, ``visit``,
    ``through``), ``type``, ``electric``, ``depart_s``, ``charge_wh`` at departure (NaN for combustion engines),
    ``inside_m``, the length of the route in the network of residents' electric cars, else NaN."""
    before: pd.DataFrame = field(default_factory=pd.DataFrame)
    """Drives of the residents' electric cars on the days before, with the same columns; ``depart_s`` is negative."""
    answer: Answer | None = None
    """What travellers of all modes do, if demand answers by mode."""


def departures(seed: int, purpose: str, labels: list[str], by_hour: Sequence[float]) -> Vector:
    """Draw one time of the day per label from an hourly profile, shape (n_labels,). [s]"""
    share = np.concatenate([[0.0], np.cumsum(by_hour)])
    times: Vector = np.interp(uniform(seed, purpose, labels), share / share[-1], np.arange(25) * 3600.0)
    return times


Names: TypeAlias = npt.NDArray[np.object_]

DRIVE_COLUMNS = ("car", "purpose", "depart_s", "start", "start_m", "end", "end_m")
"""Columns of a table of drives, index ``vehicle``; positions along edges [m] are NaN at the border of the network."""


def drives_table(
    vehicles: Sequence[str],
    cars: Sequence[str],
    purpose: str,
    depart_s: npt.ArrayLike,
    start: tuple[npt.ArrayLike, npt.ArrayLike],
    end: tuple[npt.ArrayLike, npt.ArrayLike],
) -> pd.DataFrame:
    """Return drives, one per vehicle, as a table with `DRIVE_COLUMNS`.

    Parameters
    ----------
    vehicles, cars
        Names of the drives and of their cars, shape (n_drives,).
    purpose
        ``home``, ``visit`` or ``through``.
    depart_s : shape (n_drives,)
        Departures. [s]
    start, end
        Edges and positions along them [m], shape (n_drives,) or one for all.
    """
    columns: dict[str, Any] = {"car": np.array(cars, object), "purpose": purpose}
    columns["depart_s"] = np.asarray(depart_s, float)
    for name, (edges, metres) in (("start", start), ("end", end)):
        columns |= {name: np.array(edges, object), f"{name}_m": np.asarray(metres, float)}
    found = pd.DataFrame(columns, index=pd.Index(np.array(vehicles, object), name="vehicle"))
    return found.astype({"purpose": object})


class CarDay:
    """Doors and gates of a network, and the drives of visitors and through traffic between them.

    Parameters
    ----------
    net, sites, seed
        As in `resident_cars.city_demand`. Visitors go where people work if ``sites`` has ``work_weight``, else where
        they live.
    border
        Edges that lead in and out, with their relative traffic; by default those of `gates`, with equal traffic.
    by_hour
        Share of a working day's departures of others by hour.
    near
        Whether the gates near a place are taken rather than those far from it.
    """

    def __init__(
        self,
        net: Path,
        sites: pd.DataFrame,
        seed: int,
        border: tuple[Mapping[str, float], Mapping[str, float]] | None = None,
        by_hour: Sequence[float] = HOURLY_SHARE,
        near: bool = False,
    ) -> None:
        network = read_net(net)
        edges = drivable(network)
        self.seed, self.by_hour = seed, by_hour
        self.sites = [str(label) for label in sites.index]
        self.persons = sites["persons"].to_numpy(float)
        self.visitors = self.persons
        if "work_weight" in sites:
            weight = sites["work_weight"].to_numpy(float)
            self.visitors = self.persons.sum() * weight / max(weight.sum(), 1e-12)
        self.edge = [str(label) for label in sites["edge"]]
        if lost := sorted(set(self.edge) - {edge.getID() for edge in edges}):
            raise CosimError(f"sites stand at edge {lost[0]!r}, which cars cannot use in {net}: match them anew")
        places = sites[["x", "y"]].to_numpy(float)
        self._gravity = Gravity(places) if near and len(places) else None
        self.position = [
            door_position(network.getEdge(edge), *place) for edge, place in zip(self.edge, places, strict=True)
        ]
        self.weight: dict[str, float] = {}
        if border is None:
            self.entries, self.exits = gates(network)
        else:
            entries, exits = border
            self.entries = {e: tuple(network.getEdge(e).getFromNode().getCoord()[:2]) for e in entries}
            self.exits = {e: tuple(network.getEdge(e).getToNode().getCoord()[:2]) for e in exits}
            self.weight = {**exits, **entries}

    def visits(self, trips_per_person: float, day: int | dt.date = 0) -> pd.DataFrame:
        """Draw tours of one car each from the border to a building and back, two drives a tour.

        Both departures are draws from the hourly profile, the earlier one first, so that all drives together
        follow the profile and the stay is what lies between.
        """
        factor, by_hour, suffix = self._traffic_of(day)
        count = self.visitors * trips_per_person * factor / 2
        draw = uniform(self.seed, "visit cars", [f"{site}{suffix}" for site in self.sites])
        number = np.floor(count).astype(int) + (draw < count % 1)
        goal = np.repeat(np.arange(len(self.sites)), number)
        cars = [f"visit.{self.sites[i]}.{k}{suffix}" for i, many in enumerate(number) for k in range(many)]
        first, last = np.zeros(len(cars)), np.zeros(len(cars))
        for attempt in range(12):
            short = last - first < _LEAST_STAY_S
            a, b = (departures(self.seed, f"visit {which} {attempt}", cars, by_hour) for which in ("one", "two"))
            first[short], last[short] = np.minimum(a, b)[short], np.maximum(a, b)[short]
        edge, position = np.array(self.edge, object), np.array(self.position, float)
        doors, border = (edge[goal], position[goal]), math.nan
        out = drives_table(
            [f"{car}.out" for car in cars],
            cars,
            "visit",
            np.rint(last),
            doors,
            (self.pick("visit exit", cars, self.exits, goal), border),
        )
        into = drives_table(
            [f"{car}.in" for car in cars],
            cars,
            "visit",
            np.rint(first),
            (self.pick("visit entry", cars, self.entries, goal), border),
            doors,
        )
        return pd.concat([out, into]).iloc[np.arange(2 * len(cars)).reshape(2, -1).T.ravel()]

    def crossings(self, trips_per_person: float, day: int | dt.date = 0) -> pd.DataFrame:
        """Draw trips from one side of the network to another."""
        factor, by_hour, suffix = self._traffic_of(day)
        cars = [f"through.{k}{suffix}" for k in range(round(float(self.persons.sum()) * trips_per_person * factor))]
        entry = self.pick("through entry", cars, self.entries)
        draw = uniform(self.seed, "through exit", cars)
        time = departures(self.seed, "through", cars, by_hour)
        goal = np.empty(len(cars), object)
        for label, start in self.entries.items():
            here = np.flatnonzero(entry == label)
            if not len(here):
                continue
            away = {name: math.dist(start, end) for name, end in self.exits.items()}
            far = [name for name, metres in away.items() if metres >= 0.6 * max(away.values())]
            goal[here] = self._drawn(far, draw[here])
        return drives_table(cars, cars, "through", np.rint(time), (entry, math.nan), (goal, math.nan))

    def flows(
        self, flows: pd.DataFrame, day: int | dt.date = 0, between_s: tuple[float, float] = (0.0, math.inf)
    ) -> pd.DataFrame:
        """Draw trips across the network for flows with given numbers.

        Parameters
        ----------
        flows
            Columns ``entry`` and ``exit`` (edges), and ``per_day``, vehicles of a working day.
        day
            Date or number of the day.
        between_s
            Times of the day between which they depart; others are drawn too, but left out. [s]
        """
        factor, by_hour, suffix = self._traffic_of(day)
        names = [f"through.{entry}.{goal}" for entry, goal in zip(flows["entry"], flows["exit"], strict=True)]
        count = flows["per_day"].to_numpy(float) * factor
        draw = uniform(self.seed, "through vehicles", [f"{name}{suffix}" for name in names])
        number = np.floor(count).astype(int) + (draw < count % 1)
        cars = [f"{name}.{k}{suffix}" for name, many in zip(names, number, strict=True) for k in range(many)]
        time = departures(self.seed, "through", cars, by_hour).round()
        inside = np.flatnonzero((time >= between_s[0]) & (time <= between_s[1]))
        which = np.repeat(np.arange(len(flows)), number)[inside]
        entry, leave = (flows[name].to_numpy(object)[which] for name in ("entry", "exit"))
        cars = [cars[k] for k in inside.tolist()]
        return drives_table(cars, cars, "through", time[inside], (entry, math.nan), (leave, math.nan))

    def _traffic_of(self, day: int | dt.date) -> tuple[float, Sequence[float], str]:
        """Return the traffic of a day over that of a working day, its hourly profile, and a suffix for its labels."""
        suffix = "" if day == 0 else f".{day}"
        if isinstance(day, int) or not is_weekend(day):
            return 1.0, self.by_hour, suffix
        return WEEKEND_TRIPS[day.weekday()], SUNDAY_BY_HOUR, suffix

    def pick(
        self,
        purpose: str,
        cars: list[str],
        gates: Mapping[str, tuple[float, float]],
        place: Indices | None = None,
    ) -> Names:
        """Draw a gate for each car, in proportion to the traffic of its street where that is known.

        In a large city it is also one near the car's place inside, given as row of the sites.
        """
        drawn, names = uniform(self.seed, purpose, cars), list(gates)
        if self._gravity is None or place is None:
            return self._drawn(names, drawn)
        weight = np.array([self.weight.get(name, 1.0) for name in names])
        number = self._gravity.choose_gates(place, drawn, np.array(list(gates.values())), weight)
        chosen: Names = np.array(names, object)[number]
        return chosen

    def _drawn(self, names: list[str], draw: Vector) -> Names:
        number = (draw * len(names)).astype(int)
        if self.weight:
            bounds = np.cumsum([self.weight[name] for name in names])
            number = np.searchsorted(bounds, draw * bounds[-1], "right").clip(max=len(names) - 1)
        drawn: Names = np.array(names, object)[number]
        return drawn


def by_departure(legs: pd.DataFrame) -> pd.DataFrame:
    """Return drives by departure and name; they have an index of names and ``depart_s``."""
    depart_s, labels = legs["depart_s"].to_numpy(float), legs.index.tolist()
    order = np.argsort(depart_s, kind="stable")
    first = np.flatnonzero(np.diff(depart_s[order], prepend=np.nan) != 0)
    rows = order.tolist()
    for a, b in pairwise([*first.tolist(), len(rows)]):
        if b - a > 1:
            rows[a:b] = sorted(rows[a:b], key=labels.__getitem__)
    return legs.iloc[rows]


def compose_vehicles(legs: pd.DataFrame, cars: pd.DataFrame) -> pd.DataFrame:
    """Return what SUMO inserts, a vehicle for each drive.

    Parameters
    ----------
    legs
        Index vehicle; columns ``car``, ``purpose``, ``depart_s``.
    cars
        The car of each drive, with the columns of `make_cars`.

    Returns
    -------
    As `Demand.vehicles`, in the order of the drives, without their routes.
    """
    columns = {name: legs[name].to_numpy() for name in ("car", "purpose")}
    columns |= {name: cars[name].to_numpy() for name in ("type", "electric")}
    columns |= {"depart_s": legs["depart_s"].to_numpy(float), "charge_wh": cars["charge_wh"].to_numpy()}
    return pd.DataFrame(columns, index=legs.index.rename("vehicle"))


def vehicle_elements(
    vehicles: pd.DataFrame, legs: pd.DataFrame, cars: pd.DataFrame, named: Mapping[str, str]
) -> tuple[Iterator[str], Iterator[str]]:
    """Return SUMO's elements of vehicles with a route of their own, and of those that take a named one.

    Parameters
    ----------
    vehicles
        As returned by `compose_vehicles`.
    legs, cars
        The drive and the car of each, with `DRIVE_COLUMNS` and ``edges``, and the columns of `make_cars`.
    named
        Names of routes by their edges: through traffic takes the one of its edges, others have a route of their own.
    """
    through = (vehicles["purpose"] == "through").tolist()
    ways = legs["edges"].tolist()
    names = np.array([named.get(way) if is_through else None for way, is_through in zip(ways, through)], object)
    labels = vehicles.index.tolist()
    quoted = list(map(attribute, labels))

    def elements(rows: Indices) -> Iterator[str]:
        columns = (
            *(legs[name].to_numpy(float)[rows].tolist() for name in ("start_m", "end_m")),
            cars["speed_factor"].to_numpy()[rows].tolist(),
            *(vehicles[name].to_numpy()[rows].tolist() for name in ("type", "electric", "depart_s", "charge_wh")),
        )
        for k, name, start_m, end_m, speed, kind, electric, depart_s, charge_wh in zip(
            rows.tolist(), names[rows].tolist(), *columns
        ):
            place = 'departSpeed="max"' if start_m != start_m else f'departPos="{start_m:.2f}" departSpeed="0"'
            charge = f'<param key="device.battery.chargeLevel" value="{charge_wh:.2f}"/>' if electric else ""
            # On a route of a single edge the goal might lie behind: there a car runs to the end of the edge.
            arrive = "" if end_m != end_m or " " not in ways[k] else f' arrivalPos="{end_m:.2f}"'
            follows = f'><route edges="{ways[k]}"/>' if name is None else f' route="{name}">'
            yield (
                f'<vehicle id={quoted[k]} type="{kind}" depart="{depart_s:.0f}" departLane="best" {place}{arrive} '
                f'speedFactor="{speed:.4f}"{follows}{charge}</vehicle>'
            )

    alone = np.array([name is None for name in names.tolist()], bool)
    return elements(np.flatnonzero(alone)), elements(np.flatnonzero(~alone))


@dataclass(frozen=True)
class DayPlan:
    """All drives of a day or several with their routes, before it is drawn which cars are electric.

    Attributes
    ----------
    legs
        Index ``vehicle``; `DRIVE_COLUMNS`, ``edges`` of the route (empty without one), ``origin`` and
        ``destination`` (a site, "outside", or empty for visitors and through traffic), ``outside_km``.
    owners
        Cars of residents, also those that do not drive on these days; empty: those that do.
    cars
        All cars among which the electric ones are drawn, also those that do not drive; empty: those that do.
    answer
        What travellers of all modes do, if demand answers by mode.
    kinds
        Kind of others' vehicles, by car; empty: all are cars.
    ways
        Edges of routes that many vehicles of the through traffic share: these get a file of their own.
    """

    legs: pd.DataFrame
    owners: Sequence[str] = ()
    cars: Sequence[str] = field(default=(), kw_only=True)
    answer: Answer | None = None
    kinds: Mapping[str, str] = field(default_factory=dict)
    ways: tuple[str, ...] = ()
    _electric: dict[tuple[int, float], set[str]] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def lost(self) -> list[str]:
        """Drives without a route."""
        return [str(label) for label in self.legs.index[self.legs["edges"] == ""]]

    def electric(self, seed: int, ev_share: float) -> set[str]:
        """Return the electric cars: a share of the residents', and of those of others."""
        if (seed, ev_share) in self._electric:
            return self._electric[seed, ev_share]
        driving = dict.fromkeys(self.cars or self.legs["car"])
        residents = dict.fromkeys(self.owners or [car for car in driving if car.endswith(OF_RESIDENT)])
        others = [car for car in driving if car not in residents]
        if self.kinds:
            others = [car for car in others if self.kinds.get(car, CAR) == CAR]
        found: set[str] = set()
        for cars in (list(residents), others):
            found.update(itertools.compress(cars, quota(seed, "electric car", cars, ev_share).tolist()))
        self._electric[seed, ev_share] = found
        return found

    def demand(self, folder: Path, net: Path, seed: int, ev_share: float) -> Demand:
        """Write vehicles with a route and their types into a folder.

        Parameters
        ----------
        folder
            Where the files go.
        net
            The network.
        seed
            Seed of the cars.
        ev_share
            Share of the cars that are electric, see `electric`.
        """
        rows = by_departure(self.legs if not self.lost else self.legs[self.legs["edges"] != ""])
        types = vehicle_types(sorted(set(self.kinds.values())))
        number, labels = pd.factorize(rows["car"])
        cars = make_cars(labels, seed, self.electric(seed, ev_share), types, self.kinds or None).iloc[number]
        vehicles = compose_vehicles(rows, cars)
        names = {way: f"way{k}" for k, way in enumerate(self.ways)}
        alone, through = vehicle_elements(vehicles, rows, cars, names)
        written = [write_xml(folder / "cars.rou.xml", "routes", alone)]
        if names:
            ways = [f'<route id="{name}" edges="{way}"/>' for way, name in names.items()]
            written.append(write_xml(folder / "through.rou.xml", "routes", itertools.chain(ways, through)))
        added = write_xml(folder / "types.add.xml", "additional", types["xml"])
        about = {name: rows[name].to_numpy() for name in ("origin", "destination", "outside_km")}
        inside_m = np.full(len(rows), np.nan)
        electric = np.flatnonzero(vehicles["electric"].to_numpy() & (about["origin"] != ""))
        inside_m[electric] = way_lengths(read_net(net), rows["edges"].iloc[electric])
        return Demand(written, [added], vehicles.assign(**about, inside_m=inside_m))
