"""Plausible input values for checks, where the author of the adapter gives none."""

from __future__ import annotations

import contextlib

import numpy as np

from cosim.core import units
from cosim.core.errors import UnitError
from cosim.core.ports import Input
from cosim.core.quantities import Vector
from cosim.core.random import uniform

# Quantities of a city at the scale of one element, small enough for the smallest grid or building; assumptions.
_RANGES = {
    "W": (0.0, 1e3),
    "var": (0.0, 300.0),
    "VA": (0.0, 1e3),
    "W/m**2": (0.0, 800.0),
    "J": (0.0, 3.6e6),
    "degC": (0.0, 30.0),
    "K": (-1.0, 1.0),
    "1": (0.0, 1.0),
    "pu": (0.95, 1.05),
    "V": (220.0, 240.0),
    "Hz": (49.9, 50.1),
    "EUR/J": (0.0, 1e-7),
    "m/s": (0.0, 10.0),
    "kg/s": (0.0, 0.1),
    "kg": (0.0, 100.0),
    "Pa": (1e5, 3e5),
}


def _range(unit: str) -> tuple[float, float]:
    if unit in _RANGES:
        return _RANGES[unit]
    for known, (low, high) in _RANGES.items():
        with contextlib.suppress(UnitError):
            factor = units.factor(known, unit)
            return low * factor, high * factor
    return 0.0, 1.0


def plausible(port: Input, index: int, seed: int) -> Vector:
    """Return the values of an input in a step: first its default, if it has one, then an independent draw per element.

    Parameters
    ----------
    port
        The input.
    index
        Number of the step, from 0.
    seed
        Seed of the draws.

    Returns
    -------
    shape (n_labels,)
        Values in the input's unit. Powers, flows, prices and counts are not negative; ratios are 0 or 1, which is valid
        for both a permission and a share.

    Examples
    --------
    >>> outdoor = Input("degC", ["outdoor"])
    >>> bool(0 <= plausible(outdoor, 0, seed=1)[0] <= 30)
    True
    >>> plausible(Input("1", ["edge 1", "edge 2", "edge 3"]), 0, seed=1)
    array([0., 0., 1.])
    """
    if index == 0 and port.default is not None:
        return port.default
    low, high = _range(port.unit)
    drawn = uniform(seed, f"input {port.name.rpartition('.')[2]} {index}", port.labels)
    return np.asarray(low + (high - low) * (np.round(drawn) if port.unit == "1" else drawn))
