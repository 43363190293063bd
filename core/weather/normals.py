"""Synthetic mean years from published monthly climate normals."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from importlib import resources

import numpy as np

from cosim.core.errors import CosimError
from cosim.core.quantities import Vector

from .solar import radiation_from_sunshine
from .year import HOURS, MONTH, MONTH_DAYS, MONTH_START, WeatherYear, saturation_pressure, sky_infrared


@dataclass(frozen=True)
class Climate:
    """Monthly normals of a place.

    Parameters
    ----------
    station, source
        Name of the station and origin of the figures.
    location
        Latitude, longitude [°], elevation [m] and offset of standard time. [h]
    low, high : shape (365,)
        Mean lowest and highest temperature of each date, whose monthly means are the normals. [°C]
    sunshine_h : shape (12,)
        Sunshine of each month. [h]
    """

    station: str
    source: str
    location: tuple[float, float, float, float]
    low: Vector
    high: Vector
    sunshine_h: Vector


def climate_of(place: str) -> Climate:
    """Return the normals of a place.

    Raises
    ------
    CosimError
        If there are none.
    """
    table = _normals(place)
    low, high, sunshine_h = (np.array([float(x) for x in table[name]]) for name in ("tmin_c", "tmax_c", "sunshine_h"))
    latitude, longitude, elevation, utc_offset_h = (
        float(table[name][0]) for name in ("latitude", "longitude", "elevation_m", "utc_offset_h")
    )
    location = latitude, longitude, elevation, utc_offset_h
    return Climate(table["station"][0], table["source"][0], location, _daily(low), _daily(high), sunshine_h)


def _normals(place: str) -> dict[str, list[str]]:
    text = resources.files("cosim.core.weather").joinpath("climate_normals.csv").read_text("utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    mine = [row for row in rows if row["place"] == place.strip().lower()]
    if not mine:
        known = ", ".join(sorted({row["place"] for row in rows}))
        raise CosimError(f"no climate normals for {place!r} (available: {known}): for other places give an EPW file")
    return {column: [row[column] for row in mine] for column in rows[0]}


def _daily(monthly: Vector) -> Vector:
    """Return 365 daily values, piecewise linear, that reproduce the given monthly means."""
    middle = MONTH_START + MONTH_DAYS / 2
    day = np.arange(365) + 0.5
    knots = np.stack([np.interp(day, middle, unit, period=365) for unit in np.eye(12)], axis=1)
    means = np.stack([knots[month == MONTH].mean(axis=0) for month in range(12)])
    daily: Vector = knots @ np.linalg.solve(means, monthly)
    return daily


def _daily_curve(low: Vector, high: Vector) -> Vector:
    """Return hourly temperatures: half cosines from each day's low at 5 h to its high at 15 h to the next low."""
    hour = np.arange(1, 25)
    rise = 0.5 - 0.5 * np.cos(np.pi * (hour - 5) / 10)
    fall = 0.5 + 0.5 * np.cos(np.pi * ((hour - 15) % 24) / 14)
    from_high = np.where(hour[None, :] < 5, np.roll(high, 1)[:, None], high[:, None])
    to_low = np.where(hour[None, :] > 15, np.roll(low, -1)[:, None], low[:, None])
    rising = low[:, None] + (high - low)[:, None] * rise
    falling = to_low + (from_high - to_low) * fall
    curve: Vector = np.where((hour >= 5) & (hour <= 15), rising, falling).ravel()
    return curve


def synthetic_year(place: str) -> WeatherYear:
    """Return a mean year synthesised from published monthly climate normals.

    Every day is the mean day of its date: there is no day-to-day variability, no cold spell, no heat wave and
    no overcast or clear day, so it yields typical energy but never a design peak. Monthly means of the daily
    minimum and maximum temperature and monthly sunshine reproduce the normals in ``climate_normals.csv``
    (which also gives sources and checks).

    Global radiation follows from sunshine by Ångström-Prescott, 0.25 + 0.50 n/N of the extraterrestrial ([1]_
    eq. 35) and is split and spread over the day by mean-day correlations (`solar.radiation_from_sunshine`).
    Temperature runs in half cosines from the low at 5 h to the high at 15 h standard time (assumption). The dew
    point is the day's lowest temperature ([1]_ eq. 48), the wind 2 m/s throughout ([1]_, in the absence of data),
    pressure the standard atmosphere ([1]_ eq. 7); cloud cover, for the sky's long-wave radiation, is taken as
    1 - n/N (assumption).

    Parameters
    ----------
    place
        ``"barcelona"`` or ``"bologna"``.

    Raises
    ------
    CosimError
        If there are no normals for the place.

    References
    ----------
    .. [1] Allen, Pereira, Raes, Smith, Crop evapotranspiration, FAO Irrigation and Drainage Paper 56, 1998.

    Examples
    --------
    >>> round(float(synthetic_year("barcelona").dry_bulb.mean()), 1)
    16.1
    """
    climate = climate_of(place)
    radiation, relative_sunshine = radiation_from_sunshine(climate.sunshine_h, *climate.location)
    return year_of_days(
        climate,
        climate.low,
        climate.high,
        radiation,
        1.0 - relative_sunshine[MONTH],
        f"mean year from monthly normals: {climate.source}",
    )


def year_of_days(
    climate: Climate, low: Vector, high: Vector, radiation: Vector, cover: Vector, source: str
) -> WeatherYear:
    """Return the weather of days by their temperatures, radiation and clouds, otherwise as in `synthetic_year`.

    Parameters
    ----------
    climate
        The place.
    low, high : shape (365,)
        Lowest and highest temperature of each day. [°C]
    radiation : shape (3, 8760)
        Global horizontal, direct normal and diffuse horizontal. [W/m²]
    cover : shape (365,)
        Opaque sky cover of each day. [1]
    source
        Origin of the data.
    """
    dry_bulb = _daily_curve(low, high)
    humidity = np.minimum(np.repeat(saturation_pressure(low), 24) / saturation_pressure(dry_bulb), 1.0)
    latitude, longitude, elevation, utc_offset_h = climate.location
    return WeatherYear(
        dry_bulb=dry_bulb,
        relative_humidity=humidity,
        ghi=radiation[0],
        dni=radiation[1],
        dhi=radiation[2],
        wind_speed=np.full(HOURS, 2.0),
        pressure=np.full(HOURS, 101300.0 * ((293.0 - 0.0065 * elevation) / 293.0) ** 5.26),
        horizontal_infrared=sky_infrared(dry_bulb, humidity, np.repeat(cover, 24)),
        latitude=latitude,
        longitude=longitude,
        elevation=elevation,
        utc_offset_h=utc_offset_h,
        name=climate.station,
        source=source,
    )
