"""One attempt at a run in its own process: build, run or resume, reduce the result, and mark the outcome."""

from __future__ import annotations

import fnmatch
import json
import socket
import sys
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from cosim.core.adapter import Placement
from cosim.core.arguments import shown
from cosim.core.errors import CosimError, ScenarioError
from cosim.registry.builder import BuilderPlace, LoadedBuilder
from cosim.results.files import write_json
from cosim.study.identity import FilesRead, basis, identity, source_digest, versions

from .records import RunFolder, RunOutcome

if TYPE_CHECKING:
    from cosim.engine.scenario import Scenario
    from cosim.results.result import Result

Retention: TypeAlias = Literal["indicators", "everything"] | tuple[str, ...]


@dataclass(frozen=True)
class Limits:
    """The time and memory limits of a run, and the number of retries.

    Parameters
    ----------
    timeout_s
        Time limit of an attempt; None for no limit. [s]
    memory_bytes
        Memory limit of a run with all its processes; None for no limit. [B]
    retries
        Number of further attempts after a crash.
    """

    timeout_s: float | None = None
    memory_bytes: int | None = None
    retries: int = 1


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request to do a run.

    Parameters
    ----------
    key
        Key of the run, derived from everything that it depends on.
    folder
        Folder of the run, on a file system that all workers share.
    builder
        Location of the builder.
    values
        The factors' values, packed.
    labels
        The factors' values as displayed.
    seed
        The seed.
    name
        Name of the scenario if the builder sets none.
    keep
        The part of the result that is kept on disk: ``"indicators"``, ``"everything"``, or patterns of series.
    limits
        Limits of the run.
    checkpoint_every
        Simulated time between checkpoints; None for no checkpoints.
    scratch
        Folder for files that exist only during an attempt; None for the run's own folder.
    source
        Digest of the package's source in the process that created the study.
    cwd
        Folder to which relative paths refer.
    path
        Python's module search path.
    """

    key: str
    folder: Path
    builder: BuilderPlace
    values: bytes
    labels: Mapping[str, Any]
    seed: int
    name: str
    keep: Retention = "indicators"
    limits: Limits = field(default_factory=Limits)
    checkpoint_every: float | str | None = None
    scratch: Path | None = None
    source: str = ""
    cwd: str = "."
    path: tuple[str, ...] = ()


def attempt(request: Request, builder: LoadedBuilder, files: FilesRead, scratch: Path) -> None:
    """Do a run and mark it done, or failed with the reason; a traceback goes to standard error.

    Parameters
    ----------
    request
        The run.
    builder
        Its builder.
    files
        The files read so far.
    scratch
        Folder for temporary files of the process.
    """
    began = time.perf_counter()
    based_on = basis(request.builder)
    folder = RunFolder(request.folder, based_on)
    source = request.builder.file
    declared: list[Path] = []
    try:
        if request.source and request.source != source_digest():
            raise CosimError(
                f"{socket.gethostname()} has a different version of cosim than the study: install the same version on "
                "all workers"
            )
        scenario = builder.from_values(request.values, request.labels, seed=request.seed, name=request.name)
        _check_kept(scenario, request.keep)
        declared = [Path(path) for adapter in scenario.adapters.values() for path in adapter.files]
        inputs = files.digests(declared, request.folder.parent, scratch, builder=source)
        result = _run(scenario, request)
        inputs = files.digests([], request.folder.parent, scratch, builder=source) | inputs
        indicators = {name: value.to_json() for name, value in result.indicators.items()}
        _thin(folder.result, request.keep)
        folder.mark_done(
            {
                "identity": identity(request.key, based_on, inputs),
                "basis": based_on,
                "inputs": inputs,
                "parameters": dict(request.labels),
                "seed": request.seed,
                "indicators": indicators,
                "wall_s": round(time.perf_counter() - began, 3),
                "host": socket.gethostname(),
                "versions": versions(),
            }
        )
    except Exception as error:
        traceback.print_exc()
        reason = str(error) if isinstance(error, CosimError) else f"{type(error).__name__}: {error}{_where(error)}"
        outcome = RunOutcome(request.key, "error", reason, round(time.perf_counter() - began, 3))
        folder.mark_failed(outcome, files.digests(declared, request.folder.parent, scratch, builder=source))


def _check_kept(scenario: Scenario, keep: Retention) -> None:
    """Check that something is kept where patterns name it; one of them may be of other levels of a factor."""
    known = scenario.outputs()
    if keep and not isinstance(keep, str) and not any(fnmatch.filter(known, pattern) for pattern in keep):
        raise CosimError(
            f"record: no output matches {', '.join(map(shown, keep))}: write names or patterns of {', '.join(known)}"
        )


def _run(scenario: Scenario, request: Request) -> Result:
    # The run has a process of its own, so the first adapter placed in a process can run inline: SUMO allows one
    # simulation per process, and a crash or hang affects only this run.
    placed = [name for name in scenario.adapters if scenario.placement(name) == "process"]
    inline: dict[str, Placement] = dict.fromkeys(placed[:1], "inline")
    scenario.place(**inline)
    folder = RunFolder(request.folder).result
    if request.checkpoint_every is not None and any((folder / "checkpoints").glob("[0-9]*")):
        try:
            return scenario.resume(folder)
        except ScenarioError as error:  # the checkpoint is of another scenario
            sys.stderr.write(f"starting again from the beginning: {error}\n")
    rmtree(folder, ignore_errors=True)
    return scenario.run(folder, checkpoint_every=request.checkpoint_every)


def _thin(folder: Path, keep: Retention) -> None:
    """Reduce a result to what is kept; removed series are no longer marked as recorded."""
    rmtree(folder / "checkpoints", ignore_errors=True)
    if keep == "everything":
        return
    about = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    patterns = () if keep == "indicators" else keep
    for name, output in about["outputs"].items():
        if not any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns):
            output["recorded"] = False
            rmtree(folder / "series" / name, ignore_errors=True)
    write_json(folder / "run.json", about)
    rmtree(folder / "adapters", ignore_errors=True)
    if not patterns:
        for path in (folder / "series", folder / "logs"):
            rmtree(path, ignore_errors=True)
        for name in ("events.parquet", "layers.json"):
            (folder / name).unlink(missing_ok=True)


def _where(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
