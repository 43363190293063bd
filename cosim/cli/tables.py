"""Tables that the commands print: an adapter's verdicts, plug-ins, a scenario's parameters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from cosim.registry.plugins import KINDS, installed

if TYPE_CHECKING:
    from cosim.testing import Verdict

MARKS = {
    "passed": "[green]passed[/]",
    "failed": "[red]FAILED[/]",
    "excused": "[yellow]excused[/]",
    "skipped": "[dim]skipped[/]",
}


def verdict_table(name: str, verdicts: Sequence[Verdict]) -> Table:
    """Return the verdict of every check, with the fix for every failure."""
    table = Table(title=name, title_justify="left")
    for column in ("check", "verdict", "what to do"):
        table.add_column(column)
    for v in verdicts:
        table.add_row(v.check, MARKS[v.status], escape("\n".join(filter(None, [v.reason, *map(str, v.findings)]))))
    return table


def plugin_table(group: str) -> Table:
    """Return the plug-ins of an entry point group; those that cannot be loaded with the reason."""
    table = Table(KINDS[group], "description", "package")
    for plugin in installed(group):
        about = f"[red]cannot be loaded:[/] {escape(plugin.problem)}" if plugin.problem else escape(plugin.about)
        table.add_row(escape(plugin.name), about, escape(plugin.package))
    return table


def parameter_table(name: str, rows: Iterable[Sequence[str]]) -> Table:
    """Return a scenario's parameters: name, type, default and meaning."""
    table = Table(title=name, title_justify="left")
    for column in ("parameter", "type", "default", "meaning"):
        table.add_column(column)
    for row in rows:
        table.add_row(*map(escape, row))
    return table
