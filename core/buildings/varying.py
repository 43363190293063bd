"""Zones whose films, inside and outside, and infiltration follow temperatures and wind."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from cosim.core.quantities import Array, Vector

from .convection import ROUGHNESS, Facing, VaryingFilms, forced_convection, local_wind, natural_convection
from .infiltration import infiltration_factor
from .zone_network import ZoneParameters
from .zones import Zones, ZoneStep

STANDARD_FILM = 0.04
"""Outer surface resistance in U-values, ISO 6946. [m² K/W]"""
RADIATIVE = 0.9 * 4 * 5.670374419e-8 * 283.15**3
"""Outer radiative coefficient of an emissivity of 0.9 at 10 °C. [W/(m² K)]"""
STOREY_M = 2.8  # assumption, for the height at which the wind blows


def facing_shares(parameters: ZoneParameters, storeys: Array) -> tuple[Array, Array]:
    """Return shares of exterior and interior surfaces by `Facing`, shape (n_archetypes, 3) each.

    Parameters
    ----------
    parameters
        Per floor area.
    storeys : shape (n_archetypes,)
        With them the areas of roof and ground floor, and of ceilings and floors between storeys.
    """
    shares = []
    for flat, area in ((1 / storeys, parameters.exterior_area), (1 - 1 / storeys, parameters.interior_area)):
        level = np.minimum(flat / area, 0.5)
        by_facing = np.empty((len(parameters), len(Facing)))
        by_facing[:, Facing.UP] = by_facing[:, Facing.DOWN] = level
        by_facing[:, Facing.WALL] = 1 - 2 * level
        shares.append(by_facing)
    return shares[0], shares[1]


class VaryingZones:
    """Zones with the films and the infiltration of the moment, in exact linear steps.

    Inside see `VaryingFilms`. Outside, the film of the step (DOE-2, of rough walls in a city's wind) replaces the
    standard one in the equivalent outdoor temperature, with the heat flow of the step before. Infiltration beyond the
    constant one is a gain, with the air of the step's start or, iterated, its mean.

    Parameters
    ----------
    zones
        Per floor area.
    storeys, shelter, infiltration : shape (n_zones,)
        Storeys, shelter class and conductance of infiltration [W/(m² K)], see `infiltration_factor`.
    """

    def __init__(self, zones: Zones, storeys: Array, shelter: Array, infiltration: Array) -> None:
        p, n = zones.parameters, len(zones.scale)
        of_archetype = np.ones(len(p))
        of_archetype[zones.archetype] = storeys
        half = len(p) // 2
        if not np.bincount(zones.archetype, minlength=len(p))[half:].any():  # the second half are variants of the first
            of_archetype[half:] = of_archetype[: len(p) - half]
        self.zones, self._films = zones, VaryingFilms(zones, *facing_shares(p, of_archetype))
        self._storeys, self._shelter, self._infiltration = storeys, shelter, infiltration
        self._resistance = p.r_rest * p.exterior_area
        self._flow = np.zeros(n)

    @property
    def memory(self) -> Array:
        """Air, three surfaces [°C] and outward heat flow [W/m²] of the step before, shape (5, n_zones)."""
        return np.stack([self._films.air, *self._films.surfaces, self._flow])

    @memory.setter
    def memory(self, value: Array) -> None:
        self._films.recall(value[0].copy(), value[1:4].copy())
        self._flow = value[4].copy()

    def step(
        self,
        step_s: float,
        outdoor: float,
        wind: float,
        boundary: Vector,
        equivalent: Vector,
        gain_air: Vector,
        *,
        iterations: int = 1,
        **given: Any,
    ) -> ZoneStep:
        """Advance all zones by one step; further arguments as for `Zones.step`.

        Parameters
        ----------
        outdoor, wind
            Temperature [°C] and wind at the weather station [m/s].
        boundary, equivalent : shape (n_zones,)
            Temperature beyond the exterior mass, ground and air by their weights, without and with sun and sky. [°C]
        gain_air : shape (n_zones,)
            Convective gain. [W]
        iterations
            With more of them films and infiltration follow the temperatures of the step itself.
        """
        zones, start, air = self.zones, self.zones.state.copy(), self.zones.state[0].copy()
        resistance = self._resistance[zones.archetype]
        here = local_wind(wind, 0.5 * STOREY_M * self._storeys, "city")
        for k in range(iterations):
            if k > 0:
                zones.state[:] = start
            surface = equivalent + STANDARD_FILM * self._flow
            still = natural_convection(surface - outdoor, Facing.WALL)
            film = 1 / (forced_convection(still, here, ROUGHNESS["rough"]) + RADIATIVE)
            lit = boundary + (equivalent - boundary) * film / STANDARD_FILM
            beyond = lit + self._flow * (film - STANDARD_FILM)
            factor = infiltration_factor(air - outdoor, wind, self._storeys, self._shelter)
            more = zones.scale * self._infiltration * (factor - 1) * (outdoor - air)
            step = self._films.step(step_s, outdoor, equivalent=beyond, gain_air=gain_air + more, **given)
            self._flow, air = (step.exterior - beyond) / resistance, step.air
        return replace(step, loss=step.loss - more)
