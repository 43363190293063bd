"""Electric grid: voltages, loadings, losses and import."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from cosim import Adapter, Clock, Indicator, Layer, Result
from cosim.adapters.grid import Grid
from cosim.scenarios.carbon.account import CarbonAccount, Emission
from cosim.scenarios.indicators.grid import grid_indicators, network_indicators
from cosim.scenarios.model import City

ORDER = 40


def adapters(city: City, clock: Clock, steps: Mapping[str, float]) -> dict[str, Adapter]:
    """Return the city's grid with its controls."""
    return {
        "grid": Grid(city.grid.net, connection_points=city.grid.bus_of, controls=city.measures.grid_controls),
    }


def layers(city: City) -> list[Layer]:
    """Return loadings and voltages."""
    stations = {station.label: [(station.x, station.y)] for station in city.grid.stations}
    cables = {name: [tuple(p) for p in path.tolist()] for name, path in city.grid.lines.items()}
    return [
        Layer("Transformer loading", "grid.transformer_loading", "point", stations, "%", 100, (0, 100)),
        Layer("Cable loading", "grid.line_loading", "line", cables, "%", 100, (0, 100)),
        Layer(
            "Voltage",
            "grid.voltage",
            "point",
            _bus_positions(city.grid.net),
            "% of nominal",
            100,
            (95, 105),
            worst="lowest",
        ),
    ]


def facts(city: City) -> dict[str, str]:
    """Return the number and rating of the transformers."""
    trafo = city.grid.net.trafo
    kva = 1000 * float((trafo["sn_mva"] * trafo["parallel"]).sum())
    units = int(trafo["parallel"].sum())
    return {"grid": f"{units:,} transformers with {kva:,.0f} kVA, {len(city.grid.bus_of):,} connection points"}


def indicators(result: Result, city: City) -> dict[str, Indicator]:
    """Return import, losses, voltage quality, overload and cost of reinforcement."""
    return grid_indicators(result) | network_indicators(result, city)


def emissions(result: Result, account: CarbonAccount) -> dict[str, Emission]:
    """Return the emissions of the grid's losses."""
    return account.electricity(result, "grid losses", ["grid.losses"], "electricity at its hour's intensity")


def _bus_positions(net: Any) -> dict[str, list[tuple[float, float]]]:
    points = {}
    for name, text in zip(net.bus["name"], net.bus["geo"], strict=True):
        x, y = json.loads(text)["coordinates"][:2]
        points[str(name)] = [(float(x), float(y))]
    return points
