"""The pandapower net of a design, checked and reinforced at design load."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import networkx as nx
import numpy as np
import pandapower as pp
import pandapower.toolbox
import pandapower.topology

from cosim.core import CosimError
from cosim.core.quantities import Vector

from .design import GridDesign, StationPlan
from .rules import (
    LOWEST_PU,
    LV_CABLES,
    LV_KV,
    LV_RANKS,
    MV_CABLE,
    MV_TYPE,
    POWER_FACTOR,
    STATION_FILL,
    STATION_KVA,
    TRANSFORMERS,
    Cable,
    ServicePoint,
    coincident_load,
    demand_of,
    mv_kv,
)


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
    """Extent of a synthesized grid, and its loading at design load.

    ``bound`` counts what was decisive: stations sized by the transformer's rating or added for the voltage drop,
    low-voltage cables sized by current or raised for the voltage drop.
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
        """Total length of cable routes, parallel cables counted once. [m]"""
        return self.lv_length_m + self.mv_length_m


@dataclass(frozen=True)
class SynthesizedGrid:
    """A grid ready for ``Grid(grid.net, connection_points=grid.bus_of)``.

    Attributes
    ----------
    net
        The pandapower net without demand: one load per cabinet with p_mw = 0.
    bus_of
        Service label → index of its bus; services that share a cabinet share a bus.
    design_load_w
        Service label → its share of its station's coincident load. [W]
    lines
        Line name → its route, shape (n, 2). [m]
    """

    net: Any
    bus_of: dict[str, int]
    design_load_w: dict[str, float]
    lines: dict[str, Vector]
    stations: list[Station]
    report: GridReport


class NetBuilder:
    """Creates the pandapower net of a design in bulk, and checks its limits."""

    def __init__(
        self, services: Sequence[ServicePoint], design: GridDesign, plans: list[StationPlan], root: int
    ) -> None:
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
        lowest, highest, transformer, line = self._check_limits()
        net, xy = self.net, self.streets.xy
        stations = [
            Station(
                f"S{i + 1}",
                float(xy[plan.root, 0]),
                float(xy[plan.root, 1]),
                int(mv_bus[i]),
                int(lv_bus[i]),
                float(net.trafo.sn_mva.iat[i] * net.trafo.parallel.iat[i] * 1e6),
                sum(len(self.streets.services[c - self.streets.n_street]) for c in plan.cabinets),
                self.ring_of[i],
            )
            for i, plan in enumerate(self.plans)
        ]
        is_mv = net.line["name"].str.startswith("R").to_numpy()
        report = GridReport(
            len(self.plans),
            len(net.bus),
            n_rings,
            float(net.line.length_km[~is_mv].sum() * 1e3),
            float(net.line.length_km[is_mv].sum() * 1e3),
            sum(load_w.values()),
            dict(zip((s.label for s in stations), transformer.tolist())),
            line,
            lowest,
            highest,
            dict(self.design.bound),
            self.reinforcements,
        )
        return SynthesizedGrid(net, bus_of, load_w, self.lines, stations, report)

    def _stations(self) -> tuple[Any, Any]:
        net, plans = self.net, self.plans
        kv = mv_kv(self.design.country)
        xy = self.streets.xy[[self.root, *(plan.root for plan in plans)]]
        places = [tuple(p) for p in xy.tolist()]
        names = [f"S{i + 1}" for i in range(len(plans))]
        mv = pp.create_buses(net, len(places), kv, name=["source", *(f"{s} MV" for s in names)], geodata=places)
        lv = pp.create_buses(net, len(plans), LV_KV, name=[f"{s} LV" for s in names], geodata=places[1:])
        pp.create_ext_grid(net, mv[0], vm_pu=1.0, name="primary substation")
        chosen, parallel = [], []
        for plan in plans:
            kva = plan.load_w * 1e-3 / POWER_FACTOR / STATION_FILL
            chosen.append(next((rated for rated in TRANSFORMERS if kva <= rated + 1e-9), STATION_KVA))
            parallel.append(max(1, math.ceil(kva / chosen[-1] - 1e-9)))
        copper, iron, no_load = zip(*(TRANSFORMERS[rated] for rated in chosen))
        # One off-load tap of 2.5 % raises the low voltage by the transformer's drop at full load.
        pp.create_transformers_from_parameters(
            net,
            mv[1:],
            lv,
            np.array(chosen) * 1e-3,
            kv,
            LV_KV,
            list(copper),
            6.0,
            list(iron),
            list(no_load),
            shift_degree=150.0,
            vector_group="Dyn5",
            tap_side="hv",
            tap_neutral=0,
            tap_min=-2,
            tap_max=2,
            tap_step_percent=2.5,
            tap_step_degree=0.0,
            tap_pos=-1,
            tap_changer_type="Ratio",
            parallel=parallel,
            name=names,
        )
        return mv, lv

    def _feeders(self, lv_bus: Any) -> dict[int, int]:
        rows = [
            (s, f, k, segment)
            for s, plan in enumerate(self.plans)
            for f, feeder in enumerate(plan.feeders)
            for k, segment in enumerate(feeder)
        ]
        net = self.net
        names = [f"S{s + 1} F{f + 1} N{k + 1}" for s, f, k, _ in rows]
        ends = [tuple(self.streets.xy[segment.path[-1]].tolist()) for *_, segment in rows]
        buses = pp.create_buses(net, len(rows), LV_KV, name=names, geodata=ends)
        index = {row[:3]: int(bus) for row, bus in zip(rows, buses)}
        starts = [index[s, f, g.parent] if g.parent >= 0 else int(lv_bus[s]) for s, f, _, g in rows]
        kinds = [LV_RANKS[g.rank] for *_, g in rows]
        self._cables(
            starts,
            buses,
            [g.length_m for *_, g in rows],
            [(kind, LV_CABLES[kind], n) for kind, n in kinds],
            [name.replace("N", "L") for name in names],
            [g.path for *_, g in rows],
        )
        return {g.path[-1]: int(bus) for (*_, g), bus in zip(rows, buses) if g.path[-1] in g.members}

    def _rings(self, mv_bus: Any) -> int:
        lengths: list[float] = []
        starts, ends, types, names, paths, opened = [], [], [], [], [], []
        amperes_per_w = 1 / (math.sqrt(3) * LOWEST_PU * mv_kv(self.design.country) * 1e3 * POWER_FACTOR)
        for r, (tour, distance, before) in enumerate(self.design.rings(self.root, self.plans)):
            stops = [0, *(i + 1 for i in tour), 0]
            self.ring_of.update(dict.fromkeys(tour, r))
            load = [self.plans[i].load_w for i in tour]
            parallel = max(1, math.ceil(sum(load) * amperes_per_w / MV_CABLE.max_a))
            legs = []
            for k, (a, b) in enumerate(pairwise(stops)):
                target = self.root if b == 0 else self.plans[b - 1].root
                path = [target]
                while before[k, path[-1]] >= 0:
                    path.append(int(before[k, path[-1]]))
                legs.append(max(float(distance[k, target]), 25.0))  # two stations at one corner (assumption)
                starts.append(int(mv_bus[a]))
                ends.append(int(mv_bus[b]))
                types.append((MV_TYPE, MV_CABLE, parallel))
                names.append(f"R{r + 1} L{k + 1}")
                paths.append(path[::-1])
            opened.append(len(lengths) + _open_point(legs, load))
            lengths += legs
        lines = self._cables(starts, ends, lengths, types, names, paths)
        pp.create_switches(
            self.net,
            [ends[k] for k in opened],
            [int(lines[k]) for k in opened],
            "l",
            closed=False,
            name=[f"normally open {names[k]}" for k in opened],
        )
        return len(opened)

    def _cables(
        self,
        starts: Any,
        ends: Any,
        length_m: Sequence[float],
        types: Sequence[tuple[str, Cable, int]],
        names: list[str],
        paths: Sequence[list[int]],
    ) -> Any:
        self.lines.update((name, self.streets.xy[path]) for name, path in zip(names, paths))
        cables = [cable for _, cable, _ in types]
        return pp.create_lines_from_parameters(
            self.net,
            starts,
            ends,
            np.array(length_m) * 1e-3,
            [c.r_ohm_per_km for c in cables],
            [c.x_ohm_per_km for c in cables],
            [c.c_nf_per_km for c in cables],
            [c.max_a * 1e-3 for c in cables],
            name=names,
            type="cs",
            parallel=[n for *_, n in types],
            std_type=[kind for kind, *_ in types],
        )

    def _loads(self, bus_at: dict[int, int]) -> tuple[dict[str, int], dict[str, float]]:
        design, streets = self.design, self.streets
        dwellings, fixed_w = demand_of(self.services)
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

    def _check_limits(self) -> tuple[float, float, Vector, float]:
        """Solve at design load and without load, and reinforce until every limit holds."""
        net = self.net
        graph = pandapower.topology.create_nxgraph(net)
        if not nx.is_tree(nx.Graph(graph)) or graph.number_of_edges() != len(net.bus) - 1:
            raise CosimError("the synthesized grid is not operated radially: report this street graph as a bug")
        pp.runpp(net, numba=False)
        highest = float(net.res_bus.vm_pu.max())
        net.load["p_mw"] = self._peak_mw
        net.load["q_mvar"] = self._peak_mw * math.tan(math.acos(POWER_FACTOR))
        for _ in range(20):
            share = self._solve()
            if not self._reinforce(share) and share == 1.0:
                break
        else:
            raise CosimError(
                f"the grid is outside its limits after 20 reinforcements (last {self.reinforcements[-1]}): a service "
                "point is too large or too far for low voltage; split it or move the source"
            )
        if highest > 1.05:
            raise CosimError(f"the synthesized grid has {highest:.3f} pu without load: at most 1.05 pu is allowed")
        result = (
            float(net.res_bus.vm_pu.min()),
            highest,
            net.res_trafo.loading_percent.to_numpy(float) * 1e-2,
            float(net.res_line.loading_percent.max() * 1e-2),
        )
        net.load["p_mw"] = net.load["q_mvar"] = 0.0
        pp.toolbox.clear_result_tables(net)
        return result

    def _solve(self) -> float:
        """Solve at design load, or at the largest of its halves that has a solution, and return its share."""
        peak_p, peak_q, share = self.net.load["p_mw"].copy(), self.net.load["q_mvar"].copy(), 1.0
        while True:
            try:
                pp.runpp(self.net, numba=False)
            except pp.LoadflowNotConverged as error:
                share /= 2
                if share < _LEAST_SHARE:
                    raise CosimError(
                        "the synthesized grid has no solution: a service point is too large or too far for low "
                        "voltage; split it, or give it a transformer of its own"
                    ) from error
                self.net.load["p_mw"], self.net.load["q_mvar"] = share * peak_p, share * peak_q
            else:
                self.net.load["p_mw"], self.net.load["q_mvar"] = peak_p, peak_q
                return share

    def _reinforce(self, share: float) -> bool:
        """Reinforce what is beyond its limits at a share of the design load; return whether anything was.

        Without a solution at the whole load, one cable more at a time would take too long: they are doubled.
        """
        net, alone = self.net, share == 1.0
        factor, more = (1, "one more") if alone else (2, "twice as many")
        done = len(self.reinforcements)
        for table in ("line", "trafo"):
            for index in net[table].index[net[f"res_{table}"].loading_percent > 100 * share]:
                loading = net[f"res_{table}"].at[index, "loading_percent"] / share
                net[table].at[index, "parallel"] = factor * net[table].at[index, "parallel"] + alone
                self.reinforcements.append(f"{net[table].at[index, 'name']}: {more} in parallel ({loading:.0f} %)")
        low = net.bus["name"][net.res_bus.vm_pu < 1 - (1 - LOWEST_PU) * share]
        if len(low) and len(self.reinforcements) == done:
            first = {name.rsplit(" ", 1)[0] for name in low if " F" in name}
            feeders = first or {name.rsplit(" ", 1)[0] for name in net.line["name"] if name.startswith("R")}
            of = net.line["name"].str.rsplit(" ", n=1).str[0]
            net.line.loc[of.isin(feeders), "parallel"] = factor * net.line["parallel"] + alone
            self.reinforcements += [f"{name}: {more} in parallel (below {LOWEST_PU} pu)" for name in sorted(feeders)]
        return len(self.reinforcements) > done


_LEAST_SHARE = 1 / 64


def _open_point(legs: Sequence[float], load_w: Sequence[float]) -> int:
    """Return the leg whose opening minimizes the larger load moment (load × distance) of the two ends."""
    out = np.cumsum(legs)[:-1]
    back = np.cumsum(legs[::-1])[::-1][1:]
    ahead = np.concatenate([[0.0], np.cumsum(load_w * out)])
    behind = np.concatenate([np.cumsum((load_w * back)[::-1])[::-1], [0.0]])
    return int(np.argmin(np.round(np.maximum(ahead, behind), 3)))
