"""Design rules of two countries: loads of buildings, and the cables and transformers of their grids.

References
----------
.. [1] pylovo, synthetic low-voltage grids: the coincidence P = n·P0·(g + (1 − g)·n^−0.75), P0 = 30 kW, g = 0.07.
.. [2] Reglamento electrotécnico para baja tensión, Real Decreto 842/2002, ITC-BT-10: loads of dwellings and shops,
   table 1: coincidence.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from cosim.core.quantities import Vector

Country: TypeAlias = str
"""ISO 3166-1 code."""

MV_KV = {"ES": 25.0, "IT": 15.0, "GB": 11.0, "IE": 10.0, "NL": 10.0}
OTHER_MV_KV = 20.0
"""Medium voltages of urban grids, and that of all other countries: the preferred value of IEC 60038 between 10 and
35 kV that most of them use. Barcelona has 25 kV, Bologna 15 kV; where a country has several, an assumption."""
# ITC-BT-10, table 1: dwellings that count in full, for 1 to 21 dwellings; half of each further one.
_ITC_BT_10 = (
    0,
    1,
    2,
    3,
    3.8,
    4.6,
    5.4,
    6.2,
    7,
    7.8,
    8.5,
    9.2,
    9.9,
    10.6,
    11.3,
    11.9,
    12.5,
    13.1,
    13.7,
    14.3,
    14.8,
    15.3,
)
_SHOP_W_PER_M2, _SHOP_LEAST_W = 100.0, 3450.0  # ITC-BT-10, 4.1; taken for Italy too (assumption)
POWER_FACTOR = 0.95  # assumption
_DWELLING_M2 = 100.0  # assumption, where only the floor area is known
LV_KV = 0.4
LOWEST_PU = 0.95  # assumption: lowest voltage of the design, at which its currents are calculated. [pu]
STATION_KVA, STATION_FILL = 630.0, 0.9  # assumptions: largest transformer of a street's station, and how full it may be
CUT_FILL = 0.97  # margin for cabinets that do not divide evenly
MOST_PARALLEL = 4
LV_DROP = 0.03  # from station to the last cabinet; the transformer takes about as much (assumption)
RING = 12


@dataclass(frozen=True, slots=True)
class Cable:
    """Series impedance, capacitance and current of one cable."""

    r_ohm_per_km: float
    x_ohm_per_km: float
    c_nf_per_km: float
    max_a: float


# NAYY 4×150 and the 12/20 kV cable are pandapower's standard types; NAYY 4×240 has the capacitance of 4×150. On 25 kV
# the cable would be an 18/30 kV one, of the same conductor (assumption: same series impedance and current).
LV_CABLES = {"NAYY 4x150": Cable(0.2067, 0.0804, 261.0, 270.0), "NAYY 4x240": Cable(0.1267, 0.0798, 261.0, 357.0)}
LV_RANKS = [("NAYY 4x150", 1), *(("NAYY 4x240", n) for n in range(1, MOST_PARALLEL + 1))]
MV_TYPE, MV_CABLE = "NA2XS2Y 1x240 RM/25", Cable(0.122, 0.112, 273.0, 421.0)
# Rated power [kVA]: copper losses [%], iron losses [kW], no-load current [%]; vk = 6 %. The two small ones are
# pandapower's 20/0.4 kV standard types, wound for this medium voltage (assumption).
TRANSFORMERS = {250.0: (1.44, 0.8, 0.32), 400.0: (1.425, 1.35, 0.3375), 630.0: (100 * 6.9 / 630, 1.65, 0.2619)}


@dataclass(frozen=True, slots=True)
class ServicePoint:
    """A building to be supplied.

    ``design_load_w`` replaces the load of dwellings and shops and adds up without coincidence. Without
    ``dwellings``, one is assumed per 100 m² of floor area.
    """

    label: str
    x: float
    y: float
    dwellings: int | None = None
    floor_area_m2: float = 0.0
    shop_m2: float = 0.0
    design_load_w: float | None = None


def coincident_load(
    dwellings: npt.ArrayLike, country: Country, fixed_w: npt.ArrayLike = 0.0, dwelling_w: float = 5750.0
) -> Vector:
    """Return the coincident load of dwellings. [W]

    Parameters
    ----------
    dwellings
        Number of dwellings supplied through a point of the grid.
    country
        ``"ES"``: ITC-BT-10 with ``dwelling_w`` (5,750 W basic, 9,200 W high electrification). All others: pylovo's
        German formula (an assumption outside Germany).
    fixed_w
        Load that adds up without coincidence. [W]

    Examples
    --------
    >>> float(coincident_load(8, "ES"))  # seven full dwellings
    40250.0
    >>> float(coincident_load(1, "IT"))
    30000.0
    """
    n = np.asarray(dwellings, float)
    if country == "ES":
        beyond = np.maximum(n - 21, 0.0) * 0.5
        return np.asarray((np.interp(n, np.arange(22), _ITC_BT_10) + beyond) * dwelling_w + np.asarray(fixed_w))
    power = np.where(n > 0, n * 30e3 * (0.07 + 0.93 * np.maximum(n, 1.0) ** -0.75), 0.0)
    return np.asarray(power + np.asarray(fixed_w))


def mv_kv(country: Country) -> float:
    """Return the medium voltage of a country. [kV]"""
    return MV_KV.get(country, OTHER_MV_KV)


def demand_of(services: Sequence[ServicePoint]) -> tuple[Vector, Vector]:
    dwellings, fixed_w = np.zeros(len(services)), np.zeros(len(services))
    for i, s in enumerate(services):
        if s.design_load_w is not None:
            fixed_w[i] = s.design_load_w
            continue
        dwellings[i] = math.ceil(s.floor_area_m2 / _DWELLING_M2) if s.dwellings is None else s.dwellings
        fixed_w[i] = max(s.shop_m2 * _SHOP_W_PER_M2, _SHOP_LEAST_W) if s.shop_m2 > 0 else 0.0
    return dwellings, fixed_w


def lv_power(current_a: float) -> float:
    return math.sqrt(3) * LOWEST_PU * LV_KV * 1e3 * current_a * POWER_FACTOR
