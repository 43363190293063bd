"""The frozen description of a scenario that a run works from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from cosim.core.adapter import Adapter, Placement, outputs
from cosim.core.clock import Clock
from cosim.core.ports import Output
from cosim.results.indicator import Indicator
from cosim.results.layers import Layer
from cosim.results.result import Result

from .connections import feedback
from .exchange import Connection
from .recorder import Rule

Indicators: TypeAlias = Callable[[Result], Mapping[str, Indicator]]


@dataclass(frozen=True, kw_only=True)
class Setup:
    """A scenario, frozen for one run.

    Parameters
    ----------
    name, seed, parameters, builder
        Origin of the scenario; see `cosim.Scenario`.
    clock
        Civil start, exchange step and end.
    adapters, placements
        The adapters and their placements, by name.
    steps
        The adapters' steps by name. [ticks]
    connections
        The connections between their ports.
    rules
        How each recorded output is recorded, by ``adapter.port``.
    facts
        What the scenario contains, in words, by subject.
    layers
        Map layers of the report.
    indicators
        Function that computes the indicators of the finished run, if any.
    """

    name: str
    seed: int
    parameters: Mapping[str, Any]
    builder: Mapping[str, Any] | None
    clock: Clock
    adapters: Mapping[str, Adapter]
    placements: Mapping[str, Placement]
    steps: Mapping[str, int]
    connections: tuple[Connection, ...]
    rules: Mapping[str, Rule]
    facts: Mapping[str, str]
    layers: tuple[Layer, ...]
    indicators: Indicators | None

    def outputs(self) -> dict[str, Output]:
        """Return all outputs by ``adapter.port``."""
        return {f"{name}.{p}": port for name, a in self.adapters.items() for p, port in outputs(a).items()}

    def __str__(self) -> str:
        clock = self.clock
        length = "open-ended" if clock.n_steps is None else f"{clock.n_steps} exchange steps of {clock.step_s:g} s"
        lines = [f"{self.name}: from {clock.civil(0).isoformat()} ({clock.zone}), {length}"]
        lines += [f"{subject}: {text}" for subject, text in self.facts.items()]
        lines.append("adapters:")
        for name, adapter in self.adapters.items():
            step_s = self.steps[name] * clock.step_s
            lines.append(f"  {name}: {type(adapter).__name__}, step {step_s:g} s, {self.placements[name]}")
        lines.append("connections:" if self.connections else "connections: none")
        for c in self.connections:
            reason = f": {c.because}" if c.because else ""
            lines.append(f"  {c.name}" + (f"  ({c.delay * clock.step_s:g} s later{reason})" if c.delay else ""))
        loops = [" → ".join([*loop, loop[0]]) for loop in feedback(self.connections)]
        return "\n".join(
            [*lines, *(["feedback loops:"] if loops else ["feedback loops: none"]), *(f"  {x}" for x in loops)]
        )
