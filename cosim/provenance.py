"""From what did a result come? Everything that a run depends on, and what became of it."""

from __future__ import annotations

import datetime as dt
import hashlib
import platform
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cosim.core.adapter import Adapter

from .exchange import Connection

if TYPE_CHECKING:
    from .bridge import Run
    from .scenario import Scenario

_PACKAGES = ("cosim", "mosaik", "numpy", "scipy")
_IDENTITY = ("name", "seed", "parameters", "clock", "adapters", "outputs", "connections", "versions", "inputs")


def provenance(scenario: Scenario) -> dict[str, Any]:
    """Return what a run of a scenario depends on, as plain JSON data."""
    clock, step_s = scenario.clock, scenario.clock.step_s
    ports = {}
    for name, port in scenario.outputs().items():
        rule, ticks = scenario.rule(name), scenario.steps[name.partition(".")[0]]
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
        "name": scenario.name,
        "status": "running",
        "builder": scenario.builder,
        "seed": scenario.seed,
        "parameters": scenario.parameters,
        "clock": {
            "start": clock.civil(0).isoformat(),
            "zone": clock.zone,
            "step_s": step_s,
            "n_steps": clock.n_steps,
        },
        "adapters": {
            name: {
                "class": f"{type(adapter).__module__}:{type(adapter).__qualname__}",
                "step_s": scenario.steps[name] * step_s,
            }
            for name, adapter in scenario.adapters.items()
        },
        "placements": {name: scenario.placement(name) for name in scenario.adapters},
        "outputs": ports,
        "connections": [_connection(c) for c in scenario.connections],
        "versions": _versions(scenario.adapters.values()),
        "inputs": {str(path): _sha256(Path(path)) for a in scenario.adapters.values() for path in a.files},
        "started": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
    }


def changes(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Return in words what differs between the runs of two provenances; empty if they say the same."""
    texts = []
    before, now = before | {"inputs": _by_name(before)}, now | {"inputs": _by_name(now)}
    for part in _IDENTITY:
        old, new = before.get(part), now[part]
        if isinstance(old, dict) and isinstance(new, dict):
            texts += [
                f"{part} {key!r} was {old.get(key, 'not there')}, is {new.get(key, 'not there')}"
                for key in sorted({*old, *new})
                if old.get(key) != new.get(key)
            ]
        elif old != new:
            texts.append(f"{part} differ: was {old}, is {new}")
    return texts


def outcome(run: Run, status: str, problem: str) -> dict[str, Any]:
    """Return what became of a run, as plain JSON data: status, times, ledger."""
    accounts = {c.connection.name: (c.settle(), c.connection) for c in run.channels}
    done = run.end if status == "finished" else max(0, min(run.progress.done.values(), default=0))
    return {
        "status": status,
        **({"error": problem} if problem else {}),
        "ended": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "simulated_s": done * run.tick_s,
        "wall_s": {name: round(bridge.wall_s, 4) for name, bridge in run.bridges.items()},
        "recording_s": {"waited": round(run.recorder.wall_s, 4), "writer": round(run.recorder.writer_s, 4)},
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
    """Return hashes of input files by the files' names: generated ones stand in a folder of each build's own."""
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
    found = {"python": platform.python_version()} | {name: version(name) for name in _PACKAGES}
    for adapter in adapters:
        found |= adapter.versions()
    return found


def _digest(labels: Iterable[str]) -> str:
    return hashlib.sha256("\x1f".join(labels).encode()).hexdigest()[:16]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
