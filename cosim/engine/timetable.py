"""Inputs that change at given times of the city's clock: a road closed at 08:00, an hourly tariff."""

from __future__ import annotations

import datetime as dt
import re
from bisect import bisect_right
from collections.abc import Mapping
from pathlib import Path
from typing import TypeGuard
from zoneinfo import ZoneInfo

import numpy as np

from cosim.core.adapter import Adapter, Step
from cosim.core.arguments import require
from cosim.core.clock import Clock
from cosim.core.errors import CosimError
from cosim.core.ports import Input, Output
from cosim.core.quantities import Vector

_OPEN_RUN_DAYS = 366  # after this time an open-ended run receives no more changes
_TIME_OF_DAY = re.compile(r"\d{1,2}:\d{2}(:\d{2})?")


class Timetable(Adapter):
    """Publishes the values of an input, step by step, according to a timetable.

    Parameters
    ----------
    port
        The input; before the first change it receives its default.
    clock
        The run's clock.
    changes
        For each moment, the new value of all elements, or of those that are named. A moment is a time of day such as
        ``"08:00"``, which recurs every day at that time of the city's clock from the run's first day on, or a date
        with a time.
    step_s
        The step of the input's adapter. [s]

    Raises
    ------
    CosimError
        If a moment is invalid or lies within a step, or a label or value does not fit the port.

    Notes
    -----
    A time of day that the change to summer time skips takes effect one hour later; one that occurs twice at the change
    back takes effect the first time.
    """

    def __init__(
        self,
        port: Input,
        clock: Clock,
        changes: Mapping[str | dt.datetime, float | Mapping[str, float]],
        *,
        step_s: float,
    ) -> None:
        if port.default is None:
            raise CosimError("the input has no default")
        require(changes, Mapping, "changes", "write values by moment, as in {'08:00': 1.0}")
        self.value = Output(port.unit, port.labels, "mean")
        position = {label: i for i, label in enumerate(port.labels)}
        days = _OPEN_RUN_DAYS if clock.n_steps is None else int(clock.n_steps * clock.step_s // 86400) + 2
        moments = sorted(
            (
                (at_s, order, change)
                for order, (moment, change) in enumerate(changes.items())
                for at_s in _moments(moment, clock, days)
            ),
            key=lambda entry: entry[:2],
        )
        self._times: list[float] = [float("-inf")]
        self._values: list[Vector] = [port.default]
        length_s = float("inf") if clock.n_steps is None else clock.n_steps * clock.step_s
        late = [m for m in changes if not _is_daily(m) and clock.seconds(m) >= length_s]
        if late:
            raise CosimError(f"{late[0]} is after the end of the run: it would have no effect")
        for at_s, _, change in moments:
            if at_s > 0 and abs(at_s / step_s - round(at_s / step_s)) > 1e-9:
                raise CosimError(
                    f"{clock.civil(at_s):%Y-%m-%d %H:%M:%S} lies within a step of {step_s:g} s: changes must fall "
                    "between steps"
                )
            self._times.append(at_s)
            self._values.append(_changed(self._values[-1], change, position))

    def advance(self, step: Step) -> None:
        """Publish the values in force during the step."""
        self.value.value = self._values[bisect_right(self._times, step.start_s + 1e-6) - 1]

    def save(self, folder: Path) -> None:
        """Save nothing: the timetable has no state."""

    def load(self, folder: Path) -> None:
        """Load nothing: the timetable has no state."""


def _changed(values: Vector, change: float | Mapping[str, float], position: Mapping[str, int]) -> Vector:
    values = values.copy()
    named = change.items() if isinstance(change, Mapping) else ((label, change) for label in position)
    for label, value in named:
        if label not in position:
            raise CosimError(f"unknown element {label!r}")
        if not isinstance(value, int | float | np.number) or not np.isfinite(value):
            raise CosimError(f"the new value of {label!r} is {value!r}: it must be a finite number")
        values[position[label]] = value
    return values


def _is_daily(moment: str | dt.datetime) -> TypeGuard[str]:
    return isinstance(moment, str) and _TIME_OF_DAY.fullmatch(moment) is not None


def _moments(moment: str | dt.datetime, clock: Clock, days: int) -> list[float]:
    """Return the times at which a moment occurs, in seconds since the clock's start."""
    if _is_daily(moment):
        try:
            time = dt.time.fromisoformat(moment.zfill(5) if moment.count(":") == 1 else moment.zfill(8))
        except ValueError as error:
            raise CosimError(f"{moment!r} is not a time of day") from error
        first = clock.civil(0).date()
        return [
            (dt.datetime.combine(first + dt.timedelta(k), time, ZoneInfo(clock.zone)) - clock.start_utc).total_seconds()
            for k in range(days)
        ]
    return [clock.seconds(moment)]
