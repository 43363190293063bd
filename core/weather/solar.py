"""Solar irradiance on surfaces of any orientation.

Hourly radiation is spread over five-minute intervals so that every hour keeps its energy, projected with the sun
at mid-interval, and averaged exactly over the steps of a run: the result does not depend on the step length.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
import pandas as pd
import pvlib

from cosim.core.errors import CosimError
from cosim.core.quantities import HOUR_S, Vector

from .glazing import Glazing
from .year import HOURS, MONTH, Course, WeatherYear, run_hours

PARTS = 12
"""Number of intervals per hour."""

ANGSTROM = (0.25, 0.50)
"""Global over extraterrestrial radiation without sunshine, and what full sunshine adds (FAO-56, eq. 35). [1]"""

_SHORT_DAY = 81.4
"""Sunset hour angle up to which a day is a short one in the diffuse correlations. [°]"""

CLEAR_DOUBLE = Glazing(2, 0.003048, 1.0, 0.834, 0.075)
"""Clear double glazing with the panes of Standard 140: its angular dependence is assumed for all windows."""

SURFACES: dict[str, tuple[float, float]] = {
    "horizontal": (0.0, 180.0),
    "north": (90.0, 0.0),
    "northeast": (90.0, 45.0),
    "east": (90.0, 90.0),
    "southeast": (90.0, 135.0),
    "south": (90.0, 180.0),
    "southwest": (90.0, 225.0),
    "west": (90.0, 270.0),
    "northwest": (90.0, 315.0),
}
"""Tilt from the horizontal and azimuth from north, clockwise: the roof and eight vertical orientations. [°]"""


@dataclass(frozen=True)
class _Sun:
    """Sun at mid-interval, every array of shape (n_hours, PARTS)."""

    zenith: Vector
    azimuth: Vector
    cosine: Vector
    """Cosine of the apparent zenith, 0 while the sun is down."""
    normal: Vector
    """Extraterrestrial normal radiation. [W/m²]"""


def beam_factors(latitude: float, longitude: float, elevation: float, utc_offset_h: float) -> tuple[Vector, Vector]:
    """Return what turns an hour's direct normal radiation into its horizontal part, for a year of hours.

    Returns
    -------
    factor : shape (8760,)
        Mean cosine of the zenith while the sun is up in that hour, 0 where it is down throughout. [1]
    normal : shape (8760,)
        Mean extraterrestrial normal radiation while the sun is up. [W/m²]
    """
    sun, _ = _year_of_sun(latitude, longitude, elevation, utc_offset_h)
    n_up = (sun.cosine > 0).sum(axis=1)
    factor = np.divide(sun.cosine.sum(axis=1), n_up, out=np.zeros(HOURS), where=n_up > 0)
    return factor, (sun.normal * (sun.cosine > 0)).mean(axis=1)


def _sun(latitude: float, longitude: float, elevation: float, first_hour: dt.datetime, n_hours: int) -> _Sun:
    width_s = HOUR_S / PARTS
    seconds = (np.arange(n_hours * PARTS) + 0.5) * width_s
    times = pd.DatetimeIndex(pd.Timestamp(first_hour) + pd.to_timedelta(seconds, unit="s"))
    position = pvlib.solarposition.get_solarposition(times, latitude, longitude, altitude=elevation)
    zenith, azimuth, normal = (
        np.asarray(values, dtype=np.float64).reshape(n_hours, PARTS)
        for values in (
            position["apparent_zenith"],
            position["azimuth"],
            pvlib.irradiance.get_extra_radiation(times),
        )
    )
    return _Sun(zenith, azimuth, np.maximum(np.cos(np.radians(zenith)), 0.0), normal)


def _share(weights: Vector) -> Vector:
    """Return weights with mean 1 in every hour; an hour without any weight gets uniform ones. Shape as given."""
    mean = weights.mean(axis=1, keepdims=True)
    share: Vector = np.divide(weights, mean, out=np.ones_like(weights), where=mean > 0)
    return share


def _parts(
    sun: _Sun, dni: Vector, dhi: Vector, tilt: float, azimuth: float, albedo: float
) -> tuple[Vector, Vector, Vector, Vector]:
    """Return beam plus circumsolar, sky and ground radiation on a surface, and the cosine of incidence."""
    beam = dni * sun.cosine
    slope = np.cos(np.radians(tilt))
    if tilt == 0:
        cosine = sun.cosine
        return beam, dhi, np.zeros_like(dhi), cosine
    ground = albedo * (beam + dhi) * (1 - slope) / 2
    sky: Vector = dhi * (1 + slope) / 2  # isotropic while the sun is down
    incidence = pvlib.irradiance.aoi_projection(tilt, azimuth, sun.zenith, sun.azimuth)
    cosine = np.where(sun.cosine > 0, np.maximum(incidence, 0.0), 0.0)
    direct: Vector = dni * cosine
    lit = (sun.cosine > 0) & (dhi > 0)
    zenith, diffuse, normal = sun.zenith[lit], dhi[lit], sun.normal[lit]
    # Perez' brightness, diffuse x air mass / normal, was fitted below 0.6; an hour's diffuse concentrated in its
    # last minutes of sun would drive it to 30 and the sky to 3e5 W/m2.
    airmass = np.minimum(pvlib.atmosphere.get_relative_airmass(zenith), normal / diffuse)
    perez = pvlib.irradiance.perez(
        tilt, azimuth, diffuse, dni[lit], normal, zenith, sun.azimuth[lit], airmass, return_components=True
    )
    circumsolar = next(np.asarray(v) for name, v in perez.items() if name.endswith("circumsolar"))
    total = next(np.asarray(v) for name, v in perez.items() if name.endswith("sky_diffuse"))
    around = np.where(cosine[lit] > 0, np.minimum(circumsolar, total), 0.0)
    sky[lit] = total - around
    direct[lit] += around
    return direct, sky, ground, cosine


@dataclass(frozen=True, kw_only=True)
class Rays:
    """Radiation on one surface by origin, in five-minute intervals, shape (n_intervals,) each.

    Attributes
    ----------
    times : shape (n_intervals + 1,)
        Since the run's start. [s]
    direct
        Beam plus the sky's circumsolar part, which comes from the sun's direction. [W/m²]
    sky, ground
        Isotropic sky and horizon brightening; reflection from the ground. [W/m²]
    cosine
        Cosine of the direct radiation's angle of incidence, 0 behind the surface. [1]
    height, turn
        The sun's height over the horizon, and its azimuth from the surface's, clockwise. [rad]
    """

    times: Vector
    direct: Vector
    sky: Vector
    ground: Vector
    cosine: Vector
    height: Vector
    turn: Vector


def rays(
    year: WeatherYear, tilt: float, azimuth: float, start_utc: dt.datetime, span_s: float, albedo: float = 0.2
) -> Rays:
    """Return the radiation on a surface by direction, for windows and shading; see `irradiance` for the method."""
    lead_s, sun, dni, dhi = _radiation(year, start_utc, span_s)
    direct, sky, ground, cosine = (x.ravel() for x in _parts(sun, dni, dhi, tilt, azimuth, albedo))
    times: Vector = np.arange(dni.size + 1, dtype=np.float64) * (HOUR_S / PARTS) - lead_s
    height = np.where(sun.cosine > 0, np.radians(90.0 - sun.zenith), -1.0).ravel()
    return Rays(
        times=times,
        direct=direct,
        sky=sky,
        ground=ground,
        cosine=cosine,
        height=height,
        turn=np.radians(sun.azimuth - azimuth).ravel(),
    )


def _radiation(year: WeatherYear, start_utc: dt.datetime, span_s: float) -> tuple[float, _Sun, Vector, Vector]:
    lead_s, index = run_hours(year, start_utc, span_s)
    hours = index[1:]
    first_hour = start_utc.astimezone(dt.UTC) - dt.timedelta(seconds=lead_s)
    sun = _sun(year.latitude, year.longitude, year.elevation, first_hour, len(hours))
    dni = np.minimum(year.dni[hours, None] * _share(np.where(sun.cosine > 0, 1.0, 0.0)), sun.normal)
    dni[sun.cosine == 0] = 0.0
    return lead_s, sun, dni, year.dhi[hours, None] * _share(sun.normal * sun.cosine)


def irradiance(
    year: WeatherYear,
    surfaces: Mapping[str, tuple[float, float]],
    start_utc: dt.datetime,
    span_s: float,
    albedo: float = 0.2,
    glazing: Glazing | None = None,
) -> Course:
    """Return the irradiance of surfaces over a run, with exact means over any step within it. [W/m²]

    Within an hour the diffuse radiation follows the extraterrestrial horizontal (constant clearness) and the beam
    is constant while the sun is up, both normalised to the hour's mean. The beam is read from the file and never
    divided by the solar elevation, so it cannot diverge near the horizon; it is capped at the extraterrestrial.
    The sky is Perez [1]_, isotropic while the sun is down; the ground reflects isotropically.

    Parameters
    ----------
    year
        The weather.
    surfaces
        Name to (tilt from the horizontal, azimuth from north clockwise). [°]
    start_utc
        Start of the run, with time zone.
    span_s
        Length of the run. [s]
    albedo
        Reflectance of the ground. [1]
    glazing
        If given, return the equivalent irradiance at normal incidence: reduced by what this glazing reflects of oblique
        and diffuse radiation, so that multiplying by g at normal incidence gives the heat gain.

    Returns
    -------
    Course
        One quantity per surface, in the order given.

    Raises
    ------
    CosimError
        If no surface is given, or an angle or the albedo is out of range.

    References
    ----------
    .. [1] Perez, Ineichen, Seals, Michalsky, Stewart, Modeling daylight availability and irradiance components
       from direct and global irradiance, Solar Energy 44 (1990) 271-289; as implemented in pvlib.
    """
    if not surfaces or not 0 <= albedo <= 1:
        raise CosimError(
            f"irradiance got {len(surfaces)} surfaces and albedo {albedo}: give at least one, and an albedo from 0 to 1"
        )
    for name, (tilt, azimuth) in surfaces.items():
        if not (0 <= tilt <= 180 and -360 <= azimuth <= 360):
            raise CosimError(
                f"surface {name!r} has tilt {tilt} and azimuth {azimuth}: tilt runs from 0 (horizontal, facing up) "
                "to 180 degrees, azimuth clockwise from north within 360"
            )
    lead_s, sun, dni, dhi = _radiation(year, start_utc, span_s)
    columns = []
    for tilt, azimuth in surfaces.values():
        direct, sky, ground, cosine = _parts(sun, dni, dhi, tilt, azimuth, albedo)
        if glazing is not None:
            normal = glazing.optics(1.0)[0][0]
            direct = direct * glazing.optics(cosine.ravel())[0].reshape(cosine.shape) / normal
            sky, ground = (part * (glazing.diffuse[0] / normal) for part in (sky, ground))
        columns.append((direct + sky + ground).ravel())
    parts = np.stack(columns, axis=1)
    times: Vector = np.arange(len(parts) + 1, dtype=np.float64) * (HOUR_S / PARTS) - lead_s
    return Course(times, parts, parts)


def surface_irradiance(
    year: WeatherYear,
    surfaces: Mapping[str, tuple[float, float]],
    start_utc: dt.datetime,
    step_s: float,
    n_steps: int,
    albedo: float = 0.2,
) -> Vector:
    """Return the mean irradiance of surfaces in every step of a run, shape (n_steps, n_surfaces). [W/m²]

    See `irradiance` for the method, the parameters and the errors.

    Examples
    --------
    >>> from cosim.core.weather.normals import synthetic_year
    >>> noon = dt.datetime(2025, 6, 21, 12, tzinfo=dt.UTC)
    >>> sun = surface_irradiance(synthetic_year("barcelona"), {"roof": (0, 0), "south": (90, 180)}, noon, 900, 4)
    >>> sun.shape, bool((sun[:, 0] > sun[:, 1]).all())
    ((4, 2), True)
    """
    edges = np.arange(n_steps + 1) * float(step_s)
    return irradiance(year, surfaces, start_utc, edges[-1], albedo).mean(edges[:-1], edges[1:])


def radiation_from_sunshine(
    sunshine_h: npt.ArrayLike, latitude: float, longitude: float, elevation: float, utc_offset_h: float
) -> tuple[Vector, Vector]:
    """Return a year of hourly radiation from monthly hours of sunshine, every day the mean day of its date.

    Daily global radiation is 0.25 + 0.50 n/N of the extraterrestrial ([1]_ eq. 35, coefficients recommended
    where none are calibrated). Its diffuse share is the correlation of Erbs, Klein and Duffie for monthly means
    ([2]_ eq. 2.12.1): pvlib's hourly correlation, applied to a mean day, makes 56 % of Barcelona's year diffuse
    where its weather files have 38 and 48 %, because a mean sky is a mixture of clear and overcast ones.

    Parameters
    ----------
    sunshine_h : shape (12,)
        Sunshine of each month, n. [h]
    latitude, longitude, elevation, utc_offset_h
        Location [°, °, m] and offset of standard time. [h]

    Returns
    -------
    radiation : shape (3, 8760)
        Global horizontal, direct normal and diffuse horizontal, means over each hour, see `radiation_of_days`. [W/m²]
    relative_sunshine : shape (12,)
        n/N, N being the hours of daylight. [1]

    Raises
    ------
    CosimError
        If a month has more sunshine than daylight.

    References
    ----------
    .. [1] Allen, Pereira, Raes, Smith, Crop evapotranspiration, FAO Irrigation and Drainage Paper 56, 1998.
    .. [2] Duffie, Beckman, Solar Engineering of Thermal Processes, 4th edition, 2013.
    """
    relative = relative_sunshine(sunshine_h, latitude, longitude, elevation, utc_offset_h)
    _, daylight_h = _year_of_sun(latitude, longitude, elevation, utc_offset_h)
    clearness = (ANGSTROM[0] + ANGSTROM[1] * relative)[MONTH]
    diffuse = np.where(
        daylight_h * 7.5 <= _SHORT_DAY,
        1.391 - 3.560 * clearness + 4.189 * clearness**2 - 2.137 * clearness**3,
        1.311 - 3.022 * clearness + 3.427 * clearness**2 - 1.821 * clearness**3,
    )
    return radiation_of_days(clearness, diffuse, latitude, longitude, elevation, utc_offset_h), relative


def relative_sunshine(
    sunshine_h: npt.ArrayLike, latitude: float, longitude: float, elevation: float, utc_offset_h: float
) -> Vector:
    """Return hours of sunshine over hours of daylight by month, see `radiation_from_sunshine`, shape (12,). [1]"""
    _, daylight_h = _year_of_sun(latitude, longitude, elevation, utc_offset_h)
    possible_h = np.bincount(MONTH, daylight_h)
    relative: Vector = np.broadcast_to(np.asarray(sunshine_h, dtype=np.float64), 12) / possible_h
    if not ((relative >= 0) & (relative <= 1)).all():
        raise CosimError(
            f"sunshine is {np.round(relative * possible_h, 1).tolist()} h a month: it must not exceed the daylight of "
            f"{np.round(possible_h).tolist()} h"
        )
    return relative


def daily_diffuse(
    clearness: Vector, latitude: float, longitude: float, elevation: float, utc_offset_h: float
) -> Vector:
    """Return the diffuse share of single days' global radiation, Erbs, Klein and Duffie [1]_, shape (365,). [1]

    References
    ----------
    .. [1] Erbs, Klein, Duffie, Estimation of the diffuse radiation fraction for hourly, daily and monthly-average
       global radiation, Solar Energy 28 (1982) 293-302; Duffie and Beckman, eq. 2.11.1.
    """
    short = _year_of_sun(latitude, longitude, elevation, utc_offset_h)[1] * 7.5 <= _SHORT_DAY
    k = clearness
    winter = np.where(k < 0.715, 1.0 - 0.2727 * k + 2.4495 * k**2 - 11.9514 * k**3 + 9.3879 * k**4, 0.143)
    summer = np.where(k < 0.722, 1.0 + 0.2832 * k - 2.5557 * k**2 + 0.8448 * k**3, 0.175)
    return np.where(short, winter, summer)


def radiation_of_days(
    clearness: Vector, diffuse: Vector, latitude: float, longitude: float, elevation: float, utc_offset_h: float
) -> Vector:
    """Return a year of hourly radiation from the clearness of its days.

    Within the day the global radiation follows Collares-Pereira and Rabl ([1]_ eq. 2.13.2), the diffuse the
    extraterrestrial (Liu and Jordan, [1]_ eq. 2.13.3). In hours with a mean solar elevation below 3.7° all
    radiation is diffuse.

    Parameters
    ----------
    clearness, diffuse : shape (365,)
        Global over extraterrestrial radiation of each day, and the share of it that is diffuse. [1]
    latitude, longitude, elevation, utc_offset_h
        Location [°, °, m] and offset of standard time. [h]

    Returns
    -------
    shape (3, 8760)
        Global horizontal, direct normal and diffuse horizontal, means over each hour. [W/m²]

    References
    ----------
    .. [1] Duffie, Beckman, Solar Engineering of Thermal Processes, 4th edition, 2013.
    """
    sun, daylight_h = _year_of_sun(latitude, longitude, elevation, utc_offset_h)
    horizontal = (sun.normal * sun.cosine).reshape(365, -1)
    sunset = np.radians(daylight_h * 7.5)[:, None]
    slope = 0.6609 - 0.4767 * np.sin(sunset - np.pi / 3)
    noon = (horizontal * np.arange(horizontal.shape[1])).sum(axis=1) / horizontal.sum(axis=1)
    angle = 2 * np.pi * (np.arange(horizontal.shape[1]) - noon[:, None]) / horizontal.shape[1]
    shape = horizontal * np.maximum(0.409 + 0.5016 * np.sin(sunset - np.pi / 3) + slope * np.cos(angle), 0.0)
    scale = clearness[:, None] * horizontal.sum(axis=1, keepdims=True) / shape.sum(axis=1, keepdims=True)
    ghi = (shape * scale).reshape(HOURS, PARTS).mean(axis=1)
    dhi = ((diffuse * clearness)[:, None] * horizontal).reshape(HOURS, PARTS).mean(axis=1)
    cosine = sun.cosine.mean(axis=1)
    high = cosine > 0.065
    dhi = np.where(high, np.minimum(dhi, ghi), ghi)
    # The beam is constant while the sun is up (`irradiance`), so the hourly mean uses the mean cosine.
    dni = np.divide(ghi - dhi, cosine, out=np.zeros(HOURS), where=high) * (sun.cosine > 0).mean(axis=1)
    return np.stack((ghi, dni, dhi))


@cache
def _year_of_sun(latitude: float, longitude: float, elevation: float, utc_offset_h: float) -> tuple[_Sun, Vector]:
    """Return the sun of a year of hours in standard time, and the daylight of its days, shape (365,). [h]"""
    zone = dt.timezone(dt.timedelta(hours=utc_offset_h))
    sun = _sun(latitude, longitude, elevation, dt.datetime(2001, 1, 1, tzinfo=zone), HOURS)
    return sun, (sun.cosine > 0).reshape(365, -1).sum(axis=1) / PARTS
