"""A pair of adapters that exchange one vector, importable by worker processes."""

from __future__ import annotations

import time
from typing import ClassVar

from cosim import Adapter, Input, Output


class Pump(Adapter):
    """Publishes a vector and receives one, and notes the moments of its steps."""

    stamps: ClassVar[list[float]] = []

    def __init__(self, n: int) -> None:
        labels = [str(k) for k in range(n)]
        self.back, self.out = Input("W", labels, default=0.0), Output("W", labels, "mean")

    def advance(self, step) -> None:
        self.stamps.append(time.perf_counter())
        self.out.value = self.back.value + 1.0


class Mirror(Adapter):
    """Publishes what it receives."""

    def __init__(self, n: int) -> None:
        labels = [str(k) for k in range(n)]
        self.load, self.received = Input("W", labels), Output("W", labels, "mean")

    def advance(self, step) -> None:
        self.received.value = self.load.value
