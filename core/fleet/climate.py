"""Additional energy demand of electric cars for heating, cooling and cold batteries."""

from __future__ import annotations

import numpy as np

# kWh per mile over °F: a polynomial fitted to the consumption of more than 7,000 trips of a Nissan Leaf.
_LEAF = (0.3950, -0.0022, 9.1978e-5, -3.9249e-6, 5.2918e-8, -2.0659e-10)
_RANGE_C = (-20.0, 40.0)
MILD_C = 20.0
"""Temperature of minimum consumption. [°C]"""


def climate_share(outdoor: float) -> float:
    """Return the share that heating, cooling and a cold battery add to the energy for driving.

    Parameters
    ----------
    outdoor
        Outdoor temperature, clipped to -20 to 40 °C. [°C]

    References
    ----------
    .. [1] T. Yuksel, J. J. Michalek: Effects of regional temperature on electric vehicle efficiency, range, and
       emissions in the United States. Environmental Science & Technology 49, 2015, doi:10.1021/es505621s. The
       coefficients are as quoted by github.com/switchbox-data/buildstock-fetch, for -15 to 110 °F. That all cars
       consume like a Leaf is an assumption.

    Examples
    --------
    >>> [round(climate_share(outdoor), 2) for outdoor in (-10.0, 0.0, 10.0, 20.0, 35.0)]
    [0.39, 0.27, 0.09, 0.0, 0.35]
    """

    def wanted(celsius: float) -> float:
        return float(np.polynomial.polynomial.polyval(celsius * 9 / 5 + 32, _LEAF))

    return max(wanted(float(np.clip(outdoor, *_RANGE_C))) / wanted(MILD_C) - 1.0, 0.0)
