"""What a plan changes, in a few lines: what rises, what falls, how sure that is, and where it comes from."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from cosim.core.units import is_extensive

from .comparison import Comparison
from .indicator import Change
from .result import Result
from .tables import number

MOST_LINES, MOST_REASONS, MOST_PLACES = 6, 3, 3
_NEGLIGIBLE = 1e-3
"""Share of the base below which a total counts as unchanged."""


@dataclass(frozen=True)
class Line:
    """One change in words, and whether it is for the better."""

    text: str
    direction: Literal["better", "worse"] | None


@dataclass(frozen=True)
class Reason:
    """A quantity exchanged between simulators whose total changes.

    Attributes
    ----------
    port, source, targets
        The output, the simulator that has it, and those that receive it.
    relative
        Change of the total over the run, as a share of the base. [1]
    hour
        Local hour of the day in which the change is largest.
    places
        Elements that change most in the direction of the total, with their part of its change. [1]
    """

    port: str
    source: str
    targets: tuple[str, ...]
    relative: float
    hour: int
    places: tuple[tuple[str, float], ...]


def lines(comparison: Comparison, plan: str) -> list[Line]:
    """Return the largest changes of indicators that are better low or high, those that are sure before all others.

    Parts of a sum, named with a dash or a colon, are left out. With fewer than three pairs nothing is sure, and none is
    called better or worse.
    """
    judged = [
        c
        for c in comparison.changes[plan]
        if c.better is not None and c.difference is not None and math.isfinite(c.relative) and c.plan != c.base
        if not c.indicator.startswith("–") and ":" not in c.indicator
    ]
    sure = [c for c in judged if c.direction is not None]
    chosen = sure or [c for c in judged if "inconclusive" in c.verdict]
    chosen.sort(key=lambda c: -abs(c.relative))
    return [Line(_in_words(c), c.direction) for c in chosen[:MOST_LINES]]


def percent(share: float, *, sign: bool = False) -> str:
    """Return a share in percent with three digits.

    >>> percent(0.12345), percent(73.87), percent(-0.02, sign=True)
    ('12.3 %', '7,387 %', '−2 %')
    """
    size = abs(100 * share)
    text = f"{size:,.0f} %" if size >= 100 else f"{size:.3g} %"
    return f"{'−' if share < 0 else '+'}{text}" if sign else text


def _in_words(change: Change) -> str:
    assert change.difference is not None
    verb = "rises" if change.plan > change.base else "falls"
    text = (
        f"{change.indicator} {verb} by {percent(abs(change.relative))}, from {number(change.base)} to "
        f"{number(change.plan)} {change.unit}".rstrip()
    )
    if change.direction is None:
        return text
    low, high = (percent(bound / abs(change.base), sign=True) for bound in change.difference.t)
    return f"{text} (95 %: {low} to {high})"


def reasons(comparison: Comparison, plan: str) -> list[Reason]:
    """Return the coupled quantities whose totals change most, with the hour and the elements that change most.

    Only quantities that add up over elements and time are compared, over the pairs of runs that have recorded them.
    """
    base, *plans = comparison.runs
    changed = plans[list(comparison.plans).index(plan)]
    found = []
    for port, targets in _coupled(base[0]).items():
        about = base[0].provenance["outputs"].get(port)
        if about is None or not is_extensive(about["unit"]) or about["kind"] != "mean" or about["unit"] == "var":
            continue
        if any(port not in run.ports for run in (*base, *changed)):
            continue
        before, after = (_mean(run.integral(port) for run in runs) for runs in (base, changed))
        total, difference = float(before.sum()), after.sub(before, fill_value=0.0)
        change = float(difference.sum())
        if abs(change) <= _NEGLIGIBLE * abs(total) or not total:
            continue
        parts = (difference / change).nlargest(MOST_PLACES) if len(difference) > 1 else difference.iloc[:0]
        places = tuple((str(label), float(part)) for label, part in parts.items() if part > 0)
        hour = _hour(base, changed, port)
        found.append(Reason(port, port.partition(".")[0], targets, change / abs(total), hour, places))
    return sorted(found, key=lambda reason: -abs(reason.relative))[:MOST_REASONS]


def _coupled(run: Result) -> dict[str, tuple[str, ...]]:
    targets: dict[str, tuple[str, ...]] = {}
    for connection in run.provenance["connections"]:
        source, _, target = connection["connection"].partition(" → ")
        name = target.partition(".")[0]
        targets[source] = tuple(dict.fromkeys((*targets.get(source, ()), name)))
    return targets


def _mean(runs: Iterable[pd.Series[float]]) -> pd.Series[float]:
    mean: pd.Series[float] = pd.concat(list(runs), axis=1).fillna(0.0).mean(axis=1)
    return mean


def _hour(base: list[Result], changed: list[Result], port: str) -> int:
    before, after = (_mean(run.spread(port, ["sum"])["sum"] for run in runs) for runs in (base, changed))
    difference = after.sub(before, fill_value=0.0)
    local = pd.DatetimeIndex(difference.index).tz_convert(base[0].provenance["clock"]["zone"])
    # a row covers the time before it
    by_hour = difference.groupby((local - pd.Timedelta(seconds=1)).hour).mean()
    return int(by_hour.abs().idxmax())
