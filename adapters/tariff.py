"""Tariff adapter: an electricity price that repeats every day."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from cosim.core import Adapter, Clock, CosimError, Output, Step
from cosim.core.quantities import DAY_S, HOUR_S, J_PER_KWH


class Tariff(Adapter):
    """A price that repeats every civil day.

    Parameters
    ----------
    clock
        The clock of the run.
    eur_per_kwh : shape (n_slots,)
        Prices in slots of equal length from midnight on. [EUR/kWh]

    Raises
    ------
    CosimError
        If there is no price, or a price is not finite.
    """

    replays: ClassVar[bool] = True

    def __init__(self, clock: Clock, eur_per_kwh: Sequence[float]) -> None:
        prices = np.asarray(eur_per_kwh, dtype=np.float64)
        if prices.ndim != 1 or not len(prices) or not np.isfinite(prices).all():
            raise CosimError(f"eur_per_kwh has shape {prices.shape}: give finite prices, one for each slot of the day")
        self.clock = clock
        self._ends = np.linspace(0.0, DAY_S, len(prices) + 1)
        self._paid = np.concatenate([[0.0], np.cumsum(prices)]) * DAY_S / len(prices) / J_PER_KWH
        self.price = Output("EUR/J", ["market"], "mean")

    def advance(self, step: Step) -> None:
        """Publish the mean price of the step."""
        civil = self.clock.civil(step.start_s)
        begin_s = civil.hour * HOUR_S + civil.minute * 60 + civil.second
        self.price.value = (self._until(begin_s + step.length_s) - self._until(begin_s)) / step.length_s

    def _until(self, second: float) -> float:
        """Return the integral of the price from midnight on. [EUR s/J]"""
        days, rest = divmod(second, DAY_S)
        return float(days * self._paid[-1] + np.interp(rest, self._ends, self._paid))
