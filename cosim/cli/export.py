"""The command ``cosim export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cosim.core.errors import CosimError
from cosim.engine.interrupts import interruptible
from cosim.exports.formats import FORMATS

from .shell import one_line, terminal


def export_command(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of a finished run.")],
    to: Annotated[str, typer.Option("--to", metavar="FORMAT", help=f"One of {', '.join(FORMATS)}.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder to write; by default FOLDER with the format's name appended.")
    ] = None,
    licence: Annotated[
        str, typer.Option("--licence", metavar="URL", help="Licence under which the run is passed on.")
    ] = "",
    url: Annotated[str, typer.Option("--url", help="With dcat: where the run's folder will be published.")] = "",
    every: Annotated[
        str, typer.Option("--every", metavar="1h", help="With ngsi-ld: length of the windows that entities carry.")
    ] = "1h",
    broker: Annotated[
        str, typer.Option("--broker", metavar="URL", help="With ngsi-ld: send to this context broker, write no file.")
    ] = "",
    headers: Annotated[
        list[str] | None,
        typer.Option("--header", metavar="NAME=VALUE", help="With --broker: a header, as NGSILD-Tenant=city."),
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Write a run as CF-NetCDF, GeoParquet, GeoJSON, RO-Crate, CSV, DCAT-AP or NGSI-LD, or send it to a context broker.

    Notes tell what the format cannot carry.
    """
    console = terminal()
    with one_line(debug), interruptible():
        from cosim.core.clock import duration_s
        from cosim.exports.broker import ContextBroker
        from cosim.exports.export import export, send

        if broker and (to != "ngsi-ld" or out is not None):
            raise CosimError("--broker sends entities: pass --to ngsi-ld, and no --out")
        if headers and not broker:
            raise CosimError("--header needs --broker")
        if broker:
            pairs = [header.partition("=") for header in headers or ()]
            if wrong := [name for name, sign, _ in pairs if not (name and sign)]:
                raise CosimError(f"--header is {wrong[0]!r}: write NAME=VALUE, as in NGSILD-Tenant=city")
            target = ContextBroker(broker, {name: value for name, _, value in pairs})
            sent, left_out = send(folder, target, duration_s(every))
            console.print(f"{sent:,} entities sent to {broker}", soft_wrap=True, highlight=False)
        else:
            done = export(folder, to, out, licence=licence, url=url, every_s=duration_s(every))
            left_out = done.left_out
            console.print(
                f"{done.folder}: {done.files} files, {done.size / 1e6:.1f} MB, {done.seconds:.1f} s",
                soft_wrap=True,
                highlight=False,
            )
        for line in left_out:
            console.print(f"note: {line}", soft_wrap=True, highlight=False, markup=False)
