"""Distributions of a city's grid beside those of real low-voltage grids, by quantiles."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np

from cosim import Result
from cosim.scenarios.grid.build import SynthesizedGrid
from cosim.scenarios.model import City

from .base import figure

SHARES = (0.1, 0.25, 0.5, 0.75, 0.9)
"""Shares of the quantiles that are compared."""


@dataclass(frozen=True)
class Distribution:
    """Quantiles of one quantity of a city's grid beside those of real grids.

    Parameters
    ----------
    quantity, unit, source
        What it is, and whose the real values are.
    n, n_real
        Number of values in the city and in the source.
    found, real
        Quantiles by `SHARES`.
    within
        Share of the city's values between the tenth and ninetieth percentile of the real ones, 80 % if both are alike.
        [1]
    """

    quantity: str
    unit: str
    source: str
    n: int
    n_real: int
    found: tuple[float, ...]
    real: tuple[float, ...]
    within: float

    def row(self) -> dict[str, object]:
        """Return the distribution as a row of a table."""
        return dict(vars(self)) | {"found": list(self.found), "real": list(self.real)}


def beside_real(values: Mapping[str, Sequence[float]]) -> list[Distribution]:
    """Return the distributions of values by quantity beside the real ones; quantities without values are left out."""
    found = []
    for row in _table():
        mine = np.asarray(values.get(row["quantity"], ()), float)
        if mine.size:
            real = tuple(float(row[f"p{100 * share:.0f}"]) for share in SHARES)
            within = float(((mine >= real[0]) & (mine <= real[-1])).mean())
            quantiles = tuple(float(q) for q in np.quantile(mine, SHARES))
            found.append(
                Distribution(
                    row["quantity"], row["unit"], row["source"], mine.size, int(row["n"]), quantiles, real, within
                )
            )
    return found


def grid_values(grid: SynthesizedGrid, dwellings: Mapping[str, float]) -> dict[str, list[float]]:
    """Return customers, ratings and lengths of a grid by the quantities that are published.

    Parameters
    ----------
    grid
        The grid, whose feeders' lines and buses are named "station feeder …".
    dwellings
        Number of dwellings by building; everything else that is connected is one customer.
    """
    metres: dict[str, float] = defaultdict(float)
    for name, km in zip(grid.net.line["name"], grid.net.line["length_km"], strict=True):
        if " F" in str(name):
            metres[str(name).rsplit(" ", 1)[0]] += 1000 * float(km)
    customers: dict[str, float] = defaultdict(float)
    of_station: dict[str, float] = defaultdict(float)
    cables: dict[str, float] = defaultdict(float)
    names = grid.net.bus["name"].to_dict()
    for label, bus in grid.bus_of.items():
        feeder = str(names[bus]).rsplit(" ", 1)[0]
        of_station[feeder.split(" ")[0]] += dwellings.get(label, 1.0)
        if " F" in feeder:
            customers[feeder] += dwellings.get(label, 1.0)
    for feeder, length in metres.items():
        cables[feeder.split(" ")[0]] += length
    return {
        "customers per feeder": list(customers.values()),
        "length of a feeder": list(metres.values()),
        "cable per customer of a feeder": [length / customers[f] for f, length in metres.items() if customers[f]],
        "transformer rating": [station.rated_va / 1000 for station in grid.stations],
        "customers per station": list(of_station.values()),
        "cables of a station": list(cables.values()),
    }


def run_values(result: Result) -> dict[str, list[float]]:
    """Return the peak utilisation of each transformer and the losses in the run's peak step. [%]"""
    if "grid.transformer_loading" not in result.ports:
        return {}
    loading = result.series("grid.transformer_loading").iloc[1:].max()
    imported, lost = result.total("grid.grid_import").iloc[1:], result.total("grid.losses").iloc[1:]
    peak = imported.idxmax()
    return {
        "peak utilisation of a transformer": [100 * float(x) for x in loading],
        "losses at peak": [100 * float(lost[peak]) / float(imported[peak])],
    }


def distributions(city: City, result: Result | None = None) -> list[Distribution]:
    """Return the distributions of a city's grid, and of its run if there is one, beside the real ones."""
    values = grid_values(city.grid, dict(zip(city.stock.ids, city.stock.dwellings.tolist(), strict=True)))
    return beside_real(values | ({} if result is None else run_values(result)))


def table(rows: Sequence[Mapping[str, object]]) -> str:
    """Return rows of distributions as a table in Markdown."""
    lines = ["| quantity | | 10 % | 25 % | median | 75 % | 90 % | within |", "|---|---|---|---|---|---|---|---|"]
    for row in rows:
        unit = "" if row["unit"] == "1" else f" [{row['unit']}]"
        quantiles = ((f"cosim ({row['n']})", row["found"]), (f"{row['source']} ({row['n_real']})", row["real"]))
        for k, (whose, numbers) in enumerate(quantiles):
            assert isinstance(numbers, list)
            cells = " | ".join(figure(float(x)) for x in numbers)
            what, within = ("", "") if k else (f"{row['quantity']}{unit}", f"{100 * float(str(row['within'])):.0f} %")
            lines.append(f"| {what} | {whose} | {cells} | {within} |")
    return "\n".join(lines)


@cache
def _table() -> list[dict[str, str]]:
    text = resources.files("cosim.scenarios.validation").joinpath("grid_quantiles.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))
