"""The recorder, which writes outputs and events to disk in the background.

A separate thread writes series as Parquet parts of 60 steps, each under a temporary name and then renamed: a part that
exists under its final name is complete, even after ``kill -9``.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cosim.core.adapter import Event
from cosim.core.clock import Clock
from cosim.core.errors import CosimError
from cosim.core.quantities import Vector
from cosim.core.units import energies, levels
from cosim.results.files import PART_STEPS, write_json

Reduction: TypeAlias = Literal["mean", "last", "min", "max"]
_Event: TypeAlias = tuple[int, str, str, str, str]

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
        self.labels = pa.array([labels[i] for i in self.order], pa.string())

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

    def write(self, part: int, rows: list[tuple[int, Vector]], times: list[int], dtype: type) -> None:
        """Write rows as a Parquet part."""
        values: np.ndarray = np.array([value for _, value in rows], dtype=dtype)[:, self.order]
        n_steps, n_labels = values.shape
        indices = np.repeat(np.arange(n_labels, dtype=np.int32), n_steps)
        table = pa.table(
            {
                "label": pa.DictionaryArray.from_arrays(pa.array(indices), self.labels),
                "time": pa.array(np.tile(np.array(times, dtype=np.int64), n_labels), pa.int64()).cast(_TIME),
                "value": pa.array(values.T.ravel(), from_pandas=False),
            }
        )
        _write_table(self.folder / f"part-{part}.parquet", table)


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
        with np.load(folder / _ROWS, allow_pickle=False) as arrays:
            for name, series in self._series.items():
                prefix = f"{name}:"
                series.load({n.removeprefix(prefix): arrays[n] for n in arrays.files if n.startswith(prefix)})
        self._events = [tuple(row) for row in json.loads((folder / _EVENTS).read_text(encoding="utf-8"))]

    def _ms(self, tick: int) -> int:
        return self._start_ms + round(tick * self._clock.step_s * 1000)

    def _submit(self, series: _Series) -> None:
        rows, series.rows = series.rows, []
        times = [self._ms(tick) for tick, _ in rows]
        self._write(series.write, series.parts, rows, times, self._dtype)
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
