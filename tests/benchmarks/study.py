"""What does a study cost beyond its runs? Two workers against one, overhead per run, resuming what is finished.

The runs are a toy's of an hour, made longer by arithmetic (which needs a core) or by sleeping (which needs none): the
first tells what two cores give, the second what the engine takes, also where other processes have the cores. A time per
run is the difference between a study of 2 N and one of N runs, over N: what is paid once, the start of servers and of
Dask, is told apart. Orders alternate; medians. The last line is JSON.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from cosim import Adapter, Clock, Indicator, Output, Result, Scenario, Study
from cosim.study.jobs.records import RunFolder

N, ROUNDS, LENGTH_S = 8, 3, 1.0
N_FINISHED = 1000
N_INDICATORS = 30
"""As many as a city has."""


class Noise(Adapter):
    """Says keyed random powers."""

    replays = True

    def __init__(self, seed: int) -> None:
        self.power = Output("W", [f"element {k}" for k in range(100)], kind="mean")
        self.seed = seed

    def advance(self, step) -> None:
        self.power.value = np.random.default_rng([self.seed, round(step.start_s)]).normal(size=100)


def indicators(result: Result) -> dict[str, Indicator]:
    """Return a total under many names."""
    total = float(result.integral("noise.power").sum())
    return {f"indicator {k}": Indicator(total + k, "J", "lower", "a line on what it is") for k in range(N_INDICATORS)}


def build(x: float = 0.0, work: str = "none", seed: int = 0) -> Scenario:
    """Build a toy; take a second about it where asked."""
    end = time.process_time() + LENGTH_S
    while work == "arithmetic" and time.process_time() < end:
        sum(range(1000))
    if work == "sleep":
        time.sleep(LENGTH_S)
    return Scenario(Clock("2025-01-15", hours=1), indicators=indicators, noise=Noise(seed))


def seconds(folder: Path, work: str, workers: int, n: int) -> float:
    """Return how long a study of n runs takes, from its making to its table."""
    began = time.perf_counter()
    study = Study(build, x=[float(k) for k in range(n)], work=work, out=folder / f"{work}-{workers}-{n}-{began}")
    assert len(study.run(workers=workers)) == n
    return time.perf_counter() - began


def per_run(folder: Path, work: str, workers: int) -> tuple[float, float]:
    """Return seconds per run, and seconds paid once."""
    once, twice = (seconds(folder, work, workers, n) for n in (N, 2 * N))
    return (twice - once) / N, 2 * once - twice


def efficiency(folder: Path, work: str) -> float:
    """Return the throughput of two workers over twice that of one."""
    ratios = []
    for k in range(ROUNDS):
        took = {workers: per_run(folder, work, workers)[0] for workers in ((1, 2), (2, 1))[k % 2]}
        ratios.append(took[1] / (2 * took[2]))
    return statistics.median(ratios)


def overhead(folder: Path) -> tuple[float, float, float]:
    """Return seconds of a run in a study, of the bare run in a process that has imported everything, and paid once."""
    bare, in_study, start = [], [], []
    for k in range(ROUNDS):
        for n in range(N):
            began = time.perf_counter()
            build(float(n)).run(folder / f"bare-{k}-{n}")
            bare.append(time.perf_counter() - began)
        one, once = per_run(folder, "none", 1)
        in_study.append(one)
        start.append(once)
    return statistics.median(in_study), statistics.median(bare), statistics.median(start)


def resume(folder: Path) -> tuple[float, float]:
    """Return seconds to find a study of many runs finished: by Python, and by the command with imports and page."""
    points = [float(k) for k in range(N_FINISHED)]
    one = Study(build, x=[0.0], out=folder / "one")
    one.run()
    (marker,) = (one.run_folder(key).done() for key in one.states())
    assert marker is not None
    target = f"{Path(__file__).resolve()}:build"
    many = Study(target, x=points, out=folder / "many")
    for key in many.states():
        path = many.run_folder(key).path
        path.mkdir(parents=True)
        RunFolder(path).mark_done(marker)
    script = folder / "finished.py"
    script.write_text(
        f"from cosim import Study\nstudy = Study({target!r}, x=[float(k) for k in range({N_FINISHED})], out='many')\n"
    )
    in_python, by_command = [], []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        assert len(Study(target, x=points, out=folder / "many").run(resume=True)) == N_FINISHED
        in_python.append(time.perf_counter() - began)
    (many.folder / "study.json").unlink()  # the folder becomes that of the script
    for _ in range(ROUNDS):
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, "-c", "from cosim.cli.app import main; main()", "study", script, "--resume"],
            cwd=folder,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        by_command.append(time.perf_counter() - began)
    return statistics.median(in_python), statistics.median(by_command)


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        seconds(folder, "none", 2, 2)  # imports Dask
        in_study, bare, start = overhead(folder)
        in_python, by_command = resume(folder)
        found = {
            "efficiency_2_workers": round(efficiency(folder, "arithmetic"), 3),
            "efficiency_2_workers_sleeping": round(efficiency(folder, "sleep"), 3),
            "overhead_s_per_run": round(in_study - bare, 3),
            "run_s": round(in_study, 3),
            "bare_run_s": round(bare, 3),
            "start_s": round(start, 2),
            "resume_s": round(in_python, 3),
            "resume_command_s": round(by_command, 2),
            "finished_runs": N_FINISHED,
        }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
