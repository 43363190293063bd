"""Reference power-flow engine: pandapower's Newton-Raphson at every step."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandapower as pp
from pandapower.pypower.idx_bus import VA, VM

from cosim.core import ScenarioError
from cosim.core.quantities import Vector

from .net import supplied_buses
from .solvers import Flow

# Stopping at 1e-8 MVA leaves errors up to 2e-8 pu in a 44-bus low-voltage net, and one more iteration none; but
# rounding keeps nets with very short medium-voltage lines from 1e-10. So the tightest tolerance reached is kept.
_TOLERANCES = (0.01, 0.1, 1.0)
# Result columns that add up to an element's consumption, with their sign.
_CONSUMES: dict[str, tuple[tuple[str, ...], float]] = {
    **dict.fromkeys(("load", "storage", "shunt", "ward", "xward", "motor", "asymmetric_load"), (("p_mw",), 1.0)),
    **dict.fromkeys(("sgen", "gen", "asymmetric_sgen"), (("p_mw",), -1.0)),
    **dict.fromkeys(("impedance", "dcline"), (("pl_mw",), 1.0)),
    "switch": (("p_from_mw", "p_to_mw"), 1.0),
}


class NewtonRaphson:
    """pandapower's Newton-Raphson on a net of its own, with one load per connection point.

    pandapower keeps its matrices between steps (``recycle``), which is 2 to 3 times faster than a plain ``runpp`` at 15
    to 1,000 buses and agrees with it to 1e-9. Every step starts from the voltages without demand at the connection
    points, so that previous steps do not affect the last digits; a failed step leaves no trace: pandapower
    itself would continue from the diverged state and keep ``net.converged`` at True.

    Parameters
    ----------
    net, buses, monitored
        As in `cosim.adapters.grid.solvers.FastSolver`.
    tolerance_mva
        Largest power mismatch at a bus; pandapower applies it per unit of ``net.sn_mva``.
    """

    method = "pandapower"

    def __init__(self, net: Any, buses: npt.ArrayLike, monitored: npt.ArrayLike, tolerance_mva: float) -> None:
        self._net, self._tolerance_mva = net, tolerance_mva
        self.mismatch_w = tolerance_mva * float(net.sn_mva) * 1e6
        if len(net.load) and net.load.filter(regex="^const_").to_numpy(float).any():
            raise ScenarioError(
                "the net has voltage-dependent loads, whose percentages pandapower averages over all loads at their "
                "bus: use engine='auto', which keeps each load's own"
            )
        resistive = bool((net.switch.z_ohm.fillna(0.0) > 0).any()) if "z_ohm" in net.switch else False
        self._own_tables = [table for table in _CONSUMES if len(net[table]) and (table != "switch" or resistive)]
        self._n_own = len(net.load)
        buses = np.asarray(buses)
        pp.create_loads(net, buses, p_mw=np.zeros(len(buses)), name=[f"point {i}" for i in range(len(buses))])
        self._p_mw = net.load["p_mw"].to_numpy(float, copy=True)
        self._q_mvar = net.load["q_mvar"].to_numpy(float, copy=True)
        self._rows = net.bus.index.get_indexer(monitored)
        live = set(supplied_buses(net))
        self._supplied = np.isin(np.asarray(monitored), list(live))
        self._live = {
            table: net[table]["in_service"].to_numpy(bool)
            & np.array([all(bus in live for bus in at) for at in zip(*(net[table][end] for end in ends))], bool)
            for table, ends in (
                ("line", ("from_bus", "to_bus")),
                ("trafo", ("hv_bus", "lv_bus")),
                ("trafo3w", ("hv_bus", "mv_bus", "lv_bus")),
            )
        }
        self._start: tuple[Vector, Vector] | None = None
        self._tightest = 0
        zero = np.zeros(len(buses))
        try:
            self._tightest = self._reach(zero, zero)
            ppc = net["_ppc"]
            if "bus" in ppc["internal"]:  # otherwise there is no branch, and no start voltage
                self._start = ppc["bus"][:, (VM, VA)], ppc["internal"]["bus"][:, (VM, VA)]
        except ArithmeticError:
            pass  # every step then starts from flat voltages

    def solve(self, power_w: Vector, reactive_var: Vector) -> Flow:
        """Solve for the demand at the connection points; see `Solver`."""
        self._reach(power_w, reactive_var)
        return self._flow()

    def _reach(self, power_w: Vector, reactive_var: Vector) -> int:
        """Solve to the tightest tolerance that this demand allows, and return the index of the tolerance."""
        net = self._net
        self._p_mw[self._n_own :] = power_w * 1e-6  # W -> MW
        self._q_mvar[self._n_own :] = reactive_var * 1e-6  # var -> Mvar
        net.load["p_mw"], net.load["q_mvar"] = self._p_mw.copy(), self._q_mvar.copy()
        for level in range(self._tightest, len(_TOLERANCES)):
            try:
                self._run(_TOLERANCES[level] * self._tolerance_mva)
                return level
            except ArithmeticError:
                if level == len(_TOLERANCES) - 1:
                    raise
        raise AssertionError("unreachable")

    def _run(self, tolerance_mva: float) -> None:
        net = self._net
        net["converged"] = False
        if self._start is None:
            net["_ppc"] = None
        elif net["_ppc"] is not None:
            net["_ppc"]["bus"][:, (VM, VA)] = self._start[0]
            net["_ppc"]["internal"]["bus"][:, (VM, VA)] = self._start[1]
        try:
            with np.errstate(all="ignore"):  # a diverging iteration overflows before it is abandoned
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
        except Exception as error:
            net["converged"], net["_ppc"] = False, None  # otherwise pandapower continues from the diverged state
            raise ArithmeticError(str(error)) from error

    def _flow(self) -> Flow:
        net = self._net

        def column(table: str, name: str) -> Vector:
            values = net[f"res_{table}"][name].to_numpy(float)
            return np.where(self._live[table], values, 0.0) if table in self._live else values

        own = [
            sign * np.nan_to_num(sum(column(table, name) for name in names))[: self._n_own if table == "load" else None]
            for table, (names, sign) in _CONSUMES.items()
            if table in self._own_tables
        ]
        both = ("trafo", "trafo3w") if len(net.trafo3w) else ("trafo",)
        return Flow(
            voltage_pu=np.where(self._supplied, column("bus", "vm_pu")[self._rows], np.nan),
            line_loading=column("line", "loading_percent") * 1e-2,
            transformer_loading=np.concatenate([column(t, "loading_percent") for t in both]) * 1e-2,
            transformer_w=np.concatenate([column(t, "p_hv_mw") for t in both]) * 1e6,
            line_losses_w=column("line", "pl_mw") * 1e6,
            transformer_losses_w=np.concatenate([column(t, "pl_mw") for t in both]) * 1e6,
            import_w=np.nan_to_num(column("ext_grid", "p_mw")) * 1e6,
            import_var=np.nan_to_num(column("ext_grid", "q_mvar")) * 1e6,
            own_w=np.concatenate([*own, np.zeros(0)]) * 1e6,
            method=self.method,
        )
