"""What does a person type to check the kernel against published cases? ``cosim validate bestest`` and ``vdi6007``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from cosim.cli import one_line

app = typer.Typer(
    add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None,
    help="Compare the building kernel with published test cases.",
)  # fmt: skip

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
    from cosim.scenarios.validation.vdi6007 import outcomes

    with one_line(debug):
        found = outcomes(cases)
        rows = [
            {
                "case": o.case, "step_s": o.step_s, "largest_error": o.largest_error, "unit": o.unit,
                "threshold": o.threshold, "inside": o.inside,
            }
            for o in found
        ]  # fmt: skip
        _write(json_file, {"cases": rows, "inside": sum(o.inside for o in found), "of": len(found)})
        table = Table("case", "step", "largest error", "threshold", "")
        for o in found:
            table.add_row(
                o.case, f"{o.step_s:g} s", f"{o.largest_error:.3f} {o.unit}", f"{o.threshold:g} {o.unit}",
                "inside" if o.inside else "OUTSIDE",
            )  # fmt: skip
        Console().print(table)


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
    from cosim.core.weather_file import read_epw
    from cosim.scenarios.validation.bestest import Suite
    from cosim.scenarios.validation.bestest_file import METRICS

    with one_line(debug):
        suite = Suite(cases, read_epw(weather))
        found = suite.figures()
        rows = [
            {"case": f.case, "metric": f.metric, "value": f.value, "ref_min": f.low, "ref_max": f.high,
             "inside": f.inside}
            for f in found
        ]  # fmt: skip
        judged = [f for f in found if f.inside is not None]
        _write(
            json_file,
            {"figures": rows, "inside": sum(bool(f.inside) for f in judged), "of": len(judged),
             "without_definition": suite.undefined},
        )  # fmt: skip
        console, table = Console(), Table("case", "figure", "value", "range", "")
        for f in found:
            span = "no reference" if f.low is None or f.high is None else f"{f.low:.2f} to {f.high:.2f}"
            verdict = {True: "inside", False: "OUTSIDE", None: ""}[f.inside]
            table.add_row(f.case, METRICS[f.metric], f"{f.value:.2f}", span, verdict)
        console.print(table)
        console.print(f"{sum(bool(f.inside) for f in judged)} of {len(judged)} figures inside the range")
        if suite.undefined:
            console.print(f"in the reference without a definition: {', '.join(suite.undefined)}")
