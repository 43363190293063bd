"""Particles that are no exhaust: wear of tyres, brakes and road, by vehicle class and speed.

EMEP/EEA air pollutant emission inventory guidebook 2019, 1.A.3.b.vi-vii, Tier 2, with the 2016 edition's classes of
light vehicles: an emission of total suspended particles per kilometre, a share of each size, and a correction for
speed. Resuspended dust is not included. Electric vehicles wear their tyres and brakes like others: the guidebook has
no reduction for recuperation, and none for their weight.
"""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from cosim.core.quantities import Array

WearClass: TypeAlias = Literal["two-wheeler", "car", "van", "heavy", "none"]
WEAR_CLASSES: tuple[WearClass, ...] = get_args(WearClass)
SIZES = ("PM10", "PM2.5")
AXLES, LOAD = 2.0, 0.5
"""Axles and load of heavy vehicles, as a share of the largest; assumptions."""
_LIGHT_TYRE, _LIGHT_BRAKE = 0.0107, 0.0075
_HEAVY_BRAKE = 1.956
_PARTS = {  # g/km of total suspended particles from tyres, brakes and road
    "two-wheeler": (0.0046, 0.0037, 0.0060),
    "car": (_LIGHT_TYRE, _LIGHT_BRAKE, 0.0150),
    "van": (0.0169, 0.0117, 0.0150),
    "none": (0.0, 0.0, 0.0),
}
_SHARES = {"PM10": (0.600, 0.980, 0.50), "PM2.5": (0.420, 0.390, 0.27)}


def wear_factors(speed_kmh: npt.ArrayLike, *, axles: float = AXLES, load: float = LOAD) -> Array:
    """Return PM10 and PM2.5 from wear by class, shape (2, n_classes, …) in the order of `WEAR_CLASSES`. [g/km]

    Parameters
    ----------
    speed_kmh
        Mean speed, of any shape. [km/h]
    axles, load
        Number of axles of heavy vehicles, and their load as a share of the largest.

    Examples
    --------
    >>> wear_factors([30.0, 50.0])[:, 1].round(5)
    array([[0.0287 , 0.02609],
           [0.01518, 0.01396]])
    """
    v = np.asarray(speed_kmh, float)
    tyre = np.where(v < 40.0, 1.39, np.where(v <= 90.0, 1.78 - 0.00974 * v, 0.902))
    brake = np.where(v < 40.0, 1.67, np.where(v <= 95.0, 2.75 - 0.0270 * v, 0.185))
    speeds = np.stack([tyre, brake, np.ones_like(v)])
    heavy = (
        axles / 2.0 * (1.41 + 1.38 * load) * _LIGHT_TYRE,
        _HEAVY_BRAKE * (1.0 + 0.79 * load) * _LIGHT_BRAKE,
        0.0760,
    )
    parts = np.array([{**_PARTS, "heavy": heavy}[name] for name in WEAR_CLASSES])
    shares = np.array([_SHARES[size] for size in SIZES])
    return np.asarray(np.einsum("zp,cp,p...->zc...", shares, parts, speeds))
