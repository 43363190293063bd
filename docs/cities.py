"""Makes seven cities, runs their morning, and writes docs/cities.md.

    python docs/cities.py DATA FOLDER [NAME…]

DATA holds the folder ``osm`` of the maps, FOLDER receives cities and runs. Each city is made in a process of its own,
whose memory is told; then the import is measured by ``tests/benchmarks/city_import.py``. With names, only these are
made again (``import`` is that measurement), the figures of others stay as ``docs/figures/cities.json`` has them.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import shapely

from cosim.scenarios.places.folder import NET, CityFolder, read_grid, read_json
from cosim.scenarios.places.make import make_city
from cosim.scenarios.places.sources.options import Options
from cosim.scenarios.places.stages import code_digest
from cosim.scenarios.places.twin import build
from cosim.scenarios.streets.network import project, read_net

CITIES = {
    "adlershof": {"osm": "adlershof.osm.gz"},
    "badhersfeld": {"osm": "badhersfeld.osm.gz"},
    "helsinki": {"osm": "helsinki.osm.pbf"},
    "granada": {"osm": "granada.osm"},
    "leeds": {"osm": "leeds.osm.gz"},
    "eixample": {
        "osm": "eixample_streets.osm.gz",
        "footprints": "eixample_footprints.geojson.gz",
        "guess-signals": 100,
        "car-share": 0.13,
        "cars-per-person": 0.361,
    },
    "bologna": {"osm": "bologna_streets.osm.gz", "sites": 2000},
}
TARGET = Path(__file__).parent / "cities.md"
STORE = Path(__file__).parent / "figures" / "cities.json"
STATIONS = STORE.with_name("adlershof_stations.svg")
INDICATORS = (
    "trips begun",
    "teleports",
    "mean speed",
    "peak import",
    "lowest voltage",
    "highest transformer loading",
)
STAGES = ("map", "streets", "buildings", "chargers", "grid", "drives", "transit", "page")

HEAD = (Path(__file__).parent / "cities.md.in").read_text(encoding="utf-8")


def command(name, options):
    """Return the command that makes a city."""
    words = [f"cosim city make {options['osm']} --out cities/{name}"]
    words += [f"--{key} {value}" for key, value in options.items() if key != "osm"]
    return " ".join(words)


def figures(name, data, folder):
    """Make a city and run its morning; return what is told of it."""
    given = CITIES[name]
    prints = (data / "osm" / given["footprints"],) if "footprints" in given else ()
    options = Options(
        data / "osm" / given["osm"],
        footprints=prints,
        sites=given.get("sites", 0),
        guess_signals_kmh=given.get("guess-signals"),
        car_share=given.get("car-share"),
        cars_per_person=given.get("cars-per-person"),
    )
    made = make_city(options, folder / "cities" / name, lambda stage: print(name, stage, flush=True))
    about = made.city.about
    if name == "adlershof":
        STATIONS.write_text(stations_map(made.city), encoding="utf-8")
    found = {
        "code": code_digest(),
        "seconds": {t.stage: t.cpu_s for t in made.timings if not t.kept},
        "memory": (most := max(t.memory_mb for t in made.timings)),
        "peak": next(t.stage for t in made.timings if t.memory_mb == most),
        "counts": about["counts"],
        "grid": about["grid"],
        "stations": about["stations"],
    }
    begun = time.perf_counter()
    scenario = build(city=str(made.city.path), begin_hour=7, hours=3)
    built = time.perf_counter() - begun
    result = scenario.run(folder / "runs" / f"{name}-{time.time():.0f}")
    values = {key: result.indicators[key].value for key in INDICATORS}
    return found | {"built_s": built, "run_s": time.perf_counter() - begun - built, "indicators": values}


def stations_map(city):
    """Return a drawing of a city's streets, its synthesized stations (filled) and the mapped ones (rings)."""
    net, grid = read_net(city.path / NET), read_grid(city.path)
    mapped = read_json(city.path / "map" / "extract.json")["stations"]
    theirs = list(zip(*project(net, *zip(*mapped))))
    ours = [(station.x, station.y) for station in grid.stations]
    west, south, east, north = shapely.MultiPoint(ours + theirs).buffer(150).bounds
    scale = 800 / (east - west)

    def at(x, y):
        return f"{(x - west) * scale:.0f} {(north - y) * scale:.0f}"

    ways = []
    for edge in net.getEdges(withInternal=False):
        if edge.allows("passenger") and not edge.getID().startswith("-"):
            line = shapely.LineString([p[:2] for p in edge.getShape()]).simplify(5.0)
            line = shapely.clip_by_rect(line, west, south, east, north)
            ways += ["M" + "L".join(at(*p) for p in part.coords) for part in getattr(line, "geoms", [line]) if part]
    height = (north - south) * scale

    def circles(places, radius, style):
        marks = (f'<circle cx="{x}" cy="{y}" r="{radius}"/>' for x, y in (at(*p).split() for p in places))
        return f"<g {style}>{''.join(marks)}</g>"

    key = [("6", 'fill="#0072b2"', "synthesized"), ("6", 'fill="none" stroke="#d55e00" stroke-width="2.5"', "mapped")]
    words = "".join(
        f'<circle cx="16" cy="{18 + 22 * k}" r="{r}" {style}/><text x="30" y="{23 + 22 * k}">{word}</text>'
        for k, (r, style, word) in enumerate(key)
    )
    bar = f'<path d="M20 {height - 20:.0f}h{500 * scale:.0f}" stroke="#222" stroke-width="3"/>'
    bar += f'<text x="20" y="{height - 28:.0f}">500 m</text>'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 800 {height:.0f}" font-family="sans-serif" '
        f'font-size="15" role="img" aria-label="Synthesized and mapped stations of {city.path.name}">'
        f'<rect width="800" height="{height:.0f}" fill="#fff"/>'
        f'<path d="{"".join(ways)}" fill="none" stroke="#bbb"/>'
        + circles(ours, 4, 'fill="#0072b2"')
        + circles(theirs, 6, 'fill="none" stroke="#d55e00" stroke-width="2.5"')
        + f'<rect width="125" height="52" fill="#fff" opacity=".85"/>{words}{bar}</svg>\n'
    )


def table(heads, rows):
    """Return a Markdown table."""
    lines = ["| " + " | ".join(heads) + " |", "|---" + "|---:" * (len(heads) - 1) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def misses(found, names):
    """Return the goals that cities miss, as the items of a list."""
    lines = [f"- {name}: not made" for name in CITIES if name not in names]
    if old := [name for name in names if found[name].get("code") != code_digest()]:
        lines.append(f"- {', '.join(old)}: made by an earlier version of the code")
    for name in names:
        i, c = found[name]["indicators"], found[name]["counts"]
        rate = 1000 * i["teleports"] / max(i["trips begun"], 1)
        if rate > 2:
            lines.append(f"- {name}: {rate:.1f} teleports per 1,000 trips, where 2 are the goal")
        if c["share routed"] < 0.995:
            lines.append(f"- {name}: {c['share routed']:.2%} of the trips have a route, where 99.5 % are the goal")
        if outside := [figure["name"] for figure in found[name]["grid"] if not figure["inside"]]:
            lines.append(f"- {name}: outside the published range: {', '.join(outside)}")
    return lines or ["Nothing."]


def about_import(measured):
    """Return what the import takes beside other programs, and as maps grow."""
    ours, theirs = measured["import"], measured["alone"]
    rows = [
        [part, f"{row['edges']:,.0f}", f"{row['cpu_s']:.1f}", f"{row['mb']:.0f}"]
        for part, row in measured["bologna"].items()
    ]
    return (
        "`python tests/benchmarks/city_import.py` imports the map of Bad Hersfeld up to its buildings in "
        f"{ours['cpu_s']:.1f} s of processor time and {ours['mb']:.0f} MB: {measured['cpu_ratio']:.2f} times as long "
        f"as netconvert and osmium alone ({theirs['cpu_s']:.1f} s, {theirs['mb']:.0f} MB). It grows linearly with the "
        "map. Growing parts of Bologna up to their streets; about three seconds are those of any import:\n\n"
        + table(["part", "edges", "processor time [s]", "memory [MB]"], rows)
        + "\n"
    )


def page(found):
    """Return the page of all figures."""
    names = [name for name in CITIES if name in found]
    parts = [HEAD.format(commands="\n".join(command(name, CITIES[name]) for name in names))]
    parts.append("### Making\n\nProcessor seconds by stage, and the largest memory of the process.\n")
    rows = [
        [
            name,
            *(f"{found[name]['seconds'].get(stage, 0):.1f}" for stage in STAGES),
            f"{found[name]['memory']:.0f} MB",
            found[name].get("peak", ""),
        ]
        for name in names
    ]
    parts.append(table(["city", *STAGES, "memory", "reached in"], rows) + "\n")
    if "import" in found:
        parts.append(about_import(found["import"]))
    parts.append("### What was made\n")
    columns = ("streets for cars [km]", "signals", "buildings", "residents", "premises", "mapped chargers", "drives")
    rows = []
    for name in names:
        c = found[name]["counts"]
        known = " / ".join(f"{c[f'storeys: {s}']:.0%}" for s in ("measured", "same type", "neighbour", "country"))
        stops = f"{c.get('stops', 0):,.0f}"
        rows.append([name, *(f"{c[k]:,.0f}" for k in columns), known, f"{c['connected share']:.1%}", stops])
    heads = ["city", *columns, "storeys: measured / same type / neighbour / country", "connected", "stops"]
    parts.append(table(heads, rows) + "\n")
    parts.append("### The grid beside published ones\n\nFigures outside the published range are in italics.\n")
    kinds = [figure["name"] for figure in found[names[0]]["grid"]]
    rows = []
    for k, kind in enumerate(kinds):
        cells = []
        for name in names:
            figure = found[name]["grid"][k]
            cells.append(f"{figure['value']:.3g}" if figure["inside"] else f"*{figure['value']:.3g}*")
        first = found[names[0]]["grid"][k]
        unit = "" if first["unit"] == "1" else f" [{first['unit']}]"
        rows.append([kind + unit, *cells, first["source"]])
    parts.append(table(["figure", *names, "published"], rows) + "\n")
    parts.append("### The morning, 7 to 10 h\n")
    rows = []
    for name in names:
        i, c = found[name]["indicators"], found[name]["counts"]
        rate = 1000 * i["teleports"] / max(i["trips begun"], 1)
        seconds = f"{found[name]['run_s']:.0f}"
        cells = [f"{i['trips begun']:,.0f}", f"{rate:.2f}", f"{c['share routed']:.2%}", f"{i['mean speed']:.1f}"]
        cells += [
            f"{i['peak import'] / 1e3:.1f}",
            f"{i['lowest voltage']:.3f}",
            f"{i['highest transformer loading']:.0f}",
        ]
        rows.append([name, *cells, seconds])
    heads = ["city", "trips", "teleports per 1,000", "routed", "speed [km/h]", "peak import [MW]"]
    parts.append(table([*heads, "lowest voltage [pu]", "highest transformer loading [%]", "seconds"], rows) + "\n")
    parts.append("### What misses its goal\n\n" + "\n".join(misses(found, names)) + "\n")
    stations = found.get("adlershof", {}).get("stations", {})
    if stations:
        parts.append("### Adlershof: synthesized stations beside the mapped ones\n")
        parts.append(
            table(["", "number or metres"], [[key, f"{value:,.0f}"] for key, value in stations.items()]) + "\n"
        )
        c = found["adlershof"]["counts"]
        customers = c["dwellings"] + c["premises"]
        parts.append(
            "![Synthesized and mapped stations of Adlershof](figures/adlershof_stations.svg)\n\n"
            "Streets and mapped stations: © OpenStreetMap contributors, ODbL 1.0.\n"
        )
        parts.append(
            f"Its {customers:,.0f} dwellings and premises are {customers / stations['synthesized']:.0f} to a "
            f"synthesized station and {customers / stations['mapped']:.0f} to a mapped one. Kerber's suburban grids "
            "have 146, pylovo's grids of Bavaria 123 to 175: the truth lies between the two, as maps do not show every "
            "station, and no published figure says which rule to take instead.\n"
        )
    return "\n".join(parts)


def measure_import():
    """Return what ``tests/benchmarks/city_import.py`` prints."""
    root = Path(__file__).parents[1]
    command = [sys.executable, root / "tests" / "benchmarks" / "city_import.py", "1"]
    paths = os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, cwd=root, env=os.environ | {"PYTHONPATH": paths}
    )
    return json.loads(done.stdout.splitlines()[-1])


def main():
    """Make the cities that are asked for, and write the page of all that were made."""
    data, folder = Path(sys.argv[1]), Path(sys.argv[2])
    names = sys.argv[3:] or [*CITIES, "import"]
    if len(names) > 1:
        for name in names:
            subprocess.run([sys.executable, __file__, *sys.argv[1:3], name], check=True)
        return
    [name] = names
    made = measure_import() if name == "import" else figures(name, data, folder)
    if name != "import":
        assert CityFolder.open(folder / "cities" / name).problems() == []
    found = (json.loads(STORE.read_text(encoding="utf-8")) if STORE.is_file() else {}) | {name: made}
    STORE.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    TARGET.write_text(page(found), encoding="utf-8")


if __name__ == "__main__":
    main()
