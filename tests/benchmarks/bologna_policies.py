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


def main(name="joined", hours=1.0, seeds=1, blocks=3):
    """Print speed, CO2 and where the traffic of the cell went."""
    superblock = Superblocks(cells=1, blocks_per_cell=blocks)
    [cell] = superblock.find(read_net(DATA / name / f"{name}_buslanes.net.xml"))
    base = bologna.build(sumocfg=DATA / name / "run.sumocfg", hours=hours, buildings=20, chargers=0).model
    cities = {"base": base, "30 km/h": SpeedLimit(30).change_city(base), "closed cell": superblock.change_city(base)}
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        for case, city in cities.items():
            found = []
            for seed in range(seeds):
                out = Path(folder) / f"{case.split()[0]} {seed}"
                result = run(dataclasses.replace(city, seed=seed), hours, out)
                km = result.integral("traffic.travel") / 1000
                seconds = float(result.integral("traffic.vehicles").sum())
                found.append(
                    {
                        "speed_kmh": float(km.sum()) / seconds * 3600,
                        "co2_kg": float(result.integral("traffic.co2").sum()),
                        "vehicle_km": float(km.sum()),
                        "inside_km": float(km[list(cell.interior)].sum()),
                        "border_km": float(km[list(cell.border)].sum()),
                        "arrived": float(result.total("traffic.arrived").iloc[-1]),
                        "cancelled": float(result.total("traffic.cancelled").iloc[-1]),
                        "teleports": float(result.total("traffic.teleports").iloc[-1]),
                    }
                )
            rows[case] = {key: round(statistics.median(row[key] for row in found), 1) for key in found[0]}
    return {"scenario": name, "hours": hours, "seeds": seeds, "edges_inside": len(cell.interior), **rows}


if __name__ == "__main__":
    given = sys.argv[1:]
    kinds = (str, float, int, int)
    print(json.dumps(main(*(kind(text) for kind, text in zip(kinds, given)))))
