"""The tours of a day as columns: where each goes, and when its person finds time for it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import ndtri

from cosim.core import CosimError
from cosim.core.quantities import Array, Flags, Indices, Vector
from cosim.core.random import uniform
from cosim.scenarios.mobility.gravity import Gravity

_GAP_H = 0.25  # least time at home between two tours
_MIDNIGHT_H = 23.9  # hour by which everybody is back
# Duration of a way within the city, and speed beyond its border. Assumptions.
_WAY_H, _WAY_KMH = 0.25, 40.0
_ATTEMPTS = 60
# A person who finds no time for a tour after some attempts shortens the stay by a tenth at each further one: assumed.
_FULL_STAY_ATTEMPTS, _SHORTER = 15, 0.9
_OUTSIDE = -1


def normal(seed: int, purpose: str, labels: Sequence[str], mean: float, sd: float) -> Vector:
    """Return a number of a normal distribution per label, within six standard deviations, shape (n_labels,)."""
    drawn: Vector = ndtri(np.clip(uniform(seed, purpose, labels), 1e-9, 1 - 1e-9)) * sd + mean
    return drawn


class Tours:
    """Tours from home to one place, or to two if a worker stops on the way home, and back.

    Parameters
    ----------
    people, today
        Names of the residents, and of the residents on this day, shape (n_people,).
    who
        Rows of those who leave home, shape (n_mobile,).
    works, others
        Whether each of these works today, and the number of tours for other purposes, shape (n_mobile,).
    leaves_h, stays_h, stops
        When each leaves for work [h], the length of the stay there [h], and whether there is a stop on the way home,
        shape (n_mobile,).

    Attributes
    ----------
    person
        Row of the person, shape (n_tours,); those of a person follow each other, the one to work first.
    place_key, key
        Labels under which the place, and the rest of the tour, are drawn.
    mode
        Number of the mode, to be set before `trips`.
    """

    def __init__(
        self,
        people: Sequence[str],
        today: Sequence[str],
        who: Indices,
        works: Flags,
        others: Indices,
        leaves_h: Vector,
        stays_h: Vector,
        stops: Flags,
    ) -> None:
        row = np.repeat(np.arange(len(who)), works + others)
        nth = _nth(row)
        work = (nth == 0) & works[row]
        self._people, self._work, self.person = people, work, who[row]
        self.key, self.place_key = [], []
        for i, to_work, k in zip(self.person.tolist(), work.tolist(), (nth - works[row]).tolist()):
            self.key.append(f"{today[i]}|work" if to_work else f"{today[i]}|{k}")
            self.place_key.append(f"{people[i]}|work" if to_work else self.key[-1])
        self._leaves_h = np.where(work, leaves_h[row], np.nan)
        self._stay_h = np.where(work, stays_h[row], 0.0)
        self._stops = work & stops[row]
        self._stop_h = np.zeros(len(row))
        self.mode: Indices = np.zeros(len(row), np.int64)

    def keep(self, which: Flags) -> None:
        """Leave out all other tours; call it before places and times are chosen."""
        self.person, self.mode, self._work = self.person[which], self.mode[which], self._work[which]
        self._leaves_h, self._stay_h = self._leaves_h[which], self._stay_h[which]
        self._stops, self._stop_h = self._stops[which], self._stop_h[which]
        self.key, self.place_key = (list(itertools.compress(k, which.tolist())) for k in (self.key, self.place_key))

    def choose_places(
        self,
        sites: pd.DataFrame,
        seed: int,
        inside_share: float,
        km: tuple[float, float],
        home: Indices | None = None,
        surroundings: float = 1.0,
    ) -> None:
        """Draw where the tours go, and where they stop.

        Parameters
        ----------
        sites
            See `population.activity_chains`.
        inside_share, km
            Share of the places inside the city; mean and sigma of the lognormal distance of others from its border.
        home
            Rows of the sites where the residents live, shape (n_people,), if near places attract more than far ones;
            the share inside is then that of `gravity.Gravity`.
        surroundings
            Density of places around the city over that inside, for ``home``.
        """
        self._sites = [*(str(label) for label in sites.index), ""]
        weights = {is_work: _weights(sites, name) for is_work, name in ((True, "work"), (False, "other"))}
        share: float | Vector = inside_share
        choose = partial(_anywhere, weights)
        if home is not None and len(sites):
            gravity, at = Gravity(sites[["x", "y"]].to_numpy(float)), home[self.person]
            share = gravity.inside_share(surroundings)[gravity.cell[at]]
            choose = partial(_nearby, weights, gravity, at)
        self._place, self._place_km = self._drawn("place", self.place_key, self._work, choose, seed, share, km)
        nowhere = np.zeros(len(self.key), bool)
        self._stop, self._stop_km = self._drawn("stop", self.key, nowhere, choose, seed, share, km)

    @staticmethod
    def _drawn(
        name: str,
        keys: list[str],
        work: Flags,
        choose: Callable[[Flags, Vector], Indices],
        seed: int,
        inside_share: float | Vector,
        km: tuple[float, float],
    ) -> tuple[Indices, Vector]:
        """Return the rows of sites, and the distance from the border of places outside. [km]"""
        inside = uniform(seed, f"{name} inside", keys) < inside_share
        site = choose(work, uniform(seed, f"{name} site", keys))
        far = km[0] * np.exp(normal(seed, f"{name} distance", keys, -(km[1] ** 2) / 2, km[1])).clip(max=3.0)
        return np.where(inside, site, _OUTSIDE), np.where(inside, 0.0, far)

    def _ways_h(self) -> Array:
        """Return the time allowed for each way, shape (3, n_tours); 0 for a third one without a stop. [h]"""
        between_km = np.where(self._stops, np.maximum(self._place_km, self._stop_km), self._place_km)
        ways: Array = _WAY_H + np.stack([self._place_km, between_km, self._stop_km]) / _WAY_KMH
        ways[2] = np.where(self._stops, ways[2], 0.0)
        return ways

    def _ends_h(self) -> Vector:
        """Return the hour at which the person is back, NaN where it is not known when a tour begins. [h]"""
        ways = self._ways_h()
        ends: Vector = self._leaves_h + self._stay_h + self._stop_h * self._stops + (ways[0] + ways[1] + ways[2])
        return ends

    def choose_times(self, seed: int, by_hour: Sequence[float], stays: tuple[float, float]) -> None:
        """Schedule tours for other purposes when their person is at home; the few that find no time are not made.

        Parameters
        ----------
        by_hour
            Profile by which they begin, shape (24,).
        stays
            Median and sigma of the lognormal length of stay. [h]
        """
        hours = stays[0] * np.exp(normal(seed, "stays", self.key, 0.0, stays[1]).clip(-1.5, 1.5))
        self._stay_h = np.where(self._work, self._stay_h, hours)
        self._stop_h = np.where(self._work, hours, 0.0)
        self._stops &= self._ends_h() <= _MIDNIGHT_H
        self._stay_h -= np.where(self._work, np.maximum(self._ends_h() - _MIDNIGHT_H, 0.0), 0.0)
        back_h, ways_h = self._ends_h(), self._ways_h().sum(0)
        share = np.concatenate([[0.0], np.cumsum(by_hour)]) / sum(by_hour)
        waiting = np.flatnonzero(~self._work)
        for attempt in range(_ATTEMPTS):
            drawn = uniform(seed, f"leaves {attempt}", [self.key[i] for i in waiting.tolist()])
            leaves = np.interp(drawn, share, np.arange(25.0))
            fits = self._fit(waiting, leaves, leaves + self._stay_h[waiting] + ways_h[waiting], back_h)
            waiting = waiting[~fits]
            if attempt >= _FULL_STAY_ATTEMPTS:
                self._stay_h[waiting] *= _SHORTER

    def _fit(self, tours: Indices, leaves_h: Vector, ends_h: Vector, back_h: Vector) -> Flags:
        """Schedule those tours for which their person is free, one of each person after the other; return which."""
        fits = np.zeros(len(tours), bool)
        nth = _nth(self.person[tours])
        first = np.searchsorted(self.person, self.person[tours])
        last = np.searchsorted(self.person, self.person[tours], "right")
        for k in range(nth.max(initial=-1) + 1):
            mine = np.flatnonzero((nth == k) & (ends_h <= _MIDNIGHT_H))
            free = np.ones(len(mine), bool)
            for d in range((last - first)[mine].max(initial=0)):
                among = np.flatnonzero(first[mine] + d < last[mine])
                i = mine[among]
                other = first[i] + d
                meets = (ends_h[i] + _GAP_H > self._leaves_h[other]) & (leaves_h[i] < back_h[other] + _GAP_H)
                free[among[meets]] = False
            fit = mine[free]
            self._leaves_h[tours[fit]], back_h[tours[fit]], fits[fit] = leaves_h[fit], ends_h[fit], True
        return fits

    def trips(self, home: Sequence[str], modes: Sequence[str], wanted: Flags, suffix: str) -> pd.DataFrame:
        """Return the trips of the tours that are made, see `population.activity_chains`.

        Parameters
        ----------
        home
            Names of the sites where the residents live, shape (n_people,).
        modes, wanted
            Names of the modes, and whether trips by them are returned, shape (n_modes,).
        suffix
            What the names of the trips end with.
        """
        made = np.flatnonzero(np.isfinite(self._leaves_h))
        tour = np.repeat(made, 2 + self._stops[made])
        nth = _nth(tour)
        ways = self._ways_h()
        back = nth == 1 + self._stops[tour]
        leaves = self._leaves_h
        after_place = leaves + ways[0] + self._stay_h
        depart_h = np.choose(nth, [leaves[tour], after_place[tour], (after_place + ways[1] + self._stop_h)[tour]])
        depart_s = np.rint(depart_h * 3600).astype(np.int64)
        rank = np.empty(len(self._people), np.int64)
        rank[np.argsort(np.array(self._people, str), kind="stable")] = np.arange(len(rank))
        order = np.lexsort([depart_s, rank[self.person[tour]]])
        tour, nth, back = tour[order], nth[order], back[order]
        name = np.array(self._people, object)[self.person[tour]]
        numbers = _nth(self.person[tour])
        chosen = np.flatnonzero(wanted[self.mode[tour]])
        tour, nth, back, depart_s = tour[chosen], nth[chosen], back[chosen], depart_s[order][chosen]
        name, numbers, person = name[chosen], numbers[chosen], self.person[tour]
        site, homes = np.array(self._sites, object), np.array(home, object)[person]
        reached = np.where(back, homes, site[np.choose(nth.clip(max=1), [self._place[tour], self._stop[tour]])])
        left = np.where(nth == 0, homes, site[np.choose((nth - 1).clip(0), [self._place[tour], self._stop[tour]])])
        # Between two places outside, the way is assumed to be the longer of their distances to the border.
        at_km = np.choose(nth, [np.zeros(len(tour)), self._place_km[tour], self._stop_km[tour]])
        to_km = np.where(back, 0.0, np.choose(nth.clip(max=1), [self._place_km[tour], self._stop_km[tour]]))
        purpose = np.where(back, "home", np.where(self._work[tour] & (nth == 0), "work", "other"))
        labels = [f"{who}.{k}{suffix}" for who, k in zip(name.tolist(), numbers.tolist())]
        return pd.DataFrame(
            {
                "person": name,
                "tour": np.array(self.key, object)[tour],
                "purpose": purpose.astype(object),
                "mode": np.array(modes, object)[self.mode[tour]],
                "depart_s": depart_s,
                "origin": left,
                "destination": reached,
                "outside_km": np.maximum(at_km, to_km),
            },
            index=pd.Index(labels, name="trip", dtype=object),
        )


def _nth(groups: npt.NDArray[np.int64]) -> Indices:
    """Number the elements of every run of equal values from 0, shape (n,)."""
    first = np.flatnonzero(np.concatenate([[True], groups[1:] != groups[:-1]])[: len(groups)])
    return np.arange(len(groups)) - np.repeat(first, np.diff(first, append=len(groups)))


def _weights(sites: pd.DataFrame, purpose: str) -> Vector:
    """Return the weights of the sites as destinations of a purpose."""
    column = next((name for name in (f"{purpose}_weight", "area_m2") if name in sites), None)
    weight: Vector = np.ones(len(sites)) if column is None else sites[column].to_numpy(float)
    if len(sites) and not (np.isfinite(weight).all() and (weight >= 0).all() and weight.sum() > 0):
        raise CosimError(f"sites[{column!r}] must be finite, not negative and above 0 somewhere")
    return weight


def _anywhere(weights: Mapping[bool, Vector], work: Flags, drawn: Vector) -> Indices:
    """Return places in proportion to their weight for work and for others."""
    bounds = {is_work: np.cumsum(weight) / max(weight.sum(), 1e-300) for is_work, weight in weights.items()}
    found = (np.searchsorted(bounds[is_work], drawn, "right") for is_work in (True, False))
    chosen: Indices = np.where(work, *found).clip(max=len(weights[True]) - 1)
    return chosen


def _nearby(weights: Mapping[bool, Vector], gravity: Gravity, home: Indices, work: Flags, drawn: Vector) -> Indices:
    """Return places in proportion to their weight and nearness to home."""
    chosen = np.zeros(len(home), np.int64)
    for is_work, weight in weights.items():
        mine = np.flatnonzero(work == is_work)
        chosen[mine] = gravity.choose_places(home[mine], drawn[mine], weight)
    return chosen
