"""What do 30 km/h and cells closed to through traffic do to Bologna's morning peak? One JSON line.

``python tests/benchmarks/bologna_policies.py [joined|acosta] [seeds] [blocks]`` simulates the traffic of the
scenario of that name in ../shared/data/bologna until its last vehicle has arrived: every trip is made to its end, so
that what a cell loses must appear elsewhere. The cells are all superblocks of so many blocks that the search finds and
that at least 100 vehicle-kilometres cross without beginning or ending inside; the one with most of them comes first.
Medians over seeds, and the change against the base case of the same seed.
"""

import dataclasses
import json
import statistics
import sys
import tempfile
from pathlib import Path

import shapely

from cosim import Clock, Scenario
from cosim.adapters.traffic import Traffic
from cosim.adapters.traffic.files import read_configuration, root_of
from cosim.scenarios import bologna
from cosim.scenarios.policies import SpeedLimit, Superblocks
from cosim.scenarios.policies.cells import edges_within, find_cells
from cosim.scenarios.streets.network import read_net
from tests.support.paths import BOLOGNA

LEAST_THROUGH_KM = 100.0
AROUND_M = 300.0
HOURS = 4  # a network that comes to a standstill is cut off here


def run(city, out):
    """Return the result of one run of a city's traffic to its end."""
    traffic = Traffic(
        city.sumocfg,
        seed=city.seed,
        extra_options=city.traffic_options,
        permission_classes=city.measures.permission_classes,
    )
    scenario = Scenario(Clock("2025-01-15T08:00", hours=HOURS, step_s=60, zone=city.zone), traffic=traffic)
    city.measures.apply(scenario)
    return scenario.run(out)


def crossed_cells(city, net, blocks):
    """Return the superblocks of so many blocks by the vehicle-kilometres that only cross them, most first."""
    length = {edge.getID(): edge.getLength() for edge in net.getEdges(withInternal=False)}
    ways = [
        v.find("route").get("edges").split()
        for path in read_configuration(city.sumocfg).routes
        for v in root_of(path).iter("vehicle")
        if v.find("stop") is None
    ]

    def through_km(cell):
        inside = set(cell.interior)
        crossing = (way for way in ways if way[0] not in inside and way[-1] not in inside)
        return sum(length[edge] for way in crossing for edge in way if edge in inside) / 1000

    found = [(through_km(cell), cell) for cell in find_cells(net, blocks_per_cell=blocks, cells=12)]
    return sorted(((km, cell) for km, cell in found if km >= LEAST_THROUGH_KM), key=lambda pair: -pair[0])


def zones(net, cell):
    """Return the edges inside a cell, along its border, within 300 m of it, and the rest."""
    inside, border = set(cell.interior), set(cell.border)
    around = set(edges_within(net, cell.area.buffer(AROUND_M))) - inside - border
    rest = {edge.getID() for edge in net.getEdges(withInternal=False)} - inside - border - around
    return {"inside": sorted(inside), "border": sorted(border), "around": sorted(around), "rest": sorted(rest)}


def row(result, places):
    """Return speed, CO2, what became of the trips, and vehicle-kilometres by place and in the first hour."""
    km = result.integral("traffic.travel") / 1000
    seconds = float(result.integral("traffic.vehicles").sum())
    driven, spent = (result.total(f"traffic.{port}") * 60 for port in ("travel", "vehicles"))
    return {
        "speed_kmh": float(km.sum()) / seconds * 3600,
        "speed_in_first_quarter_kmh": float(driven.iloc[:15].sum() / spent.iloc[:15].sum()) * 3.6,
        "first_hour_km": float(driven.iloc[:60].sum()) / 1000,
        "minutes_per_trip": seconds / 60 / float(result.total("traffic.inserted").iloc[-1]),
        "co2_kg": float(result.integral("traffic.co2").sum()),
        "km": float(km.sum()),
        **{f"{place}_km": float(km.reindex(edges, fill_value=0.0).sum()) for place, edges in places.items()},
        **{count: float(result.total(f"traffic.{count}").iloc[-1]) for count in ("arrived", "cancelled", "teleports")},
    }


def case(before, after):
    """Return medians over seeds, and the median change of each seed against its base case. [%]"""
    medians = {key: round(statistics.median(r[key] for r in after), 1) for key in after[0]}
    changed = ("speed_kmh", "speed_in_first_quarter_kmh", "co2_kg", *(key for key in after[0] if key.endswith("km")))
    changes = {
        f"{key}_%": round(100 * (statistics.median(b[key] / a[key] for a, b in zip(before, after)) - 1), 1)
        for key in changed
        if all(a[key] for a in before)
    }
    return {**medians, **changes}


def main(name="joined", seeds=1, blocks=4, at_most=None):
    """Return medians over seeds by case, at most so many limits and cells."""
    city = bologna.build(sumocfg=BOLOGNA / name / "run.sumocfg", hours=HOURS, buildings=20, chargers=0).model
    net = read_net(read_configuration(city.sumocfg).net)
    cells = crossed_cells(city, net, blocks)
    seeded = [dataclasses.replace(city, seed=seed) for seed in range(seeds)]
    with tempfile.TemporaryDirectory() as folder:

        def results(case, policy=None):
            for one in seeded:
                yield run(policy.change_city(one) if policy else one, Path(folder) / f"{case} {one.seed}")

        base = list(results("base"))
        before = [row(result, {}) for result in base]
        found = {"base": case(before, before)}
        limits = {"30 km/h": SpeedLimit(30), "30 km/h, main roads 50": SpeedLimit(30, most_lanes=1)}
        for number, (limit, policy) in enumerate([*limits.items()][:at_most]):
            found[limit] = case(before, [row(result, {}) for result in results(f"limit {number}", policy)])
        for number, (km, cell) in enumerate(cells[:at_most]):
            places = zones(net, cell)
            outline = tuple((float(x), float(y)) for x, y in shapely.get_coordinates(cell.area.exterior))
            before = [row(result, places) for result in base]
            after = [row(r, places) for r in results(f"cell {number}", Superblocks(polygons=(outline,)))]
            shape = {"through_km": round(km), "hectares": round(cell.area.area / 1e4, 1), "edges": len(cell.interior)}
            found[f"cell {number}"] = {**shape, "before": case(before, before), "after": case(before, after)}
    return {"scenario": name, "seeds": seeds, "blocks": blocks, **found}


if __name__ == "__main__":
    given = sys.argv[1:]
    kinds = (str, int, int)
    print(json.dumps(main(*(kind(text) for kind, text in zip(kinds, given)))))
