"""The vehicles of SUMO's files by type."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from cosim.adapters.traffic.files import attributes, version_of


@dataclass(frozen=True, slots=True)
class Census:
    """Vehicles of a file by type, None for those without one."""

    vehicles: dict[str | None, int] = field(default_factory=dict)
    """Number of vehicles, trips and flows; a flow counts as one."""
    flows: list[tuple[str | None, str]] = field(default_factory=list)
    """Type and number of each flow that has a number, as it is written."""


def census(path: Path) -> Census:
    """Return the vehicles of a file by type; a version of a file is read once.

    Raises
    ------
    InputFileError
        If the file cannot be read or is not well-formed.
    """
    return _census(path, version_of(path))


@lru_cache(maxsize=256)
def _census(path: Path, version: tuple[int, ...]) -> Census:
    found = Census()
    for _, given in attributes(path, ("trip", "vehicle", "flow"), ("type", "number")):
        kind = given.get("type")
        found.vehicles[kind] = found.vehicles.get(kind, 0) + 1
        if "number" in given:
            found.flows.append((kind, given["number"]))
    return found
