"""What does an electric car add to a district's evening peak, and how does that fall with their number?

All cars of a residential district charge at home for three working weeks, plainly and by filling the valleys of a
transformer that carries an evening peak; the first week is left out. The last line is JSON.
"""

from __future__ import annotations

import dataclasses
import json

import numpy as np

from cosim.core.fleet import FleetModel
from cosim.core.fleet_plan import FleetPlan
from cosim.core.fleet_state import Signals
from cosim.core.fleet_strategies import Plain, Strategy, ValleyFilling
from cosim.core.random import generator
from cosim.scenarios.mobility import J_PER_M, district_fleet
from cosim.scenarios.population import Habits
from cosim.scenarios.streets_eixample import building_sites

# A residential district from which everybody drives out: 3.1 trips a person (Mobilität in Deutschland 2017, infas, DLR,
# IVT and infas 360, 2019), 43 % of them as the driver of a car (the same, quoted from memory), 0.56 cars a person.
RESIDENTIAL = Habits(
    trips_per_person=3.1, modes={"car": 0.43, "others": 0.57}, cars_per_person=0.56, inside_share=0.0
)
STEP_S, DAYS, WARM_UP = 300.0, 15, 5
PER_DAY = round(86_400 / STEP_S)
HOUR = np.arange(48) / 2
# A household's day by half-hours: night, a small morning and a large evening peak. [W] Assumption.
HOUSEHOLD_W = 250 + 250 * np.exp(-(((HOUR - 8) / 1.5) ** 2)) + 650 * np.exp(-(((HOUR - 20.5) / 2.2) ** 2))


def run(plan: FleetPlan, strategy: Strategy, base_w: np.ndarray) -> tuple[np.ndarray, FleetModel, np.ndarray]:
    """Return the power of every car's charger, shape (n_steps, n_cars), the fleet, and the states when plugged in."""
    model = FleetModel(plan, strategy, notice_s=STEP_S)
    calm = Signals.calm(plan)
    power, plugged_in = [], []
    before = model.plugged()
    for k in range(DAYS * PER_DAY):
        load = base_w[[k * 48 // PER_DAY % 48]]
        model.advance(k * STEP_S, STEP_S, dataclasses.replace(calm, base_w=load))
        power.append(model.station_w)
        now = model.plugged()
        if k >= WARM_UP * PER_DAY:
            plugged_in.append(model.soc[now > before])  # every station is the car's of the same number
        before = now
    return np.array(power)[WARM_UP * PER_DAY :], model, np.concatenate(plugged_in)


def main() -> None:
    """Measure and print."""
    sites = building_sites(4, 4).assign(persons=10.0)
    plan = district_fleet(sites, habits=RESIDENTIAL, days=DAYS)
    n = plan.n_vehicles
    base = n * HOUSEHOLD_W
    power, model, plugged_in = run(plan, Plain(), base)
    valley, filled, _ = run(plan, ValleyFilling(base), base)
    days = DAYS - WARM_UP
    order = generator(0, "groups").permutation(n)
    curve = {}
    for size in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000):
        if size <= n:
            groups = order[: n // size * size].reshape(-1, size)[:200]
            peaks = [power[:, group].sum(axis=1).max() for group in groups]
            curve[size] = round(float(np.mean(peaks)) / size / 1e3, 3)
    whole = power.sum(axis=1)
    by_day = whole.reshape(days, PER_DAY)
    load = np.tile(np.repeat(base, PER_DAY // 48), days)
    sessions = len(plugged_in)
    print(
        json.dumps(
            {
                "case": f"{n} cars with 7.4 kW at home, {days} working days, 5-minute means",
                "peak_kw_per_car": round(float(whole.max()) / n / 1e3, 3),
                "mean_daily_peak_kw_per_car": round(float(by_day.max(axis=1).mean()) / n / 1e3, 3),
                "hour_of_peak": round(float(by_day.mean(axis=0).argmax()) * STEP_S / 3600, 2),
                "kwh_per_car_and_day": round(float(whole.sum()) * STEP_S / 3.6e6 / n / days, 2),
                "charges_per_car_and_week": round(float(sessions) / n / days * 7, 2),
                "mean_state_of_charge_when_plugged_in": round(float(plugged_in.mean()), 3),
                "km_per_car_and_day": round(float(model.state.ledger[3]) / J_PER_M / 1e3 / n / DAYS, 1),
                "mean_peak_kw_per_car_by_number": curve,
                "transformer_peak_kw_per_home": {
                    "households": round(float(load.max()) / n / 1e3, 3),
                    "plain": round(float((load + whole).max()) / n / 1e3, 3),
                    "valley filling": round(float((load + valley.sum(axis=1)).max()) / n / 1e3, 3),
                },
                "failed_trips": {"plain": model.state.failures.tolist(), "valley": filled.state.failures.tolist()},
            }
        )
    )


if __name__ == "__main__":
    main()
