"""Weather: temperature, sun and wind, for every adapter with an input of that name."""

from __future__ import annotations

from collections.abc import Mapping

from cosim import Adapter, Clock
from cosim.adapters.weather import ROLES, Weather
from cosim.scenarios.model import City

ORDER = 10
PROVIDES = {role: f"weather.{port}" for role, port in ROLES.items()}


def adapters(city: City, clock: Clock, steps: Mapping[str, float]) -> dict[str, Adapter]:
    """Return the weather of the city's year."""
    return {"weather": Weather(clock, city.weather)}
