"""How is SUMO run, and how are its complaints heard? In this process by libsumo, or as a program by TraCI."""

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

from cosim.core import CosimError, InputFileError

Connection: TypeAlias = Literal["libsumo", "traci", "gui"]

# glibc's allocator keeps small freed blocks at hand and asks for huge pages: the program spends an eighth of its time
# in malloc and free. Other C libraries ignore the variable.
PROGRAM_ENVIRONMENT = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1:glibc.malloc.tcache_count=65535"}
_PATIENCE_S = 300.0


class Session:
    """One simulation of SUMO.

    Parameters
    ----------
    connection
        ``"libsumo"``: in this process, which holds one. ``"traci"``: a ``sumo`` program of its own, ``"gui"``:
        ``sumo-gui``, to watch. On Linux nobody else can connect to them (`private_connection`); on other systems SUMO
        opens a port on every network interface and takes the first who connects.
    scenario
        The configuration as the user knows it, for messages.
    folder
        Where SUMO's messages go.

    Raises
    ------
    CosimError
        If SUMO runs in this process already.
    """

    def __init__(self, connection: Connection, scenario: Path, folder: Path) -> None:
        self.messages, self.error_log = folder / "sumo-messages.txt", folder / "sumo-errors.txt"
        self._connection, self._scenario = connection, scenario
        self._program: subprocess.Popen[bytes] | None = None
        self._heard = 0
        self.failures: tuple[type[Exception], ...]
        if connection == "libsumo":
            self.api = _libsumo()
            self.failures = (self.api.TraCIException, self.api.FatalTraCIError)
            if self.api.simulation.isLoaded():
                raise CosimError("SUMO runs in this process, and libsumo holds one: place traffic in a 'process'")
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
            If SUMO refuses it; with SUMO's own words.
        """
        with self.speaking("cannot load"):
            if self._connection == "libsumo":
                self.api.start(["sumo", "-c", str(staged)])
            else:
                self._start_program(staged)
        if errors := [words for words in self._errors() if "processing option" in words]:  # it goes on without those
            self.close()
            raise self.failure("cannot load", errors)

    def _start_program(self, staged: Path) -> None:
        name, options = ("sumo-gui", ["--start", "--quit-on-end"]) if self._connection == "gui" else ("sumo", [])
        home, library = sumo_home(), private_connection()
        command: list[str | Path] = [home / "bin" / name, "-c", staged, *options]
        environment = PROGRAM_ENVIRONMENT | os.environ | {"SUMO_HOME": str(home), "PROJ_DATA": str(home / "data/proj")}
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
                raise CosimError("another program on this machine connected in the place of SUMO: run it again")
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
                    raise failure("") from None  # its words are in the error log
                if time.monotonic() - began > _PATIENCE_S:
                    raise failure(f"took no connection for {_PATIENCE_S:g} s") from None
                time.sleep(0.01)

    def _run(
        self, command: list[str | Path], environment: dict[str, str], pass_fds: Sequence[int] = ()
    ) -> subprocess.Popen[bytes]:
        with self.messages.open("ab") as messages:
            self._program = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=messages, stderr=messages, env=environment,
                pass_fds=pass_fds, process_group=0,  # Ctrl-C is for this process to hear
            )  # fmt: skip
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
    def speaking(self, what: str) -> Iterator[None]:
        """Turn SUMO's failures into one error with SUMO's own words, and leave nothing half loaded.

        Raises
        ------
        InputFileError
            Whatever SUMO said.
        """
        try:
            if self._connection == "libsumo":
                with _quiet(self.messages):
                    yield
            else:
                yield
        except self.failures as error:
            self.close()
            words = [str(error).strip(), *self._errors()]  # repr() hides them
            if self._connection != "libsumo" and len(words) > 1:
                del words[0]  # that the connection is gone; why, SUMO has said
            raise self.failure(what, words) from error

    def _errors(self) -> list[str]:
        """Return what SUMO called an error; before it has opened its log it says so to the terminal."""
        texts = [path.read_text("utf-8", "replace") for path in (self.messages, self.error_log) if path.exists()]
        return [words for text in texts for words in re.findall(r"^Error: (.*(?:\n .*)*)", text, re.M)]

    def failure(self, what: str, words: list[str]) -> InputFileError:
        """Return SUMO's words as one error."""
        said = "; ".join(dict.fromkeys(" ".join(html.unescape(text).split()) for text in words if text.strip()))
        return InputFileError(f"SUMO {what} {self._scenario}: {said or 'it ended without a word'}")

    def new_messages(self, pattern: str) -> list[re.Match[str]]:
        """Return the lines, among what SUMO has warned of since the last call, that match."""
        if not self.error_log.exists() or self.error_log.stat().st_size == self._heard:
            return []
        with self.error_log.open("rb") as file:
            file.seek(self._heard)
            lines = file.read().decode("utf-8", "replace").splitlines()
            self._heard = file.tell()
        return [match for match in map(re.compile(pattern).match, lines) if match]


def sumo_home() -> Path:
    """Return the folder of the wheel's SUMO."""
    import sumo

    return Path(sumo.SUMO_HOME)


def private_connection() -> Path | None:
    """Return the library by which SUMO's program opens no port; None where there is none, on other systems."""
    spec = importlib.util.find_spec("cosim.adapters._sumo_socket")
    return Path(spec.origin) if spec and spec.origin else None


def _libsumo() -> Any:
    """Import libsumo with the data of its wheel; one that SUMO's own search misses is PROJ's."""
    home = sumo_home()
    os.environ.setdefault("SUMO_HOME", str(home))
    for name in ("PROJ_DATA", "PROJ_LIB"):
        os.environ[name] = str(home / "data" / "proj")
    with _environment(LIBSUMO_AS_TRACI="quiet"):  # else it prints about pyarrow, which is not used here
        import libsumo

    return libsumo


def _traci() -> Any:
    """Import the TraCI client itself; where the environment says so, its package stands for libsumo instead."""
    with _environment(LIBSUMO_AS_TRACI=None, LIBTRACI_AS_TRACI=None):
        import traci.main  # also where the package came with libsumo, and without this

    return traci


@contextmanager
def _environment(**values: str | None) -> Iterator[None]:
    """Set or remove variables of this process for a while: its children must not inherit them."""
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
    """Send what C++ code writes to the process's standard streams into a file."""
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
