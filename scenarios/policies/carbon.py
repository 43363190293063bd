"""Policies on the greenhouse gas account: the carbon intensity of electricity, and the supply of fuels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import pandas as pd
from pydantic import Field

from cosim import CosimError, Scenario
from cosim.scenarios.carbon.intensity import Carbon, read_intensity
from cosim.scenarios.model import City
from cosim.scenarios.policies.policy import Policy

__all__ = ["GridCarbon", "TailpipeOnly"]

SECTOR = "Greenhouse gas"

Intensity = Annotated[float, Field(ge=0, le=2)]


class GridCarbon(Policy):
    """Sets the greenhouse gas intensity of electricity, one value for the run or one for each hour.

    It changes only the account, not the run. Without this policy Spain has its mean by month and hour of 2023 and 2024
    (Electricity Maps), and Italy its mean of 2023, 0.331 kg/kWh (Ember), with the shape of solar generation; see
    `cosim.scenarios.carbon.intensity`, whose `mix_intensity` computes hourly values from a generation mix.

    Parameters
    ----------
    kg_per_kwh
        Intensity at every hour. [kg CO2e/kWh]
    file
        Alternatively, a CSV file with ``kg_per_kwh`` beside ``hour`` (0 to 23, civil time) or ``time`` (start of an
        hour with its offset from UTC), which must then cover the run.
    """

    kg_per_kwh: Intensity | None = None
    file: Path | None = None

    def change_city(self, city: City) -> City:
        """Replace the intensities."""
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
    """Counts gas and motor fuels only where they are burnt, without their supply from the well.

    It changes only the account, not the run.
    """

    def change_city(self, city: City) -> City:
        """Leave the supply out."""
        return replace(city, carbon=replace(city.carbon, with_supply=False))
