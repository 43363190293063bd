"""The commands ``cosim validate base``, ``bestest``, ``counts``, ``response`` and ``vdi6007``."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from cosim.cli.shell import one_line, terminal

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Compare the building kernel with published test cases, and twins and travellers with published figures.",
)

Cases = Annotated[
    Path,
    typer.Option("--cases", metavar="DIR", exists=True, file_okay=False, help="Folder of the published cases."),
]
Json = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write every figure to a JSON file.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]


def _write(path: Path | None, content: object) -> None:
    if path is not None:
        path.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")


@app.command("vdi6007")
def vdi6007_command(cases: Cases, json_file: Json = None, debug: Debug = False) -> None:
    """Largest error of the VDI 6007-1 test cases at steps of 60 s, 15 min and 1 h."""
    from rich.table import Table  # here and below: the command line's help lists this command and needs none of it

    from cosim.scenarios.validation.vdi6007 import outcomes

    with one_line(debug):
        found = outcomes(cases)
        rows = [
            {
                "case": o.case,
                "step_s": o.step_s,
                "largest_error": o.largest_error,
                "unit": o.unit,
                "threshold": o.threshold,
                "inside": o.inside,
            }
            for o in found
        ]
        _write(json_file, {"cases": rows, "inside": sum(o.inside for o in found), "of": len(found)})
        table = Table("case", "step", "largest error", "threshold", "")
        for o in found:
            table.add_row(
                o.case,
                f"{o.step_s:g} s",
                f"{o.largest_error:.3f} {o.unit}",
                f"{o.threshold:g} {o.unit}",
                "inside" if o.inside else "OUTSIDE",
            )
        terminal().print(table)


@app.command("bestest")
def bestest_command(
    cases: Cases,
    weather: Annotated[
        Path,
        typer.Option("--weather", metavar="EPW", exists=True, dir_okay=False, help="The weather file of the cases."),
    ],
    json_file: Json = None,
    debug: Debug = False,
) -> None:
    """Loads and temperatures of the Standard 140 cases, with the range of the reference programs."""
    from rich.table import Table

    from cosim.core.weather.epw import read_epw
    from cosim.scenarios.validation.bestest import Suite
    from cosim.scenarios.validation.bestest_file import METRICS

    with one_line(debug):
        suite = Suite(cases, read_epw(weather))
        found = suite.figures()
        rows = [
            {
                "case": f.case,
                "metric": f.metric,
                "value": f.value,
                "ref_min": f.low,
                "ref_max": f.high,
                "inside": f.inside,
            }
            for f in found
        ]
        judged, course = [f for f in found if f.inside is not None], suite.course()
        _write(
            json_file,
            {
                "figures": rows,
                "inside": sum(bool(f.inside) for f in judged),
                "of": len(judged),
                "without_definition": suite.undefined,
                "course": [asdict(m) | {"inside": m.inside} for m in course],
            },
        )
        console, table = terminal(), Table("case", "figure", "value", "range", "")
        for f in found:
            span = "no reference" if f.low is None or f.high is None else f"{f.low:.2f} to {f.high:.2f}"
            verdict = {True: "inside", False: "OUTSIDE", None: ""}[f.inside]
            table.add_row(f.case, METRICS[f.metric], f"{f.value:.2f}", span, verdict)
        console.print(table)
        console.print(f"{sum(bool(f.inside) for f in judged)} of {len(judged)} figures inside the range")
        if course:
            console.print(f"{sum(m.inside for m in course)} of {len(course)} months and hours inside the range")
        for moment in course:
            if not moment.inside:
                console.print(f"OUTSIDE: {moment}")
        if suite.undefined:
            console.print(f"in the reference, but not defined: {', '.join(suite.undefined)}")


@app.command("response")
def response_command(
    seed: Annotated[int, typer.Option("--seed", help="Seed of the travellers.")] = 0,
    json_file: Json = None,
    debug: Debug = False,
) -> None:
    """Reactions of travellers to prices, times, lanes and zones beside published ones; takes about a minute."""
    from rich.table import Table

    from cosim.scenarios.validation.response import reactions

    with one_line(debug):
        found = reactions(seed)
        rows = [
            {
                "reaction": r.name,
                "value": r.value,
                "low": r.low,
                "high": r.high,
                "unit": r.unit,
                "inside": r.inside,
                "source": r.source,
                "remark": r.remark,
            }
            for r in found
        ]
        _write(json_file, {"reactions": rows, "inside": sum(r.inside for r in found), "of": len(found)})
        table = Table("reaction", "cosim", "published", "", "source")
        for r in found:
            table.add_row(r.name, r.shown, r.span, "inside" if r.inside else "OUTSIDE", r.source)
        console = terminal()
        console.print(table)
        console.print(f"{sum(r.inside for r in found)} of {len(found)} reactions inside the published range")


@app.command("base")
def base_command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A twin with published figures: eixample or bologna.")],
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A parameter of the twin.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the run.")] = 0,
    out: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Keep the run in this folder.")] = None,
    json_file: Json = None,
    debug: Debug = False,
) -> None:
    """The base state of a twin beside published figures: a run, and a year of its buildings; takes minutes."""
    from rich.table import Table

    from cosim.scenarios.validation.base import count, figure
    from cosim.scenarios.validation.base_run import base_state

    with one_line(debug):
        found, grid = base_state(name, settings or [], seed, out)
        content = {"place": name, "quantities": [q.row() for q in found], "inside": count(found)}
        _write(json_file, content | {"grid": [d.row() for d in grid]})
        table = Table("quantity", "cosim", "published", "", "source")
        for q in found:
            verdict = "inside" if q.inside else q.verdict.upper()
            table.add_row(q.published.name, q.shown, q.span, verdict, q.published.source)
        console = terminal()
        console.print(table)
        console.print(f"{count(found)} quantities inside the published range")
        beside = Table("grid", "", "10 %", "25 %", "median", "75 %", "90 %", "within")
        for d in grid:
            beside.add_row(d.quantity, f"cosim, {d.unit}", *map(figure, d.found), f"{100 * d.within:.0f} %")
            beside.add_row("", f"{d.source}, {d.unit}", *map(figure, d.real))
        console.print(beside)


@app.command("counts")
def counts_command(
    sumocfg: Annotated[
        Path, typer.Option("--sumocfg", metavar="FILE", help="A SUMO scenario whose vehicles have routes.")
    ],
    counts: Annotated[Path, typer.Option("--counts", metavar="FILE", help="Hourly counts by loop, as CSV.")],
    folds: Annotated[int, typer.Option("--folds", help="Parts of the loops, each predicted from the others.")] = 5,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the parts.")] = 0,
    zone: Annotated[
        str, typer.Option("--zone", help="Time zone to which the hours belong, for counts that are messages.")
    ] = "UTC",
    json_file: Json = None,
    debug: Debug = False,
) -> None:
    """The traffic of a counted day on a scenario's routes beside the counts, fitted and held out."""
    from rich.table import Table

    from cosim.scenarios.mobility.counts.loops import HOURS
    from cosim.scenarios.validation.counts import ANCHORS, agreement

    with one_line(debug):
        found = agreement(sumocfg, counts, folds, seed, zone)
        _write(json_file, found.as_json())
        wide = found.counts.wide
        named = {"prior": "scenario, scaled by hour", "fitted": "fitted loops", "held_out": f"held out, {folds} folds"}
        table = Table("volumes", "streets", "R2", "GEH < 5", "RMSE veh/h")
        for what, name in named.items():
            for where, mask in (
                ("all", None),
                ("2 lanes or more", wide),
                ("2 or more, agreeing", wide & found.agreeing),
            ):
                f = found.fit(what, mask)
                table.add_row(name, where, f"{f.r2:.3f}", f"{100 * f.geh_below_5:.1f} %", f"{f.rmse:.0f}")
        hours = Table(
            "hour", "mean count", *(f"{x} {y}" for x in ("RMSE", "R2", "GEH < 5") for y in ("fitted", "held out"))
        )
        for hour in range(HOURS):
            fit, out = (found.fit(what, hour=hour) for what in ("fitted", "held_out"))
            cells = [f"{f.rmse:.0f}" for f in (fit, out)] + [f"{f.r2:.2f}" for f in (fit, out)]
            shares = (f"{100 * f.geh_below_5:.0f} %" for f in (fit, out))
            hours.add_row(str(hour), f"{found.counts.flow[:, hour].mean():.0f}", *cells, *shares)
        console = terminal()
        console.print(table)
        console.print(hours)
        console.print(f"{len(found.counts.edges)} edges with counts, {wide.sum()} of two lanes or more")
        for name, reason in found.counts.left_out.items():
            console.print(f"loop {name} left out: {reason}")
        for edge, mean in found.contradicting.items():
            console.print(f"{edge}: its counts contradict the others, fitted with a mean GEH of {mean:.1f}")
        if found.unreached:
            console.print(f"no route of the scenario passes {', '.join(found.unreached)}")
        console.print("\n".join(ANCHORS))
