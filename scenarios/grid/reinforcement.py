"""Reinforcement of transformers and cables for the loads of a run, and its cost."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from cosim import CosimError, Result

TRANSFORMER_EUR = 30_000.0
"""Cost of a further transformer in a station, with switchgear and works. [EUR] Assumption."""
CABLE_EUR_PER_M = 150.0
"""Cost of a further cable along a route, mostly the trench. [EUR/m] Assumption."""


@dataclass(frozen=True, slots=True)
class Upgrade:
    """Further units in parallel with a transformer or cable, and their cost. [EUR]"""

    element: str
    kind: Literal["transformer", "cable"]
    loading: float
    units: int
    cost_eur: float


def upgrades(result: Result, net: Any, *, limit: float = 1.0) -> list[Upgrade]:
    """Return the upgrades that keep every transformer and cable of a run within its limit, most expensive first.

    Parallel units of the same kind are added until the highest mean loading over a step of the grid would be within
    the limit, as current divides evenly.

    Parameters
    ----------
    result
        A run that recorded the grid's loadings.
    net
        The pandapower net that it ran with.
    limit
        Permitted loading. [1]

    Raises
    ------
    CosimError
        If the loadings were not recorded, or belong to another net.
    """
    found = []
    for kind, table, port in (
        ("transformer", net.trafo, "grid.transformer_loading"),
        ("cable", net.line, "grid.line_loading"),
    ):
        highest = peak_loading(result, port)
        rows = table.set_index("name")
        if unknown := highest.index.difference(rows.index).tolist():
            raise CosimError(f"{port} of {result.folder} names {unknown[0]!r}, which the net does not have")
        for name, loading in highest[highest > limit].items():
            row = rows.loc[name]
            units = math.ceil(loading / limit * row["parallel"] - 1e-9) - int(row["parallel"])
            each = TRANSFORMER_EUR if kind == "transformer" else CABLE_EUR_PER_M * 1000 * float(row["length_km"])
            found.append(Upgrade(str(name), kind, float(loading), units, units * each))  # type: ignore[arg-type]
    return sorted(found, key=lambda upgrade: (-upgrade.cost_eur, upgrade.element))


def peak_loading(result: Result, port: str) -> pd.Series[float]:
    """Return the highest loading of each element over a run."""
    return result.series(port).iloc[1:].max()


def reinforced(net: Any, needed: Iterable[Upgrade]) -> Any:
    """Return a copy of a net with the upgrades built."""
    net = copy.deepcopy(net)
    for upgrade in needed:
        table = net.trafo if upgrade.kind == "transformer" else net.line
        table.loc[table["name"] == upgrade.element, "parallel"] += upgrade.units
    return net


def cost_eur(needed: Sequence[Upgrade]) -> float:
    """Return the total cost of upgrades. [EUR]"""
    return sum(upgrade.cost_eur for upgrade in needed)
