"""What is a scenario made of, in tables?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rich.table import Table

from cosim.core.adapter import inputs, outputs, restored_by
from cosim.core.errors import ScenarioError

from .connecting import critical_path
from .scenario import Scenario


def describe(scenario: Scenario, wall_s: Mapping[str, float] | None = None) -> Iterator[Table | str]:
    """Yield tables of a scenario's adapters, ports and connections, its critical path, and what is wrong with it.

    Parameters
    ----------
    scenario
        What to describe.
    wall_s
        Wall time of each adapter in a run of it. [s]
    """
    clock = scenario.clock
    length = "open end" if clock.n_steps is None else f"{clock.n_steps} exchange steps of {clock.step_s:g} s"
    yield f"{scenario.name}: from {clock.civil(0).isoformat()} ({clock.zone}), {length}"
    table = Table("adapter", "class", "step", "runs", "resumes by", title="Adapters", title_justify="left")
    for name, adapter in scenario.adapters.items():
        step = f"{scenario.steps[name] * clock.step_s:g} s"
        table.add_row(name, type(adapter).__name__, step, scenario.placement(name), restored_by(adapter) or "nothing")
    yield table
    table = Table("port", "", "unit", "kind", "elements", title="Ports", title_justify="left")
    for name, adapter in scenario.adapters.items():
        for port_name, port in inputs(adapter).items():
            optional = "" if port.default is None else "optional"
            table.add_row(f"{name}.{port_name}", "input", port.unit, optional, str(len(port)))
        for port_name, output in outputs(adapter).items():
            table.add_row(f"{name}.{port_name}", "output", output.unit, output.kind, str(len(output)))
    yield table
    table = Table("from", "to", "delay", "because", "through", title="Connections", title_justify="left")
    for c in scenario.connections:
        through = f"matrix, {c.mapping.matrix.nnz} entries" if c.mapping.matrix is not None else "same labels"
        delay = f"{c.delay} ({c.delay * clock.step_s:g} s)" if c.delay else "–"
        table.add_row(f"{c.source}.{c.output}", f"{c.target}.{c.input}", delay, c.because, through)
    yield table
    try:
        scenario.check()
    except ScenarioError as error:
        yield str(error)
        return
    path = critical_path(scenario.connections, scenario.steps, wall_s)
    beside = [name for name in scenario.adapters if name not in path]
    yield "Critical path: " + " → ".join(f"{name} ({wall_s[name]:.3g} s)" if wall_s else name for name in path) + (
        f"; beside it {', '.join(beside)}" if beside else "")  # fmt: skip
