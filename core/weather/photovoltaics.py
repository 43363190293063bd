"""Photovoltaic yield per watt of peak power over a run."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

import numpy as np
import pvlib

from .solar import irradiance
from .year import Course, WeatherYear, interpolated

TEMPERATURE_COEFFICIENT = -0.0035  # 1/K, crystalline silicon; assumption
SYSTEM_LOSS = 0.14  # of PVWatts [1]_: soiling, shading, mismatch, wiring and availability
INVERTER = 0.96  # nominal efficiency of PVWatts


def pv_yield(
    year: WeatherYear,
    roofs: Mapping[str, tuple[float, float]],
    start_utc: dt.datetime,
    span_s: float,
    albedo: float = 0.2,
) -> Course:
    """Return the AC power of panels per watt of peak power over a run, with exact means over steps. [1]

    Irradiance as `solar.irradiance`, cell temperature by Faiman, power by PVWatts [1]_, all in five-minute intervals.

    Parameters
    ----------
    roofs
        Name to (tilt, azimuth from north clockwise) of the panels. [°]

    References
    ----------
    .. [1] Dobos, PVWatts version 5 manual, NREL/TP-6A20-62641, 2014; as implemented in pvlib.

    Examples
    --------
    >>> from cosim.core.weather.normals import synthetic_year
    >>> noon = dt.datetime(2025, 6, 21, 12, tzinfo=dt.UTC)
    >>> power = pv_yield(synthetic_year("barcelona"), {"roof": (30, 180)}, noon, 3600)
    >>> bool(0.4 < power.mean(0.0, 3600.0)[0, 0] < 0.8)
    True
    """
    sun = irradiance(year, roofs, start_utc, span_s, albedo)
    begins, ends = sun.times[:-1], sun.times[1:]
    air = interpolated(year, ["dry_bulb", "wind_speed"], start_utc, span_s).mean(begins, ends)
    light = np.maximum(sun.mean(begins, ends), 0.0)
    cell = pvlib.temperature.faiman(light, air[:, :1], air[:, 1:])
    direct = pvlib.pvsystem.pvwatts_dc(light, cell, 1.0, TEMPERATURE_COEFFICIENT) * (1 - SYSTEM_LOSS)
    power = np.asarray(pvlib.inverter.pvwatts(direct, 1.0 / INVERTER, INVERTER), dtype=np.float64)
    return Course(sun.times, power, power)
