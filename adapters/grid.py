"""What do the city's loads do to its electric grid: voltages, loadings, losses and import?

`Grid` is the adapter; the net's equations are pandapower's [1]_, solved by an engine behind the seam of
`cosim.adapters.grid_solvers.Solver`.

References
----------
.. [1] L. Thurner et al., pandapower: an open-source Python tool for convenient modeling, analysis and optimization of
   electric power systems, IEEE Transactions on Power Systems 33(6), 2018, doi:10.1109/TPWRS.2018.2829021.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pandapower as pp

from cosim.core import Adapter, CosimError, Input, Output, Placement, ScenarioError, Step

from .grid_control import Inverter, Inverters, TapChangers, TapControl
from .grid_input import find_bus, labels, problems_of, read_net, repair, supplied_buses
from .grid_solvers import Fast, Flow, NewtonRaphson, Solver

__all__ = ["Grid", "Inverter", "TapControl", "read_net"]

Vector: TypeAlias = npt.NDArray[np.float64]
OnDivergence: TypeAlias = Literal["stop", "missing", "shed"]

_REMEMBERED = 64
"""Switch states and tap positions whose admittances are kept."""
_ROUNDS = 60
"""Solutions after which inverters that still answer each other are left as they are."""
_SHED_TO = 0.95
"""Share of the last demand that had a solution that is supplied after shedding: the edge itself is not stable."""
_METHODS = {
    "tree": "radial: fixed point over a tree's LDU factors",
    "mesh": "meshed: fixed point with cached sparse LU factors",
    "newton": "generators hold voltages: Newton's method with kept sparse LU factors",
    "pandapower": "reference mode: pandapower's Newton-Raphson at every step",
}


class Grid(Adapter):
    """A distribution grid: power flow at every step.

    Power drawn is positive, power fed in negative; an import from the upstream grid is positive. What is
    connected to `power` comes on top of the net's own loads and generators, which stay as they stand in the
    net (`own_load_w`); set their ``p_mw`` to zero or take them out of service if the connections replace
    them.

    Parameters
    ----------
    net
        A pandapower net. It is copied, never changed.
    connection_points
        Label → bus, by pandapower index or by name; several may share a bus. Default: every bus that carries
        a load, labelled by the bus's name.
    engine
        ``"auto"``: the net's admittances are read once and the fastest method that fits is taken and reported.
        ``"pandapower"``: the reference, ``runpp`` at every step, with the same numbers.
    on_divergence
        What a step without solution does, beside its event. ``"stop"``: ends the run with an error. ``"missing"``:
        its outputs are NaN, and each connection's ``if_missing`` says what is heard instead. ``"shed"``: all
        connection points are cut by the same share, to 95 % of the last demand that has a solution.
    switchable
        Names (or indices) of the switches that `switch_closed` operates during the run.
    tap_control
        Transformer → control of its tap changer under load.
    inverters
        Connection point → inverter that answers to its voltage.
    tolerance_mva
        Largest power mismatch at a bus in the engine ``"pandapower"``. [MVA, per unit of ``net.sn_mva``]

    Attributes
    ----------
    power, reactive_power
        Demand per connection point, mean over the step. [W, var]
    switch_closed
        1 for closed and 0 for open, per switchable switch; as in the net by default. Only with ``switchable``. [1]
    voltage
        Voltage per supplied bus at the step's end, relative to its nominal voltage; NaN while switches leave
        the bus without supply. [pu]
    line_loading, transformer_loading
        Current over its limit, 1 being full load; for a transformer the larger of its sides. [1]
    headroom
        Apparent power that a transformer can still carry: (1 − loading) · rating, negative in overload. [W]
    line_losses, transformer_losses, losses
        Active losses, per element and for the whole network. [W]
    grid_import, reactive_import
        What each external grid feeds in. [W, var]
    unserved_power
        Demand that was shed or stands at a dead bus. Only with ``switchable`` or ``on_divergence="shed"``. [W]
    curtailed_power
        Feed-in that inverters held back. Only with ``inverters``. [W]
    tap_position
        Positions at the step's end; the step's flows are those after the last move. Only with ``tap_control``. [1]

    Raises
    ------
    ScenarioError
        With everything that is wrong with the net: no external grid, impossible or missing electrical values,
        unknown buses, connection points that no external grid supplies, elements that the balance does not
        know.
    """

    placement: ClassVar[Placement] = "inline"
    engines: ClassVar[Mapping[str, Callable[..., Solver]]] = {"auto": Fast, "pandapower": NewtonRaphson}

    def __init__(
        self,
        net: Any,
        *,
        connection_points: Mapping[str, int | str] | None = None,
        engine: Literal["auto", "pandapower"] = "auto",
        on_divergence: OnDivergence = "stop",
        switchable: Iterable[str | int] = (),
        tap_control: Mapping[str, TapControl] | None = None,
        inverters: Mapping[str, Inverter] | None = None,
        tolerance_mva: float = 1e-8,
    ) -> None:
        problems = []
        if not 0 < tolerance_mva < 1:
            problems.append(f"tolerance_mva is {tolerance_mva}: it must lie between 0 and 1, as 1e-8")
        if engine not in self.engines:
            problems.append(f"engine is {engine!r}: write one of {', '.join(map(repr, self.engines))}")
        if on_divergence not in ("stop", "missing", "shed"):
            problems.append(f"on_divergence is {on_divergence!r}: write 'stop', 'missing' or 'shed'")
        self._net = net = copy.deepcopy(net)
        problems += problems_of(net)
        if problems:
            raise ScenarioError(problems)
        self._engine, self._on_divergence, self._tolerance_mva = engine, on_divergence, tolerance_mva
        self._notes = list(repair(net))
        bus_names = dict(zip(net.bus.index, labels(net.bus, "bus")))
        switches = self._find_switches(switchable, problems)
        self._buses = self._reachable(bus_names)
        self._points = self._find_points(connection_points, bus_names, problems)
        trafos = labels(net.trafo, "transformer")
        self._tapped = self._find_taps(tap_control or {}, trafos, problems)
        self._inverters = self._find_inverters(inverters or {}, problems)
        if problems:
            raise ScenarioError(problems)
        row = {bus: k for k, bus in enumerate(self._buses)}
        self._point_rows = np.array([row[bus] for bus in self._points.values()], np.int64)
        rating = np.concatenate(
            [net.trafo.sn_mva * net.trafo.parallel * net.trafo.df, net.trafo3w.sn_hv_mva], dtype=np.float64
        )
        self._rating_va = rating * 1e6  # MVA -> VA
        self._solvers: dict[tuple[bytes, bytes], Solver] = {}
        self._solver: Solver | None = None
        self._taps: TapChangers | None = None
        self._closed = net.switch["closed"].to_numpy(bool, copy=True)
        self._declare(bus_names, switches, _unique([*trafos, *labels(net.trafo3w, "three-winding transformer")]))

    def _declare(self, bus_names: Mapping[int, str], switches: list[str], trafos: list[str]) -> None:
        net, lost = self._net, self._on_divergence == "missing"
        lines, imports = labels(net.line, "line"), labels(net.ext_grid, "external grid")
        self.power = Input("W", self._points)
        self.reactive_power = Input("var", self._points, default=0.0)
        if switches:
            self.switch_closed = Input("1", switches, default=self._closed[self._switch_rows].astype(float))
        buses = [bus_names[bus] for bus in self._buses]
        self.voltage = Output("pu", buses, kind="end", may_be_missing=lost or bool(switches))
        self.line_loading = Output("1", lines, kind="mean", may_be_missing=lost)
        self.transformer_loading = Output("1", trafos, kind="mean", may_be_missing=lost)
        self.headroom = Output("W", trafos, kind="mean", may_be_missing=lost)
        self.line_losses = Output("W", lines, kind="mean", may_be_missing=lost)
        self.transformer_losses = Output("W", trafos, kind="mean", may_be_missing=lost)
        self.losses = Output("W", ["network"], kind="mean", may_be_missing=lost)
        self.grid_import = Output("W", imports, kind="mean", may_be_missing=lost)
        self.reactive_import = Output("var", imports, kind="mean", may_be_missing=lost)
        if switches or self._on_divergence == "shed":
            self.unserved_power = Output("W", self._points, kind="mean", may_be_missing=lost)
        if self._inverters is not None:
            at = np.array(list(self._points))[self._inverters.at]
            self.curtailed_power = Output("W", at, kind="mean", may_be_missing=lost)
        if self._tapped:
            self.tap_position = Output("1", self._tapped, kind="end")

    def _find_switches(self, switchable: Iterable[str | int], problems: list[str]) -> list[str]:
        names = labels(self._net.switch, "switch")
        places = dict(zip(self._net.switch.index, range(len(names)))) | dict(zip(names, range(len(names))))
        wanted = [switchable] if isinstance(switchable, str) else list(switchable)
        lost = [each for each in wanted if each not in places]
        problems += [f"switch {each!r} is not in the net: pass a name or index" for each in lost]
        self._switch_rows = np.array([places[each] for each in wanted if each in places], np.int64)
        return [names[row] for row in self._switch_rows]

    def _reachable(self, bus_names: Mapping[int, str]) -> list[int]:
        """Return the buses that are supplied now or with all switchable switches closed, and note the others."""
        net = self._net
        found = set(supplied_buses(net))
        if len(self._switch_rows):
            closed = net.switch["closed"].copy()
            net.switch.iloc[self._switch_rows, net.switch.columns.get_loc("closed")] = True
            found |= set(supplied_buses(net))
            net.switch["closed"] = closed
        self._notes += [
            ("isolated", bus_names[bus], "no external grid supplies this bus: no voltage, left out")
            for bus in sorted(set(net.bus.index) - found)
        ]
        return [bus for bus in net.bus.index if bus in found]

    def _find_points(
        self, given: Mapping[str, int | str] | None, bus_names: Mapping[int, str], problems: list[str]
    ) -> dict[str, int]:
        net, known = self._net, set(self._buses)
        if given is None:
            given = {bus_names[bus]: bus for bus in self._buses if bus in set(net.load.bus)}
        points = {str(label): find_bus(net, label, bus, problems) for label, bus in given.items()}
        problems += [
            f"connection point {label!r} is at bus {bus_names[bus]!r}, which no external grid supplies: "
            "close a switch, put the bus in service or move the point"
            for label, bus in points.items()
            if bus in bus_names and bus not in known
        ]
        if not given:
            problems.append("the grid has no connection point, its net has no load: pass connection_points")
        return points

    def _find_taps(self, wanted: Mapping[str, TapControl], trafos: list[str], problems: list[str]) -> list[str]:
        trafo, rows = self._net.trafo, []
        for name in wanted:
            if name not in trafos:
                problems.append(f"tap_control names {name!r}, which is no transformer of the net")
                continue
            row = trafos.index(name)
            data = trafo.iloc[row].get(["tap_side", "tap_pos", "tap_min", "tap_max", "tap_step_percent"])
            if data.isna().any() or data.tap_step_percent == 0:
                problems.append(
                    f"transformer {name!r} has no tap changer: tap_control needs its tap_side, tap_pos, tap_min, "
                    "tap_max and tap_step_percent"
                )
            rows.append(row)
        self._controls = [wanted[trafos[row]] for row in rows]
        self._tap_rows = np.array(rows, np.int64)
        return [trafos[row] for row in rows]

    def _find_inverters(self, wanted: Mapping[str, Inverter], problems: list[str]) -> Inverters | None:
        points = list(self._points)
        problems += [f"inverters names {each!r}, which is no connection point" for each in wanted if each not in points]
        known = {points.index(each): inverter for each, inverter in wanted.items() if each in points}
        return Inverters(list(known), list(known.values())) if known else None

    @classmethod
    def from_json(cls, path: str | Path, **options: Any) -> Grid:
        """Read a net that ``pandapower.to_json`` wrote; see `read_net` for what is refused, `Grid` for the options."""
        grid = cls(read_net(path), **options)
        grid.files = (Path(path),)
        return grid

    @property
    def own_load_w(self) -> float:
        """What the net's own loads in service draw at nominal voltage, besides the connection points. [W]"""
        load = self._net.load[self._net.load.in_service.astype(bool)]
        return float((load.p_mw * load.scaling).sum() * 1e6)

    def open(self) -> None:
        """Solve the net with nothing drawn at the connection points, for the initial voltages."""
        for note in self._notes:
            self.report(*note)
        net = self._net
        self._solvers = {}
        self._closed = net.switch["closed"].to_numpy(bool, copy=True)
        if self._tapped:
            trafo = net.trafo.iloc[self._tap_rows]
            # A higher position adds turns at its side: at the high-voltage side the low voltage falls.
            raises = np.where(trafo.tap_side == "lv", 1.0, -1.0) * np.sign(trafo.tap_step_percent.to_numpy(float))
            low, high, now = (trafo[name].to_numpy(float) for name in ("tap_min", "tap_max", "tap_pos"))
            self._taps = TapChangers(self._controls, low, high, now, raises)
            rows = {bus: k for k, bus in enumerate(self._buses)}
            self._tap_bus_rows = np.array([rows[bus] for bus in trafo.lv_bus], np.int64)
            self.tap_position.value = self._taps.position
        self._solver = self._assembled()
        self.report("engine", self._solver.method, _METHODS.get(self._solver.method, ""))
        nothing = np.zeros(len(self._points))
        try:
            self.voltage.value = self._checked(self._solver.solve(nothing, nothing), nothing).voltage_pu
        except ArithmeticError:  # full generation without demand may have none; the first step will tell
            self.report("no solution", "", "with nothing drawn at the connection points: no initial voltages")

    def _assembled(self) -> Solver:
        """Return the engine for the present switches and taps, built where it is not remembered."""
        taps = self._taps.position if self._taps is not None else np.zeros(0)
        key = self._closed.tobytes(), taps.tobytes()
        if key not in self._solvers:
            net = copy.deepcopy(self._net)
            net.switch["closed"] = self._closed
            if len(taps):
                net.trafo["tap_pos"] = net.trafo["tap_pos"].astype(float)
                net.trafo.iloc[self._tap_rows, net.trafo.columns.get_loc("tap_pos")] = taps
            while len(self._solvers) >= _REMEMBERED:
                del self._solvers[next(iter(self._solvers))]
            build = self.engines[self._engine]
            self._solvers[key] = build(net, list(self._points.values()), self._buses, self._tolerance_mva)
        return self._solvers[key]

    def advance(self, step: Step) -> None:
        """Solve the net for the demand of the step, let its controls act, and check its balance."""
        if self._solver is None:
            raise CosimError("the grid is not open: call open() before advance(step)")
        self._operate()
        power, reactive = self.power.value, self.reactive_power.value
        self._curtailed = np.zeros(len(power))
        try:
            flow = self._controlled(power, reactive, step)
        except ArithmeticError:
            flow = self._divergent(power, reactive)
        for port, values in (
            (self.voltage, flow.voltage_pu),
            (self.line_loading, flow.line_loading),
            (self.transformer_loading, flow.transformer_loading),
            (self.headroom, (1.0 - flow.transformer_loading) * self._rating_va),
            (self.line_losses, flow.line_losses_w),
            (self.transformer_losses, flow.transformer_losses_w),
            (self.losses, flow.line_losses_w.sum() + flow.transformer_losses_w.sum()),
            (self.grid_import, flow.import_w),
            (self.reactive_import, flow.import_var),
        ):
            port.value = values
        if "unserved_power" in self.__dict__:
            self.unserved_power.value = power + self._curtailed - self._served
        if self._inverters is not None:
            self.curtailed_power.value = self._curtailed[self._inverters.at]
        if self._taps is not None:
            self.tap_position.value = self._taps.position

    def close(self) -> None:
        """Forget the solver."""
        self._solver, self._taps, self._solvers = None, None, {}

    def versions(self) -> dict[str, str]:
        """Return the version of pandapower."""
        return {"pandapower": pp.__version__}

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"_solver": None, "_taps": None, "_solvers": {}}

    def _operate(self) -> None:
        """Let the switches follow their input."""
        if not len(self._switch_rows):
            return
        wanted = self.switch_closed.value >= 0.5
        changed = wanted != self._closed[self._switch_rows]
        if not changed.any():
            return
        self._closed[self._switch_rows] = wanted
        for k in np.flatnonzero(changed):
            self.report("switched", self.switch_closed.labels[k], "closed" if wanted[k] else "opened")
        self._solver = self._assembled()
        self.report("topology", self._solver.method, _METHODS.get(self._solver.method, ""))

    def _controlled(self, power: Vector, reactive: Vector, step: Step) -> Flow:
        """Solve, and let tap changers move as long as their time has come."""
        flow = self._answered(power, reactive)
        if self._taps is None:
            return flow
        self._taps.wait(flow.voltage_pu[self._tap_bus_rows], step.length_s)
        while (moved := self._taps.move(flow.voltage_pu[self._tap_bus_rows])).any():
            for k in np.flatnonzero(moved):
                self.report("tap moved", self._tapped[k], f"to {self._taps.position[k]:g}")
            self._solver = self._assembled()
            flow = self._answered(power, reactive)
        return flow

    def _answered(self, power: Vector, reactive: Vector) -> Flow:
        """Solve for what the inverters make of their setpoints, which depends on the voltages that come out."""
        assert self._solver is not None
        if self._inverters is None:
            return self._checked(self._solver.solve(power, reactive), power)
        at, rating = self._inverters.at, self._inverters.rating_va
        used = np.stack([power, reactive])
        used[:, at] = self._inverters.answer(power[at], reactive[at], np.ones(len(at)))
        share, before = np.ones((2, len(at))), np.zeros((2, len(at)))
        for turn in range(_ROUNDS):
            flow = self._solver.solve(*used)
            voltage = np.nan_to_num(flow.voltage_pu[self._point_rows[at]], nan=1.0)
            away = np.stack(self._inverters.answer(power[at], reactive[at], voltage)) - used[:, at]
            if np.abs(away / rating).max() <= 1e-7:
                break
            if turn == _ROUNDS - 1:
                left = np.abs(away / rating).max()
                self.report("inverters", "", f"still {left:.2g} of a rating from their curves after {_ROUNDS} rounds")
                break
            # Steep curves overshoot: then go half as far, and further again where it is slow.
            share[(away * before < 0) & (np.abs(away) > 0.3 * np.abs(before))] *= 0.5
            slow = (away * before > 0) & (np.abs(away) > 0.5 * np.abs(before))
            share[slow] = np.minimum(1.5 * share[slow], 1.0)
            before = away
            used[:, at] += share * away
        self._curtailed[at] = np.maximum(used[0, at] - power[at], 0.0)
        return self._checked(flow, used[0])

    def _divergent(self, power: Vector, reactive: Vector) -> Flow:
        """Say what has no solution, and do what the modeller chose."""
        assert self._solver is not None
        share, weakest = self._solver.limit(power, reactive)
        apparent = np.hypot(power, reactive)
        worst = int(np.argmax(apparent))
        bus = self.voltage.labels[weakest] if weakest >= 0 else ""
        edge = (
            f"{share:.1%} of it can be supplied, with the lowest voltage at bus {bus!r}"
            if weakest >= 0
            else "nor has it one with nothing drawn"
        )
        text = (
            f"the grid's power flow has no solution: {power.sum() / 1e6:.6g} MW and {reactive.sum() / 1e6:.6g} Mvar "
            f"are drawn beside its own {self.own_load_w / 1e6:.6g} MW, most of it at {self.power.labels[worst]!r} "
            f"({apparent[worst] / 1e6:.6g} MVA); {edge}"
        )
        self.report("no solution", bus, text)
        if self._on_divergence == "missing":
            self._served = np.full(len(power), np.nan)
            self._curtailed[:] = np.nan
            return self._missing()
        if self._on_divergence == "shed" and share > 0:
            for cut in (_SHED_TO * share, 0.5 * share, 0.0):
                try:
                    flow = self._answered(cut * power, cut * reactive)
                except ArithmeticError:
                    continue
                self.report("shed", "", f"all connection points were supplied {cut:.1%} of their demand")
                return flow
        raise CosimError(f"{text}: lower the demand, check its units, reinforce the grid, or pass on_divergence")

    def _missing(self) -> Flow:
        def nothing(port: Output) -> Vector:
            return np.full(len(port), np.nan)

        return Flow(
            voltage_pu=nothing(self.voltage),
            line_loading=nothing(self.line_loading),
            transformer_loading=nothing(self.transformer_loading),
            line_losses_w=nothing(self.line_losses),
            transformer_losses_w=nothing(self.transformer_losses),
            import_w=nothing(self.grid_import),
            import_var=nothing(self.reactive_import),
            own_w=np.zeros(0),
            method="none",
        )

    def _checked(self, flow: Flow, power_w: Vector) -> Flow:
        """Assert import = demand + own consumption − own generation + losses, to 1e-6 of what flows.

        Both engines stop at some mismatch per bus, which is the floor of the check.
        """
        assert self._solver is not None
        self._served = np.where(np.isnan(flow.voltage_pu[self._point_rows]), 0.0, power_w)
        losses_w = flow.line_losses_w.sum() + flow.transformer_losses_w.sum()
        residual_w = flow.import_w.sum() - self._served.sum() - flow.own_w.sum() - losses_w
        floor_w = len(self._buses) * self._solver.mismatch_w
        allowed_w = 1e-6 * (np.abs(self._served).sum() + np.abs(flow.own_w).sum()) + floor_w
        if not abs(residual_w) <= allowed_w:
            raise CosimError(
                f"the grid's balance is broken: import {flow.import_w.sum():.9g} W − demand {self._served.sum():.9g} W "
                f"− own net consumption {flow.own_w.sum():.9g} W − losses {losses_w:.9g} W leaves a residual of "
                f"{residual_w:.6g} W, {allowed_w:.3g} W are allowed: the power flow's result is not to be used"
            )
        return flow


def _unique(names: list[str]) -> list[str]:
    """Tell apart what two tables call the same."""
    seen: dict[str, int] = {}
    for k, name in enumerate(names):
        seen[name] = seen.get(name, 0) + 1
        if seen[name] > 1:
            names[k] = f"{name} ({seen[name]})"
    return names
