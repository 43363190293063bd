"""Environment: air quality and noise at the façades of streets, and who lives behind them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import scipy.sparse as sp
import shapely

from cosim import Adapter, Clock, CosimError, Indicator, Layer, Result, Scenario
from cosim.adapters.environment import Environment as EnvironmentAdapter
from cosim.adapters.traffic.files import read_configuration
from cosim.core.environment.air import POLLUTANTS
from cosim.core.environment.noise_emission import REFERENCE
from cosim.core.environment.noise_levels import HOUR_WEIGHTS
from cosim.core.mappings import link
from cosim.core.quantities import Array
from cosim.scenarios.buildings.premises import Premises
from cosim.scenarios.environment.background import Background
from cosim.scenarios.environment.canyons import STOREY_M
from cosim.scenarios.environment.model import Environment, air_of, make_environment, place_of
from cosim.scenarios.indicators.air import NAME, air_indicators
from cosim.scenarios.indicators.environment import environment_indicators
from cosim.scenarios.measures import ROAD_SURFACES
from cosim.scenarios.model import City

from . import premises
from .traffic import EMISSION_GROUPS

ORDER = 65
LONGEST_STEP_S = 3600.0
"""The model is one of hourly means."""


def prepare(city: City) -> City:
    """Return the city with its streets between buildings, and with traffic that counts kinds of vehicles."""
    air = air_of(city.sectors.get(NAME))
    outlines, heights = _buildings(city)
    made = make_environment(
        air,
        city.network,
        read_configuration(city.sumocfg, city.traffic_options).demand,
        outlines,
        heights,
        place_of(city.weather.latitude, city.weather.longitude),
        city.sectors.get(EMISSION_GROUPS),
    )
    measures = replace(city.measures, vehicle_kinds=made.kinds)
    return replace(city, sectors={**city.sectors, NAME: made}, measures=measures)


def _of(city: City) -> Environment | None:
    found = city.sectors.get(NAME)
    return found if isinstance(found, Environment) and len(found.streets) else None


def _buildings(city: City) -> tuple[list[shapely.Polygon], list[float]]:
    """Return footprints and heights of dwellings and premises. [m]"""
    outlines, heights = [], []
    if "footprint" in city.sites:
        outlines = list(city.sites["footprint"])
        heights = [STOREY_M * float(storeys) for storeys in city.stock.storeys]
    found = city.sectors.get(premises.NAME)
    if isinstance(found, Premises):
        area = dict(zip(found.labels, np.asarray(found.floor_area).tolist(), strict=True))
        for label, corners in city.sectors.get(premises.OUTLINES, {}).items():
            shape = shapely.Polygon(corners)
            outlines.append(shape)
            heights.append(STOREY_M * max(area.get(label, 0.0) / max(shape.area, 1.0), 1.0))
    return outlines, heights


def adapters(city: City, clock: Clock, steps: Mapping[str, float]) -> dict[str, Adapter]:
    """Return the adapter of the city's streets, with their air if its background is known."""
    made = _of(city)
    if made is None:
        return {}
    air = made.background
    length_s = clock.n_steps * clock.step_s if clock.n_steps else clock.horizon_s or clock.step_s
    if air is not None and not air.covers(clock.utc(0.0), clock.utc(length_s)):
        raise CosimError(
            f"{air.source} has no hour of the run, which begins at {clock.utc(0.0):%Y-%m-%d %H:%M} UTC: give a series "
            "of its time, or months"
        )
    adapter = EnvironmentAdapter(
        made.streets,
        tuple(made.kinds),
        exhaust_shares=made.exhaust_shares,
        primary_no2_shares=made.primary_no2_shares,
        background=None if air is None else air.at(clock.utc(0.0)),
        balanced=air is not None and air.balanced,
        paths=made.paths,
        surface=_surfaces(city, made),
        yearly_temperature=float(np.nanmean(city.weather.dry_bulb)),
    )
    if air is not None:
        adapter.settings = {"background air": air.source}
    return {NAME: adapter}


def _surfaces(city: City, made: Environment) -> list[str]:
    """Return the road surface of every street, that of any of its edges that has one."""
    laid = city.sectors.get(ROAD_SURFACES, {})
    found = [REFERENCE] * len(made.streets)
    for row, column in zip(*made.membership.nonzero(), strict=True):
        found[row] = laid.get(city.network.labels[column], found[row])
    return found


def connect(scenario: Scenario, city: City) -> None:
    """Connect traffic and radiation, and schedule the background."""
    made = _of(city)
    if made is None:
        return
    streets = made.membership
    for port in ("nox", "pmx", "vehicles"):
        scenario.connect(f"traffic.{port}", f"{NAME}.{port}", via=streets, partial=True)
    by_kind = sp.csr_array(sp.kron(streets, sp.eye_array(len(made.kinds))))
    scenario.connect("traffic.travel_by_kind", f"{NAME}.travel_by_kind", via=by_kind, partial=True)
    for port in ("nox_by_class", "pmx_by_class"):
        scenario.connect(f"traffic.{port}", f"{NAME}.{port}")
    surfaces = scenario.outputs()["weather.irradiance"].labels
    horizontal = link(surfaces, ["horizontal"], {"horizontal": "horizontal"})
    scenario.connect("weather.irradiance", f"{NAME}.global_radiation", via=horizontal)
    if made.background is not None:
        _schedule_background(scenario, made.background)


def _schedule_background(scenario: Scenario, air: Background) -> None:
    clock = scenario.clock
    step_s = scenario.steps[NAME] * clock.step_s
    changes: dict[str | dt.datetime, float | Mapping[str, float]] = {}
    last = air.at(clock.utc(0.0))
    for k in range(1, int((clock.n_steps or 0) * clock.step_s / step_s)):
        now = air.at(clock.utc(k * step_s))
        if (now != last).any():
            changes[clock.utc(k * step_s)] = dict(zip(POLLUTANTS, now.tolist(), strict=True))
            last = now
    if changes:
        scenario.schedule(f"{NAME}.background", changes)


def layers(city: City) -> list[Layer]:
    """Return NO2, PM2.5 and noise along the façades, and Lden and Lnight of the day."""
    made = _of(city)
    if made is None:
        return []
    lines = {}
    for k, label in enumerate(made.streets.labels):
        away, turned = made.streets.distance[k], np.radians(made.streets.bearing[k])
        to_right = np.array([np.cos(turned), -np.sin(turned)])
        for side, sign in (("left", -away[0]), ("right", away[1])):
            moved: Array = made.streets.axis[k] + 0.8 * sign * to_right
            lines[f"{label}|{side}"] = [(float(x), float(y)) for x, y in moved]
    names = {
        f"{label}|{side}": f"{city.network.street_names.get(label, label)}, {side}"
        for label in made.streets.labels
        for side in ("left", "right")
    }
    noise = Layer("Noise at façades", f"{NAME}.noise", "line", lines, "dB(A)", 1.0, (40, 75), names=names)
    return [
        Layer("NO2 at façades", f"{NAME}.no2", "line", lines, "µg/m³", 1e9, names=names),
        Layer("PM2.5 at façades", f"{NAME}.pm25", "line", lines, "µg/m³", 1e9, names=names),
        noise,
        *(replace(noise, title=f"{name} at façades", hours=HOUR_WEIGHTS[name]) for name in ("Lden", "Lnight")),
    ]


def facts(city: City) -> dict[str, str]:
    """Return the streets by kind, and where the background air comes from."""
    made = _of(city)
    if made is None:
        return {"environment": "no street for motor vehicles"}
    sides = (made.streets.height > 0).sum(axis=1)
    air = "no background air is known, give one with the policy BackgroundAir"
    if made.background is not None:
        air = f"background {made.background.source}"
    text = (
        f"{len(made.streets):,} streets: {int((sides == 2).sum()):,} between buildings, {int((sides == 1).sum()):,} "
        f"with buildings on one side, {int((sides == 0).sum()):,} open; {air}"
    )
    return {"environment": text}


def indicators(result: Result, city: City) -> dict[str, Indicator]:
    """Return concentrations at façades within the run and over the year, particles of wear, and exposed residents."""
    made = _of(city)
    if made is None:
        return {}
    found, annual = air_indicators(result, made, city.weather)
    return found | environment_indicators(result, city, annual=annual)
