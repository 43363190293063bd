"""Validation of pandapower nets and names of their elements."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import pandapower.topology
import pandas as pd

from cosim.core.quantities import Flags, Indices, Vector

Note: TypeAlias = tuple[str, str, str]

# Elements that the power flow accounts for; any other in service would be missing from the balance.
KNOWN = {
    "bus", "line", "trafo", "trafo3w", "impedance", "switch", "load", "asymmetric_load", "motor", "sgen",
    "asymmetric_sgen", "storage", "gen", "ext_grid", "shunt", "ward", "xward", "dcline",
}  # fmt: skip
UNSUPPORTED = (
    "tcsc", "svc", "ssc", "vsc", "vsc_stacked", "vsc_bipolar", "b2b_vsc", "load_dc", "source_dc", "line_dc", "bus_dc",
)  # fmt: skip
# Options of pandapower that would change the equations and are not supported.
_OPTIONS = ("distributed_slack", "tdpf", "enforce_q_lims", "enforce_p_lims")

_SIDES = ("hv", "mv", "lv")
_POWER: dict[str, Sequence[str]] = {"finite": ["p_mw", "q_mvar", "scaling"]}
_RULES: dict[str, dict[str, Sequence[str]]] = {
    "bus": {"positive": ["vn_kv"]},
    "line": {"positive": ["length_km", "parallel", "df"], "positive or empty": ["max_i_ka"],
             "zero or positive": ["r_ohm_per_km", "x_ohm_per_km", "c_nf_per_km"]},
    "trafo": {"positive": ["sn_mva", "vn_hv_kv", "vn_lv_kv", "vk_percent", "parallel", "df"],
              "zero or positive": ["vkr_percent", "pfe_kw"]},
    "trafo3w": {"positive": [f"{name}_{side}_{unit}" for side in _SIDES
                             for name, unit in (("sn", "mva"), ("vn", "kv"), ("vk", "percent"))],
                "zero or positive": [*(f"vkr_{side}_percent" for side in _SIDES), "pfe_kw"]},
    "impedance": {"positive": ["sn_mva"], "zero or positive": ["rft_pu", "xft_pu", "rtf_pu", "xtf_pu"]},
    "xward": {"zero or positive": ["r_ohm"], "positive": ["x_ohm", "vm_pu"], "finite": ["ps_mw", "qs_mvar", "pz_mw"]},
    "ext_grid": {"positive": ["vm_pu"], "finite": ["va_degree"]},
    "gen": {"positive": ["vm_pu"], "finite": ["p_mw", "scaling"]},
    "load": _POWER, "sgen": _POWER, "storage": _POWER,
    "shunt": {"finite": ["p_mw", "q_mvar"]},
    "ward": {"finite": ["ps_mw", "qs_mvar", "pz_mw", "qz_mvar"]},
}  # fmt: skip
# A series capacitor has a negative reactance, and equivalents of transmission networks have negative values of all
# kinds, as pandapower's own transmission cases do. In a distribution grid they are mistakes.
_TRANSMISSION_KV = 100.0
_MAY_BE_NEGATIVE = {
    "line": ("r_ohm_per_km", "x_ohm_per_km", "c_nf_per_km"), "trafo": ("vk_percent", "vkr_percent"),
    "impedance": ("rft_pu", "xft_pu", "rtf_pu", "xtf_pu"),
}  # fmt: skip


def labels(table: pd.DataFrame, kind: str) -> list[str]:
    """Return unique names of elements; an element without a name is named by kind and index."""
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


def problems_of(net: Any) -> Iterator[str]:
    """Yield every problem that makes a net unusable."""
    for name in ("sn_mva", "f_hz"):
        value = net[name]
        if not (isinstance(value, int | float | np.number) and 0 < value < np.inf):
            yield f"the net has {name} = {value!r}: it must be a positive number"

    def active(table: str) -> pd.DataFrame:
        frame: pd.DataFrame = net[table]
        return frame[frame["in_service"].astype(bool)] if "in_service" in frame else frame

    if not len(active("ext_grid")):
        yield (
            "the net has no external grid in service: create one with pandapower.create_ext_grid, or give a generator "
            "slack=True"
        )
    for table in UNSUPPORTED:
        if table in net and len(net[table]) and len(active(table)):
            yield (
                f"the net has {len(active(table))} {table} in service: the grid supports "
                f"{', '.join(sorted(KNOWN))}; "
                "replace it by these or take it out of service"
            )
    for option in _OPTIONS:
        if net.get("user_pf_options", {}).get(option):
            yield f"the net sets pandapower's {option}, which is not supported: net.user_pf_options.clear()"
    lost = False
    for table in sorted(KNOWN - {"bus"}):
        for column in sorted({"bus", "from_bus", "to_bus", "hv_bus", "mv_bus", "lv_bus"} & set(net[table])):
            nowhere = net[table].index[~net[table][column].isin(net.bus.index)]
            if len(nowhere):
                lost = True
                bus = net[table].at[nowhere[0], column]
                yield f"net.{table} {nowhere[0]} has {column} = {bus}: unknown bus, pass an index of net.bus"
    if lost:
        return
    yield from _conflicts(active)
    for table, rules in _RULES.items():
        frame = active(table)
        for rule, columns in rules.items():
            for column in columns:
                if column not in frame:
                    if len(frame):
                        yield f"net.{table} has no column {column}: update the net with pandapower.convert_format(net)"
                    continue
                value = frame[column].to_numpy(float)
                bad = _breaks(rule, value) & ~(_at_transmission(net, table, column) & np.isfinite(value) & (value != 0))
                if bad.any():
                    first = int(np.argmax(bad))
                    name = labels(frame, table)[first] if "name" in frame else frame.index[first]
                    yield f"net.{table} {name!r} has {column} = {value[first]} ({bad.sum()} such): it must be {rule}"
    line, trafo = active("line"), active("trafo")
    if not {"r_ohm_per_km", "x_ohm_per_km"} <= set(line) or not {"vk_percent", "vkr_percent"} <= set(trafo):
        return
    if len(short := line[(line.r_ohm_per_km == 0) & (line.x_ohm_per_km == 0)]):
        name = labels(short, "line")[0]
        yield f"net.line {name!r} has no impedance ({len(short)} such): use a bus-bus switch instead"
    if len(wrong := trafo[trafo.vkr_percent.abs() > trafo.vk_percent.abs()]):
        name = labels(wrong, "trafo")[0]
        yield f"net.trafo {name!r} has vkr_percent above vk_percent ({len(wrong)} such): it must not exceed it"


def _conflicts(active: Callable[[str], pd.DataFrame]) -> Iterator[str]:
    """Yield every bus with conflicting voltage setpoints."""
    grids, gens = active("ext_grid"), active("gen")
    held = {bus: set(vm) for bus, vm in pd.concat([grids, gens]).groupby("bus").vm_pu} if len(grids) else {}
    for bus, values in held.items():
        if len(values) > 1:
            setpoints = " and ".join(f"{value:g}" for value in sorted(values))
            yield f"external grids and generators hold bus {bus} at {setpoints} pu: give them the same vm_pu"


def _breaks(rule: str, value: Vector) -> Flags:
    if rule == "positive or empty":
        return np.array(value <= 0, np.bool_)
    least = {"positive": value > 0, "zero or positive": value >= 0, "finite": True}[rule]
    return np.array(~(np.isfinite(value) & least), np.bool_)


def _at_transmission(net: Any, table: str, column: str) -> Flags:
    """Return for which elements in service a column may be negative."""
    frame = net[table][net[table]["in_service"].astype(bool)]
    if column not in _MAY_BE_NEGATIVE.get(table, ()):
        return np.zeros(len(frame), np.bool_)
    ends = ("hv_bus", "lv_bus") if table == "trafo" else ("from_bus", "to_bus")
    kv = np.maximum(*(net.bus.vn_kv.loc[frame[end]].to_numpy(float) for end in ends))
    return np.array(kv >= _TRANSMISSION_KV, np.bool_)


def notes_on(net: Any) -> Iterator[Note]:
    """Yield an event for every property of an unchanged net that affects how its results are read."""
    for table, columns in _MAY_BE_NEGATIVE.items():
        frame = net[table][net[table]["in_service"].astype(bool)]
        for column in columns:
            if negative := int((frame[column] < 0).sum()):
                text = f"{negative} of net.{table} have negative {column} at 100 kV and above: treated as equivalents"
                yield "negative impedance", table, text
    if unrated := int(net.line.max_i_ka.isna().sum()):
        yield "no rating", "", f"{unrated} lines have no max_i_ka: they have no loading"
    if len(net.load) and net.load.filter(regex="^const_").to_numpy(float).any():
        text = "each keeps its own; pandapower averages the percentages over all loads at a bus"
        yield "voltage-dependent loads", "", text


def supplied_buses(net: Any) -> list[int]:
    """Return the indices of the buses that an external grid or slack generator supplies, in the net's order.

    A DC line supplies no bus: its ends are generators, for which an island has no reference.
    """
    graph = pandapower.topology.create_nxgraph(net, include_dclines=False)
    dead = set(pandapower.topology.unsupplied_buses(net, mg=graph)) | set(
        net.bus.index[~net.bus.in_service.astype(bool)]
    )
    return [bus for bus in net.bus.index if bus not in dead]


class NetElements:
    """Names of a net's elements, and lookups by name.

    Attributes
    ----------
    names
        Table → its elements' unique names, in the table's order.
    bus_names
        Bus index → its unique name.
    transformers
        Names of the two-winding, then of the three-winding transformers, each once.
    """

    def __init__(self, net: Any) -> None:
        self._net = net
        tables = {
            "bus": "bus",
            "line": "line",
            "switch": "switch",
            "ext_grid": "external grid",
            "storage": "storage",
            "trafo": "transformer",
            "trafo3w": "three-winding transformer",
        }
        self.names = {table: labels(net[table], kind) for table, kind in tables.items()}
        self.bus_names = dict(zip(net.bus.index, self.names["bus"]))
        two = set(self.names["trafo"])
        three = [f"{name} (three windings)" if name in two else name for name in self.names["trafo3w"]]
        self.transformers = [*self.names["trafo"], *three]

    def find_switches(self, wanted: Iterable[str | int], problems: list[str]) -> Indices:
        """Return the rows of switches by name or index."""
        rows = range(len(self._net.switch))
        places: dict[Any, int] = dict(zip(self._net.switch.index, rows)) | dict(zip(self.names["switch"], rows))
        asked = [wanted] if isinstance(wanted, str) else list(wanted)
        problems += [f"switch {each!r} is not in the net: pass a name or index" for each in asked if each not in places]
        return np.array([places[each] for each in asked if each in places], np.int64)

    def reachable(self, switch_rows: Indices) -> tuple[list[int], list[Note]]:
        """Return the buses supplied now or with some switches closed, and an event for every other bus."""
        net = self._net
        found = set(supplied_buses(net))
        if len(switch_rows):
            closed = net.switch["closed"].copy()
            net.switch.iloc[switch_rows, net.switch.columns.get_loc("closed")] = True
            found |= set(supplied_buses(net))
            net.switch["closed"] = closed
        isolated = [
            ("isolated", self.bus_names[bus], "not supplied by any external grid: no voltage, omitted")
            for bus in sorted(set(net.bus.index) - found)
        ]
        return [bus for bus in net.bus.index if bus in found], isolated

    def find_points(
        self, given: Mapping[str, int | str] | None, supplied: set[int], problems: list[str]
    ) -> dict[str, int]:
        """Return label → bus of the connection points; all supplied buses with loads if none are given."""
        if given is None:
            loaded = supplied & {*self._net.load.bus, *self._net.asymmetric_load.bus}
            given = {name: bus for bus, name in self.bus_names.items() if bus in loaded}
        if not given:
            problems.append("the grid has no connection point, since its net has no load: pass connection_points")
        points = {str(label): self._find_bus(label, bus, problems) for label, bus in given.items()}
        problems += [
            f"connection point {label!r} is at bus {self.bus_names[bus]!r}, which no external grid supplies: "
            "close a switch, put the bus in service or move the point"
            for label, bus in points.items()
            if bus in self.bus_names and bus not in supplied
        ]
        return points

    def _find_bus(self, label: object, bus: int | str, problems: list[str]) -> int:
        where = f"connection point {label!r} is at bus {bus!r}"
        if isinstance(bus, str):
            found = self._net.bus.index[self._net.bus["name"] == bus]
            if len(found) != 1:
                many = "no bus" if len(found) == 0 else f"{len(found)} buses"
                problems.append(f"{where}, but {many} of the net have this name: pass the bus's index")
            return int(found[0]) if len(found) else -1
        if bus not in self._net.bus.index:
            problems.append(f"{where}, which the net does not have: pass an index of net.bus")
            return -1
        return int(bus)

    def without_taps(self, rows: Sequence[int], supplied: set[int]) -> Iterator[str]:
        """Yield a problem for every transformer without a tap changer or without a voltage to control."""
        for row in rows:
            data = self._net.trafo.iloc[row].get(["tap_side", "tap_pos", "tap_min", "tap_max", "tap_step_percent"])
            if data.isna().any() or data.tap_step_percent == 0:
                yield (
                    f"transformer {self.names['trafo'][row]!r} has no tap changer: TapControl needs its tap_side, "
                    "tap_pos, tap_min, tap_max and tap_step_percent"
                )
            if self._net.trafo.lv_bus.iat[row] not in supplied:
                yield f"transformer {self.names['trafo'][row]!r} feeds a bus without supply: TapControl has no voltage"

    def without_limit(self, rows: Sequence[int]) -> Iterator[str]:
        """Yield a problem for every line without a current limit."""
        for row in rows:
            if not np.isfinite(self._net.line.max_i_ka.iat[row]):
                yield f"line {self.names['line'][row]!r} has no max_i_ka: a Fuse needs it"
