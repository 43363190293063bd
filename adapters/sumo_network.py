"""Where can vehicles drive and charge, how fast, and by which signals? What a SUMO network says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree.ElementTree import Element

import numpy as np
import numpy.typing as npt

from cosim.adapters.sumo_files import absolute, elements
from cosim.core.errors import InputFileError

if TYPE_CHECKING:
    from cosim.core.ports import Vector

Coordinates = npt.NDArray[np.float64]

_READ = ("edge", "junction", "connection", "tlLogic")


@dataclass(frozen=True)
class Network:
    """The edges of a SUMO network that are not inside a junction, in the order of the file."""

    labels: tuple[str, ...]
    length_m: Vector
    speed_limit: Vector
    """Of the edge's fastest lane. [m/s]"""
    lanes: npt.NDArray[np.int64]
    shapes: tuple[Coordinates, ...]
    """Per edge, shape (n_points, 2), in the network's own coordinates. [m]"""
    from_node: tuple[str, ...]
    to_node: tuple[str, ...]
    node_xy: dict[str, tuple[float, float]]
    leaves: dict[str, str] = field(repr=False)
    """For every edge inside a junction, the edge that its vehicles come from."""
    lane_speeds: tuple[tuple[float, ...], ...] = field(repr=False)
    """Per edge and lane, the speed limit. [m/s]"""
    permissions: tuple[tuple[tuple[str, str], ...], ...] = field(repr=False)
    """Per edge and lane, the vehicle classes that are allowed and those that are not, as SUMO writes them."""
    programs: dict[str, tuple[str, ...]]
    """The signal programs of every traffic light."""

    def permits(self, vehicle_class: str) -> npt.NDArray[np.bool_]:
        """Return which edges have a lane for a vehicle class, shape (n_edges,)."""
        return np.array([any(_permits(*lane, vehicle_class) for lane in lanes) for lanes in self.permissions])


@dataclass(frozen=True)
class ChargingStation:
    """A charging station as its file describes it: power from the grid [W] and efficiency into the battery."""

    id: str
    lane: str
    power_w: float
    efficiency: float

    @property
    def edge(self) -> str:
        """The edge that the lane belongs to."""
        return self.lane.rpartition("_")[0]


def _permits(allowed: str, disallowed: str, vehicle_class: str) -> bool:
    if allowed:
        return allowed == "all" or vehicle_class in allowed.split()
    return disallowed != "all" and vehicle_class not in disallowed.split()


def _points(text: str) -> Coordinates:
    return np.array([[float(number) for number in point.split(",")[:2]] for point in text.split()]).reshape(-1, 2)


def network_edges(net: str | Path) -> Network:
    """Read the edges of a network file (``.net.xml``, plain or compressed), as a stream.

    Raises
    ------
    InputFileError
        If the file cannot be read or is no SUMO network.
    """
    path = Path(net)
    rows: list[tuple[str, str, str, float, Coordinates, tuple[float, ...], tuple[tuple[str, str], ...]]] = []
    programs: dict[str, tuple[str, ...]] = {}
    nodes: dict[str, tuple[float, float]] = {}
    comes_from: dict[str, str] = {}
    root: Element | None = None
    try:
        for event, element in elements(path, ("start", "end")):
            if root is None:
                root = element
            if event == "start" or element.tag not in _READ:
                continue
            at = element.attrib
            if element.tag == "tlLogic":
                programs[at["id"]] = (*programs.get(at["id"], ()), at["programID"])
            elif element.tag == "junction" and at.get("type") != "internal":
                nodes[at["id"]] = (float(at["x"]), float(at["y"]))
            elif element.tag == "connection" and "via" in at:
                comes_from.setdefault(at["via"].rpartition("_")[0], at["from"])
            elif element.tag == "edge" and not at["id"].startswith(":"):
                lanes: list[Any] = element.findall("lane")
                shape = at.get("shape") or lanes[len(lanes) // 2].attrib["shape"]
                rows.append((
                    at["id"], at["from"], at["to"], float(lanes[0].attrib["length"]), _points(shape),
                    tuple(float(lane.attrib["speed"]) for lane in lanes),
                    tuple((lane.get("allow", ""), lane.get("disallow", "")) for lane in lanes),
                ))  # fmt: skip
            root.clear()
    except KeyError as error:
        raise InputFileError(f"{path} is no SUMO network: {_named(element)} lacks {error}") from error
    except IndexError as error:
        raise InputFileError(f"{path} is no SUMO network: {_named(element)} has no lane") from error
    except ValueError as error:
        raise InputFileError(f"{path} is no SUMO network: {_named(element)} is malformed ({error})") from error
    if not rows:
        raise InputFileError(f"{path} holds no edges: make a network with netconvert")
    labels, sources, targets, length, shapes, speeds, permissions = zip(*rows)
    leaves = {}
    for inner in comes_from:
        edge, hops = inner, 0
        while edge.startswith(":") and edge in comes_from and hops < 10:  # a junction's inner edges form short chains
            edge, hops = comes_from[edge], hops + 1
        leaves[inner] = edge
    return Network(
        labels, np.array(length), np.array([max(lanes) for lanes in speeds]),
        np.array([len(lanes) for lanes in speeds]), shapes, sources, targets, nodes, leaves, speeds, permissions,
        programs,
    )  # fmt: skip


def _additions(files: Iterable[str | Path], including: frozenset[Path] = frozenset()) -> Iterator[tuple[Path, Element]]:
    """Stream the elements of additional files and of what these include, each with its file."""
    for path in map(Path, files):
        if path in including:
            raise InputFileError(f"{path} includes itself: remove the include")
        for _, element in elements(path, ("end",)):
            if element.tag == "include" and "href" in element.attrib:
                yield from _additions([absolute(element.attrib["href"], path.parent)], including | {path})
            else:
                yield path, element


def signal_programs(network: Network, additionals: Iterable[str | Path]) -> dict[str, tuple[str, ...]]:
    """Return the programs of every traffic light of a network: its own, then those of the additional files.

    Raises
    ------
    InputFileError
        If a file cannot be read.
    """
    programs = dict(network.programs)
    for _, element in _additions(additionals):
        light, program = element.get("id"), element.get("programID")
        if element.tag == "tlLogic" and light in programs and program and program not in programs[light]:
            programs[light] = (*programs[light], program)
    return programs


def charging_stations(additionals: Iterable[str | Path]) -> tuple[ChargingStation, ...]:
    """Return the charging stations in additional files and in what these include.

    SUMO's defaults hold where a file is silent: 22 kW and an efficiency of 0.95.

    Raises
    ------
    InputFileError
        If a file cannot be read, or a station's description is incomplete or impossible.
    """
    stations: list[ChargingStation] = []
    for path, element in _additions(additionals):
        at = element.attrib
        if element.tag == "chargingStation":
            try:
                power, efficiency = float(at.get("power", 22000.0)), float(at.get("efficiency", 0.95))
                stations.append(ChargingStation(at["id"], at["lane"], power, efficiency))
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
