"""Start and energy of the intervals that a run recorded."""

from __future__ import annotations

import pandas as pd

from cosim import Result


def interval_starts(result: Result, ends: pd.DatetimeIndex) -> pd.DatetimeIndex:
    """Return the start of each interval of a mean, in UTC, given the ends of all of them."""
    start = pd.Timestamp(result.provenance["clock"]["start"])
    return ends[:-1].insert(0, start if start.tzinfo else start.tz_localize("UTC")) if len(ends) else ends


def energy(result: Result, port: str) -> pd.Series[float]:
    """Return the integral of a power, or of any rate, over each recorded interval, indexed by its end. [J for W]"""
    power = result.total(port)
    return power * (power.index - interval_starts(result, power.index)).total_seconds()


def energy_by_label(result: Result, port: str) -> pd.DataFrame:
    """Return the energy of every element in every recorded interval, shape (n_times, n_labels). [J]"""
    power = result.series(port)
    return power.mul((power.index - interval_starts(result, power.index)).total_seconds(), axis=0)
