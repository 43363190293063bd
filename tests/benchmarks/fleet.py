"""Duration of a step of a large fleet by charging strategy, and the balance of its ledger.

100,000 cars, each with a point at home, 1,000 transformers, an hour of the evening in steps of a minute, all
strategies in turn at every step so that they share the machine's noise. The last line is JSON, times are medians.
"""

from __future__ import annotations

import dataclasses
import json
import statistics
import time

import numpy as np
import pandas as pd

from cosim.core.fleet.model import FleetModel
from cosim.core.fleet.plan import FleetPlan
from cosim.core.fleet.state import FleetSignals
from cosim.core.fleet.strategies import (
    V2G,
    Delayed,
    GridLimited,
    Plain,
    PriceFollowing,
    PvFollowing,
    Strategy,
    ValleyFilling,
)
from cosim.core.quantities import J_PER_KWH
from cosim.core.random import generator

N, N_TRANSFORMERS, N_STEPS, STEP_S = 100_000, 1_000, 60, 60.0


def plan() -> FleetPlan:
    """Return cars that come home between five and eight in the evening and leave in the morning."""
    rng = generator(0, "large fleet")
    cars, homes = [f"car {i}" for i in range(N)], [f"home {i}" for i in range(N)]
    back, out = rng.normal(18, 1.0, N).clip(17.05, 20) - 17, rng.normal(31, 1.0, N).clip(28, 36) - 17
    vehicles = pd.DataFrame(
        {
            "capacity_j": rng.uniform(40, 80, N) * J_PER_KWH,
            "home": "work",
            "soc": rng.uniform(0.3, 0.9, N),
            "discharge_w": 7_400.0,
        },
        index=cars,
    )
    trips = pd.DataFrame(
        {
            "vehicle": cars * 2,
            "depart_s": np.concatenate([back, out]) * 3_600,
            "duration_s": 1_500.0,
            "energy_j": np.tile(rng.uniform(2, 6, N) * J_PER_KWH, 2),
            "origin": ["work"] * N + homes,
            "destination": [*homes, *["work"] * N],
        },
        index=[f"{car} {way}" for way in ("back", "out") for car in cars],
    )
    places = pd.DataFrame({"stations": [(f"point {i}",) for i in range(N)] + [()]}, index=[*homes, "work"])
    stations = pd.DataFrame(
        {"power_w": 7_400.0, "transformer": [f"t{i % N_TRANSFORMERS}" for i in range(N)]},
        index=[f"point {i}" for i in range(N)],
    )
    return FleetPlan.from_tables(vehicles, trips, places, stations, {f"t{k}": 4e5 for k in range(N_TRANSFORMERS)})


def main() -> None:
    """Measure and print."""
    begin = time.perf_counter()
    fleet = plan()
    built_s = time.perf_counter() - begin
    prices = np.tile([1.0, 2.0, 3.0, 2.0], 24)
    strategies: list[Strategy] = [
        Plain(),
        Delayed(),
        ValleyFilling(),
        PriceFollowing(prices),
        PvFollowing(),
        V2G(prices),
        GridLimited(V2G(prices)),
    ]
    names = ["plain", "delayed", "valley filling", "price-following", "PV-following", "V2G", "grid-limited V2G"]
    models = [FleetModel(fleet, strategy, begin_s=17 * 3_600.0) for strategy in strategies]
    took: dict[str, list[float]] = {name: [] for name in names}
    calm = FleetSignals.calm(fleet)
    surplus, load = np.full(fleet.n_stations, 500.0), np.full(N_TRANSFORMERS, 2e5)
    silent, planned = np.zeros(len(fleet.trip_ids)), np.full(len(fleet.trip_ids), -1.0)
    for k in range(2 * N_STEPS):
        price = float(prices[(68 + k // 15) % 96])
        signals = dataclasses.replace(calm, price=price, pv_surplus_w=surplus, base_w=load, limit_w=load)
        for name, model in zip(names, models, strict=True):
            begin = time.perf_counter()
            model.advance(k * STEP_S, STEP_S, signals, silent, planned)
            if k >= N_STEPS:
                took[name].append(time.perf_counter() - begin)
    print(
        json.dumps(
            {
                "case": f"{N} vehicles, {N_TRANSFORMERS} transformers, {N_STEPS} steps of {STEP_S:g} s",
                "plugged_in": int(models[0].plugged().sum()),
                "plan_s": round(built_s, 2),
                "ms_per_step": {name: round(statistics.median(times) * 1e3, 1) for name, times in took.items()},
                "worst_residual": max(model.residual for model in models),
            }
        )
    )


if __name__ == "__main__":
    main()
