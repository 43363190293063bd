"""Stochastic households: occupancy, appliance use and hot-water draws.

A day is a set of events (a person is away, an appliance runs, hot water is drawn) that depends on seed, date and the
building's label alone: it needs no state, and its mean over a step is exact for any step length. Random numbers are
hashes of counters, computed for all dwellings of a city at once.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from cosim.core.errors import CosimError
from cosim.core.quantities import DAY_S, HOUR_S, Indices, Vector
from cosim.core.random import uniform

Keys: TypeAlias = npt.NDArray[np.uint64]
PERSON_GAIN = 119.0  # W, sensible: 4.2 W/m² at 28.3 m² a person, residential apartment, EN 16798-1:2019, Annex C
# Sizes of households, 1 to 5 persons: an assumption near the censuses of Spain and Italy, 2.45 persons on average.
SIZES = (0.27, 0.30, 0.20, 0.17, 0.06)
# Presence of EN 16798-1:2019, Annex C, converted into the hours at which persons leave and return (share, hour), each
# spread by up to SPREAD_H: on workdays half the persons are away at 6, nine in ten at 9; at weekends a fifth from 6
# to 22.
LEAVE = {"workday": ((0.5, 6.0), (0.4, 9.0)), "weekend": ((0.2, 6.0),)}
RETURN = {"workday": ((0.1, 12.0), (0.3, 16.0), (0.3, 19.0), (0.2, 22.0)), "weekend": ((0.2, 22.0),)}
SPREAD_H = 1.0
# Assumption: hot-water draws by hour, with peaks in the morning and the evening and almost none at night.
HOT_WATER = (1, 1, 1, 1, 1, 3, 7, 11, 9, 6, 4, 4, 5, 5, 3, 3, 3, 4, 6, 8, 8, 6, 4, 2)
DRAWS = 6.0  # hot-water draws per dwelling and day, 6 minutes each. Assumption.
DRAW_S = 360.0
BASE_POWER = 95.0  # W: standby, refrigerators and freezers of a dwelling, assumed constant
# When appliances are switched on, by hour: awake hours, meals and the evening. Assumption.
ACTIVE = (2, 1, 1, 1, 1, 2, 5, 8, 6, 5, 5, 6, 9, 10, 6, 4, 4, 5, 7, 9, 11, 10, 7, 4)
DARK = (4, 2, 1, 1, 1, 3, 6, 4, 1, 1, 1, 1, 1, 1, 1, 1, 2, 6, 10, 12, 12, 12, 10, 7)
LATER_S = 7200.0  # assumption: a use postponed until residents return follows within two hours
LEVEL_SPREAD = 0.4  # assumption: dwellings use up to this share more or less than the table


@dataclass(frozen=True, slots=True)
class Appliance:
    """An appliance: uses per dwelling and day, power [W] and duration [s] of a use, and when it is switched on."""

    uses: float
    power: float
    duration: float
    hours: tuple[int, ...] = ACTIVE


# Assumptions; 2,600 kWh per year and dwelling including the base load, close to the consumption of Spanish and Italian
# households for appliances, cooking and lighting.
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
    """Weighted intervals of buildings, in no order."""

    building: Indices
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
    """Means over a step, shape (n_buildings,): persons at home, appliance power and heat of hot-water draws. [W]"""

    persons: Vector
    appliances: Vector
    hot_water: Vector


class Households:
    """The dwellings of buildings.

    Parameters
    ----------
    labels
        Names of the buildings, which key the random numbers.
    dwellings, hot_water_need : shape (n_buildings,)
        Number of dwellings, and mean heat drawn as hot water. [W]
    seed
        Seed of all random numbers.
    """

    def __init__(self, labels: Sequence[str], dwellings: Vector, hot_water_need: Vector, seed: int = 0) -> None:
        self._labels = tuple(labels)
        count = np.asarray(dwellings).astype(int)
        if (count < 1).any():
            first = int(np.argmax(count < 1))
            raise CosimError(
                f"building {self._labels[first]!r} has {dwellings[first]:g} dwellings: it needs at least one"
            )
        self._draw_power = np.asarray(hot_water_need) * DAY_S / (DRAWS * count * DRAW_S)
        self._base = BASE_POWER * count
        self._building, number = _numbered(count)
        # 53 bits from a keyed hash of the label, then one key per dwelling.
        building_keys = (uniform(seed, "household", self._labels) * 2.0**53).astype(np.uint64)
        self._keys = _below(building_keys[self._building], number)
        self._size = 1 + np.searchsorted(np.cumsum(SIZES[:-1]), _draw(self._keys, 1))
        self._level = 1 + LEVEL_SPREAD * (2 * _draw(self._keys, 2) - 1)
        self.residents = np.bincount(self._building, weights=self._size, minlength=len(count))
        self._days: dict[dt.date, tuple[_Events, _Events, _Events]] = {}
        self._hour: tuple[dt.date, int] | None = None
        self._near: list[tuple[float, tuple[_Events, _Events, _Events]]] = []

    def mean(self, begin: dt.datetime, length_s: float) -> HouseholdStep:
        """Return the means over a step that begins at this civil time."""
        day = begin.date()
        start = (begin - begin.replace(hour=0, minute=0, second=0, microsecond=0)).total_seconds()
        hour = day, int(start // HOUR_S)
        if length_s > HOUR_S or self._hour != hour:
            until = max(start + length_s, (hour[1] + 1) * HOUR_S + HOUR_S)
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
        keys = _below(self._keys, np.full(len(self._keys), 1000 + day.toordinal()))
        away, empty = self._absences(keys, kind)
        dwelling, number = _numbered(_poisson(_draw(keys, 1), np.full(len(keys), DRAWS)))
        begin = _times(_draw(_below(keys[dwelling], 200 + number), 1), HOT_WATER)
        building = self._building[dwelling]
        water = _Events(building, begin, begin + DRAW_S, self._draw_power[building])
        return away, self._uses(keys, empty), water

    def _absences(self, keys: Keys, kind: str) -> tuple[_Events, tuple[Vector, Vector]]:
        """Return when persons are away, and when each dwelling is empty."""
        dwelling, number = _numbered(self._size)
        person = _below(keys[dwelling], 100 + number)
        leave = _moments(_draw(person, 1), _draw(person, 2), LEAVE[kind])
        shares = sum(share for share, _ in RETURN[kind])
        back = _moments(_draw(person, 3) * shares, _draw(person, 4), RETURN[kind])
        goes = np.isfinite(leave) & (back > leave)
        empty_from, empty_until = np.full(len(keys), -np.inf), np.full(len(keys), np.inf)
        np.maximum.at(empty_from, dwelling, np.where(goes, leave, np.inf))
        np.minimum.at(empty_until, dwelling, np.where(goes, back, -np.inf))
        events = _Events(self._building[dwelling[goes]], leave[goes], back[goes], np.ones(int(goes.sum())))
        return events, (empty_from, empty_until)

    def _uses(self, keys: Keys, empty: tuple[Vector, Vector]) -> _Events:
        """Return the uses of appliances; a use that falls in an empty dwelling is postponed until residents return."""
        parts = []
        for k, appliance in enumerate(APPLIANCES):
            mine = _below(keys, np.full(len(keys), 300 + k))
            dwelling, number = _numbered(_poisson(_draw(mine, 1), self._level * appliance.uses))
            use = _below(mine[dwelling], number)
            start = _times(_draw(use, 1), appliance.hours)
            absent = (start > empty[0][dwelling]) & (start < empty[1][dwelling])
            start[absent] = empty[1][dwelling[absent]] + LATER_S * _draw(use[absent], 2)
            power = appliance.power * (0.8 + 0.4 * _draw(use, 3))
            length = appliance.duration * (0.6 + 0.8 * _draw(use, 4))
            parts.append((self._building[dwelling], start, start + length, power))
        return _Events(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _mixed(values: Keys) -> Keys:
    """Scramble 64 bits: the finalizer of SplitMix64 [1]_.

    .. [1] Steele, Lea, Flood, Fast splittable pseudorandom number generators, OOPSLA 2014.
    """
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _below(keys: Keys, numbers: Indices) -> Keys:
    """Return keys of numbered children: dwellings of a building, days of a dwelling, uses of a day."""
    return _mixed(_mixed(keys) + np.uint64(0x9E3779B97F4A7C15) * (numbers.astype(np.uint64) + np.uint64(1)))


def _draw(keys: Keys, purpose: int) -> Vector:
    """Return one number in [0, 1) per key."""
    found = _mixed(keys + np.uint64(0x9E3779B97F4A7C15 * purpose % 2**64))
    return np.asarray((found >> np.uint64(11)) * 2.0**-53, dtype=np.float64)


def _poisson(draw: Vector, rate: Vector) -> Indices:
    """Convert uniform draws into Poisson numbers, 60 at most."""
    count, term = np.zeros(len(draw), dtype=np.int64), np.exp(-rate)
    total = term.copy()
    for k in range(1, 61):
        more = draw >= total
        if not more.any():
            break
        count += more
        term = term * rate / k
        total += term
    return count


def _numbered(counts: Indices) -> tuple[Indices, Indices]:
    """Return the owner of each item, and its number within the owner."""
    owner = np.repeat(np.arange(len(counts)), counts)
    return owner, np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)


def _times(draw: Vector, weights: Sequence[float]) -> Vector:
    """Convert uniform draws into seconds of the day by hourly weights."""
    edges = np.concatenate([[0.0], np.cumsum(weights)])
    return np.asarray(np.interp(draw, edges / edges[-1], HOUR_S * np.arange(len(edges))))


def _moments(draw: Vector, spread: Vector, table: Sequence[tuple[float, float]]) -> Vector:
    """Return the second of each draw's event, ``inf`` for draws beyond the table's shares."""
    shares, hours = np.array(table).T
    which = np.searchsorted(np.cumsum(shares), draw, side="right")
    return np.asarray(HOUR_S * (np.append(hours, np.inf)[which] + SPREAD_H * (2 * spread - 1)))
