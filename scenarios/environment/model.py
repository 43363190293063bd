"""What the environment sector knows of a city: its streets between buildings, vehicles and background air."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import scipy.sparse as sp
import shapely

from cosim import CosimError
from cosim.adapters.traffic.demand import emission_classes, grouped, vehicle_types
from cosim.adapters.traffic.network import Network
from cosim.core.environment.noise_paths import NoisePaths
from cosim.core.environment.streets import Streets

from .background import Background, read_background
from .canyons import make_streets
from .exhaust import group_shares, kinds_of, vehicle_counts
from .sound import paths_of

Outline = tuple[tuple[float, float], ...]
NEAR_KM = 100.0
"""Distance from a place of published background air within which a city has the same. [km] Assumption."""
_PLACES = {"barcelona": (41.39, 2.16), "bologna": (44.49, 11.34)}


@dataclass(frozen=True)
class Air:
    """How a city's air quality is modelled; ``City.sectors["environment"]``.

    Attributes
    ----------
    background
        Background air: a city with published means or a CSV file, see `read_background`; None for those of the place.
    trees
        Outlines within which trees stand along the streets, each with SRM1's tree factor; empty for everywhere.
    primary_no2
        Share of NO2 in the NOx of the traffic; None for that of every emission class. [1]
    """

    background: str | Path | None = None
    trees: tuple[tuple[Outline, float], ...] = ()
    primary_no2: float | None = None


@dataclass(frozen=True)
class Environment:
    """Streets, vehicles and background of a city, made by `make_environment`.

    Attributes
    ----------
    streets, membership
        Street geometry, and the matrix from the network's edges to streets.
    kinds
        The vehicle types of every kind.
    exhaust_shares, primary_no2_shares
        By emission class or group of them, see `exhaust`.
    background
        The air above the roofs; None where it is unknown, and with it the air in streets.
    paths
        Attenuation of sound from streets to façades.
    air
        As it was asked for.
    """

    streets: Streets
    membership: sp.csr_array
    kinds: Mapping[str, tuple[str, ...]]
    exhaust_shares: Mapping[str, float]
    primary_no2_shares: Mapping[str, float]
    background: Background | None
    paths: NoisePaths
    air: Air = field(default_factory=Air)


def place_of(latitude: float, longitude: float) -> str | None:
    """Return the place of published background air near coordinates, if there is one.

    >>> place_of(41.29, 2.07), place_of(52.4, 4.9)
    ('barcelona', None)
    """
    for name, (north, east) in _PLACES.items():
        apart = np.hypot(latitude - north, (longitude - east) * np.cos(np.radians(north))) * 111.2
        if apart <= NEAR_KM:
            return name
    return None


def make_environment(
    air: Air,
    network: Network,
    demand: Sequence[Path],
    outlines: Sequence[shapely.Polygon],
    heights: Sequence[float],
    place: str | None,
    groups: Mapping[str, str] | None = None,
) -> Environment:
    """Return the environment of a city.

    Parameters
    ----------
    air
        How it is modelled.
    network, demand
        The streets, and SUMO's files of vehicles and their types.
    outlines, heights
        Footprints of the buildings in the network's coordinates, and their heights. [m]
    place
        Place of published background air, where ``air`` names none; None if there is none.
    groups
        Group of the emission classes that traffic counts together.
    """
    source = air.background or place
    background = None if source is None else read_background(source)
    streets, membership = make_streets(network, outlines, heights)
    for outline, factor in air.trees:
        area = shapely.Polygon(outline) if outline else None
        chosen = {
            label
            for label, axis in zip(streets.labels, streets.axis, strict=True)
            if area is None or area.contains(shapely.LineString(axis).interpolate(0.5, normalized=True))
        }
        if not chosen:
            raise CosimError("no street lies in the area of the trees: draw it in the city")
        streets = streets.with_trees(factor, chosen)
    vehicles = vehicle_types(demand)
    types = grouped(emission_classes(demand), groups or {})
    counted = vehicle_counts(demand) if groups else {}
    exhaust, primary = group_shares(types, vehicles, counted)
    if air.primary_no2 is not None:
        primary = dict.fromkeys(primary, air.primary_no2)
    paths = paths_of(streets, outlines)
    return Environment(streets, membership, kinds_of(vehicles), exhaust, primary, background, paths, air)


def air_of(found: object) -> Air:
    """Return how air is modelled, from what ``City.sectors`` has: `Air`, an `Environment` made by it, or nothing."""
    if isinstance(found, Environment):
        return found.air
    return found if isinstance(found, Air) else Air()


def with_trees(air: Air, outline: Outline, factor: float) -> Air:
    """Return the model with further trees."""
    return replace(air, trees=(*air.trees, (outline, factor)))
