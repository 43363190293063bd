"""How does an input change at a given moment of the city's clock: a road closed at 08:00, a tariff by the hour?"""

from __future__ import annotations

import datetime as dt
import re
from bisect import bisect_right
from collections.abc import Mapping
from pathlib import Path
from typing import TypeGuard
from zoneinfo import ZoneInfo

import numpy as np

from .adapter import Adapter, Step
from .arguments import require
from .clock import Clock
from .errors import CosimError
from .ports import Input, Output, Vector

_OPEN_RUN_DAYS = 366  # a run of open length that lasts longer hears no more changes
_TIME_OF_DAY = re.compile(r"\d{1,2}:\d{2}(:\d{2})?")


class Timetable(Adapter):
    """Says what an input hears, step by step, by a timetable.

    Parameters
    ----------
    port
        The input; before the first change it hears its default.
    clock
        The run's clock.
    changes
        By moment, the new value of all elements, or of those that are named. A moment is a time of day as in
        ``"08:00"``, which is every day at that time of the city's clock from the run's first day on, or a date with
        a time.
    step_s
        The step of the input's adapter. [s]

    Raises
    ------
    CosimError
        If a moment is none, lies within a step, or a label or value does not fit the port.

    Notes
    -----
    A time of day that the change to summer time skips is taken as the hour after; one that occurs twice when it ends
    is taken the first time.
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
        require(changes, Mapping, "changes", "write values by moment, as {'08:00': 1.0}")
        self.value = Output(port.unit, port.labels, "mean")
        position = {label: i for i, label in enumerate(port.labels)}
        days = _OPEN_RUN_DAYS if clock.n_steps is None else int(clock.n_steps * clock.step_s // 86400) + 2
        moments = sorted(
            ((at_s, order, change) for order, (moment, change) in enumerate(changes.items())
             for at_s in _moments(moment, clock, days)),
            key=lambda entry: entry[:2],
        )  # fmt: skip
        self._times: list[float] = [float("-inf")]
        self._values: list[Vector] = [port.default]
        length_s = float("inf") if clock.n_steps is None else clock.n_steps * clock.step_s
        late = [m for m in changes if not _is_daily(m) and clock.seconds(m) >= length_s]
        if late:
            raise CosimError(f"{late[0]} is after the run's end, so it would change nothing")
        for at_s, _, change in moments:
            if at_s > 0 and abs(at_s / step_s - round(at_s / step_s)) > 1e-9:
                raise CosimError(
                    f"{clock.civil(at_s):%Y-%m-%d %H:%M:%S} lies within a step of {step_s:g} s: changes come between "
                    "steps"
                )
            self._times.append(at_s)
            self._values.append(_changed(self._values[-1], change, position))

    def advance(self, step: Step) -> None:
        """Say what is in force during the step."""
        self.value.value = self._values[bisect_right(self._times, step.start_s + 1e-6) - 1]

    def save(self, folder: Path) -> None:
        """Nothing is to be saved."""

    def load(self, folder: Path) -> None:
        """Nothing is to be loaded."""


def _changed(values: Vector, change: float | Mapping[str, float], position: Mapping[str, int]) -> Vector:
    values = values.copy()
    named = change.items() if isinstance(change, Mapping) else ((label, change) for label in position)
    for label, value in named:
        if label not in position:
            raise CosimError(f"there is no element {label!r}")
        if not isinstance(value, int | float | np.number) or not np.isfinite(value):
            raise CosimError(f"{label!r} is to become {value!r}: it must be a finite number")
        values[position[label]] = value
    return values


def _is_daily(moment: str | dt.datetime) -> TypeGuard[str]:
    return isinstance(moment, str) and _TIME_OF_DAY.fullmatch(moment) is not None


def _moments(moment: str | dt.datetime, clock: Clock, days: int) -> list[float]:
    """Return when a moment occurs, in seconds since the clock's start."""
    if _is_daily(moment):
        try:
            time = dt.time.fromisoformat(moment.zfill(5) if moment.count(":") == 1 else moment.zfill(8))
        except ValueError as error:
            raise CosimError(f"{moment!r} is no time of day") from error
        first = clock.civil(0).date()
        return [
            (dt.datetime.combine(first + dt.timedelta(k), time, ZoneInfo(clock.zone)) - clock.start_utc).total_seconds()
            for k in range(days)
        ]
    return [clock.seconds(moment)]
