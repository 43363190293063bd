"""What plans cost against what they achieve, from the indicators of compared runs."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from .comparison import Comparison
from .indicator import Change
from .result import Result

YEARLY = "yearly cost of measures"
YEARLY_LOW, YEARLY_HIGH = f"{YEARLY}, low", f"{YEARLY}, high"
"""Indicators of runs whose measures have costs. [EUR/year]"""
INVESTED = "investment: "
PAID = "yearly cost: "
INSTALLED = "installed: "
"""Beginnings of the names of indicators by payer, by payer, and by measure."""
RESIDENTS, DWELLINGS = "residents", "dwellings"
_CO2E, _BILL = "total CO2e", "household cost"
_RELIEF = {
    "residents above 65 dB Lden": "EUR a year per resident no longer above 65 dB Lden",
    "residents above 55 dB Lnight": "EUR a year per resident no longer above 55 dB Lnight",
    "residents above 20 µg NO2": "EUR a year per resident no longer above 20 µg NO2",
}
_HOURS_PER_YEAR = 8766.0


@dataclass(frozen=True)
class CostEffect:
    """Cost and effect of a plan; nan where a run does not tell it.

    Attributes
    ----------
    plan
        Name of the plan.
    yearly, low, high
        Annuities and running cost that it adds, and the lowest and highest of them where all unit costs stand at
        either end of their ranges or in the middle. [EUR/year]
    avoided
        CO2e that it avoids in a year like the run. [t/year]
    per_tonne, per_tonne_low, per_tonne_high
        Cost over CO2e avoided; nan if it avoids none. [EUR/t]
    per_person
        Cost over the number of people who no longer live above a limit, by what it means; only for limits at which
        people are relieved. [EUR/year]
    payback
        Investment of owners over the yearly saving in energy bills; inf if they save nothing. [years]
    borne
        Who pays in a year, and who gains (negative): payers of measures, and residents by their energy bills.
        [EUR/year]
    refused
        Why there is no cost, empty if there is one.
    """

    plan: str
    yearly: float
    low: float
    high: float
    avoided: float
    per_tonne: float
    per_tonne_low: float
    per_tonne_high: float
    per_person: dict[str, float] = field(default_factory=dict)
    payback: float = math.nan
    borne: dict[str, float] = field(default_factory=dict)
    refused: str = ""


def cost_effects(comparison: Comparison) -> list[CostEffect]:
    """Return cost and effect of every plan of a comparison; none if its runs have no costs.

    Costs are those of what is installed with a plan less that of the base. Effects of the runs are extrapolated to a
    year as if all its days were like them; those of runs that do not cover whole days are not.
    """
    years = _years(comparison.base[0])
    return [
        _effect(plan, {change.indicator: change for change in changes}, comparison, years)
        for plan, changes in comparison.changes.items()
        if any(change.indicator == YEARLY for change in changes)
    ]


def _effect(plan: str, changes: dict[str, Change], comparison: Comparison, years: float) -> CostEffect:
    def difference(name: str) -> float:
        change = changes.get(name)
        return change.difference.mean if change is not None and change.difference is not None else math.nan

    unpriced = [
        f"{name.removeprefix(INSTALLED)}: {changes[name].about}"
        for name in changes
        if name.startswith(INSTALLED) and "no published unit cost" in changes[name].about and difference(name)
    ]
    yearly, low, high = (math.nan if unpriced else difference(name) for name in (YEARLY, YEARLY_LOW, YEARLY_HIGH))
    # what a plan saves is worth more where unit costs are high, so that neither end need be the lowest
    low, high = min(low, yearly, high), max(low, yearly, high)
    avoided = -difference(_CO2E) / 1000 / years

    def per_tonne(cost: float) -> float:
        return cost / avoided if avoided > 0 else math.nan

    residents = changes[RESIDENTS].base if RESIDENTS in changes else math.nan
    per_person = {}
    for name, meaning in _RELIEF.items():
        relieved = -difference(name) / 100 * residents
        if relieved > 0.5:
            per_person[meaning] = yearly / relieved
    bill = difference(_BILL) * (changes[DWELLINGS].base if DWELLINGS in changes else math.nan) / years
    borne = {} if unpriced else {n.removeprefix(PAID): difference(n) for n in changes if n.startswith(PAID)}
    borne = {payer: eur for payer, eur in borne.items() if abs(eur) > 1e-9}
    if abs(bill) >= 1.0:  # less is rounding, nan is unknown
        borne["residents, energy bills"] = bill
    invested = math.nan if unpriced else difference(f"{INVESTED}owners")
    payback = (invested / -bill if bill < 0 else math.inf) if invested > 0 and math.isfinite(bill) else math.nan
    return CostEffect(
        plan=plan,
        yearly=yearly,
        low=low,
        high=high,
        avoided=avoided,
        per_tonne=per_tonne(yearly),
        per_tonne_low=per_tonne(low),
        per_tonne_high=per_tonne(high),
        per_person=per_person,
        payback=payback,
        borne=borne,
        refused="; ".join(unpriced),
    )


def _years(run: Result) -> float:
    """Return the length of a run of whole days; nan of others, which do not stand for a day. [years]"""
    clock = run.provenance["clock"]
    hours = float((clock["n_steps"] or 0) * clock["step_s"]) / 3600
    return hours / _HOURS_PER_YEAR if hours and hours % 24 == 0 else math.nan
