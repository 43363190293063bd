"""Design of a grid: sites of stations, feeders with their cables, and medium-voltage rings."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from cosim.core.quantities import Indices, Vector

from .cabinets import Streets
from .rules import (
    CUT_FILL,
    LV_CABLES,
    LV_DROP,
    LV_KV,
    LV_RANKS,
    POWER_FACTOR,
    RING,
    STATION_FILL,
    STATION_KVA,
    Country,
    coincident_load,
    lv_power,
)


@dataclass
class Segment:
    """A feeder's cable between two cabinets or branching points."""

    parent: int  # index of the segment before it in the feeder, -1 at the station
    path: list[int]
    length_m: float
    load_w: float
    members: list[int]  # cabinets at and beyond its end that this feeder supplies
    rank: int = 0


@dataclass
class StationPlan:
    """One station: its root node, cabinets and feeders."""

    root: int
    cabinets: list[int]
    load_w: float
    feeders: list[list[Segment]] = field(default_factory=list)


class GridDesign:
    """Places stations, feeders and rings; all loads follow one country's coincidence rule."""

    def __init__(
        self, streets: Streets, dwellings: Vector, fixed_w: Vector, country: Country, dwelling_w: float
    ) -> None:
        self.streets, self.country, self.dwelling_w = streets, country, dwelling_w
        n = len(streets.xy)
        self.dwellings, self.fixed_w = np.zeros(n), np.zeros(n)
        for i, members in enumerate(streets.services):
            self.dwellings[streets.n_street + i] = dwellings[members].sum()
            self.fixed_w[streets.n_street + i] = fixed_w[members].sum()
        self.node_w = coincident_load(self.dwellings, country, self.fixed_w, dwelling_w)
        self.bound = Counter(
            dict.fromkeys(
                ("stations by transformer", "stations by voltage", "cables by current", "cables by voltage drop"), 0
            )
        )

    def load_w(self, nodes: Iterable[int]) -> float:
        nodes = list(nodes)
        return float(
            coincident_load(self.dwellings[nodes].sum(), self.country, self.fixed_w[nodes].sum(), self.dwelling_w)
        )

    def stations(self, sites: Sequence[tuple[float, float]] = ()) -> list[StationPlan]:
        """Bisect the cabinets, in a fixed order, until every group has a feasible station.

        With sites, the cabinets nearest to each are a group to begin with, and its station stands there.
        """
        most_w = STATION_KVA * 1e3 * STATION_FILL * POWER_FACTOR
        plans: list[StationPlan] = []
        todo = [list(range(self.streets.n_street, len(self.streets.xy)))]
        root_of: dict[int, int] = {}
        if len(sites):
            todo, root_of = self._nearest_sites(sites, todo[0])
        while todo:
            group = todo.pop()
            n = self._least(group, most_w)
            if n <= 1 or len(group) == 1:
                plan = self._station(group, root_of.get(group[0]))
                if plan is not None:
                    plans.append(plan)
                    continue
                self.bound["stations by voltage"] += 1
            first, second = self._halves(group, max(n, 2))
            todo += [second, first]
        self.bound["stations by transformer"] = len(plans) - self.bound["stations by voltage"]
        return plans

    def _nearest_sites(
        self, sites: Sequence[tuple[float, float]], cabinets: list[int]
    ) -> tuple[list[list[int]], dict[int, int]]:
        """Return the cabinets by their nearest site, and the street node of each site by the first of its cabinets."""
        streets = self.streets
        gap = np.hypot(*(streets.xy[: streets.n_street, None] - np.asarray(sites, float)[None]).transpose(2, 0, 1))
        roots = sorted(set(np.argmin(np.round(gap, 3), axis=0).tolist()))
        nearest = np.argmin(np.round(streets.paths(roots)[0][:, cabinets], 3), axis=0)
        groups: dict[int, list[int]] = defaultdict(list)
        for cabinet, k in zip(cabinets, nearest.tolist()):
            groups[roots[k]].append(cabinet)
        return [groups[root] for root in sorted(groups)], {group[0]: root for root, group in groups.items()}

    def _least(self, group: list[int], most_w: float) -> int:
        """Return how many stations a group needs: fewer dwellings coincide more, so that splitting adds load."""
        if self.load_w(group) <= most_w:
            return 1
        dwellings, fixed_w, n = self.dwellings[group].sum(), self.fixed_w[group].sum(), 2
        while coincident_load(dwellings / n, self.country, fixed_w / n, self.dwelling_w) > CUT_FILL * most_w:
            n += 1
        return n

    def _halves(self, group: list[int], n: int) -> tuple[list[int], list[int]]:
        xy = np.round(self.streets.xy[group], 3)
        axis = int(np.argmax(np.ptp(xy, axis=0)))
        order = np.lexsort((xy[:, 1 - axis], xy[:, axis]))
        ordered = [group[i] for i in order]
        weight = np.cumsum(self.node_w[ordered])
        cut = int(np.argmin(np.abs(weight - weight[-1] * (n // 2) / n))) + 1
        cut = min(max(cut, 1), len(group) - 1)
        return ordered[:cut], ordered[cut:]

    def _station(self, group: list[int], root: int | None = None) -> StationPlan | None:
        streets = self.streets
        weight = self.node_w[group]
        centre = np.average(streets.xy[group], axis=0, weights=weight)
        gap = np.round(np.hypot(*(streets.xy[: streets.n_street] - centre).T), 3)
        candidates = np.argsort(gap, kind="stable")[:8] if root is None else np.array([root])
        near, distance, before = streets.paths_to(candidates.tolist(), group)
        best = int(np.argmin(np.round(distance[:, np.searchsorted(near, group)] @ weight, 3)))
        metres, parent = (dict(zip(near.tolist(), row[best].tolist())) for row in (distance, before))
        plan = StationPlan(int(candidates[best]), sorted(group), self.load_w(group))
        for members in self._feeders(plan.root, group, parent):
            segments = self._segments(plan.root, members, metres, parent)
            if not self._size(segments) and len(group) > 1:
                return None
            plan.feeders.append(segments)
        return plan

    def _feeders(self, root: int, group: list[int], before: Mapping[int, int]) -> list[list[int]]:
        """Split the cabinets into feeders, in depth-first order of the tree, at the largest cable's current."""
        children: dict[int, set[int]] = defaultdict(set)
        for node in group:
            while node != root:
                children[before[node]].add(node)
                node = before[node]
        wanted, feeders = set(group), []
        most_w = lv_power(LV_CABLES["NAYY 4x240"].max_a)
        for branch in sorted(children[root]):
            stack = [branch]
            current: list[int] = []
            while stack:
                node = stack.pop()
                stack += sorted(children[node], reverse=True)
                if node in wanted:
                    if current and self.load_w([*current, node]) > most_w:
                        feeders.append(current)
                        current = []
                    current.append(node)
            feeders.append(current)
        return feeders

    def _segments(
        self, root: int, members: list[int], distance: Mapping[int, float], before: Mapping[int, int]
    ) -> list[Segment]:
        """Return a feeder's segments between cabinets and branching points, each after its parent."""
        beyond: dict[int, list[int]] = defaultdict(list)
        children: dict[int, set[int]] = defaultdict(set)
        for member in members:
            node = member
            while node != root:
                beyond[node].append(member)
                children[before[node]].add(node)
                node = before[node]
        kept = set(members) | {node for node in beyond if len(children[node]) > 1}
        index: dict[int, int] = {root: -1}
        segments: list[Segment] = []
        for node in sorted(kept, key=lambda k: (distance[k], k)):
            path = [node]
            while path[-1] not in index:
                path.append(before[path[-1]])
            start = path[-1]
            segments.append(
                Segment(
                    index[start],
                    path[::-1],
                    distance[node] - distance[start],
                    self.load_w(beyond[node]),
                    beyond[node],
                )
            )
            index[node] = len(segments) - 1
        return segments

    def _size(self, segments: list[Segment]) -> bool:
        """Size every segment by its current, then raise all of them until the voltage drop fits; return success."""
        for segment in segments:
            able = [k for k, (kind, n) in enumerate(LV_RANKS) if lv_power(LV_CABLES[kind].max_a * n) >= segment.load_w]
            segment.rank = able[0] if able else len(LV_RANKS) - 1
            if not able:
                return False
        by_current = [segment.rank for segment in segments]
        while max(_drops(segments)) > LV_DROP:
            if all(segment.rank == len(LV_RANKS) - 1 for segment in segments):
                return False
            for segment in segments:
                segment.rank = min(segment.rank + 1, len(LV_RANKS) - 1)
        raised = sum(segment.rank > rank for segment, rank in zip(segments, by_current))
        self.bound["cables by current"] += len(segments) - raised
        self.bound["cables by voltage drop"] += raised
        return True

    def rings(self, source: int, plans: list[StationPlan]) -> Iterator[tuple[list[int], Vector, Indices]]:
        """Group stations by angle around the source, and order each group as a short tour.

        Yields
        ------
        The stations of a ring, with distance [m] and predecessor of every node from the source and from each of them,
        shape (1 + n_ring, n_nodes) each; those of all stations at once would grow with the square of the city.
        """
        gap = self.streets.xy[[plan.root for plan in plans]] - self.streets.xy[source]
        angle = np.round(np.arctan2(gap[:, 1], gap[:, 0]), 9)
        order = np.lexsort((np.arange(len(plans)), np.round(np.hypot(*gap.T), 3), angle))
        for group in np.array_split(order, math.ceil(len(plans) / RING)):
            stations = sorted(group.tolist())
            roots = [source, *(plans[i].root for i in stations)]
            distance, before = self.streets.paths_between(roots)
            rank = {i: k for k, i in enumerate(stations)}
            tour = _tour(distance[:, roots], [rank[i] for i in group.tolist()])
            rows = [0, *(k + 1 for k in tour)]
            yield [stations[k] for k in tour], distance[rows], before[rows]


def _tour(legs: Vector, stations: list[int]) -> list[int]:
    """Return a short round trip over stations (0-based) from the source (row 0 of legs): nearest neighbour, then
    2-opt."""
    rest, tour = {s + 1 for s in stations}, [0]
    while rest:
        tour.append(min(rest, key=lambda s: (round(legs[tour[-1], s], 3), s)))
        rest.discard(tour[-1])
    tour.append(0)
    better = True
    while better:
        better = False
        for i in range(1, len(tour) - 2):
            for j in range(i + 1, len(tour) - 1):
                a, b, c, d = tour[i - 1], tour[i], tour[j], tour[j + 1]
                if legs[a, c] + legs[b, d] < legs[a, b] + legs[c, d] - 1e-3:
                    tour[i : j + 1] = tour[i : j + 1][::-1]
                    better = True
    return [s - 1 for s in tour[1:-1]]


def _drops(segments: list[Segment]) -> list[float]:
    """Return the voltage drop from the station to each segment's end: ΔU/U = (R·P + X·Q)/U². [1]"""
    tan = math.tan(math.acos(POWER_FACTOR))
    drops: list[float] = []
    for segment in segments:
        kind, parallel = LV_RANKS[segment.rank]
        cable = LV_CABLES[kind]
        z = (cable.r_ohm_per_km + cable.x_ohm_per_km * tan) * segment.length_m * 1e-3 / parallel
        here = z * segment.load_w / (LV_KV * 1e3) ** 2
        drops.append(here + (drops[segment.parent] if segment.parent >= 0 else 0.0))
    return drops
