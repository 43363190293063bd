"""Who is at home, and which appliances run? Stochastic households, each with a day of its own.

A day is a set of events (somebody is away, an appliance runs, hot water is drawn) drawn for each building from a
generator of its own, keyed by seed, date and label: it depends on nothing else, needs no state, and its mean over a
step is exact for any step.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .errors import CosimError
from .ports import Vector
from .random import generator

DAY_S = 86400.0
PERSON_GAIN = 119.0  # W, sensible: 4.2 W/m² at 28.3 m² a person, residential apartment, EN 16798-1:2019, Annex C
# Sizes of households, 1 to 5 persons: an assumption near the censuses of Spain and Italy, 2.45 persons on average.
SIZES = (0.27, 0.30, 0.20, 0.17, 0.06)
# Presence of EN 16798-1:2019, Annex C, turned into the hours at which persons leave and return (share, hour), each
# spread by up to SPREAD_H: on workdays half the persons are gone at 6, nine in ten at 9; at weekends a fifth from 6
# to 22.
LEAVE = {"workday": ((0.5, 6.0), (0.4, 9.0)), "weekend": ((0.2, 6.0),)}
RETURN = {"workday": ((0.1, 12.0), (0.3, 16.0), (0.3, 19.0), (0.2, 22.0)), "weekend": ((0.2, 22.0),)}
SPREAD_H = 1.0
# Assumption: draws of hot water by hour, peaks in the morning and the evening, night almost none.
HOT_WATER = (1, 1, 1, 1, 1, 3, 7, 11, 9, 6, 4, 4, 5, 5, 3, 3, 3, 4, 6, 8, 8, 6, 4, 2)
DRAWS = 6.0  # of hot water, per dwelling and day, 6 minutes each. Assumption.
DRAW_S = 360.0
BASE_POWER = 95.0  # W: standby, refrigerators and freezers of a dwelling, assumed to even out
# When appliances are switched on, by hour: awake hours, meals and the evening. Assumption.
ACTIVE = (2, 1, 1, 1, 1, 2, 5, 8, 6, 5, 5, 6, 9, 10, 6, 4, 4, 5, 7, 9, 11, 10, 7, 4)
DARK = (4, 2, 1, 1, 1, 3, 6, 4, 1, 1, 1, 1, 1, 1, 1, 1, 2, 6, 10, 12, 12, 12, 10, 7)
LEVEL_SPREAD = 0.4  # assumption: dwellings use up to this share more or less than the table


@dataclass(frozen=True, slots=True)
class Appliance:
    """An appliance: uses per dwelling and day, power [W] and duration [s] of a use, and when it is switched on."""

    uses: float
    power: float
    duration: float
    hours: tuple[int, ...] = ACTIVE


# Assumptions; together 2,600 kWh a year and dwelling with the base load, near what Spanish and Italian households use
# for appliances, cooking and light.
APPLIANCES = (
    Appliance(1.0, 1800.0, 2400.0),  # hob
    Appliance(0.25, 2000.0, 2700.0),  # oven
    Appliance(0.8, 1200.0, 360.0),  # microwave oven
    Appliance(2.0, 2000.0, 240.0),  # kettle, coffee
    Appliance(0.5, 2000.0, 1500.0),  # dishwasher, heating
    Appliance(0.5, 2000.0, 1500.0),  # washing machine, heating
    Appliance(0.15, 2000.0, 3600.0),  # dryer
    Appliance(0.2, 1500.0, 1800.0),  # iron
    Appliance(0.3, 900.0, 1200.0),  # vacuum cleaner
    Appliance(1.5, 120.0, 7200.0),  # television
    Appliance(1.0, 100.0, 7200.0),  # computer
    Appliance(6.0, 60.0, 5400.0, DARK),  # light in a room
)


@dataclass(frozen=True, slots=True)
class _Events:
    """Intervals of buildings with a weight each, sorted by nothing."""

    building: npt.NDArray[np.int64]
    start: Vector
    end: Vector
    weight: Vector

    def between(self, start: float, end: float) -> _Events:
        touch = (self.start < end) & (self.end > start)
        return _Events(self.building[touch], self.start[touch], self.end[touch], self.weight[touch])

    def mean(self, start: float, end: float, n: int) -> Vector:
        overlap = np.minimum(self.end, end) - np.maximum(self.start, start)
        weights = self.weight * np.maximum(overlap, 0.0) / (end - start)
        return np.asarray(np.bincount(self.building, weights=weights, minlength=n), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class HouseholdStep:
    """Means of buildings over a step, shape (n_buildings,): persons at home, appliances and hot water drawn. [W]"""

    persons: Vector
    appliances: Vector
    hot_water: Vector


class Households:
    """The dwellings of buildings.

    Parameters
    ----------
    labels
        Names of the buildings, to which chance is keyed.
    dwellings, hot_water_need : shape (n_buildings,)
        Number of dwellings, and mean heat drawn as hot water. [W]
    seed
        Of all draws.
    """

    def __init__(self, labels: Sequence[str], dwellings: Vector, hot_water_need: Vector, seed: int = 0) -> None:
        self._labels, self._seed = tuple(labels), seed
        self._dwellings = np.asarray(dwellings).astype(int)
        if (self._dwellings < 1).any():
            first = int(np.argmax(self._dwellings < 1))
            raise CosimError(
                f"building {self._labels[first]!r} has {dwellings[first]:g} dwellings: it needs one at least"
            )
        self._draw = np.asarray(hot_water_need) * DAY_S / (DRAWS * self._dwellings * DRAW_S)
        self._base = BASE_POWER * self._dwellings
        self._size, self._level = [], []
        for label, count in zip(self._labels, self._dwellings, strict=True):
            rng = generator(seed, "household", label)
            self._size.append(1 + np.searchsorted(np.cumsum(SIZES[:-1]), rng.random(count)))
            self._level.append(1 + LEVEL_SPREAD * (2 * rng.random(count) - 1))
        self.residents = np.array([size.sum() for size in self._size], dtype=np.float64)
        self._days: dict[dt.date, tuple[_Events, _Events, _Events]] = {}
        self._hour: tuple[dt.date, int] | None = None
        self._near: list[tuple[float, tuple[_Events, _Events, _Events]]] = []

    def mean(self, begin: dt.datetime, length_s: float) -> HouseholdStep:
        """Return means over a step that begins at this civil time."""
        day = begin.date()
        start = (begin - begin.replace(hour=0, minute=0, second=0, microsecond=0)).total_seconds()
        hour = day, int(start // 3600)
        if length_s > 3600 or self._hour != hour:
            until = max(start + length_s, (hour[1] + 1) * 3600.0 + 3600.0)
            later = int(until // DAY_S)
            self._near = [
                (DAY_S * k, self._clipped(day + dt.timedelta(days=k), start - DAY_S * k, until - DAY_S * k))
                for k in range(-1, later + 1)
            ]
            self._days = {d: e for d, e in self._days.items() if d >= day - dt.timedelta(days=1)}
            self._hour = hour
        n = len(self._labels)
        away, power, water = (
            np.sum([kinds[k].mean(start - shift, start - shift + length_s, n) for shift, kinds in self._near], axis=0)
            for k in range(3)
        )
        return HouseholdStep(np.maximum(self.residents - away, 0.0), self._base + power, water)

    def _clipped(self, day: dt.date, start: float, end: float) -> tuple[_Events, _Events, _Events]:
        if day not in self._days:
            self._days[day] = self._day(day)
        away, power, water = self._days[day]
        return away.between(start, end), power.between(start, end), water.between(start, end)

    def _day(self, day: dt.date) -> tuple[_Events, _Events, _Events]:
        kind = "weekend" if day.weekday() >= 5 else "workday"
        parts: list[list[tuple[Vector, Vector, Vector]]] = [[], [], []]
        for i, label in enumerate(self._labels):
            rng = generator(self._seed, f"day {day.isoformat()}", label)
            away, empty = _absences(rng, self._size[i], kind)
            parts[0].append(away)
            parts[1].append(_uses(rng, self._level[i], empty))
            count = rng.poisson(DRAWS * self._dwellings[i])
            begin = _times(rng.random(count), HOT_WATER)
            parts[2].append((begin, begin + DRAW_S, np.full(count, self._draw[i])))
        return tuple(_joined(part) for part in parts)  # type: ignore[return-value]


def _joined(parts: list[tuple[Vector, Vector, Vector]]) -> _Events:
    building = np.repeat(np.arange(len(parts)), [len(part[0]) for part in parts])
    return _Events(building, *(np.concatenate(column) for column in zip(*parts, strict=True)))


def _times(draw: Vector, weights: Sequence[float]) -> Vector:
    """Turn uniform draws into seconds of the day by hourly weights."""
    edges = np.concatenate([[0.0], np.cumsum(weights)])
    return np.asarray(np.interp(draw, edges / edges[-1], 3600.0 * np.arange(len(edges))))


def _moments(rng: np.random.Generator, draw: Vector, table: Sequence[tuple[float, float]]) -> Vector:
    """Return the second at which each draw happens, ``inf`` for those beyond the table's shares."""
    shares, hours = np.array(table).T
    which = np.searchsorted(np.cumsum(shares), draw, side="right")
    spread = SPREAD_H * (2 * rng.random(len(draw)) - 1)
    return np.asarray(3600.0 * (np.append(hours, np.inf)[which] + spread))


def _absences(
    rng: np.random.Generator, size: npt.NDArray[np.int64], kind: str
) -> tuple[tuple[Vector, Vector, Vector], tuple[Vector, Vector]]:
    """Return when the persons of a building are away, and from when to when each dwelling is empty."""
    dwelling = np.repeat(np.arange(len(size)), size)
    leave = _moments(rng, rng.random(len(dwelling)), LEAVE[kind])
    back = _moments(rng, rng.random(len(dwelling)) * sum(share for share, _ in RETURN[kind]), RETURN[kind])
    goes = np.isfinite(leave) & (back > leave)
    empty_from, empty_until = np.full(len(size), -np.inf), np.full(len(size), np.inf)
    np.maximum.at(empty_from, dwelling, np.where(goes, leave, np.inf))
    np.minimum.at(empty_until, dwelling, np.where(goes, back, -np.inf))
    return (leave[goes], back[goes], np.ones(goes.sum())), (empty_from, empty_until)


def _uses(rng: np.random.Generator, level: Vector, empty: tuple[Vector, Vector]) -> tuple[Vector, Vector, Vector]:
    """Return the uses of appliances; what falls into an empty dwelling is done when somebody is back."""
    rates = np.array([appliance.uses for appliance in APPLIANCES])
    counts = rng.poisson(level[:, None] * rates)
    dwelling, which = (np.repeat(index.ravel(), counts.ravel()) for index in np.indices(counts.shape))
    start, draw = np.empty(len(which)), rng.random(len(which))
    for hours in {appliance.hours for appliance in APPLIANCES}:
        mine = np.array([appliance.hours == hours for appliance in APPLIANCES])[which]
        start[mine] = _times(draw[mine], hours)
    nobody = (start > empty[0][dwelling]) & (start < empty[1][dwelling])
    start = np.where(nobody, np.where(nobody, empty[1][dwelling], 0.0) + 7200.0 * rng.random(len(which)), start)
    power = np.array([appliance.power for appliance in APPLIANCES])[which] * (0.8 + 0.4 * rng.random(len(which)))
    length = np.array([appliance.duration for appliance in APPLIANCES])[which] * (0.6 + 0.8 * rng.random(len(which)))
    return start, start + length, power
