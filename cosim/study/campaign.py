"""What is a study, and how is it run? A builder, a design of its parameters, seeds; every run once, none lost."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from cosim.core.clock import duration_s
from cosim.recorder import write_json

from .attempt import Keep, Limits, Request
from .builders import Build, InsideRun, checked, packed, place_of
from .design import Design, Point, Points, make_points
from .extra import needs
from .factors import StudyError, canonical
from .identity import run_key, source_digest, versions
from .records import Outcome, RunFolder, State, locked
from .workers import end_servers, start

if TYPE_CHECKING:
    import distributed
    import pandas as pd
    from matplotlib.figure import Figure

ONLY_LOADED = False
"""Whether a script is loaded for its builder or study, and must not run what it makes."""

_BYTES = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


@dataclass(frozen=True)
class Status:
    """How far a study is.

    Parameters
    ----------
    states
        Number of runs in each state.
    failures
        How and why runs failed, with what they were given.
    """

    states: Mapping[State, int]
    failures: Sequence[tuple[Outcome, Mapping[str, Any]]]

    def __str__(self) -> str:
        text = ", ".join(f"{count} {state}" for state, count in self.states.items())
        return "\n".join([text or "no runs", *(f"  {failure_text(*failure)}" for failure in self.failures)])


def failure_text(outcome: Outcome, given: Mapping[str, Any]) -> str:
    """Return in a line which run failed and why."""
    which = ", ".join(f"{name}={value}" for name, value in given.items())
    times = f" (in {outcome.attempts} attempts)" if outcome.attempts > 1 else ""
    return f"{outcome.key} {which}: {outcome.kind}: {outcome.reason}{times}"


class Study:
    """Runs of one builder over a design of its parameters and over seeds.

    Parameters
    ----------
    build
        The builder, ``build(**factors, seed) -> Scenario``, defined at the top of a file or module; or the name of a
        registered scenario; or ``"FILE.py:function"``.
    seeds
        Seeds that every point of the design is run with; a number n stands for 0 … n - 1.
    design
        ``"grid"``, ``"lhs"``, ``"sobol"``, ``"morris"``, or a list of points; see `cosim.study.design.make_points`.
    samples
        Size of a design that samples.
    name
        Names the study's folder; by default as the builder's file.
    out
        The study's folder; by default ``studies/<name>``.
    factors
        Parameters of the builder: a list, range or array of levels, a mapping of labels to levels, a frozen
        distribution of `scipy.stats`, or one value.

    Raises
    ------
    StudyError
        Everything that is wrong with it; nothing has run.

    Examples
    --------
    ``Study(build, ev_share=[0.0, 0.3], charging={"plain": Plain(), "valley": Valley()}, seeds=range(10))``
    """

    def __init__(
        self,
        build: Build | str,
        /,
        *,
        seeds: Sequence[int] | int = 1,
        design: Design | Sequence[Mapping[str, Any]] = "grid",
        samples: int | None = None,
        name: str | None = None,
        out: str | Path | None = None,
        **factors: Any,
    ) -> None:
        self.place = place_of(build)
        self.name = name or (build if isinstance(build, str) and build.isidentifier() else self.place.name)
        self.folder = Path(out or Path("studies") / self.name).absolute()
        self.seeds = _seeds(seeds)
        loaded = self.place.load() if isinstance(build, str) else build
        points = make_points(design, factors, samples)
        typed = checked(loaded, self.place.name, points.factors, n_seeds=len(self.seeds))
        self.points = _with_types(points, {name: one.levels for name, one in typed.items()})
        for point in self.points.points:
            packed({name: level.value for name, level in point.items()})

    @cached_property
    def runs(self) -> dict[tuple[int, int], str]:
        """The key of each run, by point and seed; points that are the same share their runs."""
        contents = [
            {name: canonical(level.value) for name, level in sorted(point.items())} for point in self.points.points
        ]
        return {
            (k, seed): run_key(self.place, content, seed) for k, content in enumerate(contents) for seed in self.seeds
        }

    @cached_property
    def _first(self) -> dict[str, tuple[int, int]]:
        return {key: at for at, key in reversed(self.runs.items())}

    def run_folder(self, key: str) -> RunFolder:
        """Return the folder of a run."""
        return RunFolder(self.folder / "runs" / key)

    def given(self, key: str) -> dict[str, Any]:
        """Return what a run is given, as shown: the varied factors and the seed."""
        k, seed = self._first[key]
        names = self.points.varied or list(self.points.factors)
        return {name: self.points.points[k][name].label for name in names} | {"seed": seed}

    def states(self) -> dict[str, State]:
        """Return how far each run is, by key."""
        return {key: self.run_folder(key).state() for key in sorted(self._first, key=lambda key: self._first[key])}

    def status(self) -> Status:
        """Return how many runs are done, running, failed, interrupted, changed or missing, and why they failed."""
        states = self.states()
        failures = []
        for key, state in states.items():
            outcome = self.run_folder(key).failed() if state == "failed" else None
            if outcome is not None:
                failures.append((outcome, self.given(key)))
        counts = Counter(states.values())
        return Status({state: counts[state] for state in get_args(State) if counts[state]}, failures)

    def run(
        self,
        *,
        workers: int = 1,
        client: distributed.Client | None = None,
        record: Literal["indicators", "everything"] | Sequence[str] = "indicators",
        timeout: float | str | None = None,
        memory: float | str | None = None,
        retries: int = 1,
        checkpoint_every: float | str | None = None,
        scratch: str | Path | None = None,
        resume: bool = False,
        progress: bool = False,
    ) -> pd.DataFrame:
        """Do every run that is not done, each in a process of its own; return the table of all.

        A run that fails does not end the study: see `status`.

        Parameters
        ----------
        workers
            Runs side by side on this machine; more than one by Dask.
        client
            A Dask client, for runs wherever its workers are. They share the study's folder.
        record
            What stays on disk of each result: ``"indicators"``, ``"everything"``, or patterns of series as in
            ``["grid.*"]``. Indicators and provenance always stay.
        timeout
            Longest time that a run may take, as in ``"2h"`` or in seconds.
        memory
            Most memory that a run with all it starts may hold, as in ``"4GB"`` or in bytes.
        retries
            Further attempts where a run's process crashed. An error of the scenario is not tried again.
        checkpoint_every
            Simulated time between checkpoints: a run that was killed goes on from the last.
        scratch
            Folder for files that live as long as an attempt, such as a node's own disk.
        resume
            Try also those again that have failed.
        progress
            Show a progress bar, and failures as they come.

        Raises
        ------
        StudyError
            If an option is not sound.
        CosimError
            If the folder is in use or cannot be written, or the scheduler has gone.
        """
        if ONLY_LOADED:
            raise InsideRun
        if client is not None and workers != 1:
            raise StudyError("workers and client are both given: the client's scheduler knows its workers")
        prototype = self._prototype(record, _limits(timeout, memory, retries), checkpoint_every, scratch)
        if not isinstance(workers, int) or workers < 1:
            raise StudyError(f"workers is {workers}: it must be a positive whole number")
        with locked(self.folder):
            self._write()
            states = self.states()
            skipped = {"done"} if resume else {"done", "failed"}
            wanted = [key for key, state in states.items() if state not in skipped]
            requests = [self._request(prototype, key) for key in wanted]
            start()
            outcomes = _outcomes(requests, workers, client)
            try:
                if progress and requests:
                    from .progress import shown

                    outcomes = shown(outcomes, len(requests), self)
                for _ in outcomes:
                    pass
            finally:
                outcomes.close()
                end_servers()
        return self.table()

    def table(self) -> pd.DataFrame:
        """Return one row per run that is done: factors, seed, indicators; ``attrs["units"]`` has their units."""
        from .analysis import table

        return table(self)

    def effects(
        self, factor: str | None = None, *, within: str | Sequence[str] = (), level: float = 0.95
    ) -> pd.DataFrame:
        """Return paired differences of every indicator between the levels of factors.

        See `cosim.study.analysis.effects`.
        """
        from .analysis import effects

        return effects(self, factor, [within] if isinstance(within, str) else list(within), level)

    def sensitivity(self, indicators: str | Sequence[str] | None = None, *, level: float = 0.95) -> pd.DataFrame:
        """Return sensitivity indices of indicators to factors, of a Sobol or Morris design.

        See `cosim.study.analysis.sensitivity`.
        """
        from .analysis import sensitivity

        return sensitivity(self, [indicators] if isinstance(indicators, str) else indicators, level)

    def convergence(self, indicator: str, factor: str | None = None, *, level: float = 0.95) -> pd.DataFrame:
        """Return how the interval of an effect, or of a mean, narrows with the number of seeds.

        See `cosim.study.analysis.convergence`.
        """
        from .analysis import convergence

        return convergence(self, indicator, factor, level)

    def plot(self, indicators: str | Sequence[str] | None = None, *, x: str | None = None) -> Figure:
        """Return a figure of indicators over the levels of a factor, with intervals over seeds.

        See `cosim.study.figures.plot`.
        """
        from .figures import plot

        return plot(self, [indicators] if isinstance(indicators, str) else indicators, x)

    def report(self, factor: str) -> Path:
        """Write a report with maps and curves of a factor's levels beside its first; needs runs that kept their series.

        See `cosim.study.page.write_comparison`.
        """
        from .page import write_comparison

        return write_comparison(self, factor)

    def write(self) -> Path:
        """Write tables, figures and the study's page into its folder; return the page."""
        from .page import write_page

        return write_page(self)

    def _prototype(
        self, record: Any, limits: Limits, checkpoint_every: float | str | None, scratch: str | Path | None
    ) -> Request:
        keep: Keep
        if isinstance(record, str):
            if record not in ("indicators", "everything"):
                raise StudyError(f"record is {record!r}: write 'indicators', 'everything', or a list of patterns")
            keep = record  # type: ignore[assignment]
        else:
            keep = tuple(record)
        if checkpoint_every is not None:
            duration_s(checkpoint_every)
        return Request(
            key="", folder=self.folder, builder=self.place, values=b"", labels={}, seed=0, name=self.name, keep=keep,
            limits=limits, checkpoint_every=checkpoint_every, scratch=None if scratch is None else Path(scratch),
            source=source_digest(), cwd=str(Path.cwd()), path=tuple(sys.path),
        )  # fmt: skip

    def _request(self, prototype: Request, key: str) -> Request:
        k, seed = self._first[key]
        point = self.points.points[k]
        return replace(
            prototype, key=key, folder=self.run_folder(key).path, seed=seed,
            values=packed({name: level.value for name, level in point.items()}),
            labels={name: level.label for name, level in point.items()},
        )  # fmt: skip

    def _write(self) -> None:
        """Say on disk what the study is, for people and for later."""
        write_json(
            self.folder / "study.json",
            {
                "name": self.name,
                "builder": {"file": str(self.place.file), "function": self.place.function},
                "design": self.points.design,
                "factors": {name: one.describe() for name, one in self.points.factors.items()},
                "seeds": list(self.seeds),
                "source": source_digest(),
                "versions": versions(),
                "runs": [
                    {"run": key, "point": k, "seed": seed}
                    | {name: level.label for name, level in self.points.points[k].items()}
                    for (k, seed), key in self.runs.items()
                ],
            },
        )

    def __repr__(self) -> str:
        n = len(self.points.points)
        return f"<Study {self.name!r}: {self.points.design} of {n} points × {len(self.seeds)} seeds in {self.folder}>"


def _outcomes(
    requests: Sequence[Request], workers: int, client: distributed.Client | None
) -> Generator[Outcome]:
    from .engines import by_dask, local_client, one_by_one

    if not requests:
        return
    if client is not None:
        yield from by_dask(requests, client)
    elif workers == 1:
        yield from one_by_one(requests)
    else:
        with local_client(workers) as ours:
            yield from by_dask(requests, ours)


def _with_types(points: Points, typed: Mapping[str, Any]) -> Points:
    """Return the points with the values that the builder's annotations made of the levels."""
    values = {name: {level.label: level for level in levels} for name, levels in typed.items()}
    changed: list[Point] = [
        {name: values[name].get(level.label, level) for name, level in point.items()} for point in points.points
    ]
    return replace(points, points=changed)


def _seeds(given: Sequence[int] | int) -> tuple[int, ...]:
    seeds = tuple(range(given)) if isinstance(given, int) else tuple(given)
    wrong = [seed for seed in seeds if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0]
    if not seeds or wrong or len(set(seeds)) < len(seeds):
        raise StudyError(f"seeds are {given!r}: give different whole numbers from 0 on, or how many")
    return seeds


def _limits(timeout: float | str | None, memory: float | str | None, retries: int) -> Limits:
    problems = []
    timeout_s = None if timeout is None else duration_s(timeout)
    try:
        held = None if memory is None else _bytes(memory)
    except ValueError as error:
        problems.append(str(error))
    if memory is not None:
        with needs("psutil", "a limit of memory"):
            import psutil  # noqa: F401
    if not isinstance(retries, int) or retries < 0:
        problems.append(f"retries is {retries}: it must be a whole number, 0 or more")
    if problems:
        raise StudyError(problems)
    return Limits(timeout_s, held, retries)


def _bytes(given: float | str) -> int:
    """Return bytes from a number or a text.

    >>> _bytes("1.5 GB"), _bytes("2GiB")
    (1500000000, 2147483648)
    """
    found = re.fullmatch(r"\s*([\d.]+(?:e\d+)?)\s*([a-zA-Z]*)\s*", str(given))
    unit = _BYTES.get((found[2] or "B").upper()) if found else None
    if found is None or unit is None or not float(found[1]) > 0:
        raise ValueError(f"memory is {given!r}: write it as '4GB' or '512MiB', or in bytes")
    return int(float(found[1]) * unit)

