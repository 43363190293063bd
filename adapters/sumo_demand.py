"""Who drives? Vehicle types, their emission classes and trips in SUMO's files, and the electric variants of them."""

from __future__ import annotations

import copy
import math
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple
from xml.etree.ElementTree import Element, ElementTree, SubElement

from cosim.adapters.sumo_files import (
    SumoConfiguration,
    absolute,
    elements,
    mentions,
    read_configuration,
    root_of,
    seconds,
)
from cosim.core.errors import CosimError, InputFileError

DEFAULT_TYPE = "DEFAULT_VEHTYPE"
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
"""What SUMO 1.28 gives a vehicle type that names no emission class, by its vehicle class."""

ELECTRIC_CLASS = "HBEFA4/PC_BEV"
_SUFFIX = "_electric"
BATTERY = {"has.battery.device": "true", "device.battery.capacity": "1000000", "device.battery.chargeLevel": "500000"}
"""A battery that no trip empties or fills: how full a vehicle's own one is, is for whoever owns the vehicle. [Wh]"""

_TYPE = re.compile(rb"<vType")
_UNTYPED = re.compile(rb"<(?:trip|vehicle|flow)\s(?![^>]*\stype\s*=)[^>]*>")
_HAS_BATTERY = re.compile(rb"(?:has|device)\.battery\.")
_VEHICLES = ("trip", "vehicle")


def emission_classes(files: Iterable[Path]) -> dict[str, tuple[str, ...]]:
    """Return the vehicle types of every emission class, in the order of the files.

    A type that names none has the class that SUMO gives its vehicle class; vehicles without a type are of SUMO's
    default type.

    Raises
    ------
    InputFileError
        If a file cannot be read, or a type has a battery of negative capacity.
    """
    classes: dict[str, list[str]] = {}
    for path in files:
        if mentions(path, _UNTYPED):
            classes.setdefault(_CAR, []).append(DEFAULT_TYPE)
        if not mentions(path, _TYPE):
            continue
        for _, element in elements(path, ("end",)):
            if element.tag == "vType" and "id" in element.attrib:
                name = element.get("emissionClass") or _EMISSION_CLASS[element.get("vClass", "passenger")]
                classes.setdefault(name, []).append(element.attrib["id"])
                _check_battery(path, element)
    return {name: tuple(dict.fromkeys(types)) for name, types in classes.items()} or {_CAR: (DEFAULT_TYPE,)}


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


def has_batteries(configuration: SumoConfiguration) -> bool:
    """Tell whether any vehicle of a scenario can have SUMO's battery device."""
    named = any(name.startswith("device.battery.") for name in configuration.options)
    return named or any(mentions(path, _HAS_BATTERY) for path in (*configuration.routes, *configuration.additionals))


_MANNER = ("departLane", "departPos", "departSpeed", "arrivalLane", "arrivalPos", "arrivalSpeed")


class Departure(NamedTuple):
    """When and how a trip is to begin and end."""

    time_s: float
    manner: dict[str, str]
    """SUMO's attributes of its first and last place and speed."""


def departures(routes: Iterable[Path], trips: Sequence[str]) -> list[Departure]:
    """Return when and how trips are to depart.

    Raises
    ------
    CosimError
        If a trip stands in no route file, stands twice among ``trips``, or has no time of departure.
    """
    found: dict[str, Departure | None] = dict.fromkeys(trips)
    if len(found) != len(trips):
        raise CosimError("electric names a trip twice: name each once")
    for path in routes if trips else ():
        for _, element in elements(path, ("end",)):
            if element.tag in _VEHICLES and element.get("id") in found:
                try:
                    time_s = seconds(element.get("depart", ""))
                except ValueError:
                    raise CosimError(
                        f"electric trip {element.get('id')!r} departs at {element.get('depart')!r}: an electric trip "
                        "needs a time of departure"
                    ) from None
                manner = {key: element.attrib[key] for key in _MANNER if key in element.attrib}
                found[element.attrib["id"]] = Departure(time_s, manner)
                element.clear()
    if lost := [trip for trip, depart in found.items() if depart is None]:
        more = f" (and {len(lost) - 1} more)" if len(lost) > 1 else ""
        raise CosimError(
            f"electric trip {lost[0]!r}{more} stands in no route file: name trips and vehicles, vehicles of a flow "
            "have no name before they depart"
        )
    return [depart for depart in found.values() if depart is not None]


def last_departure_s(routes: Iterable[Path]) -> float:
    """Return when the last trip or flow of some files is to begin; 0 if they have none with a time. [s]"""
    latest = 0.0
    for path in routes:
        for _, element in elements(path, ("end",)):
            if element.tag in (*_VEHICLES, "flow"):
                with suppress(ValueError):  # triggered by somebody who waits
                    latest = max(latest, seconds(element.get("depart") or element.get("begin") or ""))
                element.clear()
    return latest


def electric_variant(
    sumocfg: str | Path, trips: Collection[str], folder: Path, *, emission_class: str = ELECTRIC_CLASS
) -> Path:
    """Write a scenario in which some trips are made by electric vehicles that drive exactly as theirs did.

    Every vehicle type and distribution of types gets a variant with the same parameters, the emission class of an
    electric car and a battery, after it in its file; the electric trips name the variant of their type.

    Parameters
    ----------
    sumocfg
        The scenario.
    trips
        The trips and vehicles that become electric.
    folder
        Where the new files go; everything else is read where it is.
    emission_class
        SUMO's emission class of the variants.

    Returns
    -------
    Path
        The configuration of the new scenario.

    Raises
    ------
    CosimError
        If a trip stands in no route file.
    """
    configuration = read_configuration(sumocfg)
    folder.mkdir(parents=True, exist_ok=True)
    left, options = set(trips), dict(configuration.options)
    for name, files in (("additional-files", configuration.additionals), ("route-files", configuration.routes)):
        written = []
        for number, path in enumerate(files):
            root = root_of(path)
            if _electrify(root, path.parent, left, emission_class):
                target = folder / f"{name}-{number}-{re.sub('[.]gz$', '', path.name)}"
                ElementTree(root).write(target, encoding="utf-8", xml_declaration=True)
                written.append(str(target))
            else:
                written.append(str(path))
        options[name] = ",".join(written)
    if left:
        raise CosimError(f"trip {min(left)!r} stands in no route file of {sumocfg}: only trips and vehicles can be "
                         "made electric")  # fmt: skip
    root = Element("configuration")
    for name, value in options.items():
        if value:
            SubElement(root, name, value=value)
    target = folder / Path(sumocfg).name
    ElementTree(root).write(target, encoding="utf-8", xml_declaration=True)
    return target


def _electrify(root: Element, base: Path, left: set[str], emission_class: str) -> bool:
    """Make the trips electric that stand in a file, and give its types variants; tell whether it changed."""
    changed = False
    for vehicle in root.iter():
        if vehicle.tag in _VEHICLES and vehicle.get("id") in left:
            left.remove(vehicle.attrib["id"])
            changed = True
            kind = vehicle.get("type", DEFAULT_TYPE)
            vehicle.set("type", kind + _SUFFIX)
            if kind == DEFAULT_TYPE and root.find(f"vType[@id='{DEFAULT_TYPE}{_SUFFIX}']") is None:
                root.insert(0, _variant(Element("vType", id=DEFAULT_TYPE), emission_class))
    for position, element in reversed(list(enumerate(root))):
        if element.tag in ("vType", "vTypeDistribution") and not element.get("id", "").endswith(_SUFFIX):
            root.insert(position + 1, _variant(element, emission_class))
            changed = True
        elif "href" in element.attrib:
            element.set("href", str(absolute(element.attrib["href"], base)))
    return changed


def _variant(original: Element, emission_class: str) -> Element:
    variant = copy.deepcopy(original)
    for element in variant.iter():
        if element.tag in ("vType", "vTypeDistribution"):
            element.set("id", element.get("id", "") + _SUFFIX)
        if "vTypes" in element.attrib:
            element.set("vTypes", " ".join(name + _SUFFIX for name in element.attrib["vTypes"].split()))
        if element.tag == "vType":
            element.set("emissionClass", emission_class)
            for key, value in BATTERY.items():
                for old in element.findall(f"param[@key='{key}']"):
                    element.remove(old)
                SubElement(element, "param", key=key, value=value)
    return variant
