"""Does the zone kernel, fed with published constructions, land among the reference programs of Standard 140?

One method turns any case of ``case_definitions.json`` into a zone; nothing is tuned by case:

- Opaque layers become the two masses by `cosim.core.envelope`: walls and roof the exterior mass, the floor, whose
  far side is insulated so well that the file calls it dominated by resistance, the interior mass; what still flows
  through the floor joins the losses of the air.
- Convection at all surfaces by the constant coefficients that Standard 140-2020 gives with Case 600 for programs
  that compute none; long-wave radiation is computed: linear at 20 °C between grey surfaces inside, linear at the
  outdoor temperature outside. The floor sees outdoor air without sun, wind and sky.
- What depends on the outdoor temperature (radiation outside, the gaps of the windows, which lie between it and the
  room as the resistances say) is tabulated every 10 K, and each step takes the nearest row: the step stays exact.
- Windows by `cosim.core.glazing`, beam at its angle, sky and ground as isotropic diffuse, shades of windows
  and of the walls around them by tracing rays from points of both. Sun absorbed in the panes flows inwards by its
  share of the resistance.
- Sun in the room falls on the floor first and is then reflected diffusely, on every surface but a plane by area,
  until it is absorbed or leaves through the glass.
- Walls, roof and windows lose heat to the sky by the file's horizontal infrared, split over sky and air as in
  EnergyPlus' engineering reference (after Walton).
- Infiltration and fans move the air of the weather file's mean pressure.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cosim.core.envelope import Component, Layer, parallel
from cosim.core.glazing import Glazing
from cosim.core.solar import Rays, irradiance, rays
from cosim.core.weather import STEFAN_BOLTZMANN, Course, WeatherYear, interpolated, run_hours
from cosim.core.zones import Array, ZoneParameters, Zones
from cosim.scenarios.validation.bestest_file import (
    AIR_CONSTANT,
    METRICS,
    Figure,
    read_fan,
    read_intervals,
    read_points,
    read_reference,
    read_window,
)
from cosim.scenarios.validation.cases import Entry, read_json
from cosim.scenarios.validation.shading import Window, diffuse_views, wall_share, window_share

AZIMUTHS = {"N": 0.0, "E": 90.0, "S": 180.0, "W": 270.0}
STEP_S = 300.0
LEAD_H = 30 * 24
"""Hours before the year begins, for the masses to forget their initial temperature."""
CONVECTION_OUT = {"wall": 11.9, "roof": 14.4, "floor": 0.8, "window": 8.0}
CONVECTION_IN = {"wall": 2.2, "roof": 1.8, "floor": 2.2, "window": 2.4}
"""Outside and inside, ANSI/ASHRAE Standard 140-2020, Case 600, alternative constant coefficients. [W/(m² K)]"""
LEVELS = np.arange(-30.0, 41.0, 10.0)
"""Outdoor temperatures at which the coefficients that depend on it are tabulated. [°C]"""
AIR_HEAT = 1006.0  # J/(kg K)
ROOM = 20.0  # °C, what the gaps of the windows and the surfaces of the room radiate at, with the outdoor temperature


@dataclass(frozen=True)
class _Site:
    """What all cases share: the weather, and the sun on every face of the box, by step."""

    steps: int
    outdoor: Array
    sky_deficit: Array
    """Radiation that a horizontal black body at air temperature loses to the sky. [W/m²]"""
    sun: dict[str, Array]
    """Irradiance of the four walls and the roof. [W/m²]"""
    rays: dict[str, Rays]
    starts: Array
    hour_of_day: Array
    level: npt.NDArray[np.int64]
    """Nearest of `LEVELS` to the outdoor temperature."""
    density: float

    def mean(self, times: Array, values: Array) -> Array:
        return Course(times, values[:, None], values[:, None]).mean(self.starts, self.starts + STEP_S)[:, 0]


def _site(year: WeatherYear, albedo: float, walls: Sequence[str]) -> _Site:
    zone = dt.timezone(dt.timedelta(hours=year.utc_offset_h))
    start = dt.datetime(2001, 1, 1, tzinfo=zone) - dt.timedelta(hours=LEAD_H)
    hours = 8760 + LEAD_H
    steps, span = round(hours * 3600 / STEP_S), hours * 3600.0
    starts: Array = np.arange(steps, dtype=np.float64) * STEP_S
    outdoor = interpolated(year, ["dry_bulb"], start, span).mean(starts, starts + STEP_S)[:, 0]
    _, index = run_hours(year, start, span)
    infrared = np.repeat(year.horizontal_infrared[index[1:]], round(3600 / STEP_S))
    faces = {wall: (90.0, AZIMUTHS[wall]) for wall in walls} | {"roof": (0.0, 180.0)}
    sun = irradiance(year, faces, start, span, albedo).mean(starts, starts + STEP_S)
    return _Site(
        steps, outdoor, STEFAN_BOLTZMANN * (outdoor + 273.15) ** 4 - infrared,
        dict(zip(faces, sun.T, strict=True)),
        {wall: rays(year, 90.0, AZIMUTHS[wall], start, span, albedo) for wall in walls},
        starts, (starts / 3600) % 24, np.abs(outdoor[:, None] - LEVELS).argmin(axis=1),
        float(year.pressure.mean()) / (AIR_CONSTANT * (ROOM + 273.15)),
    )  # fmt: skip


SKY_SHARE = {"wall": 0.5 * math.sqrt(0.5), "roof": 1.0}
"""View factor to the sky times the share of it that is at sky temperature, EnergyPlus Engineering Reference."""


@dataclass(frozen=True)
class _Case:
    """One case made ready: parameters of its zone, windows shut and with the fan, and its drives by step."""

    name: str
    zone: ZoneParameters
    fan: ZoneParameters
    blows: Array
    equivalent: Array
    window: Array
    gains: tuple[Array, Array, Array]
    heat_to: Array
    cool_to: Array


class _Envelope(NamedTuple):
    """A case's zone by level of the outdoor temperature, and what sun and sky act through."""

    zone: ZoneParameters
    area: float
    """Of walls and roof without windows. [m²]"""
    glass_area: float
    outer: Array
    """Outer films of the four walls and the roof, shape (5, n_levels). [W/(m² K)]"""
    shares: Array
    """Their shares of the heat that walls and roof lose, shape (5, n_levels)."""
    films: Array
    """Outer film of the windows, shape (n_levels,). [W/(m² K)]"""
    inward: Array
    """Share of the heat absorbed in each pane that flows inwards, shape (n_levels, n_panes)."""


class Suite:
    """The cases of a folder, ready to run together.

    Parameters
    ----------
    folder
        Holds ``case_definitions.json`` and ``reference.csv``.
    year
        The weather.

    Raises
    ------
    InputFileError
        Naming the place in the file, if something is missing, unknown or out of range.
    """

    def __init__(self, folder: Path, year: WeatherYear) -> None:
        self._file = read_json(folder / "case_definitions.json")
        self.reference = read_reference(folder / "reference.csv")
        geometry = self._file["geometry"]
        self._x, self._y, self._z = (geometry[name].number(0.1, 1000) for name in ("x_m", "y_m", "h_m"))
        self._floor = geometry["floor_m2"].number(0.1, 1e6)
        self._volume = geometry["volume_m3"].number(0.1, 1e7)
        gross = geometry["walls_gross_m2"]
        self._gross = {wall: gross[wall].number(0.1, 1e6) for wall in AZIMUTHS}
        self._wall_width = {"N": self._x, "S": self._x, "E": self._y, "W": self._y}
        surface, glass, gains = self._file["surface"], self._file["glass"], self._file["gains"]
        self._absorbs_out = surface["sol_abs_ext"].number(0, 1)
        self._absorbs_in = surface["sol_abs_int"].number(0.01, 1)
        self._emissivity = surface["emissivity"].number(0.01, 1)
        self._glazing = Glazing(
            int(glass["panes"].number(1, 5)) if "panes" in glass else 2,
            glass["pane_mm"].number(0.1, 100) / 1000, glass["k"].number(0.01, 100),
            glass["tau_sol"].number(0.01, 1), glass["rho_sol"].number(0.001, 1),
            glass["emis"].number(0.01, 1), glass["gap_mm_air"].number(1, 100) / 1000,
        )  # fmt: skip
        self._convective = gains["convective_W"].number(0, 1e6)
        self._radiative = gains["radiative_W"].number(0, 1e6)
        self._changes = self._file["infiltration"]["ach_sea"].number(0, 100)
        self._site = _site(year, surface["albedo"].number(0, 1), list(AZIMUTHS))
        self._panes: dict[Window, tuple[Array, Array]] = {}
        cases = self._file["cases"]
        if not list(cases):
            cases.refuse("it is empty: give at least one case")
        self.cases = [self._case(name, cases[name]) for name in cases]

    def _components(
        self, mass: Entry, window_area: Mapping[str, float]
    ) -> tuple[list[Component], Component, Component]:
        kinds = self._file["layers_out_to_in"]
        kind = kinds[mass.one_of([name for name in kinds if name != "columns"])]

        def layers(part: str) -> tuple[Layer, ...]:
            rows = [[number.number(0, 1e5) for number in row.items(4)] for row in kind[part].items()]
            return tuple(Layer(*row) for row in reversed(rows))

        for wall, area in window_area.items():
            if area >= self._gross[wall]:
                mass.refuse(f"its windows on wall {wall} take {area:g} of {self._gross[wall]:g} m²")
        walls = [Component(self._gross[w] - window_area[w], layers("wall")) for w in AZIMUTHS]
        return walls, Component(self._floor, layers("roof")), Component(self._floor, layers("floor"), adiabatic=True)

    def _outer_film(self, part: str, emissivity: float) -> Array:
        """Outer film by level of the outdoor temperature: convection and linear radiation. [W/(m² K)]"""
        return np.asarray(CONVECTION_OUT[part] + 4 * emissivity * STEFAN_BOLTZMANN * (LEVELS + 273.15) ** 3)

    def _case(self, name: str, case: Entry) -> _Case:
        site = self._site
        windows = [read_window(entry, self._wall_width, self._z) for entry in case["windows"].items()]
        envelope = self._envelope(case["mass"], windows)
        zone = envelope.zone
        flow, blows = read_fan(case.get("ventilation_fan"), site.hour_of_day, self._volume, site.density)
        fan = replace(zone, outdoor_conductance=zone.outdoor_conductance + site.density * AIR_HEAT * flow)
        heat_to = read_points(case.get("heating_setpoint"), site.hour_of_day, STEP_S)
        cool_to = read_intervals(case.get("cooling_setpoint"), site.hour_of_day)
        if not (heat_to <= cool_to).all():
            k = int(np.argmin(heat_to <= cool_to))
            case.refuse(
                f"at {site.hour_of_day[k]:g} h it heats to {heat_to[k]:g} and cools to {cool_to[k]:g} °C: "
                "the heating setpoint must not be above the cooling setpoint"
            )
        behind, gains = self._through_windows(envelope, windows)
        return _Case(name, zone, fan, blows, self._behind_walls(envelope, windows), behind, gains, heat_to, cool_to)

    def _envelope(self, mass: Entry, windows: Sequence[Window]) -> _Envelope:
        """Reduce layers, films and panes to the zone's parameters, by level of the outdoor temperature."""
        glass = {wall: sum(w.area for w in windows if w.orientation == wall) for wall in AZIMUTHS}
        walls, roof, floor = self._components(mass, glass)
        wall_area, glass_area = sum(w.area for w in walls), sum(glass.values())
        exterior, area = [*walls, roof], wall_area + self._floor
        r_ext, c_ext = parallel(exterior)
        r_int, c_int = parallel([floor])
        # Two grey surfaces, the floor inside all others.
        dull = 1 / self._emissivity - 1
        exchange = 1 / (1 / self._emissivity + dull * self._floor / (area + glass_area))
        h_rad = 4 * STEFAN_BOLTZMANN * (ROOM + 273.15) ** 3 * exchange
        h_ext = (CONVECTION_IN["wall"] * wall_area + CONVECTION_IN["roof"] * self._floor) / area

        under = 1 / (CONVECTION_IN["floor"] + h_rad) + 1 / self._outer_film("floor", self._emissivity)
        air = self._site.density * AIR_HEAT * self._volume
        outdoor = 1 / (floor.resistance + under / self._floor) + air * self._changes / 3600
        outer = np.array([self._outer_film("roof" if c is roof else "wall", self._emissivity) for c in exterior])
        areas, resistances = (np.array([[getattr(c, name)] for c in exterior]) for name in ("area", "resistance"))
        u_area = 1 / (resistances + 1 / (outer * areas))

        films, pane = self._outer_film("window", self._glazing.emissivity), self._glazing.resistance()
        share = (1 / films + pane / 2) / (1 / films + pane + 1 / (CONVECTION_IN["window"] + h_rad))
        gaps = LEVELS + share * (ROOM - LEVELS)
        glass_u = np.array([1 / (1 / f + self._glazing.resistance(t)) for f, t in zip(films, gaps, strict=True)])
        inward = np.array([self._glazing.inward(1 / f, 0.0, t) for f, t in zip(films, gaps, strict=True)])
        ones = np.ones(len(LEVELS))
        zone = ZoneParameters(
            air_capacity=ones * air, exterior_capacity=ones * c_ext, interior_capacity=ones * c_int,
            r_exterior=ones * r_ext, r_interior=ones * r_int, r_rest=1 / u_area.sum(axis=0) - r_ext,
            exterior_area=ones * area, interior_area=ones * self._floor, outdoor_conductance=outdoor,
            h_exterior=h_ext, h_interior=CONVECTION_IN["floor"], h_radiation=h_rad,
            window_area=glass_area, window_conductance=glass_u * glass_area, h_window=CONVECTION_IN["window"],
        )  # fmt: skip
        return _Envelope(zone, area, glass_area, outer, u_area / u_area.sum(axis=0), films, inward)

    def _behind_walls(self, envelope: _Envelope, windows: Sequence[Window]) -> Array:
        """Return the equivalent outdoor temperature of walls and roof, with sun and sky, in every step."""
        site, found = self._site, self._site.outdoor.copy()
        for face, share, film in zip([*AZIMUTHS, "roof"], envelope.shares, envelope.outer, strict=True):
            to_sky = SKY_SHARE["roof" if face == "roof" else "wall"] * self._emissivity * site.sky_deficit
            sun = self._sun_on(face, [w for w in windows if w.orientation == face])
            found += (share / film)[site.level] * (self._absorbs_out * sun - to_sky)
        return found

    def _through_windows(
        self, envelope: _Envelope, windows: Sequence[Window]
    ) -> tuple[Array, tuple[Array, Array, Array]]:
        """Return the equivalent temperature behind the windows, and all gains: convective, exterior and interior."""
        site, zone, panes = self._site, envelope.zone, self._glazing.panes
        transmitted, absorbed = np.zeros(site.steps), np.zeros((site.steps, panes))
        for window in windows:
            through, caught = self._sun_through(window)
            transmitted += window.area * through
            absorbed += window.area * caught
        on_floor, on_walls, on_glass = self._absorbed_in_room(envelope.area, envelope.glass_area)
        absorbed += np.outer(on_glass * transmitted, self._glazing.diffuse[1][::-1])
        to_sky = SKY_SHARE["wall"] * self._glazing.emissivity * site.sky_deficit
        behind = site.outdoor - to_sky / envelope.films[site.level]
        if windows:
            # Heat absorbed in the panes lifts the temperature behind the inner surface as if it came from outdoors.
            inward = (absorbed * envelope.inward[site.level]).sum(axis=1)
            behind += inward / np.asarray(zone.window_conductance)[site.level]
        share = zone.exterior_share[0]
        return behind, (
            np.full(site.steps, self._convective),
            share * self._radiative + on_walls * transmitted,
            (1 - share) * self._radiative + on_floor * transmitted,
        )

    def _shaded(self, windows: Sequence[Window], share: Callable[..., Array]) -> tuple[Array, Array]:
        """Direct and diffuse radiation past the shades of windows of one wall, `share` saying what sees a direction."""
        ray, size = self._site.rays[windows[0].orientation], (self._wall_width[windows[0].orientation], self._z)
        if not any(window.shaded for window in windows):
            return ray.direct, ray.sky + ray.ground
        direct, up = np.zeros_like(ray.direct), ray.direct > 0
        direct[up] = ray.direct[up] * share(*size, ray.height[up], ray.turn[up])
        sky, ground = diffuse_views(partial(share, *size))
        return direct, sky * ray.sky + ground * ray.ground

    def _sun_on(self, wall: str, windows: Sequence[Window]) -> Array:
        """Mean irradiance of a wall around its windows in every step, shape (steps,). [W/m²]"""
        if not any(window.shaded for window in windows):
            return self._site.sun[wall]
        direct, diffuse = self._shaded(windows, partial(wall_share, windows))
        return self._site.mean(self._site.rays[wall].times, direct + diffuse)

    def _sun_through(self, window: Window) -> tuple[Array, Array]:
        """Mean transmitted [W/m²] and absorbed sun by pane in every step, shape (steps,) and (steps, panes)."""
        if window not in self._panes:
            ray = self._site.rays[window.orientation]
            direct, diffuse = self._shaded([window], partial(window_share, window))
            tau, alpha = self._glazing.optics(ray.cosine)
            tau_diffuse, alpha_diffuse = self._glazing.diffuse
            through = self._site.mean(ray.times, tau * direct + tau_diffuse * diffuse)
            caught = [
                self._site.mean(ray.times, a * direct + d * diffuse) for a, d in zip(alpha, alpha_diffuse, strict=True)
            ]
            self._panes[window] = through, np.stack(caught, axis=1)
        return self._panes[window]

    def _absorbed_in_room(self, walls: float, glass: float) -> tuple[float, float, float]:
        """Share of the transmitted sun absorbed by the floor, by walls and roof, and falling on the glass."""
        a, every = self._absorbs_in, walls + glass + self._floor
        leaves = self._glazing.diffuse[0] + float(self._glazing.diffuse[1].sum())
        areas = np.array([self._floor, walls, glass])
        absorbs = np.array([a, a, leaves])
        # Reflected light from floor to the others by area; from walls and glass, many planes, to all by area.
        to = np.tile(areas / every, (3, 1))
        to[0] = [0.0, areas[1] / (every - areas[0]), areas[2] / (every - areas[0])]
        first = np.array([1.0, 0.0, 0.0])
        falls = np.linalg.solve(np.eye(3) - (to * (1 - absorbs)[:, None]).T, first)
        return float(falls[0] * a), float(falls[1] * a), float(falls[2])

    def figures(self) -> list[Figure]:
        """Run a year of all cases together and return every figure of the reference, and of cases without one."""
        results = self._run()
        rows = []
        for name, result in results.items():
            wanted = [metric for case, metric in self.reference if case == name] or list(result)
            for metric in wanted:
                low, high = self.reference.get((name, metric), (None, None))
                rows.append(Figure(name, metric, result[metric], low, high))
        return rows

    @property
    def undefined(self) -> list[str]:
        """Cases that the reference knows and the definitions do not."""
        return sorted({case for case, _ in self.reference} - {case.name for case in self.cases})

    def _run(self) -> dict[str, dict[str, float]]:
        cases, site = self.cases, self._site
        parameters = cases[0].zone
        for extra in [*(c.zone for c in cases[1:]), *(c.fan for c in cases)]:
            parameters = parameters + extra
        n = len(cases)
        zones = Zones(parameters, np.arange(n), 1.0, ROOM)
        equivalent, window, heat_to, cool_to, blows = (
            np.stack(columns, axis=1)
            for columns in zip(*((c.equivalent, c.window, c.heat_to, c.cool_to, c.blows) for c in cases), strict=True)
        )
        gains = [np.stack([c.gains[k] for c in cases], axis=1) for k in range(3)]
        heats, cools = np.where(np.isfinite(heat_to), np.inf, 0.0), np.where(np.isfinite(cool_to), np.inf, 0.0)
        power, air = np.empty((site.steps, n)), np.empty((site.steps, n))
        own = len(LEVELS) * np.arange(n)
        for k in range(site.steps):
            zones.archetype = own + site.level[k] + len(LEVELS) * n * blows[k]
            step = zones.step(
                STEP_S, site.outdoor[k], equivalent=equivalent[k], window=window[k],
                gain_air=gains[0][k], gain_exterior=gains[1][k], gain_interior=gains[2][k],
                heating_setpoint=heat_to[k], cooling_setpoint=cool_to[k],
                heating_capacity=heats[k], cooling_capacity=cools[k],
            )  # fmt: skip
            power[k], air[k] = step.power, step.air
        hourly = [x.reshape(-1, round(3600 / STEP_S), n).mean(axis=1)[LEAD_H:] for x in (power, air)]
        heat = np.maximum(power, 0).reshape(-1, round(3600 / STEP_S), n).mean(axis=1)[LEAD_H:]
        cool = heat - hourly[0]
        columns = (
            heat.sum(axis=0) * 1e-6, cool.sum(axis=0) * 1e-6, heat.max(axis=0) * 1e-3, cool.max(axis=0) * 1e-3,
            hourly[1].max(axis=0), hourly[1].min(axis=0), hourly[1].mean(axis=0),
        )  # fmt: skip
        return {
            case.name: {metric: float(column[i]) for metric, column in zip(METRICS, columns, strict=True)}
            for i, case in enumerate(cases)
        }
