"""How is one run done, by whoever is asked to? By a server that forks it, again after a crash, and only once at a time.

`perform` is what Dask sends to its workers and what a study calls without Dask. A worker keeps its servers for the next
run.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from dataclasses import replace

from cosim.core.errors import CosimError
from cosim.wire import Wire

from .attempt import Request
from .builders import BuilderPlace
from .identity import file_digest
from .records import Outcome, RunFolder

_ENVIRONMENT = {
    # One run, one core: what runs side by side must not compete, and a pool of threads does not survive a fork.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
    # pyarrow's allocator starts a thread when it is imported
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
}


class Server:
    """A process that forks runs of one builder.

    Raises
    ------
    CosimError
        If it cannot import the builder, or must not fork.
    """

    def __init__(self, place: BuilderPlace, cwd: str, path: tuple[str, ...]) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            # A session of its own: Ctrl-C reaches who asks for runs, which then ends its servers.
            self._process = subprocess.Popen(
                [sys.executable, "-m", "cosim.study.server", str(theirs.fileno())],
                pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                start_new_session=True, env=os.environ | _ENVIRONMENT,
            )  # fmt: skip
        self._wire = Wire(ours)
        try:
            self._wire.send((place, cwd, path))
            problem = self._wire.receive()
        except (EOFError, OSError) as error:
            self.close()
            raise CosimError(f"the server of runs ended while it loaded {place.file}") from error
        if problem is not None:
            self.close()
            raise CosimError(problem)

    def ask(self, request: Request) -> Outcome:
        """Do a run; return how it ended."""
        try:
            self._wire.send(request)
            return self._wire.receive()  # type: ignore[no-any-return]
        except (EOFError, OSError):
            self.close()
            return Outcome(request.key, "crash", "the server that had forked it was ended")

    @property
    def closed(self) -> bool:
        """Whether it does no further runs."""
        return self._process.returncode is not None

    def close(self) -> None:
        """End the server, and with it the run that is on."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._wire.close()


class _Pool:
    """The servers of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[tuple[object, Server]] = []
        self._busy: set[Server] = set()
        self.stopped = False

    def take(self, request: Request) -> Server:
        kind = _kind(request)
        with self._lock:
            for k, (idle_kind, server) in enumerate(self._idle):
                if idle_kind == kind:
                    del self._idle[k]
                    self._busy.add(server)
                    return server
        server = Server(request.builder, request.cwd, request.path)
        with self._lock:
            self._busy.add(server)
        return server

    def give_back(self, request: Request, server: Server) -> None:
        with self._lock:
            self._busy.discard(server)
            if not server.closed and not self.stopped:
                self._idle.append((_kind(request), server))
                return
        server.close()

    def close(self) -> None:
        with self._lock:
            servers = [*self._busy, *(server for _, server in self._idle)]
            self._idle.clear()
        for server in servers:
            server.close()


def _kind(request: Request) -> tuple[object, ...]:
    return request.builder, file_digest(request.builder.file), request.cwd, request.path


_pool = _Pool()


def perform(request: Request) -> Outcome:
    """Do a run unless it is done; say how it ended, also on disk."""
    folder = RunFolder(request.folder)
    with folder.claimed():
        before = folder.valid()
        if before is not None:
            return Outcome(request.key, wall_s=before["wall_s"])
        folder.forget()
        for n in range(1, request.limits.retries + 2):
            try:
                server = _pool.take(request)
            except CosimError as error:
                outcome = Outcome(request.key, "error", str(error))
                break
            try:
                outcome = replace(server.ask(request), attempts=n)
            finally:
                _pool.give_back(request, server)
            if outcome.kind != "crash" or _pool.stopped:
                break
        if outcome.kind is not None and folder.failed() is None and not _pool.stopped:
            folder.mark_failed(outcome)
        return outcome


def start() -> None:
    """Allow runs again after `stop`."""
    _pool.stopped = False


def stop() -> None:
    """End what is on, and let nobody in this process go on with it."""
    _pool.stopped = True
    _pool.close()


def end_servers() -> None:
    """End the servers of this process that have nothing to do."""
    _pool.close()
