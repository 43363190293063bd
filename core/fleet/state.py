"""Signals, state and counters of a fleet."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import IntEnum
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cosim.core.errors import CosimError
from cosim.core.quantities import Array, Flags, Indices32
from cosim.core.trips import MayDepart

from .climate import MILD_C
from .plan import UNLIMITED_W, FleetPlan

LEDGER = ("drawn", "returned", "losses", "driven", "without charge", "spilled", "stored")
"""Terms of the ledger [J]: drawn from and returned to the grid; lost in chargers; drawn from batteries by trips; used
by trips after the battery was empty; recuperation that a full battery could not absorb; stored in the batteries."""

DELAYS = ("trips", "seconds")
"""Number of trips that departed late, and their total delay [s]."""

DETOURS = ("drives", "metres", "joules", "seconds")
"""Detours via fast chargers: their number, expected additional distance [m] and energy [J], and the time spent at the
chargers, queueing and charging [s]."""

REASONS = {
    "no charge": "too little charge to depart",
    "elsewhere": "the vehicle is not where the trip begins, since an earlier trip of it failed",
    "late": "the vehicle is still driving when the driver's patience ends",
    "not inserted": "the traffic never inserted it",
    "removed": "the traffic removed it",
    "ran empty": "its battery ran empty en route",
}
"""Reasons why a trip fails, with their meanings."""

FAILURES = tuple(REASONS)

VOLTAGE_BAND = 0.02
"""Rise above the limit at which a station stopped by low voltage restarts. [pu] Assumption."""


class Where(IntEnum):
    """State of a vehicle."""

    PARKED = 0
    DRIVING = 1
    AT_CHARGER = 2


@dataclass(frozen=True, kw_only=True)
class FleetSignals:
    """Signals that the fleet receives for a step."""

    price: float
    """[EUR/J]"""
    pv_surplus_w: Array
    """shape (n_stations,)"""
    base_w: Array
    """Load of each transformer without the fleet, shape (n_transformers,). [W]"""
    limit_w: Array
    """Power of each transformer available to the fleet, shape (n_transformers,). [W]"""
    station_cap_w: Array
    """Power cap of each station, shape (n_stations,). [W]"""
    works: Flags
    """Whether each station is in service, shape (n_stations,)."""
    voltage: Array
    """At each station, shape (n_stations,). [pu]"""
    outdoor: float = MILD_C
    """Outdoor temperature. [°C]"""
    day_s: float | None = None
    """Second of the civil day at the start of the step; by default counted from the model's ``begin_s``. [s]"""

    @classmethod
    def calm(cls, plan: FleetPlan) -> FleetSignals:
        """Return signals without limits and with a price of 0."""
        n, m = plan.n_stations, len(plan.rating_w)
        return cls(
            price=0.0,
            pv_surplus_w=np.zeros(n),
            base_w=np.zeros(m),
            limit_w=np.full(m, UNLIMITED_W),
            station_cap_w=np.full(n, UNLIMITED_W),
            works=np.ones(n, bool),
            voltage=np.ones(n),
        )


@dataclass(kw_only=True)
class FleetState:
    """All state that a step changes: arrays of one element per vehicle unless stated otherwise."""

    charge_j: Array
    where: npt.NDArray[np.int8]
    place: Indices32
    """Current or last parking place."""
    trip: Indices32
    """The next trip, not yet decided; -1 after the last."""
    driven_trip: Indices32
    """The trip under way, or -1."""
    trip_j: Array
    """Energy used by that trip so far. [J]"""
    seen_j: Array
    """Part of it reported by the traffic. [J]"""
    climate_j: Array
    """Part of it used for heating and cooling, in addition to the energy reported by the traffic. [J]"""
    station: Indices32
    """The station at which it is plugged in, or -1."""
    aim: Indices32
    """The fast station to which it drives or at which it waits, or -1."""
    wants: Flags
    """Whether its driver wants to charge here."""
    since_s: Array
    """Time of arrival at its current place. [s]"""
    left_s: Array
    """Start time of the current leg: the trip under way, or its part after the fast charger. [s]"""
    leg_s: Array
    """Planned duration of the leg. [s]"""
    leg_j: Array
    """[J]"""
    begun_j: Array
    """Energy used by the trip when the leg began. [J]"""
    rest_s: Array
    """Planned remaining duration after the fast charger; 0 on a trip without one. [s]"""
    rest_j: Array
    """[J]"""
    ratio: Array
    """Used over planned energy of its trips, exponentially smoothed."""
    may_depart: Array
    """1 if allowed, 0 if postponed, -1 if failed before departure, shape (n_trips,)."""
    stopped: Flags
    """Whether a station is stopped by low voltage, shape (n_stations,)."""
    failures: Array
    """Number of failed trips by `FAILURES`."""
    delays: Array
    """By `DELAYS`."""
    detours: Array
    """By `DETOURS`."""
    ledger: Array
    """By `LEDGER`. [J]"""

    @classmethod
    def at_home(cls, plan: FleetPlan) -> FleetState:
        """Return the state in which every vehicle stands at home and no trip is decided."""
        n = plan.n_vehicles
        return cls(
            charge_j=plan.vehicles["soc"] * plan.vehicles["capacity_j"],
            where=np.full(n, Where.PARKED, np.int8),
            place=plan.home.copy(),
            trip=plan.first_of_vehicle.astype(np.int32),
            driven_trip=np.full(n, -1, np.int32),
            trip_j=np.zeros(n),
            seen_j=np.zeros(n),
            climate_j=np.zeros(n),
            station=np.full(n, -1, np.int32),
            aim=np.full(n, -1, np.int32),
            wants=np.zeros(n, bool),
            since_s=np.zeros(n),
            left_s=np.zeros(n),
            leg_s=np.ones(n),
            leg_j=np.zeros(n),
            begun_j=np.zeros(n),
            rest_s=np.zeros(n),
            rest_j=np.zeros(n),
            ratio=np.ones(n),
            may_depart=np.full(len(plan.trip_ids), float(MayDepart.NOW)),
            stopped=np.zeros(plan.n_stations, bool),
            failures=np.zeros(len(FAILURES)),
            delays=np.zeros(len(DELAYS)),
            detours=np.zeros(len(DETOURS)),
            ledger=np.zeros(len(LEDGER)),
        )

    def save(self, path: Path) -> None:
        """Write all arrays into one file."""
        np.savez(path, **{item.name: getattr(self, item.name) for item in fields(self)})

    def load(self, path: Path) -> None:
        """Restore all arrays from a file that `save` wrote.

        Raises
        ------
        CosimError
            If the file belongs to another fleet.
        """
        with np.load(path, allow_pickle=False) as kept:
            for item in fields(self):
                mine = getattr(self, item.name)
                if item.name not in kept or kept[item.name].shape != mine.shape or kept[item.name].dtype != mine.dtype:
                    raise CosimError(f"{path} is the state of another fleet: {item.name} does not fit")
                setattr(self, item.name, kept[item.name])
