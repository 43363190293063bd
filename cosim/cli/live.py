"""The command that runs a scenario on live data: ``cosim live NAME|FILE.py --feed feeds.yaml``."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cosim.core.errors import CosimError
from cosim.engine.interrupts import interruptible

from .outcome import show_result
from .shell import one_line, terminal

if TYPE_CHECKING:
    from rich.table import Table

    from cosim.live.forecast import Forecasts
    from cosim.results.result import Result


def live_command(
    target: Annotated[
        str,
        typer.Argument(
            metavar="NAME|FILE.py|MODULE:BUILD", help="A registered scenario, or a file or module with build()."
        ),
    ],
    feeds: Annotated[
        Path, typer.Option("--feed", metavar="feeds.yaml", help="Topics, files, fields, units and rules.")
    ],
    speed: Annotated[
        str | None,
        typer.Option(
            "--speed",
            metavar="1|10|max",
            help="Simulated seconds a second, or as fast as data come; by default as in the file.",
        ),
    ] = None,
    publish: Annotated[
        list[str] | None,
        typer.Option(
            "--publish",
            metavar="PATTERN[=TOPIC]",
            help="Outputs to publish each step, as in 'grid.*'; may be repeated.",
        ),
    ] = None,
    every: Annotated[
        str | None, typer.Option("--every", metavar="15min", help="With --plans: simulated time between forecasts.")
    ] = None,
    plans: Annotated[
        Path | None,
        typer.Option("--plans", metavar="plans.yaml", help="Plans to run some hours ahead from the present state."),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A parameter of build(); may be repeated."),
    ] = None,
    policies: Annotated[
        list[str] | None,
        typer.Option("--policy", metavar="NAME:PARAMETER=VALUE,…", help="A policy; may be repeated, applied in order."),
    ] = None,
    additions: Annotated[
        list[str] | None, typer.Option("--add", metavar="NAME=FILE.py:CLASS,…", help="An adapter to add.")
    ] = None,
    connections: Annotated[
        list[str] | None, typer.Option("--connect", metavar="A.OUTPUT=B.INPUT,…", help="A connection to add.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of all random draws.")] = 0,
    out: Annotated[Path | None, typer.Option("--out", help="Folder of the result.")] = None,
    checkpoints: Annotated[
        str | None, typer.Option("--checkpoint-every", metavar="6h", help="Simulated time between checkpoints.")
    ] = None,
    report: Annotated[bool, typer.Option("--report/--no-report", help="Write report.html into the folder.")] = True,
    timeout: Annotated[
        float | None, typer.Option("--timeout", help="Time limit of a step in a worker process. [s]")
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Run a scenario on data that arrive meanwhile, and publish what it computes; see docs/live.md."""
    from cosim.live.build import live_scenario

    console = terminal()
    with one_line(debug), interruptible(), ExitStack() as stack:
        if (plans is None) != (every is None):
            raise CosimError("--every and --plans go together: how often to look ahead, and at what")
        if plans is not None and checkpoints is not None:
            raise CosimError("--every takes checkpoints too: omit --checkpoint-every")
        with console.status(f"building {target}"):
            scenario = live_scenario(
                target,
                settings or [],
                policies or [],
                seed=seed,
                feeds=feeds,
                speed=speed,
                publish=publish or [],
                plans=plans,
                adapters=additions or [],
                connections=connections or [],
            )
        forecasts = None
        if plans is not None:
            from cosim.live.forecast import Forecasts
            from cosim.live.plans import read_plans
            from cosim.live.wiring import read_feeds

            forecasts = Forecasts(scenario, read_plans(plans), read_feeds(feeds).broker)
            stack.enter_context(forecasts)
        result = scenario.run(
            out,
            progress=True,
            timeout_s=timeout,
            checkpoint_every=checkpoints or every,
            on_checkpoint=forecasts.start if forecasts else None,
        )
        stack.close()
        console.print(counts_table(result))
        if forecasts:
            console.print(_told(forecasts), soft_wrap=True)
        show_result(console, result, report=report)


def _told(forecasts: Forecasts) -> str:
    text = f"{forecasts.done} forecasts done"
    if forecasts.skipped:
        text += f", {forecasts.skipped} times skipped, as earlier ones were not done"
    return "\n".join([text, *(f"forecast failed: {failure}" for failure in forecasts.failures)])


def counts_table(result: Result) -> Table:
    """Return a table of what has become of the values that arrived, by stream, and of the elements by port."""
    from rich.table import Table

    from cosim.live.wiring import FEED

    counts = result.series(f"{FEED}.counts").iloc[-1]
    table = Table("stream or port", "what", "values", title="what arrived")
    table.columns[2].justify = "right"
    for label, number in counts.items():
        if number:
            table.add_row(*str(label).rsplit("|", 1), f"{number:,.0f}")
    return table
