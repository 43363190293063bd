"""The traffic of a day on a SUMO scenario's own routes, with the volumes of hourly counts."""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree.ElementTree import Element, tostring
from xml.sax.saxutils import quoteattr

import numpy as np

from cosim.adapters.traffic.demand import VEHICLES, scenario_files, vehicle_types, write_changed
from cosim.adapters.traffic.files import SumoConfiguration, read_configuration, seconds
from cosim.adapters.traffic.flows import flows_as_trips
from cosim.core import CosimError, InputFileError
from cosim.core.quantities import DAY_S, HOUR_S, Array, Vector
from cosim.core.random import generator, uniform
from cosim.scenarios.mobility.counts.capacity import capacities, times_to, within_capacity
from cosim.scenarios.mobility.counts.greens import turns_of, without_roundabouts, write_programs
from cosim.scenarios.mobility.counts.loops import HOURS, Counts, locate, read_counts
from cosim.scenarios.mobility.counts.path_flows import path_flows
from cosim.scenarios.streets.network import Net, read_net

SERVICE_H = range(5, 24)
"""Hours of the day in which lines run as in the scenario. An assumption."""
LONGEST_REPEATED_H = 12
"""A scenario whose cars depart over more hours is one of a whole day, with the lines of that day. [h]"""
_LINE_CLASSES = ("bus", "coach", "tram", "rail_urban", "rail", "rail_electric", "rail_fast", "subway")
_TIMES = ("depart", "until", "arrival")


class Vehicle(NamedTuple):
    """A vehicle of the scenario without its time and route."""

    depart_s: float
    attributes: Mapping[str, str]


@dataclass(frozen=True)
class Pool:
    """The traffic of a scenario by routes, and its lines."""

    routes: Mapping[tuple[str, ...], Sequence[Vehicle]]
    """The vehicles of every route; those with stops and of public transport are lines."""
    lines: Sequence[Element]

    @property
    def prior(self) -> Vector:
        """Vehicles by route, shape (n_routes,)."""
        return np.array([len(vehicles) for vehicles in self.routes.values()], float)

    def passes(self, edges: Sequence[str]) -> Array:
        """Return how often every route passes every edge, shape (n_edges, n_routes)."""
        number = [Counter(route) for route in self.routes]
        return np.array([[n[edge] for n in number] for edge in edges], float)


def read_pool(configuration: SumoConfiguration, files: Mapping[Path, Element]) -> Pool:
    """Return a scenario's traffic.

    Parameters
    ----------
    configuration
        The scenario, without flows: see `flows_as_trips`.
    files
        Its `scenario_files`.

    Raises
    ------
    CosimError
        If a vehicle has no route of edges, or there is none but lines.
    """
    kinds = {kind.name: kind.vehicle_class for kind in vehicle_types(configuration.demand)}
    named = {route.get("id"): route.get("edges", "") for root in files.values() for route in root.findall("route")}
    routes: dict[tuple[str, ...], list[Vehicle]] = defaultdict(list)
    lines = []
    for path, root in files.items():
        for element in (child for child in root if child.tag in VEHICLES):
            if (
                element.find("stop") is not None
                or element.get("line")
                or kinds.get(element.get("type", "")) in _LINE_CLASSES
            ):
                lines.append(element)
                continue
            own = element.find("route")
            edges = named.get(element.get("route"), "") if own is None else own.get("edges", "")
            if not edges:
                raise CosimError(
                    f"{path} has the {element.tag} {element.get('id')!r} without a route of its own: counts change the "
                    "number of vehicles on known routes; write the routes with duarouter"
                )
            attributes = {k: v for k, v in element.attrib.items() if k not in ("id", "depart", "route", "from", "to")}
            routes[tuple(edges.split())].append(Vehicle(_depart_s(path, element), attributes))
    if not routes:
        raise CosimError(
            f"{configuration.path} has no vehicle but lines: counts change the number of vehicles on known routes"
        )
    return Pool(dict(routes), lines)


def _depart_s(path: Path, element: Element) -> float:
    try:
        return seconds(element.get("depart", ""))
    except ValueError:
        raise InputFileError(
            f"{path} has the {element.tag} {element.get('id')!r} that departs at {element.get('depart')!r}: give the "
            "departure in seconds"
        ) from None


def read_scenario(
    sumocfg: str | Path, counts: str | Path, folder: Path, seed: int = 0, zone: str = "UTC"
) -> tuple[SumoConfiguration, dict[Path, Element], Pool, Counts]:
    """Return a scenario with its files and traffic, and the counts on its edges by the hours of a time zone.

    Flows are first written as trips into the folder.
    """
    configuration = read_configuration(flows_as_trips(sumocfg, folder / "flows", seed=seed))
    files, net = scenario_files(configuration), read_net(configuration.net)
    located = locate(read_counts(counts, zone), net, configuration.additionals, counts)
    return configuration, files, with_routes_through(read_pool(configuration, files), located.edges, net), located


def with_routes_through(pool: Pool, edges: Sequence[str], net: Net) -> Pool:
    """Return the traffic with one more route through each of the edges that none passes.

    It is the quickest for cars from an edge at the border, or one where vehicles of the scenario begin, to one at the
    border or where they end. It has as many vehicles as the median route, like those that begin there where some do. An
    edge without such a way stays as it is.
    """
    routes = dict(pool.routes)
    passed = {edge for route in routes for edge in route}
    number = int(np.median(pool.prior))
    models = {route[0]: vehicles for route, vehicles in pool.routes.items()}
    usual = max(pool.routes.values(), key=len)
    for edge in sorted(set(edges) - passed):
        there, away = (
            _quickest(net.getEdge(edge), to, back) for to, back in ((set(models), True), (_ends(pool), False))
        )
        route = (*reversed(there), *away[1:])
        if there and away and len(set(route)) == len(route):
            like = models.get(route[0], usual)
            routes[route] = [like[k % len(like)] for k in range(number)]
    return replace(pool, routes=routes)


def _ends(pool: Pool) -> set[str]:
    return {route[-1] for route in pool.routes}


def _quickest(start: Any, targets: set[str], backwards: bool) -> list[str]:
    """Return the quickest way of cars from an edge to others or the border, against their direction if asked."""
    queue, known = [(0.0, str(start.getID()), start, "")], dict[str, str]()
    while queue:
        time_s, label, edge, previous = heapq.heappop(queue)
        if label in known:
            continue
        known[label] = previous
        around = edge.getIncoming() if backwards else edge.getOutgoing()
        if label in targets or not around:
            way = [label]
            while known[way[-1]]:
                way.append(known[way[-1]])
            return way[::-1]
        for other, connections in around.items():
            if other.getID() not in known and any(
                c.getFromLane().allows("passenger") and c.getToLane().allows("passenger") for c in connections
            ):
                after = time_s + other.getLength() / other.getSpeed()
                heapq.heappush(queue, (after, str(other.getID()), other, label))
    return []


def day_flows(pool: Pool, located: Counts, net: Net | None = None) -> Array:
    """Return the flow on every route in every hour, which the streets can carry if a network is given. [veh/h]

    See `path_flows` and `within_capacity`.
    """
    flows = path_flows(pool.passes(located.edges), pool.prior, located.flow)
    if net is None:
        return flows
    counts = dict(zip(located.edges, located.flow))
    return within_capacity(list(pool.routes), flows, counts, capacities(net))


def counted_day(
    sumocfg: str | Path,
    counts: str | Path,
    folder: Path,
    *,
    seed: int = 0,
    begin_s: float = 0.0,
    end_s: float = DAY_S,
    zone: str = "UTC",
    greens: bool = False,
) -> Path:
    """Write a scenario with the traffic of a counted day, whose time is that of the day from midnight.

    Routes, vehicle types and manners of departure are the scenario's; `path_flows` says how many vehicles take each
    route in an hour. They depart evenly spread over the hour, at random. Lines are repeated as often as the scenario is
    long, from 5 to 24 h; those of more than half a day run once. A vehicle's number is rounded up or down by chance,
    keyed by route and hour: a count that changes one route leaves the vehicles of the others.

    Parameters
    ----------
    sumocfg
        A scenario, e.g. of a peak hour, whose vehicles have routes.
    counts
        See `read_counts`.
    folder
        Folder of the new files; all other files are read in place.
    begin_s, end_s
        Seconds since midnight at which it begins and ends. [s]
    zone
        IANA time zone to which the hours of counts in messages belong.
    greens
        Whether the day is made for the streets of a whole city by the mesoscopic model: no street gets more than it
        carries (see `within_capacity`), vehicles depart as much before the hour as they need to the loops, actuated
        lights get fixed programs by the hour (see `write_programs`), and roundabouts are junctions like others (see
        `without_roundabouts`).

    Returns
    -------
    Path
        The configuration of the new scenario.

    Raises
    ------
    InputFileError
        If the counts cannot be used.
    CosimError
        If vehicles have no routes, or none passes a counted edge.
    """
    configuration, files, pool, located = read_scenario(sumocfg, counts, folder, seed, zone)
    net = read_net(configuration.net, programs=True) if greens else None
    flows = day_flows(pool, located, net)
    early_s = times_to(net, list(pool.routes), located.edges) if net else np.zeros(len(flows))
    elements = [*_vehicles(pool, flows, early_s, seed), *_lines(pool, configuration.begin_s)]
    elements = [row for row in sorted(elements) if begin_s <= row[0] < end_s]
    folder.mkdir(parents=True, exist_ok=True)
    written = folder / "counted.rou.xml"
    routes = [
        f"<route id={quoteattr(f'counted.{k}')} edges={quoteattr(' '.join(r))}/>" for k, r in enumerate(pool.routes)
    ]
    written.write_text(
        "\n".join(["<routes>", *routes, *(text for _, text in elements), "</routes>\n"]), encoding="utf-8"
    )
    if net:
        signals = folder / "signals.add.xml"
        hours = range(int(begin_s // HOUR_S), int(np.ceil(end_s / HOUR_S)))
        write_programs(net, turns_of(list(pool.routes), flows), signals, hours)
        files = {**files, signals: Element("additional")}  # has no vehicles to be removed below
        configuration = replace(
            configuration,
            net=without_roundabouts(configuration.net, folder / "streets.net.xml"),
            additionals=(*configuration.additionals, signals),
        )
    changed = set()
    for path, root in files.items():
        for element in [child for child in root if child.tag in VEHICLES]:
            root.remove(element)
            changed.add(path)
    target = folder / Path(sumocfg).name
    options = {**configuration.options, "begin": f"{begin_s:g}", "end": f"{end_s:g}"}
    write_changed(replace(configuration, options=options), files, changed, target, routes=[written])
    return target


def _vehicles(pool: Pool, flows: Array, early_s: Vector, seed: int) -> list[tuple[float, str]]:
    """Return departures and elements of the vehicles of a day; those before midnight are the evening's."""
    found: list[tuple[float, str]] = []
    for k, ((route, models), flow, early) in enumerate(zip(pool.routes.items(), flows, early_s)):
        keys = [f"{hour} {' '.join(route)}" for hour in range(HOURS)]
        number = np.floor(flow + uniform(seed, "vehicles of a counted hour", keys)).astype(int)
        for hour in np.flatnonzero(number):
            draws, n = generator(seed, "departures of a counted hour", keys[hour]), number[hour]
            for i, (depart, model) in enumerate(zip(draws.random(n), draws.integers(len(models), size=n))):
                second = round(float(((hour + depart) * HOUR_S - early) % DAY_S), 1)
                more = "".join(f" {name}={quoteattr(value)}" for name, value in models[model].attributes.items())
                found.append(
                    (second, f'<vehicle id="h{hour:02d}.{k}.{i}" depart="{second:.1f}" route="counted.{k}"{more}/>')
                )
    return found


def _lines(pool: Pool, begin_s: float) -> list[tuple[float, str]]:
    """Return departures and elements of the lines of a day.

    Those of a scenario of some hours are repeated, each time beginning at a full hour; those of a day run once, at
    their own times.
    """
    last_s = max(vehicle.depart_s for vehicles in pool.routes.values() for vehicle in vehicles)
    span = max(1, round((last_s - begin_s) / HOUR_S))
    begins, lines = {hour: hour * HOUR_S - begin_s for hour in SERVICE_H[::span]}, pool.lines
    if span > LONGEST_REPEATED_H:
        begins = {int(begin_s // HOUR_S): 0.0}
    else:
        lines = [line for line in lines if seconds(line.attrib["depart"]) - begin_s < span * HOUR_S]
    found = []
    for hour, shift_s in begins.items():
        for element in lines:
            copy = Element(element.tag, {**element.attrib, "id": f"{element.get('id')}@{hour:02d}"})
            copy.extend(Element(child.tag, child.attrib) for child in element)
            for part in (copy, *copy):
                for name in _TIMES:
                    if name in part.attrib:
                        part.set(name, f"{seconds(part.attrib[name]) + shift_s:.1f}")
            found.append((float(copy.attrib["depart"]), tostring(copy, encoding="unicode")))
    return found
