"""Loops that see a part of the traffic of their edge, by what other loops let pass to it or from it."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cosim.core.quantities import Array
from cosim.scenarios.mobility.counts.capacity import capacities
from cosim.scenarios.streets.network import Net

SEEN = 0.5
"""Share of the vehicles that must pass below which a loop sees a part of them: one of two lanes."""
FAR_M = 500.0
"""Largest distance between two loops that are compared: vehicles begin and end their drives on longer ways. [m]"""


def partial_loops(edges: Sequence[str], flow: Array, net: Net) -> dict[str, str]:
    """Return the edges whose loops see a part of the traffic, each with the reason.

    What one loop counts must pass another one behind it, less what the other streets that leave the way can carry
    away at most; and what a loop counts must have passed one before it, less what can have joined. A loop that counts
    less than half of that, in the sum of the hours in which something must pass, misses lanes: loops miss vehicles,
    they do not invent them.

    Parameters
    ----------
    edges, flow
        Edges with loops, and their counts, shape (n_edges, n_hours). [veh/h]
    net
        The network.
    """
    capacity, of = capacities(net), dict(zip(edges, flow))
    found: dict[str, tuple[float, str]] = {}
    for start in edges:
        for backwards in (False, True):
            for other, lost in _reached(net, start, set(edges), capacity, float(of[start].max()), backwards).items():
                must = np.maximum(of[start] - lost, 0.0)
                seen = of[other][must > 0].sum()
                if seen < SEEN * must.sum():
                    way = "go on to" if backwards else "come from"
                    text = f"counts {seen:.0f} of at least {must.sum():.0f} vehicles that {way} {start}"
                    found[other] = max(found.get(other, (0.0, "")), (must.sum() / max(seen, 1.0), text))
    return {edge: f"{text}: it sees a part of the lanes" for edge, (_, text) in found.items()}


def _reached(
    net: Net, start: str, edges: set[str], capacity: Mapping[str, float], most: float, backwards: bool
) -> dict[str, float]:
    """Return the loops that must see at least something of ``most``, with what can be lost on the way. [veh/h]"""
    queue: list[tuple[float, float, str]] = [(0.0, 0.0, start)]
    known, found = set[str](), dict[str, float]()
    while queue:
        lost, metres, label = heapq.heappop(queue)
        if label in known:
            continue
        known.add(label)
        if label in edges and label != start:
            found[label] = lost
            continue
        around = _around(net.getEdge(label), backwards)
        ways = {name: capacity[name] for name in around if name in capacity}
        for name in ways:
            less = lost + sum(ways.values()) - ways[name]
            far = metres + around[name]
            if less < most and far <= FAR_M:
                heapq.heappush(queue, (less, far, name))
    return found


def _around(edge: Any, backwards: bool) -> dict[str, float]:
    """Return the next edges for cars, or those before, with their lengths. [m]"""
    return {
        str(other.getID()): float(other.getLength())
        for other, ways in (edge.getIncoming() if backwards else edge.getOutgoing()).items()
        if any(way.getFromLane().allows("passenger") and way.getToLane().allows("passenger") for way in ways)
    }
