"""What does the traffic adapter cost over the bare ``sumo`` program? Bologna joined to its last vehicle, 60 s steps.

The adapter runs in a process of its own with every output read each exchange: per-edge emissions summed over every
second, junctions included, counts, and with ``--electric`` the energy and state of that share of the cars. The
program runs the same configuration and seed with nothing but its trips. Both ways to run SUMO are measured, the
adapter's own choice and libsumo, and the program with the memory that the adapter gives it, in
alternating order, start and imports included; wall and processor time of the whole process tree, medians. With
``--count`` the instructions of the program with and without the adapter's measurements. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from cosim.adapters.traffic.demand import electric_variant
from cosim.adapters.traffic.files import elements, read_configuration
from cosim.adapters.traffic.installation import sumo_environment, sumo_home
from cosim.adapters.traffic.session import PROGRAM_ENVIRONMENT, private_connection
from cosim.adapters.traffic.staging import stage
from tests.support.paths import BOLOGNA

ADAPTER = """
import sys
from pathlib import Path
from cosim.adapters.traffic import Traffic
from cosim.core import Step
sumocfg, folder, connection, seconds, electric = sys.argv[1:]
options = ("--end", seconds) if float(seconds) else ()
trips = Path(electric).read_text().split() if electric else ()
traffic = Traffic(sumocfg, seed=1, extra_options=options, connection=connection or None, electric=trips)
traffic.folder = Path(folder)
traffic.open()
now = 0.0
while not traffic.finished:
    traffic.advance(Step(now, 60.0))
    now += 60.0
traffic.close()
"""


def timed(command: list[str], environment: Mapping[str, str]) -> dict[str, float]:
    """Return the wall and processor time of a command. [s]"""
    before, start = os.times(), time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env=os.environ | environment)
    wall, after = time.perf_counter() - start, os.times()
    return {"wall": wall, "cpu": after[2] + after[3] - before[2] - before[3]}


def instructions(configuration: Path, seconds: int) -> int:
    """Return the instructions of the program until a time, start included, counted by valgrind."""
    program = [str(sumo_home() / "bin" / "sumo"), "-c", str(configuration), "--end", str(seconds)]
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", *program]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found = re.search(r"Collected : (\d+)", done.stderr)
    assert found, done.stderr
    return int(found[1])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", default="joined")
    parser.add_argument("--seconds", type=int, default=0, help="0: to the last vehicle")
    parser.add_argument("--electric", type=float, default=0.0, help="share of the trips whose energy is followed")
    parser.add_argument("--rounds", type=int, default=3, help="each runs all, the order alternates")
    parser.add_argument("--count", type=int, default=0, help="seconds whose instructions valgrind counts, if installed")
    args = parser.parse_args()
    sumocfg = BOLOGNA / args.part / "run.sumocfg"
    if not sumocfg.is_file():
        sys.exit(f"{sumocfg} is absent")
    os.environ |= sumo_environment()
    times: dict[str, list[dict[str, float]]] = {"adapter": [], "libsumo": [], "sumo": [], "tuned sumo": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        named = ""
        if args.electric:
            (folder / "variant").mkdir()
            routes = read_configuration(sumocfg).routes[0]
            trips = [e.attrib["id"] for _, e in elements(routes, ("end",)) if e.tag == "vehicle"]
            chosen = trips[:: round(1 / args.electric)]
            sumocfg = electric_variant(sumocfg, chosen, folder / "variant")
            (folder / "electric.txt").write_text("\n".join(chosen))
            named = str(folder / "electric.txt")
        end = ("--end", str(args.seconds)) if args.seconds else ()
        bare = folder / "bare"
        bare.mkdir()
        staged = stage(read_configuration(sumocfg, ("--seed", "1", *end)), bare)
        commands = {"sumo": [str(sumo_home() / "bin" / "sumo"), "-c", str(staged)]}
        commands["tuned sumo"] = commands["sumo"]
        for which, connection in (("adapter", ""), ("libsumo", "libsumo")):
            commands[which] = [
                sys.executable,
                "-c",
                ADAPTER,
                str(sumocfg),
                str(folder / which),
                connection,
                str(args.seconds),
                named,
            ]
        library = private_connection()
        tuned = PROGRAM_ENVIRONMENT | ({"LD_PRELOAD": str(library)} if library else {})
        for k in range(args.rounds):
            for which in sorted(commands, reverse=bool(k % 2)):
                setting = tuned if which == "tuned sumo" else {}
                times[which].append(timed(commands[which], setting))
                print(which, times[which][-1], flush=True)
        counted: dict[str, float] = {}
        if args.count and shutil.which("valgrind"):
            for which, configuration in (("bare", staged), ("measured", folder / "adapter" / "run.sumocfg")):
                counted[which] = instructions(configuration, args.count)
            counted = {"instructions_over_bare_sumo": round(counted["measured"] / counted["bare"], 3)}
    wall, cpu = ({n: statistics.median(t[what] for t in runs) for n, runs in times.items()} for what in ("wall", "cpu"))
    span = f"{args.seconds} s" if args.seconds else "to the last vehicle"
    print(
        json.dumps(
            {
                "case": f"bologna {args.part}, {span}, exchange 60 s, {args.electric:g} electric, {args.rounds} rounds",
                "adapter_s": round(wall["adapter"], 2),
                "bare_sumo_s": round(wall["sumo"], 2),
                "ratio_to_bare_sumo": round(wall["adapter"] / wall["sumo"], 3),
                "ratio_of_processor_time": round(cpu["adapter"] / cpu["sumo"], 3),
                "tuned_sumo_ratio_of_processor_time": round(cpu["tuned sumo"] / cpu["sumo"], 3),
                "libsumo_ratio_to_bare_sumo": round(wall["libsumo"] / wall["sumo"], 3),
                "libsumo_ratio_of_processor_time": round(cpu["libsumo"] / cpu["sumo"], 3),
                **counted,
            }
        )
    )


if __name__ == "__main__":
    main()
