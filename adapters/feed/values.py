"""Values of a port that arrive irregularly, and what they are in a step."""

from __future__ import annotations

import bisect
from collections import deque
from typing import Any

import numpy as np

from cosim.core.quantities import Flags, Vector

from .payload import Kind
from .specification import Rule

_REMEMBERED = 64
"""Time stamps of an element by which a doubled value is recognized."""


class Arrivals:
    """The values of one port that have arrived, until their step takes them.

    Parameters
    ----------
    n
        Number of elements.
    rule
        What to do with late values, values out of order, and while there is none.
    """

    def __init__(self, n: int, rule: Rule) -> None:
        self.rule = rule
        self.pending = 0
        """Values that wait for their step."""
        self._taken_s = -np.inf
        self._time, self._value = np.full(n, -np.inf), np.zeros(n)
        self._newest = np.full(n, -np.inf)
        self._waiting: dict[int, list[tuple[float, float]]] = {}
        self._seen: dict[int, deque[float]] = {}

    def add(self, element: int, time_s: float, value: float) -> Kind:
        """Take a value in; return what becomes of it."""
        seen = self._seen.setdefault(element, deque(maxlen=_REMEMBERED))
        if time_s in seen or time_s == self._newest[element]:  # many old ones may have pushed the newest out
            return Kind.DOUBLED
        seen.append(time_s)
        if time_s <= self._taken_s:
            if self.rule.late == "hold" and time_s > self._time[element]:
                self._time[element], self._value[element] = time_s, value
            return Kind.LATE
        in_order = time_s >= self._newest[element]
        self._newest[element] = max(self._newest[element], time_s)
        if in_order or self.rule.out_of_order == "sort":
            bisect.insort(self._waiting.setdefault(element, []), (time_s, value))
            self.pending += 1
        return Kind.USED if in_order else Kind.OUT_OF_ORDER

    def take(self, begin_s: float, end_s: float) -> tuple[Vector, Flags]:
        """Return the values of a step, NaN where there is none, and which of them are repeated, shape (n,) each.

        A value holds from its time on until the next one. Values of the step's end belong to the step.
        """
        found, since = self._value.copy(), self._time.copy()
        fresh = np.zeros(len(found), bool)
        for element in [e for e, waiting in self._waiting.items() if waiting[0][0] <= end_s]:
            waiting = self._waiting[element]
            due = bisect.bisect_right(waiting, (end_s, np.inf))
            taken, rest = waiting[:due], waiting[due:]
            self.pending -= due
            if rest:
                self._waiting[element] = rest
            else:
                del self._waiting[element]
            value = taken[-1][1] if self.rule.statistic == "last" else self._mean(element, taken, begin_s, end_s)
            if value is not None and taken[-1][0] > begin_s:
                fresh[element], found[element] = True, value
            elif taken[-1][0] <= begin_s and taken[-1][0] >= since[element]:  # before the first step
                since[element], found[element] = taken[-1]
            if taken[-1][0] >= self._time[element]:
                self._time[element], self._value[element] = taken[-1]
        self._taken_s = end_s
        held = ~fresh & (end_s - since <= self.rule.hold)
        return np.where(fresh | held, found, np.nan), held

    def _mean(self, element: int, taken: list[tuple[float, float]], begin_s: float, end_s: float) -> float | None:
        """Return the mean over the part of a step in which an element has a value that is not too old, if any."""
        course = [(self._time[element], self._value[element]), *taken]
        total = length = 0.0
        for (at, value), until in zip(course, [*(time for time, _ in course[1:]), end_s]):
            span = min(until, at + self.rule.hold if at < begin_s else until) - max(at, begin_s)
            if span > 0:
                total, length = total + value * span, length + span
        return total / length if length else None

    def save(self) -> dict[str, Any]:
        """Return the state as JSON data."""
        rows = np.flatnonzero(np.isfinite(self._time) | np.isfinite(self._newest)).tolist()
        return {
            "taken_s": None if np.isinf(self._taken_s) else self._taken_s,
            "last": [[i, _or_none(self._time[i]), self._value[i], _or_none(self._newest[i])] for i in rows],
            "waiting": [[i, waiting] for i, waiting in self._waiting.items() if waiting],
            "seen": [[i, list(times)] for i, times in self._seen.items()],
        }

    def load(self, kept: dict[str, Any]) -> None:
        """Continue from what `save` returned."""
        self._taken_s = -np.inf if kept["taken_s"] is None else kept["taken_s"]
        for i, time_s, value, newest in kept["last"]:
            self._time[i], self._value[i] = -np.inf if time_s is None else time_s, value
            self._newest[i] = -np.inf if newest is None else newest
        self._waiting.clear()
        for i, waiting in kept["waiting"]:
            self._waiting[i] = [(time_s, value) for time_s, value in waiting]
        self.pending = sum(map(len, self._waiting.values()))
        for i, times in kept["seen"]:
            self._seen[i] = deque(times, maxlen=_REMEMBERED)


def _or_none(value: float) -> float | None:
    return None if np.isinf(value) else float(value)
