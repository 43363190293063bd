"""Solar and thermal properties of clear glazing at any angle of incidence.

Clear panes by Fresnel's and Bouguer's laws, stacks of panes by the adding method for each polarisation, gaps by
EN 673. Everything is derived from the pane's properties at normal incidence.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from cosim.core.errors import CosimError
from cosim.core.quantities import Vector

from .year import STEFAN_BOLTZMANN

_ANGLES = np.radians(np.arange(0.5, 90.0))
_DIFFERENCE_K = 15.0  # between panes, EN 673:2011, clause 8


def gap_conductance(gap_m: float, emissivity: float, temperature: float = 10.0) -> float:
    """Return the conductance of a vertical air gap between panes of equal emissivity. [W/(m² K)]

    Convection and radiation as in EN 673:2011, clauses 5.2 and 5.3, dry air by its table 1, linear in temperature.

    Parameters
    ----------
    gap_m, emissivity
        Width [m] and emissivity of both panes. [1]
    temperature
        Mean temperature of the panes, 10 in the standard. [°C]

    Examples
    --------
    >>> round(gap_conductance(0.012, 0.84), 2), round(gap_conductance(0.012, 0.84, -10.0), 2)
    (5.81, 4.94)
    """
    above, kelvin = temperature - 10.0, temperature + 273.15
    conductivity, viscosity, heat = 0.02496 + 8e-5 * above, 1.761e-5 + 5e-8 * above, 1008.0
    density = 1.232 * 283.15 / kelvin
    grashof = 9.81 * gap_m**3 * _DIFFERENCE_K * density**2 / (kelvin * viscosity**2)
    nusselt = max(1.0, 0.035 * (grashof * viscosity * heat / conductivity) ** 0.38)
    radiation = 4 * STEFAN_BOLTZMANN * kelvin**3 / (2 / emissivity - 1)
    return float(nusselt * conductivity / gap_m + radiation)


@dataclass(frozen=True)
class Glazing:
    """Identical clear panes with air between them.

    Parameters
    ----------
    panes
        Number of panes.
    thickness, conductivity
        Of one pane. [m], [W/(m K)]
    transmittance, reflectance
        Solar, of one pane at normal incidence. [1]
    emissivity
        Of both sides of a pane. [1]
    gap
        Width of the gap between two panes. [m]

    Raises
    ------
    CosimError
        If a value is out of range, or the optics are not those of a clear pane.

    References
    ----------
    .. [1] Duffie, Beckman, Solar Engineering of Thermal Processes, 4th edition, 2013, chapter 5.
    .. [2] EN 410:2011 (absorbed sun and its inward share), EN 673:2011 (heat).
    """

    panes: int
    thickness: float
    conductivity: float
    transmittance: float
    reflectance: float
    emissivity: float = 0.84
    gap: float = 0.012
    _index: float = field(init=False, repr=False)
    _clearness: float = field(init=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("panes", "thickness", "conductivity", "transmittance", "reflectance", "emissivity", "gap"):
            value = getattr(self, name)
            top = 1.0 if name in ("transmittance", "reflectance", "emissivity") else np.inf
            if not (0 < value <= top and np.isfinite(value)):
                rule = "above 0 and at most 1" if top == 1 else "above 0"
                raise CosimError(f"glazing has {name} = {value}: it must be {rule}")
        tau, rho = self.transmittance, self.reflectance
        if tau + rho >= 1:
            raise CosimError(f"glazing has transmittance {tau} and reflectance {rho}: together they must be below 1")
        # The sheet's rho = r + r a tau and tau = (1-r)² a / (1-r² a²), solved for r and a at normal incidence.
        beta = tau**2 - rho**2 + 2 * rho + 1
        r = (beta - np.sqrt(beta**2 - 4 * (2 - rho) * rho)) / (2 * (2 - rho))
        clearness = (rho - r) / (r * tau)
        index = (1 + np.sqrt(r)) / (1 - np.sqrt(r))
        if not (0 < clearness <= 1 and index < 2):  # glass has 1.45 to 1.95
            raise CosimError(
                f"glazing has transmittance {tau} and reflectance {rho}: no clear pane has both, "
                "and coated panes are not modelled"
            )
        object.__setattr__(self, "_index", index)
        object.__setattr__(self, "_clearness", clearness)

    def _pane(self, cosine: Vector) -> tuple[Vector, Vector]:
        """Transmittance and reflectance of one pane by polarisation, shape (2, n)."""
        inside = np.sqrt(1 - (1 - cosine**2) / self._index**2)
        n = self._index
        r = np.stack([(cosine - n * inside) / (cosine + n * inside), (n * cosine - inside) / (n * cosine + inside)])
        r = r**2
        a = self._clearness ** (1 / inside)
        tau = (1 - r) ** 2 * a / (1 - r**2 * a**2)
        return tau, r * (1 + a * tau)

    def optics(self, cosine: npt.ArrayLike) -> tuple[Vector, Vector]:
        """Return the transmittance of the whole glazing and the absorptance of each pane, from the outside in.

        Parameters
        ----------
        cosine : shape (n,)
            Cosine of the angle of incidence; 0 or less is behind the glass. [1]

        Returns
        -------
        transmittance : shape (n,)
            Of unpolarised beam. [1]
        absorptance : shape (panes, n)
            Share of the incident beam absorbed in each pane. [1]
        """
        given = np.atleast_1d(np.asarray(cosine, float))
        front = given > 0
        tau, rho = self._pane(np.clip(given, 1e-6, 1.0))
        behind = [np.zeros_like(rho)]  # reflectance behind each pane; the room is black
        for _ in range(self.panes - 1):
            behind.append(rho + tau**2 * behind[-1] / (1 - rho * behind[-1]))
        onto = np.ones_like(rho)
        absorbed = []
        for back in reversed(behind):
            after = onto * tau / (1 - rho * back)
            absorbed.append((1 - tau - rho) * (onto + after * back))
            onto = after
        transmittance: Vector = np.where(front, onto.mean(axis=0), 0.0)
        return transmittance, np.where(front, np.stack(absorbed).mean(axis=1), 0.0)

    @property
    def diffuse(self) -> tuple[float, Vector]:
        """Transmittance and absorptances for isotropic diffuse radiation."""
        tau, absorbed = self.optics(np.cos(_ANGLES))
        weight = np.sin(2 * _ANGLES) / np.sin(2 * _ANGLES).sum()
        return float(tau @ weight), absorbed @ weight

    def resistance(self, temperature: float = 10.0) -> float:
        """Return the resistance from surface to surface with the gaps at a temperature in °C. [m² K/W]"""
        gaps = (self.panes - 1) / gap_conductance(self.gap, self.emissivity, temperature)
        return self.panes * self.thickness / self.conductivity + gaps

    def inward(self, outer_film: float, inner_film: float, temperature: float = 10.0) -> Vector:
        """Return the share of the heat absorbed in each pane that flows inwards, shape (panes,).

        Parameters
        ----------
        outer_film, inner_film
            Resistances of the surfaces. [m² K/W]
        temperature
            Of the gaps. [°C]
        """
        sheet = self.thickness / self.conductivity
        step = sheet + 1 / gap_conductance(self.gap, self.emissivity, temperature)
        to_pane = outer_film + sheet / 2 + step * np.arange(self.panes)
        return np.asarray(to_pane / (outer_film + self.resistance(temperature) + inner_film), dtype=np.float64)
