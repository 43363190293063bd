"""Parts that every twin is assembled from: settled buildings, an electrified district, a SUMO configuration."""

from __future__ import annotations

import datetime as dt
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np
import pandas as pd

from cosim import Clock, CosimError
from cosim.adapters.weather import elsewhere, load
from cosim.core.random import uniform
from cosim.core.weather.days import DAY_NAMES, named_day
from cosim.core.weather.year import WeatherYear

from .buildings.premises import Premises
from .buildings.stock import TANK, Stock, make_stock
from .buildings.tabula import tabula_types
from .built import tables_built_once
from .grid.kept import grid_built_once
from .grid.synthesis import ServicePoint, SynthesizedGrid
from .streets.network import Net, street_graph

PERSONS_PER_DWELLING = 2.5
"""Average household of Barcelona, rounded; an assumption."""

SERVICES = {"retail": 0.30, "office": 0.38, "food": 0.08, "hotel": 0.08, "school": 0.10, "clinic": 0.06}
"""Share of the floor area without dwellings by use. An assumption; offices and shops use 65 % of the energy of services
in Spanish cities (Endesa and Deloitte, 2019)."""

YEAR = 2025
"""Year of a day that is chosen by name. An assumption: weather years have none."""

MESOSCOPIC = ("--mesosim", "true", "--meso-junction-control", "true")
"""Options of SUMO's queue model, with junctions and lights."""


def weather_and_day(weather: str, day: dt.date | str, seed: int | None = None) -> tuple[WeatherYear, dt.date]:
    """Return the weather and the date, which may be a day of that weather by name ("coldest", "hottest", "typical").

    The weather carries the figures of a day by name, which the run reports. With a seed it is the seed's year around
    the normals of the city.

    Raises
    ------
    CosimError
        If the weather is unknown, or the day neither a date nor a name.
    """
    year = _built_year(weather, seed)
    if day in DAY_NAMES:
        found = named_day(year, str(day))
        return replace(year, days=(*year.days, str(found))), dt.date(YEAR, found.month, found.day)
    try:
        return year, day if isinstance(day, dt.date) else dt.date.fromisoformat(day)
    except ValueError as error:
        raise CosimError(f"day is {day!r}: write it as '2025-01-15', or {', '.join(DAY_NAMES)}") from error


def _built_year(weather: str, seed: int | None) -> WeatherYear:
    """Return the weather of `load`, whose year of sun is computed once for each place and file."""
    names = [field.name for field in fields(WeatherYear)]
    made: list[WeatherYear] = []

    def build() -> dict[str, pd.DataFrame]:
        made.append(load(weather, seed))
        parts = {name: getattr(made[0], name) for name in names}
        hours = {name: value for name, value in parts.items() if isinstance(value, np.ndarray)}
        about = {name: value for name, value in parts.items() if name not in hours and value is not None}
        return {"hours": pd.DataFrame(hours), "about": pd.DataFrame({"json": [json.dumps(about, default=str)]})}

    is_file = os.access(weather, os.R_OK) and Path(weather).is_file()
    given = {"weather": weather, "file": Path(weather) if is_file else "", "seed": seed}
    tables = tables_built_once("weather year", given, ("hours", "about"), build)
    if made:
        return made[0]
    about = json.loads(tables["about"]["json"].iloc[0])
    about = {name: tuple(value) if isinstance(value, list) else value for name, value in about.items()}
    if "path" in about:
        about["path"] = Path(about["path"])
    return WeatherYear(**{name: column.to_numpy() for name, column in tables["hours"].items()}, **about)


def days_of(clock: Clock) -> tuple[list[dt.date], float]:
    """Return the dates that a run touches, and the time from the first one's midnight to its start. [s]

    Examples
    --------
    >>> dates, begin_s = days_of(Clock("2025-03-30T04:00", hours=20, zone="Europe/Madrid"))
    >>> len(dates), begin_s  # summer time skipped an hour before
    (1, 10800.0)
    """
    first = clock.civil(0)
    length_s = (clock.n_steps or 1) * clock.step_s
    last = clock.civil(length_s - min(clock.step_s, 1e-3)).date()
    midnight = dt.datetime.combine(first.date(), dt.time(), first.tzinfo)
    dates = [first.date() + dt.timedelta(k) for k in range((last - first.date()).days + 1)]
    return dates, (clock.start_utc - midnight.astimezone(dt.UTC)).total_seconds()


def check_place(year: WeatherYear, clock: Clock) -> None:
    """Refuse weather of a place that cannot lie in the clock's time zone.

    Raises
    ------
    CosimError
        If the place's solar time is hours from the zone's standard time.
    """
    if words := elsewhere(year, clock):
        raise CosimError(
            f"weather of {year.source}: {words}: pass the zone of that place (zone='America/Denver', say), or weather "
            "of the city"
        )


def settle(
    sites: pd.DataFrame,
    types: Sequence[tuple[str, float]],
    storeys: tuple[int, int],
    *,
    level: int,
    lived_in: float,
    heat_pump_share: float,
    design_outdoor: float,
    seed: int,
    cooling_share: float = 0.5,
    dwelling_m2: float | None = None,
    unheated: float = 0.0,
    resistance: float = 0.0,
) -> Stock:
    """Return a stock with storeys and TABULA types drawn for each site, keyed by its label.

    Parameters
    ----------
    sites
        As returned by `streets.building_sites`.
    types
        TABULA codes with their shares.
    storeys
        Lowest and highest number.
    level
        Refurbishment: 1 existing, 2 usual, 3 advanced.
    lived_in
        Share of the gross floor area that is dwellings.
    heat_pump_share
        Share of buildings heated by heat pumps, the others by gas.
    design_outdoor
        Outdoor temperature that heating is sized for. [°C]
    seed
        Seed of every draw.
    cooling_share
        Share of buildings with coolers.
    dwelling_m2
        Floor area of a dwelling, instead of that of its type. [m²] Its hot water stays that of its type's dwelling.
    unheated, resistance
        Shares of the buildings without heating, and with resistance heaters unless a heat pump replaces them.

    Raises
    ------
    CosimError
        If a type is unknown or a share is out of range.
    """
    labels = [str(site) for site in sites.index]
    bounds = np.cumsum([share for _, share in types])
    kinds = np.searchsorted(bounds / bounds[-1], uniform(seed, "building type", labels), side="right")
    low, high = storeys
    floors = low + np.floor(uniform(seed, "storeys", labels) * (high - low + 1))
    stock = make_stock(
        labels,
        [types[k][0] for k in kinds],
        sites["area_m2"].to_numpy(float) * floors * lived_in,
        floors,
        sites["attached"].to_numpy(float),
        sites["azimuth_deg"].to_numpy(float),
        level,
        heat_pump_share=heat_pump_share,
        cooling_share=cooling_share,
        design_outdoor=design_outdoor,
        seed=seed,
    ).with_old_heating(unheated, resistance, seed)
    if dwelling_m2 is None:
        return stock
    known = tabula_types()
    of_type = np.array([known[code, level].reference_area / known[code, level].dwellings for code in stock.types])
    return replace(
        stock,
        dwellings=np.maximum(1.0, np.round(stock.floor_area / dwelling_m2)),
        tank_volume=TANK * np.maximum(1.0, np.round(stock.floor_area / dwelling_m2)),
        hot_water_need=stock.hot_water_need * of_type / dwelling_m2,
    )


def electrify(
    net: Net,
    sites: pd.DataFrame,
    stock: Stock,
    chargers: pd.DataFrame,
    country: Any,
    premises: pd.DataFrame | None = None,
) -> SynthesizedGrid:
    """Build the grid that supplies buildings, charging stations and premises along the streets.

    Premises have ``x``, ``y`` [m] and ``load_w``, their largest load. [W]
    """
    at = dict(zip(map(str, sites.index), zip(sites["x"].tolist(), sites["y"].tolist())))
    services = [
        ServicePoint(site, float(x), float(y), dwellings=int(dwellings))
        for (site, (x, y)), dwellings in zip(at.items(), stock.dwellings, strict=True)
    ]
    for charger, site, *place, watts, points in chargers[["site", "x", "y", "power_w", "points"]].itertuples(name=None):
        x, y = at[str(site)] if site else place
        services.append(ServicePoint(str(charger), float(x), float(y), design_load_w=float(watts * points)))
    for label, x, y, load_w in premises[["x", "y", "load_w"]].itertuples(name=None) if premises is not None else ():
        services.append(ServicePoint(str(label), float(x), float(y), design_load_w=float(load_w)))
    return grid_built_once(street_graph(net), services, country=country)


def ground_floors(
    sites: pd.DataFrame, stock: Stock, uses: Mapping[str, float], share: float, lived_in: float, seed: int
) -> tuple[pd.DataFrame, Premises]:
    """Return shops, offices and the like in residential buildings, with one use a building, drawn by its label.

    Parameters
    ----------
    sites, stock
        The buildings.
    uses
        Share of the floor area by use, see `buildings.premises`.
    share, lived_in
        Share of the gross floor area that they have, and that is dwellings.
    seed
        Seed of the draw.

    Returns
    -------
    Table with ``x``, ``y`` [m] and ``load_w`` [W], and the premises, labelled ``<site> <use>``.
    """
    names, bounds = list(uses), np.cumsum(list(uses.values()))
    drawn = uniform(seed, "use of premises", [str(site) for site in sites.index])
    kinds = [names[int(k)] for k in np.searchsorted(bounds / bounds[-1], drawn, side="right")]
    labels = tuple(f"{site} {use}" for site, use in zip(sites.index, kinds, strict=True))
    area = stock.floor_area * share / lived_in
    found = Premises(labels, tuple(kinds), area) if share else Premises((), (), np.zeros(0))
    kept = sites if share else sites.iloc[:0]
    table = pd.DataFrame({"x": kept["x"], "y": kept["y"]}).set_axis(list(found.labels)).assign(load_w=found.design_load)
    return table, found


def shares_by_year(country: str, size: str, shares: dict[int, float]) -> list[tuple[str, float]]:
    """Return TABULA codes with shares, each of the type whose construction years include the given year.

    Examples
    --------
    >>> shares_by_year("ES", "AB", {1890: 0.4, 1930: 0.6})
    [('ES.ME.AB.01', 0.4), ('ES.ME.AB.02', 0.6)]
    """
    kinds = [t for (code, level), t in tabula_types().items() if level == 1 and code.startswith(f"{country}.")]
    found = []
    for year, share in shares.items():
        fitting = [t.type for t in kinds if f".{size}." in t.type and t.first_year <= year <= t.last_year]
        if not fitting:
            raise CosimError(f"TABULA has no type {size} of {country} built in {year}: give another year or size")
        found.append((fitting[0], share))
    return found


def write_configuration(
    path: Path, net: Path, routes: Sequence[Path], additional: Sequence[Path], begin_s: float = 0
) -> Path:
    """Write a SUMO configuration for generated files, named relative to its own folder."""

    def listed(paths: Sequence[Path]) -> str:
        return quoteattr(",".join(os.path.relpath(p, path.parent) for p in paths))

    path.write_text(
        f"<configuration>\n  <input>\n    <net-file value={listed([net])}/>\n"
        f"    <route-files value={listed(routes)}/>\n    <additional-files value={listed(additional)}/>\n  </input>\n"
        f'  <time><begin value="{begin_s:g}"/></time>\n  <report><no-step-log value="true"/></report>\n'
        "</configuration>\n",
        encoding="utf-8",
    )
    return path
