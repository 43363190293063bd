"""Adapters that are sent to workers, which import them from here."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

from cosim import Adapter, Input, Output, Step


class Sender(Adapter):
    """Sends powers that change with time."""

    def __init__(self, n: int = 1000) -> None:
        self.power = Output("W", [f"house {k}" for k in range(n)], "mean")

    def advance(self, step: Step) -> None:
        """Send."""
        self.power.value = np.sin(np.arange(float(len(self.power.labels))) + step.start_s)


class Doubler(Adapter):
    """Doubles powers and notes its process; fails in its third step if asked to, and may kill another one first."""

    def __init__(self, fails: str = "", kills: int = 0, n: int = 1000) -> None:
        labels = [f"house {k}" for k in range(n)]
        self.power, self.twice = Input("W", labels), Output("W", labels, "mean")
        self.fails, self.kills, self.steps = fails, kills, 0

    def open(self) -> None:
        """Note which process this is."""
        assert self.folder is not None
        Path(self.folder).mkdir(parents=True, exist_ok=True)
        (Path(self.folder) / "note.txt").write_text(str(os.getpid()))

    def advance(self, step: Step) -> None:
        """Double."""
        self.steps += 1
        self.twice.value = 2 * self.power.value
        if self.steps == 3 and self.fails:
            if self.kills:
                os.kill(self.kills, signal.SIGKILL)
            print("about to end", file=sys.stderr, flush=True)  # noqa: T201
            if self.fails == "raise":
                raise ValueError("no such thing")
            if self.fails == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(60)
