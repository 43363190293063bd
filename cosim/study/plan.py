"""The plan of a study: its points, seeds and folders, and the state of each run."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

from cosim.registry.builder import BuilderPlace

from .design import Points
from .factors import canonical
from .identity import basis, run_key
from .jobs.records import RunFolder, RunOutcome, State, locked


@dataclass(frozen=True)
class Status:
    """The progress of a study.

    Parameters
    ----------
    states
        Number of runs in each state.
    failures
        The outcomes of failed runs, with their factors and seed.
    changes
        The number of changed runs, by what has changed since they were done.
    orphans
        The number of folders of runs that are no longer part of the study.
    """

    states: Mapping[State, int]
    failures: Sequence[tuple[RunOutcome, Mapping[str, Any]]]
    changes: Mapping[str, int] = field(default_factory=dict)
    orphans: int = 0

    def __str__(self) -> str:
        text = ", ".join(f"{count} {state}" for state, count in self.states.items())
        lines = [text or "no runs", *(f"  {failure_text(*failure)}" for failure in self.failures)]
        lines += [f"  {n} changed: {reason}; repeat with --rerun-changed" for reason, n in self.changes.items()]
        if self.orphans:
            lines.append(f"  {self.orphans} orphaned, no longer part of the study; remove with --prune")
        return "\n".join(lines)


def failure_text(outcome: RunOutcome, given: Mapping[str, Any]) -> str:
    """Return which run failed and why, in one line."""
    which = ", ".join(f"{name}={value}" for name, value in given.items())
    times = f" (in {outcome.attempts} attempts)" if outcome.attempts > 1 else ""
    return f"{outcome.key} {which}: {outcome.kind}: {outcome.reason}{times}"


class StudyPlan:
    """The runs of a study and their states.

    Parameters
    ----------
    name
        Name of the study.
    folder
        Its folder.
    place
        The location of its builder.
    seeds
        Seeds of the runs at every point.
    points
        The design: every point with the level of each factor.
    """

    def __init__(self, name: str, folder: Path, place: BuilderPlace, seeds: tuple[int, ...], points: Points) -> None:
        self.name, self.folder, self.place, self.seeds, self.points = name, folder, place, seeds, points
        self._every_seed = seeds  # also if only the first are used

    @cached_property
    def runs(self) -> dict[tuple[int, int], str]:
        """The key of each run, by point and seed; equal points share their runs."""
        return self._keys(self.seeds)

    def _keys(self, seeds: Sequence[int]) -> dict[tuple[int, int], str]:
        contents = [
            {name: canonical(level.value) for name, level in sorted(point.items())} for point in self.points.points
        ]
        return {(k, seed): run_key(self.place, content, seed) for k, content in enumerate(contents) for seed in seeds}

    @cached_property
    def _first(self) -> dict[str, tuple[int, int]]:
        return {key: at for at, key in reversed(self.runs.items())}

    def run_folder(self, key: str) -> RunFolder:
        """Return the folder of a run."""
        return RunFolder(self.folder / "runs" / key, basis(self.place))

    def orphans(self) -> list[Path]:
        """Return the folders of runs that are no longer part of the study, such as those of a removed level."""
        known = set(self._keys(self._every_seed).values())
        folders = sorted(path for path in (self.folder / "runs").glob("*") if path.is_dir())
        return [path for path in folders if path.name not in known]

    def prune(self) -> int:
        """Remove the folders of runs that are no longer part of the study; return their number.

        Raises
        ------
        CosimError
            If the study is being run.
        """
        with locked(self.folder):
            orphans = self.orphans()
            for path in orphans:
                shutil.rmtree(path)
        return len(orphans)

    def given(self, key: str) -> dict[str, Any]:
        """Return the varied factors and the seed of a run, as displayed."""
        k, seed = self._first[key]
        names = self.points.varied or list(self.points.factors)
        return {name: self.points.points[k][name].label for name in names} | {"seed": seed}

    def states(self) -> dict[str, State]:
        """Return the state of each run, by key."""
        return {key: self.run_folder(key).state() for key in sorted(self._first, key=lambda key: self._first[key])}

    def status(self) -> Status:
        """Return the number of runs in each state, and the reasons of failures."""
        states = self.states()
        failures = []
        changes = Counter(self.run_folder(key).change() or "" for key, state in states.items() if state == "changed")
        for key, state in states.items():
            outcome = self.run_folder(key).failed() if state == "failed" else None
            if outcome is not None:
                failures.append((outcome, self.given(key)))
        counts = Counter(states.values())
        return Status(
            {state: counts[state] for state in get_args(State) if counts[state]}, failures, changes, len(self.orphans())
        )
