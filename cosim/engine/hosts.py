"""Hosts, which run an adapter inline, in a thread or in a worker process, and report its failures.

Hosts know nothing of time or of each other: a host opens an adapter, advances it by one step with given inputs, returns
its outputs, and closes it in every case.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import pickle
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np

from cosim.core.adapter import Adapter, Event, Placement, Step, inputs, outputs, take_events
from cosim.core.errors import CosimError, PortError
from cosim.core.processes import exit_reason
from cosim.core.quantities import Vector

from .wire import Wire

_GRACE_S = 2.0
"""Time after a failure in which a worker can close its adapter before it is killed. [s]"""


class AdapterError(CosimError):
    """An adapter's exception in one line, with its traceback and the events that it reported before."""

    def __init__(self, text: str, details: str = "", events: Sequence[Event] = ()) -> None:
        super().__init__(text)
        self.details, self.events = details, list(events)


@dataclass
class Reply:
    """An adapter's outputs and events after `open` or a step."""

    outputs: dict[str, Vector]
    events: list[Event] = field(default_factory=list)
    finished: bool = False
    wall_s: float = 0.0


def _failure(error: BaseException) -> AdapterError:
    details = "".join(traceback.format_exception(error))
    if isinstance(error, CosimError):
        return AdapterError(str(error), details)
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename != __file__]
    place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    message = str(error).strip() or "no message"
    return AdapterError(f"{type(error).__name__}: {message}{place}", details)


def _collect(adapter: Adapter, *, every_output: bool) -> dict[str, Vector]:
    values = {}
    for name, port in outputs(adapter).items():
        if port.assigned:
            values[name] = port.value
        elif every_output:
            raise PortError(
                f"{port.name} was not assigned in advance(): assign {name}.value in every step, even if it is unchanged"
            )
        port.assigned = False
    return values


def perform_open(adapter: Adapter) -> Reply:
    """Open an adapter and return its initial states.

    Raises
    ------
    AdapterError
        If the adapter raises anything.
    """
    began = time.perf_counter()
    try:
        adapter.open()
        known = _collect(adapter, every_output=False)
        states = {name: value for name, value in known.items() if outputs(adapter)[name].kind == "end"}
        return Reply(states, take_events(adapter), adapter.finished, time.perf_counter() - began)
    except (Exception, SystemExit) as error:
        raise _failure(error) from error


def perform_advance(adapter: Adapter, step: Step, values: dict[str, Vector]) -> Reply:
    """Deliver the inputs, advance an adapter by one step and return all its outputs.

    Raises
    ------
    AdapterError
        If the adapter raises anything or leaves an output unassigned.
    """
    began = time.perf_counter()
    try:
        ports = inputs(adapter)
        for name, value in values.items():
            ports[name].deliver(value)
        adapter.advance(step)
        collected = _collect(adapter, every_output=True)
        return Reply(collected, take_events(adapter), adapter.finished, time.perf_counter() - began)
    except (Exception, SystemExit) as error:
        failure = _failure(error)
        failure.events = take_events(adapter)
        raise failure from error


def perform_save(adapter: Adapter, folder: Path) -> None:
    """Save an adapter's state into an empty folder."""
    try:
        type(adapter).save(adapter, folder)
    except (Exception, SystemExit) as error:
        raise _failure(error) from error


def perform_load(adapter: Adapter, folder: Path, finished: bool) -> None:
    """Restore an opened adapter to the state that it saved."""
    try:
        type(adapter).load(adapter, folder)  # through the class: an input may be named load
        adapter.finished = finished
        _collect(adapter, every_output=False)
        take_events(adapter)
    except (Exception, SystemExit) as error:
        raise _failure(error) from error


def perform_replay(adapter: Adapter, parts: Sequence[Path]) -> str:
    """Advance an opened adapter through recorded inputs; return the digest of its outputs.

    Each part holds start and length of the steps, shape (n_steps,), and each input, shape (n_steps, n_labels).
    """
    digest = OutputDigest()
    for part in parts:
        with np.load(part, allow_pickle=False) as recorded:
            starts, lengths = recorded["start_s"], recorded["length_s"]
            received = {name.removeprefix("input."): recorded[name] for name in recorded.files if name[:6] == "input."}
        for k, step in enumerate(map(Step, starts.tolist(), lengths.tolist())):
            digest.add(perform_advance(adapter, step, {name: values[k] for name, values in received.items()}).outputs)
    return digest.hex


def perform_close(adapter: Adapter) -> None:
    """Close an adapter."""
    try:
        adapter.close()
    except (Exception, SystemExit) as error:
        raise _failure(error) from error


_VERBS: dict[str, Callable[..., Any]] = {
    "open": perform_open,
    "advance": perform_advance,
    "save": perform_save,
    "load": perform_load,
    "replay": perform_replay,
    "close": perform_close,
}


class OutputDigest:
    """A running hash of everything that an adapter publishes, by which two runs of it are compared."""

    def __init__(self) -> None:
        self.hex = ""

    def add(self, outputs: dict[str, Vector]) -> None:
        """Add the outputs of one step."""
        digest = hashlib.blake2b(self.hex.encode(), digest_size=16)
        for name, value in sorted(outputs.items()):
            digest.update(name.encode())
            digest.update(value.data)
        self.hex = digest.hexdigest()


class Host:
    """Runs an adapter in this thread of this process."""

    placement: Placement = "inline"

    def __init__(self, name: str, adapter: Adapter) -> None:
        self.name = name
        self.adapter = adapter

    async def call(self, verb: str, *arguments: Any) -> Any:
        """Make the adapter open, advance, save, load or replay.

        Raises
        ------
        AdapterError
            If the adapter raises anything or its worker ends.
        """
        return _VERBS[verb](self.adapter, *arguments)

    def ask_to_end(self) -> None:
        """Ask an adapter that may be in the midst of a step to end it, after a failure."""

    def close(self, *, failed: bool) -> None:
        """Close the adapter; after a failure, ignore further errors."""
        try:
            perform_close(self.adapter)
        except AdapterError:
            if not failed:
                raise


class ThreadHost(Host):
    """Runs an adapter in a thread of its own, for kernels that release the GIL."""

    placement: Placement = "thread"

    def __init__(self, name: str, adapter: Adapter) -> None:
        super().__init__(name, adapter)
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=name)

    async def call(self, verb: str, *arguments: Any) -> Any:
        """See `Host.call`; the event loop keeps running."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._perform, verb, *arguments)

    def _perform(self, verb: str, *arguments: Any) -> Any:
        return _VERBS[verb](self.adapter, *arguments)

    def ask_to_end(self) -> None:
        """Ask a step in progress to end."""
        self.adapter.interrupt()

    def close(self, *, failed: bool) -> None:
        """Wait for the thread and close the adapter."""
        self._executor.shutdown(wait=True, cancel_futures=True)
        super().close(failed=failed)


class ProcessHost(ThreadHost):
    """Runs an adapter in a worker process of its own: if it crashes or hangs, the run ends but this process survives.

    Parameters
    ----------
    name, adapter
        As in the scenario.
    log
        File for the worker's standard output and error.
    timeout_s
        Time limit of one step. [s]
    """

    placement: Placement = "process"

    def __init__(self, name: str, adapter: Adapter, log: Path, timeout_s: float | None = None) -> None:
        super().__init__(name, adapter)
        self._log, self._timeout_s = log, timeout_s
        self._process: subprocess.Popen[bytes] | None = None
        self._wire: Wire | None = None
        self._killed_at = 0.0

    def _perform(self, verb: str, *arguments: Any) -> Any:
        if verb == "open":
            return self._start()
        return self._ask((verb, *arguments), self._timeout_s if verb == "advance" else None)

    def _start(self) -> Any:
        package = packed(self.adapter)
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            self._process, ours = spawn(log)
        self._wire = Wire(ours)
        return self._ask((sys.path, package))

    def _ask(self, message: object, timeout_s: float | None = None) -> Any:
        assert self._wire is not None
        try:
            self._wire.send(message)
            if not self._wire.poll(timeout_s):
                raise AdapterError(f"took longer than {timeout_s:g} s: its worker was ended")
            answer = self._wire.receive()
        except (EOFError, OSError) as error:
            raise AdapterError(self._exit_reason()) from error
        if isinstance(answer, Failed):
            raise AdapterError(answer.text, answer.details, answer.events)
        return answer

    def _exit_reason(self) -> str:
        assert self._process is not None
        try:
            code = self._process.wait(5)
        except subprocess.TimeoutExpired:
            return "its worker process hung up"
        log = self._log.read_text(errors="replace") if self._log.is_file() else ""
        return exit_reason("its worker process", code, log)

    def ask_to_end(self) -> None:
        """Ask the worker to close its adapter, which also ends a step that Python can interrupt."""
        if self._process is not None and not self._killed_at:
            self._killed_at = time.monotonic() + _GRACE_S
            self._process.send_signal(signal.SIGTERM)

    def close(self, *, failed: bool) -> None:
        """Close the adapter and end its worker; kill a worker that does not end in time."""
        problem = None
        if self._process is not None and self._wire is not None:
            if failed:
                self.ask_to_end()
                self._wait_until_killed()
                self._kill()  # a step that is still running may never end
            else:
                try:
                    self._ask(("close",))
                except AdapterError as error:
                    problem = error
            self._executor.shutdown(wait=True, cancel_futures=True)
            self._wire.close()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._kill()
                self._process.wait()
            self._process = None
        if problem is not None:
            raise problem

    def _wait_until_killed(self) -> None:
        assert self._process is not None
        ended = os.WEXITED | os.WNOHANG | os.WNOWAIT  # not reaped, so that its number still names its process group
        with suppress(ChildProcessError):
            while time.monotonic() < self._killed_at and os.waitid(os.P_PID, self._process.pid, ended) is None:
                time.sleep(0.01)

    def _kill(self) -> None:
        assert self._process is not None
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)  # including the processes that it started


def packed(adapter: Adapter) -> bytes:
    """Return an adapter as it is sent to a worker.

    Raises
    ------
    AdapterError
        If it cannot be sent.
    """
    try:
        return pickle.dumps(adapter, protocol=5)
    except Exception as error:
        raise AdapterError(
            f"cannot be sent to its worker ({error}): an adapter must be picklable until open(); start simulators, "
            "open files and create locks in open()"
        ) from error


def spawn(log: IO[bytes]) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """Start the process of an adapter, which writes to the log; return it and our end of the connection to it."""
    ours, theirs = socket.socketpair()
    # A session of its own: Ctrl-C reaches only this process, which then closes its workers in order.
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "cosim._worker", str(theirs.fileno())],
        env=_environment(),
        pass_fds=[theirs.fileno()],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    theirs.close()
    return process, ours


def _environment() -> dict[str, str]:
    # -P keeps a json.py in the user's folder from shadowing Python's own; this package must then be on the path.
    here = str(Path(__file__).parents[2])
    return os.environ | {"PYTHONPATH": os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])}


@dataclass(frozen=True)
class Failed:
    """What a worker sends in place of an answer."""

    text: str
    details: str
    events: Sequence[Event] = ()


class _AskedToEnd(BaseException):
    """Ends the current step of a worker whose run has failed."""


def _end(*_: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # closing is not interrupted
    raise _AskedToEnd


def serve(descriptor: int) -> None:
    """Run an adapter for the process at the other end of the wire, until it asks to close or disappears.

    SIGTERM ends the current step and closes the adapter.
    """
    others = os.environ.pop("PYTHONPATH", "").split(os.pathsep)[1:]
    if others:
        os.environ["PYTHONPATH"] = os.pathsep.join(others)  # restored: a simulator may start another Python
    wire = Wire(socket.socket(fileno=descriptor))
    adapter: Adapter | None = None
    signal.signal(signal.SIGTERM, _end)
    try:
        path, package = wire.receive()
        if path is not None:  # a run on another machine has other paths
            sys.path[:] = path
        try:
            adapter = pickle.loads(package)
            assert isinstance(adapter, Adapter)
        except Exception as error:
            failure, remedy = _failure(error), ""
            if isinstance(error, ModuleNotFoundError):
                remedy = "; a worker imports the adapter's class: put it in a module that is installed or on PYTHONPATH"
            wire.send(Failed(f"cannot be built in its worker: {failure}{remedy}", failure.details))
            return
        verb: str = "open"
        arguments: list[Any] = []
        while True:
            try:
                answer = _VERBS[verb](adapter, *arguments)
            except AdapterError as error:
                answer = Failed(str(error), error.details, error.events)
            if verb == "close":
                adapter = None
            wire.send(answer)
            if adapter is None:
                return
            verb, *arguments = wire.receive()
    except (EOFError, ConnectionError):
        os.write(2, b"cosim: connection lost, closing\n")
    except _AskedToEnd:
        os.write(2, b"cosim: the run has failed or was interrupted, closing\n")
    finally:
        if adapter is not None:
            adapter.close()


def check_picklable(name: str, adapter: Adapter) -> str | None:
    """Return the reason why an adapter cannot run in a worker process, if there is one."""
    if type(adapter).__module__ == "__main__":
        return (
            f"{name} is placed in a worker process, but {type(adapter).__name__} is defined in the script itself, "
            f"which workers never import: move the class to a module, or call scenario.place({name}='inline')"
        )
    return None
