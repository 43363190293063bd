"""15-minute access: who reaches all daily functions on foot and by bicycle within a quarter of an hour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import scipy.sparse as sp
from scipy.sparse.csgraph import dijkstra
from scipy.spatial import KDTree

from cosim import Indicator
from cosim.adapters.traffic.network import Network
from cosim.core.quantities import Array, Vector
from cosim.scenarios.indicators.travel import WALK_KMH
from cosim.scenarios.mobility.costs import BICYCLE_KMH

MINUTES = 15.0
FUNCTIONS = {
    "working": ("office", "workshop", "storage", "university", "hospital", "retail"),
    "commerce": ("retail",),
    "healthcare": ("clinic", "hospital"),
    "education": ("school",),
    "entertainment": ("food", "culture", "sport"),
}
"""Uses that serve each function of the 15-minute city beside living [1]_; which use serves which is an assumption.

.. [1] C. Moreno, Z. Allam, D. Chabaud, C. Gall, F. Pratlong: Introducing the "15-minute city". Smart Cities 4(1) (2021)
   93–111: living, working, commerce, healthcare, education and entertainment on foot or by bicycle.
"""

MODES = {"on foot": WALK_KMH, "by bicycle": BICYCLE_KMH}
"""Speeds. [km/h]"""

_NEAR = 2  # street corners by which a building is left


def access_indicators(
    sites: pd.DataFrame, uses: Sequence[str], places: Array, network: Network
) -> dict[str, Indicator]:
    """Return the share of the residents who reach all functions within 15 minutes, by mode.

    Parameters
    ----------
    sites
        Homes with ``x``, ``y`` [m] and ``persons``.
    uses
        Use of each place that serves a function.
    places : shape (n_places, 2)
        Where they are, in the network's coordinates. [m]
    network
        Streets; they are used in both directions, also by bicycle, an assumption. Ways beside streets are not in it.
    """
    people = sites["persons"].to_numpy(float)
    if not people.sum():
        return {}
    metres = distances(sites[["x", "y"]].to_numpy(float), uses, places, network)
    found = {}
    for mode, kmh in MODES.items():
        reached = {name: d <= kmh / 3.6 * 60 * MINUTES for name, d in metres.items()}
        share = {name: 100 * float(people[there].sum() / people.sum()) for name, there in reached.items()}
        every = 100 * float(people[np.all(list(reached.values()), axis=0)].sum() / people.sum())
        least = min(share, key=lambda name: share[name])
        found[f"15-minute access, {mode}"] = Indicator(
            every,
            "%",
            "higher",
            f"residents who reach {', '.join(FUNCTIONS)} within {MINUTES:.0f} minutes; {least} is served least, "
            f"{share[least]:.0f} %. Places beyond the network do not count",
        )
    return found


def distances(homes: Array, uses: Sequence[str], places: Array, network: Network) -> Mapping[str, Vector]:
    """Return the distance from each home to the nearest place of each function, infinite without one. [m]

    Parameters
    ----------
    homes : shape (n_homes, 2)
        In the network's coordinates. [m]
    uses, places, network
        See `access_indicators`.
    """
    names = list(network.node_xy)
    number = {name: k for k, name in enumerate(names)}
    corners = KDTree(np.array([network.node_xy[name] for name in names], float))
    start, end = ([number[name] for name in ends] for ends in (network.from_node, network.to_node))
    n, near = len(names), min(_NEAR, len(names))
    nearest = [*range(1, near + 1)]
    leaving, by_home = map(np.asarray, corners.query(homes, k=nearest))
    arriving, by_place = map(np.asarray, corners.query(np.asarray(places, float).reshape(-1, 2), k=nearest))
    found = {}
    for name, kinds in FUNCTIONS.items():
        serving = np.flatnonzero(np.isin(np.asarray(uses, dtype=object), kinds))
        # a further corner from which all places of the function are left; of parallel ways the shorter one counts
        rows = np.concatenate([start, np.full(near * len(serving), n)])
        columns = np.concatenate([end, by_place[serving].ravel()])
        length = np.concatenate([network.length_m, arriving[serving].ravel()])
        table = pd.DataFrame({"a": np.minimum(rows, columns), "b": np.maximum(rows, columns), "m": length})
        shortest = table.groupby(["a", "b"], as_index=False)["m"].min()
        graph = sp.csr_matrix(
            (np.maximum(shortest["m"], 1e-6), (shortest["a"].astype(int), shortest["b"].astype(int))), (n + 1, n + 1)
        )
        away = dijkstra(graph, directed=False, indices=np.array([n]))[0]
        found[name] = np.min(leaving + away[by_home], axis=1)
    return found
