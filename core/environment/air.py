"""Concentrations at the façades of streets in an hour: traffic's part by OSPM, nitrogen chemistry, background."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cosim.core.quantities import Array, Vector

from .chemistry import PPB_NO2, PPB_O3, nitrogen_dioxide, photostationary_nox
from .ospm import INTERVALS, RELEASE_HEIGHT, facade_concentrations, half_sector, roof_exchange, roof_wind
from .streets import Streets

POLLUTANTS = ("NO2", "NOx", "O3", "PM10", "PM2.5")
ZERO_CELSIUS = 273.15
_UG_PER_KG = 1e9
_HALF_WIDTHS = np.linspace(0.0, np.pi, 721)
_STEADINESS = np.sinc(_HALF_WIDTHS / np.pi)


def direction_and_spread(speed: float, east: float, north: float) -> tuple[float, float]:
    """Return the direction that a wind comes from, clockwise from north, and half the sector in which it turns. [rad]

    A wind that turns evenly within a sector of half width a has a mean velocity of sin(a)/a of its mean speed. Without
    a mean velocity every direction is equally likely. The sector is never narrower than OSPM's own.

    Examples
    --------
    >>> [round(x, 3) for x in direction_and_spread(2.0, -2.0, 0.0)]  # from the east
    [1.571, 0.5]
    """
    length = float(np.hypot(east, north))
    steadiness = min(length / speed, 1.0) if speed > 0 else 0.0
    turned = float(np.interp(steadiness, _STEADINESS[::-1], _HALF_WIDTHS[::-1]))
    return float(np.arctan2(-east, -north)), max(turned, float(half_sector(roof_wind(speed))))


def facade_air(
    streets: Streets,
    *,
    nox: Vector,
    pm10: Vector,
    pm25: Vector,
    turbulence: Vector,
    primary_share: float,
    wind: float,
    direction: float,
    spread: float | None = None,
    temperature: float,
    radiation: float,
    background: npt.ArrayLike,
    balanced: bool = False,
    intervals: int = INTERVALS,
) -> Array:
    """Return the concentrations at both façades of all streets, shape (5, n_streets, 2), as `POLLUTANTS`. [kg/m³]

    Parameters
    ----------
    streets
        Their geometry.
    nox, pm10, pm25 : shape (n_streets,)
        Emission of the traffic for each metre of street. [kg/(m s)]
    turbulence : shape (n_streets,)
        That the traffic causes, see `ospm.traffic_turbulence`. [m/s]
    primary_share
        Share of NO2 in the NOx emitted. [1]
    wind, direction, spread
        Wind of a mast [m/s], the direction that it comes from, and half the sector in which it turns within the hour;
        OSPM's own by default. [rad]
    temperature, radiation
        Of the air [°C], and global. [W/m²]
    background : shape (5,)
        Concentrations of the air above the roofs. [kg/m³]
    balanced
        Whether the background's NOx is that in balance with its NO2 and ozone instead of what ``background`` says.
    intervals
        Of the average over wind directions.

    Raises
    ------
    CosimError
        If there is no wind.
    """
    above = np.array(background, float)
    ppb_no2, ppb_o3 = _UG_PER_KG / PPB_NO2, _UG_PER_KG / PPB_O3
    kelvin = temperature + ZERO_CELSIUS
    if balanced:
        mean, ozone = above[0] * ppb_no2, above[2] * ppb_o3
        above[1] = photostationary_nox(mean, ozone, radiation=radiation, temperature=kelvin) / ppb_no2
    roof = float(roof_wind(wind))
    unit = facade_concentrations(
        roof,
        direction,
        turbulence,
        bearing=np.radians(streets.bearing),
        width=streets.width,
        height=streets.height,
        reach=streets.length / 2.0,
        spread=spread,
        intervals=intervals,
    )
    unit = unit * streets.tree_factor[:, None]
    residence_s = np.maximum(streets.height.mean(axis=1), RELEASE_HEIGHT) / roof_exchange(roof, turbulence)
    added = unit * nox[:, None]
    no2, o3 = nitrogen_dioxide(
        (added + above[1]) * ppb_no2,
        above[1] * ppb_no2,
        above[0] * ppb_no2,
        above[2] * ppb_o3,
        primary_share=primary_share,
        residence_s=residence_s[:, None],
        radiation=radiation,
        temperature=kelvin,
    )
    return np.stack(
        [
            no2 / ppb_no2,
            added + above[1],
            o3 / ppb_o3,
            unit * pm10[:, None] + above[3],
            unit * pm25[:, None] + above[4],
        ]
    )
