"""Sectors of a city: one module each, with its adapters, connections, layers, indicators and emissions.

A sector is a module of this package, or one that another package registers in the entry point group
``cosim.sectors``; no list names it. It defines ``ORDER`` and those functions of `Sector` that it needs.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any, Protocol

import numpy as np

from cosim import Adapter, Clock, Indicator, Layer, Result, Scenario
from cosim.core.adapter import inputs
from cosim.scenarios.carbon.account import CarbonAccount, Emission
from cosim.scenarios.model import City

GROUP = "cosim.sectors"


class Sector(Protocol):
    """What a sector module may define; only ``ORDER`` is required."""

    ORDER: int
    """Rank among the sectors. Adapters, layers and emissions are taken in ascending order, connections in descending
    order, so that the sector that depends on most others is connected first."""

    INDICATOR_ORDER: int
    """Rank of its indicators; `ORDER` by default."""

    PROVIDES: Mapping[str, str]
    """Outputs offered to all adapters, by role: the name of the input that each feeds in every adapter that has one.
    ``{"outdoor_temperature": "weather.temperature"}``."""

    LONGEST_STEP_S: float
    """Step of its adapters, where it fits the run; by default the exchange step. [s]"""

    def prepare(self, city: City) -> City:
        """Return the city with what the sector needs: its own data, and options of other sectors' adapters.

        Called after all policies and before any adapter is made, in ascending order.
        """

    def adapters(self, city: City, clock: Clock, steps: Mapping[str, float]) -> Mapping[str, Adapter]:
        """Return the sector's adapters by name; ``steps`` holds the steps that differ from the clock's. [s]"""

    def connect(self, scenario: Scenario, city: City) -> None:
        """Connect the sector's adapters to those of others."""

    def layers(self, city: City) -> list[Layer]:
        """Return the sector's layers of the report."""

    def facts(self, city: City) -> dict[str, str]:
        """Return what the city has of the sector, in words, by subject; reports and ``cosim show`` begin with it."""

    def indicators(self, result: Result, city: City) -> dict[str, Indicator]:
        """Return the sector's indicators of a run."""

    def emissions(self, result: Result, account: CarbonAccount) -> dict[str, Emission]:
        """Return the sector's greenhouse gas emissions of a run, by source."""


@functools.cache
def load_sectors() -> dict[str, Any]:
    """Return all sector modules by name, in their order."""
    found = {name: importlib.import_module(f"{__name__}.{name}") for _, name, _ in pkgutil.iter_modules(__path__)}
    found |= {point.name: point.load() for point in entry_points(group=GROUP)}
    return dict(sorted(found.items(), key=lambda item: item[1].ORDER))


def part_of(sector: Any, name: str) -> Any:
    """Return a function of a sector module, or None if the module does not define it."""
    return getattr(sector, name, None)


def fitting_step(longest_s: float, clock: Clock) -> float:
    """Return the longest step up to a length that divides the run, a whole multiple of the exchange step. [s]

    Runs without an end are divided by the time at which they may end.

    Examples
    --------
    >>> fitting_step(3600.0, Clock("2025-01-15", hours=24)), fitting_step(3600.0, Clock("2025-01-15", hours=0.5))
    (3600.0, 1800.0)
    """
    n = clock.n_steps or max(round((clock.horizon_s or clock.step_s) / clock.step_s), 1)
    most = max(int(longest_s / clock.step_s + 1e-9), 1)
    return float(clock.step_s) * max(ticks for ticks in range(1, min(most, n) + 1) if n % ticks == 0)


def connect_roles(scenario: Scenario, name: str) -> None:
    """Connect the inputs of an adapter whose role another sector provides, such as ``outdoor_temperature``.

    Inputs that are already connected or scheduled stay as they are.
    """
    fed = {(c.target, c.input) for c in scenario.connections}
    wanted = inputs(scenario.adapters[name])
    offered = {role: output for s in load_sectors().values() for role, output in getattr(s, "PROVIDES", {}).items()}
    known = scenario.outputs()
    for role, output in offered.items():
        if role not in wanted or output not in known or (name, role) in fed:
            continue
        # one value for the whole city serves every element
        alike = len(known[output]) > 1 or known[output].labels == wanted[role].labels
        scenario.connect(output, f"{name}.{role}", via=None if alike else np.ones((len(wanted[role]), 1)))
