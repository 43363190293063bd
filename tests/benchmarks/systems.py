"""Systems of buildings beside measured or published figures: heat pumps, tanks, batteries, panels, split units.

Heat pumps stand beside the median of hplib's measured models (`heat_pumps.py` has quartiles and more points), seasonal
figures are those of EN 14825. Panels stand beside the example of PVWatts 4's interface (4 kW in Boulder, slope 40°,
derate 0.77, documentation in 18F/api.data.gov): AC energy over light, rating and fixed losses, which leaves temperature
and the inverter's part load. Without the weather of Denver that row is left out. Prints Markdown, and JSON last.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import sys
from pathlib import Path

import numpy as np

from cosim.adapters.buildings import COOLING_EER
from cosim.core.buildings.cooling import LEAST_INVERTER, CoolingUnits
from cosim.core.buildings.heat_pump import HeatPumpUnits, LiftCurve
from cosim.core.buildings.storage import Batteries, Tanks
from cosim.core.weather.epw import read_epw
from cosim.core.weather.photovoltaics import INVERTER, SYSTEM_LOSS, pv_yield
from cosim.core.weather.solar import irradiance
from tests.benchmarks.heat_pumps import CLIMATES, curves, scop

SEASON = (205, 227, 225, 225, 216, 215, 218, 197, 178, 158, 137, 109, 88, 63, 39, 31, 24, 17, 13, 9, 4, 3, 1, 0)
"""Hours of the cooling season in bins of 1 K from 17 °C, EN 14825:2012, table 36."""
DESIGN, NEUTRAL = 35.0, 16.0  # °C, outdoor temperatures at full load and without load, EN 14825:2012
PVWATTS_AC, PVWATTS_LIGHT, PVWATTS_LOSSES = 5834.351 / 4, 2028.070, 0.77  # kWh/kW and kWh/m² a year, share left


def seer(units: CoolingUnits) -> float:
    """Return the seasonal energy efficiency ratio of units sized for the design load, without standby."""
    outdoor = 17.0 + np.arange(len(SEASON))
    cooling = np.minimum(units.capacity[0] * (outdoor - NEUTRAL) / (DESIGN - NEUTRAL), units.capacity[0])
    every = CoolingUnits(np.full(len(SEASON), units.capacity[0]), units.rated, units.least_share)
    return float(cooling @ SEASON / (every.power(cooling, outdoor) @ SEASON))


def tank_day() -> float:
    """Return what a tank of 200 l at 55 °C in a room of 20 °C loses in a day without draws. [kWh]"""
    tank = Tanks(np.array([0.2]), np.array([1500.0]))
    tank.temperature[:] = 55.0
    lost = 0.0
    for _ in range(24 * 4):
        lost += float(tank.step(900.0, np.zeros(1), 42.0)[2][0]) * 900 / 3.6e6
    return lost


def round_trip() -> float:
    """Return the energy that a battery gives back over what it took, from half full to half full."""
    battery, taken, given = Batteries(np.array([3.6e7]), np.array([5e3])), 0.0, 0.0
    half = battery.energy[0]
    while battery.energy[0] < battery.capacity[0] * (1 - 1e-9):
        taken += float(battery.step(60.0, np.array([3e3]))[0]) * 60
    while battery.energy[0] > half:
        given -= float(battery.step(60.0, np.array([-3e3]))[0]) * 60
    return float((given - (half - battery.energy[0]) * np.sqrt(0.9)) / taken)


def panel_year(path: Path) -> float:
    """Return the AC energy of a year over its light, without fixed losses, for a slope of 40° to the south."""
    year, start, span = read_epw(path), dt.datetime(2001, 1, 1, 7, tzinfo=dt.UTC), 365 * 86400.0
    roof = {"roof": (40.0, 180.0)}
    power = pv_yield(year, roof, start, span).mean(0.0, span)[0, 0]
    light = irradiance(year, roof, start, span).mean(0.0, span)[0, 0] / 1000
    return float(power / light / ((1 - SYSTEM_LOSS) * INVERTER))


def rows(table: Path, weather: Path | None) -> list[tuple[str, float, float, str]]:
    """Return name, own figure, the one beside it, and its source."""
    found = []
    for kind, ground in (("Outdoor Air/Water", False), ("Brine/Water", True)):
        models, _ = curves(table, kind)
        unit = HeatPumpUnits(np.array([1e4]), LiftCurve(ground), np.array([ground]))
        name, source = ("brine" if ground else "air"), f"hplib, median of {len(models)}"
        for at, flow in ((0, 35), (0, 55)) if ground else ((-7, 35), (2, 35), (7, 35)):
            middle = float(np.median([float(m(flow, at)) for m in models]))
            found.append((f"heat pump, {name}, COP {at}/{flow}", float(unit.cop(flow, at, at)[0]), middle, source))
        for climate in () if ground else CLIMATES:
            for flow in (35.0, 55.0):
                every = [scop(HeatPumpUnits(unit.capacity, m, np.array([True])), climate, flow) for m in models]
                own, middle = scop(unit, climate, flow), float(np.median(every))
                found.append((f"heat pump, {name}, SCOP {climate} {flow:g} °C", own, middle, source))
    standing = (16.66 + 8.33 * 200**0.4) * 0.024 * 35 / 45
    found.append(
        (
            "tank of 200 l, kWh a day at 55 °C",
            tank_day(),
            standing,
            "upper edge of class C, (EU) 812/2013: 16.66 + 8.33 V^0.4 W",
        )
    )
    found.append(("battery, round trip", round_trip(), 0.9, "lithium: 0.85 to 0.95 (energea.com, glossary)"))
    if weather is not None:
        expected = PVWATTS_AC / PVWATTS_LIGHT / PVWATTS_LOSSES
        found.append(("panels, year, temperature and part load", panel_year(weather), expected, "PVWatts 4, Boulder"))
    for name, share, beside, label in (
        ("fixed speed", 1.0, 3.6, "D"),
        ("inverter", LEAST_INVERTER, 6.1, "A++"),
    ):
        own = seer(CoolingUnits(np.array([3e3]), COOLING_EER, share))
        found.append((f"split unit, {name}, SEER", own, beside, f"lower edge of class {label}, (EU) 626/2011"))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path, help="hplib_database.csv")
    parser.add_argument("weather", type=Path, nargs="?", help="weather of Denver, an EPW file")
    given = parser.parse_args()
    found = rows(given.table, given.weather)
    print("| figure | cosim | beside | off | source |")
    print("|---|---|---|---|---|")
    for name, own, beside, source in found:
        print(f"| {name} | {own:.2f} | {beside:.2f} | {100 * (own / beside - 1):+.0f} % | {source} |")
    json.dump({name: {"value": own, "beside": beside} for name, own, beside, _ in found}, sys.stdout)
    print()


if __name__ == "__main__":
    main()
