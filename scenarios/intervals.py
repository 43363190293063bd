"""How much energy flows in each interval that a run recorded?"""

from __future__ import annotations

import pandas as pd

from cosim import Result

J_PER_KWH = 3.6e6


def begins(result: Result, ends: pd.DatetimeIndex) -> pd.DatetimeIndex:
    """Return the begin of every recorded interval of a mean, in UTC, by its end."""
    start = pd.Timestamp(result.provenance["clock"]["start"])
    return ends[:-1].insert(0, start if start.tzinfo else start.tz_localize("UTC")) if len(ends) else ends


def energy(result: Result, port: str) -> pd.Series[float]:
    """Return what a port of power, or any rate, adds up to in every recorded interval, by its end. [J for W]"""
    power = result.total(port)
    return power * (power.index - begins(result, power.index)).total_seconds()


def energy_by_label(result: Result, port: str) -> pd.DataFrame:
    """Return the energy of every element in every recorded interval, shape (n_times, n_labels). [J]"""
    power = result.series(port)
    return power.mul((power.index - begins(result, power.index)).total_seconds(), axis=0)
