"""Thermal network of a zone and the coefficients of its exact step.

The two-mass network of VDI 6007-1 with an explicit air node: the exterior mass (AW: façades, roof, ground
floor) is coupled to an equivalent outdoor temperature through ``r_rest``, the interior mass (IW: partitions, ceilings)
to the room only; windows have a massless inner surface coupled to outdoors through ``window_conductance``; the three
surfaces exchange heat with the air by convection and with each other by radiation; ventilation and infiltration, and
windows without a surface node, couple the air to outdoors::

    T_eq ──r_rest── AW ──r_exterior── surface ──convection── air ──outdoor_conductance── T_out
                                        │ radiation           │
                         IW ──r_interior── surface ──convection─┤
                                        │ radiation           │
       T_win ──window_conductance── window surface ──convection─┘

Inputs are constant over a step and the network is linear, so a step is exact (matrix exponential), and so are
the mean states over the step: energy is conserved at any step length.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np

from cosim.core.errors import CosimError
from cosim.core.quantities import Array

from .rows import Column

_SHARES = ("heating_exterior", "heating_interior", "cooling_exterior", "cooling_interior")
_MAY_BE_ZERO = ("outdoor_conductance", "window_area", "window_conductance", *_SHARES)
N_COEFFICIENTS = 64  # 63 used; a whole number of cache lines


@dataclass(frozen=True, kw_only=True)
class ZoneParameters:
    """Resistances and capacities of zone archetypes, one element per archetype.

    A zone is an archetype times a scale: with a scale in m² of floor area, for example, everything here is per m² of
    floor area (capacities in J/(m² K), resistances in m² K/W, areas in m²/m²).

    Parameters
    ----------
    air_capacity, exterior_capacity, interior_capacity : shape (n_archetypes,)
        Heat capacities of air (with furniture), exterior and interior mass. [J/K]
    r_exterior, r_interior
        From the mass to its inner surface (R1_AW, R1_IW). [K/W]
    r_rest
        From the exterior mass to the equivalent outdoor temperature, outer surface included;
        ``inf`` for perfect insulation. [K/W]
    exterior_area, interior_area
        Surfaces that face the room. [m²]
    outdoor_conductance
        From air to outdoors: ventilation, infiltration, doors, and windows without a surface node. [W/K]
    h_exterior, h_interior, h_radiation
        Convective coefficients at the two surfaces and radiative coefficient between them; radiation acts on
        the smaller surface. [W/(m² K)]
    window_area, window_conductance
        Windows with a surface node: area [m²], and conductance from that surface to the window's equivalent
        outdoor temperature, outer surface included. [W/K]
    h_window
        Convective coefficient at the windows. [W/(m² K)]
    heating_exterior, heating_interior, cooling_exterior, cooling_interior
        Shares of the heating and cooling power that act on the two surfaces instead of the air, e.g. by radiators and
        heated floors. [1]

    Raises
    ------
    CosimError
        If a value is not finite and positive (``outdoor_conductance`` and the windows' may be 0, ``r_rest``
        infinite), only one of the windows' area and conductance is 0, or shares of power sum to more than 1.

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
    window_area: Array | float = 0.0
    window_conductance: Array | float = 0.0
    h_window: Array | float = 2.7
    heating_exterior: Array | float = 0.0
    heating_interior: Array | float = 0.0
    cooling_exterior: Array | float = 0.0
    cooling_interior: Array | float = 0.0

    def __post_init__(self) -> None:
        names = [field.name for field in fields(self)]
        try:
            arrays = np.broadcast_arrays(*(np.atleast_1d(np.asarray(getattr(self, n), float)) for n in names))
        except ValueError as error:
            shapes = ", ".join(f"{n} {np.shape(getattr(self, n))}" for n in names)
            raise CosimError(f"zone parameters have shapes {shapes}: give one value per archetype") from error
        for name, value in zip(names, arrays, strict=True):
            good = value >= 0 if name in _MAY_BE_ZERO else value > 0
            if name != "r_rest":
                good &= np.isfinite(value)
            if not good.all():
                first = int(np.argmin(good))
                raise CosimError(f"{name} of archetype {first} is {value[first]}: it must be positive and finite")
            object.__setattr__(self, name, value.copy())
        lone = (np.asarray(self.window_area) > 0) != (np.asarray(self.window_conductance) > 0)
        if lone.any():
            raise CosimError(
                f"archetype {int(np.argmax(lone))} has only one of window_area and window_conductance: "
                "give both, or 0 for both"
            )
        for power in ("heating", "cooling"):
            total = np.asarray(getattr(self, f"{power}_exterior") + getattr(self, f"{power}_interior"))
            if (total > 1 + 1e-12).any():
                first = int(np.argmax(total > 1 + 1e-12))
                raise CosimError(
                    f"{power}_exterior and {power}_interior of archetype {first} sum to {total[first]:g}: "
                    "they are shares of the power and must sum to at most 1"
                )

    def __len__(self) -> int:
        return len(self.air_capacity)

    def __add__(self, other: ZoneParameters) -> ZoneParameters:
        """Return the archetypes of both, those of ``other`` last, e.g. the same rooms with open windows."""
        names = [field.name for field in fields(self)]
        return ZoneParameters(**{n: np.concatenate([getattr(self, n), getattr(other, n)]) for n in names})

    @property
    def exterior_share(self) -> Array:
        """Share of radiant gains that falls on the exterior surface: by area, as in VDI 6007-1."""
        return self.exterior_area / (self.exterior_area + self.interior_area)

    @property
    def loss_coefficient(self) -> Array:
        """Steady heating power that holds the air one kelvin above outdoors, without sun and sky, shape (n,). [W/K]

        Heat that acts on surfaces warms walls and windows more than the air, and so more of it is lost.
        """
        net = _network(self)
        by_heat = _emission(self, net.split)[:, 0]
        matrix = np.zeros((len(self), 2, 2))
        matrix[:, 0, 0] = net.exterior + net.between + 1 / self.r_rest + net.window[1]
        matrix[:, 1, 1] = net.interior + net.between + net.window[2]
        matrix[:, 0, 1] = matrix[:, 1, 0] = -net.between
        to_masses = np.stack([net.exterior, net.interior], axis=1)
        # Temperatures of the masses are those at no power plus those per watt of it.
        masses = np.linalg.solve(matrix, np.stack([to_masses, by_heat[:, 1:3]], axis=2))
        idle, per_watt = np.einsum("ni,nik->kn", to_masses, masses)
        needs = self.outdoor_conductance + net.window[0] + net.exterior + net.interior - idle
        result: Array = needs / (by_heat[:, 0] + per_watt)
        return result

    @property
    def time_constant(self) -> Array:
        """Slowest time constant of the free-floating room, ``inf`` without a loss to outdoors, shape (n,). [s]"""
        conductance, capacity = _balance(self)
        root = np.sqrt(capacity)
        rate = np.linalg.eigvalsh(conductance / (root[:, :, None] * root[:, None, :]))[:, 0]
        result: Array = np.divide(1.0, rate, out=np.full(len(self), np.inf), where=rate > 1e-12)
        return result

    @property
    def surface_radiation(self) -> Array:
        """Radiative conductances between exterior, interior and window surface, shape (n, 3, 3). [W/K]

        Radiation between exterior and interior surface acts on the smaller one, less the share of the windows; a
        window radiates to both in proportion to their area.
        """
        window = np.asarray(self.window_area)
        areas = np.stack([self.exterior_area, self.interior_area])
        larger = areas.max(axis=0)
        between = np.zeros((len(self), 3, 3))
        between[:, 0, 1] = self.h_radiation * areas.min(axis=0) * (larger / (larger + window))
        for k in (0, 1):
            between[:, k, 2] = self.h_radiation * window * areas[k] / areas.sum(axis=0)
        between += np.swapaxes(between, 1, 2)
        return between

    @property
    def surface_matrix(self) -> Array:
        """Matrix from temperatures and gains to exterior, interior and window surface temperature, shape (n, 3, 6).

        The columns apply to the temperatures of air, exterior mass, interior mass and behind the windows [°C], and to
        the gains at exterior and interior surface [W]; means over a step yield means. Without windows the window
        surface temperature is 0.
        """
        inverse, air, mass = _surfaces(self)
        sources = [np.einsum("sgn,gn->sn", inverse, air), *(inverse[:, k] * mass[k] for k in range(3))]
        return np.moveaxis(np.stack([*sources, inverse[:, 0], inverse[:, 1]]), -1, 0).swapaxes(1, 2)


class _Network(NamedTuple):
    """The network without its massless surfaces: conductances [W/K] and the distribution of gains at surfaces."""

    exterior: Array
    """Air to exterior mass, shape (n,)."""
    interior: Array
    """Air to interior mass, shape (n,)."""
    between: Array
    """Exterior to interior mass, shape (n,)."""
    window: Array
    """Air, exterior and interior mass to the temperature behind the windows, shape (3, n)."""
    split: Array
    """Shares of gains at exterior and interior surface that reach air, both masses and outdoors, shape (n, 4, 2)."""


def _surfaces(p: ZoneParameters) -> tuple[Array, Array, Array]:
    """Return the temperature rise of surface s per watt at surface g, and the coupling of surfaces to air and masses.

    Shapes (3, 3, n), (3, n) and (3, n).
    """
    window, areas = np.asarray(p.window_area), np.stack([p.exterior_area, p.interior_area, np.asarray(p.window_area)])
    radiation = p.surface_radiation
    mass = np.stack([1 / p.r_exterior, 1 / p.r_interior, np.asarray(p.window_conductance)])
    air = np.stack([p.h_exterior * areas[0], p.h_interior * areas[1], p.h_window * window])
    own = mass + air + radiation.sum(axis=2).T
    own[2] = np.where(window > 0, own[2], 1.0)  # no window, nothing to eliminate
    surfaces = -radiation
    surfaces[:, range(3), range(3)] = own.T
    inverse = np.moveaxis(np.linalg.inv(surfaces), 0, -1)
    inverse = (inverse + np.swapaxes(inverse, 0, 1)) / 2  # restore the symmetry lost to rounding
    return inverse, air, mass


def _network(p: ZoneParameters) -> _Network:
    """Eliminate the three massless surfaces."""
    inverse, air, mass = _surfaces(p)
    to_mass = np.einsum("sn,sgn,gn->gn", air, inverse, mass)
    split = np.stack(
        [np.einsum("sn,sgn->gn", air, inverse), *(mass[k] * inverse[k] for k in range(3))]
    )  # (4, 3, n): distribution of a gain at each surface
    return _Network(
        to_mass[0],
        to_mass[1],
        mass[0] * inverse[0, 1] * mass[1],
        np.stack([to_mass[2], mass[0] * inverse[0, 2] * mass[2], mass[1] * inverse[1, 2] * mass[2]]),
        np.moveaxis(split[:, :2], -1, 0),
    )


def _balance(p: ZoneParameters) -> tuple[Array, Array]:
    """Return conductance matrix and capacities of air and masses, shapes (n, 3, 3) [W/K] and (n, 3) [J/K]."""
    exterior, interior, between, window, _ = _network(p)
    conductance = np.zeros((len(p), 3, 3))
    conductance[:, 0, 0] = p.outdoor_conductance + window[0] + exterior + interior
    conductance[:, 1, 1] = 1 / p.r_rest + window[1] + exterior + between
    conductance[:, 2, 2] = window[2] + interior + between
    conductance[:, 0, 1] = conductance[:, 1, 0] = -exterior
    conductance[:, 0, 2] = conductance[:, 2, 0] = -interior
    conductance[:, 1, 2] = conductance[:, 2, 1] = -between
    return conductance, np.stack([p.air_capacity, p.exterior_capacity, p.interior_capacity], axis=1)


def _emission(p: ZoneParameters, split: Array) -> Array:
    """Return the shares of heating and cooling that reach air, both masses and outdoors, shape (n, 2, 4)."""
    at_surfaces = np.stack([getattr(p, name) for name in _SHARES], axis=1).reshape(-1, 2, 2)
    shares = np.einsum("nks,nps->npk", split, at_surfaces)
    shares[:, :, 0] += 1 - at_surfaces.sum(axis=2)
    return np.asarray(shares)


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
    """Return one row of kernel coefficients per archetype.

    Parameters
    ----------
    parameters
        The archetypes.
    step_s
        Step length. [s]

    Returns
    -------
    shape (n_archetypes, 64)
        As laid out in ``zones.h``.

    Raises
    ------
    CosimError
        If the step is not positive and finite.
    """
    if not (np.isfinite(step_s) and step_s > 0):
        raise CosimError(f"the step is {step_s} s: it must be positive")
    p = parameters
    n = len(p)
    exterior, interior, _, window, split = _network(p)
    rest = 1 / p.r_rest
    conductance, capacity = _balance(p)
    free = _exact(conductance, capacity, step_s)
    held = _exact(conductance[:, 1:, 1:], capacity[:, 1:], step_s)
    head = np.stack([p.outdoor_conductance, rest, exterior, interior, p.air_capacity / step_s, *window], axis=1)
    rows = np.zeros((n, N_COEFFICIENTS))
    # The means from the state at the start, F and HELD_F, are G and HELD_G of the heat stored over the step.
    upper3, upper2 = np.triu_indices(3), np.triu_indices(2)
    matrices = {
        Column.E: free[0],
        Column.G: free[2][:, *upper3],
        Column.H: free[3][:, *upper3],
        Column.HELD_E: held[0],
        Column.HELD_G: held[2][:, *upper2],
        Column.HELD_H: held[3][:, *upper2],
    }
    per_g = 1 / free[2][:, 0, :1]
    emission = _emission(p, split)
    # Power that holds the air acts on it directly, and by the masses that it warms over the step.
    to_air = np.einsum("ni,nij,npj->np", np.stack([exterior, interior], axis=1), held[3], emission[:, :, 1:3])
    per_held = 1 / (emission[:, :, 0] + to_air)
    per_free = 1 / np.einsum("nj,npj->np", free[2][:, 0], emission[:, :, :3])
    emits = np.max([getattr(p, name) for name in _SHARES], axis=0)[:, None] > 0
    parts = matrices | {
        Column.H_OUT: head,
        Column.SPLIT: split,
        Column.C_EXT: capacity[:, 1:] / step_s,
        Column.PER_G: per_g,
        Column.EMITS: emits,
        Column.BY_HEAT: emission,
        Column.PER_HELD: per_held,
        Column.PER_FREE: per_free,
    }
    for begin, part in parts.items():
        flat = part.reshape(n, -1)
        rows[:, begin : begin + flat.shape[1]] = flat
    return rows
