"""``cosim worker``: runs adapters for runs on other machines."""

from __future__ import annotations

import os
import socket
import sys
import threading
from pathlib import Path
from typing import Annotated

import typer

from cosim.core.errors import CosimError
from cosim.engine.interrupts import interruptible

from .shell import one_line


def worker_command(
    context: typer.Context,
    listen: Annotated[
        str, typer.Option("--listen", metavar="HOST:PORT", help="Address to listen on; port 0 takes a free one.")
    ] = "127.0.0.1:4000",
    certificate: Annotated[
        Path, typer.Option("--certificate", readable=False, help="The worker's certificate.")
    ] = Path("worker.pem"),
    key: Annotated[Path, typer.Option("--key", readable=False, help="Its private key.")] = Path("worker.key"),
    token: Annotated[Path, typer.Option("--token", readable=False, help="File with what runs must know.")] = Path(
        "worker.token"
    ),
    make: Annotated[
        Path | None, typer.Option("--make", metavar="FOLDER", help="Write such a certificate, key and token, and end.")
    ] = None,
    until_end_of_input: Annotated[
        bool, typer.Option("--until-end-of-input", help="End with the process that started it.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Run adapters for runs on other machines (docs/clusters.md). Whoever has the token can run code here."""
    from cosim.engine.remote import identity, read_token, serve
    from cosim.engine.remote import listen as listen_at

    with one_line(debug), interruptible():
        if make is not None:
            for name in ("listen", "certificate", "key", "token", "until_end_of_input"):
                if (source := context.get_parameter_source(name)) and source.name != "DEFAULT":
                    raise CosimError(f"--make writes files and ends: leave --{name.replace('_', '-')} out")
            make_credentials(make)
            typer.echo(
                f"{make} holds worker.pem, worker.key, worker.token: copy the first and last to where runs start"
            )
            return
        for name, path in (("certificate", certificate), ("key", key)):
            if not path.is_file():
                raise CosimError(f"the {name} {path} does not exist: write one with cosim worker --make FOLDER")
        secured, secret = identity(certificate, key), read_token(token)
        server = listen_at(listen)
        host, port = server.getsockname()[:2]
        typer.echo(f"listening on [{host}]:{port}" if ":" in host else f"listening on {host}:{port}")
        if until_end_of_input:
            threading.Thread(target=_end_with_input, args=(server,), daemon=True).start()
        with server:
            serve(server, secured, secret, typer.echo)


def _end_with_input(server: socket.socket) -> None:
    sys.stdin.read()
    server.shutdown(socket.SHUT_RDWR)


def make_credentials(folder: Path) -> None:
    """Write ``worker.pem``, ``worker.key`` and ``worker.token``, a certificate for ten years, into a folder.

    Raises
    ------
    CosimError
        If one of them exists, the folder cannot be written to, or the package cryptography is not installed.
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
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if there := [folder / label for label in contents if (folder / label).exists()]:
            raise CosimError(f"there already: {', '.join(map(str, there))}; remove them, or name another folder")
        for label, content in contents.items():
            with os.fdopen(os.open(folder / label, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(content)
    except OSError as error:
        raise CosimError(f"cannot write to {folder} ({error.strerror}): name another folder") from error
