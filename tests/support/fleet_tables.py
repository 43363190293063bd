"""Small fleets as tables, for tests."""

import dataclasses

import numpy as np
import pandas as pd

from cosim.core.fleet.plan import FleetPlan
from cosim.core.fleet.state import FleetSignals
from cosim.core.quantities import HOUR_S, J_PER_KWH
from cosim.core.random import generator


def one_car(*, trips=((8, "home", "work"), (17, "work", "home")), trip_kwh=4.0, power_w=7_400.0, **car):
    """Return the tables of a car that drives between home, where a point stands, and work, where none does."""
    vehicles = pd.DataFrame({"capacity_j": 50 * J_PER_KWH, "home": "home", "soc": 0.5, **car}, index=["car"])
    table = pd.DataFrame(
        {
            "vehicle": "car",
            "depart_s": [hour * HOUR_S for hour, *_ in trips],
            "duration_s": 1_200.0,
            "energy_j": trip_kwh * J_PER_KWH,
            "origin": [start for _, start, _ in trips],
            "destination": [end for *_, end in trips],
        },
        index=[f"trip {k}" for k in range(len(trips))],
    )
    places = pd.DataFrame({"stations": [("point",), ()]}, index=["home", "work"])
    stations = pd.DataFrame({"power_w": [power_w], "efficiency": 0.9}, index=["point"])
    return {"vehicles": vehicles, "trips": table, "places": places, "stations": stations}


def commuters(n, *, seed=0, per_transformer=100, rating_w=4e5, **cars):
    """Return the tables of commuters who leave home in the morning and charge there in the evening."""
    rng = generator(seed, "commuters")
    names = [f"car {i}" for i in range(n)]
    homes = [f"home {i}" for i in range(n)]
    out = rng.normal(8, 1.2, n).clip(5, 11) * HOUR_S
    back = rng.normal(18, 2.0, n).clip(13, 22.5) * HOUR_S
    energy = rng.lognormal(np.log(3.0 * J_PER_KWH), 0.4, n).clip(max=9 * J_PER_KWH)
    vehicles = pd.DataFrame(
        {"capacity_j": rng.uniform(40, 80, n) * J_PER_KWH, "home": homes, "soc": rng.uniform(0.5, 0.9, n), **cars},
        index=names,
    )
    trips = pd.DataFrame(
        {
            "vehicle": names * 2,
            "depart_s": np.concatenate([out, back]),
            "duration_s": rng.uniform(600, 2400, 2 * n),
            "energy_j": np.tile(energy, 2),
            "origin": homes + ["work"] * n,
            "destination": ["work"] * n + homes,
        },
        index=[f"{name} {way}" for way in ("out", "back") for name in names],
    )
    places = pd.DataFrame({"stations": [(f"point {i}",) for i in range(n)] + [()]}, index=[*homes, "work"])
    transformers = {f"t{k}": rating_w for k in range(-(-n // per_transformer))}
    stations = pd.DataFrame(
        {
            "power_w": 7_400.0,
            "efficiency": rng.uniform(0.85, 0.95, n),
            "transformer": [f"t{i // per_transformer}" for i in range(n)],
        },
        index=[f"point {i}" for i in range(n)],
    )
    return {"vehicles": vehicles, "trips": trips, "places": places, "stations": stations, "transformers": transformers}


def calm(plan: FleetPlan, **changes) -> FleetSignals:
    """Return signals in which nothing binds but what is given."""
    return dataclasses.replace(FleetSignals.calm(plan), **changes)


def run(model, hours, step_s=60.0, signals=None, start_s=0.0):
    """Advance a model as planned; return the stations' power, shape (n_steps, n_stations), and the states of charge."""
    power, soc = [], []
    for k in range(round(hours * HOUR_S / step_s)):
        time_s = start_s + k * step_s
        model.advance(time_s, step_s, signals(time_s) if callable(signals) else signals)
        power.append(model.station_w)
        soc.append(model.soc)
    return np.array(power), np.array(soc)
