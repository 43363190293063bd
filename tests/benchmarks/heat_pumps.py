"""Default heat pump curves beside the measured models of hplib's table.

At each rating point the COP of the default curve (`LiftCurve`, with frost for air) stands beside the quartiles of all
models of a kind: their fits, whose own error against the measurements the table gives as a mean absolute percentage.
Seasonal COPs follow the bins of EN 14825. Prints Markdown.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np

from cosim.core.buildings.heat_pump import FittedCurve, HeatPumpUnits, LiftCurve

KINDS = {"Outdoor Air/Water": False, "Brine/Water": True}
POINTS = {False: [(-7, 35), (2, 35), (7, 35), (-7, 55), (2, 55), (7, 55)], True: [(0, 35), (5, 35), (0, 55), (5, 55)]}
"""Source and flow temperature [°C]: rating points of EN 14511 for air and brine."""
BALANCE = 16  # °C, outdoor temperature without heating load in EN 14825
CLIMATES = {
    "average": (-10, [1, 25, 23, 24, 27, 68, 91, 89, 165, 173, 240, 280, 320, 357, 356, 303, 330, 326, 348, 335, 315,
                      215, 169, 151, 105, 74]),
    "warmer": (2, [3, 22, 63, 63, 175, 162, 259, 360, 428, 430, 503, 444, 384, 294]),
    "colder": (-22, [1, 6, 13, 17, 19, 26, 39, 41, 35, 52, 37, 41, 43, 54, 90, 125, 169, 195, 278, 306, 454, 385, 490,
                     533, 380, 228, 261, 279, 229, 269, 233, 230, 243, 191, 146, 150, 97, 61]),
}  # fmt: skip
"""Design temperature [°C] and hours in bins of 1 K from it to 15 °C, EN 14825:2018, annex B."""


def scop(unit: HeatPumpUnits, climate: str, flow: float) -> float:
    """Return the seasonal COP of a unit sized for the design load, at a fixed flow temperature, without standby."""
    coldest, hours = CLIMATES[climate]
    outdoor = coldest + np.arange(len(hours), dtype=float)
    heat = unit.capacity * (outdoor - BALANCE) / (coldest - BALANCE)
    return float(heat @ hours / (unit.power(heat, unit.cop(flow, outdoor, outdoor)) @ hours))


def curves(path: Path, kind: str) -> tuple[list[FittedCurve], list[float]]:
    """Return the regulated models' curves, and the errors of their fits. [%]"""
    found, errors = [], []
    for row in csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines()):
        if (row["Type"], row["Subtype"]) == (kind, "Regulated") and row["MAPE_COP"]:
            found.append(FittedCurve(*(float(row[f"p{k}_COP [-]"]) for k in range(1, 5))))
            errors.append(float(row["MAPE_COP"]))
    return found, errors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path, help="hplib_database.csv")
    path = parser.parse_args().table
    print("| source | point | cosim | lower quartile | median | upper quartile | cosim against median |")
    print("|---|---|---|---|---|---|---|")
    for kind, ground in KINDS.items():
        models, errors = curves(path, kind)
        unit = HeatPumpUnits(np.array([1e4]), LiftCurve(ground), np.array([ground]))
        for source, flow in POINTS[ground]:
            ours = float(unit.cop(flow, source, source)[0])
            low, middle, high = np.percentile([float(model(flow, source)) for model in models], [25, 50, 75])
            name, off = "brine" if ground else "air", 100 * (ours / middle - 1)
            print(f"| {name} | {source}/{flow} | {ours:.2f} | {low:.2f} | {middle:.2f} | {high:.2f} | {off:+.0f} % |")
        for climate in CLIMATES if not ground else ():
            for flow in (35, 55):
                ours = scop(unit, climate, flow)
                # Measured models have their frost in the fit.
                every = [scop(HeatPumpUnits(unit.capacity, m, np.array([True])), climate, flow) for m in models]
                low, middle, high = np.percentile(every, [25, 50, 75])
                off = 100 * (ours / middle - 1)
                name = f"SCOP {climate} {flow}"
                print(f"| air | {name} | {ours:.2f} | {low:.2f} | {middle:.2f} | {high:.2f} | {off:+.0f} % |")
        print(f"<!-- {kind}: {len(models)} models, median error of the fits {np.median(errors):.0f} % -->")


if __name__ == "__main__":
    main()
