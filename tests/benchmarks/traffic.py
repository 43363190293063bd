"""What does the traffic adapter cost over the bare ``sumo`` program? Bologna joined, first hour, 60 s exchange.

The adapter runs in a spawned process with every output read each exchange; the program runs the same configuration
and seed with nothing but its trips. Both orders, medians; the last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import sumo

BOLOGNA = Path(__file__).parents[3] / "shared" / "data" / "bologna"
ADAPTER = """
import sys
from cosim.adapters.traffic import Traffic
from cosim.core import Step
from pathlib import Path
traffic = Traffic(sys.argv[1], seed=1, extra_options=("--end", sys.argv[3]))
traffic.folder = Path(sys.argv[2])
traffic.open()
for k in range(int(sys.argv[3]) // 60):
    traffic.advance(Step(60.0 * k, 60.0))
traffic.close()
"""


def timed(command: list[str]) -> dict[str, float]:
    """Return the wall and processor time of a command. [s]"""
    before, start = os.times(), time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    wall, after = time.perf_counter() - start, os.times()
    return {"wall": wall, "cpu": after[2] + after[3] - before[2] - before[3]}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", default="joined")
    parser.add_argument("--seconds", type=int, default=3600)
    parser.add_argument("--rounds", type=int, default=3, help="each runs both, the order alternates")
    args = parser.parse_args()
    sumocfg = BOLOGNA / args.part / "run.sumocfg"
    if not sumocfg.is_file():
        sys.exit(f"{sumocfg} is absent")
    os.environ |= {"SUMO_HOME": sumo.SUMO_HOME, "PROJ_DATA": str(Path(sumo.SUMO_HOME) / "data" / "proj")}
    times: dict[str, list[dict[str, float]]] = {"adapter": [], "sumo": []}
    with tempfile.TemporaryDirectory() as folder:
        from cosim.adapters.sumo_files import read_configuration, stage

        bare = Path(folder, "bare")
        bare.mkdir()
        staged = stage(read_configuration(sumocfg, ("--end", str(args.seconds), "--seed", "1")), bare)
        commands = {
            "adapter": [sys.executable, "-c", ADAPTER, str(sumocfg), str(Path(folder, "ours")), str(args.seconds)],
            "sumo": [str(Path(sumo.SUMO_HOME, "bin", "sumo")), "-c", str(staged)],
        }
        for k in range(args.rounds):
            for name in sorted(commands, reverse=bool(k % 2)):
                times[name].append(timed(commands[name]))
                print(name, times[name][-1], flush=True)
    wall, cpu = ({n: statistics.median(t[what] for t in runs) for n, runs in times.items()} for what in ("wall", "cpu"))
    print(json.dumps({
        "case": f"bologna {args.part}, {args.seconds} s, exchange 60 s, {args.rounds} rounds",
        "adapter_s": round(wall["adapter"], 2), "bare_sumo_s": round(wall["sumo"], 2),
        "ratio_to_bare_sumo": round(wall["adapter"] / wall["sumo"], 3),
        "ratio_of_processor_time": round(cpu["adapter"] / cpu["sumo"], 3),
    }))  # fmt: skip


if __name__ == "__main__":
    main()
