"""Small adapters with closed-form behaviour, importable by worker processes."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np

from cosim import Adapter, Input, Output, Step


class Source(Adapter):
    """Publishes a keyed random power per step and element, and a state that counts its steps."""

    def __init__(self, labels=("a", "b"), seed=1, unit="W"):
        self.power = Output(unit, labels, "mean")
        self.count = Output("1", labels, "end")
        self.feedback = Input("W", labels, default=0.0)
        self.seed = seed

    def open(self):
        self.count.value = 0.0

    def advance(self, step):
        rng = np.random.default_rng([self.seed, round(step.start_s), round(step.length_s)])
        self.power.value = rng.normal(size=len(self.power)) * 1000
        self.count.value = self.count.value + 1

    def save(self, folder):
        (folder / "count").write_text(str(self.count.value[0]))

    def load(self, folder):
        self.count.value = float((folder / "count").read_text())


class Echo(Adapter):
    """Publishes what it receives."""

    replays = True

    def __init__(self, labels=("a", "b"), unit="W"):
        self.load = Input(unit, labels)
        self.state = Input("1", labels, default=-1.0)
        self.received = Output(unit, labels, "mean")
        self.seen = Output("1", labels, "end")

    def open(self):
        self.seen.value = -9.0

    def advance(self, step):
        self.received.value = self.load.value
        self.seen.value = self.state.value


class Fault(Source):
    """Fails in a given way at a given moment."""

    def __init__(self, fault, at_s=120.0, labels=("a", "b"), slow_s=0.0):
        super().__init__(labels)
        self.fault, self.at_s, self.slow_s = fault, at_s, slow_s

    def advance(self, step: Step):
        super().advance(step)
        time.sleep(self.slow_s)
        if step.start_s < self.at_s:
            return
        match self.fault:
            case "leave":
                raise SystemExit(0)
            case "report and raise":
                self.report("weak", "a", "it will not hold")
                raise ZeroDivisionError("division by zero in the model")
            case "raise":
                raise ZeroDivisionError("division by zero in the model")
            case "nan":
                self.power.value = [1.0, float("nan")]
            case "shape":
                self.power.value = np.zeros(3)
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "exit":
                os._exit(7)
            case "hang":
                time.sleep(3600)
            case "spawn and hang":
                child = subprocess.Popen(["sleep", "3600"])
                self.folder.mkdir(parents=True, exist_ok=True)
                (self.folder / "child").write_text(str(child.pid))
                time.sleep(3600)
            case "inf":
                self.power.value = float("inf")
            case "forget":
                self.power.assigned = False
            case "in place":
                self.power.value[0] = 5.0
            case "input":
                self.feedback.value[0] = 5.0


class Tank(Adapter):
    """Integrates what it receives; can only be restored by replay. With ``wanders``, it draws unseeded noise."""

    replays = True

    def __init__(self, labels=("a", "b"), wanders=False):
        self.inflow = Input("W", labels)
        self.content = Output("J", labels, "end")
        self.wanders = wanders

    def open(self):
        self.content.value = 0.0
        self._content = np.zeros(len(self.content))

    def advance(self, step):
        chance = np.random.default_rng().random() if self.wanders else 0.0
        self._content = self._content + self.inflow.value * step.length_s + chance
        self.content.value = self._content
        if round(step.end_s / step.length_s) % 7 == 0:
            self.report("seventh", self.content.labels[0], f"{step.end_s:g}")


class Patchy(Adapter):
    """Publishes an output that is missing at given steps and elements."""

    replays = True

    def __init__(self, gaps, labels=("a", "b")):
        self.power = Output("W", labels, "mean", may_be_missing=True)
        self.gaps = gaps

    def advance(self, step):
        value = np.full(len(self.power), float(step.end_s))
        for k, i in self.gaps:
            if round(step.start_s / step.length_s) == k:
                value[i] = np.nan
        self.power.value = value


class Ender(Adapter):
    """Ends an open-ended run after a number of steps."""

    ends_run = True
    replays = True

    def __init__(self, after):
        self.after, self.done = after, 0
        self.left = Output("vehicle", ["network"], "end")

    def advance(self, step):
        self.done += 1
        self.left.value = max(self.after - self.done, 0)
        self.finished = self.done >= self.after


class Keeper(Adapter):
    """Keeps the array that it publishes and changes it afterwards."""

    def __init__(self, labels=("a", "b")):
        self.power = Output("W", labels, "mean")
        self.mine = np.zeros(len(labels))

    def advance(self, step):
        self.mine[:] = step.end_s
        self.power.value = self.mine
        self.mine[:] = -1e9


class Licensed(Adapter):
    """Holds a licence, a real file, from opening to closing; ``stubborn`` ones ignore every request to end."""

    replays = True

    def __init__(self, licence, hangs=False, fails_to_open=False, stubborn=False):
        self.power = Output("W", ["a"], "mean")
        self.licence = Path(licence).absolute()
        self.hangs, self.fails_to_open, self.stubborn = hangs, fails_to_open, stubborn

    def open(self):
        self.licence.write_text("held")
        self.licence.with_name("was held").touch()
        if self.fails_to_open:
            raise OSError("no seat is free")
        if self.stubborn:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)

    def advance(self, step):
        if self.hangs:
            time.sleep(3600)
        self.power.value = 1.0

    def close(self):
        self.licence.unlink(missing_ok=True)
