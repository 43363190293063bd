"""Sessions of SUMO, in this process by libsumo or as a program by TraCI, with its messages turned into errors."""

from __future__ import annotations

import html
import importlib.util
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal, TypeAlias

from cosim.adapters.traffic.installation import sumo_binary, sumo_environment, sumo_home
from cosim.core import CosimError, InputFileError

Connection: TypeAlias = Literal["libsumo", "traci", "gui"]

# Huge pages also for those blocks that the preloaded allocator leaves to glibc. Other C libraries ignore the variable.
PROGRAM_ENVIRONMENT = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
_PATIENCE_S = 300.0


class Session:
    """One simulation of SUMO.

    Parameters
    ----------
    connection
        ``"libsumo"``: in this process, limited to one session. ``"traci"``: a separate ``sumo`` program, ``"gui"``:
        ``sumo-gui``, to watch. On Linux no other client can connect to them (`private_connection`); on other systems
        SUMO opens a port on every network interface and accepts the first client.
    scenario
        The user's configuration, for messages.
    folder
        Folder of SUMO's messages.

    Raises
    ------
    CosimError
        If SUMO already runs in this process.
    """

    def __init__(self, connection: Connection, scenario: Path, folder: Path) -> None:
        self.messages, self.error_log = folder / "sumo-messages.txt", folder / "sumo-errors.txt"
        self._connection, self._scenario = connection, scenario
        self._program: subprocess.Popen[bytes] | None = None
        self._read_bytes = 0
        self.failures: tuple[type[Exception], ...]
        if connection == "libsumo":
            self.api = _libsumo()
            self.failures = (self.api.TraCIException, self.api.FatalTraCIError)
            if self.api.simulation.isLoaded():
                raise CosimError("SUMO already runs in this process, libsumo's limit: place traffic in a 'process'")
        else:
            traci = _traci()
            self.api = None
            self.failures = (traci.exceptions.TraCIException, traci.exceptions.FatalTraCIError, OSError)
        self.messages.write_bytes(b"")
        self.error_log.unlink(missing_ok=True)

    def start(self, staged: Path) -> None:
        """Load a staged configuration.

        Raises
        ------
        InputFileError
            If SUMO refuses it; with SUMO's own message.
        """
        with self.translated_errors("cannot load"):
            if self._connection == "libsumo":
                self.api.start(["sumo", "-c", str(staged)])
            else:
                self._start_program(staged)
        if errors := [text for text in self._errors() if "processing option" in text]:  # SUMO continues without those
            self.close()
            raise self.failure("cannot load", errors)

    def check_begin(self, begin_s: float) -> None:
        """Check that the loaded simulation begins at a time.

        Raises
        ------
        CosimError
            If it does not.
        """
        if abs((begins_s := self.api.simulation.getTime()) - begin_s) > 1e-6:
            raise CosimError(
                f"{self._scenario} is to begin at {begin_s:g} s, but SUMO begins at {begins_s:g} s: make its begin and "
                "the time of the state that it loads equal"
            )

    def _start_program(self, staged: Path) -> None:
        name, options = ("sumo-gui", ["--start", "--quit-on-end"]) if self._connection == "gui" else ("sumo", [])
        library = private_connection()
        command: list[str | Path] = [sumo_binary(name), "-c", staged, *options]
        environment = PROGRAM_ENVIRONMENT | sumo_environment()
        if library is None:
            self._connect_by_port(command, environment)
        else:
            self._connect_in_private(command, environment, library)
        self.api.setOrder(1)

    def _connect_in_private(self, command: list[str | Path], environment: dict[str, str], library: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.api = _traci().connection.Connection("127.0.0.1", server.getsockname()[1], None, None, False)
            served, address = server.accept()
        with served:
            if address != self.api._socket.getsockname():
                raise CosimError("another program on this machine connected instead of SUMO: run it again")
            descriptor = served.fileno()
            environment["LD_PRELOAD"] = " ".join([str(library), *environment.get("LD_PRELOAD", "").split()])
            environment["COSIM_SUMO_CONNECTION"] = str(descriptor)
            self._run([*command, "--remote-port", "1"], environment, pass_fds=[descriptor])

    def _connect_by_port(self, command: list[str | Path], environment: dict[str, str]) -> None:
        failure = _traci().exceptions.FatalTraCIError
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        program = self._run([*command, "--remote-port", str(port)], environment)
        began = time.monotonic()
        while True:
            try:
                self.api = _traci().connection.Connection("127.0.0.1", port, program, None, False)
                return
            except ConnectionRefusedError:
                if program.poll() is not None:
                    raise failure("") from None  # its message is in the error log
                if time.monotonic() - began > _PATIENCE_S:
                    raise failure(f"accepted no connection for {_PATIENCE_S:g} s") from None
                time.sleep(0.01)

    def _run(
        self, command: list[str | Path], environment: dict[str, str], pass_fds: Sequence[int] = ()
    ) -> subprocess.Popen[bytes]:
        with self.messages.open("ab") as messages:
            self._program = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=messages,
                stderr=messages,
                env=environment,
                pass_fds=pass_fds,
                process_group=0,  # Ctrl-C must reach this process only
            )
        return self._program

    def close(self) -> None:
        """Stop SUMO, which then completes its files; safe to call twice."""
        api, self.api = self.api, None
        if self._connection == "libsumo":
            if api is not None and api.simulation.isLoaded():
                with _quiet(self.messages):
                    api.close()
            return
        if api is not None:
            with suppress(*self.failures):
                api.close(wait=False)
        program, self._program = self._program, None
        if program is not None:
            try:
                program.wait(_PATIENCE_S if api is not None else 0)
            except subprocess.TimeoutExpired:
                program.kill()
                program.wait()

    @contextmanager
    def translated_errors(self, what: str) -> Iterator[None]:
        """Turn SUMO's failures into one error with SUMO's own message, and close a partly loaded session.

        Raises
        ------
        InputFileError
            With SUMO's message.
        """
        try:
            if self._connection == "libsumo":
                with _quiet(self.messages):
                    yield
            else:
                yield
        except self.failures as error:
            self.close()
            texts = [str(error).strip(), *self._errors()]  # repr() hides them
            if self._connection != "libsumo" and len(texts) > 1:
                del texts[0]  # "connection closed"; SUMO's log gives the reason
            raise self.failure(what, texts) from error

    def _errors(self) -> list[str]:
        """Return SUMO's error messages; before it has opened its log it writes them to the terminal."""
        texts = [path.read_text("utf-8", "replace") for path in (self.messages, self.error_log) if path.exists()]
        return [error for text in texts for error in re.findall(r"^Error: (.*(?:\n .*)*)", text, re.M)]

    def failure(self, what: str, texts: list[str]) -> InputFileError:
        """Return SUMO's messages as one error."""
        message = "; ".join(dict.fromkeys(" ".join(html.unescape(text).split()) for text in texts if text.strip()))
        return InputFileError(f"SUMO {what} {self._scenario}: {message or 'it ended without a message'}")

    def new_warnings(self) -> list[str]:
        """Return SUMO's warnings since the last call, as it writes them to the terminal: its log is written late."""
        if self.messages.stat().st_size == self._read_bytes:
            return []
        with self.messages.open("rb") as file:
            file.seek(self._read_bytes)
            lines = file.read().decode("utf-8", "replace").splitlines()
            self._read_bytes = file.tell()
        return [html.unescape(line[9:]) for line in lines if line.startswith("Warning: ")]


class Vehicles:
    """Vehicles of a session, which may leave between being seen and being given a command.

    Parameters
    ----------
    api
        SUMO.
    failures
        Exceptions that SUMO raises if it refuses a command.
    """

    def __init__(self, api: Any, failures: tuple[type[Exception], ...]) -> None:
        self._api, self._failures = api, failures

    @contextmanager
    def may_leave(self, vehicle: str) -> Iterator[None]:
        """Leave out the rest of a block if SUMO refuses one of its commands because the vehicle has left."""
        try:
            yield
        except self._failures:
            if vehicle in self._api.vehicle.getLoadedIDList():
                raise


def private_connection() -> Path | None:
    """Return the library that keeps SUMO's program from opening a port and makes it faster; None without Linux."""
    spec = importlib.util.find_spec("cosim.adapters.traffic._preloaded")
    return Path(spec.origin) if spec and spec.origin else None


def _libsumo() -> Any:
    """Import libsumo with the data of its wheel, including PROJ's, which SUMO's own search misses."""
    home = sumo_home()
    os.environ.setdefault("SUMO_HOME", str(home))
    for name in ("PROJ_DATA", "PROJ_LIB"):
        os.environ[name] = str(home / "data" / "proj")
    with _environment(LIBSUMO_AS_TRACI="quiet"):  # otherwise it prints a note on pyarrow, which is not used here
        import libsumo

    return libsumo


def _traci() -> Any:
    """Import the TraCI client itself, even if the environment makes its package an alias of libsumo."""
    with _environment(LIBSUMO_AS_TRACI=None, LIBTRACI_AS_TRACI=None):
        import traci.main  # also if the package was imported by libsumo, without this module

    return traci


@contextmanager
def _environment(**values: str | None) -> Iterator[None]:
    """Set or remove environment variables temporarily: child processes must not inherit them."""
    saved = {name: os.environ.pop(name, None) for name in values}
    os.environ.update({name: value for name, value in values.items() if value is not None})
    try:
        yield
    finally:
        for name, value in saved.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


@contextmanager
def _quiet(messages: Path) -> Iterator[None]:
    """Redirect output of C++ code on the process's standard streams into a file."""
    sys.stdout.flush()
    sys.stderr.flush()
    saved = {number: os.dup(number) for number in (1, 2)}
    file = os.open(messages, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        for number in saved:
            os.dup2(file, number)
        yield
    finally:
        for number, copy in saved.items():
            with suppress(OSError):
                os.dup2(copy, number)
            os.close(copy)
        os.close(file)
