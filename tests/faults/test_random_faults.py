"""Runs with random faults, each of which must end, name the cause and keep what was recorded."""

import os
import random
import re
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from cosim import Result
from tests.faults.test_faults import children_of
from tests.support.paths import ROOT

RUNS = 30
SCENARIO = '''
"""Three adapters, one of which does something wrong at a given time."""
from cosim import Clock, Scenario
from tests.support.toys import Echo, Fault, Source, Tank


def build(*, seed: int = 0, fault: str = "", at_s: float = 0.0, placement: str = "inline", slow_s: float = 0.0):
    scenario = Scenario(
        Clock("2025-01-15", hours=6), steps={"tank": 120},
        fault=Fault(fault, at_s=at_s, slow_s=slow_s), echo=Echo(), tank=Tank(),
    )
    scenario.connect("fault.power", "echo.load")
    scenario.connect("echo.received", "tank.inflow", delay=1, initial=0.0)
    scenario.place(fault=placement, tank=("inline", "thread", "process")[seed % 3])
    return scenario
'''
ANYWHERE = ("raise", "nan", "inf", "shape", "forget", "in place", "input")
IN_A_WORKER = ("kill", "exit", "hang", "spawn and hang")
FROM_OUTSIDE = ("SIGINT", "SIGTERM", "SIGKILL", "SIGKILL to the worker")


def one_run(number, folder):
    """Run a scenario with a fault; return what is wrong with how it ended, if anything."""
    chance = random.Random(number)
    fault = chance.choice(ANYWHERE + IN_A_WORKER + FROM_OUTSIDE)
    worker = fault in IN_A_WORKER or "worker" in fault
    placement = "process" if worker else chance.choice(["inline", "thread", "process"])
    step = chance.randrange(360)
    place, marker = folder / f"{number}", f"COSIM_FAULT_{os.getpid()}_{number}"
    outside = fault in FROM_OUTSIDE
    settings = {
        "fault": "" if outside else fault,
        "at_s": step * 60,
        "placement": placement,
        "slow_s": 0.02 if outside else 0,
    }
    arguments = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "from cosim.cli.app import main; main()",
            "run",
            str(folder / "faulty.py"),
            *arguments,
            "--seed",
            str(number),
            "--out",
            str(place),
            "--no-report",
            "--timeout",
            "3",
            "--checkpoint-every",
            "1h",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), marker: "1"},
    )
    try:
        if outside:
            while not (place / "checkpoints" / "60").exists() and process.poll() is None:
                time.sleep(0.02)
            time.sleep(chance.random() * 2)
            victims = children_of(marker) if "worker" in fault else [process.pid]
            os.kill(chance.choice(victims), getattr(signal, fault.split()[0]))
        text, _ = process.communicate(timeout=300)
    except subprocess.TimeoutExpired:
        process.kill()
        return f"{fault}: hung"
    finally:
        deadline = time.monotonic() + 60
        while children_of(marker) and time.monotonic() < deadline:
            time.sleep(0.05)
    name = f"{number}: {fault} at step {step}, {placement}"
    if process.returncode == 0:
        return f"{name}: exit code 0"
    if children_of(marker):
        return f"{name}: left {children_of(marker)}"
    result = Result.open(place)
    rows = {port: len(result.series(port)) for port in result.ports}
    if not outside:
        clock = time.strftime("%H:%M:%S", time.gmtime(step * 60))
        if f"fault failed at 2025-01-15 {clock}: " not in " ".join(text.split()):
            return f"{name}: names no culprit: {text}"
        if rows["fault.power"] != step:
            return f"{name}: {rows['fault.power']} of {step} steps are recorded"
    else:
        if "worker" in fault and not re.search(r"(fault|tank) failed at 2025-01-15 \d\d:\d\d:\d\d: its worker", text):
            return f"{name}: names no culprit: {text}"
        if rows["fault.power"] < 60:  # a killed run keeps complete parts, of 60 rows each
            return f"{name}: of an hour and more, {rows} are recorded"
    if "Traceback" in text:
        return f"{name}: a traceback: {text}"
    return None


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks for processes in /proc")
def test_every_run_with_a_random_fault_ends_and_names_the_cause(tmp_path):
    (tmp_path / "faulty.py").write_text(textwrap.dedent(SCENARIO))
    with ThreadPoolExecutor(3) as pool:
        complaints = [c for c in pool.map(lambda number: one_run(number, tmp_path), range(RUNS)) if c]
    assert complaints == []
