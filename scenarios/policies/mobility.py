"""Policies on traffic: superblocks, speed limits, zones, signals and the car fleet."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import shapely
from pydantic import Field

from cosim import CosimError
from cosim.adapters.traffic.demand import Variant
from cosim.adapters.traffic.files import read_configuration
from cosim.adapters.traffic.network import Network, network_edges
from cosim.core.quantities import HOUR_S
from cosim.core.random import uniform
from cosim.results.layers import Geometry
from cosim.scenarios.measures import always, between
from cosim.scenarios.mobility.answers import without_cars
from cosim.scenarios.mobility.cars import car_fleet, draw_classes, euro_standard
from cosim.scenarios.mobility.choice import Answer
from cosim.scenarios.mobility.costs import TravelChanges
from cosim.scenarios.model import City
from cosim.scenarios.policies.policy import Hour, Policy, Polygon, Polygons, Positive, Share
from cosim.scenarios.streets.network import Net, read_net

from .areas import area_in
from .cells import Cell, cell_in, edges_within, find_cells
from .signals import retimed
from .trips import Trip, retype, trips_of, without_vehicles

__all__ = [
    "CarFleet",
    "EvShare",
    "LowEmissionZone",
    "SignalRetiming",
    "SpeedLimit",
    "Superblocks",
]

SECTOR = "Mobility"

_NO_EXHAUST = re.compile("BEV|MMPEVEM|[Zz]ero|Energy")
_ROUNDING_MPS = 0.05  # networks round their limits
_CAR, LOCAL, BANNED = "passenger", "custom2", "custom1"
_GOODS_AND_OTHERS = ("delivery", "truck", "motorcycle", "taxi")
CARS = (_CAR, "ignoring")  # the second ignores permissions: route files use it for cars on bus lanes


class Superblocks(Policy):
    """Keeps through traffic out of cells of 3 × 3 blocks; residents and visitors can still drive there.

    Inside, only trips that begin or end there are allowed, at low speed; buses, bicycles and emergency vehicles drive
    as before. All others take a detour and reappear on the surrounding streets, except, with ``answers="modes"``, those
    that the longer way makes change their mode.

    Evidence: Barcelona's superblock of Sant Antoni, traffic inside −82 %, NO2 inside −25 to −33 %; city-wide NOx hardly
    changes through superblocks alone, and neighbouring streets carry up to 17 % more (Barcelona Supercomputing Center,
    2021). On a grid of the Eixample that this project simulated, four superblocks raised CO2 of traffic by 24 %.

    Parameters
    ----------
    cells
        Maximum number of superblocks to find in the network.
    blocks_per_cell
        Number of blocks in a superblock; 9 are 3 × 3.
    interior_kmh
        Speed limit inside. [km/h] 20 is Spain's limit on residential streets (sign S-28; El Diario Vasco, 8 August
        2018).
    polygons
        Outlines in the network's coordinates [m], as in ``[[[0,0],[400,0],[400,400],[0,400]]]``, or in longitude and
        latitude [°], or the path of a GeoJSON file of them; instead of a search.
    """

    cells: Annotated[int, Field(ge=1, le=100)] = 4
    blocks_per_cell: Annotated[int, Field(ge=2, le=25)] = 9
    interior_kmh: Annotated[float, Field(ge=5, le=50)] = 20.0
    polygons: Polygons = ()

    def change_travel(self, changes: TravelChanges, net: Path) -> TravelChanges:
        """Close the streets inside to through traffic, and slow the others."""
        network = network_edges(net)
        inside = {edge for cell in self.find(read_net(net)) for edge in cell.interior}
        limits = {edge: float(limit) for edge, limit in zip(network.labels, network.speed_limit) if edge in inside}
        slow = {edge: min(limit, self.interior_kmh / 3.6) for edge, limit in limits.items()}
        return replace(changes, closed=changes.closed | inside).slower(slow)

    def change_city(self, city: City) -> City:
        """Give local trips a vehicle class of their own, and admit only that class and buses."""
        network = city.network
        found = self.find(_net(city))
        interior = [edge for cell in found for edge in cell.interior]
        inside = set(interior)

        others = sorted({trip.vehicle_class for trip in trips_of(city)} & set(_GOODS_AND_OTHERS))

        def variant_of(trip: Trip) -> str | None:
            if trip.vehicle_class not in (*CARS, *others):
                return None
            if trip.way[0] in inside or trip.way[-1] in inside:
                return "local"
            # Cars of a class that ignores permissions, such as Bologna's on bus lanes, would drive through.
            return "through" if trip.vehicle_class == CARS[1] and not inside.isdisjoint(trip.way) else None

        variants = {"local": Variant({"vClass": LOCAL}), "through": Variant({"vClass": _CAR})}
        city, _ = retype(city, variant_of, variants)
        limit = dict(zip(network.labels, network.speed_limit))
        may = {f"{edge}|{LOCAL}": always(1.0) for edge, car in zip(network.labels, network.permits(_CAR)) if car}
        barred = {f"{edge}|{kind}": always(0.0) for edge in interior for kind in (_CAR, BANNED, *others)}
        slow = {edge: always(min(self.interior_kmh / 3.6, float(limit[edge]))) for edge in interior}
        measures = city.measures.for_classes(_CAR, LOCAL, BANNED, *others)
        measures = measures.with_input("traffic.permission", {**may, **barred}).with_input("traffic.speed_limit", slow)
        areas = {f"superblock {k}": cell.area for k, cell in enumerate(found, 1)}
        return replace(city, measures=measures, outlines=outlined(city, "superblocks", areas))

    def find(self, net: Net) -> list[Cell]:
        """Return the superblocks of a network."""
        if self.polygons:
            return [cell_in(net, area_in(net, polygon)) for polygon in self.polygons]
        return find_cells(net, blocks_per_cell=self.blocks_per_cell, cells=self.cells)


class SpeedLimit(Policy):
    """Lowers the speed limit of a whole city, except on its fast roads and, optionally, its main roads.

    Evidence: Bologna Città 30, crashes −12.5 %, flow −9 %. The results of this project's simulation of Bologna's
    morning peak, and why they deviate, are at the end of this page; on an uncongested grid of the Eixample the mean
    speed falls by 5.5 %.

    Parameters
    ----------
    limit_kmh
        The new limit. [km/h]
    except_above_kmh
        Roads with a limit above this keep it. [km/h]
    most_lanes
        Roads with more lanes per direction keep their limit, as main roads do in many such cities; by default all
        roads change.
    """

    limit_kmh: Annotated[float, Field(ge=5, le=130)] = 30.0
    except_above_kmh: Positive = 50.0
    most_lanes: Annotated[int, Field(ge=1)] | None = None

    def change_travel(self, changes: TravelChanges, net: Path) -> TravelChanges:
        """Lower the limits."""
        return changes.slower(self._limits(network_edges(net)))

    def change_city(self, city: City) -> City:
        """Lower the limits."""
        slower = {edge: always(limit) for edge, limit in self._limits(city.network).items()}
        return replace(city, measures=city.measures.with_input("traffic.speed_limit", slower))

    def _limits(self, network: Network) -> dict[str, float]:
        limit = self.limit_kmh / 3.6
        slower = {
            edge: limit
            for edge, now, lanes in zip(network.labels, network.speed_limit, network.lanes)
            if limit + _ROUNDING_MPS < now <= self.except_above_kmh / 3.6 + _ROUNDING_MPS
            and (self.most_lanes is None or lanes <= self.most_lanes)
        }
        if not slower:
            raise CosimError(
                f"{self} changes no street: none has a limit between {self.limit_kmh:g} and {self.except_above_kmh:g} "
                "km/h; change either"
            )
        return slower


class LowEmissionZone(Policy):
    """Bans cars below an emission standard; each may be replaced by a clean one for the same trips.

    Without a polygon the zone is the whole network. Trips of banned cars that begin in the zone are not made; those
    that would cross it drive around it, and those that end in it drive as near as they can get. A banned car of a
    superblock's resident counts as banned. With ``answers="modes"`` drivers of banned cars that begin or end in the
    zone take another mode, or stay at home, for all ways of their tour. Where emission classes name no Euro standard,
    put `CarFleet` before it.

    Evidence: Barcelona's zone, traffic −2 to −5 %, NOx −19 % (the city's estimate).

    Parameters
    ----------
    petrol_from_euro, diesel_from_euro
        Lowest Euro standard allowed. The defaults are Spain's label C (hibridosyelectricos.com on the DGT's
        labels).
    replaced
        Chance of each banned car, drawn by the key of its trip, that one of the newest standard replaces it.
        Assumption.
    from_hour, to_hour
        Hours in which it applies, every day. [h]
    polygon
        Outline in the network's coordinates [m] or in longitude and latitude [°], or a GeoJSON file of it.
    """

    petrol_from_euro: Annotated[int, Field(ge=0, le=7)] = 4
    diesel_from_euro: Annotated[int, Field(ge=0, le=7)] = 6
    replaced: Share = 0.5
    from_hour: Hour = 0.0
    to_hour: Hour = 24.0
    polygon: Polygon = ()

    def change_city(self, city: City) -> City:
        """Give banned cars a vehicle class of their own, and keep it out of the zone."""
        unknown: set[str] = set()

        def banned(trip: Trip) -> str | None:
            if trip.vehicle_class not in (*CARS, LOCAL):
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
        changed, counts = retype(city, banned, {"banned": Variant({"vClass": BANNED}), "renewed": newest})
        if unknown:
            raise CosimError(
                f"{self} cannot decide which cars to ban: emission class {min(unknown)!r} names no Euro standard; put "
                "CarFleet before it, in the base case too, or give the vehicle types HBEFA3 or HBEFA4 classes"
            )
        if not any(counts.values()):
            raise CosimError(f"{self} bans no car: all cars meet the standard; raise it or leave the policy out")
        network = city.network
        areas = {"zone": area_in(_net(city), self.polygon)} if self.polygon else {}
        zone = _zone(city, areas["zone"]) if areas else network.labels
        day = between(self.from_hour, self.to_hour, 0.0, 1.0)
        outside = {f"{edge}|{BANNED}": always(1.0) for edge, car in zip(network.labels, network.permits(_CAR)) if car}
        inside = {f"{edge}|{BANNED}": day for edge in zone}
        measures = changed.measures.for_classes(BANNED).with_input("traffic.permission", {**outside, **inside})
        outlines = outlined(city, "low-emission zone", areas)
        found = city.sectors.get("travel")
        if city.answers == "modes" and isinstance(found, Answer):
            kept = self._answered(city, found, [t for t in trips_of(city) if banned(t) == "banned"], set(zone))
            changed = without_vehicles(changed, found.driven - kept.driven)
            changed = replace(changed, sectors={**changed.sectors, "travel": kept})
        return replace(changed, measures=measures, outlines=outlines)

    def _answered(self, city: City, found: Answer, banned: Sequence[Trip], zone: set[str]) -> Answer:
        """Return what the drivers of banned cars do that begin or end in the zone while it applies."""
        hours = {t.id: t.depart_s / HOUR_S % 24 for t in banned if not zone.isdisjoint((t.way[0], t.way[-1]))}
        barred = {label for label, hour in hours.items() if self.from_hour <= hour < self.to_hour}
        return without_cars(found, barred, city.seed)


class CarFleet(Policy):
    """Gives the cars of a scenario the emission classes of its country's fleet, drawn at random, keyed by trip.

    For scenarios whose classes name no Euro standard, such as the HBEFA 2 clusters of Bologna's files:
    `LowEmissionZone` can then decide which cars to ban. It changes emissions, not the traffic; put it into the base
    case too. Electric cars stay as they are.

    Evidence: cars registered in Italy at the end of 2023 by Euro standard and by fuel (Automobile Club d'Italia). That
    all fuels have the same standards is an assumption; gas-fuelled cars and hybrids count as petrol.
    """

    def change_city(self, city: City) -> City:
        """Write the classes into new vehicle types."""
        variants = {name.rpartition("/")[2]: Variant({"emissionClass": name}) for name in car_fleet(city.country)}

        def drawn(trip: Trip) -> str | None:
            if trip.vehicle_class not in (*CARS, LOCAL, BANNED) or _NO_EXHAUST.search(trip.emission_class):
                return None
            return draw_classes(city.country, city.seed, [trip.id])[0].rpartition("/")[2]

        city, counts = retype(city, drawn, variants)
        if not any(counts.values()):
            raise CosimError(f"{self} finds no car with an engine in the scenario: leave it out")
        return city


class SignalRetiming(Policy):
    """Retimes every traffic light for the traffic of its scenario, by SUMO's own tools.

    ``"webster"`` sets cycles and green times by Webster's method for the vehicles from each approach
    (tlsCycleAdaptation), ``"coordinated"`` offsets the lights so that most vehicles get green waves (tlsCoordinator).
    Signal times follow the routes of the base case: put it after policies that change them.

    Evidence: on Bologna's network at capacity, tlsCycleAdaptation together with 30 km/h leads to gridlock; it is no
    free lunch.

    Parameters
    ----------
    method
        ``"webster"`` or ``"coordinated"``.
    begin_hour
        Start of the hour whose traffic the lights are timed for, in the configuration's time. [h]
    """

    method: Literal["webster", "coordinated"] = "webster"
    begin_hour: Hour = 8.0

    def change_city(self, city: City) -> City:
        """Write the new programs beside the city's files."""
        return retimed(city, self.method, self.begin_hour * 3600)


class EvShare(Policy):
    """Makes a share of the cars electric; a larger share keeps the electric cars of a smaller one.

    Evidence: plain evening charging peaks at 1.0 to 1.2 kW a car, at about three charges a week.

    Parameters
    ----------
    share
        Share of the cars, exact to one, drawn by key.
    """

    share: Share = 0.4

    def change_parameters(self) -> dict[str, Any]:
        """Set ``ev_share``."""
        return {"ev_share": self.share}


def _net(city: City) -> Net:
    return read_net(net_file(city))


def net_file(city: City) -> Path:
    """Return the file of the city's network."""
    return read_configuration(city.sumocfg, city.traffic_options).net


def outlined(city: City, title: str, areas: Mapping[str, shapely.Polygon]) -> dict[str, Geometry]:
    """Return the city's outlines with further ones; without areas, as they are."""
    corners: Geometry = {label: list(area.exterior.coords)[:-1] for label, area in areas.items()}
    return {**city.outlines, **({title: corners} if areas else {})}


def _zone(city: City, area: shapely.Polygon) -> list[str]:
    edges = edges_within(_net(city), area)
    if not edges:
        raise CosimError("no street for cars lies in the zone: give it in the network's coordinates, or in degrees")
    return edges
