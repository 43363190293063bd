"""The run of a scenario: options, folder, hosts, recorder, execution, provenance, indicators."""

from __future__ import annotations

import asyncio
import datetime as dt
import math
import os
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import NoneType
from typing import Any, TypeAlias

from cosim.core.adapter import restored_by
from cosim.core.arguments import is_finite, require, shown
from cosim.core.clock import duration_s
from cosim.core.errors import CosimError, ScenarioError
from cosim.results.files import write_json
from cosim.results.indicator import Indicator
from cosim.results.layers import write_layers
from cosim.results.parts import KeptParts
from cosim.results.result import Result

from .bridge import MosaikRun
from .checkpoint import Checkpoint, Checkpoints
from .exchange import Channel
from .hosts import Host, ProcessHost, ThreadHost
from .interrupts import Interrupted, terminable, uninterrupted
from .progress_bar import bar
from .provenance import changes, closing_record, provenance
from .recorder import Recorder, RecordingError
from .remote import Remote, RemoteHost
from .setup import Indicators, Setup

_QUIET_S = 60.0
"""Time without writing after which a run that never ended is taken for killed. [s]"""

OnProgress: TypeAlias = Callable[[float, float | None], None] | bool


@dataclass(frozen=True)
class Options:
    """Options of a run that do not affect its results.

    Parameters
    ----------
    timeout_s
        Time limit of one step in a worker process, for all or by adapter. [s]
    double
        Record float64 instead of float32.
    checkpoint_every
        Exchange steps between checkpoints; None for no checkpoints. [ticks]
    on_checkpoint
        Called with the folder of every checkpoint.
    fork
        Begin at the checkpoint in the folder, and record from there on alone.
    """

    timeout_s: float | Mapping[str, float] | None = None
    double: bool = False
    checkpoint_every: int | None = None
    on_checkpoint: Callable[[Path], None] | None = None
    fork: bool = False


def checked_options(
    setup: Setup,
    timeout_s: float | Mapping[str, float] | None,
    *,
    double: bool = False,
    checkpoint_every: float | str | None = None,
    on_checkpoint: Callable[[Path], None] | None = None,
) -> Options:
    """Return the options of a run, with times in exchange steps.

    Raises
    ------
    ScenarioError
        If the scenario's adapters do not support the timeout or the checkpoints.
    """
    problems = _timeout_problems(setup, timeout_s)
    ticks = None
    if checkpoint_every is not None:
        common_step = math.lcm(*setup.steps.values())
        length_s, step_s = duration_s(checkpoint_every), setup.clock.step_s
        ticks = round(length_s / step_s)
        if ticks < 1 or ticks % common_step or abs(ticks * step_s - length_s) > 1e-6:
            problems.append(
                f"checkpoint_every is {checkpoint_every!r}: it must be a whole multiple of {common_step * step_s:g} s, "
                "the common multiple of the steps of all adapters"
            )
        problems += [
            f"{name} cannot be restored, neither by save() and load() nor by replay: implement both, or set "
            f"replays = True on {type(adapter).__name__} if the same inputs always give the same outputs; or run "
            "without checkpoints"
            for name, adapter in setup.adapters.items()
            if restored_by(adapter) is None
        ]
    if problems:
        raise ScenarioError(problems)
    return Options(timeout_s, double, ticks, on_checkpoint)


def _timeout_problems(setup: Setup, timeout_s: float | Mapping[str, float] | None) -> list[str]:
    limits = timeout_s if isinstance(timeout_s, Mapping) else {}
    problems = [f"timeout_s names {n!r}: unknown adapter" for n in limits if n not in setup.adapters]
    problems += [
        f"timeout_s of {name}: its placement is {setup.placements[name]!r}, and only a worker process can be ended; "
        f"call scenario.place({name}='process')"
        for name in limits
        if name in setup.adapters and setup.placements[name] in ("inline", "thread")
    ]
    values = limits.values() if isinstance(timeout_s, Mapping) else [timeout_s]
    problems += [
        f"timeout_s is {shown(limit)}: it must be a positive number of seconds, or one per adapter name"
        for limit in values
        if limit is not None and not (is_finite(limit) and limit > 0)
    ]
    return problems


def options_of(setup: Setup, folder: str | Path, timeout_s: float | Mapping[str, float] | None) -> Options:
    """Return the options of a run to be resumed.

    Raises
    ------
    CosimError
        If the folder holds no run that can be resumed.
    ScenarioError
        If the scenario differs from the one that was run.
    """
    before = Result.open(folder).provenance
    if before["status"] == "finished":
        raise CosimError(f"{folder} is finished: there is nothing to resume")
    recording = before["recording"]
    if recording["checkpoint_every"] is None:
        raise CosimError(f"{folder} was run without checkpoints: run it again with checkpoint_every=")
    _check_unchanged(setup, folder, before)
    kept = {name: recording[name] for name in ("double", "checkpoint_every")}
    return replace(checked_options(setup, timeout_s), **kept)


def _check_unchanged(setup: Setup, folder: str | Path, before: dict[str, Any]) -> None:
    differences = changes(before, provenance(setup))
    if differences:
        raise ScenarioError([f"{folder} cannot be resumed: {text}" for text in differences])


def lacks_indicators(setup: Setup, folder: str | Path) -> bool:
    """Return whether a run is finished but for its indicators, as if it was interrupted after its simulated end."""
    if setup.indicators is None or Result.open(folder).status != "finished":
        return False
    return not (Path(folder) / "indicators.json").is_file()


def add_indicators(setup: Setup, folder: str | Path) -> Result:
    """Compute the indicators of a run that is finished but for them.

    Raises
    ------
    ScenarioError
        If the scenario differs from the one that was run.
    """
    _check_unchanged(setup, folder, Result.open(folder).provenance)
    return _checked_result(setup, Path(folder).resolve())


def new_folder(out: str | Path | None, name: str, *, overwrite: bool = False) -> Path:
    """Create an empty folder for a run and return it; with ``overwrite``, in place of a run that did not finish.

    Raises
    ------
    CosimError
        If it cannot be created, or is not empty.
    """
    require(out, (str, os.PathLike, NoneType), "out", "pass the path of a folder")
    first = folder = Path("runs") / f"{name}-{dt.datetime.now():%Y%m%d-%H%M%S}" if out is None else Path(out)
    n = 1
    while out is None and folder.exists():
        n += 1
        folder = first.with_name(f"{first.name}-{n}")
    try:
        if overwrite and (folder / "run.json").is_file():
            _remove_unfinished(folder)
        if folder.exists() and any(folder.iterdir()):
            raise CosimError(f"{folder} is not empty: pass another folder, or {_remedy(folder)}")
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CosimError(f"cannot write into {folder}: {error.strerror}; pass another folder with out=") from error
    return folder.resolve()


def _remedy(folder: Path) -> str:
    if (folder / "run.json").is_file() and Result.open(folder).status != "finished":
        return "overwrite=True (--overwrite) to replace the unfinished run that it holds"
    return "remove its contents"


def _remove_unfinished(folder: Path) -> None:
    """Remove a run that failed, was interrupted or killed.

    Raises
    ------
    CosimError
        If the run is finished or may still be running.
    """
    status = Result.open(folder).status
    if status == "finished":
        raise CosimError(f"{folder} holds a finished run, which is not overwritten: pass another folder, or remove it")
    written = max(path.stat().st_mtime for path in (folder, *folder.rglob("*")))
    if status == "running" and time.time() - written < _QUIET_S:
        raise CosimError(
            f"{folder} was written to less than {_QUIET_S:g} s ago and may still be running: wait, or pass another one"
        )
    shutil.rmtree(folder)


def execute(setup: Setup, folder: Path, options: Options, progress: OnProgress, *, resume: bool = False) -> Result:
    """Run a scenario in a folder, from the start or from the newest checkpoint; return the result.

    SIGTERM interrupts the run like Ctrl-C and then ends the process, unless the caller handles it.

    Raises
    ------
    RunError
        If an adapter failed.
    Interrupted
        If the run was interrupted; a `KeyboardInterrupt` that says how to continue.
    """
    with terminable():
        try:
            if progress is not True:
                return _execute(setup, folder, options, progress, resume=resume)
            with bar(setup.name) as report:
                return _execute(setup, folder, options, report, resume=resume)
        except KeyboardInterrupt:
            raise Interrupted(_how_to_continue(setup, folder, options)) from None


def _how_to_continue(setup: Setup, folder: Path, options: Options) -> str:
    place = Path(os.path.relpath(folder)) if folder.is_relative_to(Path.cwd()) else folder
    resume = f"scenario.resume({str(place)!r})" if setup.builder is None else f"cosim resume {place}"
    if Result.open(folder).status == "finished":
        left = f": {resume} computes its indicators" if lacks_indicators(setup, folder) else ""
        return f"interrupted after its simulated end; {place} holds every series{left}"
    recorded = f"interrupted; everything recorded so far is readable in {place}, "
    if options.checkpoint_every is None:
        return recorded + "but without checkpoints it cannot be resumed: run it again, with --checkpoint-every"
    if Checkpoint.exists(folder):
        return recorded + f"and {resume} continues from its last checkpoint"
    return recorded + f"and {resume} starts it again, since it had not reached its first checkpoint"


def fork(setup: Setup, folder: Path) -> Result:
    """Run a scenario on from a copied checkpoint, as a run of its own that begins there.

    Parameters
    ----------
    setup
        The scenario of the run that made the checkpoint; adapters may be told to behave otherwise from now on, and the
        clock may end at another time.
    folder
        Holds the checkpoint, see `cosim.engine.checkpoint.copy_checkpoint`.
    """
    return execute(setup, folder, Options(fork=True), False, resume=True)


def _execute(setup: Setup, folder: Path, options: Options, progress: OnProgress, *, resume: bool) -> Result:
    clock, ports = setup.clock, setup.outputs()
    recorder = Recorder(
        folder,
        clock,
        {name: (ports[name].labels, rule) for name, rule in setup.rules.items()},
        list(setup.adapters),
        double=options.double,
    )
    recording: dict[str, Any] = {"double": options.double, "checkpoint_every": options.checkpoint_every}
    if setup.thinned:
        recording |= {"thinned": setup.thinned}
    record = provenance(setup) | {"recording": recording}
    channels = [Channel(c, setup.steps[c.source], setup.steps[c.target], clock.step_s) for c in setup.connections]
    restored = None
    if resume and Checkpoint.exists(folder):
        restored = Checkpoint(folder)
        restored.restore_engine(channels, recorder)
        record |= {"resumed_at_s": restored.tick * clock.step_s}
        if options.fork:
            recorder.forget()
            begun_s = restored.tick * clock.step_s
            about = {"start": clock.civil(begun_s).isoformat(), "n_steps": (clock.n_steps or 0) - restored.tick}
            record |= {"forked_at_s": begun_s, "clock": record["clock"] | about}
    write_json(folder / "run.json", record)
    if setup.layers:
        write_layers(folder, setup.layers)
    checkpoints = None
    if options.checkpoint_every is not None:
        begin = restored.tick if restored is not None else 0
        checkpoints = Checkpoints(folder, options.checkpoint_every, begin, options.on_checkpoint)
    total = None if clock.n_steps is None else clock.n_steps * clock.step_s
    run = MosaikRun(
        clock=clock,
        hosts=_hosts(setup, folder, options.timeout_s),
        steps=setup.steps,
        channels=channels,
        recorder=recorder,
        checkpoints=checkpoints,
        restored=restored,
        on_progress=(lambda done: progress(done, total)) if callable(progress) else None,
    )
    status, problem = "failed", "it was terminated"
    try:
        _run(run)
        status, problem = "finished", ""
    except KeyboardInterrupt:
        status, problem = ("finished", "") if run.complete else ("interrupted", "interrupted by the user")
        raise
    except CosimError as error:
        problem = str(error)
        raise
    finally:
        with uninterrupted():
            _finish(folder, record, run, recorder, status, problem)
    return _checked_result(setup, folder, recorder.kept)


def _finish(
    folder: Path, record: dict[str, Any], run: MosaikRun, recorder: Recorder, status: str, problem: str
) -> None:
    try:
        recorder.close()
    except RecordingError as error:
        if status == "finished":
            status, problem = "failed", str(error)
            raise
    finally:
        closing = closing_record(
            status,
            problem,
            simulated_s=run.simulated_s(status == "finished") - record.get("forked_at_s", 0.0),
            members=run.members,
            channels=run.channels,
            recorder=recorder,
        )
        _try_write(folder / "run.json", record | closing)


def _checked_result(setup: Setup, folder: Path, kept: KeptParts | None = None) -> Result:
    result = Result(folder, Result.open(folder).provenance, kept)
    broken = [row for row in result.provenance["ledger"] if row["residual"] > 1e-9]
    if broken:
        raise CosimError(f"the ledger of {broken[0]['connection']} does not balance: {broken[0]}; please report this")
    if setup.indicators is not None:
        found = _indicators(setup.indicators, result)
        write_json(folder / "indicators.json", {name: value.to_json() for name, value in found.items()})
    return result


def _indicators(function: Indicators, result: Result) -> Mapping[str, Indicator]:
    where = f"{result.folder} holds the finished run, but its indicators"
    try:
        found = function(result)
    except Exception as error:
        cause = str(error) if isinstance(error, CosimError) else f"{type(error).__name__}: {error}"
        raise CosimError(f"{where} fail: {cause}; fix the function that was passed to the scenario") from error
    if not isinstance(found, Mapping) or not all(isinstance(value, Indicator) for value in found.values()):
        raise CosimError(f"{where} are {shown(found)}: return {{name: Indicator(value, unit)}}")
    return found


def _hosts(setup: Setup, folder: Path, timeout_s: float | Mapping[str, float] | None) -> dict[str, Host]:
    hosts: dict[str, Host] = {}
    for name, adapter in setup.adapters.items():
        adapter.folder = folder / "adapters" / name
        adapter.run_clock = setup.clock
        adapter.finished = False
        placement = setup.placements[name]
        limit = timeout_s.get(name) if isinstance(timeout_s, Mapping) else timeout_s
        if isinstance(placement, Remote):
            hosts[name] = RemoteHost(name, adapter, placement, limit)
        elif placement == "process":
            hosts[name] = ProcessHost(name, adapter, folder / "logs" / f"{name}.log", limit)
        else:
            hosts[name] = (ThreadHost if placement == "thread" else Host)(name, adapter)
    return hosts


def _try_write(path: Path, content: dict[str, Any]) -> None:
    try:
        write_json(path, content)
    except OSError:  # the disk is full: run.json still says "running", as after a killed run
        return


def _run(run: MosaikRun) -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(run.execute())
        return
    # In a notebook, this thread already runs an event loop, and asyncio does not nest loops.
    failures: list[BaseException] = []
    running: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]]] = []

    async def cancellable() -> None:
        task = asyncio.current_task()
        assert task is not None
        running.append((asyncio.get_running_loop(), task))
        await run.execute()

    def work() -> None:
        try:
            asyncio.run(cancellable())
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=work, name="cosim")
    thread.start()
    try:
        thread.join()
    except KeyboardInterrupt:
        for loop, task in running:
            with suppress(RuntimeError):  # it has ended meanwhile
                loop.call_soon_threadsafe(task.cancel)
        thread.join()
        raise
    if failures:
        raise failures[0]
