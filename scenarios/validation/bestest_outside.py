"""Outside balance of walls, roof and panes of the Standard 140 cases, solved in every step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cosim.core.buildings.convection import ROUGHNESS, Facing, forced_convection, natural_convection
from cosim.core.quantities import Array
from cosim.core.weather.glazing import Glazing, gap_conductance
from cosim.core.weather.year import STEFAN_BOLTZMANN

ROOF = 4
"""Index of the roof among the faces, which are the four walls and the roof."""
_VIEW = np.array([0.5, 0.5, 0.5, 0.5, 1.0])  # of the sky
_SKY = _VIEW * np.sqrt(_VIEW)
"""View of the sky times the share of it at sky temperature, Walton 1983, as in EnergyPlus' Engineering Reference."""
_ROUNDS = 2
_GAP_AT = np.arange(-60.0, 121.0, 5.0)  # °C


@dataclass(frozen=True)
class Weather:
    """The weather of one step.

    Temperature [°C], wind at walls and roof [m/s], horizontal infrared radiation [W/m²], density of the air [kg/m³].
    """

    outdoor: float
    wind: tuple[float, float]
    infrared: float
    density: float


def _long_wave(temp: Array, weather: Weather, sky: Array, emissivity: float) -> tuple[Array, Array]:
    """Return what surfaces radiate to sky, ground and air, and its derivative. [W/m²], [W/(m² K)]"""
    kelvin = temp + 273.15
    around = STEFAN_BOLTZMANN * (weather.outdoor + 273.15) ** 4
    emitted = STEFAN_BOLTZMANN * kelvin**4 - sky * weather.infrared - (1 - sky) * around
    return emissivity * emitted, 4 * emissivity * STEFAN_BOLTZMANN * kelvin**3


class Faces:
    """Outer surfaces of walls and roof, which conduct to the zones' exterior mass.

    Parameters
    ----------
    conductance : shape (n_cases, 5)
        From the mass to the outer surfaces. [W/K]
    area : shape (n_cases, 5)
        [m²]
    rest : shape (n_cases,)
        The zones' `r_rest`. [K/W]
    emissivity
        Of the surfaces.
    """

    def __init__(self, conductance: Array, area: Array, rest: Array, emissivity: float) -> None:
        self._conductance, self._area, self._rest, self._emissivity = conductance, area, rest, emissivity
        self.temperature = np.full(area.shape, 10.0)

    def equivalent(self, weather: Weather, absorbed: Array, mass: Array) -> Array:
        """Return the equivalent outdoor temperature of the exterior mass, shape (n_cases,). [°C]

        Parameters
        ----------
        weather
            Of the step.
        absorbed : shape (n_cases, 5)
            Absorbed sun. [W/m²]
        mass : shape (n_cases,)
            Temperature of the mass. [°C]
        """
        inward = self._conductance / self._area
        for _ in range(_ROUNDS):
            rise = self.temperature - weather.outdoor
            still = natural_convection(rise, Facing.WALL, weather.density)
            still[:, ROOF] = natural_convection(rise[:, ROOF], Facing.UP, weather.density)
            film = forced_convection(still, weather.wind[0], ROUGHNESS["rough"])
            film[:, ROOF] = forced_convection(still[:, ROOF], weather.wind[1], ROUGHNESS["rough"], roof=True)
            emitted, slope = _long_wave(self.temperature, weather, _SKY, self._emissivity)
            excess = film * rise + emitted - absorbed - inward * (mass[:, None] - self.temperature)
            self.temperature = self.temperature - excess / (film + slope + inward)
        into = (self._conductance * (self.temperature - mass[:, None])).sum(axis=1)
        return np.asarray(mass + self._rest * into)


class Panes:
    """Panes of the windows up to the inner one, whose room side is the zones' window surface.

    Parameters
    ----------
    glazing
        The panes.
    conductance : shape (n_cases,)
        The zones' conductance from window surface to behind the windows, per area. [W/(m² K)]
    """

    def __init__(self, glazing: Glazing, conductance: Array) -> None:
        self._glazing, self._conductance = glazing, conductance
        self._gap = np.array([gap_conductance(glazing.gap, glazing.emissivity, t) for t in _GAP_AT])
        self._outer = max(glazing.panes - 1, 1)
        self.temperature = np.full((self._outer, len(conductance)), 10.0)

    def behind(self, weather: Weather, absorbed: Array, inner: Array) -> Array:
        """Return the equivalent temperature behind the windows, shape (n_cases,). [°C]

        Parameters
        ----------
        weather
            Of the step.
        absorbed : shape (n_cases, n_panes)
            Sun absorbed by pane, from the outside in. [W/m²]
        inner : shape (n_cases,)
            Temperature of the window surface in the room. [°C]
        """
        sheet, one = self._glazing.thickness / self._glazing.conductivity, self._glazing.panes == 1
        into = np.zeros_like(inner)
        for _ in range(_ROUNDS):
            outer = self.temperature[0]
            rise = outer - weather.outdoor
            film = forced_convection(
                natural_convection(rise, Facing.WALL, weather.density), weather.wind[0], ROUGHNESS["glass"]
            )
            emitted, slope = _long_wave(outer, weather, np.asarray(_SKY[0]), self._glazing.emissivity)
            # From outside in: heat into node j is source - conductance * its temperature.
            conductance, source = film + slope, film * weather.outdoor - emitted + slope * outer
            nodes = [*self.temperature, inner]
            links: list[tuple[Array, Array, Array]] = []
            for j in range(self._outer):
                gap = np.interp((nodes[j] + nodes[j + 1]) / 2, _GAP_AT, self._gap)
                link = np.full_like(inner, 1 / sheet) if one else 1 / (1 / gap + sheet)
                heat = source + absorbed[:, j] * (0.5 if one else 1.0)  # of a single pane, half at either side
                links.append((link, conductance, heat))
                passes = link / (link + conductance)
                conductance, source = passes * conductance, passes * heat
            last = source + absorbed[:, -1] * (0.5 if one else 1.0)
            into = last - conductance * inner
            for j in reversed(range(self._outer)):
                link, own, heat = links[j]
                nodes[j] = (heat + link * nodes[j + 1]) / (link + own)
            self.temperature = np.stack(nodes[:-1])
        return np.asarray(inner + into / self._conductance)


def side_by_side(arrays: Sequence[Array]) -> Array:
    """Return the arrays of all cases, with the cases along axis 1."""
    return np.stack(arrays, axis=1)
