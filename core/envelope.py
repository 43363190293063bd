"""Which resistance and heat capacity does a wall show to the room?

From layers to the parameters of the two-mass network: chain matrices of the layers at a period of seven days give
each component's R1 and C1, components lie parallel at a period of five days.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .errors import CosimError

Complex = npt.NDArray[np.complex128]
COMPONENT_PERIOD_S = 7 * 86400.0
ROOM_PERIOD_S = 5 * 86400.0


@dataclass(frozen=True, slots=True)
class Layer:
    """One homogeneous layer; density 0 makes it a mere resistance.

    Parameters
    ----------
    thickness, conductivity, density, heat
        [m], [W/(m K)], [kg/m³], [J/(kg K)]
    """

    thickness: float
    conductivity: float
    density: float
    heat: float

    def __post_init__(self) -> None:
        for name in ("thickness", "conductivity"):
            if not 0 < getattr(self, name) < np.inf:
                raise CosimError(f"a layer has {name} = {getattr(self, name)}: it must be positive and finite")
        for name in ("density", "heat"):
            if not 0 <= getattr(self, name) < np.inf:
                raise CosimError(f"a layer has {name} = {getattr(self, name)}: it must be finite and not negative")

    @property
    def resistance(self) -> float:
        """[m² K/W]"""
        return self.thickness / self.conductivity

    @property
    def capacity(self) -> float:
        """[J/(m² K)]"""
        return self.thickness * self.density * self.heat


def chain_matrix(layers: Sequence[Layer], period_s: float) -> Complex:
    """Return the matrix that takes (temperature, heat flow) of the last layer's far side to the first's near side.

    Parameters
    ----------
    layers
        From the room outwards.
    period_s
        Of the harmonic excitation. [s]

    Returns
    -------
    shape (2, 2)
        With determinant 1.

    References
    ----------
    .. [1] VDI 6007 Part 1:2015; Carslaw, Jaeger, Conduction of Heat in Solids, 2nd edition, 1959, 3.7.
    """
    omega = 2 * np.pi / period_s
    total = np.eye(2, dtype=np.complex128)
    for layer in layers:
        r = layer.resistance
        x = np.sqrt(1j * omega * r * layer.capacity)
        total = total @ (
            np.array([[np.cosh(x), r * np.sinh(x) / x], [x * np.sinh(x) / r, np.cosh(x)]])
            if abs(x) > 0
            else np.array([[1, r], [0, 1]])
        )
    return total


def _r_c(impedance: complex, period_s: float) -> tuple[float, float]:
    return impedance.real, -period_s / (2 * np.pi * impedance.imag)


@dataclass(frozen=True, slots=True)
class Component:
    """A wall, roof, floor or partition.

    Parameters
    ----------
    area
        [m²]
    layers
        From the room outwards.
    adiabatic
        Whether heat passes its far side: then the far side is at the temperature excitation of the room [1]_,
        else there is none (a floor on insulation, half of a partition).

    References
    ----------
    .. [1] VDI 6007 Part 1:2015: R1 + 1/(jωC1) is the branch at the room's side of the π-circuit that equals the
       chain matrix A, A12/(A22 − 1); with an adiabatic far side it is the whole impedance, A11/A21.
    """

    area: float
    layers: tuple[Layer, ...]
    adiabatic: bool = False

    @property
    def resistance(self) -> float:
        """From surface to surface. [K/W]"""
        return sum(layer.resistance for layer in self.layers) / self.area

    def room_side(self) -> tuple[float, float]:
        """Return R1 [K/W] and C1 [J/K].

        Examples
        --------
        >>> r, c = Component(10.0, (Layer(0.1, 2.0, 2000.0, 1000.0),), adiabatic=True).room_side()
        >>> round(c / 2e6, 3), round(r * 10 / (0.1 / 2.0), 3)  # all its heat, a third of its resistance
        (1.0, 0.333)
        """
        a = chain_matrix(self.layers, COMPONENT_PERIOD_S)
        if not sum(layer.capacity for layer in self.layers) > 0:
            raise CosimError("a component has no heat capacity: give one of its layers density and heat")
        z = a[0, 0] / a[1, 0] if self.adiabatic else a[0, 1] / (a[1, 1] - 1)
        return _r_c(complex(z) / self.area, COMPONENT_PERIOD_S)


def parallel(components: Sequence[Component]) -> tuple[float, float]:
    """Return R1 [K/W] and C1 [J/K] of components side by side, equal to them at a period of five days."""
    omega = 2 * np.pi / ROOM_PERIOD_S
    pairs = [component.room_side() for component in components]
    return _r_c(1 / sum(1 / (r + 1 / (1j * omega * c)) for r, c in pairs), ROOM_PERIOD_S)
