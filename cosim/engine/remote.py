"""Adapters in workers on other machines: one connection each, over TLS, with a token.

`serve` is the worker's side: it starts a process for every adapter that is sent to it, on this machine, and passes
messages on. `RemoteHost` is the run's side. Whoever has a worker's token can run code there, and a worker can run code
in the processes of runs that use it: both sides of a connection trust each other, and nobody else.
"""

from __future__ import annotations

import errno
import hashlib
import hmac
import json
import os
import re
import select
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any

from cosim.core.adapter import Adapter
from cosim.core.arguments import require, shown
from cosim.core.errors import CosimError
from cosim.core.processes import exit_reason

from .hosts import AdapterError, Failed, ProcessHost, packed, spawn
from .wire import Wire

HANDSHAKE_S = 10.0
"""Time in which a connection must be made and known. [s]"""
GRACE_S = 3.0
"""Time in which a process whose run has gone can close its adapter before it is killed. [s]"""
_LONGEST_GREETING = 4096
_SHORTEST_TOKEN = 32


@dataclass(frozen=True)
class Remote:
    """Where an adapter runs: a worker on another machine, started there by ``cosim worker``.

    Parameters
    ----------
    address
        Host and port, as in ``"node7:4000"`` or ``"[::1]:4000"``.
    certificate
        File with the worker's certificate, the only one that is believed.
    token
        File with the worker's token.

    Notes
    -----
    The folder of a run must be the same on both machines, as on the shared file system of a cluster, and so must the
    paths of files that the adapter reads.

    Raises
    ------
    CosimError
        If the address is no host and port, or certificate or token is no path.
    """

    address: str
    certificate: str | Path
    token: str | Path

    def __post_init__(self) -> None:
        if parse_address(self.address)[1] == 0:
            raise CosimError(f"the address {self.address!r} has port 0: give the one that the worker listens on")
        for name, path in (("certificate", self.certificate), ("token", self.token)):
            require(path, (str, Path), f"Remote: {name}", f"give the path of the worker's {name}")

    def __str__(self) -> str:
        return f"remote at {self.address}"


def parse_address(text: str) -> tuple[str, int]:
    """Return host and port of an address.

    >>> parse_address("node7:4000"), parse_address("[::1]:0")
    (('node7', 4000), ('::1', 0))
    """
    found = re.fullmatch(r"(?:\[([\w:.%]+)\]|([^\s:\[\]]+)):([0-9]{1,5})", text, re.ASCII)
    if not found or int(found[3]) > 65535:
        raise CosimError(
            f"the address {shown(text)} is no host and port: write as in '127.0.0.1:4000', with a port of at most 65535"
        )
    return found[1] or found[2], int(found[3])


def read_token(path: str | Path) -> str:
    """Return the token in a file.

    Raises
    ------
    CosimError
        If it cannot be read, is short, or others can read it.
    """
    path = Path(path)
    _check_private(path, "token")
    try:
        token = path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise CosimError(f"the token {path} cannot be read: {error.strerror}") from error
    except UnicodeError:
        token = "\0"
    if not token.isprintable():
        raise CosimError(f"the token {path} is not one line of text: write one with cosim worker --make FOLDER")
    if len(token) < _SHORTEST_TOKEN:
        raise CosimError(f"the token {path} has {len(token)} characters: give it {_SHORTEST_TOKEN} random ones or more")
    return token


def _check_private(path: Path, what: str) -> None:
    """Check that a file exists and that nobody else can read it."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise CosimError(f"the {what} {path} cannot be read: {error.strerror}") from error
    if mode & 0o077:
        raise CosimError(f"others can read the {what} {path}: protect it with chmod 600")


@cache
def _version() -> str:
    """Return what both sides must have in common: Python, and the source of engine and contract."""
    digest = hashlib.blake2b(digest_size=16)
    here = Path(__file__).parent
    for path in sorted([*here.glob("*.py"), *(here.parent / "core").glob("*.py")]):
        digest.update(path.read_bytes())
    return f"{sys.version_info.major}.{sys.version_info.minor} {digest.hexdigest()}"


class _SecureWire(Wire):
    """A `Wire` over TLS, which takes one buffer at a time and may have read more than it has delivered."""

    def poll(self, timeout_s: float | None = None) -> bool:
        return bool(self._socket.pending()) or super().poll(timeout_s)  # type: ignore[attr-defined]

    def _write(self, parts: Any) -> None:
        for part in parts:
            if part.nbytes:
                self._socket.sendall(part)


class RemoteHost(ProcessHost):
    """Runs an adapter in a worker on another machine.

    Parameters
    ----------
    name, adapter
        As in the scenario.
    where
        The worker.
    timeout_s
        Time limit of one step. [s]
    """

    def __init__(self, name: str, adapter: Adapter, where: Remote, timeout_s: float | None = None) -> None:
        super().__init__(name, adapter, Path(), timeout_s)
        self._where = where

    def _start(self) -> Any:
        package = packed(self.adapter)
        try:
            self._wire = _SecureWire(_connected(self._where))
        except CosimError as error:
            raise AdapterError(str(error)) from error
        return self._ask((None, package))

    def _exit_reason(self) -> str:
        return f"lost its connection to {self._where.address}: see whether the worker still runs there"

    def ask_to_end(self) -> None:
        """Hang up: the worker then ends its process, also in the midst of a step."""
        if self._wire is not None:
            self._wire.hang_up()

    def close(self, *, failed: bool) -> None:
        """Close the adapter and the connection."""
        problem = None
        if self._wire is not None:
            if failed:
                self.ask_to_end()
            else:
                try:
                    self._ask(("close",))
                except AdapterError as error:
                    problem = error
        self._executor.shutdown(wait=True, cancel_futures=True)
        if self._wire is not None:
            self._wire.close()
            self._wire = None
        if problem is not None:
            raise problem


def _connected(where: Remote) -> ssl.SSLSocket:
    """Return a connection to a worker that has accepted it."""
    token, (host, port) = read_token(where.token), parse_address(where.address)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # the one certificate that is believed names no host
    try:
        context.load_verify_locations(where.certificate)
    except ssl.SSLError as error:
        raise CosimError(f"{where.certificate} is no certificate: copy the worker's own, worker.pem") from error
    except OSError as error:
        raise CosimError(f"the certificate {where.certificate} cannot be read: {error.strerror}") from error
    try:
        plain = socket.create_connection((host, port), HANDSHAKE_S)
    except OSError as error:
        raise CosimError(f"no worker answers at {where.address}: {_words(error)}; start one by cosim worker") from error
    try:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        secure = context.wrap_socket(plain)
        secure.sendall(json.dumps({"token": token, "version": _version()}).encode() + b"\n")
        answer = _line(secure).decode(errors="replace")
    except ssl.SSLCertVerificationError as error:
        plain.close()
        raise CosimError(
            f"the worker at {where.address} has another certificate than {where.certificate}: copy the worker's own"
        ) from error
    except (OSError, EOFError) as error:
        plain.close()
        raise CosimError(f"{where.address} does not answer as a worker does: {_words(error)}") from error
    if answer != "ok":
        secure.close()
        raise CosimError(f"the worker at {where.address} refuses: {answer}")
    secure.settimeout(None)
    return secure


def _words(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _line(secure: ssl.SSLSocket) -> bytes:
    """Read a short line."""
    found = b""
    while not found.endswith(b"\n"):
        more = secure.recv(1)
        if not more or len(found) >= _LONGEST_GREETING:
            raise EOFError("it hung up")
        found += more
    return found[:-1]


def listen(address: str) -> socket.socket:
    """Return a socket that listens.

    Raises
    ------
    CosimError
        If the address cannot be listened on.
    """
    host, port = parse_address(address)
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        words = _words(error).partition(" (while ")[0]
        raise CosimError(
            f"cannot listen on {address}: {words}; give an address of this machine and a port that is free, or port 0"
        ) from error


def identity(certificate: Path, key: Path) -> ssl.SSLContext:
    """Return what a worker proves itself by.

    Parameters
    ----------
    certificate, key
        Files with its certificate and its private key.

    Raises
    ------
    CosimError
        If one cannot be read, others can read the key, or they do not belong together.
    """
    _check_private(key, "key")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key, password="")  # asks nobody for one
    except ssl.SSLError as error:
        raise CosimError(
            f"{certificate} and {key} are not a certificate and its own key without a password: write both with cosim "
            "worker --make FOLDER"
        ) from error
    except OSError as error:
        raise CosimError(f"the certificate {certificate} cannot be read: {error.strerror}") from error
    return context


def serve(server: socket.socket, context: ssl.SSLContext, token: str, tell: Callable[[str], None]) -> None:
    """Run adapters for those who know the token, each in a process of its own, until the socket is closed.

    Parameters
    ----------
    server
        A listening socket.
    context
        Made by `identity`.
    token
        What runs must know.
    tell
        Is called with a line on each connection.
    """
    full = False
    while True:
        try:
            plain, peer = server.accept()
        except OSError as error:
            if error.errno not in _FULL:
                return  # it was closed
            if not full:
                tell(f"no connection is accepted for now: {error.strerror}")
            full = True
            time.sleep(1.0)  # those who have not said who they are are sent away meanwhile
            continue
        full = False
        who = f"{peer[0]}:{peer[1]}"
        threading.Thread(target=_attend, args=(context, plain, who, token, tell), daemon=True).start()


_FULL = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ECONNABORTED)
"""Errors of a socket that goes on listening."""


def _attend(context: ssl.SSLContext, plain: socket.socket, who: str, token: str, tell: Callable[[str], None]) -> None:
    """Serve one connection."""
    try:
        plain.settimeout(HANDSHAKE_S)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with context.wrap_socket(plain, server_side=True) as secure:
            refusal = _refusal(_line(secure), token)
            secure.sendall((refusal or "ok").encode() + b"\n")
            if refusal:
                tell(f"{who} was refused: {refusal}")
                return
            secure.settimeout(None)
            tell(f"{who} runs an adapter")
            tell(f"{who} has ended: {_run_for(secure)}")
    except ssl.SSLError:
        tell(f"{who} was refused: it does not speak TLS as a run does")
    except (OSError, EOFError) as error:
        tell(f"{who} was refused: {_words(error)}")
    finally:
        plain.close()


def _refusal(greeting: bytes, token: str) -> str:
    """Return why a run is refused, or nothing."""
    try:
        said = json.loads(greeting)
    except (ValueError, RecursionError):
        return "it does not greet as a run does"
    if not isinstance(said, dict) or not hmac.compare_digest(str(said.get("token")).encode(), token.encode()):
        return "the token is wrong"
    if said.get("version") != _version():
        return "it has another version of cosim or Python: install the same on both machines"
    return ""


def _run_for(secure: ssl.SSLSocket) -> str:
    """Pass messages between a run and the process of its adapter; return how that ended."""
    with tempfile.TemporaryFile() as log:
        process, ours = spawn(log)
        try:
            while True:
                if secure.pending() or secure in select.select([secure, ours], [], [])[0]:
                    if not (data := secure.recv(1 << 18)):
                        return "the run has hung up"
                    ours.sendall(data)
                elif data := ours.recv(1 << 18):
                    secure.sendall(data)
                else:
                    break
        except (OSError, EOFError):
            pass
        finally:
            ours.close()
            code = _ended(process)
        if code == 0:
            return "its adapter is closed"
        reason = exit_reason(f"its process on {socket.gethostname()}", code, _read(log))
        with suppress(OSError):
            _SecureWire(secure).send(Failed(reason, ""))
        return reason


def _ended(process: subprocess.Popen[bytes]) -> int:
    """Return the exit code of a process, which is asked to end, and killed with what it started if it does not."""
    for number, patience_s in ((None, 0.2), (signal.SIGTERM, GRACE_S), (signal.SIGKILL, GRACE_S)):
        with suppress(ProcessLookupError):
            if number is signal.SIGKILL:
                os.killpg(process.pid, number)
            elif number is not None:
                process.send_signal(number)
        with suppress(subprocess.TimeoutExpired):
            return process.wait(patience_s)
    return process.wait()


def _read(log: IO[bytes]) -> str:
    log.seek(0)
    return log.read().decode(errors="replace")


def start_worker(folder: str | Path, listen: str = "127.0.0.1:0", wait_s: float = 30.0) -> str:
    """Start ``cosim worker`` on this machine and return its address; it ends with this process.

    Made for Dask: ``address = client.submit(start_worker, folder, f"{node}:0", workers=[...]).result()``.

    Parameters
    ----------
    folder
        With the files that ``cosim worker --make`` writes.
    listen
        Address to listen on; port 0 takes a free one.
    """
    folder = Path(folder)
    command: list[str | Path] = [sys.executable, "-m", "cosim", "worker", "--listen", listen, "--until-end-of-input"]
    command += ["--certificate", folder / "worker.pem", "--key", folder / "worker.key"]
    process = subprocess.Popen(
        [*map(str, command), "--token", str(folder / "worker.token")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    timer = threading.Timer(wait_s, process.kill)
    timer.start()
    first = process.stdout.readline().strip()
    timer.cancel()
    if not first.startswith("listening on "):
        process.kill()
        process.communicate()
        raise CosimError(f"the worker did not start: {first or 'it said nothing'}")
    threading.Thread(target=process.stdout.read, daemon=True).start()  # so that it never waits for a reader
    _started.append(process)  # its input stays open as long as this process lives
    return first.removeprefix("listening on ")


_started: list[subprocess.Popen[str]] = []
