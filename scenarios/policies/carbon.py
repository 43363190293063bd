"""What does the electricity that a city draws emit, hour by hour?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import pandas as pd
from pydantic import Field

from cosim import CosimError, Scenario
from cosim.scenarios.carbon_intensity import Carbon, read_intensity
from cosim.scenarios.city import City
from cosim.scenarios.policy import Policy

Intensity = Annotated[float, Field(ge=0, le=2)]


class GridCarbon(Policy):
    """Counts electricity with a greenhouse gas intensity of one's own, one for the run or one for each hour.

    Nothing in the run changes but the account. Without this policy the country's mean of 2023 counts, Spain 0.174 and
    Italy 0.331 kg/kWh (Ember), with the shape that the sun gives it over the day and the year; see
    `cosim.scenarios.carbon_intensity`, whose `mix_intensity` makes the hours from a generation mix.

    Parameters
    ----------
    kg_per_kwh
        Intensity at every hour. [kg CO2e/kWh]
    file
        Instead: a CSV file with ``kg_per_kwh`` beside ``hour`` (0 to 23, civil time) or ``time`` (the begin of an hour
        with its offset from UTC), which must then cover the run.
    """

    kg_per_kwh: Intensity | None = None
    file: Path | None = None

    def change_city(self, city: City) -> City:
        """Exchange the intensities."""
        if (self.kg_per_kwh is None) == (self.file is None):
            raise CosimError(f"{self}: give either kg_per_kwh or file")
        own = Carbon((self.kg_per_kwh or 0.0,) * 24) if self.file is None else read_intensity(self.file)
        return replace(city, carbon=replace(own, with_supply=city.carbon.with_supply))

    def change_scenario(self, scenario: Scenario, city: City) -> None:
        """Check that the intensities cover the run."""
        clock = scenario.clock
        seconds = [0.0, (clock.n_steps or 1) * clock.step_s - 1]
        city.carbon.intensity(pd.DatetimeIndex([clock.utc(s) for s in seconds]), city.country, city.zone)


class TailpipeOnly(Policy):
    """Counts gas and motor fuels from the boiler and the tank on, without their supply from the well.

    Nothing in the run changes but the account.
    """

    def change_city(self, city: City) -> City:
        """Leave the supply out."""
        return replace(city, carbon=replace(city.carbon, with_supply=False))
