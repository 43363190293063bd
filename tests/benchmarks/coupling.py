"""What does coupling cost? The coupled run of Bologna joined with 1,000 buildings against the bare ``sumo`` binary.

The twin `bologna` and the bare binary run on the same configuration and seed, in both orders, and medians are reported;
building the scenario and importing packages are not part of the run. Three more measurements: the same scenario with
every adapter in the engine's own process and thread, and through plain mosaik with one scalar entity per element, over
a window; what the engine itself costs a step, by a chain of two adapters that do nothing but copy a vector; and what
recording costs. A last run is killed and resumed, and its bytes are compared. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from cosim import Adapter, Clock, Input, Output, Scenario
from cosim.adapters.traffic.files import read_configuration
from cosim.adapters.traffic.installation import sumo_binary, sumo_environment
from cosim.adapters.traffic.staging import stage
from cosim.scenarios import bologna
from tests.support.paths import BOLOGNA, ROOT

SUMOCFG = BOLOGNA / "joined" / "run.sumocfg"
SEED = 1


class Copy(Adapter):
    """Publishes what it receives."""

    def __init__(self, n: int) -> None:
        self.received = Input("W", range(n), default=1.0)
        self.published = Output("W", range(n), "mean")

    def advance(self, step) -> None:
        self.published.value = self.received.value


def exchange_ms(n: int) -> float:
    """Return the wall time of one step of a chain of two adapters and one connection of n elements. [ms]"""
    steps = 600
    scenario = Scenario(Clock("2025-01-15", hours=steps / 60), first=Copy(n), second=Copy(n))
    scenario.connect("first.published", "second.received")
    scenario.record()
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        scenario.run(Path(folder) / "run")
        return (time.perf_counter() - began) / steps * 1e3


def twin(hours: float | None) -> Scenario:
    """Build the twin."""
    return bologna.build(sumocfg=SUMOCFG, seed=SEED, buildings=1000, hours=hours, grid_step_s=60.0)


def coupled(folder: Path, hours: float | None) -> dict[str, float]:
    """Run the twin as it is by default; return wall and processor times. [s]"""
    return _timed(twin(hours), folder)


def in_process(folder: Path, hours: float | None) -> dict[str, float]:
    """Run the twin in one process and thread; return wall times. [s]"""
    scenario = twin(hours)
    scenario.place(**dict.fromkeys(scenario.adapters, "inline"))
    return _timed(scenario, folder)


def _cpu_s() -> float:
    """Return the processor time of this process and of its children that have ended. [s]"""
    return sum(os.times()[:4])


def _timed(scenario: Scenario, folder: Path) -> dict[str, float]:
    began, cpu = time.perf_counter(), _cpu_s()
    about = scenario.run(folder).provenance
    wall = time.perf_counter() - began
    return {
        "run": wall,
        "cpu": _cpu_s() - cpu,
        **about["wall_s"],
        **{f"recording {k}": v for k, v in about["recording_s"].items()},
    }


def plain_mosaik(folder: Path, hours: float | None) -> dict[str, float]:
    """Run the twin's adapters in a plain mosaik world, element by element; return wall times. [s]"""
    import mosaik
    from mosaik.starters import PythonStarter

    from cosim import as_mosaik

    scenario = twin(hours)
    step_s = scenario.clock.step_s
    began, cpu = time.perf_counter(), _cpu_s()
    world = mosaik.World({}, cache=False)
    elements = {}
    for name, adapter in scenario.adapters.items():
        simulator = world.start(PythonStarter(as_mosaik(adapter)), sim_id=name, step_s=step_s * scenario.steps[name])
        whole = simulator.Vector()
        elements[name] = {child.eid: child for child in whole.children}
    for c in scenario.connections:
        source = scenario.adapters[c.source].__dict__[c.output]
        target = scenario.adapters[c.target].__dict__[c.input]
        if c.mapping.matrix is None:
            pairs = [(label, label) for label in target.labels]
        else:
            entries = c.mapping.matrix.tocoo()
            pairs = [(source.labels[j], target.labels[i]) for i, j in zip(*entries.coords, strict=True)]
        for one, other in pairs:
            late = {"time_shifted": c.delay * round(step_s), "initial_data": {c.output: 0.0}} if c.delay else {}
            world.connect(elements[c.source][one], elements[c.target][other], (c.output, c.input), **late)
    world.run(until=round((hours or 1.0) * 3600), print_progress=False)
    return {"run": time.perf_counter() - began, "cpu": _cpu_s() - cpu}


def bare(folder: Path, hours: float | None) -> dict[str, float]:
    """Run the binary; return its wall time. [s]"""
    options = ("--seed", str(SEED), *(("--end", str(hours * 3600)) if hours else ()))
    folder.mkdir()
    staged = stage(read_configuration(SUMOCFG, options), folder)
    environment = sumo_environment()
    began, cpu = time.perf_counter(), _cpu_s()
    subprocess.run([sumo_binary("sumo"), "-c", staged], check=True, capture_output=True, env=environment)
    return {"run": time.perf_counter() - began, "cpu": _cpu_s() - cpu}


PARTS = {f.__name__: f for f in (coupled, in_process, plain_mosaik, bare)}


def measured(part: str, hours: float | None) -> dict[str, float]:
    """Measure one part in a process of its own: libsumo allows one simulation there."""
    with tempfile.TemporaryDirectory() as place:
        command = [sys.executable, "-m", "tests.benchmarks.coupling", "--part", part, "--folder", f"{place}/run"]
        command += ["--hours", str(hours)] if hours else []
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        sys.exit(f"{part} failed:\n{done.stdout}{done.stderr}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    print(part, {name: round(found[name], 2) for name in ("run", "cpu")}, flush=True)
    return found


def resume_equal() -> bool:
    """Kill a run of Bologna acosta, resume it, and tell whether its bytes are those of an uninterrupted run."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        cosim = [sys.executable, "-c", "from cosim.cli.app import main; main()"]
        settings = [
            "--set",
            f"sumocfg={SUMOCFG.parents[1] / 'acosta' / 'run.sumocfg'}",
            "--set",
            "hours=2",
            "--no-report",
            "--checkpoint-every",
            "1h",
        ]
        quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": place}
        subprocess.run([*cosim, "run", "bologna", *settings, "--out", "whole"], check=True, **quiet)
        run = subprocess.Popen([*cosim, "run", "bologna", *settings, "--out", "run"], **quiet)
        while not (place / "run" / "checkpoints" / "60").exists() and run.poll() is None:
            time.sleep(0.01)
        run.send_signal(signal.SIGKILL)
        run.wait()
        subprocess.run([*cosim, "resume", "run", "--no-report"], check=True, **quiet)
        whole, resumed = (
            {p.relative_to(place / f): p.read_bytes() for p in sorted((place / f).rglob("*.parquet"))}
            for f in ("whole", "run")
        )
        return whole == resumed


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="each runs both, the order alternates")
    parser.add_argument("--hours", type=float, default=None, help="of the configuration; all of it by default")
    parser.add_argument("--rival-hours", type=float, default=0.5, help="window of the comparison with the rivals")
    parser.add_argument("--part", choices=PARTS, help="measure this alone, in this process")
    parser.add_argument("--folder", type=Path)
    args = parser.parse_args()
    if not SUMOCFG.is_file():
        sys.exit(f"{SUMOCFG} is absent")
    if args.part:
        print(json.dumps(PARTS[args.part](args.folder, args.hours)))
        return
    runs: dict[str, list[dict[str, float]]] = {"bare": [], "coupled": []}
    for k in range(args.rounds):
        for part in ("coupled", "bare") if k % 2 else ("bare", "coupled"):
            runs[part].append(measured(part, args.hours))
    median = {
        part: {key: float(np.median([one[key] for one in found])) for key in found[0]} for part, found in runs.items()
    }
    ours, theirs = median["coupled"], median["bare"]["run"]
    window = {part: measured(part, args.rival_hours)["run"] for part in ("coupled", "in_process", "plain_mosaik")}
    per_step = {str(n): round(statistics.median(exchange_ms(n) for _ in range(3)), 3) for n in (1000, 10_000, 100_000)}
    print(
        json.dumps(
            {
                "case": f"bologna joined, 1000 buildings, 60 s exchange, all adapters, {args.rounds} rounds",
                "ratio_to_slowest": round(ours["run"] / theirs, 3),
                "ratio_of_processor_time": round(ours["cpu"] / median["bare"]["cpu"], 3),
                "coupled_s": round(ours["run"], 2),
                "bare_sumo_s": round(theirs, 2),
                "adapter_s": {
                    k: round(v, 2) for k, v in ours.items() if k not in ("run", "cpu") and not k.startswith("recording")
                },
                "coupling_ms_per_step": per_step,
                "recording_share": round(ours["recording waited"] / ours["run"], 4),
                "recording_writer_share": round(ours["recording writer"] / ours["run"], 4),
                "rivals_over_coupled": {
                    part: round(window[part] / window["coupled"], 2) for part in ("in_process", "plain_mosaik")
                },
                "resume_equal": resume_equal(),
            }
        )
    )


if __name__ == "__main__":
    main()
