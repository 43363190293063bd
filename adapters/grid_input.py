"""Which pandapower nets may a `cosim.adapters.grid.Grid` take, and how are their elements called?"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandapower as pp
import pandapower.topology

from cosim.core import InputFileError

if TYPE_CHECKING:
    import pandas as pd

# What a power flow of ours accounts for; anything else in service would be missing from the balance.
_KNOWN = {
    "bus", "line", "trafo", "trafo3w", "impedance", "switch", "load", "asymmetric_load", "motor", "sgen",
    "asymmetric_sgen", "storage", "gen", "ext_grid", "shunt", "ward", "xward",
}  # fmt: skip
_UNKNOWN = (
    "dcline", "tcsc", "svc", "ssc", "vsc", "vsc_stacked", "vsc_bipolar", "b2b_vsc", "load_dc", "source_dc",
    "line_dc", "bus_dc", "controller",
)  # fmt: skip
# Options of pandapower's own that would change what is solved, and are not ours.
_OPTIONS = ("distributed_slack", "tdpf", "enforce_q_lims", "enforce_p_lims")


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


def labels(table: pd.DataFrame, kind: str) -> list[str]:
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


def find_bus(net: Any, label: object, bus: int | str, problems: list[str]) -> int:
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


def problems_of(net: Any) -> Iterator[str]:
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
    for option in _OPTIONS:
        if net.get("user_pf_options", {}).get(option):
            yield f"the net asks for pandapower's {option}, which the grid does not do: net.user_pf_options.clear()"
    if len(net.switch) and "z_ohm" in net.switch and (net.switch.z_ohm.fillna(0.0) > 0).any():
        yield "the net has switches with z_ohm > 0, whose losses the balance does not know: set z_ohm to 0"
    rules: dict[str, tuple[Iterable[str], Iterable[str]]] = {
        "bus": (["vn_kv"], []),
        "line": (["length_km", "max_i_ka", "parallel", "df"],
                 ["r_ohm_per_km", "x_ohm_per_km", "c_nf_per_km"]),
        "trafo": (["sn_mva", "vn_hv_kv", "vn_lv_kv", "vk_percent", "parallel", "df"],
                  ["vkr_percent", "pfe_kw"]),
        "trafo3w": ([f"{name}_{side}_{unit}" for name, unit in (("sn", "mva"), ("vn", "kv"))
                     for side in ("hv", "mv", "lv")],
                    ["vkr_hv_percent", "vkr_mv_percent", "vkr_lv_percent", "pfe_kw"]),
    }  # fmt: skip
    for table, (positive, not_negative) in rules.items():
        frame = active(table)
        names = dict(zip(frame.index, labels(frame, table)))
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
    for table in sorted(_KNOWN - {"bus"}):
        for column in sorted({"bus", "from_bus", "to_bus", "hv_bus", "mv_bus", "lv_bus"} & set(net[table])):
            lost = net[table].index[~net[table][column].isin(net.bus.index)]
            if len(lost):
                bus = net[table].at[lost[0], column]
                yield f"net.{table} {lost[0]} has {column} = {bus}: there is no such bus in net.bus"


def repair(net: Any) -> Iterator[tuple[str, str, str]]:
    """Complete what older files lack, in place, and yield an event for what changes the result."""
    for table in ("trafo", "trafo3w"):
        frame = net[table]
        if "tap_dependency_table" not in frame:
            frame["tap_dependency_table"] = False
        if "tap_changer_type" not in frame:
            frame["tap_changer_type"] = None
        if "tap_side" not in frame:
            continue
        # pandapower ignores tap_pos where the type is None, as simbench 1.6.3 writes it: 0.017 pu wrong.
        mute = frame.tap_changer_type.isna() & frame.tap_side.notna() & frame.tap_pos.notna()
        mute &= frame.tap_step_percent.fillna(0.0) != 0
        frame["tap_changer_type"] = frame.tap_changer_type.astype(object).mask(mute, "Ratio")
        names = np.array(labels(frame, "transformer"), dtype=object)
        for name in names[mute.to_numpy(bool)]:
            yield "repaired", str(name), "tap_changer_type was empty although tap data exist: taken as 'Ratio'"


def supplied_buses(net: Any) -> list[int]:
    """Return the indices of the buses that an external grid or slack generator supplies, in the net's order."""
    dead = set(pp.topology.unsupplied_buses(net)) | set(net.bus.index[~net.bus.in_service.astype(bool)])
    return [bus for bus in net.bus.index if bus not in dead]
