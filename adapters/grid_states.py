"""Which engine, and which stations, belong to a grid's present switches, taps and fuses?"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy.typing as npt

from .grid_solvers import Solver
from .grid_supply import Supply

_REMEMBERED = 64
"""States whose engines are kept."""


class GridStates:
    """A net in the states that it takes during a run; what was built for one is remembered.

    Parameters
    ----------
    net
        The net, which stays as it is.
    at
        Bus of every connection point.
    tap_rows
        Rows of the transformers whose taps move.
    build
        Returns an engine for a net.

    Attributes
    ----------
    net
        The net as it was given.
    """

    def __init__(self, net: Any, at: Sequence[int], tap_rows: Sequence[int], build: Callable[[Any], Solver]) -> None:
        self.net, self._at, self._tap_rows, self._build = net, at, tap_rows, build
        self._solvers: dict[tuple[bytes, ...], Solver] = {}
        self._supply: tuple[tuple[bytes, ...], Supply] | None = None
        self._key: tuple[bytes, ...] = ()
        self._present: Any = None

    @property
    def ready(self) -> bool:
        """Whether a state was chosen."""
        return bool(self._key)

    def change(self, closed: npt.NDArray[Any], taps: npt.NDArray[Any] | None, out: Sequence[int]) -> None:
        """Go over to a state.

        Parameters
        ----------
        closed
            Which switches are closed.
        taps
            Positions of the moving taps.
        out
            What blown fuses took out of service: rows of lines, and -1 minus rows of two-winding transformers.
        """
        key = closed.tobytes(), repr(out).encode(), b"" if taps is None else taps.tobytes()
        self._key, self._present = key, (closed.copy(), None if taps is None else taps.copy(), list(out))

    def _changed(self) -> Any:
        """Return a copy of the net in the present state."""
        closed, taps, out = self._present
        net = copy.deepcopy(self.net)
        net.switch["closed"] = closed
        if taps is not None:
            net.trafo["tap_pos"] = net.trafo["tap_pos"].astype(float)
            net.trafo.iloc[self._tap_rows, net.trafo.columns.get_loc("tap_pos")] = taps
        for row in out:
            table, at = (net.line, row) if row >= 0 else (net.trafo, -1 - row)
            table.iloc[at, table.columns.get_loc("in_service")] = False
        return net

    @property
    def solver(self) -> Solver:
        """The engine for the present state."""
        if self._key not in self._solvers:
            while len(self._solvers) >= _REMEMBERED:
                del self._solvers[next(iter(self._solvers))]
            self._solvers[self._key] = self._build(self._changed())
        return self._solvers[self._key]

    @property
    def supply(self) -> Supply:
        """Which transformers feed which points in the present state; taps do not matter."""
        if self._supply is None or self._supply[0] != self._key[:2]:
            self._supply = self._key[:2], Supply(self._changed(), self._at)
        return self._supply[1]
