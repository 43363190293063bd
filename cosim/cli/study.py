"""The command that runs a study: ``cosim study FILE.py|study.yaml``."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cosim.core.errors import CosimError
from cosim.engine.interrupts import interruptible

from .shell import one_line, terminal

if TYPE_CHECKING:
    from cosim.study.study import Study


def study_command(
    context: typer.Context,
    file: Annotated[
        Path, typer.Argument(metavar="FILE.py|study.yaml", help="A file with 'study = Study(…)', or a study as YAML.")
    ],
    out: Annotated[Path | None, typer.Option("--out", help="Folder of the study; by default studies/NAME.")] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Number of parallel runs on this machine.")
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option("--scheduler", metavar="ADDRESS", help="A Dask scheduler, such as tcp://127.0.0.1:8786."),
    ] = None,
    slurm: Annotated[
        Path | None, typer.Option("--slurm", metavar="CONFIG", help="Submit SLURM jobs configured by this YAML file.")
    ] = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="With --slurm: run this command as a job too, and return at once.")
    ] = False,
    status: Annotated[
        bool, typer.Option("--status", help="Print the states of the runs and the reasons of failures; run nothing.")
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Also retry failed runs.")] = False,
    rerun: Annotated[
        bool, typer.Option("--rerun-changed", help="Also repeat runs of which code, inputs or versions have changed.")
    ] = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove runs that are no longer part of the study; run nothing.")
    ] = False,
    seeds: Annotated[int | None, typer.Option("--seeds", min=1, help="Use only the first N seeds.")] = None,
    report: Annotated[
        str | None,
        typer.Option(
            "--report", metavar="FACTOR", help="Keep all series, and compare its levels with the first in a report."
        ),
    ] = None,
    timeout: Annotated[str | None, typer.Option("--timeout", metavar="2h", help="Time limit of a run.")] = None,
    memory: Annotated[str | None, typer.Option("--memory", metavar="4GB", help="Memory limit of a run.")] = None,
    record: Annotated[
        list[str] | None,
        typer.Option(
            "--record",
            metavar="PATTERN",
            help="What to keep of each result: indicators, everything, or series such as 'grid.*'; may be repeated.",
        ),
    ] = None,
    checkpoints: Annotated[
        str | None, typer.Option("--checkpoint-every", metavar="6h", help="Simulated time between checkpoints.")
    ] = None,
    indicators: Annotated[
        list[str] | None,
        typer.Option("--indicators", metavar="NAME", help="Show only these in effects and figures; may be repeated."),
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Do the remaining runs of a study; write its table, effects, figures and page."""
    from cosim.study.page import PAGE, check_compared

    console = terminal(soft_wrap=True, highlight=False, markup=False)
    interrupted = f"interrupted: finished runs are kept, cosim study {file} continues"
    with one_line(debug, interrupted), interruptible(), ExitStack() as stack:
        if sum(given is not None for given in (workers, scheduler, slurm)) > 1:
            raise CosimError("--workers, --scheduler and --slurm exclude each other: choose one of them")
        study, options = _read(file, out)
        if detach and slurm is None:
            raise CosimError("--detach makes the study a SLURM job: add --slurm CONFIG")
        if seeds is not None:
            study.seeds = study.seeds[:seeds]
        if status:
            console.print(str(study.status()))
            return
        if prune:
            console.print(f"{study.prune()} runs removed")
            return
        if report is not None:
            check_compared(study, report)
        if detach and slurm is not None:
            console.print(_detached(study, slurm, context))
            return
        if workers is not None:
            options["workers"] = workers
        if scheduler is not None or slurm is not None:
            options["workers"] = 1
            options["client"] = stack.enter_context(_client(study, scheduler, slurm))
        limits = {"timeout": _seconds(timeout), "memory": memory, "checkpoint_every": _seconds(checkpoints)}
        options |= {name: value for name, value in limits.items() if value is not None}
        if record:
            alone = record[0] if len(record) == 1 and record[0] in ("indicators", "everything") else record
            options["record"] = alone
        if report is not None:
            options["record"] = "everything"
        before = study.status().states
        table = study.run(**options, resume=resume, rerun_changed=rerun, progress=True)
        found = study.status()
        console.print(str(found))
        if len(table) and (indicators or found.states != before or not (study.folder / PAGE).is_file()):
            console.print(f"table, effects and figures in {study.folder}, page in {study.write(indicators)}")
        if found.changes and found.states == before:
            console.print(f"nothing was run: table, effects and page in {study.folder} are those of before the change")
        elif found.changes:
            console.print("the changed runs are left out of table, effects and figures")
        if report is not None and not found.failures:
            console.print(f"report in {study.report(report)}")
        if found.failures or found.changes:
            raise typer.Exit(1)


def _detached(study: Study, slurm: Path, context: typer.Context) -> str:
    from cosim.study.slurm import read_slurm, submit

    job = submit(read_slurm(slurm), study.folder, ["study", *_given(context)])
    return (
        f"job {job} runs the study and goes on when this shell ends; cosim study {context.params['file']} --status "
        f"shows how far it is, scancel {job} ends it, its log is {study.folder}/slurm/coordinator-{job}.out"
    )


def _given(context: typer.Context) -> list[str]:
    """Return the arguments of a command without ``--detach``."""
    words: list[str] = []
    for parameter in context.command.params:
        value = context.params[parameter.name or ""]
        if parameter.name == "detach" or value in (None, False, ()):
            continue
        for one in value if isinstance(value, (list, tuple)) else [value]:
            option = [] if parameter.param_type_name == "argument" else [parameter.opts[0]]
            words += option if one is True else [*option, str(one)]
    return words


def _seconds(text: str | None) -> float | str | None:
    """Return a duration from the command line, where a number is in seconds as everywhere."""
    try:
        return None if text is None else float(text)
    except ValueError:
        return text


def _read(file: Path, out: Path | None) -> tuple[Study, dict[str, Any]]:
    from cosim.registry.builder import Loading, load_script
    from cosim.study.study import Study

    if file.suffix in (".yaml", ".yml"):
        from cosim.study.specification import read_study

        study, run = read_study(file, out)
        return study, run.model_dump()
    if file.suffix != ".py":
        raise CosimError(f"{file} is not a study: name a Python file with 'study = Study(…)', or a YAML file")
    Loading.only = True
    try:
        module = load_script(file.resolve())
    finally:
        Loading.only = False
    found = [value for value in vars(module).values() if isinstance(value, Study)]
    if len(found) != 1:
        raise CosimError(f"{file} defines {len(found)} studies: it must define one, 'study = Study(build, …)'")
    if out is not None:
        found[0].folder = out.absolute()
    return found[0], {}


def _client(study: Study, scheduler: str | None, slurm: Path | None) -> Any:
    if slurm is not None:
        from cosim.study.slurm import read_slurm, slurm_client

        return slurm_client(read_slurm(slurm), study.folder)
    from cosim.study.jobs.engines import client_of

    assert scheduler is not None
    return client_of(scheduler)
