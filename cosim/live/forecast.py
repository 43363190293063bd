"""Forecasts from the state of a live run: every plan some hours ahead, in processes of their own.

A forecast is a fork: the live run's newest checkpoint, copied, and the same scenario run on from it without new data.
Adapters that save their state continue from it exactly; those restored by replay are driven again from the start of the
run by their recorded inputs, which takes the longer the longer the run has lasted, and is exact too.
"""

from __future__ import annotations

import json
import os
import queue
import shutil
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from cosim.adapters.feed import Feed, Publisher
from cosim.adapters.feed.mqtt import MqttConnection
from cosim.adapters.feed.specification import Broker
from cosim.core.adapter import restored_by
from cosim.core.errors import CosimError
from cosim.engine.checkpoint import copy_checkpoint
from cosim.engine.run import fork
from cosim.engine.scenario import Scenario
from cosim.results.files import write_json
from cosim.results.result import Result

from .build import build_again
from .plans import BASE, PLAN, Plan, PlanInputs, Plans

FOLDER, TABLE, TASK = "forecasts", "forecasts.jsonl", "forecast.json"
_NICE = 10


class Forecasts:
    """Starts a forecast for each plan at every checkpoint of a live run, one process at a time.

    While forecasts of an earlier checkpoint are still running, further ones are skipped, and counted in `skipped`: the
    live run never waits for them.

    Parameters
    ----------
    scenario
        The live scenario, with its builder's record.
    plans
        The plans.
    broker
        Where indicators are published, on ``cosim/forecast/<plan>``; nowhere without.
    """

    def __init__(self, scenario: Scenario, plans: Plans, broker: Broker | None = None) -> None:
        assert scenario.builder is not None
        self._scenario, self._plans = scenario, plans
        self._connection = None if broker is None else MqttConnection(broker, "forecast")
        self._waiting: queue.Queue[tuple[Path, float] | None] = queue.Queue(1)
        self._busy = threading.Event()
        self._process: subprocess.Popen[str] | None = None
        self._thread = threading.Thread(target=self._work, name="forecasts", daemon=True)
        self._ending = False
        self.done, self.skipped = 0, 0
        self.failures: list[str] = []

    def __enter__(self) -> Forecasts:
        if self._connection is not None:
            self._connection.open()
        self._thread.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        """Wait for the forecasts under way; after a failure, end them."""
        if kind is not None:
            self._ending = True
            if self._process is not None:
                self._process.terminate()
        self._waiting.put(None)
        self._thread.join()
        if self._connection is not None:
            self._connection.close()

    def start(self, checkpoint: Path) -> None:
        """Take a checkpoint as the present state; called by the run, which waits meanwhile."""
        now_s = int(checkpoint.name) * self._scenario.clock.step_s
        length_s = (self._scenario.clock.n_steps or 0) * self._scenario.clock.step_s
        if self._busy.is_set() or (length_s and now_s >= length_s):
            self.skipped += self._busy.is_set()
            return
        self._busy.set()
        when = f"{self._scenario.clock.civil(now_s):%Y%m%dT%H%M%S}"
        folder = checkpoint.parents[1] / FOLDER / when
        for plan in (BASE, *self._plans.plans):
            copy_checkpoint(checkpoint, folder / plan)
        self._waiting.put((folder, now_s))

    def _work(self) -> None:
        while (task := self._waiting.get()) is not None:
            folder, now_s = task
            found: dict[str, Result] = {}
            for plan in (BASE, *self._plans.plans):
                if self._ending:
                    break
                try:
                    found[plan] = self._run(folder / plan, plan)
                except CosimError as error:
                    self.failures.append(f"{folder.name}, {plan}: {error}")
                    continue
                self._publish(folder, now_s, plan, found)
            self._busy.clear()

    def _run(self, folder: Path, plan: str) -> Result:
        assert self._scenario.builder is not None
        about = self._plans.plans.get(plan)
        task = {
            "record": self._scenario.builder,
            "seed": self._scenario.seed,
            "name": f"{self._scenario.name}, {plan}",
            "plan": None if about is None else about.model_dump(),
            "ahead_s": self._plans.ahead,
        }
        write_json(folder / TASK, task)
        command = [sys.executable, "-P", "-m", "cosim.live.forecast", str(folder)]
        path = os.pathsep.join([str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])])
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": path},
            start_new_session=True,
        )
        _, text = self._process.communicate()
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
        if self._process.returncode:
            raise CosimError((text.strip().splitlines() or ["it ended without a word"])[-1])
        return Result.open(folder)

    def _publish(self, folder: Path, now_s: float, plan: str, found: Mapping[str, Result]) -> None:
        """Write and publish the indicators of a plan, beside those of going on as now."""
        values = {name: (one.value, one.unit) for name, one in found[plan].indicators.items()}
        base = found[BASE].indicators if BASE in found else {}
        methods = {name: restored_by(adapter) for name, adapter in self._scenario.adapters.items()}
        row = {
            "at": self._scenario.clock.civil(now_s).isoformat(),
            "until": self._scenario.clock.civil(now_s + float(found[plan].provenance["simulated_s"])).isoformat(),
            "plan": plan,
            "indicators": {
                name: {"value": value, "unit": unit} | ({"base": base[name].value} if name in base else {})
                for name, (value, unit) in values.items()
            },
            "replayed": [name for name, method in methods.items() if method == "replay"],
            "folder": str(folder / plan),
        }
        text = json.dumps(row)
        with (folder.parent / TABLE).open("a", encoding="utf-8") as file:
            file.write(text + "\n")
        if self._connection is not None:
            self._connection.publish(f"cosim/forecast/{plan}", text, retain=True)
        self.done += 1


def run_forecast(folder: Path) -> Result:
    """Run the forecast that a folder describes: its plan, from the checkpoint in it."""
    task: dict[str, Any] = json.loads((folder / TASK).read_text(encoding="utf-8"))
    scenario = build_again(task["record"], seed=task["seed"])
    for adapter in scenario.adapters.values():
        match adapter:
            case Feed():
                adapter.forecasts = True
            case Publisher():
                adapter.silent = True
    plan = scenario.adapters[PLAN]
    assert isinstance(plan, PlanInputs)
    if task["plan"] is not None:
        plan.take(Plan.model_validate(task["plan"]))
    scenario.name = task["name"]
    scenario.check()
    (checkpoint,) = (path for path in (folder / "checkpoints").iterdir() if path.name.isdigit())
    clock, tick = scenario.clock, int(checkpoint.name)
    ticks = tick + max(round(task["ahead_s"] / clock.step_s), 1)
    end = ticks if clock.n_steps is None else min(ticks, clock.n_steps)
    setup = replace(scenario.setup(), clock=replace(clock, end=None, hours=end * clock.step_s / 3600))
    return fork(setup, folder)


if __name__ == "__main__":
    os.nice(_NICE)
    try:
        run_forecast(Path(sys.argv[1]))
    except CosimError as failure:
        sys.exit(str(failure))
