"""Vehicles that SUMO makes of flows and draws from distributions, written as trips that a choice can name."""

from __future__ import annotations

import copy
import math
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, ElementTree

from cosim.adapters.traffic.demand import (
    BUILT_IN_CARS,
    DEFAULT_TYPE,
    VEHICLES,
    is_car,
    last_departure_s,
    scenario_files,
    write_changed,
)
from cosim.adapters.traffic.files import SumoConfiguration, read_configuration, seconds
from cosim.adapters.traffic.session import Session, private_connection
from cosim.adapters.traffic.staging import stage
from cosim.core.errors import CosimError

_TIMES = ("begin", "end", "number", "period", "vehsPerHour", "perHour", "probability", "poisson")
_REMEDY = "write the vehicles of flows as trips, e.g. with the option --vehroute-output of a run of sumo"
_PERSONS = ("person", "personFlow", "container", "containerFlow")
_REROUTED = re.compile(r"!?(.*?)(?:!var#\d+)?")
"""The name that SUMO gives to the route of a vehicle that it has routed."""


@dataclass(frozen=True, slots=True)
class _Drawn:
    """What SUMO has drawn for a vehicle."""

    depart_s: float
    kind: str
    speed_factor: float
    route: str


@dataclass(frozen=True, slots=True)
class _Flow:
    element: Element
    end_s: float
    number: float


def flows_as_trips(sumocfg: str | Path, folder: Path, *, seed: int | None = None) -> Path:
    """Write a scenario in which every flow is written as the trips that SUMO makes of it, under SUMO's names.

    SUMO itself makes them, on empty streets: each vehicle is removed as soon as SUMO has drawn its departure, type,
    route and speed factor, which are then written, also for trips and vehicles, since SUMO draws those of flows from
    the same numbers. The traffic stays as it is with the same seed. The same is done where trips have their types from
    a distribution of cars and other vehicles.

    Parameters
    ----------
    sumocfg
        The scenario.
    folder
        Folder of the new files; all other files are read in place.
    seed
        Seed of SUMO's random numbers; the configuration's own if None.

    Returns
    -------
    Path
        The configuration of the new scenario, or the old one if there is nothing to write.

    Raises
    ------
    CosimError
        If the traffic would change, or a flow does not end or is left out by SUMO.
    InputFileError
        If SUMO refuses the scenario; with SUMO's own message.
    """
    configuration = read_configuration(sumocfg)
    files = scenario_files(configuration)
    flows = {
        flow.get("id", ""): _Flow(flow, *_ends(path, flow, configuration))
        for path, root in files.items()
        for flow in root.findall("flow")
    }
    drawn_routes = {
        route.get("id", ""): route.findall("route")
        for root in files.values()
        for route in root.iter("routeDistribution")
    }
    if not flows and not _draws_among_cars_and_others(files):
        return Path(sumocfg)
    if reason := next(_hindrances(configuration, files, has_flows=bool(flows)), None):
        raise CosimError(f"{reason}: {_REMEDY}")
    folder.mkdir(parents=True, exist_ok=True)
    found = _drawn_by_sumo(configuration, folder, flows, seed)
    trips = [
        _settled(copy.deepcopy(flows[flow].element), name, drawn, drawn_routes)
        for name, drawn in found.items()
        if (flow := name.rpartition(".")[0]) in flows
    ]
    trips.sort(key=lambda trip: float(trip.attrib["depart"]))  # stable: SUMO draws in the order of the flows
    changed = set()
    for path, root in files.items():
        for element in list(root):
            if element.tag == "flow":
                root.remove(element)
                changed.add(path)
            elif element.tag in VEHICLES and (name := element.get("id", "")) in found:
                _settled(element, name, found[name], drawn_routes)
                changed.add(path)
    added = []
    if trips:
        added = [folder / "flows.rou.xml"]
        root = Element("routes")
        root.extend(trips)
        ElementTree(root).write(added[0], encoding="utf-8", xml_declaration=True)
    target = folder / Path(sumocfg).name
    write_changed(configuration, files, changed, target, routes=added)
    return target


def _draws_among_cars_and_others(files: Mapping[Path, Element]) -> bool:
    """Return whether SUMO draws for a trip or vehicle a type that may be of a car or not."""
    cars, drawn = dict(BUILT_IN_CARS), set[str]()
    for root in files.values():
        for element in root.iter():
            if element.tag in ("vType", "vTypeDistribution"):
                cars[name := element.get("id", "")] = is_car(element, cars)
                drawn |= {name} if element.tag == "vTypeDistribution" else set()
    mixed = {name for name in drawn if cars[name] is None}
    return any(
        element.tag in VEHICLES and element.get("type", DEFAULT_TYPE) in mixed
        for root in files.values()
        for element in root
    )


def _settled(element: Element, name: str, drawn: _Drawn, routes: Mapping[str, list[Element]]) -> Element:
    """Write into a flow, trip or vehicle what SUMO has drawn for a vehicle of it."""
    if element.tag == "flow":
        element.tag = "vehicle" if "route" in element.attrib or element.find("route") is not None else "trip"
        for key in _TIMES:
            element.attrib.pop(key, None)
        element.attrib |= {"id": name, "depart": f"{drawn.depart_s:.3f}"}
    element.attrib |= {"type": drawn.kind, "speedFactor": repr(drawn.speed_factor)}
    if (members := routes.get(element.get("route", ""))) is not None:
        _, hash_, number = drawn.route.rpartition("#")
        if hash_:
            route = copy.deepcopy(members[int(number)])
            route.attrib.pop("probability", None)
            route.attrib.pop("id", None)
            element.insert(0, route)
            del element.attrib["route"]
        else:
            element.set("route", drawn.route)
    return element


def _ends(path: Path, flow: Element, configuration: SumoConfiguration) -> tuple[float, float]:
    """Return the time at which a flow ends at the latest and its greatest number of vehicles."""
    try:
        end_s = seconds(flow.attrib["end"]) if "end" in flow.attrib else configuration.end_s or math.inf
        number = float(flow.get("number", math.inf))
    except ValueError:
        raise CosimError(
            f"{path}: the times of the flow {flow.get('id')!r} cannot be read: write seconds and numbers"
        ) from None
    if end_s == number == math.inf:
        raise CosimError(f"{path}: the flow {flow.get('id')!r} has no end: write its end or number")
    return end_s, number


def _hindrances(configuration: SumoConfiguration, files: Mapping[Path, Element], *, has_flows: bool) -> Iterator[str]:
    """Yield why the traffic would change: SUMO would draw other numbers for something else."""
    for name, value in configuration.options.items():
        if re.fullmatch(r"device[.].+[.]probability", name) and value not in ("", "-1", "0", "1", "-1.0", "0.0", "1.0"):
            yield f"{configuration.path} sets {name} to {value}, so that SUMO draws which vehicles have this device"
        if (name == "scale" and value and float(value) != 1) or (name == "random-depart-offset" and value.strip("0.")):
            yield f"{configuration.path} sets {name} to {value}, by which SUMO changes the departures again"
    has_persons = any(root.find(tag) is not None for root in files.values() for tag in _PERSONS)
    for path, root in files.items():
        if has_persons:
            yield f"{configuration.path} has persons or containers, for whom SUMO draws among the vehicles"
        for element in root.iter() if has_flows else ():
            name = f"{path} has the {element.tag} {element.get('id')!r}"
            if element.tag in ("calibrator", "rerouter"):
                yield f"{name}, for which SUMO draws among the vehicles of flows"
            drawn = [
                k for k, v in element.attrib.items() if v.startswith("random") and k.startswith(("depart", "arrival"))
            ]
            if drawn:
                yield f"{name} with a {drawn[0]} that SUMO draws among the vehicles of flows"
            if element.tag == "vType" and element.get("scale", "1") != "1":
                yield f"{name} with a scale, by which SUMO changes the departures again"


def _drawn_by_sumo(
    configuration: SumoConfiguration, folder: Path, flows: Mapping[str, _Flow], seed: int | None
) -> dict[str, _Drawn]:
    """Return what SUMO draws for the vehicles of files and flows, in the order in which it makes them."""
    left = dict(flows)
    found: dict[str, _Drawn] = {}
    made = dict.fromkeys(flows, 0)
    last_s, end_s = last_departure_s(configuration.demand), configuration.end_s or math.inf
    with tempfile.TemporaryDirectory(dir=folder) as place:
        session = Session("traci" if private_connection() else "libsumo", configuration.path, Path(place))
        options = {"no-step-log": "true", "error-log": str(session.error_log)}
        options |= {} if seed is None else {"seed": str(seed), "random": "false"}
        session.start(stage(configuration, Path(place), options=options))
        try:
            with session.translated_errors("stopped"):
                step_s = now_s = session.api.simulation.getTime()
                names: Iterable[str] = session.api.vehicle.getLoadedIDList()
                while now_s < end_s and (left or step_s <= last_s):
                    session.api.simulationStep()
                    step_s, now_s = now_s, session.api.simulation.getTime()
                    for name in (*names, *session.api.simulation.getLoadedIDList()):
                        found[name] = _take(session.api.vehicle, name, step_s)
                        if (flow := name.rpartition(".")[0]) in made:
                            made[flow] += 1
                    names = ()
                    left = {k: f for k, f in left.items() if step_s < f.end_s and made[k] < f.number}
            for text in session.new_warnings():
                if "ignoring" in text and (flow := next((k for k in flows if f"'{k}'" in text), None)) is not None:
                    raise CosimError(f"{configuration.path}: SUMO leaves out the flow {flow!r}: {text}")
        finally:
            session.close()
    return found


def _take(vehicle: Any, name: str, step_s: float) -> _Drawn:
    """Return what SUMO has drawn for a vehicle at a step, and remove it."""
    route = _REROUTED.fullmatch(vehicle.getRouteID(name))
    drawn = _Drawn(step_s, vehicle.getTypeID(name), vehicle.getSpeedFactor(name), route[1] if route else "")
    vehicle.remove(name)
    return drawn
