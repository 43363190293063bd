"""Households: energy cost per dwelling, and the distribution of cost and discomfort."""

from __future__ import annotations

from cosim import Indicator, Result
from cosim.core.quantities import J_PER_KWH
from cosim.scenarios.indicators.households import household_indicators, prices_in
from cosim.scenarios.model import City

ORDER = 70


def facts(city: City) -> dict[str, str]:
    """Return the prices by which costs are computed."""
    prices = prices_in(city.country)
    tariff = city.measures.inputs.get("*.price")
    electricity = f"{prices.electricity:g} EUR/kWh"
    if tariff:
        values = [value * J_PER_KWH for day in tariff.values() for _, value in day]
        electricity = f"{min(values):g} to {max(values):g} EUR/kWh by the hour"
    return {"prices": f"electricity {electricity}, fed in {prices.feed_in:g}, gas {prices.gas:g} EUR/kWh (assumptions)"}


def indicators(result: Result, city: City) -> dict[str, Indicator]:
    """Return cost per dwelling and its distribution."""
    return household_indicators(result, city)
