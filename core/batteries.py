"""The losses of a battery, the same for buildings and vehicles."""

from __future__ import annotations

import numpy as np

from .quantities import Array


def stored_power(power_w: Array, efficiency: Array | float) -> Array:
    """Return the power that goes into batteries (negative: out of them) for the power drawn outside (returned).

    Parameters
    ----------
    power_w
        Drawn from outside, positive, or returned, negative. [W]
    efficiency
        Of either way. [1]
    """
    return np.asarray(np.where(power_w > 0, power_w * efficiency, power_w / efficiency))
