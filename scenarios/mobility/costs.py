"""What travel costs, what policies change in it, and the utility of these changes."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from cosim.core import CosimError
from cosim.core.quantities import Flags, Vector
from cosim.scenarios.measures import Day, value_at
from cosim.scenarios.mobility.choice import BICYCLE, CAR, MODES, PUBLIC, RIDE, Shares, Tastes

MONEY_SCALE = 0.95
"""Weight of a euro over that of the survey of Île-de-France, calibrated once for all policies: with it the published
reactions to Milan's and Stockholm's charges and to the prices of fuel, fares and parking come out, see
`cosim validate response`. Below 1 as wages have grown since the survey."""

FUEL_EUR_KM = 0.1085
"""Fuel of a car per kilometre, within the city and beyond: 7 l per 100 km at 1.55 EUR/l. [EUR/km] Assumption."""

FARE_EUR = 1.2
"""Mean fare of a trip by public transport, single tickets and passes together. [EUR] Assumption."""

HEADWAY_MIN, BUS_SHARE, BUS_KMH = 10.0, 0.5, 12.0
"""Headways of public transport along a trip, those after transfers included [min], share of its way that is made by
bus, and the bus's speed [km/h]; passengers wait half a headway. Assumptions."""

BICYCLE_KMH = 13.0
"""Speed by bicycle in a city. [km/h] Assumption."""

PARKING_EUR = 2.2
"""Mean price of a stay at the kerb or in a car park, away from home. [EUR] Set such that stays answer to it as Dublin's
did, with an elasticity of about -0.3."""

WAITING = 2.85
"""Weight of waiting against riding: the ratio in two of eqasim's four published sets. In the set of `Tastes` waiting
would weigh less than riding, which is not credible."""

TASTES = replace(Tastes(), waiting=WAITING * Tastes().public)


@dataclass(frozen=True)
class TravelChanges:
    """What policies change in the costs of travel.

    Attributes
    ----------
    toll
        Edge → toll by civil time of day. [EUR]
    speed_limit
        Edge → its new limit. [m/s]
    closed
        Edges that only trips may use that begin or end on such edges.
    fuel, parking, fare, headway, bus_time, cycling
        New price of fuel, of parking and of fares, headway, riding time in buses and perceived riding time by bicycle,
        over those of the base case.
    spaces
        Spaces left over the cars that are parked at the busiest hour of the base case; infinite where they never bind.
    """

    toll: Mapping[str, Day] = field(default_factory=dict)
    speed_limit: Mapping[str, float] = field(default_factory=dict)
    closed: frozenset[str] = frozenset()
    fuel: float = 1.0
    parking: float = 1.0
    fare: float = 1.0
    headway: float = 1.0
    bus_time: float = 1.0
    cycling: float = 1.0
    spaces: float = np.inf

    def scaled(self, **factors: float) -> TravelChanges:
        """Return the changes with some factors multiplied.

        Raises
        ------
        CosimError
            If a factor is not positive.
        """
        for name, factor in factors.items():
            if not factor > 0:
                raise CosimError(f"the factor of {name} is {factor}: it must be positive")
        return replace(self, **{name: getattr(self, name) * factor for name, factor in factors.items()})

    @property
    def on_streets(self) -> bool:
        """Whether streets change, so that times by car have to be simulated anew even before anybody answers."""
        return bool(self.toll or self.speed_limit or self.closed)

    def slower(self, limits: Mapping[str, float]) -> TravelChanges:
        """Return the changes with further speed limits [m/s]; of two on one edge the stricter one holds."""
        old = self.speed_limit
        return replace(self, speed_limit={**old, **{e: min(v, old.get(e, v)) for e, v in limits.items()}})

    def tolled(self, tolls: Mapping[str, Day]) -> TravelChanges:
        """Return the changes with further tolls.

        Raises
        ------
        CosimError
            If two tolls are due on one edge.
        """
        if twice := sorted(self.toll.keys() & tolls.keys()):
            raise CosimError(f"two policies charge a toll on edge {twice[0]!r}: answers='modes' takes one")
        return replace(self, toll={**self.toll, **tolls})

    def toll_at(self, edge: str, depart_s: float) -> float:
        """Return the toll of an edge at a time of the day. [EUR]"""
        if edge not in self.toll:
            return 0.0
        moment = dt.datetime(2000, 1, 1) + dt.timedelta(seconds=float(depart_s) % 86_400)
        return value_at(self.toll[edge], moment)


def utility_changes(
    changes: TravelChanges,
    distance_km: Vector,
    *,
    pays_parking: Flags | float = 0.0,
    car_min: Vector | float = 0.0,
    toll_eur: Vector | float = 0.0,
    parking_eur: float = 0.0,
) -> Shares:
    """Return the change of each mode's utility, per trip.

    Parameters
    ----------
    changes
        What policies change.
    distance_km : shape (n_trips,)
        Length of the trips.
    pays_parking : shape (n_trips,)
        Whether their drivers pay for parking, once on the two trips of a tour.
    car_min, toll_eur : shape (n_trips,)
        Change of the time by car [min], and tolls paid [EUR], per trip.
    parking_eur
        Further price of a stay where spaces are scarce. [EUR]

    Returns
    -------
    shape (n_trips, n_modes)
        Zero, exactly, where nothing changes. A motorcycle or a passenger's seat burns half of a car's fuel per person
        and pays no toll and no parking, an assumption.
    """
    euro = TASTES.of_euro(distance_km, MONEY_SCALE)
    fuel = FUEL_EUR_KM * distance_km * (changes.fuel - 1)
    stay = np.asarray(pays_parking, float) * (PARKING_EUR * (changes.parking - 1) + parking_eur) / 2
    found = np.zeros((len(distance_km), len(MODES)))
    found[:, CAR] = TASTES.car * np.asarray(car_min) + euro * (fuel + stay + np.asarray(toll_eur))
    found[:, RIDE] = euro * fuel / 2
    found[:, PUBLIC] = (
        euro * FARE_EUR * (changes.fare - 1)
        + TASTES.waiting * HEADWAY_MIN / 2 * (changes.headway - 1)
        + TASTES.public * BUS_SHARE * distance_km / BUS_KMH * 60 * (changes.bus_time - 1)
    )
    found[:, BICYCLE] = TASTES.bicycle * distance_km / BICYCLE_KMH * 60 * (changes.cycling - 1)
    return found + 0.0
