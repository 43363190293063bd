"""Stages of making a city, each repeated only if what it is made from has changed."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import json
import os
import resource
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa

import cosim.scenarios

from .findings import Findings
from .folder import CITY, IMPORT, digest, read_json


@dataclass(frozen=True)
class Timing:
    """Wall and processor time of a stage [s], largest memory of the process so far [MB], and whether it was kept."""

    stage: str
    wall_s: float
    cpu_s: float
    memory_mb: float
    kept: bool


@dataclass
class Stages:
    """The stages of one city.

    Parameters
    ----------
    folder
        Where the new city is made.
    old
        The city that it replaces, whose files are taken over where nothing has changed.
    progress
        Called with the name of each stage as it begins.
    """

    folder: Path
    old: Path
    progress: Callable[[str], None]
    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    findings: dict[str, Findings] = field(default_factory=dict)
    timings: list[Timing] = field(default_factory=list)

    def __post_init__(self) -> None:
        known = (self.old / CITY).is_file() and (self.old / IMPORT).is_file()
        self._was = read_json(self.old / CITY) if known else {"stages": {}, "files": {}}
        self._found = read_json(self.old / IMPORT).get("stages", {}) if known else {}

    def key(self, name: str) -> str:
        """Return the key of a stage that was run, from which later ones follow."""
        return str(self.records[name]["key"])

    def run(self, name: str, inputs: Mapping[str, Any], make: Callable[[Path, Findings], None]) -> None:
        """Run a stage, or take over its files.

        Parameters
        ----------
        name
            Its name.
        inputs
            All that its result depends on, as plain data.
        make
            Writes its files into the folder.
        """
        self.progress(name)
        begun, cpu = time.perf_counter(), _cpu_s()
        text = json.dumps({"stage": name, "inputs": inputs, "code": code_digest()}, sort_keys=True)
        key = hashlib.sha256(text.encode()).hexdigest()
        kept = self._take_over(name, key)
        if not kept:
            before = set(_files(self.folder))
            found = Findings()
            make(self.folder, found)
            _give_memory_back()
            self.findings[name] = found
            self.records[name] = {"key": key, "files": sorted(set(_files(self.folder)) - before)}
        memory = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        self.timings.append(Timing(name, time.perf_counter() - begun, _cpu_s() - cpu, memory / 1024, kept))

    def _take_over(self, name: str, key: str) -> bool:
        was = self._was["stages"].get(name)
        if was is None or was["key"] != key or name not in self._found:
            return False
        files = [self.old / file for file in was["files"]]
        wanted = [self._was["files"].get(file) for file in was["files"]]
        if not all(path.is_file() and digest(path) == sha for path, sha in zip(files, wanted)):
            return False
        for path in files:
            target = self.folder / path.relative_to(self.old)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        self.findings[name] = Findings.from_json(self._found[name])
        self.records[name] = dict(was)
        return True

    def whole(self) -> Findings:
        """Return the findings of all stages."""
        whole = Findings()
        for found in self.findings.values():
            whole = whole.merged(found)
        return whole

    def digests(self) -> dict[str, str]:
        """Return the SHA-256 of every file of the stages."""
        return {name: digest(self.folder / name) for record in self.records.values() for name in record["files"]}


def _give_memory_back() -> None:
    """Return to the system what a stage has freed: allocators keep it, 60 of 600 MB for a town."""
    pa.default_memory_pool().release_unused()
    with contextlib.suppress(OSError, AttributeError):  # glibc's
        ctypes.CDLL(None).malloc_trim(0)


def _files(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]


def _cpu_s() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


@cache
def code_digest() -> str:
    """Return a digest of the code that makes cities, and of SUMO's version: a changed one makes everything anew."""
    home = Path(str(cosim.scenarios.__file__)).parent
    found = hashlib.sha256(version("eclipse-sumo").encode())
    for room in ("places", "streets", "buildings", "grid", "mobility"):
        for path in sorted((home / room).iterdir()):
            if path.suffix in (".py", ".csv"):
                found.update(path.read_bytes())
    return found.hexdigest()
