"""Nitrogen oxides and ozone in the air of a street: the photostationary state within a residence time.

Traffic emits mostly NO, which ozone turns into NO2 while the sun splits NO2 again. As the air stays in a street for a
minute or two only, neither comes to its end. Closed solution of the model of Hertel and Berkowicz (1989) as in SMHI's
version of OSPM (`ospm` [1]_, subroutine NO2NOX).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cosim.core.errors import CosimError
from cosim.core.quantities import Array

PPB_NO2 = 1.95
"""µg/m³ of NO2, or of NOx counted as NO2, in a ppb; as in `ospm` [1]_."""
PPB_O3 = 2.03
"""µg/m³ of ozone in a ppb; as in `ospm` [1]_."""

_MOST = 5e-6  # kg/m³: more is a mistake of units


def photolysis(radiation: npt.ArrayLike) -> Array:
    """Return the rate at which sunlight splits NO2, for global radiation in W/m²; 0 up to 1 W/m². [1/s]"""
    q = np.asarray(radiation, float)
    lit = np.maximum(q, 1.0)
    return np.where(q > 1.0, 0.8e-3 * np.exp(-10.0 / lit) + 7.4e-6 * lit, 0.0)


def oxidation(temperature: npt.ArrayLike) -> Array:
    """Return the rate of NO + O3, for a temperature in kelvin. [1/(ppb s)]"""
    return np.asarray(5.38e-2 * np.exp(-1430.0 / np.asarray(temperature, float)))


def nitrogen_dioxide(
    nox: npt.ArrayLike,
    background_nox: npt.ArrayLike,
    background_no2: npt.ArrayLike,
    background_o3: npt.ArrayLike,
    *,
    primary_share: npt.ArrayLike,
    residence_s: npt.ArrayLike,
    radiation: npt.ArrayLike,
    temperature: npt.ArrayLike,
) -> tuple[Array, Array]:
    """Return NO2 and ozone in a street. [ppb] All arguments are broadcast.

    Parameters
    ----------
    nox, background_nox, background_no2, background_o3
        NOx in the street, and of the air that comes in. [ppb]
    primary_share
        Share of NO2 in the NOx that traffic emits. [1]
    residence_s
        Time that air stays in the street: 0 for no chemistry, inf for the photostationary state. [s]
    radiation, temperature
        Global radiation [W/m²] and air temperature. [K]
    """
    total, o3 = np.asarray(nox, float), np.asarray(background_o3, float)
    mixed = np.asarray(primary_share, float) * (total - np.asarray(background_nox, float)) + background_no2
    oxidant = mixed + o3
    k, tau = oxidation(temperature), np.asarray(residence_s, float)
    with np.errstate(divide="ignore"):
        exchange = 1.0 / (k * tau)
    r = photolysis(radiation) / k
    half = total + r + exchange + oxidant
    # the smaller root of a quadratic equation, in the form that does not cancel where the air is exchanged at once
    at_once = np.isinf(exchange)
    d = np.where(at_once, 0.0, exchange)
    half = np.where(at_once, 1.0, half)
    inside = total * oxidant + mixed * d
    no2 = 2.0 * inside / (half + np.sqrt(np.maximum(half**2 - 4.0 * inside, 0.0)))
    no2 = np.where(at_once, mixed, no2)
    return no2, oxidant - no2


def photostationary_nox(
    no2: npt.ArrayLike, o3: npt.ArrayLike, *, radiation: npt.ArrayLike, temperature: npt.ArrayLike
) -> Array:
    """Return the NOx with which NO2 and ozone are in balance: no less than the NO that sunlight makes of NO2. [ppb]

    For background air of which only means are known: the means of NO and ozone themselves are not in balance, as both
    are high in different hours, and would react with each other in the street.

    Examples
    --------
    >>> photostationary_nox(13.0, 30.0, radiation=[0.0, 400.0], temperature=288.0).round(2)
    array([13.  , 17.32])
    """
    mean, ozone = np.asarray(no2, float), np.maximum(np.asarray(o3, float), 1e-6)
    return np.asarray(mean * (1.0 + photolysis(radiation) / (oxidation(temperature) * ozone)))


def check_background(values: Array, names: tuple[str, ...] = ("NO2", "NOx", "O3", "PM10", "PM2.5")) -> None:
    """Refuse background concentrations that are missing, negative or contradict each other.

    Parameters
    ----------
    values : shape (5,)
        NO2, NOx, O3, PM10 and PM2.5.

    Raises
    ------
    CosimError
        If one is negative, not finite or beyond any air outdoors, NO2 is above NOx, or PM2.5 above PM10.
    """
    for name, value in zip(names, values, strict=True):
        if not 0 <= value <= _MOST:
            raise CosimError(
                f"the background of {name} is {value * 1e9:g} µg/m³: it must be from 0 to {_MOST * 1e9:g}; correct the "
                "series or the monthly means, or their unit"
            )
    for part, whole in (("NO2", "NOx"), ("PM2.5", "PM10")):
        small, large = values[names.index(part)], values[names.index(whole)]
        if small > large * (1 + 1e-9):
            raise CosimError(
                f"the background of {part}, {small * 1e9:g} µg/m³, is above that of {whole}, {large * 1e9:g}: {whole} "
                f"includes {part} (NOx is counted as NO2)"
            )
