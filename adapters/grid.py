"""What do the city's loads do to its electric grid: voltages, loadings, losses and import?

`Grid` is the adapter. What solves the power flow stands behind one small seam: an object with
``solve(power_w, reactive_var) -> Flow``; here it is pandapower's Newton-Raphson [1]_.

References
----------
.. [1] L. Thurner et al., pandapower: an open-source Python tool for convenient modeling, analysis and
optimization
   of electric power systems, IEEE Transactions on Power Systems 33(6), 2018, doi:10.1109/TPWRS.2018.2829021.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt
import pandapower as pp
import pandapower.topology
from pandapower.pypower.idx_bus import VA, VM

from cosim.core import Adapter, CosimError, Input, InputFileError, Output, Placement, ScenarioError, Step

if TYPE_CHECKING:
    import pandas as pd

Vector = npt.NDArray[np.float64]

# What a power flow of ours accounts for; anything else in service would be missing from the balance.
_KNOWN = {"bus", "line", "trafo", "switch", "load", "sgen", "storage", "gen", "ext_grid", "shunt", "ward"}
_UNKNOWN = (
    "trafo3w", "impedance", "xward", "dcline", "motor", "asymmetric_load", "asymmetric_sgen", "tcsc", "svc",
    "ssc", "vsc", "vsc_stacked", "vsc_bipolar", "b2b_vsc", "load_dc", "source_dc", "line_dc", "bus_dc",
    "controller",
)  # fmt: skip
# Stopping at 1e-8 MVA leaves up to 2e-8 pu in a 44-bus low-voltage net, and one more iteration nothing; but rounding
# keeps nets with very short medium-voltage lines from 1e-10. So the tightest that a net reaches is kept.
_TOLERANCES = (0.01, 0.1, 1.0)
_CONSUMES = {"load": 1.0, "storage": 1.0, "shunt": 1.0, "ward": 1.0, "sgen": -1.0, "gen": -1.0}


@dataclass(frozen=True, slots=True)
class Flow:
    """One solved power flow; arrays follow the solver's buses, lines, transformers and external grids.

    ``own_w`` is what the net's own loads, storages, shunts and wards draw and (negative) its generators feed
    in, one value per element. [W]
    """

    voltage_pu: Vector
    line_loading: Vector
    transformer_loading: Vector
    line_losses_w: Vector
    transformer_losses_w: Vector
    import_w: Vector
    import_var: Vector
    own_w: Vector


class Solver(Protocol):
    """What `Grid` needs of a power-flow engine."""

    def solve(self, power_w: Vector, reactive_var: Vector) -> Flow:
        """Solve for the demand at the connection points, shape (n_points,) each.

        Raises
        ------
        ArithmeticError
            If there is no solution; the next call must not be affected.
        """


class NewtonRaphson:
    """pandapower's Newton-Raphson on a net of its own, with one load per connection point.

    After the first solution pandapower keeps its matrices (``recycle``), which is 2 to 3 times faster than a plain
    ``runpp`` at 15 to 1,000 buses and agrees with it to 1e-9. Whatever fails is solved again from a flat start with
    everything rebuilt, less tightly, and a failed step leaves nothing behind: pandapower itself would go on from
    the diverged state and keep ``net.converged`` at True.

    Parameters
    ----------
    net
        A validated net; it is changed.
    buses
        Bus index of each connection point.
    monitored
        Bus indices whose voltage is reported.
    tolerance_mva
        Largest power mismatch at a bus; pandapower compares it per unit of ``net.sn_mva``.
    """

    def __init__(
        self, net: Any, buses: npt.ArrayLike, monitored: npt.ArrayLike, tolerance_mva: float
    ) -> None:
        self._net, self._tolerance_mva = net, tolerance_mva
        n_own = len(net.load)
        buses = np.asarray(buses)
        pp.create_loads(net, buses, p_mw=np.zeros(len(buses)), name=[f"point {i}" for i in range(len(buses))])
        self._p_mw = net.load["p_mw"].to_numpy(float, copy=True)
        self._q_mvar = net.load["q_mvar"].to_numpy(float, copy=True)
        self._points = slice(n_own, None)
        self._n_own = n_own
        self._rows = net.bus.index.get_indexer(monitored)
        energised = net.bus.index.isin(np.asarray(monitored))
        live = set(net.bus.index[energised])
        self._live = {
            table: net[table]["in_service"].to_numpy(bool)
            & np.array([a in live and b in live for a, b in zip(net[table][a_bus], net[table][b_bus])], bool)
            for table, a_bus, b_bus in (("line", "from_bus", "to_bus"), ("trafo", "hv_bus", "lv_bus"))
        }
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
                    tolerance_mva=tolerance_mva,
                    recycle={"bus_pq": True, "trafo": False, "gen": False},
                )
            if not (net["converged"] and np.isfinite(net.res_bus["vm_pu"].to_numpy()[self._rows]).all()):
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

        own = [_CONSUMES[t] * np.nan_to_num(column(t, "p_mw"))[: self._n_own if t == "load" else None]
               for t in self._own_tables]  # fmt: skip
        return Flow(
            voltage_pu=column("bus", "vm_pu")[self._rows],
            line_loading=column("line", "loading_percent") * 1e-2,
            transformer_loading=column("trafo", "loading_percent") * 1e-2,
            line_losses_w=column("line", "pl_mw") * 1e6,
            transformer_losses_w=column("trafo", "pl_mw") * 1e6,
            import_w=np.nan_to_num(column("ext_grid", "p_mw")) * 1e6,
            import_var=np.nan_to_num(column("ext_grid", "q_mvar")) * 1e6,
            own_w=np.concatenate([*own, np.zeros(0)]) * 1e6,
        )


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
    tolerance_mva
        Largest power mismatch at a bus. [MVA, per unit of ``net.sn_mva``]

    Attributes
    ----------
    power, reactive_power
        Demand per connection point, mean over the step. [W, var]
    voltage
        Voltage per supplied bus at the step's end, relative to its nominal voltage. [pu]
    line_loading, transformer_loading
        Current over its limit, 1 being full load. [1]
    line_losses, transformer_losses, losses
        Active losses, per element and for the whole network. [W]
    grid_import, reactive_import
        What each external grid feeds in. [W, var]

    Raises
    ------
    ScenarioError
        With everything that is wrong with the net: no external grid, impossible or missing electrical values,
        unknown buses, connection points that no external grid supplies, elements that the balance does not
        know.
    """

    placement: ClassVar[Placement] = "thread"
    solver: ClassVar[Callable[..., Solver]] = NewtonRaphson

    def __init__(
        self,
        net: Any,
        *,
        connection_points: Mapping[str, int | str] | None = None,
        tolerance_mva: float = 1e-8,
    ) -> None:
        if not 0 < tolerance_mva < 1:
            raise ScenarioError(f"tolerance_mva is {tolerance_mva}: it must lie between 0 and 1, as 1e-8")
        self._net = copy.deepcopy(net)
        self._notes: list[tuple[str, str, str]] = []
        problems = list(_problems(self._net))
        if problems:
            raise ScenarioError(problems)
        self._repair()
        net = self._net
        bus_names = dict(zip(net.bus.index, _labels(net.bus, "bus")))
        dead = set(pandapower.topology.unsupplied_buses(net))
        dead |= set(net.bus.index[~net.bus.in_service.astype(bool)])
        self._notes += [
            ("isolated", bus_names[bus], "no external grid supplies this bus: no voltage, left out")
            for bus in sorted(dead)
        ]
        if connection_points is None:
            loaded = [bus for bus in net.bus.index[net.bus.index.isin(net.load.bus)] if bus not in dead]
            connection_points = {bus_names[bus]: bus for bus in loaded}
        self._points = {str(k): _bus(net, k, bus, problems) for k, bus in connection_points.items()}
        problems += [
            f"connection point {label!r} is at bus {bus_names[bus]!r}, which no external grid supplies: "
            "close a switch, put the bus in service or move the point"
            for label, bus in self._points.items()
            if bus in dead
        ]
        if not connection_points:
            problems.append("the grid has no connection point, its net has no load: pass connection_points")
        if problems:
            raise ScenarioError(problems)
        self._tolerance_mva = tolerance_mva
        self._solver: Solver | None = None
        self._buses = [bus for bus in net.bus.index if bus not in dead]

        lines, trafos = _labels(net.line, "line"), _labels(net.trafo, "transformer")
        imports = _labels(net.ext_grid, "external grid")
        self.power = Input("W", self._points)
        self.reactive_power = Input("var", self._points, default=0.0)
        self.voltage = Output("pu", [bus_names[bus] for bus in self._buses], kind="end")
        self.line_loading = Output("1", lines, kind="mean")
        self.transformer_loading = Output("1", trafos, kind="mean")
        self.line_losses = Output("W", lines, kind="mean")
        self.transformer_losses = Output("W", trafos, kind="mean")
        self.losses = Output("W", ["network"], kind="mean")
        self.grid_import = Output("W", imports, kind="mean")
        self.reactive_import = Output("var", imports, kind="mean")

    @classmethod
    def from_json(
        cls,
        path: str | Path,
        *,
        connection_points: Mapping[str, int | str] | None = None,
        tolerance_mva: float = 1e-8,
    ) -> Grid:
        """Read a net that ``pandapower.to_json`` wrote. See `read_net` for what is refused."""
        grid = cls(read_net(path), connection_points=connection_points, tolerance_mva=tolerance_mva)
        grid.files = (Path(path),)
        return grid

    @property
    def own_load_w(self) -> float:
        """What the net's own loads in service draw at nominal voltage, besides the connection points. [W]"""
        load = self._net.load[self._net.load.in_service.astype(bool)]
        return float((load.p_mw * load.scaling).sum() * 1e6)

    def _repair(self) -> None:
        trafo = self._net.trafo
        if "tap_dependency_table" not in trafo:
            trafo["tap_dependency_table"] = False
        if "tap_changer_type" not in trafo:
            trafo["tap_changer_type"] = None
        if "tap_side" not in trafo:
            return
        # pandapower ignores tap_pos where the type is None, as simbench 1.6.3 writes it: 0.017 pu wrong.
        mute = trafo.tap_changer_type.isna() & trafo.tap_side.notna() & trafo.tap_pos.notna()
        mute &= trafo.tap_step_percent.fillna(0.0) != 0
        trafo["tap_changer_type"] = trafo.tap_changer_type.astype(object).mask(mute, "Ratio")
        names = np.array(_labels(trafo, "transformer"), dtype=object)
        self._notes += [
            ("repaired", name, "tap_changer_type was empty although tap data exist: taken as 'Ratio'")
            for name in names[mute.to_numpy(bool)]
        ]

    def open(self) -> None:
        """Solve the net with nothing drawn at the connection points, for the initial voltages."""
        for note in self._notes:
            self.report(*note)
        self._solver = type(self).solver(
            copy.deepcopy(self._net), list(self._points.values()), self._buses, self._tolerance_mva
        )
        nothing = np.zeros(len(self._points))
        self.voltage.value = self._solved(nothing, nothing).voltage_pu

    def advance(self, step: Step) -> None:
        """Solve the net for the demand of the step and check its balance."""
        flow = self._solved(self.power.value, self.reactive_power.value)
        self.voltage.value = flow.voltage_pu
        self.line_loading.value = flow.line_loading
        self.transformer_loading.value = flow.transformer_loading
        self.line_losses.value = flow.line_losses_w
        self.transformer_losses.value = flow.transformer_losses_w
        self.losses.value = flow.line_losses_w.sum() + flow.transformer_losses_w.sum()
        self.grid_import.value = flow.import_w
        self.reactive_import.value = flow.import_var

    def close(self) -> None:
        """Forget the solver."""
        self._solver = None

    def versions(self) -> dict[str, str]:
        """Return the version of pandapower."""
        return {"pandapower": pp.__version__}

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"_solver": None}

    def _solved(self, power_w: Vector, reactive_var: Vector) -> Flow:
        if self._solver is None:
            raise CosimError("the grid is not open: call open() before advance(step)")
        try:
            flow = self._solver.solve(power_w, reactive_var)
        except ArithmeticError as error:
            apparent = np.hypot(power_w, reactive_var)
            worst = int(np.argmax(apparent))
            raise CosimError(
                f"the grid's power flow has no solution: {power_w.sum() / 1e6:.6g} MW and "
                f"{reactive_var.sum() / 1e6:.6g} Mvar are drawn beside its own "
                f"{self.own_load_w / 1e6:.6g} MW, most of "
                f"it at {self.power.labels[worst]!r} ({apparent[worst] / 1e6:.6g} MVA): lower the demand, "
                "check its "
                f"units, or reinforce the grid ({error})"
            ) from error
        self._check_balance(flow, power_w)
        return flow

    def _check_balance(self, flow: Flow, power_w: Vector) -> None:
        """Assert import = demand + own consumption − own generation + losses, to 1e-6 of what flows.

        The solver stops at a mismatch of ``tolerance_mva`` per bus, which is the floor of the check.
        """
        losses_w = flow.line_losses_w.sum() + flow.transformer_losses_w.sum()
        residual_w = flow.import_w.sum() - power_w.sum() - flow.own_w.sum() - losses_w
        floor_w = len(self._buses) * self._tolerance_mva * float(self._net.sn_mva) * 1e6
        allowed_w = 1e-6 * (np.abs(power_w).sum() + np.abs(flow.own_w).sum()) + floor_w
        if not abs(residual_w) <= allowed_w:
            raise CosimError(
                f"the grid's balance is broken: import {flow.import_w.sum():.9g} W − demand "
                f"{power_w.sum():.9g} W − own "
                f"net consumption {flow.own_w.sum():.9g} W − losses {losses_w:.9g} W leaves a residual of "
                f"{residual_w:.6g} W, {allowed_w:.3g} W are allowed: the power flow's result is not to be "
                "used"
            )


def read_net(path: str | Path) -> Any:
    """Read a net from pandapower's JSON, after checking what the file would make pandapower import.

    ``pandapower.from_json`` imports the modules that a file names, so the text is walked first, strings that
    hold JSON included: only pandapower's own classes and the pandas, numpy and networkx ones that it writes
    may be named.

    Raises
    ------
    InputFileError
        If the file is missing, no such JSON, or names anything else.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
        named = set(_named(text))
    except OSError as error:
        raise InputFileError(f"cannot read the grid {path}: {error}") from error
    except (ValueError, RecursionError) as error:
        raise InputFileError(
            f"the grid {path} is not JSON: write it with pandapower.to_json(net, path) ({error})"
        ) from error
    foreign = sorted(f"{module}.{kind}" for module, kind in named if not _trusted(module, kind))
    if foreign:
        raise InputFileError(
            f"the grid {path} names {', '.join(foreign[:5])}: a grid file may only name classes of "
            "pandapower, and of "
            "pandas, numpy and networkx as pandapower.to_json writes them; nothing was loaded"
        )
    if ("pandapower.auxiliary", "pandapowerNet") not in named:
        raise InputFileError(f"the grid {path} holds no pandapower net: write it with pandapower.to_json(net, path)")
    try:
        net = pp.from_json_string(text, convert=True)
    except Exception as error:
        raise InputFileError(f"pandapower cannot read the grid {path}: {error}") from error
    return net


def _named(text: str) -> Iterator[tuple[object, object]]:
    """Yield every (module, class) that pandapower would look up; every repetition of a key counts."""
    found: list[tuple[object, object]] = []

    def visit(value: object, must_parse: bool = False) -> None:
        if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
            try:
                json.loads(value, object_pairs_hook=pairs)
            except ValueError:
                if must_parse:  # another parser might read what this one cannot
                    raise
        elif isinstance(value, list):
            for each in value:
                visit(each)

    def pairs(items: list[tuple[str, object]]) -> None:
        modules = [v for k, v in items if k == "_module"]
        kinds = [v for k, v in items if k == "_class"] or [""]
        found.extend((module, kind) for module in modules for kind in kinds)
        for key, value in items:
            visit(value, must_parse=key == "_object")
            if key == "_object" and "DataFrame" in kinds and not (
                isinstance(value, str) and value.lstrip()[:1] in ("{", "[")
            ):
                found.append(("a table in another file", value))  # pandas would open it

    json.loads(text, object_pairs_hook=pairs)
    yield from found


def _trusted(module: object, kind: object) -> bool:
    if not (isinstance(module, str) and isinstance(kind, str)):
        return False
    return (module, kind) in {
        ("pandas", "DataFrame"), ("pandas.core.frame", "DataFrame"),
        ("pandas", "Series"), ("pandas.core.series", "Series"),
        ("numpy", "array"), ("numpy", "bool"), ("networkx", "MultiGraph"),
    } or (module.split(".")[0] == "pandapower" and kind not in ("function", "method", "exec"))  # fmt: skip


def _labels(table: pd.DataFrame, kind: str) -> list[str]:
    """Return the elements' names, made unique; an element without a name is called by kind and index."""
    names = [
        f"{kind} {index}" if name is None or name != name or str(name) == "" else str(name)
        for index, name in zip(table.index, table["name"])
    ]
    taken = set(names)
    seen: set[str] = set()
    for i, (index, name) in enumerate(zip(table.index, names)):
        if name in seen:
            unique = f"{name} ({index})"
            while unique in taken:
                unique += "'"
            names[i] = unique
            taken.add(unique)
        seen.add(name)
    return names


def _bus(net: Any, label: object, bus: int | str, problems: list[str]) -> int:
    where = f"connection point {label!r} is at bus {bus!r}"
    if isinstance(bus, str):
        found = net.bus.index[net.bus["name"] == bus]
        if len(found) != 1:
            many = "no bus" if len(found) == 0 else f"{len(found)} buses"
            problems.append(f"{where}, but {many} of the net have this name: pass the bus's index")
        return int(found[0]) if len(found) else -1
    if bus not in net.bus.index:
        problems.append(f"{where}, which the net does not have: pass an index of net.bus")
        return -1
    return int(bus)


def _problems(net: Any) -> Iterator[str]:
    """Yield everything that makes a net unusable."""
    def active(table: str) -> pd.DataFrame:
        frame: pd.DataFrame = net[table]
        return frame[frame["in_service"].astype(bool)] if "in_service" in frame else frame

    if not len(active("ext_grid")):
        yield "the net has no external grid in service: create one with pandapower.create_ext_grid"
    for table in _UNKNOWN:
        if table in net and len(net[table]) and len(active(table)):
            yield (
                f"the net has {len(active(table))} {table} in service: the grid knows "
                f"{', '.join(sorted(_KNOWN))}; "
                "replace it by those or take it out of service"
            )
    if len(net.switch) and "z_ohm" in net.switch and (net.switch.z_ohm.fillna(0.0) > 0).any():
        yield "the net has switches with z_ohm > 0, whose losses the balance does not know: set z_ohm to 0"
    rules: dict[str, tuple[Iterable[str], Iterable[str]]] = {
        "bus": (["vn_kv"], []),
        "line": (["length_km", "max_i_ka", "parallel", "df"],
                 ["r_ohm_per_km", "x_ohm_per_km", "c_nf_per_km"]),
        "trafo": (["sn_mva", "vn_hv_kv", "vn_lv_kv", "vk_percent", "parallel", "df"],
                  ["vkr_percent", "pfe_kw", "i0_percent"]),
    }  # fmt: skip
    for table, (positive, not_negative) in rules.items():
        frame = active(table)
        names = dict(zip(frame.index, _labels(frame, table)))
        for name in (*positive, *not_negative):
            value = frame[name].to_numpy(float)
            bad = ~np.isfinite(value) | (value < 0) | ((value == 0) & (name in positive))
            if bad.any():
                first = int(np.argmax(bad))
                rule = "positive" if name in positive else "zero or positive"
                yield (
                    f"net.{table} {names[frame.index[first]]!r} has {name} = {value[first]} ({bad.sum()} "
                    "such): it must "
                    f"be finite and {rule}"
                )
        if table == "line" and len(short := frame[(frame.r_ohm_per_km == 0) & (frame.x_ohm_per_km == 0)]):
            yield (
                f"net.line {names[short.index[0]]!r} has no impedance ({len(short)} such): "
                "use a bus-bus switch instead"
            )
    for table, column in (("line", "from_bus"), ("line", "to_bus"), ("trafo", "hv_bus"), ("trafo", "lv_bus"),
                          ("load", "bus"), ("sgen", "bus"), ("ext_grid", "bus")):  # fmt: skip
        lost = net[table].index[~net[table][column].isin(net.bus.index)]
        if len(lost):
            bus = net[table].at[lost[0], column]
            yield f"net.{table} {lost[0]} has {column} = {bus}: there is no such bus in net.bus"
