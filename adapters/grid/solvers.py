"""Interface of power-flow engines, and the fast engine.

`FastSolver` reads admittances, bus kinds and ratings from pandapower once and solves with `cosim.core.grid.powerflow`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pandapower as pp
from pandapower.pypower.idx_brch import F_BUS, T_BUS
from pandapower.pypower.idx_bus import BASE_KV, GS, PD, QD
from pandapower.pypower.idx_gen import GEN_BUS, PG, QMAX, QMIN, SL_FAC
from pandapower.pypower.makeYbus import branch_vectors
from scipy import sparse

from cosim.core.grid.powerflow import Branches, PowerFlow
from cosim.core.quantities import Complex, Indices, Vector


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """One solved power flow; arrays follow the net's lines, transformers and external grids and the solver's buses.

    Transformers are the two-winding ones, then the three-winding ones; ``transformer_w`` is the power that
    enters at their high-voltage sides. A line without rating has no loading (NaN). ``own_w`` is what the net's own
    elements draw and (negative) feed in, in any order. [W] Dead elements have no loading and no losses; the voltage of
    a dead bus is NaN.
    """

    voltage_pu: Vector
    line_loading: Vector
    transformer_loading: Vector
    transformer_w: Vector
    line_losses_w: Vector
    transformer_losses_w: Vector
    import_w: Vector
    import_var: Vector
    own_w: Vector
    method: str


class Solver(Protocol):
    """Power-flow engine used by `Grid`."""

    method: str
    """Solution method, as far as known in advance."""
    mismatch_w: float
    """Largest active-power mismatch at a bus of a solution."""

    def solve(self, power_w: Vector, reactive_var: Vector) -> Flow:
        """Solve for the demand at the connection points, shape (n_points,) each.

        Raises
        ------
        ArithmeticError
            If there is no solution; the next call must not be affected.
        """


class NoBranchesError(Exception):
    """Only buses are left: pandapower just adds up the power at each, and has no admittances."""


class FastSolver:
    """The net's admittances, read once, and `cosim.core.grid.powerflow` on them.

    Parameters
    ----------
    net
        A validated net; it is modified.
    buses
        Bus index of each connection point.
    monitored
        Bus indices whose voltage is reported.
    tolerance_mva
        Ignored, for the interface of `NewtonRaphson`; iterations stop at `cosim.core.grid.powerflow.TOLERANCE`.
    """

    def __init__(self, net: Any, buses: npt.ArrayLike, monitored: npt.ArrayLike, tolerance_mva: float) -> None:
        del tolerance_mva
        # At this tolerance pandapower builds all matrices and the linear start, but does not iterate.
        pp.runpp(net, numba=False, lightsim2grid=False, tolerance_mva=1e30, trafo_loading="current", max_iteration=1)
        ppc = net["_ppc"]
        inner = ppc["internal"]
        if "bus" not in inner:
            raise NoBranchesError
        bus, gen, branch = inner["bus"].real, inner["gen"].real, inner["branch"]
        self._base_va = float(inner["baseMVA"]) * 1e6
        self._lookup, self._n = net["_pd2ppc_lookups"]["bus"], len(bus)
        self._at = self._place(buses)
        self._rows = self._place(monitored)
        self._read_injections(net, bus, gen, inner)
        self._read_branches(net, ppc, bus, branch)
        self._flow = PowerFlow(
            inner["Ybus"] + sparse.diags(np.conj(self._impedance)),
            slack=inner["ref"],
            generators=inner["pv"],
            start=inner["V"],
            drop=-self._current,
            base=self._fixed,
        )
        self.method: str = self._flow.method
        self.mismatch_w = 1e-10 * self._base_va

    def _place(self, buses: npt.ArrayLike) -> Indices:
        """Return the internal numbers of buses, -1 for buses without voltage."""
        number = np.asarray(self._lookup[np.asarray(buses, np.int64)], np.int64)
        return np.where(number < self._n, number, -1)

    def _sum(self, at: Indices, values: Complex | Vector) -> Complex:
        """Sum values per live bus."""
        live = at >= 0
        values = np.asarray(values, np.complex128)
        return np.bincount(at[live], values.real[live], self._n) + 1j * np.bincount(
            at[live], values.imag[live], self._n
        )

    def _read_injections(self, net: Any, bus: Vector, gen: Vector, inner: Any) -> None:
        # pandapower averages the voltage dependence of a bus's loads and applies it to all power there;
        # here every load keeps its own, and the connection points draw constant power.
        load = net.load
        on = load["in_service"].to_numpy(bool)
        nominal = np.where(on, (load.p_mw + 1j * load.q_mvar) * load.scaling, 0.0) * 1e6 / self._base_va
        at = self._place(load["bus"]) if len(load) else np.zeros(0, np.int64)

        def part(kind: str) -> Complex:
            share = [load[f"const_{kind}_{pq}_percent"].to_numpy(float) / 100 for pq in "pq"]
            return self._sum(at, nominal.real * share[0] + 1j * nominal.imag * share[1])

        self._impedance, self._current = part("z"), part("i")
        drawn = (bus[:, PD] + 1j * bus[:, QD]) * 1e6 / self._base_va - self._impedance - self._current
        self._shunt = bus[:, GS] * 1e6 / self._base_va + self._impedance.real
        place = gen[:, GEN_BUS].astype(np.int64)
        given = np.ones(len(gen), bool)
        given[inner["ref_gens"]] = False
        produced = np.bincount(place[given], gen[given, PG], self._n) * 1e6 / self._base_va
        self._fixed = produced - drawn
        self._own = np.concatenate([drawn.real, -produced])
        self._slack_bus = np.asarray(inner["ref"], np.int64)

        # Several grids and generators at one bus share its power as in pandapower.
        grids = net.ext_grid
        number: dict[int, int] = {int(row): k for k, row in enumerate(np.flatnonzero(inner["gen_is"]))}
        rows = net["_pd2ppc_lookups"]["ext_grid"]
        self._grid_bus = np.full(len(grids), -1)
        self._p_share, self._q_share = np.zeros(len(grids)), np.zeros(len(grids))
        for k, index in enumerate(grids.index):
            row = number.get(int(rows[index]) if index < len(rows) else -1)
            if row is None or not grids.in_service.iloc[k]:
                continue
            here = np.flatnonzero(place == place[row])
            sources = here[~given[here]]
            weights = gen[sources, SL_FAC]
            self._grid_bus[k] = place[row]
            self._p_share[k] = gen[row, SL_FAC] / weights.sum() if weights.sum() > 0 else 1 / len(sources)
            has_range = gen[here, QMIN].sum() != gen[here, QMAX].sum()
            self._q_share[k] = 0.0 if has_range and len(gen) > 1 else 1 / len(here)
        self._produced = produced

    def _read_branches(self, net: Any, ppc: Any, bus: Vector, branch: Any) -> None:
        n = len(ppc["branch"])
        live = np.flatnonzero(ppc["internal"]["branch_is"])
        tt, ff, ft, tf = branch_vectors(branch, len(branch))
        from_bus, to_bus = branch[:, F_BUS].real.astype(np.int64), branch[:, T_BUS].real.astype(np.int64)
        limit_ka = np.full((n, 2), np.inf)
        where = net["_pd2ppc_lookups"]["branch"]

        def rows(table: str) -> slice:
            return slice(*where[table]) if len(net[table]) else slice(0, 0)

        self._lines, self._trafos, self._trafos3 = rows("line"), rows("trafo"), rows("trafo3w")
        line, two, three = net.line, net.trafo, net.trafo3w
        limit_ka[self._lines] = (line.max_i_ka * line.df * line.parallel).to_numpy(float)[:, None]
        for end, side in enumerate(("hv", "lv")):
            limit_ka[self._trafos, end] = two.sn_mva * two.parallel * two.df / (np.sqrt(3) * two[f"vn_{side}_kv"])
        for k, (side, end) in enumerate((("hv", 0), ("mv", 1), ("lv", 1))):
            begin = self._trafos3.start + k * len(three)
            limit_ka[begin : begin + len(three), end] = three[f"sn_{side}_mva"] / (np.sqrt(3) * three[f"vn_{side}_kv"])
        base_ka = self._base_va * 1e-6 / (np.sqrt(3) * bus[:, BASE_KV])
        limit = limit_ka[live] / np.stack([base_ka[from_bus], base_ka[to_bus]], axis=1)
        self._branches = Branches(from_bus, to_bus, np.stack([ff, ft, tf, tt], axis=1), limit)
        self._live, self._n_branches = None if len(live) == n else live, n

    def solve(self, power_w: Vector, reactive_var: Vector) -> Flow:
        """Solve for the demand at the connection points; see `Solver`."""
        base = self._base_va
        demand = self._sum(self._at, (power_w + 1j * reactive_var) / base)
        solution = self._flow.solve(self._fixed - demand)
        voltage = solution.voltage
        size = np.abs(voltage)
        injected = self._flow.injected(voltage)
        bus_power = injected - self._fixed + demand + self._current * size  # power of slack sources and generators
        loading, losses, sent = (self._spread(each) for each in self._branches.rate(voltage))
        three = self._trafos3
        alive = self._grid_bus >= 0
        at_grid = np.where(alive, bus_power[self._grid_bus], 0.0)
        import_w = at_grid.real * self._p_share * base
        slack_w = bus_power[self._slack_bus].real.sum() * base
        total = losses.sum()
        in_lines, in_two = losses[self._lines], losses[self._trafos]
        in_three = losses[three].reshape(3, -1).sum(axis=0)
        other = total - in_lines.sum() - in_two.sum() - in_three.sum()
        return Flow(
            voltage_pu=np.where(self._rows >= 0, size[self._rows], np.nan),
            line_loading=loading[self._lines],
            transformer_loading=np.concatenate([loading[self._trafos], loading[three].reshape(3, -1).max(axis=0)]),
            transformer_w=np.concatenate([sent[self._trafos], sent[three].reshape(3, -1)[0]]) * base,
            line_losses_w=in_lines * base,
            transformer_losses_w=np.concatenate([in_two, in_three]) * base,
            import_w=import_w,
            import_var=at_grid.imag * self._q_share * base,
            own_w=np.concatenate(
                [
                    self._own * base,
                    (self._shunt * size + self._current.real) * size * base,
                    [other * base, import_w.sum() - slack_w],
                ]
            ),
            method=solution.method,
        )

    def _spread(self, values: Vector) -> Vector:
        """Return values of live branches, with zeros for dead ones."""
        if self._live is None:
            return values
        full = np.zeros(self._n_branches)
        full[self._live] = values
        return full
