"""Files that grow: JSON lines and CSV, read on from where the last look ended."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cosim.core import InputFileError

from .payload import Decoder, Fault, Kind, Sample

_CHUNK = 1 << 16


class GrowingFile:
    """A file whose new lines are read as they come.

    Parameters
    ----------
    path
        The file.
    decoder
        Of its lines.
    limit
        Longest accepted line. [byte]

    Raises
    ------
    InputFileError
        If it cannot be read, or is CSV without a column that the stream names.
    """

    def __init__(self, path: Path, decoder: Decoder, limit: int) -> None:
        self._path, self._decoder, self._limit = path, decoder, limit
        self._position, self._columns, self._delimiter = 0, list[str](), ","
        self._rest, self._skipping = b"", False
        self.shrunk = False
        """Whether the file became shorter and was read from its beginning, since this was last set to False."""
        try:
            with path.open("rb"):
                pass
        except OSError as error:
            raise InputFileError(f"cannot read the stream {path}: {error.strerror}") from error

    @property
    def grows(self) -> bool:
        """Whether more may come."""
        return self._decoder.stream.grows

    def read(self, now_s: float, most: int) -> tuple[list[list[Sample | Fault]], bool]:
        """Return the values of new lines, at least one line and about as many as asked, and whether that is all."""
        found: list[list[Sample | Fault]] = []
        try:
            if self._path.stat().st_size < self._position:
                self._position, self._rest, self._columns, self.shrunk = 0, b"", [], True
            with self._path.open("rb") as file:
                while len(found) < most:
                    file.seek(self._position)
                    chunk = file.read(_CHUNK)
                    self._position += len(chunk)
                    if not chunk:
                        if not self.grows and self._rest:
                            found += self._lines(b"\n", now_s)
                        return found, True
                    found += self._lines(chunk, now_s)
        except OSError:  # it is being replaced: look again later
            return found, True
        return found, False

    def _lines(self, chunk: bytes, now_s: float) -> Iterator[list[Sample | Fault]]:
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            if self._skipping:
                self._skipping = False
            elif line.strip():
                yield from self._decoded(line, now_s)
        if len(self._rest) > self._limit:
            if not self._skipping:
                yield [self._too_large()]
            self._rest, self._skipping = b"", True

    def _too_large(self) -> Fault:
        return Fault(Kind.TOO_LARGE, f"a line is longer than {self._limit} bytes")

    def _decoded(self, line: bytes, now_s: float) -> Iterator[list[Sample | Fault]]:
        if len(line) > self._limit:
            yield [self._too_large()]
        elif self._decoder.stream.payload != "csv":
            yield self._decoder.decode("", line, now_s)
        else:
            try:
                text = line.decode("utf-8-sig").rstrip("\r")
                if not self._columns:
                    self._read_header(text)
                    return
                cells = next(csv.reader(io.StringIO(text), delimiter=self._delimiter))
            except (UnicodeDecodeError, csv.Error, StopIteration):
                yield [Fault(Kind.MALFORMED, "a line is not CSV in UTF-8")]
                return
            if len(cells) != len(self._columns):
                yield [Fault(Kind.MALFORMED, f"a line has {len(cells)} of {len(self._columns)} columns")]
                return
            yield self._decoder.row(dict(zip(self._columns, cells)), now_s)

    def _read_header(self, text: str) -> None:
        self._delimiter = max(",;\t", key=text.count)
        self._columns = [name.strip() for name in next(csv.reader(io.StringIO(text), delimiter=self._delimiter))]
        stream = self._decoder.stream
        asked = [stream.time, *(value.path for value in stream.values)]
        if missing := [name for name in asked if name not in (*self._columns, "arrival")]:
            raise InputFileError(
                f"{self._path} has no column {missing[0]!r}, which its stream names; it has {', '.join(self._columns)}"
            )

    def save(self) -> list[Any]:
        """Return the place reached, as JSON data."""
        return [self._position - len(self._rest), self._columns, self._delimiter, self._skipping]

    def load(self, kept: list[Any]) -> None:
        """Continue from what `save` returned."""
        self._position, self._columns, self._delimiter, self._skipping = kept
        self._rest = b""
