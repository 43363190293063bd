"""Costs: investment and yearly cost of what is installed, where the policy UnitCosts asks for them."""

from __future__ import annotations

from cosim import Indicator, Result
from cosim.scenarios.indicators.costs import COSTS, cost_indicators
from cosim.scenarios.model import City

ORDER = 95


def facts(city: City) -> dict[str, str]:
    """Return the assumptions by which costs are computed."""
    assumptions = city.sectors.get(COSTS)
    if assumptions is None:
        return {}
    given = ", ".join(f"{name} {eur:g} EUR ({year})" for name, (eur, year) in assumptions.prices.items())
    place = {-1.0: "at the low end", 0.0: "in the middle", 1.0: "at the high end"}.get(assumptions.position, "within")
    text = f"annuities at {100 * assumptions.rate:g} %, unit costs {place} of their published ranges"
    return {"costs": text + (f"; given: {given}" if given else "")}


def indicators(result: Result, city: City) -> dict[str, Indicator]:
    """Return what is installed, and its cost by payer."""
    return cost_indicators(result, city)
