"""Charging stations: position, power and the building that owns them.

A charging station is a stretch of the right-hand lane beside which cars park and charge. SUMO derives a station's
capacity from its length (a car and its gap take 7.5 m), and a car that finds it full waits in the lane. Stations are
therefore long enough for one car more than they have points, and a demand has to reserve points.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.spatial import cKDTree

from cosim.core import CosimError
from cosim.core.quantities import Flags, Vector
from cosim.core.random import uniform
from cosim.scenarios.streets.network import Net, drivable, read_net

CAR_M = 7.5
"""Length and gap of a parked car. [m]"""
EFFICIENCY = 0.9
"""Energy into the battery per energy drawn from the grid, when charging with alternating current. Assumption."""
STREET_W = (7_400.0, 22_000.0)
BUILDING_W = (3_700.0, 7_400.0)
"""Single-phase 16 and 32 A, and three-phase 32 A at 230/400 V (IEC 61851-1, mode 3). [W]"""
FAST_W = 50_000.0
"""Direct current, IEC 61851-23, the smallest fast chargers in cities. Assumption. [W]"""

DELAY_S = 120
"""Time from standing still to the start of charging. [s] SUMO charges any electric car that stands beside a station,
even one that queues at a red light: no light is red for this long."""

WALK_M = 300.0
"""Longest walk from a public charger to the door. [m] Assumption."""

_FREE_M = (8.0, 15.0)  # kept free after a crossing, and before the next one for the queue at its lights


def place_chargers(
    net: Net | Path | str,
    sites: pd.DataFrame,
    n_street: int,
    n_building: int,
    seed: int = 0,
    *,
    points: int = 2,
    n_fast: int = 0,
    n_sited: int = 0,
) -> pd.DataFrame:
    """Place charging stations along the streets of any network.

    Sites and stretches for stations are drawn by their label: a larger number keeps the stations of a smaller one, and
    the kinds do not affect each other. Sited stations are then placed one after the other where demand is least served,
    see `unserved`.

    Parameters
    ----------
    net
        A SUMO network.
    sites
        Buildings with ``x`` and ``y`` [m], as returned by `building_sites` or `sites_along`; ``persons``, if present,
        weights them for sited stations.
    n_street, n_building
        Number of public stations at the kerb, and of stations that belong to buildings.
    points
        Number of cars that a station can charge at once.
    n_fast
        Number of fast chargers at the kerb.
    n_sited
        Number of further public stations at the kerb, sited where demand is least served.

    Returns
    -------
    One row per station, index ``charger``, columns: ``kind`` (``street``, ``building`` or ``fast``),
    ``site`` (empty for a public one), ``edge``, ``lane``, ``start_m`` and ``end_m`` along the lane, ``x``, ``y`` [m],
    ``power_w`` (maximum power of each point, on the grid side), ``points``, ``efficiency``.

    Raises
    ------
    CosimError
        If there are fewer sites or free stretches than stations requested.
    """
    if isinstance(net, (str, Path)):
        net = read_net(net)
    if min(n_street, n_building, n_fast, n_sited) < 0 or points < 1:
        raise CosimError(
            f"{n_street} street, {n_building} building, {n_fast} fast and {n_sited} sited stations of {points} points: "
            "none may be negative"
        )
    if n_building > len(sites):
        raise CosimError(f"{n_building} building stations for {len(sites)} sites: a site has at most one")
    stretches = _stretches(net, CAR_M * points + 0.5)
    # Every other stretch is public, so that the number of one kind does not move the other kind.
    public, private = stretches.iloc[::2], stretches.iloc[1::2]
    for kind, wanted, room in (("street", n_street + n_fast + n_sited, public), ("building", n_building, private)):
        if wanted > len(room):
            raise CosimError(
                f"the streets have room for {len(room)} {kind} stations, not {wanted}: ask for at most "
                f"{math.floor(100 * len(room) / wanted)} % of them"
            )
    rows: list[dict[str, Any]] = []
    order = np.argsort(uniform(seed, "street charger", public.index), kind="stable")
    # Fast ones come from the other end of the same order: the number of one kind does not move the other kind.
    at_kerb = public.to_dict("records")
    for kind, chosen in (("street", order[:n_street]), ("fast", order[::-1][:n_fast])):
        for k in chosen.tolist():
            rows.append({"charger": f"{kind}.{public.index[k]}", "kind": kind, "site": "", **at_kerb[k]})
    rows += _sited(public.drop(public.index[[*order[:n_street], *order[::-1][:n_fast]]]), rows, sites, points, n_sited)
    beside = private.to_dict("records")
    order = np.argsort(uniform(seed, "building charger", sites.index), kind="stable")[:n_building]
    doors = sites[["x", "y"]].to_numpy(float)[order]
    for site, k in zip(sites.index[order], _nearest_free(doors, private[["x", "y"]].to_numpy(float))):
        rows.append({"charger": f"building.{site}", "kind": "building", "site": site, **beside[k]})
    columns = ["charger", "kind", "site", "edge", "lane", "start_m", "end_m", "x", "y"]
    table = pd.DataFrame(rows, columns=columns).set_index("charger")
    high = uniform(seed, "charger power", table.index) < 0.5
    power = {"street": STREET_W, "building": BUILDING_W, "fast": (FAST_W, FAST_W)}
    table["power_w"] = [power[kind][int(h)] for kind, h in zip(table["kind"], high, strict=True)]
    table["points"] = points
    table["efficiency"] = EFFICIENCY
    return table


def unserved(
    candidates: pd.DataFrame,
    stations: pd.DataFrame,
    sites: pd.DataFrame,
    weight: npt.ArrayLike,
    within_m: float = WALK_M,
) -> Vector:
    """Return the demand left unserved around each candidate position, shape (n_candidates,).

    It is the sum of the weights of the buildings within walking distance, each divided by one more than the number of
    points already within walking distance of the building: the first points count most, where most people live. Siting
    one station after the other by this measure first serves places without any.

    Parameters
    ----------
    candidates, stations, sites
        With ``x`` and ``y`` [m]; stations with ``points``.
    weight : shape (n_sites,)
        Number of residents or dwellings of each building.
    within_m
        Walking distance. [m]
    """
    doors = sites[["x", "y"]].to_numpy(float)

    def near(places: pd.DataFrame) -> Flags:
        away = np.hypot(*(places[["x", "y"]].to_numpy(float)[:, None] - doors[None]).transpose(2, 0, 1))
        return np.asarray(away <= within_m)

    in_reach = stations["points"].to_numpy(float) @ near(stations)
    return np.asarray(near(candidates) @ (np.asarray(weight, float) / (1.0 + in_reach)))


def _sited(
    free: pd.DataFrame, standing: list[dict[str, Any]], sites: pd.DataFrame, points: int, number: int
) -> list[dict[str, Any]]:
    """Return rows of stations, each where demand is least served by the existing stations and those before it."""
    weight = sites["persons"] if "persons" in sites else np.ones(len(sites))
    rows: list[dict[str, Any]] = []
    for _ in range(number):
        stations = pd.DataFrame([*standing, *rows], columns=["x", "y"]).assign(points=points)
        label = free.index[int(np.argmax(unserved(free, stations, sites, weight)))]
        rows.append({"charger": f"street.{label}", "kind": "street", "site": "", **free.loc[label].to_dict()})
        free = free.drop(label)
    return rows


def _nearest_free(doors: Vector, middle: Vector) -> list[int]:
    """Return the nearest stretch of each door, shape (n_doors, 2), in turn, among those that none before has taken.

    Of several at the same distance it is the first.
    """
    taken: set[int] = set()
    found = []
    tree = cKDTree(middle) if len(doors) else None
    for door in doors:
        number, best, most = 8, -1, len(middle)
        while tree is not None and best < 0:
            number = min(4 * number, most)
            gap, near = tree.query(door, number)
            near, complete_m = np.atleast_1d(near), np.atleast_1d(gap)[-1]
            free = np.array(sorted(set(near.tolist()) - taken), np.int64)
            if len(free):
                away = np.hypot(*(middle[free] - door).T)
                nearest = int(np.argmin(away))
                if number == most or away[nearest] < complete_m - 1e-6:
                    best = int(free[nearest])
        taken.add(best)
        found.append(best)
    return found


def _stretches(net: Net, length_m: float) -> pd.DataFrame:
    """Cut the right-hand lanes of all streets into stretches that do not overlap, by label ``<edge>.<k>``."""
    rows = []
    for edge in drivable(net):
        lane = next(lane for lane in edge.getLanes() if lane.allows("passenger"))
        room = lane.getLength() - sum(_FREE_M)
        shape = np.array([point[:2] for point in lane.getShape()])
        along = np.concatenate([[0.0], np.hypot(*np.diff(shape, axis=0).T).cumsum()])
        for k in range(int(room // (length_m + 2.0))):
            start = _FREE_M[0] + k * (length_m + 2.0)
            at = (start + length_m / 2) / lane.getLength() * along[-1]
            rows.append(
                {
                    "label": f"{edge.getID()}.{k}",
                    "edge": edge.getID(),
                    "lane": lane.getID(),
                    "start_m": start,
                    "end_m": start + length_m,
                    "x": float(np.interp(at, along, shape[:, 0])),
                    "y": float(np.interp(at, along, shape[:, 1])),
                }
            )
    return pd.DataFrame(rows, columns=["label", "edge", "lane", "start_m", "end_m", "x", "y"]).set_index("label")


def write_chargers(table: pd.DataFrame, path: Path) -> Path:
    """Write charging stations to an additional file of SUMO, and return its path."""
    lines = [
        f"<chargingStation id={quoteattr(str(row.Index))} lane={quoteattr(row.lane)} "
        f'startPos="{row.start_m:.2f}" endPos="{row.end_m:.2f}" power="{row.power_w:.2f}" '
        f'efficiency="{row.efficiency:.4f}" chargeDelay="{DELAY_S}"/>'
        for row in table.itertuples()
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(["<additional>", *lines, "</additional>\n"]), encoding="utf-8")
    return path
