"""Indicators of traffic and of charging."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import pandas as pd

from cosim import Indicator, Result
from cosim.adapters.traffic.network import Network
from cosim.core.fleet.state import REASONS
from cosim.core.quantities import HOUR_S, J_PER_KWH
from cosim.scenarios.intervals import energy, interval_starts

NOTICED = 0.01  # of the electric trips: from this share on, a report begins with what charging prevented


def traffic_indicators(result: Result) -> dict[str, Indicator]:
    """Return distance, speed, delay, trips and tailpipe emissions of a run."""
    if "traffic.travel" not in result.ports:
        return {}
    metres = float(result.integral("traffic.travel").sum())
    seconds = float(result.integral("traffic.vehicles").sum())
    counts = ("inserted", "arrived", "running", "waiting", "cancelled", "teleports", "collisions")
    backlog_h = float(energy(result, "traffic.waiting").sum()) / 3600
    last = {name: float(result.total(f"traffic.{name}").iloc[-1]) for name in counts}
    left = last["running"] + last["waiting"]
    cut = f"; cut off, trips not completed at the end: {left:.0f}" if left else ""
    headline = (
        f"Cut off: {left:.0f} not completed of {last['inserted'] + last['waiting']:.0f} trips when the run ends; sums "
        "of distance, time and emissions lack the rest of them."
    )
    return {
        "vehicle-kilometres": Indicator(metres / 1000, "km", None, f"driven by all vehicles{cut}"),
        "mean speed": _ratio(metres * 3.6, seconds, "km/h", "higher", "distance over time spent"),
        "vehicle-hours": Indicator(
            seconds / 3600, "h", "lower", f"spent on the road by all vehicles, driving or standing; not parked{cut}"
        ),
        "travel time per trip": _ratio(
            seconds / 60,
            last["inserted"],
            "min",
            "lower",
            "vehicle-hours over trips begun; those under way at the end count with their time so far",
        ),
        "travel time per kilometre": _ratio(seconds * 1000 / 60, metres, "min/km", "lower", "time spent over distance"),
        "waiting to start": Indicator(
            backlog_h, "h", "lower", "of vehicles that find no room to begin their trip; not in the vehicle-hours"
        ),
        "time loss": Indicator(
            float(result.integral("traffic.time_loss").sum()) / 3600,
            "h",
            "lower",
            f"of all vehicles against free flow{cut}",
        ),
        "trips begun": Indicator(last["inserted"], "trips", None, "vehicles inserted"),
        "trips completed": Indicator(last["arrived"], "trips", "higher", "vehicles arrived"),
        "on the road at the end": Indicator(
            last["running"], "vehicles", None, "including parked ones", headline=headline if left else ""
        ),
        "waiting to start at the end": Indicator(last["waiting"], "vehicles", "lower", "insertion backlog"),
        "trips cancelled": Indicator(last["cancelled"], "trips", "lower", "a measure left them no way to begin"),
        "collisions": Indicator(last["collisions"], "vehicles", "lower", "vehicles that overlapped"),
        "teleports": Indicator(last["teleports"], "vehicles", "lower", "jams that SUMO resolved by moving a vehicle"),
        "tailpipe CO2": Indicator(
            float(result.integral("traffic.co2").sum()), "kg", "lower", f"HBEFA, as in SUMO{cut}"
        ),
        "tailpipe NOx": Indicator(float(result.integral("traffic.nox").sum()) * 1000, "g", "lower", "as CO2"),
        "tailpipe PM": Indicator(
            float(result.integral("traffic.pmx").sum()) * 1000,
            "g",
            "lower",
            "SUMO's PMx: exhaust alone with HBEFA 2 and 3, but with the wear of tyres, brakes and road with HBEFA 4",
        ),
    }


def volume_indicators(result: Result, network: Network) -> dict[str, Indicator]:
    """Return the mean volume of a direction by street class, where the network has classes."""
    if "traffic.flow" not in result.ports or not any(network.street_classes):
        return {}
    vehicles = result.integral("traffic.flow").reindex(list(network.labels)).to_numpy(float)
    ends = result.total("traffic.flow").index
    if not len(ends):
        return {}
    hours = (ends[-1] - interval_starts(result, ends)[0]).total_seconds() / HOUR_S
    found = {}
    for name in dict.fromkeys(filter(None, network.street_classes)):
        mine = np.array([kind == name for kind in network.street_classes])
        passed = float(np.average(vehicles[mine], weights=network.length_m[mine]))
        found[f"volume, {name}"] = Indicator(
            passed / hours,
            "vehicles/h",
            None,
            f"mean of the street class's directions; {passed:.0f} vehicles in the run",
        )
    return found


def _ratio(value: float, basis: float, unit: str, better: Literal["lower", "higher"], about: str) -> Indicator:
    """Return a value over its basis; without a basis the indicator is missing and says why."""
    if not basis:
        return Indicator(math.nan, unit, better, f"missing, as no vehicle drove: {about}")
    return Indicator(value / basis, unit, better, about)


def charging_indicators(result: Result) -> dict[str, Indicator]:
    """Return charging energy and peak, and the trips that failed for lack of charge."""
    names = [name for name in ("traffic.charging_power", "fleet.charging_power") if name in result.ports]
    powers = [power for name in names if len(power := result.total(name))]
    if not names:
        return {}
    power = sum(powers[1:], start=powers[0]) if powers else pd.Series([0.0])
    kwh = sum(float(result.integral(name).sum()) for name in names) / J_PER_KWH
    found = {
        "charging energy": Indicator(kwh, "kWh", None, "drawn from the grid within the run"),
        "charging peak": Indicator(
            float(power.max()) / 1000, "kW", None, "highest mean over an exchange step, whatever else is drawn then"
        ),
    }
    if "fleet.energy" in result.ports:
        stored = result.series("fleet.energy", ["stored"]).iloc[[0, -1], 0].diff().iloc[-1] / J_PER_KWH
        about = "energy in the cars' batteries at the end less at the beginning; what is missing is charged later"
        found["charge of batteries"] = Indicator(float(stored), "kWh", None, about)
    if "fleet.failed_trips" in result.ports:
        failed = result.series("fleet.failed_trips").iloc[-1]
        by_reason = "; ".join(f"{failed[why]:.0f} {why} ({meaning})" for why, meaning in REASONS.items() if failed[why])
        found["failed trips"] = Indicator(
            float(failed.sum()),
            "trips",
            "lower",
            f"electric trips, one event each; by reason: {by_reason or 'none'}",
        )
        lacking = float(failed[["no charge", "ran empty"]].sum())
        late, delay_s, drives, way_m, there_s = (
            float(result.series(f"fleet.{port}").iloc[-1, 0])
            for port in ("delayed_trips", "delay", "detours", "detour_distance", "detour_time")
        )
        outputs = result.provenance["outputs"]
        trips, cars, stations = (
            outputs[f"fleet.{port}"]["n_labels"] for port in ("may_depart", "state_of_charge", "charging_power")
        )
        headline = (
            f"Charging limits the electric cars: of their {trips:,} trips {lacking:,.0f} failed for lack of charge, "
            f"{late:,.0f} began late and {drives:,.0f} went by fast chargers; {cars:,} cars share "
            f"{stations:,} stations."
        )
        found["trips short of charge"] = Indicator(
            lacking,
            "trips",
            "lower",
            "of the failed trips, those with too little charge to depart or to arrive",
            headline=headline if lacking + late + drives >= NOTICED * trips else "",
        )
        found["delayed trips"] = Indicator(late, "trips", "lower", f"{delay_s / 60:.0f} min late in all")
        found["detours"] = Indicator(drives, "trips", "lower", f"by fast chargers, {there_s / 3600:.1f} h there")
        found["way of detours"] = Indicator(way_m / 1000, "km", "lower", "expected, beyond the straight way")
    return found
