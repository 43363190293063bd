"""Dispersion in street canyons: the Operational Street Pollution Model (OSPM) at both façades of many streets at once.

A Gaussian plume carries the emission of the traffic straight to the façade; a box, the vortex between the buildings,
returns a part of it to the lee side. Equations and constants are those of SMHI's version of the model [1]_; the model
itself is described in [2]_. Concentrations are proportional to the emission: what is computed here is the *unit
concentration*, the concentration that an emission of 1 g per metre and second would cause in g/m³. [s/m²]

References
----------
.. [1] G. Omstedt, SMHI, OSPM in SIMAIR, 2004-2013, ``OSPM/ospm_nortrip_fortran.for`` of metno/NORTRIP, commit a6225be2.
.. [2] R. Berkowicz, OSPM, a parameterised street pollution model, Environmental Monitoring and Assessment 65 (2000),
   323-331.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cosim.core.environment import _ospm
from cosim.core.errors import CosimError
from cosim.core.quantities import Array

RELEASE_HEIGHT = 2.0
"""Height to which the traffic mixes its emission at once. [m] Also the lowest height of the mixing layer."""
ROUGHNESS = 0.6
"""Roughness length of the street. [m]"""
LONGITUDINAL_TURBULENCE = 0.1
TRAFFIC_DRAG = 0.3
FRONTAL_AREA = {"light": 2.0, "heavy": 16.0}
"""Frontal area by which vehicles stir the air. [m²]"""
ROOF_FACTOR, LEAST_MAST_WIND = 0.82, 0.01
"""Wind at roof level over that of a mast, and the wind of a calm. [1], [m/s]"""
HALF_SECTOR = 0.5
"""Half of the sector of wind directions over which an hour is averaged, at 1 m/s and more. [rad]"""
INTERVALS = 24
"""Intervals of the average over wind directions; its convergence is tested."""


def roof_wind(mast_wind: npt.ArrayLike) -> Array:
    """Return the wind at roof level from that of a meteorological mast; a calm has 0.0082 m/s. [m/s]

    Raises
    ------
    CosimError
        If a wind is missing or negative.
    """
    wind = np.asarray(mast_wind, float)
    if not (np.isfinite(wind) & (wind >= 0)).all():
        worst = wind[~(np.isfinite(wind) & (wind >= 0))].flat[0]
        raise CosimError(
            f"the wind is {worst} m/s: air quality in streets needs a wind speed of 0 m/s or more every hour"
        )
    return np.asarray(ROOF_FACTOR * np.maximum(wind, LEAST_MAST_WIND))


def traffic_turbulence(light: npt.ArrayLike, heavy: npt.ArrayLike, width: npt.ArrayLike) -> Array:
    """Return the vertical turbulence that vehicles cause in a street. [m/s]

    Parameters
    ----------
    light, heavy
        Flow times speed of vehicles up to and above 3.5 t. [vehicle/s × m/s]
    width
        Width of the street. [m]
    """
    stirred = np.asarray(light, float) * FRONTAL_AREA["light"] + np.asarray(heavy, float) * FRONTAL_AREA["heavy"]
    return np.asarray(TRAFFIC_DRAG * np.sqrt(stirred / np.asarray(width, float)))


def roof_exchange(wind: npt.ArrayLike, turbulence: npt.ArrayLike) -> Array:
    """Return the velocity at which air is exchanged through the top of a street. [m/s]"""
    wind, turbulence = np.asarray(wind, float), np.asarray(turbulence, float)
    return np.asarray(np.sqrt((LONGITUDINAL_TURBULENCE * wind) ** 2 + 0.4 * turbulence**2))


def check_streets(labels: npt.ArrayLike, width: Array, height: Array) -> None:
    """Refuse streets of which width or height is missing or impossible.

    Parameters
    ----------
    labels : shape (n_streets,)
    width : shape (n_streets,)
    height : shape (n_streets, 2)

    Raises
    ------
    CosimError
        If a width is not positive, or a height is missing or negative.
    """
    names = np.asarray(labels)
    narrow = ~(np.isfinite(width) & (width > 0))
    if narrow.any():
        raise CosimError(
            f"street {str(names[narrow][0])!r} has a width of {width[narrow][0]:g} m: it must be positive, from façade "
            "to façade"
        )
    low = ~(np.isfinite(height) & (height >= 0))
    if low.any():
        raise CosimError(
            f"street {str(names[low.any(axis=1)][0])!r} has buildings of height {height[low][0]:g} m: give the height "
            "of the buildings on either side, 0 where it is open"
        )


def unit_concentrations(
    wind: npt.ArrayLike,
    angle: npt.ArrayLike,
    turbulence: npt.ArrayLike,
    *,
    width: npt.ArrayLike,
    height: npt.ArrayLike,
    upwind_height: npt.ArrayLike | None = None,
    downwind_height: npt.ArrayLike | None = None,
    reach: npt.ArrayLike = 100.0,
    receptor_height: float = 2.0,
) -> tuple[Array, Array]:
    """Return the unit concentrations at the lee and at the windward façade for one direction of the wind. [s/m²]

    The lee façade is that of the buildings over which the wind comes. All arguments are broadcast.

    Parameters
    ----------
    wind
        Wind at roof level, positive. [m/s]
    angle
        Acute angle between wind and street, 0 to π/2; along the street, both façades are lee. [rad]
    turbulence
        Of the traffic, see `traffic_turbulence`. [m/s]
    width, height
        Of the street: between façades, and general height of its buildings; 0 without buildings. [m]
    upwind_height, downwind_height
        Height of the buildings on the side that the wind comes from and on the other, by default ``height``. [m]
    reach
        Length of street beyond the receptor, up to the next crossing. [m]
    receptor_height
        Height above ground. [m]

    Returns
    -------
    lee, windward
    """
    u, s_w0, w, h = (np.asarray(x, float) for x in (wind, turbulence, width, height))
    phi = np.clip(np.asarray(angle, float), 1e-10, np.pi / 2)
    h_u = h if upwind_height is None else np.asarray(upwind_height, float)
    h_d = h if downwind_height is None else np.asarray(downwind_height, float)
    sin, h0 = np.sin(phi), RELEASE_HEIGHT
    vortex = np.where(u > 2.0, 1.0, np.sqrt(u / 2.0))
    z = np.maximum(h, h0)
    beta = np.log(h0 / ROUGHNESS) / np.log(z / ROUGHNESS)
    u_b = beta * u * (1.0 - np.minimum(0.9, 0.2 * h_u / z) * sin**2)
    s_w = np.sqrt((LONGITUDINAL_TURBULENCE * u_b) ** 2 + s_w0**2)
    s_wt = roof_exchange(u, s_w0)
    x1 = u_b * (z - h0) / s_w
    l_rec = 2.0 * h_u * vortex
    d_max = w / sin
    l_max = np.minimum(d_max, np.asarray(reach, float) / np.maximum(np.cos(phi), 1e-10))
    k = np.sqrt(2.0 / np.pi) / (w * s_w)
    slope, ratio, decay = s_w / u_b, s_w / s_wt, s_wt / (u_b * z)

    def direct(far: Array, floor: npt.ArrayLike) -> Array:
        """Return the logarithm of the plume's height over the receptor's or the beginning's height."""
        top = h0 + slope * far
        return np.asarray(np.log(top / np.minimum(top, floor)))

    def left(distance: Array) -> Array:
        """Return the share that has not left through the top over a distance."""
        exponent = decay * distance
        return np.where(exponent < 10.0, np.exp(-np.minimum(exponent, 10.0)), 0.0)

    low = max(h0, receptor_height)
    d5 = np.minimum(np.minimum(l_max, l_rec), x1)
    d6 = np.maximum(np.minimum(x1, l_max), l_rec)
    e7 = left(np.maximum(np.minimum(l_rec, l_max), x1) - x1)
    e8 = left(np.maximum(l_max - np.maximum(l_rec, x1), 0.0))
    lee = k * (direct(d5, low) + ratio * (1.0 - e7))
    beyond = np.where(l_rec < l_max, np.maximum(np.cos(2.0 * vortex * phi), 0.0), 0.0)
    lee = lee + k * beyond * (direct(d6, np.maximum(h0 + slope * l_rec, receptor_height)) + ratio * (e7 - e8))
    clear = np.minimum(l_max, d_max - l_rec)
    d4 = np.maximum(np.minimum(clear, x1), 0.0)
    e5 = left(np.maximum(clear, x1) - x1)
    windward = np.where(l_rec < d_max, k * (direct(d4, low) + ratio * (1.0 - e5)), 0.0)
    recirculated = _recirculated(sin, u, u_b, s_w0, s_wt, w, h_u, h_d, l_rec, d_max)
    recirculated = np.where(receptor_height <= h_u, recirculated, 0.0)
    return lee + recirculated, windward + recirculated


def _recirculated(
    sin: Array,
    u: Array,
    u_b: Array,
    s_w0: Array,
    s_wt: Array,
    w: Array,
    h_u: Array,
    h_d: Array,
    l_rec: Array,
    d_max: Array,
) -> Array:
    """Return the part that the vortex returns, as in a box with exchange through its top and its open side."""
    tall = np.maximum(h_u, 1e-9)  # without buildings upwind there is no vortex, and no value is used
    length = np.maximum(l_rec, 1e-9)
    d1, d2 = np.minimum(d_max, l_rec), np.minimum(d_max, l_rec / 2.0)
    side = np.sqrt(tall**2 + l_rec**2 / 4.0)
    cut = 2.0 * tall * (l_rec - d1) / length
    d3 = np.maximum(0.0, side * (tall - np.minimum(cut, h_d)) / tall)
    u_d = np.sqrt(u_b**2 + s_w0**2)
    u_s = (d3 * u_d + side * u) / (d3 + side)
    return np.asarray(d1 * sin / (w * np.maximum(s_wt * d2 + u_s * d3, 1e-12)))


def half_sector(wind: npt.ArrayLike) -> Array:
    """Return half the sector of wind directions in an hour: 0.5 rad, wider below 1 m/s, at most the half circle. [rad]

    Examples
    --------
    >>> half_sector([0.1, 0.5, 3.0]).round(3)
    array([3.142, 1.   , 0.5  ])
    """
    return np.asarray(np.minimum(HALF_SECTOR / np.minimum(np.asarray(wind, float), 1.0), np.pi))


def facade_concentrations(
    wind: float,
    direction: float,
    turbulence: Array,
    *,
    bearing: Array,
    width: Array,
    height: Array,
    reach: npt.ArrayLike = 100.0,
    receptor_height: float = 2.0,
    spread: float | None = None,
    intervals: int = INTERVALS,
) -> Array:
    """Return the hour's unit concentrations at both façades of all streets, shape (n_streets, 2). [s/m²]

    The mean over the sector of directions in which the wind of an hour turns, by the trapezoidal rule.

    Parameters
    ----------
    wind
        Wind at roof level. [m/s]
    direction
        That the wind comes from, clockwise from north. [rad]
    turbulence : shape (n_streets,)
        Of the traffic. [m/s]
    bearing : shape (n_streets,)
        Direction of the street, clockwise from north. [rad]
    width : shape (n_streets,)
        Between façades. [m]
    height : shape (n_streets, 2)
        Of the buildings on the left and on the right, seen along ``bearing``; 0 where it is open. [m]
    reach, receptor_height
        As in `unit_concentrations`.
    spread
        Half of the sector, by default `half_sector`. [rad]
    intervals
        Of the sector.
    """
    half = float(half_sector(wind)) if spread is None else spread
    found = np.empty((len(width), 2))
    stirred, turned, wide, far = (
        np.ascontiguousarray(np.broadcast_to(np.asarray(x, float), width.shape))
        for x in (turbulence, bearing, width, reach)
    )
    sides = np.ascontiguousarray(height, float)
    _ospm.sector_means(wind, direction, half, intervals, receptor_height, stirred, turned, wide, sides, far, found)
    return found
