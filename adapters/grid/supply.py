"""Transformers between the external grids and each connection point, and their free capacity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import networkx as nx
import numpy as np
import pandapower.topology

from cosim.core.quantities import Vector


class Supply:
    """Stations of a net in one switching state: groups of transformers that feed the same buses in parallel.

    Parameters
    ----------
    net
        The net; its two-winding transformers, then its three-winding ones, are numbered from 0.
    buses
        Bus of every connection point.
    """

    def __init__(self, net: Any, buses: Sequence[int]) -> None:
        graph = pandapower.topology.create_nxgraph(net, include_trafos=False, include_trafo3ws=False)
        island = {bus: k for k, part in enumerate(nx.connected_components(nx.Graph(graph))) for bus in part}
        above: dict[int, set[int]] = {}
        feeding: dict[int, list[int]] = {}
        for number, (high, lows) in enumerate(_transformers(net)):
            if high is None or high not in island:
                continue
            for low in {island[bus] for bus in lows if bus in island} - {island[high]}:
                above.setdefault(low, set()).add(island[high])
                feeding.setdefault(low, []).append(number)
        self._stations = [np.array(members) for members in feeding.values()]
        row = {low: k for k, low in enumerate(feeding)}
        self._feeds = np.zeros((len(feeding), len(buses)), bool)
        """Whether a station supplies a connection point, directly or through others."""
        for point, bus in enumerate(buses):
            todo, seen = [island.get(bus, -1)], set()
            while todo:
                here = todo.pop()
                if here in seen:
                    continue
                seen.add(here)
                if here in row:
                    self._feeds[row[here], point] = True
                todo += above.get(here, ())

    def room(self, power_w: Vector, loading: Vector, rating_va: Vector, limit: Vector) -> Vector:
        """Return the remaining active power of every station, limited by its most loaded transformer. [W]

        Parameters
        ----------
        power_w, loading, rating_va : shape (n_transformers,)
            See `free_power`.
        limit : shape (n_points,)
            Loading limit of each point; infinite for points that do not take part.

        Returns
        -------
        shape (n_stations,)
            Infinite for stations without a participating point.
        """
        room = np.full(len(self._stations), np.inf)
        for k, (members, feeds) in enumerate(zip(self._stations, self._feeds)):
            least = limit[feeds].min(initial=np.inf)
            if np.isfinite(least):
                free = free_power(power_w[members], loading[members], rating_va[members], float(least))
                room[k] = len(members) * free.min()
        return room

    def drawn(self, power_w: Vector) -> Vector:
        """Return the total power of the points behind every station, shape (n_stations,). [W]"""
        return np.array([power_w[feeds].sum() for feeds in self._feeds])

    def least(self, room_w: Vector, weight: Vector) -> Vector:
        """Divide the room at every station among its points by weight, and return the least share of each. [W]

        Parameters
        ----------
        room_w : shape (n_stations,)
            Power to divide; infinite for no limit.
        weight : shape (n_points,)
            Zero for points that do not take part.

        Returns
        -------
        shape (n_points,)
            Infinite where no station sets a limit.
        """
        least = np.full(len(weight), np.inf)
        for room, feeds in zip(room_w, self._feeds):
            here = feeds & (weight > 0)
            if np.isfinite(room) and here.any():
                least[here] = np.minimum(least[here], room * weight[here] / weight[here].sum())
        return least


def ratings_va(net: Any) -> Vector:
    """Return the rating of every transformer, the two-winding ones first, shape (n_transformers,). [VA]"""
    rating = [net.trafo.sn_mva * net.trafo.parallel * net.trafo.df, net.trafo3w.sn_hv_mva]
    return np.concatenate(rating, dtype=np.float64) * 1e6  # MVA -> VA


def _transformers(net: Any) -> list[tuple[int | None, list[int]]]:
    """Return high-voltage bus and other buses of every transformer; None where it is switched off."""
    found: list[tuple[int | None, list[int]]] = []
    for table, letter, lows in (("trafo", "t", ["lv_bus"]), ("trafo3w", "t3", ["mv_bus", "lv_bus"])):
        open_at: Mapping[int, set[int]] = {}
        if len(net.switch):
            off = net.switch[(net.switch.et == letter) & ~net.switch.closed.astype(bool)]
            open_at = off.groupby("element").bus.agg(set).to_dict()
        for index, row in net[table].iterrows():
            cut = open_at.get(index, set())
            dead = not row.in_service or row.hv_bus in cut
            found.append((None if dead else row.hv_bus, [row[low] for low in lows if row[low] not in cut]))
    return found


_IDLE = 0.02
"""Loading below which the no-load current determines the power factor, which is then taken as 1. [1]"""


def free_power(power_w: Vector, loading: Vector, rating_va: Vector, limit: float) -> Vector:
    """Return the additional active power that transformers can carry at the current power factor. [W]

    Parameters
    ----------
    power_w : shape (n,)
        Active power entering at the high-voltage side.
    loading, rating_va : shape (n,)
        Loading [1] and rating.
    limit
        Loading limit.
    """
    busy = loading > _IDLE
    most = np.where(busy, np.abs(power_w) * limit / np.where(busy, loading, 1.0), rating_va * limit)
    return np.asarray(most - power_w)
