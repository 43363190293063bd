"""The provenance of a run: everything that its result depends on, and how it ended."""

from __future__ import annotations

import datetime as dt
import hashlib
import platform
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cosim.core.adapter import Adapter

from .exchange import Channel, Connection
from .member import Member
from .recorder import Recorder
from .setup import Setup

_PACKAGES = {"cosim": "cosim-city", "mosaik": "mosaik", "numpy": "numpy", "scipy": "scipy"}
_IDENTITY = ("name", "seed", "parameters", "clock", "adapters", "outputs", "connections", "versions", "inputs")


def provenance(setup: Setup) -> dict[str, Any]:
    """Return everything that a run of a scenario depends on, as plain JSON data."""
    clock, step_s = setup.clock, setup.clock.step_s
    ports = {}
    for name, port in setup.outputs().items():
        rule, ticks = setup.rules.get(name), setup.steps[name.partition(".")[0]]
        ports[name] = {
            "unit": port.unit,
            "kind": port.kind,
            "n_labels": len(port),
            "labels": _digest(port.labels),
            "step_s": ticks * step_s,
            "recorded": rule is not None,
        }
        if rule is not None:
            ports[name] |= {"every_s": rule.every * step_s, "keep": rule.keep}
    return {
        "name": setup.name,
        "status": "running",
        "builder": setup.builder,
        "seed": setup.seed,
        "parameters": setup.parameters,
        "facts": dict(setup.facts),
        "crs": setup.crs,
        "sources": [dict(source) for source in setup.sources],
        "clock": {
            "start": clock.civil(0).isoformat(),
            "zone": clock.zone,
            "step_s": step_s,
            "n_steps": clock.n_steps,
        },
        "adapters": {
            name: {
                "class": f"{type(adapter).__module__}:{type(adapter).__qualname__}",
                "step_s": setup.steps[name] * step_s,
                **adapter.from_clock(clock),
                **({"settings": dict(adapter.settings)} if adapter.settings else {}),
            }
            for name, adapter in setup.adapters.items()
        },
        "placements": {name: str(placement) for name, placement in setup.placements.items()},
        "outputs": ports,
        "connections": [_connection(c) for c in setup.connections],
        "versions": _versions(setup.adapters.values()),
        "inputs": {str(path): _sha256(Path(path)) for a in setup.adapters.values() for path in a.files},
        "started": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
    }


def changes(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Return a description of each difference between two provenances; empty if they agree."""
    texts = []
    before, now = before | {"inputs": _by_name(before)}, now | {"inputs": _by_name(now)}
    for part in _IDENTITY:
        old, new = before.get(part), now[part]
        if isinstance(old, dict) and isinstance(new, dict):
            texts += [
                f"{part} {key!r} was {old.get(key, 'missing')}, is now {new.get(key, 'missing')}"
                for key in sorted({*old, *new})
                if old.get(key) != new.get(key)
            ]
        elif old != new:
            texts.append(f"{part} was {old}, is now {new}")
    return texts


def closing_record(
    status: str,
    problem: str,
    *,
    simulated_s: float,
    members: Mapping[str, Member],
    channels: Sequence[Channel],
    recorder: Recorder,
) -> dict[str, Any]:
    """Return how a run ended, as plain JSON data: status, times, ledger."""
    accounts = {c.connection.name: (c.settle(), c.connection) for c in channels}
    return {
        "status": status,
        **({"error": problem} if problem else {}),
        "ended": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "simulated_s": simulated_s,
        "wall_s": {name: round(member.wall_s, 4) for name, member in members.items()},
        "recording_s": {"waited": round(recorder.wall_s, 4), "writer": round(recorder.writer_s, 4)},
        "ledger": [
            {
                "connection": name,
                "unit": f"{c.unit}·s",
                "sent": a.sent,
                "initial": a.initial,
                "received": a.received,
                "in_flight": a.in_flight,
                "dropped": a.dropped,
                "residual": a.residual,
            }
            for name, (a, c) in accounts.items()
            if c.extensive and c.kind == "mean"
        ],
    }


def _by_name(about: dict[str, Any]) -> dict[str, list[str]]:
    """Return hashes of input files by file name: each build generates its files in a folder of its own."""
    found: dict[str, list[str]] = {}
    for path, digest in sorted(about["inputs"].items()):
        found.setdefault(Path(path).name, []).append(digest)
    return found


def _connection(c: Connection) -> dict[str, Any]:
    return {
        "connection": c.name,
        "delay": c.delay,
        "extensive": c.extensive,
        "partial": c.partial,
        "if_missing": c.if_missing,
        "because": c.because,
        "mapping": c.mapping.digest,
        "initial": None if c.initial is None else hashlib.sha256(c.initial.data).hexdigest()[:16],
    }


def _versions(adapters: Iterable[Adapter]) -> dict[str, str]:
    found = {"python": platform.python_version()} | {name: version(package) for name, package in _PACKAGES.items()}
    for adapter in adapters:
        found |= adapter.versions()
    return found


def _digest(labels: Iterable[str]) -> str:
    return hashlib.sha256("\x1f".join(labels).encode()).hexdigest()[:16]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
