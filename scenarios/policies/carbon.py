"""What does the electricity that a city draws emit, hour by hour?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

from pydantic import Field

from cosim import CosimError
from cosim.scenarios.carbon import read_hours
from cosim.scenarios.city import City
from cosim.scenarios.policy import Policy

Intensity = Annotated[float, Field(ge=0, le=2)]


class GridCarbon(Policy):
    """Counts electricity with a greenhouse gas intensity of one's own, one for the day or one for each hour.

    Nothing in the run changes but the account. Without this policy the country's mean of 2023 counts: Spain 0.174,
    Italy 0.331 kg/kWh (Ember). `cosim.scenarios.carbon.mix_intensity` makes the hours from a generation mix.

    Parameters
    ----------
    kg_per_kwh
        Intensity at every hour. [kg CO2e/kWh]
    file
        Instead: a CSV file with the columns ``hour`` (0 to 23, civil time) and ``kg_per_kwh``.
    """

    kg_per_kwh: Intensity | None = None
    file: Path | None = None

    def change_city(self, city: City) -> City:
        """Exchange the intensities."""
        if (self.kg_per_kwh is None) == (self.file is None):
            raise CosimError(f"{self}: give either kg_per_kwh or file")
        hours = read_hours(self.file) if self.file is not None else (float(self.kg_per_kwh or 0.0),) * 24
        return replace(city, carbon=replace(city.carbon, by_hour=hours))


class TailpipeOnly(Policy):
    """Counts gas and motor fuels from the boiler and the tank on, without their supply from the well.

    Nothing in the run changes but the account.
    """

    def change_city(self, city: City) -> City:
        """Leave the supply out."""
        return replace(city, carbon=replace(city.carbon, with_supply=False))
