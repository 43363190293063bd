"""A country's registered cars by fuel and Euro standard, and their emission classes in SUMO."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from functools import cache
from importlib import resources

import numpy as np

from cosim.core import CosimError
from cosim.core.random import uniform

CLASSES = {
    ("petrol", 0): "PC_petrol_ECE-15_04", ("diesel", 0): "PC_diesel_conv",
    ("petrol", 6): "PC_petrol_Euro-6ab", ("diesel", 6): "PC_diesel_Euro-6ab",
}  # fmt: skip
"""SUMO's HBEFA 4 classes whose name is not just fuel and standard."""

_BEFORE_EURO_1 = r"ECE|AGV|conv|cat|PreEuro|_19\d\d-"


@cache
def car_fleet(country: str) -> dict[str, float]:
    """Return the shares of a country's cars by SUMO's emission class; they sum to 1.

    Raises
    ------
    CosimError
        If the table does not have the country.
    """
    text = resources.files("cosim.scenarios.mobility").joinpath("registrations.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))
    countries = {row["country"] for row in rows}
    if country not in countries:
        known = ", ".join(sorted(countries))
        raise CosimError(f"the table of car fleets has no country {country!r}: it has {known}")
    kinds = {
        kind: {row["name"]: float(row["cars"]) for row in rows if (row["country"], row["kind"]) == (country, kind)}
        for kind in ("fuel", "euro")
    }
    total = {kind: sum(cars.values()) for kind, cars in kinds.items()}
    return {
        "HBEFA4/" + CLASSES.get((fuel, int(euro)), f"PC_{fuel}_Euro-{euro}"): a / total["fuel"] * b / total["euro"]
        for fuel, a in kinds["fuel"].items()
        for euro, b in kinds["euro"].items()
    }


def draw_classes(country: str, seed: int, labels: Sequence[str]) -> list[str]:
    """Return an emission class for every car, drawn from the country's fleet, keyed by its label."""
    fleet = car_fleet(country)
    bounds = np.cumsum(list(fleet.values()))
    at = np.searchsorted(bounds / bounds[-1], uniform(seed, "car fleet", labels), side="right")
    return [list(fleet)[k] for k in at]


def euro_standard(emission_class: str) -> tuple[str, int] | None:
    """Return the fuel and Euro standard in the name of an emission class, 0 before Euro 1; None if it has none.

    Examples
    --------
    >>> euro_standard("HBEFA4/PC_diesel_Euro-6ab"), euro_standard("HBEFA3/PC_G_EU4"), euro_standard("HBEFA2/P_7_7")
    (('diesel', 6), ('petrol', 4), None)
    >>> euro_standard("HBEFA4/PC_petrol_ECE-15_04")
    ('petrol', 0)
    """
    found = re.search(r"(petrol|diesel|_G_|_D_)", emission_class)
    if found is None:
        return None
    standard = re.search(r"(?<!Pre)(?:Euro-|EU)(\d)", emission_class)
    if standard is None and not re.search(_BEFORE_EURO_1, emission_class):
        return None
    return ("petrol" if found[1] in ("petrol", "_G_") else "diesel"), int(standard[1]) if standard else 0
