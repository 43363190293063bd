"""The map of an import: a city's data in the viewer of the reports."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from cosim import Adapter, Clock, Layer, Output, Scenario
from cosim.core import Step
from cosim.report import write_report
from cosim.scenarios.grid.synthesis import SynthesizedGrid
from cosim.scenarios.streets.network import Net

from .findings import Findings
from .homes import largest
from .uses import HOME

SOURCES = ("measured", "same type", "neighbour", "country")
"""Where a value is known from, 0 to 3 on the map."""


class Still(Adapter):
    """Values that do not change.

    Parameters
    ----------
    values
        Port → label → value.
    """

    replays: ClassVar[bool] = True

    def __init__(self, values: Mapping[str, Mapping[str, float]]) -> None:
        self._values = {name: np.array(list(table.values()), dtype=float) for name, table in values.items()}
        for name, table in values.items():
            setattr(self, name, Output("1", list(table), "end"))

    def open(self) -> None:
        """Publish the values."""
        for name, values in self._values.items():
            getattr(self, name).value = values

    def advance(self, step: Step) -> None:
        """Leave everything as it is."""
        self.open()


def write_import_page(
    path: Path,
    name: str,
    zone: str,
    net: Net,
    buildings: pd.DataFrame,
    homes: pd.DataFrame,
    chargers: pd.DataFrame,
    grid: SynthesizedGrid,
    mapped: Sequence[tuple[float, float]],
    findings: Findings,
    attribution: str,
) -> None:
    """Write a map of what was imported, as one HTML file that needs no network.

    Parameters
    ----------
    path
        The file.
    name, zone
        Of the city.
    net, buildings, homes, chargers, grid
        The city's parts, in the network's coordinates.
    mapped
        Transformer stations of the map. [m]
    findings
        What was mended, guessed and dropped, listed under the map.
    attribution
        What must be said of the sources.
    """
    streets = list(net.getEdges(withInternal=False))
    shapes = {str(e.getID()): [(float(p[0]), float(p[1])) for p in e.getShape()] for e in streets}
    outlines = {str(i): list(largest(shape).exterior.coords)[:-1] for i, shape in buildings["footprint"].items()}
    stations = {station.label: [(station.x, station.y)] for station in grid.stations}
    rated = {station.label: station.rated_va / 1e3 for station in grid.stations}
    known = {f"mapped {k + 1}": [(float(x), float(y))] for k, (x, y) in enumerate(mapped)}
    plugs = {str(i): [(float(row["x"]), float(row["y"]))] for i, row in chargers.iterrows()}
    lived_in = {str(label): outlines[str(label)] for label in homes.index}
    routes = {label: [tuple(point) for point in route.tolist()] for label, route in grid.lines.items()}
    ampacity = (grid.net.line["max_i_ka"] * grid.net.line["parallel"] * 1e3).tolist()
    source = buildings["storeys_source"].map(SOURCES.index)
    told = ", ".join(f"{k} {word}" for k, word in enumerate(SOURCES))
    layers: list[tuple[str, str, str, dict[str, Any], dict[str, float], str]] = [
        ("Storeys", "storeys", "polygon", outlines, _column(buildings["storeys"]), "storeys"),
        ("Year of construction", "year", "polygon", outlines, _column(buildings["year"]), ""),
        (f"Source of storeys ({told})", "storeys_source", "polygon", outlines, _column(source), ""),
        ("Residents", "residents", "polygon", lived_in, _column(homes["persons"]), "persons"),
        ("Buildings without dwellings", "premises", "polygon", outlines, _column(buildings["use"] != HOME), ""),
        ("Distance to the street", "snap", "polygon", outlines, _column(buildings["snap_m"]), "m"),
        ("Speed limit", "speed", "line", shapes, {str(e.getID()): e.getSpeed() * 3.6 for e in streets}, "km/h"),
        ("Lanes", "lanes", "line", shapes, {str(e.getID()): float(e.getLaneNumber()) for e in streets}, "lanes"),
        ("Stations of the grid", "stations", "point", stations, rated, "kVA"),
        ("Stations of the map", "mapped", "point", known, dict.fromkeys(known, 1.0), ""),
        ("Cables", "cables", "line", routes, dict(zip(grid.net.line["name"], ampacity)), "A"),
        ("Chargers", "chargers", "point", plugs, _column(chargers["power_w"] / 1e3), "kW"),
    ]
    layers = [layer for layer in layers if layer[4]]
    clock = Clock("2025-01-01", hours=1, step_s=3600.0, zone=zone)
    scenario = Scenario(clock, city=Still({port: values for _, port, _, _, values, _ in layers}))
    scenario.name = name
    scenario.layers = [
        Layer(title, f"city.{port}", kind, {k: elements[k] for k in values}, unit)  # type: ignore[arg-type]
        for title, port, kind, elements, values, unit in layers
    ]
    scenario.parameters = {"sources": attribution} | {f"{fate}: {why}": n for fate, why, n in findings.counts()}
    with tempfile.TemporaryDirectory(prefix="cosim-import-") as folder:
        write_report(scenario.run(Path(folder) / "import"), path)


def _column(values: Any) -> dict[str, float]:
    return {str(label): float(value) for label, value in values.items()}
