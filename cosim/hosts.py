"""Where does an adapter run, and what happens there when it fails? Inline, in a thread, or in a worker process.

Hosts know nothing of time or of each other: they open an adapter, advance it by one step with the inputs they are
given, hand back its outputs, and close it, whatever happens.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any

from cosim.core.adapter import Adapter, Event, Placement, Step, inputs, outputs, take_events
from cosim.core.errors import CosimError, PortError
from cosim.core.ports import Vector


class AdapterError(CosimError):
    """What an adapter raised, as one line, with its traceback kept for those who ask."""

    def __init__(self, text: str, details: str = "") -> None:
        super().__init__(text)
        self.details = details


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
    except Exception as error:
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
    except Exception as error:
        raise _failure(error) from error


class Host:
    """Runs an adapter in this thread of this process."""

    placement: Placement = "inline"

    def __init__(self, name: str, adapter: Adapter) -> None:
        self.name = name
        self.adapter = adapter

    async def open(self) -> Reply:
        """Open the adapter."""
        return perform_open(self.adapter)

    async def advance(self, step: Step, values: dict[str, Vector]) -> Reply:
        """Advance the adapter by one step."""
        return perform_advance(self.adapter, step, values)

    def close(self, *, failed: bool) -> None:
        """Close the adapter; after a failure its own complaints no longer matter."""
        try:
            self.adapter.close()
        except Exception as error:
            if not failed:
                raise _failure(error) from error


class ThreadHost(Host):
    """Runs an adapter in a thread of its own, for kernels that release the GIL."""

    placement: Placement = "thread"

    def __init__(self, name: str, adapter: Adapter) -> None:
        super().__init__(name, adapter)
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=name)

    async def _call(self, function: Callable[..., Reply], *arguments: Any) -> Reply:
        return await asyncio.get_running_loop().run_in_executor(self._executor, function, *arguments)

    async def open(self) -> Reply:
        """Open the adapter."""
        return await self._call(perform_open, self.adapter)

    async def advance(self, step: Step, values: dict[str, Vector]) -> Reply:
        """Advance the adapter by one step."""
        return await self._call(perform_advance, self.adapter, step, values)

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
        self._pipe: Pipe | None = None

    async def open(self) -> Reply:
        """Start the worker and open the adapter in it."""
        return await self._call(self._start)

    async def advance(self, step: Step, values: dict[str, Vector]) -> Reply:
        """Advance the adapter in its worker."""
        return await self._call(self._ask, ("advance", step, values), self._timeout_s)

    def _start(self) -> Reply:
        try:
            package = pickle.dumps(self.adapter, protocol=5)
        except Exception as error:
            raise AdapterError(
                f"cannot be sent to its worker ({error}): an adapter must be picklable until open(); start simulators, "
                "open files and make locks in open()"
            ) from error
        ours, theirs = socket.socketpair()
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("wb") as log:
            # A session of its own: Ctrl-C reaches this process alone, which then closes its workers in order.
            self._process = subprocess.Popen(
                [sys.executable, "-m", "cosim._worker", str(theirs.fileno())],
                pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        theirs.close()
        self._pipe = Pipe(ours.detach())
        return self._ask((sys.path, package))

    def _ask(self, message: object, timeout_s: float | None = None) -> Reply:
        assert self._pipe is not None
        try:
            self._pipe.send_bytes(pickle.dumps(message, protocol=5))
            if not self._pipe.poll(timeout_s):
                raise AdapterError(f"took longer than {timeout_s:g} s: its worker was ended")
            answer = pickle.loads(self._pipe.recv_bytes())
        except (EOFError, OSError) as error:
            raise AdapterError(self._obituary()) from error
        if isinstance(answer, Reply):
            return answer
        raise AdapterError(*answer)

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
        if self._process is not None and self._pipe is not None:
            if failed:
                self._process.kill()  # a step that is still running would be waited for in vain
            else:
                try:
                    self._ask(("close",))
                except AdapterError as error:
                    problem = error
            self._executor.shutdown(wait=True, cancel_futures=True)
            self._pipe.close()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        if problem is not None:
            raise problem


def serve(descriptor: int) -> None:
    """Run an adapter on behalf of the process at the other end of the pipe, until told to close or left alone."""
    pipe = Pipe(descriptor)
    adapter: Adapter | None = None

    def answer(reply: object) -> None:
        pipe.send_bytes(pickle.dumps(reply, protocol=5))

    try:
        path, package = pickle.loads(pipe.recv_bytes())
        sys.path[:] = path
        try:
            adapter = pickle.loads(package)
            assert isinstance(adapter, Adapter)
            answer(perform_open(adapter))
        except AdapterError as error:
            answer((str(error), error.details))
        except Exception as error:
            failure = _failure(error)
            answer((f"cannot be built in its worker: {failure}", failure.details))
        while True:
            message = pickle.loads(pipe.recv_bytes())
            if adapter is None or message[0] == "close":
                break
            try:
                answer(perform_advance(adapter, *message[1:]))
            except AdapterError as error:
                answer((str(error), error.details))
        if adapter is not None:
            Host("", adapter).close(failed=False)
            adapter = None
        answer(Reply({}))
    except AdapterError as error:
        answer((str(error), error.details))
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
