"""The records of a study's runs: one folder per run, with a marker that is written atomically.

``DIR/study.json`` describes the study; ``DIR/runs/<key>/`` is the folder of a run: ``done.json`` or ``failed.json``
when it has ended, ``claim`` while a process is working on it, ``log.txt``, and the result in the format of
`cosim.Result`.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from cosim.core.errors import CosimError
from cosim.results.files import write_json
from cosim.study.identity import change

State: TypeAlias = Literal["done", "running", "failed", "interrupted", "changed", "missing"]
Kind: TypeAlias = Literal["error", "crash", "timeout", "memory"]

HEARTBEAT_S = 5.0
"""Interval at which the process that works on a run renews its claim. [s]"""

STALE_S = 60.0
"""Age without renewal after which a claim is void. [s]"""

_DONE, _FAILED, _CLAIM = "done.json", "failed.json", "claim"


@dataclass(frozen=True)
class RunOutcome:
    """The outcome of a run.

    Parameters
    ----------
    key
        Key of the run.
    kind
        Kind of failure: an ``"error"`` of the scenario, a ``"crash"`` of its process, a ``"timeout"``, or ``"memory"``;
        None if the run is done.
    reason
        Description of the failure.
    wall_s
        Duration of the last attempt. [s]
    attempts
        Number of attempts.
    """

    key: str
    kind: Kind | None = None
    reason: str = ""
    wall_s: float = 0.0
    attempts: int = 1


class RunFolder:
    """The folder of one run of a study.

    Parameters
    ----------
    path
        The folder.
    basis
        What the run would be based on now; see `cosim.study.identity.basis`. None to compare only the files that it
        read.
    """

    def __init__(self, path: Path, basis: Mapping[str, str] | None = None) -> None:
        self.path, self._basis = path, basis

    @property
    def log(self) -> Path:
        """The run's standard output and error, including the traceback of its error."""
        return self.path / "log.txt"

    @property
    def result(self) -> Path:
        """Folder of the run's result, for `cosim.Result.open`."""
        return self.path / "result"

    def done(self) -> dict[str, Any] | None:
        """Return the marker of a finished run; None if it is not done."""
        return _read(self.path / _DONE)

    def valid(self) -> dict[str, Any] | None:
        """Return the marker of a finished run if nothing that it depends on has changed since; otherwise None."""
        found = self.done()
        return found if found is not None and change(found, self._basis) is None else None

    def change(self) -> str | None:
        """Return what has changed since the run ended; None if nothing has, or it has not ended."""
        found = self.done() or _read(self.path / _FAILED)
        return None if found is None else change(found, self._basis)

    def failed(self) -> RunOutcome | None:
        """Return the outcome of a failed run; None if it has not failed."""
        found = _read(self.path / _FAILED)
        return None if found is None else RunOutcome(**found["outcome"])

    def state(self) -> State:
        """Return the state of the run."""
        if not self.path.is_dir():
            return "missing"
        if self._is_claimed():
            return "running"
        found = self.done()
        if found is not None:
            return "done" if change(found, self._basis) is None else "changed"
        return "interrupted" if self.failed() is None else "failed"

    def mark_done(self, content: Mapping[str, Any]) -> None:
        """Mark the run as done, after everything else is on disk."""
        write_json(self.path / _DONE, dict(content))
        (self.path / _FAILED).unlink(missing_ok=True)
        descriptor = os.open(self.path, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)

    def mark_failed(self, outcome: RunOutcome, inputs: Mapping[str, str] | None = None) -> None:
        """Mark the run as failed, with the reason."""
        self.path.mkdir(parents=True, exist_ok=True)
        based = {} if self._basis is None else {"basis": dict(self._basis)}
        write_json(self.path / _FAILED, {"outcome": asdict(outcome), "inputs": dict(inputs or {})} | based)

    def clear_markers(self) -> None:
        """Remove the markers of an earlier attempt."""
        for name in (_DONE, _FAILED):
            (self.path / name).unlink(missing_ok=True)

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Hold the exclusive claim on the run; wait for another process that holds it."""
        self.path.mkdir(parents=True, exist_ok=True)
        claim = self.path / _CLAIM
        while True:
            try:
                descriptor = os.open(claim, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
                break
            except FileExistsError:
                if self._is_claimed():
                    time.sleep(1.0)
                else:
                    claim.unlink(missing_ok=True)
        with os.fdopen(descriptor, "w") as file:
            json.dump({"host": socket.gethostname(), "pid": os.getpid()}, file)
        try:
            yield
        finally:
            claim.unlink(missing_ok=True)

    def beat(self) -> None:
        """Renew the claim."""
        with suppress(FileNotFoundError):
            os.utime(self.path / _CLAIM)

    def _is_claimed(self) -> bool:
        claim = self.path / _CLAIM
        try:
            age = time.time() - claim.stat().st_mtime
            about = json.loads(claim.read_text() or "{}")
        except (FileNotFoundError, json.JSONDecodeError):
            return False
        if about.get("host") == socket.gethostname() and not _is_alive(about["pid"]):
            return False
        return age < STALE_S


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _read(path: Path) -> dict[str, Any] | None:
    try:
        return json.loads(path.read_text(encoding="utf-8"))  # type: ignore[no-any-return]
    except FileNotFoundError:
        return None
    except json.JSONDecodeError as error:
        raise CosimError(f"{path} is damaged ({error}): remove it, and the run is repeated") from error


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock on the study in a folder.

    Raises
    ------
    CosimError
        If another process holds it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / "lock").open("a+")
    except OSError as error:
        raise CosimError(f"cannot write into {folder}: {error.strerror}; pass another folder with out=") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise CosimError(f"{folder} is being run by {file.read().strip()}: wait for it, or end it") from None
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        yield
