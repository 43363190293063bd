"""Tables and files that are built once: kept on disk by what they were built from, and opened by every later build.

An entry is an Arrow file, or a file of a simulator that runs copy, named by the digest of inputs, of the package's
source and of all versions. It is written under a temporary name, renamed, and never changed: any number of processes
may build and open entries at the same time. Entries lie in the user's cache (``$XDG_CACHE_HOME/cosim``, else
``~/.cache/cosim``); with ``COSIM_BUILT=off`` in the environment nothing is kept or opened.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from cosim.study.identity import source_digest, versions

_INDEX = "\x00index"
_SAMPLE = 4096
MOST_BYTES = 5 * 10**9
"""Size of all entries, beyond which those that were not opened for longest are removed."""


def folder() -> Path | None:
    """Return the folder of the entries; None if nothing is to be kept."""
    if os.environ.get("COSIM_BUILT") == "off":
        return None
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cosim"


def entries() -> list[Path]:
    """Return the entries, that which was not opened for longest first."""
    found = []
    for path in place.glob("*.*") if (place := folder()) else ():
        with suppress(OSError):  # removed by another process
            if path.is_file():
                found.append((path.stat().st_mtime_ns, path))
    return [path for _, path in sorted(found)]


def clear() -> int:
    """Remove all entries, and return how many there were."""
    found = entries()
    for path in found:
        path.unlink(missing_ok=True)
    return len(found)


def built_once(what: str, given: Mapping[str, Any], build: Callable[[], pd.DataFrame]) -> pd.DataFrame:
    """Return a table, from its entry if there is one.

    Parameters
    ----------
    what
        What the table is.
    given
        Everything that it is built from, by name: numbers, texts, dates, arrays, tables, dataclasses, mappings and
        sequences of these; of a path, the file's content counts.
    build
        Builds the table. Its columns hold numbers and texts.
    """
    return tables_built_once(what, given, [""], lambda: {"": build()})[""]


def tables_built_once(
    what: str, given: Mapping[str, Any], names: Sequence[str], build: Callable[[], Mapping[str, pd.DataFrame]]
) -> Mapping[str, pd.DataFrame]:
    """Return several tables by name, which are built and kept together; see `built_once`."""
    paths = _entries(what, given, [f"{name}.arrow".removeprefix(".") for name in names])
    if paths is None:
        return build()
    # not built yet, removed meanwhile, or damaged
    with suppress(OSError, ValueError, KeyError, TypeError):
        opened = {}
        for name, path in zip(names, paths, strict=True):
            # in this thread alone: a study's server forks, which threads do not survive
            with pa.memory_map(str(path)) as file:
                opened[name] = _opened(pa.ipc.open_file(file).read_all())
            os.utime(path)
        pa.default_memory_pool().release_unused()  # a run of days begins with hundreds of MB less
        return opened
    found = build()
    with suppress(OSError):  # a full or read-only disk costs time, not the build
        for name, path in zip(names, paths, strict=True):
            _keep(path, functools.partial(_write, found[name]))
    return found


def files_built_once(
    what: str, given: Mapping[str, Any], place: Path, names: Sequence[str], build: Callable[[], object]
) -> list[Path]:
    """Return files in a folder, copied from their entries if there are any.

    Links would save the copy, and let whoever edits a run's file change that of all later runs.

    Parameters
    ----------
    what, given
        As for `built_once`.
    place, names
        The folder of a run, and the names of the files in it.
    build
        Writes the files, unless it has before.
    """
    paths = [place / name for name in names]
    found = _entries(what, given, names)
    if found is None:
        build()
        return paths
    with suppress(OSError):
        for path, entry in zip(paths, found, strict=True):
            shutil.copyfile(entry, path)
            os.utime(entry)
        return paths
    build()
    with suppress(OSError):
        for path, entry in zip(paths, found, strict=True):
            _keep(entry, functools.partial(shutil.copyfile, path))
    return paths


def _entries(what: str, given: Mapping[str, Any], endings: Sequence[str]) -> list[Path] | None:
    """Return where the entries of what is built together lie; None if nothing is kept."""
    place = folder()
    if place is None:
        return None
    digest = hashlib.sha256()
    for part in _parts([what, source_digest(), versions(), given]):
        digest.update(len(part).to_bytes(8, "little") + part)
    return [place / f"{digest.hexdigest()}.{ending}" for ending in endings]


def _opened(table: pa.Table) -> pd.DataFrame:
    """Return the table of an entry; texts that repeat are one object."""
    columns = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        if pa.types.is_dictionary(column.type):
            whole = column.combine_chunks()
            words = np.array(whole.dictionary.to_pylist(), object)
            columns[name] = words[whole.indices.to_numpy()]
        elif pa.types.is_large_string(column.type):
            columns[name] = np.array(column.to_pylist(), object)
        else:
            columns[name] = column.to_numpy()
    about = json.loads(table.schema.metadata[b"cosim"])
    index = pd.Index(columns.pop(_INDEX), name=about["index"])
    return pd.DataFrame(columns, index=index, columns=about["columns"])


def _packed(table: pd.DataFrame) -> pa.Table:
    """Return a table as it is kept; texts of which less than half, in a sample, are distinct by number."""
    columns = {}
    for name, column in ((_INDEX, table.index), *table.items()):
        values = column.to_numpy()
        if values.dtype == object:
            array = pa.array(values, pa.large_string())
            some = values[:: len(values) // _SAMPLE + 1]
            if 2 * len(set(some)) < len(some):
                array = array.dictionary_encode()
            columns[name] = array
        else:
            columns[name] = pa.array(values)
    about = {"index": table.index.name, "columns": list(table.columns)}
    return pa.table(columns).replace_schema_metadata({"cosim": json.dumps(about)})


def _write(table: pd.DataFrame, path: Path) -> None:
    packed = _packed(table)
    options = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, packed.schema, options=options) as writer:
        writer.write_table(packed)


def _keep(path: Path, write: Callable[[Path], None]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as name:
        written = Path(name) / path.name
        write(written)
        written.replace(path)
    kept = [(entry, entry.stat().st_size) for entry in entries()]
    excess = sum(size for _, size in kept) - MOST_BYTES
    for entry, size in kept:
        if excess <= 0 or entry == path:
            break
        entry.unlink(missing_ok=True)
        excess -= size


def _parts(value: Any) -> Iterator[bytes]:
    """Yield the bytes that tell a value from others."""
    yield type(value).__name__.encode()
    if isinstance(value, Path):
        with value.open("rb") as file:
            yield hashlib.file_digest(file, "sha256").digest()
    elif isinstance(value, pd.DataFrame):
        for name, column in (("", value.index), *value.items()):
            yield str(name).encode()
            yield from _parts(column.to_numpy())
    elif isinstance(value, np.ndarray):
        yield str(value.dtype).encode()
        yield from _parts(value.tolist()) if value.dtype == object else (value.tobytes(),)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield from _parts({field.name: getattr(value, field.name) for field in dataclasses.fields(value)})
    elif isinstance(value, Mapping):
        yield from _parts(list(value.items()))
    elif isinstance(value, (list, tuple)):
        yield str(len(value)).encode()
        if set(map(type, value)) == {str}:
            yield np.fromiter(map(len, value), np.int64, len(value)).tobytes()
            yield "".join(value).encode()
        else:
            for each in value:
                yield from _parts(each)
    else:
        yield repr(value).encode()
