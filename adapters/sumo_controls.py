"""How do a city's measures reach SUMO? Limits, closures, permissions, tolls, signal programs and demand.

Nothing is told to SUMO as long as every input has its default. A measure that changes whose way is open or what it
costs sends the vehicles concerned on new routes: those that meet a closed edge when it is closed and when they are
read, the others, for a toll, when they depart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from cosim.core import CosimError
from cosim.core.random import uniform

if TYPE_CHECKING:
    from cosim.adapters.sumo_network import Network
    from cosim.core import Input
    from cosim.core.ports import Vector

_ENDLESS_S = 1e6
_TIMETABLED = frozenset({"bus", "coach", "tram", "rail", "rail_urban", "rail_electric", "rail_fast", "subway", "ship"})


def refuse(port: Input, bad: Sequence[bool] | np.typing.NDArray[np.bool_], rule: str) -> None:
    """Refuse the values of an input that break a rule.

    Raises
    ------
    CosimError
        If there are any; it names the first.
    """
    if np.any(bad):
        first = int(np.argmax(bad))
        more = f" (and {np.sum(bad) - 1} more)" if np.sum(bad) > 1 else ""
        raise CosimError(f"{port.name}[{port.labels[first]!r}] is {port.value[first]:g}{more}: {rule}")


class Controls:
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
        Time that is worth one euro to a driver. [s]
    seed
        Seed of the draws of who makes no trip, or a second one.
    failures
        What SUMO raises where it finds no route.
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
    ) -> None:
        self._api, self._network, self._programs, self._failures = api, network, programs, failures
        self._toll_s_per_eur, self._seed = toll_s_per_eur, seed
        self._last: dict[str, Vector] = {}
        self._allowed: dict[int, list[tuple[str, ...]]] = {}
        self._forbidden: dict[str, frozenset[str]] = {}
        self._toll_s: dict[str, float] = {}
        self._demand = 1.0
        self._repeated: set[str] = set()
        self._weighed = False
        self.cancelled: set[str] = set()
        self.removed: set[str] = set()
        """Trips that were taken away, those that were cancelled among them."""
        self.barred = False
        """Whether any way has been closed to anyone yet."""

    @property
    def every_second(self) -> bool:
        """Whether vehicles have to be looked at second by second."""
        return bool(self._forbidden or self._toll_s or self._demand != 1.0)

    def apply(
        self, *, speed_limit: Input, closed: Input, permission: Input, toll: Input, signal_program: Input,
        demand_factor: Input,
    ) -> None:  # fmt: skip
        """Tell SUMO what has changed; to be called before an exchange step is simulated.

        Raises
        ------
        CosimError
            If an input has a value that it cannot have.
        """
        self._check_programs(signal_program)
        refuse(speed_limit, speed_limit.value <= 0, "a speed limit must be positive; close an edge by closed")
        for port in (closed, permission):
            refuse(port, ~np.isin(port.value, (0.0, 1.0)), "write 0 or 1")
        refuse(toll, toll.value < 0, "a toll cannot be negative")
        refuse(demand_factor, demand_factor.value < 0, "demand cannot be negative")
        for row in self._changed(speed_limit):
            self._limit(row, float(speed_limit.value[row]), speed_limit)
        for row in self._changed(signal_program):
            if (number := int(signal_program.value[row])) >= 0:
                light = signal_program.labels[row]
                self._api.trafficlight.setProgram(light, self._programs[light][number])
        self._demand = float(demand_factor.value[0])
        barred = self._bar(closed, permission)
        charged = np.flatnonzero(toll.value)
        self._toll_s = {toll.labels[row]: float(toll.value[row]) * self._toll_s_per_eur for row in charged}
        self._weigh()
        if barred or self.every_second:
            loaded = self._api.vehicle.getLoadedIDList()
            for v in filter(self._has_departed, loaded if barred else ()):
                self._turn_away(v)
            self.second([v for v in loaded if not self._has_departed(v)], ())

    def second(self, loaded: Iterable[str], departed: Iterable[str]) -> None:
        """Treat the vehicles that SUMO has read or inserted in its last step."""
        for v in loaded:
            if v not in self.removed and self._is_wanted(v):
                self._turn_away(v)
        for v in departed:  # who departs in the second in which it is read may have been removed
            if v not in self.removed and self._is_wanted(v):  # a vehicle of a flow is not read before it departs
                self._repeat(v)
                self._turn_away(v)
                if self._toll_s and not self._is_timetabled(v):
                    self._reroute(v)

    def _check_programs(self, signal_program: Input) -> None:
        number = signal_program.value
        n_programs = np.array([len(self._programs[light]) for light in signal_program.labels])
        refuse(
            signal_program, (number != np.round(number)) | (number < -1) | (number >= n_programs),
            "write the number of one of the light's programs, counted from 0, or -1 to leave it to SUMO",
        )  # fmt: skip

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
        """Set the permissions of lanes whose edge was closed, opened, or changed for a class; tell whether any was."""
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
                # Vehicles of the class "ignoring" do not see permissions: a closed edge costs them time without end.
                self._forbidden[edge] = frozenset(lost | ({"ignoring"} if closed.value[row] else set()))
                self.barred = True
            else:
                self._forbidden.pop(edge, None)
        return bool(rows)

    def _weigh(self) -> None:
        """Give every edge its present travel time and its toll in the driver's time; afterwards, free flow again."""
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
        """Decide whether a trip takes place at the present demand; remove it if not."""
        if self._demand >= 1.0 or self._chance(v) < self._demand or self._is_timetabled(v):
            return True
        self._remove(v)
        return False

    def _remove(self, v: str) -> None:
        self.removed.add(v)
        self._api.vehicle.remove(v)

    def _repeat(self, v: str) -> None:
        """Let as many vehicles of the same kind and route follow as the demand asks for."""
        if self._demand <= 1.0 or v in self._repeated or self._is_timetabled(v):
            return
        for k in range(1, int(self._demand - self._chance(v)) + 1):
            another = f"{v}*{k}"
            self._repeated.add(another)
            self._api.route.add(another, self._api.vehicle.getRoute(v))
            self._api.vehicle.add(another, another, typeID=self._api.vehicle.getTypeID(v), departLane="best")

    def _turn_away(self, v: str) -> None:
        """Send a vehicle round the edges that are closed to it; if there is no way, as near as it can get.

        A trip that has not begun and could not leave its first street is cancelled.
        """
        valid = self._api.vehicle.isRouteValid
        if not self._forbidden or (valid(v) and not self._meets(v)):  # a trip has no route before it looks for one
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
        """Return which edge on a vehicle's way is the first that is closed to it, counted from 1; 0 if none is."""
        kind, begun = self._api.vehicle.getVehicleClass(v), self._has_departed(v)
        for number, edge in enumerate(self._way(v), start=1):
            if kind in self._forbidden.get(edge, ()) and not (begun and number == 1):
                return number
        return 0

    def _reroute(self, v: str) -> None:
        with suppress(*self._failures):  # a vehicle that finds no other route keeps its own
            self._api.vehicle.rerouteTraveltime(v, False)


