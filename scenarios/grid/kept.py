"""Synthesised grids as tables, so that a grid is built once and opened by every later build of the same district."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

import networkx as nx
import numpy as np
import pandapower as pp
import pandas as pd

from cosim.core import CosimError
from cosim.scenarios.built import tables_built_once

from .build import GridReport, Station, SynthesizedGrid
from .rules import Country, ServicePoint
from .synthesis import synthesize_grid

_NET = ("bus", "line", "trafo", "load", "switch", "ext_grid")
_NAMES = (*_NET, "services", "stations", "lines", "points", "about")


def grid_built_once(streets: nx.Graph[Any], services: Sequence[ServicePoint], *, country: Country) -> SynthesizedGrid:
    """Return the grid of `synthesize_grid` with its defaults, opened if it has been built before."""
    given = {
        "nodes": [str(node) for node in streets.nodes],
        "places": np.array([(d["x"], d["y"]) for _, d in streets.nodes(data=True)], float),
        "streets": [str(end) for edge in streets.edges for end in edge],
        "length": np.array([length for *_, length in streets.edges(data="length")], float),
        "services": [service.label for service in services],
        "loads": np.array(
            [(s.x, s.y, s.dwellings, s.floor_area_m2, s.shop_m2, s.design_load_w) for s in services], float
        ),
        "country": country,
    }
    made: list[SynthesizedGrid] = []

    def build() -> dict[str, pd.DataFrame]:
        made.append(synthesize_grid(streets, services, country=country))
        return _tables(made[0])

    tables = tables_built_once("grid", given, _NAMES, build)
    return made[0] if made else _grid(tables)


def _tables(grid: SynthesizedGrid) -> dict[str, pd.DataFrame]:
    """Return a grid as tables of numbers and texts; columns without any value stand in ``about``."""
    net, found = grid.net, {}
    for name, table in net.items():
        if isinstance(table, pd.DataFrame) and len(table) and name not in _NET:
            raise CosimError(f"the synthesised grid has a table {name!r}: add it to those that are kept")
    blank: dict[str, dict[str, tuple[str, list[bool]]]] = {}
    for name in _NET:
        table = net[name]
        empty = [column for column in table if table[column].isna().all() and table[column].dtype != float]
        nothing = {column: [value is None for value in table[column]] for column in empty}
        blank[name] = {column: (str(table[column].dtype), flags) for column, flags in nothing.items()}
        found[name] = table.drop(columns=empty)
    lengths = [len(points) for points in grid.lines.values()]
    about = {
        "blank": blank,
        "columns": {name: list(net[name].columns) for name in _NET},
        "report": dataclasses.asdict(grid.report),
    }
    places = np.concatenate(list(grid.lines.values()))
    rows = {"bus": list(grid.bus_of.values()), "load_w": list(grid.design_load_w.values())}
    return found | {
        "services": pd.DataFrame(rows, index=list(grid.bus_of)),
        "stations": pd.DataFrame([dataclasses.astuple(s) for s in grid.stations], columns=_STATION),
        "lines": pd.DataFrame({"number": lengths}, index=list(grid.lines)),
        "points": pd.DataFrame({"x": places[:, 0], "y": places[:, 1]}),
        "about": pd.DataFrame({"json": [json.dumps(about)]}),
    }


_STATION = [field.name for field in dataclasses.fields(Station)]


def _grid(tables: Mapping[str, pd.DataFrame]) -> SynthesizedGrid:
    """Return the grid of `_tables`."""
    about = json.loads(tables["about"]["json"].iloc[0])
    net = pp.create_empty_network(name="synthesized", add_stdtypes=False)
    for name in _NET:
        table = tables[name].copy()
        for column, (dtype, nothing) in about["blank"][name].items():
            values = [None if is_none else np.nan for is_none in nothing]
            table[column] = pd.array([None] * len(nothing), dtype) if dtype == "Int64" else np.array(values, object)
        net[name] = table[about["columns"][name]]
    net["converged"] = True
    services, numbers = tables["services"], tables["lines"]["number"]
    ends = np.cumsum(numbers.to_numpy())[:-1]
    return SynthesizedGrid(
        net,
        dict(zip(services.index, services["bus"].tolist(), strict=True)),
        dict(zip(services.index, services["load_w"].tolist(), strict=True)),
        dict(zip(numbers.index, np.split(tables["points"].to_numpy(float), ends), strict=True)),
        [Station(*row) for row in zip(*(tables["stations"][name].tolist() for name in _STATION), strict=True)],
        GridReport(**about["report"]),
    )
