"""What became of every run of a study? One folder per run, with a marker that is there at once or not at all.

``DIR/study.json`` says what the study is; ``DIR/runs/<key>/`` is the folder of a run: ``done.json`` or ``failed.json``
when it has ended, ``claim`` while somebody is at it, ``log.txt``, and the result as `cosim.Result` reads it.
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
from cosim.recorder import write_json

from .identity import unchanged

State: TypeAlias = Literal["done", "running", "failed", "interrupted", "changed", "missing"]
Kind: TypeAlias = Literal["error", "crash", "timeout", "memory"]

HEARTBEAT_S = 5.0
"""How often who is at a run says so. [s]"""

STALE_S = 60.0
"""After this long without a heartbeat nobody is at it any more. [s]"""

_DONE, _FAILED, _CLAIM = "done.json", "failed.json", "claim"


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Parameters
    ----------
    key
        The run.
    kind
        Why it failed: an ``"error"`` of the scenario, a ``"crash"`` of its process, a ``"timeout"``, or ``"memory"``;
        None if it is done.
    reason
        In words.
    wall_s
        How long its last attempt took. [s]
    attempts
        How many attempts were made.
    """

    key: str
    kind: Kind | None = None
    reason: str = ""
    wall_s: float = 0.0
    attempts: int = 1


class RunFolder:
    """The folder of one run of a study."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def log(self) -> Path:
        """What the run wrote on its standard streams, with the traceback of its error."""
        return self.path / "log.txt"

    @property
    def result(self) -> Path:
        """Folder of the run's result, for `cosim.Result.open`."""
        return self.path / "result"

    def done(self) -> dict[str, Any] | None:
        """Return the marker of a run that is done; None if it is not."""
        return _read(self.path / _DONE)

    def valid(self) -> dict[str, Any] | None:
        """Return the marker of a run that is done and whose inputs are still what it read; else None."""
        found = self.done()
        return found if found is not None and unchanged(found["inputs"]) is None else None

    def failed(self) -> Outcome | None:
        """Return how the run failed; None if it did not."""
        found = _read(self.path / _FAILED)
        return None if found is None else Outcome(**found["outcome"])

    def state(self) -> State:
        """Tell how far the run is."""
        if not self.path.is_dir():
            return "missing"
        if self._claimed_by_the_living():
            return "running"
        for name, state in ((_DONE, "done"), (_FAILED, "failed")):
            found = _read(self.path / name)
            if found is not None:
                return state if unchanged(found["inputs"]) is None else "changed"  # type: ignore[return-value]
        return "interrupted"

    def mark_done(self, content: Mapping[str, Any]) -> None:
        """Say that the run is done, after everything else is on disk."""
        write_json(self.path / _DONE, dict(content))
        (self.path / _FAILED).unlink(missing_ok=True)
        descriptor = os.open(self.path, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)

    def mark_failed(self, outcome: Outcome, inputs: Mapping[str, str] | None = None) -> None:
        """Say that the run failed, and why."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_json(self.path / _FAILED, {"outcome": asdict(outcome), "inputs": dict(inputs or {})})

    def forget(self) -> None:
        """Remove the markers of an earlier attempt."""
        for name in (_DONE, _FAILED):
            (self.path / name).unlink(missing_ok=True)

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Be the only one who is at the run; wait for another who is."""
        self.path.mkdir(parents=True, exist_ok=True)
        claim = self.path / _CLAIM
        while True:
            try:
                descriptor = os.open(claim, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
                break
            except FileExistsError:
                if self._claimed_by_the_living():
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
        """Say that somebody is still at it."""
        with suppress(FileNotFoundError):
            os.utime(self.path / _CLAIM)

    def _claimed_by_the_living(self) -> bool:
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
        raise CosimError(f"{path} is damaged ({error}): remove it, and its run is done again") from error


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Be the only one who runs the study in a folder.

    Raises
    ------
    CosimError
        If another process does.
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
