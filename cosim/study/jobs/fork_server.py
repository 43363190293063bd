"""The fork server, which has imported everything and forks a process for each run.

``python -m cosim.study.jobs.fork_server DESCRIPTOR`` imports the engine and the builder once and then forks for every
run: a run starts in milliseconds, whereas importing the simulators takes seconds. The server has one thread and opens
no simulator, since neither would survive a fork. It also monitors each run: its duration, the memory of all its
processes, and whether the requesting process still exists. After a run has ended, for whatever reason, none of its
processes remain.
"""

from __future__ import annotations

import ctypes
import faulthandler
import gc
import importlib
import os
import random
import select
import signal
import socket
import sys
import tempfile
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from shutil import rmtree
from typing import NoReturn

import numpy as np

from cosim.core import units
from cosim.core.errors import CosimError
from cosim.core.processes import exit_reason
from cosim.engine.wire import Wire
from cosim.registry.builder import BuilderPlace, InsideRun, LoadedBuilder, Loading
from cosim.study.identity import FilesRead, source_digest, versions

from .attempt import Request, attempt
from .records import HEARTBEAT_S, Kind, RunFolder, RunOutcome

_LOOK_S = 0.25
_GRACE_S = 4.0
"""Time in which a run that is ended can close its adapters, and end workers that do not; below that of a server. [s]"""
_IMPORTED_ONCE = ("cosim.engine.run", "cosim.study.study")
"""Modules that nearly every run needs, imported before the first fork."""
_SET_PDEATHSIG, _SET_CHILD_SUBREAPER = 1, 36  # prctl(2)


def serve(descriptor: int) -> None:
    """Serve requests for runs until the other end is closed."""
    wire = Wire(socket.socket(fileno=descriptor))
    files = FilesRead()
    place, cwd, path = wire.receive()
    try:
        builder = _prepare(place, cwd, path)
    except (Exception, InsideRun) as error:
        wire.send(str(error) if isinstance(error, CosimError) else f"{type(error).__name__}: {error}")
        return
    n_threads = _threads()
    if n_threads > 1:
        wire.send(
            f"importing {place.file} starts {n_threads - 1} threads, which do not survive the fork of a run: start "
            "them in open() of an adapter"
        )
        return
    _prctl(_SET_CHILD_SUBREAPER, 1)
    wake, wakened = socket.socketpair()
    wake.setblocking(False)
    wakened.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGTERM, _end)
    signal.set_wakeup_fd(wakened.fileno(), warn_on_full_buffer=False)
    source_digest(), versions()  # cached for every run
    gc.freeze()  # otherwise the collector of each child writes to, and so copies, every shared page
    wire.send(None)
    with suppress(EOFError, ConnectionError):
        while True:
            request = wire.receive()
            one = _Attempt(request, files, (descriptor, wake.fileno(), wakened.fileno()))
            wire.send(one.outcome(builder))


def _end(*_: object) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second request must not cut short what the first one began
    sys.exit(0)


def _prepare(place: BuilderPlace, cwd: str, path: tuple[str, ...]) -> LoadedBuilder:
    sys.path[:] = path
    os.chdir(cwd)
    for module in _IMPORTED_ONCE:
        importlib.import_module(module)
    units.parse("W")  # reads all definitions, which every run would do again
    Loading.only = True
    return LoadedBuilder(place)


class _Attempt:
    """One attempt at a run, in one process."""

    def __init__(self, request: Request, files: FilesRead, sockets: tuple[int, int, int]) -> None:
        self._request, self._files, self._sockets = request, files, sockets
        self._folder = RunFolder(request.folder)
        self._began = self._beaten = time.monotonic()
        self._scratch = (request.scratch or request.folder) / f"scratch-{request.key}"

    def outcome(self, builder: LoadedBuilder) -> RunOutcome:
        """Start the run and wait for it; end it if it exceeds its limits."""
        rmtree(self._scratch, ignore_errors=True)  # left by an attempt that was killed with its server
        self._scratch.mkdir(parents=True)
        self._pid = os.fork()
        if self._pid == 0:
            _run_in_child(self._request, builder, self._files, self._scratch, self._sockets)
        try:
            status, kind, reason = self._watch()
        finally:
            self._end_all()
            rmtree(self._scratch, ignore_errors=True)
        key, took = self._request.key, round(time.monotonic() - self._began, 3)
        if kind is not None:
            return RunOutcome(key, kind, reason, took)
        if self._folder.done() is not None:
            return RunOutcome(key, wall_s=took)
        return self._folder.failed() or RunOutcome(key, "crash", self._exit_reason(status), took)

    def _watch(self) -> tuple[int, Kind | None, str]:
        while True:
            ended, status = os.waitpid(self._pid, os.WNOHANG)
            if ended:
                return status, None, ""
            kind, reason = self._excess()
            if kind is not None:
                return 0, kind, reason
            self._rest()

    def _excess(self) -> tuple[Kind | None, str]:
        limits = self._request.limits
        took = time.monotonic() - self._began
        if limits.timeout_s is not None and took > limits.timeout_s:
            return "timeout", f"took longer than {limits.timeout_s:g} s"
        if limits.memory_bytes is not None:
            held = _memory(self._pid)
            if held > limits.memory_bytes:
                return "memory", f"held {held / 1e9:.3g} GB of memory, more than {limits.memory_bytes / 1e9:.3g} GB"
        return None, ""

    def _rest(self) -> None:
        client, wake, _ = self._sockets
        ready, _, _ = select.select([client, wake], [], [], _LOOK_S)
        if client in ready:  # no message is sent during a run: the other end is closed
            raise EOFError
        if wake in ready:
            os.read(wake, 4096)
        now = time.monotonic()
        if now - self._beaten > HEARTBEAT_S:
            self._folder.beat()
            self._beaten = now

    def _end_all(self) -> None:
        self._ask_to_end()
        with suppress(ProcessLookupError):
            os.killpg(self._pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(self._pid, 0)
        if find_spec("psutil") is None:
            return
        import psutil

        # Orphans of the run have become children of the server; adapters' workers have sessions of their own.
        while children := psutil.Process().children(recursive=True):
            for child in children:
                with suppress(psutil.NoSuchProcess):
                    child.kill()
            with suppress(ChildProcessError):
                while os.waitpid(-1, 0)[0]:
                    pass

    def _ask_to_end(self) -> None:
        """Let a run that is still going on close its adapters, for a short time."""
        again, end = time.monotonic() + _GRACE_S / 4, time.monotonic() + _GRACE_S
        ended = os.WEXITED | os.WNOHANG | os.WNOWAIT  # reaped later: its number still names its process group
        with suppress(ProcessLookupError, ChildProcessError):
            if os.waitid(os.P_PID, self._pid, ended) is None:
                os.kill(self._pid, signal.SIGTERM)
            while time.monotonic() < end and os.waitid(os.P_PID, self._pid, ended) is None:
                time.sleep(0.02)
                if time.monotonic() > again:  # asyncio waits for the current step at the first, not at the second
                    again = end
                    os.kill(self._pid, signal.SIGTERM)

    def _exit_reason(self, status: int) -> str:
        log = self._folder.log.read_text(errors="replace") if self._folder.log.is_file() else ""
        return exit_reason("its process", os.waitstatus_to_exitcode(status), log, longest=200)


def _run_in_child(
    request: Request, builder: LoadedBuilder, files: FilesRead, scratch: Path, sockets: tuple[int, int, int]
) -> NoReturn:
    """Do the run in the forked process, and exit."""
    code = 1
    try:
        os.setsid()
        _prctl(_SET_PDEATHSIG, signal.SIGKILL)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        log = os.open(RunFolder(request.folder).log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        null = os.open(os.devnull, os.O_RDONLY)
        for ours, theirs in ((null, 0), (log, 1), (log, 2)):
            os.dup2(ours, theirs)
        for ours in sockets:  # so that they close when the server ends
            os.close(ours)
        faulthandler.enable()
        os.environ["TMPDIR"] = str(scratch)
        tempfile.tempdir = str(scratch)
        # Every fork would begin with the same state: unseeded draws must differ from seed to seed.
        random.seed(request.seed)
        np.random.seed(request.seed % 2**32)  # noqa: NPY002
        attempt(request, builder, files, scratch)
        code = 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        with suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _memory(pid: int) -> int:
    import psutil

    try:
        run = psutil.Process(pid)
        return sum(one.memory_info().rss for one in [run, *run.children(recursive=True)])
    except psutil.NoSuchProcess:
        return 0


def _threads() -> int:
    tasks = Path("/proc/self/task")
    if tasks.is_dir():
        return sum(1 for _ in tasks.iterdir())
    import threading

    return threading.active_count()


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


if __name__ == "__main__":
    try:
        serve(int(sys.argv[1]))
    finally:
        os._exit(0)  # after gc.freeze(), libraries would report leaks at interpreter exit
