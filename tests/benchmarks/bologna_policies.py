"""What do 30 km/h and a cell without through traffic do to Bologna's morning peak? One JSON line.

``python tests/benchmarks/bologna_policies.py [joined|acosta] [hours] [seeds] [blocks]`` simulates the traffic of the
scenario of that name in ../shared/data/bologna, the cell being a superblock of so many blocks. Medians over seeds.
"""

import dataclasses
import json
import statistics
import sys
import tempfile
from pathlib import Path

from cosim import Clock, Scenario
from cosim.adapters.traffic import Traffic
from cosim.scenarios import bologna
from cosim.scenarios.policies import SpeedLimit, Superblocks
from cosim.scenarios.policies.cells import find_cells
from cosim.scenarios.streets import read_net

DATA = Path(__file__).parents[3] / "shared" / "data" / "bologna"


def run(city, hours, out):
    """Return the result of one run of a city's traffic."""
    traffic = Traffic(
        city.sumocfg, seed=city.seed, extra_options=city.traffic_options,
        permission_classes=city.measures.permission_classes,
    )  # fmt: skip
    scenario = Scenario(Clock("2025-01-15T08:00", hours=hours, step_s=60, zone=city.zone), traffic=traffic)
    city.measures.apply(scenario)
    return scenario.run(out)


def least_travelled(name, blocks, result):
    """Return the superblock of so many blocks on whose streets the least is driven, of up to ten."""
    travelled = result.integral("traffic.travel")
    cells = find_cells(read_net(DATA / name / f"{name}_buslanes.net.xml"), blocks_per_cell=blocks, cells=10)
    return min(cells, key=lambda cell: float(travelled[list(cell.interior)].sum()))


def row(result, cell):
    """Return speed, CO2 and where the traffic of the cell went."""
    km = result.integral("traffic.travel") / 1000
    seconds = float(result.integral("traffic.vehicles").sum())
    counts = ("arrived", "cancelled", "teleports")
    return {
        "speed_kmh": float(km.sum()) / seconds * 3600,
        "co2_g_per_km": 1000 * float(result.integral("traffic.co2").sum()) / float(km.sum()),
        "vehicle_km": float(km.sum()),
        "inside_km": float(km[list(cell.interior)].sum()),
        "border_km": float(km[list(cell.border)].sum()),
        **{count: float(result.total(f"traffic.{count}").iloc[-1]) for count in counts},
    }


def main(name="joined", hours=1.0, seeds=1, blocks=4):
    """Return medians over seeds by case."""
    base = bologna.build(sumocfg=DATA / name / "run.sumocfg", hours=hours, buildings=20, chargers=0).model
    with tempfile.TemporaryDirectory() as folder:
        seeded = [dataclasses.replace(base, seed=seed) for seed in range(seeds)]
        first = [run(city, hours, Path(folder) / f"base {city.seed}") for city in seeded]
        cell = least_travelled(name, blocks, first[0])
        outline = tuple((float(x), float(y)) for x, y in cell.area.exterior.coords)
        plans = {"30 km/h": SpeedLimit(30), "superblock": Superblocks(polygons=(outline,))}
        found = {"base": [row(result, cell) for result in first]}
        for case, policy in plans.items():
            city = policy.change_city(base)
            found[case] = [
                row(run(dataclasses.replace(city, seed=seed), hours, Path(folder) / f"{case[:2]} {seed}"), cell)
                for seed in range(seeds)
            ]
    medians = {case: {key: round(statistics.median(r[key] for r in rows), 1) for key in rows[0]}
               for case, rows in found.items()}  # fmt: skip
    return {"scenario": name, "hours": hours, "seeds": seeds, "edges_inside": len(cell.interior), **medians}


if __name__ == "__main__":
    given = sys.argv[1:]
    kinds = (str, float, int, int)
    print(json.dumps(main(*(kind(text) for kind, text in zip(kinds, given)))))
