"""The commands ``cosim city make``, ``list``, ``show``, ``check`` and ``forget``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cosim.cli.shell import one_line, terminal
from cosim.core import CosimError

if TYPE_CHECKING:
    from rich.table import Table

    from .folder import CityFolder

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Make cities from OpenStreetMap and other files, and look at them.",
)

Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]
Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of a city.")]
_SHOWN = 3  # things named of each kind of finding


@app.command("make")
def make_command(
    out: Annotated[Path, typer.Option("--out", help="Folder of the city.")],
    osm: Annotated[
        Path | None, typer.Argument(metavar="OSM", help="An OpenStreetMap file: .osm, .osm.gz or .osm.pbf.")
    ] = None,
    generate: Annotated[
        str | None, typer.Option(metavar="NAME", help="Draw a district instead of reading a map: eixample or bologna.")
    ] = None,
    blocks: Annotated[str, typer.Option(metavar="N,M", help="With --generate eixample: its blocks.")] = "4,4",
    sumocfg: Annotated[
        Path | None,
        typer.Option(help="With --generate bologna: the SUMO configuration whose streets and traffic it has."),
    ] = None,
    footprints: Annotated[
        list[Path] | None,
        typer.Option(help="Buildings from GeoJSON, CityJSON(Seq) or INSPIRE cadastre, instead of the map's."),
    ] = None,
    gtfs: Annotated[Path | None, typer.Option(help="Timetable of public transport, a GTFS zip file.")] = None,
    weather: Annotated[str | None, typer.Option(help="An EPW file, or barcelona or bologna for a mean year.")] = None,
    country: Annotated[str | None, typer.Option(help="ISO 3166-1 code; follows from the place.")] = None,
    zone: Annotated[str | None, typer.Option(help="IANA time zone; follows from the place.")] = None,
    clip: Annotated[
        str | None, typer.Option(metavar="W,S,E,N|FILE", help="Area to take, in degrees, or a GeoJSON polygon.")
    ] = None,
    levels_default: Annotated[
        float | None, typer.Option(help="Storeys of buildings of which nothing is known.")
    ] = None,
    sites: Annotated[int, typer.Option(min=0, help="Draw so many buildings along the streets.")] = 0,
    stations: Annotated[
        bool, typer.Option("--mapped-stations", help="Build the grid on the transformer stations of the map.")
    ] = False,
    guess_signals: Annotated[
        float | None,
        typer.Option(metavar="KMH", help="Give junctions lights from such a sum of their lanes' speed limits on."),
    ] = None,
    home_chargers: Annotated[float, typer.Option(help="Share of the residential buildings with a charger.")] = 0.1,
    car_share: Annotated[
        float | None,
        typer.Option(help="Share of the residents' tours made by driving a car; the country's by default."),
    ] = None,
    cars_per_person: Annotated[float | None, typer.Option(help="Cars per resident; the country's by default.")] = None,
    visitors: Annotated[float, typer.Option(help="Trips of visitors' cars to the city and back, per resident.")] = 0.1,
    through: Annotated[float, typer.Option(help="Trips of cars across the city, per resident.")] = 0.2,
    inside_share: Annotated[
        float | None, typer.Option(help="Share of the residents' destinations within the city; 0.3 by default.")
    ] = None,
    surroundings: Annotated[
        float | None,
        typer.Option(
            metavar="DENSITY",
            help="Residents go to near places rather than far ones; destinations around the city over those inside, "
            "by area, instead of --inside-share.",
        ),
    ] = None,
    cars_per_drive: Annotated[
        float, typer.Option(help="Cars that each drive stands for when routes are found, where buildings are a sample.")
    ] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="Seed of all random draws.")] = 0,
    debug: Debug = False,
) -> None:
    """Make a city from a map: streets, buildings, chargers, grid and demand, as a folder of plain files.

    Country, time zone, side of traffic and projection follow from the place. A city that is made again takes over what
    has not changed.
    """
    console = terminal()
    with one_line(debug):
        try:
            from .make import make_city
            from .sources.options import Options
        except ModuleNotFoundError as error:  # of the extra "city"
            raise CosimError(f"making cities needs {error.name}: pip install 'cosim-city[city]'") from error

        options = Options(
            osm=osm,
            generate=generate,
            blocks=_pair(blocks),
            sumocfg=sumocfg,
            footprints=tuple(footprints or ()),
            gtfs=gtfs,
            weather=weather,
            country=country,
            zone=zone,
            clip=clip,
            storeys=levels_default,
            sites=sites,
            stations=stations,
            guess_signals_kmh=guess_signals,
            home_chargers=home_chargers,
            car_share=car_share,
            cars_per_person=cars_per_person,
            visitors=visitors,
            through=through,
            inside_share=inside_share,
            surroundings=surroundings,
            cars_per_drive=cars_per_drive,
            seed=seed,
        )
        with console.status("making the city") as status:
            made = make_city(options, out, lambda stage: status.update(f"making the city: {stage}"))
        from rich.table import Table

        times = Table("stage", "time [s]", "processor [s]", "memory [MB]", "")
        for t in made.timings:
            kept = "taken over" if t.kept else ""
            times.add_row(t.stage, f"{t.wall_s:.1f}", f"{t.cpu_s:.1f}", f"{t.memory_mb:.0f}", kept)
        console.print(times)
        for table in _tables(made.city):
            console.print(table)
        console.print(f"{out} is made; run it with: cosim run place --set city={out}", soft_wrap=True)


def _pair(text: str) -> tuple[int, int]:
    try:
        n, m = (int(part) for part in text.split(","))
    except ValueError:
        raise CosimError(f"blocks is {text!r}: write two whole numbers, as in 6,6") from None
    return n, m


@app.command("list")
def list_command(
    where: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where cities stand.")] = Path("cities"),
    debug: Debug = False,
) -> None:
    """List the cities in a folder, with their country and size."""
    with one_line(debug):
        from rich.table import Table

        from .folder import CITY, CityFolder

        if not where.is_dir():
            raise CosimError(f"there is no folder {where}: name the one in which the cities stand")
        table = Table("city", "country", "streets", "buildings", "residents", "stations")
        for path in sorted(where.iterdir()):
            if (path / CITY).is_file():
                about = CityFolder.open(path).about
                c = about["counts"]
                km = f"{c['streets for cars [km]']:,.0f} km"
                numbers = (f"{c[name]:,.0f}" for name in ("buildings", "residents", "stations"))
                table.add_row(path.name, about["country"], km, *numbers)
        terminal().print(table)


@app.command("show")
def show_command(city: Folder, debug: Debug = False) -> None:
    """Show what a city holds, and what its import mended, guessed and dropped."""
    with one_line(debug):
        from .folder import CityFolder

        opened = CityFolder.open(city)
        for table in _tables(opened):
            terminal().print(table)
        for line in opened.attribution:
            terminal().print(line)


@app.command("check")
def check_command(city: Folder, debug: Debug = False) -> None:
    """Check that a city's files are those that were made, and that its grid and streets can be read."""
    with one_line(debug):
        from cosim.scenarios.streets.network import read_net

        from .folder import NET, CityFolder, read_drives, read_grid

        opened = CityFolder.open(city)
        if problems := opened.problems():
            raise CosimError("; ".join(problems) + "; make the city again with 'cosim city make'")
        read_net(city / NET)
        grid, drives = read_grid(city), read_drives(city)
        stations, routed = len(grid.stations), len(drives.legs) - len(drives.lost)
        files = len(opened.about["files"])
        terminal().print(f"{city} is sound: {files} files, {stations} stations, {routed} drives", soft_wrap=True)


@app.command("forget")
def forget_command(debug: Debug = False) -> None:
    """Remove what builds of districts have kept for later ones (COSIM_BUILT=off in the environment keeps nothing)."""
    with one_line(debug):
        from cosim.scenarios.built import clear, folder

        place, number = folder(), clear()
        terminal().print(f"{number} {'entry' if number == 1 else 'entries'} removed from {place}", soft_wrap=True)


def _tables(city: CityFolder) -> list[Table]:
    from rich.table import Table

    from .findings import Findings
    from .folder import IMPORT, read_json

    about = city.about
    built = Table("built", "", title=f"{about['name']}: {about['country']}, {about['zone']}")
    for name, number in about["counts"].items():
        share = "share" in name or name.startswith("storeys")
        built.add_row(name, f"{number:.1%}" if share else f"{number:,.0f}")
    grid = Table("grid", "here", "published", "", "source")
    for f in about["grid"]:
        unit = "" if f["unit"] == "1" else f" {f['unit']}"
        verdict = "inside" if f["inside"] else "OUTSIDE"
        grid.add_row(f["name"], f"{f['value']:.3g}{unit}", f"{f['low']:g} to {f['high']:g}", verdict, f["source"])
    tables = [built, grid]
    if about["stations"].get("mapped"):
        stations = Table("stations", "")
        for name, number in about["stations"].items():
            stations.add_row(name, f"{number:,.0f}")
        tables.append(stations)
    found = Findings.from_json(read_json(city.path / IMPORT)["findings"])
    notes = Table("", "what", "number", "such as")
    for fate, why, number in found.counts():
        names = sorted(found.found[fate][why])
        notes.add_row(fate, why, str(number), ", ".join(names[:_SHOWN]) + (", …" if number > _SHOWN else ""))
    return [*tables, notes]
