"""Exports of a run by the format's name."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from cosim.core.arguments import did_you_mean
from cosim.core.errors import CosimError

from . import catalogue, crate, geo, netcdf, ngsi, tables
from .broker import ContextBroker
from .formats import FORMATS
from .run import Run


@dataclass(frozen=True)
class Export:
    """A finished export."""

    folder: Path
    files: int
    size: int
    """All files together. [B]"""
    seconds: float
    left_out: tuple[str, ...]
    """What the format could not carry, in lines."""


def _writers(url: str, every_s: float) -> Mapping[str, Callable[[Run, Path], None]]:
    return {
        "cf-netcdf": netcdf.write,
        "geoparquet": geo.write_geoparquet,
        "geojson": geo.write_geojson,
        "ro-crate": crate.write,
        "csv": tables.write,
        "ngsi-ld": lambda run, folder: ngsi.write(run, folder, every_s),
        "dcat": lambda run, folder: catalogue.write(run, folder, url),
    }


_NEEDED = {"cf-netcdf": "netCDF4", "ro-crate": "rocrate"}


def export(
    folder: str | Path,
    to: str,
    out: str | Path | None = None,
    *,
    licence: str = "",
    url: str = "",
    every_s: float = 3600.0,
) -> Export:
    """Write a finished run in another format.

    Parameters
    ----------
    folder
        Folder of the run.
    to
        One of `FORMATS`.
    out
        Folder to write, which must not exist; by default the run's with the format's name appended.
    licence
        Address of the licence under which the run is passed on.
    url
        With "dcat": where the run's folder will be published.
    every_s
        With "ngsi-ld": length of the windows. [s]

    Raises
    ------
    CosimError
        If the folder holds no finished run, the format is unknown, its package is not installed, the output exists, or
        the format cannot carry the run.
    """
    if to not in FORMATS:
        raise CosimError(f"unknown format {to!r}{did_you_mean(to, FORMATS)}; available: {', '.join(FORMATS)}")
    if (package := _NEEDED.get(to)) and find_spec(package) is None:
        raise CosimError(f"{to} needs {package}: pip install 'cosim-city[exports]'")
    begun = time.perf_counter()
    run = Run(folder, licence)
    target = Path(out) if out is not None else run.folder.resolve().with_name(f"{run.folder.resolve().name}-{to}")
    if target.exists():
        raise CosimError(f"{target} exists: remove it, or pass --out with another folder")
    unfinished = target.with_name(f".{target.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    try:
        _writers(url, every_s)[to](run, unfinished)
        unfinished.rename(target)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    files = [file for file in target.rglob("*") if file.is_file()]
    size = sum(file.stat().st_size for file in files)
    return Export(target, len(files), size, time.perf_counter() - begun, tuple(run.left_out))


def send(folder: str | Path, broker: ContextBroker, every_s: float = 3600.0) -> tuple[int, tuple[str, ...]]:
    """Send a finished run's entities to a context broker, window by window.

    Parameters
    ----------
    folder
        Folder of the run.
    broker
        See `cosim.exports.broker.ContextBroker`.
    every_s
        Length of the windows. [s]

    Returns
    -------
    Number of entities sent, and what could not be carried.

    Raises
    ------
    CosimError
        If the folder holds no finished run, or the broker cannot be reached or refuses entities.
    """
    run = Run(folder)
    for _, entities in ngsi.windows(run, every_s):
        broker.upsert(entities)
    return broker.sent, tuple(run.left_out)
