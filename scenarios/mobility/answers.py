"""Demand that answers to policies: modes and trips in equilibrium with the times on the streets.

Each round simulates the cars on the road by SUMO's mesoscopic model, lets everybody answer to the costs, and averages
the answers with those of the rounds before (method of successive averages) [1]_. Draws are keyed: a traveller changes
only if the own mode has lost. Before the rounds, drivers choose when to leave, see `timing`.

.. [1] Y. Sheffi: Urban Transportation Networks. Prentice-Hall, 1985, chapter 5.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from cosim.core.quantities import Vector
from cosim.core.random import uniform
from cosim.scenarios.mobility.choice import CAR, Answer, Frequency, Shares, redraw, respond
from cosim.scenarios.mobility.costs import TravelChanges, utility_changes
from cosim.scenarios.mobility.skims import Skims, StreetTimes
from cosim.scenarios.mobility.timing import departure_shifts, schedule_min
from cosim.scenarios.mobility.travellers import FIRM, Travellers

GAP = 0.002
"""Relative gap between demand and supply at which the iteration ends; an assumption."""

MOST_ROUNDS = 6

_DEAREST_EUR = 60.0  # most that a scarce space can cost


def answer(
    travellers: Travellers,
    routes: Mapping[str, Sequence[str]],
    net: Path,
    changes: TravelChanges,
    folder: Path,
    seed: int,
    *,
    background: pd.DataFrame | None = None,
    simulate: bool = True,
    gap: float = GAP,
    rounds: int = MOST_ROUNDS,
) -> Answer:
    """Return what travellers do under changed costs.

    Parameters
    ----------
    travellers
        Everybody who may drive.
    routes
        Vehicle → edges, of all drives of ``travellers`` and of the background.
    net
        The network.
    changes
        What policies change.
    folder
        For intermediate files.
    seed
        Seed of the draws and of the simulation.
    background
        Drives that do not answer and are on the streets all the same, such as those of vans.
    simulate
        Whether times follow from the traffic; else streets are as fast as without any.
    gap, rounds
        Gap at which the iteration ends, and the most rounds.
    """
    tours = travellers.tours
    modes = tours["mode"].to_numpy()
    ways = _Ways(travellers, routes)
    firm_s = {} if background is None else background["depart_s"].to_dict()
    firmly = [(label, depart_s, routes[label]) for label, depart_s in firm_s.items() if routes.get(label)]
    before = StreetTimes(net, folder / "before", TravelChanges(), seed)
    skims = before.simulate([*ways.driven(modes), *firmly]) if simulate else before.free()
    base_min = ways.minutes(skims, {})
    distance = tours["distance_km"].to_numpy(float)
    after = StreetTimes(net, folder / "after", changes, seed)
    skims = skims if simulate else after.free()
    barred = [leg for leg, edges in ways.edges.items() if after.barred(edges)]
    ways.leave(after, distance, seed)
    pays = [leg for leg, edges in ways.edges.items() if after.tolls_eur(edges, ways.depart[leg]) > 0]
    firm = tours["purpose"].map(FIRM).to_numpy(float)
    shares, draws = travellers.shares, uniform(seed, "answers", tours.index)
    full = np.column_stack([shares, np.zeros(len(shares))])
    averaged, now, gaps = full, modes, []
    detours: dict[str, list[str]] = {}
    car_min = base_min
    for number in range(1, rounds + 1):
        detours = after.detours(
            {leg: (ways.depart[leg], ways.edges[leg]) for leg in dict.fromkeys((*barred, *pays))}, skims
        )
        if simulate:
            skims = after.simulate([*ways.driven(now, detours), *_around(after, firmly, skims)])
        car_min = ways.minutes(skims, detours)
        lost = ways.blocked([leg for leg in barred if leg not in detours])
        toll = ways.tolls(after, detours)
        wanted = _wanted(travellers, changes, distance, car_min - base_min + ways.late_min, toll, lost, firm)
        gaps.append(_gap(wanted, averaged, car_min, tours["trips"].to_numpy(float)))
        if number > 1 and gaps[-1] <= gap:
            break
        averaged = averaged + (wanted - averaged) / number
        now = redraw(modes, full, averaged, draws)
    found = tours.assign(before=modes, mode=now, car_min_before=base_min, car_min=car_min)
    return _answer(travellers, found, tuple(gaps), changes.headway, ways.shifts)


def unchanged(travellers: Travellers) -> Answer:
    """Return what travellers do in the base case; times are not simulated."""
    modes = travellers.tours["mode"].to_numpy()
    return _answer(travellers, travellers.tours.assign(before=modes, car_min_before=np.nan, car_min=np.nan))


def _answer(
    travellers: Travellers,
    tours: pd.DataFrame,
    gaps: tuple[float, ...] = (),
    headway: float = 1.0,
    shifts: Mapping[str, float] | None = None,
) -> Answer:
    names = tours.index.to_numpy(object)[travellers.drives["tour"]]
    tour_of = dict(zip(travellers.drives.index, names.tolist(), strict=True))
    by_car = set(tours.index[tours["mode"] == CAR])
    driven = frozenset(leg for leg, tour in tour_of.items() if tour in by_car)
    return Answer(tours, gaps, headway, shifts or {}, driven, tour_of, travellers.shares)


def without_cars(found: Answer, drives: Collection[str], seed: int) -> Answer:
    """Return what travellers do if the cars of some drives may not be used: another mode, or nothing.

    All drives of their tours are given up; the times on the streets stay as they were.
    """
    tours = found.tours
    barred = {found.tour_of[leg] for leg in drives if leg in found.driven}
    cut = tours.index.isin(list(barred))
    if not cut.any():
        return found
    shares, mine = found.shares[cut], tours[cut]
    change = np.zeros_like(shares)
    change[:, CAR] = -np.inf
    after = respond(shares, change, Frequency(mine["purpose"].map(FIRM).to_numpy(float)))
    before = np.column_stack([shares, np.zeros(len(shares))])
    modes = tours["mode"].to_numpy().copy()
    modes[cut] = redraw(modes[cut], before, after, uniform(seed, "barred cars", mine.index))
    driven = frozenset(leg for leg in found.driven if found.tour_of[leg] not in barred)
    return replace(found, tours=tours.assign(mode=modes), driven=driven)


def _around(
    streets: StreetTimes, drives: Sequence[tuple[str, float, Sequence[str]]], skims: Skims
) -> list[tuple[str, float, Sequence[str]]]:
    """Return drives that do not answer, around closed streets; those that find no way are left out."""
    barred = {label: (depart, edges) for label, depart, edges in drives if streets.barred(edges)}
    found = streets.detours(barred, skims)
    return [
        (label, depart, found.get(label, edges))
        for label, depart, edges in drives
        if label not in barred or label in found
    ]


class _Ways:
    """Routes of all drives, and their sums by tour."""

    def __init__(self, travellers: Travellers, routes: Mapping[str, Sequence[str]]) -> None:
        self._travellers = travellers
        drives = travellers.drives
        self._drives = drives[[bool(routes.get(label)) for label in drives.index]]
        self._tour: dict[str, int] = self._drives["tour"].to_dict()
        self.shifts: dict[str, float] = {}
        self.edges = {label: routes[label] for label in self._drives.index}
        self.depart: dict[str, float] = self._drives["depart_s"].to_dict()
        self._trips = travellers.tours["trips"].to_numpy(float)

    def leave(self, streets: StreetTimes, distance_km: Vector, seed: int) -> None:
        """Move departures away from tolls that change with time, on the routes of the base case."""
        if not streets.tolled:
            return
        self.shifts = departure_shifts(
            self._drives,
            lambda label, depart_s: streets.tolls_eur(self.edges[label], depart_s),
            distance_km[self._drives["tour"]],
            seed,
        )
        for leg, shift in self.shifts.items():
            self.depart[leg] += shift

    @property
    def late_min(self) -> Vector:
        """Return what leaving at another time costs, as minutes in the car per trip, shape (n_tours,)."""
        return self._per_trip({leg: float(schedule_min(shift)) for leg, shift in self.shifts.items()})

    def driven(
        self, modes: npt.NDArray[np.intp], detours: Mapping[str, Sequence[str]] | None = None
    ) -> list[tuple[str, float, Sequence[str]]]:
        """Return label, departure and route of the cars on the road."""
        around = detours or {}
        return [
            (leg, self.depart[leg], around.get(leg, edges))
            for leg, edges in self.edges.items()
            if modes[self._tour[leg]] == CAR
        ]

    def _per_trip(self, values: Mapping[str, float]) -> Vector:
        total = np.zeros(len(self._trips))
        for leg, value in values.items():
            total[self._tour[leg]] += value
        per_trip: Vector = total / self._trips
        return per_trip

    def minutes(self, skims: Skims, detours: Mapping[str, Sequence[str]]) -> Vector:
        """Return the minutes by car through the network per trip, shape (n_tours,)."""
        return self._per_trip(
            {leg: skims.time_s(detours.get(leg, edges), self.depart[leg]) / 60 for leg, edges in self.edges.items()}
        )

    def tolls(self, streets: StreetTimes, detours: Mapping[str, Sequence[str]]) -> Vector:
        """Return the tolls per trip, shape (n_tours,). [EUR]"""
        return self._per_trip(
            {leg: streets.tolls_eur(detours.get(leg, edges), self.depart[leg]) for leg, edges in self.edges.items()}
        )

    def blocked(self, legs: Sequence[str]) -> npt.NDArray[np.bool_]:
        """Return which tours have a drive among these, shape (n_tours,)."""
        found = np.zeros(len(self._trips), bool)
        found[[self._tour[leg] for leg in legs]] = True
        return found


def _wanted(
    travellers: Travellers,
    changes: TravelChanges,
    distance: Vector,
    car_min: Vector,
    toll: Vector,
    lost: npt.NDArray[np.bool_],
    firm: Vector,
) -> Shares:
    """Return the shares at given costs; where spaces are scarce, at the price of a stay that makes all cars fit."""
    pays = travellers.tours["pays_parking"].to_numpy(float)

    def at(scarcity_eur: float) -> Shares:
        change = utility_changes(
            changes, distance, pays_parking=pays, car_min=car_min, toll_eur=toll, parking_eur=scarcity_eur
        )
        change[lost, CAR] = -np.inf
        return respond(travellers.shares, change, Frequency(firm))

    found = at(0.0)
    room = changes.spaces * float((travellers.shares[:, CAR] * pays).sum())
    low, high = 0.0, _DEAREST_EUR
    if float((found[:, CAR] * pays).sum()) <= room:
        return found
    for _ in range(40):
        middle = (low + high) / 2
        found = at(middle)
        low, high = (middle, high) if float((found[:, CAR] * pays).sum()) > room else (low, middle)
    return at(high)


def _gap(wanted: Shares, averaged: Shares, car_min: Vector, trips: Vector) -> float:
    """Return the relative gap of TAG Unit M2, section 6.3: cost-weighted differences over cost-weighted demand."""
    weight = car_min * trips
    cost = float((weight * averaged[:, CAR]).sum())
    return float((weight * np.abs(wanted[:, CAR] - averaged[:, CAR])).sum()) / cost if cost > 0 else 0.0
