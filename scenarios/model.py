"""A city as data: streets, buildings, grid, chargers, weather, and the joins between them."""

from __future__ import annotations

import functools
import shutil
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import scipy.sparse as sp

from cosim.adapters.traffic.files import read_configuration
from cosim.adapters.traffic.network import Network, network_edges
from cosim.core.fleet.plan import FleetPlan
from cosim.core.fleet.strategies import Strategy
from cosim.core.mappings import link
from cosim.core.weather.year import WeatherYear
from cosim.results.layers import Geometry

from .buildings.stock import Stock
from .carbon.intensity import Carbon
from .grid.synthesis import SynthesizedGrid
from .measures import Measures


class Workspace:
    """A folder for generated files, removed when nothing refers to it any more."""

    def __init__(self, name: str) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=f"cosim-{name}-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


@dataclass(frozen=True)
class City:
    """Streets, buildings, grid, chargers and weather, with the joins between them.

    Attributes
    ----------
    name, country, zone
        Name of the city, ``"ES"`` or ``"IT"``, IANA time zone.
    sumocfg
        The SUMO configuration of its traffic.
    sites
        Buildings: place, façade, footprint, nearest street ``edge``; index ``site``.
    stock
        Their envelopes and systems, in the order of ``sites``.
    chargers
        Charging stations: place, kind, power; ``site`` of those that belong to a building; index ``charger``.
    grid
        Its low- and medium-voltage grid; ``grid.bus_of`` joins sites and chargers to buses.
    weather
        Its weather year.
    workspace
        Folder of the files generated for the city; it lives as long as the city.
    seed
        Seed of every draw.
    traffic_options
        SUMO options that override the configuration.
    fleet, strategy
        Electric cars that make trips of the traffic and charge at the city's chargers, and their charging strategy;
        plain charging by default.
    measures
        Inputs that policies schedule for the simulators.
    carbon
        Carbon intensity of electricity, and whether the supply of fuels counts.
    sectors
        Data of further sectors, by the sector's name.
    outlines
        Outlines that policies draw on the map, by title and label: corners in the network's coordinates. [m]
    answers
        What travellers change under policies: "nothing", "routes" or "modes"; with the last, policies have changed the
        demand already, by `Policy.change_travel`.
    """

    name: str
    country: str
    zone: str
    sumocfg: Path
    sites: pd.DataFrame
    stock: Stock
    chargers: pd.DataFrame
    grid: SynthesizedGrid
    weather: WeatherYear
    workspace: Workspace
    seed: int = 0
    traffic_options: tuple[str, ...] = ()
    fleet: FleetPlan | None = None
    strategy: Strategy | None = None
    measures: Measures = field(default_factory=Measures)
    carbon: Carbon = field(default_factory=Carbon)
    sectors: Mapping[str, Any] = field(default_factory=dict)
    outlines: Mapping[str, Geometry] = field(default_factory=dict)
    answers: str = "routes"

    @property
    def edge_of(self) -> dict[str, str]:
        """Site → street edge in front of it."""
        return {str(site): str(edge) for site, edge in self.sites["edge"].items()}

    @functools.cached_property
    def network(self) -> Network:
        """Edges of its SUMO network, read once."""
        return network_edges(read_configuration(self.sumocfg, self.traffic_options).net)

    def at_grid(self, points: Sequence[str]) -> sp.csr_array:
        """Return the matrix from points to the grid's connection points of the same name, for ``connect(via=…)``."""
        return link(points, self.grid.bus_of, {point: point for point in points})
