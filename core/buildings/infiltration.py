"""Infiltration that follows wind and buoyancy."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cosim.core.errors import CosimError
from cosim.core.quantities import Array

STACK = (0.000145, 0.000290, 0.000435)
"""Of houses of one, two, and three and more storeys. [(L/s)²/(cm⁴ K)]"""
WIND = {
    1: (0.000319, 0.000420, 0.000494),
    2: (0.000246, 0.000325, 0.000382),
    3: (0.000174, 0.000231, 0.000271),
    4: (0.000104, 0.000137, 0.000161),
    5: (0.000032, 0.000042, 0.000049),
}
"""By shelter class, from no obstructions (1) to buildings immediately adjacent (5). [(L/s)²/(cm⁴ (m/s)²)]"""
REFERENCE_RISE, REFERENCE_WIND = 15.0, 3.0
"""Temperature of the room above outdoors [K] and wind [m/s] at which a building has the infiltration of its type: a
heating season's, an assumption."""


def infiltration_factor(
    rise: npt.ArrayLike, wind: npt.ArrayLike, storeys: npt.ArrayLike, shelter: npt.ArrayLike
) -> Array:
    """Return infiltration over that at `REFERENCE_RISE` and `REFERENCE_WIND`. [1]

    Parameters
    ----------
    rise
        Temperature of the room above outdoors. [K]
    wind
        At the weather station. [m/s]
    storeys, shelter
        Number of storeys, and shelter class from 1 to 5.

    Raises
    ------
    CosimError
        If a shelter class is unknown.

    References
    ----------
    .. [1] Sherman, Grimsrud, Infiltration-pressurization correlation: simplified physical modeling, ASHRAE Transactions
       86(2), 1980; coefficients of the basic model of the ASHRAE Handbook of Fundamentals 2005, chapter 27, as in
       EnergyPlus' Input Output Reference, "ZoneInfiltration:EffectiveLeakageArea". For more than three storeys those
       of three are taken.

    Examples
    --------
    >>> infiltration_factor([15.0, 0.0, 30.0], [3.0, 3.0, 3.0], 3, 4).round(3).tolist()
    [1.0, 0.426, 1.348]
    """
    kind = np.asarray(shelter)
    if not np.isin(kind, list(WIND)).all():
        raise CosimError(f"shelter classes are {np.unique(kind).tolist()}: they must be from 1 to 5")
    row = (np.clip(np.asarray(storeys, float), 1, len(STACK)) - 1).astype(int)
    stack, by_wind = np.array(STACK)[row], np.array(list(WIND.values()))[kind.astype(int) - 1, row]

    def squared(difference: npt.ArrayLike, speed: npt.ArrayLike) -> Array:
        return np.asarray(stack * np.abs(np.asarray(difference, float)) + by_wind * np.square(np.asarray(speed, float)))

    return np.asarray(np.sqrt(squared(rise, wind) / squared(REFERENCE_RISE, REFERENCE_WIND)))
