"""The execution of one run by a fork server, with retries after crashes and an exclusive claim.

`perform` is the function that Dask sends to its workers and that a study calls without Dask. A worker keeps its servers
for the next run.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from dataclasses import replace

from cosim.core.errors import CosimError
from cosim.engine.wire import Wire
from cosim.registry.builder import BuilderPlace
from cosim.study.identity import basis, file_digest

from .attempt import Request
from .records import RunFolder, RunOutcome

_ENVIRONMENT = {
    # One core per run: parallel runs must not compete, and thread pools do not survive a fork.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
    # pyarrow's allocator starts a thread when it is imported
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
}


class ForkServer:
    """A process that forks runs of one builder.

    Raises
    ------
    CosimError
        If it cannot import the builder, or importing it starts threads.
    """

    def __init__(self, place: BuilderPlace, cwd: str, path: tuple[str, ...]) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            # A session of its own: Ctrl-C reaches only the requesting process, which then ends its servers.
            self._process = subprocess.Popen(
                [sys.executable, "-m", "cosim.study.jobs.fork_server", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
                env=os.environ | _ENVIRONMENT,
            )
        self._wire = Wire(ours)
        try:
            self._wire.send((place, cwd, path))
            problem = self._wire.receive()
        except (EOFError, OSError) as error:
            self.close()
            raise CosimError(f"the fork server ended while loading {place.file}") from error
        if problem is not None:
            self.close()
            raise CosimError(problem)

    def ask(self, request: Request) -> RunOutcome:
        """Do a run and return its outcome."""
        try:
            self._wire.send(request)
            return self._wire.receive()  # type: ignore[no-any-return]
        except (EOFError, OSError):
            self.close()
            return RunOutcome(request.key, "crash", "its fork server ended")

    @property
    def closed(self) -> bool:
        """Whether the server has ended."""
        return self._process.returncode is not None

    def ask_to_end(self) -> None:
        """Ask the server to end its current run, which may take its time to close its adapters."""
        self._process.terminate()

    def close(self) -> None:
        """End the server and its current run."""
        self.ask_to_end()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._wire.close()


class _Pool:
    """The fork servers of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[tuple[object, ForkServer]] = []
        self._busy: set[ForkServer] = set()
        self.stopped = False

    def take(self, request: Request) -> ForkServer:
        kind = _kind(request)
        with self._lock:
            for k, (idle_kind, server) in enumerate(self._idle):
                if idle_kind == kind:
                    del self._idle[k]
                    self._busy.add(server)
                    return server
        server = ForkServer(request.builder, request.cwd, request.path)
        with self._lock:
            self._busy.add(server)
        return server

    def give_back(self, request: Request, server: ForkServer) -> None:
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
            server.ask_to_end()
        for server in servers:
            server.close()


def _kind(request: Request) -> tuple[object, ...]:
    return request.builder, file_digest(request.builder.file), request.cwd, request.path


_pool = _Pool()


def perform(request: Request) -> RunOutcome:
    """Do a run unless it is done; return its outcome and record it on disk."""
    folder = RunFolder(request.folder, basis(request.builder))
    with folder.claimed():
        before = folder.valid()
        if before is not None:
            return RunOutcome(request.key, wall_s=before["wall_s"])
        folder.clear_markers()
        for n in range(1, request.limits.retries + 2):
            try:
                server = _pool.take(request)
            except CosimError as error:
                outcome = RunOutcome(request.key, "error", str(error))
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
    """End all current runs and prevent further ones in this process."""
    _pool.stopped = True
    _pool.close()


def end_servers() -> None:
    """End the servers of this process."""
    _pool.close()
