"""Energy cost and discomfort of households, and their distribution over buildings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pandas as pd

from cosim import CosimError, Indicator, Result
from cosim.core.quantities import J_PER_KWH, Vector
from cosim.scenarios.intervals import energy_by_label, interval_starts
from cosim.scenarios.model import City


@dataclass(frozen=True, slots=True)
class Prices:
    """Household prices of electricity and gas, and the feed-in tariff. [EUR/kWh]"""

    electricity: float
    gas: float
    feed_in: float


PRICES = {"ES": Prices(0.24, 0.09, 0.06), "IT": Prices(0.33, 0.10, 0.06), "DE": Prices(0.402, 0.113, 0.06)}
"""ES, IT: assumptions, in the range of household prices with taxes in 2023. DE: electricity of the second half of 2023
(Eurostat, news item of 25 April 2024), gas as in the EU; the feed-in tariff is an assumption."""
EU_PRICES = Prices(0.285, 0.113, 0.06)
"""Means of the EU in the second half of 2023 (Eurostat, as above), for all other countries."""


def prices_in(country: str) -> Prices:
    """Return the prices of a country, those of the EU if it is not listed."""
    return PRICES.get(country, EU_PRICES)


def household_indicators(result: Result, city: City) -> dict[str, Indicator]:
    """Return cost per dwelling, and the distribution of cost and discomfort over buildings."""
    if not {"buildings.electric_power", "buildings.gas_power", "buildings.unmet_degree"} <= set(result.ports):
        return {}
    cost = cost_per_dwelling(result, city)
    dwellings = pd.Series(city.stock.dwellings, index=city.stock.ids)
    unmet = result.integral("buildings.unmet_degree") / 3600
    about = "energy bill of a dwelling over the run, mean within its building"
    mean = float((cost * dwellings).sum() / dwellings.sum())
    low, high = np.quantile(cost, [0.1, 0.9])
    return {
        "household cost": Indicator(
            mean,
            "EUR",
            "lower",
            "energy bill over the run without charging of cars, mean over dwellings",
            role="energy bill",
        ),
        "– lowest tenth": Indicator(float(low), "EUR", "lower", f"10 % quantile over buildings: {about}"),
        "– highest tenth": Indicator(float(high), "EUR", "lower", f"90 % quantile over buildings: {about}"),
        "inequality of cost": Indicator(gini(cost.to_numpy()), "1", "lower", "Gini coefficient of cost over buildings"),
        "unmet degree-hours, worst tenth": Indicator(
            float(np.quantile(unmet, 0.9)), "K h", "lower", "90 % quantile over buildings"
        ),
        "share of unmet degree-hours in the worst tenth": Indicator(
            100 * share_of_worst(unmet.to_numpy()), "%", "lower", "10 % if all bear the same"
        ),
    }


def cost_per_dwelling(result: Result, city: City) -> pd.Series[float]:
    """Return the energy bill of a dwelling over a run, per building. [EUR]

    Electricity is charged at the price of its hour if the city has a tariff, otherwise at the country's price; feed-in
    earns the same at any hour.
    """
    prices = prices_in(city.country)
    kwh = energy_by_label(result, "buildings.electric_power") / J_PER_KWH
    bought = kwh.clip(lower=0).mul(hourly_prices(city, interval_starts(result, kwh.index)), axis=0)
    gas = result.integral("buildings.gas_power") / J_PER_KWH * prices.gas
    whole = bought.sum() + kwh.clip(upper=0).sum() * prices.feed_in + gas
    return whole / pd.Series(city.stock.dwellings, index=city.stock.ids)


def hourly_prices(city: City, times: pd.DatetimeIndex) -> Vector:
    """Return the price of electricity at moments in UTC, shape (n_times,). [EUR/kWh]"""
    days = city.measures.inputs.get("*.price", {})
    if not days:
        return np.full(len(times), prices_in(city.country).electricity)
    [day] = days.values()
    local = times.tz_convert(ZoneInfo(city.zone))
    minutes = local.hour.to_numpy() * 60 + local.minute.to_numpy()
    changes = np.array([int(moment[:2]) * 60 + int(moment[3:5]) for moment, _ in day])
    values = np.array([value for _, value in day]) * J_PER_KWH
    return np.asarray(values[np.searchsorted(changes, minutes, side="right") - 1])


def who_bears(base: Result, plan: Result, city: City) -> dict[str, Indicator]:
    """Return the distribution over buildings of the change in household cost from one run to another.

    Parameters
    ----------
    base, plan
        Runs of the same buildings.
    city
        The city of ``base``; the prices of both are its own.

    Raises
    ------
    CosimError
        If the runs have different buildings.
    """
    before, after = cost_per_dwelling(base, city), cost_per_dwelling(plan, city)
    if set(before.index) != set(after.index):
        raise CosimError(f"{base.folder} and {plan.folder} are runs of different buildings: compare the same ones")
    change = (after - before).to_numpy()
    quantiles = dict(zip((10, 50, 90), np.quantile(change, [0.1, 0.5, 0.9])))
    found: Mapping[str, Indicator] = {
        f"change of cost, {share} % quantile": Indicator(float(value), "EUR", "lower", "per dwelling, over buildings")
        for share, value in quantiles.items()
    }
    losing = Indicator(100 * float((change > 1e-9).mean()), "%", "lower", "share of the buildings that pay more")
    borne = np.clip(change, 0, None)
    worst = Indicator(100 * share_of_worst(borne), "%", "lower", "share of all increases in a tenth of the buildings")
    return {**found, "buildings that pay more": losing, "increases in the worst tenth": worst}


def gini(values: npt.ArrayLike) -> float:
    """Return the Gini coefficient of non-negative values: 0 if all are equal, towards 1 if one holds everything.

    Negative values, as of households that earn by feeding in, count as 0.

    Examples
    --------
    >>> gini([1.0, 1.0, 1.0]), gini([0.0, 0.0, 0.0, 4.0])
    (0.0, 0.75)
    """
    ordered = np.sort(np.clip(np.asarray(values, float), 0, None))
    n, total = len(ordered), ordered.sum()
    if total == 0:
        return 0.0
    return float(2 * (np.arange(1, n + 1) * ordered).sum() / (n * total) - (n + 1) / n)


def share_of_worst(values: npt.ArrayLike, tenth: float = 0.1) -> float:
    """Return the share of the total borne by the worst tenth; a fractional element counts proportionally.

    Examples
    --------
    >>> share_of_worst([0.0] * 9 + [5.0]), round(share_of_worst([1.0] * 5), 9)
    (1.0, 0.1)
    """
    ordered = np.sort(np.asarray(values, float))[::-1]
    total = ordered.sum()
    if total == 0:
        return tenth
    number = tenth * len(ordered)
    weights = np.clip(number - np.arange(len(ordered)), 0, 1)
    return float((weights * ordered).sum() / total)
