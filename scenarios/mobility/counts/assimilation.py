"""Traffic that follows live counts: zones of origin, their share in the flow on counted edges, and the feedback."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from cosim import Scenario
from cosim.adapters.demand import DemandFilter
from cosim.core.quantities import Array, Vector
from cosim.scenarios.mobility.counts.day import Pool, read_scenario
from cosim.scenarios.mobility.counts.path_flows import path_flows

FILTER = "demand"
STEP_S = 3600.0
"""Interval of the counts, and of the correction. [s]"""


def origin_zones(pool: Pool) -> dict[str, str]:
    """Return a zone for every edge on which routes begin: the edge itself, by its name."""
    return {edge: edge for edge in dict.fromkeys(route[0] for route in pool.routes)}


def zone_flows(pool: Pool, edges: Sequence[str], zones: Mapping[str, str], flows: Array) -> Array:
    """Return the flow on edges by the zone in which it begins.

    Parameters
    ----------
    pool
        The routes.
    edges, zones
        Counted edges, and the zone of every edge of origin.
    flows : shape (n_routes,) or (n_routes, n_hours)
        Vehicles by route.

    Returns
    -------
    shape (n_edges, n_zones) or (n_edges, n_zones, n_hours)
    """
    names = list(dict.fromkeys(zones.values()))
    of = np.array([names.index(zones[route[0]]) for route in pool.routes])
    begins = np.equal.outer(np.arange(len(names)), of).astype(float)  # (n_zones, n_routes)
    found: Array = np.einsum("er,zr,r...->ez...", pool.passes(edges), begins, np.asarray(flows, float), optimize=True)
    return found


@dataclass(frozen=True)
class UsualDay:
    """The day that a scenario repeats, and what its loops usually count."""

    zones: Mapping[str, str]
    """The zone of every edge on which routes begin."""
    edges: tuple[str, ...]
    """Edges with loops."""
    shares: Array
    """Vehicles of the day on every such edge from every zone, shape (n_edges, n_zones)."""
    usual: Vector
    """Vehicles of the day over those counted, shape (n_edges,)."""

    @classmethod
    def of(cls, sumocfg: str | Path, counts: str | Path, folder: Path, seed: int = 0, zone: str = "UTC") -> UsualDay:
        """Return the day of `counted_day`; edges that no route passes are left out."""
        _, _, pool, located = read_scenario(sumocfg, counts, folder, seed, zone)
        zones = origin_zones(pool)
        flows = path_flows(pool.passes(located.edges), pool.prior, located.flow)
        shares = zone_flows(pool, located.edges, zones, flows.sum(axis=1))
        passed = shares.sum(axis=1) > 0
        edges = tuple(edge for edge, is_passed in zip(located.edges, passed) if is_passed)
        counted = located.flow[passed].sum(axis=1)
        return cls(zones, edges, shares[passed], shares[passed].sum(axis=1) / np.maximum(counted, 1.0))

    def follow_counts(self, scenario: Scenario, step_s: float = STEP_S) -> None:
        """Let the traffic of a scenario follow counts that are fed into ``demand.counts``.

        The demand of every zone is corrected at the end of each interval and holds from the next exchange step on.

        Parameters
        ----------
        scenario
            It has the adapter ``traffic``, with these zones.
        step_s
            Interval of the counts. [s]
        """
        labels: Sequence[str] = scenario.adapters["traffic"].flow.labels  # type: ignore[attr-defined]
        demand = DemandFilter(self.edges, tuple(dict.fromkeys(self.zones.values())), self.shares, self.usual)
        scenario.add(steps={FILTER: step_s}, **{FILTER: demand})
        columns = [labels.index(edge) for edge in self.edges]
        ones, rows = np.ones(len(columns)), np.arange(len(columns))
        counted = sp.csr_array((ones, (rows, columns)), shape=(len(columns), len(labels)))
        scenario.connect("traffic.flow", f"{FILTER}.flow", via=counted, partial=True)
        late = "counts are known when their interval is over"
        scenario.connect(f"{FILTER}.factor", "traffic.zone_demand", delay=1, because=late)
