"""Buildings without dwellings: their use, electricity by opening hours, and fuel by outdoor temperature."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
import numpy.typing as npt

from cosim.core import CosimError
from cosim.core.quantities import HOUR_S, J_PER_KWH, Array, Indices

BASE_TEMPERATURE = 15.5
DEGREE_DAYS = 2021.0
HEATING_SHARE = 0.55
"""Base of the degree days [°C], degree days of a standard year [K d], and the share of the fossil benchmark that
follows them: CIBSE TM46:2008, appendix A1."""

_YEAR_H = 8760.0


@dataclass(frozen=True)
class Premises:
    """Offices, shops, schools and other buildings without dwellings; arrays have the shape (n_premises,).

    Attributes
    ----------
    labels, uses
        Name and use of each.
    floor_area
        Floor area of all storeys. [m²]
    """

    labels: tuple[str, ...]
    uses: tuple[str, ...]
    floor_area: Array

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.uses) - set(known_uses())):
            raise CosimError(f"unknown use {unknown[0]!r} of a building: give one of {', '.join(known_uses())}")
        if not len(self.labels) == len(self.uses) == len(self.floor_area) == len(set(self.labels)):
            raise CosimError("premises need a unique label, a use and a floor area each")
        if not (np.isfinite(self.floor_area) & (self.floor_area > 0)).all():
            raise CosimError("the floor area of premises must be finite and positive")

    @property
    def schedules(self) -> Array:
        """Electricity per floor area by use in a week's hours from Monday on, shape (n_uses, 168). [W/m²]"""
        return np.array([_week(use) for use in known_uses()])

    @property
    def use_index(self) -> Indices:
        """Row of `schedules` of each, shape (n_premises,)."""
        return np.array([known_uses().index(use) for use in self.uses], dtype=np.int64)

    @property
    def fuel_base(self) -> Array:
        """Fuel that does not depend on the weather, shape (n_premises,). [W]"""
        return self.floor_area * (1 - HEATING_SHARE) * self._fossil * J_PER_KWH / (_YEAR_H * HOUR_S)

    @property
    def fuel_per_kelvin(self) -> Array:
        """Fuel per degree that it is colder than 15.5 °C, shape (n_premises,). [W/K]"""
        return self.floor_area * HEATING_SHARE * self._fossil * J_PER_KWH / (DEGREE_DAYS * 24 * HOUR_S)

    @property
    def _fossil(self) -> Array:
        return np.array([float(_table()[use]["fossil"]) for use in self.uses])

    @property
    def design_load(self) -> Array:
        """Largest mean load of an hour, shape (n_premises,). [W]"""
        return np.asarray(self.schedules.max(axis=1)[self.use_index] * self.floor_area)


def known_uses() -> Sequence[str]:
    """Return the uses of the table, in its order."""
    return list(_table())


def _week(use: str) -> npt.NDArray[np.float64]:
    """Return the electricity of every hour of a week, whose mean is the annual benchmark. [W/m²]

    Examples
    --------
    >>> week = _week("office")  # 95 kWh/(m² a)
    >>> round(float(week.mean() * 8.76), 6), round(float(week[12]), 1), round(float(week[5 * 24 + 12]), 1)
    (95.0, 21.9, 5.5)
    """
    row = _table()[use]
    factor = np.full((7, 24), float(row["standby"]))
    for day in range(7):
        suffix = "" if day < 5 else "_saturday" if day == 5 else "_sunday"
        factor[day, int(row[f"open{suffix}"]) : int(row[f"close{suffix}"])] = 1.0
    return np.asarray(factor.ravel() / factor.mean() * float(row["electricity"]) / _YEAR_H * 1e3)  # kWh/a -> W


@cache
def _table() -> dict[str, dict[str, str]]:
    text = resources.files("cosim.scenarios.buildings").joinpath("premises.csv").read_text(encoding="utf-8")
    return {row["use"]: row for row in csv.DictReader(line for line in text.splitlines() if line[0] != "#")}
