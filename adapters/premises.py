"""Premises adapter: electricity and fuel of offices, shops, schools and other buildings without dwellings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from cosim.core import Adapter, Clock, CosimError, Input, Output, Step
from cosim.core.quantities import HOUR_S

POWER_FACTOR = 0.95
"""Of lighting, computers and ventilation, inductive. Assumption."""
_HOURS = 168


class Premises(Adapter):
    """Buildings whose load follows opening hours, and whose fuel follows the weather.

    Powers are positive when consumed. Loads are the published annual means shaped by a week's hours, not a simulation
    of rooms: policies on dwellings do not change them.

    Parameters
    ----------
    labels
        Names of the premises.
    clock
        Clock with the civil time that opening hours follow.
    schedules : shape (n_uses, 168)
        Electricity per floor area by use, in the hours of a week from Monday on. [W/m²]
    use_index : shape (n_premises,)
        Row of ``schedules`` of each.
    floor_area : shape (n_premises,)
        Floor area. [m²]
    fuel_base, fuel_per_kelvin : shape (n_premises,)
        Fuel regardless of the weather [W], and per degree that it is colder outdoors than ``base_temperature`` [W/K].
    base_temperature
        Outdoor temperature above which nothing is heated. [°C]

    Raises
    ------
    CosimError
        If an array does not fit, is negative or not finite.
    """

    replays: ClassVar[bool] = True

    def __init__(
        self,
        labels: Sequence[str],
        clock: Clock,
        *,
        schedules: npt.ArrayLike,
        use_index: npt.ArrayLike,
        floor_area: npt.ArrayLike,
        fuel_base: npt.ArrayLike,
        fuel_per_kelvin: npt.ArrayLike,
        base_temperature: float,
    ) -> None:
        week, area = np.asarray(schedules, float), np.asarray(floor_area, float)
        index = np.asarray(use_index)
        arrays = {"floor_area": area, "fuel_base": np.asarray(fuel_base, float)}
        arrays["fuel_per_kelvin"] = np.asarray(fuel_per_kelvin, float)
        for name, array in arrays.items():
            if array.shape != (len(labels),) or not (np.isfinite(array) & (array >= 0)).all():
                raise CosimError(f"{name} has shape {array.shape}: {len(labels)} premises need finite values from 0 on")
        if week.ndim != 2 or week.shape[1] != _HOURS or not (np.isfinite(week) & (week >= 0)).all():
            raise CosimError(f"schedules has shape {week.shape}: give finite loads from 0 on, shape (n_uses, {_HOURS})")
        if index.shape != (len(labels),) or not ((index >= 0) & (index < len(week))).all():
            raise CosimError(f"use_index must name a row of {len(week)} schedules for each of {len(labels)} premises")
        self.clock, self.base_temperature = clock, base_temperature
        self._used = np.concatenate([np.zeros((len(week), 1)), np.cumsum(week, axis=1)], axis=1)
        self._index, self._area = index.astype(np.int64), area
        self._fuel_base, self._fuel_per_kelvin = arrays["fuel_base"], arrays["fuel_per_kelvin"]
        self.outdoor_temperature = Input("degC", ["outdoor"])
        self.electric_power = Output("W", labels, "mean")
        self.reactive_power = Output("var", labels, "mean")
        self.gas_power = Output("W", labels, "mean")

    def advance(self, step: Step) -> None:
        """Publish the mean powers of the step."""
        civil = self.clock.civil(step.start_s)
        begin = civil.weekday() * 24 + civil.hour + (civil.minute * 60 + civil.second) / HOUR_S
        length = step.length_s / HOUR_S
        mean = (self._until(begin + length) - self._until(begin)) / length
        power = mean[self._index] * self._area
        self.electric_power.value = power
        self.reactive_power.value = power * math.tan(math.acos(POWER_FACTOR))
        colder = max(self.base_temperature - float(self.outdoor_temperature.value[0]), 0.0)
        self.gas_power.value = self._fuel_base + self._fuel_per_kelvin * colder

    def _until(self, hour: float) -> npt.NDArray[np.float64]:
        """Return the load integrated from Monday on, shape (n_uses,). [W h/m²]"""
        weeks, rest = divmod(hour, _HOURS)
        whole = int(rest)
        part = self._used[:, whole] + (rest - whole) * np.diff(self._used)[:, min(whole, _HOURS - 1)]
        return np.asarray(weeks * self._used[:, -1] + part)
