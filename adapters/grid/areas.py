"""What a net's elements are and what supplies them, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import networkx as nx

from .net import NetElements


def supplying(net: Any, names: list[str]) -> dict[int, str]:
    """Return the two-winding transformer that supplies each bus on the low-voltage side of one.

    Parameters
    ----------
    net
        A pandapower net, with its switches as they are.
    names
        Names of its two-winding transformers, in the table's order.
    """
    import pandapower.topology as topology  # takes as long to import as everything else here

    graph = topology.create_nxgraph(net, include_trafos=False, respect_switches=True)
    found: dict[int, str] = {}
    for name, bus in zip(names, net.trafo["lv_bus"], strict=True):
        found |= dict.fromkeys(nx.node_connected_component(graph, bus), name)
    return found


def elements_in_words(net: Any, elements: NetElements, points: Mapping[str, int], port: str) -> dict[str, str]:
    """Return what the elements of a port of the grid are, by label; empty for a port of none of these kinds."""
    names = elements.bus_names
    behind = supplying(net, elements.names["trafo"])

    def at(bus: int) -> str:
        return f", behind {behind[bus]}" if bus in behind else ""

    if port in ("power", "reactive_power"):
        return {label: f"bus {names[bus]}{at(bus)}" for label, bus in points.items()}
    if port == "voltage":
        levels = net.bus["vn_kv"]
        return {name: f"{levels[bus]:g} kV{at(bus)}" for bus, name in names.items()}
    if port.startswith("transformer_"):
        rows = zip(elements.names["trafo"], net.trafo.itertuples(), strict=True)
        return {
            name: f"{1000 * row.sn_mva * row.parallel:g} kVA, {row.vn_hv_kv:g}/{row.vn_lv_kv:g} kV; supplies "
            + (", ".join(label for label, bus in points.items() if behind.get(bus) == name) or "no connection point")
            for name, row in rows
        }
    if port.startswith("line_"):
        rows = zip(elements.names["line"], net.line.itertuples(), strict=True)
        return {
            name: f"{names[row.from_bus]} – {names[row.to_bus]}, {1000 * row.length_km:.0f} m" for name, row in rows
        }
    return {}
