"""Which power-flow engines can a `cosim.adapters.grid.Grid` run on, and what do they take from a pandapower net?

`Fast` reads admittances, bus kinds and ratings from pandapower once and solves with `cosim.core.powerflow`;
`NewtonRaphson` runs pandapower at every step and is the reference.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import pandapower as pp
from pandapower.pypower.idx_brch import F_BUS, T_BUS
from pandapower.pypower.idx_bus import BASE_KV, GS, PD, QD, VA, VM
from pandapower.pypower.idx_gen import GEN_BUS, PG, QMAX, QMIN, SL_FAC
from pandapower.pypower.makeYbus import branch_vectors
from scipy import sparse

from cosim.core import ScenarioError
from cosim.core.powerflow import Branches, PowerFlow

from .grid_input import supplied_buses

Vector: TypeAlias = npt.NDArray[np.float64]
Complex: TypeAlias = npt.NDArray[np.complex128]
Index: TypeAlias = npt.NDArray[np.int64]

# Stopping at 1e-8 MVA leaves up to 2e-8 pu in a 44-bus low-voltage net, and one more iteration nothing; but rounding
# keeps nets with very short medium-voltage lines from 1e-10. So the tightest that a net reaches is kept.
_TOLERANCES = (0.01, 0.1, 1.0)
# Sign with which an element's result counts as consumption, and the column that holds it.
_CONSUMES = {
    "load": ("p_mw", 1.0), "storage": ("p_mw", 1.0), "shunt": ("p_mw", 1.0), "ward": ("p_mw", 1.0),
    "xward": ("p_mw", 1.0), "motor": ("p_mw", 1.0), "asymmetric_load": ("p_mw", 1.0),
    "asymmetric_sgen": ("p_mw", -1.0), "sgen": ("p_mw", -1.0), "gen": ("p_mw", -1.0), "impedance": ("pl_mw", 1.0),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Flow:
    """One solved power flow; arrays follow the net's lines, transformers and external grids and the solver's buses.

    Transformers are the two-winding ones, then the three-winding ones. ``own_w`` is what the net's own elements draw
    and (negative) feed in, in any order. [W] What is dead has no loading and no losses; a dead bus's voltage is NaN.
    """

    voltage_pu: Vector
    line_loading: Vector
    transformer_loading: Vector
    line_losses_w: Vector
    transformer_losses_w: Vector
    import_w: Vector
    import_var: Vector
    own_w: Vector
    method: str


class Solver(Protocol):
    """What `Grid` needs of a power-flow engine."""

    method: str
    """How it solves, as far as it is known beforehand."""
    mismatch_w: float
    """Active power that may be missing at a bus of a solution."""

    def solve(self, power_w: Vector, reactive_var: Vector) -> Flow:
        """Solve for the demand at the connection points, shape (n_points,) each.

        Raises
        ------
        ArithmeticError
            If there is no solution; the next call must not be affected.
        """

    def limit(self, power_w: Vector, reactive_var: Vector) -> tuple[float, int]:
        """Return the share of the demand that the net carries, and the row of its weakest bus then (-1: none)."""


class Fast:
    """The net's admittances, read once, and `cosim.core.powerflow` on them.

    Parameters
    ----------
    net
        A validated net; it is changed.
    buses
        Bus index of each connection point.
    monitored
        Bus indices whose voltage is reported.
    tolerance_mva
        Only for the sake of `NewtonRaphson`: these iterations stop at `cosim.core.powerflow.TOLERANCE`.
    """

    def __init__(self, net: Any, buses: npt.ArrayLike, monitored: npt.ArrayLike, tolerance_mva: float) -> None:
        del tolerance_mva
        # At this tolerance pandapower builds everything, the linear start included, and does not iterate.
        pp.runpp(net, numba=False, lightsim2grid=False, tolerance_mva=1e30, trafo_loading="current", max_iteration=1)
        ppc = net["_ppc"]
        inner = ppc["internal"]
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

    def _place(self, buses: npt.ArrayLike) -> Index:
        """Return the internal numbers of buses; -1 for those without voltage."""
        number = np.asarray(self._lookup[np.asarray(buses, np.int64)], np.int64)
        return np.where(number < self._n, number, -1)

    def _sum(self, at: Index, values: Complex | Vector) -> Complex:
        """Add up per bus what stands at live buses."""
        live = at >= 0
        values = np.asarray(values, np.complex128)
        return np.bincount(at[live], values.real[live], self._n) + 1j * np.bincount(
            at[live], values.imag[live], self._n
        )

    def _read_injections(self, net: Any, bus: Vector, gen: Vector, inner: Any) -> None:
        # pandapower averages the voltage dependence of a bus's loads and applies it to whatever stands there;
        # here every load keeps its own, and the connection points draw what they are told.
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

        # Several grids and generators at one bus share its power as pandapower lets them.
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
        bus_power = injected - self._fixed + demand + self._current * size  # what slack sources and generators give
        loading, losses = self._branches.rate(voltage)
        if self._live is not None:
            loading, losses = self._spread(loading), self._spread(losses)
        three = slice(self._trafos3.start, self._trafos3.stop)
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
            line_losses_w=in_lines * base,
            transformer_losses_w=np.concatenate([in_two, in_three]) * base,
            import_w=import_w,
            import_var=at_grid.imag * self._q_share * base,
            own_w=np.concatenate(
                [self._own * base, (self._shunt * size + self._current.real) * size * base,
                 [other * base, import_w.sum() - slack_w]]
            ),
            method=solution.method,
        )  # fmt: skip

    def _spread(self, values: Vector) -> Vector:
        full = np.zeros(self._n_branches)
        full[self._live] = values
        return full

    def limit(self, power_w: Vector, reactive_var: Vector) -> tuple[float, int]:
        """Find what part of the demand the net carries; see `Solver`."""
        demand = self._sum(self._at, (power_w + 1j * reactive_var) / self._base_va)
        share, bus = self._flow.limit(self._fixed, -demand)
        return share, int(np.argmax(self._rows == bus)) if bus in self._rows else -1


class NewtonRaphson:
    """pandapower's Newton-Raphson on a net of its own, with one load per connection point.

    After the first solution pandapower keeps its matrices (``recycle``), which is 2 to 3 times faster than a plain
    ``runpp`` at 15 to 1,000 buses and agrees with it to 1e-9. Whatever fails is solved again from a flat start with
    everything rebuilt, less tightly, and a failed step leaves nothing behind: pandapower itself would go on from
    the diverged state and keep ``net.converged`` at True.

    Parameters
    ----------
    net, buses, monitored
        As in `Fast`.
    tolerance_mva
        Largest power mismatch at a bus; pandapower compares it per unit of ``net.sn_mva``.
    """

    method = "pandapower"

    def __init__(self, net: Any, buses: npt.ArrayLike, monitored: npt.ArrayLike, tolerance_mva: float) -> None:
        self._net, self._tolerance_mva = net, tolerance_mva
        self.mismatch_w = tolerance_mva * float(net.sn_mva) * 1e6
        if len(net.load) and net.load.filter(regex="^const_").to_numpy(float).any():
            raise ScenarioError(
                "the net has voltage-dependent loads, whose percentages pandapower averages over all that stands at "
                "their bus: use engine='auto', which keeps each load's own"
            )
        n_own = len(net.load)
        buses = np.asarray(buses)
        pp.create_loads(net, buses, p_mw=np.zeros(len(buses)), name=[f"point {i}" for i in range(len(buses))])
        self._p_mw = net.load["p_mw"].to_numpy(float, copy=True)
        self._q_mvar = net.load["q_mvar"].to_numpy(float, copy=True)
        self._points = slice(n_own, None)
        self._n_own = n_own
        self._rows = net.bus.index.get_indexer(monitored)
        live = set(supplied_buses(net))
        self._supplied = np.isin(np.asarray(monitored), list(live))
        self._live = {
            table: net[table]["in_service"].to_numpy(bool)
            & np.array([all(bus in live for bus in at) for at in zip(*(net[table][end] for end in ends))], bool)
            for table, ends in (("line", ("from_bus", "to_bus")), ("trafo", ("hv_bus", "lv_bus")),
                                ("trafo3w", ("hv_bus", "mv_bus", "lv_bus")))
        }  # fmt: skip
        self._level = 0
        self._start: tuple[Vector, Vector] | None = None
        self._own_tables = [table for table in _CONSUMES if len(net[table])]

    def solve(self, power_w: Vector, reactive_var: Vector) -> Flow:
        """Solve for the demand at the connection points; see `Solver`."""
        net = self._net
        self._p_mw[self._points] = power_w * 1e-6  # W -> MW
        self._q_mvar[self._points] = reactive_var * 1e-6  # var -> Mvar
        net.load["p_mw"], net.load["q_mvar"] = self._p_mw.copy(), self._q_mvar.copy()
        for level in range(self._level, len(_TOLERANCES)):
            try:
                self._run(_TOLERANCES[level] * self._tolerance_mva)
            except ArithmeticError:
                if level == len(_TOLERANCES) - 1:
                    raise
            else:
                self._level = level
                break
        return self._flow()

    def _run(self, tolerance_mva: float) -> None:
        net = self._net
        net["converged"] = False
        if self._start is not None and net.get("_ppc") is not None:
            # Every step starts from the first solution: what came before must not show in the last digits.
            net["_ppc"]["bus"][:, (VM, VA)] = self._start[0]
            net["_ppc"]["internal"]["bus"][:, (VM, VA)] = self._start[1]
        try:
            with np.errstate(all="ignore"):  # a diverging iteration overflows before it is given up
                pp.runpp(
                    net,
                    numba=False,
                    lightsim2grid=False,
                    tolerance_mva=tolerance_mva,
                    trafo_loading="current",
                    recycle={"bus_pq": True, "trafo": False, "gen": False},
                )
            voltage = net.res_bus["vm_pu"].to_numpy()[self._rows]
            if not (net["converged"] and np.isfinite(voltage[self._supplied]).all()):
                raise ArithmeticError("the power flow gave no finite voltages")
            if self._start is None:
                ppc = net["_ppc"]
                self._start = ppc["bus"][:, (VM, VA)], ppc["internal"]["bus"][:, (VM, VA)]
        except Exception as error:
            net["converged"], net["_ppc"] = False, None  # else pandapower goes on from the diverged state
            raise ArithmeticError(str(error)) from error

    def _flow(self) -> Flow:
        net = self._net

        def column(table: str, name: str) -> Vector:
            values = net[f"res_{table}"][name].to_numpy(float)
            return np.where(self._live[table], values, 0.0) if table in self._live else values

        own = [
            sign * np.nan_to_num(column(table, name))[: self._n_own if table == "load" else None]
            for table, (name, sign) in _CONSUMES.items()
            if table in self._own_tables
        ]
        two_and_three = ("trafo", "trafo3w") if len(net.trafo3w) else ("trafo",)
        return Flow(
            voltage_pu=np.where(self._supplied, column("bus", "vm_pu")[self._rows], np.nan),
            line_loading=column("line", "loading_percent") * 1e-2,
            transformer_loading=np.concatenate([column(t, "loading_percent") for t in two_and_three]) * 1e-2,
            line_losses_w=column("line", "pl_mw") * 1e6,
            transformer_losses_w=np.concatenate([column(t, "pl_mw") for t in two_and_three]) * 1e6,
            import_w=np.nan_to_num(column("ext_grid", "p_mw")) * 1e6,
            import_var=np.nan_to_num(column("ext_grid", "q_mvar")) * 1e6,
            own_w=np.concatenate([*own, np.zeros(0)]) * 1e6,
            method=self.method,
        )

    def limit(self, power_w: Vector, reactive_var: Vector) -> tuple[float, int]:
        """Find what part of the demand the net carries; see `Solver`."""
        share, weakest = 0.0, -1
        for at in (0.0, *(0.5**k for k in range(1, 9))):
            try:
                flow = self.solve((share + at) * power_w, (share + at) * reactive_var)
            except ArithmeticError:
                if at == 0.0:
                    return 0.0, -1
                continue
            share += at
            weakest = int(np.nanargmin(flow.voltage_pu))
        return share, weakest
