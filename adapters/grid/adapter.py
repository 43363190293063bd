"""Grid adapter: power flow of the city's distribution grid at every step.

`Grid` is the adapter; the net's equations are pandapower's [1]_, solved by an engine behind the interface
`cosim.adapters.grid.solvers.Solver`.

References
----------
.. [1] L. Thurner et al., pandapower: an open-source Python tool for convenient modeling, analysis and optimization of
   electric power systems, IEEE Transactions on Power Systems 33(6), 2018, doi:10.1109/TPWRS.2018.2829021.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pandapower as pp

from cosim.core import Adapter, CosimError, Input, Output, Placement, ScenarioError, Step
from cosim.core.adapter import outputs
from cosim.core.quantities import Flags, Vector

from .areas import elements_in_words
from .controls import Control, Fuses, Storages, TapChangers, TapControl
from .files import read_net
from .net import NetElements
from .pandapower_solver import NewtonRaphson
from .placing import PlacedControls
from .response import OnDivergence, Response, own_load_w
from .solvers import FastSolver, Flow, NoBranchesError, Solver
from .states import GridStates
from .supply import free_power, ratings_va
from .taps import uncovered
from .translation import tap_controls, translated

_METHODS = {
    "tree": "radial: fixed point over a tree's LDU factors",
    "mesh": "meshed: fixed point with cached sparse LU factors",
    "newton": "voltage-controlled buses, or no other method converges: Newton's method with KLU",
    "pandapower": "reference mode: pandapower's Newton-Raphson at every step",
}


class Grid(Adapter):
    """A distribution grid: power flow at every step.

    Power drawn is positive, power fed in negative; an import from the upstream grid is positive. Power
    connected to `power` is added to the net's own loads and generators, which keep their values in the
    net (`own_load_w`); set their ``p_mw`` to zero or take them out of service if the connections replace
    them.

    Parameters
    ----------
    net
        A pandapower net. It is copied and never modified.
    connection_points
        Label → bus, by pandapower index or by name; several may share a bus. Default: every bus that carries
        a load, labelled by the bus's name.
    engine
        ``"auto"``: the net's admittances are read once and the fastest suitable method is used and reported.
        ``"pandapower"``: the reference, ``runpp`` at every step, with the same numbers.
    controls
        Local controls: `TapControl`, `Inverter`, `PowerCap`, `Shedding`, `Fuse`. The net's own ``DiscreteTapControl``
        are translated to `TapControl`; its other controllers are left out, as events.
    switchable
        Names (or indices) of the switches operated by `switch_closed` during the run.
    on_divergence
        Effect of a step without solution, in addition to its event. ``"stop"``: the run ends with an error. ``"hold"``:
        its outputs are recorded as missing (NaN); each connection's ``if_missing`` sets the value received instead,
        e.g. the last value with ``"hold"``. ``"shed"``: the connection points under `Shedding` (all if there is none)
        are cut by the same share, to 95 % of the largest demand with a solution, and the step is solved again.
    voltage_band_pu
        Violations are reported as events when they begin and end. The default is the band of EN 50160. [pu]
    tolerance_mva
        Largest power mismatch at a bus in the engine ``"pandapower"``. [MVA, per unit of ``net.sn_mva``]

    Attributes
    ----------
    power, reactive_power
        Demand per connection point, mean over the step. [W, var]
    switch_closed
        1 for closed and 0 for open, per switch in ``switchable``; by default as in the net. [1]
    storage_setpoint
        Charging setpoint of each storage of the net with a capacity; ``p_mw`` by default. [W]
    voltage
        Voltage per supplied bus at the step's end, relative to its nominal voltage; NaN while switches or fuses leave
        the bus without supply. [pu]
    line_loading, transformer_loading
        Current over its limit, 1 at full load; for a transformer the larger of its sides. Lines without a limit
        are omitted. [1]
    transformer_headroom
        Remaining active power up to the rating at the step's end, at the current power factor and in the direction
        of the current flow; negative in overload. [W]
    power_cap
        Maximum power that each point under `PowerCap` may draw in the next step. [W]
    line_losses, transformer_losses, losses
        Active losses, per element and for the whole network. [W]
    grid_import, reactive_import
        Power fed in by each external grid. [W, var]
    unserved_power
        Demand that was shed or is at a dead bus. Only with ``switchable``, `Shedding`, `Fuse` or
        ``on_divergence="shed"``. [W]
    curtailed_power
        Feed-in curtailed by inverters. Only with `Inverter`. [W]
    tap_position
        Positions at the step's end; the step's flows are those after the last move. Only with `TapControl`. [1]
    stored_energy
        Charge of each storage with a capacity at the step's end. [J]

    Raises
    ------
    ScenarioError
        With all problems of the net and the controls: no external grid, impossible or missing electrical values,
        unknown buses, connection points without supply by an external grid, elements that the balance does not
        account for.
    """

    placement: ClassVar[Placement] = "inline"
    engines: ClassVar[Mapping[str, Callable[..., Solver]]] = {"auto": FastSolver, "pandapower": NewtonRaphson}
    """Allowed values of ``engine``."""

    def __init__(
        self,
        net: Any,
        *,
        connection_points: Mapping[str, int | str] | None = None,
        engine: Literal["auto", "pandapower"] = "auto",
        controls: Iterable[Control] = (),
        switchable: Iterable[str | int] = (),
        on_divergence: OnDivergence = "stop",
        voltage_band_pu: tuple[float, float] = (0.9, 1.1),
        tolerance_mva: float = 1e-8,
    ) -> None:
        if not isinstance(net, pp.pandapowerNet):
            raise ScenarioError(f"net is a {type(net).__name__}: pass a pandapower net, as read_net(path) returns")
        problems = []
        if not 0 < tolerance_mva < 1:
            problems.append(f"tolerance_mva is {tolerance_mva}: it must lie between 0 and 1, e.g. 1e-8")
        if engine not in self.engines:
            problems.append(f"engine is {engine!r}: write one of {', '.join(map(repr, self.engines))}")
        if on_divergence not in ("stop", "shed", "hold"):
            problems.append(f"on_divergence is {on_divergence!r}: write 'stop', 'shed' or 'hold'")
        if not 0 < voltage_band_pu[0] < voltage_band_pu[1]:
            problems.append(f"voltage_band_pu is {voltage_band_pu}: write its lower and upper limit, e.g. (0.9, 1.1)")
        self._net = net = copy.deepcopy(net)
        self._notes = translated(net, problems)
        self._engine, self._on_divergence, self._tolerance_mva = engine, on_divergence, tolerance_mva
        self._band = voltage_band_pu
        elements = NetElements(net)
        self._switch_rows = elements.find_switches(switchable, problems)
        self._elements = elements
        self._buses, isolated = elements.reachable(self._switch_rows)
        self._notes += isolated
        self._points = elements.find_points(connection_points, set(self._buses), problems)
        controls = list(controls)
        own = {control.transformer for control in controls if isinstance(control, TapControl)}
        taps, notes = tap_controls(net, elements.names["trafo"], own, self._buses)
        self._notes += notes
        self._controls = PlacedControls([*controls, *taps], self._points, elements, set(self._buses), problems)
        problems += uncovered(net, self._controls.tap_rows)
        if problems:
            raise ScenarioError(problems)
        bounded = Storages.bounded(net.storage) & net.storage.bus.isin(self._buses).to_numpy(bool)
        self._storage_table = net.storage[bounded].copy()
        net.storage.loc[bounded, "in_service"] = False  # they are solved like connection points instead
        self._at = [*self._points.values(), *self._storage_table.bus]
        row = {bus: k for k, bus in enumerate(self._buses)}
        self._rows = np.array([row.get(bus, -1) for bus in self._at], np.int64)
        self._rated_lines = np.isfinite(net.line.max_i_ka.to_numpy(float))
        self._rating_va = ratings_va(net)
        self._declare(elements)
        self._forget()

    def _declare(self, elements: NetElements) -> None:
        net, lost = self._net, self._on_divergence == "hold"
        lines = elements.names["line"]
        rated = [name for name, has in zip(lines, self._rated_lines) if has]
        cuts = bool(len(self._switch_rows) or self._controls.fuses)
        self.power = Input("W", self._points)
        self.reactive_power = Input("var", self._points, default=0.0)
        if len(self._switch_rows):
            names = [elements.names["switch"][row] for row in self._switch_rows]
            closed = net.switch["closed"].to_numpy(float)[self._switch_rows]
            self.switch_closed = Input("1", names, default=closed)
        if len(self._storage_table):
            storages = [elements.names["storage"][net.storage.index.get_loc(i)] for i in self._storage_table.index]
            table = self._storage_table
            setpoint = (table.p_mw * table.scaling).to_numpy(float) * 1e6
            self.storage_setpoint = Input("W", storages, default=setpoint)
            self.stored_energy = Output("J", storages, kind="end")
        buses = [elements.bus_names[bus] for bus in self._buses]
        self.voltage = Output("pu", buses, kind="end", may_be_missing=lost or cuts)
        if rated:
            self.line_loading = Output("1", rated, kind="mean", may_be_missing=lost)
        if lines:
            self.line_losses = Output("W", lines, kind="mean", may_be_missing=lost)
        if transformers := elements.transformers:
            self.transformer_loading = Output("1", transformers, kind="mean", may_be_missing=lost)
            self.transformer_headroom = Output("W", transformers, kind="end", may_be_missing=lost)
            self.transformer_losses = Output("W", transformers, kind="mean", may_be_missing=lost)
        self.losses = Output("W", ["network"], kind="mean", may_be_missing=lost)
        self.grid_import = Output("W", elements.names["ext_grid"], kind="mean", may_be_missing=lost)
        self.reactive_import = Output("var", elements.names["ext_grid"], kind="mean", may_be_missing=lost)
        if cuts or self._controls.sheds or self._on_divergence == "shed":
            self.unserved_power = Output("W", self._points, kind="mean", may_be_missing=lost)
        if self._controls.inverters is not None:
            at = np.array(list(self._points))[self._controls.inverters.at]
            self.curtailed_power = Output("W", at, kind="mean", may_be_missing=lost)
        if self._controls.caps:
            self.power_cap = Output("W", [cap.point for cap in self._controls.caps], kind="end")
        if self._controls.taps:
            self.tap_position = Output("1", [control.transformer for control in self._controls.taps], kind="end")

    @classmethod
    def from_json(cls, path: str | Path, **options: Any) -> Grid:
        """Build the adapter from a net written by ``pandapower.to_json``; see `read_net` and `Grid` for the options."""
        grid = cls(read_net(path), **options)
        grid.files = (Path(path),)
        return grid

    @property
    def own_load_w(self) -> float:
        """Power of the net's own loads in service at nominal voltage, without the connection points. [W]"""
        return own_load_w(self._net)

    def _forget(self) -> None:
        self._states = GridStates(self._net, self._at, self._controls.tap_rows, self._build)
        self._response = Response(
            self._states,
            self._controls,
            self._rows,
            self.power.labels,
            self.voltage.labels,
            on_divergence=self._on_divergence,
            report=self.report,
        )
        self._taps: TapChangers | None = None
        self._storages: Storages | None = None
        self._method = ""
        self._beyond: dict[str, Flags] = {}
        self._closed = self._net.switch["closed"].to_numpy(bool, copy=True)
        self._damage = Fuses(self._controls.fuses)

    def _build(self, net: Any) -> Solver:
        """Return an engine for one state of the net."""
        given = net, self._at, self._buses, self._tolerance_mva
        try:
            return self.engines[self._engine](*given)
        except NoBranchesError:
            return self.engines["pandapower"](*given)
        except CosimError:
            raise
        except Exception as error:
            raise CosimError(f"pandapower cannot build the equations of the net: {error}") from error

    def open(self) -> None:
        """Solve the net without demand at the connection points, for the initial voltages."""
        for note in self._notes:
            self.report(*note)
        self._forget()
        if len(self._storage_table):
            self._storages = Storages(self._storage_table)
            self.stored_energy.value = self._storages.energy_j
        if self._controls.taps:
            trafo = self._net.trafo.iloc[self._controls.tap_rows]
            # A higher position adds turns on its side: on the high-voltage side it lowers the low voltage.
            raises = np.where(trafo.tap_side == "lv", 1.0, -1.0) * np.sign(trafo.tap_step_percent.to_numpy(float))
            low, high, now = (trafo[name].to_numpy(float) for name in ("tap_min", "tap_max", "tap_pos"))
            self._taps = TapChangers(self._controls.taps, low, high, now, raises)
            self._tap_bus_rows = np.array([self._buses.index(bus) for bus in trafo.lv_bus], np.int64)
            self.tap_position.value = self._taps.position
        self._change("engine")
        if self._controls.caps:
            self.power_cap.value = 0.0
        try:
            flow = self._response.idle()
        except ArithmeticError:  # full generation without demand may have none; the first step decides
            self.report("no solution", "", "without demand at the connection points: no initial voltages")
        else:
            self._publish_end(flow)

    def close(self) -> None:
        """Discard the solver."""
        self._forget()

    def save(self, folder: Path) -> None:
        """Write positions, timers, charges and fuse damage; solutions do not depend on previous ones."""
        state: dict[str, Any] = {f"output.{name}": port.value for name, port in outputs(self).items() if port.has_value}
        state |= {f"beyond.{name}": flags for name, flags in self._beyond.items()}
        state |= {"method": np.array(self._method), "closed": self._closed}
        state |= {"damage": self._damage.damage, "blown": self._damage.blown}
        if self._taps is not None:
            state |= {"tap_position": self._taps.position, "tap_waited_s": self._taps.waited_s}
        if self._storages is not None:
            state["energy_j"] = self._storages.energy_j
        np.savez(folder / "grid.npz", **state)

    def load(self, folder: Path) -> None:
        """Restore what `save` wrote."""
        with np.load(folder / "grid.npz", allow_pickle=False) as file:
            state: dict[str, Any] = {name: file[name] for name in file.files}
        self._method, self._closed = str(state["method"]), state["closed"]
        self._damage.damage, self._damage.blown = state["damage"], state["blown"]
        if self._taps is not None:
            self._taps.position, self._taps.waited_s = state["tap_position"], state["tap_waited_s"]
        if self._storages is not None:
            self._storages.energy_j = state["energy_j"]
        self._beyond = {name[7:]: flags for name, flags in state.items() if name[:7] == "beyond."}
        for name, port in outputs(self).items():
            if f"output.{name}" in state:
                port.value = state[f"output.{name}"]
        self._change()

    def describe(self, port: str) -> dict[str, str]:
        """Return bus and transformer of connection points, and what stands behind each transformer."""
        return elements_in_words(self._net, self._elements, self._points, port)

    def versions(self) -> dict[str, str]:
        """Return the versions of pandapower and of the KLU wrapper."""
        return {"pandapower": pp.__version__, "nbklu": version("nbklu")}

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"_states": None, "_response": None, "_taps": None, "_storages": None}

    def _change(self, kind: str = "") -> None:
        """Apply the current switches, taps and blown fuses, and report the solution method."""
        taps = None if self._taps is None else self._taps.position
        fused = [row for row, blown in zip(self._controls.fused, self._damage.blown) if blown]
        self._states.change(self._closed, taps, fused)
        if kind:
            self._method = self._states.solver.method
            self.report(kind, self._method, _METHODS.get(self._method, ""))

    def advance(self, step: Step) -> None:
        """Solve the net for the demand of the step, apply its controls, and check its balance."""
        if self._states is None or not self._states.ready:
            raise CosimError("the grid is not open: call open() before advance(step)")
        self._operate()
        power, reactive = self.power.value, self.reactive_power.value
        if self._storages is not None:
            stored = self._storages.answer(self.storage_setpoint.value, step.length_s)
            power = np.concatenate([power, stored])
            table = self._storage_table
            reactive = np.concatenate([reactive, (table.q_mvar * table.scaling).to_numpy(float) * 1e6])
        try:
            flow = self._controlled(power, reactive, step)
        except ArithmeticError:
            flow = self._response.without_solution(power, reactive)
        if flow.method not in (self._method, "none"):
            self._method = flow.method
            self.report("engine", flow.method, _METHODS.get(flow.method, ""))
        self._publish_mean(flow, power)
        if self._storages is not None:
            self._storages.charge(np.nan_to_num(self._response.served[len(self._points) :]), step.length_s)
            self.stored_energy.value = self._storages.energy_j
        if self._taps is not None:
            self.tap_position.value = self._taps.position
        self._publish_end(flow)
        self._watch(flow)
        self._melt(flow, step.length_s)

    def _publish_mean(self, flow: Flow, asked: Vector) -> None:
        if self._rated_lines.any():
            self.line_loading.value = flow.line_loading[self._rated_lines]
        if len(self._rated_lines):
            self.line_losses.value = flow.line_losses_w
        if len(self._rating_va):
            self.transformer_loading.value = flow.transformer_loading
            self.transformer_losses.value = flow.transformer_losses_w
        self.losses.value = flow.line_losses_w.sum() + flow.transformer_losses_w.sum()
        self.grid_import.value, self.reactive_import.value = flow.import_w, flow.import_var
        if "unserved_power" in self.__dict__:
            self.unserved_power.value = (asked + self._response.curtailed - self._response.served)[: len(self._points)]
        if self._controls.inverters is not None:
            self.curtailed_power.value = self._response.curtailed[self._controls.inverters.at]

    def _publish_end(self, flow: Flow) -> None:
        self.voltage.value = flow.voltage_pu
        if len(self._rating_va):
            free = free_power(np.abs(flow.transformer_w), flow.transformer_loading, self._rating_va, 1.0)
            self.transformer_headroom.value = free
        if self._controls.caps:
            self.power_cap.value = self._response.caps(flow)

    def _watch(self, flow: Flow) -> None:
        """Report violations of limits when they begin and end."""
        low, high = self._band
        watched = [(self.voltage, flow.voltage_pu, (flow.voltage_pu < low) | (flow.voltage_pu > high))]
        for name in ("line_loading", "transformer_loading"):
            if name in self.__dict__:
                port: Output = getattr(self, name)
                watched.append((port, port.value, port.value > 1.0))
        for port, value, beyond in watched:
            name = port.name.rpartition(".")[2]
            before = self._beyond.get(name, np.zeros(len(port), bool))
            now = np.where(np.isnan(value), before, beyond)  # missing values leave the state unchanged
            kind, form = ("voltage limit", ".4f") if port is self.voltage else ("overload", ".1%")
            for k in np.flatnonzero(now != before).tolist():
                text = f"{name.replace('_', ' ')} {value[k]:{form}}"
                self.report(kind if now[k] else f"{kind} ended", port.labels[k], text)
            self._beyond[name] = now

    def _melt(self, flow: Flow, seconds: float) -> None:
        """Heat the fuses by the step's currents; a fuse that opens does so for the next step."""
        if not self._controls.fuses:
            return
        current = np.zeros(len(self._controls.fuses))
        for k, row in enumerate(self._controls.fused):
            if row >= 0:
                line = self._net.line.iloc[row]
                current[k] = flow.line_loading[row] * line.max_i_ka * line.df * line.parallel * 1e3
            else:
                trafo = self._net.trafo.iloc[-1 - row]
                full_a = self._rating_va[-1 - row] / (np.sqrt(3) * trafo.vn_hv_kv * 1e3)
                current[k] = flow.transformer_loading[-1 - row] * full_a
        opens = self._damage.heat(np.nan_to_num(current), seconds)
        for k in np.flatnonzero(opens).tolist():
            fuse = self._controls.fuses[k]
            self.report("fuse opened", fuse.element, f"at {current[k]:.0f} A, rated {fuse.rated_a:g} A")
        if opens.any():
            self._change("topology")

    def _operate(self) -> None:
        """Set the switches according to their input."""
        if not len(self._switch_rows):
            return
        wanted = self.switch_closed.value >= 0.5
        changed = wanted != self._closed[self._switch_rows]
        if not changed.any():
            return
        self._closed[self._switch_rows] = wanted
        for k in np.flatnonzero(changed):
            self.report("switched", self.switch_closed.labels[k], "closed" if wanted[k] else "opened")
        self._change("topology")

    def _controlled(self, power: Vector, reactive: Vector, step: Step) -> Flow:
        """Solve, shed load if necessary, and move tap changers whose delay has passed."""
        flow, share = self._response.relieved(power, reactive)
        if self._taps is None:
            return flow
        self._taps.wait(flow.voltage_pu[self._tap_bus_rows], step.length_s)
        while (moved := self._taps.move(flow.voltage_pu[self._tap_bus_rows])).any():
            for k in np.flatnonzero(moved):
                self.report("tap moved", self.tap_position.labels[k], f"to {self._taps.position[k]:g}")
            self._change()
            flow = self._response.answered(share * power, share * reactive)
        return flow
