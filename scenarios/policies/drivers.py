"""Drivers of a scenario's route files who answer to policies by their mode: who leaves the car leaves the files."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np
import pandas as pd
from scipy.special import ndtri

from cosim.adapters.traffic.demand import scenario_files, write_changed
from cosim.adapters.traffic.files import read_configuration, seconds
from cosim.adapters.traffic.flows import flows_as_trips
from cosim.core.random import uniform
from cosim.scenarios.mobility.answers import answer, unchanged
from cosim.scenarios.mobility.choice import CAR, MODES, Answer
from cosim.scenarios.mobility.costs import TravelChanges
from cosim.scenarios.mobility.drives import drives_table
from cosim.scenarios.mobility.population import Habits
from cosim.scenarios.mobility.routing import gates, shortest_routes
from cosim.scenarios.mobility.travellers import Travellers, by_tour
from cosim.scenarios.streets.network import read_net

from .mobility import CARS
from .trips import remove_vehicles, types_of, way_of

DRIVERS = {"car": 0.52, "motorcycle and passenger": 0.06, "public": 0.25}
"""Modes of those who may drive: ways to work in Bologna, 11,000 questionnaires of autumn 2023, car 52 %, public 25 %,
motorcycle 6 % (Città metropolitana di Bologna: Indagine casa-lavoro nel Comune di Bologna), here without bicycles and
walks, as ways by car are longer. That all drivers are like those to work is an assumption."""


def answered(
    sumocfg: Path, changes: TravelChanges, folder: Path, seed: int, *, midnight_s: float = 0.0
) -> tuple[Path, Answer]:
    """Write a scenario without the cars whose drivers leave them, and with the departures that tolls change.

    Streets are taken as fast as without traffic: mesoscopic times of a network at capacity, as Bologna's, jump with the
    smallest change of its demand. Every car is a trip of its own, as long beyond the network as in `Habits`; nobody can
    be added, as the files do not have those who travel by other modes. Other vehicles stay.

    Parameters
    ----------
    sumocfg
        The scenario; its own files stay as they are.
    changes
        What policies change; without a change the scenario is returned as it is.
    folder
        Where the new files go.
    seed
        Seed of the draws.
    midnight_s
        Time of the scenario's files at midnight, negative if they begin by day; tolls go by the time of day. [s]

    Returns
    -------
    The configuration of the new scenario, and what the drivers do.
    """
    if changes != TravelChanges():
        sumocfg = flows_as_trips(sumocfg, folder / "flows", seed=seed)
    configuration = read_configuration(sumocfg)
    files = scenario_files(configuration)
    kinds = types_of(files)
    routes = {route.get("id"): route for root in files.values() for route in root.iter("route") if route.get("id")}
    found: dict[str, tuple[float, str, str]] = {}
    ways: dict[str, list[str]] = {}
    for root in files.values():
        for vehicle in root.iter():
            if vehicle.tag not in ("trip", "vehicle"):
                continue
            if kinds.get(vehicle.get("type", ""), ("", "passenger"))[1] not in CARS:
                continue
            if not all(way := way_of(vehicle, routes)):
                continue
            label = vehicle.get("id", "")
            with suppress(ValueError):  # triggered by a waiting person or container
                found[label] = seconds(vehicle.get("depart", "")) - midnight_s, way[0], way[-1]
                if len(way) > 2 or vehicle.find("route") is not None or vehicle.get("route"):
                    ways[label] = list(way)
    depart_s, starts, ends = ([each[k] for each in found.values()] for k in range(3))
    cars = drives_table(list(found), list(found), "visit", depart_s, (starts, np.nan), (ends, np.nan))
    travellers = _travellers(cars, configuration.net, seed)
    if changes == TravelChanges():
        return sumocfg, unchanged(travellers)
    folder.mkdir(parents=True, exist_ok=True)
    ways |= shortest_routes(configuration.net, cars[~cars.index.isin(ways)], folder, seed)
    answered = answer(travellers, ways, configuration.net, changes, folder / "answers", seed, simulate=False)
    gone = set(answered.tours.index[answered.tours["mode"] != CAR])
    target = folder / "answered" / sumocfg.name
    write_changed(configuration, files, remove_vehicles(files, gone) | _shifted(files, answered.moved), target)
    return target, answered


def _travellers(cars: pd.DataFrame, net: Path, seed: int) -> Travellers:
    labels = cars.index.tolist()
    mean, sigma = Habits().outside_km
    drawn = np.exp(sigma * ndtri(uniform(seed, "way of drivers", labels))) * mean * np.exp(-(sigma**2) / 2)
    exits = gates(read_net(net))[1]
    tours = pd.DataFrame(
        {
            "kind": "visit",
            "purpose": "visit",
            "mode": CAR,
            "trips": 1,
            "distance_km": np.minimum(drawn, 3 * mean),
            "depart_s": cars["depart_s"].to_numpy(),
            "pays_parking": ~cars["end"].isin(exits).to_numpy(),
        },
        index=pd.Index(labels, name="tour"),
    )
    share = np.array([DRIVERS.get(name, 0.0) for name in MODES])
    shares = np.tile(share / share.sum(), (len(cars), 1))
    return Travellers(tours, shares, by_tour(cars, np.arange(len(cars))), pd.DataFrame())


def _shifted(files: dict[Path, Element], shifts: Mapping[str, float]) -> set[Path]:
    """Change departures in files, which SUMO reads in their order, and return those that have changed."""
    changed = set()
    for path, root in files.items():
        for vehicle in [v for v in root if v.tag in ("trip", "vehicle") and v.get("id") in shifts]:
            vehicle.set("depart", f"{seconds(vehicle.attrib['depart']) + shifts[vehicle.attrib['id']]:.2f}")
            changed.add(path)
        if path in changed:
            places = [k for k, child in enumerate(root) if child.tag in ("trip", "vehicle")]
            ordered = sorted((root[k] for k in places), key=_departure_s)
            for k, vehicle in zip(places, ordered, strict=True):
                root[k] = vehicle
    return changed


def _departure_s(vehicle: Element) -> float:
    """Return the departure; those that are triggered come first."""
    with suppress(ValueError):
        return seconds(vehicle.get("depart", ""))
    return -np.inf
