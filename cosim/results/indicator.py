"""Indicators and their changes by plans, as plain data for tables and pages."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from numbers import Real
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np

from cosim.core.arguments import require, shown
from cosim.core.errors import CosimError
from cosim.core.units import is_level

from .statistics import PairedDifference

Role: TypeAlias = Literal[
    "",
    "bar",
    "yearly cost",
    "yearly cost, low",
    "yearly cost, high",
    "cost of a payer",
    "saving investment",
    "without a price",
    "emissions",
    "energy bill",
    "households",
    "people",
    "exposed",
]


@dataclass(frozen=True)
class Indicator:
    """A number by which a run is judged.

    Parameters
    ----------
    value
        The number.
    unit
        Its unit, as displayed.
    better
        Whether lower or higher is better; None if neither is.
    about
        Its definition, in one line.
    headline
        A sentence that answers a question by it, such as whether a transformer is overloaded; the report begins with
        these.
    role
        What reports make of it. ``"bar"``: one bar of the chart by which its name begins, as in ``"residents by NO2: 20
        to 30 µg/m³"``, which tables leave out. All others are terms of cost against effect: the yearly cost and its
        ends [EUR/year], parts of it by payer, named after a colon; the investment by which bills are saved [EUR];
        amounts of a measure without a price; emissions [kg]; the energy bill of a household [EUR] and the number of
        households; the number of people, and the share of them above a limit [%].

    Raises
    ------
    CosimError
        If the value is not a number, or ``better`` is invalid.
    """

    value: float
    unit: str
    better: Literal["lower", "higher"] | None = None
    about: str = ""
    headline: str = ""
    role: Role = ""

    def __post_init__(self) -> None:
        require(self.value, Real, "the value of an indicator", "it must be a number")
        if self.better not in (None, "lower", "higher"):
            raise CosimError(f"better of an indicator is {shown(self.better)}: write 'lower', 'higher' or None")

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON data; a value that is not a number becomes null."""
        return asdict(self) | {"value": float(self.value) if np.isfinite(self.value) else None}

    def __str__(self) -> str:
        if not np.isfinite(self.value):
            return f"– ({self.about})" if self.about else "–"
        return f"{self.value:,.4g} {self.unit}".rstrip() if abs(self.value) < 1e4 else f"{self.value:,.0f} {self.unit}"


@dataclass(frozen=True, kw_only=True)
class Change:
    """The change of one indicator by a plan.

    Parameters
    ----------
    indicator, unit, better, about, role
        As in `Indicator`.
    base, plan
        Means over the pairs.
    difference
        The difference plan − base with its intervals; None if no pair has both values.
    """

    indicator: str
    unit: str
    better: Literal["lower", "higher"] | None
    about: str
    base: float
    plan: float
    difference: PairedDifference | None
    role: Role = ""

    @property
    def relative(self) -> float:
        """The difference as a share of the base; NaN for a base of zero, and for levels, of which none is a share."""
        return (self.plan - self.base) / abs(self.base) if self.base and not is_level(self.unit) else math.nan

    @property
    def verdict(self) -> str:
        """The conclusion about the difference."""
        return self.difference.verdict if self.difference is not None else "no values to compare"

    @property
    def direction(self) -> Literal["better", "worse"] | None:
        """Whether a significant change is for the better or the worse; None without a conclusion."""
        if self.better is None or self.verdict not in ("higher", "lower"):
            return None
        return "better" if self.verdict == self.better else "worse"


class Compared(Protocol):
    """The part of a comparison that tables and pages show."""

    @property
    def base_name(self) -> str:
        """The name of the base."""

    @property
    def changes(self) -> Mapping[str, Sequence[Change]]:
        """The changes of every plan, by its name."""

    @property
    def unshared(self) -> Mapping[str, Sequence[str]]:
        """Indicators that only the base or only a plan has, by plan."""

    @property
    def cautions(self) -> Mapping[str, Sequence[str]]:
        """What the runs differ in beyond the plan and the seed, by plan."""
