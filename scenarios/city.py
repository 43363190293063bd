"""What is a city, and how are its sectors coupled? Streets, buildings, grid, chargers, weather, and what joins them."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np
import pandas as pd

from cosim import Clock, CosimError, Layer, Scenario
from cosim.adapters.buildings import Buildings
from cosim.adapters.fleet import Fleet
from cosim.adapters.grid import Grid
from cosim.adapters.traffic import Traffic
from cosim.adapters.weather import Weather
from cosim.core.fleet_plan import FleetPlan
from cosim.core.fleet_strategies import Strategy
from cosim.core.mappings import link
from cosim.core.random import uniform
from cosim.core.weather import WeatherYear

from .carbon_intensity import Carbon
from .forecast import connect_weather
from .grid_synthesis import ServicePoint, SynthesizedGrid, synthesize_grid
from .indicators import city_indicators
from .measures import Measures
from .mobility import charger_stops, connect_fleet, transformers
from .policy import Policy
from .stock import Stock, make_stock
from .streets import Net, street_graph
from .tabula import tabula_types

PERSONS_PER_DWELLING = 2.5
"""Average household of Barcelona and Bologna, rounded; an assumption."""


class Workspace:
    """A folder for generated files that goes when the last who uses it has gone."""

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
        Where the files made for it live, as long as the city does.
    seed
        Seed of every draw.
    traffic_options
        Options of SUMO that win over the configuration.
    fleet, strategy
        Electric cars that make trips of the traffic and charge at the city's chargers, and with what power they charge;
        plainly by default.
    measures
        What policies tell the simulators.
    carbon
        What a kilowatt-hour and a kilogram of fuel emit.
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

    @property
    def edge_of(self) -> dict[str, str]:
        """Site → street edge in front of it."""
        return {str(site): str(edge) for site, edge in self.sites["edge"].items()}


def settle(
    sites: pd.DataFrame,
    types: Sequence[tuple[str, float]],
    storeys: tuple[int, int],
    *,
    level: int,
    lived_in: float,
    heat_pump_share: float,
    design_outdoor: float,
    seed: int,
) -> Stock:
    """Give sites their storeys and TABULA types, by chance keyed to the site.

    Parameters
    ----------
    sites
        As of `streets.building_sites`.
    types
        TABULA codes with their shares.
    storeys
        Fewest and most.
    level
        Refurbishment: 1 existing, 2 usual, 3 advanced.
    lived_in
        Share of the gross floor area that is dwellings.
    heat_pump_share
        Share of buildings heated by heat pumps, the others by gas.
    design_outdoor
        Outdoor temperature that heating is sized for. [°C]
    seed
        Seed of every draw.

    Raises
    ------
    CosimError
        If a type is unknown or a share is out of range.
    """
    labels = [str(site) for site in sites.index]
    bounds = np.cumsum([share for _, share in types])
    kinds = np.searchsorted(bounds / bounds[-1], uniform(seed, "building type", labels), side="right")
    low, high = storeys
    floors = low + np.floor(uniform(seed, "storeys", labels) * (high - low + 1))
    return make_stock(
        labels, [types[k][0] for k in kinds], sites["area_m2"].to_numpy(float) * floors * lived_in, floors,
        sites["attached"].to_numpy(float), sites["azimuth_deg"].to_numpy(float), level,
        heat_pump_share=heat_pump_share, design_outdoor=design_outdoor, seed=seed,
    )  # fmt: skip


def electrify(net: Net, sites: pd.DataFrame, stock: Stock, chargers: pd.DataFrame, country: Any) -> SynthesizedGrid:
    """Build the grid that supplies buildings and charging stations along the streets."""
    services = [
        ServicePoint(str(site), float(row.x), float(row.y), dwellings=int(dwellings))
        for (site, row), dwellings in zip(sites.iterrows(), stock.dwellings, strict=True)
    ]
    for charger, row in chargers.iterrows():
        x, y = sites.loc[row["site"], ["x", "y"]] if row["site"] else (row["x"], row["y"])
        load = float(row["power_w"] * row["points"])
        services.append(ServicePoint(str(charger), float(x), float(y), design_load_w=load))
    return synthesize_grid(street_graph(net), services, country=country)


def couple(
    city: City,
    clock: Clock,
    *,
    policies: Iterable[Policy] = (),
    grid_step_s: float | None = None,
) -> Scenario:
    """Couple a city's sectors: weather → buildings → grid ← charging ← traffic.

    All connections carry the values of the same step: no sector waits for another's answer, so no delay is needed.
    With a fleet, charging is the fleet's instead of the traffic's, and what it hears of the grid, and the traffic of
    the fleet, is one exchange old.

    Parameters
    ----------
    city
        The city.
    clock
        Start, exchange step and end.
    policies
        Applied in order.
    grid_step_s
        Step of the grid; the exchange step by default. [s]

    Raises
    ------
    CosimError
        If a part of the city does not fit the others.
    """
    policies = list(policies)
    for policy in policies:
        city = policy.change_city(city)
    fleet, measures = city.fleet, city.measures
    traffic = Traffic(
        city.sumocfg, seed=city.seed, extra_options=city.traffic_options, electric=fleet.trip_ids if fleet else (),
        stops=charger_stops(fleet, city.chargers) if fleet else (), permission_classes=measures.permission_classes,
    )  # fmt: skip
    buildings = Buildings(city.stock, clock, seed=city.seed, price_response=measures.price_response)
    grid = Grid(city.grid.net, connection_points=city.grid.bus_of, controls=measures.grid_controls)
    scenario = Scenario(
        clock,
        indicators=city_indicators(city),
        steps={"grid": grid_step_s} if grid_step_s else {},
        weather=Weather(clock, city.weather),
        traffic=traffic,
        buildings=buildings,
        grid=grid,
        **({"fleet": Fleet(fleet, clock, city.strategy, grid_step_s=grid_step_s)} if fleet else {}),
    )
    if fleet:
        names = dict(zip(city.grid.net.bus.index, city.grid.net.bus["name"], strict=True))
        behind, _ = transformers(city.grid.net, city.grid.bus_of, city.stock.ids)
        connect_fleet(scenario, fleet, city.grid.bus_of, names, transformer_of=behind)
        scenario.connect("weather.temperature", "fleet.outdoor_temperature")
    connect_weather(scenario)
    home = {site: site for site in city.stock.ids}
    at_grid = link(city.stock.ids, city.grid.bus_of, home)
    scenario.connect("buildings.electric_power", "grid.power", via=at_grid)
    scenario.connect("buildings.reactive_power", "grid.reactive_power", via=at_grid)
    places = traffic.charging_power.labels
    if places:
        unknown = [place for place in places if place not in city.grid.bus_of]
        if unknown:
            raise CosimError(f"charging station {unknown[0]!r} has no place in the grid: add it to the city's chargers")
        plugs = link(places, city.grid.bus_of, {place: place for place in places})
        scenario.connect("traffic.charging_power", "grid.power", via=plugs)
    measures.apply(scenario)
    scenario.name, scenario.seed = city.name, city.seed
    scenario.model = city
    scenario.layers = layers(city, traffic)
    for policy in policies:
        policy.change_scenario(scenario, city)
    return scenario


def layers(city: City, traffic: Traffic) -> list[Layer]:
    """Return what a report draws of a city."""
    network = traffic.network
    streets = {label: [(x, y) for x, y in shape] for label, shape in zip(network.labels, network.shapes, strict=True)}
    houses = {str(site): list(shape.exterior.coords)[:-1] for site, shape in city.sites["footprint"].items()}
    stations = {station.label: [(station.x, station.y)] for station in city.grid.stations}
    cables = {name: [tuple(p) for p in path.tolist()] for name, path in city.grid.lines.items()}
    plugs = {str(c): [(row["x"], row["y"])] for c, row in city.chargers.iterrows()}
    found = [
        Layer("Vehicles on streets", "traffic.vehicles", "line", streets, "vehicles"),
        Layer("Speed", "traffic.speed", "line", streets, "km/h", 3.6, (0, 50)),
        Layer("Tailpipe CO2", "traffic.co2", "line", streets, "kg/h", 3600),
        Layer("Electricity of buildings", "buildings.electric_power", "polygon", houses, "kW", 1e-3),
        Layer("Heat pumps", "buildings.heat_pump_power", "polygon", houses, "kW", 1e-3),
        Layer("Indoor temperature", "buildings.indoor_temperature", "polygon", houses, "°C"),
        Layer("Transformer loading", "grid.transformer_loading", "point", stations, "%", 100, (0, 100)),
        Layer("Cable loading", "grid.line_loading", "line", cables, "%", 100, (0, 100)),
        Layer("Voltage", "grid.voltage", "point", _places(city.grid.net), "% of nominal", 100, (95, 105)),
    ]
    charging = "fleet" if city.fleet else "traffic" if traffic.charging_power.labels else None
    if plugs and charging:
        found.append(Layer("Charging", f"{charging}.charging_power", "point", plugs, "kW", 1e-3))
    return found


def _places(net: Any) -> dict[str, list[tuple[float, float]]]:
    points = {}
    for name, text in zip(net.bus["name"], net.bus["geo"], strict=True):
        x, y = json.loads(text)["coordinates"][:2]
        points[str(name)] = [(float(x), float(y))]
    return points


def shares_by_year(country: str, size: str, shares: dict[int, float]) -> list[tuple[str, float]]:
    """Return TABULA codes with shares, each the type whose years hold the year given.

    Examples
    --------
    >>> shares_by_year("ES", "AB", {1890: 0.4, 1930: 0.6})
    [('ES.ME.AB.01', 0.4), ('ES.ME.AB.02', 0.6)]
    """
    kinds = [t for (code, level), t in tabula_types().items() if level == 1 and code.startswith(f"{country}.")]
    found = []
    for year, share in shares.items():
        fitting = [t.type for t in kinds if f".{size}." in t.type and t.first_year <= year <= t.last_year]
        if not fitting:
            raise CosimError(f"the table has no {size} of {country} built in {year}")
        found.append((fitting[0], share))
    return found


def write_configuration(
    path: Path, net: Path, routes: Sequence[Path], additional: Sequence[Path], begin_s: float = 0
) -> Path:
    """Write a SUMO configuration for generated files, which names them by where they are from its own folder."""

    def listed(paths: Sequence[Path]) -> str:
        return quoteattr(",".join(os.path.relpath(p, path.parent) for p in paths))

    path.write_text(
        f"<configuration>\n  <input>\n    <net-file value={listed([net])}/>\n"
        f"    <route-files value={listed(routes)}/>\n    <additional-files value={listed(additional)}/>\n  </input>\n"
        f'  <time><begin value="{begin_s:g}"/></time>\n  <report><no-step-log value="true"/></report>\n'
        "</configuration>\n",
        encoding="utf-8",
    )
    return path
