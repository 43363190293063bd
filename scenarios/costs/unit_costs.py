"""Published unit costs of measures, within their range, and annuities."""

from __future__ import annotations

import csv
import functools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import resources

from cosim import CosimError
from cosim.core.arguments import did_you_mean, finite, shown

PAYERS = ("owners", "drivers", "city", "network operator")
"""Who bears the cost of a measure."""
RATE = 0.03
"""Interest rate of annuities. [1/year] Assumption."""
PRICES_OF = 2025
"""Year of whose prices all costs are, the last of the index."""


@dataclass(frozen=True, slots=True)
class UnitCost:
    """What one unit of a measure costs.

    Attributes
    ----------
    measure, unit, payer
        What it is, in which unit it is counted, and who pays.
    investment, low, high
        Cost of a unit, central and range, in prices of `PRICES_OF`; taxes as in the source. [EUR]
    price_year
        Year of the prices in the source, from which the consumer price index has converted them.
    running_share
        Running cost of a year over the investment, without energy. [1/year]
    lifetime
        Years until it is replaced.
    source, note
        Where the central figure stands; where the range, and what is an assumption.
    """

    measure: str
    unit: str
    payer: str
    investment: float
    low: float
    high: float
    price_year: int
    running_share: float
    lifetime: float
    source: str
    note: str = ""

    def at(self, position: float) -> float:
        """Return the cost of a unit at a position in its range: -1 low, 0 central, 1 high. [EUR]"""
        return self.investment + position * (
            self.high - self.investment if position > 0 else self.investment - self.low
        )

    def yearly(self, rate: float, position: float = 0.0) -> float:
        """Return the annuity of a unit and its running cost. [EUR/year]"""
        # running cost is that of the central figure: it does not rise with a dear installation
        return annuity(rate, self.lifetime) * self.at(position) + self.running_share * self.investment


@dataclass(frozen=True)
class CostAssumptions:
    """Interest rate, position of all unit costs in their ranges, and prices given by the user.

    Attributes
    ----------
    rate
        Interest rate. [1/year]
    position
        -1 for the low, 0 for the central, 1 for the high end of every range.
    prices
        Own unit costs by measure: investment and its year. [EUR]
    """

    rate: float = RATE
    position: float = 0.0
    prices: Mapping[str, tuple[float, int]] = field(default_factory=dict)

    def unit_cost(self, measure: str) -> UnitCost:
        """Return the unit cost of a measure, the user's own if given.

        Raises
        ------
        CosimError
            If the measure is unknown.
        """
        published = unit_costs()
        if measure not in published:
            raise _unknown(measure)
        cost = published[measure]
        if measure in self.prices:
            eur, year = self.prices[measure]
            eur *= price_factor(year)
            return replace(cost, investment=eur, low=eur, high=eur, price_year=year, source="given by the user")
        return cost


def check_prices(prices: object) -> dict[str, tuple[float, int]]:
    """Return prices given as rows of measure, EUR per unit and year, by measure.

    Raises
    ------
    CosimError
        If a row lacks its year, names an unknown measure, or is no price.

    Examples
    --------
    >>> check_prices([("public charger", 5000.0, 2024)])
    {'public charger': (5000.0, 2024)}
    >>> check_prices([("public charger", 5000.0)])
    Traceback (most recent call last):
        ...
    cosim.core.errors.CosimError: the price of 'public charger' has no year: write ["public charger", 5000.0, YEAR]
    """
    found: dict[str, tuple[float, int]] = {}
    for row in prices if isinstance(prices, (list, tuple)) else (prices,):
        if not isinstance(row, (list, tuple)) or len(row) < 2 or not isinstance(row[0], str):
            raise CosimError(f'price {shown(row)}: write ["measure", EUR per unit, year]')
        measure, eur = row[0], finite(row[1], f"the price of {row[0]!r}")
        if measure not in unit_costs():
            raise _unknown(measure)
        if len(row) < 3:
            raise CosimError(f'the price of {measure!r} has no year: write ["{measure}", {eur}, YEAR]')
        year = finite(row[2], f"the year of the price of {measure!r}")
        if len(row) > 3 or year not in consumer_prices():
            raise CosimError(
                f"the price of {measure!r} is of {shown(row[2])}: give a year from {min(consumer_prices())} to "
                f"{PRICES_OF}, nothing more"
            )
        if eur < 0:
            raise CosimError(f"the price of {measure!r} is {eur:g} EUR: it must not be negative")
        if measure in found:
            raise CosimError(f"the price of {measure!r} is given twice: keep one")
        found[measure] = (eur, int(year))
    return found


def annuity(rate: float, lifetime: float) -> float:
    """Return the yearly payment for each EUR invested, over a lifetime in years. [1/year]

    Raises
    ------
    CosimError
        If the rate is negative or the lifetime not positive.

    Examples
    --------
    >>> round(annuity(0.03, 20), 5), annuity(0.0, 20)
    (0.06722, 0.05)
    """
    if not 0 <= rate < 1:
        raise CosimError(f"interest rate is {shown(rate)}: give a share from 0 to below 1, 0.03 for 3 %")
    if not lifetime > 0:
        raise CosimError(f"lifetime is {shown(lifetime)} years: it must be positive")
    return rate / (1 - (1 + rate) ** -lifetime) if rate else 1 / lifetime


@functools.cache
def consumer_prices() -> dict[int, float]:
    """Return the consumer prices of the euro area by year, 2015 as 100.

    References
    ----------
    .. [1] Eurostat, HICP, all items, annual average index (prc_hicp_aind; EA, CP00, INX_A_AVG), state of October 2026.
    """
    return {int(row["year"]): float(row["index"]) for row in _rows("hicp.csv")}


def price_factor(year: int) -> float:
    """Return the factor from prices of a year to those of `PRICES_OF`.

    Examples
    --------
    >>> round(price_factor(2020), 4), price_factor(2025)
    (1.2255, 1.0)
    """
    return consumer_prices()[PRICES_OF] / consumer_prices()[year]


@functools.cache
def unit_costs() -> dict[str, UnitCost]:
    """Return all unit costs by measure, in prices of `PRICES_OF`."""
    return {row["measure"]: _read(row) for row in _rows("unit_costs.csv")}


def _rows(file: str) -> list[dict[str, str]]:
    text = resources.files("cosim.scenarios.costs").joinpath(file).read_text("utf-8")
    return list(csv.DictReader(text.splitlines()))


def _read(row: Mapping[str, str]) -> UnitCost:
    def number(name: str) -> float:
        return float(row[name]) * price_factor(int(row["price_year"]))

    return UnitCost(
        measure=row["measure"],
        unit=row["unit"],
        payer=row["payer"],
        investment=number("investment_eur"),
        low=number("low_eur"),
        high=number("high_eur"),
        price_year=int(row["price_year"]),
        running_share=float(row["running_share"]),
        lifetime=float(row["lifetime_years"]),
        source=row["source"],
        note=row["note"],
    )


def _unknown(measure: str) -> CosimError:
    known = list(unit_costs())
    return CosimError(f"unknown measure {shown(measure)}{did_you_mean(measure, known)}; there are {', '.join(known)}")
