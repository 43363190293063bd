"""Adapters in workers on other machines: one connection each, over TLS, with a token.

`serve` is the worker's side: it starts a process for every adapter that is sent to it, on this machine, and passes
messages on. `RemoteHost` is the run's side. Whoever has a worker's token can run code there, and a worker can run code
in the processes of runs that use it: both sides of a connection trust each other, and nobody else.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import select
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any

from cosim.core.adapter import Adapter
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
    """

    address: str
    certificate: str | Path
    token: str | Path

    def __str__(self) -> str:
        return f"remote at {self.address}"


def parse_address(text: str) -> tuple[str, int]:
    """Return host and port of an address.

    >>> parse_address("node7:4000"), parse_address("[::1]:0")
    (('node7', 4000), ('::1', 0))
    """
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise CosimError(f"the address {text!r} is no host and port: write as in '127.0.0.1:4000'")
    return host.strip("[]"), int(port)


def read_token(path: str | Path) -> str:
    """Return the token in a file.

    Raises
    ------
    CosimError
        If it cannot be read, is short, or others can read it.
    """
    path = Path(path)
    try:
        mode, token = path.stat().st_mode, path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeError) as error:
        raise CosimError(f"the token {path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if mode & 0o077:
        raise CosimError(f"others can read the token {path}: protect it with chmod 600")
    if len(token) < _SHORTEST_TOKEN:
        raise CosimError(f"the token {path} has {len(token)} characters: give it {_SHORTEST_TOKEN} random ones or more")
    return token


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
    except (OSError, ssl.SSLError) as error:
        raise CosimError(f"the certificate {where.certificate} cannot be read: {_words(error)}") from error
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
        raise CosimError(f"cannot listen on {address}: {_words(error)}") from error


def serve(server: socket.socket, certificate: Path, key: Path, token: str, tell: Callable[[str], None]) -> None:
    """Run adapters for those who know the token, each in a process of its own, until the socket is closed.

    Parameters
    ----------
    server
        A listening socket.
    certificate, key
        Files with the worker's certificate and its private key.
    token
        What runs must know.
    tell
        Is called with a line on each connection.

    Raises
    ------
    CosimError
        If certificate or key cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise CosimError(f"{certificate} and {key} are no certificate and its key: {_words(error)}") from error
    while True:
        try:
            plain, peer = server.accept()
        except OSError:  # it was closed
            return
        who = f"{peer[0]}:{peer[1]}"
        threading.Thread(target=_attend, args=(context, plain, who, token, tell), daemon=True).start()


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
    except (OSError, EOFError, ValueError) as error:
        tell(f"{who} was refused: {_words(error)}")
    finally:
        plain.close()


def _refusal(greeting: bytes, token: str) -> str:
    """Return why a run is refused, or nothing."""
    said = json.loads(greeting)
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


def make_credentials(folder: Path) -> None:
    """Write ``worker.pem``, ``worker.key`` and ``worker.token``, a certificate for ten years, into a folder.

    Raises
    ------
    CosimError
        If one of them exists, or the package cryptography is not installed.
    """
    import datetime as dt
    import secrets

    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import NameOID
    except ImportError as error:
        raise CosimError("certificates need the package cryptography: pip install 'cosim-city[study]'") from error
    folder.mkdir(parents=True, exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "cosim worker")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=3650))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    form = serialization.PrivateFormat.PKCS8
    private = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    public = certificate.public_bytes(serialization.Encoding.PEM)
    contents = {"worker.pem": public, "worker.key": private, "worker.token": secrets.token_urlsafe(32).encode()}
    for name_, content in contents.items():
        try:
            descriptor = os.open(folder / name_, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise CosimError(f"{folder / name_} exists: remove it, or name another folder") from None
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)


def start_worker(folder: str | Path, listen: str = "127.0.0.1:0", wait_s: float = 30.0) -> str:
    """Start ``cosim worker`` on this machine and return its address; it ends with this process.

    Made for Dask: ``address = client.submit(start_worker, folder, f"{node}:0", workers=[...]).result()``.

    Parameters
    ----------
    folder
        With the files of `make_credentials`.
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
        raise CosimError(f"the worker did not start: {first or 'it said nothing'}")
    threading.Thread(target=process.stdout.read, daemon=True).start()  # so that it never waits for a reader
    _started.append(process)  # its input stays open as long as this process lives
    return first.removeprefix("listening on ")


_started: list[subprocess.Popen[str]] = []
