"""How do indicators read on a terminal?"""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .results import Result

if TYPE_CHECKING:
    from .coupling import CouplingError


def render(table: Table, width: int = 100) -> str:
    """Return a table as plain text."""
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(table)
    return console.file.getvalue().rstrip()  # type: ignore[attr-defined, no-any-return]


def number(value: float) -> str:
    """Return a number with four significant digits, thousands separated.

    >>> number(1234567.0), number(0.012346), number(0.99996), number(54.0), number(float("nan"))
    ('1,234,567', '0.01235', '1.000', '54', '–')
    """
    if value != value:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1e4 or value == round(value) else f"{value:#,.4g}"


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


def comparison_table(results: list[Result], names: list[str]) -> Table:
    """Return the indicators of several runs side by side, with the difference to the first."""
    table = Table(title="Comparison", title_justify="left")
    table.add_column("indicator")
    for name in names:
        table.add_column(name, justify="right")
    table.add_column("difference", justify="right")
    table.add_column("unit")
    base = results[0].indicators
    for name, first in base.items():
        values = [r.indicators[name].value if name in r.indicators else float("nan") for r in results]
        change = values[-1] - first.value
        relative = f" ({change / first.value:+.1%})" if first.value and change == change else ""
        sign = "+" if change > 0 else ""
        table.add_row(name, *(number(v) for v in values), f"{sign}{number(change)}{relative}", first.unit)
    return table
