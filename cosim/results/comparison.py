"""Comparisons of plans with a base, in which runs are paired by seed.

With common random numbers [1]_ the difference within a pair is caused by the plan and not by chance: the statistics use
the differences within pairs, not the spread of the runs.

References
----------
.. [1] A. M. Law, "Simulation Modeling and Analysis", 5th ed., McGraw-Hill 2015, section 11.2.
"""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd

from cosim.core.errors import CosimError, ScenarioError

from .cautions import cautions, cautions_within
from .indicator import Change
from .notebook import comparison_html
from .result import Result
from .statistics import additive, paired_difference
from .tables import comparison_tables, render

_REMEDY = {
    "start": "run both from one start",
    "time zone": "run both in one time zone",
    "exchange step": "run both with one exchange step",
    "length": "run both over one length, as long as the longer one takes, e.g. by hours=",
}
Runs: TypeAlias = Result | Sequence[Result]


class Comparison:
    """Plans compared with a base; printed, or shown in a notebook, as one table per plan.

    Attributes
    ----------
    base : list of Result
        The runs without a plan, one per seed.
    plans : dict of str to list of Result
        The runs of each plan, by its name.
    seeds : list of int
        The seeds that the base and all plans have in common.
    """

    def __init__(self, base: Sequence[Result], plans: dict[str, Sequence[Result]], *, base_name: str = "base") -> None:
        self.base_name = base_name
        groups = {base_name: base} | plans
        problems = [problem for name, runs in groups.items() for problem in _problems_of(name, runs)]
        if not problems:
            problems = [p for name, runs in plans.items() for p in _problems_between(base_name, base, name, runs)]
        common = set.intersection(*(set(map(seed_of, runs)) for runs in groups.values()))
        if not problems and not common:
            problems = [
                "the base and the plans have no common seed: "
                + "; ".join(f"{name} has {_listed(runs)}" for name, runs in groups.items())
            ]
        if problems:
            raise ScenarioError([f"cannot compare: {problem}" for problem in problems])
        self.base = sorted(base, key=seed_of)
        self.plans = {name: sorted(runs, key=seed_of) for name, runs in plans.items()}
        self.seeds = sorted(common)

    @property
    def names(self) -> list[str]:
        """The names of the base and the plans."""
        return [self.base_name, *self.plans]

    @property
    def runs(self) -> list[list[Result]]:
        """The runs of the base and of every plan with the common seeds, as shown on a map."""
        return [[run for run in runs if seed_of(run) in self.seeds] for runs in (self.base, *self.plans.values())]

    def _pairs(self, plan: str) -> list[tuple[Result, Result]]:
        with_plan = {seed_of(run): run for run in self.plans[plan]}
        return [(run, with_plan[seed_of(run)]) for run in self.base if seed_of(run) in with_plan]

    @functools.cached_property
    def changes(self) -> dict[str, list[Change]]:
        """The changes by each plan of every indicator that it shares with the base."""
        return {plan: self._changes(plan) for plan in self.plans}

    def _changes(self, plan: str) -> list[Change]:
        pairs = self._pairs(plan)
        found = []
        for name, kind in pairs[0][0].indicators.items():
            both = [
                (a.indicators[name].value, b.indicators[name].value)
                for a, b in pairs
                if name in a.indicators and name in b.indicators
            ]
            if not both:
                continue
            known = [(x, y) for x, y in both if math.isfinite(x) and math.isfinite(y)]
            base, with_plan = zip(*known, strict=True) if known else ((), ())
            found.append(
                Change(
                    indicator=name,
                    unit=kind.unit,
                    better=kind.better,
                    about=kind.about,
                    role=kind.role,
                    base=_mean(base, kind.unit),
                    plan=_mean(with_plan, kind.unit),
                    difference=paired_difference(base, with_plan, unit=kind.unit) if base else None,
                )
            )
        return found

    @property
    def unshared(self) -> dict[str, list[str]]:
        """Indicators that only the base or only a plan has, by plan."""
        return {
            plan: sorted(set(pairs[0][0].indicators) ^ set(pairs[0][1].indicators))
            for plan in self.plans
            if (pairs := self._pairs(plan))
        }

    @functools.cached_property
    def cautions(self) -> dict[str, list[str]]:
        """What the runs differ in beyond the plan and the seed, by plan."""
        within = {name: cautions_within(name, runs) for name, runs in zip(self.names, self.runs)}
        return {
            plan: [
                *cautions(self.base_name, pairs[0][0], plan, pairs[0][1]),
                *within[self.base_name],
                *within[plan],
            ]
            for plan in self.plans
            if (pairs := self._pairs(plan))
        }

    @property
    def table(self) -> pd.DataFrame:
        """The changes as a table, one row per plan and indicator."""
        rows: list[dict[str, Any]] = []
        for plan, changes in self.changes.items():
            for c in changes:
                d = c.difference
                rows.append(
                    {
                        "plan": plan,
                        "indicator": c.indicator,
                        "unit": c.unit,
                        "base": c.base,
                        "with plan": c.plan,
                        "difference": d.mean if d else math.nan,
                        "t low": d.t.low if d else math.nan,
                        "t high": d.t.high if d else math.nan,
                        "bca low": d.bca.low if d else math.nan,
                        "bca high": d.bca.high if d else math.nan,
                        "n": d.n if d else 0,
                        "verdict": c.verdict,
                    }
                )
        return pd.DataFrame(rows)

    def __str__(self) -> str:
        return "\n\n".join(render(table, width=150) for table in comparison_tables(self))

    def _repr_html_(self) -> str:
        return comparison_html({"": self})


def _mean(values: Sequence[float], unit: str) -> float:
    return math.fsum(additive(values, unit)) / len(values) if values else math.nan


def compare(base: Runs, *plans: Runs, names: Sequence[str] | None = None) -> Comparison:
    """Compare plans with a base, seed by seed.

    Parameters
    ----------
    base, plans
        Finished runs over the same period: one each, or several with different seeds. Pairs have the same seed.
    names
        Names of the base and the plans; by default those of their folders.

    Raises
    ------
    ScenarioError
        If the runs cannot be compared: unfinished runs, different clocks, no common seed, different units.
    CosimError
        If there is no plan, or the number of names differs from the number of groups.

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
        raise CosimError(
            f"compare() got the names {', '.join(labels)} for {len(groups)} groups of runs: pass a different name for "
            "each"
        )
    return Comparison(groups[0], dict(zip(labels[1:], groups[1:], strict=True)), base_name=labels[0])


def _runs_in(given: Any) -> list[Result]:
    found = [given] if isinstance(given, Result) else given
    if isinstance(found, (str, Path)) or not isinstance(found, Iterable):
        raise CosimError(f"compare() got {given!r}: pass results, as in compare(Result.open(…), Result.open(…))")
    runs = list(found)
    if wrong := [run for run in runs if not isinstance(run, Result)]:
        raise CosimError(f"compare() got {wrong[0]!r} among the runs: pass results, as from Result.open(…)")
    return runs


def distinct_names(folders: Sequence[Path]) -> list[str]:
    """Return the names of folders, with as much of the path as is needed to distinguish them.

    >>> distinct_names([Path("/runs/a/base"), Path("/runs/b/base")])
    ['a/base', 'b/base']
    """
    paths = [folder.resolve().parts for folder in folders]
    for depth in range(1, max(map(len, paths)) + 1):
        names = ["/".join(parts[-depth:]) for parts in paths]
        if len(set(names)) == len(names):
            return names
    return [f"{'/'.join(parts[-1:])} ({k})" for k, parts in enumerate(paths, start=1)]


def seed_of(result: Result) -> int:
    """Return the seed of a run."""
    return int(result.provenance["seed"])


def _problems_of(name: str, runs: Sequence[Result]) -> list[str]:
    problems = [
        f"{run.folder} is {'unfinished' if run.status == 'running' else run.status}: only finished runs have "
        "indicators; resume it or run it again"
        for run in runs
        if run.status != "finished"
    ]
    problems += [
        f"{run.folder} has no indicators: pass indicators= to its scenario, or resume it if it was interrupted while "
        "they were computed"
        for run in runs
        if run.status == "finished" and not run.indicators
    ]
    problems += [
        f"{name} has {count} runs with seed {seed}: pass one run per seed"
        for seed, count in Counter(map(seed_of, runs)).items()
        if count > 1
    ]
    clocks = [_clock(run) for run in runs]
    for run, clock in zip(runs, clocks):
        problems += _clock_differences(str(runs[0].folder), clocks[0], str(run.folder), clock)
    return problems


def _problems_between(base_name: str, base: Sequence[Result], name: str, plan: Sequence[Result]) -> list[str]:
    problems = _clock_differences(base_name, _clock(base[0]), name, _clock(plan[0]))
    if not {*map(seed_of, base)} & {*map(seed_of, plan)}:
        problems.append(
            f"{base_name} has the seeds {_listed(base)}, {name} has {_listed(plan)}: run both with the same seeds, so "
            "that they share their random draws"
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
    return ", ".join(map(str, sorted(map(seed_of, runs))))


def _clock(run: Result) -> dict[str, Any]:
    clock = run.provenance["clock"]
    return {
        "start": clock["start"],
        "time zone": clock["zone"],
        "exchange step": f"{clock['step_s']:g} s",
        "length": f"{run.provenance['simulated_s']:g} s",
    }


def _clock_differences(first_name: str, first: dict[str, Any], name: str, other: dict[str, Any]) -> list[str]:
    return [
        f"the {key} of {name} is {other[key]}, that of {first_name} {value}: {_REMEDY[key]}"
        for key, value in first.items()
        if value != other[key]
    ]
