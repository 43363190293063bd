"""The recorder, which writes outputs and events to disk in the background.

A separate thread writes series as Parquet parts of 60 steps, each under a temporary name and then renamed: a part that
exists under its final name is complete, even after ``kill -9``.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cosim.core.adapter import Event
from cosim.core.clock import Clock
from cosim.core.errors import CosimError
from cosim.core.ports import Output
from cosim.core.quantities import Vector
from cosim.core.units import energies, levels
from cosim.results.files import PART_STEPS, write_json
from cosim.results.parts import KeptParts, Part

Reduction: TypeAlias = Literal["mean", "last", "min", "max"]
_Event: TypeAlias = tuple[int, str, str, str, str]

MOST_VALUES = 200_000_000
"""Largest number of values that a run records unless its scenario says what to record."""

_INTERVALS_S = (10, 30, 60, 300, 600, 1800, 3600, 10_800, 21_600, 43_200, 86_400)
"""Intervals of thinned rows: each divides the next, so that means over an hour or a day consist of whole rows."""
_OPEN_ENDED_S = 86_400.0

_ROWS, _EVENTS = "rows.npz", "events.json"
_TIME = pa.timestamp("ms", tz="UTC")


def _write_table(path: Path, table: pa.Table) -> None:
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        pq.write_table(table, file, compression="zstd")
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


@dataclass(frozen=True)
class Rule:
    """How an output is recorded.

    Parameters
    ----------
    every
        Exchange steps between rows. [ticks]
    keep
        How a row summarizes the steps that it covers.
    level
        Whether the values are levels, averaged by energy.
    """

    every: int
    keep: Reduction
    level: bool = False

    @property
    def averages_levels(self) -> bool:
        """Whether a row is the mean of several levels, which is taken by energy."""
        return self.level and self.keep == "mean" and self.every > 1


def thinned(rules: Mapping[str, Rule], outputs: Mapping[str, Output], clock: Clock) -> tuple[dict[str, Rule], str]:
    """Return rules that record at most `MOST_VALUES` values, and how they differ, in words.

    All outputs get the shortest common interval that suffices, each rounded up to a multiple of its step; a mean then
    covers the interval and a state is its last. A run without an end is counted as a day.

    Parameters
    ----------
    rules
        A rule per output that records every step, by ``adapter.port``.
    outputs
        The outputs.
    clock
        Exchange step and end of the run.

    Returns
    -------
    The rules and the words; if every step can be recorded, the same rules and no words.
    """
    n_steps = math.ceil(_OPEN_ENDED_S / clock.step_s) if clock.n_steps is None else clock.n_steps

    def count(found: Mapping[str, Rule]) -> int:
        return sum(len(outputs[name]) * math.ceil(n_steps / rule.every) for name, rule in found.items())

    found, whole = dict(rules), count(rules)
    if whole <= MOST_VALUES:
        return found, ""
    ratios = [seconds / clock.step_s for seconds in _INTERVALS_S]
    choices = [round(ratio) for ratio in ratios if 1 < round(ratio) <= n_steps and abs(ratio - round(ratio)) < 1e-9]
    every = 1
    for every in choices or [n_steps]:
        found = {
            name: replace(rule, every=min(math.ceil(every / rule.every) * rule.every, max(n_steps, rule.every)))
            for name, rule in rules.items()
        }
        if count(found) <= MOST_VALUES:
            break
    return found, (
        f"one row every {every * clock.step_s:g} s instead of every step ({count(found):,} values instead of "
        f"{whole:,}): means over the interval and last states, so that peaks are those of the rows; "
        "scenario.record('*') records every step"
    )


class _Series:
    """The rows of one output that are not on disk yet."""

    def __init__(self, folder: Path, labels: tuple[str, ...], rule: Rule) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self._rule = folder, rule
        self.rows: list[tuple[int, Vector]] = []
        self.parts = 0
        self._covered: Vector | None = None
        self._count = 0
        self._last = 0
        self.order = np.argsort(np.array(labels, dtype=object), kind="stable")
        self.names = np.array(labels, dtype=object)[self.order]
        self.labels = pa.array(self.names, pa.string())

    def add(self, tick: int, value: Vector) -> None:
        """Add a value; it becomes part of a row once the row's steps are complete."""
        if self._rule.averages_levels:
            value = energies(value)
        if self._covered is None or self._rule.keep == "last":
            self._covered = value
        elif self._rule.keep == "mean":
            self._covered = self._covered + value
        else:
            self._covered = (np.minimum if self._rule.keep == "min" else np.maximum)(self._covered, value)
        self._count, self._last = self._count + 1, tick
        if tick % self._rule.every == 0:
            self.complete()

    def complete(self) -> None:
        """Make a row of the values since the previous row."""
        if self._covered is not None:
            value = self._covered / self._count if self._rule.keep == "mean" and self._count > 1 else self._covered
            self.rows.append((self._last, levels(value) if self._rule.averages_levels else value))
            self._covered, self._count = None, 0

    def save(self) -> dict[str, Vector]:
        """Return what is not on disk yet, as arrays."""
        kept = {"ticks": np.array([t for t, _ in self.rows]), "rows": np.array([v for _, v in self.rows])}
        kept["counts"] = np.array([self.parts, self._count, self._last])
        return kept if self._covered is None else kept | {"covered": self._covered}

    def load(self, kept: Mapping[str, Vector]) -> None:
        """Continue from what `save` returned; delete the parts that were written since."""
        self.rows = [(int(tick), value) for tick, value in zip(kept["ticks"], kept["rows"])]
        self.parts, self._count, self._last = map(int, kept["counts"])
        self._covered = kept.get("covered")
        for part in self.folder.glob("part-*"):
            if part.suffix == ".tmp" or int(part.stem.removeprefix("part-")) >= self.parts:
                part.unlink()

    def forget(self) -> None:
        """Discard all rows, and count parts from 0 again."""
        self.rows, self.parts, self._covered, self._count = [], 0, None, 0

    def write(self, part: int, rows: list[tuple[int, Vector]], times: list[int], dtype: type) -> Part:
        """Write rows as a Parquet part, and return what reading it will return."""
        values: np.ndarray = np.array([value for _, value in rows], dtype=dtype)[:, self.order]
        n_steps, n_labels = values.shape
        written = Part(self.names, np.array(times, dtype=np.int64), np.ascontiguousarray(values.T))
        indices = np.repeat(np.arange(n_labels, dtype=np.int32), n_steps)
        table = pa.table(
            {
                "label": pa.DictionaryArray.from_arrays(pa.array(indices), self.labels),
                "time": pa.array(np.tile(written.times, n_labels), pa.int64()).cast(_TIME),
                "value": pa.array(written.values.ravel(), from_pandas=False),
            }
        )
        _write_table(self.folder / f"part-{part}.parquet", table)
        return written


class Recorder:
    """Writes the outputs and events of a run into its folder.

    Parameters
    ----------
    folder
        The run's folder; must exist.
    clock
        Converts ticks to UTC.
    outputs
        Labels and rule of each output to record, by ``adapter.port``.
    adapters
        Names of the adapters, in the order of events of the same time.
    double
        Write float64 instead of float32.
    """

    def __init__(
        self,
        folder: Path,
        clock: Clock,
        outputs: Mapping[str, tuple[tuple[str, ...], Rule]],
        adapters: Sequence[str],
        *,
        double: bool,
    ) -> None:
        self._folder, self._clock = folder, clock
        self._dtype: type = np.float64 if double else np.float32
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="recorder")
        self._pending: list[Future[None]] = []
        self._events: list[_Event] = []
        self._written_events = -1
        self._rank = {name: i for i, name in enumerate(adapters)}
        self._start_ms = round(clock.start_utc.timestamp() * 1000)
        self._series = {
            name: _Series(folder / "series" / name, labels, rule) for name, (labels, rule) in outputs.items()
        }
        self.kept = KeptParts()
        """What was written since the run began, so that its indicators need not read it."""
        self.wall_s = 0.0
        """Time for which recording held up the run; writing happens in the background. [s]"""
        self.writer_s = 0.0
        """Processor time of writing. [s]"""

    def add(self, adapter: str, tick: int, values: Mapping[str, Vector], events: list[Event]) -> None:
        """Record an adapter's outputs and events at the end of a step.

        Raises
        ------
        RecordingError
            If an earlier part could not be written.
        """
        began = time.perf_counter()
        self._check()
        self._events += [(self._ms(tick), adapter, e.kind, e.element, e.text) for e in events]
        for port, value in values.items():
            series = self._series.get(f"{adapter}.{port}")
            if series is not None:
                series.add(tick, value)
                if len(series.rows) >= PART_STEPS:
                    self._submit(series)
                    self._submit_events()
        self.wall_s += time.perf_counter() - began

    def close(self) -> None:
        """Write everything that is pending and wait until it is on disk.

        Raises
        ------
        RecordingError
            If anything could not be written.
        """
        for series in self._series.values():
            series.complete()
            if series.rows:
                self._submit(series)
        self._submit_events()
        self._writer.shutdown(wait=True)
        self._check()

    def save(self, folder: Path) -> None:
        """Wait until all parts are on disk; write the remaining rows into a folder.

        Raises
        ------
        RecordingError
            If an earlier part could not be written.
        """
        wait(self._pending)
        self._check()
        arrays = {f"{name}:{key}": value for name, s in self._series.items() for key, value in s.save().items()}
        np.savez(folder / _ROWS, **arrays)  # type: ignore[arg-type]
        write_json(folder / _EVENTS, self._events)

    def load(self, folder: Path) -> None:
        """Continue from what `save` wrote; discard everything recorded later."""
        self.kept.discard(self._series)
        with np.load(folder / _ROWS, allow_pickle=False) as arrays:
            for name, series in self._series.items():
                prefix = f"{name}:"
                series.load({n.removeprefix(prefix): arrays[n] for n in arrays.files if n.startswith(prefix)})
        self._events = [tuple(row) for row in json.loads((folder / _EVENTS).read_text(encoding="utf-8"))]

    def forget(self) -> None:
        """Discard everything recorded so far that is not on disk, to record from here on alone."""
        self._events = []
        for series in self._series.values():
            series.forget()

    def _ms(self, tick: int) -> int:
        return self._start_ms + round(tick * self._clock.step_s * 1000)

    def _submit(self, series: _Series) -> None:
        rows, series.rows = series.rows, []
        times = [self._ms(tick) for tick, _ in rows]
        self._write(self._write_part, series, series.parts, rows, times)
        series.parts += 1

    def _submit_events(self) -> None:
        if len(self._events) != self._written_events:
            self._written_events = len(self._events)
            self._write(self._write_events, self._events.copy())

    def _write(self, function: Callable[..., None], *arguments: object) -> None:
        def work() -> None:
            began = time.thread_time()
            function(*arguments)
            self.writer_s += time.thread_time() - began

        self._pending.append(self._writer.submit(work))

    def _write_part(self, series: _Series, part: int, rows: list[tuple[int, Vector]], times: list[int]) -> None:
        self.kept.add(series.folder.name, series.write(part, rows, times, self._dtype))

    def _write_events(self, events: list[_Event]) -> None:
        # Adapters report concurrently: only this order is independent of their placement.
        events.sort(key=lambda event: (event[0], self._rank[event[1]]))
        columns = [[row[i] for row in events] for i in range(5)]
        table = pa.table(
            {
                "time": pa.array(columns[0], pa.int64()).cast(_TIME),
                **{
                    name: pa.array(column, pa.string())
                    for name, column in zip(("adapter", "kind", "element", "text"), columns[1:], strict=True)
                },
            }
        )
        _write_table(self._folder / "events.parquet", table)

    def _check(self) -> None:
        done = [future for future in self._pending if future.done()]
        self._pending = [future for future in self._pending if not future.done()]
        for future in done:
            error = future.exception()
            if error is not None:
                cause = error.strerror if isinstance(error, OSError) else str(error)
                raise RecordingError(
                    f"cannot record into {self._folder}: {cause}; what was recorded before is readable, free some "
                    "space or pass another folder"
                ) from error


class RecordingError(CosimError):
    """A failure to write to disk."""
