"""How much of a result is owed to exchanging data only now and then? The window again at half and quarter steps.

With ``v(h)`` an indicator at exchange step h, a smooth deterministic coupling of order p has ``v(h) ≈ v(0) + c h^p``,
hence ``p = log2((v(h) - v(h/2)) / (v(h/2) - v(h/4)))`` and an error at h of ``(v(h) - v(h/4)) / (1 - 4^-p)``
(Richardson; Roache, Verification and Validation in Computational Science and Engineering, 1998). Traffic is chaotic:
there a smaller step is a different day, and only a difference beyond the spread over seeds says anything.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cosim.core.arguments import finite
from cosim.core.clock import Clock
from cosim.core.errors import ScenarioError

from .running import Progress, new_folder

if TYPE_CHECKING:
    from .scenario import Scenario

_SAME = 1e-9  # relative: below it two values do not differ
_LEAST_ORDER = 0.5  # differences that hardly shrink do not show where they lead


@dataclass(frozen=True)
class IndicatorError:
    """One indicator at the exchange step, its half and its quarter.

    Parameters
    ----------
    unit
        Unit of all values.
    values
        At the exchange step, half and a quarter of it.
    spread
        Standard deviation over seeds at the exchange step; None with fewer than two.
    """

    unit: str
    values: tuple[float, float, float]
    spread: float | None

    @property
    def difference(self) -> float:
        """Value at the exchange step minus that at a quarter of it."""
        return self.values[0] - self.values[2]

    @property
    def order(self) -> float | None:
        """Estimated order of convergence; None where the two differences do not clearly shrink towards one value."""
        first, second = self.values[0] - self.values[1], self.values[1] - self.values[2]
        if not abs(first) > _SAME * max(map(abs, self.values)) or second == 0 or first / second < 2**_LEAST_ORDER:
            return None
        return math.log2(first / second)

    @property
    def error(self) -> float | None:
        """Estimated error at the exchange step, by extrapolation to a step of zero; None without an order."""
        return None if self.order is None else self.difference / (1.0 - 4.0**-self.order)

    @property
    def verdict(self) -> str:
        """What the numbers say, in a word or two."""
        if abs(self.difference) <= _SAME * max(map(abs, self.values)):
            return "does not depend on the step"
        if self.spread is not None and abs(self.difference) <= 2 * self.spread:
            return "within the spread over seeds"
        return f"converges with order {self.order:.1f}" if self.order is not None else "no order seen"


@dataclass(frozen=True)
class CouplingError:
    """What exchanging data at steps does to the indicators of a window.

    Parameters
    ----------
    step_s
        The exchange step. [s]
    n_seeds
        Number of seeds in the spread.
    indicators
        By name.
    """

    step_s: float
    n_seeds: int
    indicators: Mapping[str, IndicatorError]

    def __str__(self) -> str:
        from .tables import coupling_table, render

        return render(coupling_table(self), width=160)


def coupling_error(
    scenario: Scenario, out: str | Path | None, hours: float | None, others: Sequence[Scenario], progress: Progress
) -> CouplingError:
    """See `Scenario.coupling_error`."""
    if scenario.indicators is None:
        raise ScenarioError("the scenario has no indicators to compare: pass indicators= to Scenario")
    clock, step_s = scenario.clock, scenario.clock.step_s
    length_h = math.inf if clock.n_steps is None else clock.n_steps * step_s / 3600.0
    if hours is not None and not 0 < finite(hours, "the window's length in hours") <= length_h:
        raise ScenarioError(f"a window of {hours:g} h lies outside the run of {length_h:g} h: it must be positive and "
                            "no longer than the run")  # fmt: skip
    folder = new_folder(out, f"{scenario.name}-coupling")
    found: list[dict[str, tuple[float, str]]] = []
    runs = [(scenario, 1), (scenario, 2), (scenario, 4), *((other, 1) for other in others)]
    for k, (one, divisor) in enumerate(runs):
        result = refined(one, divisor, hours).run(folder / f"{k}-{step_s / divisor:g}s", progress=progress)
        found.append({name: (value.value, value.unit) for name, value in result.indicators.items()})
    errors = {}
    for name, (value, unit) in found[0].items():
        half, quarter = (found[k].get(name, (math.nan, unit))[0] for k in (1, 2))
        seeds = [value, *(run.get(name, (math.nan, unit))[0] for run in found[3:])]
        spread = float(np.std(seeds, ddof=1)) if len(seeds) > 1 else None
        errors[name] = IndicatorError(unit, (value, half, quarter), spread)
    return CouplingError(step_s, 1 + len(others), errors)


def refined(scenario: Scenario, divisor: int, hours: float | None = None) -> Scenario:
    """Return a copy of a scenario whose exchange step, and every adapter's step and delay with it, is divided."""
    clock = scenario.clock
    length = {"hours": hours} if hours is not None else {"hours": None, "end": None}
    if hours is None and clock.n_steps is not None:
        length = {"hours": clock.n_steps * clock.step_s / 3600.0}
    finer = copy.copy(scenario)
    finer.adapters = copy.deepcopy(scenario.adapters)
    finer.clock = Clock(clock.start_utc, step_s=clock.step_s / divisor, zone=clock.zone, **length)
    return finer
