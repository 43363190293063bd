"""Duration of a day of air quality and noise in a large city, hour by hour.

10,000 streets (or as many as the first argument says) of 50 to 200 m on a grid, with traffic and buildings drawn at
random, 24 steps of an hour in a wind that turns. The last line is JSON; times are medians over the steps of processor
time, on one core, without the paths of sound, which are made once.
"""

from __future__ import annotations

import json
import statistics
import sys
import time

import numpy as np

from cosim.adapters.environment import Environment
from cosim.core import Step
from cosim.core.environment.streets import Streets
from cosim.core.random import generator
from cosim.scenarios.environment.sound import paths_of

PITCH_M, HOURS = 150.0, 24
N = int(sys.argv[1]) if __name__ == "__main__" and len(sys.argv) > 1 else 10_000
KINDS = ("car", "electric car", "van", "truck or bus", "motorcycle")
BACKGROUND = np.array([20.0, 30.0, 50.0, 22.0, 13.0]) * 1e-9


def streets() -> Streets:
    """Return streets along the lines of a grid, each between two crossings."""
    rng = generator(0, "streets of a large city")
    side = round(np.sqrt(N / 2))
    column, row = np.divmod(np.arange(N) // 2, side)
    east = np.arange(N) % 2 == 0
    start = PITCH_M * np.stack([column, row], axis=1).astype(float)
    length = rng.uniform(50.0, PITCH_M, N)
    end = start + length[:, None] * np.where(east[:, None], [[1.0, 0.0]], [[0.0, 1.0]])
    distance = rng.uniform(5.0, 15.0, (N, 2))
    height = np.where(rng.random((N, 2)) < 0.8, rng.uniform(6.0, 25.0, (N, 2)), 0.0)
    axes = tuple(np.stack(pair) for pair in zip(start, end, strict=True))
    return Streets(tuple(f"street {k}" for k in range(N)), length, np.where(east, 90.0, 0.0), distance, height, axes)


def main() -> None:
    """Run the day and print its times."""
    city = streets()
    began = time.perf_counter()
    paths = paths_of(city, [])
    paths_s = time.perf_counter() - began
    shares = {"HBEFA4/PC_petrol_Euro-4": 0.06}
    made = Environment(
        city,
        KINDS,
        exhaust_shares=shares,
        primary_no2_shares=dict.fromkeys(shares, 0.1),
        background=BACKGROUND,
        paths=paths,
    )
    rng = generator(0, "traffic of a large city")
    daily = rng.lognormal(8.0, 1.0, N)  # some 3,000 vehicles a day in the median
    mix = np.array([0.7, 0.05, 0.1, 0.05, 0.1])
    times = []
    for hour in range(HOURS):
        share = (1.0 - np.cos(2 * np.pi * (hour + 0.5) / 24)) / 24
        flow = daily * share / 3600  # vehicle/s
        travel = flow * city.length
        made.travel_by_kind.deliver((travel[:, None] * mix).ravel())
        made.vehicles.deliver(travel / 8.0)
        made.nox.deliver(travel * 4e-7)
        made.pmx.deliver(travel * 3e-8)
        made.nox_by_class.deliver([float(travel.sum()) * 4e-7])
        made.pmx_by_class.deliver([float(travel.sum()) * 3e-8])
        turned = 2 * np.pi * hour / 24
        made.wind_speed.deliver([2.0])
        made.wind_velocity.deliver([2.0 * np.sin(turned), 2.0 * np.cos(turned)])
        made.outdoor_temperature.deliver([15.0])
        made.global_radiation.deliver([max(600.0 * np.sin(np.pi * (hour - 6) / 12), 0.0)])
        began = time.process_time()
        made.advance(Step(hour * 3600.0, 3600.0))
        times.append(time.process_time() - began)
    print(f"paths of sound made in {paths_s:.1f} s; hours take {min(times):.3f} to {max(times):.3f} s")
    result = {
        "s_per_day": round(HOURS * statistics.median(times), 3),
        "streets": N,
        "facades": 2 * N,
        "ms_per_step": round(1000 * statistics.median(times), 2),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
