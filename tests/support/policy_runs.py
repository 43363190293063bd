"""A small district, and runs of its parts, to test policies on."""

import functools

from cosim import Clock, Scenario
from cosim.adapters.buildings import Buildings
from cosim.adapters.traffic import Traffic
from cosim.adapters.weather import Weather
from cosim.scenarios import eixample


@functools.cache
def district(**parameters):
    """Return a city of 2 × 2 blocks with little through traffic."""
    return eixample.build(blocks=(2, 2), hours=1, through_traffic=0.1, **parameters).model


@functools.cache
def quarter():
    """Return a city of 4 × 4 blocks from eight o'clock in the morning, with a tenth of the through traffic."""
    return eixample.build(blocks=(4, 4), hours=1, begin_hour=8, through_traffic=0.1).model


def run_buildings(city, out, *, day="2025-01-15", hours=24, step_s=600):
    """Run weather and buildings of a city alone."""
    clock = Clock(day, hours=hours, step_s=step_s, zone=city.zone)
    scenario = Scenario(
        clock,
        weather=Weather(clock, city.weather),
        buildings=Buildings(city.stock, clock, seed=city.seed, price_response=city.measures.price_response),
    )
    for source, target in (
        ("temperature", "outdoor_temperature"),
        ("irradiance", "irradiance"),
        ("window_irradiance", "window_irradiance"),
        ("ground_temperature", "ground_temperature"),
        ("pv_yield", "pv_yield"),
    ):
        scenario.connect(f"weather.{source}", f"buildings.{target}")
    city.measures.apply(scenario)
    return scenario.run(out)


def run_traffic(city, out, *, start="2025-01-15T08:00", hours=0.5):
    """Run the traffic of a city alone."""
    measures = city.measures
    traffic = Traffic(
        city.sumocfg, seed=city.seed, extra_options=city.traffic_options, permission_classes=measures.permission_classes
    )
    scenario = Scenario(Clock(start, hours=hours, step_s=60, zone=city.zone), traffic=traffic)
    measures.apply(scenario)
    return scenario.run(out)


def kwh(result, port):
    """Return a run's energy. [kWh]"""
    return float(result.integral(port).sum()) / 3.6e6
