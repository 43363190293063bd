"""Warm-up of buildings: the days before a run, from whose weather and schedules their state at its start follows."""

from __future__ import annotations

import datetime as dt
import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from cosim import Clock
from cosim.adapters.buildings import Buildings
from cosim.adapters.weather import ROLES, Weather
from cosim.core import Step
from cosim.core.adapter import inputs, outputs
from cosim.core.buildings.state import BuildingsState
from cosim.core.quantities import DAY_S, HOUR_S
from cosim.core.weather.year import WeatherYear, filled
from cosim.scenarios.buildings.stock import Stock
from cosim.scenarios.built import built_once
from cosim.scenarios.measures import Measures

FIRST_ERROR_K, LAST_ERROR_K = 10.0, 0.05
"""Largest errors of a temperature at the start of a warm-up, 20 °C where rooms float freely, and at its end. [K] The
first is an assumption, the second is chosen."""
FEWEST_DAYS = 3
"""Batteries and tanks follow the sun and the draws of the last days. Assumption."""
COARSE_S, FINE_S = HOUR_S, 900.0
"""Steps of a warm-up, the second on the day before the run's first day, on which it goes by the run's own. [s]"""


@dataclass(frozen=True)
class WarmUp:
    """The days before a run, simulated for the buildings alone when the run begins.

    Parameters
    ----------
    stock, weather, seed, measures
        Of the city. Scheduled inputs act on these days as they do in the run; visitors and caps that other
        simulators publish are left out.
    clock
        Of the run.
    """

    stock: Stock
    weather: WeatherYear
    clock: Clock
    seed: int = 0
    measures: Measures = field(default_factory=Measures)

    @functools.cached_property
    def days(self) -> int:
        """Whole days, after which the slowest room forgets a wrong initial temperature but for `LAST_ERROR_K`."""
        slowest_s = float(self.stock.zones.time_constant[self.stock.archetype].max())
        needed = math.ceil(slowest_s * math.log(FIRST_ERROR_K / LAST_ERROR_K) / DAY_S)
        return max(needed, FEWEST_DAYS)

    @functools.cached_property
    def start_s(self) -> float:
        """Time of the run's clock at which the warm-up begins, a midnight. [s]"""
        return self._midnight_s(self.days)

    def __str__(self) -> str:
        text = f"{self.days} days from {self.clock.civil(self.start_s):%Y-%m-%d}: rooms, hot-water tanks, batteries"
        if lacking := self._weather[1]:
            text += f"; the weather of {lacking} hours before the file begins is that of its first day"
        return text

    def __call__(self) -> BuildingsState:
        """Return the state of the buildings at the start of the run, which is simulated once."""
        measures = {
            name: days for name, days in self.measures.inputs.items() if name.partition(".")[0] in ("*", "buildings")
        }
        given = {
            "stock": self.stock,
            "weather": self._weather[0],
            "clock": [self.clock.start_utc, self.clock.step_s, self.clock.zone],
            "seed": self.seed,
            "measures": [measures, self.measures.price_response, self.measures.varying_buildings],
        }
        found = built_once("state of buildings", given, self._simulated)
        parts = {name: found.filter(like=name).to_numpy().T for name in ("zones", "films")}
        parts |= {name: found[name].to_numpy() for name in ("tank", "charging", "battery")}
        return BuildingsState(**parts, price=found["price"].to_numpy()[0])

    def _simulated(self) -> pd.DataFrame:
        buildings = Buildings(
            self.stock,
            self.clock,
            seed=self.seed,
            price_response=self.measures.price_response,
            varying=self.measures.varying_buildings,
        )
        for _ in self.steps(buildings):
            pass
        state = buildings.state
        columns = {f"{name} {k}": row for name in ("zones", "films") for k, row in enumerate(getattr(state, name))}
        columns |= {name: getattr(state, name) for name in ("tank", "charging", "battery")}
        return pd.DataFrame(columns | {"price": np.broadcast_to(state.price, state.tank.shape)})

    def steps(self, buildings: Buildings, until_s: float = 0.0) -> Iterator[Step]:
        """Open buildings and advance them through the warm-up and on to a time of the run, alone in their weather.

        Yields
        ------
        Each step, once the buildings have made it.
        """
        span_s = until_s - self.start_s
        weather = Weather(
            Clock(self.clock.civil(self.start_s), hours=span_s / HOUR_S, step_s=span_s, zone=self.clock.zone),
            self._weather[0],
        )
        offered, wanted = outputs(weather), inputs(buildings)
        weather.open()
        buildings.open()
        stages = ((self._midnight_s(1), COARSE_S), (self._midnight_s(0), FINE_S), (np.inf, self.clock.step_s))
        time_s = self.start_s
        while time_s < until_s - 1e-6:
            length_s = next(step_s for end_s, step_s in stages if time_s < end_s - 1e-6)
            step = Step(time_s, min(length_s, (0.0 if time_s < -1e-6 else until_s) - time_s))
            weather.advance(Step(time_s - self.start_s, step.length_s))
            for role, port in ROLES.items():
                if role in wanted:
                    wanted[role].deliver(offered[port].value)
            self.measures.deliver("buildings", wanted, self.clock.civil(time_s))
            buildings.advance(step)
            yield step
            time_s = step.end_s

    def _midnight_s(self, days: int) -> float:
        """Return the time of the run's clock at the civil midnight some days before the first day. [s]"""
        date = self.clock.civil(0).date() - dt.timedelta(days)
        midnight = dt.datetime.combine(date, dt.time(), ZoneInfo(self.clock.zone))
        return (midnight - self.clock.start_utc).total_seconds()

    @functools.cached_property
    def _weather(self) -> tuple[WeatherYear, int]:
        """The weather, complete from the warm-up to a day after the start, and the hours it lacked before the start."""
        year, lacking = filled(self.weather, self.clock.utc(self.start_s), -self.start_s)
        return filled(year, self.clock.utc(0.0), DAY_S)[0], lacking
