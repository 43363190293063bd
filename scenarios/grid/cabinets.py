"""Cabinets along the streets where buildings connect to the grid, and shortest paths between them."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from itertools import chain, pairwise
from typing import Any

import networkx as nx
import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra
from scipy.spatial import cKDTree

from cosim.core.quantities import Indices, Vector

from .rules import ServicePoint

LARGE = 10_000
"""Number of nodes from which on the ways between stations are found on streets without their cabinets: with all nodes
the time would grow with the square of the city."""


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
        rows: list[int] = []
        columns: list[int] = []
        lengths: list[float] = []
        whole = np.zeros(len(ends))
        for e, (a, b) in enumerate(ends.tolist()):
            begun = len(lengths)
            stops = [(0.0, a), *sorted(on_edge[e]), (float(length[e]), b)]
            for (s0, n0), (s1, n1) in pairwise(stops):
                rows += [n0, n1]
                columns += [n1, n0]
                lengths += [max(s1 - s0, 0.5)] * 2  # shorter ones only cost the solver precision
            whole[e] = sum(lengths[begun::2])
        n = len(self.xy)
        self.matrix = csr_array((lengths, (rows, columns)), shape=(n, n))
        both = np.concatenate([ends, ends[:, ::-1]])
        self._streets = csr_array((np.tile(whole, 2), both.T), shape=(self.n_street, self.n_street))
        straight = np.hypot(*(self.xy[rows] - self.xy[columns]).T)
        self._straight_over_length = max(float((straight / lengths).max()), 1.0)  # streets end at their crossings
        self._tree = cKDTree(self.xy)
        self._rank = np.full(n, -1)

    def paths(self, roots: Sequence[int]) -> tuple[Vector, Indices]:
        """Return distance [m] and predecessor of every node from each root, shape (n_roots, n_nodes) each."""
        distance, before = dijkstra(self.matrix, indices=list(roots), return_predecessors=True)
        return distance, before.astype(np.int64)

    def paths_between(self, roots: Sequence[int]) -> tuple[Vector, Indices]:
        """Return the same as `paths` for street nodes; in large networks paths pass over cabinets on their way."""
        if len(self.xy) <= LARGE:
            return self.paths(roots)
        distance, before = dijkstra(self._streets, indices=list(roots), return_predecessors=True)
        return distance, before.astype(np.int64)

    def paths_to(self, roots: Sequence[int], nodes: Sequence[int]) -> tuple[Indices, Vector, Indices]:
        """Return a part of the streets with all shortest paths from each root to some nodes.

        Returns
        -------
        The part's nodes, ascending, shape (n_near,); distance from each root [m] and predecessor of each of them,
        shape (n_roots, n_near).
        """
        centre = self.xy[roots].mean(axis=0)
        of_roots, of_nodes = (float(np.hypot(*(self.xy[list(k)] - centre).T).max()) for k in (roots, nodes))
        radius = 2 * (of_roots + of_nodes)
        while True:
            near = np.array(self._tree.query_ball_point(centre, radius, return_sorted=True))
            distance, before = dijkstra(
                self._part(near), indices=np.searchsorted(near, roots), return_predecessors=True
            )
            # A path that leaves the part is at least as long as the way to its rim.
            inside_m = (radius - of_roots) / self._straight_over_length
            if len(near) == len(self.xy) or distance[:, np.searchsorted(near, nodes)].max() <= inside_m:
                return near, distance, np.where(before < 0, before, near[np.maximum(before, 0)])
            radius *= 2

    def _part(self, near: Indices) -> csr_array:
        """Return rows and columns of the matrix, as ``matrix[near][:, near]`` does with much overhead."""
        matrix, begin = self.matrix, self.matrix.indptr[near]
        number = self.matrix.indptr[near + 1] - begin
        whole = np.arange(number.sum()) - np.repeat(np.cumsum(number) - number, number) + np.repeat(begin, number)
        self._rank[near] = np.arange(len(near))
        columns = self._rank[matrix.indices[whole]]
        self._rank[near] = -1
        inside = columns >= 0
        row = np.repeat(np.arange(len(near)), number)[inside]
        first = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=len(near)))])
        return csr_array((matrix.data[whole[inside]], columns[inside], first), shape=(len(near), len(near)))


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
    near: Any = tree.query_ball_point(points, nearest + pitch / 2 + 1e-6)
    number = np.fromiter(map(len, near), np.int64, len(points))
    samples = np.fromiter(chain.from_iterable(near), np.int64, int(number.sum()))
    pairs = np.unique(np.repeat(np.arange(len(points)), number) * len(a) + owner[samples])
    i, e = np.divmod(pairs, len(a))
    d = b[e] - a[e]
    t = np.clip(((points[i] - a[e]) * d).sum(1) / np.maximum((d * d).sum(1), 1e-12), 0, 1)
    gap = np.round(np.hypot(*(a[e] + d * t[:, None] - points[i]).T), 6)
    order = np.lexsort((gap, i))
    best = order[np.searchsorted(i, np.arange(len(points)))]
    return e[best], t[best]
