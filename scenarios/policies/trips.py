"""Trips that a measure applies to, and the vehicle types by which SUMO distinguishes them."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias
from xml.etree.ElementTree import Element

from cosim import CosimError
from cosim.adapters.traffic.demand import DEFAULT_TYPE, Variant, scenario_files, write_changed, write_retyped
from cosim.adapters.traffic.files import read_configuration
from cosim.scenarios.model import City

_VEHICLES = ("trip", "vehicle", "flow")


@dataclass(frozen=True, slots=True)
class Trip:
    """A vehicle, trip or flow of a route file.

    ``emission_class`` is empty if its type mixes several or names none. ``way`` are the edges of its route, or only the
    first and the last one if it has no route yet. ``doors`` is whether it begins, and ends, at a position along its
    edge and not at the edge's end. ``depart_s`` is its departure, of a flow the first, and NaN if it is no number. [s]
    """

    id: str
    emission_class: str
    vehicle_class: str
    way: tuple[str, ...]
    doors: tuple[bool, bool]
    depart_s: float = math.nan


Choice: TypeAlias = Callable[[Trip], str | None]


def retype(city: City, choose: Choice, variants: Mapping[str, Variant]) -> tuple[City, dict[str, int]]:
    """Return a city in which some trips are made by variants of their vehicle types.

    Parameters
    ----------
    city
        The city; its own files stay as they are.
    choose
        Returns the name of a trip's variant, or None if the trip keeps its type.
    variants
        The variants by name.

    Returns
    -------
    city
        The city with a configuration of new files in its workspace.
    counts
        Number of trips by variant.
    """
    configuration = read_configuration(city.sumocfg, city.traffic_options)
    files = scenario_files(configuration)
    chosen = {trip.id: variant for trip in _trips(files) if (variant := choose(trip)) is not None}
    if not any(root.find(".//vType") is not None for root in files.values()):
        raise CosimError(f"{city.sumocfg} defines no vehicle types: define types for its vehicles")
    target = _new_folder(city.workspace.path) / Path(city.sumocfg).name
    write_retyped(configuration, files, chosen, variants, target)
    counts = Counter(chosen.values())
    return replace(city, sumocfg=target, traffic_options=()), {name: counts[name] for name in variants}


def remove_vehicles(files: Mapping[Path, Element], gone: Collection[str]) -> set[Path]:
    """Remove vehicles from files, and return those that have changed."""
    changed = set()
    for path, root in files.items():
        for parent in root.iter():
            for vehicle in [v for v in parent if v.tag in ("trip", "vehicle") and v.get("id") in gone]:
                parent.remove(vehicle)
                changed.add(path)
    return changed


def without_vehicles(city: City, gone: Collection[str]) -> City:
    """Return a city without some vehicles of its route files."""
    configuration = read_configuration(city.sumocfg, city.traffic_options)
    files = scenario_files(configuration)
    target = _new_folder(city.workspace.path) / Path(city.sumocfg).name
    write_changed(configuration, files, remove_vehicles(files, gone), target)
    return replace(city, sumocfg=target, traffic_options=())


def trips_of(city: City) -> list[Trip]:
    """Return the trips of a city's route files."""
    return list(_trips(scenario_files(read_configuration(city.sumocfg, city.traffic_options))))


def _trips(files: Mapping[Path, Element]) -> Iterator[Trip]:
    types = types_of(files)
    routes = {route.get("id"): route for root in files.values() for route in root.iter("route") if route.get("id")}
    for root in files.values():
        for vehicle in root.iter():
            if vehicle.tag in _VEHICLES:
                emission, vehicle_class = types.get(vehicle.get("type", DEFAULT_TYPE), ("", "passenger"))
                doors = (_is_along(vehicle.get("departPos", "")), _is_along(vehicle.get("arrivalPos", "")))
                begin = vehicle.get("depart", vehicle.get("begin", ""))
                depart_s = float(begin) if re.fullmatch(r"\d+([.]\d*)?", begin) else math.nan
                yield Trip(vehicle.get("id", ""), emission, vehicle_class, way_of(vehicle, routes), doors, depart_s)


def _is_along(position: str) -> bool:
    return position == "stop" or bool(re.fullmatch(r"\d+([.]\d*)?", position) and float(position) > 0)


def types_of(files: Mapping[Path, Element]) -> dict[str, tuple[str, str]]:
    """Return emission class and vehicle class of every type; a distribution has those that all its members share."""
    found: dict[str, tuple[str, str]] = {}
    for root in files.values():
        for element in root.iter("vType"):
            found[element.get("id", "")] = (element.get("emissionClass", ""), element.get("vClass", "passenger"))
    for root in files.values():
        for element in root.iter("vTypeDistribution"):
            members = [m.get("id", "") for m in element.iter("vType")] + element.get("vTypes", "").split()
            both = [found.get(member, ("", "passenger")) for member in members]
            common = [values[0] if len(values) == 1 else "" for values in map(_different, zip(*both))]
            found[element.get("id", "")] = (common[0], common[1]) if common else ("", "passenger")
    return found


def _different(values: tuple[str, ...]) -> list[str]:
    return list(dict.fromkeys(values))


def way_of(vehicle: Element, routes: Mapping[str | None, Element]) -> tuple[str, ...]:
    """Return the edges of a vehicle's route, or its first and last one; ``routes`` are those with a name."""
    route = vehicle.find("route")
    if route is None:
        route = routes.get(vehicle.get("route"))
    edges = [] if route is None else route.get("edges", "").split()
    return tuple(edges) or (vehicle.get("from", ""), vehicle.get("to", ""))


def _new_folder(workspace: Path) -> Path:
    number = sum(1 for _ in workspace.glob("retyped-*"))
    folder = workspace / f"retyped-{number}"
    folder.mkdir()
    return folder
