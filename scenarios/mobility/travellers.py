"""Everybody who may travel by car through a city: residents, visitors and through traffic, with their base shares."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import ndtri

from cosim.core import CosimError
from cosim.core.quantities import Flags, Vector
from cosim.core.random import uniform
from cosim.scenarios.mobility.choice import BICYCLE, CAR, MODES, PUBLIC, RIDE, WALK, Shares
from cosim.scenarios.mobility.population import Habits, has_car

BICYCLE_OF_ACTIVE = 2.28 / (2.28 + 34.35)
"""Share of the active trips that is made by bicycle. Barcelona's Urban Mobility Plan 2024, trips within the city and
to and from it: on foot 34.35 %, by bicycle 2.28 %."""

ACTIVE_KM = {"bicycle": 4.0, "walk": 1.2}
"""Mean length beyond the network's border of trips by bicycle and on foot. [km] Assumption."""

OUTSIDERS = {"car": 0.468, "public": 0.498}
"""Trips by mode of those who come from outside: between Barcelona and its first ring, working day 2016, private vehicle
46.8 %, public 49.8 %, active 3.4 %, here without the last, as their trips are long (interactius.ara.cat, on the survey
of the metropolitan area). That through traffic is like them, and that all private vehicles are cars, are assumptions.
"""

FIRM = {"work": 0.95, "other": 0.7, "visit": 0.8, "through": 0.8}
"""Of the trips that are considered, the share that is made, by purpose: the rest is not made, or goes elsewhere.
Assumption, with Stockholm's finding that drivers to work changed the mode and those with other purposes mostly did
"other things"."""

INSIDE_KM = 0.5
"""Length within the network of ways that no route is known for. [km] Assumption."""


@dataclass(frozen=True)
class Travellers:
    """Tours of a day that may be made by car, each with its base mode and the shares of its like.

    Attributes
    ----------
    tours
        Index ``tour``; ``kind`` (``home``, ``visit``, ``through``), ``purpose`` (a key of `FIRM`), ``mode`` (column of
        `choice.MODES`), ``trips``, ``distance_km`` per trip, ``depart_s`` of the first trip, ``pays_parking``.
    shares : shape (n_tours, n_modes)
        Of the base case; zero by car for persons without one.
    drives
        Of all tours as if they were made by car, with `drives.DRIVE_COLUMNS` and ``tour``, the row of the tour, by
        which they are in order.
    places
        Of the residents' drives, see `resident_cars.DayPlan`.
    """

    tours: pd.DataFrame
    shares: Shares
    drives: pd.DataFrame = field(repr=False)
    places: pd.DataFrame = field(repr=False)

    def driving(self, modes: npt.NDArray[np.intp]) -> pd.DataFrame:
        """Return the drives of the tours that are made by car, by the mode of every tour, shape (n_tours,)."""
        return self.drives[modes[self.drives["tour"]] == CAR]


def by_tour(drives: pd.DataFrame, tour: npt.ArrayLike) -> pd.DataFrame:
    """Return drives as `Travellers` have them, by the row of the tour of each, shape (n_drives,)."""
    return drives.assign(tour=np.asarray(tour, np.int64)).sort_values("tour", kind="stable")


def join_travellers(days: Sequence[Travellers]) -> Travellers:
    """Return the travellers of several days as one."""
    first = np.cumsum([0, *(len(day.tours) for day in days)])
    return Travellers(
        pd.concat([day.tours for day in days]),
        np.concatenate([day.shares for day in days]),
        pd.concat([day.drives.assign(tour=day.drives["tour"] + before) for day, before in zip(days, first.tolist())]),
        pd.concat([day.places for day in days if len(day.places)] or [days[0].places]),
    )


def residents(
    chains: pd.DataFrame, drives: pd.DataFrame, places: pd.DataFrame, seed: int, habits: Habits, day: int | dt.date
) -> Travellers:
    """Return the tours of residents, by any mode.

    Parameters
    ----------
    chains
        Trips of the day, see `population.activity_chains`.
    drives, places
        Drives of all tours of car owners as if all were made by car, and between which places.
    seed, habits, day
        Those of the chains.
    """
    base = habits.modes.keys() - {"car", "motorcycle and passenger", "public", "active"}
    if base:
        raise CosimError(f"answers='modes' does not know the mode {min(base)!r}: use car, public and active")
    label = chains["tour"] + f"@{day}"
    first = ~label.duplicated()
    tours = pd.DataFrame(
        {
            "kind": "home",
            "person": chains["person"][first].to_numpy(),
            "purpose": chains["purpose"][first].to_numpy(),
            "inside": (chains["destination"][first] != "").to_numpy(),
            "trips": label.value_counts().reindex(label[first]).to_numpy(),
            "beyond_km": chains["outside_km"].groupby(label).mean().reindex(label[first]).to_numpy(),
            "depart_s": chains["depart_s"][first].to_numpy(float),
        },
        index=pd.Index(label[first], name="tour"),
    )
    mode = chains["mode"][first].to_numpy()
    rides = uniform(seed, "bicycle", tours.index) < BICYCLE_OF_ACTIVE
    names = np.where(mode == "active", np.where(rides, "bicycle", "walk"), mode)
    tours["mode"] = [MODES.index(name) for name in names]
    scale = pd.Series(names).map(ACTIVE_KM).to_numpy(float) / max(habits.outside_km[0], 1e-9)
    tours["beyond_km"] *= np.where(np.isnan(scale), 1.0, scale)
    tours["distance_km"] = tours["beyond_km"] + INSIDE_KM
    tours["pays_parking"] = tours["inside"] & (tours["purpose"] == "other")
    owns = has_car([str(person) for person in tours["person"]], seed, habits)
    drives = by_tour(drives, tours.index.get_indexer(label.reindex(drives.index)))
    shares = _shares(tours, owns, habits)
    return Travellers(tours.drop(columns=["person", "inside", "beyond_km"]), shares, drives, places)


def _shares(tours: pd.DataFrame, owns: Flags, habits: Habits) -> Shares:
    """Return each tour's base shares: those of the modes, weighted by how often each mode makes so long a tour."""
    active = habits.modes.get("active", 0.0)
    share = np.zeros(len(MODES))
    share[[CAR, RIDE, PUBLIC]] = [habits.modes.get(MODES[k], 0.0) for k in (CAR, RIDE, PUBLIC)]
    share[[BICYCLE, WALK]] = active * BICYCLE_OF_ACTIVE, active * (1 - BICYCLE_OF_ACTIVE)
    often = share[CAR] / habits.cars_per_person if share[CAR] else 0.0
    rest = share.copy()
    rest[CAR] = 0.0
    rest /= rest.sum()
    found = np.where(np.asarray(owns)[:, None], rest * (1 - often), rest)
    found[:, CAR] = np.where(owns, often, 0.0)
    mean, sigma = habits.outside_km
    beyond = tours["beyond_km"].to_numpy(float)
    if mean > 0 and sigma > 0:
        means = [ACTIVE_KM.get(name, mean) for name in MODES]
        far = [_lognormal(beyond, m, sigma) * (beyond <= 3.001 * m) for m in means]
        found *= np.where(tours["inside"].to_numpy(bool)[:, None] | (beyond <= 0)[:, None], 1.0, np.column_stack(far))
    row, mode = np.arange(len(tours)), tours["mode"].to_numpy()
    # rounding must not take a tour's own mode from it
    found[row, mode] = np.maximum(found[row, mode], 1e-12)
    normalised: Shares = found / found.sum(axis=1, keepdims=True)
    return normalised


def _lognormal(km: Vector, mean: float, sigma: float) -> Vector:
    """Return the density of a lognormal distribution with this mean at distances, 0 where they are not positive."""
    log = np.log(np.maximum(km, 1e-300)) - np.log(mean) + sigma**2 / 2
    density: Vector = np.exp(-((log / sigma) ** 2) / 2) / (np.maximum(km, 1e-300) * sigma * np.sqrt(2 * np.pi))
    return np.where(km > 0, density, 0.0)


def outsiders(kind: str, draw: Callable[[float], pd.DataFrame], habits: Habits, seed: int) -> Travellers:
    """Return the tours of visitors or of through traffic, those of other modes among them.

    Those who drive in the base case are those drawn by a factor of 1, one by one; others, drawn by a larger factor, are
    in proportion to `OUTSIDERS`.
    """
    drivers = draw(1.0)["car"]
    share = np.array([OUTSIDERS.get(name, 0.0) for name in MODES])
    share /= share.sum()
    drives = draw(1 / share[CAR])
    tour, labels = pd.factorize(drives["car"])
    cars = labels.tolist()
    others = np.where(np.arange(len(MODES)) == CAR, 0.0, share)
    bounds = np.cumsum(others) / others.sum()
    drawn = np.searchsorted(bounds, uniform(seed, "mode of outsiders", cars), "right").clip(max=len(MODES) - 1)
    mean, sigma = habits.outside_km
    ends = ("from", "to") if kind == "through" else ("from",)
    normal = [np.exp(max(sigma, 1e-9) * ndtri(uniform(seed, f"{kind} distance {end}", cars))) for end in ends]
    far = sum(mean * np.exp(-(sigma**2) / 2) * np.minimum(x, 3.0 * np.exp(sigma**2 / 2)) for x in normal)
    tours = pd.DataFrame(
        {
            "kind": kind,
            "purpose": kind,
            "trips": np.bincount(tour, minlength=len(cars)),
            "depart_s": drives.groupby(tour)["depart_s"].min().to_numpy(),
            "mode": np.where(pd.Index(cars).isin(drivers), CAR, drawn).astype(int),
            "distance_km": np.asarray(far, float) + INSIDE_KM if cars else [],
            "pays_parking": kind == "visit",
        },
        index=pd.Index(cars, name="tour"),
    )
    return Travellers(tours, np.tile(share, (len(cars), 1)), by_tour(drives, tour), pd.DataFrame())
