"""Checks that an adapter's datasheet is complete, so that it can be connected without reading its code."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias, get_args

from . import units
from .adapter import Adapter, Placement, inputs, outputs
from .ports import Input, Output

Row: TypeAlias = tuple[object, ...]

# Quantities with a direction: a value is ambiguous unless its sign convention is stated.
_DIRECTED = frozenset(units.parse(text).dimensionality for text in ("W", "var", "VA", "A", "W/m**2", "kg/s", "m**3/s"))
_SI = ("W", "J", "var", "VA", "m/s", "kg/s", "m**3/s", "EUR/J", "Pa", "V", "N", "C")
_SIGN = re.compile(r"\b(positive|negative)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Finding:
    """A violation of the adapter contract and how to fix it."""

    problem: str
    fix: str

    def __str__(self) -> str:
        return f"{self.problem}\n  fix: {self.fix}"


def datasheet(adapter: Adapter) -> dict[str, Row]:
    """Return unit, labels and kind of an adapter's ports by name, comparable with ``==``."""
    rows: dict[str, Row] = {}
    for name, port in (inputs(adapter) | outputs(adapter)).items():
        default = tuple(port.default) if isinstance(port, Input) and port.default is not None else None
        kind = (port.kind, port.may_be_missing) if isinstance(port, Output) else ("input", default)
        rows[name] = (port.unit, port.labels, *kind)
    return rows


def datasheet_findings(adapter: Adapter) -> Iterator[Finding]:
    """Yield everything missing or wrong on an adapter's datasheet."""
    ports = inputs(adapter) | outputs(adapter)
    kind = type(adapter)
    if not ports:
        yield Finding(
            f"{kind.__name__} has no ports",
            "declare every port as an attribute of its own in __init__: self.power = Output('W', labels, kind='mean'); "
            "ports in a list or a dictionary are not found",
        )
    for name, port in ports.items():
        si = _si_unit(port.unit)
        if si and not units.is_level(port.unit):
            yield Finding(
                f"{name} is in {port.unit!r}, which is not SI",
                f"declare the port in {si} and convert on the line that touches the simulator",
            )
    text = inspect.getdoc(kind) or ""
    if not text or text == inspect.getdoc(Adapter):
        yield Finding(
            f"{kind.__name__} has no docstring", "state in the class docstring what it simulates and what is positive"
        )
    elif not _SIGN.search(text) and any(units.parse(p.unit).dimensionality in _DIRECTED for p in ports.values()):
        directed = next(n for n, p in ports.items() if units.parse(p.unit).dimensionality in _DIRECTED)
        yield Finding(
            f"the docstring of {kind.__name__} does not state which direction of {directed} [{ports[directed].unit}] "
            "is positive",
            "state the sign convention in the class docstring, as in 'Charging draws positive power.'",
        )
    if adapter.placement not in get_args(Placement):
        yield Finding(
            f"placement is {adapter.placement!r}", "set placement = 'inline', 'thread' or 'process' in the class"
        )
    yield from _version_findings(adapter)
    for path in adapter.files:
        if not Path(path).is_file():
            yield Finding(
                f"files names {path}, which is not a file",
                "list in self.files the input files passed to the constructor, for the run's provenance",
            )


def _version_findings(adapter: Adapter) -> Iterator[Finding]:
    fix = "return name and version of the software as text, as in {'sumo': '1.28.0'}; it is called before open()"
    try:
        versions: object = adapter.versions()
    except Exception as error:
        yield Finding(f"versions() raises {type(error).__name__}: {error}", fix)
        return
    if not isinstance(versions, dict) or not all(isinstance(text, str) for text in (*versions, *versions.values())):
        yield Finding(f"versions() returns {versions!r}", fix)


def _si_unit(text: str) -> str | None:
    """Return the SI unit to use instead, or None if the unit is SI, a count, a currency, a ratio or °C."""
    unit = units.parse(text)
    if unit.is_compatible_with("K"):
        return None if unit in (units.parse("degC"), units.parse("K")) else "'degC', or 'K' for a difference"
    base = (1.0 * unit).to_base_units()
    if base.magnitude == 1.0:
        return None
    named = (name for name in _SI if units.parse(name).dimensionality == unit.dimensionality)
    return repr(next(named, f"{base.units:~}" or "1"))
