"""What packages register for the command line, loaded when it is used or listed.

The entry point group ``cosim.commands`` holds commands; ``cosim.comparisons`` holds functions that make a table of runs
of several scenarios, or None of runs that are none of their concern.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_group

from .shell import print_error


def command_points() -> dict[str, EntryPoint]:
    """Return the registered commands by name, in alphabetical order."""
    return {point.name: point for point in sorted(entry_points(group="cosim.commands"), key=lambda p: p.name)}


def load_command(point: EntryPoint) -> Any:
    """Return a registered command; if it cannot be loaded, print the reason and return None."""
    group = typer.Typer(rich_markup_mode=None)
    try:
        group.add_typer(point.load(), name=point.name)
        return get_group(group).commands[point.name]
    except Exception as error:
        print_error(f"cosim {point.name} is unavailable, cannot load its plug-in: {type(error).__name__}: {error}")
        return None


def across_scenarios(folders: Sequence[Path]) -> Any:
    """Return a table of runs that have no base in common, by the first package that makes one of them, or None."""
    from cosim.results.result import Result

    runs = [Result.open(folder) for folder in folders]
    for point in sorted(entry_points(group="cosim.comparisons"), key=lambda p: p.name):
        table = point.load()(runs)
        if table is not None:
            return table
    return None


class Commands(TyperGroup):
    """The command line's own commands, followed by those of plug-ins."""

    def list_commands(self, ctx: Any) -> list[str]:
        own = super().list_commands(ctx)
        return [*own, *(name for name in command_points() if name not in own)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        own = super().get_command(ctx, cmd_name)
        if own is not None:
            return own
        point = command_points().get(cmd_name)
        return None if point is None else load_command(point)
