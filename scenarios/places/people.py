"""What people do on a working day: residents by building, real places as destinations, through traffic."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from cosim.adapters.traffic.network import network_edges
from cosim.scenarios.mobility.answers import answer, unchanged
from cosim.scenarios.mobility.choice import CAR, MODES
from cosim.scenarios.mobility.costs import TravelChanges
from cosim.scenarios.mobility.drives import DayPlan
from cosim.scenarios.mobility.population import Habits
from cosim.scenarios.mobility.resident_cars import plan_day
from cosim.scenarios.mobility.travellers import FIRM, Travellers, by_tour
from cosim.scenarios.policies.drivers import DRIVERS
from cosim.scenarios.streets.network import read_net

from .countries import Figures
from .findings import Findings
from .streets import border

FLOOR_PER_JOB = {
    "office": 20.0, "retail": 35.0, "food": 25.0, "school": 12.0, "university": 20.0, "clinic": 30.0, "hospital": 40.0,
    "hotel": 100.0, "care": 60.0, "culture": 80.0, "sport": 150.0, "assembly": 200.0, "emergency": 50.0,
    "transport": 60.0, "workshop": 60.0, "storage": 150.0,
}  # fmt: skip
"""Floor area per workplace or pupil. [m²] Assumption."""

VISITS_PER_M2 = {
    "retail": 0.30, "food": 0.30, "clinic": 0.10, "hospital": 0.03, "sport": 0.08, "culture": 0.06, "assembly": 0.04,
    "office": 0.01, "hotel": 0.03, "transport": 0.05, "residential": 0.005,
}  # fmt: skip
"""Visits for other purposes a day and floor area, relative to each other. [1/m²] Assumption."""


def destinations(homes: pd.DataFrame, premises: pd.DataFrame, buildings: pd.DataFrame) -> pd.DataFrame:
    """Return all places that people live in or go to: homes first, then other buildings.

    Parameters
    ----------
    homes
        Residential buildings with ``persons``.
    premises
        As returned by `homes.premises_of`.
    buildings
        All buildings, for their streets.

    Returns
    -------
    Index ``site``: ``x``, ``y``, ``edge``, ``area_m2``, ``persons``, ``work_weight``, ``other_weight``.
    """
    columns = ["x", "y", "edge", "area_m2"]
    jobs = (premises["floor_m2"] / premises["use"].map(FLOOR_PER_JOB).astype(float)).groupby(premises["building"]).sum()
    visits = (
        (premises["floor_m2"] * premises["use"].map(VISITS_PER_M2).astype(float).fillna(0.0))
        .groupby(premises["building"])
        .sum()
    )
    others = buildings.loc[sorted(set(premises["building"]) - {str(label) for label in homes.index}), columns]
    whole = pd.concat([homes[[*columns, "persons"]], others.assign(persons=0.0)]).rename_axis("site")
    whole["work_weight"] = jobs.reindex(whole.index).fillna(0.0)
    living = homes["home_m2"].reindex(whole.index).fillna(0.0) * VISITS_PER_M2["residential"]
    whole["other_weight"] = visits.reindex(whole.index).fillna(0.0) + living
    if not whole["work_weight"].sum():
        whole["work_weight"] = whole["area_m2"]
    return whole


def answered(day: DayPlan, net: Path, changes: TravelChanges, folder: Path, seed: int) -> DayPlan:
    """Return the day without the cars whose drivers leave them, and with the departures that tolls change.

    A car's drives of the day are one tour: who leaves the car makes all of them otherwise. The modes of drivers are
    those of `policies.drivers`; nobody can come to the car, as the folder holds drives only. Times by car follow from
    the traffic.

    Parameters
    ----------
    day
        Drives with their routes.
    net
        The city's network.
    changes
        What policies change; without a change all drives stay as they are.
    folder
        For intermediate files.
    seed
        Seed of the draws.
    """
    rows = day.legs[day.legs["edges"] != ""]
    routes = {str(label): edges.split() for label, edges in rows["edges"].items()}
    network = network_edges(net)
    metres = dict(zip(network.labels, network.length_m.tolist(), strict=True))
    inside_km = pd.Series({label: sum(metres[edge] for edge in way) / 1000 for label, way in routes.items()})
    by_car = rows.assign(km=rows["outside_km"] + inside_km.reindex(rows.index)).groupby("car", sort=False)
    kind = by_car["purpose"].first()
    stays = {"", "outside"}
    away = [bool(set(mine["destination"]) - stays - {mine["origin"].iloc[0]}) for _, mine in by_car]
    tours = pd.DataFrame(
        {
            "kind": kind,
            "purpose": kind.where(kind.isin(list(FIRM)), "visit"),
            "mode": CAR,
            "trips": by_car.size(),
            "distance_km": by_car["km"].mean(),
            "depart_s": by_car["depart_s"].min(),
            "pays_parking": (kind == "visit").to_numpy() | np.array(away, dtype=bool),
        }
    ).rename_axis("tour")
    share = np.array([DRIVERS.get(name, 0.0) for name in MODES])
    people = Travellers(
        tours, np.tile(share / share.sum(), (len(tours), 1)), by_tour(rows, by_car.ngroup()), pd.DataFrame()
    )
    if changes == TravelChanges():
        return replace(day, answer=unchanged(people))
    found = answer(people, routes, net, changes, folder, seed)
    kept = day.legs[~day.legs["car"].isin(found.tours.index[found.tours["mode"] != CAR])]
    shift = kept.index.to_series().map(found.shifts).fillna(0.0)
    cars = list(dict.fromkeys(day.legs["car"]))
    return replace(day, legs=kept.assign(depart_s=kept["depart_s"] + shift), cars=cars, answer=found)


def build_day(
    net_file: Path,
    sites: pd.DataFrame,
    country: Figures,
    folder: Path,
    findings: Findings,
    *,
    car_share: float | None,
    cars_per_person: float | None,
    visitors: float,
    through: float,
    inside_share: float | None,
    surroundings: float | None,
    cars_per_drive: float,
    seed: int,
) -> DayPlan:
    """Return the drives of a working day.

    Parameters
    ----------
    net_file
        The network.
    sites
        As returned by `destinations`.
    country
        Figures of the country, for cars and trips per person and modes.
    folder
        For intermediate files.
    findings
        Receives the drives that find no route.
    car_share
        Share of the tours that residents make by driving a car; the country's by default.
    cars_per_person
        Cars per resident; the country's by default.
    visitors, through
        Trips of others' cars to the city's workplaces and back, and across the city, per resident.
    inside_share, surroundings
        Share of the residents' destinations within the city, 0.3 by default; or the density of those around it, see
        `population.Habits`.
    cars_per_drive
        Cars that each drive stands for when routes are found.
    seed
        Seed of every draw.
    """
    modes = country.modes(car_share)
    if car_share is None:
        shares = ", ".join(f"{mode} {share:.0%}" for mode, share in modes.items())
        findings.add("guessed", "modes of the country, for want of --car-share", country.country, shares)
    habits = Habits(
        modes=modes,
        trips_per_person=country.trips,
        inside_share=Habits.inside_share if inside_share is None else inside_share,
        surroundings=surroundings,
        cars_per_person=min(1.0, country.cars if cars_per_person is None else cars_per_person),
    )
    gates = border(read_net(net_file))
    plan = plan_day(
        net_file,
        sites,
        folder,
        seed,
        habits=habits,
        visitor_trips_per_person=visitors,
        through_trips_per_person=through,
        border=gates,
        cars_per_drive=cars_per_drive,
    )
    for drive in plan.lost:
        findings.add("dropped", "drive without a route", drive)
    return plan
