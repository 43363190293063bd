"""Demand adapter: factors of zones that follow counts while the traffic runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cosim.core import Adapter, CosimError, Input, InputFileError, Output, Step
from cosim.core.kalman import FactorFilter
from cosim.core.quantities import HOUR_S, Array, Vector

NO_COUNT = -1.0
STATE_FILE = "demand.npz"


class DemandFilter(Adapter):
    """Demand of zones as a factor on the trips that begin there, corrected each step by counts.

    It compares the step's `counts`, -1 where there is none, with the simulated `flow` on the same edges, and publishes
    the `factor` of every zone for the time from then on, and its standard deviation. Counts are never negative
    otherwise. See `cosim.core.kalman`.

    Parameters
    ----------
    edges
        Edges with loops.
    zones
        The zones.
    shares : shape (n_edges, n_zones)
        Flow on every edge from every zone, in any unit, without correction.
    usual : shape (n_edges,)
        What the model usually has on every edge over what is usually counted.

    Raises
    ------
    CosimError
        If the shares do not fit edges and zones.
    """

    def __init__(self, edges: Sequence[str], zones: Sequence[str], shares: Array, usual: Vector | None = None) -> None:
        shares = np.asarray(shares, float)
        if shares.shape != (len(edges), len(zones)):
            raise CosimError(
                f"shares has shape {shares.shape}: expected (n_edges, n_zones), {(len(edges), len(zones))}"
            )
        self._shares, self._usual = shares, usual
        self.counts = Input("vehicle/s", edges, default=NO_COUNT)
        self.flow = Input("vehicle/s", edges)
        self.factor = Output("1", zones, "end")
        self.deviation = Output("1", zones, "end")
        self._filter = FactorFilter(shares, usual)

    def open(self) -> None:
        """Begin with factors of 1."""
        self._filter = FactorFilter(self._shares, self._usual)
        self._publish()

    def advance(self, step: Step) -> None:
        """Correct the factors by the step's counts."""
        self._filter.correct(self.counts.value * HOUR_S, self.flow.value * HOUR_S, step.length_s)
        self._publish()

    def _publish(self) -> None:
        self.factor.value = self._filter.factors
        self.deviation.value = np.sqrt(np.diag(self._filter.covariance))

    def save(self, folder: Path) -> None:
        """Write factors and covariance."""
        np.savez(folder / STATE_FILE, factors=self._filter.factors, covariance=self._filter.covariance)

    def load(self, folder: Path) -> None:
        """Continue from what `save` wrote."""
        try:
            with np.load(folder / STATE_FILE, allow_pickle=False) as kept:
                self._filter.factors, self._filter.covariance = kept["factors"], kept["covariance"]
        except (OSError, KeyError, ValueError) as error:
            raise InputFileError(f"cannot read the state of the demand in {folder}: {error}") from error
        self._publish()
