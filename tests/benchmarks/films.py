"""What films and infiltration of the moment change in the stock, and the error of taking them from the step before.

TABULA types run alone in a city's weather, in January and in July, with constant films, with varying ones of the step
before, and with films iterated until they follow the step itself. Prints Markdown, and JSON last.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from functools import partial

import numpy as np

from cosim import Clock
from cosim.adapters.buildings import Buildings
from cosim.adapters.weather import ROLES, Weather, load
from cosim.core import Step
from cosim.core.adapter import inputs, outputs
from cosim.core.quantities import HOUR_S
from cosim.scenarios.buildings.stock import make_stock

TYPES = ("ES.ME.AB.02", "ES.ME.AB.06", "IT.MidClim.MFH.05", "IT.MidClim.SFH.04")
ITERATIONS = 20


def month(start: str, days: int, step_s: float, weather: str, iterations: int) -> tuple[np.ndarray, float]:
    """Return heat, cooling [kWh] and their peaks [kW] by building after three days, and the processor time. [s]"""
    sizes = {"floor_area": [1500.0, 2000.0, 800.0, 140.0], "storeys": [6, 7, 3, 2], "attached": [2, 0, 1, 0]}
    stock = make_stock(TYPES, TYPES, azimuths=45.0, cooling_share=1.0, design_outdoor=0.0, **sizes)
    clock = Clock(start, hours=24.0 * days, step_s=step_s, zone="Europe/Rome")
    sun, buildings = Weather(clock, load(weather)), Buildings(stock, clock, varying=iterations > 0)
    sun.open()
    buildings.open()
    if iterations > 1:
        assert buildings._varying is not None
        buildings._varying.step = partial(buildings._varying.step, iterations=iterations)
    offered, wanted = outputs(sun), inputs(buildings)
    powers, began = [], time.process_time()
    for k in range(round(24 * days * HOUR_S / step_s)):
        step = Step(k * step_s, step_s)
        sun.advance(step)
        for role, port in ROLES.items():
            if role in wanted:
                wanted[role].deliver(offered[port].value)
        buildings.advance(step)
        if step.start_s >= 3 * 24 * HOUR_S:
            powers.append([buildings.heating_heat.value.copy(), buildings.cooling_power.value.copy()])
    elapsed = time.process_time() - began
    hourly = np.array(powers).reshape(-1, round(HOUR_S / step_s), 2, len(TYPES)).mean(axis=1) / 1000
    return np.stack([hourly.sum(axis=0), hourly.max(axis=0)]), elapsed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weather", default="bologna", help="a city with normals, or an EPW file")
    parser.add_argument("--days", type=int, default=17)
    given = parser.parse_args()
    print("| month | step [s] | type | heat or cooling [kWh] | varying over constant | error of the step before |")
    print("|---|---|---|---|---|---|")
    result = {}
    for start, kind in (("2025-01-10", 0), ("2025-07-10", 1)):
        for step_s in (600.0, 3600.0):
            found = [month(start, given.days, step_s, given.weather, k) for k in (0, 1, ITERATIONS)]
            (plain, _), (lagged, spent), (iterated, _) = found
            for i, name in enumerate(TYPES):
                energy, error = lagged[0, kind, i], lagged[:, kind, i] / iterated[:, kind, i] - 1
                row = {
                    "constant": float(plain[0, kind, i]),
                    "varying_over_constant": float(energy / plain[0, kind, i]),
                    "error_energy": float(error[0]),
                    "error_peak": float(error[1]),
                }
                result[f"{start} {step_s:g} {name}"] = row
                print(
                    f"| {start[:7]} | {step_s:g} | {name} | {row['constant']:.0f} | {energy / plain[0, kind, i]:.3f} | "
                    f"energy {100 * error[0]:+.2f} %, peak {100 * error[1]:+.2f} % |"
                )
            result[f"{start} {step_s:g} seconds over constant"] = {"ratio": spent / found[0][1]}
    worst = {key: max(abs(row[key]) for row in result.values() if key in row) for key in ("error_energy", "error_peak")}
    json.dump({"rows": result, "worst": worst}, sys.stdout)
    print()


if __name__ == "__main__":
    main()
