"""Is a run the same as one that was done? Its identity: all that its result depends on, by content.

A run is named before it runs by the source of the package, the builder's file, parameters, seed and versions. Which
files it reads is known only when it has run: like a build system, the marker of a done run lists them with their
contents, and the run is done again when one has changed.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import platform
import re
import sys
import sysconfig
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

from .builders import BuilderPlace

_PACKAGE = Path(__file__).parents[1]
_SOURCES = {".py", ".pyx", ".pxd", ".h", ".csv", ".json", ".so"}
_INSTALLED = [
    *(_PACKAGE / part for part in ("", "core", "adapters", "scenarios")),
    *(Path(sysconfig.get_path(name)) for name in ("purelib", "platlib", "stdlib", "platstdlib")),
    Path(sys.prefix),
]
_LEFT_OUT = (
    "/proc/", "/sys/", "/dev/", "/etc/", "/usr/", f"{os.environ.get('XDG_CACHE_HOME', Path.home() / '.cache')}{os.sep}",
    *{f"{path}{os.sep}" for given in _INSTALLED for path in (given.absolute(), given.resolve())},
)  # fmt: skip
"""Folders whose files are known by version or as source, or say nothing of a study."""


@functools.cache
def source_digest() -> str:
    """Return the digest of the package's own source, data tables and compiled kernels."""
    digest = hashlib.sha256()
    for folder, _, names in sorted(os.walk(_PACKAGE, followlinks=True)):
        for name in sorted(names):
            path = Path(folder, name)
            if path.suffix in _SOURCES:
                digest.update(f"{path.relative_to(_PACKAGE)}\0{file_digest(path)}\n".encode())
    return digest.hexdigest()


@functools.cache
def versions() -> dict[str, str]:
    """Return the versions of Python and of every package that cosim requires."""
    found = {"python": platform.python_version()}
    for requirement in requires("cosim") or ():
        if "extra ==" in requirement:
            continue
        name = re.match(r"[\w.-]+", requirement)
        assert name is not None
        try:
            found[name[0]] = version(name[0])
        except PackageNotFoundError:
            found[name[0]] = "not installed"
    return dict(sorted(found.items()))


def run_key(place: BuilderPlace, parameters: Mapping[str, Any], seed: int) -> str:
    """Return the name of a run by what is known before it runs.

    Parameters
    ----------
    place
        The builder; counts by the content of its file.
    parameters
        Canonical values of the factors.
    seed
        The seed.
    """
    content = {
        "source": source_digest(),
        "builder": [file_digest(place.file), place.function],
        "parameters": parameters,
        "seed": seed,
        "versions": versions(),
    }
    return _sha256(content)[:20]


def identity(key: str, inputs: Mapping[str, str]) -> str:
    """Return the identity of a run that has run: its key and what it read."""
    return _sha256([key, dict(inputs)])


def _sha256(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def file_digest(path: Path) -> str:
    """Return the digest of a file's content, read again only if the file was touched."""
    about = path.stat()
    return _file_digest(path, about.st_mtime_ns, about.st_size)


@functools.lru_cache(maxsize=100_000)
def _file_digest(path: Path, _mtime_ns: int, _size: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def unchanged(inputs: Mapping[str, str]) -> str | None:
    """Return the first file that is no longer what a run read; None if all are."""
    for name, digest in inputs.items():
        try:
            if file_digest(Path(name)) != digest:
                return name
        except OSError:
            return name
    return None


class FilesRead:
    """Listens to which files this process reads, from its making on, until the process ends.

    Python tells of every file that it opens. What libraries open without it, SUMO above all, the adapters declare as
    their ``files``.
    """

    def __init__(self) -> None:
        self._read: set[str] = set()
        self._written: set[str] = set()
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event != "open":
            return
        path, mode, flags = arguments
        if not isinstance(path, (str, bytes)):
            return
        writes = any(c in mode for c in "wax+") if mode is not None else bool(flags & (os.O_WRONLY | os.O_RDWR))
        (self._written if writes else self._read).add(os.fsdecode(path))

    def digests(self, declared: Iterable[Path], *own: Path) -> dict[str, str]:
        """Return the contents of all that was read or declared or imported, by absolute path.

        Parameters
        ----------
        declared
            Further files.
        own
            Folders whose files the run made itself.
        """
        left_out = (*_LEFT_OUT, *(f"{os.path.realpath(path)}{os.sep}" for path in own))
        modules = (getattr(module, "__file__", None) or "" for module in list(sys.modules.values()))
        written = {os.path.realpath(path) for path in self._written}
        found = {}
        for name in {*self._read, *map(str, declared), *modules}:
            # most are installed, and asking the system for the real path of each would take as long as a small run
            if not name or name.startswith(left_out) or name.endswith(".pyc"):
                continue
            path = Path(os.path.realpath(name))
            if not str(path).startswith(left_out) and str(path) not in written and path.is_file():
                found[str(path)] = file_digest(path)
        return dict(sorted(found.items()))
