"""Stochastic households: occupancy, appliance use and hot-water draws.

A day is a set of events (a person is away, an appliance runs, hot water is drawn) that depends on seed, date and the
building's label alone: it needs no state, and its mean over a step is exact for any step length. Random numbers are
hashes of counters, computed for all dwellings of a city at once.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from cosim.core.buildings import _events
from cosim.core.errors import CosimError
from cosim.core.quantities import DAY_S, HOUR_S, Array, Indices, Vector
from cosim.core.random import uniform

from .zones import divide

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
# How the use of appliances rises with the mean household: Italian households of five persons and more spend 1,859 EUR a
# year on energy, single persons 1,150 (Istat, Consumi energetici delle famiglie, 2020): ln(1859/1150)/ln 5.
SIZE_EXPONENT = 0.3
# Gas over the electricity that a hob would use: 40 to 55 % of a flame's heat reaches the pot (press, from the trade),
# and three quarters of that of an electric hob, an assumption.
GAS_HOB = 1.6


@dataclass(frozen=True, slots=True)
class Appliance:
    """An appliance: uses per dwelling and day, power [W] and duration [s] of a use, and when it is switched on."""

    uses: float
    power: float
    duration: float
    hours: tuple[int, ...] = ACTIVE


# Assumptions; 2,600 kWh per year and dwelling including the base load, close to the consumption of Spanish and Italian
# households for appliances, cooking and lighting.
HOB = Appliance(1.0, 1800.0, 2400.0)
APPLIANCES = (
    HOB,
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


MOST_DWELLINGS, MOST_HOT_WATER = 10_000, 1e6  # 1, W of a building: what they draw fits the kernel's whole numbers
_KINDS = 4  # absences, appliances, hot-water draws and gas hobs, as `_events` counts them
_MINUTES = 2 * 24 * 60  # a day's events end before the next day does


_CHANGE = np.dtype([("time", "f8"), ("weight", "i8"), ("row", "i8")])
"""A beginning or end: what it adds to the level of a row, kind · n_buildings + building."""


class _Course(NamedTuple):
    """Beginnings and ends of a day's events: those of minute k are from ``edges[k]`` on, before ``edges[k + 1]``.

    Behind the last edge is room for days with more of them.
    """

    edges: Indices
    changes: npt.NDArray[np.void]

    def from_minute(self, minute: int) -> _Course:
        """Return the part from a minute on."""
        first = self.edges[minute]
        return _Course(np.maximum(self.edges - first, 0), self.changes[first : self.edges[-1]].copy())


def mean_size(sizes: Sequence[float]) -> float:
    """Return the persons of a household by the shares of households of 1, 2, 3 … persons.

    Examples
    --------
    >>> round(mean_size(SIZES), 2)
    2.45
    """
    return float(sum((k + 1) * share for k, share in enumerate(sizes)))


@dataclass(frozen=True, slots=True)
class HouseholdStep:
    """Means over a step, shape (n_buildings,): persons at home; appliances, hot-water draws and gas hobs. [W]"""

    persons: Vector
    appliances: Vector
    hot_water: Vector
    cooking: Vector


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
    sizes
        Shares of households of 1, 2, 3 … persons. Appliances are used the less, the smaller the mean household is.
    gas_hobs
        Share of the dwellings that cook on gas, drawn by key.
    threads
        Maximum number of threads; results do not depend on it.

    Raises
    ------
    CosimError
        If a building has no dwelling, or a share is not one.
    """

    def __init__(
        self,
        labels: Sequence[str],
        dwellings: Vector,
        hot_water_need: Vector,
        seed: int = 0,
        *,
        sizes: Sequence[float] = SIZES,
        gas_hobs: float = 0.0,
        threads: int = 1,
    ) -> None:
        if not (len(sizes) and min(sizes) >= 0 and abs(sum(sizes) - 1) < 1e-9):
            raise CosimError(
                f"the shares of households by size are {tuple(sizes)}: give shares from 0 on that add up to 1"
            )
        if not 0 <= gas_hobs <= 1:
            raise CosimError(f"the share of gas hobs is {gas_hobs}: it must be from 0 to 1")
        self._labels, self._threads = tuple(labels), threads
        count = np.asarray(dwellings).astype(int)
        if (count < 1).any():
            first = int(np.argmax(count < 1))
            raise CosimError(
                f"building {self._labels[first]!r} has {dwellings[first]:g} dwellings: it needs at least one"
            )
        most = (count <= MOST_DWELLINGS) & (np.asarray(hot_water_need) <= MOST_HOT_WATER)
        if not most.all():
            first = int(np.argmin(most))
            raise CosimError(
                f"building {self._labels[first]!r} has {count[first]} dwellings and needs {hot_water_need[first]:g} W "
                f"of hot water: at most {MOST_DWELLINGS} and {MOST_HOT_WATER:g} W can be counted"
            )
        self._draw_power = np.asarray(hot_water_need) * DAY_S / (DRAWS * count * DRAW_S)
        smaller = (mean_size(sizes) / mean_size(SIZES)) ** SIZE_EXPONENT
        self._base = BASE_POWER * smaller * count
        self._building, number = _numbered(count)
        # 53 bits from a keyed hash of the label, then one key per dwelling.
        building_keys = (uniform(seed, "household", self._labels) * 2.0**53).astype(np.uint64)
        self._keys = _below(building_keys[self._building], number)
        self._size = 1 + np.searchsorted(np.cumsum(sizes[:-1]), _draw(self._keys, 1))
        self._level_of_use = smaller * (1 + LEVEL_SPREAD * (2 * _draw(self._keys, 2) - 1))
        self.residents = np.bincount(self._building, weights=self._size, minlength=len(count)).astype(float)
        self._courses: dict[dt.date, _Course] = {}
        self._room = np.empty(0, _CHANGE)
        self._left: tuple[dt.date, _Course] | None = None
        self._level = np.zeros(_KINDS * len(count), np.int64)
        self._now: tuple[dt.date, float] | None = None
        self._drawn = {
            "n_buildings": len(count),
            "keys": self._keys,
            "building": self._building.astype(np.int32),
            "size": self._size.astype(np.uint8),
            "level": self._level_of_use,
            "on_gas": (_draw(self._keys, 3) < gas_hobs).astype(np.uint8),
            "water_power": self._draw_power,
        }

    def mean(self, begin: dt.datetime, length_s: float, out: Array | None = None) -> HouseholdStep:
        """Return the means over a step that begins at this civil time; they are the rows of ``out``, shape (4, n)."""
        day = begin.date()
        start = (begin - begin.replace(hour=0, minute=0, second=0, microsecond=0)).total_seconds()
        courses = self._around(day, math.ceil((start + length_s) / DAY_S))
        if self._now != (day, start):
            self._level[:] = 0
            for k in (-1, 0):
                _events.rest(*courses[k], start - DAY_S * k, self._level)
        rows = np.empty((_KINDS, len(self._base))) if out is None else out
        found = rows.reshape(-1)
        _events.levels(self._level, found)
        for k, course in courses.items():
            _events.advance(*course, start - DAY_S * k, start + length_s - DAY_S * k, self._level, found)
        days, end = divmod(start + length_s, DAY_S)
        self._now = day + dt.timedelta(days=int(days)), end
        _events.settle(self.residents, self._base, found)
        return HouseholdStep(*rows)

    def _around(self, day: dt.date, n_days: int) -> dict[int, _Course]:
        """Return the courses of some days from this one on, and before them what the day before leaves to it."""
        dates = {k: day + dt.timedelta(days=k) for k in range(-1, n_days)}
        if self._left is None or self._left[0] != dates[-1]:
            whole = self._courses.pop(dates[-1], None) or self._course(dates[-1])
            self._left, self._room = (dates[-1], whole.from_minute(int(DAY_S // 60))), whole.changes
        self._courses = {date: course for date, course in self._courses.items() if date in dates.values()}
        for date in list(dates.values())[1:]:
            if date not in self._courses:
                self._courses[date] = self._course(date)
        return {k: self._courses[date] if k >= 0 else self._left[1] for k, date in dates.items()}

    def _course(self, day: dt.date) -> _Course:
        kind = "weekend" if day.weekday() >= 5 else "workday"
        drawn = (
            self._drawn
            | _TABLES
            | {
                "number": 1000 + day.toordinal(),
                "leave": _cumulated(LEAVE[kind]),
                "back": _cumulated(RETURN[kind]),
                "back_share": sum(share for share, _ in RETURN[kind]),
            }
        )
        filled: dict[int, Indices] = {}

        def count(first: int, last: int) -> None:
            filled[first] = np.zeros(_MINUTES, np.int64)
            _events.day(first=first, last=last, filled=filled[first], **drawn)

        divide(self._threads, len(self._keys), count)
        # Within a minute the dwellings keep their order, however many threads count them.
        counts = np.stack([filled[first] for first in sorted(filled)])
        edges = np.append(0, np.cumsum(counts.sum(axis=0)))
        places = dict(zip(sorted(filled), edges[:-1] + np.cumsum(counts, axis=0) - counts, strict=True))
        # New memory costs more than the draws: what the day before took is used again.
        room, self._room = self._room, np.empty(0, _CHANGE)
        changes = room if len(room) >= edges[-1] else np.empty(int(1.1 * edges[-1]), _CHANGE)
        divide(
            self._threads,
            len(self._keys),
            lambda first, last: _events.day(first=first, last=last, filled=places[first], changes=changes, **drawn),
        )
        return _Course(edges, changes)


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


def _numbered(counts: Indices) -> tuple[Indices, Indices]:
    """Return the owner of each item, and its number within the owner."""
    owner = np.repeat(np.arange(len(counts)), counts)
    return owner, np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)


def _hourly(weights: Sequence[float]) -> Array:
    """Return the cumulated shares of hours before each, and its seconds per share, shape (2, 24)."""
    edges = np.concatenate([[0.0], np.cumsum(weights)])
    edges /= edges[-1]
    return np.stack([edges[:-1], HOUR_S / np.diff(edges)])


def _cumulated(table: Sequence[tuple[float, float]]) -> Array:
    """Return cumulated shares, and hours, shape (2, n)."""
    shares, hours = np.array(table).T
    return np.stack([np.cumsum(shares), hours])


_TABLES: dict[str, Any] = {
    "water_draws": DRAWS,
    "water_s": DRAW_S,
    "water_hours": _hourly(HOT_WATER),
    "spread_h": SPREAD_H,
    "appliances": np.array([(a.uses, a.power, a.duration) for a in APPLIANCES]),
    "appliance_hours": np.stack([_hourly(a.hours) for a in APPLIANCES]),
    "later_s": LATER_S,
    "gas_factor": GAS_HOB,
}
