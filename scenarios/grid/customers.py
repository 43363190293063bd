"""Large customers added to a synthesized grid: depots, electrolysers, batteries."""

from __future__ import annotations

import copy
import difflib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import pandapower as pp

from cosim import CosimError

from .build import Station, SynthesizedGrid

FILL = 0.9
"""Planned loading of a customer's transformer at its maximum power. [1] Assumption."""
_MODEL = ("sn_mva", "vn_hv_kv", "vn_lv_kv", "vk_percent", "vkr_percent", "pfe_kw", "i0_percent")


@dataclass(frozen=True, slots=True)
class Customer:
    """A customer of the grid.

    Parameters
    ----------
    label
        Name of its connection point, or of its storage.
    power_w
        Maximum power, which sizes its transformer. [W]
    x, y
        Position. [m]
    station
        The transformer station that supplies it; by default it gets its own transformer, fed by the
        medium-voltage bus of the nearest station.
    storage_j
        Usable energy of a battery, half full at the start and operated by its setpoint; 0 for a load. [J]
    """

    label: str
    power_w: float
    x: float = math.nan
    y: float = math.nan
    station: Station | None = None
    storage_j: float = 0.0


def add_connection_points(grid: SynthesizedGrid, buses: Mapping[str, str]) -> SynthesizedGrid:
    """Return the grid with further connection points at its buses.

    Parameters
    ----------
    grid
        The grid.
    buses
        Name of the bus by label of the new point; ``cosim show … --labels grid.voltage`` lists the buses.

    Raises
    ------
    CosimError
        If a bus is unknown, or a label is already taken.
    """
    known = {str(name): int(bus) for bus, name in grid.net.bus["name"].items()}
    for label, bus in buses.items():
        if bus not in known:
            near = difflib.get_close_matches(bus, known, n=3) or list(known)[:3]
            raise CosimError(f"connection point {label!r}: unknown bus {bus!r}; there are {', '.join(near)}, …")
        if label in grid.bus_of:
            raise CosimError(f"the grid already has a connection point {label!r}: choose another label")
    return replace(grid, bus_of={**grid.bus_of, **{label: known[bus] for label, bus in buses.items()}})


def add_customers(grid: SynthesizedGrid, customers: Iterable[Customer]) -> SynthesizedGrid:
    """Return the grid with further customers.

    Loads become connection points, ``grid.bus_of[label]``; batteries become storages of the net by their label.
    """
    net, bus_of, stations = copy.deepcopy(grid.net), dict(grid.bus_of), list(grid.stations)
    model = net.trafo.loc[net.trafo["sn_mva"].idxmax()]
    for customer in customers:
        if customer.station is not None:
            bus = customer.station.lv_bus
        else:
            x, y = customer.x, customer.y
            near = min(grid.stations, key=lambda station: math.hypot(station.x - x, station.y - y))
            name = f"transformer of {customer.label}"
            bus = int(pp.create_bus(net, float(model["vn_lv_kv"]), name=f"{customer.label} bus", geodata=(x, y)))
            net.bus.loc[bus, "geo"] = json.dumps({"type": "Point", "coordinates": [x, y]})
            units = math.ceil(customer.power_w / (FILL * 1e6 * float(model["sn_mva"])))
            rating = {key: float(model[key]) for key in _MODEL}
            pp.create_transformer_from_parameters(net, near.mv_bus, bus, name=name, parallel=units, **rating)
            rated_va = units * float(model["sn_mva"]) * 1e6
            stations.append(Station(name, x, y, near.mv_bus, bus, rated_va, 1, near.ring))
        if customer.storage_j:
            energy_mwh = customer.storage_j / 3.6e9
            pp.create_storage(
                net, bus, p_mw=0.0, max_e_mwh=energy_mwh, min_e_mwh=0.0, soc_percent=50.0, name=customer.label
            )
        else:
            bus_of[customer.label] = bus
    return replace(grid, net=net, bus_of=bus_of, stations=stations)
