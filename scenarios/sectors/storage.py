"""Storage: use of solar power in the city and behind the meter, and battery throughput, across sectors."""

from __future__ import annotations

from cosim import Indicator, Result
from cosim.scenarios.indicators.storage import storage_indicators
from cosim.scenarios.model import City

ORDER = 60


def indicators(result: Result, city: City) -> dict[str, Indicator]:
    """Return self-sufficiency, self-consumption and the energy that batteries discharged."""
    return storage_indicators(result, city)
