"""Repeats of a run with other seeds, for comparisons."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Sequence

from cosim.core.errors import CosimError, ScenarioError
from cosim.engine.provenance import changes, provenance
from cosim.registry.builder import build_again
from cosim.results.comparison import seed_of
from cosim.results.result import Result

_REPEATS = "seeds"


def with_repeats(result: Result) -> list[Result]:
    """Return a run with its finished repeats, which `repeat` leaves in its folder."""
    folders = sorted((result.folder / _REPEATS).glob("*/run.json"), key=lambda p: p.parent.name)
    repeats = [Result.open(path.parent) for path in folders if path.parent.suffix != ".part"]
    return [result, *(run for run in repeats if run.status == "finished" and seed_of(run) != seed_of(result))]


def check_repeatable(result: Result, seeds: Sequence[int]) -> None:
    """Check that `repeat` can run a run's scenario again with other seeds; nothing is simulated.

    Raises
    ------
    CosimError
        If the scenario was built by a script, or its builder now gives a different scenario.
    """
    if not _missing(result, seeds):
        return
    about = result.provenance
    if about["builder"] is None:
        raise CosimError(
            f"{result.folder} was run by a script: run its scenario with every seed in the script, and pass the runs "
            "to compare()"
        )
    differences = changes(about, provenance(build_again(about["builder"], seed=seed_of(result)).setup()))
    if differences:
        raise ScenarioError([f"{result.folder} cannot be repeated, run it again: {d}" for d in differences])


def repeat(result: Result, seeds: Sequence[int], *, progress: bool = False, timeout_s: float | None = None) -> None:
    """Repeat a run with other seeds, in ``seeds/<seed>`` of its folder; existing repeats are kept.

    Parameters
    ----------
    result
        A run that passes `check_repeatable`.
    seeds
        The required seeds.
    progress, timeout_s
        As in `cosim.Scenario.run`.
    """
    folder, builder = result.folder.resolve(), result.provenance["builder"]
    for seed in _missing(result, seeds):
        final = folder / _REPEATS / str(seed)
        partial = final.with_suffix(".part")
        shutil.rmtree(partial, ignore_errors=True)  # of a repeat that was interrupted
        with contextlib.chdir(builder["folder"]):  # settings may contain relative paths, read during the run
            build_again(builder, seed=seed).run(partial, progress=progress, timeout_s=timeout_s)
        partial.rename(final)


def _missing(result: Result, seeds: Sequence[int]) -> list[int]:
    there = {seed_of(run) for run in with_repeats(result)}
    return [seed for seed in seeds if seed not in there]
