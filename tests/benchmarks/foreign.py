"""What does a step of other people's simulators cost through our adapters? Milliseconds a step by number of entities.

A mosaik simulator that does nearly nothing is stepped by hand, in process and by command; an FMU of pythonfmu by
hand, with fmpy, and through the adapter. The ways alternate; each figure is the median of its steps. The last line
is JSON. Run it from the project's root: ``python -m tests.benchmarks.foreign``.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from pathlib import Path

import fmpy
from fmpy.simulation import instantiate_fmu

from cosim import Step
from cosim.adapters.fmu import Fmu
from cosim.adapters.mosaik_sim import InputAttribute, MosaikSimulator, OutputAttribute
from tests.support.fmus import IN_SI, build_tank, rewritten
from tests.support.mosaik_toys import Cells
from tests.support.paths import ROOT

N_STEPS = 100
COMMAND = {"cmd": "%(python)s -m tests.support.mosaik_toys %(addr)s", "cwd": str(ROOT)}


def medians(ways):
    """Let every way do one step in turn and return the median of each. [ms]"""
    walls = {name: [] for name in ways}
    for k in range(N_STEPS):
        for name, step in ways.items():
            began = time.perf_counter()
            step(k)
            walls[name].append(1e3 * (time.perf_counter() - began))
    return {name: round(statistics.median(wall), 4) for name, wall in walls.items()}


def mosaik_steps(n):
    """Measure steps of n entities with one input and one output each."""
    by_hand = Cells()
    by_hand.init("cells")
    eids = [by_hand.create(1, "Cell")[0]["eid"] for _ in range(n)]
    adapters = {
        name: MosaikSimulator(
            start,
            "Cell",
            {f"cell {i}": {} for i in range(n)},
            inputs={"x": InputAttribute("x", "1", default=1.0)},
            outputs={"y": OutputAttribute("y", "1", "end")},
            settings={"at": 10**9},
        )
        for name, start in (("in_process", "tests.support.mosaik_toys:Cells"), ("by_command", COMMAND))
    }

    def plain(k):
        # its step() is a generator, for requests to mosaik that are not made here
        list(by_hand.step(60 * k, {eid: {"x": {"x.a": 1.0}} for eid in eids}, 2**53))
        by_hand.get_data({eid: ["y"] for eid in eids})

    try:
        for adapter in adapters.values():
            adapter.open()
        return medians(
            {"by_hand": plain}
            | {name: lambda k, a=adapter: a.advance(Step(60.0 * k, 60.0)) for name, adapter in adapters.items()}
        )
    finally:
        for adapter in adapters.values():
            adapter.close()


def fmu_steps(n, path, folder):
    """Measure steps of n instances with one input and one output each."""
    description = fmpy.read_model_description(path)
    where = fmpy.extract(path, folder)
    reference = {variable.name: variable.valueReference for variable in description.modelVariables}
    slaves = [instantiate_fmu(where, description, "CoSimulation") for _ in range(n)]
    for slave in slaves:
        slave.setupExperiment(startTime=0.0)
        slave.enterInitializationMode()
        slave.exitInitializationMode()
    adapter = Fmu(path, [str(i) for i in range(n)], inputs={"heat": "heat"}, outputs={"temperature": "temperature"})
    adapter.open()
    adapter.heat.deliver(1000.0)

    def plain(k):
        for slave in slaves:
            slave.setReal([reference["heat"]], [1000.0])
            slave.doStep(60.0 * k, 60.0)
            slave.getReal([reference["temperature"]])

    try:
        return medians({"by_hand": plain, "adapter": lambda k: adapter.advance(Step(60.0 * k, 60.0))})
    finally:
        adapter.close()
        for slave in slaves:
            slave.terminate()
            slave.freeInstance()


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as name:
        path = rewritten(build_tank(Path(name) / "bare"), Path(name) / "units", IN_SI)
        figures = {
            "mosaik_ms_per_step": {n: mosaik_steps(n) for n in (1, 100, 1000)},
            "fmu_ms_per_step": {n: fmu_steps(n, path, str(Path(name) / f"{n}")) for n in (1, 100)},
        }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
