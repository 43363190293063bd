"""What do the electric vehicles of a city draw from the grid, and which trips can they make?"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np

from cosim.core import Adapter, Clock, CosimError, Input, Output, Placement, Step
from cosim.core.fleet import PATIENCE_S, FleetModel
from cosim.core.fleet_climate import MILD_C
from cosim.core.fleet_plan import UNLIMITED_W, FleetPlan
from cosim.core.fleet_state import FAILURES, LEDGER, Signals
from cosim.core.fleet_strategies import Plain, Strategy

MOST_RESIDUAL = 1e-9
"""What the energy ledger may leave unexplained, over the sum of its magnitudes, before the run is refused."""


class Fleet(Adapter):
    """Electric vehicles that drive in the traffic, park, charge by a strategy, and drive on with what they have.

    Charging draws positive power, giving back to the grid is negative. Without a connection to traffic every trip goes
    as planned; without one to the grid no transformer, voltage or outage binds.

    Parameters
    ----------
    plan
        Vehicles, trips, places and stations.
    clock
        The clock of the run.
    strategy
        Decides the charging power; with all it can from the moment it is plugged in by default.
    notice_s
        How long before departure a vehicle is unplugged and its trip allowed or refused; one exchange step by
        default, which is what a traffic that hears `may_depart` one exchange late needs. [s]
    grid_step_s
        Step of the grid that `transformer_headroom` comes from, heard one exchange late; the exchange step by
        default. [s]
    patience_s
        See `FleetModel`. [s]

    Notes
    -----
    Inputs: `trip_energy`, cumulative, and `trip_state` (0 not departed, 1 driving, 2 arrived, 3 removed or never
    inserted, 4 standing at the charger of `via`; -1, the default, lets the trip go as planned) per trip; `price`;
    `pv_surplus` (those of one transformer are shared), `power_cap`, `available` (0 or 1) and `voltage` per station;
    `transformer_headroom`; `outdoor_temperature`, in which a car takes more than the traffic says.

    Outputs: `charging_power` per station; `plugged` vehicles per station; `state_of_charge` per vehicle; per trip
    `may_depart`, 0 while it is put off and -1 once it has failed, and `via`, the number of the station by way of which
    it is to be driven and where it waits, -1 for none; `present`, the persons of parked vehicles per zone, and
    `visitors`, those of them who are not where the run found them. Since the start: `failed_trips` by reason;
    `delayed_trips` that departed late, and by how much together, `delay`; `detours` by way of fast chargers, the
    expected `detour_distance` and `detour_energy` beyond the straight way, and `detour_time` spent at the chargers;
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
        begin = clock.civil(0)
        self.plan = plan
        self._model = FleetModel(
            plan, Plain() if strategy is None else strategy, clock.step_s if notice_s is None else notice_s,
            begin_s=begin.hour * 3600.0 + begin.minute * 60 + begin.second, patience_s=patience_s,
        )  # fmt: skip
        self._grid_step_s = clock.step_s if grid_step_s is None else grid_step_s
        if not self._grid_step_s > 0:
            raise CosimError(f"grid_step_s is {self._grid_step_s}: it must be positive")
        trips, stations = plan.trip_ids, plan.station_ids
        self.trip_energy = Input("J", trips, default=0.0)
        self.trip_state = Input("1", trips, default=-1.0)
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
        """What decides the charging power."""
        return self._model.strategy

    def open(self) -> None:
        """Put every vehicle at home and decide on the first departures."""
        self._model.restart()
        n = len(self.plan.transformer_ids)
        # The fleet's own part of what the headroom was measured with: its mean over the grid's last whole step.
        self._measured_w, self._running_j = np.zeros(n), np.zeros(n)
        self._publish()
        self._report()

    def advance(self, step: Step) -> None:
        """Charge, drive, arrive, leave and plug in over one step.

        Raises
        ------
        CosimError
            If the step is longer than the notice, an input makes no sense, or the energy ledger does not close.
        """
        if ((self.trip_state.value < -1) | (self.trip_state.value > 4)).any():
            raise CosimError("trip_state says something else than -1, 0 to 4: connect traffic.trip_state to it")
        headroom = self.transformer_headroom
        # Each transformer carries nothing but the fleet without a grid, and as long as that has told no load yet.
        known = headroom.value is not headroom.default and step.start_s > self._grid_step_s - 1e-9
        spare = headroom.value + self._measured_w if known else self.plan.rating_w
        signals = Signals(
            float(self.price.value[0]), self.pv_surplus.value, self.plan.rating_w - spare, spare, self.power_cap.value,
            self.available.value > 0.5, self.voltage.value, float(self.outdoor_temperature.value[0]),
        )  # fmt: skip
        self._model.advance(step.start_s, step.length_s, signals, self.trip_energy.value, self.trip_state.value)
        if (residual := self._model.residual) > MOST_RESIDUAL:
            raise CosimError(f"the fleet's energy ledger leaves {residual:.1e} unexplained: charged, driven and stored "
                             "energy must agree")  # fmt: skip
        self._running_j += step.length_s * np.bincount(
            self.plan.transformer, self._model.station_w, len(self._running_j)
        )
        if abs(step.end_s / self._grid_step_s - round(step.end_s / self._grid_step_s)) < 1e-9:
            self._measured_w, self._running_j = self._running_j / self._grid_step_s, np.zeros_like(self._running_j)
        self.charging_power.value = self._model.station_w
        self._publish()
        self._report()

    def save(self, folder: Path) -> None:
        """Write the fleet's state, what its strategy has learned and the present window of its own power."""
        self._model.state.save(folder / "fleet.npz")
        profile = self._model.strategy.profile
        learned = np.zeros((0, 0)) if profile is None else profile.values
        np.savez(folder / "exchange.npz", learned=learned, measured=self._measured_w, running=self._running_j)

    def load(self, folder: Path) -> None:
        """Go on from what `save` wrote."""
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
        for port, total in zip((self.detours, self.detour_distance, self.detour_energy, self.detour_time),
                               state.detours):  # fmt: skip
            port.value = total
        self.energy.value = state.ledger

    def _report(self) -> None:
        for trip, why in self._model.failed:
            self.report("trip failed", self.plan.trip_ids[trip], why)
