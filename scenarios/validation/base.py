"""The base state of a twin beside published figures: a run of its day, and a year of its buildings."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

from cosim.core import CosimError, InputFileError


@dataclass(frozen=True)
class Published:
    """A published range of a quantity of a place, with its source."""

    place: str
    group: str
    name: str
    key: str
    unit: str
    low: float
    high: float
    source: str


@dataclass(frozen=True)
class Quantity:
    """A quantity of a twin beside its published range; ``value`` is NaN if the twin does not have it."""

    published: Published
    value: float

    @property
    def inside(self) -> bool:
        """Whether the value lies in the range."""
        return self.published.low <= self.value <= self.published.high

    @property
    def verdict(self) -> str:
        """Inside, outside, or not measured."""
        if math.isnan(self.value):
            return "not measured"
        return "inside" if self.inside else "outside"

    @property
    def shown(self) -> str:
        """The value with its unit."""
        return "–" if math.isnan(self.value) else _with_unit(figure(self.value), self.published.unit)

    @property
    def span(self) -> str:
        """The range with its unit."""
        low, high = figure(self.published.low), figure(self.published.high)
        return _with_unit(f"{low} to {high}", self.published.unit)

    def row(self) -> dict[str, str | float | bool | None]:
        """Return the quantity as a row of a table; a value that is not measured is None."""
        p = self.published
        return {
            "group": p.group,
            "quantity": p.name,
            "unit": p.unit,
            "value": None if math.isnan(self.value) else self.value,
            "low": p.low,
            "high": p.high,
            "verdict": self.verdict,
            "source": p.source,
        }


def published(place: str) -> list[Published]:
    """Return the published figures of a place.

    Raises
    ------
    CosimError
        If there are none.
    """
    found = [figure for figure in _table() if figure.place == place]
    if not found:
        known = ", ".join(dict.fromkeys(figure.place for figure in _table()))
        raise CosimError(f"there are no published figures of {place!r}: there are those of {known}")
    return found


def beside(place: str, measured: Mapping[str, float]) -> list[Quantity]:
    """Return a place's published figures beside the measured ones, by their keys."""
    return [Quantity(figure, float(measured.get(figure.key, math.nan))) for figure in published(place)]


def read_quantities(path: Path) -> list[Quantity]:
    """Read the quantities that ``cosim validate base NAME --json FILE`` wrote; ranges are those published by now.

    Raises
    ------
    InputFileError
        If the file is not of that kind.
    """
    try:
        written = json.loads(path.read_text(encoding="utf-8"))
        values = {row["quantity"]: row["value"] for row in written["quantities"]}
        figures = published(str(written["place"]))
        return [Quantity(f, math.nan if (v := values.get(f.name)) is None else float(v)) for f in figures]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputFileError(f"{path} holds no base state: give a file of 'cosim validate base --json'") from error


def count(quantities: Sequence[Quantity]) -> str:
    """Return how many quantities are inside, in words."""
    return f"{sum(q.inside for q in quantities)} of {len(quantities)}"


def table(quantities: Sequence[Quantity]) -> str:
    """Return the quantities as a table in Markdown."""
    rows = ["| quantity | cosim | published | | source |", "|---|---|---|---|---|"]
    for q in quantities:
        verdict = "inside" if q.inside else f"**{q.verdict}**"
        rows.append(f"| {q.published.name} | {q.shown} | {q.span} | {verdict} | {q.published.source} |")
    return "\n".join(rows)


def figure(value: float) -> str:
    """Return a number with three digits, or whole from 100 on.

    Examples
    --------
    >>> figure(21943.2), figure(0.3612), figure(7.0)
    ('21,943', '0.361', '7')
    """
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _with_unit(text: str, unit: str) -> str:
    return text if unit == "1" else f"{text} {unit}"


@cache
def _table() -> list[Published]:
    text = resources.files("cosim.scenarios.validation").joinpath("base.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    return [
        Published(
            row["place"],
            row["group"],
            row["quantity"],
            row["key"],
            row["unit"],
            float(row["low"]),
            float(row["high"]),
            row["source"],
        )
        for row in rows
    ]
