"""Studies: a builder, a design of its parameters, and seeds, of which each run is done once."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cosim.core.clock import duration_s
from cosim.registry.builder import Build, InsideRun, Loading, packed, place_of
from cosim.results.files import write_json
from cosim.study.jobs.attempt import Limits, Request, Retention
from cosim.study.jobs.engines import by_dask, client_at, local_client, one_by_one
from cosim.study.jobs.records import RunOutcome, State, locked
from cosim.study.jobs.workers import end_servers, start

from . import analysis, figures, page
from .design import Design, Point, Points, make_points
from .extra import needs
from .factors import StudyError, fitted
from .identity import source_digest, versions
from .plan import StudyPlan
from .progress import shown

if TYPE_CHECKING:
    import distributed
    import pandas as pd
    from distributed.deploy.cluster import Cluster
    from matplotlib.figure import Figure

_BYTES = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


class Study(StudyPlan):
    """Runs of one builder over a design of its parameters and over seeds.

    Parameters
    ----------
    build
        The builder, ``build(**factors, seed) -> Scenario``, defined at the top level of a file or module; or the name
        of a registered scenario; or ``"FILE.py:function"``.
    seeds
        Seeds of the runs at every point of the design; a number n stands for 0 … n - 1.
    design
        ``"grid"``, ``"lhs"``, ``"sobol"``, ``"morris"``, or a list of points; see `cosim.study.design.make_points`.
    samples
        Size of a sampled design.
    name
        Name of the study; by default that of the builder's file.
    out
        The study's folder; by default ``studies/<name>``.
    factors
        Parameters of the builder: a list, range or array of levels, a mapping of labels to levels, a frozen
        distribution from `scipy.stats`, or a single value.

    Raises
    ------
    StudyError
        If the study is invalid, with all its problems; nothing has run.

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
        place = place_of(build)
        name = name or (build if isinstance(build, str) and build.isidentifier() else place.name)
        different = _seeds(seeds)
        points = make_points(design, factors, samples)
        typed = fitted(
            place.load() if isinstance(build, str) else build, place.name, points.factors, n_seeds=len(different)
        )
        points = _with_types(points, {name: one.levels for name, one in typed.items()})
        for point in points.points:
            packed({name: level.value for name, level in point.items()})
        super().__init__(name, Path(out or Path("studies") / name).absolute(), place, different, points)
        caller = Path(sys._getframe(1).f_code.co_filename)
        self.defined_in = str(caller.resolve()) if caller.is_file() else ""
        """The file that defines the study; empty for an interactive session."""

    def run(
        self,
        *,
        workers: int = 1,
        client: distributed.Client | Cluster | str | None = None,
        record: Literal["indicators", "everything"] | Sequence[str] = "indicators",
        timeout: float | str | None = None,
        memory: float | str | None = None,
        retries: int = 1,
        checkpoint_every: float | str | None = None,
        scratch: str | Path | None = None,
        resume: bool = False,
        rerun_changed: bool = False,
        progress: bool = False,
    ) -> pd.DataFrame:
        """Do every run that is not done, each in a process of its own; return the table of all runs.

        A failed run does not end the study: see `status`.

        Parameters
        ----------
        workers
            Number of parallel runs on this machine; more than one uses Dask.
        client
            A Dask client, a Dask cluster such as ``SLURMCluster(…)`` or ``LocalCluster(…)``, or the address of a
            scheduler, for runs on its workers, which must share the study's folder. It is not closed.
        record
            The part of each result that is kept on disk: ``"indicators"``, ``"everything"``, or patterns of series as
            in ``["grid.*"]``. Indicators and provenance are always kept.
        timeout
            Time limit of a run, as in ``"2h"`` or in seconds.
        memory
            Memory limit of a run with all its processes, as in ``"4GB"`` or in bytes.
        retries
            Number of further attempts after a run's process crashed. An error of the scenario is not retried.
        checkpoint_every
            Simulated time between checkpoints, from which a killed run resumes.
        scratch
            Folder for files that exist only during an attempt, such as a node's local disk.
        resume
            Retry runs that have failed. Those on which something has changed since are retried in any case.
        rerun_changed
            Repeat runs that are done but of which the builder, an input or a version has changed since; otherwise they
            are kept, and left out of the table.
        progress
            Show a progress bar, and failures as they occur.

        Raises
        ------
        StudyError
            If an option is invalid.
        CosimError
            If the folder is in use or not writable, or the scheduler is lost.
        """
        if Loading.only:
            raise InsideRun
        if client is not None and workers != 1:
            raise StudyError("workers and client are both given: omit workers, which the client's scheduler determines")
        prototype = self._prototype(record, _limits(timeout, memory, retries), checkpoint_every, scratch)
        if not isinstance(workers, int) or workers < 1:
            raise StudyError(f"workers is {workers}: it must be a positive whole number")
        with locked(self.folder):
            self._check_folder()
            self._write()
            wanted = [key for key, state in self.states().items() if self._is_due(key, state, resume, rerun_changed)]
            requests = [self._request(prototype, key) for key in wanted]
            start()
            outcomes = _outcomes(requests, workers, client)
            try:
                if progress and requests:
                    outcomes = shown(outcomes, len(requests), self)
                for _ in outcomes:
                    pass
            finally:
                outcomes.close()
                end_servers()
        return self.table()

    def table(self) -> pd.DataFrame:
        """Return one row per run that is done: factors, seed, indicators; ``attrs["units"]`` holds their units."""
        return analysis.table(self)

    def effects(
        self, factor: str | None = None, *, within: str | Sequence[str] = (), level: float = 0.95
    ) -> pd.DataFrame:
        """Return paired differences of every indicator between the levels of factors.

        See `cosim.study.analysis.effects`.
        """
        return analysis.effects(self, factor, [within] if isinstance(within, str) else list(within), level)

    def sensitivity(self, indicators: str | Sequence[str] | None = None, *, level: float = 0.95) -> pd.DataFrame:
        """Return the sensitivity indices of indicators to factors, for a Sobol or Morris design.

        See `cosim.study.analysis.sensitivity`.
        """
        return analysis.sensitivity(self, [indicators] if isinstance(indicators, str) else indicators, level)

    def convergence(self, indicator: str, factor: str | None = None, *, level: float = 0.95) -> pd.DataFrame:
        """Return the interval of an effect, or of a mean, as a function of the number of seeds.

        See `cosim.study.analysis.convergence`.
        """
        return analysis.convergence(self, indicator, factor, level)

    def plot(self, indicators: str | Sequence[str] | None = None, *, x: str | None = None) -> Figure:
        """Return a figure of indicators over the levels of a factor, with intervals over seeds.

        See `cosim.study.figures.plot`.
        """
        return figures.plot(self, [indicators] if isinstance(indicators, str) else indicators, x)

    def report(self, factor: str) -> Path:
        """Write a report that compares a factor's levels with its first; the runs must have kept their series.

        See `cosim.study.page.write_comparison`.
        """
        return page.write_comparison(self, factor)

    def write(self, indicators: str | Sequence[str] | None = None) -> Path:
        """Write tables, figures and the study's page into its folder, of some indicators or all; return the page."""
        return page.write_page(self, [indicators] if isinstance(indicators, str) else indicators)

    def _prototype(
        self, record: Any, limits: Limits, checkpoint_every: float | str | None, scratch: str | Path | None
    ) -> Request:
        keep: Retention
        if isinstance(record, str):
            if record not in ("indicators", "everything"):
                raise StudyError(f"record is {record!r}: write 'indicators', 'everything', or a list of patterns")
            keep = record  # type: ignore[assignment]
        else:
            keep = tuple(record)
        if checkpoint_every is not None:
            duration_s(checkpoint_every)
        return Request(
            key="",
            folder=self.folder,
            builder=self.place,
            values=b"",
            labels={},
            seed=0,
            name=self.name,
            keep=keep,
            limits=limits,
            checkpoint_every=checkpoint_every,
            scratch=None if scratch is None else Path(scratch),
            source=source_digest(),
            cwd=str(Path.cwd()),
            path=tuple(sys.path),
        )

    def _request(self, prototype: Request, key: str) -> Request:
        k, seed = self._first[key]
        point = self.points.points[k]
        return replace(
            prototype,
            key=key,
            folder=self.run_folder(key).path,
            seed=seed,
            values=packed({name: level.value for name, level in point.items()}),
            labels={name: level.label for name, level in point.items()},
        )

    def _is_due(self, key: str, state: State, resume: bool, rerun_changed: bool) -> bool:
        if state == "failed":
            return resume or self.run_folder(key).change() is not None
        return rerun_changed if state == "changed" else state != "done"

    def _check_folder(self) -> None:
        """Check that the folder is not that of another study."""
        path = self.folder / "study.json"
        if not path.is_file():
            return
        other = json.loads(path.read_text(encoding="utf-8")).get("defined in")
        if other and self.defined_in and other != self.defined_in and Path(other).is_file():
            raise StudyError(
                f"{self.folder} holds the study of {other}, and this is that of {self.defined_in}: give this one "
                "another name or folder, name= or out="
            )

    def _write(self) -> None:
        """Write a description of the study."""
        write_json(
            self.folder / "study.json",
            {
                "name": self.name,
                "defined in": self.defined_in,
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
    requests: Sequence[Request], workers: int, client: distributed.Client | Cluster | str | None
) -> Generator[RunOutcome]:
    if not requests:
        return
    if client is not None:
        with client_at(client) as theirs:
            yield from by_dask(requests, theirs)
    elif workers == 1:
        yield from one_by_one(requests)
    else:
        with local_client(workers) as ours:
            yield from by_dask(requests, ours)


def _with_types(points: Points, typed: Mapping[str, Any]) -> Points:
    """Return the points with their levels converted to the types in the builder's annotations."""
    values = {name: {level.label: level for level in levels} for name, levels in typed.items()}
    changed: list[Point] = [
        {name: values[name].get(level.label, level) for name, level in point.items()} for point in points.points
    ]
    return replace(points, points=changed)


def _seeds(given: Sequence[int] | int) -> tuple[int, ...]:
    seeds = tuple(range(given)) if isinstance(given, int) else tuple(given)
    wrong = [seed for seed in seeds if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0]
    if not seeds or wrong or len(set(seeds)) < len(seeds):
        raise StudyError(f"seeds are {given!r}: pass different non-negative whole numbers, or their count")
    return seeds


def _limits(timeout: float | str | None, memory: float | str | None, retries: int) -> Limits:
    problems = []
    timeout_s = None if timeout is None else duration_s(timeout)
    try:
        held = None if memory is None else _bytes(memory)
    except ValueError as error:
        problems.append(str(error))
    if memory is not None:
        with needs("psutil", "a memory limit"):
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
