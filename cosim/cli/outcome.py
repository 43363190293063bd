"""What the commands that run a scenario print at the end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from cosim.results.result import Result


def show_result(console: Console, result: Result, *, report: bool) -> None:
    """Print a run's indicators, wall times and folder, and write its report if asked."""
    if result.indicators:
        from cosim.results.tables import indicator_table

        console.print(indicator_table(result.name, result.indicators))
    console.print(_times(result.provenance["wall_s"]), soft_wrap=True)
    page = None
    if report:
        from cosim.report import write_report

        page = write_report(result)
    shown = relative(result.folder)
    console.print(f"results in {shown}" + (f", report in {relative(page)}" if page else ""), soft_wrap=True)


def _times(wall_s: dict[str, float]) -> str:
    """Return a line with the share of the wall time that the slowest simulators took."""
    whole = sum(wall_s.values()) or 1.0
    longest = sorted(wall_s, key=lambda name: -wall_s[name])
    told = ", ".join(f"{name} {wall_s[name]:.1f} s ({wall_s[name] / whole:.0%})" for name in longest[:3])
    return f"time in simulators: {told}" + (f", {len(longest) - 3} others" if len(longest) > 3 else "")


def relative(path: Path) -> Path:
    """Return a path as seen from the present folder, if it lies in it."""
    try:
        return path.resolve().relative_to(Path.cwd())
    except ValueError:
        return path
