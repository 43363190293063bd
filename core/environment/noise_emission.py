"""Sound power of road traffic by octave band, CNOSSOS-EU (Directive (EU) 2015/996, amended by (EU) 2021/1226)."""

from __future__ import annotations

import csv
import functools
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from cosim.core.arguments import shown
from cosim.core.errors import CosimError
from cosim.core.quantities import Array, Vector

from .noise_levels import BANDS_HZ

Edition: TypeAlias = Literal[2015, 2021]
CATEGORIES = ("1", "2", "3", "4a", "4b")
"""Light vehicles up to 3.5 t, medium ones with two axles, heavy ones with three or more, mopeds, motorcycles."""
REFERENCE = "reference"
"""The virtual reference surface: mean of dense and stone mastic asphalt 0/11, 2 to 7 years old."""

_V_REF, _V_LOWEST, _V_HIGHEST = 70.0, 20.0, 130.0  # km/h
_T_REF = 20.0  # °C
_TEMPERATURE = {"1": 0.08, "2": 0.04, "3": 0.04}  # dB/K
_JUNCTIONS = {
    "none": {},
    "lights": {"1": (-4.5, 5.5), "2": (-4.0, 9.0), "3": (-4.0, 9.0)},
    "roundabout": {"1": (-4.4, 3.1), "2": (-2.3, 6.7), "3": (-2.3, 6.7)},
}  # dB, rolling and propulsion
_JUNCTION_REACH_M = 100.0
_STEEPEST = 12.0  # %
ELECTRIC_DB: Vector = np.array([0.0, 1.7, 4.2, 15.0, 15.0, 15.0, 13.8, 0.0])
"""Reduction of the propulsion noise of light vehicles by electric drives, see `sound_power`. [dB]"""


class _Vehicle(NamedTuple):
    """Coefficients of a category, each of shape (8,); without rolling noise ``a_rolling`` is None."""

    a_rolling: Vector | None
    b_rolling: Vector | None
    a_propulsion: Vector
    b_propulsion: Vector
    a_studded: Vector | None
    b_studded: Vector | None


def surfaces(edition: Edition = 2021) -> dict[str, str]:
    """Return the names of road surfaces by their code."""
    return {REFERENCE: "virtual reference surface"} | {code: names for (code, _), (names, _, _) in _surfaces(edition)}


def sound_power(
    flow: Mapping[str, npt.ArrayLike],
    speed: Mapping[str, npt.ArrayLike],
    *,
    surface: Sequence[str] | str = REFERENCE,
    temperature: npt.ArrayLike = _T_REF,
    gradient: npt.ArrayLike = 0.0,
    junction: Literal["none", "lights", "roundabout"] = "none",
    junction_distance: npt.ArrayLike = np.inf,
    studded_share: float = 0.0,
    studded_months: float = 0.0,
    edition: Edition = 2021,
    electric: Mapping[str, npt.ArrayLike] | None = None,
    electric_reduction: npt.ArrayLike = ELECTRIC_DB,
) -> Array:
    """Return the sound power of streets per metre, relative to 1 pW/m, by octave band.

    Streets are the last axis of flows and speeds; axes before it, such as hours, are free. Speeds below 20 km/h count
    as 20 km/h and those above 130 km/h as 130 km/h, the limits of the method's validity [1]_. Where flows and speeds
    come from a simulation that resolves queues, the braking and accelerating at junctions is in them: leave
    ``junction`` at ``"none"`` then. The warning sound of electric cars below 20 km/h is left out.

    Parameters
    ----------
    flow
        Vehicles per hour with combustion engines by category, one of `CATEGORIES`; shape (…, n). [1/h]
    speed
        Mean speed of each category; shape (…, n). [km/h]
    surface
        Code of the road surface of all streets or of each, see `surfaces`.
    temperature
        Yearly mean of the air temperature; shape () or (n,). [°C]
    gradient
        Slope in the direction of travel, positive uphill; shape () or (n,). [%]
    junction, junction_distance
        Kind of the nearest junction with crossing traffic, and its distance; shape () or (n,). [m]
    studded_share, studded_months
        Share of the light vehicles with studded tyres, and the months of the year in which they are fitted.
    edition
        2021 for the coefficients of (EU) 2021/1226, 2015 for those before; they differ by up to 3 dB(A).
    electric
        Electric vehicles, not contained in ``flow``, by category. [1/h]
    electric_reduction : shape (8,)
        Reduction of propulsion noise by electric drives, published for light vehicles [2]_; for other categories it is
        an extrapolation. [dB]

    Returns
    -------
    Shape (…, n, 8).

    Raises
    ------
    CosimError
        If a category, surface or junction is unknown, if the surface has no coefficients for a category that drives
        there, or if a flow or speed is negative or not finite.

    References
    ----------
    .. [1] Directive (EU) 2015/996, annex, section 2.2 and appendix F, amended by (EU) 2021/1226; coefficients as in
       the tables RoadCnossos_2015 and RoadCnossos_2020 of Université Gustave Eiffel's NoiseModelling.
    .. [2] Pallas et al., Towards a model for electric vehicle noise emission in the European prediction method
       CNOSSOS-EU, Applied Acoustics 113, 2016, 89-101; values by band as in carculator_utils.

    Examples
    --------
    >>> from cosim.core.environment.noise_levels import a_weighted, decibels
    >>> cars = sound_power({"1": [1000.0]}, {"1": [50.0]})
    >>> decibels(a_weighted(cars)).round(2)
    array([81.45])
    """
    if junction not in _JUNCTIONS:
        raise CosimError(f"junction is {shown(junction)}: write one of {', '.join(_JUNCTIONS)}")
    near = np.maximum(1.0 - np.abs(np.asarray(junction_distance, float)) / _JUNCTION_REACH_M, 0.0)
    slope = np.clip(np.asarray(gradient, float), -_STEEPEST, _STEEPEST)
    kept = _power(-np.asarray(electric_reduction, float))
    parts: list[Array] = []
    for kind in dict.fromkeys((*flow, *(electric or {}))):
        burning, battery, pace = _checked(kind, flow, electric or {}, speed)
        vehicle = _vehicles(edition)[kind]
        alpha, beta = _surface(surface, kind, edition, pace)
        rolling_junction, propulsion_junction = _JUNCTIONS[junction].get(kind, (0.0, 0.0))
        level = (
            vehicle.a_propulsion
            + vehicle.b_propulsion * ((pace - _V_REF) / _V_REF)[..., None]
            + np.minimum(alpha, 0.0)
            + np.broadcast_to(_gradient(kind, slope, pace) + propulsion_junction * near, pace.shape)[..., None]
        )
        power = _power(level) * (burning[..., None] + battery[..., None] * kept)
        if vehicle.a_rolling is not None and vehicle.b_rolling is not None:
            correction = rolling_junction * near + _TEMPERATURE[kind] * (_T_REF - np.asarray(temperature, float))
            level = (
                vehicle.a_rolling
                + alpha
                + (vehicle.b_rolling + beta) * np.log10(pace / _V_REF)[..., None]
                + np.broadcast_to(correction, pace.shape)[..., None]
                + _studded(vehicle, pace, studded_share * studded_months / 12)
            )
            power += _power(level) * (burning + battery)[..., None]
        parts.append(power / (1000.0 * pace)[..., None])
    if not parts:
        raise CosimError(f"there are no flows: give vehicles per hour of one of {', '.join(CATEGORIES)}")
    return np.asarray(sum(parts[1:], start=parts[0]))


def _power(level: Array) -> Array:
    return np.asarray(np.exp(level * (np.log(10.0) / 10.0)))


def _checked(
    kind: str,
    flow: Mapping[str, npt.ArrayLike],
    electric: Mapping[str, npt.ArrayLike],
    speed: Mapping[str, npt.ArrayLike],
) -> tuple[Array, Array, Array]:
    if kind not in CATEGORIES:
        raise CosimError(f"category of vehicles is {shown(kind)}: write one of {', '.join(CATEGORIES)}")
    if kind not in speed:
        raise CosimError(f"vehicles of category {kind} have no speed: give their mean speed in km/h")
    given = (flow.get(kind, 0.0), electric.get(kind, 0.0), speed[kind])
    found = np.broadcast_arrays(*(np.asarray(values, float) for values in given))
    for name, values in zip(("flow", "electric flow", "speed"), found, strict=True):
        fine = np.isfinite(values) & (values >= 0)
        if not fine.all():
            wrong = float(values[~fine].flat[0])
            raise CosimError(f"{name} of category {kind} is {shown(wrong)}: it must be finite and not negative")
    return found[0], found[1], np.clip(found[2], _V_LOWEST, _V_HIGHEST)


def _studded(vehicle: _Vehicle, pace: Array, share: float) -> Array | float:
    """Return the louder rolling noise of studded tyres, averaged over the year by energy. [dB]"""
    if not share or vehicle.a_studded is None or vehicle.b_studded is None:
        return 0.0
    louder = vehicle.a_studded + vehicle.b_studded * np.log10(np.clip(pace, 50, 90) / _V_REF)[..., None]
    return np.asarray(10.0 * np.log10(1.0 - share + share * 10.0 ** (louder / 10.0)))


def _gradient(kind: str, slope: Array, pace: Array) -> Array:
    """Return the correction of propulsion noise by slope, section 2.2.5. [dB]"""
    up, down = np.maximum(slope, 0.0), np.maximum(-slope, 0.0)
    if kind == "1":
        return np.maximum(down - 6.0, 0.0) + pace / 100 * np.maximum(up - 2.0, 0.0) / 1.5
    if kind == "2":
        return (pace - 20) / 100 * np.maximum(down - 4.0, 0.0) / 0.7 + pace / 100 * up
    if kind == "3":
        return (pace - 10) / 100 * np.maximum(down - 4.0, 0.0) / 0.5 + pace / 100 * up / 0.8
    return np.zeros(np.broadcast_shapes(slope.shape, pace.shape))


def _surface(surface: Sequence[str] | str, kind: str, edition: Edition, pace: Array) -> tuple[Array, Array]:
    """Return alpha, shape (8,) or (n, 8), and beta, shape (1,) or (n, 1)."""
    if isinstance(surface, str):
        return _coefficients(surface, kind, edition)
    if pace.ndim == 0 or len(surface) != pace.shape[-1]:
        raise CosimError(f"{len(surface)} surfaces for flows of shape {pace.shape}: give one surface per street")
    codes, which = np.unique(np.asarray(surface, str), return_inverse=True)
    found = [_coefficients(str(code), kind, edition) for code in codes]
    return np.stack([alpha for alpha, _ in found])[which], np.stack([beta for _, beta in found])[which]


def _coefficients(code: str, kind: str, edition: Edition) -> tuple[Vector, Vector]:
    if code == REFERENCE or kind in ("4a", "4b"):
        if code not in surfaces(edition):
            raise _unknown_surface(code, edition)
        return np.zeros(8), np.zeros(1)
    known = dict(_surfaces(edition))
    if (code, kind) not in known:
        if code not in surfaces(edition):
            raise _unknown_surface(code, edition)
        raise CosimError(f"surface {code} has no coefficients for vehicles of category {kind}: use {REFERENCE!r}")
    _, alpha, beta = known[code, kind]
    return alpha, beta


def _unknown_surface(code: str, edition: Edition) -> CosimError:
    return CosimError(f"unknown road surface {shown(code)}: write one of {', '.join(surfaces(edition))}")


def _table(name: str, edition: Edition) -> list[dict[str, str]]:
    if edition not in (2015, 2021):
        raise CosimError(f"edition of CNOSSOS-EU is {shown(edition)}: it is 2015 or 2021")
    text = resources.files("cosim.core.environment").joinpath(name).read_text("utf-8")
    return [row for row in csv.DictReader(text.splitlines()) if row["edition"] in (str(edition), "both")]


def _bands(row: Mapping[str, str]) -> Vector:
    return np.array([float(row[f"{band:.0f}"]) for band in BANDS_HZ])


@functools.cache
def _vehicles(edition: Edition) -> dict[str, _Vehicle]:
    found: dict[str, dict[str, Vector]] = {}
    for row in _table("cnossos_vehicles.csv", edition):
        found.setdefault(row["category"], {})[row["coefficient"]] = _bands(row)
    return {kind: _Vehicle(*(rows.get(name) for name in _Vehicle._fields)) for kind, rows in found.items()}  # type: ignore[arg-type]


@functools.cache
def _surfaces(edition: Edition) -> tuple[tuple[tuple[str, str], tuple[str, Vector, Vector]], ...]:
    return tuple(
        ((row["surface"], row["category"]), (row["name"], _bands(row), np.array([float(row["beta"])])))
        for row in _table("cnossos_surfaces.csv", edition)
    )
