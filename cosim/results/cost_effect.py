"""What plans cost against what they achieve, from the indicators of compared runs that have a role in it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from .comparison import Comparison
from .indicator import Change, Role
from .result import Result

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


def cost_effects(comparison: Comparison) -> list[CostEffect]:
    """Return cost and effect of every plan of a comparison; none if its runs have no costs.

    Costs are those of what is installed with a plan less that of the base. Effects of the runs are extrapolated to a
    year as if all its days were like them; those of runs that do not cover whole days are not.
    """
    years = _years(comparison.base[0])
    return [
        _effect(plan, changes, years)
        for plan, changes in comparison.changes.items()
        if any(change.role == "yearly cost" for change in changes)
    ]


def _effect(plan: str, changes: Sequence[Change], years: float) -> CostEffect:
    def with_role(role: Role) -> list[tuple[Change, float]]:
        return [(c, c.difference.mean if c.difference else math.nan) for c in changes if c.role == role]

    def difference(role: Role) -> float:
        return next((value for _, value in with_role(role)), math.nan)

    def number(role: Role) -> float:
        return next((change.base for change, _ in with_role(role)), math.nan)

    yearly = difference("yearly cost")
    # what a plan saves is worth more where unit costs are high, so that neither end need be the lowest
    ends = (difference("yearly cost, low"), yearly, difference("yearly cost, high"))
    low, high = min(ends), max(ends)
    avoided = -difference("emissions") / 1000 / years

    def per_tonne(cost: float) -> float:
        return cost / avoided if avoided > 0 else math.nan

    per_person = {}
    for change, value in with_role("exposed"):
        relieved = -value / 100 * number("people")
        if relieved > 0.5:
            per_person[f"EUR a year per person fewer among {change.indicator}"] = yearly / relieved
    bill = difference("energy bill") * number("households") / years
    payers = {change.indicator.partition(": ")[2]: eur for change, eur in with_role("cost of a payer")}
    borne = {payer: eur for payer, eur in payers.items() if abs(eur) > 1e-9}
    if abs(bill) >= 1.0:  # less is rounding, nan is unknown
        borne["residents, energy bills"] = bill
    invested = difference("saving investment")
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
    )


def _years(run: Result) -> float:
    """Return the length of a run of whole days; nan of others, which do not stand for a day. [years]"""
    clock = run.provenance["clock"]
    hours = float((clock["n_steps"] or 0) * clock["step_s"]) / 3600
    return hours / _HOURS_PER_YEAR if hours and hours % 24 == 0 else math.nan
