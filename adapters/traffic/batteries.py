"""Electric vehicles in SUMO: energy charged at stations, and energy and state of electric trips."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cosim.adapters.traffic.session import Vehicles
from cosim.core import CosimError
from cosim.core.quantities import J_PER_WH, Vector
from cosim.core.trips import MayDepart, TripState

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from cosim.adapters.traffic.demand import Departure
    from cosim.adapters.traffic.network import ChargingStation

_BATTERY = "device.battery."
_FOR_EVER_S = 1e6


def _battery(api: Any, vehicle: str, *keys: str) -> list[float]:
    return [float(api.vehicle.getParameter(vehicle, _BATTERY + key)) for key in keys]


def _finite(api: Any, vehicle: str, energy_wh: float) -> float:
    """Return an energy of a vehicle's battery.

    Raises
    ------
    CosimError
        If SUMO computed none.
    """
    if math.isfinite(energy_wh):
        return energy_wh
    kind = api.vehicle.getTypeID(vehicle).partition("@")[0]
    raise CosimError(_no_energy(f"vehicle {vehicle!r} of type {kind!r}", api.vehicletype.getEmissionClass(kind)))


def _no_energy(vehicle: str, emission_class: str = "") -> str:
    named = f" ({emission_class})" if emission_class else ""
    return (
        f"SUMO computes an energy of nan for {vehicle}{named}: its motor cannot deliver what the type's accel asks; "
        "raise the type's parameters maximumPower and maximumTorque, or lower its accel"
    )


def _is_unfinished(trip: Element) -> bool:
    """Return whether SUMO wrote a trip that has not ended, as its write-unfinished and write-undeparted ask."""
    return trip.get("arrival", "").startswith("-")


class StationCharging:
    """Reads the energy charged into batteries at charging stations.

    charge + consumed − regenerated of a vehicle changes only by charging. A vehicle at its stop is read when the
    stop begins and ends and at the end of the exchange step; one that passes or queues beside a station at every step,
    because SUMO charges it too once it has stood for the station's delay.
    """

    def __init__(
        self, api: Any, stations: Sequence[ChargingStation], failures: tuple[type[Exception], ...] = ()
    ) -> None:
        self._api, self._vehicles = api, Vehicles(api, failures)
        self._station = {station.id: i for i, station in enumerate(stations)}
        self._lanes = sorted({station.lane for station in stations})
        self.efficiency = np.array([api.chargingstation.getEfficiency(station.id) for station in stations])
        self._taken: dict[str, float] = {}
        self._stopped: dict[str, int | None] = {}
        self._energy_wh = np.zeros(len(stations))

    def second(self) -> None:
        """Read the effect of SUMO's last step."""
        simulation = self._api.simulation
        for v in simulation.getDepartedIDList():
            with self._vehicles.may_leave(v):
                if self._api.vehicle.getParameter(v, "has.battery.device") == "true":
                    self._taken[v] = self._taken_so_far(v) - _battery(self._api, v, "energyCharged")[0]
        if not self._taken:
            return
        for v in simulation.getArrivedIDList():
            self._taken.pop(v, None)
            self._stopped.pop(v, None)
        starting = [v for v in simulation.getStopStartingVehiclesIDList() if v in self._taken]
        ending = [v for v in simulation.getStopEndingVehiclesIDList() if v in self._stopped]
        beside = self._beside()
        self._stopped |= dict.fromkeys(starting)
        unplaced = [v for v, station in self._stopped.items() if station is None]
        for v in dict.fromkeys([*unplaced, *ending, *beside]):
            self._count(v)
        for v in ending:
            del self._stopped[v]

    def take(self) -> Vector:
        """Return and reset the energy charged into batteries, shape (n_stations,). [Wh]"""
        for v in self._stopped:
            self._count(v)
        energy, self._energy_wh = self._energy_wh, np.zeros_like(self._energy_wh)
        return energy

    def _beside(self) -> list[str]:
        """Return the moving vehicles on the stations' lanes, querying vehicles or lanes, whichever are fewer."""
        moving = self._taken.keys() - self._stopped.keys()
        if len(moving) < len(self._lanes):
            there = set(self._api.vehicle.getIDList())
            return [v for v in sorted(moving & there) if self._api.vehicle.getLaneID(v) in self._lanes]
        ask = self._api.lane.getLastStepVehicleIDs
        return [v for lane in self._lanes for v in ask(lane) if v in moving]

    def _count(self, v: str) -> None:
        with self._vehicles.may_leave(v):
            self._add(v)

    def _add(self, v: str) -> None:
        # A vehicle whose battery is full no longer names the station.
        named = self._api.vehicle.getParameter(v, _BATTERY + "chargingStationId")
        station = self._station.get(named, self._stopped.get(v))
        if station is not None:
            taken = self._taken_so_far(v)
            self._energy_wh[station] += max(taken - self._taken[v], 0.0)
            self._taken[v] = taken
            if v in self._stopped:
                self._stopped[v] = station

    def _taken_so_far(self, v: str) -> float:
        level, consumed, regenerated = _battery(
            self._api, v, "chargeLevel", "totalEnergyConsumed", "totalEnergyRegenerated"
        )
        return _finite(self._api, v, level + consumed - regenerated)


class ElectricTrips:
    """Follows electric trips from departure to end with the energy drawn, and controls departure and stops.

    Parameters
    ----------
    api
        SUMO.
    trips, departures
        Names of the trips, and time and manner of their departure.
    stops
        Lane and position [m] of the stops via which they can be routed.
    failures
        Exceptions that SUMO raises if it refuses a command.
    """

    def __init__(
        self,
        api: Any,
        trips: Sequence[str],
        departures: Sequence[Departure],
        stops: Sequence[tuple[str, float]] = (),
        failures: tuple[type[Exception], ...] = (),
    ) -> None:
        self._vehicles, self._failures = Vehicles(api, failures), failures
        self._api, self._trips, self._stops = api, tuple(trips), tuple(stops)
        self._departs_s = np.array([departure.time_s for departure in departures])
        self._manner = [departure.manner for departure in departures]
        self._row = {trip: row for row, trip in enumerate(trips)}
        self._held: set[str] = set()
        self._never: set[str] = set()
        self.put_off: dict[str, tuple[str, float, Sequence[str]]] = {}
        """Type, speed factor and edges of the trips waiting to depart."""
        self._via = np.full(len(trips), -1.0)
        self._goal: dict[str, str] = {}
        self.state = np.full(len(trips), float(TripState.WAITING))
        self.energy_j = np.zeros(len(trips))

    def hold(self, may_depart: Vector, begin_s: float, end_s: float, removed: set[str]) -> bool:
        """Hold trips that may not depart between two times; return whether there are any.

        Trips held before that may depart now (1) do so, and those that never may (-1) are removed. Trips already
        in ``removed`` are left alone.
        """
        for trip in [trip for trip in self.put_off if may_depart[self._row[trip]] != MayDepart.NOT_YET]:
            kind, factor, edges = self.put_off.pop(trip)
            if may_depart[self._row[trip]] == MayDepart.NEVER:
                self.state[self._row[trip]] = TripState.REMOVED
                continue
            self._api.route.add(f"put off: {trip}", edges)
            self._api.vehicle.add(trip, f"put off: {trip}", typeID=kind, **self._manner[self._row[trip]])
            self._api.vehicle.setSpeedFactor(trip, factor)
        now = (
            (self.state == TripState.WAITING)
            & (may_depart != MayDepart.NOW)
            & (self._departs_s >= begin_s)
            & (self._departs_s < end_s)
        )
        self._held = {self._trips[row] for row in np.flatnonzero(now)}
        self._never = {self._trips[row] for row in np.flatnonzero(now & (may_depart == MayDepart.NEVER))}
        if self._held:
            self._remove(set(self._api.vehicle.getLoadedIDList()) - removed)
        return bool(self._held)

    def second(self) -> set[str]:
        """Remove held trips that SUMO has read in its last step, and return them."""
        return self._remove(set(self._api.simulation.getLoadedIDList())) if self._held else set()

    def _remove(self, loaded: set[str]) -> set[str]:
        removed, vehicle = self._held & loaded, self._api.vehicle
        for trip in sorted(removed):
            with self._vehicles.may_leave(trip):
                if trip in self._never:
                    self.state[self._row[trip]] = TripState.REMOVED
                else:
                    put_off = vehicle.getTypeID(trip), vehicle.getSpeedFactor(trip), vehicle.getRoute(trip)
                    self.put_off[trip] = put_off
                vehicle.remove(trip)
            self._held.discard(trip)
        return removed

    def lead(self, via: Vector) -> None:
        """Route trips via a stop, where they wait, and on to their destination once ``via`` is -1.

        A trip that cannot reach the stop is removed.
        """
        changed = np.flatnonzero(via != self._via)
        loaded = set(self._api.vehicle.getLoadedIDList()) if len(changed) else set()
        for at in changed:
            if (trip := self._trips[at]) in loaded:
                with self._vehicles.may_leave(trip):
                    self._lead(int(at), trip, int(via[at]))

    def _lead(self, at: int, trip: str, via: int) -> None:
        vehicle, self._via[at] = self._api.vehicle, via
        goal = self._goal.setdefault(trip, vehicle.getRoute(trip)[-1])
        if via >= 0:
            lane, position_m = self._stops[via]
            edge, _, number = lane.rpartition("_")
            try:
                vehicle.changeTarget(trip, edge)
            except self._failures:  # the street is closed to it, and it cannot go on without charging
                vehicle.remove(trip)
                self.state[at] = TripState.REMOVED
                return
            try:
                vehicle.setStop(trip, edge, pos=position_m, laneIndex=int(number), duration=_FOR_EVER_S, flags=1)
            except self._failures:  # it has already passed the stop on its current edge
                vehicle.changeTarget(trip, goal)
        else:
            vehicle.changeTarget(trip, goal)
        if self.state[at] == TripState.STANDING:
            vehicle.resume(trip)

    def look(self, departed: Iterable[str], now_s: float) -> None:
        """Update states and energies from SUMO.

        Raises
        ------
        CosimError
            If the vehicle of an electric trip has no battery.
        """
        row = self._row
        for trip in departed:
            if trip in row and self.state[row[trip]] == TripState.WAITING:
                self.state[row[trip]] = TripState.DRIVING
        present, new = set(self._api.vehicle.getIDList()), set(departed)
        for at in np.flatnonzero(np.isin(self.state, (TripState.DRIVING, TripState.STANDING))):
            if (trip := self._trips[at]) in present:
                stands = self._via[at] >= 0 and self._api.vehicle.isStoppedParking(trip)
                self.state[at] = TripState.STANDING if stands else TripState.DRIVING
                if trip in new and self._api.vehicle.getParameter(trip, "has.battery.device") != "true":
                    raise self._no_battery(trip)
                drawn = _battery(self._api, trip, "totalEnergyConsumed", "totalEnergyRegenerated")
                self.energy_j[at] = _finite(self._api, trip, drawn[0] - drawn[1]) * J_PER_WH
        overdue = np.flatnonzero((self.state == TripState.WAITING) & (self._departs_s < now_s))
        if len(overdue):
            pending = set(self._api.vehicle.getLoadedIDList())
            for at in overdue:
                if self._trips[at] not in pending and self._trips[at] not in self.put_off:
                    self.state[at] = TripState.REMOVED

    def end(self, ended: Iterable[Element]) -> None:
        """Update ended trips from SUMO's trip information.

        Raises
        ------
        CosimError
            If the vehicle of an electric trip has no battery.
        """
        for element in ended:
            at = self._row.get(element.get("id", ""))
            if (
                at is None
                or _is_unfinished(element)
                or self.state[at] == TripState.REMOVED
                or element.get("id") in self.put_off
            ):
                continue
            battery = element.find("battery")
            if battery is None:
                raise self._no_battery(self._trips[at])
            consumed, regenerated = (float(battery.get(f"totalEnergy{w}", 0)) for w in ("Consumed", "Regenerated"))
            if not math.isfinite(consumed - regenerated):
                raise CosimError(_no_energy(f"vehicle {self._trips[at]!r} of type {element.get('vType')!r}"))
            self.energy_j[at] = (consumed - regenerated) * J_PER_WH
            self.state[at] = TripState.REMOVED if element.get("vaporized") else TripState.ARRIVED

    @staticmethod
    def _no_battery(trip: str) -> CosimError:
        return CosimError(
            f"electric trip {trip!r} has a vehicle without a battery: give its type has.battery.device, or "
            "write the scenario with electric_variant()"
        )
