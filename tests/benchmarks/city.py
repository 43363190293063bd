"""What does a city of a size cost? Building it, building it again, opening it from its folder, a day, and its report.

``python -m tests.benchmarks.city --blocks 16`` draws 16 × 16 blocks with 24 buildings each. Every stage has a process
of its own, whose times and largest memory are told. The build has an empty cache, which building again then opens;
the mesoscopic day is run beside SUMO's own program on its files, in both orders. The last line is JSON; ``--begin`` and
``--hours`` cut a part out of the day, ``--stages build,again`` leaves the folder and the run out. 64 × 64 blocks are as
large as Barcelona: residents and visitors alone make 2.1 million trips there, and the through traffic that the small
district has instead of a city around it is left out unless ``--through`` asks for it.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.support.paths import ROOT

BUILDINGS_PER_BLOCK = 24


def stage(name: str, *arguments: object) -> dict[str, Any]:
    """Run a stage in a process of its own and return what it found."""
    command = [sys.executable, "-m", "tests.benchmarks.city", "--stage", name, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def timed(began: float, cpu: float) -> dict[str, float]:
    """Return wall time, processor time of this process and its children [s], and the largest memory [GB]."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return {
        "wall_s": round(time.perf_counter() - began, 2),
        "cpu_s": round(sum(u.ru_utime + u.ru_stime for u in used) - cpu, 2),
        "peak_gb": round(max(u.ru_maxrss for u in used) / 1e6, 3),
    }


def build(**given: Any) -> dict[str, Any]:
    """Import and build a district."""
    began = time.perf_counter()
    from cosim.scenarios import eixample

    imported = time.perf_counter()
    eixample.build(**given)
    return {"import_s": round(imported - began, 2), **timed(began, 0.0)}


def reopen(folder: str) -> dict[str, Any]:
    """Open a city from its folder."""
    began = time.perf_counter()
    from cosim.scenarios.places import twin

    twin.build(city=folder)
    return timed(began, 0.0)


def run(out: str, **given: Any) -> dict[str, Any]:
    """Run a district between two runs of SUMO's program on its files, and write its report."""
    from cosim.adapters.traffic import Traffic
    from cosim.adapters.traffic.installation import sumo_binary, sumo_environment
    from cosim.report import write_report
    from cosim.scenarios import eixample

    scenario = eixample.build(**given)
    traffic = next(a for a in scenario.adapters.values() if isinstance(a, Traffic))
    configuration = traffic.configuration
    end_s = configuration.begin_s + given["hours"] * 3600
    command = [str(sumo_binary("sumo")), "-c", str(configuration.path), "--no-step-log", "--end", f"{end_s:.0f}"]
    command += ["--mesosim", "true", "--meso-junction-control", "true", "--no-warnings"]

    def bare_s() -> float:
        began = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=sumo_environment())
        return time.perf_counter() - began

    bare = [bare_s()]
    began, cpu = time.perf_counter(), sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    result = scenario.run(out)
    found = timed(began, cpu)
    bare.append(bare_s())
    began = time.perf_counter()
    page = write_report(result)
    vehicles = float(result.series("traffic.inserted").iloc[-1, 0])
    return found | {
        "bare_sumo_s": round(statistics.mean(bare), 2),
        "run_over_bare_sumo": round(found["wall_s"] / statistics.mean(bare), 3),
        "in_simulators_s": {name: round(s, 2) for name, s in result.provenance["wall_s"].items()},
        "vehicles": vehicles,
        "report_s": round(time.perf_counter() - began, 2),
        "report_mb": round(page.stat().st_size / 1e6, 2),
    }


def compared(before: Path, rounds: int = 3) -> dict[str, Any]:
    """Return medians of importing and building the default district before and now, and their ratios."""
    command = [sys.executable, "-c", "from cosim.scenarios import eixample; eixample.build()"]
    found: dict[str, list[float]] = {}
    for k in range(rounds):
        for state, folder in (("before", before), ("now", ROOT))[:: 1 if k % 2 else -1]:
            with tempfile.TemporaryDirectory() as cache:
                for name in ("first", "again"):
                    began, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
                    environment = os.environ | {"PYTHONPATH": str(folder), "XDG_CACHE_HOME": cache, "COSIM_BUILT": ""}
                    subprocess.run(command, cwd=cache, env=environment, check=True)
                    now = resource.getrusage(resource.RUSAGE_CHILDREN)
                    cpu_s = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
                    found.setdefault(f"{name}_{state}_wall_s", []).append(time.perf_counter() - began)
                    found.setdefault(f"{name}_{state}_cpu_s", []).append(cpu_s)
    medians = {name: round(statistics.median(values), 2) for name, values in found.items()}
    return medians | {
        f"{name}_over_before": round(medians[f"{name}_now_cpu_s"] / medians[f"{name}_before_cpu_s"], 3)
        for name in ("first", "again")
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--blocks", type=int, default=16)
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--begin", type=float, default=0.0)
    parser.add_argument("--through", type=float, default=0.0)
    parser.add_argument("--stages", default="build,again,reopen,run")
    parser.add_argument("--stage")
    parser.add_argument("--folder", default="")
    parser.add_argument("--before", type=Path)
    given = parser.parse_args()
    if given.before:
        print(json.dumps(compared(given.before.resolve())))
        return
    if given.stage:
        district = {
            "blocks": (given.blocks, given.blocks),
            "fidelity": "meso",
            "hours": given.hours,
            "begin_hour": given.begin,
            "through_traffic": given.through,
        }
        alone = {
            "build": lambda: build(**district),
            "reopen": lambda: reopen(given.folder),
            "run": lambda: run(given.folder, **district),
        }
        print(json.dumps(alone[given.stage]()))
        return
    size = ("--blocks", given.blocks, "--hours", given.hours, "--begin", given.begin, "--through", given.through)
    stages = given.stages.split(",")
    found: dict[str, Any] = {"blocks": given.blocks, "buildings": BUILDINGS_PER_BLOCK * given.blocks**2}
    with tempfile.TemporaryDirectory() as name:
        os.environ |= {"XDG_CACHE_HOME": name, "COSIM_BUILT": ""}
        if "build" in stages:
            found["build"] = stage("build", *size)
            found["ms_per_building"] = round(1e3 * found["build"]["cpu_s"] / found["buildings"], 2)
        if "again" in stages:
            found["again"] = stage("build", *size)
        if "reopen" in stages:
            city = Path(name) / "city"
            command = [sys.executable, "-m", "cosim", "city", "make", "--generate", "eixample", "--out", str(city)]
            began = time.perf_counter()
            subprocess.run(
                [*command, "--blocks", f"{given.blocks},{given.blocks}"], check=True, stdout=subprocess.DEVNULL
            )
            found["make_s"] = round(time.perf_counter() - began, 2)
            found["reopen"] = stage("reopen", "--folder", city)
        if "run" in stages:
            found["run"] = stage("run", *size, "--folder", Path(name) / "out")
    parts = {name: part for name, part in found.items() if isinstance(part, dict)}
    found |= {f"{name}_s": part["wall_s"] for name, part in parts.items()}
    found |= {name: parts["run"][name] for name in ("run_over_bare_sumo", "report_mb") if "run" in parts}
    print(json.dumps(found | {"peak_gb": max(part["peak_gb"] for part in parts.values())}))


if __name__ == "__main__":
    main()
