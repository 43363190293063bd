"""Means of a recorded series by hour of the local day."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from cosim.core.units import energies, is_level, levels

from .result import Result

_HOUR_S = 3600.0


def by_hour(result: Result, port: str) -> pd.DataFrame:
    """Return means by local hour of the day, shape (24, n_labels), in the port's unit; levels as energies, not in dB.

    Hours that a run does not cover are nan. A recorded row longer than an hour counts for every hour that it covers.

    Parameters
    ----------
    result, port
        A run and one of its recorded outputs, as in ``"environment.noise"``.
    """
    about = result.provenance["outputs"][port]
    row_s = float(about["every_s"])
    whole = _HOUR_S / row_s
    table = result.means(port, _HOUR_S if whole >= 1 and abs(whole - round(whole)) < 1e-9 else row_s)
    clock = result.provenance["clock"]
    values = table.to_numpy(float)
    if is_level(about["unit"]):
        values = energies(values)
    ends = table.index.tz_convert(clock["zone"])
    starts = [pd.Timestamp(clock["start"]).tz_convert(clock["zone"]), *ends[:-1]]
    seconds = np.zeros((24, len(table)))
    for k, (at, end) in enumerate(zip(starts, ends)):
        while at < end:
            until = min(at + pd.Timedelta(seconds=_HOUR_S - at.minute * 60 - at.second), end)
            seconds[at.hour, k] += (until - at).total_seconds()
            at = until
    known = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        means = (seconds @ np.where(known, values, 0.0)) / (seconds @ known)
    return pd.DataFrame(means, columns=table.columns)


def weighted_day(result: Result, port: str, weights: Sequence[float]) -> pd.Series[float]:
    """Return by label the weighted sum of a day's hourly means, of levels by energy; nan if such an hour is missing.

    Parameters
    ----------
    result, port
        A run and one of its recorded outputs.
    weights : shape (24,)
        Weight of each local hour of the day; hours of weight 0 may be missing.
    """
    table = by_hour(result, port)
    counted = np.asarray(weights) > 0
    total = np.asarray(weights)[counted] @ table.to_numpy()[counted]
    if is_level(result.provenance["outputs"][port]["unit"]):
        total = levels(total)
    return pd.Series(total, index=table.columns, name=port)
