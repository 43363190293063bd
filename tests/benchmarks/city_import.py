"""How long and with how much memory is a map imported, beside netconvert and osmium alone? One JSON line.

``python tests/benchmarks/city_import.py [repeats]`` reads Bad Hersfeld's streets and buildings from ../shared/data/osm:
once as ``cosim city make`` does up to its table of buildings, and once by the two programs alone: netconvert on the
whole file with the same type maps, and osmium assembling all outlines into shapes. Every measurement is a process of
its own, and the two follow each other in both orders. Then the streets of growing parts of Bologna are imported; with
``growth`` for the repeats, only these.
"""

import gzip
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.support.paths import DATA

TOWN = DATA / "osm" / "badhersfeld.osm.gz"
CITY = DATA / "osm" / "bologna_streets.osm.gz"
PARTS = {
    "eighth": "11.330,44.480,11.365,44.505",
    "quarter": "11.300,44.470,11.365,44.515",
    "half": "11.250,44.450,11.365,44.545",
    "whole": "",
}


class Enough(Exception):
    """Ends the making of a city."""


def imported(osm, folder, clip="", until="chargers"):
    """Import a map until a stage begins."""
    from cosim.scenarios.places.make import make_city
    from cosim.scenarios.places.sources.options import Options

    found = {}

    def progress(stage):
        if stage == until:
            [net] = folder.glob(".city-*/city/streets.net.xml")
            lines = net.read_text(encoding="utf-8").splitlines()
            found["edges"] = sum("<edge id=" in line and "internal" not in line for line in lines)
            raise Enough

    try:
        make_city(Options(osm=osm, clip=clip or None, sites=0 if until == "chargers" else 1), folder / "city", progress)
    except Enough:
        return found
    raise AssertionError(f"there is no stage {until}")


def alone(osm, folder):
    """Convert the same map by netconvert, and assemble its buildings by osmium."""
    import osmium
    import shapely

    from cosim.adapters.traffic.installation import run_sumo_tool, sumo_home

    plain = folder / "map.osm"
    plain.write_bytes(gzip.decompress(osm.read_bytes()))
    maps = [sumo_home() / "data" / "typemap" / f"osmNetconvert{kind}.typ.xml" for kind in ("", "UrbanDe")]
    options = "--geometry.remove --ramps.guess --junctions.join --tls.guess-signals --tls.discard-simple --tls.join"
    run_sumo_tool(
        "netconvert", "--osm-files", plain, "--type-files", ",".join(map(str, maps)), *options.split(),
        "--roundabouts.guess", "--remove-edges.isolated", "--proj.utm", "--output-file", folder / "net.xml",
    )  # fmt: skip
    factory, buildings = osmium.geom.WKBFactory(), osmium.filter.KeyFilter("building", "building:part")
    areas = osmium.filter.EntityFilter(osmium.osm.AREA)
    found = osmium.FileProcessor(str(osm)).with_areas(buildings).with_filter(areas).with_filter(buildings)
    assert len([shapely.from_wkb(factory.create_multipolygon(area)) for area in found]) > 10_000


def measured(kind, *arguments):
    """Return wall time, processor time and largest memory of a process of its own, and what it says besides."""
    begun = time.perf_counter()
    done = subprocess.run(
        [sys.executable, __file__, "--child", kind, *arguments],
        check=True, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    return {"wall_s": time.perf_counter() - begun, **json.loads(done.stdout.splitlines()[-1])}


def child(kind, *arguments):
    """Do one measurement and print what it took."""
    about = {}
    with tempfile.TemporaryDirectory() as work:
        if kind == "alone":
            alone(TOWN, Path(work))
        elif kind == "import":
            imported(TOWN, Path(work))
        else:
            about = imported(CITY, Path(work), *arguments, until="buildings")
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    cpu = sum(usage.ru_utime + usage.ru_stime for usage in (own, children))
    print(json.dumps(about | {"cpu_s": cpu, "mb": max(own.ru_maxrss, children.ru_maxrss) / 1024}))


def main():
    """Measure both orders, and growing parts of a city."""
    growth = {name: {k: round(v, 1) for k, v in measured("streets", clip).items()} for name, clip in PARTS.items()}
    for part in growth.values():
        part["ms_per_edge"] = round(1e3 * part["cpu_s"] / part["edges"], 2)
    if sys.argv[1:] == ["growth"]:
        print(json.dumps({"bologna": growth}))
        return
    repeats = int(sys.argv[1]) if sys.argv[1:] else 2
    rows = {"import": [], "alone": []}
    for _ in range(repeats):
        for kind in ("import", "alone", "alone", "import"):
            rows[kind].append(measured(kind))
    middle = {
        kind: {key: round(statistics.median(row[key] for row in found), 1) for key in found[0]}
        for kind, found in rows.items()
    }
    print(
        json.dumps(
            middle
            | {
                "cpu_ratio": round(middle["import"]["cpu_s"] / middle["alone"]["cpu_s"], 2),
                "wall_ratio": round(middle["import"]["wall_s"] / middle["alone"]["wall_s"], 2),
                "bologna": growth,
            }
        )
    )


if __name__ == "__main__":
    child(*sys.argv[2:]) if sys.argv[1:2] == ["--child"] else main()
