"""What can a city do about its traffic? Superblocks, limits, zones, prices, signals, and what people drive."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import shapely
from pydantic import Field

from cosim import CosimError
from cosim.adapters.sumo_files import read_configuration
from cosim.adapters.sumo_network import Network, network_edges
from cosim.core.random import uniform
from cosim.scenarios.car_fleet import car_fleet, draw_classes, euro_standard
from cosim.scenarios.city import City
from cosim.scenarios.demand_routes import gates
from cosim.scenarios.measures import always, between
from cosim.scenarios.policy import Hour, Policy, Polygon, Positive, Share
from cosim.scenarios.streets import Net, read_net

from .cells import Cell, cell_in, edges_within, find_cells
from .trips import Trip, Variant, retype, trips_of

_NO_EXHAUST = re.compile("BEV|MMPEVEM|[Zz]ero|Energy")
_ROUNDING_MPS = 0.05  # networks round their limits
_CAR, _LOCAL, _BANNED = "passenger", "custom2", "custom1"
_CARS = (_CAR, "ignoring")  # the second heeds no permission: route files have it for cars on bus lanes


class Superblocks(Policy):
    """Keeps through traffic out of cells of 3 × 3 blocks; who lives or has business inside still drives there.

    Inside, only trips that begin or end there may drive, slowly; buses, bicycles and emergency vehicles as before. All
    others drive round: without less demand they reappear on the streets around.

    Evidence: Barcelona's superblock of Sant Antoni, traffic inside −82 %, NO2 inside −25 to −33 %; city-wide NOx hardly
    changes by superblocks alone, and neighbouring streets carry up to 17 % more (Barcelona Supercomputing Center,
    2021). On a grid of the Eixample that this project simulated, four superblocks raised CO2 of traffic by 24 %.

    Parameters
    ----------
    cells
        Most superblocks that are looked for in the network.
    blocks_per_cell
        Blocks of a superblock: 9 are 3 × 3.
    interior_kmh
        Speed limit inside. [km/h] 20 is Spain's limit of residential streets (sign S-28); quoted from memory.
    polygons
        Outlines in the network's coordinates, as in ``[[[0,0],[400,0],[400,400],[0,400]]]``, instead of a search. [m]
    """

    cells: Annotated[int, Field(ge=1, le=100)] = 4
    blocks_per_cell: Annotated[int, Field(ge=2, le=25)] = 9
    interior_kmh: Annotated[float, Field(ge=5, le=50)] = 20.0
    polygons: tuple[Polygon, ...] = ()

    def change_city(self, city: City) -> City:
        """Give local trips a vehicle class of their own, and let only that one in."""
        network = _network(city)
        found = self.find(_net(city))
        interior = [edge for cell in found for edge in cell.interior]
        inside = set(interior)

        def concerned(trip: Trip) -> str | None:
            if trip.vehicle_class not in _CARS:
                return None
            if trip.way[0] in inside or trip.way[-1] in inside:
                return "local"
            # Cars of a class that no permission binds, as Bologna's that use bus lanes, would drive through.
            return "through" if trip.vehicle_class != _CAR and not inside.isdisjoint(trip.way) else None

        variants = {"local": Variant({"vClass": _LOCAL}), "through": Variant({"vClass": _CAR})}
        city, _ = retype(city, concerned, variants)
        limit = dict(zip(network.labels, network.speed_limit))
        may = {f"{edge}|{_LOCAL}": always(1.0)
               for edge, car in zip(network.labels, network.permits(_CAR)) if car}  # fmt: skip
        barred = {f"{edge}|{kind}": always(0.0) for edge in interior for kind in (_CAR, _BANNED)}
        slow = {edge: always(min(self.interior_kmh / 3.6, float(limit[edge]))) for edge in interior}
        measures = city.measures.for_classes(_CAR, _LOCAL, _BANNED)
        measures = measures.tell("traffic.permission", {**may, **barred}).tell("traffic.speed_limit", slow)
        return replace(city, measures=measures)

    def find(self, net: Net) -> list[Cell]:
        """Return the superblocks of a network."""
        if self.polygons:
            return [cell_in(net, polygon) for polygon in self.polygons]
        return find_cells(net, blocks_per_cell=self.blocks_per_cell, cells=self.cells)


class SpeedLimit(Policy):
    """Lowers the speed limit of a whole city, except on its fast roads and, if asked for, its main roads.

    Evidence: Bologna Città 30, crashes −12.5 %, flow −9 %. What this project's simulation of Bologna's morning peak
    says, and why it deviates, stands at the end of this page; on an uncongested grid of the Eixample the mean speed
    falls by 5.5 %.

    Parameters
    ----------
    limit_kmh
        The new limit. [km/h]
    except_above_kmh
        Roads with a higher limit than this keep it. [km/h]
    most_lanes
        Roads with more lanes in a direction keep their limit, as main roads do in many such cities; all change if
        none is given.
    """

    limit_kmh: Annotated[float, Field(ge=5, le=130)] = 30.0
    except_above_kmh: Positive = 50.0
    most_lanes: Annotated[int, Field(ge=1)] | None = None

    def change_city(self, city: City) -> City:
        """Lower the limits."""
        network, limit = _network(city), self.limit_kmh / 3.6
        slower = {
            edge: always(limit)
            for edge, now, lanes in zip(network.labels, network.speed_limit, network.lanes)
            if limit + _ROUNDING_MPS < now <= self.except_above_kmh / 3.6 + _ROUNDING_MPS
            and (self.most_lanes is None or lanes <= self.most_lanes)
        }
        if not slower:
            raise CosimError(
                f"{self} changes no street: none has a limit between {self.limit_kmh:g} and {self.except_above_kmh:g} "
                "km/h"
            )
        return replace(city, measures=city.measures.tell("traffic.speed_limit", slower))


class LowEmissionZone(Policy):
    """Bans cars below an emission standard; a share of their owners drives the same trips in a clean car instead.

    Without a polygon the zone is the whole network. Trips of banned cars that begin in the zone are not made; those
    that would cross it drive round, as near as they can get. A banned car of a superblock's resident counts as banned.
    Where classes name no Euro standard, put `CarFleet` before it.

    Evidence: Barcelona's zone, traffic −2 to −5 %, NOx −19 % (the city's estimate).

    Parameters
    ----------
    petrol_from_euro, diesel_from_euro
        Lowest Euro standard that may drive. The defaults are Spain's label C; quoted from memory.
    replaced
        Share of the banned cars that are replaced by ones of the newest standard, chosen by chance keyed to the trip.
        Assumption.
    from_hour, to_hour
        When it applies, every day. [h]
    polygon
        Outline in the network's coordinates. [m]
    """

    petrol_from_euro: Annotated[int, Field(ge=0, le=7)] = 4
    diesel_from_euro: Annotated[int, Field(ge=0, le=7)] = 6
    replaced: Share = 0.5
    from_hour: Hour = 0.0
    to_hour: Hour = 24.0
    polygon: Polygon = ()

    def change_city(self, city: City) -> City:
        """Give banned cars a vehicle class of their own, and let it out of the zone."""
        unknown: set[str] = set()

        def banned(trip: Trip) -> str | None:
            if trip.vehicle_class not in (*_CARS, _LOCAL):
                return None
            standard = euro_standard(trip.emission_class)
            if standard is None:
                if not _NO_EXHAUST.search(trip.emission_class):
                    unknown.add(trip.emission_class)
                return None
            fuel, euro = standard
            if euro >= (self.petrol_from_euro if fuel == "petrol" else self.diesel_from_euro):
                return None
            renewed = uniform(city.seed, "replaces a banned car", [trip.id])[0] < self.replaced
            return "renewed" if renewed else "banned"

        newest = Variant({"emissionClass": "HBEFA4/PC_petrol_Euro-6d"})
        changed, counts = retype(city, banned, {"banned": Variant({"vClass": _BANNED}), "renewed": newest})
        if unknown:
            raise CosimError(
                f"{self} cannot tell who is banned: emission class {min(unknown)!r} names no Euro standard; put "
                "CarFleet before it, in the base case too, or give the vehicles' types classes of HBEFA3 or HBEFA4"
            )
        if not any(counts.values()):
            raise CosimError(f"{self} bans nobody: all cars keep the standard")
        network = _network(city)
        zone = _zone(city, self.polygon) if self.polygon else network.labels
        day = between(self.from_hour, self.to_hour, 0.0, 1.0)
        outside = {f"{edge}|{_BANNED}": always(1.0)
                   for edge, car in zip(network.labels, network.permits(_CAR)) if car}  # fmt: skip
        inside = {f"{edge}|{_BANNED}": day for edge in zone}
        measures = changed.measures.for_classes(_BANNED).tell("traffic.permission", {**outside, **inside})
        return replace(changed, measures=measures)


class CarFleet(Policy):
    """Gives the cars of a scenario the emission classes of its country's fleet, by chance keyed to the trip.

    For scenarios whose classes name no Euro standard, as the HBEFA 2 clusters of Bologna's files: `LowEmissionZone` can
    then tell who is banned. It changes emissions, not the traffic; put it into the base case too. Electric cars stay
    what they are.

    Evidence: cars registered in Italy at the end of 2023 by Euro standard and by fuel (Automobile Club d'Italia). That
    all fuels have the same standards is an assumption; cars on gas, and hybrids, count as petrol.
    """

    def change_city(self, city: City) -> City:
        """Write the classes into types of their own."""
        variants = {name.rpartition("/")[2]: Variant({"emissionClass": name}) for name in car_fleet(city.country)}

        def drawn(trip: Trip) -> str | None:
            if trip.vehicle_class not in (*_CARS, _LOCAL, _BANNED) or _NO_EXHAUST.search(trip.emission_class):
                return None
            return draw_classes(city.country, city.seed, [trip.id])[0].rpartition("/")[2]

        city, counts = retype(city, drawn, variants)
        if not any(counts.values()):
            raise CosimError(f"{self} finds no car with an engine in the scenario: leave it out")
        return city


class CordonPrice(Policy):
    """Charges everybody who drives into an area; drivers choose their way by time and toll.

    Only the choice of the way answers to the price. Trips that are given up or made by other means are `ModeShift`.

    Evidence: none of this project's own; Stockholm's charge lowered the traffic across its cordon by about a fifth
    (quoted from memory), most of which is trips given up.

    Parameters
    ----------
    toll_eur
        For each entry. [EUR]
    polygon
        Outline of the area in the network's coordinates; by default the middle third of the network's width and
        height. [m]
    from_hour, to_hour
        When it is charged, every day. [h]
    """

    toll_eur: Positive = 2.0
    polygon: Polygon = ()
    from_hour: Hour = 7.0
    to_hour: Hour = 20.0

    def change_city(self, city: City) -> City:
        """Put a toll on every edge that leads in."""
        network = _network(city)
        area = shapely.Polygon(self.polygon) if self.polygon else _middle(network)
        inside = {node for node, xy in network.node_xy.items() if area.contains(shapely.Point(xy))}
        leads_in = [
            edge
            for edge, start, end in zip(network.labels, network.from_node, network.to_node)
            if start not in inside and end in inside
        ]
        if not leads_in:
            raise CosimError(f"{self} charges nobody: no street leads into its area")
        day = between(self.from_hour, self.to_hour, self.toll_eur, 0.0)
        return replace(city, measures=city.measures.tell("traffic.toll", dict.fromkeys(leads_in, day)))


class DistancePrice(Policy):
    """Charges every kilometre that is driven; drivers choose their way by time and toll.

    Only the choice of the way answers to the price, as with `CordonPrice`; it makes drivers prefer shorter ways to
    faster ones. On a regular grid, whose ways are all alike, it changes next to nothing.

    Parameters
    ----------
    eur_per_km
        [EUR/km]
    from_hour, to_hour
        When it is charged, every day. [h]
    """

    eur_per_km: Positive = 0.2
    from_hour: Hour = 0.0
    to_hour: Hour = 24.0

    def change_city(self, city: City) -> City:
        """Put a toll by its length on every edge."""
        network = _network(city)
        tolls = {
            edge: between(self.from_hour, self.to_hour, self.eur_per_km * float(metres) / 1000, 0.0)
            for edge, metres in zip(network.labels, network.length_m)
        }
        return replace(city, measures=city.measures.tell("traffic.toll", tolls))


class SignalRetiming(Policy):
    """Retimes every traffic light for the traffic of its scenario, by SUMO's own tools.

    ``"webster"`` sets cycles and green times by Webster's method for the vehicles that come from each side
    (tlsCycleAdaptation), ``"coordinated"`` shifts the lights against each other so that most vehicles meet green waves
    (tlsCoordinator). Signal times follow the routes of the base case: put it after policies that change them.

    Evidence: on Bologna's network at capacity, tlsCycleAdaptation together with 30 km/h gridlocks; it is no free lunch.

    Parameters
    ----------
    method
        ``"webster"`` or ``"coordinated"``.
    begin_hour
        Begin of the hour whose traffic it is made for, in the configuration's time. [h]
    """

    method: Literal["webster", "coordinated"] = "webster"
    begin_hour: Hour = 8.0

    def change_city(self, city: City) -> City:
        """Write the new programs beside the city's files."""
        from .signals import retimed

        return retimed(city, self.method, self.begin_hour * 3600)


class EvShare(Policy):
    """Makes a share of the cars electric; a larger share keeps the electric cars of a smaller one.

    Evidence: plain evening charging peaks at 1.0 to 1.2 kW a car, at about three charges a week.

    Parameters
    ----------
    share
        Share of the cars.
    """

    share: Share = 0.4

    def change_parameters(self) -> dict[str, Any]:
        """Set ``ev_share``."""
        return {"ev_share": self.share}


class ModeShift(Policy):
    """Takes a share of the car trips off the road: they go by other means that are not simulated.

    Which trips is decided by chance keyed to the trip; timetabled vehicles stay.

    Evidence: of this project's own simulations of Bologna, demand × 0.8 raises speed from 16.7 to 26.1 km/h and lowers
    CO2 by 41 %, as the network runs at capacity.

    Parameters
    ----------
    share
        Share of the trips.
    """

    share: Share = 0.1

    def change_city(self, city: City) -> City:
        """Lower the traffic's demand."""
        return _with_demand(city, 1 - self.share)


class Parking(Policy):
    """Raises the price of parking and takes places away; trips that park in the city answer, through traffic does not.

    Price acts by a constant elasticity. Supply binds when fewer places are left than cars are parked at the busiest
    hour: then only as many trips are made as find one. The stronger of the two holds. Which trips are given up is
    decided by chance among all cars, as many as the share of trips that begin or end inside says; where they go
    instead, and the search for a place, are not simulated.

    Evidence: elasticities of car use with respect to the price of parking lie between −0.1 and −0.6, most often −0.3
    (Transit Cooperative Research Program, report 95, chapter 13; quoted from memory).

    Parameters
    ----------
    increase
        Rise of the price over the present one: 0.5 is half as much again.
    elasticity
        Of the number of car trips with respect to the price.
    removed
        Share of the places that are taken away.
    occupancy
        Share of the places that is taken at the busiest hour now. Assumption.
    """

    increase: Annotated[float, Field(ge=0, le=10)] = 0.5
    elasticity: Annotated[float, Field(ge=-1, le=0)] = -0.3
    removed: Share = 0.0
    occupancy: Annotated[float, Field(gt=0, le=1)] = 0.85

    def change_city(self, city: City) -> City:
        """Lower the traffic's demand."""
        kept = min((1 + self.increase) ** self.elasticity, (1 - self.removed) / self.occupancy, 1.0)
        given_up = (1 - kept) * _parking_share(city)
        if given_up == 0:
            raise CosimError(
                f"{self} changes no trip: the price stays, the places left are enough, or nobody parks in the city"
            )
        return _with_demand(city, 1 - given_up)


def _network(city: City) -> Network:
    return network_edges(_net_file(city))


def _net(city: City) -> Net:
    return read_net(_net_file(city))


def _net_file(city: City) -> Path:
    return read_configuration(city.sumocfg, city.traffic_options).net


def _zone(city: City, polygon: Polygon) -> list[str]:
    edges = edges_within(_net(city), shapely.Polygon(polygon))
    if not edges:
        raise CosimError("no street for cars lies in the zone: draw it in the network's coordinates, in metres")
    return edges


def _middle(network: Network) -> shapely.Polygon:
    xy = np.array(list(network.node_xy.values()))
    low, high = xy.min(axis=0), xy.max(axis=0)
    return shapely.box(*(low + (high - low) / 3), *(high - (high - low) / 3))


def _with_demand(city: City, factor: float) -> City:
    return replace(city, measures=city.measures.tell("traffic.demand_factor", {"network": always(factor)}))


def _parking_share(city: City) -> float:
    """Return the share of the car trips that begin or end within the network instead of crossing it."""
    entries, exits = gates(_net(city))
    cars = [trip for trip in trips_of(city) if trip.vehicle_class in (*_CARS, _LOCAL, _BANNED)]
    crossing = sum(t.way[0] in entries and t.way[-1] in exits and not any(t.doors) for t in cars)
    return 1 - crossing / max(len(cars), 1)
