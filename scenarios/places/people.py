"""What people do on a working day: residents by building, real places as destinations, through traffic."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from cosim.scenarios.mobility.population import Habits
from cosim.scenarios.mobility.resident_cars import DayPlan, plan_day
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


def build_day(
    net_file: Path,
    sites: pd.DataFrame,
    country: Figures,
    folder: Path,
    findings: Findings,
    *,
    car_share: float,
    cars_per_person: float | None,
    visitors: float,
    through: float,
    inside_share: float,
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
        Figures of the country, for the cars per person.
    folder
        For intermediate files.
    findings
        Receives the drives that find no route.
    car_share
        Share of the tours that residents make by car.
    cars_per_person
        Cars per resident; the country's by default.
    visitors, through
        Trips of others' cars to the city's workplaces and back, and across the city, per resident.
    inside_share
        Share of the residents' destinations within the city.
    seed
        Seed of every draw.
    """
    rest = 1 - car_share
    modes: Mapping[str, float] = {"car": car_share, **{name: rest * part for name, part in _OTHER_MODES.items()}}
    habits = Habits(
        modes=modes,
        inside_share=inside_share,
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
        assigned=True,
    )
    for drive in plan.lost:
        findings.add("dropped", "drive without a route", drive)
    return plan


_OTHER_MODES = {"motorcycle and passenger": 0.13, "public": 0.21, "active": 0.66}
"""Split of the tours not made by driving a car, as in `population.MODES` for Barcelona's area."""
