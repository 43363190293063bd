"""Charging stations of the map: power, points and the stretch of street beside which cars charge."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import shapely

from cosim.scenarios.mobility.chargers import CAR_M, EFFICIENCY, FAST_W, place_chargers
from cosim.scenarios.streets.network import Net, drivable, project

from .findings import Findings
from .sources.osm import Place
from .streets import street_class

USUAL_W, USUAL_POINTS = 22_000.0, 2
"""Of a public station that gives neither. Assumption: three-phase 32 A, IEC 61851-1, and two points."""
SNAP_M = 100.0

_POWER = re.compile(r"(\d+(?:[.,]\d+)?)\s*(k?)(?:W|VA)\b", re.IGNORECASE)
_FREE_M = (8.0, 15.0)
_COLUMNS = ["kind", "site", "edge", "lane", "start_m", "end_m", "x", "y", "power_w", "points", "efficiency"]


def power_w(text: str) -> float | None:
    """Return the first power in a text; None without one. [W]

    Examples
    --------
    >>> [power_w(text) for text in ("11 kW", "22+11+3,7 kW", "3,7kW", "50000 W", "", "yes")]
    [11000.0, 22000.0, 3700.0, 50000.0, None, None]
    """
    unit = _POWER.search(text)
    first = re.search(r"\d+(?:[.,]\d+)?", text)
    if unit is None or first is None:
        return None
    return float(first[0].replace(",", ".")) * (1e3 if unit[2] else 1.0)


def points_of(tags: Mapping[str, str]) -> int | None:
    """Return how many cars a station charges at once; None if its tags do not say."""
    if (text := tags.get("capacity", "")).isdigit() and int(text):
        return int(text)
    sockets = [v for k, v in tags.items() if re.fullmatch(r"socket:[a-z0-9_]+", k) and v.isdigit()]
    return sum(map(int, sockets)) or None


def mapped_chargers(places: Sequence[Place], net: Net, findings: Findings) -> pd.DataFrame:
    """Return the public charging stations of the map, in the columns of `mobility.chargers.place_chargers`.

    Each stands beside the nearest street of the cars' network with room for it; several at one street stand one behind
    the other.
    """
    edges = [e for e in drivable(net) if street_class(e) not in ("motorway", "motorway_link", "trunk", "trunk_link")]
    lines = [shapely.LineString([p[:2] for p in edge.getShape()]) for edge in edges]
    tree = shapely.STRtree(lines)
    taken: dict[str, list[tuple[float, float]]] = defaultdict(list)
    rows: dict[str, list[Any]] = {}
    for place in sorted(places, key=lambda place: place.label):
        tags = place.tags
        if tags.get("amenity") != "charging_station":
            continue
        if tags.get("access") in ("private", "no") or tags.get("motorcar") == "no" or tags.get("bicycle") == "only":
            findings.add("dropped", "charging station that is not public", place.label)
            continue
        outputs = [v for k, v in sorted(tags.items()) if k.endswith(":output")]
        watts = max((w for text in outputs if (w := power_w(text)) is not None), default=None)
        if watts is None:
            findings.add("guessed", f"charging station without power: {USUAL_W / 1e3:g} kW", place.label)
            watts = USUAL_W
        points = points_of(tags)
        if points is None:
            findings.add("guessed", f"charging station without capacity: {USUAL_POINTS} points", place.label)
            points = USUAL_POINTS
        lon, lat = place.shape.centroid.coords[0]
        (x,), (y,) = project(net, [lon], [lat])
        spot = _stretch(shapely.Point(x, y), points, edges, lines, tree, taken)
        if spot is None:
            findings.add("dropped", f"charging station without room at a street within {SNAP_M:g} m", place.label)
            continue
        kind = "fast" if watts >= FAST_W else "street"
        rows[f"{kind}.{place.label}"] = [kind, "", *spot, float(x), float(y), watts, points, EFFICIENCY]
    table = pd.DataFrame.from_dict(rows, orient="index", columns=_COLUMNS)
    return table.rename_axis("charger")


def _stretch(
    at: Any,
    points: int,
    edges: Sequence[Any],
    lines: Sequence[Any],
    tree: Any,
    taken: dict[str, list[tuple[float, float]]],
) -> tuple[str, str, float, float] | None:
    """Return edge, lane, start and end of a free stretch nearby. [m]"""
    near = tree.query(at, predicate="dwithin", distance=SNAP_M)
    for k in sorted(near.tolist(), key=lambda k: (round(lines[k].distance(at), 3), k)):
        edge = edges[k]
        lane = next(lane for lane in edge.getLanes() if lane.allows("passenger"))
        length = CAR_M * points + 0.5
        low, high = _FREE_M[0], lane.getLength() - _FREE_M[1] - length
        if high < low:
            continue
        wanted = lines[k].project(at) / max(lines[k].length, 1e-9) * lane.getLength() - length / 2
        others = taken[str(edge.getID())]
        free = np.clip([wanted, *(b + 2.0 for _, b in others), *(a - length - 2.0 for a, _ in others)], low, high)
        fits = [float(s) for s in free if all(s + length < a or s > b for a, b in others)]
        if fits:
            start = min(fits, key=lambda s: abs(s - wanted))
            others.append((start, start + length))
            return str(edge.getID()), str(lane.getID()), start, start + length
    return None


def with_home_chargers(
    chargers: pd.DataFrame, net: Net, sites: pd.DataFrame, share: float, seed: int, findings: Findings
) -> pd.DataFrame:
    """Return the stations with those of a share of the residential buildings, drawn by label.

    They take stretches that the map's stations leave free.
    """
    wanted = round(share * len(sites))
    busy = {(row.lane, row.start_m, row.end_m) for row in chargers.itertuples()}
    try:
        own = place_chargers(net, sites, 0, wanted, seed, points=1) if wanted else chargers.iloc[:0]
    except Exception:
        findings.add("dropped", "home chargers: the streets have no room for them", "chargers")
        return chargers
    clash = [
        any(lane == row.lane and row.start_m < b and a < row.end_m for lane, a, b in busy) for row in own.itertuples()
    ]
    own = own[~np.array(clash, dtype=bool)]
    both = [table[_COLUMNS] for table in (chargers, own) if len(table)] or [chargers]
    return pd.concat(both).astype({"points": int}).rename_axis("charger")
