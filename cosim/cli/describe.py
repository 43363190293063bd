"""Tables of a scenario: its adapters, ports and connections, its critical path, and its elements."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from rich.markup import escape
from rich.table import Table

from cosim.core.adapter import inputs, outputs, restored_by
from cosim.core.errors import CosimError
from cosim.core.ports import Output, Port
from cosim.engine.connections import critical_path, feedback
from cosim.engine.exchange import Connection
from cosim.engine.scenario import Scenario


def describe(scenario: Scenario, wall_s: Mapping[str, float] | None = None) -> Iterator[Table | str]:
    """Yield tables of a scenario's adapters, ports and connections, and its critical path.

    Parameters
    ----------
    scenario
        The scenario.
    wall_s
        Wall time of each adapter in a run of the scenario. [s]

    Raises
    ------
    ScenarioError
        After the tables, if the scenario cannot run.
    """
    clock = scenario.clock
    length = "open-ended" if clock.n_steps is None else f"{clock.n_steps} exchange steps of {clock.step_s:g} s"
    yield f"{scenario.name}: from {clock.civil(0).isoformat()} ({clock.zone}), {length}"
    for subject, text in scenario.setup().facts.items():
        yield f"{subject}: {text}"
    table = _table("Adapters", "adapter", "class", "step", "placement", "resumes by")
    for name, adapter in scenario.adapters.items():
        step = f"{scenario.steps[name] * clock.step_s:g} s"
        table.add_row(
            name, type(adapter).__name__, step, str(scenario.placement(name)), restored_by(adapter) or "nothing"
        )
    yield table
    table = _table("Ports", "port", "", "unit", "kind", "elements")
    for name, adapter in scenario.adapters.items():
        for port_name, port in inputs(adapter).items():
            optional = "" if port.default is None else "optional"
            table.add_row(f"{name}.{port_name}", "input", port.unit, optional, str(len(port)))
        for port_name, output in outputs(adapter).items():
            table.add_row(f"{name}.{port_name}", "output", output.unit, output.kind, str(len(output)))
    yield table
    table = _table("Connections", "from", "to", "delay", "because", "mapping")
    for c in scenario.connections:
        mapping = f"matrix, {c.mapping.matrix.nnz} entries" if c.mapping.matrix is not None else "same labels"
        delay = f"{c.delay} ({c.delay * clock.step_s:g} s)" if c.delay else "–"
        table.add_row(f"{c.source}.{c.output}", f"{c.target}.{c.input}", delay, c.because, mapping)
    yield table
    scenario.check()
    if loops := feedback(scenario.connections):
        yield "Feedback: " + "; ".join(" → ".join([*loop, loop[0]]) for loop in loops)
    path = critical_path(scenario.connections, scenario.steps, wall_s)
    beside = [name for name in scenario.adapters if name not in path]
    yield (
        "Critical path: "
        + " → ".join(f"{name} ({wall_s[name]:.3g} s)" if wall_s else name for name in path)
        + (f"; in parallel: {', '.join(beside)}" if beside else "")
    )


def describe_labels(scenario: Scenario, patterns: Sequence[str]) -> Iterator[Table]:
    """Yield for each port that matches a table of its elements: what each is, and what it is connected to.

    Parameters
    ----------
    scenario
        The scenario.
    patterns
        Ports, adapters or patterns, as in ``"grid.power"``, ``"grid"`` or ``"*.power"``.

    Raises
    ------
    CosimError
        If a pattern matches no port.
    """
    ports: dict[str, Port] = {
        f"{name}.{port_name}": port
        for name, adapter in scenario.adapters.items()
        for port_name, port in (inputs(adapter) | outputs(adapter)).items()
    }
    chosen: dict[str, Port] = {}
    for pattern in patterns:
        found = {
            name: port
            for name, port in ports.items()
            if fnmatch.fnmatchcase(name, pattern) or fnmatch.fnmatchcase(name.partition(".")[0], pattern)
        }
        if not found:
            raise CosimError(f"--labels {pattern}: no port matches; available: {', '.join(ports)}")
        chosen |= found
    for name, port in chosen.items():
        adapter, _, port_name = name.partition(".")
        meaning = scenario.adapters[adapter].describe(port_name)
        is_output = isinstance(port, Output)
        table = _table(f"{name} [{port.unit}]", "element", "what it is", "goes to" if is_output else "comes from")
        ends = [_ends(c, len(port), ports, forwards=is_output) for c in scenario.connections if name in _names(c)]
        for k, label in enumerate(port.labels):
            joined = "; ".join(filter(None, (end[k] for end in ends if end)))
            table.add_row(*map(escape, (label, meaning.get(label, ""), joined)))
        yield table


def _names(c: Connection) -> tuple[str, str]:
    return f"{c.source}.{c.output}", f"{c.target}.{c.input}"


def _ends(c: Connection, count: int, ports: Mapping[str, Port], *, forwards: bool) -> list[str]:
    """Return for each element of one end of a connection the elements at its other end, in words."""
    source, target = _names(c)
    other = ports[target if forwards else source]
    rows: Any = np.arange(len(ports[target]))
    columns: Any = rows if c.mapping.order is None else c.mapping.order
    if c.mapping.matrix is not None:
        rows, columns = c.mapping.matrix.nonzero()
    found: list[list[int]] = [[] for _ in range(count)]
    for row, column in zip(rows.tolist(), columns.tolist()):
        at, to = (column, row) if forwards else (row, column)
        found[at].append(to)
    return [
        f"all {len(other)} of {other.name}"
        if len(to) == len(other) > 1
        else f"{other.name}: {', '.join(other.labels[k] for k in to)}"
        if to
        else ""
        for to in found
    ]


def _table(title: str, *columns: str) -> Table:
    table = Table(title=escape(title), title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
