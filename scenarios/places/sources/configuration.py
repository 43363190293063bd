"""A city around the traffic of a SUMO configuration, as the twin `cosim.scenarios.bologna` has it.

Streets and traffic are those of the configuration, buildings are drawn along the streets, with the storeys and years of
Bologna.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from copy import deepcopy
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, tostring

import numpy as np
import pandas as pd

from cosim.adapters.traffic.demand import BUILT_IN_CARS, DEFAULT_TYPE, VEHICLES, is_car
from cosim.adapters.traffic.files import included_elements, read_configuration, seconds
from cosim.adapters.traffic.flows import flows_as_trips
from cosim.adapters.traffic.staging import input_files
from cosim.core import InputFileError
from cosim.core.quantities import HOUR_S
from cosim.core.random import uniform
from cosim.scenarios.fleet.route_files import nearest_sites
from cosim.scenarios.mobility.routing import gates, write_xml
from cosim.scenarios.places.findings import Findings
from cosim.scenarios.streets.network import Net, read_net, unproject, without_dates

from .osm import Place
from .sites import sites_as_places

BEGIN_S = 8 * HOUR_S
"""Time of day at which the configuration begins, as in `cosim.scenarios.bologna`. [s]"""
SITES = 300
"""Number of buildings where none is given, as in `cosim.scenarios.bologna`."""
BUILT = {1890: 0.25, 1930: 0.25, 1955: 0.25, 1970: 0.25}
STOREYS = (3, 5)
"""Share of the buildings by year, and their least and largest number of storeys, as in `cosim.scenarios.bologna`.
Assumptions."""

_KEPT = ("busStop", "trainStop", "containerStop", "tlLogic")


def configuration_inputs(sumocfg: Path) -> tuple[Path, ...]:
    """Return the configuration and the files that it reads.

    Raises
    ------
    InputFileError
        If one is missing or damaged.
    """
    return tuple(sorted(input_files(read_configuration(sumocfg))))


def draw_around(
    sumocfg: Path, sites: int, seed: int, net_file: Path
) -> tuple[list[Place], tuple[float, float, float, float]]:
    """Take the streets of a configuration, and draw buildings along them.

    Parameters
    ----------
    sumocfg
        The configuration.
    sites, seed
        Number of buildings, and the seed of their places, storeys and years.
    net_file
        Receives the network.

    Returns
    -------
    The buildings, and west, south, east, north. [°]

    Raises
    ------
    InputFileError
        If the configuration is missing or damaged, or its network is compressed or has no projection.
    """
    source = read_configuration(sumocfg).net
    net = read_net(source)
    if not net.hasGeoProj() or source.suffix == ".gz":
        raise InputFileError(f"{source} has no geographic projection or is compressed: give a plain network of a map")
    shutil.copyfile(source, net_file)
    without_dates(net_file)
    found = sites_as_places(net, sites, seed)
    labels = [place.label for place in found]
    low, high = STOREYS
    storeys = low + (uniform(seed, "storeys", labels) * (high - low + 1)).astype(int)
    bounds = np.cumsum(list(BUILT.values()))
    years = np.array(list(BUILT))[np.searchsorted(bounds, uniform(seed, "year", labels) * bounds[-1], "right")]
    for place, floors, year in zip(found, storeys.tolist(), years.tolist()):
        place.tags.update({"building:levels": str(floors), "start_date": str(year)})
    (west, south), (east, north) = net.getBBoxXY()
    lon, lat = unproject(net, [west, east, west, east], [south, south, north, north])
    return found, (float(lon.min()), float(lat.min()), float(lon.max()), float(lat.max()))


def take_drives(
    sumocfg: Path, net: Net, homes: pd.DataFrame, work: Path, findings: Findings, seed: int
) -> pd.DataFrame:
    """Return the cars of a configuration as the drives of a day that begins at midnight.

    Parameters
    ----------
    sumocfg
        The configuration.
    net, homes
        The network, and residential buildings, at which cars park that do not come from or go beyond the border.
    work
        For files that are written on the way.
    findings
        Receives cars that no route of the network carries.
    seed
        Seed of SUMO's draws among flows.

    Returns
    -------
    As `DayPlan.legs`.
    """
    edges = {str(edge.getID()): edge for edge in net.getEdges(withInternal=False)}
    rows, late = [], _late_s(sumocfg)
    for element, way, car in _vehicles(sumocfg, work, seed):
        if not car:
            continue
        label = str(element.get("id"))
        if not way or not all(edge in edges and edges[edge].allows("passenger") for edge in way):
            findings.add("dropped", "car without a route of streets for cars", label)
            continue
        depart = seconds(element.get("depart", "")) + late
        rows.append((label, label, "through", depart, way[0], np.nan, way[-1], np.nan, " ".join(way)))
    columns = ["vehicle", "car", "purpose", "depart_s", "start", "start_m", "end", "end_m", "edges"]
    table = pd.DataFrame(rows, columns=columns).set_index("vehicle")
    entries, exits = gates(net)
    table["origin"] = nearest_sites(table["start"].tolist(), edges, entries, homes)
    table["destination"] = nearest_sites(table["end"].tolist(), edges, exits, homes)
    return table.assign(outside_km=0.0)


def take_transit(sumocfg: Path, work: Path, folder: Path, findings: Findings, seed: int) -> dict[str, int]:
    """Write the configuration's other vehicles, its stops and signal programs; return how many of each there are."""
    rows, lines, late = [], set(), _late_s(sumocfg)
    for element, way, car in _vehicles(sumocfg, work, seed):
        if car:
            continue
        vehicle = deepcopy(element)
        vehicle.set("depart", f"{seconds(element.get('depart', '')) + late:g}")
        for stop in vehicle.iter("stop"):
            for key in ("until", "arrival"):
                if key in stop.attrib:
                    stop.set(key, f"{seconds(stop.attrib[key]) + late:g}")
        if way and vehicle.find("route") is None:
            vehicle.attrib.pop("route", None)
            vehicle.insert(0, Element("route", edges=" ".join(way)))
        if vehicle.find("stop") is not None:
            lines.add(vehicle.get("line", str(vehicle.get("id")).rpartition("_")[0]))
        rows.append((float(vehicle.get("depart", "0")), str(vehicle.get("id")), _text(vehicle)))
    config = read_configuration(sumocfg)
    kept: list[str] = []
    types: dict[str, str] = {}
    for _, element in included_elements((*config.additionals, *config.routes)):
        name = str(element.get("id"))
        if element.tag in _KEPT:
            kept.append(_text(element))
        elif element.tag in ("vType", "vTypeDistribution"):
            for member in element.findall("vType"):  # which came by themselves before
                types.pop(str(member.get("id")))
            types[name] = _text(element)
        elif "id" in element.attrib and element.tag not in (*VEHICLES, "route", "flow"):
            findings.add("dropped", f"{element.tag} of the configuration", name)
    write_xml(folder / "transit.add.xml", "additional", [*types.values(), *kept])
    write_xml(folder / "transit.rou.xml", "routes", [text for *_, text in sorted(rows)])
    stops = sum(not text.startswith("<tlLogic") for text in kept)
    return {"stops": stops, "lines": len(lines), "timetabled vehicles": len(rows)}


def _late_s(sumocfg: Path) -> float:
    return BEGIN_S - read_configuration(sumocfg).begin_s


def _text(element: Element) -> str:
    element.tail = None
    return tostring(element, encoding="unicode")


def _vehicles(sumocfg: Path, work: Path, seed: int) -> Iterable[tuple[Element, list[str], bool]]:
    """Return every vehicle that departs by the clock, the edges of its route, and whether it is a car without stops."""
    config = read_configuration(flows_as_trips(sumocfg, work, seed=seed))
    cars: dict[str, bool | None] = dict(BUILT_IN_CARS)
    known: dict[str, list[str]] = {}
    found = []
    for path, element in included_elements((*config.additionals, *config.routes)):
        name: Any = str(element.get("id"))
        if element.tag == "route" and "id" in element.attrib:
            known[name] = element.get("edges", "").split()
        elif element.tag in ("vType", "vTypeDistribution"):
            cars[name] = is_car(element, cars)
        elif element.tag in VEHICLES:
            try:
                seconds(element.get("depart", ""))
            except ValueError:
                raise InputFileError(
                    f"{path}: {element.tag} {name!r} departs at {element.get('depart')!r}: a city's traffic departs by "
                    "the clock, write seconds"
                ) from None
            route = element.find("route")
            way = known.get(element.get("route", ""), []) if route is None else route.get("edges", "").split()
            car = bool(cars.get(element.get("type", DEFAULT_TYPE), True)) and element.find("stop") is None
            found.append((element, way, car))
    return found
