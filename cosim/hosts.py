"""Where does an adapter run, and what happens there when it fails? Inline, in a thread, or in a worker process.

Hosts know nothing of time or of each other: they open an adapter, advance it by one step with the inputs they are
given, hand back its outputs, and close it, whatever happens.
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
from typing import Any

import numpy as np

from cosim.core.adapter import Adapter, Event, Placement, Step, inputs, outputs, take_events
from cosim.core.errors import CosimError, PortError
from cosim.core.ports import Vector

from .wire import Wire


class AdapterError(CosimError):
    """What an adapter raised, as one line, with its traceback for those who ask and the events it reported before."""

    def __init__(self, text: str, details: str = "", events: Sequence[Event] = ()) -> None:
        super().__init__(text)
        self.details, self.events = details, list(events)


@dataclass
class Reply:
    """What an adapter says after `open` or a step."""

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
    words = str(error).strip() or "no message"
    return AdapterError(f"{type(error).__name__}: {words}{place}", details)


def _collect(adapter: Adapter, *, every_output: bool) -> dict[str, Vector]:
    values = {}
    for name, port in outputs(adapter).items():
        if port.assigned:
            values[name] = port.value
        elif every_output:
            raise PortError(
                f"{port.name} was not assigned in advance(): assign {name}.value in every step, also if it did not "
                "change"
            )
        port.assigned = False
    return values


def perform_open(adapter: Adapter) -> Reply:
    """Open an adapter; return the states that it knows at the start.

    Raises
    ------
    AdapterError
        Whatever it raised.
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
        Whatever it raised, or an output that it did not assign.
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
    """Let an adapter write its state into an empty folder."""
    try:
        type(adapter).save(adapter, folder)
    except (Exception, SystemExit) as error:
        raise _failure(error) from error


def perform_load(adapter: Adapter, folder: Path, finished: bool) -> None:
    """Bring an opened adapter to the state that it saved."""
    try:
        type(adapter).load(adapter, folder)  # by its class: an input may well be called load
        adapter.finished = finished
        _collect(adapter, every_output=False)
        take_events(adapter)
    except (Exception, SystemExit) as error:
        raise _failure(error) from error


def perform_replay(adapter: Adapter, parts: Sequence[Path]) -> str:
    """Advance an opened adapter through recorded inputs; return the digest of what it said.

    Each part holds start and length of the steps, shape (n_steps,), and each input, shape (n_steps, n_labels).
    """
    said = OutputDigest()
    for part in parts:
        with np.load(part, allow_pickle=False) as recorded:
            starts, lengths = recorded["start_s"], recorded["length_s"]
            heard = {name.removeprefix("input."): recorded[name] for name in recorded.files if name[:6] == "input."}
        for k, step in enumerate(map(Step, starts.tolist(), lengths.tolist())):
            said.add(perform_advance(adapter, step, {name: values[k] for name, values in heard.items()}).outputs)
    return said.hex


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
    """A running hash of everything an adapter said, by which two runs of it are told apart."""

    def __init__(self) -> None:
        self.hex = ""

    def add(self, outputs: dict[str, Vector]) -> None:
        """Take the outputs of one step."""
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
        """Let the adapter open, advance, save, load or replay.

        Raises
        ------
        AdapterError
            Whatever it raised, or how its worker ended.
        """
        return _VERBS[verb](self.adapter, *arguments)

    def close(self, *, failed: bool) -> None:
        """Close the adapter; after a failure its own complaints no longer matter."""
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
        """See `Host.call`; the event loop goes on meanwhile."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._perform, verb, *arguments)

    def _perform(self, verb: str, *arguments: Any) -> Any:
        return _VERBS[verb](self.adapter, *arguments)

    def close(self, *, failed: bool) -> None:
        """Wait for the thread and close the adapter."""
        self._executor.shutdown(wait=True, cancel_futures=True)
        super().close(failed=failed)


class ProcessHost(ThreadHost):
    """Runs an adapter in a worker process of its own: its crash or hang ends the run, never this process.

    Parameters
    ----------
    name, adapter
        As in the scenario.
    log
        File that takes what the worker writes on its standard streams.
    timeout_s
        Longest time that one step may take. [s]
    """

    placement: Placement = "process"

    def __init__(self, name: str, adapter: Adapter, log: Path, timeout_s: float | None = None) -> None:
        super().__init__(name, adapter)
        self._log, self._timeout_s = log, timeout_s
        self._process: subprocess.Popen[bytes] | None = None
        self._wire: Wire | None = None

    def _perform(self, verb: str, *arguments: Any) -> Any:
        if verb == "open":
            return self._start()
        return self._ask((verb, *arguments), self._timeout_s if verb == "advance" else None)

    def _start(self) -> Any:
        try:
            package = pickle.dumps(self.adapter, protocol=5)
        except Exception as error:
            raise AdapterError(
                f"cannot be sent to its worker ({error}): an adapter must be picklable until open(); start simulators, "
                "open files and make locks in open()"
            ) from error
        ours, theirs = socket.socketpair()
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            # A session of its own: Ctrl-C reaches this process alone, which then closes its workers in order.
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "cosim._worker", str(theirs.fileno())], env=_environment(),
                pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        theirs.close()
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
            raise AdapterError(self._obituary()) from error
        if isinstance(answer, _Failed):
            raise AdapterError(answer.text, answer.details, answer.events)
        return answer

    def _obituary(self) -> str:
        assert self._process is not None
        try:
            code = self._process.wait(5)
        except subprocess.TimeoutExpired:
            return "its worker process hung up"
        text = f"its worker process was killed by {signal.Signals(-code).name}" if code < 0 else (
            f"its worker process ended with exit code {code}")  # fmt: skip
        lines = self._log.read_text(errors="replace").strip().splitlines() if self._log.is_file() else []
        return text + (f"; its last words: {lines[-1]}" if lines else "")

    def close(self, *, failed: bool) -> None:
        """Close the adapter and end its worker; a worker that does not follow is killed."""
        problem = None
        if self._process is not None and self._wire is not None:
            if failed:
                self._kill()  # a step that is still running would be waited for in vain
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

    def _kill(self) -> None:
        assert self._process is not None
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)  # with what it has started itself


def _environment() -> dict[str, str]:
    # With -P a json.py in the user's folder does not pass for Python's own; this package must then be found by name.
    here = str(Path(__file__).parents[1])
    return os.environ | {"PYTHONPATH": os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])}


@dataclass(frozen=True)
class _Failed:
    text: str
    details: str
    events: Sequence[Event] = ()


def serve(descriptor: int) -> None:
    """Run an adapter on behalf of the process at the other end of the wire, until told to close or left alone."""
    others = os.environ.pop("PYTHONPATH", "").split(os.pathsep)[1:]
    if others:
        os.environ["PYTHONPATH"] = os.pathsep.join(others)  # as it was: a simulator may start another Python
    wire = Wire(socket.socket(fileno=descriptor))
    adapter: Adapter | None = None
    try:
        path, package = wire.receive()
        sys.path[:] = path
        try:
            adapter = pickle.loads(package)
            assert isinstance(adapter, Adapter)
        except Exception as error:
            failure = _failure(error)
            wire.send(_Failed(f"cannot be built in its worker: {failure}", failure.details))
            return
        verb: str = "open"
        arguments: list[Any] = []
        while True:
            try:
                answer = _VERBS[verb](adapter, *arguments)
            except AdapterError as error:
                answer = _Failed(str(error), error.details, error.events)
            if verb == "close":
                adapter = None
            wire.send(answer)
            if adapter is None:
                return
            verb, *arguments = wire.receive()
    except (EOFError, ConnectionError):
        os.write(2, b"cosim: left alone, closing\n")
    finally:
        if adapter is not None:
            adapter.close()


def check_picklable(name: str, adapter: Adapter) -> str | None:
    """Return what keeps an adapter from running in a worker process, if anything does."""
    if type(adapter).__module__ == "__main__":
        return (
            f"{name} is to run in a worker process, but {type(adapter).__name__} is defined in the script itself, "
            f"which workers never import: move the class to a module, or call scenario.place({name}='inline')"
        )
    return None
