"""What happens between `Scenario.run` and its `Result`? Folder, hosts, recorder, the run itself, its provenance."""

from __future__ import annotations

import asyncio
import datetime as dt
import math
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any, TypeAlias

from cosim.core.adapter import restored_by
from cosim.core.arguments import is_finite, require, shown
from cosim.core.clock import duration_s
from cosim.core.errors import CosimError, ScenarioError

from .checkpoint import Checkpoint, Checkpoints
from .exchange import Channel
from .hosts import Host, ProcessHost, ThreadHost
from .layers import write_layers
from .provenance import changes, outcome, provenance
from .recorder import Recorder, RecordingError, write_json
from .results import Indicator, Result

if TYPE_CHECKING:
    from .bridge import Run
    from .scenario import Scenario

Indicators: TypeAlias = Callable[[Result], Mapping[str, Indicator]]
Progress: TypeAlias = Callable[[float, float | None], None] | bool


@dataclass(frozen=True)
class Options:
    """How a scenario is run, as far as it does not change what comes out.

    Parameters
    ----------
    timeout_s
        The longest that one step of a worker may take, for all or by adapter. [s]
    double
        Record float64 instead of float32.
    checkpoint_every
        Exchange steps from one checkpoint to the next; None for no checkpoints. [ticks]
    """

    timeout_s: float | Mapping[str, float] | None = None
    double: bool = False
    checkpoint_every: int | None = None


def checked_options(
    scenario: Scenario,
    timeout_s: float | Mapping[str, float] | None,
    *,
    double: bool = False,
    checkpoint_every: float | str | None = None,
) -> Options:
    """Return the options of a run, with times in exchange steps.

    Raises
    ------
    ScenarioError
        If a timeout or the checkpoints ask for what the scenario's adapters cannot do.
    """
    problems = _timeout_problems(scenario, timeout_s)
    ticks = None
    if checkpoint_every is not None:
        meeting = math.lcm(*scenario.steps.values())
        length_s, step_s = duration_s(checkpoint_every), scenario.clock.step_s
        ticks = round(length_s / step_s)
        if ticks < 1 or ticks % meeting or abs(ticks * step_s - length_s) > 1e-6:
            problems.append(
                f"checkpoint_every is {checkpoint_every!r}: it must be a whole multiple of {meeting * step_s:g} s, "
                "when the steps of all adapters meet"
            )
        problems += [
            f"{name} can be brought back neither by save() and load() nor by replay: write both, or set replays = True "
            f"on {type(adapter).__name__} if the same inputs always make it say the same; or run without checkpoints"
            for name, adapter in scenario.adapters.items()
            if restored_by(adapter) is None
        ]
    if problems:
        raise ScenarioError(problems)
    return Options(timeout_s, double, ticks)


def _timeout_problems(scenario: Scenario, timeout_s: float | Mapping[str, float] | None) -> list[str]:
    limits = timeout_s if isinstance(timeout_s, Mapping) else {}
    problems = [f"timeout_s names {n!r}: there is no such adapter" for n in limits if n not in scenario.adapters]
    problems += [
        f"timeout_s of {name}: it is placed {scenario.placement(name)!r}, and only a worker can be ended; call "
        f"scenario.place({name}='process')"
        for name in limits
        if name in scenario.adapters and scenario.placement(name) != "process"
    ]
    values = limits.values() if isinstance(timeout_s, Mapping) else [timeout_s]
    problems += [
        f"timeout_s is {shown(limit)}: it must be a positive number of seconds, or one for each adapter's name"
        for limit in values
        if limit is not None and not (is_finite(limit) and limit > 0)
    ]
    return problems


def options_of(scenario: Scenario, folder: str | Path, timeout_s: float | Mapping[str, float] | None) -> Options:
    """Return the options of a run that is to be resumed.

    Raises
    ------
    CosimError
        If there is no run that can be resumed.
    ScenarioError
        If the scenario is not the one that was run.
    """
    before = Result.open(folder).provenance
    if before["status"] == "finished":
        raise CosimError(f"{folder} has finished: there is nothing to resume")
    recording = before["recording"]
    if recording["checkpoint_every"] is None:
        raise CosimError(f"{folder} was run without checkpoints: run it anew, with checkpoint_every=")
    differences = changes(before, provenance(scenario))
    if differences:
        raise ScenarioError([f"{folder} cannot be resumed, {text}" for text in differences])
    return replace(checked_options(scenario, timeout_s), **recording)


def new_folder(out: str | Path | None, name: str) -> Path:
    """Make an empty folder for a run and return it.

    Raises
    ------
    CosimError
        If it cannot be made, or holds something.
    """
    require(out, (str, os.PathLike, NoneType), "out", "pass the path of a folder")
    first = folder = Path("runs") / f"{name}-{dt.datetime.now():%Y%m%d-%H%M%S}" if out is None else Path(out)
    n = 1
    while out is None and folder.exists():
        n += 1
        folder = first.with_name(f"{first.name}-{n}")
    try:
        if folder.exists() and any(folder.iterdir()):
            raise CosimError(f"{folder} is not empty: pass another folder, or remove what is in it")
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CosimError(f"cannot write into {folder}: {error.strerror}; pass another folder with out=") from error
    return folder.resolve()


def execute(
    scenario: Scenario, folder: Path, options: Options, progress: Progress, *, resume: bool = False
) -> Result:
    """Run a scenario in a folder, from the start or from the newest checkpoint there; return the result.

    Raises
    ------
    RunError
        If an adapter failed.
    """
    if progress is True:
        from .progress import bar

        with bar(scenario.name) as report:
            return execute(scenario, folder, options, report, resume=resume)
    from .bridge import Run

    clock, ports = scenario.clock, scenario.outputs()
    rules = {name: rule for name in ports if (rule := scenario.rule(name)) is not None}
    recorder = Recorder(folder, clock, {name: (ports[name].labels, rule) for name, rule in rules.items()},
                        list(scenario.adapters), double=options.double)  # fmt: skip
    record = provenance(scenario) | {
        "recording": {"double": options.double, "checkpoint_every": options.checkpoint_every}
    }
    channels = [
        Channel(c, scenario.steps[c.source], scenario.steps[c.target], clock.step_s) for c in scenario.connections
    ]
    restored = None
    if resume and Checkpoint.there(folder):
        restored = Checkpoint(folder)
        restored.fill(channels, recorder)
        record |= {"resumed_at_s": restored.tick * clock.step_s}
    write_json(folder / "run.json", record)
    if scenario.layers:
        write_layers(folder, scenario.layers)
    checkpoints = None
    if options.checkpoint_every is not None:
        checkpoints = Checkpoints(folder, options.checkpoint_every, restored.tick if restored is not None else 0)
    total = None if clock.n_steps is None else clock.n_steps * clock.step_s
    run = Run(
        clock, _hosts(scenario, folder, options.timeout_s), scenario.steps, channels, recorder,
        checkpoints=checkpoints, restored=restored,
        on_progress=(lambda done: progress(done, total)) if callable(progress) else None,
    )  # fmt: skip
    status, problem = "failed", "it was ended from outside"
    try:
        _run(run)
        status, problem = "finished", ""
    except KeyboardInterrupt:
        status, problem = "interrupted", "interrupted by the user"
        raise
    except CosimError as error:
        problem = str(error)
        raise
    finally:
        try:
            recorder.close()
        except RecordingError as error:
            if status == "finished":
                status, problem = "failed", str(error)
                raise
        finally:
            _try_write(folder / "run.json", record | outcome(run, status, problem))
    return _judge(scenario, folder)


def _judge(scenario: Scenario, folder: Path) -> Result:
    result = Result.open(folder)
    broken = [row for row in result.provenance["ledger"] if row["residual"] > 1e-9]
    if broken:
        raise CosimError(f"the ledger of {broken[0]['connection']} does not close: {broken[0]}; please report this")
    if scenario.indicators is not None:
        found = _indicators(scenario.indicators, result)
        write_json(folder / "indicators.json", {name: value.to_json() for name, value in found.items()})
    return result


def _indicators(function: Indicators, result: Result) -> Mapping[str, Indicator]:
    where = f"{result.folder} holds the finished run, but its indicators"
    try:
        found = function(result)
    except Exception as error:
        cause = str(error) if isinstance(error, CosimError) else f"{type(error).__name__}: {error}"
        raise CosimError(f"{where} fail: {cause}; mend the function that the scenario is given") from error
    if not isinstance(found, Mapping) or not all(isinstance(value, Indicator) for value in found.values()):
        raise CosimError(f"{where} are {shown(found)}: return {{name: Indicator(value, unit)}}")
    return found


def _hosts(
    scenario: Scenario, folder: Path, timeout_s: float | Mapping[str, float] | None
) -> dict[str, Host]:
    hosts: dict[str, Host] = {}
    for name, adapter in scenario.adapters.items():
        adapter.folder = folder / "adapters" / name
        adapter.finished = False
        placement = scenario.placement(name)
        if placement == "process":
            limit = timeout_s.get(name) if isinstance(timeout_s, Mapping) else timeout_s
            hosts[name] = ProcessHost(name, adapter, folder / "logs" / f"{name}.log", limit)
        else:
            hosts[name] = (ThreadHost if placement == "thread" else Host)(name, adapter)
    return hosts


def _try_write(path: Path, content: dict[str, Any]) -> None:
    try:
        write_json(path, content)
    except OSError:  # the disk is full: run.json still says "running", which is what a killed run says
        return


def _run(run: Run) -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(run.execute())
        return
    # In a notebook this thread already has an event loop, and asyncio does not nest.
    failures: list[BaseException] = []

    def work() -> None:
        try:
            asyncio.run(run.execute())
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=work, name="cosim")
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
