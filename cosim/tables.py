"""How do indicators read on a terminal?"""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .results import Result
from .statistics import Interval

if TYPE_CHECKING:
    from .comparison import Change, Comparison
    from .coupling import CouplingError


def render(table: Table, width: int = 100) -> str:
    """Return a table as plain text."""
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(table)
    return console.file.getvalue().rstrip()  # type: ignore[attr-defined, no-any-return]


def number(value: float) -> str:
    """Return a number with four significant digits, thousands separated.

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


def indicator_table(result: Result) -> Table:
    """Return the indicators of one run as a table."""
    table = Table(title=result.name, title_justify="left")
    table.add_column("indicator")
    table.add_column("value", justify="right")
    table.add_column("unit")
    for name, indicator in result.indicators.items():
        table.add_row(escape(name), number(indicator.value), escape(indicator.unit))
    return table


def coupling_table(found: CouplingError) -> Table:
    """Return what the exchange step does to each indicator as a table."""
    table = Table(title="Coupling error", title_justify="left")
    table.add_column("indicator")
    for divisor in (1, 2, 4):
        table.add_column(f"{found.step_s / divisor:g} s", justify="right")
    table.add_column("difference", justify="right")
    table.add_column("error", justify="right")
    table.add_column(f"spread of {found.n_seeds} seeds" if found.n_seeds > 1 else "spread", justify="right")
    table.add_column("unit")
    table.add_column("verdict")
    for name, row in found.indicators.items():
        shown = [number(math.nan if v is None else v) for v in (*row.values, row.difference, row.error, row.spread)]
        table.add_row(escape(name), *shown, escape(row.unit), row.verdict)
    return table


def signed(value: float) -> str:
    """Return a difference with its sign.

    >>> signed(3.0), signed(-0.25), signed(0.0)
    ('+3', '−0.2500', '0')
    """
    return ("+" if value > 0 else "") + number(value).replace("-", "−")


def interval(found: Interval) -> str:
    """Return an interval, or a dash for one that is not known.

    >>> interval(Interval(-1.0, 2.0)), interval(Interval(math.nan, math.nan))
    ('−1 … +2', '–')
    """
    return f"{signed(found.low)} … {signed(found.high)}" if math.isfinite(found.low) else "–"


def comparison_tables(comparison: Comparison) -> list[Table]:
    """Return for each plan a table of its indicators beside the base's, with how sure each difference is."""
    tables = []
    for plan, changes in comparison.changes.items():
        table = Table(title=escape(f"{plan} against {comparison.base_name}"), title_justify="left")
        table.add_column("indicator")
        for name in (comparison.base_name, plan, "difference", "95 % by t", "95 % by BCa"):
            table.add_column(escape(name), justify="right")
        for name in ("unit", "n", "verdict"):
            table.add_column(name)
        for c in changes:
            table.add_row(escape(c.indicator), number(c.base), number(c.plan), *difference_cells(c), escape(c.unit),
                          str(c.difference.n if c.difference else 0), c.verdict)  # fmt: skip
        tables.append(table)
    return tables


def difference_cells(change: Change) -> tuple[str, str, str]:
    """Return the difference, absolute and relative, and its two intervals as text."""
    found = change.difference
    if found is None:
        return "–", "–", "–"
    share = f" ({percent(change.relative)})" if found.mean and math.isfinite(change.relative) else ""
    return signed(found.mean) + share, interval(found.t), interval(found.bca)


def percent(share: float) -> str:
    """Return a share in per cent with its sign; a small one keeps a digit.

    >>> percent(0.1771), percent(-0.000052)
    ('+17.7\xa0%', '−0.005\xa0%')
    """
    text = f"{100 * share:+.1f}" if abs(share) >= 0.0005 else f"{100 * share:+.1g}"
    return f"{text}\N{NO-BREAK SPACE}%".replace("-", "−")
