"""Makes seven cities, runs their morning, and writes docs/cities.md.

    python docs/cities.py DATA FOLDER [NAME…]

DATA holds the folder ``osm`` of the maps, FOLDER receives cities, runs and figures. With names, only these are
made again.
"""

import json
import sys
import time
from pathlib import Path

from cosim.scenarios.places.folder import CityFolder
from cosim.scenarios.places.make import make_city
from cosim.scenarios.places.sources.options import Options
from cosim.scenarios.places.twin import build

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
        "car-share": 0.15,
    },
    "bologna": {"osm": "bologna_streets.osm.gz", "sites": 2000},
}
TARGET = Path(__file__).parent / "cities.md"
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
        car_share=given.get("car-share", 0.225),
    )
    made = make_city(options, folder / "cities" / name, lambda stage: print(name, stage, flush=True))
    about = made.city.about
    found = {
        "seconds": {t.stage: t.cpu_s for t in made.timings if not t.kept},
        "memory": max(t.memory_mb for t in made.timings),
        "counts": about["counts"],
        "grid": about["grid"],
        "stations": about["stations"],
    }
    begun = time.perf_counter()
    scenario = build(city=str(made.city.path), begin_hour=7, hours=3)
    built = time.perf_counter() - begun
    result = scenario.run(folder / "runs" / f"{name}-{time.time():.0f}")
    values = {key: indicator.value for key, indicator in result.indicators.items()}
    return found | {"built_s": built, "run_s": time.perf_counter() - begun - built, "indicators": values}


def table(heads, rows):
    """Return a Markdown table."""
    lines = ["| " + " | ".join(heads) + " |", "|---" + "|---:" * (len(heads) - 1) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def misses(found, names):
    """Return the goals that cities miss, as the items of a list."""
    lines = [f"- {name}: not made" for name in CITIES if name not in names]
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


def page(found):
    """Return the page of all figures."""
    names = [name for name in CITIES if name in found]
    parts = [HEAD.format(commands="\n".join(command(name, CITIES[name]) for name in names))]
    parts.append("### Making\n\nProcessor seconds by stage, and the largest memory of the process.\n")
    rows = [
        [name, *(f"{found[name]['seconds'].get(stage, 0):.1f}" for stage in STAGES), f"{found[name]['memory']:.0f} MB"]
        for name in names
    ]
    parts.append(table(["city", *STAGES, "memory"], rows) + "\n")
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
            f"Its {customers:,.0f} dwellings and premises are {customers / stations['synthesized']:.0f} to a "
            f"synthesized station and {customers / stations['mapped']:.0f} to a mapped one. Kerber's suburban grids "
            "have 146, pylovo's grids of Bavaria 123 to 175: the truth lies between the two, as maps do not show every "
            "station, and no published figure says which rule to take instead.\n"
        )
    return "\n".join(parts)


def main():
    """Make the cities that are asked for, and write the page of all that were made."""
    data, folder = Path(sys.argv[1]), Path(sys.argv[2])
    store = folder / "figures"
    store.mkdir(parents=True, exist_ok=True)
    for name in sys.argv[3:] or CITIES:
        (store / f"{name}.json").write_text(json.dumps(figures(name, data, folder), indent=1))
        assert CityFolder.open(folder / "cities" / name).problems() == []
    found = {path.stem: json.loads(path.read_text()) for path in store.glob("*.json")}
    TARGET.write_text(page(found), encoding="utf-8")


if __name__ == "__main__":
    main()
