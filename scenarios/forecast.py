"""What will each transformer carry without electric cars? The buildings' day, reckoned before the run."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence

import numpy as np

from cosim import Clock, Scenario
from cosim.adapters.buildings import Buildings
from cosim.adapters.weather import Weather
from cosim.core.fleet_plan import Array
from cosim.core.weather import WeatherYear

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
    stock: Stock,
    weather: WeatherYear,
    day: str,
    zone: str,
    seed: int,
    transformer_of: Mapping[str, str],
    transformers: Sequence[str],
) -> Array:
    """Return what buildings will draw through each transformer over a day, shape (n_transformers, n_slots). [W]

    The buildings' own day in slots of half an hour: an operator who knows the weather and the households' habits.
    Policies that change the city later are not in it; charging learns from what it sees.

    Parameters
    ----------
    stock, weather, seed
        Of the city.
    day, zone
        The date, and the time zone in which it begins.
    transformer_of
        Building → transformer.
    transformers
        The order of the rows; others are left out.
    """
    clock = Clock(day, hours=24, step_s=SLOT_S, zone=zone)
    scenario = Scenario(clock, weather=Weather(clock, weather), buildings=Buildings(stock, clock, seed=seed))
    connect_weather(scenario)
    scenario.record("buildings.electric_power")
    with tempfile.TemporaryDirectory(prefix="cosim-forecast-") as folder:
        power = scenario.run(folder).series("buildings.electric_power")
    load = power.T.groupby(power.columns.map(transformer_of)).sum()
    return np.asarray(load.reindex(list(transformers), fill_value=0.0), dtype=np.float64)
