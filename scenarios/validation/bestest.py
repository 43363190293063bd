"""Standard 140 cases run by the zone kernel, for comparison with the reference programs.

One method turns any case of ``case_definitions.json`` into a zone; nothing is tuned by case:

- Opaque layers are reduced to the two masses by `cosim.core.buildings.envelope` at the period of a day: walls and roof
  to the exterior mass; the floor, whose far side is so well insulated that the file calls it dominated by resistance,
  to the interior mass. The remaining flow through the floor is added to the losses of the air.
- Convection inside is natural and follows each surface's temperature (TARP), corrected for the density of the air;
  outside it follows the local wind at the surfaces' height too (DOE-2). Long-wave radiation is not linearised, inside
  between grey surfaces, outside to sky, air and ground. The zone's step stays exact: what the films of the moment
  exchange beyond constant ones acts as gains within a step (`cosim.core.buildings.convection`). The floor is exposed
  to outdoor air without sun, wind and sky.
- Windows follow `cosim.core.weather.glazing`, with beam radiation at its angle and isotropic diffuse radiation from sky
  and ground. Shades of windows and of the walls around them are computed by ray tracing from points on both. The panes
  have their own heat balance with the sun that they absorb, and gaps by EN 673 at their temperature.
- Beam radiation in the room falls on the floor first, diffuse radiation on all surfaces outside the window's plane;
  both are then reflected diffusely, by area to every surface outside the reflecting plane, until they are absorbed or
  leave through the glass.
- Walls, roof and windows lose heat to the sky by the file's horizontal infrared radiation, split over sky and air as in
  EnergyPlus' engineering reference (after Walton).
- Infiltration and fans move room air at the weather file's mean pressure. A fan's flow that the file gives without
  saying which is the standard's, 1,700 m³/h at the site's density, or that flow's equivalent at sea level, 1,409 m³/h.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from cosim.core.buildings.convection import Facing, VaryingFilms, local_wind
from cosim.core.buildings.envelope import Component, MaterialLayer, parallel
from cosim.core.buildings.rows import Node
from cosim.core.buildings.zones import ZoneParameters, Zones
from cosim.core.quantities import DAY_S, Array
from cosim.core.weather.glazing import Glazing
from cosim.core.weather.solar import Rays, irradiance, rays
from cosim.core.weather.year import MONTH_START, STEFAN_BOLTZMANN, Course, WeatherYear, interpolated, run_hours
from cosim.scenarios.validation.bestest_file import (
    AIR_CONSTANT,
    METRICS,
    Figure,
    Moment,
    course,
    read_fan,
    read_intervals,
    read_points,
    read_reference,
    read_window,
)
from cosim.scenarios.validation.bestest_outside import Faces, Panes, Weather, side_by_side
from cosim.scenarios.validation.cases import Entry, read_json
from cosim.scenarios.validation.shading import Window, diffuse_views, wall_share, window_share

AZIMUTHS = {"N": 0.0, "E": 90.0, "S": 180.0, "W": 270.0}
STEP_S = 600.0
LEAD_H = 30 * 24
"""Hours simulated before the year, so that the masses lose the memory of their initial temperature."""
CONVECTION_OUT = {"wall": 11.9, "roof": 14.4, "floor": 0.8, "window": 8.0}
CONVECTION_IN = {"wall": 2.2, "roof": 1.8, "floor": 2.2, "window": 2.4}
"""Constant films about which each step is linear, and the floor's outer one: ANSI/ASHRAE Standard 140-2020, Case 600,
outside and inside. [W/(m² K)]"""
AIR_HEAT = 1006.0  # J/(kg K)
ROOM = 20.0  # °C, at which the linear films of radiation hold inside,
OUTSIDE = 10.0  # and outside
CEILING, WALLS = np.eye(3)[Facing.DOWN], np.eye(3)[Facing.WALL]


@dataclass(frozen=True)
class _Site:
    """The data that all cases share: the weather, and the sun on every face of the box, by step."""

    steps: int
    outdoor: Array
    wind: Array
    """Halfway up the walls and at the roof, shape (steps, 2). [m/s]"""
    infrared: Array
    """Long-wave radiation from the sky on the horizontal. [W/m²]"""
    sun: dict[str, Array]
    """Irradiance of the four walls and the roof. [W/m²]"""
    rays: dict[str, Rays]
    starts: Array
    hour_of_day: Array
    density: float

    def weather(self, step: int) -> Weather:
        return Weather(
            float(self.outdoor[step]),
            (float(self.wind[step, 0]), float(self.wind[step, 1])),
            float(self.infrared[step]),
            self.density,
        )

    def mean(self, times: Array, values: Array) -> Array:
        return Course(times, values[:, None], values[:, None]).mean(self.starts, self.starts + STEP_S)[:, 0]


def _site(year: WeatherYear, albedo: float, walls: Sequence[str], height: float) -> _Site:
    zone = dt.timezone(dt.timedelta(hours=year.utc_offset_h))
    start = dt.datetime(2001, 1, 1, tzinfo=zone) - dt.timedelta(hours=LEAD_H)
    hours = 8760 + LEAD_H
    steps, span = round(hours * 3600 / STEP_S), hours * 3600.0
    starts: Array = np.arange(steps, dtype=np.float64) * STEP_S
    outdoor, wind = interpolated(year, ["dry_bulb", "wind_speed"], start, span).mean(starts, starts + STEP_S).T
    _, index = run_hours(year, start, span)
    infrared = np.repeat(year.horizontal_infrared[index[1:]], round(3600 / STEP_S))
    faces = {wall: (90.0, AZIMUTHS[wall]) for wall in walls} | {"roof": (0.0, 180.0)}
    sun = irradiance(year, faces, start, span, albedo).mean(starts, starts + STEP_S)
    return _Site(
        steps,
        outdoor,
        np.stack([local_wind(wind, height / 2), local_wind(wind, height)], axis=1),
        infrared,
        dict(zip(faces, sun.T, strict=True)),
        {wall: rays(year, 90.0, AZIMUTHS[wall], start, span, albedo) for wall in walls},
        starts,
        (starts / 3600) % 24,
        float(year.pressure.mean()) / (AIR_CONSTANT * (ROOM + 273.15)),
    )


@dataclass(frozen=True)
class _Case:
    """One prepared case: its zone's parameters without and with the fan, and its boundary conditions by step."""

    name: str
    envelope: _Envelope
    fan: ZoneParameters
    blows: Array
    sun: Array
    """Sun absorbed by walls and roof, shape (steps, 5). [W/m²]"""
    caught: Array
    """Sun absorbed by pane, shape (steps, n_panes). [W/m²]"""
    gains: Array
    """Convective, exterior and interior gains, shape (steps, 3). [W]"""
    heat_to: Array
    cool_to: Array


@dataclass(frozen=True)
class _Envelope:
    """A case's zone, and the areas on which sun and sky act."""

    zone: ZoneParameters
    area: float
    """Area of walls and roof without windows. [m²]"""
    glass_area: float
    faces: Array
    """Areas of the four walls and the roof. [m²]"""
    conductance: Array
    """From the exterior mass to their outer surfaces. [W/K]"""
    ceiling: Array
    """Shares of the exterior surface by `Facing`."""


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
        If something is missing, unknown or out of range; names the place in the file.
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
            glass["pane_mm"].number(0.1, 100) / 1000,
            glass["k"].number(0.01, 100),
            glass["tau_sol"].number(0.01, 1),
            glass["rho_sol"].number(0.001, 1),
            glass["emis"].number(0.01, 1),
            glass["gap_mm_air"].number(1, 100) / 1000,
        )
        self._convective = gains["convective_W"].number(0, 1e6)
        self._radiative = gains["radiative_W"].number(0, 1e6)
        self._changes = self._file["infiltration"]["ach_sea"].number(0, 100)
        self._site = _site(year, surface["albedo"].number(0, 1), list(AZIMUTHS), self._z)
        self._results: dict[int, dict[str, dict[str, float]]] = {}
        self._monthly: dict[tuple[str, str], Array] = {}
        self._temperature: dict[str, Array] = {}
        self._panes: dict[Window, tuple[Array, Array, Array]] = {}
        cases = self._file["cases"]
        if not list(cases):
            cases.refuse("it is empty: give at least one case")
        self.cases = [self._case(name, cases[name]) for name in cases]

    def _components(
        self, mass: Entry, window_area: Mapping[str, float]
    ) -> tuple[list[Component], Component, Component]:
        kinds = self._file["layers_out_to_in"]
        kind = kinds[mass.one_of([name for name in kinds if name != "columns"])]

        def layers(part: str) -> tuple[MaterialLayer, ...]:
            rows = [[number.number(0, 1e5) for number in row.items(4)] for row in kind[part].items()]
            return tuple(MaterialLayer(*row) for row in reversed(rows))

        for wall, area in window_area.items():
            if area >= self._gross[wall]:
                mass.refuse(f"its windows on wall {wall} take {area:g} of {self._gross[wall]:g} m²")
        walls = [Component(self._gross[w] - window_area[w], layers("wall")) for w in AZIMUTHS]
        return walls, Component(self._floor, layers("roof")), Component(self._floor, layers("floor"), adiabatic=True)

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
        sun = [self._sun_on(face, [w for w in windows if w.orientation == face]) for face in (*AZIMUTHS, "roof")]
        caught, gains = self._through_windows(envelope, windows)
        absorbed = self._absorbs_out * np.stack(sun, axis=1)
        return _Case(name, envelope, fan, blows, absorbed, caught, gains, heat_to, cool_to)

    def _envelope(self, mass: Entry, windows: Sequence[Window]) -> _Envelope:
        """Reduce layers, films and panes to the zone's parameters."""
        glass = {wall: sum(w.area for w in windows if w.orientation == wall) for wall in AZIMUTHS}
        walls, roof, floor = self._components(mass, glass)
        wall_area, glass_area = sum(w.area for w in walls), sum(glass.values())
        exterior, area = [*walls, roof], wall_area + self._floor
        r_ext, c_ext = parallel(exterior, DAY_S)
        r_int, c_int = parallel([floor], DAY_S)
        # Two grey surfaces: the floor, enclosed by all others.
        dull = 1 / self._emissivity - 1
        exchange = 1 / (1 / self._emissivity + dull * self._floor / (area + glass_area))
        h_rad = 4 * STEFAN_BOLTZMANN * (ROOM + 273.15) ** 3 * exchange
        h_ext = (CONVECTION_IN["wall"] * wall_area + CONVECTION_IN["roof"] * self._floor) / area
        outside = 4 * STEFAN_BOLTZMANN * (OUTSIDE + 273.15) ** 3

        under = 1 / (CONVECTION_IN["floor"] + h_rad) + 1 / (CONVECTION_OUT["floor"] + self._emissivity * outside)
        air = self._site.density * AIR_HEAT * self._volume
        outer = np.array([CONVECTION_OUT["wall"]] * len(walls) + [CONVECTION_OUT["roof"]]) + self._emissivity * outside
        areas, resistances = (np.array([getattr(c, name) for c in exterior]) for name in ("area", "resistance"))
        conductance = 1 / (resistances + 1 / (outer * areas))
        rest = 1 / conductance.sum() - r_ext
        pane = CONVECTION_OUT["window"] + self._glazing.emissivity * outside
        zone = ZoneParameters(
            air_capacity=np.array([air]),
            exterior_capacity=np.array([c_ext]),
            interior_capacity=np.array([c_int]),
            r_exterior=np.array([r_ext]),
            r_interior=np.array([r_int]),
            r_rest=np.array([rest]),
            exterior_area=np.array([area]),
            interior_area=np.array([self._floor]),
            outdoor_conductance=np.array([1 / (floor.resistance + under / self._floor) + air * self._changes / 3600]),
            h_exterior=h_ext,
            h_interior=CONVECTION_IN["floor"],
            h_radiation=h_rad,
            window_area=glass_area,
            window_conductance=glass_area / (1 / pane + self._glazing.resistance()),
            h_window=CONVECTION_IN["window"],
        )
        # The rest of the resistance, by the walls' and the roof's shares of the heat, less their outer films.
        to_surfaces = 1 / (rest * conductance.sum() / conductance - 1 / (outer * areas))
        ceiling = (self._floor * CEILING + wall_area * WALLS) / area
        return _Envelope(zone, area, glass_area, areas, to_surfaces, ceiling)

    def _through_windows(self, envelope: _Envelope, windows: Sequence[Window]) -> tuple[Array, Array]:
        """Return the sun absorbed by pane, and all gains: convective, exterior and interior."""
        site, panes, share = self._site, self._glazing.panes, envelope.zone.exterior_share[0]
        absorbed, gains = np.zeros((site.steps, panes)), np.zeros((site.steps, 3))
        gains += [self._convective, share * self._radiative, (1 - share) * self._radiative]
        floor = np.array([1.0, 0.0, 0.0])
        for window in windows:
            beam, diffuse, caught = self._sun_through(window)
            absorbed += window.area / envelope.glass_area * caught
            plane = self._gross[window.orientation]
            others = np.array([self._floor, envelope.area + envelope.glass_area - plane, 0.0])
            for light, first in ((beam, floor), (diffuse, others / others.sum())):
                on_floor, on_walls, on_glass = self._absorbed_in_room(envelope, first)
                gains[:, 1:] += np.outer(window.area * light, [on_walls, on_floor])
                falls = on_glass * window.area / envelope.glass_area * light
                absorbed += np.outer(falls, self._glazing.diffuse[1][::-1])
        return absorbed, gains

    def _shaded(self, windows: Sequence[Window], share: Callable[..., Array]) -> tuple[Array, Array]:
        """Return direct and diffuse radiation past the shades of one wall; `share` is what is seen by direction."""
        ray, size = self._site.rays[windows[0].orientation], (self._wall_width[windows[0].orientation], self._z)
        if not any(window.shaded for window in windows):
            return ray.direct, ray.sky + ray.ground
        direct, up = np.zeros_like(ray.direct), ray.direct > 0
        direct[up] = ray.direct[up] * share(*size, ray.height[up], ray.turn[up])
        sky, ground = diffuse_views(partial(share, *size))
        return direct, sky * ray.sky + ground * ray.ground

    def _sun_on(self, wall: str, windows: Sequence[Window]) -> Array:
        """Return the mean irradiance of a wall around its windows in every step, shape (steps,). [W/m²]"""
        if not any(window.shaded for window in windows):
            return self._site.sun[wall]
        direct, diffuse = self._shaded(windows, partial(wall_share, windows))
        return self._site.mean(self._site.rays[wall].times, direct + diffuse)

    def _sun_through(self, window: Window) -> tuple[Array, Array, Array]:
        """Return mean beam and diffuse sun transmitted, shape (steps,), and that absorbed by pane. [W/m²]"""
        if window not in self._panes:
            ray = self._site.rays[window.orientation]
            direct, diffuse = self._shaded([window], partial(window_share, window))
            tau, alpha = self._glazing.optics(ray.cosine)
            tau_diffuse, alpha_diffuse = self._glazing.diffuse
            caught = [
                self._site.mean(ray.times, a * direct + d * diffuse) for a, d in zip(alpha, alpha_diffuse, strict=True)
            ]
            beam, scattered = (
                self._site.mean(ray.times, tau * direct),
                self._site.mean(ray.times, tau_diffuse * diffuse),
            )
            self._panes[window] = beam, scattered, np.stack(caught, axis=1)
        return self._panes[window]

    def _absorbed_in_room(self, envelope: _Envelope, first: Array) -> tuple[float, float, float]:
        """Return the shares of sun absorbed by floor, absorbed by walls and roof, and incident on glass.

        ``first`` is where it falls first: on floor, walls with roof, and glass.
        """
        a, walls, glass = self._absorbs_in, envelope.area, envelope.glass_area
        every = walls + glass + self._floor
        leaves = self._glazing.diffuse[0] + float(self._glazing.diffuse[1].sum())
        areas = np.array([self._floor, walls, glass])
        absorbs = np.array([a, a, leaves])
        # Reflected light from floor to the others by area; from walls and glass, many planes, to all by area.
        to = np.tile(areas / every, (3, 1))
        to[0] = [0.0, areas[1] / (every - areas[0]), areas[2] / (every - areas[0])]
        falls = np.linalg.solve(np.eye(3) - (to * (1 - absorbs)[:, None]).T, first)
        return float(falls[0] * a), float(falls[1] * a), float(falls[2])

    def figures(self) -> list[Figure]:
        """Run a year of all cases together, and return all figures, with and without a reference."""
        results = self._run()
        rows = []
        for name, result in results.items():
            wanted = [metric for case, metric in self.reference if case == name] or list(result)
            for metric in wanted:
                low, high = self.reference.get((name, metric), (None, None))
                rows.append(Figure(name, metric, result[metric], low, high))
        return rows

    def course(self) -> list[Moment]:
        """Run a year of all cases together, and return the months and hours that have a published range."""
        self._run()
        return course(self._monthly, self._temperature)

    @property
    def undefined(self) -> list[str]:
        """Cases in the reference that have no definition."""
        return sorted({case for case, _ in self.reference} - {case.name for case in self.cases})

    def _run(self, iterations: int = 1) -> dict[str, dict[str, float]]:
        """Run a year, once; with more iterations films follow the temperatures of the step itself."""
        if iterations not in self._results:
            self._results[iterations] = self._year(iterations)
        return self._results[iterations]

    def _year(self, iterations: int) -> dict[str, dict[str, float]]:
        cases, site = self.cases, self._site
        parameters = cases[0].envelope.zone
        for extra in [*(c.envelope.zone for c in cases[1:]), *(c.fan for c in cases)]:
            parameters = parameters + extra
        n, per_hour = len(cases), round(3600 / STEP_S)
        zones = Zones(parameters, np.arange(n), 1.0, ROOM)
        ceilings = np.tile([c.envelope.ceiling for c in cases], (2, 1))
        films = VaryingFilms(zones, ceilings, np.eye(3)[Facing.UP], site.density)
        areas, conductances = (np.stack([getattr(c.envelope, k) for c in cases]) for k in ("faces", "conductance"))
        faces = Faces(conductances, areas, parameters.r_rest[:n], self._emissivity)
        glass = np.asarray(parameters.window_area)[:n]
        behind = np.asarray(parameters.window_conductance)[:n] / np.where(glass > 0, glass, 1.0)
        panes = Panes(self._glazing, np.where(glass > 0, behind, 1.0))
        sun, caught, gains, heat_to, cool_to, blows = (
            side_by_side([getattr(c, name) for c in cases])
            for name in ("sun", "caught", "gains", "heat_to", "cool_to", "blows")
        )
        heats, cools = np.where(np.isfinite(heat_to), np.inf, 0.0), np.where(np.isfinite(cool_to), np.inf, 0.0)
        power, air = np.empty((site.steps, n)), np.empty((site.steps, n))
        for k in range(site.steps):
            weather = site.weather(k)
            zones.archetype = np.arange(n) + n * blows[k]
            step = films.step(
                STEP_S,
                weather.outdoor,
                iterations=iterations,
                equivalent=faces.equivalent(weather, sun[k], zones.state[Node.EXTERIOR]),
                window=panes.behind(weather, caught[k], films.surfaces[2]),
                gain_air=gains[k, :, 0],
                gain_exterior=gains[k, :, 1],
                gain_interior=gains[k, :, 2],
                heating_setpoint=heat_to[k],
                cooling_setpoint=cool_to[k],
                heating_capacity=heats[k],
                cooling_capacity=cools[k],
            )
            power[k], air[k] = step.power, step.air
        hourly = [x.reshape(-1, per_hour, n).mean(axis=1)[LEAD_H:] for x in (power, air)]
        heat = np.maximum(power, 0).reshape(-1, per_hour, n).mean(axis=1)[LEAD_H:]
        cool = heat - hourly[0]
        for i, case in enumerate(cases):
            if not (np.isfinite(heat_to[:, i]) | np.isfinite(cool_to[:, i])).any():
                self._temperature[case.name] = hourly[1][:, i]
            for load, each in (("heating", heat[:, i]), ("cooling", cool[:, i])):
                self._monthly[case.name, load] = np.add.reduceat(each, 24 * MONTH_START) * 1e-3
        columns = (
            heat.sum(axis=0) * 1e-6,
            cool.sum(axis=0) * 1e-6,
            heat.max(axis=0) * 1e-3,
            cool.max(axis=0) * 1e-3,
            hourly[1].max(axis=0),
            hourly[1].min(axis=0),
            hourly[1].mean(axis=0),
        )
        return {
            case.name: {metric: float(column[i]) for metric, column in zip(METRICS, columns, strict=True)}
            for i, case in enumerate(cases)
        }
