"""What does a plan change, and how sure is that? Runs are paired by their seed, plan against base.

With common random numbers [1]_ a plan differs from its base by what it does, not by what chance does: the difference
within a pair is judged, not the spread of the runs.

References
----------
.. [1] A. M. Law, "Simulation Modeling and Analysis", 5th ed., McGraw-Hill 2015, section 11.2.
"""

from __future__ import annotations

import functools
import math
import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import pandas as pd

from cosim.core.errors import CosimError, ScenarioError

from .results import Result
from .statistics import PairedDifference, paired_difference

Runs: TypeAlias = Result | Sequence[Result]

_REPEATS = "seeds"


@dataclass(frozen=True)
class Change:
    """What a plan does to one indicator.

    Parameters
    ----------
    indicator, unit, better, about
        As in `Indicator`.
    base, plan
        Means over the pairs.
    difference
        Of plan − base, with its intervals; None where no pair has a value at both ends.
    """

    indicator: str
    unit: str
    better: Literal["lower", "higher"] | None
    about: str
    base: float
    plan: float
    difference: PairedDifference | None

    @property
    def relative(self) -> float:
        """The difference as a share of the base; NaN for a base of zero."""
        return (self.plan - self.base) / abs(self.base) if self.base else math.nan

    @property
    def verdict(self) -> str:
        """What may be said of the difference."""
        return self.difference.verdict if self.difference is not None else "no values to compare"


class Comparison:
    """Plans beside a base; printing it gives a table for each plan, and so does a notebook.

    Attributes
    ----------
    base : list of Result
        The runs without a plan, one a seed.
    plans : dict of str to list of Result
        The runs of each plan by its name.
    seeds : list of int
        The seeds that all have.
    """

    def __init__(self, base: Sequence[Result], plans: dict[str, Sequence[Result]], *, base_name: str = "base") -> None:
        self.base_name = base_name
        groups = {base_name: base} | plans
        problems = [problem for name, runs in groups.items() for problem in _problems_of(name, runs)]
        if not problems:
            problems = [p for name, runs in plans.items() for p in _problems_between(base_name, base, name, runs)]
        common = set.intersection(*(set(map(_seed, runs)) for runs in groups.values()))
        if not problems and not common:
            problems = ["no seed is common to the base and all plans: " + "; ".join(
                f"{name} has {_listed(runs)}" for name, runs in groups.items())]  # fmt: skip
        if problems:
            raise ScenarioError([f"cannot compare: {problem}" for problem in problems])
        self.base = sorted(base, key=_seed)
        self.plans = {name: sorted(runs, key=_seed) for name, runs in plans.items()}
        self.seeds = sorted(common)

    @property
    def names(self) -> list[str]:
        """The base's name and the plans'."""
        return [self.base_name, *self.plans]

    @property
    def runs(self) -> list[list[Result]]:
        """The runs of the base and of every plan with the seeds that all have: what a map shows."""
        return [[run for run in runs if _seed(run) in self.seeds] for runs in (self.base, *self.plans.values())]

    def _pairs(self, plan: str) -> list[tuple[Result, Result]]:
        with_plan = {_seed(run): run for run in self.plans[plan]}
        return [(run, with_plan[_seed(run)]) for run in self.base if _seed(run) in with_plan]

    @functools.cached_property
    def changes(self) -> dict[str, list[Change]]:
        """What each plan does to every indicator that it shares with the base."""
        return {plan: self._changes(plan) for plan in self.plans}

    def _changes(self, plan: str) -> list[Change]:
        pairs = self._pairs(plan)
        found = []
        for name, kind in pairs[0][0].indicators.items():
            both = [(a.indicators[name].value, b.indicators[name].value) for a, b in pairs
                    if name in a.indicators and name in b.indicators]  # fmt: skip
            if not both:
                continue
            known = [(x, y) for x, y in both if math.isfinite(x) and math.isfinite(y)]
            base, with_plan = zip(*known, strict=True) if known else ((), ())
            found.append(
                Change(
                    name, kind.unit, kind.better, kind.about,
                    math.fsum(base) / len(base) if base else math.nan,
                    math.fsum(with_plan) / len(with_plan) if with_plan else math.nan,
                    paired_difference(base, with_plan) if base else None,
                )
            )  # fmt: skip
        return found

    @property
    def unshared(self) -> dict[str, list[str]]:
        """Indicators that only the base or only a plan has, by plan."""
        return {
            plan: sorted(set(pairs[0][0].indicators) ^ set(pairs[0][1].indicators))
            for plan in self.plans
            if (pairs := self._pairs(plan))
        }

    @property
    def table(self) -> pd.DataFrame:
        """The changes as a table: one row for each plan and indicator."""
        rows: list[dict[str, Any]] = []
        for plan, changes in self.changes.items():
            for c in changes:
                d = c.difference
                rows.append({
                    "plan": plan, "indicator": c.indicator, "unit": c.unit, "base": c.base, "with plan": c.plan,
                    "difference": d.mean if d else math.nan,
                    "t low": d.t.low if d else math.nan, "t high": d.t.high if d else math.nan,
                    "bca low": d.bca.low if d else math.nan, "bca high": d.bca.high if d else math.nan,
                    "n": d.n if d else 0, "verdict": c.verdict,
                })  # fmt: skip
        return pd.DataFrame(rows)

    def __str__(self) -> str:
        from .tables import comparison_tables, render

        return "\n\n".join(render(table, width=150) for table in comparison_tables(self))

    def _repr_html_(self) -> str:
        from .report import indicators_html

        return indicators_html(self)


def compare(base: Runs, *plans: Runs, names: Sequence[str] | None = None) -> Comparison:
    """Compare plans with a base, seed by seed.

    Parameters
    ----------
    base, plans
        Finished runs over the same time: one each, or several with different seeds. Pairs have the same seed.
    names
        Of the base and the plans; by default those of their folders.

    Raises
    ------
    ScenarioError
        Everything for which the runs cannot be compared: a run that has not finished, clocks that differ, no seed in
        common, indicators in different units.
    CosimError
        If there is no plan, or there are not as many names as groups.

    Examples
    --------
    ``compare([base.run() for base in bases], [plan.run() for plan in plans])``
    """
    groups = [_runs_in(runs) for runs in (base, *plans)]
    if len(groups) < 2:
        raise CosimError("compare() needs a base and at least one plan: pass two runs")
    if not all(groups):
        raise CosimError("compare() got an empty list of runs: pass at least one run of the base and of every plan")
    labels = list(names) if names is not None else distinct_names([runs[0].folder for runs in groups])
    if len(labels) != len(groups) or len(set(labels)) != len(labels):
        raise CosimError(f"compare() got the names {', '.join(labels)} for {len(groups)} groups of runs: give each one "
                         "of its own")  # fmt: skip
    return Comparison(groups[0], dict(zip(labels[1:], groups[1:], strict=True)), base_name=labels[0])


def _runs_in(given: Any) -> list[Result]:
    found = [given] if isinstance(given, Result) else given
    if isinstance(found, (str, Path)) or not isinstance(found, Iterable):
        raise CosimError(f"compare() got {given!r}: pass results, as in compare(Result.open(…), Result.open(…))")
    runs = list(found)
    if wrong := [run for run in runs if not isinstance(run, Result)]:
        raise CosimError(f"compare() got {wrong[0]!r} among the runs: pass results, as Result.open(…) gives them")
    return runs


def distinct_names(folders: Sequence[Path]) -> list[str]:
    """Return the folders' names, with as much of the path as tells them apart.

    >>> distinct_names([Path("/runs/a/base"), Path("/runs/b/base")])
    ['a/base', 'b/base']
    """
    paths = [folder.resolve().parts for folder in folders]
    for depth in range(1, max(map(len, paths)) + 1):
        names = ["/".join(parts[-depth:]) for parts in paths]
        if len(set(names)) == len(names):
            return names
    return [f"{'/'.join(parts[-1:])} ({k})" for k, parts in enumerate(paths, start=1)]


def with_repeats(result: Result) -> list[Result]:
    """Return a run with its finished repeats under other seeds, which `repeat` leaves in its folder."""
    folders = sorted((result.folder / _REPEATS).glob("*/run.json"), key=lambda p: p.parent.name)
    repeats = [Result.open(path.parent) for path in folders if path.parent.suffix != ".part"]
    return [result, *(run for run in repeats if run.status == "finished" and _seed(run) != _seed(result))]


def repeat(result: Result, seeds: Sequence[int], *, progress: bool = False, timeout_s: float | None = None) -> None:
    """Run a run's scenario again under other seeds, into ``seeds/<seed>`` of its folder; those that are there stay.

    Parameters
    ----------
    result
        A run whose scenario the command line built.
    seeds
        The seeds to have.
    progress, timeout_s
        As in `Scenario.run`.

    Raises
    ------
    CosimError
        If the run was built by a script, or its builder does not build the same any more.
    """
    from .provenance import changes, provenance
    from .registry import load_builder

    about = result.provenance
    there = {_seed(run) for run in with_repeats(result)}
    missing = [seed for seed in seeds if seed not in there]
    if not missing:
        return
    if about["builder"] is None:
        raise CosimError(f"{result.folder} was run by a script: let it run its scenario with every seed and pass the "
                         "runs to compare()")  # fmt: skip
    builder, settings = load_builder(about["builder"]["target"]), about["builder"]["settings"]
    differences = changes(about, provenance(builder(settings, seed=_seed(result))))
    if differences:
        raise ScenarioError([f"{result.folder} cannot be repeated but must be run anew: {d}" for d in differences])
    for seed in missing:
        final = result.folder / _REPEATS / str(seed)
        partial = final.with_suffix(".part")
        shutil.rmtree(partial, ignore_errors=True)  # of a repeat that was interrupted
        builder(settings, seed=seed).run(partial, progress=progress, timeout_s=timeout_s)
        partial.rename(final)


def _seed(result: Result) -> int:
    return int(result.provenance["seed"])


def _problems_of(name: str, runs: Sequence[Result]) -> list[str]:
    problems = [
        f"{run.folder} is {'unfinished' if run.status == 'running' else run.status}: only finished runs have "
        "indicators; run or resume it"
        for run in runs
        if run.status != "finished"
    ]
    problems += [
        f"{run.folder} has no indicators: give its scenario indicators="
        for run in runs
        if run.status == "finished" and not run.indicators
    ]
    problems += [
        f"{name} has {count} runs with seed {seed}: a seed makes one pair"
        for seed, count in Counter(map(_seed, runs)).items()
        if count > 1
    ]
    clocks = [_clock(run) for run in runs]
    for run, clock in zip(runs, clocks):
        problems += _clock_differences(str(runs[0].folder), clocks[0], str(run.folder), clock)
    return problems


def _problems_between(base_name: str, base: Sequence[Result], name: str, plan: Sequence[Result]) -> list[str]:
    problems = _clock_differences(base_name, _clock(base[0]), name, _clock(plan[0]))
    if not {*map(_seed, base)} & {*map(_seed, plan)}:
        problems.append(
            f"{base_name} has the seeds {_listed(base)}, {name} {_listed(plan)}: give both the same, so that chance "
            "does not differ between them"
        )
    first, second = base[0].indicators, plan[0].indicators
    if not first.keys() & second.keys():
        problems.append(f"{base_name} and {name} have no indicator in common")
    problems += [
        f"{key} is in {first[key].unit or '1'} in {base_name} and in {second[key].unit or '1'} in {name}"
        for key in first
        if key in second and first[key].unit != second[key].unit
    ]
    return problems


def _listed(runs: Sequence[Result]) -> str:
    return ", ".join(map(str, sorted(map(_seed, runs))))


def _clock(run: Result) -> dict[str, Any]:
    clock = run.provenance["clock"]
    return {
        "start": clock["start"], "time zone": clock["zone"], "exchange step": f"{clock['step_s']:g} s",
        "length": f"{run.provenance['simulated_s']:g} s",
    }  # fmt: skip


def _clock_differences(first_name: str, first: dict[str, Any], name: str, other: dict[str, Any]) -> list[str]:
    return [f"the {key} of {name} is {other[key]}, that of {first_name} {value}"
            for key, value in first.items() if value != other[key]]  # fmt: skip
