"""The grid of a city along its real streets, and its comparison with published grids."""

from __future__ import annotations

import itertools
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import networkx as nx
import numpy as np
import pandas as pd
import shapely
from scipy.spatial import cKDTree

from cosim.core.quantities import Vector
from cosim.scenarios.buildings.stock import Stock
from cosim.scenarios.grid.customers import Customer, add_customers
from cosim.scenarios.grid.rules import ServicePoint
from cosim.scenarios.grid.synthesis import SynthesizedGrid, synthesize_grid
from cosim.scenarios.streets.network import Net, street_graph

LARGE_W = 250e3
"""Load beyond which a customer has a transformer of its own on the medium voltage. [W] Assumption."""

BEND_M = 10.0
"""Distance by which a street may leave the straight line between its nodes. [m]"""


@dataclass(frozen=True)
class Figure:
    """A figure of a synthesized grid beside published ones, ``low`` to ``high``, with their source."""

    name: str
    value: float
    unit: str
    low: float
    high: float
    source: str

    @property
    def inside(self) -> bool:
        """Whether the figure lies in the published range."""
        return self.low <= self.value <= self.high


def build_grid(
    net: Net,
    sites: pd.DataFrame,
    stock: Stock,
    premises: pd.DataFrame,
    chargers: pd.DataFrame,
    country: str,
    mapped: Sequence[tuple[float, float]] = (),
) -> SynthesizedGrid:
    """Build the grid that supplies homes, premises and chargers.

    Parameters
    ----------
    net
        The network of the streets.
    sites, stock
        Residential buildings.
    premises
        Other buildings and shops: index, ``x``, ``y`` [m], ``load_w`` [W].
    chargers
        Charging stations with ``x``, ``y`` [m], ``power_w`` [W] and ``points``.
    country
        Of the design rules.
    mapped
        Existing stations to build on. [m]
    """
    services = [
        ServicePoint(str(label), float(row.x), float(row.y), dwellings=int(n))
        for (label, row), n in zip(sites.iterrows(), stock.dwellings, strict=True)
    ]
    large: list[Customer] = []
    loads = [(str(i), float(row.x), float(row.y), float(row.load_w)) for i, row in premises.iterrows()]
    loads += [(str(i), float(row.x), float(row.y), float(row.power_w * row.points)) for i, row in chargers.iterrows()]
    for label, x, y, load_w in loads:
        if load_w > LARGE_W:
            large.append(Customer(label, load_w, x, y))
        else:
            services.append(ServicePoint(label, x, y, design_load_w=load_w))
    grid = synthesize_grid(in_straight_pieces(street_graph(net)), services, country=country, sites=mapped)
    return add_customers(grid, large) if large else grid


def in_straight_pieces(streets: nx.Graph[str]) -> nx.Graph[str]:
    """Return a street graph with a node at every bend, since the synthesis takes its edges as straight.

    Without them, what stands under the chord of a winding road would be connected to that road.

    Parameters
    ----------
    streets
        As returned by `street_graph`.
    """
    pieces: nx.Graph[str] = nx.Graph()
    pieces.add_nodes_from(streets.nodes(data=True))
    for u, v, road in streets.edges(data=True):
        a, b = sorted((u, v))
        ends = [(streets.nodes[node]["x"], streets.nodes[node]["y"]) for node in (a, b)]
        line = shapely.LineString([ends[0], *road["shape"][1:-1], ends[1]]).simplify(BEND_M)
        points = shapely.get_coordinates(line)
        spans = np.hypot(*np.diff(points, axis=0).T)
        labels = [a, *(f"{a} {b} bend {k}" for k in range(1, len(points) - 1)), b]
        for label, (x, y) in zip(labels[1:-1], points[1:-1].tolist()):
            pieces.add_node(label, x=x, y=y)
        for (one, other), span in zip(itertools.pairwise(labels), spans.tolist()):
            if (length := road["length"] * span / spans.sum()) > 0:
                pieces.add_edge(one, other, length=length)
    return pieces


def compared(grid: SynthesizedGrid, dwellings: Mapping[str, float]) -> list[Figure]:
    """Return the grid's figures beside those of published low-voltage grids.

    Parameters
    ----------
    grid
        The grid.
    dwellings
        Number of dwellings by building; everything else that is connected is one customer.

    References
    ----------
    .. [1] 160 real Spanish feeders, and 28 networks of Eindhoven: Representative distribution networks.
    .. [2] Kerber's type grids, and pylovo's synthetic grids of Bavaria.
    .. [3] Scheffler, as in the documentation of ding0: a low-voltage cable is 100 to 1,500 m long.
    """
    feeders: dict[str, float] = defaultdict(float)
    for name, km in zip(grid.net.line["name"], grid.net.line["length_km"], strict=True):
        if " F" in str(name):
            feeders[str(name).rsplit(" ", 1)[0]] += float(km) * 1e3
    names = grid.net.bus["name"].to_dict()
    loads: dict[str, float] = defaultdict(float)
    per_station: dict[str, float] = defaultdict(float)
    for label, bus in grid.bus_of.items():
        feeder = str(names[bus]).rsplit(" ", 1)[0]
        if " F" in feeder:
            loads[feeder] += dwellings.get(label, 1.0)
            per_station[feeder.split(" ")[0]] += dwellings.get(label, 1.0)
    of_station: dict[str, list[float]] = defaultdict(list)
    for feeder, metres in feeders.items():
        of_station[feeder.split(" ")[0]].append(metres)
    totals = [sum(metres) / 1e3 for metres in of_station.values()]
    rated = [station.rated_va / 1e3 for station in grid.stations]
    median = statistics.median
    lengths = sorted(feeders.values())
    return [
        Figure(
            "customers a feeder, median", median(loads.values()), "1", 5, 91, "Spain: median 31, largest cluster 91"
        ),
        Figure("feeder length, median", median(lengths), "m", 100, 500, "Spain: 192 m; ding0: 200 to 300 m"),
        Figure(
            "feeder length, p95",
            float(np.quantile(lengths, 0.95)),
            "m",
            200,
            1500,
            "Spain: 975 m; ding0: at most 1,500 m",
        ),
        Figure(
            "customers a station, median",
            median(per_station.values()),
            "1",
            20,
            175,
            "pylovo: 20 to 175; Kerber: 146",
        ),
        Figure(
            "feeders a station, median", median(map(len, of_station.values())), "1", 2, 12, "pylovo: 8; Kerber: 9 to 10"
        ),
        Figure(
            "cables of a station, median",
            median(totals),
            "km",
            0.8,
            7.4,
            "pylovo: 1.8 to 7.4; Kerber: 4.5; Eindhoven: 1.67",
        ),
        Figure("transformer, median", median(rated), "kVA", 250, 1000, "Spain, Kerber, pylovo, Eindhoven: 630"),
        Figure(
            "lowest voltage at design load", grid.report.lowest_voltage, "pu", 0.95, 1.05, "EN 50160: 0.90, here ±5 %"
        ),
        Figure("worst line loading at design load", grid.report.worst_line_loading, "1", 0.0, 1.0, "at most 1"),
    ]


def beside_mapped(
    grid: SynthesizedGrid, mapped: Sequence[tuple[float, float]], sites: Vector, customers: Vector
) -> dict[str, float]:
    """Return the synthesized stations against the mapped ones: numbers, distances, buildings and customers each.

    Parameters
    ----------
    grid
        The grid.
    mapped
        Positions of mapped stations. [m]
    sites : shape (n_buildings, 2)
        Positions of the buildings that are supplied. [m]
    customers : shape (n_buildings,)
        Dwellings of each, 1 for other buildings; each counts for the station nearest to it.
    """
    ours = np.array([(station.x, station.y) for station in grid.stations])
    theirs = np.array(mapped, float).reshape(-1, 2)
    found = {"synthesized": float(len(ours)), "mapped": float(len(theirs))}
    for name, places in (("synthesized", ours), ("mapped", theirs)):
        if not len(places) or not len(sites):
            continue
        away, nearest = cKDTree(places).query(sites)
        each = np.bincount(nearest, customers, minlength=len(places))
        found |= {
            f"{name}: buildings a station, median": float(np.median(np.bincount(nearest, minlength=len(places)))),
            f"{name}: customers a station, median": float(np.median(each)),
            f"{name}: customers a station, p95": float(np.quantile(each, 0.95)),
            f"{name}: building to its nearest station, median [m]": float(np.median(away)),
            f"{name}: building to its nearest station, p95 [m]": float(np.quantile(away, 0.95)),
        }
        if len(places) > 1:
            apart = np.asarray(cKDTree(places).query(places, k=2)[0])[:, 1]
            found[f"{name}: nearest neighbour, median [m]"] = float(np.median(apart))
    if len(theirs):
        found["mapped to the nearest synthesized, median [m]"] = float(np.median(cKDTree(ours).query(theirs)[0]))
    return found


def mapped_stations(places: Sequence[Any]) -> list[Any]:
    """Return the places of the map that are transformer stations of the distribution grid."""
    return [
        place
        for place in places
        if place.tags.get("power") == "substation"
        and place.tags.get("substation", "minor_distribution") in ("minor_distribution", "distribution", "compact")
        and not str(place.tags.get("voltage", "")).startswith(("110", "220", "380", "400000"))
    ]
