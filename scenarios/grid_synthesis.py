"""What would a utility have built under these streets? A low- and medium-voltage grid from service points.

The method, after the synthetic grids of pylovo and Spain's design rules (see `grid_synthesis_rules`):

1. Every service point is led to the nearest point of the nearest street. Points whose feet lie on the same
   ``share_within_m`` long piece of one street edge, on either side of it, share one bus, a cabinet at the mean of
   their feet. House connections beyond the cabinet are not modelled.
2. Cabinets are bisected along the longer axis of their area until each group's coincident load fits one 630 kVA
   station, which stands at the street node with the least sum of load × distance; two stations may stand at one
   corner.
3. The shortest-path tree of a station is cut into feeders by the largest cable's current; a feeder's segments are
   sized by the coincident current of what lies beyond, then raised together until the voltage drop fits, in
   parallel cables where one does not suffice. A group that would need more than four in parallel is halved: one
   more station.
4. Stations are put on medium-voltage rings of at most 12 by angle around the source, each ring a short tour, open
   at the line that divides its load best; a ring's cable can carry the whole ring from one end.
5. The grid is solved at design load and without load and reinforced until it is radial in operation, nothing is
   above 100 % and every voltage within ±5 %.

The source is the medium-voltage busbar of the primary substation, a stiff external grid at 1.0 pu: its
transformer's on-load tap changer holds that voltage, and what lies above it is not decided by the city.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import networkx as nx
import numpy as np

from cosim.core import ScenarioError

from .grid_synthesis_build import Builder, GridReport, Station, SynthesizedGrid
from .grid_synthesis_design import Design
from .grid_synthesis_rules import MV_KV, Country, ServicePoint, coincident_load, demand_of
from .grid_synthesis_streets import Streets

__all__ = ["GridReport", "ServicePoint", "Station", "SynthesizedGrid", "coincident_load", "synthesize_grid"]


def synthesize_grid(
    streets: nx.Graph[Any],
    services: Iterable[ServicePoint],
    *,
    country: Country,
    source: tuple[float, float] | None = None,
    dwelling_w: float = 5750.0,
    share_within_m: float = 20.0,
) -> SynthesizedGrid:
    """Build a grid under a street graph; the same input gives the same grid, bit for bit.

    Parameters
    ----------
    streets
        Connected graph; nodes carry ``x`` and ``y``, edges ``length``. [m] Streets are taken as straight.
    services
        What is to be supplied.
    country
        ``"ES"``: 25 kV and ITC-BT-10; ``"IT"``: 15 kV and pylovo's coincidence.
    source
        Where the primary substation stands; default: the centre of the service points. [m]
    dwelling_w
        Load of one Spanish dwelling, 5,750 or 9,200 W. [W]
    share_within_m
        Length of street on which service points share a cabinet; 0 gives every foot its own. [m]

    Raises
    ------
    ScenarioError
        If streets or services cannot be used.
    CosimError
        If no reinforcement makes the grid keep its limits.
    """
    services = list(services)
    _check(streets, services, country)
    cut = Streets(streets, services, share_within_m)
    dwellings, fixed_w = demand_of(services)
    design = Design(cut, dwellings, fixed_w, country, dwelling_w)
    plans = design.stations()
    at = np.array(source) if source else np.mean([(s.x, s.y) for s in services], axis=0)
    root = int(np.argmin(np.round(np.hypot(*(cut.xy[: cut.n_street] - at).T), 3)))
    return Builder(services, design, plans, root).build()


def _check(streets: nx.Graph[Any], services: Sequence[ServicePoint], country: str) -> None:
    problems = []
    if country not in MV_KV:
        problems.append(f"country is {country!r}: the design rules known are 'ES' and 'IT'")
    if not services:
        problems.append("there is no service point: pass at least one")
    twice = [label for label, n in Counter(s.label for s in services).items() if n > 1]
    if twice:
        problems.append(f"service point {twice[0]!r} stands twice: every one needs a label of its own")
    dwellings, fixed_w = demand_of(services) if services else (np.zeros(0), np.zeros(0))
    for s, n, w in zip(services, dwellings, fixed_w):
        if not (math.isfinite(s.x) and math.isfinite(s.y) and math.isfinite(w) and n >= 0 and w >= 0 and n + w > 0):
            problems.append(
                f"service point {s.label!r} at ({s.x}, {s.y}) has {n:g} dwellings and {w:g} W: place and "
                "load must be finite, the load positive"
            )
    for node, d in streets.nodes(data=True):
        if not all(isinstance(d.get(k), (int, float, np.number)) and math.isfinite(d[k]) for k in ("x", "y")):
            problems.append(f"street node {node!r} has no finite x and y: give them in metres")
            break
    for u, v, d in streets.edges(data=True):
        if not (isinstance(d.get("length"), (int, float, np.number)) and 0 < d["length"] < math.inf):
            problems.append(f"street {u!r} – {v!r} has length {d.get('length')!r}: it must be positive, in metres")
            break
    if streets.number_of_edges() == 0:
        problems.append("the street graph has no edge: cables lie under streets")
    elif not nx.is_connected(nx.Graph(streets)):
        problems.append("the street graph is not connected: pass its largest component")
    if problems:
        raise ScenarioError(problems)
