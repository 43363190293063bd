"""The carbon intensity of electricity, for every adapter with an input ``carbon_intensity`` [kg/J]."""

from __future__ import annotations

import datetime as dt

import pandas as pd

from cosim import Scenario
from cosim.core.adapter import inputs
from cosim.core.quantities import J_PER_KWH
from cosim.scenarios.model import City

ORDER = 80


def connect(scenario: Scenario, city: City) -> None:
    """Schedule the intensity of every hour of the run."""
    consumers = [name for name, adapter in scenario.adapters.items() if "carbon_intensity" in inputs(adapter)]
    if not consumers:
        return
    clock = scenario.clock
    length_s = (clock.n_steps or 1) * clock.step_s
    hours = pd.date_range(clock.utc(0.0), clock.utc(length_s), freq="h", inclusive="left")
    values = city.carbon.intensity(hours, city.country, city.zone) / J_PER_KWH
    changes: dict[str | dt.datetime, float] = {
        hour.to_pydatetime(): float(value) for hour, value in zip(hours, values, strict=True)
    }
    for name in consumers:
        scenario.schedule(f"{name}.carbon_intensity", changes)
