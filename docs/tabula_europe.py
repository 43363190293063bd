"""Writes scenarios/buildings/tabula_europe.csv from the published table of TABULA and EPISCOPE.

python docs/tabula_europe.py tabula_EU.csv
"""

import csv
import dataclasses
import sys
from collections import Counter
from pathlib import Path

from cosim.core import CosimError
from cosim.scenarios.buildings.tabula import TabulaType, read_types

HEAD = """\
# Building types of 18 countries at three refurbishment levels (1 existing state, 2 usual, 3 advanced refurbishment),
# made by docs/tabula_europe.py. Published figures of the IEE projects TABULA and EPISCOPE, www.episcope.eu, as
# processed for ETHOS.HiSim (CC BY 4.0), curated: a component's parts are merged (areas added, U area-weighted and
# times the published boundary factor b). Taken are generic types ("Gen") of one climate region a country; left out
# are those without windows, with figures that contradict each other, or without all three levels. Units as in
# tabula_types.csv.
"""
SIDES = {"B_Alone": 0, "B_N1": 1, "B_N2": 2}
PARTS = {"roof": 2, "wall": 3, "floor": 2, "window": 2, "door": 1}
TARGET = Path(__file__).parent.parent / "scenarios" / "buildings" / "tabula_europe.csv"


def number(row, name):
    return float(row.get(name) or 0.0)


def merged(row, part, count):
    """Return the area of a component's parts, and their mean U-value times the boundary factor."""
    names = [f"{part.title()}_{k + 1}" for k in range(count)]
    areas = [number(row, f"A_Calc_{name}") for name in names]
    losses = [
        area * number(row, f"U_Actual_{name}") * float(row.get(f"b_Transmission_{name}") or 1.0)
        for area, name in zip(areas, names)
    ]
    if part == "wall":  # a part with b = 0 is a party wall
        areas = [a if float(row.get(f"b_Transmission_{n}") or 1.0) else 0.0 for a, n in zip(areas, names)]
    total = sum(areas)
    return total, sum(losses) / total if total else 0.0


def figures(row, region):
    """Return a row of our table, or None if the published one is of another kind."""
    code = row["Code_BuildingVariant"].split(".")
    size, level = row["Code_BuildingSizeClass"], code[-1]
    if (
        code[4:7] != ["Gen", "ReEx", "001"]
        or size not in ("SFH", "TH", "MFH", "AB")
        or level not in ("001", "002", "003")
    ):
        return None
    if row["Code_ClimateRegion"] != region or row["Code_AttachedNeighbours"] not in SIDES or not number(row, "A_C_Ref"):
        return None
    found = {
        "type": ".".join(code[:4]),
        "level": int(level),
        "first_year": int(number(row, "Year1_Building")),
        "last_year": int(number(row, "Year2_Building")) or 9999,
        "reference_area": number(row, "A_C_Ref"),
        "storeys": max(round(number(row, "n_Storey")), 1),
        "dwellings": max(round(number(row, "n_Apartment")), 1),
        "attached_sides": SIDES[row["Code_AttachedNeighbours"]],
        "room_height": number(row, "h_room"),
        "window_g": number(row, "g_gl_n_Window_1"),
        "thermal_bridge_u": number(row, "delta_U_ThermalBridging"),
        "infiltration": number(row, "n_air_infiltration"),
        "air_use": number(row, "n_air_use"),
        "c_m": number(row, "c_m"),
        "heating_days": number(row, "HeatingDays"),
        "heating_outdoor": number(row, "Theta_e"),
        "h_transmission": number(row, "h_Transmission"),
        "h_ventilation": number(row, "h_Ventilation"),
        **{name: number(row, name) for name in ("q_ht_tr", "q_ht_ve", "q_sol", "q_int", "q_h_nd", "q_w_nd")},
    }
    for part, count in PARTS.items():
        found[f"{part}_area"], found[f"{part}_u"] = merged(row, part, count)
    found["wall_unheated"], found["cellar"] = to_unheated(row), int(row["Code_CellarCond"] in ("N", "NI", "P"))
    return found


def to_unheated(row):
    """Return the share of the walls' heat loss that goes to unheated rooms: parts with a boundary factor below 1."""
    losses = {
        name: number(row, f"A_Calc_{name}") * number(row, f"U_Actual_{name}") * number(row, f"b_Transmission_{name}")
        for name in ("Wall_1", "Wall_2", "Wall_3")
    }
    total = sum(losses.values())
    return sum(v for name, v in losses.items() if number(row, f"b_Transmission_{name}") < 1) / total if total else 0.0


def write(path, rows):
    """Write rows in the columns of our table."""
    columns = [field.name for field in dataclasses.fields(TabulaType)]
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(HEAD)
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows({k: f"{v:.5g}" if isinstance(v, float) else v for k, v in row.items()} for row in rows)


def accepted(rows):
    """Return whether our reader accepts these rows."""
    trial = TARGET.with_suffix(".trial.csv")
    write(trial, rows)
    try:
        read_types(trial)
    except CosimError:
        return False
    finally:
        trial.unlink()
    return True


def main():
    """Read the published table and write ours."""
    with Path(sys.argv[1]).open(encoding="utf-8-sig", newline="") as file:
        published = list(csv.DictReader(file))
    regions = {}
    for row in published:
        if figures(row, row["Code_ClimateRegion"]) is not None:
            regions.setdefault(row["Code_Country"], Counter())[row["Code_ClimateRegion"]] += 1
    types, chosen = {}, []
    for row in published:
        country = row["Code_Country"]
        if country in ("ES", "IT"):  # stand in tabula_types.csv
            continue
        if country not in regions:
            continue
        found = figures(row, regions[country].most_common(1)[0][0])
        if found is not None:
            types.setdefault(found["type"], {})[found["level"]] = found
    for _, levels in sorted(types.items()):
        rows = [levels[level] for level in (1, 2, 3) if level in levels]
        if len(rows) == 3 and accepted(rows):
            chosen += rows
    write(TARGET, chosen)
    print(f"{len(chosen) // 3} of {len(types)} types:", Counter(row["type"][:2] for row in chosen))


if __name__ == "__main__":
    main()
