"""Edges, signal programs and charging stations of a SUMO network."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary
from xml.etree.ElementTree import Element

import numpy as np

from cosim.adapters.traffic.files import elements, included_elements, version_of
from cosim.core.errors import InputFileError
from cosim.core.quantities import Array, Flags, Indices, Vector

_READ = ("edge", "junction", "connection", "tlLogic", "location")


@dataclass(frozen=True, kw_only=True)
class Network:
    """The edges of a SUMO network that are not inside a junction, in the order of the file."""

    labels: tuple[str, ...]
    length_m: Vector
    speed_limit: Vector
    """Of the edge's fastest lane. [m/s]"""
    lanes: Indices
    shapes: tuple[Array, ...]
    """Per edge, shape (n_points, 2), in the network's own coordinates. [m]"""
    from_node: tuple[str, ...]
    to_node: tuple[str, ...]
    node_xy: dict[str, tuple[float, float]]
    leaves: dict[str, str] = field(repr=False)
    """For every edge inside a junction, the edge from which its vehicles enter."""
    lane_speeds: tuple[tuple[float, ...], ...] = field(repr=False)
    """Per edge and lane, the speed limit. [m/s]"""
    permissions: tuple[tuple[tuple[str, str], ...], ...] = field(repr=False)
    """Per edge and lane, the vehicle classes that are allowed and those that are not, as SUMO writes them."""
    programs: dict[str, tuple[str, ...]]
    """The signal programs of every traffic light."""
    street_names: dict[str, str] = field(repr=False)
    """Names of the streets, of the edges that have one."""
    street_classes: tuple[str, ...] = field(repr=False)
    """Per edge, its type, such as "highway.primary"; empty if the file gives none."""
    crs: str = field(default="", repr=False)
    """Coordinate reference system of its own coordinates, as WKT; empty if the file gives no projection."""

    def permits(self, vehicle_class: str) -> Flags:
        """Return which edges have a lane for a vehicle class, shape (n_edges,)."""
        return np.array([any(_permits(*lane, vehicle_class) for lane in lanes) for lanes in self.permissions])


@dataclass(frozen=True)
class ChargingStation:
    """A charging station in a SUMO file: power from the grid [W] and efficiency into the battery."""

    id: str
    lane: str
    power_w: float
    efficiency: float
    has_cap: bool = False
    """Whether the file limits the power of all its vehicles together."""

    @property
    def edge(self) -> str:
        """The edge of the lane."""
        return self.lane.rpartition("_")[0]


def _permits(allowed: str, disallowed: str, vehicle_class: str) -> bool:
    if allowed:
        return allowed == "all" or vehicle_class in allowed.split()
    return disallowed != "all" and vehicle_class not in disallowed.split()


def _points(text: str) -> Array:
    return np.array([[float(number) for number in point.split(",")[:2]] for point in text.split()]).reshape(-1, 2)


def _crs(projection: str, offset: str) -> str:
    """Return the system of a network's coordinates, which are those of its projection moved by an offset."""
    if projection.strip() in ("!", "-", ".", ""):
        return ""
    import pyproj  # here: a worker process, which needs no degrees, starts without it

    east, north = (float(part) for part in offset.split(","))
    try:
        terms = pyproj.CRS.from_user_input(f"{projection} +type=crs").to_cf()
        del terms["crs_wkt"]
        terms |= {"false_easting": terms["false_easting"] + east, "false_northing": terms["false_northing"] + north}
        return str(pyproj.CRS.from_cf(terms).to_wkt())
    except (KeyError, pyproj.exceptions.CRSError):  # a projection that has no offset of its own
        return ""


def network_edges(net: str | Path) -> Network:
    """Read the edges of a network file (``.net.xml``, plain or compressed), as a stream.

    Raises
    ------
    InputFileError
        If the file cannot be read or is not a SUMO network.
    """
    path = Path(net)
    key = path.resolve(), *version_of(path)
    if (known := _OPEN.get(key)) is None:
        known = _OPEN[key] = _read_edges(path)
    return known


_OPEN: WeakValueDictionary[tuple[Any, ...], Network] = WeakValueDictionary()
"""Networks that somebody holds: each is read once."""


def _read_edges(path: Path) -> Network:
    rows: list[tuple[str, str, str, float, Array, tuple[float, ...], tuple[tuple[str, str], ...]]] = []
    programs: dict[str, tuple[str, ...]] = {}
    nodes: dict[str, tuple[float, float]] = {}
    names: dict[str, str] = {}
    kinds: list[str] = []
    comes_from: dict[str, str] = {}
    root: Element | None = None
    crs = ""
    try:
        for event, element in elements(path, ("start", "end")):
            if root is None:
                root = element
            if event == "start" or element.tag not in _READ:
                continue
            at = element.attrib
            if element.tag == "tlLogic":
                programs[at["id"]] = (*programs.get(at["id"], ()), at["programID"])
            elif element.tag == "location":
                crs = _crs(at.get("projParameter", "!"), at.get("netOffset", "0,0"))
            elif element.tag == "junction" and at.get("type") != "internal":
                nodes[at["id"]] = (float(at["x"]), float(at["y"]))
            elif element.tag == "connection" and "via" in at:
                comes_from.setdefault(at["via"].rpartition("_")[0], at["from"])
            elif element.tag == "edge" and not at["id"].startswith(":"):
                lanes: list[Any] = element.findall("lane")
                if at.get("name"):
                    names[at["id"]] = at["name"]
                kinds.append(at.get("type", ""))
                shape = at.get("shape") or lanes[len(lanes) // 2].attrib["shape"]
                rows.append(
                    (
                        at["id"],
                        at["from"],
                        at["to"],
                        float(lanes[0].attrib["length"]),
                        _points(shape),
                        tuple(float(lane.attrib["speed"]) for lane in lanes),
                        tuple((lane.get("allow", ""), lane.get("disallow", "")) for lane in lanes),
                    )
                )
            root.clear()
    except KeyError as error:
        raise InputFileError(f"{path} is not a SUMO network: {_named(element)} lacks {error}") from error
    except IndexError as error:
        raise InputFileError(f"{path} is not a SUMO network: {_named(element)} has no lane") from error
    except ValueError as error:
        raise InputFileError(f"{path} is not a SUMO network: {_named(element)} is malformed ({error})") from error
    if not rows:
        raise InputFileError(f"{path} has no edges: make a network with netconvert")
    labels, sources, targets, length, shapes, speeds, permissions = zip(*rows)
    leaves = {}
    for inner in comes_from:
        edge, hops = inner, 0
        while edge.startswith(":") and edge in comes_from and hops < 10:  # a junction's inner edges form short chains
            edge, hops = comes_from[edge], hops + 1
        leaves[inner] = edge
    return Network(
        labels=labels,
        length_m=np.array(length),
        speed_limit=np.array([max(lanes) for lanes in speeds]),
        lanes=np.array([len(lanes) for lanes in speeds]),
        shapes=shapes,
        from_node=sources,
        to_node=targets,
        node_xy=nodes,
        leaves=leaves,
        lane_speeds=speeds,
        permissions=permissions,
        programs=programs,
        street_names=names,
        street_classes=tuple(kinds),
        crs=crs,
    )


def signal_programs(network: Network, additionals: Iterable[str | Path]) -> dict[str, tuple[str, ...]]:
    """Return the programs of every traffic light: those of the network, then those of the additional files.

    Raises
    ------
    InputFileError
        If a file cannot be read.
    """
    programs = dict(network.programs)
    for _, element in included_elements(additionals):
        light, program = element.get("id"), element.get("programID")
        if element.tag == "tlLogic" and light in programs and program and program not in programs[light]:
            programs[light] = (*programs[light], program)
    return programs


def charging_stations(additionals: Iterable[str | Path]) -> tuple[ChargingStation, ...]:
    """Return the electric charging stations in additional files and in files they include.

    SUMO's defaults apply where a file gives no value: 22 kW and an efficiency of 0.95.

    Raises
    ------
    InputFileError
        If a file cannot be read, or a station's description is incomplete or impossible.
    """
    stations: list[ChargingStation] = []
    for path, element in included_elements(additionals):
        at = element.attrib
        if element.tag == "chargingStation" and at.get("chargeType") != "fuel":  # filling stations draw no power
            try:
                power, efficiency = float(at.get("power", 22000.0)), float(at.get("efficiency", 0.95))
                stations.append(ChargingStation(at["id"], at["lane"], power, efficiency, "totalPower" in at))
            except KeyError as error:
                raise InputFileError(f"{path}: {_named(element)} lacks {error}") from error
            except ValueError as error:
                raise InputFileError(f"{path}: {_named(element)} is malformed ({error})") from error
            if not (power >= 0 and 0 < efficiency <= 1):
                raise InputFileError(
                    f"{path}: charging station {at['id']!r} has a power of {power:g} W and an efficiency of "
                    f"{efficiency:g}: write a power of at least 0 and an efficiency in (0, 1]"
                )
    return tuple(stations)


def _named(element: Element) -> str:
    return f"{element.tag} {element.get('id', 'without an id')!r}"
