"""What each charging session of a fleet may draw without breaking the guarantee of its departure."""

from __future__ import annotations

import numpy as np

from cosim.core.quantities import DAY_S, Array, Indices

from . import _fleet as rows
from .plan import FleetPlan
from .state import FleetState
from .strategies import Strategy

FAST_SOC = 0.8
"""State of charge up to which direct current charges at full power, and to which drivers fast-charge; the power then
falls linearly to a twentieth. Assumption."""


class SessionRanges:
    """The ranges of a plan's charging sessions, found by the compiled kernel.

    Parameters
    ----------
    plan
        Vehicles, trips, places and stations.
    strategy
        Tells whether short stays count.
    notice_s, margin
        See `cosim.core.fleet.model.FleetModel`.
    """

    def __init__(self, plan: FleetPlan, strategy: Strategy, *, notice_s: float, margin: float) -> None:
        self._notice_s, self._margin = notice_s, margin
        cars, capacity = plan.vehicles, plan.vehicles["capacity_j"]
        self._cars = np.empty((rows.CAR_ROWS, plan.n_vehicles))
        self._cars[rows.CAR_CAPACITY] = capacity
        self._cars[rows.CAR_RESERVE] = cars["reserve_soc"] * capacity
        self._cars[rows.CAR_AC] = cars["ac_w"]
        self._cars[rows.CAR_DC] = cars["dc_w"]
        self._cars[rows.CAR_DISCHARGE] = cars["discharge_w"]
        self._cars[rows.CAR_TARGET] = cars["target_soc"] * capacity
        self._cars[rows.CAR_TARGET_AFTER] = 0.0 if strategy.fills_short_stays else cars["target_after_s"]
        drives, first_s = plan.first_of_vehicle >= 0, plan.depart_s % DAY_S
        # A vehicle without a trip is expected to leave when most of the others do.
        usual_s = float(np.median(first_s[plan.first_of_vehicle[drives]])) if drives.any() else 0.0
        self._cars[rows.CAR_FIRST_DEPARTURE] = np.append(first_s, usual_s)[plan.first_of_vehicle]
        self._stations = np.empty((rows.STATION_ROWS, plan.n_stations))
        self._stations[rows.STATION_POWER] = plan.stations["power_w"]
        self._stations[rows.STATION_EFFICIENCY] = plan.stations["efficiency"]
        self._stations[rows.STATION_FAST] = plan.stations["fast"]
        self._trips = np.empty((rows.TRIP_ROWS, len(plan.trip_ids)))
        self._trips[rows.TRIP_DEPARTURE] = plan.depart_s
        self._trips[rows.TRIP_AHEAD] = plan.ahead_j

    def find(self, vehicles: Indices, state: FleetState, time_s: float, step_s: float, counted_on: float) -> Array:
        """Return what the sessions of vehicles that are plugged in may draw, shape (6, n): see `reference`."""
        now = np.empty((rows.STATE_ROWS, len(state.charge_j)))
        now[rows.STATE_CHARGE], now[rows.STATE_SINCE] = state.charge_j, state.since_s
        now[rows.STATE_RATIO] = state.ratio
        setting = np.empty(rows.AT_LENGTH)
        setting[rows.AT_TIME], setting[rows.AT_STEP] = time_s, step_s
        setting[rows.AT_NOTICE], setting[rows.AT_MARGIN] = self._notice_s, self._margin
        setting[rows.AT_COUNTED_ON], setting[rows.AT_FAST_SOC], setting[rows.AT_DAY] = counted_on, FAST_SOC, DAY_S
        found = np.empty((rows.RANGE_ROWS, len(vehicles)))
        rows.session_ranges(
            vehicles=vehicles,
            station=state.station,
            trip=state.trip,
            cars=self._cars,
            stations=self._stations,
            trips=self._trips,
            state=now,
            setting=setting,
            found=found,
        )
        return found
