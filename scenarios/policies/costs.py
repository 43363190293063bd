"""Assumptions about costs, under which plans are compared."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

from pydantic import Field

from cosim.scenarios.costs.unit_costs import RATE, CostAssumptions, check_prices
from cosim.scenarios.indicators.costs import COSTS
from cosim.scenarios.model import City
from cosim.scenarios.policies.policy import Policy

__all__ = ["UnitCosts"]

SECTOR = "Costs"


class UnitCosts(Policy):
    """Counts what measures cost: investment, annuities and running cost, by who pays.

    It changes nothing in the city. Put it into the base case too: the cost of a plan is the difference. Not
    counted are policies that state no length
    or number, such as `BusLanes`, `CycleLanes`, `TransitService` and `SignalRetiming`, the electrification of buses,
    shading and green roofs.

    Evidence: unit costs with source, year of prices, range and lifetime of every measure are in
    ``scenarios/costs/unit_costs.csv``; all are converted to prices of 2025 by the consumer prices of the euro area
    (Eurostat). Subsidies and taxes are as in each source. The default rate is an assumption.

    Parameters
    ----------
    rate
        Interest rate of annuities. [1/year]
    position
        Where all unit costs stand in their ranges: -1 low, 0 central, 1 high. A study can vary it.
    prices
        Own unit costs with the year of their prices, as in ``[["public charger",5000,2024]]``. [EUR]
    """

    rate: Annotated[float, Field(ge=0, lt=1)] = RATE
    position: Annotated[float, Field(ge=-1, le=1)] = 0.0
    prices: tuple[tuple[Any, ...], ...] = ()

    def change_city(self, city: City) -> City:
        """Give the city the assumptions."""
        assumptions = CostAssumptions(self.rate, self.position, check_prices(self.prices))
        return replace(city, sectors={**city.sectors, COSTS: assumptions})
