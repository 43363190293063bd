"""The dwellings of a city's residential buildings: TABULA types by country, size and year, and residents."""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from cosim.core import CosimError
from cosim.scenarios.buildings.premises import Premises
from cosim.scenarios.buildings.stock import TANK, Stock, make_stock
from cosim.scenarios.buildings.tabula import TabulaType, tabula_types

from .countries import Figures
from .uses import HOME, NOTHING

STAND_INS = {
    "FI": "SE", "EE": "PL", "LV": "PL", "LT": "PL", "SK": "CZ", "CH": "AT", "LI": "AT", "LU": "BE", "PT": "ES",
    "AD": "ES", "HR": "SI", "BA": "RS", "ME": "RS", "MK": "RS", "AL": "GR", "RO": "BG", "MT": "IT", "SM": "IT",
    "MC": "FR", "IS": "NO", "TR": "GR", "UA": "PL",
}  # fmt: skip
"""Countries without types in TABULA, each with a neighbour of similar climate; all others: Germany. Assumption."""

_OTHER_SIZES = {
    "SFH": ("TH", "MFH", "AB"),
    "TH": ("SFH", "MFH", "AB"),
    "MFH": ("AB", "TH", "SFH"),
    "AB": ("MFH", "TH", "SFH"),
}


def type_country(country: str) -> str:
    """Return the country whose TABULA types a country's buildings have.

    Examples
    --------
    >>> type_country("DE"), type_country("FI"), type_country("US")
    ('DE', 'SE', 'DE')
    """
    own = {code.partition(".")[0] for code, _ in tabula_types()}
    return country if country in own else STAND_INS.get(country, "DE")


@cache
def type_code(country: str, size: str, year: int) -> str:
    """Return the TABULA code of a country's buildings of a size and year; a size without types takes the next one.

    Examples
    --------
    >>> type_code("ES", "AB", 1890), type_code("DE", "SFH", 1955)
    ('ES.ME.AB.01', 'DE.N.SFH.04')
    """
    own = type_country(country)
    kinds = [t for (code, level), t in tabula_types().items() if level == 1 and code.startswith(f"{own}.")]
    for wanted in (size, *_OTHER_SIZES[size]):
        fitting = [t for t in kinds if f".{wanted}." in t.type]
        if fitting:
            return min(fitting, key=lambda t: (_years_off(t, year), t.type)).type
    raise CosimError(f"TABULA has no residential types of {own}: give another --country")


def _years_off(kind: TabulaType, year: int) -> int:
    return max(kind.first_year - year, year - kind.last_year, 0)


def settle_homes(
    buildings: pd.DataFrame,
    country: Figures,
    *,
    level: int = 1,
    heat_pump_share: float = 0.0,
    design_outdoor: float = 0.0,
    seed: int = 0,
) -> tuple[pd.DataFrame, Stock]:
    """Return the residential buildings with their residents, and their stock in the same order.

    Parameters
    ----------
    buildings
        As returned by `buildings.build_buildings`.
    country
        Figures of the country, for the size of households and the dwellings in which nobody lives.
    level
        TABULA refurbishment level.
    heat_pump_share
        Chance of each building to have heat pumps.
    design_outdoor
        Outdoor temperature that heating is sized for. [°C]
    seed
        Seed of the draws.
    """
    homes = buildings[(buildings["use"] == HOME) & (buildings["home_m2"] > 0)]
    if not len(homes):
        raise CosimError("nobody lives in the city: no building is residential and as large as a dwelling")
    codes = [type_code(country.country, size, int(year)) for size, year in zip(homes["size_class"], homes["year"])]
    attached = homes["attached"].clip(upper=3).to_numpy(float)
    stock = make_stock(
        [str(label) for label in homes.index],
        codes,
        homes["home_m2"].to_numpy(float),
        np.maximum(homes["storeys"].to_numpy(float), 1.0),
        attached,
        homes["azimuth_deg"].to_numpy(float),
        level,
        facade_length=np.array(homes["facade_m"].to_list(), float),
        heat_pump_share=heat_pump_share,
        design_outdoor=design_outdoor,
        seed=seed,
    )
    known = homes["dwellings"].to_numpy(float)
    dwellings = np.where(known > 0, known, stock.dwellings)
    dwellings = np.where(homes["size_class"].isin(["SFH", "TH"]) & (known == 0), 1.0, dwellings)
    stock = dataclasses.replace(stock, dwellings=dwellings, tank_volume=TANK * dwellings)
    sites = homes.assign(
        persons=dwellings * country.occupied * country.persons,
        attached=attached,
        block=homes["edge"],
        frontage_m=np.sqrt(homes["area_m2"]),
        depth_m=np.sqrt(homes["area_m2"]),
        party_wall_m=0.0,
        footprint=[largest(shape) for shape in homes["footprint"]],
    )
    return sites.rename_axis("site"), stock


def largest(shape: Any) -> Any:
    """Return the largest polygon of an outline."""
    return max(getattr(shape, "geoms", [shape]), key=lambda part: part.area)


def premises_of(buildings: pd.DataFrame) -> tuple[pd.DataFrame, Premises]:
    """Return buildings without dwellings and the shops in residential ones: ``x``, ``y``, ``load_w``, ``footprint``."""
    whole = buildings[~buildings["use"].isin([HOME, NOTHING])]
    rows = [
        (str(label), row.use, row.floor_m2, row.x, row.y, largest(row.footprint), str(label))
        for label, row in whole.iterrows()
    ]
    for label, row in buildings[buildings["shop_m2"] > 0].iterrows():
        uses = row["shops"].split(";")
        for use in dict.fromkeys(uses):
            area = row["shop_m2"] * uses.count(use) / len(uses)
            rows.append((f"{label} {use}", use, area, row["x"], row["y"], None, str(label)))
    columns = ["premises", "use", "floor_m2", "x", "y", "footprint", "building"]
    numbers = dict.fromkeys(("floor_m2", "x", "y"), float)
    table = pd.DataFrame(rows, columns=columns).astype(numbers).set_index("premises")
    found = Premises(
        tuple(str(label) for label in table.index), tuple(table["use"]), table["floor_m2"].to_numpy(np.float64)
    )
    return table.assign(load_w=found.design_load), found
