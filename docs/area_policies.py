"""Print the table of docs/environment.md on policies with an area: streets inside, at the border, five seeds.

``python docs/area_policies.py FOLDER`` runs what FOLDER does not hold yet, some ten minutes on two quiet cores; with
``--write`` the table replaces the one in docs/environment.md.
"""

import argparse
import functools
import re
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

from cosim import Result, compare
from cosim.results.areas import PLACES, by_area
from cosim.results.layers import Layer, read_layers
from cosim.scenarios import eixample
from cosim.scenarios.policies import LowEmissionZone, SpeedLimit, Superblocks

SEEDS = range(1, 6)
AREA = ((-282.77, 0.0), (0.0, 282.77), (282.77, 0.0), (0.0, -282.77))
"""The nine blocks, along the axes of the streets around them. [m]"""
PLANS = {
    "base": [],
    "30 km/h everywhere": [SpeedLimit(limit_kmh=30)],
    "superblock": [Superblocks(polygons=(AREA,))],
    "low-emission zone": [LowEmissionZone(polygon=AREA)],
}
SHOWN = ("NO2 at façades", "PM2.5 at façades", "Lden at façades", "Lnight at façades")
PAGE = Path(__file__).parent / "environment.md"


def run(folder: Path, plan: str, seed: int) -> Result:
    """Return a run of a plan, made unless it is there."""
    place = folder / f"{plan.replace(' ', '_').replace('/', '')}-{seed}"
    if (place / "indicators.json").is_file():
        return Result.open(place)
    built = eixample.build(
        blocks=(3, 3), hours=24, through_traffic=0.3, grid_step_s=900, seed=seed, policies=PLANS[plan]
    )
    for port in built.outputs():
        built.record(port, every="1h")
    return built.run(place)


def table(runs: dict[str, list[Result]]) -> str:
    """Return the changes by place as a table; emissions are sums over streets."""
    base, *plans = runs.values()
    layers = {layer.title: layer for layer in read_layers(base[0].folder)}
    streets = layers["Traffic volume"]
    emitted: dict[str, Layer] = {
        name: replace(streets, title=name, port=port, unit="g/h", factor=3.6e6)
        for name, port in (("NOx, tailpipe", "traffic.nox"), ("PM10, with wear", "environment.pm10_emission"))
    }
    chosen = [*(layers[title] for title in SHOWN), *emitted.values()]
    found = by_area(compare(base, *plans, names=list(runs)), chosen)
    rows = ["| plan, streets | " + " | ".join(f"{layer.title} [{layer.unit}]" for layer in chosen) + " |"]
    rows += ["|---" * (len(chosen) + 1) + "|"]
    known = {(plan, *_place(c.indicator)): c for plan, changes in found.changes.items() for c in changes}
    for place in PLACES[:2]:
        cells = [f"{known[next(iter(found.changes)), place, layer.title].base:.3g}" for layer in chosen]
        rows.append(f"| base, {place} | " + " | ".join(cells) + " |")
    for plan in found.changes:
        for place in PLACES[:2]:
            cells = []
            for layer in chosen:
                d = known[plan, place, layer.title].difference
                assert d is not None
                cells.append(f"{d.mean:+.2f} ({d.t.low:+.2f} to {d.t.high:+.2f})".replace("-", "−"))
            rows.append(f"| {plan}, {place} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def _place(name: str) -> tuple[str, str]:
    where, _, layer = name.partition(": ")
    return where.rpartition(", ")[2], layer


def main() -> None:
    """Run what is missing, and print or write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    jobs = [(plan, seed) for seed in SEEDS for plan in PLANS]
    with ProcessPoolExecutor(given.workers, max_tasks_per_child=1) as pool:
        list(pool.map(functools.partial(_job, given.folder), jobs))
    runs = {plan: [run(given.folder, plan, seed) for seed in SEEDS] for plan in PLANS}
    text = table(runs)
    print(text)
    if given.write:
        page = PAGE.read_text(encoding="utf-8")
        begin, end = "<!-- area_policies.py -->", "<!-- end -->"
        page = re.sub(f"{begin}.*?{end}", lambda _: f"{begin}\n{text}\n{end}", page, flags=re.DOTALL)
        PAGE.write_text(page, encoding="utf-8")


def _job(folder: Path, job: tuple[str, int]) -> None:
    run(folder, *job)


if __name__ == "__main__":
    main()
