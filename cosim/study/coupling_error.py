"""The coupling error: the effect of the exchange step on indicators, estimated at half and quarter steps.

With ``v(h)`` an indicator at exchange step h, a smooth deterministic coupling of order p has ``v(h) ≈ v(0) + c h^p``,
hence ``p = log2((v(h) - v(h/2)) / (v(h/2) - v(h/4)))`` and an error at h of ``(v(h) - v(h/4)) / (1 - 4^-p)``
(Richardson; Roache, Verification and Validation in Computational Science and Engineering, 1998). Traffic is chaotic: a
smaller step gives a different day, and only a difference beyond the spread over seeds is meaningful.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.markup import escape
from rich.table import Table

from cosim.core.arguments import finite
from cosim.core.clock import Clock
from cosim.core.errors import ScenarioError
from cosim.engine.run import OnProgress, new_folder
from cosim.engine.scenario import Scenario
from cosim.results.tables import number, render

_SAME = 1e-9  # relative difference below which two values are equal
_LEAST_ORDER = 0.5  # differences that shrink more slowly do not determine a limit


@dataclass(frozen=True)
class IndicatorError:
    """One indicator at the exchange step, its half and its quarter.

    Parameters
    ----------
    unit
        Unit of all values.
    values
        Values at the exchange step, half and a quarter of it.
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
        """Estimated order of convergence; None if the differences do not clearly shrink towards a limit."""
        first, second = self.values[0] - self.values[1], self.values[1] - self.values[2]
        if not abs(first) > _SAME * max(map(abs, self.values)) or second == 0 or first / second < 2**_LEAST_ORDER:
            return None
        return math.log2(first / second)

    @property
    def error(self) -> float | None:
        """Estimated error at the exchange step, by extrapolation to a zero step; None without an order."""
        return None if self.order is None else self.difference / (1.0 - 4.0**-self.order)

    @property
    def verdict(self) -> str:
        """The conclusion from the values."""
        if abs(self.difference) <= _SAME * max(map(abs, self.values)):
            return "does not depend on the step"
        if self.spread is not None and abs(self.difference) <= 2 * self.spread:
            return "within the spread over seeds"
        return f"converges with order {self.order:.1f}" if self.order is not None else "no convergence"


@dataclass(frozen=True)
class CouplingError:
    """The effect of the exchange step on the indicators of a window.

    Parameters
    ----------
    step_s
        The exchange step. [s]
    n_seeds
        Number of seeds in the spread.
    indicators
        The indicators by name.
    """

    step_s: float
    n_seeds: int
    indicators: Mapping[str, IndicatorError]

    def __str__(self) -> str:
        return render(coupling_table(self), width=160)


def coupling_table(found: CouplingError) -> Table:
    """Return the effect of the exchange step on each indicator as a table."""
    table = Table(title="Coupling error", title_justify="left")
    table.add_column("indicator")
    for divisor in (1, 2, 4):
        table.add_column(f"{found.step_s / divisor:g} s", justify="right")
    table.add_column("difference", justify="right")
    table.add_column("error", justify="right")
    table.add_column(f"spread of {found.n_seeds} seeds" if found.n_seeds > 1 else "spread", justify="right")
    table.add_column("unit")
    table.add_column("verdict")
    for name, row in found.indicators.items():
        shown = [number(math.nan if v is None else v) for v in (*row.values, row.difference, row.error, row.spread)]
        table.add_row(escape(name), *shown, escape(row.unit), row.verdict)
    return table


def coupling_error(
    scenario: Scenario,
    out: str | Path | None = None,
    *,
    hours: float | None = None,
    others: Sequence[Scenario] = (),
    progress: OnProgress = False,
) -> CouplingError:
    """Repeat a window at the exchange step, its half and its quarter, and compare the indicators.

    Parameters
    ----------
    scenario
        The scenario; it is not modified.
    out
        Folder for the runs; by default ``runs/<name>-coupling-<time>``.
    hours
        Length of the window from the start; the whole run by default. [h]
    others
        The same scenario built with other seeds and run at the exchange step; their spread is reported beside the
        differences.
    progress
        As in `cosim.Scenario.run`.

    Raises
    ------
    ScenarioError
        If the scenario is invalid or has no indicators, or the window is longer than the run.
    """
    if scenario.indicators is None:
        raise ScenarioError("the scenario has no indicators to compare: pass indicators= to Scenario")
    clock, step_s = scenario.clock, scenario.clock.step_s
    length_h = math.inf if clock.n_steps is None else clock.n_steps * step_s / 3600.0
    if hours is not None and not 0 < finite(hours, "the window's length in hours") <= length_h:
        raise ScenarioError(
            f"a window of {hours:g} h lies outside the run of {length_h:g} h: it must be positive and "
            "no longer than the run"
        )
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
    """Return a copy of a scenario with its exchange step, and hence all steps and delays, divided."""
    clock = scenario.clock
    length = {"hours": hours} if hours is not None else {"hours": None, "end": None}
    if hours is None and clock.n_steps is not None:
        length = {"hours": clock.n_steps * clock.step_s / 3600.0}
    finer = copy.copy(scenario)
    finer.adapters = copy.deepcopy(scenario.adapters)
    finer.clock = Clock(clock.start_utc, step_s=clock.step_s / divisor, zone=clock.zone, **length)
    return finer
