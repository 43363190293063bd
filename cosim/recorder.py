"""How does a run reach the disk, so that nothing recorded is lost and the run does not wait for it?

Series are written as Parquet parts of 60 steps by a thread of its own, each to a temporary name and then renamed:
whatever a part's name can be read under is complete, also after ``kill -9``.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cosim.core.adapter import Event
from cosim.core.clock import Clock
from cosim.core.errors import CosimError
from cosim.core.ports import Vector

PART_STEPS = 60
_TIME = pa.timestamp("ms", tz="UTC")


def write_json(path: Path, content: object) -> None:
    """Write a JSON file by rename, so that a reader sees the old or the new one, never half of it."""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
    temporary.replace(path)


def _write_table(path: Path, table: pa.Table) -> None:
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        pq.write_table(table, file, compression="zstd")
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


class _Series:
    """The rows of one output that are not on disk yet."""

    def __init__(self, folder: Path, labels: tuple[str, ...]) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.rows: list[tuple[int, Vector]] = []
        self.parts = 0
        self.order = np.argsort(np.array(labels, dtype=object), kind="stable")
        self.labels = pa.array([labels[i] for i in self.order], pa.string())

    def write(self, part: int, rows: list[tuple[int, Vector]], times: list[int], dtype: type) -> None:
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
    """Takes the outputs and events of a run and writes them into its folder.

    Parameters
    ----------
    folder
        The run's folder; must exist.
    clock
        Turns ticks into UTC.
    outputs
        Labels of the outputs to record, by ``adapter.port``.
    double
        Write float64 instead of float32.
    """

    def __init__(self, folder: Path, clock: Clock, outputs: Mapping[str, tuple[str, ...]], *, double: bool) -> None:
        self._folder, self._clock = folder, clock
        self._dtype: type = np.float64 if double else np.float32
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="recorder")
        self._pending: list[Future[None]] = []
        self._events: list[tuple[int, str, str, str, str]] = []
        self._start_ms = round(clock.start_utc.timestamp() * 1000)
        self._series = {name: _Series(folder / "series" / name, labels) for name, labels in outputs.items()}

    def add(self, adapter: str, tick: int, values: Mapping[str, Vector], events: list[Event]) -> None:
        """Take what an adapter said at the end of a step.

        Raises
        ------
        CosimError
            If an earlier part could not be written.
        """
        self._check()
        for port, value in values.items():
            series = self._series.get(f"{adapter}.{port}")
            if series is not None:
                series.rows.append((tick, value))
                if len(series.rows) >= PART_STEPS:
                    self._submit(series)
        self._events += [(self._ms(tick), adapter, e.kind, e.element, e.text) for e in events]

    def close(self) -> None:
        """Write what is left and wait for it."""
        for series in self._series.values():
            if series.rows:
                self._submit(series)
        self._pending.append(self._writer.submit(self._write_events))
        self._writer.shutdown(wait=True)
        self._check()

    def _ms(self, tick: int) -> int:
        return self._start_ms + round(tick * self._clock.step_s * 1000)

    def _submit(self, series: _Series) -> None:
        rows, series.rows = series.rows, []
        times = [self._ms(tick) for tick, _ in rows]
        self._pending.append(self._writer.submit(series.write, series.parts, rows, times, self._dtype))
        series.parts += 1

    def _write_events(self) -> None:
        columns = [[row[i] for row in self._events] for i in range(5)]
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
                words = error.strerror if isinstance(error, OSError) else str(error)
                raise CosimError(
                    f"cannot record into {self._folder}: {words}; what was recorded before is readable, free some "
                    "space or pass another folder"
                ) from error


def versions() -> dict[str, Any]:
    """Return the versions of what every run uses."""
    packages = ("cosim", "mosaik", "numpy", "scipy")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}
