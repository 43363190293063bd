"""Links to mosaik simulators in this process, started by a command, or at an address.

Both links use mosaik's simulator API 3: a remote simulator over mosaik's own protocol, in which it may also send
requests. Every failure is one error that names the simulator, the call and the cause.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import inspect
import ipaddress
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import IO, Any, Protocol

from mosaik_api_v3 import MosaikProxy
from mosaik_api_v3.connection import Channel, EndOfRequests, RemoteException

from cosim.core import CosimError
from cosim.core.processes import exit_reason

_CONNECT_S = 60.0
"""Time limit for a command to connect back. [s]"""
_FINALIZE_S = 10.0
"""Time limit for a simulator to finish after the stop request, before it is killed. [s]"""

# The simulator must not outlive a killed parent. Linux sends it a signal; on other systems its connection closes.
_LAUNCH = (
    "import ctypes, os, sys\n"
    "if sys.platform == 'linux': ctypes.CDLL(None).prctl(1, 9)\n"
    "os.execvp(sys.argv[1], sys.argv[1:])\n"
)


class Link(Protocol):
    """A started simulator."""

    def call(self, name: str, *arguments: Any, **settings: Any) -> Any:
        """Call a method of mosaik's simulator API and return its answer."""

    def close(self) -> None:
        """Let the simulator finish and stop it; safe to call twice."""


def _failed(what: str, name: str, reason: str) -> CosimError:
    return CosimError(f"{what} failed in {name}(): {reason}")


class InProcess:
    """A simulator class run in this process.

    Parameters
    ----------
    target
        ``"module:Class"``.
    answers
        Handler of the simulator's requests to mosaik.

    Raises
    ------
    CosimError
        If the module or class is unknown, or it cannot be instantiated.
    """

    def __init__(self, target: str, answers: MosaikProxy) -> None:
        self._what = target
        module, _, name = target.partition(":")
        try:
            self._simulator: Any = getattr(importlib.import_module(module), name)()
        except (ImportError, AttributeError, ValueError) as error:
            raise CosimError(
                f"unknown simulator {target!r} ({error}): write 'module:Class' of an installed one"
            ) from error
        except Exception as error:
            raise _failed(target, "__init__", f"{type(error).__name__}: {error}") from error
        self._simulator.mosaik = answers
        self._failed = self._closed = False

    def call(self, name: str, *arguments: Any, **settings: Any) -> Any:
        """Call a method; a generator method yields its requests to mosaik."""
        try:
            answer = getattr(self._simulator, name)(*arguments, **settings)
            return _drive(answer) if inspect.isgenerator(answer) else answer
        except Exception as error:
            self._failed = True
            raise _failed(self._what, name, str(error) if isinstance(error, CosimError) else _reason(error)) from error

    def close(self) -> None:
        """Let the simulator finish; after a failure its further errors are ignored."""
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(*([CosimError] if self._failed else [])):
            self.call("finalize")


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip() or 'no message'}"


def _drive(generator: Any) -> Any:
    """Answer the requests that a method yields, until it returns."""
    try:
        request = next(generator)
        while True:
            try:
                answer = _now(request)
            except Exception as error:
                request = generator.throw(error)
            else:
                request = generator.send(answer)
    except StopIteration as stop:
        return stop.value


def _now(request: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine that never waits."""
    try:
        request.send(None)
    except StopIteration as stop:
        return stop.value
    raise CosimError("a simulator may only yield requests that mosaik offers")


class Remote:
    """A simulator in a process of its own, started by a command or found at an address.

    Parameters
    ----------
    config
        mosaik's own entry: ``{"cmd": …, "cwd": …, "env": …}`` or ``{"connect": "host:port"}``.
    answers
        Handler of the simulator's requests to mosaik.
    timeout_s
        Longest time for one answer. [s]
    log
        File for the standard streams of a started simulator; without it a temporary one.

    Raises
    ------
    CosimError
        If the simulator does not start or connect.
    """

    def __init__(
        self, config: Mapping[str, Any], answers: MosaikProxy, timeout_s: float, log: Path | None = None
    ) -> None:
        self._what = str(config["cmd"] if "cmd" in config else config["connect"])
        self._answers, self._timeout_s = answers, timeout_s
        self._log: IO[bytes] = tempfile.TemporaryFile() if log is None else log.open("w+b")  # noqa: SIM115
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: Channel | None = None
        self._asked: asyncio.Task[None] | None = None
        self._failed = False
        # A loop in a separate thread, because the caller's thread may already run one.
        self._loop = asyncio.new_event_loop()
        # Failures are raised by call(); the futures of such calls, dropped by mosaik's channel, need not repeat them.
        self._loop.set_exception_handler(lambda loop, context: None)
        self._thread = threading.Thread(target=self._loop.run_forever, name="mosaik simulator", daemon=True)
        self._thread.start()
        try:
            self._run(self._start(config))
        except BaseException:
            self._failed = True
            self.close()
            raise

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _start(self, config: Mapping[str, Any]) -> None:
        reader, writer = await (self._launch(config) if "cmd" in config else self._reach(config["connect"]))
        self._channel = Channel(reader, writer, name=self._what)
        self._asked = asyncio.create_task(self._answer_requests())

    async def _reach(self, address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, port = parse_address(address)
        try:
            return await asyncio.wait_for(asyncio.open_connection(host, port), _CONNECT_S)
        except (OSError, TimeoutError) as error:
            raise CosimError(
                f"no simulator answers at {address} ({_reason(error)}): start it with --remote first"
            ) from error

    async def _launch(self, config: Mapping[str, Any]) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        connected: asyncio.Future[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Future()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if connected.done():
                writer.close()
            else:
                connected.set_result((reader, writer))

        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        try:
            port = server.sockets[0].getsockname()[1]
            command = shlex.split(config["cmd"] % {"python": shlex.quote(sys.executable), "addr": f"127.0.0.1:{port}"})
            folder = config.get("cwd")
            if shutil.which(command[0] if "/" not in command[0] else Path(folder or ".", command[0])) is None:
                raise CosimError(f"{self._what!r} cannot be started: unknown command {command[0]!r}")
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _LAUNCH, *command],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=subprocess.STDOUT,
                env=os.environ | config.get("env", {}),
                start_new_session=True,
            )
            deadline = self._loop.time() + _CONNECT_S
            while not connected.done():
                await asyncio.wait({connected}, timeout=0.02)
                if self._process.poll() is not None and not connected.done():
                    raise CosimError(f"{self._what!r} ended before it connected: {self._exit_reason()}")
                if self._loop.time() > deadline:
                    raise CosimError(
                        f"{self._what!r} did not connect in {_CONNECT_S:g} s: the command must contain "
                        "%(addr)s, the address to connect to"
                    )
            return connected.result()
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise CosimError(f"{self._what!r} cannot be started: {_reason(error)}") from error
        finally:
            server.close()

    async def _answer_requests(self) -> None:
        assert self._channel is not None
        with contextlib.suppress(EndOfRequests, ConnectionError):
            while True:
                request = await self._channel.next_request()
                name, arguments, settings = request.content
                try:
                    if name not in MosaikProxy.__abstractmethods__:
                        raise CosimError(f"it requested {name!r}, which mosaik does not offer")
                    await request.set_result(await getattr(self._answers, name)(*arguments, **settings))
                except Exception as error:
                    await request.set_exception(error)

    def call(self, name: str, *arguments: Any, **settings: Any) -> Any:
        """Send a call and wait for its answer, for the simulator's end, or for the timeout."""
        try:
            return self._run(self._ask(name, arguments, settings))
        except BaseException:
            self._failed = True
            raise

    async def _ask(self, name: str, arguments: tuple[Any, ...], settings: dict[str, Any]) -> Any:
        assert self._channel is not None
        assert self._asked is not None
        answer = asyncio.ensure_future(self._channel.send([name, arguments, settings]))
        await self._wait(answer, self._timeout_s)
        try:
            if answer.done():
                return answer.result()
        except RemoteException as error:
            raise _failed(self._what, name, f"{error.remote_type}: {error.remote_msg or 'no message'}") from error
        except TypeError as error:
            raise _failed(self._what, name, f"{error}; only JSON can be sent to a simulator") from error
        except (OSError, asyncio.IncompleteReadError):
            pass
        else:
            answer.cancel()
            if not self._asked.done():
                raise _failed(self._what, name, f"no answer in {self._timeout_s:g} s, it was stopped")
        raise _failed(self._what, name, await self._loop.run_in_executor(None, self._exit_reason))

    async def _wait(self, answer: asyncio.Future[Any], timeout_s: float) -> None:
        """Wait for an answer or for the other end to disconnect."""
        assert self._asked is not None
        # The channel never answers calls sent after the other end has disconnected, but its requests end then.
        await asyncio.wait({answer, self._asked}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        if self._asked.done():
            await asyncio.wait({answer}, timeout=0.05)

    def _exit_reason(self) -> str:
        if self._process is None:
            return "the simulator closed its connection"
        try:
            code = self._process.wait(2)
        except subprocess.TimeoutExpired:
            return "the simulator closed its connection"
        return exit_reason("it", code, os.pread(self._log.fileno(), 2**20, 0).decode(errors="replace"))

    def close(self) -> None:
        """Send the stop request and wait until the simulator has finished; after a failure, kill it at once."""
        if self._loop.is_closed():
            return
        self._run(self._disconnect())
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(0 if self._failed else _FINALIZE_S)
            with contextlib.suppress(OSError):
                os.killpg(self._process.pid, signal.SIGKILL)  # also processes that the simulator has left behind
            self._process.wait()
        self._run(self._loop.shutdown_default_executor())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._log.close()

    async def _disconnect(self) -> None:
        if self._channel is None or self._asked is None:
            return
        tasks: list[asyncio.Future[Any]] = [self._asked]
        if not self._failed:
            stop = asyncio.ensure_future(self._channel.send(["stop", [], {}]))  # never answered
            await self._wait(stop, _FINALIZE_S)
            tasks.append(stop)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with contextlib.suppress(OSError):
            await self._channel.close()


def parse_address(address: str) -> tuple[str, int]:
    """Return host and port.

    Examples
    --------
    >>> parse_address("127.0.0.1:5555")
    ('127.0.0.1', 5555)
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise CosimError(f"address {address!r} is invalid: write host:port, as in 127.0.0.1:5555")
    return host, int(port)


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine, judged by its name or address alone.

    Examples
    --------
    >>> is_loopback("localhost"), is_loopback("127.0.0.2"), is_loopback("example.org")
    (True, True, False)
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
