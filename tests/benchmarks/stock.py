"""What does a step of the buildings adapter cost? Processor time, of all threads together, and the least wall time.

Of steps of 60 s in the morning, by sun and without.

100,000 buildings of two types with six dwellings on average, half of them with heat pumps and half with coolers. The
first step draws the day of all households and is told apart, with the largest memory so far. The outputs' SHA-256 is
printed, to compare versions of the code. The last line is JSON.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import statistics
import time

import numpy as np

from cosim.adapters.buildings import SURFACES, Buildings
from cosim.core import Clock, Step
from cosim.core.adapter import outputs
from cosim.scenarios.buildings.stock import make_stock

TYPES = ("ES.ME.AB.03", "ES.ME.AB.04")
STEP_S = 60.0


def measured(n: int, steps: int, sun: float) -> dict[str, float | str]:
    """Return the processor times of a step [ms] and a hash of all outputs."""
    ids = [f"b{k}" for k in range(n)]
    types = [TYPES[k % len(TYPES)] for k in range(n)]
    area = 400.0 + 200.0 * (np.arange(n) % 3)
    stock = make_stock(ids, types, area, 5, 2, 45.0 * (np.arange(n) % 8), heat_pump_share=0.5)
    buildings = Buildings(stock, Clock("2025-01-15T08:00", hours=24, zone="Europe/Madrid"), seed=1)
    buildings.open()
    digest, taken, wall = hashlib.sha256(), [], []
    for k in range(steps):
        irradiance = sun * np.abs(np.sin(np.arange(len(SURFACES)) + k / 11))
        buildings.outdoor_temperature.deliver([5.0 + 3.0 * np.sin(k / 7)])
        buildings.irradiance.deliver(irradiance)
        buildings.window_irradiance.deliver(0.8 * irradiance)
        began, began_wall = time.process_time(), time.perf_counter()
        buildings.advance(Step(k * STEP_S, STEP_S))
        taken.append((time.process_time() - began) * 1e3)
        wall.append((time.perf_counter() - began_wall) * 1e3)
        for port in outputs(buildings).values():
            digest.update(port.value.tobytes())
    return {
        "first_ms": round(taken[0]),
        "median_ms": round(statistics.median(taken[1:]), 1),
        "least_ms": round(min(taken[1:]), 1),
        "least_wall_ms": round(min(wall[1:]), 1),
        "dwellings": float(stock.dwellings.sum()),
        "peak_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2),
        "sha256": digest.hexdigest(),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--buildings", type=int, default=100_000)
    parser.add_argument("--steps", type=int, default=20)
    args = parser.parse_args()
    found = {name: measured(args.buildings, args.steps, sun) for name, sun in (("sun", 400.0), ("night", 0.0))}
    print(json.dumps({"case": f"{args.buildings} buildings, {args.steps} steps of {STEP_S:g} s", **found}))


if __name__ == "__main__":
    main()
