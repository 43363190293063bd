"""Traffic measures applied to SUMO: speed limits, closures, permissions, tolls, signal programs and demand.

SUMO is not touched as long as every input has its default. A measure that changes access or cost reroutes the
vehicles concerned: those whose route has a closed edge when it is closed and when they are read, those subject to a
toll when they depart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from cosim.adapters.traffic.session import Vehicles
from cosim.core import CosimError
from cosim.core.quantities import Flags, Vector
from cosim.core.random import uniform

if TYPE_CHECKING:
    from cosim.adapters.traffic.network import Network
    from cosim.core import Input

_ENDLESS_S = 1e6
_TIMETABLED = frozenset({"bus", "coach", "tram", "rail", "rail_urban", "rail_electric", "rail_fast", "subway", "ship"})


def refuse(port: Input, bad: Sequence[bool] | Flags, rule: str) -> None:
    """Refuse values of an input that break a rule.

    Raises
    ------
    CosimError
        If there are any; the message names the first.
    """
    if np.any(bad):
        first = int(np.argmax(bad))
        more = f" (and {np.sum(bad) - 1} more)" if np.sum(bad) > 1 else ""
        raise CosimError(f"{port.name}[{port.labels[first]!r}] is {port.value[first]:g}{more}: {rule}")


class StreetControls:
    """Applies inputs to a running SUMO, each only where it has changed.

    Parameters
    ----------
    api
        SUMO.
    network
        The edges.
    programs
        The signal programs of every traffic light.
    toll_s_per_eur
        Driving time equivalent to one euro. [s]
    seed
        Seed of the draws that cancel or duplicate trips.
    failures
        Exceptions that SUMO raises if it finds no route.
    zones
        The zone of every edge whose departures follow a demand of their own.
    """

    def __init__(
        self,
        api: Any,
        network: Network,
        programs: Mapping[str, Sequence[str]],
        *,
        toll_s_per_eur: float,
        seed: int,
        failures: tuple[type[Exception], ...],
        zones: Mapping[str, str] | None = None,
    ) -> None:
        self._api, self._network, self._programs, self._failures = api, network, programs, failures
        self._vehicles = Vehicles(api, failures)
        self._toll_s_per_eur, self._seed = toll_s_per_eur, seed
        self._last: dict[str, Vector] = {}
        self._allowed: dict[int, list[tuple[str, ...]]] = {}
        self._forbidden: dict[str, frozenset[str]] = {}
        self._toll_s: dict[str, float] = {}
        self._demand = 1.0
        self._zones, self._zone_demand = zones or {}, dict[str, float]()
        self._repeated: set[str] = set()
        self._weighed = False
        self.cancelled: set[str] = set()
        self.removed: set[str] = set()
        """Trips removed, including cancelled ones."""
        self.barred = False
        """Whether any edge has been closed to any vehicle so far."""

    @property
    def every_second(self) -> bool:
        """Whether vehicles must be observed second by second."""
        return bool(self._forbidden or self._toll_s or self._demand != 1.0 or self._zone_demand)

    def apply(
        self,
        *,
        speed_limit: Input,
        closed: Input,
        permission: Input,
        toll: Input,
        signal_program: Input,
        demand_factor: Input,
        zone_demand: Input,
    ) -> None:
        """Apply changed inputs to SUMO; to be called before an exchange step is simulated.

        Raises
        ------
        CosimError
            If an input has an invalid value.
        """
        self._check_programs(signal_program)
        refuse(speed_limit, speed_limit.value <= 0, "a speed limit must be positive; use closed to close an edge")
        for port in (closed, permission):
            refuse(port, ~np.isin(port.value, (0.0, 1.0)), "write 0 or 1")
        refuse(toll, toll.value < 0, "a toll cannot be negative")
        for port in (demand_factor, zone_demand):
            refuse(port, port.value < 0, "demand cannot be negative")
        for row in self._changed(speed_limit):
            self._limit(row, float(speed_limit.value[row]), speed_limit)
        for row in self._changed(signal_program):
            if (number := int(signal_program.value[row])) >= 0:
                light = signal_program.labels[row]
                self._api.trafficlight.setProgram(light, self._programs[light][number])
        self._demand = float(demand_factor.value[0])
        zone_factors = zip(zone_demand.labels, zone_demand.value.tolist())
        self._zone_demand = {zone: factor for zone, factor in zone_factors if factor != 1.0}
        barred = self._bar(closed, permission)
        charged = np.flatnonzero(toll.value)
        self._toll_s = {toll.labels[row]: float(toll.value[row]) * self._toll_s_per_eur for row in charged}
        self._weigh()
        if barred or self.every_second:
            loaded = self._api.vehicle.getLoadedIDList()
            waiting = []
            for v in loaded:
                with self._vehicles.may_leave(v):
                    if not self._has_departed(v):
                        waiting.append(v)
                    elif barred:
                        self._turn_away(v)
            self.second(waiting, ())

    def second(self, loaded: Iterable[str], departed: Iterable[str]) -> None:
        """Process the vehicles that SUMO has read or inserted in its last step."""
        for v in loaded:
            with self._vehicles.may_leave(v):
                if v not in self.removed and self._is_wanted(v):
                    self._turn_away(v)
        for v in departed:  # a vehicle that departs in the second in which it is read may have been removed
            with self._vehicles.may_leave(v):
                if v not in self.removed and self._is_wanted(v):  # a vehicle of a flow is not read before it departs
                    self._repeat(v)
                    self._turn_away(v)
                    if self._toll_s and not self._is_timetabled(v):
                        self._reroute(v)

    def _check_programs(self, signal_program: Input) -> None:
        number = signal_program.value
        n_programs = np.array([len(self._programs[light]) for light in signal_program.labels])
        refuse(
            signal_program,
            (number != np.round(number)) | (number < -1) | (number >= n_programs),
            "write the number of one of the light's programs, counted from 0, or -1 to leave it to SUMO",
        )

    def _changed(self, port: Input) -> list[int]:
        last = self._last.get(port.name, port.default)
        self._last[port.name] = port.value
        return [int(row) for row in np.flatnonzero(port.value != last)]

    def _limit(self, row: int, limit: float, port: Input) -> None:
        edge = self._network.labels[row]
        if limit != port.default[row]:  # type: ignore[index]
            self._api.edge.setMaxSpeed(edge, limit)
            return
        for number, own in enumerate(self._network.lane_speeds[row]):
            self._api.lane.setMaxSpeed(f"{edge}_{number}", own)

    def _bar(self, closed: Input, permission: Input) -> bool:
        """Set the permissions of lanes whose edge was closed, opened or changed for a class; return whether any was."""
        classes = list(dict.fromkeys(label.rpartition("|")[2] for label in permission.labels))
        width = max(len(classes), 1)
        rows = {*self._changed(closed), *(at // width for at in self._changed(permission))}
        for row in sorted(rows):
            edge = self._network.labels[row]
            lanes = [f"{edge}_{number}" for number in range(self._network.lanes[row])]
            own = self._allowed.setdefault(row, [tuple(self._api.lane.getAllowed(lane)) for lane in lanes])
            here = slice(row * width, (row + 1) * width)
            asked = dict(zip(classes, zip(permission.value[here], permission.default[here])))  # type: ignore[index]
            granted = {c for c, (may, might) in asked.items() if may and not might}
            denied = {c for c, (may, _) in asked.items() if not may}
            for lane, allowed in zip(lanes, own):
                if now := set() if closed.value[row] else ({*allowed} | granted) - denied:
                    self._api.lane.setAllowed(lane, sorted(now))
                else:
                    self._api.lane.setDisallowed(lane, ["all"])
            everyone = set().union(*own)
            left = set() if closed.value[row] else (everyone | granted) - denied
            if lost := everyone - left:
                # Vehicles of the class "ignoring" ignore permissions: a closed edge gets a prohibitive travel time.
                self._forbidden[edge] = frozenset(lost | ({"ignoring"} if closed.value[row] else set()))
                self.barred = True
            else:
                self._forbidden.pop(edge, None)
        return bool(rows)

    def _weigh(self) -> None:
        """Set every edge's current travel time plus the toll in time; free flow once there is no toll."""
        weighing = bool(self._forbidden or self._toll_s)
        if weighing or self._weighed:
            free_s = self._network.length_m / self._network.speed_limit
            for edge, free in zip(self._network.labels, free_s):
                time_s = self._api.edge.getTraveltime(edge) + self._toll_s.get(edge, 0.0) if weighing else free
                if "ignoring" in self._forbidden.get(edge, ()):
                    time_s = _ENDLESS_S
                self._api.edge.adaptTraveltime(edge, time_s)
        self._weighed = weighing

    def _has_departed(self, v: str) -> bool:
        return bool(self._api.vehicle.getDeparture(v) >= 0)

    def _is_timetabled(self, v: str) -> bool:
        return self._api.vehicle.getVehicleClass(v) in _TIMETABLED

    def _chance(self, v: str) -> float:
        return float(uniform(self._seed, "demand", [v])[0])

    def _is_wanted(self, v: str) -> bool:
        """Decide whether a trip takes place at the current demand; remove it if not."""
        demand = self._demand_of(v)
        if demand >= 1.0 or self._chance(v) < demand or self._is_timetabled(v):
            return True
        self._remove(v)
        return False

    def _demand_of(self, v: str) -> float:
        """Return the factor on trips that begin where a vehicle's does."""
        if not self._zone_demand:
            return self._demand
        way = self._api.vehicle.getRoute(v)
        return self._demand * self._zone_demand.get(self._zones.get(way[0], "") if way else "", 1.0)

    def _remove(self, v: str) -> None:
        self.removed.add(v)
        with self._vehicles.may_leave(v):
            self._api.vehicle.remove(v)

    def _repeat(self, v: str) -> None:
        """Add as many vehicles of the same kind and route as the demand requires."""
        demand = self._demand_of(v)
        if demand <= 1.0 or v in self._repeated or self._is_timetabled(v):
            return
        for k in range(1, int(demand - self._chance(v)) + 1):
            another = f"{v}*{k}"
            self._repeated.add(another)
            self._api.route.add(another, self._api.vehicle.getRoute(v))
            self._api.vehicle.add(another, another, typeID=self._api.vehicle.getTypeID(v), departLane="best")

    def _turn_away(self, v: str) -> None:
        """Reroute a vehicle around edges closed to it; without a route, as close to its destination as possible.

        A trip that has not departed and cannot leave its first street is cancelled.
        """
        valid = self._api.vehicle.isRouteValid
        if not self._forbidden or (valid(v) and not self._meets(v)):  # a trip has no route before its first routing
            return
        self._reroute(v)
        number = self._meets(v) or (0 if valid(v) else 2)
        if number and number <= 2 and not self._has_departed(v):
            self.cancelled.add(v)
            self._remove(v)
        elif number:
            with suppress(*self._failures):
                self._api.vehicle.setRoute(v, self._way(v)[: number - 1])

    def _way(self, v: str) -> Sequence[str]:
        edges: Sequence[str] = self._api.vehicle.getRoute(v)
        return edges[max(self._api.vehicle.getRouteIndex(v), 0) :]

    def _meets(self, v: str) -> int:
        """Return the position of the first edge on a vehicle's route closed to it, counted from 1; 0 if none."""
        kind, begun = self._api.vehicle.getVehicleClass(v), self._has_departed(v)
        for number, edge in enumerate(self._way(v), start=1):
            if kind in self._forbidden.get(edge, ()) and not (begun and number == 1):
                return number
        return 0

    def _reroute(self, v: str) -> None:
        with suppress(*self._failures):  # a vehicle without another route keeps its own
            self._api.vehicle.rerouteTraveltime(v, False)
