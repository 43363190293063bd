"""Flows on routes that the streets can carry: what does not fit has not driven."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import scipy.sparse as sp

from cosim.core.quantities import Array, Vector
from cosim.scenarios.mobility.routing import SATURATION_PER_HOUR, let_through
from cosim.scenarios.streets.network import Net

SATURATED = 0.9
"""Share of its capacity up to which a street is filled: at all of it the queues of random arrivals grow without end.
Assumption."""
SWEEPS = 60
"""Rounds of scaling. After 20 the volumes of Bologna's counted edges change by less than a vehicle an hour."""


def capacities(net: Net) -> dict[str, float]:
    """Return what the streets for cars let through, as in the assignment: at lights by the share of green. [veh/h]

    Parameters
    ----------
    net
        The network; without its programs, lights count as a whole hour of green.
    """
    found = {}
    for edge in net.getEdges(withInternal=False):
        if lanes := sum(lane.allows("passenger") for lane in edge.getLanes()):
            light = edge.getTLS()
            unknown = light is not None and not light.getPrograms()
            found[str(edge.getID())] = lanes * SATURATION_PER_HOUR if unknown else let_through(edge)[0]
    return found


def passing(routes: Sequence[Sequence[str]], edges: Sequence[str]) -> sp.csr_array:
    """Return how often every route passes every edge, shape (n_edges, n_routes)."""
    place = {edge: k for k, edge in enumerate(edges)}
    pairs = [(place[edge], k) for k, route in enumerate(routes) for edge in route if edge in place]
    rows, columns = np.array(pairs, int).reshape(-1, 2).T
    return sp.csr_array((np.ones(len(pairs)), (rows, columns)), shape=(len(edges), len(routes)))


def times_to(net: Net, routes: Sequence[Sequence[str]], edges: Collection[str]) -> Vector:
    """Return the time from the beginning of every route to those of some edges that it passes, shape (n_routes,). [s]

    It is that on free streets with the waits for green; the mean of several edges, and of all if the route passes none.
    """
    over_s = {}
    for edge in net.getEdges(withInternal=False):
        if edge.allows("passenger"):
            over_s[str(edge.getID())] = edge.getLength() / edge.getSpeed() + let_through(edge)[1]
    wanted, found = set(edges), np.zeros(len(routes))
    for k, route in enumerate(routes):
        until = np.cumsum([0.0, *(over_s.get(edge, 0.0) for edge in route[:-1])])
        here = [edge in wanted for edge in route]
        found[k] = until[here].mean() if any(here) else until.mean()
    return found


def within_capacity(
    routes: Sequence[Sequence[str]],
    flows: Array,
    counts: Mapping[str, Array],
    capacity: Mapping[str, float],
) -> Array:
    """Return flows that fill no street beyond `SATURATED`, with the volumes of counted edges kept as far as possible.

    In every hour, the flows through a full street are scaled down to that, and those through each counted edge
    towards its former volume, in turn. A street that the others' scaling has relieved gives back what it took. Flows
    that pass neither stay as they are. An edge carries at least what was counted on it.

    Parameters
    ----------
    routes
        Edges of every route.
    flows : shape (n_routes, n_hours)
        [veh/h]
    counts
        Vehicles by counted edge, each of shape (n_hours,). [veh/h]
    capacity
        By edge; others have none. [veh/h]

    Examples
    --------
    Two routes lead past a loop that counts 1,000; one of them through a street for 500 vehicles:

    >>> full = within_capacity([["loop", "narrow"], ["loop"]], np.array([[600.0], [400.0]]),
    ...     {"loop": np.array([1000.0])}, {"narrow": 500.0})
    >>> full.round(-1).ravel().tolist()
    [450.0, 550.0]
    """
    edges = list(dict.fromkeys([*capacity, *counts]))
    place = {edge: k for k, edge in enumerate(edges)}
    passes = passing(routes, edges)
    most = np.array([max(SATURATED * capacity.get(edge, np.inf), *counts.get(edge, (0.0,))) for edge in edges])
    at = [place[edge] for edge in counts]
    of = [slice(*passes.indptr[k : k + 2]) for k in range(len(edges))]
    found = np.array(flows, float)
    for hour in range(found.shape[1]):
        flow = found[:, hour].copy()
        volume = passes @ flow
        kept, taken = volume[at], dict[int, float]()
        for _ in range(SWEEPS):
            full = np.flatnonzero(passes @ flow > most)
            taken |= {int(k): 1.0 for k in full if k not in taken}
            if not taken:
                break
            for k, former in zip(at, kept):
                here = passes.indices[of[k]]
                if now := float(passes.data[of[k]] @ flow[here]):
                    flow[here] *= np.sqrt(np.clip(former / now, 0.25, 4.0))
            for k in taken:
                here = passes.indices[of[k]]
                if now := float(passes.data[of[k]] @ flow[here]):
                    factor = min(most[k] / now, 1.0 / taken[k])
                    taken[k] *= factor
                    flow[here] *= factor
        found[:, hour] = flow
    return found
