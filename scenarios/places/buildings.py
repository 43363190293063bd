"""The buildings of a city as a table: use, storeys, year, size and street, each value with its source."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import shapely
from scipy.spatial import cKDTree

from cosim.core import CosimError
from cosim.core.random import uniform
from cosim.scenarios.buildings.footprints import TOUCH, free_facades
from cosim.scenarios.buildings.outlines import covered, homes_of, mean_storeys, mended
from cosim.scenarios.buildings.tags import Storeys, levels, storeys_of
from cosim.scenarios.streets.network import Net, drivable, project

from .countries import Figures
from .findings import Findings
from .sources.osm import Place
from .streets import street_class
from .uses import HOME, LEAST_HOME_M2, LEAST_UNNAMED_M2, NOTHING, shop_floors, uses_of

SNAP_M = 200.0
"""Largest distance from a building to its street; one further away is left out. [m]"""
LIVED_IN = 0.75
"""Share of the gross floor area that is dwellings: without walls, stairs and cellars. Assumption."""
SHOP_M2 = 80.0
"""Floor area of a shop or restaurant that is mapped as a point within a building. [m²] Assumption."""
BUILT = {1910: 0.2, 1955: 0.2, 1970: 0.25, 1988: 0.15, 2000: 0.1, 2012: 0.1}
"""Share of the buildings by year, for those whose year neither they nor their neighbours give. Assumption."""

_NEAR_M, _LEAST_KNOWN = 150.0, 3
_HOUSE_M2, _LOW_USES = 250.0, ("retail", "storage", "workshop", "sport", "assembly", "transport")
_NOT_ADDRESSED = ("motorway", "motorway_link", "trunk", "trunk_link")
_LOST = ("demolished", "razed", "ruins", "no", "construction", "proposed", "planned")


def build_buildings(
    places: Sequence[Place],
    net: Net,
    country: Figures,
    findings: Findings,
    *,
    storeys: float | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Return the buildings that stand, one row each.

    Parameters
    ----------
    places
        Buildings, their parts, areas and points, in degrees.
    net
        The network of the streets.
    country
        Figures of the country.
    findings
        Receives what is mended, guessed and dropped.
    storeys
        Of buildings of which nothing is known; the country's by default.
    seed
        Seed of the years that are drawn.

    Returns
    -------
    Index ``building``, the OSM id. ``x``, ``y``, ``area_m2``, ``footprint`` in the network's coordinates [m]; ``use``,
    ``storeys``, ``year`` and ``dwellings`` (0: by floor area), each with ``…_source``: ``measured``, ``same type``,
    ``neighbour`` or ``country``; ``floor_m2`` of all storeys; ``shops``, uses of what is mapped inside; ``attached``,
    the neighbours that it touches; ``facade_m``, free façade by orientation; ``edge``, ``snap_m`` and ``azimuth_deg``
    of its street.

    Raises
    ------
    CosimError
        If no building is left.
    """
    metric = _metric(places, net)
    whole = [k for k, place in enumerate(places) if _is_outline(place, findings)]
    parts = [k for k, p in enumerate(places) if p.tags.get("building:part", "no") != "no" and "building" not in p.tags]
    shapes = {}
    for k in whole + parts:
        shape, note = mended(metric[k])
        if shape is None:
            findings.add("dropped", "outline crosses itself or has no area", places[k].label, note)
            continue
        if note:
            findings.add("mended", "outline crossed itself", places[k].label, note)
        shapes[k] = shape
    whole, parts = [k for k in whole if k in shapes], [k for k in parts if k in shapes]
    inside = covered([shapes[k] for k in whole], [None] * len(whole))
    for at, (other, share) in inside.items():
        findings.add(
            "dropped",
            "lies within another building",
            places[whole[at]].label,
            f"{share:.0%} in {places[whole[other]].label}",
        )
    whole = [k for at, k in enumerate(whole) if at not in inside]
    homes = homes_of([shapes[k] for k in parts], [shapes[k] for k in whole])
    own_parts: dict[int, list[int]] = defaultdict(list)
    for part, at in zip(parts, homes):
        if at >= 0:
            own_parts[whole[at]].append(part)
        elif shapes[part].area >= LEAST_HOME_M2:
            whole.append(part)
            findings.add("mended", "building:part without a building: taken as one", places[part].label)
        else:
            findings.add("dropped", "small building:part without a building", places[part].label)
    if not whole:
        raise CosimError(
            "there are no buildings: give footprints with --footprints, or draw sites along the streets with --sites N"
        )
    table = _table([places[k] for k in whole], [shapes[k] for k in whole])
    table = _snapped(table, net, findings)
    _use(table, [(metric[k], p.tags) for k, p in enumerate(places)])
    _storeys(
        table,
        {places[k].label: [(shapes[p], places[p]) for p in own] for k, own in own_parts.items()},
        storeys or country.storeys,
        country.house_storeys,
        findings,
    )
    _years(table, seed, findings)
    _sizes(table)
    return table.drop(columns="tags")


def _metric(places: Sequence[Place], net: Net) -> list[Any]:
    """Return all shapes in the network's coordinates. [m]"""
    shapes = np.array([place.shape for place in places], dtype=object)
    if not len(shapes):
        return []
    degrees = shapely.get_coordinates(shapes)
    if len(degrees) and not (np.abs(degrees) <= (180.0, 90.0)).all():
        raise CosimError("footprints reach beyond 180° or 90°: they seem to be in metres; convert them to EPSG:4326")
    return list(shapely.set_coordinates(shapes.copy(), np.column_stack(project(net, degrees[:, 0], degrees[:, 1]))))


def _is_outline(place: Place, findings: Findings) -> bool:
    tags, kind = place.tags, place.tags.get("building", "no")
    if kind in ("construction", "proposed", "planned") or ("construction" in tags and kind in ("yes", "construction")):
        findings.add("dropped", "building that does not stand yet", place.label)
        return False
    if kind in _LOST or place.shape.geom_type not in ("Polygon", "MultiPolygon"):
        return False
    layer = levels(tags.get("layer", 0))
    if tags.get("location") == "underground" or str(tags.get("layer", "")).startswith("-") or layer is None:
        findings.add("dropped", "building below the ground", place.label)
        return False
    return True


def _table(places: Sequence[Place], shapes: Sequence[Any]) -> pd.DataFrame:
    centre = shapely.centroid(np.array(shapes, dtype=object))
    table = pd.DataFrame(
        {
            "x": shapely.get_x(centre), "y": shapely.get_y(centre), "area_m2": shapely.area(list(shapes)),
            "kind": [p.tags.get("building", "yes") for p in places], "name": [p.tags.get("name", "") for p in places],
            "tags": [p.tags for p in places], "footprint": list(shapes),
        },
        index=pd.Index([p.label for p in places], name="building"),
    )  # fmt: skip
    table = table[~table.index.duplicated()].sort_index()
    table["attached"] = _touching(table["footprint"])
    table["facade_m"] = list(free_facades(table["footprint"].to_list()))
    return table


def _touching(footprints: pd.Series) -> Any:
    """Return how many others each building touches."""
    shapes = np.array(footprints.to_list(), dtype=object)
    one, other = shapely.STRtree(shapes).query(shapes, "dwithin", TOUCH)
    return np.bincount(one[one != other], minlength=len(shapes))


def _snapped(table: pd.DataFrame, net: Net, findings: Findings) -> pd.DataFrame:
    """Return the buildings that stand at a street, with the street, its distance and direction."""
    edges = [edge for edge in drivable(net) if street_class(edge) not in _NOT_ADDRESSED]
    lines = [shapely.LineString([point[:2] for point in edge.getShape()]) for edge in edges]
    points = shapely.points(table[["x", "y"]].to_numpy(float))
    (at, near), away = shapely.STRtree(lines).query_nearest(
        points, max_distance=SNAP_M, return_distance=True, all_matches=False
    )
    found = table.iloc[at].copy()
    feet = [lines[j].interpolate(lines[j].project(points[i])) for i, j in zip(at, near)]
    found["edge"], found["snap_m"] = [str(edges[j].getID()) for j in near], away
    gap = np.array([(foot.x, foot.y) for foot in feet]).reshape(-1, 2) - found[["x", "y"]].to_numpy(float)
    found["azimuth_deg"] = np.degrees(np.arctan2(gap[:, 0], gap[:, 1])) % 360
    for label in table.index.difference(found.index):
        findings.add("dropped", f"building further than {SNAP_M:g} m from any street", str(label))
    if not len(found):
        raise CosimError(f"no building stands within {SNAP_M:g} m of a street: give footprints of the same place")
    return found


def _use(table: pd.DataFrame, others: Sequence[tuple[Any, Mapping[str, str]]]) -> None:
    shapes, tags = table["footprint"].to_list(), table["tags"].to_list()
    areas = [(shape, t) for shape, t in others if shape.geom_type != "Point"]
    points = [(shape, t) for shape, t in others if shape.geom_type == "Point"]
    found = uses_of(shapes, tags, areas)
    least = [LEAST_HOME_M2 if use.source == "measured" else LEAST_UNNAMED_M2 for use in found]
    small = (table["area_m2"] < least).to_numpy()
    table["use"] = [NOTHING if tiny and use.use == HOME else use.use for use, tiny in zip(found, small)]
    table["use_source"] = [use.source for use in found]
    table["shops"] = [";".join(uses) for uses in shop_floors(shapes, points)]


def _storeys(
    table: pd.DataFrame,
    parts: Mapping[str, Sequence[tuple[Any, Place]]],
    default: float,
    of_houses: float,
    findings: Findings,
) -> None:
    number, source = np.full(len(table), np.nan), np.full(len(table), "", dtype=object)
    partial: dict[int, list[tuple[Any, Storeys]]] = {}
    for k, (label, row) in enumerate(table.iterrows()):
        own = storeys_of(row["tags"])
        if own.problem:
            findings.add(
                "mended" if own.number is not None else "guessed",
                "storeys are no plain number",
                str(label),
                own.problem,
            )
        if own.number is not None:
            number[k], source[k] = own.number, "measured"
        known = [(shape, storeys_of(place.tags)) for shape, place in parts.get(str(label), ())]
        if any(each.number for _, each in known):
            partial[k] = known
    _from_alike(table, number, source)
    unknown = np.isnan(number)
    number[unknown], source[unknown] = _usual(table, default, of_houses)[unknown], "country"
    for k, known in partial.items():
        layers = [
            (shape, each.lowest, each.number) for shape, each in known if each.number and each.number > each.lowest
        ]
        if layers:
            number[k] = max(
                1.0, mean_storeys(table["footprint"].iloc[k], number[k] if source[k] == "measured" else 1.0, layers)
            )
            source[k] = "measured"
            findings.add(
                "mended", "floor area from its parts", str(table.index[k]), f"{number[k]:.2f} storeys on average"
            )
    flat = number < 1
    table.loc[flat, "use"] = NOTHING
    table["storeys"], table["storeys_source"] = np.where(flat, 1.0, number), source


def _usual(table: pd.DataFrame, default: float, of_houses: float) -> Any:
    """Return the storeys of buildings of which nothing is known: the country's for homes in rows and for large ones.

    Detached and semi-detached homes on up to 250 m² have those of the country's houses, halls and sheds one. A garage
    makes no row.
    """
    home = (table["use"] == HOME).to_numpy()
    beside = np.zeros(len(table), int)
    beside[home] = _touching(table["footprint"][home])
    small = home & (beside < 2) & (table["area_m2"] <= _HOUSE_M2).to_numpy()
    low = table["use"].isin([NOTHING, *_LOW_USES]).to_numpy()
    return np.where(low, 1.0, np.where(small, min(of_houses, default), default))


def _from_alike(table: pd.DataFrame, number: Any, source: Any) -> None:
    """Fill in the median of the same type within the city, then that of known buildings nearby."""
    kinds = np.where(table["kind"].isin(["yes", "residential"]), "", table["kind"])
    measured = ~np.isnan(number)
    for kind in sorted(set(kinds) - {""}):
        same = kinds == kind
        if (same & measured).sum() >= _LEAST_KNOWN:
            fill = same & ~measured
            number[fill], source[fill] = np.median(number[same & measured]), "same type"
    homes = (table["area_m2"] >= LEAST_HOME_M2).to_numpy()
    _nearby(table, number, source, measured & homes)


def _nearby(table: pd.DataFrame, number: Any, source: Any, known: Any) -> None:
    """Fill in the median of at least three known buildings nearby."""
    todo = np.flatnonzero(np.isnan(number))
    if known.sum() < _LEAST_KNOWN or not len(todo):
        return
    xy = table[["x", "y"]].to_numpy(float)
    values = number[known]
    for k, near in zip(todo, cKDTree(xy[known]).query_ball_point(xy[todo], _NEAR_M, return_sorted=True)):
        if len(near) >= _LEAST_KNOWN:
            number[k], source[k] = np.median(values[near]), "neighbour"


def _years(table: pd.DataFrame, seed: int, findings: Findings) -> None:
    number, source = np.full(len(table), np.nan), np.full(len(table), "", dtype=object)
    for k, (label, tags) in enumerate(table["tags"].items()):
        text = tags.get("start_date") or tags.get("year_of_construction") or ""
        if year := re.search(r"(?<!\d)(1[0-9]{3}|20[0-9]{2})(?!\d)", text):
            number[k], source[k] = float(year[1]), "measured"
        elif century := re.search(r"C(\d\d)", text):
            number[k], source[k] = 100.0 * int(century[1]) - 50.0, "measured"
        elif text:
            findings.add("guessed", "year of construction cannot be read", str(label), text)
    _nearby(table, number, source, ~np.isnan(number))
    unknown = np.isnan(number)
    bounds = np.cumsum(list(BUILT.values()))
    drawn = np.searchsorted(bounds / bounds[-1], uniform(seed, "year", [str(i) for i in table.index[unknown]]), "right")
    number[unknown], source[unknown] = np.array(list(BUILT), float)[drawn], "country"
    table["year"], table["year_source"] = np.rint(number).astype(int), source


def _sizes(table: pd.DataFrame) -> None:
    flats = [levels(t.get("building:flats", t.get("building:units", ""))) or 0.0 for t in table["tags"]]
    table["dwellings"] = np.floor(flats)
    table["dwellings_source"] = np.where(table["dwellings"] > 0, "measured", "country")
    table["floor_m2"] = table["area_m2"] * table["storeys"]
    inside = table["shops"].map(lambda shops: len(shops.split(";")) if shops else 0)
    table["shop_m2"] = np.where(
        table["use"] == HOME, np.minimum(inside * SHOP_M2, np.minimum(table["area_m2"], table["floor_m2"] / 2)), 0.0
    )
    lived = (table["floor_m2"] - table["shop_m2"]) * LIVED_IN
    table["home_m2"] = np.where(table["use"] == HOME, lived, 0.0)
    table["size_class"] = [
        "" if use != HOME else size_class(kind, area, storeys, int(attached))
        for use, kind, area, storeys, attached in zip(
            table["use"], table["kind"], table["home_m2"], table["storeys"], table["attached"]
        )
    ]


def size_class(kind: str, home_m2: float, storeys: float, attached: int) -> str:
    """Return TABULA's class of a residential building: SFH, TH, MFH or AB.

    The tag decides where it can; else one household lives in up to 250 m² on up to three storeys, and a multi-family
    house has up to 1,200 m² or four storeys (assumption, near the mean sizes of TABULA's example buildings).

    Examples
    --------
    >>> known = ((120, 2, 0), (120, 2, 2), (900, 4, 2), (4000, 8, 2))
    >>> [size_class("yes", *numbers) for numbers in known]
    ['SFH', 'TH', 'MFH', 'AB']
    """
    if kind in ("detached", "bungalow", "villa", "farm") or (kind == "house" and not attached):
        return "SFH"
    if kind in ("terrace", "semidetached_house", "townhouse", "duplex", "house") and home_m2 < 400:
        return "TH"
    if kind not in ("apartments", "dormitory", "block") and home_m2 <= 250 and storeys <= 3:
        return "TH" if attached else "SFH"
    return "MFH" if home_m2 <= 1200 and math.floor(storeys) <= 4 else "AB"
