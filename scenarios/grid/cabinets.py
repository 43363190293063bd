"""Cabinets along the streets where buildings connect to the grid, and shortest paths between them."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import networkx as nx
import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra
from scipy.spatial import cKDTree

from cosim.core.quantities import Indices, Vector

from .rules import ServicePoint


class Streets:
    """The street graph, split at the cabinets: nodes 0…n_street−1 are street nodes, the rest cabinets."""

    def __init__(self, streets: nx.Graph[Any], services: Sequence[ServicePoint], share_within_m: float) -> None:
        ids = {node: i for i, node in enumerate(streets.nodes)}
        self.n_street = len(ids)
        xy = np.array([(d["x"], d["y"]) for _, d in streets.nodes(data=True)], float).reshape(-1, 2)
        shortest: dict[tuple[int, int], float] = {}
        for u, v, d in streets.edges(data=True):
            key = min(ids[u], ids[v]), max(ids[u], ids[v])
            if u != v:
                shortest[key] = min(float(d["length"]), shortest.get(key, math.inf))
        ends = np.array(sorted(shortest), int)
        length = np.array([shortest[a, b] for a, b in ends.tolist()])
        points = np.array([(s.x, s.y) for s in services], float)
        edge, part = _snap(points, xy[ends[:, 0]], xy[ends[:, 1]])
        # Kept off the street nodes, or a cable of zero length would result.
        position = np.clip(
            part * length[edge], np.minimum(0.5, length[edge] / 3), length[edge] - np.minimum(0.5, length[edge] / 3)
        )
        piece = np.floor(position / share_within_m) if share_within_m > 0 else np.round(position, 3)
        groups: dict[tuple[int, float], list[int]] = defaultdict(list)
        for i, key in enumerate(zip(edge.tolist(), piece.tolist())):
            groups[key].append(i)
        self.services: list[list[int]] = []
        on_edge: dict[int, list[tuple[float, int]]] = defaultdict(list)
        extra: list[Vector] = []
        for (e, _), members in sorted(groups.items()):
            at = float(position[members].mean())
            a, b = xy[ends[e]]
            on_edge[e].append((at, self.n_street + len(extra)))
            extra.append(a + (b - a) * at / length[e])
            self.services.append(members)
        self.xy = np.vstack([xy, np.array(extra)])
        rows, columns, lengths = [], [], []
        for e, (a, b) in enumerate(ends.tolist()):
            stops = [(0.0, a), *sorted(on_edge[e]), (float(length[e]), b)]
            for (s0, n0), (s1, n1) in pairwise(stops):
                rows += [n0, n1]
                columns += [n1, n0]
                lengths += [max(s1 - s0, 0.5)] * 2  # shorter ones only cost the solver precision
        n = len(self.xy)
        self.matrix = csr_array((lengths, (rows, columns)), shape=(n, n))

    def paths(self, roots: Sequence[int]) -> tuple[Vector, Indices]:
        """Return distance [m] and predecessor of every node from each root, shape (n_roots, n_nodes) each."""
        distance, before = dijkstra(self.matrix, indices=list(roots), return_predecessors=True)
        return distance, before.astype(np.int64)


def _snap(points: Vector, a: Vector, b: Vector) -> tuple[Indices, Vector]:
    """Return the nearest segment of each point, and the position of its foot on it (0 at a, 1 at b)."""
    span = np.hypot(*(b - a).T)
    pitch = 20.0
    count = np.maximum(np.ceil(span / pitch).astype(int), 1) + 1
    owner = np.repeat(np.arange(len(a)), count)
    share = np.concatenate([np.linspace(0, 1, c) for c in count])[:, None]
    tree = cKDTree(a[owner] + (b - a)[owner] * share)
    nearest, _ = tree.query(points)
    # The nearest segment has a sample no further away than the nearest sample plus half a pitch.
    edge, part = np.zeros(len(points), np.int64), np.zeros(len(points))
    for i, near in enumerate(tree.query_ball_point(points, nearest + pitch / 2 + 1e-6)):
        e = np.unique(owner[near])
        d = b[e] - a[e]
        t = np.clip(((points[i] - a[e]) * d).sum(1) / np.maximum((d * d).sum(1), 1e-12), 0, 1)
        gap = np.hypot(*(a[e] + d * t[:, None] - points[i]).T)
        best = int(np.argmin(np.round(gap, 6)))
        edge[i], part[i] = e[best], t[best]
    return edge, part
