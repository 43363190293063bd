"""A city from files: the stages from a map to a folder that is run."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import shapely

from cosim.adapters.weather import elsewhere, load
from cosim.core import Clock, CosimError
from cosim.scenarios.mobility.chargers import write_chargers
from cosim.scenarios.mobility.drives import DayPlan
from cosim.scenarios.mobility.routing import write_xml
from cosim.scenarios.parts import write_configuration
from cosim.scenarios.streets.network import Net, drivable, project, read_net, unproject

from .buildings import build_buildings
from .chargers import mapped_chargers, with_home_chargers
from .countries import Location, figures, locate
from .findings import Findings
from .folder import (
    BUILDINGS,
    CARS,
    CHARGERS,
    CITY,
    DRIVES,
    FORMAT,
    IMPORT,
    NET,
    PAGE,
    STOPS,
    TRAFFIC,
    TRANSIT,
    TYPES,
    WEATHER,
    CityFolder,
    check_new,
    digest,
    read_buildings,
    read_json,
    read_table,
    write_buildings,
    write_grid,
    write_json,
    write_table,
)
from .folder import read_grid as read_city_grid
from .homes import premises_of, settle_homes
from .page import write_import_page
from .people import build_day, destinations
from .sources.configuration import SITES, configuration_inputs, draw_around, take_drives, take_transit
from .sources.footprint_files import read_footprints
from .sources.generated import draw_eixample
from .sources.gtfs import read_gtfs
from .sources.options import Options, check
from .sources.osm import Place, parse_clip, read_osm
from .sources.sites import sites_as_places
from .stages import Stages, Timing
from .streets import build_streets
from .supply import beside_mapped, build_grid, compared, mapped_stations
from .transit import map_lines, timetable_lines, write_transit

OSM = ("Open Data Commons Open Database License (ODbL) 1.0", "© OpenStreetMap contributors, ODbL 1.0")
_MAP = "map"
"""Folder of what was taken from the map, from which the later stages start."""


_LEAST_EDGES = 3
"""Of a network with another way back: a street alone has two."""


@dataclass(frozen=True)
class Made:
    """A city that was made, and what that took."""

    city: CityFolder
    findings: Findings
    timings: tuple[Timing, ...]


def make_city(options: Options, out: Path, progress: Callable[[str], None] = lambda stage: None) -> Made:
    """Make a city; the folder appears when everything is done, and stays as it was if something fails.

    Parameters
    ----------
    options
        How it is made.
    out
        The folder; a city that stands there is replaced, and stages whose inputs have not changed are taken over.
    progress
        Called with the name of each stage as it begins.

    Raises
    ------
    InputFileError
        If a file is missing, damaged or of the wrong kind.
    CosimError
        If the files do not make a city.
    """
    check_new(out)
    check(options)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        made = tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent)
    except OSError as error:
        raise CosimError(f"cannot write to {out.parent} ({error.strerror}): give another folder with --out") from error
    with made as work:
        folder = Path(work) / "city"
        folder.mkdir()
        stages = Stages(folder, out, progress)
        _Maker(options, folder, stages).make(out.name)
        if out.exists():
            out.rename(Path(work) / "old")
        folder.rename(out)
    return Made(CityFolder.open(out), stages.whole(), tuple(stages.timings))


class _Maker:
    def __init__(self, options: Options, folder: Path, stages: Stages) -> None:
        self.options, self.folder, self.stages = options, folder, stages

    def make(self, name: str) -> None:
        o, stages = self.options, self.stages
        if o.osm is not None:
            stages.run("map", {"osm": digest(o.osm), "name": o.osm.name, "clip": _text(o.clip)}, self._map)
        else:
            taken = [digest(path) for path in configuration_inputs(o.sumocfg)] if o.sumocfg else []
            drawn = {"generate": o.generate, "blocks": o.blocks, "sites": o.sites, "seed": o.seed, "files": taken}
            stages.run("map", drawn, self._draw)
        extract = read_json(self.folder / _MAP / "extract.json")
        where = locate(tuple(extract["bounds"]), country=o.country, zone=o.zone)
        place = {"where": asdict(where)}
        stages.run("weather", {**place, "weather": _text(o.weather)}, lambda f, found: self._weather(where, f, found))
        stages.run(
            "streets",
            {**place, "map": stages.key("map"), "signals": o.guess_signals_kmh},
            lambda f, found: self._streets(where, f, found),
        )
        net = read_net(self.folder / NET)
        cars = any(edge.allows("passenger") for edge in net.getEdges(withInternal=False))
        if not cars or len(drivable(net)) < _LEAST_EDGES:
            raise CosimError(f"the streets of {o.osm} are no network that cars can go round in: give a larger extract")
        given = {
            "footprints": [digest(path) for path in o.footprints],
            "storeys": o.storeys,
            "sites": o.sites,
            "seed": o.seed,
        }
        stages.run(
            "buildings",
            {"streets": stages.key("streets"), **given},
            lambda f, found: self._buildings(where, net, f, found),
        )
        buildings = read_buildings(self.folder, net)
        country = figures(where.country)
        homes, stock = settle_homes(buildings, country, seed=o.seed)
        premises, _ = premises_of(buildings)
        built = {"buildings": stages.key("buildings"), **place}
        stages.run(
            "chargers", {**built, "share": o.home_chargers}, lambda f, found: self._chargers(net, homes, f, found)
        )
        chargers, _ = read_table(self.folder / CHARGERS, "charger")
        mapped = [tuple(xy) for xy in extract["stations"]]
        on_net = list(zip(*(values.tolist() for values in project(net, *zip(*mapped))))) if mapped else []
        stages.run(
            "grid",
            {"chargers": stages.key("chargers"), "stations": o.stations},
            lambda f, found: write_grid(
                f, build_grid(net, homes, stock, premises, chargers, where.country, on_net if o.stations else ())
            ),
        )
        names = "car_share", "cars_per_person", "visitors", "through", "inside_share", "surroundings", "cars_per_drive"
        demand = {name: getattr(o, name) for name in names}
        stages.run(
            "drives", {**built, **demand}, lambda f, found: self._drives(where, homes, premises, buildings, f, found)
        )
        timetable = {"gtfs": digest(o.gtfs) if o.gtfs else "", **place}
        stages.run(
            "transit",
            {"streets": stages.key("streets"), "seed": o.seed, **timetable},
            lambda f, found: self._transit(where, net, extract, f, found),
        )
        grid = read_city_grid(self.folder)
        drives, _ = read_table(self.folder / DRIVES, "vehicle")
        stages.run(
            "page",
            {"name": name, "stages": {stage: stages.key(stage) for stage in stages.records}},
            lambda f, found: write_import_page(
                f / PAGE, name, where.zone, net, buildings, homes, chargers, grid, on_net, stages.whole(), OSM[1]
            ),
        )
        whole = stages.whole()
        write_json(
            self.folder / IMPORT,
            {"findings": whole.as_json(), "stages": {k: v.as_json() for k, v in stages.findings.items()}},
        )
        dwellings = dict(zip(stock.ids, stock.dwellings.tolist()))
        supplied = np.vstack([homes[["x", "y"]].to_numpy(float), premises[["x", "y"]].to_numpy(float).reshape(-1, 2)])
        options = {k: _plain(v) for k, v in asdict(o).items()}
        weather = read_json(self.folder / _MAP / "weather.json")
        about = {
            "format": FORMAT,
            "name": name,
            **asdict(where),
            "bounds": extract["bounds"],
            "weather": weather["weather"],
            "seed": o.seed,
            "made_by": {
                "cosim": version("cosim-city"),
                **{name: version(name) for name in ("eclipse-sumo", "pandapower")},
            },
            "sources": self._sources(),
            "options": options,
            "counts": counts(net, buildings, homes, stock, premises, chargers, grid, drives)
            | read_json(self.folder / _MAP / "transit.json"),
            "grid": [{**asdict(figure), "inside": figure.inside} for figure in compared(grid, dwellings)],
            "stations": beside_mapped(
                grid, on_net, supplied, np.concatenate([stock.dwellings, np.ones(len(premises))])
            ),
            "stages": stages.records,
            "files": stages.digests() | {IMPORT: digest(self.folder / IMPORT)},
        }
        write_json(self.folder / CITY, json.loads(json.dumps(about, default=float)))

    def _sources(self) -> list[dict[str, str]]:
        o = self.options
        found = []
        if o.osm is not None:
            found.append({"file": o.osm.name, "sha256": digest(o.osm), "licence": OSM[0], "attribution": OSM[1]})
        unknown = "as its publisher states"
        for path in (
            *o.footprints,
            o.gtfs,
            o.sumocfg,
            Path(o.weather) if o.weather and Path(o.weather).is_file() else None,
        ):
            if path is not None:
                found.append({"file": path.name, "sha256": digest(path), "licence": unknown, "attribution": path.name})
        return found

    def _draw(self, folder: Path, findings: Findings) -> None:
        work = folder / _MAP
        work.mkdir()
        o = self.options
        if o.sumocfg:
            places, bounds = draw_around(o.sumocfg, o.sites or SITES, o.seed, folder / NET)
            findings.add("guessed", f"{len(places)} buildings drawn along the streets", "buildings")
        else:
            places, bounds = draw_eixample(o.blocks, o.seed, folder / NET)
        findings.add("guessed", f"streets and buildings drawn as {self.options.generate}", "map")
        write_places(work, places)
        for kind in ("stops", "lines"):
            write_xml((folder / NET).with_suffix(f".{kind}.xml"), "additional", [])
        write_json(work / "extract.json", {"bounds": bounds, "routes": [], "stations": []})

    def _streets(self, where: Location, folder: Path, findings: Findings) -> None:
        if self.options.osm is not None:
            prepared, signals = folder / _MAP / "streets.osm", self.options.guess_signals_kmh
            build_streets(prepared, where, folder / NET, findings, guess_signals_kmh=signals)

    def _map(self, folder: Path, findings: Findings) -> None:
        work, osm = folder / _MAP, self.options.osm
        assert osm is not None
        work.mkdir()
        extract = read_osm(osm, work, findings, parse_clip(self.options.clip) if self.options.clip else None)
        write_places(work, extract.places)
        stations = [place.shape.centroid.coords[0] for place in mapped_stations(extract.places)]
        record = {"bounds": extract.bounds, "routes": list(extract.routes), "stations": stations}
        write_json(work / "extract.json", record)

    def _weather(self, where: Location, folder: Path, findings: Findings) -> None:
        wanted = self.options.weather
        if wanted is None:
            wanted = "barcelona" if where.country in ("ES", "PT", "AD") else "bologna"
            findings.add("guessed", f"weather: the mean year of {wanted}, for want of --weather FILE.epw", "weather")
        year = load(wanted)
        if words := elsewhere(year, Clock("2025-01-15", hours=1, zone=where.zone)):
            raise CosimError(f"weather of {year.source}: {words}: give the file of the city with --weather")
        if Path(wanted).suffix.lower() == ".epw":
            shutil.copyfile(wanted, folder / WEATHER)
            wanted = WEATHER
        (folder / _MAP).mkdir(exist_ok=True)
        write_json(folder / _MAP / "weather.json", {"weather": wanted})

    def _buildings(self, where: Location, net: Net, folder: Path, findings: Findings) -> None:
        o = self.options
        places = read_places(folder)
        if o.footprints:
            given = [place for path in o.footprints for place in read_footprints(path, findings)]
            others = [p for p in places if "building" not in p.tags and "building:part" not in p.tags]
            box = shapely.box(*read_json(folder / _MAP / "extract.json")["bounds"])
            near = [place for place in given if place.shape.intersects(box)]
            if not near:
                raise CosimError(
                    f"{o.footprints[0]} has no building in the area of {o.osm or o.generate}: give footprints of it"
                )
            for place in given if len(near) < len(given) else ():
                if not place.shape.intersects(box):
                    findings.add("dropped", "footprint outside the map", place.label)
            places = others + near
        elif o.sites and o.osm:
            drawn = sites_as_places(net, o.sites, o.seed)
            findings.add("guessed", f"{o.sites} buildings drawn along the streets", "buildings")
            places = [p for p in places if "building" not in p.tags and "building:part" not in p.tags] + drawn
        country = figures(where.country)
        for name in country.assumed:
            findings.add("guessed", "figures of the EU for want of the country's", f"{where.country}.{name}")
        table = build_buildings(places, net, country, findings, storeys=o.storeys, seed=o.seed)
        write_buildings(folder / BUILDINGS, table, net)

    def _chargers(self, net: Net, homes: pd.DataFrame, folder: Path, findings: Findings) -> None:
        table = mapped_chargers(read_places(folder), net, findings)
        table = with_home_chargers(table, net, homes, self.options.home_chargers, self.options.seed, findings)
        lon, lat = unproject(net, table["x"].to_numpy(float), table["y"].to_numpy(float))
        write_table(folder / CHARGERS, table, list(shapely.points(lon, lat)))
        write_chargers(table, folder / "chargers.add.xml")

    def _drives(
        self,
        where: Location,
        homes: pd.DataFrame,
        premises: pd.DataFrame,
        buildings: pd.DataFrame,
        folder: Path,
        findings: Findings,
    ) -> None:
        o = self.options
        with tempfile.TemporaryDirectory() as work:
            if o.sumocfg:
                net = read_net(folder / NET)
                plan = DayPlan(take_drives(o.sumocfg, net, homes, Path(work), findings, o.seed))
            else:
                plan = build_day(
                    folder / NET,
                    destinations(homes, premises, buildings),
                    figures(where.country),
                    Path(work),
                    findings,
                    car_share=o.car_share,
                    cars_per_person=o.cars_per_person,
                    visitors=o.visitors,
                    through=o.through,
                    inside_share=o.inside_share,
                    surroundings=o.surroundings,
                    cars_per_drive=o.cars_per_drive,
                    seed=o.seed,
                )
            written = len(plan.demand(folder, folder / NET, o.seed, 0.0).vehicles)
        write_table(folder / DRIVES, plan.legs)
        assert written + len(plan.lost) == len(plan.legs)

    def _transit(self, where: Location, net: Net, extract: Any, folder: Path, findings: Findings) -> None:
        routes, additional = ([folder / name for name in names] for names in ((CARS, TRANSIT), (TYPES, STOPS)))
        write_configuration(folder / TRAFFIC, folder / NET, routes, additional)
        if sumocfg := self.options.sumocfg:
            with tempfile.TemporaryDirectory() as work:
                found = take_transit(sumocfg, Path(work), folder, findings, self.options.seed)
            write_json(folder / _MAP / "transit.json", found)
            return
        if self.options.gtfs is not None:
            timetable = read_gtfs(self.options.gtfs, shapely.box(*extract["bounds"]), findings)
            lines = timetable_lines(net, timetable, where.left_hand, findings)
        else:
            stops, ways = (folder / NET).with_suffix(".stops.xml"), (folder / NET).with_suffix(".lines.xml")
            intervals = {str(route["id"]): route["interval"] for route in extract["routes"]}
            lines = map_lines(net, stops, ways, intervals, findings)
        write_json(folder / _MAP / "transit.json", write_transit(folder / NET, lines, folder, findings))


def _plain(option: Any) -> Any:
    """Return an option as JSON, paths without their folders."""
    if isinstance(option, tuple):
        return [_plain(part) for part in option]
    return option.name if isinstance(option, Path) else option


def _text(option: str | None) -> str:
    """Return an option that may be a file, by its content."""
    return digest(Path(option)) if option and Path(option).is_file() else str(option)


def write_places(folder: Path, places: Sequence[Place]) -> None:
    """Write what a city takes from its map."""
    rows = pd.DataFrame(
        {"tags": [json.dumps(p.tags, ensure_ascii=False, sort_keys=True) for p in places]},
        index=pd.Index([p.label for p in places], name="place"),
    )
    write_table(folder / "places.parquet", rows, [p.shape for p in places])


def read_places(folder: Path) -> list[Place]:
    """Return what a city took from its map."""
    table, shapes = read_table(folder / _MAP / "places.parquet", "place")
    return [
        Place(str(label), shape, json.loads(tags)) for label, shape, tags in zip(table.index, shapes, table["tags"])
    ]


def counts(
    net: Net,
    buildings: pd.DataFrame,
    homes: pd.DataFrame,
    stock: Any,
    premises: pd.DataFrame,
    chargers: pd.DataFrame,
    grid: Any,
    drives: pd.DataFrame,
) -> dict[str, float]:
    """Return how much of everything a city has."""
    edges = net.getEdges(withInternal=False)
    cars = [edge for edge in edges if edge.allows("passenger")]
    known = buildings["storeys_source"].value_counts(normalize=True)
    return {
        "edges": len(edges),
        "streets for cars [km]": round(sum(edge.getLength() for edge in cars) / 1e3, 3),
        "connected share": len(drivable(net)) / max(len(cars), 1),
        "junctions": len(net.getNodes()),
        "signals": sum(node.getType().startswith("traffic_light") for node in net.getNodes()),
        "buildings": len(buildings),
        "residential buildings": len(homes),
        "premises": len(premises),
        "dwellings": float(stock.dwellings.sum()),
        "residents": float(homes["persons"].sum()),
        **{
            f"storeys: {source}": round(float(known.get(source, 0.0)), 6)
            for source in ("measured", "same type", "neighbour", "country")
        },
        "chargers": len(chargers),
        "mapped chargers": int((chargers["kind"] != "building").sum()),
        "stations": len(grid.stations),
        "buses": len(grid.net.bus),
        "drives": len(drives),
        "share routed": float((drives["edges"] != "").mean()) if len(drives) else 1.0,
    }
