"""Weather adapter: weather of one place as exact means over steps."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pvlib

from cosim.core import Adapter, Clock, CosimError, InputFileError, Output, Step
from cosim.core.quantities import DAY_S, HOUR_S
from cosim.core.weather.epw import read_epw
from cosim.core.weather.normals import synthetic_year
from cosim.core.weather.photovoltaics import pv_yield
from cosim.core.weather.seeded import seeded_year
from cosim.core.weather.solar import CLEAR_DOUBLE, SURFACES, irradiance
from cosim.core.weather.year import (
    HOURS,
    MONTH_DAYS,
    MONTH_START,
    Course,
    WeatherYear,
    covered_s,
    interpolated,
    run_hours,
)

_YEAR_S = HOURS * HOUR_S
_AIR = ("dry_bulb", "wind_speed", "relative_humidity", "wind_east", "wind_north")
ROLES = {
    "outdoor_temperature": "temperature",
    "irradiance": "irradiance",
    "window_irradiance": "window_irradiance",
    "ground_temperature": "ground_temperature",
    "pv_yield": "pv_yield",
    "wind_speed": "wind_speed",
    "wind_velocity": "wind_velocity",
    "humidity": "humidity",
}
"""Inputs of other adapters, and the output of the weather that feeds each."""
PV_ROOFS = {"roof": (30.0, 180.0)}
STATE_FILE = "weather.json"
_OPEN_RUN_S = 7 * DAY_S
_STEPS_AHEAD, _PER_S = 1024, 1_000_000
"""Time span for which the weather of an open-ended run is computed at once. [s]"""
_FARTHEST_H = 3.0
"""Largest difference between a place's solar time and the standard time of a zone that it may lie in. [h] The largest
in use is about 3 h, in the west of China."""


def load(name_or_path: str | Path, seed: int | None = None) -> WeatherYear:
    """Return the year of a city that has normals, or read an EPW file.

    Parameters
    ----------
    name_or_path
        The city or the file.
    seed
        Draw the city's year around its normals, instead of taking the mean year.

    Raises
    ------
    CosimError
        If it is neither a known city nor a path ending in ``.epw``, or a seed goes with a file.
    InputFileError
        If the file is missing or malformed.

    Examples
    --------
    >>> load("bologna").name
    'Bologna Marconi AP'
    """
    if Path(name_or_path).suffix.lower() == ".epw":
        if seed is not None:
            raise CosimError(
                f"weather {str(name_or_path)!r} is the year of a file, and seeded years vary around the normals of a "
                "city: pass weather='barcelona' or 'bologna', or weather_year='given'"
            )
        return read_epw(name_or_path)
    try:
        return synthetic_year(str(name_or_path)) if seed is None else seeded_year(str(name_or_path), seed)
    except CosimError as error:
        raise CosimError(
            f"weather {str(name_or_path)!r} is neither a city nor a path ending in .epw; {error}"
        ) from error


def elsewhere(year: WeatherYear, clock: Clock) -> str:
    """Return in words that the place of the weather lies far from the clock's time zone; empty if it may lie there.

    Examples
    --------
    >>> elsewhere(load("barcelona"), Clock("2025-01-15", hours=1, zone="America/Denver"))
    'Barcelona El Prat AP at longitude 2.1 is 7.1 h from the standard time of America/Denver'
    >>> elsewhere(load("barcelona"), Clock("2025-01-15", hours=1, zone="Europe/Madrid"))
    ''
    """
    apart = (year.longitude / 15.0 - clock.utc_offset_h + 12.0) % 24.0 - 12.0
    if abs(apart) <= _FARTHEST_H:
        return ""
    return f"{year.name} at longitude {year.longitude:.1f} is {abs(apart):.1f} h from the standard time of {clock.zone}"


def ground_wave(year: WeatherYear, depth_m: float, diffusivity_m2_s: float) -> tuple[float, float, float]:
    """Return mean, amplitude and phase of the undisturbed ground's yearly wave ([1]_, [°C], [K], [rad]).

    The surface follows the first harmonic of the year's own air temperature (Kusuda and Achenbach fit the same
    form to monthly means); with depth the wave is damped by exp(-z/d) and lags by z/d, d = sqrt(a P / pi) for a
    period P of one year. The temperature at a fraction f of the year is ``mean + amplitude * cos(2 pi f - phase)``.
    Where the weather covers a part of the year only, the wave is fitted to the monthly ground temperatures of its file.

    Raises
    ------
    CosimError
        If the weather covers a part of the year only and its file has no ground temperatures.

    References
    ----------
    .. [1] Kusuda, Achenbach, Earth temperature and thermal diffusivity at selected stations in the United States,
       ASHRAE Transactions 71 (1965) 61-75; National Bureau of Standards report 8972.
    """
    if year.is_partial:
        return _wave_from_file(year, depth_m, diffusivity_m2_s)
    fraction = (np.arange(HOURS) + 1.0) / HOURS
    wave = 2.0 * np.mean(year.dry_bulb * np.exp(2j * np.pi * fraction))
    damping = depth_m / np.sqrt(diffusivity_m2_s * _YEAR_S / np.pi)
    return float(year.dry_bulb.mean()), float(abs(wave) * np.exp(-damping)), float(np.angle(wave) + damping)


def _wave_from_file(year: WeatherYear, depth_m: float, diffusivity_m2_s: float) -> tuple[float, float, float]:
    """Return the ground's wave from monthly means at the depth that the file gives, see `ground_wave`."""
    if year.ground is None:
        raise CosimError(
            f"{year.source} ({year.name}) covers a part of the year and has no GROUND TEMPERATURES: the ground needs a "
            "whole year of air or that row; add one of them"
        )
    measured_m, *monthly = year.ground
    middle = (MONTH_START + MONTH_DAYS / 2.0) / 365.0
    waves = np.stack((np.ones(12), np.cos(2 * np.pi * middle), np.sin(2 * np.pi * middle)), axis=1)
    mean, cosine, sine = np.linalg.lstsq(waves, np.array(monthly), rcond=None)[0]
    further = (depth_m - measured_m) / np.sqrt(diffusivity_m2_s * _YEAR_S / np.pi)
    amplitude, phase = np.hypot(cosine, sine), np.arctan2(sine, cosine)
    return float(mean), float(amplitude * np.exp(-further)), float(phase + further)


class Weather(Adapter):
    """Weather of one place, as exact means over steps of any length.

    The clock's calendar day and hour select the records of the weather year, regardless of the clock's year;
    29 February repeats the 28th, and January follows December. Irradiance onto the surface is positive; that of
    windows is reduced by the reflection of glass at oblique incidence (`solar.irradiance`). `wind_velocity` points to
    where the wind blows; its length over `wind_speed` says how steady the direction is, and is 0 where the source has
    none.

    Parameters
    ----------
    clock
        Start and, if known, length of the run.
    year
        The weather, see `load`.
    surfaces
        Name to (tilt from the horizontal, azimuth from north clockwise) [°]; horizontal and eight vertical
        orientations by default.
    pv_roofs
        Name to (tilt, azimuth) of solar panels [°] whose power per watt of peak is published; by default 30° south.
    albedo
        Reflectance of the ground. [1]
    ground_depth_m
        Depth of the undisturbed ground temperature. [m] By default 1 m, where pipes and foundations lie.
    ground_diffusivity_m2_s
        Thermal diffusivity of the soil. [m²/s] The default is an assumption for moist soil.

    Raises
    ------
    CosimError
        If depth or diffusivity is out of range, the weather does not cover the run, or an angle of a surface is out of
        range (then in `open`).

    Examples
    --------
    >>> clock = Clock("2025-01-15", hours=24, zone="Europe/Madrid")
    >>> weather = Weather(clock, load("barcelona"))
    >>> weather.open()
    >>> weather.advance(Step(12 * 3600, 3600))
    >>> weather.temperature.value.round(1), weather.irradiance.labels[:2]
    (array([12.1]), ('horizontal', 'north'))
    """

    placement = "inline"

    def __init__(
        self,
        clock: Clock,
        year: WeatherYear,
        surfaces: Mapping[str, tuple[float, float]] = SURFACES,
        *,
        pv_roofs: Mapping[str, tuple[float, float]] = PV_ROOFS,
        albedo: float = 0.2,
        ground_depth_m: float = 1.0,
        ground_diffusivity_m2_s: float = 6e-7,
    ) -> None:
        if not (0 <= ground_depth_m < 1000 and 1e-8 < ground_diffusivity_m2_s < 1e-5):
            raise CosimError(
                f"ground at {ground_depth_m} m with diffusivity {ground_diffusivity_m2_s} m²/s: the depth must be 0 to "
                "1000 m, the diffusivity of soils is 2e-7 to 1e-6 m²/s"
            )
        if year.is_partial:
            run_hours(year, clock.utc(0.0), (clock.n_steps or 1) * clock.step_s)
        self.clock = clock
        self.year = year
        self.surfaces = dict(surfaces)
        self.pv_roofs = dict(pv_roofs)
        self.albedo = albedo
        self.ground = ground_wave(year, ground_depth_m, ground_diffusivity_m2_s)
        self.files = [] if year.path is None else [year.path]
        self.temperature = Output("degC", labels=["outdoor"], kind="mean")
        self.irradiance = Output("W/m**2", labels=self.surfaces, kind="mean")
        self.window_irradiance = Output("W/m**2", labels=self.surfaces, kind="mean")
        self.wind_speed = Output("m/s", labels=["outdoor"], kind="mean")
        self.wind_velocity = Output("m/s", labels=["east", "north"], kind="mean")
        self.humidity = Output("1", labels=["outdoor"], kind="mean")
        self.ground_temperature = Output("degC", labels=["ground"], kind="mean")
        self.pv_yield = Output("1", labels=self.pv_roofs, kind="mean")

    def open(self) -> None:
        """Compute the weather of the whole run, or of its first week if the run is open-ended."""
        steps = self.clock.n_steps
        span_s = self._open_span_s(0.0, self.clock.step_s) if steps is None else steps * self.clock.step_s
        self._compute(0.0, span_s)
        for note in self.year.notes:
            self.report("weather filled", self.year.name, note)
        for text in self.year.days:
            self.report("weather day", self.year.name, text)
        if words := elsewhere(self.year, self.clock):
            self.report("weather of another zone", self.year.name, f"{words}: its sun follows its own place and time")

    def _open_span_s(self, start_s: float, step_s: float) -> float:
        """Return for how long to compute an open-ended run at once. [s]"""
        if not self.year.is_partial:
            return max(step_s, _OPEN_RUN_S)
        return max(step_s, covered_s(self.year, self.clock.utc(start_s), _OPEN_RUN_S))

    def _compute(self, start_s: float, span_s: float) -> None:
        start = self.clock.utc(start_s)
        self._from_s, self._until_s = start_s, start_s + span_s
        self._air: Course = interpolated(self.year, _AIR, start, span_s)
        self._sun: Course = irradiance(self.year, self.surfaces, start, span_s, self.albedo)
        self._windows: Course = irradiance(self.year, self.surfaces, start, span_s, self.albedo, CLEAR_DOUBLE)
        self._row: dict[tuple[float, float], int] = {}
        self._pv: Course = pv_yield(self.year, self.pv_roofs, start, span_s, self.albedo)

    def advance(self, step: Step) -> None:
        """Assign the means over the step."""
        if step.start_s < self._from_s or step.end_s > self._until_s + 1e-6:
            self._compute(step.start_s, self._open_span_s(step.start_s, step.length_s))
        key = round(step.start_s * _PER_S), round(step.end_s * _PER_S)
        if key not in self._row:
            self._look_ahead(step)
        k = self._row[key]
        air, self.irradiance.value, self.window_irradiance.value, self.pv_yield.value = (m[k] for m in self._means)
        self.temperature.value, self.wind_speed.value, self.humidity.value = air[0], air[1], air[2]
        self.wind_velocity.value = air[3:]
        self.ground_temperature.value = self._ground_mean(self.clock.utc(step.start_s), step.length_s)

    def _look_ahead(self, step: Step) -> None:
        """Compute the means of this step and of equal ones that follow it, which is much quicker than one by one."""
        number = max(int(min((self._until_s - step.start_s) / step.length_s, _STEPS_AHEAD)), 1)
        times = np.append(step.start_s, step.end_s + step.length_s * np.arange(number))
        ticks = np.rint(times * _PER_S).astype(np.int64)  # whole microseconds, wherever looking ahead began
        starts, ends = ticks[:-1] / _PER_S, ticks[1:] / _PER_S
        air, *rest = (
            course.mean(starts - self._from_s, ends - self._from_s)
            for course in (self._air, self._sun, self._windows, self._pv)
        )
        self._means = [air, *(np.maximum(mean, 0.0) for mean in rest)]  # rounding may leave -1e-9
        self._row = {pair: k for k, pair in enumerate(zip(ticks[:-1].tolist(), ticks[1:].tolist()))}

    def _ground_mean(self, start: dt.datetime, length_s: float) -> float:
        lead_s, index = run_hours(self.year, start, length_s)
        mean, amplitude, phase = self.ground
        begin = 2 * np.pi * (index[1] * HOUR_S + lead_s) / _YEAR_S - phase
        end = begin + 2 * np.pi * length_s / _YEAR_S
        return float(mean + amplitude * (np.sin(end) - np.sin(begin)) / (end - begin))

    def close(self) -> None:
        """Do nothing: no simulator has to be stopped."""

    def save(self, folder: Path) -> None:
        """Write the span of the run for which the weather is computed, the only state."""
        (folder / STATE_FILE).write_text(json.dumps([self._from_s, self._until_s]), encoding="utf-8")

    def load(self, folder: Path) -> None:
        """Compute the same span again.

        Raises
        ------
        InputFileError
            If the folder holds no saved state.
        """
        try:
            start_s, until_s = (float(x) for x in json.loads((folder / STATE_FILE).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise InputFileError(f"cannot read the weather's state in {folder}: {error}") from error
        self._compute(start_s, until_s - start_s)

    def versions(self) -> dict[str, str]:
        """Return the version of pvlib, which computes sun and sky."""
        return {"pvlib": str(pvlib.__version__)}
