"""Engines and supply topology for the states of a grid's switches, taps and fuses."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy.typing as npt

from .solvers import Solver
from .supply import Supply

_REMEMBERED = 64
"""Number of states whose engines are kept."""


class GridStates:
    """A net in the states of a run; what was built for a state is cached.

    Parameters
    ----------
    net
        The net, which is not modified.
    at
        Bus of every connection point.
    tap_rows
        Rows of the transformers whose taps move.
    build
        Returns an engine for a net.

    Attributes
    ----------
    net
        The original net.
    """

    def __init__(self, net: Any, at: Sequence[int], tap_rows: Sequence[int], build: Callable[[Any], Solver]) -> None:
        self.net, self._at, self._tap_rows, self._build = net, at, tap_rows, build
        self._solvers: dict[tuple[bytes, ...], Solver] = {}
        self._supply: tuple[tuple[bytes, ...], Supply] | None = None
        self._key: tuple[bytes, ...] = ()
        self._present: Any = None

    @property
    def ready(self) -> bool:
        """Whether a state has been set."""
        return bool(self._key)

    def change(self, closed: npt.NDArray[Any], taps: npt.NDArray[Any] | None, out: Sequence[int]) -> None:
        """Change to a state.

        Parameters
        ----------
        closed
            Whether each switch is closed.
        taps
            Positions of the moving taps.
        out
            Elements with blown fuses: rows of lines, and -1 minus rows of two-winding transformers.
        """
        key = closed.tobytes(), repr(out).encode(), b"" if taps is None else taps.tobytes()
        self._key, self._present = key, (closed.copy(), None if taps is None else taps.copy(), list(out))

    def _changed(self) -> Any:
        """Return a copy of the net in the current state."""
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
        """The engine for the current state."""
        if self._key not in self._solvers:
            while len(self._solvers) >= _REMEMBERED:
                del self._solvers[next(iter(self._solvers))]
            self._solvers[self._key] = self._build(self._changed())
        return self._solvers[self._key]

    @property
    def supply(self) -> Supply:
        """Transformers that feed each point in the current state; taps do not matter."""
        if self._supply is None or self._supply[0] != self._key[:2]:
            self._supply = self._key[:2], Supply(self._changed(), self._at)
        return self._supply[1]
