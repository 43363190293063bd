"""Electricity demand of split air conditioners at any load and outdoor temperature."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cosim.core.errors import CosimError
from cosim.core.quantities import Vector

ROOM, RATED_OUTDOOR = 27.0, 35.0  # °C, rating conditions of EN 14511
APPROACH = 30.0
"""Temperature differences at evaporator and condenser at full load, some 18 and 12 K together, an assumption. [K] They
are taken as proportional to the load, since an inverter's heat exchangers stay as large as they are."""
LEAST_LIFT = 14.0  # K between evaporator and condenser, assumption: valves and oil need some pressure
CYCLING = 0.25
"""Degradation coefficient of units that cycle, EN 14825:2012 for air conditioners (default)."""
LEAST_INVERTER = 0.25  # assumption: share of its capacity at which an inverter keeps running


@dataclass(frozen=True)
class CoolingUnits:
    """Split air conditioners, shape (n,) each.

    The energy efficiency ratio is in inverse proportion to the lift between evaporator and condenser, as the ideal
    machine's. A fixed-speed unit runs at full load or not at all, an inverter down to
    `LEAST_INVERTER` of its capacity; below, both cycle, which costs 0.25 (1 − part load) of the ratio [1]_.

    Parameters
    ----------
    capacity
        Maximum cooling, 0 for no unit. [W]
    rated
        Energy efficiency ratio at full load, 35 °C outdoors and 27 °C in the room. [1]
    least_share
        Share of the capacity at which the compressor keeps running: 1 for fixed speed. [1]

    References
    ----------
    .. [1] EN 14825:2012, part-load ratio of units that cycle.

    Examples
    --------
    >>> units = CoolingUnits(np.array([3000.0]), 3.2)
    >>> float(units.ratio(np.array([3000.0]), 35.0)[0]), round(float(units.ratio(np.array([1500.0]), 30.0)[0]), 3)
    (3.2, 3.224)
    """

    capacity: Vector
    rated: float
    least_share: float = 1.0

    def __post_init__(self) -> None:
        if not (self.rated > 0 and 0 < self.least_share <= 1):
            raise CosimError(
                f"air conditioners have a rated ratio of {self.rated} and run down to {self.least_share} of their "
                "capacity: the ratio must be positive, the share above 0 and at most 1"
            )

    def ratio(self, cooling: Vector, outdoor: npt.ArrayLike) -> Vector:
        """Return the energy efficiency ratio at this mean cooling. [1]"""
        share = np.divide(cooling, self.capacity, out=np.ones_like(self.capacity), where=self.capacity > 0)
        return self.ratio_at(share, outdoor)

    def ratio_at(self, share: Vector | float, outdoor: npt.ArrayLike) -> Vector:
        """Return the ratio at a share of the capacity."""
        runs = np.clip(share, self.least_share, 1.0)
        lift = np.maximum(np.asarray(outdoor, float) - ROOM + APPROACH * runs, LEAST_LIFT)
        steady = self.rated * (RATED_OUTDOOR - ROOM + APPROACH) / lift
        return np.asarray(steady * (1 - CYCLING * (1 - np.minimum(share / runs, 1.0))))

    def power(self, cooling: Vector, outdoor: npt.ArrayLike) -> Vector:
        """Return the electric power for this mean cooling. [W]"""
        return np.asarray(cooling / self.ratio(cooling, outdoor))

    def cooling(self, power: Vector, outdoor: npt.ArrayLike) -> Vector:
        """Return cooling that needs no more than this mean electric power, at most the capacity. [W]

        Where the power covers full load it is the capacity. Else it is that at the ratio of a unit that hardly runs,
        or of full load if that is lower: the least of all loads, so that a cap on power holds.
        """
        full, idle = self.ratio_at(1.0, outdoor), self.ratio_at(0.0, outdoor)
        covered = power * full >= self.capacity
        return np.asarray(np.where(covered, self.capacity, np.minimum(power * np.minimum(full, idle), self.capacity)))
