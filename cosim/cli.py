"""What does a person type? ``cosim run``, ``show``, ``list`` and ``report``."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cosim.core.errors import CosimError

app = typer.Typer(
    add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None,
    help="Co-simulation of traffic, buildings and the electric grid.",
)  # fmt: skip

Target = Annotated[str, typer.Argument(metavar="NAME|FILE.py", help="A registered scenario, or a file with build().")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="A parameter of build(); may be given several times."),
]
Seed = Annotated[int, typer.Option("--seed", help="Seed of every draw.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]


@contextlib.contextmanager
def one_line(debug: bool) -> Iterator[None]:
    """Turn what a user can cause into one line and an exit code; with debug, let the traceback through."""
    try:
        yield
    except (CosimError, OSError) as error:
        if debug:
            details = getattr(error, "details", "")
            if details:
                Console(stderr=True, markup=False, highlight=False).print(details)
            raise
        Console(stderr=True, markup=False, highlight=False, soft_wrap=True).print(f"error: {error}")
        raise typer.Exit(1) from None
    except (typer.Exit, typer.Abort):
        raise
    except Exception as error:
        if debug:
            raise
        text = f"error: {type(error).__name__}: {error}; this is unexpected, run again with --debug and report it"
        Console(stderr=True, markup=False, highlight=False, soft_wrap=True).print(text)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        Console(stderr=True).print("interrupted; what was recorded until now is readable")
        raise typer.Exit(130) from None


@app.command("run")
def run_command(
    target: Target,
    settings: Settings = None,
    seed: Seed = 0,
    out: Annotated[Path | None, typer.Option("--out", help="Folder of the result.")] = None,
    parameters: Annotated[bool, typer.Option("--parameters", help="List the parameters and stop.")] = False,
    report: Annotated[bool, typer.Option("--report/--no-report", help="Write report.html into the folder.")] = True,
    timeout: Annotated[float | None, typer.Option("--timeout", help="Longest step of a worker process. [s]")] = None,
    debug: Debug = False,
) -> None:
    """Run a scenario: progress, a table of its indicators, and a report."""
    from .registry import load_builder

    console = Console()
    with one_line(debug):
        builder = load_builder(target)
        if parameters:
            console.print(_parameter_table(builder))
            return
        with console.status(f"building {target}"):
            scenario = builder(settings or [], seed=seed)
        result = scenario.run(out, progress=True, timeout_s=timeout)
        if result.indicators:
            from .tables import indicator_table

            console.print(indicator_table(result))
        page = None
        if report:
            from .report import write_report

            page = write_report(result)
        shown = _relative(result.folder)
        console.print(f"results in {shown}" + (f", report in {_relative(page)}" if page else ""), soft_wrap=True)


@app.command("show")
def show_command(target: Target, settings: Settings = None, seed: Seed = 0, debug: Debug = False) -> None:
    """Print a scenario's adapters, ports and connections without running it."""
    from .describe import describe
    from .registry import load_builder

    with one_line(debug):
        for part in describe(load_builder(target)(settings or [], seed=seed)):
            Console().print(part)


@app.command("list")
def list_command(debug: Debug = False) -> None:
    """List the registered scenarios."""
    from .registry import registered

    with one_line(debug):
        table = Table("scenario", "what it is")
        for name, about in registered().items():
            table.add_row(escape(name), escape(about))
        Console().print(table)


@app.command("report")
def report_command(folder: Path, debug: Debug = False) -> None:
    """Write report.html for the run in FOLDER: one file that opens without a network."""
    from .report import write_report
    from .results import Result

    with one_line(debug):
        Console().print(str(_relative(write_report(Result.open(folder)))), soft_wrap=True)


def _parameter_table(builder: Any) -> Table:
    table = Table(title=builder.name, title_justify="left")
    for column in ("parameter", "type", "default", "meaning"):
        table.add_column(column)
    for row in builder.parameters():
        table.add_row(*map(escape, row))
    return table


def _relative(path: Path) -> Path:
    try:
        return path.resolve().relative_to(Path.cwd())
    except ValueError:
        return path


def main() -> None:
    """Run the command line."""
    for point in sorted(entry_points(group="cosim.commands"), key=lambda p: p.name):
        app.add_typer(point.load(), name=point.name)
    # Typer's own parameter errors are one clear line already; a closed pipe (| head) is no error of ours.
    try:
        app()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
