"""Towns, runs of the adapter in a process of its own, and runs of the bare ``sumo`` program, for tests of traffic."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from cosim.adapters.traffic import Traffic
from tests.support.paths import BOLOGNA

SUMO_HOME = Path(str(pytest.importorskip("sumo").SUMO_HOME))
needs_bologna = pytest.mark.skipif(not BOLOGNA.is_dir(), reason="../shared/data/bologna is absent")

# libsumo holds one simulation a process, so every run has a process of its own.
RUNNER = """
import pickle, sys
from cosim.core import CosimError, Step
from cosim.core.adapter import outputs, take_events
adapter, steps, given = pickle.load(sys.stdin.buffer)
series, finished, events, error = {}, [], [], None
try:
    adapter.open()
    events += take_events(adapter)
    now = 0.0
    for k, length in enumerate(steps):
        for name, value in given.get(k, {}).items():
            getattr(adapter, name).deliver(value)
        adapter.advance(Step(now, length))
        now += length
        finished.append(adapter.finished)
        events += take_events(adapter)
        for name, port in outputs(adapter).items():
            series.setdefault(name, []).append(port.value.copy())
except CosimError as problem:
    error = type(problem).__name__ + ": " + str(problem)
finally:
    adapter.close()
    adapter.close()
with open(sys.argv[1], "wb") as file:
    pickle.dump((series, finished, events, error), file)
"""


class Run:
    """The adapter, advanced by steps with what is given to its inputs at some of them."""

    def __init__(
        self,
        adapter: Traffic,
        folder: Path,
        steps: list[float],
        given: Mapping[int, Mapping[str, object]] | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        adapter.folder = folder
        result = folder / "result.pickle"
        self.process = subprocess.run(
            [sys.executable, "-c", RUNNER, str(result)],
            input=pickle.dumps((adapter, steps, given or {})),
            capture_output=True,
        )
        assert self.process.returncode == 0, self.process.stderr.decode()
        self.series: dict[str, Any]
        self.series, self.finished, self.events, self.error = pickle.loads(result.read_bytes())
        self.steps, self.labels = np.array(steps), adapter.network.labels
        self.trips = folder / "tripinfos.xml"

    def __getitem__(self, name: str) -> Any:
        return np.array(self.series[name])

    def integral(self, name: str) -> Any:
        """Return the integral over the run per label."""
        return (self[name] * self.steps[:, None]).sum(axis=0)


def tool(name: str, *arguments: object, cwd: Path | None = None) -> None:
    program = SUMO_HOME / "bin" / name
    done = subprocess.run(
        [str(program), *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=os.environ | {"SUMO_HOME": str(SUMO_HOME), "PROJ_DATA": str(SUMO_HOME / "data" / "proj")},
    )
    assert done.returncode == 0, done.stderr


def bare(sumocfg: Path, folder: Path, *options: object, additionals: str = "", period: float = 60.0) -> Path:
    """Run the sumo program with its own edgeData; nothing is written beside the configuration."""
    folder.mkdir(parents=True, exist_ok=True)
    extra = folder / "measure.add.xml"
    extra.write_text(
        f'<additional><edgeData id="e" type="emissions" period="{period}" withInternal="true" file="emissions.xml"/>'
        f'<edgeData id="t" withInternal="true" file="traffic.xml"/></additional>'
    )
    added = [str(sumocfg.parent / name) for name in additionals.split(",") if name]
    tool(
        "sumo",
        "-c",
        sumocfg,
        "-a",
        ",".join([*added, str(extra)]),
        "--tripinfo-output",
        folder / "tripinfos.xml",
        "--no-step-log",
        "--log",
        folder / "log.txt",
        "--emission-output.precision",
        6,
        *options,
    )
    return folder


def total(file: Path, attribute: str) -> float:
    return sum(float(edge.get(attribute, 0.0)) for edge in ET.parse(file).iter("edge"))


def rows(tripinfos: Path) -> list[dict[str, str]]:
    return [trip.attrib for trip in ET.parse(tripinfos).getroot()]


NET = "grid.net.xml"


def make_town(folder: Path, *options: str) -> Path:
    """Write a three by three grid, with further options of netgenerate, with some cars and no charging."""
    tool(
        "netgenerate",
        "--grid",
        "--grid.number",
        3,
        "--grid.length",
        150,
        "-o",
        folder / NET,
        "--no-turnarounds",
        "true",
        "--default.speed",
        13.9,
        *options,
    )
    (folder / "trips.rou.xml").write_text(
        '<routes><vType id="car" emissionClass="HBEFA4/PC_petrol_Euro-4"/>'
        + "".join(
            f'<trip id="t{i}" type="car" depart="{5 * i}" from="A0A1" to="{("C1C2", "B2C2", "C1C0")[i % 3]}"/>'
            for i in range(30)
        )
        + "</routes>"
    )
    write_configuration(folder / "run.sumocfg", routes="trips.rou.xml")
    return folder


def write_configuration(path: Path, *, routes: str = "", additionals: str = "", **options: object) -> Path:
    named = {"net-file": NET, "route-files": routes, "additional-files": additionals}
    named |= {name.replace("_", "-"): str(value) for name, value in options.items()}
    path.write_text(
        "<configuration>" + "".join(f'<{k} value="{v}"/>' for k, v in named.items() if v) + "</configuration>"
    )
    return path
