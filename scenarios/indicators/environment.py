"""Exposure of residents to noise and air pollution at the street façades of their buildings."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

import pandas as pd

from cosim import CosimError, Indicator, Result
from cosim.core.environment.exposure import (
    BANDS,
    LIMITS,
    HealthFunction,
    attributable,
    highly_annoyed,
    highly_sleep_disturbed,
    residents_by_band,
    share_above,
)
from cosim.scenarios.indicators.exposure import LEVELS, NOISE, UNITS, exposure_of_residents
from cosim.scenarios.model import City

_BAND_UNITS = {"NO2": "µg/m³", "PM2.5": "µg/m³", "Lden": "dB", "Lnight": "dB"}
_RELIEF = (("Lden", 65.0), ("Lnight", 55.0), ("NO2", 20.0))
"""Limits of which the report tells what it costs to bring a person below."""
_ONE_SIDED = (("Lden", 65.0), ("Lnight", 55.0))
"""Limits for which the share is also told as if every dwelling had one side."""
HEALTH = "health"
"""Key of the `Health` functions to apply in ``city.sectors``, by the name of their indicator."""


class Health(NamedTuple):
    """A health function, the yearly cases of all causes for each person, and the share of residents that it covers."""

    function: HealthFunction
    incidence: float
    covered: float = 1.0


def environment_indicators(
    result: Result,
    city: City,
    health: Mapping[str, Health] | None = None,
    *,
    annual: Mapping[str, pd.Series[float]] | None = None,
) -> dict[str, Indicator]:
    """Return which share of the residents lives above limits, and how many are annoyed.

    Air pollution is the annual mean if one is given, otherwise that of the run, which stands for a year only where the
    run does; noise is that of a whole day. A run that lacks hours of the day has no noise indicators.

    Parameters
    ----------
    result, city
        A run of the city.
    health
        Health functions to apply, by the name of their indicator; by default those of the city, see `HEALTH`.
    annual
        Annual means by façade, by pollutant; where it is empty, the run says nothing about a year. [µg/m³]
    """
    exposed = exposure_of_residents(result, city, annual)
    if exposed.empty:
        return {}
    known = exposed.dropna(subset=[name for name in exposed if name in UNITS], how="all")
    left_out = exposed.index.nunique() - known.index.nunique()
    without = f"; without {left_out} buildings on no assessed street" if left_out else ""
    where = dict.fromkeys(UNITS, f"at the street façade of their building{without}")
    louder = "at the louder half of the points around their building, by the median rule of (EU) 2021/1226"
    where |= dict.fromkeys(LEVELS, louder + without)
    found: dict[str, Indicator] = {}
    for limit in LIMITS:
        if limit.quantity in exposed or (limit.quantity in LEVELS and NOISE in result.ports):
            name = f"residents above {limit.value:g} {UNITS[limit.quantity]}"
            one = _share(
                known, limit.quantity, limit.value, f"share of residents, {where[limit.quantity]}; {limit.source}"
            )
            found[name] = replace(one, role="exposed") if (limit.quantity, limit.value) in _RELIEF else one
    for quantity, value in _ONE_SIDED:
        if quantity in known:
            name = f"– above {value:g} {UNITS[quantity]} if dwellings have one side"
            about = (
                "as if every dwelling looked onto its street or its courtyard only, as many residents along each metre"
            )
            levels = known.dropna(subset=[quantity])
            share = 100 * share_above(levels[quantity], levels["one_sided"], value)
            found[name] = Indicator(share, "%", "lower", f"{about} of wall, the courtyard 20 dB quieter")
    for quantity, share_of, name in (
        ("Lden", highly_annoyed, "highly annoyed by noise"),
        ("Lnight", highly_sleep_disturbed, "sleep highly disturbed by noise"),
    ):
        if quantity in known:
            people = float((share_of(known[quantity]) * known["persons"]).sum())
            about = f"residents, from the {quantity} {where[quantity]}, Directive 2002/49/EC, annex III"
            found[name] = Indicator(people, "persons", "lower", about)
    found |= _bars(known, where)
    for name, (function, incidence, covered) in (city.sectors.get(HEALTH, {}) if health is None else health).items():
        if function.quantity not in UNITS:
            raise CosimError(f"{name} needs {function.quantity}: write one of {', '.join(UNITS)}")
        about = f"{function.outcome}; {function.source}"
        if function.quantity not in known:
            about = f"missing, as the run tells no {function.quantity} of a day or year: {about}"
            found[name] = Indicator(math.nan, "cases/year", "lower", about)
            continue
        exposed = known.dropna(subset=[function.quantity])
        cases, low, high = attributable(function, exposed[function.quantity], covered * exposed["persons"], incidence)
        about = f"95 % interval of the function {low:.3g} to {high:.3g}; {about}"
        found[name] = Indicator(cases, "cases/year", "lower", about)
    return found


def _bars(exposed: pd.DataFrame, where: Mapping[str, str]) -> dict[str, Indicator]:
    """Return the residents by band of every exposure that is known."""
    found = {}
    for quantity, bounds in BANDS.items():
        if quantity not in exposed:
            continue
        known = exposed.dropna(subset=[quantity])
        people = residents_by_band(known[quantity], known["persons"], bounds)
        texts = [f"below {bounds[0]:g}", *(f"{a:g} to {b:g}" for a, b in pairwise(bounds)), f"{bounds[-1]:g} and more"]
        for text, number in zip(texts, people):
            name = f"residents by {quantity}: {text} {_BAND_UNITS[quantity]}"
            found[name] = Indicator(float(number), "persons", None, where[quantity], role="bar")
    return found


def _share(exposed: pd.DataFrame, quantity: str, limit: float, about: str) -> Indicator:
    if quantity not in exposed:
        return Indicator(math.nan, "%", "lower", f"missing, as the run lacks hours of the day: {about}")
    known = exposed.dropna(subset=[quantity])
    return Indicator(100 * share_above(known[quantity], known["persons"], limit), "%", "lower", about)
