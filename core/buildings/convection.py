"""Convective films that follow temperature differences and wind.

Inside, `VaryingFilms` advances zones whose convection and long-wave radiation depend on the temperatures of their
surfaces. The network stays linear, so a step stays exact: what the films of the moment exchange beyond the constant
ones of the archetype acts as gains, which sum to zero, with the surface temperatures of the step before.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from cosim.core.errors import CosimError
from cosim.core.quantities import Array, Indices32

from .zones import Zones, ZoneStep

SEA_LEVEL_DENSITY = 101325.0 / (287.05 * 293.15)
"""Density of dry air at sea level and 20 °C. [kg/m³]"""
_LINEAR_AT = 293.15  # K, at which the archetypes' radiative coefficients hold


class Facing(IntEnum):
    """Where a surface faces; also the columns of its shares."""

    WALL = 0
    UP = 1
    DOWN = 2


def natural_convection(rise: npt.ArrayLike, facing: Facing, density: float = SEA_LEVEL_DENSITY) -> Array:
    """Return the natural convective coefficient of a surface. [W/(m² K)]

    Parameters
    ----------
    rise
        Temperature of the surface above the air. [K]
    facing
        Where it faces.
    density
        Of the air. The correlations are of turbulent convection, whose Nusselt number grows with the cube root of
        the Rayleigh number and so with density to the power 2/3. [kg/m³]

    References
    ----------
    .. [1] Walton, Thermal Analysis Research Program Reference Manual, NBSIR 83-2655, 1983, as in EnergyPlus'
       Engineering Reference, "TARP Algorithm".

    Examples
    --------
    >>> [round(float(natural_convection(5.0, f)), 3) for f in Facing]
    [2.24, 2.581, 1.299]
    """
    given = np.asarray(rise, float)
    root = np.cbrt(np.abs(given)) * (density / SEA_LEVEL_DENSITY) ** (2 / 3)
    if facing is Facing.WALL:
        return np.asarray(1.31 * root)
    # Warm surfaces facing up and cold ones facing down stir the air; the others leave it in layers.
    stirs = given > 0 if facing is Facing.UP else given < 0
    return np.asarray(np.where(stirs, 9.482 / (7.283 - 1.0), 1.810 / (1.382 + 1.0)) * root)


ROUGHNESS = {
    "very rough": 2.17,
    "rough": 1.67,
    "medium rough": 1.52,
    "medium smooth": 1.13,
    "smooth": 1.11,
    "glass": 1.0,
}
"""Factor on forced convection by the surface's texture; the reference is that of `forced_convection`."""
_WINDWARD = 200 / 360  # share of wind directions within 100° of a wall's normal


def forced_convection(natural: npt.ArrayLike, wind: npt.ArrayLike, roughness: float, *, roof: bool = False) -> Array:
    """Return the outside convective coefficient by DOE-2. [W/(m² K)]

    A wall takes the mean over all directions of the wind, with 100° of both sides of its normal to windward.

    Parameters
    ----------
    natural
        Natural convective coefficient. [W/(m² K)]
    wind
        At the surface. [m/s]
    roughness
        One of `ROUGHNESS`.
    roof
        Whether the surface is a roof, which is always to windward.

    References
    ----------
    .. [1] LBL, DOE-2 Engineers Manual, 1982, and Yazdanian, Klems, ASHRAE Transactions 100(1), 1994, as in
       EnergyPlus' Engineering Reference, "DOE-2 Model".

    Examples
    --------
    >>> round(float(forced_convection(2.24, 3.0, 1.67, roof=True)), 3)
    13.448
    """
    still, speed = np.asarray(natural, float), np.asarray(wind, float)
    to_wind = np.hypot(still, 3.26 * speed**0.89)
    glass = to_wind if roof else _WINDWARD * to_wind + (1 - _WINDWARD) * np.hypot(still, 3.55 * speed**0.617)
    return np.asarray(still + roughness * (glass - still))


_TERRAIN = {"country": (0.14, 270.0), "suburb": (0.22, 370.0), "city": (0.33, 460.0)}


def local_wind(wind: npt.ArrayLike, height: npt.ArrayLike, terrain: str = "country") -> Array:
    """Return the wind at a height above the ground, given that of a station 10 m high in open country. [m/s]

    Parameters
    ----------
    wind
        At the station. [m/s]
    height
        [m]
    terrain
        ``"country"``, ``"suburb"`` or ``"city"``.

    References
    ----------
    .. [1] ASHRAE Handbook of Fundamentals, as in EnergyPlus' Engineering Reference, "Local Wind Speed Calculation".
    """
    if terrain not in _TERRAIN:
        raise CosimError(f"terrain is {terrain!r}: it must be one of {', '.join(_TERRAIN)}")
    exponent, layer = _TERRAIN[terrain]
    aloft = np.asarray(wind, float) * (270.0 / 10.0) ** 0.14
    return np.asarray(aloft * (np.asarray(height, float) / layer) ** exponent)


@dataclass(frozen=True)
class _Exchange:
    """Heat that varying films bring to the air and to the three surfaces beyond constant ones; its sum is 0. [W]"""

    air: Array
    exterior: Array
    interior: Array
    window: Array


class VaryingFilms:
    """Zones with natural convection and nonlinear long-wave radiation inside.

    Parameters
    ----------
    zones
        The zones; their archetypes' constant films are the ones about which each step is linear.
    exterior, interior : shape (n_archetypes, 3) or (3,)
        Shares of both surfaces by `Facing`, e.g. the ceiling below a flat roof is exterior and faces down.
    density
        Of the air. [kg/m³]

    Raises
    ------
    CosimError
        If the shares of a surface do not sum to 1.

    Notes
    -----
    At steps of 10 min the annual loads of Standard 140 differ from those with iterated films by at most 0.2 %
    (`docs/validation.md`).
    """

    def __init__(
        self, zones: Zones, exterior: npt.ArrayLike, interior: npt.ArrayLike, density: float = SEA_LEVEL_DENSITY
    ) -> None:
        p, n = zones.parameters, len(zones.parameters)
        shares = [np.broadcast_to(np.asarray(s, float), (n, len(Facing))) for s in (exterior, interior)]
        for name, share in zip(("exterior", "interior"), shares, strict=True):
            wrong = ~(np.isclose(share.sum(axis=1), 1) & (share >= 0).all(axis=1))
            if wrong.any():
                first = int(np.argmax(wrong))
                raise CosimError(
                    f"{name} surface of archetype {first} has shares {share[first].tolist()} of walls, surfaces facing "
                    "up and surfaces facing down: they must not be negative and must sum to 1"
                )
        self.zones, self._shares, self._density = zones, shares, density
        self._matrix = p.surface_matrix
        areas = np.stack([p.exterior_area, p.interior_area, np.asarray(p.window_area)])
        self._areas = areas
        self._films = np.stack([np.asarray(h) * np.ones(n) for h in (p.h_exterior, p.h_interior, p.h_window)])
        self._radiation = p.surface_radiation
        self._conductance = np.asarray(p.window_conductance)
        self._air: Array = zones.state[0].copy()
        self._surfaces = np.tile(zones.state[0], (3, 1))

    def step(self, step_s: float, outdoor: npt.ArrayLike, *, iterations: int = 1, **given: Any) -> ZoneStep:
        """Advance all zones by one step; arguments as for `Zones.step`.

        With more ``iterations`` the films follow the temperatures of the step itself.
        """
        zones, scale = self.zones, self.zones.scale
        drive = {
            name: np.asarray(given.get(name, 0.0), float) for name in ("gain_air", "gain_exterior", "gain_interior")
        }
        window = np.asarray(outdoor if given.get("window") is None else given["window"], float)
        kind, start = zones.archetype, zones.state.copy()
        behind = np.where(self._conductance > 0, self._conductance, 1.0)[kind]
        for k in range(iterations):
            if k > 0:
                zones.state[:] = start
            more = self._exchange(kind)
            now = {
                "gain_air": drive["gain_air"] + scale * more.air,
                "gain_exterior": drive["gain_exterior"] + scale * more.exterior,
                "gain_interior": drive["gain_interior"] + scale * more.interior,
                "window": window + more.window / behind,
            }
            step = zones.step(step_s, outdoor, **{**given, **now})
            sources = np.stack(
                [
                    step.air,
                    step.exterior,
                    step.interior,
                    np.broadcast_to(now["window"], step.air.shape),
                    now["gain_exterior"] / scale,
                    now["gain_interior"] / scale,
                ]
            )
            self._air, self._surfaces = step.air, np.einsum("nij,jn->in", self._matrix[kind], sources)
        # Heat at the windows is given by the temperature behind them, so it is no loss to outdoors.
        return replace(step, loss=step.loss + scale * more.window)

    @property
    def surfaces(self) -> Array:
        """Mean temperatures of exterior, interior and window surface over the last step, shape (3, n_zones). [°C]"""
        return self._surfaces

    @property
    def air(self) -> Array:
        """Mean air temperature over the last step, shape (n_zones,). [°C]"""
        return self._air

    def recall(self, air: Array, surfaces: Array) -> None:
        """Continue from the temperatures of a step before, as `air` and `surfaces` gave them."""
        self._air, self._surfaces = air, surfaces

    def _exchange(self, kind: Indices32) -> _Exchange:
        rise = self._surfaces - self._air
        films = [
            sum(share[kind, f] * natural_convection(t, f, self._density) for f in Facing)
            for share, t in zip(self._shares, rise, strict=False)
        ]
        films.append(natural_convection(rise[2], Facing.WALL, self._density))
        convection = (np.stack(films) - self._films[:, kind]) * self._areas[:, kind] * rise
        kelvin = self._surfaces + 273.15
        gains = -convection
        for a, b in ((0, 1), (0, 2), (1, 2)):
            factor = (kelvin[a] ** 2 + kelvin[b] ** 2) * (kelvin[a] + kelvin[b]) / (4 * _LINEAR_AT**3) - 1
            flow = self._radiation[kind, a, b] * factor * (kelvin[a] - kelvin[b])
            gains[a] -= flow
            gains[b] += flow
        return _Exchange(convection.sum(axis=0), *gains)
