"""Counts from messages: entities TrafficFlowObserved of NGSI-LD, and measured data of DATEX II.

Of DATEX II versions 2 and 3 the classes MeasuredDataPublication and MeasurementSiteTablePublication are read. Names are
those of classes generated from the schemas, as public repositories hold them, and those in what reads the operators'
feeds: the Dutch NDW counts by lane and class of length, writes -1 for what is missing, marks errors and gives the
direction as ``measurementSide``; the Swiss feed counts by type of vehicle; the Icelandic one, version 3, marks faulty
sensors.
"""

from __future__ import annotations

import datetime as dt
import json
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, ParseError
from zoneinfo import ZoneInfo

import defusedxml.ElementTree
import numpy as np
import shapely
from defusedxml.common import DefusedXmlException

from cosim.core import InputFileError

HOURS = 24
SUFFIXES = (".json", ".jsonld", ".jsonl", ".ndjson", ".xml")
_ANY = frozenset({"", "anyVehicle"})
_WHOLE = "allLanesCompleteCarriageway"
_BOUND = {
    "northBound": 0.0, "northEastBound": 45.0, "eastBound": 90.0, "southEastBound": 135.0, "southBound": 180.0,
    "southWestBound": 225.0, "westBound": 270.0, "northWestBound": 315.0,
}  # fmt: skip


@dataclass
class Site:
    """A place of observations with what is known of it, and its rates by moment and lane. [veh/h]"""

    point: tuple[float, float] | None = None
    direction_deg: float | None = None
    street: str = ""
    rates: dict[tuple[dt.datetime, str], float] | None = None


def is_stream(path: Path) -> bool:
    """Return whether a path is a file or folder of messages instead of a table."""
    return path.is_dir() or path.suffix.lower() in SUFFIXES


def read_sites(path: Path, zone: str) -> dict[str, tuple[Site, np.ndarray]]:
    """Read messages of a file, or of all files in a folder, and average them by hour of the day.

    A message that comes twice counts once, the last one of a moment. Lanes of a place add up, and so do types of
    vehicles where none stands for all; a moment at which one of them is missing or marked as an error is left out. A
    moment of DATEX II is taken for the beginning of what was measured.

    Parameters
    ----------
    path
        JSON, JSON lines or XML, or a folder of such files.
    zone
        IANA time zone, to which the hours belong.

    Returns
    -------
    By name of the site: what is known of it, and vehicles by hour of the day, shape (24,), NaN for hours without an
    observation. [veh/h]

    Raises
    ------
    InputFileError
        If a file cannot be read, or no message has a flow; wrong messages are all named in one error.
    """
    files = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES) if path.is_dir() else [path]
    sites: dict[str, Site] = defaultdict(lambda: Site(rates={}))
    problems: list[str] = []
    trees = []
    for file in files:
        if file.suffix.lower() == ".xml":
            trees.append(_tree(file))
        else:
            for entity in _entities(file):
                _take_entity(sites, entity, problems)
    chosen: dict[str, dict[str, tuple[str, str]]] = {}
    for tree in trees:
        _take_table(sites, chosen, tree)
    for tree in trees:
        _take_measured(sites, chosen, tree, problems)
    if problems:
        more = f"; and {len(problems) - 10} more" if len(problems) > 10 else ""
        raise InputFileError(
            f"{path} has messages that cannot be used: {'; '.join(problems[:10])}{more}. Correct or remove them"
        )
    found = {name: (site, _by_hour(site, ZoneInfo(zone))) for name, site in sites.items() if site.rates}
    if not found:
        raise InputFileError(
            f"{path} has no flow: give entities TrafficFlowObserved with intensity, or a MeasuredDataPublication of "
            "DATEX II with vehicleFlowRate"
        )
    return found


def _by_hour(site: Site, zone: ZoneInfo) -> np.ndarray:
    lanes: dict[dt.datetime, dict[str, float]] = defaultdict(dict)
    for (moment, lane), rate in (site.rates or {}).items():
        lanes[moment][lane] = rate
    by_hour: dict[int, list[float]] = defaultdict(list)
    for moment, by_lane in lanes.items():
        rate = by_lane.get(_WHOLE, math.fsum(by_lane.values()))
        if not math.isnan(rate):
            by_hour[moment.astimezone(zone).hour].append(rate)
    return np.array([np.mean(by_hour[h]) if h in by_hour else np.nan for h in range(HOURS)])


def _entities(file: Path) -> Iterator[Mapping[str, Any]]:
    try:
        text = file.read_text(encoding="utf-8-sig")
        try:
            content = json.loads(text)
        except json.JSONDecodeError:
            if file.suffix.lower() == ".json":
                raise
            content = [json.loads(line) for line in text.splitlines() if line.strip()]
    except (OSError, ValueError, RecursionError) as error:
        raise InputFileError(f"{file} cannot be read as JSON: {error}") from error
    if isinstance(content, dict) and isinstance(content.get("data"), list):  # the body of a notification
        content = content["data"]
    for entity in content if isinstance(content, list) else [content]:
        if isinstance(entity, list):
            yield from (one for one in entity if isinstance(one, dict))
        elif isinstance(entity, dict):
            yield entity


def _plain(entity: Mapping[str, Any], name: str) -> Any:
    """Return an attribute's value, normalized or simplified, by its short name or its whole address."""
    found = entity.get(name, next((v for k, v in entity.items() if k.rpartition("/")[2] == name), None))
    if isinstance(found, dict):
        found = found.get("value", found.get("object", found.get("@value", found)))
    return found


def _take_entity(sites: dict[str, Site], entity: Mapping[str, Any], problems: list[str]) -> None:
    name = str(entity.get("id", "an entity without id"))
    if str(entity.get("type", "")).rpartition("/")[2] != "TrafficFlowObserved":
        return
    try:
        begin, end = _period(entity)
        vehicles = _plain(entity, "intensity")
        if isinstance(vehicles, str):
            vehicles = float(vehicles.replace(",", "."))
        if vehicles is None or isinstance(vehicles, bool) or not math.isfinite(vehicles):
            raise ValueError(f"has the intensity {vehicles!r}: it must be a number of vehicles")
        if vehicles < 0:
            raise ValueError(f"counts {vehicles:g} vehicles: a count cannot be negative")
        segment, lane = _plain(entity, "refRoadSegment"), _plain(entity, "laneId")
        site = sites[str(segment) if segment and lane is not None else name]
        place = _plain(entity, "location")
        if isinstance(place, dict):
            middle = shapely.geometry.shape(place)
            middle = middle.interpolate(0.5, normalized=True) if middle.geom_type == "LineString" else middle.centroid
            site.point = (float(middle.x), float(middle.y))
        site.street = str(_plain(entity, "name") or site.street)
        assert site.rates is not None
        site.rates[begin, str(lane)] = float(vehicles) * 3600.0 / (end - begin).total_seconds()
    except (KeyError, TypeError, AttributeError, shapely.errors.ShapelyError) as error:
        problems.append(f"{name} has an attribute that cannot be read: {type(error).__name__}: {error}")
    except ValueError as error:
        problems.append(f"{name} {error}")


def _period(entity: Mapping[str, Any]) -> tuple[dt.datetime, dt.datetime]:
    begin, end = (_plain(entity, name) for name in ("dateObservedFrom", "dateObservedTo"))
    if begin is None or end is None:
        begin, _, end = str(_plain(entity, "dateObserved") or "").partition("/")
    try:
        period = _moment(str(begin)), _moment(str(end))
    except ValueError:
        raise ValueError(
            "does not say from when to when it counts: give dateObservedFrom and dateObservedTo, or an interval as "
            "dateObserved"
        ) from None
    if period[1] <= period[0]:
        raise ValueError(f"counts from {begin} to {end}: the end must be later")
    return period


def _moment(text: str) -> dt.datetime:
    moment = dt.datetime.fromisoformat(text.strip())
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)


def _tree(file: Path) -> Element:
    try:
        root = defusedxml.ElementTree.parse(file, forbid_dtd=True).getroot()
    except (OSError, ParseError, DefusedXmlException, ValueError) as error:
        raise InputFileError(f"{file} cannot be read as DATEX II: {error}") from error
    assert root is not None
    return root


def _all(element: Element, name: str) -> list[Element]:
    """Return descendants by name, of any namespace: profiles and versions differ in theirs."""
    return [one for one in element.iter() if isinstance(one.tag, str) and one.tag.rpartition("}")[2] == name]


def _text(element: Element, name: str) -> str:
    found = _all(element, name)
    return "".join(found[0].itertext()).strip() if found else ""


def _take_table(sites: dict[str, Site], chosen: dict[str, dict[str, tuple[str, str]]], root: Element) -> None:
    """Take places, and per index of a measured value its lane and vehicle type, from a table of sites."""
    for record in [*_all(root, "measurementSiteRecord"), *_all(root, "measurementSite")]:
        name = record.get("id", "")
        latitude, longitude = _text(record, "latitude"), _text(record, "longitude")
        site = sites[name]
        if latitude and longitude:
            site.point = (float(longitude), float(latitude))
        site.street = _text(record, "measurementSiteName") or site.street
        keys = ("directionBoundOnLinearSection", "directionBoundAtPoint", "directionBound", "measurementSide")
        bound = next((t for key in keys if (t := _text(record, key))), "")
        site.direction_deg = _BOUND.get(bound)
        for wrapper in _all(record, "measurementSpecificCharacteristics"):
            if (index := wrapper.get("index")) is not None:
                kind = _text(wrapper, "vehicleType") or _text(wrapper, "specificVehicleCharacteristics")
                chosen.setdefault(name, {})[index] = _text(wrapper, "specificLane"), kind


def _take_measured(
    sites: dict[str, Site], chosen: dict[str, dict[str, tuple[str, str]]], root: Element, problems: list[str]
) -> None:
    for measured in _all(root, "siteMeasurements"):
        reference = _all(measured, "measurementSiteReference")
        name = reference[0].get("id", "") if reference else ""
        try:
            moment = _moment(_text(measured, "measurementTimeDefault"))
        except ValueError:
            problems.append(f"{name or 'a site without id'} has no measurementTimeDefault that is a time")
            continue
        try:
            found = _by_lane(measured, chosen.get(name))
        except ValueError as error:
            problems.append(f"{name} {error} at {moment}")
            continue
        rates = sites[name].rates
        assert rates is not None
        for lane, rate in found.items():
            if math.isnan(rate):
                rates.setdefault((moment, lane), rate)
            else:
                rates[moment, lane] = rate


def _by_lane(measured: Element, chosen: Mapping[str, tuple[str, str]] | None) -> dict[str, float]:
    """Return the rate of all vehicles by lane, NaN if it is not known. [veh/h]"""
    flows = _all(measured, "vehicleFlow")
    if chosen is None and len(flows) > 1:
        raise ValueError(
            f"has {len(flows)} flows and no table says of which lanes and vehicles: put the publication of its "
            "measurement sites beside it"
        )
    lanes: dict[str, dict[str, float]] = defaultdict(dict)
    for k, value in enumerate(flows):
        index, faulty = _index(measured, value)
        lane, kind = (chosen or {}).get(index or str(k), (index or "", ""))
        text = _text(value, "vehicleFlowRate")
        try:
            rate = float(text)
        except ValueError:
            rate = math.inf
        missing = faulty or _text(value, "dataError") == "true" or rate == -1
        if not missing and not (math.isfinite(rate) and rate >= 0):
            raise ValueError(f"has the vehicleFlowRate {text!r}")
        lanes[lane]["" if kind in _ANY else kind] = math.nan if missing else rate
    return {lane: by_kind.get("", math.fsum(by_kind.values())) for lane, by_kind in lanes.items()}


def _index(measured: Element, flow: Element) -> tuple[str | None, bool]:
    """Return the index of the measured value around a flow, and whether its sensor is faulty."""
    for name in ("physicalQuantity", "measuredValue"):
        for wrapper in _all(measured, name):
            if wrapper.get("index") is not None and any(one is flow for one in wrapper.iter()):
                return wrapper.get("index"), bool(_all(wrapper, "physicalQuantityFault"))
    return None, False
