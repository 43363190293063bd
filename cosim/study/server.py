"""Who starts the process of a run? A server that has imported everything, and forks.

``python -m cosim.study.server DESCRIPTOR`` imports the engine and the builder once and then forks for every run: a run
begins in milliseconds, where importing the simulators takes seconds. It has one thread and opens no simulator: both
would not survive a fork. It also watches: how long a run takes, what it and all it started hold in memory, whether who
asked for it is still there; and when a run has ended, however it ended, nothing that it started stays behind.
"""

from __future__ import annotations

import ctypes
import faulthandler
import gc
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

from cosim.core.errors import CosimError
from cosim.wire import Wire

from .attempt import Request, attempt
from .builders import Build, BuilderPlace, InsideRun
from .identity import FilesRead, source_digest, versions
from .records import HEARTBEAT_S, Kind, Outcome, RunFolder

_LOOK_S = 0.25
_SET_PDEATHSIG, _SET_CHILD_SUBREAPER = 1, 36  # prctl(2)


def serve(descriptor: int) -> None:
    """Answer requests for runs until the other end has gone."""
    wire = Wire(socket.socket(fileno=descriptor))
    files = FilesRead()
    place, cwd, path = wire.receive()
    try:
        build = _prepare(place, cwd, path)
    except (Exception, InsideRun) as error:
        wire.send(str(error) if isinstance(error, CosimError) else f"{type(error).__name__}: {error}")
        return
    n_threads = _threads()
    if n_threads > 1:
        wire.send(f"importing {place.file} starts {n_threads - 1} threads, which do not survive the fork that a run "
                  "begins with: start them in open() of an adapter")  # fmt: skip
        return
    _prctl(_SET_CHILD_SUBREAPER, 1)
    wake, wakened = socket.socketpair()
    wake.setblocking(False)
    wakened.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.set_wakeup_fd(wakened.fileno(), warn_on_full_buffer=False)
    source_digest(), versions()  # known to every run from here on
    gc.freeze()  # else the collector of each child writes to, and so copies, every page of what is shared
    wire.send(None)
    with suppress(EOFError, ConnectionError):
        while True:
            request = wire.receive()
            one = _Attempt(request, files, (descriptor, wake.fileno(), wakened.fileno()))
            wire.send(one.outcome(build))


def _prepare(place: BuilderPlace, cwd: str, path: tuple[str, ...]) -> Build:
    sys.path[:] = path
    os.chdir(cwd)
    import cosim.bridge
    import cosim.results
    import cosim.running
    import cosim.scenario
    import cosim.study.campaign

    cosim.study.campaign.ONLY_LOADED = True
    return place.load()


class _Attempt:
    """One process of one run."""

    def __init__(self, request: Request, files: FilesRead, sockets: tuple[int, int, int]) -> None:
        self._request, self._files, self._sockets = request, files, sockets
        self._folder = RunFolder(request.folder)
        self._began = self._beaten = time.monotonic()
        self._scratch = (request.scratch or request.folder) / f"scratch-{request.key}"

    def outcome(self, build: Build) -> Outcome:
        """Start the run and wait for it; end it where it takes too much."""
        rmtree(self._scratch, ignore_errors=True)  # of an attempt that was killed with its server
        self._scratch.mkdir(parents=True)
        self._pid = os.fork()
        if self._pid == 0:
            _be_run(self._request, build, self._files, self._scratch, self._sockets)
        try:
            status, kind, reason = self._watch()
        finally:
            self._end_all()
            rmtree(self._scratch, ignore_errors=True)
        key, took = self._request.key, round(time.monotonic() - self._began, 3)
        if kind is not None:
            return Outcome(key, kind, reason, took)
        if self._folder.done() is not None:
            return Outcome(key, wall_s=took)
        return self._folder.failed() or Outcome(key, "crash", self._obituary(status), took)

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
        asked_by, wake, _ = self._sockets
        ready, _, _ = select.select([asked_by, wake], [], [], _LOOK_S)
        if asked_by in ready:  # nobody says anything while a run is on: the other end has gone
            raise EOFError
        if wake in ready:
            os.read(wake, 4096)
        now = time.monotonic()
        if now - self._beaten > HEARTBEAT_S:
            self._folder.beat()
            self._beaten = now

    def _end_all(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(self._pid, 0)
        if find_spec("psutil") is None:
            return
        import psutil

        # Orphans of the run have become children of the server: workers of adapters have sessions of their own.
        while children := psutil.Process().children(recursive=True):
            for child in children:
                with suppress(psutil.NoSuchProcess):
                    child.kill()
            with suppress(ChildProcessError):
                while os.waitpid(-1, 0)[0]:
                    pass

    def _obituary(self, status: int) -> str:
        if os.WIFSIGNALED(status):
            text = f"its process was killed by {signal.Signals(os.WTERMSIG(status)).name}"
        else:
            text = f"its process ended with exit code {os.waitstatus_to_exitcode(status)}"
        log = self._folder.log
        lines = log.read_text(errors="replace").strip().splitlines() if log.is_file() else []
        return text + (f"; its last words: {lines[-1][:200]}" if lines else "")


def _be_run(
    request: Request, build: Build, files: FilesRead, scratch: Path, sockets: tuple[int, int, int]
) -> NoReturn:
    """Be the process of a run, from the fork to its end."""
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
        for ours in sockets:  # they say by closing that the server has gone
            os.close(ours)
        faulthandler.enable()
        os.environ["TMPDIR"] = str(scratch)
        tempfile.tempdir = str(scratch)
        # Every fork would begin with the same state: unseeded chance must differ from seed to seed.
        random.seed(request.seed)
        np.random.seed(request.seed % 2**32)  # noqa: NPY002
        attempt(request, build, files, scratch)
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
        os._exit(0)  # after gc.freeze() the interpreter's own end finds what libraries call leaks
