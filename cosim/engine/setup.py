"""The frozen description of a scenario that a run works from, and its problems, found before it runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, get_args

from cosim.core.adapter import Adapter, Placement, inputs, outputs
from cosim.core.arguments import shown
from cosim.core.clock import Clock, duration_s
from cosim.core.errors import CosimError
from cosim.core.ports import Output
from cosim.results.indicator import Indicator
from cosim.results.layers import Layer
from cosim.results.result import Result

from .connections import feedback, find_loop
from .exchange import Connection
from .hosts import check_picklable
from .recorder import Rule
from .remote import Remote
from .timetable import Timetable

PLACEMENTS = get_args(Placement)
PLACE = "write 'inline', 'thread', 'process' or a Remote"
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
    crs, sources
        System of the layers' coordinates, and the data behind the scenario; see `cosim.Scenario`.
    thinned
        How recording was thinned by default, in words; empty if it was not.
    indicators
        Function that computes the indicators of the finished run, if any.
    """

    name: str
    seed: int
    parameters: Mapping[str, Any]
    builder: Mapping[str, Any] | None
    clock: Clock
    adapters: Mapping[str, Adapter]
    placements: Mapping[str, Placement | Remote]
    steps: Mapping[str, int]
    connections: tuple[Connection, ...]
    rules: Mapping[str, Rule]
    facts: Mapping[str, str]
    layers: tuple[Layer, ...]
    indicators: Indicators | None
    crs: str = ""
    sources: tuple[Mapping[str, str], ...] = ()
    thinned: str = ""

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


def ticks_of(name: str, step: float | str | None, clock: Clock, problems: list[str]) -> int:
    """Return an adapter's step in exchange steps, 1 by default; problems are appended to the list."""
    if step is None:
        return 1
    try:
        step_s = duration_s(step)
    except CosimError as error:
        problems.append(f"the step of {name}: {error}")
        return 1
    ticks = round(step_s / clock.step_s)
    if clock.n_steps is not None and ticks > clock.n_steps:
        problems.append(f"the step of {name} is {step_s:g} s: it must not be longer than the run")
    if ticks < 1 or abs(ticks * clock.step_s - step_s) > 1e-9:
        problems.append(
            f"the step of {name} is {step_s:g} s: it must be a whole multiple of the exchange step, {clock.step_s:g} s"
        )
        return 1
    return ticks


def problems_of(setup: Setup, *, complete: bool) -> list[str]:
    """Return the problems of a scenario as a whole.

    Parameters
    ----------
    setup
        The scenario.
    complete
        Whether all requested connections could be made; only then is an unconnected input a problem.
    """
    problems = []
    fed = [(c.target, c.input) for c in setup.connections]
    if complete:
        problems += [
            f"{name}.{port_name} is not connected: connect an output to it, or give the input a default"
            for name, adapter in setup.adapters.items()
            for port_name, port in inputs(adapter).items()
            if port.default is None and (name, port_name) not in fed
        ]
    problems += [
        f"{c.target}.{c.input} is both scheduled and connected: remove one of the two"
        for c in setup.connections
        if isinstance(setup.adapters[c.source], Timetable) and fed.count((c.target, c.input)) > 1
    ]
    plain = Counter(c.name for c in setup.connections if c.mapping.matrix is None)
    problems += [
        f"{name} is connected {count} times and would be counted {count} times: connect it once, or scale it with via="
        for name, count in plain.items()
        if count > 1
    ]
    loop = find_loop(list(setup.connections), dict(setup.steps))
    if loop:
        problems.append(loop)
    if setup.clock.n_steps is None and not any(a.ends_run for a in setup.adapters.values()):
        problems.append("the clock has no end and no adapter can end the run: pass hours= or end= to the clock")
    for name, adapter in setup.adapters.items():
        placement = setup.placements[name]
        if placement == "process" or isinstance(placement, Remote):
            problem = check_picklable(name, adapter)
            problems += [problem] if problem else []
        elif placement not in PLACEMENTS:
            problems.append(f"placement of {type(adapter).__name__} is {shown(placement)}: {PLACE}")
        if adapter.paces and inputs(adapter):
            problems.append(f"{name} paces the run and has inputs, so the run would wait for itself: give it none")
        lost = [path for path in adapter.files if not Path(path).is_file()]
        problems += [f"{name} reads {path}: the file does not exist" for path in lost]
    return problems
