"""Prices of driving: cordons, distance, fuel and parking."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import shapely
from pydantic import Field

from cosim import CosimError
from cosim.adapters.traffic.network import Network, network_edges
from cosim.scenarios.measures import Day, always, between
from cosim.scenarios.mobility.costs import TravelChanges
from cosim.scenarios.mobility.routing import gates
from cosim.scenarios.model import City
from cosim.scenarios.policies.policy import Hour, Policy, Polygon, Positive, Share
from cosim.scenarios.streets.network import read_net

from .areas import area_in
from .mobility import BANNED, CARS, LOCAL, net_file, outlined
from .trips import trips_of

__all__ = ["CordonPrice", "DistancePrice", "FuelPrice", "Parking"]

SECTOR = "Mobility"


class CordonPrice(Policy):
    """Charges every vehicle that enters an area; drivers choose their route by time and toll.

    With ``answers="modes"`` they choose their mode too, and whether they travel; else only route choice responds.

    Evidence: Milan's Area C, 5 EUR a day, lowered the vehicles that enter by 34 % in its first months (Agenzia Mobilità
    Ambiente Territorio); Stockholm's charge, 1 to 2 EUR a crossing, lowered the traffic across its cordon by a fifth
    (Börjesson et al., Transport Policy 20, 2012). `cosim validate response` puts the model beside both.

    Parameters
    ----------
    toll_eur
        Toll for each entry. [EUR]
    polygon
        Outline of the area in the network's coordinates [m] or in longitude and latitude [°], or a GeoJSON file of
        it; by default the middle third of the network's width and height.
    from_hour, to_hour
        Hours in which it is charged, every day. [h]
    """

    toll_eur: Positive = 2.0
    polygon: Polygon = ()
    from_hour: Hour = 7.0
    to_hour: Hour = 20.0

    def change_travel(self, changes: TravelChanges, net: Path) -> TravelChanges:
        """Add the toll to the costs of entering."""
        network = network_edges(net)
        return changes.tolled(self._tolls(network, self._area(network, net)))

    def change_city(self, city: City) -> City:
        """Put a toll on every edge that leads in."""
        area = self._area(city.network, net_file(city))
        measures = city.measures.with_input("traffic.toll", self._tolls(city.network, area))
        return replace(city, measures=measures, outlines=outlined(city, "cordon", {"cordon": area}))

    def _area(self, network: Network, net: Path) -> shapely.Polygon:
        return area_in(read_net(net), self.polygon) if self.polygon else _middle(network)

    def _tolls(self, network: Network, area: shapely.Polygon) -> dict[str, Day]:
        inside = {node for node, xy in network.node_xy.items() if area.contains(shapely.Point(xy))}
        leads_in = [
            edge
            for edge, start, end in zip(network.labels, network.from_node, network.to_node)
            if start not in inside and end in inside
        ]
        if not leads_in:
            raise CosimError(f"{self} charges no vehicle: no street leads into its area; move or enlarge the area")
        return dict.fromkeys(leads_in, between(self.from_hour, self.to_hour, self.toll_eur, 0.0))


class DistancePrice(Policy):
    """Charges every kilometre driven; drivers choose their route by time and toll.

    They prefer shorter routes to faster ones; on a regular grid, where alternative routes are alike, that changes next
    to nothing. With ``answers="modes"`` they choose their mode too, by what they pay within the network.

    Parameters
    ----------
    eur_per_km
        Toll per kilometre. [EUR/km]
    from_hour, to_hour
        Hours in which it is charged, every day. [h]
    """

    eur_per_km: Positive = 0.2
    from_hour: Hour = 0.0
    to_hour: Hour = 24.0

    def change_travel(self, changes: TravelChanges, net: Path) -> TravelChanges:
        """Add the toll to the costs of driving."""
        return changes.tolled(self._tolls(network_edges(net)))

    def change_city(self, city: City) -> City:
        """Put a toll proportional to its length on every edge."""
        return replace(city, measures=city.measures.with_input("traffic.toll", self._tolls(city.network)))

    def _tolls(self, network: Network) -> dict[str, Day]:
        return {
            edge: between(self.from_hour, self.to_hour, self.eur_per_km * float(metres) / 1000, 0.0)
            for edge, metres in zip(network.labels, network.length_m)
        }


class FuelPrice(Policy):
    """Changes the price of motor fuel; travellers answer by their mode, so it needs ``answers="modes"``.

    Electric cars, which do not pay it, answer as the others do: a simplification.

    Evidence: the elasticity of car traffic with respect to the price of fuel is −0.1 to −0.5 (Dunkerley, Rohr and Daly,
    Road traffic demand elasticities, RAND Europe RR-888, 2014), in the realism tests of the Department for Transport's
    TAG Unit M2.1 (2025) −0.15 to −0.35 (as quoted by github.com/kakduman/sf-trace).

    Parameters
    ----------
    increase
        Relative to the present price: 0.2 is a fifth more, −0.2 a fifth less.
    """

    increase: Annotated[float, Field(gt=-1, le=5)] = 0.2

    def change_travel(self, changes: TravelChanges, net: Path) -> TravelChanges:
        """Change the price."""
        return changes.scaled(fuel=1 + self.increase)

    def change_city(self, city: City) -> City:
        """Refuse a demand that does not answer."""
        return answering(city, self)


class Parking(Policy):
    """Raises the price of parking and removes spaces; trips that park in the city respond, through traffic does not.

    With ``answers="modes"`` drivers who park answer to the price by their mode, and where fewer spaces are left than
    are wanted, the price of a stay rises until all find one. Else the price acts through a constant elasticity, and
    supply is binding when fewer spaces are left than cars are parked at the busiest hour: then only trips that find a
    space are made. The stronger effect applies. Trips are given up at random among all cars, in proportion to the share
    of trips that begin or end inside; alternative trips and the search for a space are not simulated.

    Evidence: when Dublin raised the price at the kerb by half, parking events answered with an elasticity of −0.29
    (Kelly and Clinch, Temporal variance of revealed preference on-street parking price elasticity, University College
    Dublin, 2005, on meters before and after). When San Francisco taxed parking in 1970, the number of cars parked
    answered with −0.19 to −0.48 (Transit Cooperative Research Program, report 95, chapter 13, page 42, as quoted by
    CAPCOA, Quantifying Greenhouse Gas Mitigation Measures, 2010, PDT-3).

    Parameters
    ----------
    increase
        Price increase relative to the present price: 0.5 is half as much again.
    elasticity
        Elasticity of the number of car trips with respect to the price, where demand does not answer by mode.
    removed
        Share of the spaces that are removed.
    occupancy
        Present share of the spaces that is occupied at the busiest hour. Assumption.
    """

    increase: Annotated[float, Field(ge=0, le=10)] = 0.5
    elasticity: Annotated[float, Field(ge=-1, le=0)] = -0.3
    removed: Share = 0.0
    occupancy: Annotated[float, Field(gt=0, le=1)] = 0.85

    def change_travel(self, changes: TravelChanges, net: Path) -> TravelChanges:
        """Raise the price, and count the spaces."""
        left = min((1 - self.removed) / self.occupancy, changes.spaces)
        return replace(changes.scaled(parking=1 + self.increase), spaces=left)

    def change_city(self, city: City) -> City:
        """Lower the traffic's demand, unless travellers have answered."""
        if city.answers == "modes":
            return city
        kept = min((1 + self.increase) ** self.elasticity, (1 - self.removed) / self.occupancy, 1.0)
        given_up = (1 - kept) * _parking_share(city)
        if given_up == 0:
            raise CosimError(
                f"{self} changes no trip: the price stays, the remaining spaces are enough, or no car parks in the city"
            )
        return with_demand(city, 1 - given_up)


def answering(city: City, policy: Policy) -> City:
    """Return the city if its demand answers by mode.

    Raises
    ------
    CosimError
        If it does not, so that the policy would change nothing.
    """
    if city.answers != "modes":
        raise CosimError(f"{policy} changes nothing, as nobody changes the mode: build the scenario with answers=modes")
    return city


def _middle(network: Network) -> shapely.Polygon:
    xy = np.array(list(network.node_xy.values()))
    low, high = xy.min(axis=0), xy.max(axis=0)
    return shapely.box(*(low + (high - low) / 3), *(high - (high - low) / 3))


def with_demand(city: City, factor: float) -> City:
    return replace(city, measures=city.measures.with_input("traffic.demand_factor", {"network": always(factor)}))


def _parking_share(city: City) -> float:
    """Return the share of the car trips that begin or end within the network instead of crossing it.

    Of a part of a day, the files may have through traffic alone of that part: others count as long as it lasts.
    """
    entries, exits = gates(read_net(net_file(city)))
    cars = [trip for trip in trips_of(city) if trip.vehicle_class in (*CARS, LOCAL, BANNED)]
    through = [t for t in cars if t.way[0] in entries and t.way[-1] in exits and not any(t.doors)]
    times = [t.depart_s for t in through if not math.isnan(t.depart_s)]
    if times:
        cars = [t for t in cars if math.isnan(t.depart_s) or min(times) <= t.depart_s <= max(times)]
    return 1 - len(through) / max(len(cars), 1)
