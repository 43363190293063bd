"""What will each transformer carry without electric cars? The buildings' day, reckoned before the run."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence

import numpy as np

from cosim import Clock, Scenario
from cosim.adapters.buildings import Buildings
from cosim.adapters.weather import Weather
from cosim.core.fleet_plan import Array
from cosim.core.weather import WeatherYear

from .grid_synthesis import SynthesizedGrid
from .mobility import transformers
from .stock import Stock

SLOT_S = 1800.0


def connect_weather(scenario: Scenario) -> None:
    """Let the buildings feel the weather."""
    scenario.connect("weather.temperature", "buildings.outdoor_temperature")
    scenario.connect("weather.irradiance", "buildings.irradiance")
    scenario.connect("weather.window_irradiance", "buildings.window_irradiance")
    scenario.connect("weather.ground_temperature", "buildings.ground_temperature")
    scenario.connect("weather.pv_yield", "buildings.pv_yield")


def expected_load(
    stock: Stock, weather: WeatherYear, day: str, zone: str, seed: int, grid: SynthesizedGrid, stations: Sequence[str]
) -> Array:
    """Return what each transformer will carry over a day without cars, shape (n_stations, n_slots). [VA]

    The buildings' own day in slots of half an hour, and what transformers draw at no load: an operator who knows the
    weather and the households' habits. Losses in cables, and policies that change the city later, are not in it;
    charging learns from what it sees.

    Parameters
    ----------
    stock, weather, seed, grid
        Of the city.
    day, zone
        The date, and the time zone in which it begins.
    stations
        Transformers, in the order of the rows.
    """
    clock = Clock(day, hours=24, step_s=SLOT_S, zone=zone)
    scenario = Scenario(clock, weather=Weather(clock, weather), buildings=Buildings(stock, clock, seed=seed))
    connect_weather(scenario)
    ports = ("buildings.electric_power", "buildings.reactive_power")
    scenario.record(*ports)
    behind, _ = transformers(grid.net, grid.bus_of, stock.ids)
    units = grid.net.trafo.set_index("name").loc[list(stations)]
    idle = (units["pfe_kw"] * 1e3, units["i0_percent"] / 100 * units["sn_mva"] * units["parallel"] * 1e6)
    with tempfile.TemporaryDirectory(prefix="cosim-forecast-") as folder:
        result = scenario.run(folder)
        parts = [
            result.series(port).T.groupby(behind).sum().reindex(list(stations), fill_value=0.0).add(more, axis=0)
            for port, more in zip(ports, idle)
        ]
    carried: Array = np.hypot(*(part.to_numpy(dtype=np.float64) for part in parts))
    return carried
