"""Is the charging energy of a day what SUMO says it is? The Eixample's default day against the bare binary.

Runs the twin, then the ``sumo`` binary on the same files and seed with its charging-station output. The last line is
JSON, with wall time of the traffic adapter beside.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path

import defusedxml.ElementTree

from cosim.scenarios import eixample
from cosim.scenarios.streets import sumo_binary, sumo_home

J_PER_KWH = 3.6e6


def main() -> None:
    """Measure and print."""
    scenario = eixample.build()
    efficiency = scenario.model.chargers["efficiency"]
    with tempfile.TemporaryDirectory() as name:
        result = scenario.run(Path(name) / "run", double=True)
        ours = result.integral("traffic.charging_power") / J_PER_KWH
        written = Path(name) / "charged.xml"
        environment = os.environ | {"SUMO_HOME": str(sumo_home()), "PROJ_DATA": str(sumo_home() / "data" / "proj")}
        subprocess.run(
            [sumo_binary("sumo"), "-c", scenario.model.sumocfg, "--seed", "0", "--end", "86400", "--precision", "6",
             "--chargingstations-output", written],
            check=True, capture_output=True, env=environment,
        )  # fmt: skip
        theirs = {
            station.get("id"): float(station.get("totalEnergyCharged")) / efficiency[station.get("id")] / 1000
            for station in defusedxml.ElementTree.parse(written).getroot().iter("chargingStation")
        }
    worst = max(abs(ours[station] - theirs.get(station, 0.0)) for station in ours.index)
    print(
        json.dumps(
            {
                "case": "eixample 4 × 4 blocks, 24 h, seed 0",
                "charging_kwh": round(float(ours.sum()), 4),
                "sumo_kwh": round(sum(theirs.values()), 4),
                "worst_station_wh": round(worst * 1000, 3),
                "traffic_s": result.provenance["wall_s"]["traffic"],
            }
        )
    )


if __name__ == "__main__":
    main()
