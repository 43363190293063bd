"""Which trips does a measure concern, and how does SUMO tell them apart? By vehicle types of their own."""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias
from xml.etree.ElementTree import Element, ElementTree, SubElement

from cosim import CosimError
from cosim.adapters.sumo_demand import DEFAULT_TYPE
from cosim.adapters.sumo_files import SumoConfiguration, absolute, read_configuration, root_of
from cosim.scenarios.city import City

_VEHICLES = ("trip", "vehicle", "flow")


@dataclass(frozen=True, slots=True)
class Trip:
    """A vehicle, trip or flow of a route file.

    ``emission_class`` is empty where its type mixes or names none, ``way`` are the edges of its route, the first and
    the last one alone where it has none yet; ``doors`` tells whether it begins, and ends, at a place along its edge
    and not at the edge's end.
    """

    id: str
    emission_class: str
    vehicle_class: str
    way: tuple[str, ...]
    doors: tuple[bool, bool]


@dataclass(frozen=True, slots=True)
class Variant:
    """What is different in a variant of a vehicle type: its attributes, and its generic parameters."""

    attributes: Mapping[str, str]
    parameters: Mapping[str, str] = field(default_factory=dict)


Choice: TypeAlias = Callable[[Trip], str | None]


def retype(city: City, choose: Choice, variants: Mapping[str, Variant]) -> tuple[City, dict[str, int]]:
    """Return a city in whose traffic some trips are made by variants of their vehicle types.

    Parameters
    ----------
    city
        The city; its own files stay as they are.
    choose
        Names the variant of a trip, None for those that keep their type.
    variants
        The variants by name.

    Returns
    -------
    city
        With a configuration of new files in its workspace.
    counts
        How many trips got each variant.
    """
    configuration, files = _files(city)
    counts = dict.fromkeys(variants, 0)
    for vehicle, trip in _trips(files):
        if (chosen := choose(trip)) is not None:
            counts[chosen] += 1
            vehicle.set("type", f"{vehicle.get('type', DEFAULT_TYPE)}_{chosen}")
    folder = _new_folder(city.workspace.path)
    # Named by where they are from the new folder: a build of the same city elsewhere writes the same configuration.
    options = {**configuration.options, "net-file": os.path.relpath(configuration.net, folder)}
    for name, paths in (("additional-files", configuration.additionals), ("route-files", configuration.routes)):
        written = [_written(files[path], path, folder / f"{name}-{k}", variants) for k, path in enumerate(paths)]
        options[name] = ",".join(os.path.relpath(path, folder) for path in written)
    if not any(root.find(".//vType") is not None for root in files.values()):
        raise CosimError(f"{city.sumocfg} defines no vehicle types: give its vehicles types")
    root = Element("configuration")
    for name, value in options.items():
        if value:
            SubElement(root, name, value=value)
    target = folder / Path(city.sumocfg).name
    ElementTree(root).write(target, encoding="utf-8", xml_declaration=True)
    return replace(city, sumocfg=target, traffic_options=()), counts


def trips_of(city: City) -> list[Trip]:
    """Return the trips of a city's route files."""
    return [trip for _, trip in _trips(_files(city)[1])]


def _files(city: City) -> tuple[SumoConfiguration, dict[Path, Element]]:
    configuration = read_configuration(city.sumocfg, city.traffic_options)
    return configuration, {path: root_of(path) for path in (*configuration.additionals, *configuration.routes)}


def _trips(files: Mapping[Path, Element]) -> Iterator[tuple[Element, Trip]]:
    types = types_of(files)
    routes = {route.get("id"): route for root in files.values() for route in root.iter("route") if route.get("id")}
    for root in files.values():
        for vehicle in root.iter():
            if vehicle.tag in _VEHICLES:
                emission, vehicle_class = types.get(vehicle.get("type", DEFAULT_TYPE), ("", "passenger"))
                doors = (_is_along(vehicle.get("departPos", "")), _is_along(vehicle.get("arrivalPos", "")))
                yield vehicle, Trip(vehicle.get("id", ""), emission, vehicle_class, _way(vehicle, routes), doors)


def _is_along(position: str) -> bool:
    return position == "stop" or bool(re.fullmatch(r"\d+([.]\d*)?", position) and float(position) > 0)


def types_of(files: Mapping[Path, Element]) -> dict[str, tuple[str, str]]:
    """Return emission class and vehicle class of every type; a distribution has what its members have in common."""
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


def _way(vehicle: Element, routes: Mapping[str | None, Element]) -> tuple[str, ...]:
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


def _written(root: Element, path: Path, folder: Path, variants: Mapping[str, Variant]) -> Path:
    for position, element in reversed(list(enumerate(root))):
        if element.tag in ("vType", "vTypeDistribution"):
            for name, change in variants.items():
                root.insert(position + 1, _variant(element, name, change))
        if "href" in element.attrib:
            element.set("href", str(absolute(element.attrib["href"], path.parent)))
    folder.mkdir()
    target = folder / re.sub("[.]gz$", "", path.name)
    ElementTree(root).write(target, encoding="utf-8", xml_declaration=True)
    return target


def _variant(original: Element, name: str, change: Variant) -> Element:
    variant = copy.deepcopy(original)
    for element in variant.iter():
        if element.tag in ("vType", "vTypeDistribution"):
            element.set("id", f"{element.get('id', '')}_{name}")
        if "vTypes" in element.attrib:
            element.set("vTypes", " ".join(f"{member}_{name}" for member in element.attrib["vTypes"].split()))
        if element.tag == "vType":
            if element.get("vClass", "passenger") == "passenger":
                # Cars differ in how fast they like to go; SUMO gives other classes no such spread.
                element.attrib.setdefault("speedFactor", "normc(1,0.1,0.2,2)")
            element.attrib.update(change.attributes)
            for old in [p for p in element.findall("param") if p.get("key") in change.parameters]:
                element.remove(old)
            for key, value in change.parameters.items():
                SubElement(element, "param", key=key, value=value)
    return variant
