"""The evening peak that an electric car adds to a district, by number of cars.

All cars of a residential district have a charger at home and charge for three working weeks; the first week is left
out. Every figure is per electric car with a charger at home, whether it charges on that day or not, unless it says
otherwise. The case is varied in habit, power and distance, beside what was measured in the Electric Nation trial, and
the valleys of a transformer that carries an evening peak are filled. The last line is JSON.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np

from cosim.core.fleet.model import FleetModel
from cosim.core.fleet.plan import FleetPlan
from cosim.core.fleet.state import FleetSignals
from cosim.core.fleet.strategies import Plain, Strategy, ValleyFilling
from cosim.core.random import generator
from cosim.scenarios.fleet.plan import J_PER_M, district_fleet
from cosim.scenarios.mobility.population import Habits
from cosim.scenarios.streets.eixample import building_sites

# A residential district from which everybody drives out: 3.1 trips a person, 57 % of them by car (Mobilität in
# Deutschland 2017, infas, DLR, IVT and infas 360, 2019), three in four of these as its driver (assumption), 0.56 cars a
# person.
RESIDENTIAL = Habits(trips_per_person=3.1, modes={"car": 0.43, "others": 0.57}, cars_per_person=0.56, inside_share=0.0)
# So far that its cars take about what those of the trial did: 21.6 kWh a charge, three times a week.
FAR = dataclasses.replace(RESIDENTIAL, outside_km=(20.5, 0.7))
STEP_S, DAYS, WARM_UP = 300.0, 15, 5
PER_DAY = round(86_400 / STEP_S)
SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
HOUR = np.arange(48) / 2
# A household's day by half-hours: night, a small morning and a large evening peak. [W] Assumption.
HOUSEHOLD_W = 250 + 250 * np.exp(-(((HOUR - 8) / 1.5) ** 2)) + 650 * np.exp(-(((HOUR - 20.5) / 2.2) ** 2))

# Unmanaged weekday charging at home with 7.36 kW, per car that charges on that day: J. Zhu, W. Nacmanson and L. Ochoa,
# University of Melbourne, "EV Demand Profiles" (github.com/Team-Nando/EV-Demand-Profiles, files "Weekday - Level 2"),
# made from the records of the Electric Nation trial. Means of 1,200 cars by the minute, and by minute the third
# quartile of 100 groups of 100; the energy is summed here from half-hourly values of the former. Three charges a week:
# Western Power Distribution and EA Technology, February 2019.
MEASURED = {
    "peak_kw": 2.16,
    "hour_of_peak": 21.3,
    "kwh": 21.6,
    "peak_kw_per_kwh": 0.100,
    "peak_kw_of_third_quartile_of_100_cars": 2.43,
}
MEASURED_CHARGES_PER_WEEK = 3.0


def run(plan: FleetPlan, strategy: Strategy, base_w: np.ndarray) -> tuple[np.ndarray, FleetModel, np.ndarray]:
    """Return the power of every car's charger, shape (n_steps, n_cars), the fleet, and the states when plugged in."""
    model = FleetModel(plan, strategy, notice_s=STEP_S)
    calm = FleetSignals.calm(plan)
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


def by_number(power: np.ndarray) -> dict[str, float]:
    """Return the mean peak of groups of cars over all days, by their number. [kW a car]"""
    n = power.shape[1]
    order = generator(0, "groups").permutation(n)
    found = {}
    for size in (size for size in SIZES if size <= n):
        groups = order[: n // size * size].reshape(-1, size)[:200]
        peaks = [power[:, group].sum(axis=1).max() for group in groups]
        found[str(size)] = round(float(np.mean(peaks)) / size / 1e3, 2)
    return found | {"all": round(float(power.sum(axis=1).max()) / n / 1e3, 2)}


def when_charging(power: np.ndarray) -> dict[str, float]:
    """Return what the trial's records tell, per car that charges on a day, from noon to noon."""
    half = PER_DAY // 2
    days = power[half:-half].T.reshape(power.shape[1], -1, PER_DAY).reshape(-1, PER_DAY) / 1e3
    days = days[days.any(axis=1)]
    mean = days.mean(axis=0)
    rng = generator(0, "groups of days")
    hundreds = np.array([days[rng.choice(len(days), 100, replace=False)].mean(axis=0) for _ in range(100)])
    kwh = mean.sum() * STEP_S / 3600
    return {
        "peak_kw": round(float(mean.max()), 2),
        "hour_of_peak": round((float(mean.argmax()) * STEP_S / 3600 + 12) % 24, 1),
        "kwh": round(float(kwh), 1),
        "peak_kw_per_kwh": round(float(mean.max() / kwh), 3),
        "peak_kw_of_third_quartile_of_100_cars": round(float(np.quantile(hundreds, 0.75, axis=0).max()), 2),
    }


def case(habits: Habits, sites: Any, **settings: Any) -> tuple[dict[str, Any], FleetPlan, np.ndarray]:
    """Charge plainly; return what is to be said of it, the plan and the powers."""
    plan = district_fleet(sites, habits=habits, days=DAYS, **settings)
    n, days = plan.n_vehicles, DAYS - WARM_UP
    power, model, plugged_in = run(plan, Plain(), n * HOUSEHOLD_W)
    whole = power.sum(axis=1)
    charges = len(plugged_in) / n / days * 7
    kwh = float(whole.sum()) * STEP_S / 3.6e6 / n / days
    daily_peak_kw = float(whole.reshape(days, PER_DAY).max(axis=1).mean()) / n / 1e3
    return (
        {
            "km_per_day": round(float(model.state.ledger[3]) / J_PER_M / 1e3 / n / DAYS, 1),
            "kwh_per_day": round(kwh, 2),
            "charges_per_week": round(charges, 2),
            "state_of_charge_when_plugged_in": round(float(plugged_in.mean()), 2),
            "mean_daily_peak_kw": round(daily_peak_kw, 2),
            "peak_kw_per_kwh": round(daily_peak_kw / kwh, 3),
            "mean_peak_kw_by_number": by_number(power),
            "per_car_that_charges": when_charging(power),
            "failed_trips": float(model.state.failures.sum()),
        },
        plan,
        power,
    )


def main() -> None:
    """Measure and print."""
    sites = building_sites(4, 4).assign(persons=10.0)
    usual, plan, power = case(RESIDENTIAL, sites)
    cases = {
        "as far as the cars of the trial": case(FAR, sites)[0],
        "plugged in whenever not full": case(RESIDENTIAL, sites, plug_in_soc=(1.0, 1.0))[0],
        "plugged in below 30 to 50 %": case(RESIDENTIAL, sites, plug_in_soc=(0.3, 0.5))[0],
        "3.7 kW": case(RESIDENTIAL, sites, charger_w=3_700.0)[0],
        "11 kW": case(RESIDENTIAL, sites, charger_w=11_000.0)[0],
    }
    n = plan.n_vehicles
    base = n * HOUSEHOLD_W
    valley, filled, _ = run(plan, ValleyFilling(base), base)
    load = np.tile(np.repeat(base, PER_DAY // 48), DAYS - WARM_UP)
    charges_per_day = MEASURED_CHARGES_PER_WEEK / 7
    print(
        json.dumps(
            {
                "case": f"{n} cars with 7.4 kW at home, {DAYS - WARM_UP} working days, 5-minute means",
                "usual": usual,
                "varied": cases,
                "measured_per_car_that_charges": MEASURED,
                "measured_per_car": {
                    "kwh_per_day": round(MEASURED["kwh"] * charges_per_day, 2),
                    "mean_daily_peak_kw": round(MEASURED["peak_kw"] * charges_per_day, 2),
                },
                "transformer_peak_kw_per_home": {
                    "households": round(float(load.max()) / n / 1e3, 3),
                    "plain": round(float((load + power.sum(axis=1)).max()) / n / 1e3, 3),
                    "valley filling": round(float((load + valley.sum(axis=1)).max()) / n / 1e3, 3),
                },
                "failed_trips_when_valleys_are_filled": float(filled.state.failures.sum()),
            }
        )
    )


if __name__ == "__main__":
    main()
