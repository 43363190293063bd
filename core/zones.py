"""How warm do buildings get, and how much heating or cooling keeps them comfortable?

The two-mass network of VDI 6007-1 with an explicit air node: the exterior mass (AW: façades, roof, ground
floor) sees an equivalent outdoor temperature through ``r_rest``, the interior mass (IW: partitions, ceilings)
sees only the room; both meet the air by convection and each other by radiation at their surfaces; windows,
ventilation and infiltration couple the air to outdoors::

    T_eq ──r_rest── AW ──r_exterior── surface ──convection── air ──outdoor_conductance── T_out
                                        │ radiation           │
                         IW ──r_interior── surface ──convection─┘

Inputs are constant over a step and the network is linear, so a step is exact (matrix exponential), and so is
the mean of the states over the step: energy is conserved at any step length.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from . import _zones
from .errors import CosimError

Array = npt.NDArray[np.float64]
N_COEFFICIENTS = 64  # 63 used; a whole number of cache lines


@dataclass(frozen=True)
class ZoneParameters:
    """Resistances and capacities of zone archetypes, one element per archetype.

    A zone is an archetype times a scale: with a scale in m² of floor, everything here is per m² of floor
    (capacities in J/(m² K), resistances in m² K/W, areas in m²/m²), and so on.

    Parameters
    ----------
    air_capacity, exterior_capacity, interior_capacity : shape (n_archetypes,)
        Heat capacities of air (with furniture), exterior and interior mass. [J/K]
    r_exterior, r_interior
        From the mass to its inner surface (R1_AW, R1_IW). [K/W]
    r_rest
        From the exterior mass to the equivalent outdoor temperature, outer surface included;
        ``inf`` insulates. [K/W]
    exterior_area, interior_area
        Surfaces that face the room. [m²]
    outdoor_conductance
        Windows, doors, ventilation and infiltration, air to outdoors. [W/K]
    h_exterior, h_interior, h_radiation
        Convective coefficients at the two surfaces and radiative coefficient between them; radiation acts on
        the smaller surface. [W/(m² K)]

    Raises
    ------
    CosimError
        If a value is not finite and positive (``outdoor_conductance`` may be 0, ``r_rest`` infinite).

    References
    ----------
    .. [1] VDI 6007 Part 1:2015, two-capacity model; the default coefficients are those of its test rooms.
    """

    air_capacity: Array
    exterior_capacity: Array
    interior_capacity: Array
    r_exterior: Array
    r_interior: Array
    r_rest: Array
    exterior_area: Array
    interior_area: Array
    outdoor_conductance: Array
    h_exterior: Array | float = 2.7
    h_interior: Array | float = 2.24
    h_radiation: Array | float = 5.0

    def __post_init__(self) -> None:
        names = [field.name for field in fields(self)]
        try:
            arrays = np.broadcast_arrays(*(np.atleast_1d(np.asarray(getattr(self, n), float)) for n in names))
        except ValueError as error:
            shapes = ", ".join(f"{n} {np.shape(getattr(self, n))}" for n in names)
            raise CosimError(f"zone parameters have shapes {shapes}: give one value per archetype") from error
        for name, value in zip(names, arrays, strict=True):
            good = value >= 0 if name == "outdoor_conductance" else value > 0
            if name != "r_rest":
                good &= np.isfinite(value)
            if not good.all():
                first = int(np.argmin(good))
                raise CosimError(
                    f"{name} of archetype {first} is {value[first]}: it must be positive and finite"
                )
            object.__setattr__(self, name, value.copy())

    def __len__(self) -> int:
        return len(self.air_capacity)

    def __add__(self, other: ZoneParameters) -> ZoneParameters:
        """Return the archetypes of both, those of ``other`` behind: e.g. the same rooms with windows open."""
        names = [field.name for field in fields(self)]
        return ZoneParameters(*(np.concatenate([getattr(self, n), getattr(other, n)]) for n in names))

    @property
    def exterior_share(self) -> Array:
        """Share of radiant gains that falls on the exterior surface: by area, as in VDI 6007-1."""
        return self.exterior_area / (self.exterior_area + self.interior_area)

    @property
    def loss_coefficient(self) -> Array:
        """Steady heat flow from the air to outdoors per kelvin, without sun and sky on the exterior. [W/K]"""
        to_exterior, to_interior, between, _ = _network(self)
        inward = to_exterior + between * to_interior / (between + to_interior)
        return self.outdoor_conductance + 1 / (self.r_rest + 1 / inward)


def _network(p: ZoneParameters) -> tuple[Array, Array, Array, Array]:
    """Eliminate the two massless surfaces.

    Returns the conductances air–exterior mass, air–interior mass, exterior–interior mass, and the shares
    (n, 3, 2) of a gain at a surface that reach air, exterior and interior mass.
    """
    mass = np.stack([1 / p.r_exterior, 1 / p.r_interior])
    air = np.stack([p.h_exterior * p.exterior_area, p.h_interior * p.interior_area])
    radiation = p.h_radiation * np.minimum(p.exterior_area, p.interior_area)
    own = mass + air + radiation
    det = own[0] * own[1] - radiation * radiation
    # inverse[i, j]: what 1 W at surface j does to the temperature of surface i
    inverse = np.stack([np.stack([own[1], radiation]), np.stack([radiation, own[0]])]) / det
    split = np.stack([np.einsum("sn,sgn->gn", air, inverse), mass[0] * inverse[0], mass[1] * inverse[1]])
    to_mass = np.einsum("sn,sgn,gn->gn", air, inverse, mass)
    between = mass[0] * inverse[0, 1] * mass[1]
    return to_mass[0], to_mass[1], between, np.moveaxis(split, -1, 0)


def _phi(z: Array) -> tuple[Array, Array, Array]:
    """Return exp(z), (exp(z)−1)/z and (exp(z)−1−z)/z² for z ≤ 0."""
    small = np.abs(z) < 0.05
    safe = np.where(small, -1.0, z)
    phi1 = np.expm1(safe) / safe
    phi2 = (phi1 - 1) / safe
    series1, series2, term = np.zeros_like(z), np.zeros_like(z), np.ones_like(z)
    for n in range(1, 11):  # 0.05**10 / 11! is far below rounding
        term = term / n
        series1 += term
        series2 += term / (n + 1)
        term = term * z
    return np.exp(z), np.where(small, series1, phi1), np.where(small, series2, phi2)


def _exact(conductance: Array, capacity: Array, dt: float) -> tuple[Array, Array, Array, Array]:
    """Return E, F, G, H of ``capacity · x' = −conductance · x + w`` over one step.

    ``x_end = E x + G w`` and ``x_mean = F x + H w``. The symmetric form keeps the exponential exact to
    rounding for any stiffness, which scaling and squaring does not.
    """
    root = np.sqrt(capacity)
    rate, vectors = np.linalg.eigh(conductance / (root[:, :, None] * root[:, None, :]))
    left = vectors / root[:, :, None]
    right = vectors * root[:, :, None]

    def function(value: Array, second: Array) -> Array:
        result: Array = np.einsum("nik,nk,njk->nij", left, value, second)
        return result

    phi0, phi1, phi2 = _phi(-np.maximum(rate, 0.0) * dt)
    return function(phi0, right), function(phi1, right), dt * function(phi1, left), dt * function(phi2, left)


def coefficients(parameters: ZoneParameters, step_s: float) -> Array:
    """Prepare one row of kernel coefficients per archetype.

    Parameters
    ----------
    parameters
        The archetypes.
    step_s
        Step length. [s]

    Returns
    -------
    shape (n_archetypes, 64)
        As laid out in ``_zones.pyx``.

    Raises
    ------
    CosimError
        If the step is not positive and finite.
    """
    if not (np.isfinite(step_s) and step_s > 0):
        raise CosimError(f"the step is {step_s} s: it must be positive")
    p = parameters
    n = len(p)
    exterior, interior, between, split = _network(p)
    rest = 1 / p.r_rest
    conductance = np.zeros((n, 3, 3))
    conductance[:, 0, 0] = p.outdoor_conductance + exterior + interior
    conductance[:, 1, 1] = rest + exterior + between
    conductance[:, 2, 2] = interior + between
    conductance[:, 0, 1] = conductance[:, 1, 0] = -exterior
    conductance[:, 0, 2] = conductance[:, 2, 0] = -interior
    conductance[:, 1, 2] = conductance[:, 2, 1] = -between
    capacity = np.stack([p.air_capacity, p.exterior_capacity, p.interior_capacity], axis=1)
    free = _exact(conductance, capacity, step_s)
    held = _exact(conductance[:, 1:, 1:], capacity[:, 1:], step_s)
    head = np.stack([p.outdoor_conductance, rest, exterior, interior, p.air_capacity / step_s], axis=1)
    rows = np.zeros((n, N_COEFFICIENTS))
    parts = [head, split.reshape(n, -1), *(m.reshape(n, -1) for m in (*free, *held))]
    filled = np.concatenate(parts, axis=1)
    rows[:, : filled.shape[1]] = filled
    return rows


@dataclass(frozen=True, slots=True)
class ZoneStep:
    """What zones did over one step, shape (n_zones,) each.

    Attributes
    ----------
    air, exterior, interior
        Mean temperatures of air and masses. [°C]
    power
        Mean heat given to the air, heating positive, cooling negative. [W]
    loss
        Mean heat flow to outdoors. Stored heat changes by ``power + gains − loss``. [W]
    """

    air: Array
    exterior: Array
    interior: Array
    power: Array
    loss: Array


class Zones:
    """Many zones, advanced together by the compiled kernel.

    Heating and cooling are ideal with a capacity limit, and convective: where the free-floating air would
    end the step outside the setpoints, the air is held at the setpoint during the step if the capacity
    suffices for the mean power that this takes; else constant power, at most the capacity, acts through it.
    Heating is positive, cooling negative.

    Parameters
    ----------
    parameters
        The archetypes.
    archetype : shape (n_zones,)
        Which archetype a zone is. May be assigned between steps, e.g. for a variant with open windows.
    scale : shape (n_zones,) or scalar
        By what the archetype's parameters are multiplied, e.g. floor area.
    temperature : shape (n_zones,) or scalar
        Initial temperature of all nodes. [°C]

    Raises
    ------
    CosimError
        If an archetype does not exist or a scale is not positive.
    """

    def __init__(
        self,
        parameters: ZoneParameters,
        archetype: npt.ArrayLike,
        scale: npt.ArrayLike = 1.0,
        temperature: npt.ArrayLike = 20.0,
    ) -> None:
        self.parameters = parameters
        n = len(np.atleast_1d(archetype))
        self._archetype = np.zeros(n, np.int32)
        self.archetype = archetype
        self._scale = np.array(np.broadcast_to(np.asarray(scale, float), (n,)))
        if not np.all(np.isfinite(self._scale) & (self._scale > 0)):
            first = int(np.argmin(np.isfinite(self._scale) & (self._scale > 0)))
            raise CosimError(f"scale of zone {first} is {self._scale[first]}: it must be positive")
        self.state = np.empty((3, n))
        """Air, exterior and interior mass temperature after the last step, shape (3, n_zones). [°C]"""
        self.state[:] = temperature
        self._drive = np.zeros((5, n))
        self._control = np.zeros((4, n))
        self._coefficients: dict[float, Array] = {}

    @property
    def archetype(self) -> npt.NDArray[np.int32]:
        """Which archetype each zone is, shape (n_zones,)."""
        return self._archetype

    @archetype.setter
    def archetype(self, value: npt.ArrayLike) -> None:
        index = np.atleast_1d(value)
        n, last = len(self._archetype), len(self.parameters) - 1
        fits = index.shape == (n,) and index.dtype.kind in "iu"
        if not (fits and (index >= 0).all() and (index <= last).all()):
            raise CosimError(f"archetype must be {n} whole numbers from 0 to {last}, got {index}")
        self._archetype = np.ascontiguousarray(index, dtype=np.int32)

    @property
    def stored_heat(self) -> Array:
        """Heat stored above 0 °C, shape (n_zones,). [J]"""
        p = self.parameters
        capacity = np.stack([p.air_capacity, p.exterior_capacity, p.interior_capacity])
        result: Array = self._scale * np.einsum("kn,kn->n", capacity[:, self._archetype], self.state)
        return result

    def step(
        self,
        step_s: float,
        outdoor: npt.ArrayLike,
        *,
        equivalent: npt.ArrayLike | None = None,
        gain_air: npt.ArrayLike = 0.0,
        gain_exterior: npt.ArrayLike = 0.0,
        gain_interior: npt.ArrayLike = 0.0,
        heating_setpoint: npt.ArrayLike = -np.inf,
        cooling_setpoint: npt.ArrayLike = np.inf,
        heating_capacity: npt.ArrayLike = np.inf,
        cooling_capacity: npt.ArrayLike = np.inf,
    ) -> ZoneStep:
        """Advance all zones by one exact step.

        Parameters
        ----------
        step_s
            Step length. [s]
        outdoor, equivalent : shape (n_zones,) or scalar
            Mean outdoor temperature, and that of the exterior mass with sun and sky (default: the same). [°C]
        gain_air, gain_exterior, gain_interior : shape (n_zones,) or scalar
            Mean convective gains, and radiant gains at the two surfaces. [W]
        heating_setpoint, cooling_setpoint : shape (n_zones,) or scalar
            The air floats freely between them. [°C]
        heating_capacity, cooling_capacity : shape (n_zones,) or scalar
            Most heat given to or taken from the air, 0 for none, ``inf`` for no limit. [W]

        Raises
        ------
        CosimError
            If a drive is not finite, a capacity is negative, or a heating setpoint is above the cooling one.
        """
        drive, control = self._drive, self._control
        drive[0] = outdoor
        drive[1] = outdoor if equivalent is None else equivalent
        drive[2], drive[3], drive[4] = gain_air, gain_exterior, gain_interior
        control[0], control[1], control[2], control[3] = (
            heating_setpoint, cooling_setpoint, heating_capacity, cooling_capacity,
        )  # fmt: skip
        if not np.isfinite(drive).all():
            row, zone = np.argwhere(~np.isfinite(drive))[0]
            name = ("outdoor", "equivalent", "gain_air", "gain_exterior", "gain_interior")[row]
            raise CosimError(f"{name} of zone {zone} is {drive[row, zone]}: it must be a finite number")
        if not (control[0] <= control[1]).all():
            zone = int(np.argmin(control[0] <= control[1]))
            raise CosimError(
                f"zone {zone} is to be heated to {control[0, zone]} °C and cooled to {control[1, zone]} °C: "
                "the heating setpoint must not be above the cooling setpoint"
            )
        if not (control[2:] >= 0).all():
            raise CosimError("a heating or cooling capacity is negative or NaN: write 0 for none")
        if step_s not in self._coefficients:
            self._coefficients[step_s] = coefficients(self.parameters, step_s)
        mean, flow = np.empty_like(self.state), np.empty((2, self.state.shape[1]))
        _zones.step(
            self._coefficients[step_s], self._archetype, self._scale, drive, control, self.state, mean, flow
        )
        return ZoneStep(mean[0], mean[1], mean[2], flow[0], flow[1])
