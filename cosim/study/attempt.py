"""What happens in the process of one run? Build, run or resume, judge, keep what was asked for, and say so on disk."""

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
from cosim.core.errors import CosimError, ScenarioError
from cosim.recorder import write_json

from .builders import Build, BuilderPlace, call
from .identity import FilesRead, identity, source_digest, versions
from .records import Outcome, RunFolder

if TYPE_CHECKING:
    from cosim.results import Result
    from cosim.scenario import Scenario

Keep: TypeAlias = Literal["indicators", "everything"] | tuple[str, ...]


@dataclass(frozen=True)
class Limits:
    """What a run may take, and how often it is tried.

    Parameters
    ----------
    timeout_s
        Longest time that an attempt may take; None for no limit. [s]
    memory_bytes
        Most memory that a run and what it starts may hold; None for no limit. [B]
    retries
        Further attempts after a crash.
    """

    timeout_s: float | None = None
    memory_bytes: int | None = None
    retries: int = 1


@dataclass(frozen=True)
class Request:
    """A run that is to be done.

    Parameters
    ----------
    key
        Its name, by what it depends on.
    folder
        Its folder, on a file system that all workers share.
    builder
        Where the builder is.
    values
        The factors' values, packed.
    labels
        The factors' values as shown.
    seed
        The seed.
    name
        What the scenario is called if it has no name.
    keep
        What stays on disk of its result: ``"indicators"``, ``"everything"``, or patterns of series.
    limits
        What it may take.
    checkpoint_every
        Simulated time between checkpoints; None for none.
    scratch
        Folder for files that live no longer than an attempt; None for the run's own.
    source
        Digest of the package's source where the study was made.
    cwd
        Folder against which relative paths are read.
    path
        Where Python looks for modules.
    """

    key: str
    folder: Path
    builder: BuilderPlace
    values: bytes
    labels: Mapping[str, Any]
    seed: int
    name: str
    keep: Keep = "indicators"
    limits: Limits = field(default_factory=Limits)
    checkpoint_every: float | str | None = None
    scratch: Path | None = None
    source: str = ""
    cwd: str = "."
    path: tuple[str, ...] = ()


def attempt(request: Request, build: Build, files: FilesRead, scratch: Path) -> None:
    """Do a run and mark it done, or failed with its reason; a traceback goes to standard error.

    Parameters
    ----------
    request
        The run.
    build
        Its builder.
    files
        Which files were read up to now.
    scratch
        Where the process keeps temporary files.
    """
    began = time.perf_counter()
    folder = RunFolder(request.folder)
    declared: list[Path] = []
    try:
        if request.source and request.source != source_digest():
            raise CosimError(
                f"{socket.gethostname()} has another version of cosim than the study: install the same on all workers"
            )
        scenario = call(build, request.name, request.values, request.labels, request.seed)
        declared = [Path(path) for adapter in scenario.adapters.values() for path in adapter.files]
        inputs = files.digests(declared, request.folder.parent, scratch)
        result = _run(scenario, request)
        inputs = files.digests([], request.folder.parent, scratch) | inputs
        indicators = {name: value.to_json() for name, value in result.indicators.items()}
        _thin(folder.result, request.keep)
        folder.mark_done(
            {
                "identity": identity(request.key, inputs),
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
        words = str(error) if isinstance(error, CosimError) else f"{type(error).__name__}: {error}{_where(error)}"
        outcome = Outcome(request.key, "error", words, round(time.perf_counter() - began, 3))
        folder.mark_failed(outcome, files.digests(declared, request.folder.parent, scratch))


def _run(scenario: Scenario, request: Request) -> Result:
    # The run has a process of its own, and the first adapter that asks for one gets it: SUMO allows one simulation a
    # process, and what crashes or hangs takes down this run alone.
    wanting = [name for name in scenario.adapters if scenario.placement(name) == "process"]
    inline: dict[str, Placement] = dict.fromkeys(wanting[:1], "inline")
    scenario.place(**inline)
    folder = RunFolder(request.folder).result
    if request.checkpoint_every is not None and any((folder / "checkpoints").glob("[0-9]*")):
        try:
            return scenario.resume(folder)
        except ScenarioError as error:  # the checkpoint is of another scenario
            sys.stderr.write(f"begins anew: {error}\n")
    rmtree(folder, ignore_errors=True)
    return scenario.run(folder, checkpoint_every=request.checkpoint_every)


def _thin(folder: Path, keep: Keep) -> None:
    """Leave of a result what is to be kept; what is gone is no longer called recorded."""
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
