"""The command line: ``cosim run``, ``resume``, ``show``, ``list``, ``compare``, ``report``, ``view``, …"""

from __future__ import annotations

import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cosim.core.errors import CosimError
from cosim.engine.interrupts import interruptible

from .adapters import check_command, new
from .export import export_command
from .live import live_command
from .outcome import relative, show_result
from .plugins import Commands, across_scenarios, command_points, load_command
from .shell import one_line, terminal, wide_terminal
from .study import study_command
from .worker import worker_command

if TYPE_CHECKING:
    from cosim.results.comparison import Comparison
    from cosim.results.result import Result

app = typer.Typer(
    cls=Commands,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Target = Annotated[
    str,
    typer.Argument(
        metavar="NAME|FILE.py|MODULE:BUILD", help="A registered scenario, or a file or module with build()."
    ),
]
Folders = Annotated[list[Path], typer.Argument(metavar="FOLDER...", help="Folders of runs, the base first.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="A parameter of build(); may be repeated."),
]
Policies = Annotated[
    list[str] | None,
    typer.Option(
        "--policy",
        metavar="NAME:PARAMETER=VALUE,…",
        help="A policy, by name or as FILE.py:CLASS or MODULE:CLASS; may be repeated, applied in order.",
    ),
]
Additions = Annotated[
    list[str] | None,
    typer.Option(
        "--add",
        metavar="NAME=FILE.py:CLASS,…",
        help="An adapter to add; arguments of its constructor follow, separated by commas.",
    ),
]
Connections = Annotated[
    list[str] | None,
    typer.Option(
        "--connect",
        metavar="A.OUTPUT=B.INPUT,…",
        help="A connection to add; delay=, initial=, … follow, separated by commas.",
    ),
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of all random draws.")]
Report = Annotated[bool, typer.Option("--report/--no-report", help="Write report.html into the folder.")]
Timeout = Annotated[float | None, typer.Option("--timeout", help="Time limit of a step in a worker process. [s]")]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]


def _print_version(wanted: bool) -> None:
    if wanted:
        terminal(highlight=False).print(f"cosim {version('cosim-city')}")
        raise typer.Exit


@app.callback()
def _whole(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Co-simulation of traffic, buildings and the electric grid."""


@app.command("run")
def run_command(
    target: Target,
    settings: Settings = None,
    policies: Policies = None,
    additions: Additions = None,
    connections: Connections = None,
    seed: Seed = 0,
    out: Annotated[Path | None, typer.Option("--out", help="Folder of the result.")] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an unfinished run in the folder of --out.")
    ] = False,
    parameters: Annotated[
        bool, typer.Option("--parameters", help="List the parameters, or those of each --policy, and exit.")
    ] = False,
    report: Report = True,
    timeout: Timeout = None,
    checkpoints: Annotated[
        str | None, typer.Option("--checkpoint-every", metavar="6h", help="Simulated time between checkpoints.")
    ] = None,
    coupling: Annotated[
        bool, typer.Option("--coupling-check", help="Repeat at half and a quarter of the exchange step and compare.")
    ] = False,
    window: Annotated[
        float | None, typer.Option("--hours", help="With --coupling-check: length of the window. [h]")
    ] = None,
    seeds: Annotated[
        int | None, typer.Option("--seeds", min=1, help="With --coupling-check: number of seeds; 3 by default.")
    ] = None,
    debug: Debug = False,
) -> None:
    """Run a scenario, print its indicators and write a report."""
    from cosim.registry.builder import load_builder
    from cosim.registry.parameters import policy_parameters

    console = terminal()
    with one_line(debug), interruptible():
        if not coupling and (window, seeds) != (None, None):
            raise CosimError("--hours and --seeds need --coupling-check; set the length of a run with --set")
        if coupling and (timeout, checkpoints) != (None, None):
            raise CosimError("--coupling-check makes its own short runs: omit --timeout and --checkpoint-every")
        builder = load_builder(target)
        if parameters:
            from .tables import parameter_table

            for name, rows in map(policy_parameters, policies or []):
                console.print(parameter_table(name, rows))
            if not policies:
                console.print(parameter_table(builder.name, builder.parameters.rows()))
            return
        with console.status(f"building {target}"):
            scenario, *others = (
                builder(
                    settings or [],
                    policies or [],
                    seed=seed + k,
                    adapters=additions or [],
                    connections=connections or [],
                )
                for k in range((seeds or 3) if coupling else 1)
            )
        if coupling:
            from cosim.study.coupling_error import coupling_error, coupling_table

            console.print(coupling_table(coupling_error(scenario, out, hours=window, others=others, progress=True)))
            return
        if how := scenario.setup().thinned:
            console.print(f"recording: {how}", soft_wrap=True, highlight=False)
        result = scenario.run(out, progress=True, timeout_s=timeout, checkpoint_every=checkpoints, overwrite=overwrite)
        show_result(console, result, report=report)


@app.command("resume")
def resume_command(
    folder: Annotated[Path, typer.Argument(help="Folder of a run that was interrupted, killed or failed.")],
    report: Report = True,
    timeout: Timeout = None,
    debug: Debug = False,
) -> None:
    """Resume the run in FOLDER from its newest checkpoint; the result is the same to the last byte."""
    from cosim.live.build import build_again
    from cosim.results.result import Result

    console = terminal()
    with one_line(debug), interruptible():
        about = Result.open(folder).provenance
        if about.get("builder") is None:
            raise CosimError(f"{folder} was run by a script: build the scenario there and call scenario.resume(...)")
        with console.status(f"building {about['builder']['target']}"):
            scenario = build_again(about["builder"], seed=about["seed"])
        show_result(console, scenario.resume(folder.resolve(), progress=True, timeout_s=timeout), report=report)


@app.command("show")
def show_command(
    target: Annotated[
        str,
        typer.Argument(
            metavar="NAME|FILE.py|MODULE:BUILD|FOLDER",
            help="A registered scenario, a file or module with build(), or the folder of a run.",
        ),
    ],
    settings: Settings = None,
    policies: Policies = None,
    additions: Additions = None,
    connections: Connections = None,
    seed: Seed = 0,
    times: Annotated[Path | None, typer.Option("--times", help="Folder of a run, to show its wall times.")] = None,
    labels: Annotated[
        list[str] | None,
        typer.Option("--labels", metavar="PORT|ADAPTER", help="Print the elements of these ports; may be repeated."),
    ] = None,
    plan: Annotated[
        Path | None, typer.Option("--map", metavar="FILE", help="Write a map page of the scenario.")
    ] = None,
    debug: Debug = False,
) -> None:
    """Print a scenario's adapters, ports, connections and critical path, or its elements, without running it."""
    from cosim.live.build import build_again
    from cosim.registry.builder import load_builder
    from cosim.results.result import Result

    from .describe import describe, describe_labels

    console = wide_terminal()
    with one_line(debug):
        wall_s = None if times is None else Result.open(times).provenance["wall_s"]
        if (Path(target) / "run.json").is_file():
            if settings or policies or additions or connections or seed:
                raise CosimError(f"{target} is a run, shown as it was built: omit --set, --policy, --add and the like")
            about = Result.open(Path(target)).provenance
            if about.get("builder") is None:
                raise CosimError(f"{target} was run by a script: build the scenario there, and print(scenario)")
            scenario = build_again(about["builder"], seed=about["seed"])
        else:
            scenario = load_builder(target)(
                settings or [], policies or [], seed=seed, adapters=additions or [], connections=connections or []
            )
        if plan is not None:
            from cosim.report import write_map

            ports = [layer.port.partition(".") for layer in scenario.layers if layer.port in scenario.outputs()]
            meanings = {f"{name}.{port}": scenario.adapters[name].describe(port) for name, _, port in ports}
            page = write_map(scenario.name, scenario.layers, plan, facts=scenario.facts, meanings=meanings)
            console.print(f"map in {relative(page)}", soft_wrap=True)
        for part in describe_labels(scenario, labels) if labels else () if plan else describe(scenario, wall_s):
            console.print(part, soft_wrap=isinstance(part, str))


@app.command("list")
def list_command(debug: Debug = False) -> None:
    """List the installed scenarios, policies and adapters."""
    from cosim.registry import plugins

    from .tables import plugin_table

    with one_line(debug):
        for group in (plugins.SCENARIOS, plugins.POLICIES, plugins.ADAPTERS):
            terminal().print(plugin_table(group))
        for point in command_points().values():  # the help lists those that load; say what the others lack
            load_command(point)


@app.command("compare")
def compare_command(
    folders: Folders,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Repeat every run until there are this many seeds.")] = 1,
    by_area: Annotated[
        bool, typer.Option("--by-area", help="Show changes inside the policies' areas, along their border, elsewhere.")
    ] = False,
    timeout: Timeout = None,
    debug: Debug = False,
) -> None:
    """Compare the plans in the second and later FOLDERS with the base in the first, seed by seed.

    Runs of several cities, of each its base and then its plans, are shown beside each other by resident.
    """
    from cosim.results.tables import comparison_tables

    console = terminal()
    if not console.is_terminal:
        console = terminal(width=150)  # a file has no width to wrap at
    with one_line(debug, "interrupted; finished repeats are kept, run the same command to continue"), interruptible():
        if table := across_scenarios(folders):
            console.print(table)
            return
        compared = _compared(folders, seeds, timeout)
        if by_area:
            from cosim.results.areas import by_area as changes_by_area

        for table in comparison_tables(changes_by_area(compared) if by_area else compared):
            console.print(table)


@app.command("report")
def report_command(
    folders: Folders,
    out: Annotated[
        Path | None, typer.Option("--out", help="The file; by default in the folder of the run or of the first plan.")
    ] = None,
    figures: Annotated[bool, typer.Option("--figures", help="Also write maps and curves as PNG and SVG.")] = False,
    debug: Debug = False,
) -> None:
    """Write a report on a run, or on plans compared with a base, as one HTML file that needs no network."""
    from cosim.report import write_figures, write_report

    console = terminal()
    with one_line(debug), interruptible():
        runs = _opened(folders)
        page = write_report(runs, out)
        console.print(str(relative(page)), soft_wrap=True)
        for path in write_figures(runs, page.parent / "figures") if figures else ():
            console.print(str(relative(path)), soft_wrap=True)


@app.command("view")
def view_command(
    folders: Folders,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Port on 127.0.0.1; 0 for any free port.")
    ] = 8470,
    debug: Debug = False,
) -> None:
    """Show runs in a browser from a local server, which reads only the data that is viewed; Ctrl-C ends it."""
    from cosim.report.server import ReportServer

    with one_line(debug), interruptible(), ReportServer(_opened(folders), port) as server:
        terminal().print(f"open {server.address} in a browser; Ctrl-C ends the server", soft_wrap=True)
        server.serve()


def _opened(folders: list[Path]) -> Result | Comparison:
    """Return a run, or a comparison of several runs including the repeats in their folders."""
    from cosim.results.result import Result

    return Result.open(folders[0]) if len(folders) == 1 else _compared(folders, 1, None)


def _compared(folders: list[Path], seeds: int, timeout: float | None) -> Comparison:
    from cosim.results.comparison import compare, distinct_names
    from cosim.results.result import Result
    from cosim.study.repeats import check_repeatable, repeat, with_repeats

    if len(folders) < 2:
        raise CosimError("compare needs the folders of a base and at least one plan")
    places = [folder.resolve() for folder in folders]
    twice = next((folder for folder, place in zip(folders, places) if places.count(place) > 1), None)
    if twice is not None:
        raise CosimError(f"duplicate folder {twice}: a run cannot be compared with itself")
    runs = [Result.open(folder) for folder in folders]
    compare(*runs)  # runs that cannot be compared are refused before anything is repeated
    first = int(runs[0].provenance["seed"])
    for run in runs:
        check_repeatable(run, range(first, first + seeds))
    for run in runs:
        repeat(run, range(first, first + seeds), progress=True, timeout_s=timeout)
    return compare(*map(with_repeats, runs), names=distinct_names(folders))


app.command("check")(check_command)
app.add_typer(new, name="new")
app.command("study")(study_command)
app.command("export")(export_command)
app.command("live")(live_command)
app.command("worker")(worker_command)


def main() -> None:
    """Run the command line."""
    # Typer reports its own parameter errors in one line; a closed pipe (| head) is not an error.
    try:
        app()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
