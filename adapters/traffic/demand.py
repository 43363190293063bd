"""Vehicle types, emission classes and trips in SUMO's files, and their electric variants."""

from __future__ import annotations

import copy
import math
import os
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from xml.etree.ElementTree import Element, ElementTree, SubElement

from cosim.adapters.traffic.census import census
from cosim.adapters.traffic.files import (
    SumoConfiguration,
    absolute,
    attributes,
    elements,
    input_attributes,
    mentions,
    read_configuration,
    root_of,
    seconds,
    with_includes,
)
from cosim.core.errors import CosimError, InputFileError

DEFAULT_TYPE = "DEFAULT_VEHTYPE"
_BUILT_IN = {
    DEFAULT_TYPE: "passenger",
    "DEFAULT_TAXITYPE": "taxi",
    "DEFAULT_BIKETYPE": "bicycle",
    "DEFAULT_RAILTYPE": "rail",
}
"""Vehicle classes of the types that SUMO knows without a definition."""
_CAR = "HBEFA4/PC_petrol_Euro-4"
_EMISSION_CLASS = defaultdict(lambda: _CAR, {
    "bus": "HBEFA4/UBus_Std_gt15-18t_Euro-VI_A-C", "coach": "HBEFA4/Coach_3-Axes_gt18t_Euro-VI_A-C",
    "delivery": "HBEFA4/LCV_diesel_N1-III_Euro-6ab", "emergency": "HBEFA4/LCV_diesel_N1-III_Euro-6ab",
    "moped": "HBEFA4/Moped_le50cc_Euro-2", "motorcycle": "HBEFA4/MC_4S_gt250cc_preEuro",
    "truck": "HBEFA4/RT_le7.5t_Euro-VI_A-C", "trailer": "HBEFA4/TT_AT_gt34-40t_Euro-VI_A-C",
    "rail": "HBEFA3/HDV_D_EU0", "ship": "HBEFA3/HDV_D_EU0",
    **dict.fromkeys(("bicycle", "evehicle", "pedestrian", "rail_electric", "rail_fast", "rail_urban", "scooter",
                     "subway", "tram", "wheelchair"), "Zero/default"),
})  # fmt: skip
"""SUMO 1.28's default emission class of a vehicle type, by vehicle class."""

ELECTRIC_CLASS = "HBEFA4/PC_BEV"
_ELECTRIC = "electric"
BATTERY = {"has.battery.device": "true", "device.battery.capacity": "1000000", "device.battery.chargeLevel": "500000"}
"""A battery that no trip empties or fills: the state of charge is modelled outside SUMO. [Wh]"""

_TYPE = re.compile(rb"<vType")
_NAMES_BUILT_IN = {name: re.compile(rb"""\stype\s*=\s*["']%s["']""" % name.encode()) for name in _BUILT_IN}
_HAS_BATTERY = re.compile(rb"(?:has|device)\.battery\.")
VEHICLES = ("trip", "vehicle")
_CAR_CLASSES = ("passenger", "private", "hov", "evehicle")
_NOT_OF_CARS = re.compile(
    r"(?:^|/)(?:HDV|LDV|LCV|U?Bus|Coach|[RT]T|MC|Moped|L?NF|LKW|[RL]B|L?SZ|MOP|MR|KKR)[_ ]?", re.I
)
"""HBEFA's and PHEM's emission classes of other vehicles than passenger cars."""
BUILT_IN_CARS: Mapping[str, bool | None] = {name: kind in _CAR_CLASSES for name, kind in _BUILT_IN.items()}
"""Whether SUMO's own types are of passenger cars."""


def is_car(element: Element, known: Mapping[str, bool | None]) -> bool | None:
    """Return whether a ``vType`` is of passenger cars, or all types of a ``vTypeDistribution``; None if only some are.

    Parameters
    ----------
    element
        The definition.
    known
        The same of types defined before.
    """
    if element.tag == "vType":
        named = _NOT_OF_CARS.search(element.get("emissionClass", ""))
        return element.get("vClass", "passenger") in _CAR_CLASSES and named is None
    members = {is_car(member, known) for member in element.findall("vType")}
    members |= {known.get(name) for name in element.get("vTypes", "").split()}
    return members.pop() if len(members) == 1 else None


class VehicleType(NamedTuple):
    """A vehicle type of a scenario, SUMO's own included."""

    name: str
    vehicle_class: str
    emission_class: str


def vehicle_types(files: Iterable[Path]) -> list[VehicleType]:
    """Return the vehicle types that a scenario's vehicles may have, in the order of the files.

    A type without an emission class has SUMO's default for its vehicle class; vehicles without a type have SUMO's
    default type.

    Raises
    ------
    InputFileError
        If a file cannot be read, or a type has a battery of negative capacity.
    """
    found: list[tuple[VehicleType, bool]] = []  # and whether the type is SUMO's own
    defined: set[str] = set()
    for path in files:
        if None in census(path).vehicles:
            found.append((VehicleType(DEFAULT_TYPE, "passenger", _CAR), True))
        found += [
            (VehicleType(kind, vehicle_class, _EMISSION_CLASS[vehicle_class]), True)
            for kind, vehicle_class in _BUILT_IN.items()
            if mentions(path, _NAMES_BUILT_IN[kind], (kind.encode(),))
        ]
        if not mentions(path, _TYPE, (_TYPE.pattern,)):
            continue
        for _, element in elements(path, ("end",)):
            if element.tag in ("vType", "vTypeDistribution") and "id" in element.attrib:
                defined.add(element.attrib["id"])
            if element.tag == "vType" and "id" in element.attrib:
                vehicle_class = element.get("vClass", "passenger")
                name = element.get("emissionClass") or _EMISSION_CLASS[vehicle_class]
                found.append((VehicleType(element.attrib["id"], vehicle_class, name), False))
                _check_battery(path, element)
    return [kind for kind, is_built_in in found if not (is_built_in and kind.name in defined)]


def emission_classes(files: Iterable[Path]) -> dict[str, tuple[str, ...]]:
    """Return the vehicle types of every emission class, in the order of the files; see `vehicle_types`.

    Raises
    ------
    InputFileError
        If a file cannot be read, or a type has a battery of negative capacity.
    """
    classes: dict[str, list[str]] = {}
    for kind in vehicle_types(files):
        classes.setdefault(kind.emission_class, []).append(kind.name)
    return {name: tuple(dict.fromkeys(types)) for name, types in classes.items()} or {_CAR: (DEFAULT_TYPE,)}


def check_kinds(kinds: Mapping[str, Sequence[str]], classes: Mapping[str, Sequence[str]]) -> None:
    """Refuse kinds of vehicles that leave out a vehicle type or have one twice.

    Raises
    ------
    CosimError
        With the type.
    """
    known = sorted(kind for types in classes.values() for kind in types)
    listed = sorted(kind for types in kinds.values() for kind in types)
    if kinds and known != listed:
        odd = next((kind for kind in listed if listed.count(kind) > 1), None) or min(set(known) ^ set(listed))
        raise CosimError(
            f"kinds must list every vehicle type of the scenario once: {odd!r} is missing, unknown or twice"
        )


def _check_battery(path: Path, vehicle_type: Element) -> None:
    for parameter in vehicle_type.iter("param"):
        key, value = parameter.get("key"), parameter.get("value", "")
        if key in ("device.battery.capacity", "maximumBatteryCapacity"):
            try:
                possible = 0 <= float(value) < math.inf
            except ValueError:
                possible = False
            if not possible:
                raise InputFileError(
                    f"{path}: vehicle type {vehicle_type.get('id')!r} has a {key} of {value!r}: write a number of Wh, "
                    "at least 0"
                )


def grouped(classes: Mapping[str, tuple[str, ...]], groups: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Return the vehicle types by group of emission classes; a class without a group is one of its own."""
    found: dict[str, tuple[str, ...]] = {}
    for name, types in classes.items():
        group = groups.get(name, name)
        found[group] = (*found.get(group, ()), *types)
    return found


def is_electric(emission_class: str) -> bool:
    """Return whether an emission class of SUMO is one of vehicles that drive by electricity alone."""
    return bool(re.search("bev|electric|^(energy|mmpevem)", emission_class, re.I))


def has_batteries(configuration: SumoConfiguration) -> bool:
    """Return whether any vehicle of a scenario can have SUMO's battery device."""
    named = any(name.startswith("device.battery.") for name in configuration.options)
    return named or any(mentions(path, _HAS_BATTERY, (b"battery",)) for path in configuration.demand)


_MANNER = ("departLane", "departPos", "departSpeed", "arrivalLane", "arrivalPos", "arrivalSpeed")


class Departure(NamedTuple):
    """Time and manner of a trip's departure and arrival."""

    time_s: float
    manner: dict[str, str]
    """SUMO's attributes of position and speed at departure and arrival."""


def departures(routes: Iterable[Path], trips: Sequence[str]) -> list[Departure]:
    """Return time and manner of the departure of trips.

    Raises
    ------
    CosimError
        If a trip is in no route file, is duplicated in ``trips``, or has no departure time.
    """
    found: dict[str, Departure | None] = dict.fromkeys(trips)
    if len(found) != len(trips):
        raise CosimError("electric has a duplicate trip: name each trip once")
    for path in routes:
        if None not in found.values():
            break
        for _, given in attributes(path, VEHICLES, ("id", "depart", *_MANNER), found):
            label, depart = given["id"], given.get("depart")
            try:
                time_s = seconds(depart or "")
            except ValueError:
                raise CosimError(
                    f"electric trip {label!r} departs at {depart!r}: an electric trip needs a departure time"
                ) from None
            found[label] = Departure(time_s, {key: given[key] for key in _MANNER if key in given})
    if lost := [trip for trip, depart in found.items() if depart is None]:
        more = f" (and {len(lost) - 1} more)" if len(lost) > 1 else ""
        raise CosimError(
            f"electric trip {lost[0]!r}{more} is in no route file: name trips and vehicles; vehicles of a flow have "
            "no name before they depart"
        )
    return [depart for depart in found.values() if depart is not None]


def last_departure_s(routes: Iterable[Path]) -> float:
    """Return the departure time of the last trip or flow in files; 0 if none has a time. [s]"""
    latest = 0.0
    for path in routes:
        for _, given in attributes(path, (*VEHICLES, "flow"), ("depart", "begin")):
            with suppress(ValueError):  # triggered by a waiting person or container
                latest = max(latest, seconds(given.get("depart") or given.get("begin") or ""))
    return latest


@dataclass(frozen=True, slots=True)
class Variant:
    """What is different in a variant of a vehicle type: its attributes, and its generic parameters."""

    attributes: Mapping[str, str]
    parameters: Mapping[str, str] = field(default_factory=dict)
    writes_spread: bool = True
    """Whether SUMO's spread of cars' speeds is written out: it gives other vehicle classes none."""


def scenario_files(configuration: SumoConfiguration) -> dict[Path, Element]:
    """Return the roots of a scenario's additional and route files and of those that they include."""
    return {path: root_of(path) for path in configuration.demand}


def write_retyped(
    configuration: SumoConfiguration,
    files: Mapping[Path, Element],
    chosen: Mapping[str, str],
    variants: Mapping[str, Variant],
    target: Path,
) -> None:
    """Write a scenario in which some trips are made by variants of their vehicle types.

    Every vehicle type and distribution of types gets all variants, after it in its file. A file that defines no type
    and holds none of the trips is read where it is.

    Parameters
    ----------
    configuration
        The scenario.
    files
        Its `scenario_files`; changed in place.
    chosen
        The variant of each trip, vehicle or flow, by its id; the others keep their type.
    variants
        The variants by name.
    target
        The configuration of the new scenario, beside which its other new files go; it names files by where they are
        from there.
    """
    missing = {(kind, name) for kind in _BUILT_IN for name in variants}
    missing -= {(kind.get("id", ""), name) for root in files.values() for kind in _types(root) for name in variants}
    built_in = {path: _retype_vehicles(root, chosen) for path, root in files.items()}
    changed = {path for path, root in files.items() if _add_variants(root, variants) or built_in[path] is not None}
    # SUMO reads a file's own types before the files that it includes.
    for path in (*configuration.additionals, *configuration.routes) if changed else ():
        asked = {pair for part in with_includes([path]) for pair in built_in[part] or ()}
        for kind, variant in sorted(asked & missing):
            own = {} if kind == DEFAULT_TYPE else {"vClass": _BUILT_IN[kind]}
            files[path].insert(0, _variant(Element("vType", own, id=kind), variant, variants[variant]))
            changed.add(path)
        missing -= asked
    write_changed(configuration, files, changed, target)


def write_changed(
    configuration: SumoConfiguration,
    files: Mapping[Path, Element],
    changed: Collection[Path],
    target: Path,
    *,
    routes: Sequence[Path] = (),
) -> None:
    """Write a scenario some of whose `scenario_files` have changed.

    Parameters
    ----------
    configuration
        The scenario.
    files
        Its `scenario_files`.
    changed
        Those that are written anew; all others, unless they include one of these, are read where they are.
    target
        The configuration of the new scenario, beside which its other new files go.
    routes
        Route files that are added.
    """
    folder = target.parent
    folder.mkdir(parents=True, exist_ok=True)
    options = {**configuration.options, "net-file": _from(folder, configuration.net)}
    written: dict[Path, Path] = {}

    def write(path: Path, name: str) -> Path:
        if path in written:
            return written[path]
        root, anew = files[path], path in changed
        for number, element in enumerate(root.iter("include")):
            included = absolute(element.get("href", ""), path.parent)
            copy = write(included, f"{name}-{number}")
            element.set("href", _from(folder, copy))
            anew |= copy != included
        if anew:
            for element, key in input_attributes(root):
                element.set(key, _from(folder, absolute(element.attrib[key], path.parent)))
            written[path] = folder / f"{name}-{re.sub('[.]gz$', '', path.name)}"
            ElementTree(root).write(written[path], encoding="utf-8", xml_declaration=True)
        return written.setdefault(path, path)

    for name, paths in (("additional-files", configuration.additionals), ("route-files", configuration.routes)):
        copies = [write(path, f"{name}-{number}") for number, path in enumerate(paths)]
        copies += routes if name == "route-files" else []
        options[name] = ",".join(_from(folder, copy) for copy in copies)
    root = Element("configuration")
    for name, value in options.items():
        if value:
            SubElement(root, name, value=value)
    ElementTree(root).write(target, encoding="utf-8", xml_declaration=True)


def electric_variant(
    sumocfg: str | Path, trips: Collection[str], folder: Path, *, emission_class: str = ELECTRIC_CLASS
) -> Path:
    """Write a scenario in which some trips use electric vehicles that drive exactly like the original ones.

    Every vehicle type and distribution of types gets a variant with the same parameters, the emission class of an
    electric car and a battery, after it in its file; the electric trips name the variant of their type.

    Parameters
    ----------
    sumocfg
        The scenario.
    trips
        Trips and vehicles that become electric.
    folder
        Folder of the new files; all other files are read in place.
    emission_class
        SUMO's emission class of the variants.

    Returns
    -------
    Path
        The configuration of the new scenario.

    Raises
    ------
    CosimError
        If a trip is in no route file, or the configuration's ``scale`` is above 1.
    """
    configuration = read_configuration(sumocfg)
    files = scenario_files(configuration)
    if float(configuration.options.get("scale") or 1) > 1:
        raise CosimError(
            f"{sumocfg} sets scale to {configuration.options['scale']}: SUMO would copy electric trips, and the copies "
            "would charge nowhere; write the copies as trips, or leave scale at 1"
        )
    known = {vehicle.get("id") for root in files.values() for vehicle in root.iter() if vehicle.tag in VEHICLES}
    if left := set(trips) - known:
        raise CosimError(
            f"trip {min(left)!r} is in no route file of {sumocfg}: only trips and vehicles can be made electric"
        )
    electric = Variant({"emissionClass": emission_class}, BATTERY, writes_spread=False)
    target = folder / Path(sumocfg).name
    write_retyped(configuration, files, dict.fromkeys(trips, _ELECTRIC), {_ELECTRIC: electric}, target)
    return target


def _from(folder: Path, path: Path) -> str:
    return os.path.relpath(path.parent.resolve() / path.name, folder.resolve())


def _types(root: Element) -> list[Element]:
    return [element for element in root.iter() if element.tag in ("vType", "vTypeDistribution")]


def _retype_vehicles(root: Element, chosen: Mapping[str, str]) -> set[tuple[str, str]] | None:
    """Give vehicles their variants; return those of SUMO's own types, None if no vehicle of the file is chosen."""
    built_in: set[tuple[str, str]] | None = None
    for vehicle in root.iter():
        if vehicle.tag in (*VEHICLES, "flow") and (variant := chosen.get(vehicle.get("id", ""))) is not None:
            built_in = built_in or set()
            kind = vehicle.get("type", DEFAULT_TYPE)
            vehicle.set("type", f"{kind}_{variant}")
            if kind in _BUILT_IN:
                built_in.add((kind, variant))
    return built_in


def _add_variants(root: Element, variants: Mapping[str, Variant]) -> bool:
    """Give a file's types their variants; tell whether it has any types."""
    changed = False
    for position, element in reversed(list(enumerate(root))):
        if element.tag in ("vType", "vTypeDistribution"):
            for name, change in variants.items():
                root.insert(position + 1, _variant(element, name, change))
            changed = True
    return changed


def _variant(original: Element, name: str, change: Variant) -> Element:
    variant = copy.deepcopy(original)
    for element in variant.iter():
        if element.tag in ("vType", "vTypeDistribution"):
            element.set("id", f"{element.get('id', '')}_{name}")
        if "vTypes" in element.attrib:
            element.set("vTypes", " ".join(f"{member}_{name}" for member in element.attrib["vTypes"].split()))
        if element.tag == "vType":
            if change.writes_spread and element.get("vClass", "passenger") == "passenger":
                element.attrib.setdefault("speedFactor", "normc(1,0.1,0.2,2)")
            element.attrib.update(change.attributes)
            for old in [p for p in element.findall("param") if p.get("key") in change.parameters]:
                element.remove(old)
            for key, value in change.parameters.items():
                SubElement(element, "param", key=key, value=value)
    return variant
