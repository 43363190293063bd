"""The Dutch Standard Calculation Method 1 (SRM1): annual means along roads, as a check that shares nothing with OSPM.

C = C_background + F_k E θ(S) F_b 5/u with the annual traffic emission E, the annual mean wind u, the distance S to the
road's axis and the tree factor F_b (Regeling beoordeling luchtkwaliteit 2007, art. 71 and annex 1; RIVM briefrapport
2014-0127). The coefficients are those in which two published programs of the method and Tygron's documentation of it
agree; annex 1 itself was not seen. Not valid behind buildings, near screens and tunnels, and for raised or sunk roads.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cosim.core.errors import CosimError
from cosim.core.quantities import Array, Indices

CALIBRATION, REFERENCE_WIND = 0.62, 5.0
NEAREST, FARTHEST = 3.5, 60.0
TREE_FACTORS = (1.0, 1.25, 1.5)
"""Hardly any trees; a row of trees; a closed roof of trees over the street."""
TYPES = ("wide canyon", "narrow canyon", "one side", "other")
_NEAR = np.array(
    [[3.25e-4, -2.05e-2, 0.39], [4.88e-4, -3.08e-2, 0.59], [5.00e-4, -3.16e-2, 0.57], [3.10e-4, -1.82e-2, 0.33]]
)
_FAR = np.array([0.856, 0.0, 0.0, 0.799])
_EXPONENT, _FAR_FROM = -0.747, 30.0
_NO2_YIELD, _HALF_NOX = 0.6, 100.0


def street_types(width: npt.ArrayLike, height: Array) -> Indices:
    """Return the street type, an index into `TYPES`, by width over twice the height of the buildings.

    Below 1.5 a narrow, below 3 a wide canyon, otherwise none; with buildings on one side, whose wall is nearer to the
    axis than three heights, the type "one side".

    Parameters
    ----------
    width : shape (n_streets,)
        Between façades. [m]
    height : shape (n_streets, 2)
        Of the buildings on either side; 0 where it is open. [m]
    """
    low, high = height.min(axis=1), height.max(axis=1)
    with np.errstate(divide="ignore"):
        ratio = np.asarray(width, float)[:, None] / (2.0 * np.stack([low, high], axis=1))
    return np.where(ratio[:, 0] < 1.5, 1, np.where(ratio[:, 0] < 3.0, 0, np.where(ratio[:, 1] < 3.0, 2, 3)))


def dilution(street_type: npt.ArrayLike, distance: npt.ArrayLike) -> Array:
    """Return θ(S): concentration over emission at a distance from the axis, at 5 m/s and before calibration. [s/m²]

    Examples
    --------
    >>> dilution(1, [5, 10, 30]).round(4)
    array([0.4482, 0.3308, 0.1052])
    """
    kind, s = np.asarray(street_type), np.maximum(np.asarray(distance, float), NEAREST)
    a, b, c = np.moveaxis(_NEAR[kind], -1, 0)
    far = np.where(s <= FARTHEST, _FAR[kind] * s**_EXPONENT, 0.0)
    return np.where(s <= _FAR_FROM, (a * s + b) * s + c, far)


def increments(
    emission: npt.ArrayLike,
    street_type: npt.ArrayLike,
    distance: npt.ArrayLike,
    wind: float,
    *,
    tree_factor: npt.ArrayLike = 1.0,
) -> Array:
    """Return the annual mean concentration that the traffic of a street adds, in the unit of ``emission`` per metre.

    Parameters
    ----------
    emission
        Annual mean emission per metre of street, e.g. in µg/(m s).
    street_type
        Index into `TYPES`.
    distance
        From the axis. [m]
    wind
        Annual mean wind. [m/s]
    tree_factor
        One of `TREE_FACTORS`.

    Raises
    ------
    CosimError
        If there is no wind.
    """
    if not (np.isfinite(wind) and wind > 0):
        raise CosimError(f"the annual mean wind is {wind} m/s: SRM1 divides by it, give a positive one")
    trees = np.asarray(tree_factor, float)
    found = CALIBRATION * np.asarray(emission, float) * dilution(street_type, distance) * trees
    return np.asarray(found * REFERENCE_WIND / wind)


def no2_increments(nox: npt.ArrayLike, primary_share: npt.ArrayLike, background_o3: npt.ArrayLike) -> Array:
    """Return the annual mean NO2 that traffic adds, from the NOx that it adds. [µg/m³]"""
    total, f = np.asarray(nox, float), np.asarray(primary_share, float)
    later = total * (1.0 - f)
    return np.asarray(f * total + _NO2_YIELD * np.asarray(background_o3, float) * later / (later + _HALF_NOX))
