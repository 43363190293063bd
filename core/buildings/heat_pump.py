"""Electricity demand of heat pumps at any load, source and sink temperature."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from cosim.core.errors import CosimError, InputFileError
from cosim.core.quantities import Flags, Vector

LIFT_RANGE = (15.0, 60.0)  # K, range of validity of the fits by lift
CYCLING = 0.9  # degradation coefficient Cc of EN 14825, default for water-based units that cycle
LEAST_SHARE = 0.3  # assumption: lowest share of its capacity at which an inverter keeps running
LEAST_COP = 1.0  # that of the resistance heater, as a lower bound
# Assumption: most frost forms at 2 °C and costs a tenth of the heat; none above 7 °C (dry coil) or below -10 °C
# (dry air). Linear in between.
FROST_AT, FROST_SHARE = (-10.0, 2.0, 7.0), (0.0, 0.1, 0.0)


class CopCurve(Protocol):
    """Coefficient of performance at full load, without frost."""

    def __call__(self, sink: npt.ArrayLike, source: npt.ArrayLike) -> Vector:
        """Return the COP for water heated to ``sink`` from a ``source``. [°C]"""
        ...


@dataclass(frozen=True)
class LiftCurve:
    """COP as a parabola in the lift, which is clipped to the fitted 15 to 60 K.

    Parameters
    ----------
    ground : shape (n,) or scalar
        Whether the source is the ground rather than the air.

    References
    ----------
    .. [1] Staffell et al. (2012), A review of domestic heat pumps, Energy Environ. Sci. 5, 9291.

    Examples
    --------
    >>> float(LiftCurve(False)(45.0, 5.0).round(3)), float(LiftCurve(True)(35.0, 10.0).round(3))
    (2.978, 5.479)
    """

    ground: Flags | bool

    def __call__(self, sink: npt.ArrayLike, source: npt.ArrayLike) -> Vector:
        """Return the COP."""
        lift = np.clip(np.asarray(sink, float) - np.asarray(source, float), *LIFT_RANGE)
        air, ground = 6.81 - 0.121 * lift + 0.00063 * lift**2, 8.77 - 0.150 * lift + 0.000734 * lift**2
        return np.asarray(np.where(self.ground, ground, air), dtype=np.float64)


@dataclass(frozen=True)
class FittedCurve:
    """COP of a measured model, p1 · source + p2 · sink + p3 + p4 · outdoor, in hplib's form for air sources.

    References
    ----------
    .. [1] Tjaden, Hoops, Rösken, hplib: heat pump library, doi:10.5281/zenodo.5521597.
    """

    p1: float
    p2: float
    p3: float
    p4: float

    def __call__(self, sink: npt.ArrayLike, source: npt.ArrayLike) -> Vector:
        """Return the COP; the source temperature is also taken as the outdoor temperature."""
        source = np.asarray(source, float)
        cop = self.p1 * source + self.p2 * np.asarray(sink, float) + self.p3 + self.p4 * source
        return np.asarray(np.maximum(cop, LEAST_COP), dtype=np.float64)


def read_hplib(path: Path, model: str) -> tuple[FittedCurve, float]:
    """Read a model's curve and its heat output at the reference point [W] from hplib's table.

    Raises
    ------
    InputFileError
        If the file cannot be read, the model is unknown, or its figures are not numbers.
    """
    try:
        rows = list(csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines()))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputFileError(f"cannot read heat pumps from {path}: {error}") from error
    mine = [row for row in rows if (row.get("Model") or "").strip() == model.strip()]
    if not mine:
        raise InputFileError(f"{path}: unknown model {model!r}: write it as in the column Model")
    columns = ("p1_COP [-]", "p2_COP [-]", "p3_COP [-]", "p4_COP [-]", "P_th_h_ref [W]")
    try:
        values = [float(mine[0][column]) for column in columns]
    except (KeyError, TypeError, ValueError) as error:
        raise InputFileError(f"{path}, model {model!r}: {', '.join(columns)} must be numbers") from error
    if not (np.isfinite(values).all() and values[4] > 0):
        raise InputFileError(f"{path}, model {model!r} has figures {values}: they must be finite, the heat positive")
    return FittedCurve(*values[:4]), values[4]


def frost_loss(outdoor: npt.ArrayLike) -> Vector:
    """Return the share of an air-source unit's heat that defrosting takes. [1]"""
    return np.asarray(np.interp(np.asarray(outdoor, float), FROST_AT, FROST_SHARE), dtype=np.float64)


@dataclass(frozen=True)
class HeatPumpUnits:
    """Inverter-driven heat pumps, shape (n,) each.

    Between least and full capacity they run steadily at the curve's COP. Below, they cycle: with the load
    x = heat / least heat the COP falls by x / (Cc x + 1 − Cc) [1]_, so that the power, (Cc heat + (1 − Cc) least) /
    COP, is linear in the heat and a power cap converts exactly into heat.

    Parameters
    ----------
    capacity
        Maximum heat output, 0 for no heat pump. [W]
    curve
        COP at full load.
    ground
        Whether the source is the ground, which excludes frost.

    References
    ----------
    .. [1] EN 14825:2018, part-load COP of units that cycle.
    """

    capacity: Vector
    curve: CopCurve
    ground: Flags
    least_share: float = LEAST_SHARE

    def __post_init__(self) -> None:
        good = np.isfinite(self.capacity) & (self.capacity >= 0)
        if not good.all():
            first = int(np.argmin(good))
            raise CosimError(f"heat pump {first} has a capacity of {self.capacity[first]} W: it must not be negative")
        if not 0 <= self.least_share <= 1:
            raise CosimError(f"the least share of heat pumps is {self.least_share}: it must be from 0 to 1")

    def cop(self, sink: npt.ArrayLike, source: npt.ArrayLike, outdoor: npt.ArrayLike) -> Vector:
        """Return the COP at steady load, reduced by frost losses, at least 1."""
        frost = np.where(self.ground, 0.0, frost_loss(outdoor))
        return np.asarray(np.maximum(self.curve(sink, source) * (1 - frost), LEAST_COP))

    def power(self, heat: Vector, cop: Vector) -> Vector:
        """Return the electric power for this mean heat output. [W]"""
        least = self.least_share * self.capacity
        cycling = CYCLING * heat + (1 - CYCLING) * least
        return np.asarray(np.where(heat > 0, np.where(heat < least, cycling, heat), 0.0) / cop)

    def heat(self, power: Vector, cop: Vector) -> Vector:
        """Return the maximum heat output at this mean electric power. [W]"""
        least, steady = self.least_share * self.capacity, power * cop
        cycling = (steady - (1 - CYCLING) * least) / CYCLING
        return np.asarray(np.clip(np.where(steady < least, cycling, steady), 0.0, self.capacity))


def sources(kinds: Sequence[str]) -> Flags:
    """Return whether each source, 'air' or 'ground', is the ground."""
    unknown = sorted(set(kinds) - {"air", "ground"})
    if unknown:
        raise CosimError(f"unknown source of heat pumps {unknown[0]!r}: it must be 'air' or 'ground'")
    return np.array([kind == "ground" for kind in kinds], dtype=bool)
