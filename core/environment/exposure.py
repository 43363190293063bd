"""Exposure of people to noise and air pollution: limits, annoyance, disturbed sleep, and health functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cosim.core.arguments import shown
from cosim.core.errors import CosimError
from cosim.core.quantities import Array, Vector

ANNOYANCE_FROM_DB = 53.0
"""Lden from which annoyance is counted: WHO's guideline of 2018 for road traffic. [dB]"""
SLEEP_FROM_DB = 45.0
"""Lnight from which disturbed sleep is counted: WHO's guideline of 2018 for road traffic. [dB]"""


class Limit(NamedTuple):
    """A threshold of a long-term mean, its unit, and where it stands."""

    quantity: str
    value: float
    unit: str
    source: str


LIMITS: tuple[Limit, ...] = (
    Limit("NO2", 20.0, "µg/m³", "Directive (EU) 2024/2881, annex I, annual mean from 2030"),
    Limit("NO2", 40.0, "µg/m³", "Directive 2008/50/EC, annual mean until 2030"),
    Limit("PM2.5", 10.0, "µg/m³", "Directive (EU) 2024/2881, annex I, annual mean from 2030"),
    Limit("PM2.5", 25.0, "µg/m³", "Directive 2008/50/EC, annual mean until 2030"),
    Limit("Lden", 55.0, "dB", "Directive 2002/49/EC, lowest band reported; no limit of the EU"),
    Limit("Lden", 65.0, "dB", "band of Directive 2002/49/EC; no limit of the EU"),
    Limit("Lnight", 50.0, "dB", "Directive 2002/49/EC, lowest band reported; no limit of the EU"),
    Limit("Lnight", 55.0, "dB", "band of Directive 2002/49/EC; no limit of the EU"),
)


class ShortLimit(NamedTuple):
    """A threshold of hourly or daily means, and how often a year it may be exceeded."""

    quantity: str
    value: float
    hours: int
    permitted: int
    source: str


SHORT_LIMITS: tuple[ShortLimit, ...] = (
    ShortLimit(
        "NO2", 200.0, 1, 3, "Directive (EU) 2024/2881, annex I, from 2030; 18 by Directive 2008/50/EC until then"
    ),
    ShortLimit("NO2", 50.0, 24, 18, "Directive (EU) 2024/2881, annex I, from 2030"),
    ShortLimit("PM10", 45.0, 24, 18, "Directive (EU) 2024/2881, annex I, table 1, from 2030"),
    ShortLimit("PM2.5", 25.0, 24, 18, "Directive (EU) 2024/2881, annex I, table 1, from 2030"),
)

BANDS: dict[str, tuple[float, ...]] = {
    "NO2": (10.0, 20.0, 30.0, 40.0),
    "PM2.5": (5.0, 10.0, 15.0, 20.0, 25.0),
    "Lden": (55.0, 60.0, 65.0, 70.0, 75.0),
    "Lnight": (50.0, 55.0, 60.0, 65.0, 70.0),
}
"""Bounds between bands of exposure: of noise those of Directive 2002/49/EC, annex VI, of air every 10 or 5 µg/m³, which
hold WHO's guidelines and the limits of the EU."""

QUIET_FACADE_DB = 20.0
"""How much lower Lden is at a quiet façade than at the one with the highest value, as sound over roofs is not modelled.
[dB]

The bound of Directive 2002/49/EC, annex VI ("more than 20 dB lower"), as quoted by EEA Technical report 4/2014."""


@dataclass(frozen=True, slots=True)
class HealthFunction:
    """Relative risk for each ten units of a long-term exposure, with its 95 % interval.

    Attributes
    ----------
    outcome, quantity
        What it counts, and of which exposure.
    risk, low, high
        Relative risk per 10 µg/m³ or 10 dB, central and bounds of the interval.
    above
        Exposure below which no effect is counted.
    source
        Where the risk stands.
    """

    outcome: str
    quantity: str
    risk: float
    low: float
    high: float
    above: float
    source: str


HEALTH_FUNCTIONS: dict[str, HealthFunction] = {
    "PM2.5, WHO 2021": HealthFunction(
        "deaths of all natural causes, 30 years and older", "PM2.5", 1.08, 1.06, 1.09, 5.0,
        "review of Chen and Hoek for WHO's air quality guidelines of 2021, above the guideline as in EEA's assessments",
    ),
    "NO2, WHO 2021": HealthFunction(
        "deaths of all natural causes, 30 years and older", "NO2", 1.02, 1.01, 1.04, 10.0,
        "review of Huangfu and Atkinson for WHO's air quality guidelines of 2021, above the guideline as in EEA's "
        "assessments; not to be added to those of PM2.5",
    ),
    "PM2.5, HRAPIE": HealthFunction(
        "deaths of all natural causes, 30 years and older", "PM2.5", 1.062, 1.040, 1.083, 0.0, "WHO, HRAPIE, 2013"
    ),
    "Lden, WHO 2018": HealthFunction(
        "new cases of ischaemic heart disease", "Lden", 1.08, 1.01, 1.15, ANNOYANCE_FROM_DB,
        "van Kempen et al. 2018 for WHO; in Directive 2002/49/EC, annex III, by (EU) 2020/367",
    ),
}  # fmt: skip
"""Functions of published reviews, by name; none is applied unless asked for."""


def share_above(levels: npt.ArrayLike, people: npt.ArrayLike, limit: float) -> float:
    """Return the share of people whose level is above a limit; nan without people.

    Parameters
    ----------
    levels, people : shape (n,)
        Level at each façade, and how many people live there.

    Raises
    ------
    CosimError
        If shapes differ, or if a number of people is negative or not finite.

    Examples
    --------
    >>> share_above([40.0, 41.0, 60.0], [5.0, 1.0, 2.0], 40.0)
    0.375
    """
    value, count = _residents(levels, people)
    total = float(count.sum())
    return float(count[value > limit].sum()) / total if total else float("nan")


def residents_by_band(levels: npt.ArrayLike, people: npt.ArrayLike, bounds: Sequence[float]) -> Vector:
    """Return how many people live in each band of levels, one more than there are bounds; a bound is in the upper one.

    Parameters
    ----------
    levels, people : shape (n,)
        Level at each façade, and how many people live there.
    bounds
        Between the bands, in ascending order.

    Examples
    --------
    >>> residents_by_band([52.0, 55.0, 61.0], [5.0, 1.0, 2.0], [55.0, 60.0]).tolist()
    [5.0, 1.0, 2.0]
    """
    value, count = _residents(levels, people)
    return np.asarray(np.bincount(np.searchsorted(bounds, value, side="right"), count, len(bounds) + 1), float)


def median_shares(levels: npt.ArrayLike) -> Vector:
    """Return the share of a building's residents at each of its receiver points, by the median rule.

    Of points evenly around the façades, the louder half has all residents alike: for dwellings that have more than one
    façade, or of which that is unknown. Of an odd number, the quietest point is left out first.

    Parameters
    ----------
    levels : shape (n,)
        Level at each point; of equal levels, the first counts as louder. [dB]

    Raises
    ------
    CosimError
        If a level is missing.

    References
    ----------
    .. [1] Directive 2002/49/EC, annex II, 2.8, by Delegated Directive (EU) 2021/1226.

    Examples
    --------
    >>> median_shares([70.0, 50.0, 68.0, 49.0, 66.0]).tolist()
    [0.5, 0.0, 0.5, 0.0, 0.0]
    >>> median_shares([60.0]).tolist()
    [1.0]
    """
    value = np.asarray(levels, float)
    if np.isnan(value).any():
        raise CosimError("a level is missing (nan): give the level of every receiver point")
    half = max(len(value) // 2, 1)
    shares = np.zeros(len(value))
    shares[np.argsort(-value, kind="stable")[:half]] = 1.0 / half
    return shares


def highly_annoyed(lden: npt.ArrayLike, above: float = ANNOYANCE_FROM_DB) -> Array:
    """Return the share of people highly annoyed by road noise; 0 below the level from which it is counted.

    References
    ----------
    .. [1] Directive 2002/49/EC, annex III, by Directive (EU) 2020/367.

    Examples
    --------
    >>> (100 * highly_annoyed([50.0, 57.5, 67.5])).round(3).tolist()
    [0.0, 12.819, 24.407]
    """
    level = np.asarray(lden, float)
    heard = np.maximum(level, above)
    return np.where(level < above, 0.0, (78.9270 - 3.1162 * heard + 0.0342 * heard**2) / 100.0)


def highly_sleep_disturbed(lnight: npt.ArrayLike, above: float = SLEEP_FROM_DB) -> Array:
    """Return the share of people whose sleep road noise disturbs highly; 0 below the level from which it is counted.

    References
    ----------
    .. [1] Directive 2002/49/EC, annex III, by Directive (EU) 2020/367.

    Examples
    --------
    >>> (100 * highly_sleep_disturbed([40.0, 52.5])).round(3).tolist()
    [0.0, 5.146]
    """
    level = np.asarray(lnight, float)
    heard = np.maximum(level, above)
    return np.where(level < above, 0.0, (19.4312 - 0.9336 * heard + 0.0126 * heard**2) / 100.0)


def attributable(
    function: HealthFunction, exposure: npt.ArrayLike, people: npt.ArrayLike, incidence: float
) -> tuple[float, float, float]:
    """Return the cases that a long-term exposure causes: central, and the bounds of the function's interval.

    The attributable fraction is that of the whole population, sum of p (RR - 1) over 1 + sum of p (RR - 1).

    Parameters
    ----------
    function
        One of `HEALTH_FUNCTIONS`, or a user's own.
    exposure, people : shape (n,)
        Annual mean at each façade, and how many people of the function's age live there.
    incidence
        Cases or deaths of all causes, for each person and year. [1]

    Raises
    ------
    CosimError
        If the incidence is not from 0 to 1, or as in `share_above`.

    References
    ----------
    .. [1] Directive 2002/49/EC, annex III, by Directive (EU) 2020/367.
    """
    value, count = _residents(exposure, people)
    if not 0 <= incidence <= 1:
        raise CosimError(f"incidence is {shown(incidence)}: give cases for each person and year, from 0 to 1")
    total = float(count.sum())
    if not total:
        return 0.0, 0.0, 0.0
    dose = np.maximum(np.where(np.isneginf(value), function.above, value) - function.above, 0.0) / 10.0

    def cases(risk: float) -> float:
        excess = float((count / total * (risk**dose - 1.0)).sum())
        return excess / (1.0 + excess) * incidence * total

    return cases(function.risk), cases(function.low), cases(function.high)


def _residents(levels: npt.ArrayLike, people: npt.ArrayLike) -> tuple[Vector, Vector]:
    value, count = np.asarray(levels, float), np.asarray(people, float)
    if value.shape != count.shape or value.ndim != 1:
        raise CosimError(f"levels {value.shape} and people {count.shape}: give one number of people for each level")
    if not (np.isfinite(count) & (count >= 0)).all():
        raise CosimError("a number of people is negative or not finite: give the residents of every façade")
    if np.isnan(value).any():
        raise CosimError("a level is missing (nan): give the level of every façade")
    return value, count
