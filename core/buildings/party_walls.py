"""Heat between buildings through their party walls."""

from __future__ import annotations

import numpy as np

from cosim.core.errors import CosimError
from cosim.core.quantities import Array, Vector


class PartyWalls:
    """Walls between pairs of zones.

    A wall's mass is half of either zone's interior mass, and its heat flow follows the difference of the two; it is
    taken from the interior surface of the warmer zone and given to that of the colder one, the same number twice: what
    one loses the other gains.

    Parameters
    ----------
    walls : shape (n_walls, 3)
        Numbers of the two zones, and the conductance from room to room. [1, 1, W/K]
    n
        Number of zones.

    Raises
    ------
    CosimError
        If a wall lies between unknown zones or within one, or a conductance is negative or not finite.
    """

    def __init__(self, walls: Array, n: int) -> None:
        table = np.asarray(walls, float)
        if table.ndim != 2 or table.shape[1] != 3:
            raise CosimError(f"party walls have shape {table.shape}: give two zones and a conductance for each wall")
        pairs, conductance = table[:, :2], table[:, 2]
        good = np.isin(pairs, np.arange(n)).all(axis=1) & (pairs[:, 0] != pairs[:, 1])
        good &= np.isfinite(conductance) & (conductance >= 0)
        if not good.all():
            first = int(np.argmin(good))
            raise CosimError(
                f"party wall {first} is {table[first].tolist()}: it must lie between two of the {n} zones, and its "
                "conductance must be finite and not negative"
            )
        self._first, self._second = pairs.T.astype(np.intp)
        self._conductance, self._n = conductance, n

    def gains(self, interior: Vector) -> Vector:
        """Return the heat that each zone gains through its walls, given the interior masses, shape (n,). [W]"""
        flow = self._conductance * (interior[self._first] - interior[self._second])
        gained, lost = (np.bincount(end, flow, self._n) for end in (self._second, self._first))
        return np.asarray(gained - lost, dtype=np.float64)
