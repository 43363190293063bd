"""Sound power of road traffic by RLS-19, Germany's guideline, for comparison, and its multiple reflections."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from cosim.core.arguments import shown
from cosim.core.errors import CosimError
from cosim.core.quantities import Array

_VEHICLES = {"car": (88.0, 20.0, 3.06), "truck1": (100.3, 40.0, 4.33), "truck2": (105.4, 50.0, 4.88)}
_MOST_REFLECTION_DB = 1.6


def vehicle_level(kind: str, speed: npt.ArrayLike) -> Array:
    """Return the sound power level of a vehicle at constant speed on the flat reference surface. [dB(A)]

    Parameters
    ----------
    kind
        ``"car"``, ``"truck1"`` (without trailer above 3.5 t, buses) or ``"truck2"`` (with trailer, articulated).
    speed
        Its speed. [km/h]

    Raises
    ------
    CosimError
        If the kind is unknown.

    References
    ----------
    .. [1] Richtlinien für den Lärmschutz an Straßen, RLS-19, 2019; coefficients as in the noise contribution of MATSim.

    Examples
    --------
    >>> float(vehicle_level("car", 40.0).round(4))
    97.7033
    """
    if kind not in _VEHICLES:
        raise CosimError(f"kind of vehicle is {shown(kind)}: write one of {', '.join(_VEHICLES)}")
    a, b, c = _VEHICLES[kind]
    return np.asarray(a + 10.0 * np.log10(1.0 + (np.asarray(speed, float) / b) ** c))[()]


def street_level(flow: Mapping[str, npt.ArrayLike], speed: Mapping[str, npt.ArrayLike]) -> Array:
    """Return the sound power level of a street per metre. [dB(A)]

    Parameters
    ----------
    flow, speed
        Vehicles per hour and their speed by kind, see `vehicle_level`. [1/h], [km/h]

    Examples
    --------
    >>> float(street_level({"car": 1800.0}, {"car": 40.0}).round(4))
    84.2355
    """
    power = [
        np.asarray(count, float) * 10 ** (vehicle_level(kind, speed[kind]) / 10) / np.asarray(speed[kind], float)
        for kind, count in flow.items()
    ]
    with np.errstate(divide="ignore"):
        return np.asarray(10.0 * np.log10(sum(power)) - 30.0)[()]


def multiple_reflection(height: npt.ArrayLike, width: npt.ArrayLike) -> Array:
    """Return how much reflections between the walls of a street raise its level: min(2 h/w, 1.6 dB). [dB]

    Parameters
    ----------
    height, width
        Height of the lower wall, and the distance of the walls; a height of 0 where a side is open. [m]

    Raises
    ------
    CosimError
        If a width is not positive or a height negative.

    References
    ----------
    .. [1] RLS-19, multiple reflection; as in the noise contribution of MATSim.

    Examples
    --------
    >>> multiple_reflection([20.0, 5.0, 0.0], 20.0)
    array([1.6, 0.5, 0. ])
    """
    tall, wide = np.asarray(height, float), np.asarray(width, float)
    if not (np.isfinite(wide) & (wide > 0)).all():
        raise CosimError(f"width of a street is {shown(float(np.min(wide)))} m: it must be finite and positive")
    if not (tall >= 0).all():
        raise CosimError("height of a street's walls is negative or missing: give 0 m where a side is open")
    return np.asarray(np.minimum(2.0 * tall / wide, _MOST_REFLECTION_DB))
