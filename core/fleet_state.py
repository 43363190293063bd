"""What does a fleet hear, what does it keep from step to step, and what does it count?"""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import IntEnum
from pathlib import Path

import numpy as np
import numpy.typing as npt

from .errors import CosimError
from .fleet_plan import UNLIMITED_W, Array, FleetPlan, Index

LEDGER = ("drawn", "returned", "losses", "driven", "detours", "without charge", "spilled", "stored")
"""Terms of the ledger [J]: drawn from and returned to the grid; lost in chargers; taken from batteries by trips and by
drives to fast chargers; what trips used after the battery was empty; what an already full battery could not recover;
and what the batteries hold."""

FAILURES = ("no charge", "elsewhere", "late", "not inserted", "removed", "ran empty")
"""Why a trip fails: too little charge to set off; the car is at another place, since an earlier trip failed; it is
still on its way; the traffic never let it in; the traffic took it out; its battery became empty on the road."""


class Where(IntEnum):
    """What a vehicle does."""

    PARKED = 0
    DRIVING = 1
    TO_CHARGER = 2
    AT_CHARGER = 3
    FROM_CHARGER = 4


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
    station: Index
    """The station that it is plugged in at, or -1."""
    aim: Index
    """The fast station that it drives to or waits at, or -1."""
    wants: npt.NDArray[np.bool_]
    """Whether its driver wants to charge here."""
    tried: npt.NDArray[np.bool_]
    """Whether it has been to a fast charger, or looked for one in vain, during this stay."""
    since_s: Array
    """When it came to where it is. [s]"""
    until_s: Array
    """When its way to or from a fast charger ends. [s]"""
    ratio: Array
    """What its trips used over what was planned, an average that forgets."""
    may_depart: Array
    """1, or 0 for a trip that has failed before it began, shape (n_trips,)."""
    stopped: npt.NDArray[np.bool_]
    """Whether a station has stopped for low voltage, shape (n_stations,)."""
    failures: Array
    """Number of failed trips by `FAILURES`."""
    detours: Array
    """Number of drives to fast chargers, shape (1,)."""
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
