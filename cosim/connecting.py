"""Which output feeds which input, and is that allowed? Every rule that a connection must meet before a run."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping as MappingABC
from typing import TYPE_CHECKING, Any

import networkx as nx
import numpy as np
import scipy.sparse as sp

from cosim.core import units
from cosim.core.arguments import is_finite, shown
from cosim.core.errors import CosimError, PortError, UnitError
from cosim.core.ports import Input, Output, Vector, frozen

from .exchange import Connection, Mapping, Substitute, mosaik_shift

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def _some(labels: set[str]) -> str:
    shown = ", ".join(repr(label) for label in sorted(labels)[:3])
    return shown + (f" and {len(labels) - 3} more" if len(labels) > 3 else "")


def make_mapping(output: Output, target: Input, via: Any, *, partial: bool, extensive: bool) -> Mapping:
    """Fold a matrix, or the order of labels, and the units' factor into one mapping.

    Raises
    ------
    CosimError
        If units differ, the matrix does not fit or loses something, or the label sets differ without a matrix.
    """
    name = f"cannot connect {output.name} [{output.unit}] to {target.name} [{target.unit}]"
    try:
        factor = units.factor(output.unit, target.unit)
    except UnitError as error:
        raise CosimError(f"{name}: units differ ({error})") from error
    if via is None:
        if output.labels == target.labels:
            return Mapping(None, None, factor, None)
        ours, theirs = set(output.labels), set(target.labels)
        if ours != theirs:
            parts = []
            if ours - theirs:
                parts.append(f"only {output.name} has {_some(ours - theirs)}")
            if theirs - ours:
                parts.append(f"only {target.name} has {_some(theirs - ours)}")
            raise CosimError(f"{name}: labels differ, {'; '.join(parts)}: pass via=, a matrix (targets × sources)")
        position = {label: i for i, label in enumerate(output.labels)}
        return Mapping(None, np.array([position[label] for label in target.labels]), factor, None)
    shape = (len(target), len(output))
    if hasattr(via, "columns"):
        raise CosimError(f"{name}: via is a {type(via).__name__}, whose labels nobody would look at: bring it into the "
                         "order of the ports' labels and pass its to_numpy()")  # fmt: skip
    try:
        matrix = sp.csr_array(via, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise CosimError(f"{name}: via is {shown(via)}: pass a matrix of numbers, shape {shape} (targets × sources)"
                         ) from error  # fmt: skip
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
            + (f" (and {lossy.sum() - 1} more columns are off)" if lossy.sum() > 1 else "")
            + ": each must sum to 1, so that nothing is lost or invented; pass partial=True if that is meant"
        )
    return Mapping(sp.csr_array(matrix * factor), None, factor, weights if extensive and lossy.any() else None)


def make_connection(
    source: tuple[str, str, Output],
    target: tuple[str, str, Input],
    *,
    steps: MappingABC[str, int],
    via: Any,
    delay: int,
    initial: ArrayLike | None,
    if_missing: Substitute,
    partial: bool,
    because: str = "",
) -> Connection:
    """Check one connection on its own and return it.

    Raises
    ------
    CosimError
        If a rule of the coupling semantics is broken.
    """
    (source_name, output_name, output), (target_name, input_name, target_port) = source, target
    name = f"{output.name} → {target_port.name}"
    if isinstance(delay, bool) or not isinstance(delay, int | np.integer) or delay < 0:
        raise CosimError(f"{name}: delay is {delay!r}: it counts exchange steps, 0, 1, 2, …")
    if not (is_finite(if_missing) or (isinstance(if_missing, str) and if_missing in ("stop", "hold"))):
        raise CosimError(f"{name}: if_missing is {shown(if_missing)}: write 'stop', 'hold' or a finite number")
    h_source, h_target = steps[source_name], steps[target_name]
    if output.kind == "mean" and h_target % h_source and delay < h_source:
        raise CosimError(
            f"{name}: the step of {source_name} ({h_source} exchange steps) does not divide that of {target_name} "
            f"({h_target}), so the mean over a step may not be known in time: pass delay={h_source} or more, and "
            "initial="
        )
    if delay and initial is None:
        raise CosimError(f"{name} is delayed: pass initial=, what is heard before anything was said, in {output.unit}")
    if initial is not None and not delay and output.kind == "mean":
        raise CosimError(f"{name} is not delayed, so initial= would never be heard: pass delay=, or leave it out")
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
        source_name, output_name, target_name, input_name, output.kind, target_port.unit, output.labels, mapping,
        int(delay), first, if_missing, output.may_be_missing, extensive, partial, because,
    )  # fmt: skip


def _within_a_step(connections: Iterable[Connection], steps: MappingABC[str, int]) -> nx.DiGraph[str]:
    """Return who must have stepped before whom, with the delay that would change it."""
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(steps)
    for c in connections:
        if mosaik_shift(c.kind, c.delay, steps[c.source], steps[c.target]) == 0:
            needed = steps[c.source] if c.kind == "mean" else 1
            known = graph.get_edge_data(c.source, c.target, {"needed": 0})
            graph.add_edge(c.source, c.target, needed=max(needed, known["needed"]))
    return graph


def critical_path(
    connections: Iterable[Connection], steps: MappingABC[str, int], weights: MappingABC[str, float] | None = None
) -> list[str]:
    """Return the adapters that must run one after the other within a step: the longest such chain.

    Parameters
    ----------
    connections, steps
        Of a scenario without a loop.
    weights
        What each adapter costs, e.g. wall time; all the same by default.
    """
    graph = _within_a_step(connections, steps)
    best: dict[str, tuple[float, list[str]]] = {}
    for name in nx.topological_sort(graph):
        before = max((best[source] for source in graph.predecessors(name)), key=lambda b: b[0], default=(0.0, []))
        best[name] = (before[0] + (1.0 if weights is None else weights.get(name, 0.0)), [*before[1], name])
    return max(best.values(), key=lambda b: b[0])[1]


def find_loop(connections: list[Connection], steps: MappingABC[str, int]) -> str | None:
    """Return the message for a loop in which nobody can step first, if there is one."""
    graph = _within_a_step(connections, steps)
    try:
        loop = nx.find_cycle(graph)
    except nx.NetworkXNoCycle:
        return None
    path = " → ".join([edge[0] for edge in loop] + [loop[0][0]])
    needed = min(graph.edges[edge[0], edge[1]]["needed"] for edge in loop)
    return f"{path} is a loop: pass delay={needed} on one connection, with initial="
