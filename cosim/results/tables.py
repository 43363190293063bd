"""Indicators as tables for a terminal."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .indicator import Change, Compared, Indicator
from .statistics import Interval

POINTS = "pp"
"""Percentage points, the unit of a difference of percentages."""
POINTS_ARE = f"{POINTS}: percentage points"


def render(table: Table, width: int = 100) -> str:
    """Return a table as plain text."""
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(table)
    return console.file.getvalue().rstrip()  # type: ignore[attr-defined, no-any-return]


def number(value: float) -> str:
    """Return a number with four significant digits and thousands separators.

    >>> number(1234567.0), number(5871.2), number(0.012346), number(0.99996), number(54.0), number(float("nan"))
    ('1,234,567', '5,871', '0.01235', '1.000', '54', '–')
    >>> number(-0.0)
    '0'
    """
    if value != value:
        return "–"
    if value == 0:
        return "0"
    return f"{value:,.0f}" if abs(value) >= 1e4 or value == round(value) else f"{value:#,.4g}".removesuffix(".")


def indicator_table(title: str, indicators: Mapping[str, Indicator]) -> Table:
    """Return indicators as a table."""
    table = Table(title=title, title_justify="left")
    table.add_column("indicator")
    table.add_column("value", justify="right")
    table.add_column("unit")
    for name, indicator in indicators.items():
        if indicator.role == "bar":
            continue
        table.add_row(escape(name), number(indicator.value), escape(_unit_or_reason(indicator)))
    return table


def _unit_or_reason(indicator: Indicator) -> str:
    missing = not math.isfinite(indicator.value)
    return f"{indicator.unit} ({indicator.about})" if missing and indicator.about else indicator.unit


def signed(value: float) -> str:
    """Return a difference with its sign.

    >>> signed(3.0), signed(-0.25), signed(0.0)
    ('+3', '−0.2500', '0')
    """
    return ("+" if value > 0 else "") + number(value).replace("-", "−")


def interval(found: Interval) -> str:
    """Return an interval as text, or a dash if it is unknown.

    >>> interval(Interval(-1.0, 2.0)), interval(Interval(math.nan, math.nan))
    ('−1 … +2', '–')
    """
    return f"{signed(found.low)} … {signed(found.high)}" if math.isfinite(found.low) else "–"


def comparison_tables(comparison: Compared) -> list[Table]:
    """Return for each plan a table of its indicators and those of the base, with the intervals of the differences."""
    tables = []
    for plan, changes in comparison.changes.items():
        table = Table(title=escape(f"{plan} against {comparison.base_name}"), title_justify="left")
        table.add_column("indicator")
        for name in (comparison.base_name, plan, "difference", "95 % by t", "95 % by BCa"):
            table.add_column(escape(name), justify="right")
        for name in ("unit", "n", "verdict"):
            table.add_column(name)
        for c in changes:
            if c.role == "bar":
                continue
            table.add_row(
                escape(c.indicator),
                number(c.base),
                number(c.plan),
                *difference_cells(c),
                escape(c.unit),
                str(c.difference.n if c.difference else 0),
                c.verdict,
            )
        noted = [f"caution: {text}" for text in comparison.cautions.get(plan, ())]
        noted += [POINTS_ARE] if any(c.unit.startswith("%") for c in changes) else []
        if noted:
            table.caption = escape("\n".join(noted))
            table.caption_justify, table.caption_style = "left", "bold"
        tables.append(table)
    return tables


def difference_cells(change: Change) -> tuple[str, str, str]:
    """Return the difference, absolute and relative, and its two intervals as text; of percentages in points alone."""
    found = change.difference
    if found is None:
        return "–", "–", "–"
    if change.unit.startswith("%"):
        return f"{signed(found.mean)} {POINTS}" if found.mean else signed(0.0), interval(found.t), interval(found.bca)
    share = f" ({percent(change.relative)})" if found.mean and math.isfinite(change.relative) else ""
    return signed(found.mean) + share, interval(found.t), interval(found.bca)


def percent(share: float) -> str:
    """Return a share in per cent with its sign; small shares keep one significant digit.

    >>> percent(0.1771), percent(-0.000052)
    ('+17.7\xa0%', '−0.005\xa0%')
    """
    text = f"{100 * share:+.1f}" if abs(share) >= 0.0005 else f"{100 * share:+.1g}"
    return f"{text}\N{NO-BREAK SPACE}%".replace("-", "−")
