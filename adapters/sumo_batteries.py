"""What do electric vehicles draw and charge, and where are they on their trips? Read in bulk from SUMO's batteries."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cosim.core import CosimError

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from cosim.adapters.sumo_demand import Departure
    from cosim.adapters.sumo_network import ChargingStation
    from cosim.core.ports import Vector

_BATTERY = "device.battery."
J_PER_WH = 3600.0
_FOR_EVER_S = 1e6
WAITING, DRIVING, ARRIVED, REMOVED, STANDING = range(5)


def _battery(api: Any, vehicle: str, *keys: str) -> list[float]:
    return [float(api.vehicle.getParameter(vehicle, _BATTERY + key)) for key in keys]


class StationCharging:
    """Reads the energy that went into batteries at charging stations.

    charge + consumed − regenerated of a vehicle only changes by charging. A vehicle at its stop is looked at when the
    stop begins and ends and at the end of the exchange, one that passes or queues beside a station at every step: SUMO
    charges it too, once it stands for the station's delay.
    """

    def __init__(self, api: Any, stations: Sequence[ChargingStation]) -> None:
        self._api = api
        self._station = {station.id: i for i, station in enumerate(stations)}
        self._lanes = sorted({station.lane for station in stations})
        self.efficiency = np.array([api.chargingstation.getEfficiency(station.id) for station in stations])
        self._taken: dict[str, float] = {}
        self._stopped: dict[str, int | None] = {}
        self._energy_wh = np.zeros(len(stations))

    def second(self) -> None:
        """Look at what SUMO's last step did."""
        simulation = self._api.simulation
        for v in simulation.getDepartedIDList():
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
        """Return and forget the energy that went into batteries, shape (n_stations,). [Wh]"""
        for v in self._stopped:
            self._count(v)
        energy, self._energy_wh = self._energy_wh, np.zeros_like(self._energy_wh)
        return energy

    def _beside(self) -> list[str]:
        """Return the moving vehicles on the stations' lanes, by asking whichever are fewer, vehicles or lanes."""
        moving = self._taken.keys() - self._stopped.keys()
        if len(moving) < len(self._lanes):
            return [v for v in sorted(moving) if self._api.vehicle.getLaneID(v) in self._lanes]
        ask = self._api.lane.getLastStepVehicleIDs
        return [v for lane in self._lanes for v in ask(lane) if v in moving]

    def _count(self, v: str) -> None:
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
        return level + consumed - regenerated


class ElectricTrips:
    """Follows named trips from their departure to their end, with the energy that they drew, and leads them.

    Parameters
    ----------
    api
        SUMO.
    trips, departures
        Their names, and when and how they depart.
    stops
        Lane and position [m] of the places by way of which they can be led.
    """

    def __init__(
        self, api: Any, trips: Sequence[str], departures: Sequence[Departure], stops: Sequence[tuple[str, float]] = ()
    ) -> None:
        self._api, self._trips, self._stops = api, tuple(trips), tuple(stops)
        self._departs_s = np.array([departure.time_s for departure in departures])
        self._manner = [departure.manner for departure in departures]
        self._row = {trip: row for row, trip in enumerate(trips)}
        self._held: set[str] = set()
        self._never: set[str] = set()
        self.put_off: dict[str, tuple[str, float, Sequence[str]]] = {}
        """Type, speed factor and edges of the trips that wait to depart."""
        self._via = np.full(len(trips), -1.0)
        self._goal: dict[str, str] = {}
        self.state = np.full(len(trips), float(WAITING))
        self.energy_j = np.zeros(len(trips))

    def hold(self, may_depart: Vector, begin_s: float, end_s: float, removed: set[str]) -> bool:
        """Keep trips that may not depart from doing so between two times; tell whether there are any.

        Those that were kept before and may depart now (1) do so, and those that never may (-1) are removed. What
        somebody else has removed already is left alone.
        """
        for trip in [trip for trip in self.put_off if may_depart[self._row[trip]]]:
            kind, factor, edges = self.put_off.pop(trip)
            if may_depart[self._row[trip]] < 0:
                self.state[self._row[trip]] = REMOVED
                continue
            self._api.route.add(f"put off: {trip}", edges)
            self._api.vehicle.add(trip, f"put off: {trip}", typeID=kind, **self._manner[self._row[trip]])
            self._api.vehicle.setSpeedFactor(trip, factor)
        now = (self.state == WAITING) & (may_depart <= 0) & (self._departs_s >= begin_s) & (self._departs_s < end_s)
        self._held = {self._trips[row] for row in np.flatnonzero(now)}
        self._never = {self._trips[row] for row in np.flatnonzero(now & (may_depart < 0))}
        if self._held:
            self._remove(set(self._api.vehicle.getLoadedIDList()) - removed)
        return bool(self._held)

    def second(self) -> set[str]:
        """Remove the held trips that SUMO has read in its last step, and return them."""
        return self._remove(set(self._api.simulation.getLoadedIDList())) if self._held else set()

    def _remove(self, loaded: set[str]) -> set[str]:
        removed, vehicle = self._held & loaded, self._api.vehicle
        for trip in sorted(removed):
            if trip in self._never:
                self.state[self._row[trip]] = REMOVED
            else:
                self.put_off[trip] = vehicle.getTypeID(trip), vehicle.getSpeedFactor(trip), vehicle.getRoute(trip)
            vehicle.remove(trip)
            self._held.discard(trip)
        return removed

    def lead(self, via: Vector, failures: tuple[type[Exception], ...]) -> None:
        """Lead trips by way of a stop, where they wait, and on to their goal when they are told of none any more.

        Who may not drive to the stop is removed.
        """
        changed = np.flatnonzero(via != self._via)
        loaded = set(self._api.vehicle.getLoadedIDList()) if len(changed) else set()
        vehicle = self._api.vehicle
        for at in changed:
            if (trip := self._trips[at]) not in loaded:
                continue
            self._via[at] = via[at]
            goal = self._goal.setdefault(trip, vehicle.getRoute(trip)[-1])
            if via[at] >= 0:
                lane, position_m = self._stops[int(via[at])]
                edge, _, number = lane.rpartition("_")
                try:
                    vehicle.changeTarget(trip, edge)
                except failures:  # the street is closed to it: without the charge it goes nowhere
                    vehicle.remove(trip)
                    self.state[at] = REMOVED
                    continue
                try:
                    vehicle.setStop(trip, edge, pos=position_m, laneIndex=int(number), duration=_FOR_EVER_S, flags=1)
                except failures:  # it has passed the stop on the edge on which it is
                    vehicle.changeTarget(trip, goal)
            else:
                vehicle.changeTarget(trip, goal)
            if self.state[at] == STANDING:
                vehicle.resume(trip)

    def look(self, departed: Iterable[str], now_s: float) -> None:
        """Take over what SUMO knows at a time.

        Raises
        ------
        CosimError
            If an electric trip is made by a vehicle without a battery.
        """
        row = self._row
        for trip in departed:
            if trip in row and self.state[row[trip]] == WAITING:
                self.state[row[trip]] = DRIVING
        present, new = set(self._api.vehicle.getIDList()), set(departed)
        for at in self._in_state(DRIVING, STANDING):
            if (trip := self._trips[at]) in present:
                stands = self._via[at] >= 0 and self._api.vehicle.isStoppedParking(trip)
                self.state[at] = STANDING if stands else DRIVING
                if trip in new and self._api.vehicle.getParameter(trip, "has.battery.device") != "true":
                    raise self._no_battery(trip)
                drawn = _battery(self._api, trip, "totalEnergyConsumed", "totalEnergyRegenerated")
                self.energy_j[at] = (drawn[0] - drawn[1]) * J_PER_WH
        overdue = [at for at in self._in_state(WAITING) if self._departs_s[at] < now_s]
        if overdue:
            pending = set(self._api.vehicle.getLoadedIDList())
            for at in overdue:
                if self._trips[at] not in pending and self._trips[at] not in self.put_off:
                    self.state[at] = REMOVED

    def end(self, ended: Iterable[Element]) -> None:
        """Take over the trips that have ended, as SUMO's trip information says.

        Raises
        ------
        CosimError
            If an electric trip was made by a vehicle without a battery.
        """
        for element in ended:
            at = self._row.get(element.get("id", ""))
            if at is None or self.state[at] == REMOVED or element.get("id") in self.put_off:
                continue
            battery = element.find("battery")
            if battery is None:
                raise self._no_battery(self._trips[at])
            consumed, regenerated = (float(battery.get(f"totalEnergy{w}", 0)) for w in ("Consumed", "Regenerated"))
            self.energy_j[at] = (consumed - regenerated) * J_PER_WH
            self.state[at] = REMOVED if element.get("vaporized") else ARRIVED

    def _in_state(self, *states: int) -> list[int]:
        return [int(at) for at in np.flatnonzero(np.isin(self.state, states))]

    @staticmethod
    def _no_battery(trip: str) -> CosimError:
        return CosimError(
            f"electric trip {trip!r} is made by a vehicle without a battery: give its type has.battery.device, or "
            "write the scenario with electric_variant()"
        )
