"""Problems of a scenario as a whole, found before it runs."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import get_args

from cosim.core.adapter import Placement, inputs
from cosim.core.arguments import shown
from cosim.core.clock import Clock, duration_s
from cosim.core.errors import CosimError

from .connections import find_loop
from .hosts import check_picklable
from .setup import Setup
from .timetable import Timetable

PLACEMENTS = get_args(Placement)
PLACE = "write 'inline', 'thread' or 'process'"


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
        if placement == "process":
            problem = check_picklable(name, adapter)
            problems += [problem] if problem else []
        elif placement not in PLACEMENTS:
            problems.append(f"placement of {type(adapter).__name__} is {shown(placement)}: {PLACE}")
        lost = [path for path in adapter.files if not Path(path).is_file()]
        problems += [f"{name} reads {path}: the file does not exist" for path in lost]
    return problems
