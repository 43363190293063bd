"""The identity of a run: everything that its result depends on, by content.

A run is found again by its key: builder, parameters and seed. What else it depends on is kept by the marker of a
finished run, as in a build system: the code of the builder and of cosim, versions, and the files that it read, which
are known only afterwards. If one of them is different now, the run has changed.
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

from cosim.registry.builder import BuilderPlace

from .code import code_digest, function_digest

_PACKAGE = Path(__file__).parents[1]
_SOURCES = {".py", ".pyx", ".pxd", ".h", ".csv", ".json", ".so"}
_INSTALLED = [
    *(_PACKAGE / part for part in ("", "core", "adapters", "scenarios")),
    *(Path(sysconfig.get_path(name)) for name in ("purelib", "platlib", "stdlib", "platstdlib")),
    Path(sys.prefix),
]
_LEFT_OUT = (
    "/proc/",
    "/sys/",
    "/dev/",
    "/etc/",
    "/usr/",
    f"{os.environ.get('XDG_CACHE_HOME', Path.home() / '.cache')}{os.sep}",
    *{f"{path}{os.sep}" for given in _INSTALLED for path in (given.absolute(), given.resolve())},
)
"""Folders whose files are identified by version or as source, or do not affect a study."""


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
    for requirement in requires("cosim-city") or ():
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
    """Return the key of a run: which builder is called with which parameters and seed.

    Parameters
    ----------
    place
        The builder, identified by its name: what it does may change, see `basis`.
    parameters
        Canonical values of the factors.
    seed
        The seed.
    """
    return _sha256({"builder": [place.name, place.function], "parameters": parameters, "seed": seed})[:20]


def basis(place: BuilderPlace) -> dict[str, str]:
    """Return what a run depends on besides its key and the files that it reads: the builder's code and the versions."""
    return {
        f"{place.function}() or what it uses": function_digest(place.file, place.function),
        "the source of cosim": source_digest(),
        **{f"the version of {name}": number for name, number in versions().items()},
    }


def identity(key: str, based_on: Mapping[str, str], inputs: Mapping[str, str]) -> str:
    """Return the identity of a finished run: its key, its basis and the files that it read."""
    return _sha256([key, dict(based_on), dict(inputs)])


def _sha256(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def file_digest(path: Path) -> str:
    """Return the digest of a file's content, read again only if the file was modified."""
    about = path.stat()
    return _file_digest(path, about.st_mtime_ns, about.st_size)


@functools.lru_cache(maxsize=100_000)
def _file_digest(path: Path, _mtime_ns: int, _size: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def input_digest(path: Path) -> str:
    """Return the digest of what a run read: of Python files, only the code counts."""
    if path.suffix != ".py":
        return file_digest(path)
    about = path.stat()
    return _code_digest(path, about.st_mtime_ns, about.st_size)


@functools.lru_cache(maxsize=100_000)
def _code_digest(path: Path, _mtime_ns: int, _size: int) -> str:
    return code_digest(path.read_bytes()) or file_digest(path)


def change(marker: Mapping[str, Any], now: Mapping[str, str] | None) -> str | None:
    """Return what a run depends on and has changed since; None if nothing has.

    Parameters
    ----------
    marker
        The marker of a run that has ended.
    now
        The current `basis`; None to compare only the files that the run read.
    """
    before: Mapping[str, str] = marker.get("basis", {})
    for name, value in (now or {}).items() if before else ():
        if before.get(name) != value:
            is_version = name.startswith("the version")
            return f"{name} has changed" + (f" from {before.get(name)} to {value}" if is_version else "")
    for name, digest in marker["inputs"].items():
        try:
            if input_digest(Path(name)) != digest:
                return f"{name} has changed"
        except OSError:
            return f"{name} no longer exists"
    return None


class FilesRead:
    """Records the files that this process reads, from its creation until the process ends.

    Python reports every file that it opens. Files that libraries such as SUMO open themselves are declared by the
    adapters as their ``files``.
    """

    def __init__(self) -> None:
        self._read: set[str] = set()
        self._written: set[str] = set()
        sys.addaudithook(self._record)

    def _record(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event != "open":
            return
        path, mode, flags = arguments
        if not isinstance(path, (str, bytes)):
            return
        writes = any(c in mode for c in "wax+") if mode is not None else bool(flags & (os.O_WRONLY | os.O_RDWR))
        (self._written if writes else self._read).add(os.fsdecode(path))

    def digests(self, declared: Iterable[Path], *own: Path, builder: Path) -> dict[str, str]:
        """Return the digests of all files that were read, declared or imported, by absolute path.

        Parameters
        ----------
        declared
            Further files.
        own
            Folders whose files the run itself created.
        builder
            The builder's file, of which only the builder counts; see `basis`.
        """
        left_out = (*_LEFT_OUT, *(f"{os.path.realpath(path)}{os.sep}" for path in own))
        modules = (getattr(module, "__file__", None) or "" for module in list(sys.modules.values()))
        written = {os.path.realpath(path) for path in (*self._written, str(builder))}
        found = {}
        for name in {*self._read, *map(str, declared), *modules}:
            # most are installed, and resolving the real path of each would take as long as a small run
            if not name or name.startswith(left_out) or name.endswith(".pyc"):
                continue
            path = Path(os.path.realpath(name))
            if not str(path).startswith(left_out) and str(path) not in written and path.is_file():
                found[str(path)] = input_digest(path)
        return dict(sorted(found.items()))
