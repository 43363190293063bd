"""Reading of recorded series from their Parquet parts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from cosim.core.errors import CosimError

KEPT_BYTES = 128_000_000
"""Size of the values of a run that are kept in memory: its indicators use most series, some of them twice. [B]"""


@dataclass(frozen=True, slots=True)
class Part:
    """Consecutive rows of one output.

    Attributes
    ----------
    labels : shape (n_labels,)
        In alphabetical order.
    times : shape (n_times,)
        Ends of steps. [ms since 1970, UTC]
    values : shape (n_labels, n_times)
        In single or double precision, as recorded.
    """

    labels: npt.NDArray[np.object_]
    times: npt.NDArray[np.int64]
    values: npt.NDArray[np.floating]


def read_table(path: Path, columns: list[str] | None = None) -> pa.Table:
    """Return all or some columns of a Parquet file of a run.

    Raises
    ------
    CosimError
        If it is damaged.
    """
    try:
        # a dataset, as pyarrow.parquet.read_table makes of one file, takes several times as long to open
        with pq.ParquetFile(path) as file:
            return file.read(columns, use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise CosimError(
            f"{path} is damaged or truncated: copy the run's folder again, or run the scenario again"
        ) from error


def read_part(path: Path, labels: npt.NDArray[np.object_] | None = None) -> Part:
    """Return a part, whose rows are sorted by label, then time; the labels need not be read if they are known.

    Raises
    ------
    CosimError
        If it is damaged.
    """
    table = read_table(path, None if labels is None else ["time", "value"])
    times = table["time"].cast(pa.int64()).to_numpy()
    if labels is None:
        n_times = int(np.argmax(np.diff(times, append=times[:1]) <= 0)) + 1 if len(times) else 1
        first = table["label"].take(pa.array(np.arange(0, len(times), n_times)))
        labels = np.array(first.cast(pa.string()).to_pylist(), dtype=object)
    n_times = len(times) // (len(labels) or 1)
    return Part(labels, times[:n_times], table["value"].to_numpy().reshape(len(labels), n_times))


def parts_of(folder: Path) -> list[Path]:
    """Return the parts of one output in their order in time."""
    return sorted(folder.glob("part-*.parquet"), key=lambda path: int(path.stem.removeprefix("part-")))


class KeptParts:
    """Parts of outputs in memory, each output with all of its parts or none.

    Parameters
    ----------
    room
        Largest size of the values that are kept. [B]
    """

    def __init__(self, room: int = KEPT_BYTES) -> None:
        self.room = room
        self._parts: dict[str, list[Part] | None] = {}

    def add(self, port: str, part: Part) -> None:
        """Add the next part of an output; the output is left out from now on if there is no room."""
        kept = self._parts.setdefault(port, [])
        if kept is None:
            return
        if part.values.nbytes <= self.room:
            self.room -= part.values.nbytes
            kept.append(part)
        else:
            self.room += _size(kept)
            self._parts[port] = None

    def put(self, port: str, parts: list[Part]) -> None:
        """Keep all parts of an output."""
        if port not in self._parts:
            self._parts[port] = parts
            self.room -= _size(parts)

    def get(self, port: str) -> list[Part] | None:
        """Return all parts of an output, or None if they are not here."""
        return self._parts.get(port)

    def discard(self, ports: Iterable[str]) -> None:
        """Leave outputs out from now on."""
        self._parts |= dict.fromkeys(ports)


def _size(parts: list[Part]) -> int:
    return sum(part.values.nbytes for part in parts)


class PartReader:
    """Reads the parts of a run's outputs.

    Parameters
    ----------
    folder
        Folder of the series.
    kept
        Outputs that need not be read, and to which others are added; None while parts may be added to the folder.
    """

    def __init__(self, folder: Path, kept: KeptParts | None) -> None:
        self._folder, self._kept = folder, kept

    def __call__(self, port: str) -> Iterator[Part]:
        """Return the parts of an output, read one by one."""
        kept = self._kept.get(port) if self._kept else None
        if kept is not None:
            yield from kept
            return
        read, labels = KeptParts(self._kept.room if self._kept else 0), None
        for path in parts_of(self._folder / port):
            part = read_part(path, labels)
            labels = part.labels
            read.add(port, part)
            yield part
        found = read.get(port)
        if self._kept and found is not None:
            self._kept.put(port, found)
