"""What does it cost the traffic to follow thousands of electric trips? Bologna joined, the first half hour.

In every run all cars have a battery, and none, a tenth or all of them are followed with their energy and state each
minute. Processor time of the adapter in this process, in alternating order, medians. The last line is JSON.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cosim.adapters.traffic import Traffic
from cosim.adapters.traffic.demand import electric_variant
from cosim.adapters.traffic.files import elements, read_configuration
from cosim.core import Step
from tests.support.paths import BOLOGNA

JOINED = BOLOGNA / "joined" / "run.sumocfg"
SECONDS, STEP_S, ROUNDS = 1_800, 60.0, 3


def follow(sumocfg: Path, trips: list[str], folder: Path) -> dict[str, float]:
    """Run the half hour and return processor time and what was followed."""
    traffic = Traffic(sumocfg, seed=1, electric=trips, extra_options=("--end", str(SECONDS)))
    traffic.folder = folder
    traffic.open()
    begin = time.process_time()
    for k in range(round(SECONDS / STEP_S)):
        traffic.advance(Step(k * STEP_S, STEP_S))
    took = time.process_time() - begin
    begun = int((traffic.trip_state.value > 0).sum())
    traffic.close()
    return {"s": took, "trips": len(trips), "begun": begun}


def main() -> None:
    """Measure and print."""
    if len(sys.argv) > 1:  # one run in a process of its own: libsumo simulates once a process
        sumocfg, names, every = Path(sys.argv[1]), Path(sys.argv[2]).read_text().split(), int(sys.argv[3])
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(follow(sumocfg, names[::every] if every else [], Path(folder))))
        return
    if not JOINED.is_file():
        sys.exit(f"{JOINED} is absent")
    found: dict[int, list[dict[str, float]]] = {0: [], 10: [], 1: []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        routes = read_configuration(JOINED).routes[0]
        trips = [e.attrib["id"] for _, e in elements(routes, ("end",)) if e.tag == "vehicle"]
        variant = electric_variant(JOINED, trips, folder / "variant")
        (folder / "trips.txt").write_text("\n".join(trips))
        for k in range(ROUNDS):
            for every in list(found)[:: 1 if k % 2 else -1]:
                command = [sys.executable, __file__, str(variant), str(folder / "trips.txt"), str(every)]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                found[every].append(json.loads(done.stdout.splitlines()[-1]))
    seconds = {every: statistics.median(run["s"] for run in runs) for every, runs in found.items()}
    print(
        json.dumps(
            {
                "case": f"bologna joined, {SECONDS} s, exchange {STEP_S:g} s, {ROUNDS} rounds",
                "followed": {str(runs[0]["trips"]): runs[0]["begun"] for runs in found.values()},
                "processor_s": {str(runs[0]["trips"]): round(seconds[every], 2) for every, runs in found.items()},
                "ratio_of_all_to_none": round(seconds[1] / seconds[0], 3),
            }
        )
    )


if __name__ == "__main__":
    main()
