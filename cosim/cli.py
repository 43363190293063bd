"""What does a person type? ``cosim run``, ``resume``, ``show``, ``list``, ``compare``, ``report``, ``view``, …"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points, version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cosim.core.errors import CosimError

from .integrator import check_command, new
from .study.command import study_command

if TYPE_CHECKING:
    from .comparison import Comparison
    from .results import Result

app = typer.Typer(
    add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)  # fmt: skip

Target = Annotated[str, typer.Argument(metavar="NAME|FILE.py", help="A registered scenario, or a file with build().")]
Folders = Annotated[list[Path], typer.Argument(metavar="FOLDER...", help="Folders of runs; a base comes first.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="A parameter of build(); may be given several times."),
]
Policies = Annotated[
    list[str] | None,
    typer.Option("--policy", metavar="NAME:PARAMETER=VALUE,…", help="A policy; may be given several times, in order."),
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of every draw.")]
Report = Annotated[bool, typer.Option("--report/--no-report", help="Write report.html into the folder.")]
Timeout = Annotated[float | None, typer.Option("--timeout", help="Longest step of a worker process. [s]")]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]


_RECORDED = "interrupted; what was recorded until now is readable, and cosim resume goes on from the last checkpoint"


@contextlib.contextmanager
def one_line(debug: bool, interrupted: str = "interrupted") -> Iterator[None]:
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
        Console(stderr=True, markup=False, highlight=False, soft_wrap=True).print(interrupted)
        raise typer.Exit(130) from None


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Let SIGTERM, by which batch systems announce the end of a job's time, end a run as Ctrl-C does."""

    def end(*_: object) -> None:
        if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as in a job that a shell runs in the background
            signal.signal(signal.SIGINT, signal.default_int_handler)
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _print_version(wanted: bool) -> None:
    if wanted:
        Console(highlight=False).print(f"cosim {version('cosim')}")
        raise typer.Exit


@app.callback()
def _whole(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Co-simulation of traffic, buildings and the electric grid."""


@app.command("run")
def run_command(
    target: Target,
    settings: Settings = None,
    policies: Policies = None,
    seed: Seed = 0,
    out: Annotated[Path | None, typer.Option("--out", help="Folder of the result.")] = None,
    parameters: Annotated[bool, typer.Option("--parameters", help="List the parameters and stop.")] = False,
    report: Report = True,
    timeout: Timeout = None,
    checkpoints: Annotated[
        str | None, typer.Option("--checkpoint-every", metavar="6h", help="Save the state to resume from this often.")
    ] = None,
    coupling: Annotated[
        bool, typer.Option("--coupling-check", help="Repeat at half and a quarter of the exchange step and compare.")
    ] = False,
    window: Annotated[
        float | None, typer.Option("--hours", help="With --coupling-check: length of the window. [h]")
    ] = None,
    seeds: Annotated[
        int | None, typer.Option("--seeds", min=1, help="With --coupling-check: seeds in the spread; 3 by default.")
    ] = None,
    debug: Debug = False,
) -> None:
    """Run a scenario: progress, a table of its indicators, and a report."""
    from .registry import load_builder

    console = Console()
    with one_line(debug, _RECORDED), interruptible():
        if not coupling and (window, seeds) != (None, None):
            raise CosimError("--hours and --seeds belong to --coupling-check; a run's length is set with --set")
        if coupling and (timeout, checkpoints) != (None, None):
            raise CosimError("--coupling-check makes short runs of its own: leave --timeout and --checkpoint-every out")
        builder = load_builder(target)
        if parameters:
            console.print(_parameter_table(builder))
            return
        with console.status(f"building {target}"):
            scenario, *others = (
                builder(settings or [], policies or [], seed=seed + k) for k in range((seeds or 3) if coupling else 1)
            )
        if coupling:
            from .tables import coupling_table

            console.print(coupling_table(scenario.coupling_error(out, hours=window, others=others, progress=True)))
            return
        result = scenario.run(out, progress=True, timeout_s=timeout, checkpoint_every=checkpoints)
        _show_result(console, result, report=report)


@app.command("resume")
def resume_command(
    folder: Annotated[Path, typer.Argument(help="Folder of a run that was interrupted, killed or failed.")],
    report: Report = True,
    timeout: Timeout = None,
    debug: Debug = False,
) -> None:
    """Go on with the run in FOLDER from its newest checkpoint, to the same result to the last byte."""
    from .registry import load_builder
    from .results import Result

    console = Console()
    with one_line(debug, _RECORDED), interruptible():
        about = Result.open(folder).provenance
        if about.get("builder") is None:
            raise CosimError(f"{folder} was run by a script: let it build its scenario and call scenario.resume(...)")
        builder, folder = about["builder"], folder.resolve()
        # Settings may name files by where they are from the folder in which the run was started.
        with console.status(f"building {builder['target']}"), contextlib.chdir(builder["folder"]):
            scenario = load_builder(builder["target"])(
                builder["settings"], builder.get("policies", []), seed=about["seed"]
            )
        _show_result(console, scenario.resume(folder, progress=True, timeout_s=timeout), report=report)


@app.command("show")
def show_command(
    target: Target,
    settings: Settings = None,
    policies: Policies = None,
    seed: Seed = 0,
    times: Annotated[Path | None, typer.Option("--times", help="A run's folder, for wall times on the path.")] = None,
    debug: Debug = False,
) -> None:
    """Print a scenario's adapters, ports, connections and critical path without running it."""
    from .describe import describe
    from .registry import load_builder
    from .results import Result

    with one_line(debug):
        wall_s = None if times is None else Result.open(times).provenance["wall_s"]
        for part in describe(load_builder(target)(settings or [], policies or [], seed=seed), wall_s):
            Console().print(part)


@app.command("list")
def list_command(debug: Debug = False) -> None:
    """List the installed scenarios, policies and adapters."""
    from . import plugins
    from .integrator import plugin_table

    with one_line(debug):
        for group in (plugins.SCENARIOS, plugins.POLICIES, plugins.ADAPTERS):
            Console().print(plugin_table(group))


@app.command("compare")
def compare_command(
    folders: Folders,
    seeds: Annotated[
        int, typer.Option("--seeds", min=1, help="Repeat every run until it is there with this many seeds.")
    ] = 1,
    timeout: Timeout = None,
    debug: Debug = False,
) -> None:
    """Compare the plans in the second and later FOLDERS with the base in the first, seed by seed."""
    from .tables import comparison_tables

    console = Console()
    if not console.is_terminal:
        console = Console(width=150)  # a file has no edge to fold at
    with one_line(debug, "interrupted; finished repeats are kept, the same command goes on"), interruptible():
        for table in comparison_tables(_compared(folders, seeds, timeout)):
            console.print(table)


@app.command("report")
def report_command(
    folders: Folders,
    out: Annotated[
        Path | None, typer.Option("--out", help="The file; by default in the folder of the run, or of the first plan.")
    ] = None,
    figures: Annotated[bool, typer.Option("--figures", help="Also write maps and curves as PNG and SVG.")] = False,
    debug: Debug = False,
) -> None:
    """Write one HTML file on the run in FOLDER, or on plans beside a base: it opens without a network."""
    from .report import write_figures, write_report

    console = Console()
    with one_line(debug), interruptible():
        runs = _opened(folders)
        page = write_report(runs, out)
        console.print(str(_relative(page)), soft_wrap=True)
        for path in write_figures(runs, page.parent / "figures") if figures else ():
            console.print(str(_relative(path)), soft_wrap=True)


@app.command("view")
def view_command(
    folders: Folders,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Port on 127.0.0.1; 0 takes a free one.")
    ] = 8470,
    debug: Debug = False,
) -> None:
    """Show runs in a browser from a server on this machine, which reads as much as is looked at; Ctrl-C ends it."""
    from .view import Server

    with one_line(debug), interruptible(), Server(_opened(folders), port) as server:
        Console().print(f"open {server.address} in a browser; Ctrl-C ends this", soft_wrap=True)
        server.serve()


def _opened(folders: list[Path]) -> Result | Comparison:
    """Return a run, or a comparison of several with the repeats that lie in their folders."""
    from .results import Result

    return Result.open(folders[0]) if len(folders) == 1 else _compared(folders, 1, None)


def _compared(folders: list[Path], seeds: int, timeout: float | None) -> Comparison:
    from .comparison import compare, distinct_names, repeat, with_repeats
    from .results import Result

    if len(folders) < 2:
        raise CosimError("compare needs the folders of a base and of at least one plan")
    places = [folder.resolve() for folder in folders]
    twice = next((folder for folder, place in zip(folders, places) if places.count(place) > 1), None)
    if twice is not None:
        raise CosimError(f"{twice} is named twice: a run shows nothing beside itself")
    runs = [Result.open(folder) for folder in folders]
    compare(*runs)  # what cannot be compared is said before anything is repeated
    first = int(runs[0].provenance["seed"])
    for run in runs:
        repeat(run, range(first, first + seeds), progress=True, timeout_s=timeout)
    return compare(*map(with_repeats, runs), names=distinct_names(folders))


app.command("check")(check_command)
app.add_typer(new, name="new")
app.command("study")(study_command)


def _show_result(console: Console, result: Result, *, report: bool) -> None:
    if result.indicators:
        from .tables import indicator_table

        console.print(indicator_table(result))
    page = None
    if report:
        from .report import write_report

        page = write_report(result)
    shown = _relative(result.folder)
    console.print(f"results in {shown}" + (f", report in {_relative(page)}" if page else ""), soft_wrap=True)


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
        try:
            app.add_typer(point.load(), name=point.name)
        except Exception as error:
            text = f"cosim {point.name} is left out, its plug-in does not load: {type(error).__name__}: {error}"
            Console(stderr=True, markup=False, highlight=False, soft_wrap=True).print(text)
    # Typer's own parameter errors are one clear line already; a closed pipe (| head) is no error of ours.
    try:
        app()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
