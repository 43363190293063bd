"""Sound levels: decibels, averages by energy, and the indicators of Directive 2002/49/EC."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cosim.core.arguments import shown
from cosim.core.errors import CosimError
from cosim.core.quantities import Array, Vector

BANDS_HZ: Vector = np.array([63.0, 125.0, 250.0, 500.0, 1000.0, 2000.0, 4000.0, 8000.0])
"""Nominal midband frequencies of the octave bands. [Hz]"""
A_WEIGHTING: Vector = np.array([-26.2, -16.1, -8.6, -3.2, 0.0, 1.2, 1.0, -1.1])
"""A-weighting of the octave bands. [dB]"""
REFERENCE_PA = 2e-5
"""Reference sound pressure, 0 dB. [Pa]"""

_PERIODS = {"day": (7, 19), "evening": (19, 23), "night": (23, 7)}
_PENALTY_DB = {"day": 0.0, "evening": 5.0, "night": 10.0}


def _hours(start: int, end: int) -> list[int]:
    return [hour % 24 for hour in range(start, end if end > start else end + 24)]


def _weights(*periods: str, penalty: bool = False) -> tuple[float, ...]:
    """Return the weights of a day's hours whose weighted sum of energies is the mean over some periods."""
    hours = {hour: 10 ** (penalty * _PENALTY_DB[name] / 10) for name in periods for hour in _hours(*_PERIODS[name])}
    return tuple(hours.get(hour, 0.0) / len(hours) for hour in range(24))


HOUR_WEIGHTS: dict[str, tuple[float, ...]] = {
    "Lday": _weights("day"),
    "Levening": _weights("evening"),
    "Lnight": _weights("night"),
    "Lden": _weights(*_PERIODS, penalty=True),
}
"""Weights of the energies of the 24 hours of a day in the indicators of Directive 2002/49/EC, annex I: day from 7 h for
12 h, evening 4 h with 5 dB, night 8 h with 10 dB."""


def decibels(energy: npt.ArrayLike) -> Array:
    """Return levels of energies relative to their reference; no energy is -inf. [dB]

    Examples
    --------
    >>> decibels([1.0, 100.0, 0.0])
    array([  0.,  20., -inf])
    """
    with np.errstate(divide="ignore"):
        return np.asarray(10.0 * np.log10(np.asarray(energy, float)))


def energy(level: npt.ArrayLike) -> Array:
    """Return the energies of levels, relative to their reference; -inf dB is no energy."""
    return np.asarray(10.0 ** (np.asarray(level, float) / 10.0))


def a_weighted(bands: npt.ArrayLike) -> Array:
    """Return the A-weighted sum of the energies of octave bands, shape (…, 8) -> (…)."""
    return np.asarray(np.asarray(bands, float) @ energy(A_WEIGHTING))


def mean_level(levels: npt.ArrayLike, axis: int = 0) -> Array:
    """Return the average of levels by energy.

    Examples
    --------
    >>> float(mean_level([60.0, -np.inf]).round(2))  # an hour without traffic counts as no energy, not as 0 dB
    56.99
    """
    return decibels(energy(levels).mean(axis=axis))


@dataclass(frozen=True, slots=True)
class NoiseIndicators:
    """Long-term indicators of Directive 2002/49/EC, annex I, each of shape (n,). [dB(A)]"""

    day: Array
    evening: Array
    night: Array
    den: Array


def noise_indicators(energies: npt.ArrayLike) -> NoiseIndicators:
    """Return Lday, Levening, Lnight and Lden of a day.

    Parameters
    ----------
    energies : shape (24, n)
        A-weighted energies relative to 0 dB, mean of every civil hour from midnight on.

    Raises
    ------
    CosimError
        If there are not 24 hours, or if an energy is negative or not finite.

    References
    ----------
    .. [1] Directive 2002/49/EC, annex I: day from 7 h for 12 h, evening 4 h with 5 dB, night 8 h with 10 dB.

    Examples
    --------
    >>> found = noise_indicators(energy(np.full((24, 1), 60.0)))
    >>> float(found.day[0]), float(found.den[0].round(2))
    (60.0, 66.4)
    """
    values = np.asarray(energies, float)
    if values.ndim != 2 or len(values) != 24:
        raise CosimError(f"noise indicators expect shape (24, n), got {values.shape}: give every hour of a day")
    if not (np.isfinite(values).all() and (values >= 0).all()):
        wrong = values[~(np.isfinite(values) & (values >= 0))][0]
        raise CosimError(f"an energy of sound is {shown(float(wrong))}: it must be finite and not negative")
    found = {name: decibels(np.array(weights) @ values) for name, weights in HOUR_WEIGHTS.items()}
    return NoiseIndicators(found["Lday"], found["Levening"], found["Lnight"], found["Lden"])
