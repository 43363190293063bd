"""What does coupling cost? The coupled run of Bologna joined with 1,000 buildings against the bare ``sumo`` binary.

Two measurements. The first runs the twin `bologna` (60 s exchange, grid at 300 s) and the bare binary on the same
configuration and seed, in both orders, and reports medians; building the scenario and importing packages are not part
of the run and are stated apart. The second is what the engine itself costs a step: a chain of two adapters that do
nothing but copy a vector. The last line is JSON.
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

import numpy as np

from cosim import Adapter, Clock, Input, Output, Scenario
from cosim.adapters.sumo_files import read_configuration, stage
from cosim.scenarios import bologna
from cosim.scenarios.streets import sumo_binary, sumo_home

SUMOCFG = Path(__file__).parents[3] / "shared" / "data" / "bologna" / "joined" / "run.sumocfg"
SEED = 1


class Copy(Adapter):
    """Says what it hears."""

    def __init__(self, n: int) -> None:
        self.heard = Input("W", range(n), default=1.0)
        self.said = Output("W", range(n), "mean")

    def advance(self, step) -> None:
        self.said.value = self.heard.value


def exchange_ms(n: int) -> float:
    """Return the wall time of one step of a chain of two adapters and one connection of n elements. [ms]"""
    steps = 600
    scenario = Scenario(Clock("2025-01-15", hours=steps / 60), first=Copy(n), second=Copy(n))
    scenario.connect("first.said", "second.heard")
    scenario.record()
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        scenario.run(Path(folder) / "run")
        return (time.perf_counter() - began) / steps * 1e3


def coupled(folder: Path, hours: float | None) -> tuple[float, dict[str, float]]:
    """Run the twin; return the wall time of the run and of each adapter. [s]"""
    scenario = bologna.build(sumocfg=SUMOCFG, seed=SEED, buildings=1000, hours=hours)
    began = time.perf_counter()
    result = scenario.run(folder)
    return time.perf_counter() - began, result.provenance["wall_s"]


def bare(folder: Path, hours: float | None) -> float:
    """Run the binary; return its wall time. [s]"""
    options = ("--seed", str(SEED), *(("--end", str(hours * 3600)) if hours else ()))
    folder.mkdir()
    staged = stage(read_configuration(SUMOCFG, options), folder)
    environment = os.environ | {"SUMO_HOME": str(sumo_home()), "PROJ_DATA": str(sumo_home() / "data" / "proj")}
    began = time.perf_counter()
    subprocess.run([sumo_binary("sumo"), "-c", staged], check=True, capture_output=True, env=environment)
    return time.perf_counter() - began


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=2, help="each runs both, the order alternates")
    parser.add_argument("--hours", type=float, default=None, help="of the configuration; all of it by default")
    args = parser.parse_args()
    if not SUMOCFG.is_file():
        sys.exit(f"{SUMOCFG} is absent")
    ours, theirs, adapters = [], [], []
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        for k in range(args.rounds):
            for which in ("coupled", "bare") if k % 2 else ("bare", "coupled"):
                if which == "bare":
                    theirs.append(bare(place / f"bare-{k}", args.hours))
                else:
                    wall, parts = coupled(place / f"coupled-{k}", args.hours)
                    ours.append(wall)
                    adapters.append(parts)
                print(which, (theirs if which == "bare" else ours)[-1], flush=True)
    per_step = {str(n): round(statistics.median(exchange_ms(n) for _ in range(3)), 3) for n in (1000, 10_000, 100_000)}
    print(
        json.dumps(
            {
                "case": f"bologna joined, 1000 buildings, 60 s exchange, grid at 300 s, {args.rounds} rounds",
                "ratio_to_slowest": round(statistics.median(ours) / statistics.median(theirs), 3),
                "coupled_s": round(statistics.median(ours), 2),
                "bare_sumo_s": round(statistics.median(theirs), 2),
                "adapter_s": {key: round(float(np.median([a[key] for a in adapters])), 2) for key in adapters[0]},
                "coupling_ms_per_step": per_step,
            }
        )
    )


if __name__ == "__main__":
    main()
