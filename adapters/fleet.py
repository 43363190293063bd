"""Fleet adapter: electric vehicles between traffic and grid."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import ClassVar

import numpy as np

from cosim.core import Adapter, Clock, CosimError, Input, Output, Placement, Step
from cosim.core.fleet.climate import MILD_C
from cosim.core.fleet.model import PATIENCE_S, FleetModel
from cosim.core.fleet.plan import UNLIMITED_W, FleetPlan
from cosim.core.fleet.state import FAILURES, LEDGER, REASONS, FleetSignals
from cosim.core.fleet.strategies import Plain, Strategy
from cosim.core.quantities import HOUR_S
from cosim.core.trips import TripState

MOST_RESIDUAL = 1e-9
"""Largest residual of the energy ledger relative to the sum of its magnitudes; above it the run stops."""


def day_second(civil: dt.datetime) -> float:
    """Return the second of the civil day. [s]"""
    return civil.hour * HOUR_S + civil.minute * 60 + civil.second + civil.microsecond * 1e-6


class Fleet(Adapter):
    """Electric vehicles that drive in the traffic, park, and charge by a strategy.

    Charging draws positive power, feeding back to the grid is negative. Without a connection to traffic every trip goes
    as planned; without one to the grid no transformer, voltage or outage binds.

    Parameters
    ----------
    plan
        Vehicles, trips, places and stations.
    clock
        The clock of the run.
    strategy
        Sets the charging power; by default full power from the moment a vehicle is plugged in.
    notice_s
        Time before departure at which a vehicle is unplugged and its trip allowed or refused; one exchange step by
        default, as needed by traffic that receives `may_depart` one exchange late. [s]
    grid_step_s
        Step of the grid that publishes `transformer_headroom`, received one exchange late; the exchange step by
        default. [s]
    patience_s
        See `FleetModel`. [s]

    Notes
    -----
    Inputs: `trip_energy`, cumulative, and `trip_state` (0 not departed, 1 driving, 2 arrived, 3 removed or never
    inserted, 4 standing at the charger of `via`; -1, the default, lets the trip go as planned) per trip; `price`;
    `pv_surplus` (shared among the stations of a transformer), `power_cap`, `available` (0 or 1) and `voltage` per
    station; `transformer_headroom`; `outdoor_temperature`, which adds to the energy reported by the traffic.

    Outputs: `charging_power` per station; `plugged` vehicles per station; `state_of_charge` per vehicle; per trip
    `may_depart`, 0 while it is postponed and -1 once it has failed, and `via`, the number of the station via which
    it is routed and where it waits, -1 for none; `present`, the persons of parked vehicles per zone, and
    `visitors`, those of them away from the vehicle's home. Since the start: `failed_trips` by reason;
    `delayed_trips` that departed late, and their total `delay`; `detours` via fast chargers, the expected
    `detour_distance` and `detour_energy` in addition to the direct way, and `detour_time` spent at the chargers;
    `energy`, the terms of the ledger.
    """

    placement: ClassVar[Placement] = "inline"

    def __init__(
        self,
        plan: FleetPlan,
        clock: Clock,
        strategy: Strategy | None = None,
        *,
        notice_s: float | None = None,
        grid_step_s: float | None = None,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self.plan, self._clock = plan, clock
        self._model = FleetModel(
            plan,
            Plain() if strategy is None else strategy,
            clock.step_s if notice_s is None else notice_s,
            begin_s=day_second(clock.civil(0)),
            patience_s=patience_s,
        )
        self._grid_step_s = clock.step_s if grid_step_s is None else grid_step_s
        if not self._grid_step_s > 0:
            raise CosimError(f"grid_step_s is {self._grid_step_s}: it must be positive")
        trips, stations = plan.trip_ids, plan.station_ids
        self.trip_energy = Input("J", trips, default=0.0)
        self.trip_state = Input("1", trips, default=float(TripState.AS_PLANNED))
        self.price = Input("EUR/J", ["market"], default=0.0)
        self.pv_surplus = Input("W", stations, default=0.0)
        self.transformer_headroom = Input("W", plan.transformer_ids, default=UNLIMITED_W)
        self.power_cap = Input("W", stations, default=UNLIMITED_W)
        self.available = Input("1", stations, default=1.0)
        self.voltage = Input("pu", stations, default=1.0)
        self.outdoor_temperature = Input("degC", ["outdoor"], default=MILD_C)
        self.charging_power = Output("W", stations, "mean")
        self.plugged = Output("vehicle", stations, "end")
        self.state_of_charge = Output("1", plan.vehicle_ids, "end")
        self.may_depart = Output("1", trips, "end")
        self.via = Output("1", trips, "end")
        self.present = Output("person", plan.zone_ids, "end")
        self.visitors = Output("person", plan.zone_ids, "end")
        self.failed_trips = Output("1", FAILURES, "end")
        self.delayed_trips = Output("1", ["fleet"], "end")
        self.delay = Output("s", ["fleet"], "end")
        self.detours = Output("1", ["fleet"], "end")
        self.detour_distance = Output("m", ["fleet"], "end")
        self.detour_energy = Output("J", ["fleet"], "end")
        self.detour_time = Output("s", ["fleet"], "end")
        self.energy = Output("J", LEDGER, "end")

    @property
    def strategy(self) -> Strategy:
        """The strategy that sets the charging power."""
        return self._model.strategy

    def open(self) -> None:
        """Place every vehicle at home and decide on the first departures."""
        self._model.restart()
        n = len(self.plan.transformer_ids)
        # The fleet's own power contained in the headroom: its mean over the grid's last whole step.
        self._measured_w, self._running_j = np.zeros(n), np.zeros(n)
        self._publish()
        self._report()

    def advance(self, step: Step) -> None:
        """Charge, drive, arrive, depart and plug in over one step.

        Raises
        ------
        CosimError
            If the step is longer than the notice, an input is out of range, or the energy ledger does not close.
        """
        if ((self.trip_state.value < min(TripState)) | (self.trip_state.value > max(TripState))).any():
            raise CosimError("trip_state must be -1 or 0 to 4: connect traffic.trip_state to it")
        headroom = self.transformer_headroom
        # Without a grid, and until it has published a load, each transformer carries only the fleet.
        known = headroom.value is not headroom.default and step.start_s > self._grid_step_s - 1e-9
        spare = headroom.value + self._measured_w if known else self.plan.rating_w
        signals = FleetSignals(
            price=float(self.price.value[0]),
            pv_surplus_w=self.pv_surplus.value,
            base_w=self.plan.rating_w - spare,
            limit_w=spare,
            station_cap_w=self.power_cap.value,
            works=self.available.value > 0.5,
            voltage=self.voltage.value,
            outdoor=float(self.outdoor_temperature.value[0]),
            day_s=day_second(self._clock.civil(step.start_s)),
        )
        self._model.advance(step.start_s, step.length_s, signals, self.trip_energy.value, self.trip_state.value)
        if (residual := self._model.residual) > MOST_RESIDUAL:
            raise CosimError(
                f"the fleet's energy ledger has a residual of {residual:.1e}: charged, driven and stored energy "
                "must balance"
            )
        self._running_j += step.length_s * np.bincount(
            self.plan.transformer, self._model.station_w, len(self._running_j)
        )
        if abs(step.end_s / self._grid_step_s - round(step.end_s / self._grid_step_s)) < 1e-9:
            self._measured_w, self._running_j = self._running_j / self._grid_step_s, np.zeros_like(self._running_j)
        self.charging_power.value = self._model.station_w
        self._publish()
        self._report()

    def save(self, folder: Path) -> None:
        """Write the fleet's state, its strategy's forecast and the current window of its own power."""
        self._model.state.save(folder / "fleet.npz")
        profile = self._model.strategy.profile
        learned = np.zeros((0, 0)) if profile is None else profile.values
        np.savez(folder / "exchange.npz", learned=learned, measured=self._measured_w, running=self._running_j)

    def load(self, folder: Path) -> None:
        """Restore what `save` wrote."""
        self._model.state.load(folder / "fleet.npz")
        with np.load(folder / "exchange.npz", allow_pickle=False) as kept:
            self._measured_w, self._running_j = kept["measured"], kept["running"]
            if (profile := self._model.strategy.profile) is not None:
                profile.values = kept["learned"]
        self._publish()

    def _publish(self) -> None:
        state = self._model.state
        self.plugged.value = self._model.plugged()
        self.state_of_charge.value = self._model.soc
        self.may_depart.value = state.may_depart
        self.via.value = self._model.via
        self.present.value = self._model.persons()
        self.visitors.value = self._model.persons(visitors=True)
        self.failed_trips.value = state.failures
        for port, total in zip((self.delayed_trips, self.delay), state.delays):
            port.value = total
        for port, total in zip(
            (self.detours, self.detour_distance, self.detour_energy, self.detour_time), state.detours
        ):
            port.value = total
        self.energy.value = state.ledger

    def _report(self) -> None:
        for trip, why in self._model.failed:
            self.report("trip failed", self.plan.trip_ids[trip], f"{why}: {REASONS[why]}")
