"""Days of a weather year by name: the coldest, the hottest, a typical one."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np

from cosim.core.errors import CosimError

from .year import WeatherYear

DAY_NAMES = ("coldest", "hottest", "typical")


@dataclass(frozen=True)
class NamedDay:
    """A day of a weather year with its figures.

    Parameters
    ----------
    name, month, day
        What it is called, and its date.
    mean, low, high
        Air temperature over its hours. [°C]
    sun_kwh_m2
        Global radiation on the horizontal. [kWh/m²]
    """

    name: str
    month: int
    day: int
    mean: float
    low: float
    high: float
    sun_kwh_m2: float

    def __str__(self) -> str:
        date = dt.date(2001, self.month, self.day)
        return (
            f"{self.name} day: {date.day} {date:%B}, mean {self.mean:.1f} °C, {self.low:.1f} to {self.high:.1f} °C, "
            f"{self.sun_kwh_m2:.1f} kWh/m² of sun"
        )


def named_day(year: WeatherYear, name: str) -> NamedDay:
    """Return the coldest or hottest day by mean air temperature, or the typical one.

    Typical is the day whose mean temperature, daily range and global radiation are nearest to their means over all
    days, in standard deviations. Of equal days the first counts. Days that the weather does not cover are left out.

    Raises
    ------
    CosimError
        If the name is unknown or no day is covered in full.

    Examples
    --------
    >>> from cosim.core.weather.normals import synthetic_year
    >>> print(named_day(synthetic_year("bologna"), "hottest"))
    hottest day: 16 July, mean 25.0 °C, 19.6 to 30.4 °C, 6.5 kWh/m² of sun
    """
    if name not in DAY_NAMES:
        raise CosimError(f"day {name!r} is unknown: write {', '.join(DAY_NAMES)} or a date")
    temp, sun = year.dry_bulb.reshape(365, 24), year.ghi.reshape(365, 24)
    days = np.flatnonzero(np.isfinite(temp).all(axis=1))
    if not len(days):
        raise CosimError(f"{year.source} ({year.name}) covers no whole day, so it has no {name} one: pass a date")
    mean, spread, light = temp[days].mean(axis=1), np.ptp(temp[days], axis=1), sun[days].sum(axis=1) * 1e-3
    if name == "typical":
        figures = np.stack((mean, spread, light))
        scale = np.maximum(figures.std(axis=1, keepdims=True), 1e-9)
        k = int(np.argmin((((figures - figures.mean(axis=1, keepdims=True)) / scale) ** 2).sum(axis=0)))
    else:
        k = int(np.argmin(mean) if name == "coldest" else np.argmax(mean))
    date = dt.date(2001, 1, 1) + dt.timedelta(days=int(days[k]))
    here = temp[days[k]]
    return NamedDay(name, date.month, date.day, float(mean[k]), float(here.min()), float(here.max()), float(light[k]))
