"""Where is every vehicle of a fleet, how full is its battery, and what does it draw from the grid?

A step moves the fleet from ``t`` to ``t + h``: who is plugged in at its start charges over it, who drives uses what the
traffic says, and at its end vehicles arrive, leave, fail to leave, drive to a fast charger and plug in. A vehicle that
arrives within a step therefore charges from the next one on.

Every term of the energy ledger is summed where it happens; `FleetModel.residual` compares the sum with what the
batteries hold.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields

import numpy as np
import numpy.typing as npt

from . import _fleet
from .errors import CosimError
from .fleet_plan import Array, FleetPlan
from .fleet_state import FAILURES, LEDGER, FleetState, Signals, Where
from .fleet_strategies import DAY_S, Plain, Sessions, Strategy

CIRCUITY = 1.3
"""Way along streets over distance as the crow flies. Assumption."""
DETOUR_M_PER_S = 20 / 3.6
"""Speed on the way to a fast charger. [m/s] Assumption."""
DETOUR_LEAD_S = 5_400.0
"""A driver who lacks charge for the next trip leaves for a fast charger when it is this near. [s] Assumption."""
SESSION_S = 1_500.0
"""What a vehicle ahead in the queue is expected to take at a fast charger. [s] Assumption."""
FAST_SOC = 0.8
"""State of charge up to which direct current charges at full power, and to which drivers fast-charge; the power then
falls linearly to a twentieth. Assumption."""
VOLTAGE_BAND = 0.02
"""A station that stopped for low voltage starts again when it has risen this much above the limit. [pu] Assumption."""


@dataclass
class FleetModel:
    """A fleet that drives, parks and charges.

    Parameters
    ----------
    plan
        Vehicles, trips, places and stations.
    strategy
        Decides the charging power.
    notice_s
        A vehicle is unplugged, and its trip allowed or refused, this long before it departs; at least the step. [s]
    margin
        A trip is allowed with this many times the energy that it is expected to use, above the reserve.
    begin_s
        Second of the civil day at time 0.

    Raises
    ------
    CosimError
        If notice, margin or begin are out of range.
    """

    plan: FleetPlan
    strategy: Strategy = field(default_factory=Plain)
    notice_s: float = 60.0
    margin: float = 1.25
    begin_s: float = 0.0

    def __post_init__(self) -> None:
        if not (self.notice_s > 0 and self.margin >= 1 and 0 <= self.begin_s < DAY_S):
            raise CosimError(
                f"the fleet has notice {self.notice_s} s, margin {self.margin} and begins at second {self.begin_s} of "
                "the day: the notice must be positive, the margin at least 1, the second from 0 to below 86400"
            )
        self.restart()

    def restart(self) -> None:
        """Put every vehicle at home at time 0, decide on the first departures and plug in."""
        plan, n = self.plan, self.plan.n_vehicles
        self.strategy.start(len(plan.rating_w))
        capacity = plan.vehicles["capacity_j"]
        self._capacity, self._reserve = capacity, plan.vehicles["reserve_soc"] * capacity
        self._depart = np.append(plan.depart_s, np.inf)  # behind its last trip a vehicle has trip number -1: never
        first = np.where(np.diff(plan.first_trip) > 0, plan.first_trip[:-1], -1)
        cars = plan.vehicles
        self._cars = np.stack(
            [capacity, self._reserve, cars["ac_w"], cars["dc_w"], cars["discharge_w"], cars["target_soc"] * capacity,
             cars["target_after_s"], np.append(plan.depart_s % DAY_S, 0.0)[first]]
        )  # fmt: skip
        self._posts = np.stack([plan.stations[name] for name in ("power_w", "efficiency", "fast")])
        self._legs = np.stack([plan.depart_s, plan.ahead_j])
        self._managed = plan.vehicles["managed"] > 0.5
        self._has_offer = np.diff(plan.first_offer) > 0
        self._fast = plan.stations["fast"] > 0.5
        self._fast_stations = np.flatnonzero(self._fast)
        points = plan.stations["points"].astype(np.int32)
        self._points = points
        self.state = FleetState(
            charge_j=plan.vehicles["soc"] * capacity, where=np.zeros(n, np.int8), place=plan.home.copy(),
            trip=first.astype(np.int32), driven_trip=np.full(n, -1, np.int32), trip_j=np.zeros(n),
            station=np.full(n, -1, np.int32), aim=np.full(n, -1, np.int32), wants=np.zeros(n, bool),
            tried=np.zeros(n, bool), since_s=np.zeros(n), until_s=np.zeros(n), ratio=np.ones(n),
            may_depart=np.ones(len(plan.trip_ids)), stopped=np.zeros(plan.n_stations, bool),
            failures=np.zeros(len(FAILURES)), detours=np.zeros(1), ledger=np.zeros(len(LEDGER)),
        )  # fmt: skip
        self.initial_j = float(self.state.charge_j.sum())
        self.station_w = np.zeros(plan.n_stations)
        self.failed: list[tuple[int, str]] = []
        """Trips that failed in the last step, and why."""
        self._works = np.ones(plan.n_stations, bool)
        plugged = plan.vehicles["plugged"] > 0.5
        self.state.wants[:] = self._lacks(np.arange(n)) | plugged
        self.state.since_s[plugged] = -1.0
        self._decide(self.notice_s)
        self._plug_in()
        self.state.ledger[LEDGER.index("stored")] = self.initial_j

    def advance(
        self,
        time_s: float,
        step_s: float,
        signals: Signals | None = None,
        trip_energy_j: Array | None = None,
        trip_state: Array | None = None,
    ) -> None:
        """Move the fleet over one step.

        Parameters
        ----------
        time_s, step_s
            Start and length of the step. [s]
        signals
            What the fleet hears; by default nothing binds.
        trip_energy_j : shape (n_trips,)
            What each trip has taken from its battery up to the step's end. [J]
        trip_state : shape (n_trips,)
            0 not departed, 1 driving, 2 arrived, 3 removed or never inserted, at the step's end; -1, the default:
            nobody says, the trip goes as planned.

        Raises
        ------
        CosimError
            If the step is longer than the notice.
        """
        if step_s > self.notice_s:
            raise CosimError(
                f"the fleet is stepped by {step_s:g} s but decides on departures {self.notice_s:g} s ahead: "
                f"pass notice_s={step_s:g}"
            )
        signals = Signals.calm(self.plan) if signals is None else signals
        n_trips = len(self.plan.trip_ids)
        trip_energy_j = np.zeros(n_trips) if trip_energy_j is None else trip_energy_j
        trip_state = np.full(n_trips, -1.0) if trip_state is None else trip_state
        end_s = time_s + step_s
        self.failed = []
        self._serve(signals)
        self._charge(time_s, step_s, signals)
        self._drive(end_s, trip_energy_j, trip_state)
        self._visit_chargers(end_s)
        self._decide(end_s + self.notice_s)
        self._plug_in()
        self.state.ledger[LEDGER.index("stored")] = self.state.charge_j.sum()

    @property
    def soc(self) -> Array:
        """State of charge, shape (n_vehicles,)."""
        soc: Array = self.state.charge_j / self._capacity
        return soc

    @property
    def residual(self) -> float:
        """What the ledger leaves unexplained, over the sum of its magnitudes."""
        drawn, returned, losses, driven, detours, _, _, stored = self.state.ledger.tolist()
        size = drawn + returned + losses + abs(driven) + detours + self.initial_j + stored
        return float(abs(drawn - returned - losses - driven - detours - (stored - self.initial_j)) / size)

    def persons(self, *, visitors: bool = False) -> Array:
        """Return the persons of parked vehicles by zone, shape (n_zones,); of visitors alone: not where they began."""
        parked = self.state.where == Where.PARKED
        if visitors:
            parked &= self.plan.zone[self.state.place] != self.plan.zone[self.plan.home]
        zone = self.plan.zone[self.state.place[parked]]
        return np.bincount(zone, self.plan.vehicles["persons"][parked], len(self.plan.zone_ids)).astype(np.float64)

    def plugged(self) -> Array:
        """Return the vehicles plugged in by station, shape (n_stations,)."""
        return np.bincount(self.state.station + 1, minlength=self.plan.n_stations + 1)[1:].astype(np.float64)

    def _add(self, term: str, energy_j: float | np.floating[npt.NBitBase]) -> None:
        self.state.ledger[LEDGER.index(term)] += energy_j

    def _needs(self, vehicles: npt.NDArray[np.intp], energy_j: Array) -> Array:
        """Return the charge with which trips may begin: their energy with margin, above the reserve. [J]"""
        needs: Array = self.margin * self.state.ratio[vehicles] * energy_j + self._reserve[vehicles]
        return needs

    def _next_needs(self, vehicles: npt.NDArray[np.intp], energy_j: Array) -> Array:
        """Return the charge needed for each vehicle's next trip, or 0 if there is none. [J]"""
        trip = self.state.trip[vehicles]
        if not len(energy_j):
            return np.zeros(len(vehicles))
        return np.where(trip >= 0, self._needs(vehicles, energy_j[trip]), 0.0)

    def _lacks(self, vehicles: npt.NDArray[np.intp]) -> npt.NDArray[np.bool_]:
        """Tell whose driver plugs in: too little for the trips to the next charger, or below the habit's level."""
        charge, capacity = self.state.charge_j[vehicles], self._capacity[vehicles]
        habit = self.plan.vehicles["plug_in_soc"][vehicles]
        # A habit of 1 means: whenever it is not full.
        lacks: npt.NDArray[np.bool_] = (charge < habit * capacity) | (
            charge < self._next_needs(vehicles, self.plan.ahead_j)
        )
        return lacks

    def _serve(self, signals: Signals) -> None:
        """Find which stations work, and unplug at those that do not."""
        s, least = self.state, self.plan.stations["least_voltage"]
        s.stopped = (signals.voltage < least) | (s.stopped & (signals.voltage < least + VOLTAGE_BAND))
        self._works = signals.works & ~s.stopped
        if not self._works.all():
            s.station[(s.station >= 0) & ~self._works[s.station]] = -1

    def _sessions(
        self, time_s: float, step_s: float, signals: Signals
    ) -> tuple[npt.NDArray[np.intp], Sessions]:
        """Return who is plugged in, and their sessions."""
        s = self.state
        v = np.flatnonzero(s.station >= 0)
        setting = [time_s, step_s, self.notice_s, self.margin, self.strategy.counted_on, FAST_SOC, DAY_S]
        found = np.empty((6, len(v)))
        _fleet.session_ranges(
            v, s.station, s.trip, self._cars, self._posts, self._legs, np.stack([s.charge_j, s.since_s, s.ratio]),
            np.array(setting), found,
        )  # fmt: skip
        need, left, least, full, rate, efficiency = found
        station = s.station[v]
        return v, Sessions(
            (self.begin_s + time_s) % DAY_S, step_s, need, left, least, full, rate, efficiency, station,
            self.plan.transformer[station], signals.price, signals.pv_surplus_w, signals.base_w, signals.limit_w,
        )  # fmt: skip

    def _charge(self, time_s: float, step_s: float, signals: Signals) -> None:
        """Charge and discharge who is plugged in."""
        self.strategy.observe((self.begin_s + time_s) % DAY_S, signals.price, signals.base_w)
        v, every = self._sessions(time_s, step_s, signals)
        managed = self._managed[v]
        if managed.all():
            power = self.strategy.power(every)
        else:
            power = every.full_w.copy()
            others = np.bincount(every.transformer[~managed], power[~managed], len(signals.limit_w))
            power[managed] = self.strategy.power(_only(every, managed, signals.limit_w - others))
        n = self.plan.n_stations
        drawn = np.bincount(every.station, np.maximum(power, 0.0), n)
        cut = np.divide(signals.station_cap_w, drawn, out=np.ones(n), where=drawn > signals.station_cap_w)
        power = np.where(power > 0, power * np.maximum(cut, 0.0)[every.station], power)
        flow = np.where(power > 0, power * every.efficiency, power / every.efficiency)  # into the battery
        self.state.charge_j[v] += flow * step_s
        self.station_w = np.bincount(every.station, power, n).astype(np.float64)
        self._add("drawn", np.maximum(power, 0.0).sum() * step_s)
        self._add("returned", -np.minimum(power, 0.0).sum() * step_s)
        self._add("losses", (power - flow).sum() * step_s)

    def _drive(self, end_s: float, trip_energy_j: Array, trip_state: Array) -> None:
        """Take from the batteries what trips have used, and park who has arrived."""
        s, plan = self.state, self.plan
        v = np.flatnonzero(s.where == Where.DRIVING)
        if not len(v):
            return
        trip = s.driven_trip[v]
        told = trip_state[trip]
        done = np.clip((end_s - plan.depart_s[trip]) / plan.duration_s[trip], 0.0, 1.0)
        planned = told < 0
        beyond = np.where(told == 2, plan.outside_j[trip], 0.0)
        used = np.where(planned, done * plan.energy_j[trip], trip_energy_j[trip] + beyond)
        told = np.where(planned, np.where(done >= 1.0, 2, 1), told)
        before = s.charge_j[v]
        after = before - (used - s.trip_j[v])
        lacking, over = np.maximum(-after, 0.0), np.maximum(after - self._capacity[v], 0.0)
        over = np.minimum(over, np.maximum(after - before, 0.0))
        after = after + lacking - over
        s.charge_j[v], s.trip_j[v] = after, used
        self._add("driven", (before - after).sum())
        self._add("without charge", lacking.sum())
        self._add("spilled", over.sum())
        for i in np.flatnonzero((lacking > 0) & (before > 0)):
            self._fail(trip[i], "ran empty")
        arrived, gone = told == 2, told == 3
        for i in np.flatnonzero(gone):
            self._fail(trip[i], "removed" if used[i] > 0 else "not inserted")
        ends = arrived | gone
        w, trip, used = v[ends], trip[ends], used[ends]
        # A vehicle that the traffic took out on its way is towed to where it was going.
        s.place[w] = np.where((told[ends] == 3) & (used <= 0), plan.origin[trip], plan.destination[trip])
        expected = plan.energy_j[trip]
        ratio = np.divide(used, expected, out=np.ones(len(w)), where=(expected > 0) & (told[ends] == 2))
        s.ratio[w] = np.clip(0.7 * s.ratio[w] + 0.3 * ratio, 0.5, 2.0)
        s.where[w], s.driven_trip[w], s.since_s[w], s.tried[w] = Where.PARKED, -1, end_s, False
        s.wants[w] = self._lacks(w)

    def _fail(self, trip: int, why: str) -> None:
        self.state.failures[FAILURES.index(why)] += 1
        self.failed.append((int(trip), why))

    def _decide(self, limit_s: float) -> None:
        """Let vehicles set off whose trips begin up to a time, or refuse."""
        s, plan = self.state, self.plan
        while len(v := np.flatnonzero(self._depart[s.trip] <= limit_s)):
            trip = s.trip[v]
            parked, here = s.where[v] == Where.PARKED, s.place[v] == plan.origin[trip]
            enough = s.charge_j[v] >= self._needs(v, plan.energy_j[trip])
            goes = parked & here & enough
            for i in np.flatnonzero(~goes):
                self._fail(trip[i], "late" if not parked[i] else "no charge" if here[i] else "elsewhere")
            s.may_depart[trip[~goes]] = 0.0
            last = trip + 1 >= plan.first_trip[v + 1]
            s.trip[v] = np.where(last, -1, trip + 1)
            stays, w = v[~goes & parked], v[goes]
            s.wants[stays] |= self._lacks(stays)
            s.tried[stays] = False
            s.where[w], s.driven_trip[w], s.trip_j[w] = Where.DRIVING, trip[goes], 0.0
            s.station[w], s.aim[w], s.wants[w] = -1, -1, False

    def _visit_chargers(self, end_s: float) -> None:
        """Move vehicles to, at and from fast chargers, and free the points of those that have what they need."""
        s, plan = self.state, self.plan
        if not len(self._fast_stations):
            return
        v = np.flatnonzero((s.where == Where.TO_CHARGER) & (s.until_s <= end_s))
        s.where[v], s.since_s[v], s.wants[v] = Where.AT_CHARGER, s.until_s[v], True
        v = np.flatnonzero((s.where == Where.FROM_CHARGER) & (s.until_s <= end_s))
        s.where[v], s.aim[v], s.wants[v] = Where.PARKED, -1, self._lacks(v)
        plugged = np.flatnonzero((s.station >= 0) & (s.where == Where.PARKED))
        plugged = plugged[self._fast[s.station[plugged]]]
        full = plugged[s.charge_j[plugged] >= self._enough(plugged)]
        s.station[full], s.wants[full] = -1, False
        v = np.flatnonzero(s.where == Where.AT_CHARGER)
        if len(v):
            way_m = self._ways(v, plan.place_xy[s.place[v]], s.aim[v][:, None])[:, 0]
            back_j, back_s = way_m * plan.vehicles["drive_j_per_m"][v], way_m / DETOUR_M_PER_S
            must = self._depart[s.trip[v]] - self.notice_s - end_s <= back_s
            can = s.charge_j[v] >= back_j
            go = can & ((s.charge_j[v] >= self._enough(v) + back_j) | (s.charge_j[v] >= self._capacity[v]) | must)
            self._set_off(v[go], back_j[go], end_s + back_s[go], Where.FROM_CHARGER)
            broken = v[~go & ~self._works[s.aim[v]]]
            self._aim(broken, self._station_xy[s.aim[broken]], end_s)
        v = np.flatnonzero((self._depart[s.trip] - end_s <= DETOUR_LEAD_S) & (s.where == Where.PARKED) & ~s.tried)
        v = v[plan.vehicles["detours"][v] > 0.5]
        v = v[s.charge_j[v] + self._attainable(v, end_s) < self._next_needs(v, plan.energy_j)]
        self._aim(v, plan.place_xy[s.place[v]], end_s)

    def _attainable(self, vehicles: npt.NDArray[np.intp], now_s: float) -> Array:
        """Return what vehicles can charge at most before they leave, where they are plugged in. [J]"""
        s, stations = self.state, self.plan.stations
        plugged = s.station[vehicles] >= 0
        got = np.zeros(len(vehicles))
        v = vehicles[plugged]
        rate = stations["power_w"] * stations["efficiency"]
        car = np.where(self._fast[s.station[v]], self.plan.vehicles["dc_w"][v], self.plan.vehicles["ac_w"][v])
        most = np.minimum(rate[s.station[v]], car * stations["efficiency"][s.station[v]])
        got[plugged] = most * np.maximum(self._depart[s.trip[v]] - self.notice_s - now_s, 0.0)
        return got

    @property
    def _station_xy(self) -> Array:
        return np.stack([self.plan.stations["x"], self.plan.stations["y"]], axis=1)

    def _enough(self, vehicles: npt.NDArray[np.intp]) -> Array:
        """Return the charge at which a vehicle leaves a fast charger. [J]"""
        wanted = np.maximum(FAST_SOC * self._capacity[vehicles], self._next_needs(vehicles, self.plan.ahead_j))
        # A tenth of a per cent short of full: the last joules of a tapering charge take for ever.
        return np.minimum(wanted, 0.999 * self._capacity[vehicles])

    def _ways(self, vehicles: npt.NDArray[np.intp], xy: Array, stations: npt.NDArray[np.integer]) -> Array:
        """Return the ways between places and stations along streets, shape (n_vehicles, n_stations). [m]"""
        ways: Array = CIRCUITY * np.hypot(*(self._station_xy[stations] - xy[:, None, :]).transpose(2, 0, 1))
        return ways

    def _aim(self, vehicles: npt.NDArray[np.intp], xy: Array, end_s: float) -> None:
        """Send vehicles to the working fast charger in reach that they expect to be soonest done at."""
        s = self.state
        s.tried[vehicles] = True
        open_now = self._fast_stations[self._works[self._fast_stations]]
        if not (len(vehicles) and len(open_now)):
            return
        way_m = self._ways(vehicles, xy, np.broadcast_to(open_now, (len(vehicles), len(open_now))))
        energy = way_m * self.plan.vehicles["drive_j_per_m"][vehicles][:, None]
        busy = np.bincount(np.maximum(s.aim, s.station) + 1, minlength=self.plan.n_stations + 1)[1:]
        ahead = np.maximum(busy - self._points + 1, 0)[open_now]
        wait_s = 2 * way_m / DETOUR_M_PER_S + ahead * SESSION_S / self._points[open_now]
        best = np.argmin(np.where(energy <= s.charge_j[vehicles][:, None], wait_s, np.inf), axis=1)
        rows = np.arange(len(vehicles))
        goes = energy[rows, best] <= s.charge_j[vehicles]
        v, best = vehicles[goes], best[goes]
        s.aim[v] = open_now[best]
        s.detours += len(v)
        self._set_off(v, energy[goes, best], end_s + way_m[goes, best] / DETOUR_M_PER_S, Where.TO_CHARGER)

    def _set_off(self, vehicles: npt.NDArray[np.intp], energy_j: Array, until_s: Array, where: Where) -> None:
        s = self.state
        s.where[vehicles], s.until_s[vehicles], s.station[vehicles] = where, until_s, -1
        s.charge_j[vehicles] -= energy_j
        self._add("detours", energy_j.sum())

    def _plug_in(self) -> None:
        """Give free points to those who want to charge, first come, first served."""
        s, plan = self.state, self.plan
        at_place = (s.where == Where.PARKED) & self._has_offer[s.place]
        queue = np.flatnonzero(s.wants & (s.station < 0) & (at_place | (s.where == Where.AT_CHARGER)))
        if not len(queue):
            return
        queue = queue[np.argsort(s.since_s[queue], kind="stable")]
        free = np.where(self._works, self._points - self.plugged().astype(np.int32), 0).astype(np.int32)
        _fleet.take_points(queue, s.aim, s.place, plan.first_offer, plan.offers, free, s.station)


def _only(sessions: Sessions, chosen: npt.NDArray[np.bool_], spare_w: Array) -> Sessions:
    """Return the chosen sessions, with what the others leave of the transformers."""
    values = {item.name: getattr(sessions, item.name) for item in fields(sessions)}
    for name in ("need_j", "left_s", "least_w", "full_w", "rate_w", "efficiency", "station", "transformer"):
        values[name] = values[name][chosen]
    return Sessions(**values | {"spare_w": spare_w})
