"""What do 30 km/h and a closed cell do to Bologna's morning peak? One JSON line, beside the published evidence.

``python tests/benchmarks/bologna_policies.py [joined|acosta] [hours] [seeds]`` simulates the traffic of the scenario of
that name in ../shared/data/bologna.
"""

import json
import statistics
import sys
import tempfile
from pathlib import Path

from cosim import Clock, Scenario
from cosim.adapters.traffic import Traffic
from cosim.scenarios.measures import Measures, always
from cosim.scenarios.policies.cells import find_cells
from cosim.scenarios.streets import drivable, read_net

DATA = Path(__file__).parents[3] / "shared" / "data" / "bologna"
BLOCKS = 4
"""Blocks of the cell that is closed to through traffic."""


def run(name, measures, hours, seed, out):
    """Return the result of one run of the traffic."""
    traffic = Traffic(DATA / name / "run.sumocfg", seed=seed, permission_classes=measures.permission_classes)
    scenario = Scenario(Clock("2025-01-15T08:00", hours=hours, step_s=60, zone="Europe/Rome"), traffic=traffic)
    measures.apply(scenario)
    return scenario.run(out)


def measures_of(name):
    """Return the measures by name, and the cell that is closed."""
    net = read_net(DATA / name / f"{name}_buslanes.net.xml")
    limits = {e.getID(): e.getSpeed() for e in drivable(net)}
    slow = {edge: always(30 / 3.6) for edge, now in limits.items() if 30 / 3.6 + 0.05 < now <= 50 / 3.6 + 0.05}
    cell = find_cells(net, blocks_per_cell=BLOCKS, cells=1)[0]
    closed = {f"{edge}|{kind}": always(0.0) for edge in cell.interior for kind in ("passenger", "ignoring")}
    cases = {
        "base": Measures(),
        "30 km/h": Measures().tell("traffic.speed_limit", slow),
        "closed cell": Measures(permission_classes=("passenger", "ignoring")).tell("traffic.permission", closed),
    }
    return cases, cell


def main(name="joined", hours=1.0, seeds=1):
    """Print speed, CO2 and where the traffic of the cell went."""
    cases, cell = measures_of(name)
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        for case, measures in cases.items():
            found = []
            for seed in range(seeds):
                result = run(name, measures, hours, seed, Path(folder) / f"{case.split()[0]} {seed}")
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
    kinds = (str, float, int)
    print(json.dumps(main(*(kind(text) for kind, text in zip(kinds, given)))))
