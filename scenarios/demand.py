"""Who drives through the district on a working day, when and with what car, and where do cars charge?

The cars of residents and visitors make one tour a day between a building and another place; through traffic
crosses the district once. Every property of a car is keyed by its label, and SUMO's duarouter disturbs edge
weights by vehicle too: more electric cars, or other chargers, leave the trips, times and routes of all other
cars exactly as they were.

An electric car that plugs in reserves a point of a charging station for its whole stay, since SUMO lets a car
that finds a station full wait in the lane. The day is a cycle: who plugs in at eight in the evening and
leaves at seven stands at the station, still charging, at the midnight that the day begins with.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias
from xml.sax.saxutils import quoteattr

import numpy as np
import numpy.typing as npt
import pandas as pd

from cosim.core import CosimError
from cosim.core.random import generator, uniform
from cosim.scenarios.chargers import write_chargers
from cosim.scenarios.demand_cars import ONBOARD_W, Car, make_cars, vehicle_types
from cosim.scenarios.demand_routes import door_position, gates, shortest_routes, write_xml
from cosim.scenarios.streets import drivable, read_net

Vector: TypeAlias = npt.NDArray[np.float64]

DAY_S = 86_400.0
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

_KM = (30.0, 0.5)  # mean and sigma of the lognormal distance of a day. Assumption.
_WH_PER_KM = 150.0  # outside the district. Assumption.
_PERSONS = 25.0  # a building of eleven dwellings. Assumption; 24 of them a block are 34,000 persons a km².
_INNER = 0.15  # share of residents' tours that stay inside the district. Assumption.
_WALK_M = 300.0  # from a public charger. Assumption.
_LEAST_STAY_S = 1_800.0


@dataclass(frozen=True)
class Demand:
    """A day of traffic: the files to run and what is in them."""

    routes: list[Path]
    """Route files of SUMO."""
    additional: list[Path]
    """Additional files of SUMO: vehicle types and charging stations."""
    vehicles: pd.DataFrame
    """One row per vehicle that SUMO inserts, index ``vehicle``: ``car``, ``purpose`` (``home``, ``visit``,
    ``through``), ``type``, ``electric``, ``depart_s``, ``charger`` (empty if it does not charge),
    ``plug_in_s`` (0 if it stands there at the day's beginning), ``plug_out_s`` (beyond 86400 if it stays
    overnight), ``charge_wh`` at departure (NaN for combustion engines), ``edges`` of its route."""


def eixample_demand(
    net: Path,
    sites: pd.DataFrame,
    folder: Path,
    seed: int = 0,
    *,
    chargers: pd.DataFrame | None = None,
    ev_share: float = 0.1,
    trips_per_person: float = 0.35,
    visitor_trips_per_person: float = 0.15,
    through_share: float = 0.4,
    plug_ins_per_week: float = 2.5,
) -> Demand:
    """Write a working day of cars for a district whose streets end at its edge.

    Parameters
    ----------
    net
        The street network, as of `eixample_streets`.
    sites
        Buildings as of `building_sites`; a column ``persons`` replaces the default of 25 residents each.
    folder
        Where the files go; made if absent.
    chargers
        Stations as of `place_chargers`; without them nobody charges.
    ev_share
        Share of the cars that are electric. A larger share keeps the electric cars of a smaller one.
    trips_per_person, visitor_trips_per_person
        Car trips a day that residents make, and that others make to and from the district, per resident.
        Assumptions.
    through_share
        Share of all trips that only cross the district. Assumption.
    plug_ins_per_week
        How often an electric car is plugged in: 2 to 3 times a week in the Electric Nation trial [3]_.

    Raises
    ------
    CosimError
        If a share or rate is out of range, no street leads in or out, or duarouter refuses (with its words).

    References
    ----------
    .. [3] F. Gonzalez Venegas, M. Petit, Y. Perez: Plug-in behavior of electric vehicles users: insights from
    a
       large-scale trial and impacts for grid integration studies. eTransportation 10, 2021.
    """
    for name, value, top in (
        ("ev_share", ev_share, 1.0),
        ("through_share", through_share, 0.95),
        ("plug_ins_per_week", plug_ins_per_week, 7.0),
        ("trips_per_person", trips_per_person, 20.0),
        ("visitor_trips_per_person", visitor_trips_per_person, 20.0),
    ):
        if not 0 <= value <= top:
            raise CosimError(f"{name} is {value}: it must lie between 0 and {top:g}")
    folder.mkdir(parents=True, exist_ok=True)
    types = vehicle_types()
    day = CarDay(net, sites, seed)
    legs = day.tours("home", trips_per_person) + day.tours("visit", visitor_trips_per_person)
    legs += day.crossings((trips_per_person + visitor_trips_per_person) * through_share / (1 - through_share))
    cars = make_cars(list(dict.fromkeys(leg.car for leg in legs)), seed, ev_share, types)
    for leg in legs:
        leg.charge_wh = cars[leg.car].charge_wh
    additional = [folder / "types.add.xml"]
    write_xml(additional[0], "additional", types["xml"])
    if chargers is not None and len(chargers):
        _plug_in(legs, cars, sites, chargers, plug_ins_per_week, seed)
        additional.append(write_chargers(chargers, folder / "chargers.add.xml"))
    vehicles = compose_vehicles(legs, cars, chargers, shortest_routes(net, leg_trips(legs), folder, seed))
    routes = folder / "cars.rou.xml"
    write_xml(routes, "routes", vehicles.pop("xml"))
    return Demand([routes], additional, vehicles)


def departures(seed: int, purpose: str, labels: list[str]) -> Vector:
    """Draw one time of the day per label from the published hourly profile, shape (n_labels,). [s]"""
    share = np.concatenate([[0.0], np.cumsum(HOURLY_SHARE)])
    times: Vector = np.interp(uniform(seed, purpose, labels), share / share[-1], np.arange(25) * 3600.0)
    return times


@dataclass(slots=True)
class Leg:
    """One drive of a car. Positions along edges [m] are NaN at the border of the district."""

    vehicle: str
    car: str
    purpose: str
    way: str
    site: str
    depart_s: float
    start: str
    start_m: float
    end: str
    end_m: float
    charge_wh: float = math.nan
    charger: str = ""
    plug_in_s: float = math.nan
    plug_out_s: float = math.nan


class CarDay:
    """Draws the legs of all cars: who, when, from which edge and position to which."""

    def __init__(self, net: Path, sites: pd.DataFrame, seed: int) -> None:
        network = read_net(net)
        edges = drivable(network)
        self.seed = seed
        self.sites = [str(label) for label in sites.index]
        self.persons = sites["persons"].to_numpy(float) if "persons" in sites else np.full(len(sites), _PERSONS)
        self.edge = [str(label) for label in sites["edge"]]
        if lost := sorted(set(self.edge) - {edge.getID() for edge in edges}):
            raise CosimError(f"sites stand at edge {lost[0]!r}, which cars cannot use in {net}: match them anew")
        places = sites[["x", "y"]].to_numpy(float)
        self.position = [
            door_position(network.getEdge(edge), *place) for edge, place in zip(self.edge, places, strict=True)
        ]
        self.entries, self.exits = gates(network)

    def tours(self, purpose: str, trips_per_person: float) -> list[Leg]:
        """Draw tours of one car each between its building and another place, two legs a tour.

        Both departures are draws from the hourly profile, the earlier one first, so that all legs together
        follow the profile and the stay is what lies between.
        """
        count = self.persons * trips_per_person / 2
        number = np.floor(count).astype(int) + (uniform(self.seed, f"{purpose} cars", self.sites) < count % 1)
        home = np.repeat(np.arange(len(self.sites)), number).tolist()
        cars = [f"{purpose}.{self.sites[i]}.{k}" for i, many in enumerate(number) for k in range(many)]
        first, last = np.zeros(len(cars)), np.zeros(len(cars))
        for attempt in range(12):
            short = last - first < _LEAST_STAY_S
            a, b = (departures(self.seed, f"{purpose} {which} {attempt}", cars) for which in ("one", "two"))
            first[short], last[short] = np.minimum(a, b)[short], np.maximum(a, b)[short]
        entry = self.pick(f"{purpose} entry", cars, self.entries)
        leave = self.pick(f"{purpose} exit", cars, self.exits)
        inner = (uniform(self.seed, f"{purpose} stays inside", cars) < _INNER) & (purpose == "home")
        other = (uniform(self.seed, f"{purpose} inner place", cars) * len(self.sites)).astype(int)
        legs = []
        for k, (car, i) in enumerate(zip(cars, home, strict=True)):
            here = self.edge[i], self.position[i]
            goal, source = (leave[k], math.nan), (entry[k], math.nan)
            if inner[k] and self.edge[other[k]] != self.edge[i]:
                goal = source = self.edge[other[k]], self.position[other[k]]
            times = (first[k], last[k]) if purpose == "home" else (last[k], first[k])
            legs.append(Leg(f"{car}.out", car, purpose, "out", self.sites[i], round(times[0]), *here, *goal))
            legs.append(Leg(f"{car}.in", car, purpose, "in", self.sites[i], round(times[1]), *source, *here))
        return legs

    def crossings(self, trips_per_person: float) -> list[Leg]:
        """Draw trips from one side of the district to another."""
        cars = [f"through.{k}" for k in range(round(float(self.persons.sum()) * trips_per_person))]
        entry = self.pick("through entry", cars, self.entries)
        draw = uniform(self.seed, "through exit", cars)
        time = departures(self.seed, "through", cars)
        far: dict[str, list[str]] = {}
        for label, start in self.entries.items():
            away = {name: math.dist(start, end) for name, end in self.exits.items()}
            far[label] = [name for name, metres in away.items() if metres >= 0.6 * max(away.values())]
        legs = []
        for k, car in enumerate(cars):
            exits = far[entry[k]]
            goal = exits[int(draw[k] * len(exits))]
            legs.append(Leg(car, car, "through", "", "", round(time[k]), entry[k], math.nan, goal, math.nan))
        return legs

    def pick(self, purpose: str, cars: list[str], gates: dict[str, tuple[float, float]]) -> list[str]:
        names = list(gates)
        return [names[int(draw * len(names))] for draw in uniform(self.seed, purpose, cars)]


def _plug_in(
    legs: list[Leg],
    cars: dict[str, Car],
    sites: pd.DataFrame,
    chargers: pd.DataFrame,
    plug_ins_per_week: float,
    seed: int,
) -> None:
    """Let electric cars reserve a charger for their stay at home or on a visit; changes their legs in place.

    First come, first served: the building's own station, else the nearest public one within walking distance
    that has a point free for the whole stay. The leg that leads there ends there, and the one that leaves
    begins there.
    """
    labels = [label for label, car in cars.items() if car.electric]
    keen = {
        label for label, u in zip(labels, uniform(seed, "plugs in", labels), strict=True) if u < plug_ins_per_week / 7
    }
    leaving = {leg.car: leg for leg in legs if leg.way == "out"}
    arriving = [leg for leg in legs if leg.way == "in" and leg.car in keen]
    stations: dict[str, Any] = {str(label): row for label, row in chargers.to_dict("index").items()}
    own = {row["site"]: label for label, row in stations.items() if row["kind"] == "building"}
    public = [label for label, row in stations.items() if row["kind"] == "street"]
    places = {str(label): (float(x), float(y)) for label, x, y in zip(sites.index, sites["x"], sites["y"], strict=True)}
    taken = {label: np.zeros(1440, dtype=int) for label in stations}
    for leg in sorted(arriving, key=lambda leg: (leg.depart_s, leg.vehicle)):
        out, car = leaving[leg.car], cars[leg.car]
        overnight = leg.purpose == "home"
        until = out.depart_s + DAY_S * overnight
        minutes = np.arange(leg.depart_s // 60, until // 60 + 1).astype(int) % 1440
        away = {label: math.dist(places[leg.site], (stations[label]["x"], stations[label]["y"])) for label in public}
        near = sorted((label for label in public if away[label] <= _WALK_M), key=away.__getitem__)
        if overnight and leg.site in own:
            near.insert(0, own[leg.site])
        # A route that begins or ends on the station's edge might have the station behind it.
        near = [label for label in near if stations[label]["edge"] not in (leg.start, out.end)]
        found = next((label for label in near if (taken[label][minutes] < stations[label]["points"]).all()), None)
        if found is None:
            continue
        taken[found][minutes] += 1
        station = stations[found]
        km = generator(seed, "distance", leg.car).lognormal(math.log(_KM[0]) - _KM[1] ** 2 / 2, _KM[1])
        # Missing from the battery is what it has driven since it was last plugged in.
        missing = min(max(km * 7 / plug_ins_per_week * _WH_PER_KM / car.capacity_wh, 0.1), 0.9)
        level = (1 - missing) * car.capacity_wh
        leg.end, leg.end_m, leg.charger, leg.charge_wh = station["edge"], station["end_m"], found, level
        leg.plug_in_s, leg.plug_out_s = leg.depart_s, until
        out.start, out.start_m = station["edge"], station["end_m"]
        if overnight:
            rate_w = min(station["power_w"] * station["efficiency"], ONBOARD_W)
            out.charge_wh = min(car.capacity_wh, level + rate_w * (DAY_S - leg.depart_s) / 3600)
            if out.charge_wh < car.capacity_wh:
                out.charger, out.plug_in_s, out.plug_out_s = found, 0.0, out.depart_s


def leg_trips(legs: list[Leg]) -> pd.DataFrame:
    """Return the drives of cars as the routing tools take them."""
    return pd.DataFrame(
        {"depart_s": [leg.depart_s for leg in legs], "start": [leg.start for leg in legs],
         "end": [leg.end for leg in legs]},
        index=[leg.vehicle for leg in legs],
    )  # fmt: skip


def compose_vehicles(
    legs: list[Leg], cars: dict[str, Car], chargers: pd.DataFrame | None, routes: dict[str, list[str]]
) -> pd.DataFrame:
    """Compose what SUMO inserts: the legs, their stops at chargers, and visits that charge as one vehicle."""
    lanes = {} if chargers is None else {str(k): str(lane).rsplit("_", 1)[1] for k, lane in chargers["lane"].items()}
    leaving = {leg.car: leg for leg in legs if leg.way == "out"}
    joined = {leg.car for leg in legs if leg.charger and leg.purpose == "visit"}
    rows = []
    for leg in legs:
        if leg.car in joined and leg.way == "out":
            continue
        car, edges, end_m, depart = cars[leg.car], routes[leg.vehicle], leg.end_m, leg.depart_s
        place = 'departLane="best" departSpeed="max"'
        if not math.isnan(leg.start_m):
            place = f'departLane="best" departPos="{leg.start_m:.2f}" departSpeed="0"'
        inside = ""
        if car.electric:
            inside += f'<param key="device.battery.chargeLevel" value="{leg.charge_wh:.2f}"/>'
        if leg.charger:
            if leg.way == "out":  # it has stood there since the evening before
                depart, place = 0, f'departLane="{lanes[leg.charger]}" departPos="stop" departSpeed="0"'
            elif leg.car in joined:
                edges, end_m = edges + routes[f"{leg.car}.out"][1:], leaving[leg.car].end_m
            inside += f'<stop chargingStation={quoteattr(leg.charger)} parking="true" until="{leg.plug_out_s:.0f}"/>'
        # On a route of a single edge the goal might lie behind: there a car runs to the end of the edge.
        arrive = "" if math.isnan(end_m) or len(edges) == 1 else f' arrivalPos="{end_m:.2f}"'
        xml = (
            f'<vehicle id={quoteattr(leg.vehicle)} type="{car.type}" depart="{depart:.0f}" {place}{arrive} '
            f'speedFactor="{car.speed_factor:.4f}"><route edges="{" ".join(edges)}"/>{inside}</vehicle>'
        )
        rows.append(
            {
                "vehicle": leg.vehicle,
                "car": leg.car,
                "purpose": leg.purpose,
                "type": car.type,
                "electric": car.electric,
                "depart_s": float(depart),
                "charger": leg.charger,
                "plug_in_s": leg.plug_in_s,
                "plug_out_s": leg.plug_out_s,
                "charge_wh": leg.charge_wh,
                "edges": " ".join(edges),
                "xml": xml,
            }
        )
    return pd.DataFrame(rows).sort_values(["depart_s", "vehicle"]).set_index("vehicle")
