"""Synthesis of a low- and medium-voltage grid under streets, from service points.

The method follows the synthetic grids of pylovo and Spain's design rules (see `rules`):

1. Every service point is projected onto the nearest street. Points whose feet lie on the same ``share_within_m`` long
   piece of one street edge, on either side of it, share one bus, a cabinet at the mean of their feet. House
   connections beyond the cabinet are not modelled.
2. Cabinets are bisected along the longer axis of their area until each group's coincident load fits one 630 kVA
   station, which stands at the street node with the least sum of load × distance; two stations may stand at one
   corner.
3. The shortest-path tree of a station is split into feeders by the largest cable's current; a feeder's segments are
   sized by the coincident current beyond them, then raised together until the voltage drop fits, in parallel cables
   where one does not suffice. A group that would need more than four in parallel is halved, which adds a station.
4. Stations are grouped by angle around the source into medium-voltage rings of at most 12. Each ring is a short tour,
   open at the line that divides its load best; its cable can carry the whole ring from one end.
5. The grid is solved at design load and without load, and reinforced until it is operated radially, no element is
   above 100 % and every voltage is within ±5 %.

The source is the medium-voltage busbar of the primary substation, a stiff external grid at 1.0 pu: its transformer's
on-load tap changer holds that voltage, and the levels above it are outside the city's control.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import networkx as nx
import numpy as np

from cosim.core import ScenarioError

from .build import GridReport, NetBuilder, Station, SynthesizedGrid
from .cabinets import Streets
from .design import GridDesign
from .rules import Country, ServicePoint, coincident_load, demand_of

__all__ = ["GridReport", "ServicePoint", "Station", "SynthesizedGrid", "coincident_load", "synthesize_grid"]


def synthesize_grid(
    streets: nx.Graph[Any],
    services: Iterable[ServicePoint],
    *,
    country: Country,
    source: tuple[float, float] | None = None,
    dwelling_w: float = 5750.0,
    share_within_m: float = 20.0,
    sites: Sequence[tuple[float, float]] = (),
) -> SynthesizedGrid:
    """Build a grid under a street graph; the same input gives the same grid, bit for bit.

    Parameters
    ----------
    streets
        Connected graph; nodes carry ``x`` and ``y``, edges ``length``. [m] Streets are taken as straight.
    services
        The service points to be supplied.
    country
        ``"ES"``: 25 kV and ITC-BT-10. All others: pylovo's coincidence, and the medium voltage of `rules.MV_KV`.
    source
        Position of the primary substation; by default the centre of the service points. [m]
    dwelling_w
        Load of one Spanish dwelling, 5,750 or 9,200 W. [W]
    share_within_m
        Length of street on which service points share a cabinet; with 0 every foot has its own. [m]
    sites
        Positions of existing stations. [m] Every cabinet is supplied by the one nearest along the streets, which stands
        at the street node nearest to it; a group that is too large for it is divided as without sites.

    Raises
    ------
    ScenarioError
        If streets or service points are invalid.
    CosimError
        If no reinforcement keeps the grid within its limits.
    """
    services = list(services)
    _check(streets, services, country)
    cut = Streets(streets, services, share_within_m)
    dwellings, fixed_w = demand_of(services)
    design = GridDesign(cut, dwellings, fixed_w, country, dwelling_w)
    plans = design.stations(sites)
    at = np.array(source) if source else np.mean([(s.x, s.y) for s in services], axis=0)
    root = int(np.argmin(np.round(np.hypot(*(cut.xy[: cut.n_street] - at).T), 3)))
    return NetBuilder(services, design, plans, root).build()


def _check(streets: nx.Graph[Any], services: Sequence[ServicePoint], country: str) -> None:
    problems = []
    if not (len(country) == 2 and country.isupper()):
        problems.append(f"country is {country!r}: give its ISO 3166-1 code, such as 'ES'")
    if not services:
        problems.append("there are no service points: pass at least one")
    duplicates = [label for label, n in Counter(s.label for s in services).items() if n > 1]
    if duplicates:
        problems.append(f"service point {duplicates[0]!r} is given twice: labels must be unique")
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
        problems.append("the street graph has no edges: pass one with streets for the cables")
    elif not nx.is_connected(nx.Graph(streets)):
        problems.append("the street graph is not connected: pass its largest component")
    if problems:
        raise ScenarioError(problems)
