"""Equivalent resistance and heat capacity of building components, as seen from the room.

Layers are reduced to the parameters of the two-mass network: chain matrices of the layers give each component's R1
and C1, and components are combined in parallel, at periods of seven and five days as in VDI 6007-1, or at a given one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cosim.core.errors import CosimError
from cosim.core.quantities import DAY_S, Complex

COMPONENT_PERIOD_S = 7 * DAY_S
ROOM_PERIOD_S = 5 * DAY_S


@dataclass(frozen=True, slots=True)
class MaterialLayer:
    """One homogeneous layer; density 0 makes it a pure resistance.

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


def chain_matrix(layers: Sequence[MaterialLayer], period_s: float) -> Complex:
    """Return the matrix that maps (temperature, heat flow) at the last layer's far side to the first's near side.

    Parameters
    ----------
    layers
        From the room outwards.
    period_s
        Period of the harmonic excitation. [s]

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
        Whether no heat crosses the far side (a floor on insulation, half of a partition); otherwise the far side
        has the same temperature excitation as the room [1]_.

    References
    ----------
    .. [1] VDI 6007 Part 1:2015: R1 + 1/(jωC1) is the branch at the room's side of the π-circuit that equals the
       chain matrix A, A12/(A22 − 1); with an adiabatic far side it is the whole impedance, A11/A21.
    """

    area: float
    layers: tuple[MaterialLayer, ...]
    adiabatic: bool = False

    @property
    def resistance(self) -> float:
        """From surface to surface. [K/W]"""
        return sum(layer.resistance for layer in self.layers) / self.area

    def room_side(self, period_s: float = COMPONENT_PERIOD_S) -> tuple[float, float]:
        """Return R1 [K/W] and C1 [J/K] at a period. [s]

        Examples
        --------
        >>> r, c = Component(10.0, (MaterialLayer(0.1, 2.0, 2000.0, 1000.0),), adiabatic=True).room_side()
        >>> round(c / 2e6, 3), round(r * 10 / (0.1 / 2.0), 3)  # all its heat, a third of its resistance
        (1.0, 0.333)
        """
        a = chain_matrix(self.layers, period_s)
        if not sum(layer.capacity for layer in self.layers) > 0:
            raise CosimError("a component has no heat capacity: give one of its layers density and heat")
        z = a[0, 0] / a[1, 0] if self.adiabatic else a[0, 1] / (a[1, 1] - 1)
        return _r_c(complex(z) / self.area, period_s)


def parallel(components: Sequence[Component], period_s: float | None = None) -> tuple[float, float]:
    """Return R1 [K/W] and C1 [J/K] equivalent to parallel components at a period [s], by default VDI 6007-1's."""
    own, common = (COMPONENT_PERIOD_S, ROOM_PERIOD_S) if period_s is None else (period_s, period_s)
    pairs, omega = [component.room_side(own) for component in components], 2 * np.pi / common
    return _r_c(1 / sum(1 / (r + 1 / (1j * omega * c)) for r, c in pairs), common)
