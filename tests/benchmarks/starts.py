"""Does a run depend on when it begins? Buildings from midnight, from 16 h and from three days earlier, by season.

Buildings alone in their weather, with the warm-up and without (20 °C everywhere, tanks half full), as a table of kW by
hour; and what the warm-up costs relative to the run. ``python -m tests.benchmarks.starts`` (a minute).
"""

from __future__ import annotations

import datetime as dt
import time

import numpy as np

from cosim import Clock, Step
from cosim.adapters.buildings import Buildings
from cosim.adapters.weather import ROLES, Weather
from cosim.core.adapter import inputs, outputs
from cosim.core.quantities import HOUR_S, Array
from cosim.scenarios import eixample
from cosim.scenarios.model import City
from cosim.scenarios.warm_up import WarmUp

STEP_S = 300.0
USES = {
    "heat": "heating_heat",
    "hot water": "hot_water_power",
    "heat pumps": "heat_pump_power",
    "cooling": "cooling_power",
}


def hourly(city: City, start: str, hours: int, *, warm: bool) -> tuple[Array, float, float]:
    """Return kW by use and hour, and the wall times of warm-up and run. [s]"""
    clock = Clock(start, hours=hours, step_s=STEP_S, zone=city.zone)
    weather = Weather(clock, city.weather)
    initial = WarmUp(city.stock, city.weather, clock, city.seed) if warm else None
    buildings = Buildings(city.stock, clock, seed=city.seed, initial=initial)
    offered, wanted = outputs(weather), inputs(buildings)
    weather.open()
    began = time.perf_counter()
    buildings.open()
    opened = time.perf_counter()
    found = []
    for k in range(round(hours * HOUR_S / STEP_S)):
        step = Step(k * STEP_S, STEP_S)
        weather.advance(step)
        for role, port in ROLES.items():
            if role in wanted:
                wanted[role].deliver(offered[port].value)
        buildings.advance(step)
        found.append([getattr(buildings, port).value.sum() / 1e3 for port in USES.values()])
    means = np.array(found).reshape(hours, -1, len(USES)).mean(axis=1).T
    return means, opened - began, time.perf_counter() - opened


def main() -> None:
    """Print the tables."""
    for date in (dt.date(2025, 1, 15), dt.date(2025, 7, 16)):
        city = eixample.build(blocks=(2, 2), day=date, ev_share=0.0, heat_pump_share=0.5).model
        for warm in (False, True):
            day, warming_s, running_s = hourly(city, f"{date}", 24, warm=warm)
            late, *_ = hourly(city, f"{date}T16:00", 4, warm=warm)
            long, *_ = hourly(city, f"{date - dt.timedelta(3)}", 96, warm=warm)
            print(f"\n{date}, {'with' if warm else 'without'} warm-up: {warming_s:.1f} s for {running_s:.1f} s of run")
            print("| kW | hours | from midnight | from 16 h | from three days earlier |\n|---|---|---|---|---|")
            for k, use in enumerate(USES):
                for hours in (slice(0, 3), slice(16, 20)):
                    there = late[k] if hours.start == 16 else []
                    cells = [day[k, hours], there, long[k, 72:][hours]]
                    text = " | ".join(", ".join(f"{value:.1f}" for value in cell) for cell in cells)
                    print(f"| {use} | {hours.start}–{hours.stop} | {text} |")


if __name__ == "__main__":
    main()
