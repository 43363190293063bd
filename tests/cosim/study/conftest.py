"""A study in a separate folder, with its builder and the commands to run it."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from tests.support.paths import ROOT

TOY = '''
"""A toy whose runs fail on demand, for given values of x and seeds."""
import os
import signal
import time
from pathlib import Path

from cosim import Clock, Indicator, Scenario, Study
from tests.support.toys import Echo, Source

HERE = Path(__file__).parent
ATTEMPTS = Path(os.environ.get("ATTEMPTS", os.devnull))  # written by each attempt, not read by runs


def misbehave(fault):
    if fault == "raise":
        raise ValueError("the demand of 3 zones is negative")
    if fault == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if fault == "segv":
        os.kill(os.getpid(), signal.SIGSEGV)
    if fault == "hang":
        time.sleep(3600)
    if fault == "exit":
        os._exit(7)
    if fault == "memory":
        held = bytearray(os.urandom(1)) * 900_000_000
        time.sleep(3600)


def build(x: float = 0.0, mode: str = "a", hours: float = 0.1, sleep_s: float = 0.0, seed: int = 0) -> Scenario:
    with ATTEMPTS.open("a") as file:
        file.write(f"{os.getpid()} {x:g} {mode} {seed}\\n")
    faults = os.environ.get("FAULTS", "")
    for fault in faults.split(";"):
        name, _, which = fault.partition(":")
        if which == f"{x:g},{seed}":
            misbehave(name)
    time.sleep(sleep_s)
    scenario = Scenario(
        Clock("2025-01-15", hours=hours, step_s=60),
        indicators=lambda r: {
            "energy": Indicator(float(r.integral("source.power").abs().sum()) / 3.6e6 + x, "kWh", "lower")
        },
        source=Source(seed=seed), echo=Echo(),
    )
    scenario.connect("source.power", "echo.load")
    return scenario
'''


class Place:
    """A folder with a study, which can be run by the command line or a script."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = os.environ | {
            "PYTHONPATH": str(ROOT),
            "ATTEMPTS": str(folder / "attempts"),
            "TMPDIR": str(folder),
        }
        self.write("toy.py", TOY)

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(textwrap.dedent(text))
        return path

    def study(self, line: str, *more: str) -> None:
        """Write study.py, which makes a study of the toy."""
        lines = ["from cosim import Study", "from toy import build", f"study = {line}", *more]
        self.write("study.py", "\n".join(lines))

    def command(self, *arguments: object) -> list[str]:
        return [sys.executable, "-c", "from cosim.cli.app import main; main()", *map(str, arguments)]

    def cosim(self, *arguments: object, faults: str = "", timeout_s: float = 300) -> subprocess.CompletedProcess[str]:
        """Run the command line."""
        return self._run(self.command(*arguments), faults, timeout_s)

    def python(self, script: str, faults: str = "") -> subprocess.CompletedProcess[str]:
        """Run a script that begins with the toy."""
        self.write("script.py", (self.folder / "toy.py").read_text() + script)
        return self._run([sys.executable, "script.py"], faults, 300)

    def _run(self, command: list[str], faults: str, timeout_s: float) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            env=self.environment | {"FAULTS": faults},
        )

    def start(self, *arguments: object, faults: str = "") -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*arguments),
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment | {"FAULTS": faults},
        )

    def attempts(self) -> list[str]:
        """Return the arguments of each attempt, without its process id."""
        path = self.folder / "attempts"
        return [line.split(" ", 1)[1] for line in path.read_text().splitlines()] if path.is_file() else []

    def processes(self) -> list[str]:
        """Return the command lines of all processes that belong to runs in this folder."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("ATTEMPTS") == self.environment["ATTEMPTS"]:
                    found.append(" ".join(process.cmdline()))
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return found


def wait_for(condition, timeout_s=180.0):
    """Wait until a condition holds."""
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def faults_of(n, every, kinds=("raise", "kill", "hang")):
    """Return alternating faults for every ``every``-th of n runs."""
    return ";".join(f"{kinds[k % len(kinds)]}:{k * every},0" for k in range(n // every))


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)
