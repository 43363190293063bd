"""Alternatives to driving: public transport, bus and cycle lanes, and trips that change mode by assumption."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from cosim.scenarios.mobility.costs import TravelChanges
from cosim.scenarios.model import City
from cosim.scenarios.policies.policy import Policy, Share

from .pricing import answering, with_demand

__all__ = ["BusLanes", "CycleLanes", "ModeShift", "TransitService"]

SECTOR = "Mobility"

_Factor = Annotated[float, Field(gt=0, le=5)]


class ModeShift(Policy):
    """Takes each car trip off the road with a given chance: it is made by another mode, which is not simulated.

    Timetabled vehicles stay.

    Evidence: of this project's own simulations of Bologna, demand × 0.8 raises speed from 16.7 to 26.1 km/h and lowers
    CO2 by 41 %, as the network runs at capacity.

    Parameters
    ----------
    chance
        Chance of each trip, drawn by its key.
    """

    chance: Share = 0.1

    def change_city(self, city: City) -> City:
        """Lower the traffic's demand."""
        return with_demand(city, 1 - self.chance)


class TransitService(Policy):
    """Changes headways and fares of public transport; travellers answer, so it needs ``answers="modes"``.

    Evidence: elasticities of trips with respect to fares from −0.2 to −0.9 (Department for Transport, TAG Unit
    M2.1, 2025, realism tests, as quoted by github.com/kakduman/sf-trace); −0.57 after a week and −0.41 after a month in
    Bogotá (Guzman et al., Transportation 47, 2020); −0.1 in Madrid (Burguillo et al., Research in Transportation
    Economics 62, 2017).

    Parameters
    ----------
    headway
        New headway over the present one: 0.5 are twice as many buses and trains.
    fare
        New fare over the present one; small values stand for free travel.
    """

    headway: _Factor = 0.75
    fare: _Factor = 1.0

    def change_travel(self, changes: TravelChanges, net: Path) -> TravelChanges:
        """Change waiting and fares."""
        return changes.scaled(headway=self.headway, fare=self.fare)

    def change_city(self, city: City) -> City:
        """Refuse a demand that does not answer."""
        return answering(city, self)


class BusLanes(Policy):
    """Gives buses lanes of their own; travellers answer to faster buses, so it needs ``answers="modes"``.

    Only the passengers' time changes: the lanes are not taken from the cars in the simulated streets.

    Evidence: on a corridor of 2.4 km in A Coruña, 18.7 % of the buses lost more than 3 minutes in traffic (Journal of
    Advanced Transportation, 2023, article 4082587).

    Parameters
    ----------
    saved
        Share of the riding time in buses that is saved. Assumption.
    """

    saved: Annotated[float, Field(gt=0, lt=1)] = 0.15

    def change_travel(self, changes: TravelChanges, net: Path) -> TravelChanges:
        """Shorten riding by bus."""
        return changes.scaled(bus_time=1 - self.saved)

    def change_city(self, city: City) -> City:
        """Refuse a demand that does not answer."""
        return answering(city, self)


class CycleLanes(Policy):
    """Builds protected cycle lanes: riding feels shorter, and travellers answer, so it needs ``answers="modes"``.

    Evidence: provisional cycle lanes, 11.5 km a city on average, increased cycling by 11 to 48 % in European cities in
    2020 (Kraus and Koch, PNAS 118, 2021, e2024399118).

    Parameters
    ----------
    comfort
        Share by which the perceived time of riding is shorter. Assumption, within what route choices of cyclists show.
    """

    comfort: Annotated[float, Field(gt=0, lt=1)] = 0.15

    def change_travel(self, changes: TravelChanges, net: Path) -> TravelChanges:
        """Shorten perceived riding by bicycle."""
        return changes.scaled(cycling=1 - self.comfort)

    def change_city(self, city: City) -> City:
        """Refuse a demand that does not answer."""
        return answering(city, self)
