"""Indicators of travellers of all modes, where demand answers by mode."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cosim import Indicator
from cosim.core.quantities import DAY_S, HOUR_S
from cosim.scenarios.mobility.choice import BICYCLE, CAR, MODES, PUBLIC, RIDE, STAYS, WALK, Answer
from cosim.scenarios.mobility.costs import BICYCLE_KMH, BUS_KMH, BUS_SHARE, HEADWAY_MIN

METRO_KMH = 27.0
"""Commercial speed of Barcelona's metro, lines 1 to 5: 26.5 to 28.4 km/h in 2017 (Transports Metropolitans de
Barcelona). [km/h]"""

CAR_KMH, WALK_KMH = 40.0, 4.5
"""Speed by car or motorcycle beyond the network, as of `population`, and on foot. [km/h] Assumptions."""

FULL = 0.6
"""Share of the places of public transport that is taken in the busiest hour of the base case. Assumption."""


def travel_indicators(answer: Answer | None) -> dict[str, Indicator]:
    """Return trips, passenger-kilometres and times by mode, crowding, and how far the equilibrium is reached."""
    if answer is None:
        return {}
    tours = answer.tours
    trips, before = answer.trips(), answer.trips("before")
    found: dict[str, Indicator] = {}
    minutes = _minutes(answer)
    changed = bool((tours["mode"] != tours["before"]).any())
    for k, name in enumerate(MODES):
        mine = (tours["mode"] == k).to_numpy()
        weight = tours["trips"].to_numpy(float) * mine
        change = f"; {trips[name] - before[name]:+.0f} against the base case" if answer.gaps or changed else ""
        found[f"trips, {name}"] = Indicator(trips[name], "trips", None, f"of residents and others{change}")
        km = float((weight * tours["distance_km"].to_numpy(float)).sum())
        found[f"passenger-kilometres, {name}"] = Indicator(km, "km", None, "within the network and beyond")
        time = float((weight * minutes[:, k]).sum() / weight.sum()) if weight.sum() else np.nan
        found[f"travel time, {name}"] = Indicator(time, "min", "lower", "mean per trip, waiting included")
    given_up = float(tours["trips"][tours["mode"] == STAYS].sum())
    found["trips not made"] = Indicator(given_up, "trips", None, "or made elsewhere, against the base case")
    moved = answer.moved
    late = f"; {np.mean(np.abs(list(moved.values()))) / 60:.0f} min in the mean" if moved else ""
    found["car trips at another time"] = Indicator(float(len(moved)), "trips", None, f"against the base case{late}")
    crowding = FULL * _busiest(tours, "mode") / max(_busiest(tours, "before"), 1.0) * answer.headway
    found["crowding"] = Indicator(
        crowding,
        "1",
        "lower",
        f"passengers over places in the busiest hour; {FULL:.0%} in the base case, an assumption",
    )
    text = f"between the demand and its costs, after {len(answer.gaps)} rounds of traffic and answers"
    found["convergence gap"] = Indicator(answer.gap, "1", "lower", text if answer.gaps else "nothing had to answer")
    return found


def _busiest(tours: pd.DataFrame, column: str) -> float:
    """Return the passengers of public transport that depart in the busiest hour."""
    mine = tours[tours[column] == PUBLIC]
    hour = (mine["depart_s"].to_numpy(float) % DAY_S // HOUR_S).astype(int)
    return float(np.bincount(hour, minlength=24).max()) if len(mine) else 0.0


def _minutes(answer: Answer) -> np.ndarray:
    """Return the minutes of a trip by each mode, shape (n_tours, n_modes)."""
    km = answer.tours["distance_km"].to_numpy(float)
    inner = np.nan_to_num(answer.tours["car_min"].to_numpy(float))
    found = np.zeros((len(km), len(MODES)))
    found[:, CAR] = found[:, RIDE] = km / CAR_KMH * 60 + inner
    ride = BUS_SHARE / BUS_KMH + (1 - BUS_SHARE) / METRO_KMH
    found[:, PUBLIC] = km * ride * 60 + HEADWAY_MIN / 2 * answer.headway
    found[:, BICYCLE], found[:, WALK] = km / BICYCLE_KMH * 60, km / WALK_KMH * 60
    return found
