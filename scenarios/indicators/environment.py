"""Exposure of residents to noise and air pollution at the street façades of their buildings."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
import shapely

from cosim import CosimError, Indicator, Result
from cosim.core import units
from cosim.core.arguments import shown
from cosim.core.environment.exposure import (
    LIMITS,
    HealthFunction,
    attributable,
    highly_annoyed,
    highly_sleep_disturbed,
    share_above,
)
from cosim.core.environment.noise_levels import noise_indicators
from cosim.results.days import by_hour
from cosim.scenarios.model import City
from cosim.scenarios.parts import PERSONS_PER_DWELLING

NOISE = "environment.noise"
AIR: Mapping[str, str] = {"NO2": "environment.no2", "PM2.5": "environment.pm25"}
"""Pollutant → port with its concentration at façades."""
_LEVELS = ("Lden", "Lnight")
_UNITS = {"NO2": "µg NO2", "PM2.5": "µg PM2.5", "Lden": "dB Lden", "Lnight": "dB Lnight"}


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
    exposed = exposure_by_building(result, city, annual)
    if exposed.empty:
        return {}
    known = exposed.dropna(subset=[name for name in exposed if name != "persons"], how="all")
    left_out = len(exposed) - len(known)
    where = "at the street façade of their building"
    where += f"; without {left_out} buildings on no assessed street" if left_out else ""
    found: dict[str, Indicator] = {}
    for limit in LIMITS:
        if limit.quantity in exposed or (limit.quantity in _LEVELS and NOISE in result.ports):
            name = f"residents above {limit.value:g} {_UNITS[limit.quantity]}"
            found[name] = _share(known, limit.quantity, limit.value, f"share of residents, {where}; {limit.source}")
    for quantity, share_of, name in (
        ("Lden", highly_annoyed, "highly annoyed by noise"),
        ("Lnight", highly_sleep_disturbed, "sleep highly disturbed by noise"),
    ):
        if quantity in known:
            people = float((share_of(known[quantity]) * known["persons"]).sum())
            about = f"residents, from the {quantity} {where}, Directive 2002/49/EC, annex III"
            found[name] = Indicator(people, "persons", "lower", about)
    for name, (function, incidence, covered) in (city.sectors.get(HEALTH, {}) if health is None else health).items():
        if function.quantity not in _UNITS:
            raise CosimError(f"{name} needs {function.quantity}: write one of {', '.join(_UNITS)}")
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


def exposure_by_building(
    result: Result, city: City, annual: Mapping[str, pd.Series[float]] | None = None
) -> pd.DataFrame:
    """Return residents and what they are exposed to, by building; nan on streets that are not assessed.

    Parameters
    ----------
    result, city
        A run of the city.
    annual
        Annual means by façade, by pollutant, instead of the run's. [µg/m³]

    Returns
    -------
    Index ``site``; ``persons``, and of those that the run has, ``NO2`` and ``PM2.5`` [µg/m³], ``Lden`` and ``Lnight``
    [dB(A)]. Empty if the run has none.
    """
    columns: dict[str, pd.Series[float]] = {
        name: result.series(port).mean() * units.factor(result.provenance["outputs"][port]["unit"], "µg/m^3")
        for name, port in AIR.items()
        if port in result.ports and annual is None
    }
    columns |= annual or {}
    columns |= _noise_by_facade(result)
    if not columns:
        return pd.DataFrame()
    facade = facade_of(city, list(next(iter(columns.values())).index))
    table = pd.DataFrame({"persons": residents(city)})
    for name, values in columns.items():
        table[name] = values.reindex(facade.reindex(table.index)).to_numpy()
    return table


def exposure_by_cell(result: Result, city: City, side_m: float = 250.0) -> pd.DataFrame:
    """Return how many residents live above limits and are annoyed, by square cell; columns sum to the city.

    Parameters
    ----------
    result, city
        A run of the city.
    side_m
        Side of a cell. [m]

    Returns
    -------
    One row per cell with buildings, index ``column, row`` counted from the network's origin. [persons]

    Raises
    ------
    CosimError
        If the side is not positive.
    """
    if not side_m > 0:
        raise CosimError(f"the side of a cell is {side_m} m: it must be positive")
    exposed = exposure_by_building(result, city)
    if exposed.empty:
        return exposed
    people = exposed["persons"]
    columns = {"residents": people}
    for limit in LIMITS:
        if limit.quantity in exposed:
            name = f"residents above {limit.value:g} {_UNITS[limit.quantity]}"
            columns[name] = people * (exposed[limit.quantity] > limit.value)
    if "Lden" in exposed:
        columns["highly annoyed by noise"] = people * highly_annoyed(exposed["Lden"])
        columns["sleep highly disturbed by noise"] = people * highly_sleep_disturbed(exposed["Lnight"])
    cells = np.floor(city.sites[["x", "y"]].to_numpy(float) / side_m).astype(int)
    index = pd.MultiIndex.from_arrays(cells.T, names=["column", "row"])
    table = pd.DataFrame(columns).fillna(0.0).set_axis(index)
    return table.groupby(level=["column", "row"]).sum()


def residents(city: City) -> pd.Series[float]:
    """Return the residents of each building: those of the city's data, or of its dwellings. [persons]"""
    sites = city.sites
    if "persons" in sites:
        return sites["persons"].astype(float)
    dwellings = pd.Series(city.stock.dwellings, index=city.stock.ids).reindex(sites.index)
    return dwellings.fillna(0.0) * PERSONS_PER_DWELLING


def facade_of(city: City, facades: list[str]) -> pd.Series[str]:
    """Return the façade in front of each building, of those on streets that have façades; index ``site``.

    Façades are labelled by street and side, ``"edge|left"``, seen along that edge; a street has both directions.

    Raises
    ------
    CosimError
        If a façade's street is not in the network.
    """
    network = city.network
    row = {edge: k for k, edge in enumerate(network.labels)}
    streets = dict.fromkeys(label.rpartition("|")[0] for label in facades)
    if unknown := [street for street in streets if street not in row]:
        raise CosimError(f"façade of street {shown(unknown[0])}: the network has no such edge; label it 'edge|left'")
    between: dict[frozenset[str], list[str]] = {}
    for street in streets:
        nodes = frozenset((network.from_node[row[street]], network.to_node[row[street]]))
        between.setdefault(nodes, []).append(street)
    known = set(facades)
    found: dict[str, str] = {}
    for site, edge, x, y in city.sites[["edge", "x", "y"]].itertuples():
        if edge not in row:
            continue
        nodes = frozenset((network.from_node[row[edge]], network.to_node[row[edge]]))
        candidates = [edge] if edge in streets else between.get(nodes, [])
        if candidates:
            place = shapely.Point(x, y)
            street = min(candidates, key=lambda one: place.distance(shapely.LineString(network.shapes[row[one]])))
            label = f"{street}|{_side(network.shapes[row[street]], x, y)}"
            if label in known:
                found[str(site)] = label
    return pd.Series(found, dtype=object).rename_axis("site")


def _side(shape: np.ndarray, x: float, y: float) -> str:
    """Return the side of a line, seen along it, on which a point lies."""
    line, place = shapely.LineString(shape), shapely.Point(x, y)
    at = line.project(place)
    (ax, ay), (bx, by) = (line.interpolate(min(max(at + step, 0.0), line.length)).coords[0] for step in (-0.5, 0.5))
    return "left" if (bx - ax) * (y - ay) - (by - ay) * (x - ax) > 0 else "right"


def _noise_by_facade(result: Result) -> dict[str, pd.Series[float]]:
    """Return Lden and Lnight by façade if the run covers every hour of the day. [dB(A)]"""
    if NOISE not in result.ports:
        return {}
    energies = by_hour(result, NOISE)
    if energies.isna().any(axis=None):
        return {}
    found = noise_indicators(energies)
    return {name: pd.Series(value, energies.columns) for name, value in zip(_LEVELS, (found.den, found.night))}


def _share(exposed: pd.DataFrame, quantity: str, limit: float, about: str) -> Indicator:
    if quantity not in exposed:
        return Indicator(math.nan, "%", "lower", f"missing, as the run lacks hours of the day: {about}")
    levels = exposed[quantity].dropna()
    return Indicator(100 * share_above(levels, exposed["persons"].loc[levels.index], limit), "%", "lower", about)
