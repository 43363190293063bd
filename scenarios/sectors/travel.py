"""Travel: who goes by what mode, where demand answers to policies by mode."""

from __future__ import annotations

from cosim import Indicator, Result
from cosim.scenarios.indicators.travel import travel_indicators
from cosim.scenarios.mobility.choice import Answer
from cosim.scenarios.model import City

ORDER = 55
INDICATOR_ORDER = 21  # after the traffic


def facts(city: City) -> dict[str, str]:
    """Return how demand has answered, and how far the equilibrium is reached."""
    answer = answer_of(city)
    if answer is None:
        return {}
    trips, before = answer.trips(), answer.trips("before")
    change = {name: trips[name] - before[name] for name in trips}
    moved = (
        ", ".join(f"{name} {number:+.0f}" for name, number in change.items()) if answer.gaps else "as in the base case"
    )
    gap = f"; relative gap {answer.gap:.2%} after {len(answer.gaps)} rounds" if answer.gaps else ""
    return {"Travel": f"{sum(before.values()):.0f} trips of all modes, {moved}{gap}"}


def indicators(result: Result, city: City) -> dict[str, Indicator]:
    """Return trips, passenger-kilometres and times by mode, crowding and the gap."""
    return travel_indicators(answer_of(city))


def answer_of(city: City) -> Answer | None:
    """Return what the city's travellers do, if its demand answers by mode."""
    found = city.sectors.get("travel")
    return found if isinstance(found, Answer) else None
