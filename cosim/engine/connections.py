"""The rules that connections must satisfy before a run, and the order of steps that follows from them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import networkx as nx
import numpy as np
import scipy.sparse as sp

from cosim.core import units
from cosim.core.arguments import is_finite, shown
from cosim.core.errors import CosimError, PortError, UnitError
from cosim.core.ports import Input, Output, frozen
from cosim.core.quantities import Vector

from .exchange import Connection, LabelMapping, Substitute, mosaik_shift

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def _some(labels: set[str]) -> str:
    shown = ", ".join(repr(label) for label in sorted(labels)[:3])
    return shown + (f" and {len(labels) - 3} more" if len(labels) > 3 else "")


def make_mapping(output: Output, target: Input, via: Any, *, partial: bool, extensive: bool) -> LabelMapping:
    """Combine a matrix or the order of labels with the unit factor into one mapping.

    Raises
    ------
    CosimError
        If units differ, the matrix has the wrong shape or is lossy, or labels differ and there is no matrix.
    """
    name = f"cannot connect {output.name} [{output.unit}] to {target.name} [{target.unit}]"
    try:
        factor = units.factor(output.unit, target.unit)
    except UnitError as error:
        raise CosimError(f"{name}: units differ ({error})") from error
    if via is None:
        if output.labels == target.labels:
            return LabelMapping(None, None, factor, None)
        ours, theirs = set(output.labels), set(target.labels)
        if ours != theirs:
            parts = []
            if ours - theirs:
                parts.append(f"only {output.name} has {_some(ours - theirs)}")
            if theirs - ours:
                parts.append(f"only {target.name} has {_some(theirs - ours)}")
            raise CosimError(f"{name}: labels differ, {'; '.join(parts)}: pass via=, a matrix (targets × sources)")
        position = {label: i for i, label in enumerate(output.labels)}
        return LabelMapping(None, np.array([position[label] for label in target.labels]), factor, None)
    shape = (len(target), len(output))
    if isinstance(via, str) and via == "labels":
        via = _by_label(name, output, target, extensive=extensive)
    if hasattr(via, "columns"):
        raise CosimError(
            f"{name}: via is a {type(via).__name__}, whose labels would be ignored: arrange it in the order of the "
            "ports' labels and pass its to_numpy()"
        )
    try:
        matrix = sp.csr_array(via, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise CosimError(
            f"{name}: via is {shown(via)}: pass 'labels' or a matrix of numbers, shape {shape} (targets × sources)"
        ) from error
    if matrix.shape != shape:
        raise CosimError(f"{name}: via has shape {matrix.shape}, expected {shape} (targets × sources)")
    if not np.isfinite(matrix.data).all():
        raise CosimError(f"{name}: via holds a value that is not finite")
    weights: Vector | None = np.asarray(matrix.sum(axis=0), dtype=np.float64).ravel()
    assert weights is not None
    lossy = np.abs(weights - 1.0) > 1e-9
    if extensive and lossy.any() and not partial:
        first = int(np.argmax(lossy))
        raise CosimError(
            f"{name}: the column of {output.labels[first]!r} in via sums to {weights[first]:.6g}"
            + (f" (and {lossy.sum() - 1} more columns are wrong)" if lossy.sum() > 1 else "")
            + ": each must sum to 1, so that the quantity is conserved; pass partial=True if the loss is intended"
        )
    return LabelMapping(sp.csr_array(matrix * factor), None, factor, weights if extensive and lossy.any() else None)


def _by_label(name: str, output: Output, target: Input, *, extensive: bool) -> sp.csr_array:
    """Return the matrix that matches the elements of an output and an input by name."""
    row = {label: i for i, label in enumerate(target.labels)}
    lost = {label for label in output.labels if label not in row}
    bare = set(target.labels) - set(output.labels)
    if lost:
        raise CosimError(f"{name}: {target.name} has no element {_some(lost)}: pass via=, a matrix (targets × sources)")
    if bare and not extensive:
        raise CosimError(
            f"{name}: {_some(bare)} of {target.name} would receive nothing, and values in {output.unit} do not add up: "
            "pass via=, a matrix (targets × sources)"
        )
    rows = [row[label] for label in output.labels]
    return sp.csr_array((np.ones(len(rows)), (rows, range(len(rows)))), shape=(len(target), len(output)))


def make_connection(
    source: tuple[str, str, Output],
    target: tuple[str, str, Input],
    *,
    steps: Mapping[str, int],
    via: Any,
    delay: int,
    initial: ArrayLike | None,
    if_missing: Substitute,
    partial: bool,
    because: str = "",
) -> Connection:
    """Check a single connection and return it.

    Raises
    ------
    CosimError
        If it violates the coupling semantics.
    """
    (source_name, output_name, output), (target_name, input_name, target_port) = source, target
    name = f"{output.name} → {target_port.name}"
    if isinstance(delay, bool) or not isinstance(delay, int | np.integer) or delay < 0:
        raise CosimError(f"{name}: delay is {delay!r}: it must be a number of exchange steps, 0, 1, 2, …")
    if not (is_finite(if_missing) or (isinstance(if_missing, str) and if_missing in ("stop", "hold"))):
        raise CosimError(f"{name}: if_missing is {shown(if_missing)}: write 'stop', 'hold' or a finite number")
    h_source, h_target = steps[source_name], steps[target_name]
    if output.kind == "mean" and h_target % h_source and delay < h_source:
        raise CosimError(
            f"{name}: the step of {source_name} ({h_source} exchange steps) does not divide that of {target_name} "
            f"({h_target}), so the mean over a step may not be available in time: pass delay={h_source} or more, and "
            "initial="
        )
    opens = output.kind == "end" and delay <= h_target  # the first step receives the state at the start, or a later one
    if delay and initial is None and not opens:
        raise CosimError(
            f"{name} is delayed: pass initial=, the value received until the first one arrives, in {output.unit}"
        )
    if initial is not None and not delay and output.kind == "mean":
        raise CosimError(f"{name} is not delayed, so initial= would never be used: pass delay=, or omit initial=")
    extensive = units.is_extensive(output.unit)
    mapping = make_mapping(output, target_port, via, partial=partial, extensive=extensive and output.kind == "mean")
    first: Vector | None = None
    if initial is not None:
        try:
            first = np.array(initial, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise PortError(f"{name}: initial is {shown(initial)}: pass a number, or one per source element") from error
        if first.shape not in ((), (len(output),)):
            raise PortError(f"{name}: initial has shape {first.shape}, expected one number or {(len(output),)}")
        first = frozen(np.broadcast_to(first, (len(output),)).copy())
        if not np.isfinite(first).all():
            raise PortError(f"{name}: initial holds a value that is not finite")
    return Connection(
        source=source_name,
        output=output_name,
        target=target_name,
        input=input_name,
        kind=output.kind,
        unit=target_port.unit,
        labels=output.labels,
        mapping=mapping,
        delay=int(delay),
        initial=first,
        if_missing=if_missing,
        may_be_missing=output.may_be_missing,
        extensive=extensive,
        partial=partial,
        level=units.is_level(output.unit),
        because=because,
    )


def _within_a_step(connections: Iterable[Connection], steps: Mapping[str, int]) -> nx.DiGraph[str]:
    """Return the graph of adapters that must step before others, with the delay that would remove each edge."""
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(steps)
    for c in connections:
        if mosaik_shift(c.kind, c.delay, steps[c.source], steps[c.target]) == 0:
            needed = steps[c.source] if c.kind == "mean" else 1
            known = graph.get_edge_data(c.source, c.target, {"needed": 0})
            graph.add_edge(c.source, c.target, needed=max(needed, known["needed"]))
    return graph


def critical_path(
    connections: Iterable[Connection], steps: Mapping[str, int], weights: Mapping[str, float] | None = None
) -> list[str]:
    """Return the longest chain of adapters that must run one after the other within a step.

    Parameters
    ----------
    connections, steps
        Connections and steps of a scenario without a loop.
    weights
        Cost of each adapter, such as wall time; equal by default.
    """
    graph = _within_a_step(connections, steps)
    best: dict[str, tuple[float, list[str]]] = {}
    for name in nx.topological_sort(graph):
        before = max((best[source] for source in graph.predecessors(name)), key=lambda b: b[0], default=(0.0, []))
        best[name] = (before[0] + (1.0 if weights is None else weights.get(name, 0.0)), [*before[1], name])
    return max(best.values(), key=lambda b: b[0])[1]


def feedback(connections: Iterable[Connection]) -> list[list[str]]:
    """Return for each delayed connection that closes a loop the shortest one, by the names of its adapters."""
    connections = list(connections)
    graph = nx.DiGraph((c.source, c.target) for c in connections)
    loops: dict[tuple[str, ...], None] = {}
    for c in connections:
        if c.delay and nx.has_path(graph, c.target, c.source):
            path = nx.shortest_path(graph, c.target, c.source)
            first = path.index(min(path))
            loops[tuple(path[first:] + path[:first])] = None
    return [list(loop) for loop in loops]


def find_loop(connections: list[Connection], steps: Mapping[str, int]) -> str | None:
    """Return the message for a loop in which no adapter can step first, if there is one."""
    graph = _within_a_step(connections, steps)
    try:
        loop = nx.find_cycle(graph)
    except nx.NetworkXNoCycle:
        return None
    path = " → ".join([edge[0] for edge in loop] + [loop[0][0]])
    needed = min(graph.edges[edge[0], edge[1]]["needed"] for edge in loop)
    return f"{path} is a loop: pass delay={needed} on one connection, with initial="
