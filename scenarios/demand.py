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
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias
from xml.etree.ElementTree import ParseError
from xml.sax.saxutils import quoteattr

import defusedxml.ElementTree
import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely
from defusedxml import DefusedXmlException

from cosim.core import CosimError, InputFileError
from cosim.core.random import generator, uniform
from cosim.scenarios.chargers import EFFICIENCY, write_chargers
from cosim.scenarios.streets import drivable, read_net, run_sumo_tool, sumo_home

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

FLEET = {
    "HBEFA4/PC_petrol_Euro-4": 0.15,
    "HBEFA4/PC_petrol_Euro-6d": 0.35,
    "HBEFA4/PC_diesel_Euro-5": 0.25,
    "HBEFA4/PC_diesel_Euro-6ab": 0.25,
}
"""Emission classes of the cars with combustion engines. The shares are an assumption."""

ELECTRIC = ("Peugeot_e-208", "VW_ID3", "Hyundai_Ioniq_5")
"""Electric models of RWTH Aachen's MMPEVEM [2]_ in SUMO's wheel, small to large; equal shares are an
assumption.

.. [2] L. Koch et al.: Accurate physics-based modeling of electric vehicle energy consumption in the SUMO
   traffic microsimulator. IEEE ITSC 2021, doi:10.1109/ITSC48978.2021.9564463.
"""

# One set for all cars: an electric type with parameters of its own would change the traffic too.
_FOLLOWING = 'vClass="passenger" accel="2.6" decel="4.5" sigma="0.5" tau="1.0" length="5.0" minGap="2.5"'
# On-board charger of 11 kW from the grid (three-phase 16 A; assumption for all models), as SUMO takes it: what the
# battery receives, behind the station's efficiency.
_ONBOARD_W = 11_000.0 * EFFICIENCY
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
    types = _vehicle_types()
    day = _Day(net, sites, seed)
    legs = day.tours("home", trips_per_person) + day.tours("visit", visitor_trips_per_person)
    legs += day.crossings((trips_per_person + visitor_trips_per_person) * through_share / (1 - through_share))
    cars = _cars(list(dict.fromkeys(leg.car for leg in legs)), seed, ev_share, types)
    for leg in legs:
        leg.charge_wh = cars[leg.car].charge_wh
    additional = [folder / "types.add.xml"]
    _write(additional[0], "additional", types["xml"])
    if chargers is not None and len(chargers):
        _plug_in(legs, cars, sites, chargers, plug_ins_per_week, seed)
        additional.append(write_chargers(chargers, folder / "chargers.add.xml"))
    vehicles = _vehicles(legs, cars, chargers, _routes(net, legs, folder, seed))
    routes = folder / "cars.rou.xml"
    _write(routes, "routes", vehicles.pop("xml"))
    return Demand([routes], additional, vehicles)


def _write(path: Path, root: str, lines: Iterable[str]) -> None:
    path.write_text("\n".join([f"<{root}>", *lines, f"</{root}>\n"]), encoding="utf-8")


def departures(seed: int, purpose: str, labels: list[str]) -> Vector:
    """Draw one time of the day per label from the published hourly profile, shape (n_labels,). [s]"""
    share = np.concatenate([[0.0], np.cumsum(HOURLY_SHARE)])
    times: Vector = np.interp(uniform(seed, purpose, labels), share / share[-1], np.arange(25) * 3600.0)
    return times


@dataclass(slots=True)
class _Leg:
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


@dataclass(frozen=True, slots=True)
class _Car:
    electric: bool
    type: str
    capacity_wh: float
    charge_wh: float
    speed_factor: float


class _Day:
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
            _position(network.getEdge(edge), *place) for edge, place in zip(self.edge, places, strict=True)
        ]
        self.entries, self.exits = _gates(edges)

    def tours(self, purpose: str, trips_per_person: float) -> list[_Leg]:
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
        entry = self._pick(f"{purpose} entry", cars, self.entries)
        leave = self._pick(f"{purpose} exit", cars, self.exits)
        inner = (uniform(self.seed, f"{purpose} stays inside", cars) < _INNER) & (purpose == "home")
        other = (uniform(self.seed, f"{purpose} inner place", cars) * len(self.sites)).astype(int)
        legs = []
        for k, (car, i) in enumerate(zip(cars, home, strict=True)):
            here = self.edge[i], self.position[i]
            goal, source = (leave[k], math.nan), (entry[k], math.nan)
            if inner[k] and self.edge[other[k]] != self.edge[i]:
                goal = source = self.edge[other[k]], self.position[other[k]]
            times = (first[k], last[k]) if purpose == "home" else (last[k], first[k])
            legs.append(_Leg(f"{car}.out", car, purpose, "out", self.sites[i], round(times[0]), *here, *goal))
            legs.append(_Leg(f"{car}.in", car, purpose, "in", self.sites[i], round(times[1]), *source, *here))
        return legs

    def crossings(self, trips_per_person: float) -> list[_Leg]:
        """Draw trips from one side of the district to another."""
        cars = [f"through.{k}" for k in range(round(float(self.persons.sum()) * trips_per_person))]
        entry = self._pick("through entry", cars, self.entries)
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
            legs.append(_Leg(car, car, "through", "", "", round(time[k]), entry[k], math.nan, goal, math.nan))
        return legs

    def _pick(self, purpose: str, cars: list[str], gates: dict[str, tuple[float, float]]) -> list[str]:
        names = list(gates)
        return [names[int(draw * len(names))] for draw in uniform(self.seed, purpose, cars)]


def _position(edge: Any, x: float, y: float) -> float:
    """Return where along an edge a building's door is, clear of both crossings. [m]"""
    position, _ = edge.getClosestLanePosDist((x, y))[1:]
    return float(np.clip(position, min(8.0, edge.getLength() / 2), max(edge.getLength() - 12.0, edge.getLength() / 2)))


def _gates(edges: list[Any]) -> tuple[dict[str, tuple[float, float]], dict[str, tuple[float, float]]]:
    """Find the edges that lead in from the district's border and out to it, with the place at the border. [m]

    Those are the streets that end there, and those that run along it from corner to corner.
    """
    nodes = {node.getID(): node for edge in edges for node in (edge.getFromNode(), edge.getToNode())}
    place = {label: (float(node.getCoord()[0]), float(node.getCoord()[1])) for label, node in nodes.items()}
    hull = shapely.MultiPoint(list(place.values())).convex_hull
    at_border = {label for label, xy in place.items() if hull.exterior.distance(shapely.Point(xy)) < 1.0}
    corner = {
        label for label in at_border if len({n.getID() for n in nodes[label].getNeighboringNodes()}) == 2
    }  # fmt: skip
    entries = {
        e.getID(): place[e.getFromNode().getID()]
        for e in edges
        if e.getFromNode().getID() in at_border
        and (e.getToNode().getID() not in at_border or e.getFromNode().getID() in corner)
    }
    exits = {
        e.getID(): place[e.getToNode().getID()]
        for e in edges
        if e.getToNode().getID() in at_border
        and (e.getFromNode().getID() not in at_border or e.getToNode().getID() in corner)
    }
    if not entries or not exits:
        raise CosimError("no street leads into the network and out of it at its border: through traffic needs both")
    return entries, exits


def _vehicle_types() -> pd.DataFrame:
    """Return the vehicle types: index is the name, columns ``capacity_wh`` (0 with a combustion engine),
    ``xml``."""
    rows = [
        (name.split("/")[1], 0.0, f'<vType id="{name.split("/")[1]}" emissionClass="{name}" {_FOLLOWING}/>')
        for name in FLEET
    ]
    for model in ELECTRIC:
        folder = sumo_home() / "data" / "emissions" / "MMPEVEM"
        path = next((p for p in (folder / f"{model}.xml", folder / f"{model}.rou.xml") if p.is_file()), None)
        if path is None:
            raise InputFileError(f"SUMO's wheel has no electric model {model!r} in {folder}: install eclipse-sumo 1.28")
        try:
            vtype = next(defusedxml.ElementTree.parse(path).iter("vType"))
        except (ParseError, DefusedXmlException) as error:
            raise InputFileError(f"{path} cannot be read: {error!r}") from error
        keys = {p.get("key", ""): p.get("value", "") for p in vtype.iter("param")}
        keys["device.battery.maximumChargeRate"] = f"{_ONBOARD_W:g}"
        # SUMO 1.20 renamed it, and warns of the old name.
        if "internalMomentOfInertia" in keys:
            keys["rotatingMass"] = keys.pop("internalMomentOfInertia")
        xml = [f'<vType id="{model}" emissionClass="MMPEVEM" mass="{vtype.get("mass")}" {_FOLLOWING}>']
        xml += [f"<param key={quoteattr(k)} value={quoteattr(v)}/>" for k, v in sorted(keys.items())]
        rows.append((model, float(keys["device.battery.capacity"]), "\n".join([*xml, "</vType>"])))
    return pd.DataFrame(rows, columns=["type", "capacity_wh", "xml"]).set_index("type")


def _cars(labels: list[str], seed: int, ev_share: float, types: pd.DataFrame) -> dict[str, _Car]:
    """Give every car its type, battery, charge and manner of driving."""
    bounds = np.cumsum(list(FLEET.values()))
    burners = [name.split("/")[1] for name in FLEET]
    engine = np.searchsorted(bounds, uniform(seed, "combustion engine", labels) * bounds[-1], side="right")
    model = (uniform(seed, "electric model", labels) * len(ELECTRIC)).astype(int)
    electric = uniform(seed, "electric car", labels) < ev_share
    level = 0.3 + 0.65 * uniform(seed, "charge", labels)
    capacity_wh = types["capacity_wh"].to_dict()
    cars = {}
    for k, label in enumerate(labels):
        kind = ELECTRIC[model[k]] if electric[k] else burners[engine[k]]
        # SUMO's default for cars is normc(1, 0.1, 0.2, 2), but drawn in the order of loading.
        speed = float(np.clip(generator(seed, "speed factor", label).normal(1.0, 0.1), 0.2, 2.0))
        charge_wh = capacity_wh[kind] * level[k] if electric[k] else math.nan
        cars[label] = _Car(bool(electric[k]), kind, capacity_wh[kind], charge_wh, speed)
    return cars


def _plug_in(
    legs: list[_Leg],
    cars: dict[str, _Car],
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
            rate_w = min(station["power_w"] * station["efficiency"], _ONBOARD_W)
            out.charge_wh = min(car.capacity_wh, level + rate_w * (DAY_S - leg.depart_s) / 3600)
            if out.charge_wh < car.capacity_wh:
                out.charger, out.plug_in_s, out.plug_out_s = found, 0.0, out.depart_s


def _routes(net: Path, legs: list[_Leg], folder: Path, seed: int) -> dict[str, list[str]]:
    """Let duarouter find the edges of every leg, by vehicle."""
    trips, routed = folder / "legs.trips.xml", folder / "legs.rou.xml"
    lines = [
        f'<trip id={quoteattr(leg.vehicle)} depart="{leg.depart_s:.0f}" from={quoteattr(leg.start)} '
        f"to={quoteattr(leg.end)}/>"
        for leg in sorted(legs, key=lambda leg: (leg.depart_s, leg.vehicle))
    ]
    _write(trips, "routes", lines)
    # Edge weights are disturbed by vehicle: the many equally short ways through a grid are all used.
    run_sumo_tool(
        "duarouter", "--net-file", net, "--route-files", trips, "--output-file", routed,
        "--weights.random-factor", "2", "--seed", str(generator(seed, "duarouter").integers(2**31)),
    )  # fmt: skip
    found: dict[str, list[str]] = {}
    for _, element in defusedxml.ElementTree.iterparse(routed):
        if element.tag == "vehicle":
            found[str(element.get("id"))] = element[0].get("edges", "").split()
    trips.unlink()
    routed.unlink()
    return found


def _vehicles(
    legs: list[_Leg], cars: dict[str, _Car], chargers: pd.DataFrame | None, routes: dict[str, list[str]]
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
