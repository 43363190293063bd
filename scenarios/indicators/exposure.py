"""What residents are exposed to at the façades of their buildings."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import shapely

from cosim import CosimError, Result
from cosim.core import units
from cosim.core.arguments import shown
from cosim.core.environment.exposure import (
    LIMITS,
    QUIET_FACADE_DB,
    highly_annoyed,
    highly_sleep_disturbed,
    median_shares,
)
from cosim.core.environment.noise_levels import noise_indicators
from cosim.results.days import by_hour
from cosim.scenarios.environment.model import Environment
from cosim.scenarios.environment.receivers import QUIET, receivers
from cosim.scenarios.model import City
from cosim.scenarios.parts import PERSONS_PER_DWELLING

NOISE = "environment.noise"
AIR: Mapping[str, str] = {"NO2": "environment.no2", "PM2.5": "environment.pm25"}
"""Pollutant → port with its concentration at façades."""
LEVELS = ("Lden", "Lnight")
UNITS = {"NO2": "µg NO2", "PM2.5": "µg PM2.5", "Lden": "dB Lden", "Lnight": "dB Lnight"}


def exposure_of_residents(
    result: Result, city: City, annual: Mapping[str, pd.Series[float]] | None = None
) -> pd.DataFrame:
    """Return how many residents of each building are exposed to what; nan on streets that are not assessed.

    Air is that of the street in front of the building. Noise has a row for each street or courtyard that the building
    looks onto: all residents are assigned to the louder half of its receiver points (`median_shares`).

    Parameters
    ----------
    result, city
        A run of the city.
    annual
        Annual means by façade, by pollutant, instead of the run's. [µg/m³]

    Returns
    -------
    Index ``site``; ``persons``, ``one_sided``, which spreads the residents evenly over all receiver points, as if every
    dwelling looked to one side only, and of those that the run has, ``NO2`` and ``PM2.5`` [µg/m³], ``Lden`` and
    ``Lnight`` [dB(A)]. Empty if the run has none.
    """
    air: dict[str, pd.Series[float]] = {
        name: result.series(port).mean() * units.factor(result.provenance["outputs"][port]["unit"], "µg/m^3")
        for name, port in AIR.items()
        if port in result.ports and annual is None
    }
    air |= annual or {}
    levels = _noise_by_facade(result)
    if not (air or levels):
        return pd.DataFrame()
    in_front = facade_of(city, list(next(iter((air or levels).values())).index)).reindex(city.sites.index)
    people = residents(city)
    table = _rows(city, people, in_front, levels) if levels else pd.DataFrame({"persons": people, "one_sided": people})
    for name, values in air.items():
        table.insert(2, name, values.reindex(in_front.reindex(table.index)).to_numpy())
    return table


def _rows(
    city: City, people: pd.Series[float], in_front: pd.Series[str], levels: Mapping[str, pd.Series[float]]
) -> pd.DataFrame:
    """Return residents and levels by building and façade; without known outlines by the façade in front."""
    made = city.sectors.get("environment")
    points = pd.DataFrame({"site": [], "facade": []}, dtype=object)
    if isinstance(made, Environment) and "footprint" in city.sites:
        points = receivers(list(city.sites.index), list(city.sites["footprint"]), made.streets)
        points = points[(points["facade"] == QUIET) | points["facade"].isin(levels["Lden"].index)]
    street = points[points["facade"] != QUIET]
    points = points[points["site"].isin(street["site"])]
    others = in_front[~in_front.index.isin(points["site"])]
    points = pd.concat([points, pd.DataFrame({"site": others.index, "facade": others.to_numpy()})], ignore_index=True)
    building = points["site"]
    for name, values in levels.items():
        found = values.reindex(points["facade"]).set_axis(points.index)
        quiet = found.groupby(building).transform("max") - QUIET_FACADE_DB
        points[name] = found.where(points["facade"] != QUIET, quiet)
    shares = points["Lden"].fillna(-np.inf).groupby(building).transform(median_shares)
    living = people.reindex(building).to_numpy()
    points.insert(2, "persons", living * shares)
    points.insert(3, "one_sided", living / points.groupby("site")["facade"].transform("size"))
    rows = points.groupby(["site", "facade"], sort=False, dropna=False)
    table = rows.agg({"persons": "sum", "one_sided": "sum"} | dict.fromkeys(levels, "first"))
    return table.reset_index("facade", drop=True)


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
    exposed = exposure_of_residents(result, city)
    if exposed.empty:
        return exposed
    people = exposed["persons"]
    columns = {"residents": people}
    for limit in LIMITS:
        if limit.quantity in exposed:
            name = f"residents above {limit.value:g} {UNITS[limit.quantity]}"
            columns[name] = people * (exposed[limit.quantity] > limit.value)
    if "Lden" in exposed:
        columns["highly annoyed by noise"] = people * highly_annoyed(exposed["Lden"])
        columns["sleep highly disturbed by noise"] = people * highly_sleep_disturbed(exposed["Lnight"])
    cells = np.floor(city.sites.loc[exposed.index, ["x", "y"]].to_numpy(float) / side_m).astype(int)
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
    return {name: pd.Series(value, energies.columns) for name, value in zip(LEVELS, (found.den, found.night))}
