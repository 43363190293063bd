"""What would a utility have built under these streets? A low- and medium-voltage grid from service points.

The method, after the synthetic grids of pylovo [1]_ and the design rules of Spanish utilities [2]_:

1. Every service point is led to the nearest point of the nearest street. Points whose feet lie on the same
   ``share_within_m`` long piece of one street edge, on either side of it, share one bus, a cabinet at the mean of
   their feet. House connections beyond the cabinet are not modelled.
2. Cabinets are bisected along the longer axis of their area until each group's coincident load fits one 630 kVA
   station, which stands at the street node with the least sum of load × distance; two stations may stand at one
   corner.
3. The shortest-path tree of a station is cut into feeders by the largest cable's current; a feeder's segments are
   sized by the coincident current of what lies beyond, then raised together until the voltage drop fits, in
   parallel cables where one does not suffice. A group that would need more than four in parallel is halved: one
   more station.
4. Stations are put on medium-voltage rings of at most 12 by angle around the source, each ring a short tour, open
   at the line that divides its load best; a ring's cable can carry the whole ring from one end.
5. The grid is solved at design load and without load and reinforced until it is radial in operation, nothing is
   above 100 % and every voltage within ±5 %.

The source is the medium-voltage busbar of the primary substation, a stiff external grid at 1.0 pu: its
transformer's on-load tap changer holds that voltage, and what lies above it is not decided by the city.

References
----------
.. [1] pylovo, synthetic low-voltage grids: the coincidence P = n·P0·(g + (1 − g)·n^−0.75), P0 = 30 kW, g = 0.07.
.. [2] Reglamento electrotécnico para baja tensión, Real Decreto 842/2002, ITC-BT-10: loads of dwellings and shops,
   table 1: coincidence.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

import networkx as nx
import numpy as np
import numpy.typing as npt
import pandapower as pp
import pandapower.toolbox
import pandapower.topology
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra
from scipy.spatial import cKDTree

from cosim.core import CosimError, ScenarioError

Vector = npt.NDArray[np.float64]
Country = Literal["ES", "IT"]

_MV_KV = {"ES": 25.0, "IT": 15.0}
# ITC-BT-10, table 1: dwellings that count in full, for 1 to 21 dwellings; half of each further one.
_ITC_BT_10 = (
    0, 1, 2, 3, 3.8, 4.6, 5.4, 6.2, 7, 7.8, 8.5, 9.2, 9.9, 10.6, 11.3, 11.9, 12.5, 13.1, 13.7, 14.3, 14.8, 15.3,
)  # fmt: skip
_SHOP_W_PER_M2, _SHOP_LEAST_W = 100.0, 3450.0  # ITC-BT-10, 4.1; taken for Italy too (assumption)
_POWER_FACTOR = 0.95  # assumption
_DWELLING_M2 = 100.0  # assumption, where only the floor area is known
_LV_KV = 0.4
_LOW = 0.95  # the voltage at which design currents are reckoned, the least that is allowed. [pu]
_STATION_KVA, _STATION_FILL = 630.0, 0.9
_CUT_FILL = 0.97  # room for cabinets that do not divide evenly
_MOST_PARALLEL = 4
_LV_DROP = 0.03  # from station to the last cabinet; the transformer takes about as much (assumption)
_RING = 12


@dataclass(frozen=True, slots=True)
class _Cable:
    r_ohm_per_km: float
    x_ohm_per_km: float
    c_nf_per_km: float
    max_a: float


# NAYY 4×150 and the 12/20 kV cable are pandapower's standard types; NAYY 4×240 has the capacitance of 4×150. On 25 kV
# the cable would be an 18/30 kV one, of the same conductor (assumption: same series impedance and current).
_LV_CABLES = {"NAYY 4x150": _Cable(0.2067, 0.0804, 261.0, 270.0), "NAYY 4x240": _Cable(0.1267, 0.0798, 261.0, 357.0)}
_LV_RANKS = [("NAYY 4x150", 1), *(("NAYY 4x240", n) for n in range(1, _MOST_PARALLEL + 1))]
_MV_TYPE, _MV_CABLE = "NA2XS2Y 1x240 RM/25", _Cable(0.122, 0.112, 273.0, 421.0)
# Rated power [kVA]: copper losses [%], iron losses [kW], no-load current [%]; vk = 6 %. The two small ones are
# pandapower's 20/0.4 kV standard types, wound for this medium voltage (assumption).
_TRANSFORMERS = {250.0: (1.44, 0.8, 0.32), 400.0: (1.425, 1.35, 0.3375), 630.0: (100 * 6.9 / 630, 1.65, 0.2619)}


@dataclass(frozen=True, slots=True)
class ServicePoint:
    """A building that is to be supplied.

    ``design_load_w`` replaces what dwellings and shops would ask for and adds up without coincidence. Without
    ``dwellings`` the floor area counts one per 100 m².
    """

    label: str
    x: float
    y: float
    dwellings: int | None = None
    floor_area_m2: float = 0.0
    shop_m2: float = 0.0
    design_load_w: float | None = None


@dataclass(frozen=True, slots=True)
class Station:
    """A transformer station; ``mv_bus`` and ``lv_bus`` are indices of the net's buses."""

    label: str
    x: float
    y: float
    mv_bus: int
    lv_bus: int
    rated_va: float
    services: int
    ring: int


@dataclass(frozen=True)
class GridReport:
    """What was built, and what it is worth at design load.

    ``bound`` counts what decided: stations by the transformer's rating or added for the voltage drop,
    low-voltage cables by current or raised for the voltage drop.
    """

    n_stations: int
    n_buses: int
    n_rings: int
    lv_length_m: float
    mv_length_m: float
    design_load_w: float
    transformer_loading: dict[str, float]
    worst_line_loading: float
    lowest_voltage: float
    highest_voltage: float
    bound: dict[str, int]
    reinforcements: list[str]

    @property
    def length_m(self) -> float:
        """Length of all cable routes, parallel cables counted once. [m]"""
        return self.lv_length_m + self.mv_length_m


@dataclass(frozen=True)
class SynthesizedGrid:
    """A grid ready for ``Grid(grid.net, connection_points=grid.bus_of)``.

    Attributes
    ----------
    net
        The pandapower net, drawing nothing: one load per cabinet with p_mw = 0.
    bus_of
        Service label → index of its bus; services that share a cabinet share a bus.
    design_load_w
        Service label → its part of its station's coincident load. [W]
    lines
        Line name → its route, shape (n, 2). [m]
    """

    net: Any
    bus_of: dict[str, int]
    design_load_w: dict[str, float]
    lines: dict[str, Vector]
    stations: list[Station]
    report: GridReport


def coincident_load(
    dwellings: npt.ArrayLike, country: Country, fixed_w: npt.ArrayLike = 0.0, dwelling_w: float = 5750.0
) -> Vector:
    """Return the load that dwellings cause together. [W]

    Parameters
    ----------
    dwellings
        Number of dwellings behind a point of the grid.
    country
        ``"ES"``: ITC-BT-10 with ``dwelling_w`` (5,750 W basic, 9,200 W high electrification). ``"IT"``:
        pylovo's German formula (assumption).
    fixed_w
        Load that adds up without coincidence. [W]

    Examples
    --------
    >>> float(coincident_load(8, "ES"))  # seven full dwellings
    40250.0
    >>> float(coincident_load(1, "IT"))
    30000.0
    """
    n = np.asarray(dwellings, float)
    if country == "ES":
        beyond = np.maximum(n - 21, 0.0) * 0.5
        return np.asarray((np.interp(n, np.arange(22), _ITC_BT_10) + beyond) * dwelling_w + np.asarray(fixed_w))
    power = np.where(n > 0, n * 30e3 * (0.07 + 0.93 * np.maximum(n, 1.0) ** -0.75), 0.0)
    return np.asarray(power + np.asarray(fixed_w))


@dataclass
class _Segment:
    parent: int  # index of the segment before it in the feeder, -1 at the station
    path: list[int]
    length_m: float
    load_w: float
    members: list[int]  # cabinets at and beyond its end that this feeder supplies
    rank: int = 0


@dataclass
class _Plan:
    """One station: its root node, cabinets and feeders."""

    root: int
    cabinets: list[int]
    load_w: float
    feeders: list[list[_Segment]] = field(default_factory=list)


class _Streets:
    """The street graph cut at the cabinets: nodes 0…n_street−1 are street nodes, the rest cabinets."""

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
        # Off the street nodes, or a cable of no length would follow.
        position = np.clip(part * length[edge], np.minimum(0.5, length[edge] / 3),
                           length[edge] - np.minimum(0.5, length[edge] / 3))  # fmt: skip
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
                lengths += [max(s1 - s0, 0.5)] * 2  # shorter ones only cost the solver digits
        n = len(self.xy)
        self.matrix = csr_array((lengths, (rows, columns)), shape=(n, n))

    def paths(self, roots: Sequence[int]) -> tuple[Vector, npt.NDArray[np.int64]]:
        """Return distance [m] and predecessor of every node from each root, shape (n_roots, n_nodes) each."""
        distance, before = dijkstra(self.matrix, indices=list(roots), return_predecessors=True)
        return distance, before.astype(np.int64)


def _snap(points: Vector, a: Vector, b: Vector) -> tuple[npt.NDArray[np.int64], Vector]:
    """Return the nearest segment of each point and where on it its foot lies (0 at a, 1 at b)."""
    span = np.hypot(*(b - a).T)
    pitch = 20.0
    count = np.maximum(np.ceil(span / pitch).astype(int), 1) + 1
    owner = np.repeat(np.arange(len(a)), count)
    share = np.concatenate([np.linspace(0, 1, c) for c in count])[:, None]
    tree = cKDTree(a[owner] + (b - a)[owner] * share)
    nearest, _ = tree.query(points)
    # The nearest segment has a sample no further than the nearest sample and half a pitch.
    edge, part = np.zeros(len(points), np.int64), np.zeros(len(points))
    for i, near in enumerate(tree.query_ball_point(points, nearest + pitch / 2 + 1e-6)):
        e = np.unique(owner[near])
        d = b[e] - a[e]
        t = np.clip(((points[i] - a[e]) * d).sum(1) / np.maximum((d * d).sum(1), 1e-12), 0, 1)
        gap = np.hypot(*(a[e] + d * t[:, None] - points[i]).T)
        best = int(np.argmin(np.round(gap, 6)))
        edge[i], part[i] = e[best], t[best]
    return edge, part


class _Design:
    """Plans stations, feeders and rings; all loads follow one country's coincidence."""

    def __init__(
        self, streets: _Streets, dwellings: Vector, fixed_w: Vector, country: Country, dwelling_w: float
    ) -> None:
        self.streets, self.country, self.dwelling_w = streets, country, dwelling_w
        n = len(streets.xy)
        self.dwellings, self.fixed_w = np.zeros(n), np.zeros(n)
        for i, members in enumerate(streets.services):
            self.dwellings[streets.n_street + i] = dwellings[members].sum()
            self.fixed_w[streets.n_street + i] = fixed_w[members].sum()
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

    def stations(self) -> list[_Plan]:
        """Bisect the cabinets until every group has a feasible station, in a fixed order."""
        most_w = _STATION_KVA * 1e3 * _STATION_FILL * _POWER_FACTOR
        plans: list[_Plan] = []
        todo = [list(range(self.streets.n_street, len(self.streets.xy)))]
        while todo:
            group = todo.pop()
            n = self._least(group, most_w)
            if n <= 1 or len(group) == 1:
                plan = self._station(group)
                if plan is not None:
                    plans.append(plan)
                    continue
                self.bound["stations by voltage"] += 1
            first, second = self._halves(group, max(n, 2))
            todo += [second, first]
        self.bound["stations by transformer"] = len(plans) - self.bound["stations by voltage"]
        return plans

    def _least(self, group: list[int], most_w: float) -> int:
        """Return how many stations a group needs: fewer dwellings each coincide more, so their loads add up to more."""
        if self.load_w(group) <= most_w:
            return 1
        dwellings, fixed_w, n = self.dwellings[group].sum(), self.fixed_w[group].sum(), 2
        while coincident_load(dwellings / n, self.country, fixed_w / n, self.dwelling_w) > _CUT_FILL * most_w:
            n += 1
        return n

    def _halves(self, group: list[int], n: int) -> tuple[list[int], list[int]]:
        xy = np.round(self.streets.xy[group], 3)
        axis = int(np.argmax(np.ptp(xy, axis=0)))
        order = np.lexsort((xy[:, 1 - axis], xy[:, axis]))
        ordered = [group[i] for i in order]
        weight = np.cumsum([self.load_w([node]) for node in ordered])
        cut = int(np.argmin(np.abs(weight - weight[-1] * (n // 2) / n))) + 1
        cut = min(max(cut, 1), len(group) - 1)
        return ordered[:cut], ordered[cut:]

    def _station(self, group: list[int]) -> _Plan | None:
        streets = self.streets
        weight = np.array([self.load_w([node]) for node in group])
        centre = np.average(streets.xy[group], axis=0, weights=weight)
        gap = np.round(np.hypot(*(streets.xy[: streets.n_street] - centre).T), 3)
        candidates = np.argsort(gap, kind="stable")[:8]
        distance, before = streets.paths(candidates.tolist())
        best = int(np.argmin(np.round(distance[:, group] @ weight, 3)))
        plan = _Plan(int(candidates[best]), sorted(group), self.load_w(group))
        for members in self._feeders(plan.root, group, before[best]):
            segments = self._segments(plan.root, members, distance[best], before[best])
            if not self._size(segments) and len(group) > 1:
                return None
            plan.feeders.append(segments)
        return plan

    def _feeders(self, root: int, group: list[int], before: npt.NDArray[np.int64]) -> list[list[int]]:
        """Cut the cabinets, in the tree's depth-first order, where a feeder's current reaches the "
        "largest cable's."""
        children: dict[int, set[int]] = defaultdict(set)
        for node in group:
            while node != root:
                children[int(before[node])].add(node)
                node = int(before[node])
        wanted, feeders = set(group), []
        most_w = _lv_power(_LV_CABLES["NAYY 4x240"].max_a)
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
        self, root: int, members: list[int], distance: Vector, before: npt.NDArray[np.int64]
    ) -> list[_Segment]:
        """Return a feeder's segments between cabinets and branching points, each after the one that "
        "feeds it."""
        beyond: dict[int, list[int]] = defaultdict(list)
        children: dict[int, set[int]] = defaultdict(set)
        for member in members:
            node = member
            while node != root:
                beyond[node].append(member)
                children[int(before[node])].add(node)
                node = int(before[node])
        kept = set(members) | {node for node in beyond if len(children[node]) > 1}
        index: dict[int, int] = {root: -1}
        segments: list[_Segment] = []
        for node in sorted(kept, key=lambda k: (distance[k], k)):
            path = [node]
            while path[-1] not in index:
                path.append(int(before[path[-1]]))
            start = path[-1]
            segments.append(
                _Segment(
                    index[start], path[::-1], float(distance[node] - distance[start]), self.load_w(beyond[node]),
                    beyond[node],
                )
            )  # fmt: skip
            index[node] = len(segments) - 1
        return segments

    def _size(self, segments: list[_Segment]) -> bool:
        """Give every segment the least cable for its current, then raise all of them until the drop fits."""
        for segment in segments:
            able = [k for k, (kind, n) in enumerate(_LV_RANKS)
                    if _lv_power(_LV_CABLES[kind].max_a * n) >= segment.load_w]  # fmt: skip
            segment.rank = able[0] if able else len(_LV_RANKS) - 1
            if not able:
                return False
        by_current = [segment.rank for segment in segments]
        while max(_drops(segments)) > _LV_DROP:
            if all(segment.rank == len(_LV_RANKS) - 1 for segment in segments):
                return False
            for segment in segments:
                segment.rank = min(segment.rank + 1, len(_LV_RANKS) - 1)
        raised = sum(segment.rank > rank for segment, rank in zip(segments, by_current))
        self.bound["cables by current"] += len(segments) - raised
        self.bound["cables by voltage drop"] += raised
        return True

    def rings(self, source: int, plans: list[_Plan]) -> list[list[int]]:
        """Group stations by angle around the source, and order each group as a short tour."""
        gap = self.streets.xy[[plan.root for plan in plans]] - self.streets.xy[source]
        angle = np.round(np.arctan2(gap[:, 1], gap[:, 0]), 9)
        order = np.lexsort((np.arange(len(plans)), np.round(np.hypot(*gap.T), 3), angle))
        distance, _ = self.streets.paths([source, *(plan.root for plan in plans)])
        legs = distance[:, [source, *(plan.root for plan in plans)]]
        groups = np.array_split(order, math.ceil(len(plans) / _RING))
        return [_tour(legs, group.tolist()) for group in groups]


def _tour(legs: Vector, stations: list[int]) -> list[int]:
    """Return a short round trip over stations (0-based) from the source (row 0 of legs): nearest next, "
    "then 2-opt."""
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


def _lv_power(current_a: float) -> float:
    return math.sqrt(3) * _LOW * _LV_KV * 1e3 * current_a * _POWER_FACTOR


def _drops(segments: list[_Segment]) -> list[float]:
    """Return the voltage drop from the station to each segment's end: ΔU/U = (R·P + X·Q)/U². [1]"""
    tan = math.tan(math.acos(_POWER_FACTOR))
    drops: list[float] = []
    for segment in segments:
        kind, parallel = _LV_RANKS[segment.rank]
        cable = _LV_CABLES[kind]
        z = (cable.r_ohm_per_km + cable.x_ohm_per_km * tan) * segment.length_m * 1e-3 / parallel
        here = z * segment.load_w / (_LV_KV * 1e3) ** 2
        drops.append(here + (drops[segment.parent] if segment.parent >= 0 else 0.0))
    return drops


class _Builder:
    """Turns a plan into a pandapower net, created in bulk, and proves it."""

    def __init__(self, services: Sequence[ServicePoint], design: _Design, plans: list[_Plan], root: int) -> None:
        self.services, self.design, self.plans, self.root = services, design, plans, root
        self.streets = design.streets
        self.net = pp.create_empty_network(name="synthesized", add_stdtypes=False)
        self.lines: dict[str, Vector] = {}
        self.ring_of: dict[int, int] = {}
        self.reinforcements: list[str] = []

    def build(self) -> SynthesizedGrid:
        mv_bus, lv_bus = self._stations()
        bus_at = self._feeders(lv_bus)
        n_rings = self._rings(mv_bus)
        bus_of, load_w = self._loads(bus_at)
        lowest, highest, transformer, line = self._prove()
        net, xy = self.net, self.streets.xy
        stations = [
            Station(f"S{i + 1}", float(xy[plan.root, 0]), float(xy[plan.root, 1]), int(mv_bus[i]), int(lv_bus[i]),
                    float(net.trafo.sn_mva.iat[i] * net.trafo.parallel.iat[i] * 1e6),
                    sum(len(self.streets.services[c - self.streets.n_street]) for c in plan.cabinets), self.ring_of[i])
            for i, plan in enumerate(self.plans)
        ]  # fmt: skip
        is_mv = net.line["name"].str.startswith("R").to_numpy()
        report = GridReport(
            len(self.plans), len(net.bus), n_rings,
            float(net.line.length_km[~is_mv].sum() * 1e3), float(net.line.length_km[is_mv].sum() * 1e3),
            sum(load_w.values()), dict(zip((s.label for s in stations), transformer.tolist())), line,
            lowest, highest, dict(self.design.bound), self.reinforcements,
        )  # fmt: skip
        return SynthesizedGrid(net, bus_of, load_w, self.lines, stations, report)

    def _stations(self) -> tuple[Any, Any]:
        net, plans = self.net, self.plans
        mv_kv = _MV_KV[self.design.country]
        xy = self.streets.xy[[self.root, *(plan.root for plan in plans)]]
        places = [tuple(p) for p in xy.tolist()]
        names = [f"S{i + 1}" for i in range(len(plans))]
        mv = pp.create_buses(net, len(places), mv_kv, name=["source", *(f"{s} MV" for s in names)], geodata=places)
        lv = pp.create_buses(net, len(plans), _LV_KV, name=[f"{s} LV" for s in names], geodata=places[1:])
        pp.create_ext_grid(net, mv[0], vm_pu=1.0, name="primary substation")
        chosen, parallel = [], []
        for plan in plans:
            kva = plan.load_w * 1e-3 / _POWER_FACTOR / _STATION_FILL
            chosen.append(next((rated for rated in _TRANSFORMERS if kva <= rated + 1e-9), _STATION_KVA))
            parallel.append(max(1, math.ceil(kva / chosen[-1] - 1e-9)))
        copper, iron, no_load = zip(*(_TRANSFORMERS[rated] for rated in chosen))
        # One off-load tap of 2.5 % lifts the low voltage by what the transformer loses at full load.
        pp.create_transformers_from_parameters(
            net, mv[1:], lv, np.array(chosen) * 1e-3, mv_kv, _LV_KV, list(copper), 6.0, list(iron), list(no_load),
            shift_degree=150.0, vector_group="Dyn5", tap_side="hv", tap_neutral=0, tap_min=-2, tap_max=2,
            tap_step_percent=2.5, tap_step_degree=0.0, tap_pos=-1, tap_changer_type="Ratio", parallel=parallel,
            name=names,
        )  # fmt: skip
        return mv, lv

    def _feeders(self, lv_bus: Any) -> dict[int, int]:
        rows = [(s, f, k, segment) for s, plan in enumerate(self.plans) for f, feeder in enumerate(plan.feeders)
                for k, segment in enumerate(feeder)]  # fmt: skip
        net = self.net
        names = [f"S{s + 1} F{f + 1} N{k + 1}" for s, f, k, _ in rows]
        ends = [tuple(self.streets.xy[segment.path[-1]].tolist()) for *_, segment in rows]
        buses = pp.create_buses(net, len(rows), _LV_KV, name=names, geodata=ends)
        index = {row[:3]: int(bus) for row, bus in zip(rows, buses)}
        starts = [index[s, f, g.parent] if g.parent >= 0 else int(lv_bus[s]) for s, f, _, g in rows]
        kinds = [_LV_RANKS[g.rank] for *_, g in rows]
        self._cables(
            starts, buses, [g.length_m for *_, g in rows], [(kind, _LV_CABLES[kind], n) for kind, n in kinds],
            [name.replace("N", "L") for name in names], [g.path for *_, g in rows],
        )  # fmt: skip
        return {g.path[-1]: int(bus) for (*_, g), bus in zip(rows, buses) if g.path[-1] in g.members}

    def _rings(self, mv_bus: Any) -> int:
        tours = self.design.rings(self.root, self.plans)
        distance, before = self.streets.paths([self.root, *(plan.root for plan in self.plans)])
        lengths: list[float] = []
        starts, ends, types, names, paths, opened = [], [], [], [], [], []
        amperes_per_w = 1 / (math.sqrt(3) * _LOW * _MV_KV[self.design.country] * 1e3 * _POWER_FACTOR)
        for r, tour in enumerate(tours):
            stops = [0, *(i + 1 for i in tour), 0]
            self.ring_of.update(dict.fromkeys(tour, r))
            load = [self.plans[i].load_w for i in tour]
            parallel = max(1, math.ceil(sum(load) * amperes_per_w / _MV_CABLE.max_a))
            legs = []
            for k, (a, b) in enumerate(pairwise(stops)):
                target = self.root if b == 0 else self.plans[b - 1].root
                path = [target]
                while before[a, path[-1]] >= 0:
                    path.append(int(before[a, path[-1]]))
                legs.append(max(float(distance[a, target]), 25.0))  # two stations at one corner (assumption)
                starts.append(int(mv_bus[a]))
                ends.append(int(mv_bus[b]))
                types.append((_MV_TYPE, _MV_CABLE, parallel))
                names.append(f"R{r + 1} L{k + 1}")
                paths.append(path[::-1])
            opened.append(len(lengths) + _open_point(legs, load))
            lengths += legs
        lines = self._cables(starts, ends, lengths, types, names, paths)
        pp.create_switches(
            self.net, [ends[k] for k in opened], [int(lines[k]) for k in opened], "l", closed=False,
            name=[f"normally open {names[k]}" for k in opened],
        )  # fmt: skip
        return len(tours)

    def _cables(
        self, starts: Any, ends: Any, length_m: Sequence[float], types: Sequence[tuple[str, _Cable, int]],
        names: list[str], paths: Sequence[list[int]],
    ) -> Any:  # fmt: skip
        self.lines.update((name, self.streets.xy[path]) for name, path in zip(names, paths))
        cables = [cable for _, cable, _ in types]
        return pp.create_lines_from_parameters(
            self.net, starts, ends, np.array(length_m) * 1e-3,
            [c.r_ohm_per_km for c in cables], [c.x_ohm_per_km for c in cables], [c.c_nf_per_km for c in cables],
            [c.max_a * 1e-3 for c in cables], name=names, type="cs", parallel=[n for *_, n in types],
            std_type=[kind for kind, *_ in types],
        )  # fmt: skip

    def _loads(self, bus_at: dict[int, int]) -> tuple[dict[str, int], dict[str, float]]:
        design, streets = self.design, self.streets
        dwellings, fixed_w = _demand(self.services)
        own_w = coincident_load(dwellings, design.country, fixed_w, design.dwelling_w)
        bus_of, load_w = {}, {}
        for plan in self.plans:
            members = [i for c in plan.cabinets for i in streets.services[c - streets.n_street]]
            share = plan.load_w / own_w[members].sum()
            for cabinet in plan.cabinets:
                for i in streets.services[cabinet - streets.n_street]:
                    bus_of[self.services[i].label] = bus_at[cabinet]
                    load_w[self.services[i].label] = float(own_w[i] * share)
        order = [s.label for s in self.services]
        bus_of, load_w = {k: bus_of[k] for k in order}, {k: load_w[k] for k in order}
        at_bus: dict[int, float] = defaultdict(float)
        for label, bus in bus_of.items():
            at_bus[bus] += load_w[label]
        self._peak_mw = np.array([at_bus[bus] for bus in sorted(at_bus)]) * 1e-6
        names = self.net.bus["name"].loc[sorted(at_bus)].tolist()
        pp.create_loads(self.net, sorted(at_bus), p_mw=0.0, q_mvar=0.0, name=names)
        return bus_of, load_w

    def _prove(self) -> tuple[float, float, Vector, float]:
        """Solve at design load and without load; reinforce until every limit holds."""
        net = self.net
        graph = pandapower.topology.create_nxgraph(net)
        if not nx.is_tree(nx.Graph(graph)) or graph.number_of_edges() != len(net.bus) - 1:
            raise CosimError("the synthesized grid is not radial in operation: report this street graph as a bug")
        pp.runpp(net, numba=False)
        highest = float(net.res_bus.vm_pu.max())
        net.load["p_mw"] = self._peak_mw
        net.load["q_mvar"] = self._peak_mw * math.tan(math.acos(_POWER_FACTOR))
        for _ in range(20):
            pp.runpp(net, numba=False)
            if not self._reinforce():
                break
        else:
            raise CosimError(
                f"20 reinforcements left the grid outside its limits (the last: "
                f"{self.reinforcements[-1]}): a service "
                "point is too large or too far for low voltage; split it or move the source"
            )
        if highest > 1.05:
            raise CosimError(f"the synthesized grid has {highest:.3f} pu without load: 1.05 is allowed")
        result = (
            float(net.res_bus.vm_pu.min()), highest, net.res_trafo.loading_percent.to_numpy(float) * 1e-2,
            float(net.res_line.loading_percent.max() * 1e-2),
        )  # fmt: skip
        net.load["p_mw"] = net.load["q_mvar"] = 0.0
        pp.toolbox.clear_result_tables(net)
        return result

    def _reinforce(self) -> bool:
        net = self.net
        done = len(self.reinforcements)
        for table in ("line", "trafo"):
            for index in net[table].index[net[f"res_{table}"].loading_percent > 100]:
                net[table].at[index, "parallel"] += 1
                loading = net[f"res_{table}"].at[index, "loading_percent"]
                self.reinforcements.append(f"{net[table].at[index, 'name']}: one more in parallel ({loading:.0f} %)")
        low = net.bus["name"][net.res_bus.vm_pu < _LOW]
        if len(low) and len(self.reinforcements) == done:
            first = {name.rsplit(" ", 1)[0] for name in low if " F" in name}
            feeders = first or {name.rsplit(" ", 1)[0] for name in net.line["name"] if name.startswith("R")}
            of = net.line["name"].str.rsplit(" ", n=1).str[0]
            net.line.loc[of.isin(feeders), "parallel"] += 1
            self.reinforcements += [f"{name}: one more in parallel (below {_LOW} pu)" for name in sorted(feeders)]
        return len(self.reinforcements) > done


def _open_point(legs: Sequence[float], load_w: Sequence[float]) -> int:
    """Return the leg whose opening leaves the least of the larger load moment (load × distance) of the "
    "two ends."""
    out = np.cumsum(legs)[:-1]
    back = np.cumsum(legs[::-1])[::-1][1:]
    ahead = np.concatenate([[0.0], np.cumsum(load_w * out)])
    behind = np.concatenate([np.cumsum((load_w * back)[::-1])[::-1], [0.0]])
    return int(np.argmin(np.round(np.maximum(ahead, behind), 3)))


def synthesize_grid(
    streets: nx.Graph[Any],
    services: Iterable[ServicePoint],
    *,
    country: Country,
    source: tuple[float, float] | None = None,
    dwelling_w: float = 5750.0,
    share_within_m: float = 20.0,
) -> SynthesizedGrid:
    """Build a grid under a street graph; the same input gives the same grid, bit for bit.

    Parameters
    ----------
    streets
        Connected graph; nodes carry ``x`` and ``y``, edges ``length``. [m] Streets are taken as straight.
    services
        What is to be supplied.
    country
        ``"ES"``: 25 kV and ITC-BT-10; ``"IT"``: 15 kV and pylovo's coincidence.
    source
        Where the primary substation stands; default: the centre of the service points. [m]
    dwelling_w
        Load of one Spanish dwelling, 5,750 or 9,200 W. [W]
    share_within_m
        Length of street on which service points share a cabinet; 0 gives every foot its own. [m]

    Raises
    ------
    ScenarioError
        If streets or services cannot be used.
    CosimError
        If no reinforcement makes the grid keep its limits.
    """
    services = list(services)
    _check(streets, services, country)
    cut = _Streets(streets, services, share_within_m)
    dwellings, fixed_w = _demand(services)
    design = _Design(cut, dwellings, fixed_w, country, dwelling_w)
    plans = design.stations()
    at = np.array(source) if source else np.mean([(s.x, s.y) for s in services], axis=0)
    root = int(np.argmin(np.round(np.hypot(*(cut.xy[: cut.n_street] - at).T), 3)))
    return _Builder(services, design, plans, root).build()


def _demand(services: Sequence[ServicePoint]) -> tuple[Vector, Vector]:
    dwellings, fixed_w = np.zeros(len(services)), np.zeros(len(services))
    for i, s in enumerate(services):
        if s.design_load_w is not None:
            fixed_w[i] = s.design_load_w
            continue
        dwellings[i] = math.ceil(s.floor_area_m2 / _DWELLING_M2) if s.dwellings is None else s.dwellings
        fixed_w[i] = max(s.shop_m2 * _SHOP_W_PER_M2, _SHOP_LEAST_W) if s.shop_m2 > 0 else 0.0
    return dwellings, fixed_w


def _check(streets: nx.Graph[Any], services: Sequence[ServicePoint], country: str) -> None:
    problems = []
    if country not in _MV_KV:
        problems.append(f"country is {country!r}: the design rules known are 'ES' and 'IT'")
    if not services:
        problems.append("there is no service point: pass at least one")
    twice = [label for label, n in Counter(s.label for s in services).items() if n > 1]
    if twice:
        problems.append(f"service point {twice[0]!r} stands twice: every one needs a label of its own")
    dwellings, fixed_w = _demand(services) if services else (np.zeros(0), np.zeros(0))
    for s, n, w in zip(services, dwellings, fixed_w):
        if not (math.isfinite(s.x) and math.isfinite(s.y) and math.isfinite(w) and n >= 0 and w >= 0 and n + w > 0):
            problems.append(
                f"service point {s.label!r} at ({s.x}, {s.y}) has {n:g} dwellings and {w:g} W: place and "
                "load must be "
                "finite, the load positive"
            )
    for node, d in streets.nodes(data=True):
        if not all(isinstance(d.get(k), (int, float, np.number)) and math.isfinite(d[k]) for k in ("x", "y")):
            problems.append(f"street node {node!r} has no finite x and y: give them in metres")
            break
    for u, v, d in streets.edges(data=True):
        if not (isinstance(d.get("length"), (int, float, np.number)) and 0 < d["length"] < math.inf):
            problems.append(f"street {u!r} – {v!r} has length {d.get('length')!r}: it must be positive, in metres")
            break
    if streets.number_of_edges() == 0:
        problems.append("the street graph has no edge: cables lie under streets")
    elif not nx.is_connected(nx.Graph(streets)):
        problems.append("the street graph is not connected: pass its largest component")
    if problems:
        raise ScenarioError(problems)
