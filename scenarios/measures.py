"""Inputs that policies schedule for a city's simulators, by time of day."""

from __future__ import annotations

import datetime as dt
import operator
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np

from cosim import CosimError, Scenario
from cosim.adapters.grid.controls import Control
from cosim.core.adapter import inputs
from cosim.core.ports import Input

Day: TypeAlias = tuple[tuple[str, float], ...]
"""A value by civil time of day, the same every day: ``(("00:00", 1.0), ("20:00", 0.0))``."""

ROAD_SURFACES = "road surfaces"
"""Key of road surfaces other than the usual one, by edge as codes of CNOSSOS-EU, in ``city.sectors``."""

_COMBINE: dict[str, Callable[[float, float], float]] = {
    "traffic.speed_limit": min,
    "traffic.permission": min,
    "traffic.closed": max,
    "traffic.toll": operator.add,
    "traffic.demand_factor": operator.mul,
    "buildings.power_cap": min,
}
"""How two measures of the same element at the same times combine: the stricter limit, the sum of two tolls, the
product of two factors."""


@dataclass(frozen=True)
class Measures:
    """Scheduled inputs of a city's adapters, and the adapters' options that these inputs need.

    Attributes
    ----------
    inputs
        Port → element → its value by time of the day. ``"*.price"`` is the input ``price`` of every adapter that has
        one, and the element ``"*"`` all of its elements.
    permission_classes
        SUMO's vehicle classes that ``traffic.permission`` covers.
    price_response
        Change of heating setpoints per change of price. [K/(EUR/kWh)]
    varying_buildings
        Whether films and infiltration of buildings follow temperatures and wind.
    grid_controls
        Controls that act within the grid.
    vehicle_kinds
        The vehicle types of every kind whose travel traffic counts street by street; empty for none.
    """

    inputs: Mapping[str, Mapping[str, Day]] = field(default_factory=dict)
    permission_classes: tuple[str, ...] = ()
    price_response: float = 0.0
    varying_buildings: bool = False
    grid_controls: tuple[Control, ...] = ()
    vehicle_kinds: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def with_input(self, port: str, days: Mapping[str, Day]) -> Measures:
        """Return the measures with further values for a port.

        Raises
        ------
        CosimError
            If an element already has values that these cannot be combined with.
        """
        merged = dict(self.inputs.get(port, {}))
        for label, day in days.items():
            merged[label] = _combined(port, label, merged[label], day) if label in merged else day
        return replace(self, inputs={**self.inputs, port: merged})

    def without(self, port: str) -> Measures:
        """Return the measures without those of a port."""
        return replace(self, inputs={name: days for name, days in self.inputs.items() if name != port})

    def for_classes(self, *classes: str) -> Measures:
        """Return the measures with permissions of these vehicle classes as well."""
        return replace(self, permission_classes=tuple(dict.fromkeys((*self.permission_classes, *classes))))

    def deliver(self, name: str, wanted: Mapping[str, Input], civil: dt.datetime) -> None:
        """Deliver the values of a civil time to the inputs of an adapter, as the schedules of `apply` do."""
        for pattern, days in self.inputs.items():
            target, _, role = pattern.partition(".")
            if target in ("*", name) and (port := wanted.get(role)) is not None and port.default is not None:
                now = {label: value_at(day, civil) for label, day in days.items()}
                everywhere = now.pop("*", None)
                values = port.default if everywhere is None else everywhere
                port.deliver(
                    [now.get(label, value) for label, value in zip(port.labels, np.broadcast_to(values, len(port)))]
                )

    def apply(self, scenario: Scenario) -> None:
        """Schedule all inputs in a scenario."""
        for pattern, days in self.inputs.items():
            wanted, _, role = pattern.partition(".")
            names = [name for name, a in scenario.adapters.items() if role in inputs(a)] if wanted == "*" else [wanted]
            for name in names:
                changes: dict[str | dt.datetime, float | dict[str, float]] = {}
                for label, day in days.items():
                    for moment, value in day:
                        if label == "*":
                            changes[moment] = value
                        else:
                            changes.setdefault(moment, {})[label] = value  # type: ignore[index]
                scenario.schedule(f"{name}.{role}", changes)


def _combined(port: str, label: str, one: Day, other: Day) -> Day:
    moments = [moment for moment, _ in one]
    if port not in _COMBINE or moments != [moment for moment, _ in other]:
        why = " at different times of day" if port in _COMBINE else ", whose values cannot be combined"
        raise CosimError(f"two policies set {port} of {label!r}{why}: keep one of them")
    combine = _COMBINE[port]
    return tuple((moment, combine(a, b)) for (moment, a), (_, b) in zip(one, other))


def value_at(day: Day, civil: dt.datetime) -> float:
    """Return the value of a day at a civil time, before its first moment that of the evening before.

    Examples
    --------
    >>> value_at((("07:00", 1.0), ("20:00", 0.0)), dt.datetime(2025, 1, 15, 19, 59))
    1.0
    """
    moments = [dt.time.fromisoformat(moment.zfill(5)) for moment, _ in day]
    return day[bisect_right(moments, civil.time()) - 1][1]


def always(value: float) -> Day:
    """Return a day with one value throughout."""
    return (("00:00", value),)


def between(from_hour: float, to_hour: float, value: float, otherwise: float) -> Day:
    """Return a day with one value between two hours and another otherwise; the window may span midnight.

    Raises
    ------
    CosimError
        If the hours are equal or outside a day.

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
        raise CosimError(f"the window is from {from_hour:g} to {to_hour:g} h: give two different hours of a day")
    start, end = _clock(from_hour), _clock(to_hour)
    if from_hour > to_hour:
        rest = () if to_hour == 0 else ((end, otherwise),)
        return (("00:00", value if to_hour else otherwise), *rest, (start, value))
    first = () if from_hour == 0 else (("00:00", otherwise),)
    return (*first, (start, value), *(() if to_hour == 24 else ((end, otherwise),)))


def hourly(values: np.typing.ArrayLike) -> Day:
    """Return a day of 24 hourly values."""
    day = np.asarray(values, float)
    if day.shape != (24,) or not np.isfinite(day).all():
        raise CosimError(f"hourly values have shape {day.shape}: give 24 finite values, from midnight on")
    return tuple((_clock(hour), float(value)) for hour, value in enumerate(day))


def _clock(hour: float) -> str:
    minutes = round(hour * 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}"
