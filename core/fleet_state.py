"""What does a fleet hear, what does it keep from step to step, and what does it count?"""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import IntEnum
from pathlib import Path

import numpy as np
import numpy.typing as npt

from .errors import CosimError
from .fleet_climate import MILD_C
from .fleet_plan import UNLIMITED_W, Array, FleetPlan, Index

LEDGER = ("drawn", "returned", "losses", "driven", "without charge", "spilled", "stored")
"""Terms of the ledger [J]: drawn from and returned to the grid; lost in chargers; taken from batteries by trips; what
trips used after the battery was empty; what an already full battery could not recover; and what the batteries hold."""

DELAYS = ("trips", "seconds")
"""Trips that departed later than planned, and how much later, all together [s]."""

DETOURS = ("drives", "metres", "joules", "seconds")
"""Drives to fast chargers on the way, how much longer they make the ways [m] and what that takes [J], as expected, and
the time spent there, queueing and charging [s]."""

FAILURES = ("no charge", "elsewhere", "late", "not inserted", "removed", "ran empty")
"""Why a trip fails: too little charge to set off; the car is at another place, since an earlier trip failed; it is
still on its way when the driver's patience ends; the traffic never let it in; the traffic took it out; its battery
became empty on the road."""


class Where(IntEnum):
    """What a vehicle does."""

    PARKED = 0
    DRIVING = 1
    AT_CHARGER = 2


@dataclass(frozen=True)
class Signals:
    """What the fleet hears for a step."""

    price: float
    """[EUR/J]"""
    pv_surplus_w: Array
    """shape (n_stations,)"""
    base_w: Array
    """Load of each transformer without the fleet, shape (n_transformers,). [W]"""
    limit_w: Array
    """What each transformer has for the fleet, shape (n_transformers,). [W]"""
    station_cap_w: Array
    """Greatest power of each station, shape (n_stations,). [W]"""
    works: npt.NDArray[np.bool_]
    """Whether each station is in service, shape (n_stations,)."""
    voltage: Array
    """At each station, shape (n_stations,). [pu]"""
    outdoor: float = MILD_C
    """Outdoor temperature. [°C]"""

    @classmethod
    def calm(cls, plan: FleetPlan) -> Signals:
        """Return signals in which nothing binds and nothing costs."""
        n, m = plan.n_stations, len(plan.rating_w)
        return cls(0.0, np.zeros(n), np.zeros(m), np.full(m, UNLIMITED_W), np.full(n, UNLIMITED_W), np.ones(n, bool),
                   np.ones(n))  # fmt: skip


@dataclass
class FleetState:
    """Everything that a step changes: arrays of one element per vehicle unless said otherwise."""

    charge_j: Array
    where: npt.NDArray[np.int8]
    place: Index
    """Where it parks, or parked last."""
    trip: Index
    """The next trip, not yet decided."""
    driven_trip: Index
    """The trip that it drives, or -1."""
    trip_j: Array
    """What that trip has used so far. [J]"""
    seen_j: Array
    """What of that the traffic has told. [J]"""
    climate_j: Array
    """What of that heating and cooling have taken beside what the traffic told. [J]"""
    station: Index
    """The station that it is plugged in at, or -1."""
    aim: Index
    """The fast station that it drives to or waits at, or -1."""
    wants: npt.NDArray[np.bool_]
    """Whether its driver wants to charge here."""
    since_s: Array
    """When it came to where it is. [s]"""
    left_s: Array
    """When the trip that it drives, or the part of it since the fast charger, began. [s]"""
    leg_s: Array
    """What that takes as planned. [s]"""
    leg_j: Array
    """[J]"""
    begun_j: Array
    """What the trip had used when that part began. [J]"""
    rest_s: Array
    """What remains as planned from the fast charger on; 0 on a trip without one. [s]"""
    rest_j: Array
    """[J]"""
    ratio: Array
    """What its trips used over what was planned, an average that forgets."""
    may_depart: Array
    """1, 0 for a trip that is put off, -1 for one that has failed before it began, shape (n_trips,)."""
    stopped: npt.NDArray[np.bool_]
    """Whether a station has stopped for low voltage, shape (n_stations,)."""
    failures: Array
    """Number of failed trips by `FAILURES`."""
    delays: Array
    """By `DELAYS`."""
    detours: Array
    """By `DETOURS`."""
    ledger: Array
    """By `LEDGER`. [J]"""

    def save(self, path: Path) -> None:
        """Write all arrays into one file."""
        np.savez(path, **{item.name: getattr(self, item.name) for item in fields(self)})

    def load(self, path: Path) -> None:
        """Take all arrays from a file that `save` wrote.

        Raises
        ------
        CosimError
            If the file is another fleet's.
        """
        with np.load(path, allow_pickle=False) as kept:
            for item in fields(self):
                mine = getattr(self, item.name)
                if item.name not in kept or kept[item.name].shape != mine.shape or kept[item.name].dtype != mine.dtype:
                    raise CosimError(f"{path} is the state of another fleet: {item.name} does not fit")
                setattr(self, item.name, kept[item.name])
