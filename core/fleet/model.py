"""Fleet model: location, state of charge and grid power of every vehicle.

A step advances the fleet from ``t`` to ``t + h``: vehicles plugged in at its start charge, driving vehicles use the
energy reported by the traffic, and at its end vehicles arrive, depart, wait, fail to depart and plug in. A vehicle that
arrives within a step therefore charges from the next one on. A vehicle short of charge detours via a fast charger.

Every term of the energy ledger is summed where it arises; `FleetModel.residual` compares the sum with the energy stored
in the batteries.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from cosim.core.batteries import stored_power
from cosim.core.errors import CosimError
from cosim.core.quantities import DAY_S, Array, Flags, Indices, Indices32
from cosim.core.trips import MayDepart, TripState

from . import _fleet as rows
from .climate import climate_share
from .detours import DETOUR_M_PER_S, choose, leg, station_xy, way_m
from .plan import FleetPlan
from .sessions import FAST_SOC, SessionRanges
from .state import FAILURES, LEDGER, VOLTAGE_BAND, FleetSignals, FleetState, Where
from .strategies import Plain, Sessions, Strategy

PATIENCE_S = 1_800.0
"""Maximum delay with which a driver still departs. [s] Assumption."""


@dataclass
class FleetModel:
    """A fleet that drives, parks and charges.

    Parameters
    ----------
    plan
        Vehicles, trips, places and stations.
    strategy
        Sets the charging power.
    notice_s
        Time before departure at which a vehicle is unplugged and its trip allowed or refused; at least the step. [s]
    margin
        A trip is allowed if the charge above the reserve is at least this multiple of its expected energy.
    begin_s
        Second of the civil day at the start of the run.
    patience_s
        Maximum delay of a trip whose car is still driving or charging; beyond it the trip fails. [s]

    Raises
    ------
    CosimError
        If notice, margin, begin or patience are out of range.
    """

    plan: FleetPlan
    strategy: Strategy = field(default_factory=Plain)
    notice_s: float = 60.0
    margin: float = 1.25
    begin_s: float = 0.0
    patience_s: float = PATIENCE_S

    def __post_init__(self) -> None:
        if not (self.notice_s > 0 and self.margin >= 1 and 0 <= self.begin_s < DAY_S):
            raise CosimError(
                f"the fleet has notice {self.notice_s} s, margin {self.margin} and begins at second {self.begin_s} of "
                "the day: the notice must be positive, the margin at least 1, the second from 0 to below 86400"
            )
        if not self.patience_s >= 0:
            raise CosimError(f"patience_s is {self.patience_s}: it must be 0 or more")
        self.restart()

    def restart(self) -> None:
        """Place every vehicle at home at time 0, decide on the first departures and plug in."""
        plan, n = self.plan, self.plan.n_vehicles
        self.strategy.start(len(plan.rating_w))
        capacity = plan.vehicles["capacity_j"]
        self._capacity, self._reserve = capacity, plan.vehicles["reserve_soc"] * capacity
        self._depart = np.append(plan.depart_s, np.inf)  # after its last trip a vehicle has trip -1: never departs
        self._ranges = SessionRanges(plan, self.strategy, notice_s=self.notice_s, margin=self.margin)
        self._begins_day = plan.begins_day(self.begin_s)
        self._managed = plan.vehicles["managed"] > 0.5
        self._has_offer = np.diff(plan.first_offer) > 0
        self._fast = plan.stations["fast"] > 0.5
        self._points = plan.stations["points"].astype(np.int32)
        self.state = FleetState.at_home(plan)
        self.initial_j = float(self.state.charge_j.sum())
        self.station_w = np.zeros(plan.n_stations)
        self.failed: list[tuple[int, str]] = []
        """Trips that failed in the last step, with the reason."""
        self._works, self._climate = np.ones(plan.n_stations, bool), 0.0
        plugged = plan.vehicles["plugged"] > 0.5
        self.state.wants[:] = self._lacks(np.arange(n)) | plugged
        self.state.since_s[plugged] = -1.0
        self._decide(0.0)
        self._plug_in()
        self.state.ledger[LEDGER.index("stored")] = self.initial_j

    def advance(
        self,
        time_s: float,
        step_s: float,
        signals: FleetSignals | None = None,
        trip_energy_j: Array | None = None,
        trip_state: Array | None = None,
    ) -> None:
        """Advance the fleet by one step.

        Parameters
        ----------
        time_s, step_s
            Start and length of the step. [s]
        signals
            Signals that the fleet receives; by default nothing binds.
        trip_energy_j : shape (n_trips,)
            Energy that each trip has drawn from its battery up to the step's end. [J]
        trip_state : shape (n_trips,)
            State at the step's end: 0 not departed, 1 driving, 2 arrived, 3 removed or never inserted, 4 standing at
            the charger of `via`; -1, the default: unknown, the trip goes as planned.

        Raises
        ------
        CosimError
            If the step is longer than the notice.
        """
        if step_s > self.notice_s:
            raise CosimError(
                f"the fleet has a step of {step_s:g} s but decides on departures {self.notice_s:g} s ahead: "
                f"pass notice_s={step_s:g}"
            )
        signals = FleetSignals.calm(self.plan) if signals is None else signals
        n_trips = len(self.plan.trip_ids)
        trip_energy_j = np.zeros(n_trips) if trip_energy_j is None else trip_energy_j
        trip_state = np.full(n_trips, float(TripState.AS_PLANNED)) if trip_state is None else trip_state
        end_s = time_s + step_s
        self.failed = []
        self._serve(signals)
        self._charge(time_s, step_s, signals)
        self._climate = climate_share(signals.outdoor)
        self._drive(end_s, trip_energy_j, trip_state)
        self._leave_chargers(end_s)
        self._decide(end_s)
        self._plug_in()
        self.state.ledger[LEDGER.index("stored")] = self.state.charge_j.sum()

    @property
    def soc(self) -> Array:
        """State of charge, shape (n_vehicles,)."""
        soc: Array = self.state.charge_j / self._capacity
        return soc

    @property
    def residual(self) -> float:
        """Residual of the energy ledger relative to the sum of its magnitudes."""
        drawn, returned, losses, driven, _, _, stored = self.state.ledger.tolist()
        size = drawn + returned + losses + abs(driven) + self.initial_j + stored
        return float(abs(drawn - returned - losses - driven - (stored - self.initial_j)) / size)

    @property
    def via(self) -> Array:
        """Station via which each trip is currently routed, shape (n_trips,); -1: none."""
        v = np.flatnonzero((self.state.driven_trip >= 0) & (self.state.aim >= 0))
        via = np.full(len(self.plan.trip_ids), -1.0)
        via[self.state.driven_trip[v]] = self.state.aim[v]
        return via

    def persons(self, *, visitors: bool = False) -> Array:
        """Return the persons of parked vehicles by zone, shape (n_zones,); ``visitors``: only those away from home."""
        parked = self.state.where == Where.PARKED
        if visitors:
            parked &= self.plan.zone[self.state.place] != self.plan.zone[self.plan.home]
        zone = self.plan.zone[self.state.place[parked]]
        return np.bincount(zone, self.plan.vehicles["persons"][parked], len(self.plan.zone_ids)).astype(np.float64)

    def plugged(self) -> Array:
        """Return the number of vehicles plugged in at each station, shape (n_stations,)."""
        return np.bincount(self.state.station + 1, minlength=self.plan.n_stations + 1)[1:].astype(np.float64)

    def _add(self, term: str, energy_j: float | np.floating[npt.NBitBase]) -> None:
        self.state.ledger[LEDGER.index(term)] += energy_j

    def _needs(self, vehicles: Indices, energy_j: Array) -> Array:
        """Return the charge required to start trips: their energy with margin, above the reserve. [J]"""
        needs: Array = self.margin * self.state.ratio[vehicles] * energy_j + self._reserve[vehicles]
        return needs

    def _next_needs(self, vehicles: Indices, energy_j: Array) -> Array:
        """Return the charge required for each vehicle's next trip, 0 if there is none. [J]"""
        trip = self.state.trip[vehicles]
        if not len(energy_j):
            return np.zeros(len(vehicles))
        return np.where(trip >= 0, self._needs(vehicles, energy_j[trip]), 0.0)

    def _lacks(self, vehicles: Indices) -> Flags:
        """Return which vehicles plug in: short of charge for the trips to the next charger, or below their habit."""
        charge, capacity = self.state.charge_j[vehicles], self._capacity[vehicles]
        habit = self.plan.vehicles["plug_in_soc"][vehicles]
        # A habit of 1 means plugging in whenever the battery is not full.
        lacks: Flags = (charge < habit * capacity) | (charge < self._next_needs(vehicles, self.plan.ahead_j))
        return lacks

    def _serve(self, signals: FleetSignals) -> None:
        """Find the working stations and unplug vehicles at all others."""
        s, least = self.state, self.plan.stations["least_voltage"]
        s.stopped = (signals.voltage < least) | (s.stopped & (signals.voltage < least + VOLTAGE_BAND))
        self._works = signals.works & ~s.stopped
        if not self._works.all():
            s.station[(s.station >= 0) & ~self._works[s.station]] = -1

    def _sessions(self, time_s: float, step_s: float, signals: FleetSignals, day_s: float) -> tuple[Indices, Sessions]:
        """Return the vehicles plugged in, and their sessions."""
        s = self.state
        v = np.flatnonzero(s.station >= 0)
        found = self._ranges.find(v, s, time_s, step_s, self.strategy.counted_on)
        need, left, least = found[rows.RANGE_LACKING], found[rows.RANGE_LEFT], found[rows.RANGE_LEAST]
        full = found[rows.RANGE_FULL]
        h = np.flatnonzero(s.where[v] == Where.AT_CHARGER)  # en route, vehicles do not wait for a cheaper hour
        need[h] = np.maximum(self._wanted_on_the_way(v[h]) - s.charge_j[v[h]], 0.0)
        left[h], least[h] = 0.0, full[h]
        station = s.station[v]
        surplus_w = np.bincount(self.plan.transformer, signals.pv_surplus_w, len(signals.limit_w)).astype(np.float64)
        return v, Sessions(
            day_s=day_s,
            step_s=step_s,
            need_j=need,
            left_s=left,
            least_w=least,
            full_w=full,
            rate_w=found[rows.RANGE_RATE],
            efficiency=found[rows.RANGE_EFFICIENCY],
            station=station,
            transformer=self.plan.transformer[station],
            price=signals.price,
            pv_surplus_w=surplus_w,
            base_w=signals.base_w,
            spare_w=signals.limit_w,
        )

    def _charge(self, time_s: float, step_s: float, signals: FleetSignals) -> None:
        """Charge and discharge the vehicles plugged in."""
        day_s = (self.begin_s + time_s) % DAY_S if signals.day_s is None else signals.day_s
        self.strategy.observe(day_s, signals.price, signals.base_w)
        v, every = self._sessions(time_s, step_s, signals, day_s)
        managed = self._managed[v]
        if managed.all():
            power = self.strategy.power(every)
        else:
            power = every.full_w.copy()
            others = np.bincount(every.transformer[~managed], power[~managed], len(signals.limit_w))
            power[managed] = self.strategy.power(every.only(managed, signals.limit_w - others))
        n = self.plan.n_stations
        drawn = np.bincount(every.station, np.maximum(power, 0.0), n)
        cut = np.divide(signals.station_cap_w, drawn, out=np.ones(n), where=drawn > signals.station_cap_w)
        power = np.where(power > 0, power * np.maximum(cut, 0.0)[every.station], power)
        # The loss is the station's, and what a vehicle may draw and keep is its session's: see `session_ranges`.
        flow = stored_power(power, every.efficiency)
        self.state.charge_j[v] += flow * step_s
        self.station_w = np.bincount(every.station, power, n).astype(np.float64)
        self._add("drawn", np.maximum(power, 0.0).sum() * step_s)
        self._add("returned", -np.minimum(power, 0.0).sum() * step_s)
        self._add("losses", (power - flow).sum() * step_s)

    def _drive(self, end_s: float, trip_energy_j: Array, trip_state: Array) -> None:
        """Draw the energy of trips from the batteries, and park vehicles that have arrived."""
        s, plan = self.state, self.plan
        v = np.flatnonzero(s.where == Where.DRIVING)
        if not len(v):
            return
        trip = s.driven_trip[v]
        reported = trip_state[trip]
        done = np.clip((end_s - s.left_s[v]) / s.leg_s[v], 0.0, 1.0)
        planned = reported < TripState.WAITING
        seen = trip_energy_j[trip]
        entered = (reported > TripState.WAITING) & ((reported != TripState.REMOVED) | (seen > 0))
        s.climate_j[v] += self._climate * np.maximum(seen - s.seen_j[v], 0.0)
        s.seen_j[v] = seen
        outside_j = np.where(reported == TripState.ARRIVED, plan.outside_j[trip], 0.0)
        beyond = np.where(entered, plan.approach_j[trip], 0.0) + outside_j
        used = np.where(planned, s.begun_j[v] + done * s.leg_j[v], seen + s.climate_j[v] + beyond)
        ended = np.where(s.aim[v] >= 0, TripState.STANDING, TripState.ARRIVED)
        reported = np.where(planned, np.where(done < 1.0, TripState.DRIVING, ended), reported)
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
        arrived, gone = reported == TripState.ARRIVED, reported == TripState.REMOVED
        for i in np.flatnonzero(gone):
            self._fail(trip[i], "removed" if used[i] > 0 else "not inserted")
        ends = arrived | gone
        w, trip, used = v[ends], trip[ends], used[ends]
        # A vehicle removed by the traffic en route is towed to its destination.
        s.place[w] = np.where(gone[ends] & (used <= 0), plan.origin[trip], plan.destination[trip])
        expected = plan.energy_j[trip]
        direct = (expected > 0) & arrived[ends] & (s.rest_s[w] == 0)
        ratio = np.divide(used, expected, out=np.ones(len(w)), where=direct)
        s.ratio[w] = np.clip(0.7 * s.ratio[w] + 0.3 * ratio, 0.5, 2.0)
        s.where[w], s.driven_trip[w], s.since_s[w], s.aim[w] = Where.PARKED, -1, end_s, -1
        s.wants[w] = self._lacks(w)
        w = v[(reported == TripState.STANDING) & (s.aim[v] >= 0)]
        s.where[w], s.since_s[w], s.wants[w] = Where.AT_CHARGER, end_s, True

    def _fail(self, trip: int, why: str) -> None:
        self.state.failures[FAILURES.index(why)] += 1
        self.failed.append((int(trip), why))

    def _decide(self, now_s: float) -> None:
        """Start, postpone or cancel the trips that are due."""
        s, plan = self.state, self.plan
        limit_s = now_s + self.notice_s
        due = self._depart[s.trip] <= limit_s
        while len(v := np.flatnonzero(due)):
            trip = s.trip[v]
            parked, here = s.where[v] == Where.PARKED, s.place[v] == plan.origin[trip]
            fetched = parked & ~here & self._begins_day[trip]  # left behind the day before
            s.place[v[fetched]], s.station[v[fetched]], here = plan.origin[trip[fetched]], -1, here | fetched
            needs = self._needs(v, plan.energy_j[trip])
            ready = parked & here & (s.charge_j[v] >= needs)
            patience_s = plan.depart_s[trip] + self.patience_s - now_s
            soon = (s.station[v] >= 0) & (s.charge_j[v] + self._attainable(v, patience_s) >= needs)
            waits = (patience_s > 0) & (~parked | (here & ~ready & soon))
            by, there_m, on_m = self._choose_chargers(v, trip, parked & here & ~ready & ~waits)
            goes = ready | (by >= 0)
            fails = ~goes & ~waits
            for i in np.flatnonzero(fails):
                self._fail(trip[i], "late" if not parked[i] else "no charge" if here[i] else "elsewhere")
            s.may_depart[trip] = np.where(goes, MayDepart.NOW, np.where(waits, MayDepart.NOT_YET, MayDepart.NEVER))
            stays = v[fails & parked]
            s.wants[stays] |= self._lacks(stays)
            decided = v[~waits]
            s.trip[decided] = np.where(trip + 1 >= plan.first_trip[v + 1], -1, trip + 1)[~waits]
            self._set_off(v[goes], trip[goes], now_s, by[goes], there_m[goes], on_m[goes])
            due[v] = ~waits & (self._depart[s.trip[v]] <= limit_s)

    def _choose_chargers(self, vehicles: Indices, trip: Indices32, lacking: Flags) -> tuple[Indices32, Array, Array]:
        """Return the fast charger of each vehicle short of charge, and the distances there and onwards."""
        plan, n = self.plan, len(vehicles)
        by, there_m, on_m = np.full(n, -1, np.int32), np.zeros(n), np.zeros(n)
        k = np.flatnonzero(lacking & (plan.vehicles["detours"][vehicles] > 0.5))
        if not len(k):
            return by, there_m, on_m
        reach_j = self.state.charge_j[vehicles[k]] - plan.approach_j[trip[k]]
        by[k], there_m[k], on_m[k] = self._choose(
            vehicles[k], plan.place_xy[plan.origin[trip[k]]], plan.place_xy[plan.destination[trip[k]]], reach_j
        )
        return by, there_m, on_m

    def _choose(
        self, vehicles: Indices, start_xy: Array, goal_xy: Array, reach_j: Array
    ) -> tuple[Indices32, Array, Array]:
        at = np.maximum(self.state.aim, self.state.station)
        busy = np.bincount(at + 1, minlength=self.plan.n_stations + 1)[1:].astype(np.float64)
        per_m = np.maximum(self.plan.vehicles["drive_j_per_m"][vehicles], 1e-9)
        return choose(self.plan, start_xy, goal_xy, reach_j / per_m, self._works, busy)

    def _set_off(
        self, vehicles: Indices, trip: Indices32, now_s: float, by: Indices32, there_m: Array, on_m: Array
    ) -> None:
        """Start trips, directly or via a fast charger."""
        s, plan, v = self.state, self.plan, vehicles
        s.left_s[v] = np.maximum(plan.depart_s[trip], now_s)
        late_s = s.left_s[v] - plan.depart_s[trip]
        s.delays += np.array([np.count_nonzero(late_s), late_s.sum()])
        detour, per_m = by >= 0, plan.vehicles["drive_j_per_m"][v]
        direct_m = way_m(plan.place_xy[plan.origin[trip]], plan.place_xy[plan.destination[trip]])
        more_m = np.where(detour, np.maximum(there_m + on_m - direct_m, 0.0), 0.0)
        s.detours += np.array([np.count_nonzero(detour), more_m.sum(), (more_m * per_m).sum(), 0.0])
        whole_s, whole_j = plan.duration_s[trip] + more_m / DETOUR_M_PER_S, plan.energy_j[trip] + more_m * per_m
        first_s, first_j = leg(there_m, per_m)
        first_j = first_j + plan.approach_j[trip]
        s.leg_s[v], s.leg_j[v] = np.where(detour, first_s, whole_s), np.where(detour, first_j, whole_j)
        s.rest_s[v] = np.where(detour, np.maximum(whole_s - first_s, 1.0), 0.0)
        s.rest_j[v] = np.where(detour, np.maximum(whole_j - first_j, 0.0), 0.0)
        s.where[v], s.driven_trip[v], s.trip_j[v], s.begun_j[v] = Where.DRIVING, trip, 0.0, 0.0
        s.seen_j[v], s.climate_j[v] = 0.0, 0.0
        s.station[v], s.aim[v], s.wants[v] = -1, by, False

    def _leave_chargers(self, end_s: float) -> None:
        """Free the points of vehicles charged sufficiently at a fast charger; those en route drive on."""
        s, plan = self.state, self.plan
        if not self._fast.any():
            return
        plugged = np.flatnonzero((s.station >= 0) & (s.where == Where.PARKED))
        plugged = plugged[self._fast[s.station[plugged]]]
        full = plugged[s.charge_j[plugged] >= self._enough(plugged, self._next_needs(plugged, plan.ahead_j))]
        s.station[full], s.wants[full] = -1, False
        v = np.flatnonzero(s.where == Where.AT_CHARGER)
        if not len(v):
            return
        goes = s.charge_j[v] >= self._wanted_on_the_way(v)
        w = v[goes]
        s.leg_s[w], s.leg_j[w], s.aim[w] = s.rest_s[w], s.rest_j[w], -1
        # From a charger out of service to another one, if one is within reach.
        b = v[~goes & ~self._works[s.aim[v]]]
        here_xy, goal_xy = station_xy(plan)[s.aim[b]], plan.place_xy[plan.destination[s.driven_trip[b]]]
        by, there_m, on_m = self._choose(b, here_xy, goal_xy, s.charge_j[b])
        found, more_m = by >= 0, on_m - way_m(here_xy, goal_xy)
        b, by, there_m, more_m = b[found], by[found], there_m[found], more_m[found]
        per_m = plan.vehicles["drive_j_per_m"][b]
        s.rest_s[b] = np.maximum(s.rest_s[b] + more_m / DETOUR_M_PER_S, 1.0)
        s.rest_j[b] = np.maximum(s.rest_j[b] + more_m * per_m, 0.0)
        (s.leg_s[b], s.leg_j[b]), s.aim[b] = leg(there_m, per_m), by
        more_m = more_m + there_m
        left = np.concatenate([w, b])
        s.detours += np.array([len(b), more_m.sum(), (more_m * per_m).sum(), (end_s - s.since_s[left]).sum()])
        s.where[left], s.station[left], s.wants[left] = Where.DRIVING, -1, False
        s.left_s[left], s.begun_j[left] = end_s, s.trip_j[left]

    def _attainable(self, vehicles: Indices, seconds: Array) -> Array:
        """Return the maximum energy that vehicles can charge in a time, where they are plugged in. [J]"""
        s, stations = self.state, self.plan.stations
        plugged = s.station[vehicles] >= 0
        v, got = vehicles[plugged], np.zeros(len(vehicles))
        at = s.station[v]
        car = np.where(self._fast[at], self.plan.vehicles["dc_w"][v], self.plan.vehicles["ac_w"][v])
        most = np.minimum(stations["power_w"][at], car) * stations["efficiency"][at]
        got[plugged] = most * np.maximum(seconds[plugged], 0.0)
        return got

    def _enough(self, vehicles: Indices, needs_j: Array) -> Array:
        """Return the charge at which a vehicle leaves a fast charger. [J]"""
        wanted = np.maximum(FAST_SOC * self._capacity[vehicles], needs_j)
        # A tenth of a per cent short of full: a tapering charge never quite reaches it.
        return np.minimum(wanted, 0.999 * self._capacity[vehicles])

    def _wanted_on_the_way(self, vehicles: Indices) -> Array:
        """Return the charge with which vehicles drive on from a fast charger. [J]"""
        s, plan, trip = self.state, self.plan, self.state.driven_trip[vehicles]
        needs = self._needs(vehicles, s.rest_j[vehicles] + plan.ahead_j[trip] - plan.energy_j[trip])
        return np.where(self._works[s.aim[vehicles]], self._enough(vehicles, needs), needs)

    def _plug_in(self) -> None:
        """Assign free points to vehicles that want to charge, first come, first served."""
        s, plan = self.state, self.plan
        at_place = (s.where == Where.PARKED) & self._has_offer[s.place]
        queue = np.flatnonzero(s.wants & (s.station < 0) & (at_place | (s.where == Where.AT_CHARGER)))
        if not len(queue):
            return
        queue = queue[np.argsort(s.since_s[queue], kind="stable")]
        free = np.where(self._works, self._points - self.plugged().astype(np.int32), 0).astype(np.int32)
        rows.take_points(
            queue=queue,
            aim=s.aim,
            place=s.place,
            first_offer=plan.first_offer,
            offers=plan.offers,
            free=free,
            station=s.station,
        )
