"""Two-point thermostats, which switch full heating capacity on and off.

Ideal control (`Zones.step`) holds a setpoint at any step length. A two-point thermostat switches around a dead band,
which requires steps short enough to resolve it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cosim.core.buildings.zones import Zones, ZoneStep
from cosim.core.errors import CosimError
from cosim.core.quantities import Array

LONGEST_STEP_S = 60.0


class Thermostats:
    """Heating that is fully on below ``setpoint − band / 2`` and off above ``setpoint + band / 2``, per zone.

    Parameters
    ----------
    n
        Number of zones.
    band
        Dead band. [K]
    """

    def __init__(self, n: int, band: float = 1.0) -> None:
        if not (np.isfinite(band) and band > 0):
            raise CosimError(f"the dead band is {band} K: it must be positive")
        self.band = band
        self.on = np.zeros(n, dtype=bool)

    def step(
        self,
        zones: Zones,
        step_s: float,
        outdoor: npt.ArrayLike,
        setpoint: npt.ArrayLike,
        capacity: npt.ArrayLike,
        gain_air: npt.ArrayLike = 0.0,
        **drives: Any,
    ) -> tuple[ZoneStep, Array]:
        """Advance zones by a step of at most 60 s; return the zones' step and the heat delivered. [W]

        The air temperature at the step's beginning decides. All other inputs are those of `Zones.step`.
        """
        if step_s > LONGEST_STEP_S:
            raise CosimError(
                f"a switching thermostat got a step of {step_s:g} s: at most {LONGEST_STEP_S:g} s resolve its band; "
                "use ideal heating for longer steps"
            )
        air, target = zones.state[0], np.asarray(setpoint, dtype=np.float64)
        self.on = (air < target - self.band / 2) | (self.on & (air < target + self.band / 2))
        heat = np.asarray(np.where(self.on, capacity, 0.0), dtype=np.float64)
        gains = heat + np.asarray(gain_air, dtype=np.float64)
        return zones.step(step_s, outdoor, gain_air=gains, heating_capacity=0.0, **drives), heat
