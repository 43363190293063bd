"""Response of a grid to a demand, including inverters, shedding and steps without solution."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Sized
from typing import Any, Literal, TypeAlias

import numpy as np

from cosim.core import CosimError
from cosim.core.grid.powerflow import carried
from cosim.core.quantities import Indices, Vector

from .placing import PlacedControls
from .solvers import Flow
from .states import GridStates
from .supply import ratings_va

OnDivergence: TypeAlias = Literal["stop", "shed", "hold"]

_SHED_ROUNDS = 60
_SHED_TO = 0.95
"""Share of the largest demand with a solution that is supplied after shedding: the limit itself is not stable."""


def own_load_w(net: Any) -> float:
    """Return the power of a net's own loads in service at nominal voltage. [W]"""
    load = net.load[net.load.in_service.astype(bool)]
    return float((load.p_mw * load.scaling).sum() * 1e6)


class Response:
    """Solves for a demand with all controls that act within a step, and checks the balance of every solution.

    Parameters
    ----------
    states
        The net, with an engine for its current state.
    controls
        The grid's controls.
    rows
        Row of the voltage at every connection point, then at every storage with a capacity; -1 where it has none.
    points, buses
        Labels of the connection points, and of the buses with a voltage.
    on_divergence, report
        See `cosim.adapters.grid.Grid`, and `cosim.core.Adapter.report`.

    Attributes
    ----------
    served : shape (len(rows),)
        Power supplied in the last solution. [W]
    curtailed : shape (len(rows),)
        Feed-in curtailed by inverters in the last solution. [W]
    """

    def __init__(
        self,
        states: GridStates,
        controls: PlacedControls,
        rows: Indices,
        points: Sequence[str],
        buses: Sequence[str],
        *,
        on_divergence: OnDivergence,
        report: Callable[[str, str, str], None],
    ) -> None:
        self._states, self._controls, self._rows = states, controls, rows
        self._points, self._buses = points, buses
        self._on_divergence, self._report = on_divergence, report
        self._rating_va = ratings_va(states.net)
        self._cap_limit, self._cap_rating = np.full(len(rows), np.inf), np.zeros(len(rows))
        self._cap_limit[controls.cap_places] = [cap.loading for cap in controls.caps]
        self._cap_rating[controls.cap_places] = [cap.rating_w for cap in controls.caps]
        self._shed_limit = np.full(len(rows), np.inf)
        self._shed_limit[list(controls.sheds)] = [shed.loading for shed in controls.sheds.values()]
        self.served = self.curtailed = np.zeros(len(rows))

    def idle(self) -> Flow:
        """Solve without demand.

        Raises
        ------
        ArithmeticError
            If there is no solution.
        """
        zero = np.zeros(len(self._rows))
        return self._checked(self._states.solver.solve(zero, zero), zero)

    def relieved(self, power: Vector, reactive: Vector) -> tuple[Flow, Vector]:
        """Solve, reducing the points under `Shedding` until their transformers are within limits or all are shed."""
        share, self.curtailed = np.ones(len(power)), np.zeros(len(power))
        flow = self.answered(power, reactive)
        if not self._controls.sheds:
            return flow, share
        sheddable = np.isfinite(self._shed_limit) & (power > 0)
        for _ in range(_SHED_ROUNDS):
            through = flow.transformer_w, flow.transformer_loading, self._rating_va
            room = self._states.supply.room(*through, self._shed_limit)
            # Slightly more than necessary, otherwise the last thousandth would take many rounds.
            over = np.where(room < 0, 1.001 * room - 1.0, np.inf)
            cut = -self._states.supply.least(over, np.where(sheddable, share * power, 0.0))
            if not (cut > 0).any():
                break
            here = cut > 0
            share[here] = np.maximum(share[here] - cut[here] / power[here], 0.0)
            flow = self.answered(share * power, share * reactive)
        for k in np.flatnonzero(share < 1).tolist():
            self._report("shed", self._points[k], f"supplied {share[k]:.1%} of its demand: transformer at its limit")
        return flow, share

    def answered(self, power: Vector, reactive: Vector) -> Flow:
        """Solve with the inverters' response to the resulting voltages."""
        solver = self._states.solver
        if self._controls.inverters is None:
            return self._checked(solver.solve(power, reactive), power)
        flow, used, left = self._controls.inverters.settle(solver.solve, power, reactive, self._rows)
        if left:
            self._report("inverters", "", f"not settled: {left:.2g} of a rating away from their curves")
        at = self._controls.inverters.at
        self.curtailed[at] = np.maximum(used[at] - power[at], 0.0)
        return self._checked(flow, used)

    def caps(self, flow: Flow) -> Vector:
        """Return the maximum power of every point under `PowerCap` in the next step. [W]"""
        room = self._states.supply.room(flow.transformer_w, flow.transformer_loading, self._rating_va, self._cap_limit)
        drawn = self._states.supply.drawn(np.where(self._cap_rating > 0, np.maximum(self.served, 0.0), 0.0))
        most = self._states.supply.least(np.maximum(room + drawn, 0.0), self._cap_rating)
        # Without a voltage, or a solution to determine the free capacity, the cap is 0.
        dead = np.isnan(flow.voltage_pu[self._rows])
        return np.where(dead, 0.0, np.minimum(most, self._cap_rating))[self._controls.cap_places]

    def without_solution(self, power: Vector, reactive: Vector) -> Flow:
        """Report a step without solution and apply ``on_divergence``."""
        shed = self._on_divergence == "shed"
        cuttable = np.isfinite(self._shed_limit) if shed and self._controls.sheds else np.ones(len(power), bool)

        def supplied(share: float) -> tuple[Vector, Vector]:
            part = np.where(cuttable, share, 1.0)
            return part * power, part * reactive

        solver = self._states.solver
        share, weakest = carried(lambda share: solver.solve(*supplied(share)).voltage_pu)
        apparent = np.hypot(power, reactive)
        worst = int(np.argmax(apparent[: len(self._points)]))
        bus = self._buses[weakest] if weakest >= 0 else ""
        edge = (
            f"{share:.1%} of it can be supplied, with the lowest voltage at bus {bus!r}"
            if weakest >= 0
            else "it has none without this demand either"
        )
        own_w = own_load_w(self._states.net)
        text = (
            f"the grid's power flow has no solution: {power.sum() / 1e6:.6g} MW and {reactive.sum() / 1e6:.6g} Mvar "
            f"are drawn in addition to its own {own_w / 1e6:.6g} MW, most at {self._points[worst]!r} "
            f"({apparent[worst] / 1e6:.6g} MVA); {edge}"
        )
        self._report("no solution", bus, text)
        self.curtailed = np.zeros(len(power))
        if self._on_divergence == "hold":
            self.served = self.curtailed = np.full(len(power), np.nan)
            return self._missing()
        for cut in (_SHED_TO * share, 0.5 * share, 0.0) if shed and weakest >= 0 else ():
            try:
                flow = self.answered(*supplied(cut))
            except ArithmeticError:
                continue
            self._report("shed", "", f"{cuttable.sum()} connection points supplied with {cut:.1%} of their demand")
            return flow
        raise CosimError(f"{text}: lower the demand, check its units, reinforce the grid, or pass on_divergence")

    def _missing(self) -> Flow:
        def missing(like: Sized) -> Vector:
            return np.full(len(like), np.nan)

        net = self._states.net
        trafos, lines, grids = missing(self._rating_va), missing(net.line.index), missing(net.ext_grid.index)
        return Flow(
            voltage_pu=missing(self._buses),
            line_loading=lines,
            transformer_loading=trafos,
            transformer_w=trafos,
            line_losses_w=lines,
            transformer_losses_w=trafos,
            import_w=grids,
            import_var=grids,
            own_w=np.zeros(0),
            method="none",
        )

    def _checked(self, flow: Flow, power_w: Vector) -> Flow:
        """Check import = demand + own consumption − own generation + losses, to 1e-6 of the total power.

        The mismatch per bus at which the engines stop is the floor of the tolerance.
        """
        self.served = np.where(np.isnan(flow.voltage_pu[self._rows]), 0.0, power_w)
        losses_w = flow.line_losses_w.sum() + flow.transformer_losses_w.sum()
        residual_w = flow.import_w.sum() - self.served.sum() - flow.own_w.sum() - losses_w
        floor_w = len(self._buses) * self._states.solver.mismatch_w
        allowed_w = 1e-6 * (np.abs(self.served).sum() + np.abs(flow.own_w).sum()) + floor_w
        if not abs(residual_w) <= allowed_w:
            raise CosimError(
                f"the grid's balance is wrong: import {flow.import_w.sum():.9g} W − demand {self.served.sum():.9g} W "
                f"− own net consumption {flow.own_w.sum():.9g} W − losses {losses_w:.9g} W leaves a residual of "
                f"{residual_w:.6g} W, {allowed_w:.3g} W are allowed: do not use the power flow's result"
            )
        return flow
