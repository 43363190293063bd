"""Propagation of road noise to façades by octave band, CNOSSOS-EU (Directive (EU) 2015/996, annex, section 2.5)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cosim.core.arguments import shown
from cosim.core.errors import CosimError
from cosim.core.quantities import Array, Vector

from .noise_levels import BANDS_HZ, energy

SOURCE_HEIGHT_M = 0.05
"""Height of road vehicles' sources, section 2.2.1. [m]"""
RECEIVER_HEIGHT_M = 4.0
"""Height of the assessment points of Directive 2002/49/EC, annex I. [m]"""

_EXACT_HZ: Vector = np.asarray(1000.0 * 10.0 ** (0.3 * np.arange(-4.0, 4.0)), np.float64)
_SOUND_MPS = 340.0
_CURVATURE = 2e-4  # 1/m, a0
_TURBULENCE = 6e-3


def air_absorption(temperature: float = 10.0, relative_humidity: float = 0.7, pressure: float = 101325.0) -> Vector:
    """Return the absorption of sound in air by octave band, at exact midband frequencies, shape (8,). [dB/m]

    Parameters
    ----------
    temperature, relative_humidity, pressure
        State of the air, yearly means. [°C], [1], [Pa]

    Raises
    ------
    CosimError
        If temperature, humidity or pressure is out of range.

    References
    ----------
    .. [1] ISO 9613-1:1993, equations 3 to 5 and annex B.

    Examples
    --------
    >>> (1000 * air_absorption()).round(2).tolist()
    [0.12, 0.41, 1.04, 1.93, 3.66, 9.66, 32.77, 116.88]
    """
    if not (-20 <= temperature <= 50 and 0 < relative_humidity <= 1 and 5e4 <= pressure <= 2e5):
        raise CosimError(
            f"air of {temperature} °C, humidity {relative_humidity}, {pressure} Pa: ISO 9613-1 holds from -20 to 50 "
            "°C, for a relative humidity above 0 and up to 1"
        )
    kelvin, atmospheres = temperature + 273.15, pressure / 101325.0
    warm = kelvin / 293.15
    saturation = 10.0 ** (4.6151 - 6.8346 * (273.16 / kelvin) ** 1.261)
    vapour = 100.0 * relative_humidity * saturation / atmospheres  # molar concentration, %
    oxygen = atmospheres * (24.0 + 4.04e4 * vapour * (0.02 + vapour) / (0.391 + vapour))
    nitrogen = atmospheres / np.sqrt(warm) * (9.0 + 280.0 * vapour * np.exp(-4.170 * (warm ** (-1 / 3) - 1.0)))
    square = _EXACT_HZ**2
    classical = 1.84e-11 / atmospheres * np.sqrt(warm)
    relaxation = 0.01275 * np.exp(-2239.1 / kelvin) / (oxygen + square / oxygen)
    relaxation = relaxation + 0.1068 * np.exp(-3352.0 / kelvin) / (nitrogen + square / nitrogen)
    return np.asarray(8.686 * square * (classical + warm**-2.5 * relaxation))


def ground_attenuation(
    distance: npt.ArrayLike,
    source_height: npt.ArrayLike,
    receiver_height: npt.ArrayLike,
    ground: npt.ArrayLike,
    source_ground: float = 0.0,
    *,
    favourable: bool = False,
) -> Array:
    """Return the attenuation by flat ground without diffraction, section 2.5.6, shape (…, 8); negative raises. [dB]

    Parameters
    ----------
    distance
        Projected on the ground, shape (…). [m]
    source_height, receiver_height
        Above the mean ground plane. [m]
    ground
        Acoustic absorption of the ground along the path, from 0 (hard) to 1 (porous). [1]
    source_ground
        That of the ground below the source; 0 for roads. [1]
    favourable
        Whether sound is bent downwards, instead of a homogeneous atmosphere.

    Raises
    ------
    CosimError
        If a distance is not positive or an absorption not from 0 to 1.
    """
    d, z_s, z_r, g = np.broadcast_arrays(
        *(np.asarray(value, float) for value in (distance, source_height, receiver_height, ground))
    )
    if not (d > 0).all():
        raise CosimError(f"distance to a source is {shown(float(np.min(d)))} m: it must be positive")
    if not ((g >= 0) & (g <= 1)).all():
        raise CosimError(f"absorption of the ground is {shown(float(np.max(g)))}: it lies from 0 to 1")
    reach = 30.0 * (z_s + z_r)
    near = np.minimum(d / reach, 1.0)
    g_path = g * near + source_ground * (1.0 - near)
    least = -3.0 * (1.0 - g_path)
    if favourable:
        least = least * np.where(d <= reach, 1.0, 1.0 + 2.0 * (1.0 - reach / d))
    g_wave = g if favourable else g_path
    soft = g_path > 0
    d_, g_, k = d[..., None], g_wave[..., None], 2.0 * np.pi * BANDS_HZ / _SOUND_MPS
    f, g26 = BANDS_HZ, g_**2.6
    w = 0.0185 * f**2.5 * g26 / (f**1.5 * g26 + 1.3e3 * f**0.75 * g_**1.3 + 1.16e6)
    c_f = d_ * (1.0 + 3.0 * w * d_ * np.exp(-np.sqrt(w * d_))) / (1.0 + w * d_)
    raised = 0.0 if not favourable else _TURBULENCE * d / (z_s + z_r)
    bent = 0.0 if not favourable else _CURVATURE / 2.0 * (d / (z_s + z_r)) ** 2
    heights = ((z + bent * z**2 + raised)[..., None] for z in (z_s, z_r))
    terms = [z**2 - z * np.sqrt(2.0 * c_f / k) + c_f / k for z in heights]
    found = -10.0 * np.log10(4.0 * k**2 / d_**2 * terms[0] * terms[1])
    return np.asarray(np.where(soft[..., None], np.maximum(found, least[..., None]), least[..., None]))


def transmission(
    distance: npt.ArrayLike,
    source_height: npt.ArrayLike = SOURCE_HEIGHT_M,
    receiver_height: npt.ArrayLike = RECEIVER_HEIGHT_M,
    *,
    ground: npt.ArrayLike = 0.0,
    source_ground: float = 0.0,
    favourable_share: float = 0.5,
    absorption: npt.ArrayLike | None = None,
) -> Array:
    """Return the energy at a receiver for each unit of a point source's power, without divergence, shape (…, 8).

    Parameters
    ----------
    distance
        Projected on the ground, shape (…). [m]
    source_height, receiver_height, ground, source_ground
        As in `ground_attenuation`.
    favourable_share
        Share of the time in which sound is bent downwards, long-term mean of section 2.5.4.
    absorption : shape (8,)
        Absorption of the air; by default at 10 °C and 70 % humidity. [dB/m]

    Raises
    ------
    CosimError
        If the share is not from 0 to 1, or as in `ground_attenuation`.
    """
    if not 0 <= favourable_share <= 1:
        raise CosimError(f"share of favourable conditions is {shown(favourable_share)}: it lies from 0 to 1")
    d, z_s, z_r = (np.asarray(value, float) for value in (distance, source_height, receiver_height))
    alpha = air_absorption() if absorption is None else np.asarray(absorption, float)
    path = np.sqrt(d**2 + (z_r - z_s) ** 2)[..., None]
    conditions = [(True, favourable_share), (False, 1.0 - favourable_share)]
    by_ground = sum(
        share * energy(-ground_attenuation(d, z_s, z_r, ground, source_ground, favourable=favourable))
        for favourable, share in conditions
        if share
    )
    return np.asarray(by_ground * energy(-alpha * path))


def segment_view(points: Array, starts: Array, ends: Array, height: float) -> tuple[Array, Array]:
    """Return what a receiver sees of a straight line source: divergence, and the distance of its middle ray.

    Parameters
    ----------
    points, starts, ends : shape (n, 2)
        Receivers, and both ends of a segment for each. [m]
    height
        Height of the receivers above the sources. [m]

    Returns
    -------
    divergence : shape (n,)
        Angle of view over 4 π times the perpendicular distance: the energy at the receiver for each unit of power per
        metre; for an infinite line 1/(4 d). [1/m]
    distance : shape (n,)
        Horizontal distance to where the bisector of the angle of view meets the segment. [m]
    """
    along = ends - starts
    length = np.hypot(along[:, 0], along[:, 1])
    unit = along / length[:, None]
    to_start, to_end = starts - points, ends - points
    near, far = (np.einsum("ij,ij->i", side, unit) for side in (to_start, to_end))
    offset = to_start[:, 0] * unit[:, 1] - to_start[:, 1] * unit[:, 0]
    perpendicular = np.hypot(offset, height)
    first, last = np.arctan2(near, perpendicular), np.arctan2(far, perpendicular)
    middle = perpendicular / np.cos((first + last) / 2.0)
    return (last - first) / (4.0 * np.pi * perpendicular), np.sqrt(np.maximum(middle**2 - height**2, 0.0))
