"""What does a person type to run a study? ``cosim study FILE.py|study.yaml``."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from cosim.core.errors import CosimError

if TYPE_CHECKING:
    from .campaign import Study


def study_command(
    file: Annotated[
        Path, typer.Argument(metavar="FILE.py|study.yaml", help="A file with 'study = Study(…)', or a study as YAML.")
    ],
    out: Annotated[Path | None, typer.Option("--out", help="The study's folder; by default studies/NAME.")] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Runs side by side on this machine.")
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option("--scheduler", metavar="ADDRESS", help="A Dask scheduler, as tcp://127.0.0.1:8786.")
    ] = None,
    slurm: Annotated[
        Path | None, typer.Option("--slurm", metavar="CONFIG", help="Submit SLURM jobs as this YAML file says.")
    ] = None,
    status: Annotated[bool, typer.Option("--status", help="Say what is done, running, failed and why; run nothing.")
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Try also those runs again that have failed.")] = False,
    seeds: Annotated[int | None, typer.Option("--seeds", min=1, help="Take only the first so many seeds.")] = None,
    report: Annotated[
        str | None,
        typer.Option("--report", metavar="FACTOR", help="Keep all series, and report its levels beside the first."),
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Do every run of a study that is not done; write its table, effects, figures and page."""
    from cosim.cli import interruptible, one_line

    from .page import PAGE, check_compared

    console = Console(soft_wrap=True, highlight=False, markup=False)
    interrupted = f"interrupted: what is done is kept, cosim study {file} goes on"
    with one_line(debug, interrupted), interruptible(), ExitStack() as stack:
        if sum(given is not None for given in (workers, scheduler, slurm)) > 1:
            raise CosimError("--workers, --scheduler and --slurm exclude each other: choose who does the runs")
        study, options = _read(file, out)
        if seeds is not None:
            study.seeds = study.seeds[:seeds]
        if status:
            console.print(str(study.status()))
            return
        if workers is not None:
            options["workers"] = workers
        if scheduler is not None or slurm is not None:
            options["workers"] = 1
            options["client"] = stack.enter_context(_client(study, scheduler, slurm))
        if report is not None:
            check_compared(study, report)
            options["record"] = "everything"
        before = study.status().states
        table = study.run(**options, resume=resume, progress=True)
        found = study.status()
        console.print(str(found))
        if len(table) and (found.states != before or not (study.folder / PAGE).is_file()):
            console.print(f"table, effects and figures in {study.folder}, page in {study.write()}")
        if report is not None and not found.failures:
            console.print(f"report in {study.report(report)}")
        if found.failures:
            raise typer.Exit(1)


def _read(file: Path, out: Path | None) -> tuple[Study, dict[str, Any]]:
    from . import campaign
    from .builders import load_script

    if file.suffix in (".yaml", ".yml"):
        from .specification import read_study

        study, run = read_study(file, out)
        return study, run.model_dump()
    if file.suffix != ".py":
        raise CosimError(f"{file} is no study: name a Python file with 'study = Study(…)', or a YAML file")
    campaign.ONLY_LOADED = True
    try:
        module = load_script(file.resolve())
    finally:
        campaign.ONLY_LOADED = False
    found = [value for value in vars(module).values() if isinstance(value, campaign.Study)]
    if len(found) != 1:
        raise CosimError(f"{file} makes {len(found)} studies: it must make one, 'study = Study(build, …)'")
    if out is not None:
        found[0].folder = out.absolute()
    return found[0], {}


def _client(study: Study, scheduler: str | None, slurm: Path | None) -> Any:
    if slurm is not None:
        from .slurm import read_slurm, slurm_client

        return slurm_client(read_slurm(slurm), study.folder)
    from .engines import client_of

    assert scheduler is not None
    return client_of(scheduler)
