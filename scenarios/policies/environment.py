"""Policies on air and noise: trees, background air, low speed at night, quiet road surfaces, nights without trucks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from cosim import CosimError
from cosim.core.environment.exposure import HEALTH_FUNCTIONS
from cosim.core.environment.noise_emission import REFERENCE, surfaces
from cosim.scenarios.environment.model import Air, air_of, with_trees
from cosim.scenarios.indicators.environment import HEALTH, Health
from cosim.scenarios.measures import ROAD_SURFACES, between
from cosim.scenarios.model import City
from cosim.scenarios.policies.policy import Hour, Policy, Polygon, Positive, Share
from cosim.scenarios.streets.network import read_net

from .areas import area_in
from .cells import edges_within
from .mobility import net_file
from .trips import trips_of

__all__ = ["BackgroundAir", "HealthEffects", "NightSpeedLimit", "NightTruckBan", "QuietSurfaces", "Trees"]

SECTOR = "Environment"
_NAME = "environment"
_FACTORS = {"row": 1.25, "roof": 1.5}
_ROUNDING_MPS = 0.05  # networks round their limits
_TRUCKS = ("truck", "trailer")


class Trees(Policy):
    """Plants trees along streets; under them, traffic's pollutants stay longer.

    The concentration that traffic adds at façades is multiplied by the tree factor of the Dutch calculation method
    SRM1: 1.25 for a row of trees, 1.5 where crowns close over the street. That is all that trees do here: neither their
    shade nor what their leaves take up is modelled.

    Evidence: the factors are those of Dutch law (Regeling beoordeling luchtkwaliteit 2007, SRM1).

    Parameters
    ----------
    crowns
        ``"row"``: with sky between them; ``"roof"``: crowns that touch each other over more than a third of the street.
    polygon
        Outline of the streets that get them, in the network's coordinates [m] or in longitude and latitude [°], or a
        GeoJSON file of it; by default all streets.
    """

    crowns: Literal["row", "roof"] = "row"
    polygon: Polygon = ()

    def change_city(self, city: City) -> City:
        """Give the streets their tree factor."""
        outline: Polygon = ()
        if self.polygon:
            area = area_in(read_net(net_file(city)), self.polygon)
            outline = tuple((float(x), float(y)) for x, y in area.exterior.coords[:-1])
        return _with_air(city, with_trees(air_of(city.sectors.get(_NAME)), outline, _FACTORS[self.crowns]))


class BackgroundAir(Policy):
    """Sets the air above the roofs: a city with published means, or a series of the user's own.

    Put it into the base case too: it is no measure but an assumption about the surroundings.

    Evidence: none; the concentrations of NO2 at façades are the background's for the most part.

    Parameters
    ----------
    source
        ``"barcelona"``, ``"bologna"`` or a CSV file with the columns no2, nox, o3, pm10 and pm25 [µg/m³], and month
        (1 to 12) or time (ISO 8601 with its offset from UTC). NOx counts as NO2.
    """

    source: str = "barcelona"

    def change_city(self, city: City) -> City:
        """Set the background."""
        source = Path(self.source) if self.source.endswith(".csv") else self.source
        return _with_air(city, replace(air_of(city.sectors.get(_NAME)), background=source))


class HealthEffects(Policy):
    """Counts deaths by air pollution and heart disease by noise, with the intervals of published functions.

    It changes nothing in the city, and is off unless it is given. Put it into the base case too. Deaths by PM2.5 and by
    NO2 overlap: they must not be added. The functions are of long-term exposure: a run of a day stands for its year.

    Evidence: relative risks for each 10 µg/m³ or 10 dB of 1.08 (1.06 to 1.09) for PM2.5 above 5 µg/m³ and 1.02 (1.01
    to 1.04) for NO2 above 10 µg/m³ (reviews for WHO's guidelines of 2021), 1.08 (1.01 to 1.15) for heart disease above
    53 dB Lden (van Kempen and others, 2018; Directive (EU) 2020/367).

    Parameters
    ----------
    deaths_per_1000
        Deaths of natural causes a year for 1,000 people of 30 years and older, from the place's statistics; without it
        deaths are not counted.
    heart_disease_per_1000
        New cases of ischaemic heart disease a year for 1,000 of them; without it they are not counted.
    adults
        Share of the residents who are 30 years and older. Assumption.
    """

    deaths_per_1000: Annotated[float, Field(gt=0, le=1000)] | None = None
    heart_disease_per_1000: Annotated[float, Field(gt=0, le=1000)] | None = None
    adults: Share = 0.7

    def change_city(self, city: City) -> City:
        """Choose the functions."""
        chosen: dict[str, Health] = {}
        if self.deaths_per_1000 is not None:
            for pollutant in ("PM2.5", "NO2"):
                function = HEALTH_FUNCTIONS[f"{pollutant}, WHO 2021"]
                chosen[f"deaths by {pollutant}"] = Health(function, self.deaths_per_1000 / 1000, self.adults)
        if self.heart_disease_per_1000 is not None:
            function = HEALTH_FUNCTIONS["Lden, WHO 2018"]
            chosen["heart disease by noise"] = Health(function, self.heart_disease_per_1000 / 1000, self.adults)
        if not chosen:
            raise CosimError(f"{self} applies no function: give deaths_per_1000 or heart_disease_per_1000")
        return replace(city, sectors={**city.sectors, HEALTH: chosen})


class NightSpeedLimit(Policy):
    """Lowers the speed limit at night, except on fast roads.

    Streets on which a policy before it already set a limit at least as low keep that one.

    Evidence: 30 instead of 50 km/h on German main roads, mean levels lower by 2 to 3 dB(A) by calculation and by 1 to 4
    dB(A) in measurements (Umweltbundesamt, Wirkungen von Tempo 30 an Hauptverkehrsstraßen, 2016, as quoted by a city
    council). CNOSSOS-EU has 3.8 dB(A) for cars that keep the limits; simulated drivers exceed it a little, and are
    below 50 km/h in queues.

    Parameters
    ----------
    limit_kmh
        The limit at night. [km/h]
    from_hour, to_hour
        Hours in which it applies, every night. [h] The defaults are the night of Directive 2002/49/EC.
    except_above_kmh
        Roads with a limit above this keep it. [km/h]
    """

    excludes: ClassVar[frozenset[str]] = frozenset({"SpeedLimit"})

    limit_kmh: Annotated[float, Field(ge=5, le=130)] = 30.0
    from_hour: Hour = 23.0
    to_hour: Hour = 7.0
    except_above_kmh: Positive = 50.0

    def change_city(self, city: City) -> City:
        """Lower the limits at night."""
        network, limit = city.network, self.limit_kmh / 3.6
        set_before = city.measures.inputs.get("traffic.speed_limit", {})
        slower = {
            edge: between(self.from_hour, self.to_hour, limit, float(now))
            for edge, now in zip(network.labels, network.speed_limit)
            if limit + _ROUNDING_MPS < now <= self.except_above_kmh / 3.6 + _ROUNDING_MPS
            and not all(value <= limit + _ROUNDING_MPS for _, value in set_before.get(edge, (("00:00", float(now)),)))
        }
        if not slower:
            raise CosimError(
                f"{self} changes no street: none has a limit between {self.limit_kmh:g} and {self.except_above_kmh:g} "
                "km/h; change either"
            )
        return replace(city, measures=city.measures.with_input("traffic.speed_limit", slower))


class QuietSurfaces(Policy):
    """Gives streets a quieter road surface, which lowers rolling noise; traffic and its speed stay.

    Evidence: noise-optimised asphalt lowers levels in German cities by 2 to 4 dB (Städtebauliche Lärmfibel, section
    7.1.3). The default, thin layer A, lowers those of cars by 2.9 dB(A) at 50 km/h and by 2.4 dB(A) at 30 km/h, and
    those of trucks hardly (CNOSSOS-EU, appendix F). Surfaces age: within about eight years the effect wears off, which
    is not modelled.

    Parameters
    ----------
    surface
        Code of the surface in CNOSSOS-EU, appendix F.
    least_kmh
        Streets with a lower limit keep their surface, as it would gain little there. [km/h]
    polygon
        Outline in the network's coordinates [m] or in longitude and latitude [°], or a GeoJSON file of it; by default
        the whole network.
    """

    surface: str = "NL13"
    least_kmh: Positive = 40.0
    polygon: Polygon = ()

    def change_city(self, city: City) -> City:
        """Record the surface of the streets."""
        known = surfaces()
        if self.surface not in known or self.surface == REFERENCE:
            listed = ", ".join(f"{code} ({name})" for code, name in known.items() if code != REFERENCE)
            raise CosimError(f"{self}: unknown road surface {self.surface!r}; there are {listed}")
        network, inside = city.network, set(_edges(city, self.polygon))
        quiet = {
            edge: self.surface
            for edge, limit in zip(network.labels, network.speed_limit)
            if edge in inside and limit >= self.least_kmh / 3.6 - _ROUNDING_MPS
        }
        if not quiet:
            raise CosimError(f"{self} changes no street: none within has a limit of {self.least_kmh:g} km/h or more")
        before = city.sectors.get(ROAD_SURFACES, {})
        return replace(city, sectors={**city.sectors, ROAD_SURFACES: {**before, **quiet}})


class NightTruckBan(Policy):
    """Bans trucks at night; their trips that begin in the area then are not made, others drive around it.

    Banned are SUMO's classes ``truck`` and ``trailer``; delivery vans and buses drive as before. Trips that are put off
    to the day are not simulated: put them into the demand.

    Evidence: none of this project's own. In CNOSSOS-EU a share of trucks of 5 %, half of them heavy, raises the level
    at 50 km/h by 1.2 dB(A), one of 10 % by 2.2 dB(A): that is what a complete ban gains.

    Parameters
    ----------
    from_hour, to_hour
        Hours in which it applies, every night. [h] The defaults are the night of Directive 2002/49/EC.
    polygon
        Outline of the area, as in `QuietSurfaces`.
    """

    from_hour: Hour = 23.0
    to_hour: Hour = 7.0
    polygon: Polygon = ()

    def change_city(self, city: City) -> City:
        """Withdraw the trucks' permission at night."""
        found = {trip.vehicle_class for trip in trips_of(city)} & set(_TRUCKS)
        if not found:
            raise CosimError(f"{self} bans no vehicle: the scenario has no trips of the classes {', '.join(_TRUCKS)}")
        inside, day = set(_edges(city, self.polygon)), between(self.from_hour, self.to_hour, 0.0, 1.0)
        network = city.network
        banned = {
            f"{edge}|{kind}": day
            for kind in sorted(found)
            for edge, permitted in zip(network.labels, network.permits(kind))
            if permitted and edge in inside
        }
        if not banned:
            raise CosimError(f"{self} bans no vehicle: trucks may drive on no street of the area already")
        measures = city.measures.for_classes(*sorted(found)).with_input("traffic.permission", banned)
        return replace(city, measures=measures)


def _with_air(city: City, air: Air) -> City:
    return replace(city, sectors={**city.sectors, _NAME: air})


def _edges(city: City, polygon: Polygon) -> list[str]:
    """Return the edges within an outline, all without one."""
    if not polygon:
        return list(city.network.labels)
    net = read_net(net_file(city))
    edges = edges_within(net, area_in(net, polygon))
    if not edges:
        raise CosimError("no street for cars lies in the area: draw it in the city")
    return edges
