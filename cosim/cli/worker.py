"""``cosim worker``: runs adapters for runs on other machines."""

from __future__ import annotations

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
    listen: Annotated[
        str, typer.Option("--listen", metavar="HOST:PORT", help="Address to listen on; port 0 takes a free one.")
    ] = "127.0.0.1:4000",
    certificate: Annotated[Path, typer.Option("--certificate", help="The worker's certificate.")] = Path("worker.pem"),
    key: Annotated[Path, typer.Option("--key", help="Its private key.")] = Path("worker.key"),
    token: Annotated[Path, typer.Option("--token", help="File with what runs must know.")] = Path("worker.token"),
    make: Annotated[
        Path | None, typer.Option("--make", metavar="FOLDER", help="Write such a certificate, key and token, and end.")
    ] = None,
    until_end_of_input: Annotated[
        bool, typer.Option("--until-end-of-input", help="End with the process that started it.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Run adapters for runs on other machines (docs/clusters.md). Whoever has the token can run code here."""
    from cosim.engine.remote import listen as listen_at
    from cosim.engine.remote import make_credentials, read_token, serve

    with one_line(debug), interruptible():
        if make is not None:
            make_credentials(make)
            typer.echo(
                f"{make} holds worker.pem, worker.key, worker.token: copy the first and last to where runs start"
            )
            return
        for name, path in (("certificate", certificate), ("key", key)):
            if not path.is_file():
                raise CosimError(f"the {name} {path} does not exist: write one with cosim worker --make FOLDER")
        secret = read_token(token)
        server = listen_at(listen)
        host, port = server.getsockname()[:2]
        typer.echo(f"listening on [{host}]:{port}" if ":" in host else f"listening on {host}:{port}")
        if until_end_of_input:
            threading.Thread(target=_end_with_input, args=(server,), daemon=True).start()
        with server:
            serve(server, certificate, key, secret, typer.echo)


def _end_with_input(server: socket.socket) -> None:
    sys.stdin.read()
    server.shutdown(socket.SHUT_RDWR)
