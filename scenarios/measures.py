"""What are a city's simulators told to do differently, and at what time of the day?"""

from __future__ import annotations

import datetime as dt
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np

from cosim import CosimError, Scenario
from cosim.adapters.grid_control import Control

Day: TypeAlias = tuple[tuple[str, float], ...]
"""A value by time of the civil day, every day: ``(("00:00", 1.0), ("20:00", 0.0))``."""

_BOTH: dict[str, Callable[[float, float], float]] = {
    "traffic.speed_limit": min,
    "traffic.permission": min,
    "traffic.closed": max,
    "traffic.toll": operator.add,
    "traffic.demand_factor": operator.mul,
    "buildings.power_cap": min,
}
"""What holds where two measures say something about the same element at the same times: the stricter, the sum of two
tolls, the product of two factors."""


@dataclass(frozen=True)
class Measures:
    """What adapters hear besides what they tell each other, and what they must offer for it.

    Attributes
    ----------
    inputs
        Port → element → its value by time of the day.
    permission_classes
        SUMO's vehicle classes that ``traffic.permission`` is given for.
    price_response
        How much setpoints give way to the price. [K/(EUR/kWh)]
    grid_controls
        What acts by itself in the grid.
    """

    inputs: Mapping[str, Mapping[str, Day]] = field(default_factory=dict)
    permission_classes: tuple[str, ...] = ()
    price_response: float = 0.0
    grid_controls: tuple[Control, ...] = ()

    def tell(self, port: str, days: Mapping[str, Day]) -> Measures:
        """Return the measures with more for a port to hear.

        Raises
        ------
        CosimError
            If an element hears something already that this cannot be combined with.
        """
        merged = dict(self.inputs.get(port, {}))
        for label, day in days.items():
            merged[label] = _combined(port, label, merged[label], day) if label in merged else day
        return replace(self, inputs={**self.inputs, port: merged})

    def for_classes(self, *classes: str) -> Measures:
        """Return the measures with permissions of these vehicle classes as well."""
        return replace(self, permission_classes=tuple(dict.fromkeys((*self.permission_classes, *classes))))

    def apply(self, scenario: Scenario) -> None:
        """Schedule all inputs in a scenario."""
        for port, days in self.inputs.items():
            changes: dict[str | dt.datetime, dict[str, float]] = {}
            for label, day in days.items():
                for moment, value in day:
                    changes.setdefault(moment, {})[label] = value
            scenario.schedule(port, changes)


def _combined(port: str, label: str, one: Day, other: Day) -> Day:
    moments = [moment for moment, _ in one]
    if port not in _BOTH or moments != [moment for moment, _ in other]:
        why = "at other times of the day" if port in _BOTH else "as well, and the two cannot be combined"
        raise CosimError(f"two policies decide {port} of {label!r}, the second {why}: keep one of them")
    both = _BOTH[port]
    return tuple((moment, both(a, b)) for (moment, a), (_, b) in zip(one, other))


def always(value: float) -> Day:
    """Return a day on which a value holds from the beginning."""
    return (("00:00", value),)


def between(from_hour: float, to_hour: float, value: float, otherwise: float) -> Day:
    """Return a day on which a value holds between two hours; the window may span midnight.

    Raises
    ------
    CosimError
        If the hours are the same or beyond a day.

    Examples
    --------
    >>> between(7, 20, 1.0, 0.0)
    (('00:00', 0.0), ('07:00', 1.0), ('20:00', 0.0))
    >>> between(22.5, 6, 1.0, 0.0)
    (('00:00', 1.0), ('06:00', 0.0), ('22:30', 1.0))
    >>> between(0, 24, 1.0, 0.0)
    (('00:00', 1.0),)
    """
    if not (0 <= from_hour < 24 and 0 <= to_hour <= 24 and from_hour != to_hour):
        raise CosimError(f"a window is from {from_hour:g} to {to_hour:g} o'clock: give two different hours of a day")
    start, end = _clock(from_hour), _clock(to_hour)
    if from_hour > to_hour:
        rest = () if to_hour == 0 else ((end, otherwise),)
        return (("00:00", value if to_hour else otherwise), *rest, (start, value))
    first = () if from_hour == 0 else (("00:00", otherwise),)
    return (*first, (start, value), *(() if to_hour == 24 else ((end, otherwise),)))


def hourly(values: np.typing.ArrayLike) -> Day:
    """Return a day of 24 values, one an hour."""
    day = np.asarray(values, float)
    if day.shape != (24,) or not np.isfinite(day).all():
        raise CosimError(f"a day has {day.shape} values: give 24 finite ones, one for each hour from midnight on")
    return tuple((_clock(hour), float(value)) for hour, value in enumerate(day))


def _clock(hour: float) -> str:
    minutes = round(hour * 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}"
