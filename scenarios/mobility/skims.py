"""Times of cars through a network, by hour, from SUMO's mesoscopic model: cheap enough to be iterated."""

from __future__ import annotations

import gzip
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import quoteattr

import defusedxml.ElementTree
import numpy as np

from cosim.adapters.traffic.installation import run_sumo_tool
from cosim.core.quantities import HOUR_S, Vector
from cosim.core.random import generator
from cosim.scenarios.mobility.costs import TravelChanges
from cosim.scenarios.mobility.routing import write_xml
from cosim.scenarios.streets.network import Net, read_net

VALUE_OF_TIME = 12.0
"""Drivers' value of time in the choice of the route, as in the traffic adapter. [EUR/h]"""

_CLOSED_S = 1e5  # weight of an edge that a trip must not use


@dataclass(frozen=True)
class Skims:
    """Travel time of every edge by hour.

    Attributes
    ----------
    free_s
        Edge → time at its speed limit. [s]
    hourly_s
        Edge and hour → mean time of the vehicles on it; edges without vehicles are missing. [s]
    """

    free_s: Mapping[str, float]
    hourly_s: Mapping[tuple[str, int], float]

    def time_s(self, edges: Sequence[str], depart_s: float) -> float:
        """Return the time over a route, each edge at the hour in which it is reached. [s]"""
        now = depart_s
        for edge in edges:
            now += self.hourly_s.get((edge, int(now // HOUR_S)), self.free_s[edge])
        return now - depart_s


class StreetTimes:
    """Streets of a network with their changes: simulates cars on given routes, and finds routes around.

    Parameters
    ----------
    net
        The network.
    folder
        For intermediate files; made if absent.
    changes
        What policies change; speed limits are written into a copy of the network.
    seed
        Seed of the simulation.
    micro
        Whether SUMO's microscopic model runs instead of the mesoscopic one, which brakes and accelerates at once.
    """

    def __init__(
        self,
        net: Path,
        folder: Path,
        changes: TravelChanges,
        seed: int,
        *,
        micro: bool = False,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._model = () if micro else ("--mesosim", "true", "--meso-junction-control", "true")
        self._folder, self._changes = folder, changes
        self._net = _with_limits(net, folder / "limited.net.xml", changes.speed_limit) if changes.speed_limit else net
        self._number = str(generator(seed, "skims").integers(2**31))
        self._sumolib: Net = read_net(self._net)
        edges = self._sumolib.getEdges(withInternal=False)
        self.free_s = {str(e.getID()): float(e.getLength() / max(e.getSpeed(), 0.1)) for e in edges}

    @property
    def tolled(self) -> bool:
        """Whether any street has a toll."""
        return bool(self._changes.toll)

    def free(self) -> Skims:
        """Return the times on empty streets."""
        return Skims(self.free_s, {})

    def simulate(self, routes: Sequence[tuple[str, float, Sequence[str]]]) -> Skims:
        """Return the times with these cars on the road.

        Parameters
        ----------
        routes
            Label, departure [s] and edges of every car.

        Raises
        ------
        CosimError
            If SUMO fails, with its message.
        """
        if not routes:
            return Skims(self.free_s, {})
        given, added, found = (self._folder / name for name in ("meso.rou.xml", "meso.add.xml", "edges.xml"))
        lines = [
            f'<vehicle id={quoteattr(label)} depart="{depart:.0f}" departLane="best">'
            f'<route edges="{" ".join(edges)}"/></vehicle>'
            for label, depart, edges in sorted(routes, key=lambda row: (row[1], row[0]))
        ]
        write_xml(given, "routes", lines)
        data = f'<edgeData id="hourly" file={quoteattr(str(found.resolve()))} period="3600" excludeEmpty="true"/>'
        write_xml(added, "additional", [data])
        run_sumo_tool(
            "sumo",
            *("--net-file", self._net, "--route-files", given, "--additional-files", added),
            *self._model,
            *("--seed", self._number),
            *("--no-step-log", "true", "--no-warnings", "true", "--ignore-route-errors", "true"),
            *("--begin", f"{min(row[1] for row in routes) // HOUR_S * HOUR_S:.0f}"),
            timeout_s=3_600,
        )
        hourly: dict[tuple[str, int], float] = {}
        hour = 0
        for event, element in defusedxml.ElementTree.iterparse(found, events=("start", "end")):
            if event == "start" and element.tag == "interval":
                hour = int(float(element.get("begin", "0")) // HOUR_S)
            elif event == "end" and element.tag == "edge" and element.get("traveltime"):
                hourly[element.get("id", ""), hour] = float(element.get("traveltime"))
        for path in (given, added, found):
            path.unlink()
        return Skims(self.free_s, hourly)

    def barred(self, edges: Sequence[str]) -> bool:
        """Return whether a route uses a street that is closed to it."""
        closed = self._changes.closed
        return not closed.isdisjoint(edges) and edges[0] not in closed and edges[-1] not in closed

    def detours(self, routes: Mapping[str, tuple[float, Sequence[str]]], skims: Skims) -> dict[str, list[str]]:
        """Return new routes of cars, by time and toll: of those that are barred, and of those that save by it.

        Cars that are barred and cannot avoid the closed streets get none.

        Parameters
        ----------
        routes
            Label → departure [s] and edges of the base case, of cars that are barred or pay a toll.
        skims
            Times by which they choose.
        """
        if not routes:
            return {}
        hours = range(int(max(depart for depart, _ in routes.values()) // HOUR_S) + 1)
        closed = self._changes.closed
        given, weights, found = (self._folder / f"detours.{name}.xml" for name in ("trips", "weights", "rou"))
        lines = []
        for hour in hours:
            lines.append(f'<interval begin="{hour * HOUR_S:g}" end="{(hour + 1) * HOUR_S:g}">')
            for edge, free_s in self.free_s.items():
                toll_s = self._changes.toll_at(edge, hour * HOUR_S) * HOUR_S / VALUE_OF_TIME
                seconds = skims.hourly_s.get((edge, hour), free_s) + toll_s + _CLOSED_S * (edge in closed)
                lines.append(f'<edge id={quoteattr(edge)} traveltime="{seconds:.2f}"/>')
            lines.append("</interval>")
        write_xml(weights, "meandata", lines)
        trips = [
            f'<trip id={quoteattr(label)} depart="{depart:.0f}" from={quoteattr(edges[0])} to={quoteattr(edges[-1])}/>'
            for label, (depart, edges) in sorted(routes.items(), key=lambda row: (row[1][0], row[0]))
        ]
        write_xml(given, "routes", trips)
        run_sumo_tool(
            "duarouter",
            *("--net-file", self._net, "--route-files", given, "--output-file", found, "--weight-files", weights),
            *("--ignore-errors", "true", "--no-warnings", "true", "--seed", self._number),
            timeout_s=3_600,
        )
        chosen: dict[str, list[str]] = {}
        for _, element in defusedxml.ElementTree.iterparse(found):
            if element.tag == "vehicle":
                edges = element.find("route").get("edges", "").split()
                label = str(element.get("id"))
                depart, base = routes[label]
                if self.barred(base):
                    takes = not self.barred(edges)
                else:
                    takes = self._cost_s(edges, depart, skims) < self._cost_s(base, depart, skims)
                if takes:
                    chosen[label] = edges
        for path in self._folder.glob("detours.*"):
            path.unlink()
        return chosen

    def _cost_s(self, edges: Sequence[str], depart_s: float, skims: Skims) -> float:
        return skims.time_s(edges, depart_s) + self.tolls_eur(edges, depart_s) * HOUR_S / VALUE_OF_TIME

    def tolls_eur(self, edges: Sequence[str], depart_s: float) -> float:
        """Return what a car pays on its route, at the tolls of the moment of its departure. [EUR]"""
        return sum(self._changes.toll_at(edge, depart_s) for edge in edges)

    def length_km(self, edges: Sequence[str]) -> float:
        """Return the length of a route. [km]"""
        return sum(float(self._sumolib.getEdge(edge).getLength()) for edge in edges) / 1000


def _with_limits(net: Path, target: Path, limit: Mapping[str, float]) -> Path:
    """Write a copy of a network whose lanes have lower limits."""

    def limited(lane: re.Match[str]) -> str:
        edge = lane[1].rsplit("_", 1)[0]
        return lane[0] if edge not in limit else _limited(lane[0], limit[edge])

    text = (gzip.decompress(net.read_bytes()) if net.suffix == ".gz" else net.read_bytes()).decode("utf-8")
    target.write_text(re.sub(r'<lane id="([^"]*)"[^>]*>', limited, text), encoding="utf-8")
    return target


def _limited(lane: str, limit: float) -> str:
    return re.sub(r' speed="([\d.]+)"', lambda old: f' speed="{min(float(old[1]), limit):.2f}"', lane)


def times_s(skims: Skims, routes: Sequence[tuple[float, Sequence[str]]]) -> Vector:
    """Return the time over each route, given with its departure, shape (n_routes,). [s]"""
    return np.array([skims.time_s(edges, depart) for depart, edges in routes])
