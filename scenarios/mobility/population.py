"""The residents of a city's buildings, and their trips on a day.

Residents follow chains of activities, home – work – other – home, by any mode. Every property of a person, tour and
day is keyed by its label: another mode share or another building changes nobody else's day.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from scipy.special import pdtr, pdtrik

from cosim.core import CosimError
from cosim.core.quantities import Flags, Indices, Vector
from cosim.core.random import uniform
from cosim.scenarios.mobility.tours import Tours, normal

LEAVES_FOR_WORK = (7.657, 1.375)
"""Mean and standard deviation of the hour at which workers leave home. [h] The normal distribution with 20 % before
6:30 and 53 % between 6:30 and 8:29 [1]_. That Spain and Italy leave like the United States is an assumption.

.. [1] U.S. Census Bureau: Journey to Work: 2000. Census 2000 Brief C2KBR-33, March 2004, as in its news release.
"""

WORKS = (8.5, 1.0)
"""Mean and standard deviation of the stay at work, with its break. [h] Assumption."""

OTHER_BY_HOUR = (
    147, 82, 83, 36, 249, 639, 1607, 3893, 2994, 2294, 2600, 2967,
    3166, 3032, 3321, 3888, 3959, 4377, 3746, 2819, 2061, 1559, 783, 381,
)  # fmt: skip
"""Number of vehicle trips by hour of departure on a working day (Wednesday) [2]_; tours for other purposes begin by
this profile, as far as the person is at home then.

.. [2] Federal Highway Administration: Highway Statistics 2006, table NT-3, from the 2001 National Household Travel
   Survey.
"""

WEEKEND_TRIPS = {5: 0.80, 6: 0.68}
"""Trips on a Saturday and a Sunday over those of a working day. Sunday is the traffic that 58 edges of Bologna counted
in February 2024, over that of Tuesdays to Thursdays [4]_; Saturday stands to Sunday as in the United States, 55,998 to
47,756 million person trips a year [5]_.

.. [4] Comune di Bologna, open data "rilevazione flusso veicoli tramite spire", matched to the edges of SUMO's scenario
   "joined" by github.com/fabioda97/Sumo_Simulation.
.. [5] Bureau of Transportation Statistics: Annual Person-Trips by Purpose and Day of Week, from the 2009 National
   Household Travel Survey.
"""

WEEKEND_WORK = {5: 0.31, 6: 0.22}
"""Trips to and from work on a Saturday and a Sunday over those of a mean working day [5]_: the share of the workers who
work then."""

SUNDAY_BY_HOUR = (
    3.6, 2.2, 1.3, 0.9, 0.6, 0.6, 0.9, 1.4, 2.5, 4.2, 5.7, 6.8,
    7.6, 5.7, 5.5, 6.8, 7.4, 8.4, 7.7, 6.7, 5.2, 3.3, 2.7, 2.1,
)  # fmt: skip
"""Share of a Sunday's traffic by hour in Bologna [4]_. [%] That Saturdays are like Sundays is an assumption."""

STAYS = (0.9, 0.8)
"""Median and sigma of the lognormal length of stay at other places. [h] Assumption."""

TRIPS_PER_PERSON = 4.11
"""Trips of a resident aged 16 or over on a working day, all modes. Barcelona's area, 2023 [3]_.

.. [3] ATM and Institut Metròpoli: Enquesta de mobilitat en dia feiner (EMEF) 2023, results of 8 July 2024.
"""

MODES = {"car": 0.225, "motorcycle and passenger": 0.10, "public": 0.165, "active": 0.51}
"""Share of the trips by main mode. Active modes 51 % and the private vehicle 32.5 % are those of [3]_, public transport
is the remainder; that 0.225 of the trips are made by drivers of cars is an assumption. The mode ``car`` is that of
drivers with a car of their own."""

CARS_PER_PERSON = 0.361
"""Barcelona, 2016: Observatori de Districtes of the city, as quoted by the newspaper Ara in August 2017."""

# Workers have less time for other tours: their mean number over that of other persons. Assumption.
_WORKERS_OTHER = 0.3


@dataclass(frozen=True)
class Habits:
    """How often, when and by what mode people travel; the shares are chances, drawn by person, day and tour.

    Parameters
    ----------
    trips_per_person
        Trips of a person on a working day, all modes.
    mobile_share
        Share of the persons who leave home on the day. 85 % in Germany (Nobis and Kuhnimhof 2018, MiD
        2017, Ergebnisbericht).
    worker_share
        Share of the mobile persons who go to work or school. Assumption.
    stop_share
        Share of the workers who make a stop on their way home. Assumption.
    modes
        Share of the tours by mode.
    inside_share
        Share of the destinations that lie inside the modelled city. Assumption.
    surroundings
        Density of destinations around the city over that inside it. If given, near places attract more than far ones,
        and how many are inside follows from the size of the city instead of ``inside_share``, see `gravity.Gravity`:
        for cities in which distances differ.
    cars_per_person
        Cars per person; only persons who have a car drive one.
    outside_km
        Mean and sigma of the lognormal distance from the city's border to a destination outside, cut off at three times
        the mean. [km] Assumption.

    Raises
    ------
    CosimError
        If a share is out of range, the modes do not sum to 1, or the workers alone make more trips than given.
    """

    trips_per_person: float = TRIPS_PER_PERSON
    mobile_share: float = 0.85
    worker_share: float = 0.5
    stop_share: float = 0.2
    modes: Mapping[str, float] = field(default_factory=lambda: dict(MODES))
    inside_share: float = 0.3
    surroundings: float | None = None
    cars_per_person: float = CARS_PER_PERSON
    outside_km: tuple[float, float] = (14.0, 0.7)

    def __post_init__(self) -> None:
        for name in ("mobile_share", "worker_share", "stop_share", "inside_share", "cars_per_person"):
            if not 0 <= getattr(self, name) <= 1:
                raise CosimError(f"{name} is {getattr(self, name)}: it must lie between 0 and 1")
        shares = list(self.modes.values())
        if min(shares, default=-1.0) < 0 or abs(sum(shares) - 1) > 1e-9:
            raise CosimError(f"the shares of the modes {dict(self.modes)} must not be negative and must sum to 1")
        if self.modes.get("car", 0.0) > self.cars_per_person:
            raise CosimError(
                f"cars make {self.modes['car']:.0%} of the tours, but only {self.cars_per_person:.0%} of the persons "
                "have one: that is more than all their tours"
            )
        if len(self.modes) < 2:
            raise CosimError(f"the modes are {dict(self.modes)}: give another one for persons without a car")
        if self.surroundings is not None and not 0 <= self.surroundings < np.inf:
            raise CosimError(f"surroundings is {self.surroundings}: it must be finite and not negative")
        if not (self.outside_km[0] >= 0 and self.outside_km[1] >= 0):
            raise CosimError(f"outside_km is {self.outside_km}: mean and sigma must not be negative")
        if not (self.mobile_share > 0 and 0 <= self.other_tours < 20):
            raise CosimError(
                f"{self.trips_per_person} trips a person, with {self.mobile_share:.0%} mobile and "
                f"{self.worker_share:.0%} of these working, leave {self.other_tours:.2g} further tours a mobile "
                "person: change one so that it is from 0 to 20"
            )

    def on(self, day: int | dt.date) -> Habits:
        """Return the habits of a day: at weekends fewer persons leave home, and few of them for work.

        Those who leave home make as many trips as on a working day, an assumption. Holidays are working days.

        Examples
        --------
        >>> round(Habits().on(dt.date(2025, 1, 19)).trips_per_person, 4)
        2.7948
        """
        if not is_weekend(day):
            return self
        weekday = day.weekday()  # type: ignore[union-attr]
        trips, work = WEEKEND_TRIPS[weekday], WEEKEND_WORK[weekday]
        return replace(
            self,
            trips_per_person=self.trips_per_person * trips,
            mobile_share=self.mobile_share * trips,
            worker_share=self.worker_share * work / trips,
        )

    @property
    def other_tours(self) -> float:
        """Mean number of tours for other purposes per mobile person, beyond the first tour of those who do not work."""
        per_mobile = self.trips_per_person / self.mobile_share if self.mobile_share else np.inf
        working = self.worker_share * (2 + self.stop_share)
        return (per_mobile - working - 2 * (1 - self.worker_share)) / 2


def is_weekend(day: int | dt.date) -> bool:
    """Return whether a day is a Saturday or Sunday; numbered days are working days."""
    return isinstance(day, dt.date) and day.weekday() in WEEKEND_TRIPS


def persons(sites: pd.DataFrame) -> pd.DataFrame:
    """Return the residents of buildings: index ``person``, column ``site``.

    Parameters
    ----------
    sites
        Buildings with a column ``persons``, which is rounded to whole persons.
    """
    if "persons" not in sites:
        raise CosimError("sites has no column 'persons': give the number of residents of each building")
    number = np.rint(sites["persons"].to_numpy(float))
    if not (np.isfinite(number).all() and (number >= 0).all()):
        raise CosimError("sites['persons'] has a value that is negative or not finite: give numbers of residents")
    home = np.repeat([str(label) for label in sites.index], number.astype(int))
    labels = [f"{site}.p{k}" for site, many in zip(sites.index, number.astype(int)) for k in range(many)]
    return pd.DataFrame({"site": home}, index=pd.Index(labels, name="person"))


def has_car(people: Sequence[str], seed: int, habits: Habits | None = None) -> Flags:
    """Return which persons have a car, shape (n_people,)."""
    found: Flags = uniform(seed, "has a car", people) < (habits or Habits()).cars_per_person
    return found


def activity_chains(
    sites: pd.DataFrame,
    seed: int = 0,
    habits: Habits | None = None,
    *,
    day: int | dt.date = 0,
    among: Collection[str] | None = None,
    modes: Collection[str] | None = None,
) -> pd.DataFrame:
    """Return all trips of a day, by any mode.

    Parameters
    ----------
    sites
        Buildings with ``persons``; ``work_weight`` and ``other_weight``, if present, weight them as destinations of
        these purposes, else ``area_m2``.
    habits
        How often, when and by what mode people travel.
    day
        A date, or the number of a working day; persons keep their car, workplace and commuting mode, the rest is drawn
        for each day.
    among
        Persons whose trips are wanted; by default all.
    modes
        Modes of the trips that are wanted; by default all.

    Returns
    -------
    One row per trip, index ``trip`` (with the day, unless it is 0), ordered by person and time: ``person``, ``tour``,
    ``purpose`` of the activity that it leads to (``work``, ``other``, ``home``), ``mode``, ``depart_s`` in the day,
    ``origin`` and ``destination`` (sites, or empty for outside), ``outside_km`` beyond the network's border.
    """
    habits = (Habits() if habits is None else habits).on(day)
    people = persons(sites)
    people = people if among is None else people[people.index.isin(among)]
    if modes is not None and set(modes) == {"car"}:
        people = people[has_car(people.index.tolist(), seed, habits)]
    labels = [str(label) for label in people.index]
    today = [f"{label}|{day}" for label in labels]
    mobile = uniform(seed, "mobile", today) < habits.mobile_share
    works = uniform(seed, "works", labels) < habits.worker_share
    stops = uniform(seed, "stops on the way", today) < habits.stop_share
    rate = habits.other_tours / (habits.worker_share * _WORKERS_OTHER + 1 - habits.worker_share)
    mean = rate * np.where(works, _WORKERS_OTHER, 1.0)
    extra = _poisson(uniform(seed, "other tours", today), mean)
    leaves = normal(seed, "leaves for work", today, *LEAVES_FOR_WORK).clip(3.0, 10.5)
    stays = normal(seed, "stays at work", today, *WORKS).clip(4.0, 9.5)
    who = np.flatnonzero(mobile)
    others = extra[who] + ~works[who]
    tours = Tours(labels, today, who, works[who], others, leaves[who], stays[who], stops[who])
    tours.mode = _modes(tours, has_car(labels, seed, habits), seed, habits)
    names = list(habits.modes)
    wanted = np.array([modes is None or name in modes for name in names], bool)
    if not wanted.all():
        # whoever makes a wanted tour needs time for the others too
        tours.keep(np.isin(tours.person, tours.person[wanted[tours.mode]]))
    if habits.surroundings is None:
        tours.choose_places(sites, seed, habits.inside_share, habits.outside_km)
    else:
        home = sites.index.astype(str).get_indexer(people["site"])
        tours.choose_places(sites, seed, habits.inside_share, habits.outside_km, home, habits.surroundings)
    tours.choose_times(seed, SUNDAY_BY_HOUR if is_weekend(day) else OTHER_BY_HOUR, STAYS)
    return tours.trips(people["site"].tolist(), names, wanted, "" if day == 0 else f".{day}")


def _modes(tours: Tours, owns: Flags, seed: int, habits: Habits) -> Indices:
    """Draw the mode of each tour; car owners drive often enough that all tours together meet the modal shares."""
    by_car = habits.modes.get("car", 0.0)
    often = by_car / habits.cars_per_person if by_car else 0.0
    names = list(habits.modes)
    rest = np.array([k for k, name in enumerate(names) if name != "car"])
    bounds = np.cumsum([habits.modes[names[k]] for k in rest])
    drawn = uniform(seed, "mode", tours.place_key) * bounds[-1]
    other = rest[np.searchsorted(bounds, drawn, "right").clip(max=len(rest) - 1)]
    drives = owns[tours.person] & (uniform(seed, "drives", tours.place_key) < often)
    return np.where(drives, names.index("car") if "car" in names else -1, other)


def _poisson(share: Vector, mean: Vector) -> Indices:
    """Return the quantiles of Poisson distributions; `scipy.stats` has them too, but takes 0.3 s to import."""
    above = np.ceil(pdtrik(share, mean))
    below = np.maximum(above - 1, 0)
    quantile: Indices = np.where(pdtr(below, mean) >= share, below, above).astype(np.int64)
    return quantile
