"""What a city is made from, and how."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cosim.core import CosimError

from .generated import GENERATED


@dataclass(frozen=True)
class Options:
    """How a city is made.

    Attributes
    ----------
    osm
        An OpenStreetMap file; none for a district that is drawn.
    generate, blocks
        Name of the district to draw instead, and its size.
    sumocfg
        The SUMO configuration whose streets and traffic the district ``bologna`` has.
    footprints
        Buildings of other sources: GeoJSON, CityJSON or INSPIRE cadastre (where buildings and their parts are
        two files); those of the map are then left out.
    gtfs
        A timetable of public transport.
    weather
        An EPW file, or the mean year of a city by name; by default the nearer of the packaged ones.
    country, zone
        Replace what follows from the place.
    clip
        Area to take: west,south,east,north in degrees, or a GeoJSON file.
    storeys
        Of buildings of which nothing is known; the country's by default.
    sites
        Number of buildings to draw along the streets, where there are none.
    stations
        Whether the grid is built on the transformer stations of the map.
    guess_signals_kmh
        See `streets.build_streets`.
    home_chargers
        Share of the residential buildings with a charging station.
    car_share, cars_per_person, visitors, through, inside_share, surroundings, cars_per_drive
        See `people.build_day`.
    seed
        Seed of every draw.
    """

    osm: Path | None = None
    generate: str | None = None
    blocks: tuple[int, int] = (4, 4)
    sumocfg: Path | None = None
    footprints: tuple[Path, ...] = ()
    gtfs: Path | None = None
    weather: str | None = None
    country: str | None = None
    zone: str | None = None
    clip: str | None = None
    storeys: float | None = None
    sites: int = 0
    stations: bool = False
    guess_signals_kmh: float | None = None
    home_chargers: float = 0.1
    car_share: float | None = None
    cars_per_person: float | None = None
    visitors: float = 0.1
    through: float = 0.2
    inside_share: float | None = None
    surroundings: float | None = None
    cars_per_drive: float = 1.0
    seed: int = 0


def check(options: Options) -> None:
    """Refuse options that make no city.

    Raises
    ------
    CosimError
        If one is out of range, or a file is missing.
    """
    for name in ("home_chargers", "car_share", "cars_per_person", "inside_share"):
        if (share := getattr(options, name)) is not None and not 0 <= share <= 1:
            raise CosimError(f"{name} is {share:g}: it must lie between 0 and 1")
    for name in ("visitors", "through"):
        if not 0 <= getattr(options, name) <= 20:
            raise CosimError(f"{name} is {getattr(options, name)}: give trips per resident and day, from 0 to 20")
    if options.surroundings is not None and not 0 <= options.surroundings <= 100:
        raise CosimError(f"surroundings is {options.surroundings:g}: give a density over the city's, from 0 to 100")
    if options.surroundings is not None and options.inside_share is not None:
        raise CosimError("the share of destinations inside follows from surroundings: leave out --inside-share")
    if not 0 < options.cars_per_drive <= 1e4:
        raise CosimError(f"cars_per_drive is {options.cars_per_drive:g}: give a number above 0, at most 10,000")
    if options.guess_signals_kmh is not None and not options.guess_signals_kmh > 0:
        raise CosimError(f"guess_signals_kmh is {options.guess_signals_kmh:g}: give a positive sum of speed limits")
    if options.storeys is not None and not 1 <= options.storeys <= 100:
        raise CosimError(f"storeys is {options.storeys:g}: give a number from 1 to 100")
    if (options.osm is None) == (options.generate is None):
        raise CosimError("give either an OpenStreetMap file or the name of a district to generate")
    if options.generate is not None and (options.clip or options.guess_signals_kmh is not None):
        raise CosimError(
            f"{options.generate} is drawn with its own size and signals: leave out --clip, --guess-signals"
        )
    if options.generate not in (None, *GENERATED):
        raise CosimError(f"unknown district {options.generate!r}: generate {' or '.join(GENERATED)}")
    if (options.generate == "bologna") != (options.sumocfg is not None):
        raise CosimError(
            "the streets and traffic of bologna are those of a SUMO configuration: give --generate bologna with "
            "--sumocfg run.sumocfg, such as one of https://github.com/DLR-TS/sumo-scenarios, neither without the other"
        )
    if options.sumocfg and options.gtfs:
        raise CosimError("the buses of bologna are those of its SUMO configuration: leave out --gtfs")
    habits = ("car_share", "cars_per_person", "inside_share", "surroundings")
    if options.sumocfg and (given := [name for name in habits if getattr(options, name) is not None]):
        names = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise CosimError(f"the drives of bologna are those of its SUMO configuration: leave out {names}")
    for path in (options.osm, *options.footprints, options.gtfs, options.sumocfg):
        if path is not None and not path.is_file():
            raise CosimError(f"there is no file {path}")
