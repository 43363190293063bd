"""Tests of counts: reading, finding their edges, the flows and the day that they make, and its validation."""

import itertools
import json
import re
from dataclasses import replace

import defusedxml.ElementTree
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from cosim.adapters.traffic.demand import scenario_files
from cosim.adapters.traffic.files import read_configuration
from cosim.core import CosimError, InputFileError
from cosim.scenarios import bologna
from cosim.scenarios.mobility.counts import day
from cosim.scenarios.mobility.counts.capacity import SATURATED, passing, times_to
from cosim.scenarios.mobility.counts.day import counted_day, day_flows, read_pool, read_scenario, with_routes_through
from cosim.scenarios.mobility.counts.loops import HOURS, Loop, locate, read_counts
from cosim.scenarios.mobility.counts.path_flows import geh, held_out, path_flows
from cosim.scenarios.mobility.routing import shortest_routes
from cosim.scenarios.streets.eixample import eixample_streets
from cosim.scenarios.streets.network import drivable, read_net, unproject
from cosim.scenarios.validation import app
from cosim.scenarios.validation.counts import Fit, agreement
from tests.support.paths import BOLOGNA, DATA

LOOPS = DATA / "counts" / "bologna_loops_2024-02-01.csv"
BY_HOUR = 0.1 + 0.9 * np.sin(np.pi * np.arange(HOURS) / HOURS)
HEADER = ",".join(["loop", "edge", *(f"h{h:02d}" for h in range(HOURS))])


class Town:
    """A small network with an hour of known traffic, and a day of counts of other traffic on the same routes."""

    def __init__(self, folder):
        self.folder, self.net = folder, eixample_streets(folder / "net", 3, 3)
        edges = [str(edge.getID()) for edge in drivable(read_net(self.net))]
        trips = {f"t{k}": (0.0, edges[k * 7 % len(edges)], edges[(k * 31 + 40) % len(edges)]) for k in range(40)}
        table = pd.DataFrame.from_dict(trips, orient="index", columns=["depart_s", "start", "end"])
        found = sorted({tuple(r) for r in shortest_routes(self.net, table, folder, 1).values() if len(r) > 1})
        self.routes = found
        self.number = np.array([4 + k % 5 for k in range(len(found))])
        lines = [
            f'<vehicle id="v{k}.{i}" depart="{400 * i}" departLane="best"><route edges="{" ".join(route)}"/></vehicle>'
            for k, (route, n) in enumerate(zip(found, self.number))
            for i in range(n)
        ]
        bus = f'<vehicle id="bus" depart="60" line="7"><route edges="{" ".join(found[0])}"/></vehicle>'
        (folder / "town.rou.xml").write_text("\n".join(["<routes>", *lines, bus, "</routes>"]))
        self.sumocfg = folder / "town.sumocfg"
        self.sumocfg.write_text(
            f'<configuration><net-file value="{self.net}"/><route-files value="town.rou.xml"/></configuration>'
        )
        self.edges = sorted({edge for route in found for edge in route})
        self.passes = np.array([[route.count(edge) for route in found] for edge in self.edges], float)
        factor = 1 + 0.5 * np.cos(np.arange(len(found)))
        self.flows = 10 * np.outer(self.number * factor, BY_HOUR)
        self.counts = self.write("counts.csv", self.passes @ self.flows)

    def write(self, name, volumes, edges=None):
        """Write counts of edges, and return the file."""
        rows = [
            ",".join([f"loop {edge}", edge, *(f"{c:.2f}" for c in row)])
            for edge, row in zip(edges or self.edges, volumes)
        ]
        path = self.folder / name
        path.write_text("\n".join([HEADER, *rows]))
        return path


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    return Town(tmp_path_factory.mktemp("town"))


def test_known_volumes_are_recovered_on_every_edge(town):
    true = town.passes @ town.flows
    found = town.passes @ path_flows(town.passes, town.number.astype(float), true)
    assert (geh(found, true) < 1).mean() > 0.95
    assert Fit.of(found, true).r2 > 0.99


def test_edges_without_a_loop_are_better_known_than_from_the_prior(town):
    true = town.passes @ town.flows
    kept = np.arange(len(town.edges)) % 2 == 0
    found = town.passes @ path_flows(town.passes[kept], town.number.astype(float), true[kept])
    volume = town.passes @ town.number
    prior = np.outer(volume, true[kept].sum(axis=0) / volume[kept].sum())
    assert Fit.of(found[~kept], true[~kept]).rmse < 0.7 * Fit.of(prior[~kept], true[~kept]).rmse


def test_flows_are_never_negative_and_nothing_counted_is_no_flow(town):
    counts = town.passes @ town.flows
    counts[::3] *= 0.05
    counts[:, 3] = 0.0
    found = path_flows(town.passes, town.number.astype(float), counts)
    assert found.min() >= 0
    assert found[:, 3].max() == 0


def test_loop_that_sees_a_part_of_the_traffic_moves_its_neighbours_little(town):
    true = town.passes @ town.flows
    busiest = true.sum(axis=1).argmax()
    broken = true.copy()
    broken[busiest] *= 0.15
    found = town.passes @ path_flows(town.passes, town.number.astype(float), broken)
    others = np.arange(len(true)) != busiest
    assert Fit.of(found[others], true[others]).r2 > 0.97
    assert geh(found[busiest], broken[busiest]).mean() > 2


def test_count_never_affects_the_prediction_of_its_own_edge(town):
    counts, prior = town.passes @ town.flows, town.number.astype(float)
    before = held_out(town.passes, prior, counts, 5, town.edges)
    changed = counts.copy()
    changed[4] *= 3.0
    after = held_out(town.passes, prior, changed, 5, town.edges)
    np.testing.assert_array_equal(after[4], before[4])
    assert (after != before).any()


@pytest.mark.parametrize("folds", [1, 10_000])
def test_folds_that_cannot_be_made_are_refused(town, folds):
    with pytest.raises(CosimError, match=f"folds is {folds}: it must lie between 2 and"):
        held_out(town.passes, town.number.astype(float), town.passes @ town.flows, folds, town.edges)


def test_counts_where_no_route_passes_are_refused():
    with pytest.raises(CosimError, match="no route passes an edge with a count"):
        path_flows(np.zeros((2, 3)), np.ones(3), np.ones((2, 24)))


def row(loop="a", edge="e", **hours):
    return ",".join([loop, edge, *(str(hours.get(f"h{h:02d}", 5)) for h in range(HOURS))])


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([row(h04=-3)], r"a \(line 2\) counts -3 vehicles at hour 4: a count cannot be negative"),
        ([row(h04="")], r"a \(line 2\) has no count at hour 4"),
        ([row(h04="many")], "has 'many' at hour 4: not a number"),
        ([row(h04="inf")], "has no count at hour 4"),
        ([row("dead", **{f"h{h:02d}": 0 for h in range(HOURS)})], "dead .* counts nothing all day: a dead loop"),
        (["a,e,1,2"], r"a \(line 2\) has 4 of 26 columns"),
        ([row("a", h01=-1), row("b"), row("c", h02=-1)], "a .line 2.*; c .line 4.*Correct or remove them"),
        ([], "has no row"),
    ],
)
def test_bad_rows_are_named_in_one_error(tmp_path, rows, said):
    path = tmp_path / "c.csv"
    path.write_text("\n".join([HEADER, *rows]))
    with pytest.raises(InputFileError, match=said):
        read_counts(path)


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("edge,h00,h01", "no column of h02, h03"),
        (HEADER.replace("edge", "place"), "does not say where it counts"),
        ("", "no column of h00"),
    ],
)
def test_file_without_the_columns_is_refused(tmp_path, header, said):
    path = tmp_path / "c.csv"
    path.write_text(header + "\n")
    with pytest.raises(InputFileError, match=said):
        read_counts(path)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(InputFileError, match=r"nowhere\.csv cannot be read as counts"):
        read_counts(tmp_path / "nowhere.csv")


def test_days_of_a_loop_are_averaged(tmp_path):
    path = tmp_path / "c.csv"
    path.write_text("\n".join([HEADER, row(h08=10), row(h08=30), row("b")]))
    a, b = read_counts(path)
    assert (a.name, a.edge, a.flow[8], a.flow[9]) == ("a", "e", 20, 5)
    assert b.flow[8] == 5


def test_unknown_edges_are_named_together(town):
    with pytest.raises(InputFileError, match="a is on 'no such', no edge of the network; b is on 'nor this'"):
        locate([Loop("a", np.ones(24), "no such"), Loop("b", np.ones(24), "nor this")], read_net(town.net))


def place_of(town, edge, right_m=0.0):
    """Return longitude and latitude beside the middle of an edge's first lane, and its direction."""
    (x0, y0), (x1, y1) = (
        p[:2] for p in (read_net(town.net).getEdge(edge).getLanes()[0].getShape()[k] for k in (0, -1))
    )
    length = np.hypot(x1 - x0, y1 - y0)
    x, y = (x0 + x1) / 2 + right_m * (y1 - y0) / length, (y0 + y1) / 2 - right_m * (x1 - x0) / length
    longitude, latitude = unproject(town.net, x, y)
    return (float(longitude), float(latitude)), float(np.degrees(np.arctan2(x1 - x0, y1 - y0)))


def test_loops_with_coordinates_find_their_edge_by_distance_and_direction(town):
    loops = []
    for edge in town.edges:
        point, direction = place_of(town, edge, 2.0)
        loops.append(Loop(edge, np.full(24, 100.0), point=point, direction_deg=round(direction / 45) * 45.0))
    found = locate(loops, read_net(town.net))
    assert set(found.edges) | set(found.left_out) == set(town.edges)
    assert len(found.edges) > 0.9 * len(loops)


def test_loop_beyond_the_streets_is_left_out_with_its_reason(town):
    point, direction = place_of(town, town.edges[0])
    loops = [
        Loop("here", np.ones(24), town.edges[1]),
        Loop("aside", np.ones(24), point=(point[0], point[1] + 0.05), direction_deg=direction),
        Loop("full", np.full(24, 30_000.0), town.edges[2]),
    ]
    found = locate(loops, read_net(town.net))
    assert found.edges == (town.edges[1],)
    assert "no edge in its direction within 15 m" in found.left_out["aside"]
    assert "more than they carry" in found.left_out["full"]
    with pytest.raises(CosimError, match="none of 1 loops lies on an edge of the network"):
        locate(loops[1:2], read_net(town.net))


def test_coordinates_elsewhere_or_in_the_wrong_order_are_refused(town):
    (longitude, latitude), _ = place_of(town, town.edges[0])
    elsewhere = Loop("far", np.ones(24), point=(longitude + 10, latitude))
    swapped = Loop("swapped", np.ones(24), point=(latitude, longitude))
    with pytest.raises(InputFileError, match=r"far is at .* off the network; swapped is at .* in the wrong order"):
        locate([elsewhere, swapped], read_net(town.net))


def test_loop_named_like_a_detector_is_on_its_edge(town, tmp_path):
    detectors = tmp_path / "d.add.xml"
    edge = town.edges[3]
    detectors.write_text(f'<additional><e1Detector id="2_3__l0" lane="{edge}_0" pos="5" file="o.xml"/></additional>')
    point, _ = place_of(town, edge, 20.0)  # too far for a match by coordinates
    found = locate([Loop("x", np.ones(24), detector="2 3", point=point)], read_net(town.net), [detectors])
    assert found.edges == (edge,)


def vehicles(sumocfg):
    root = defusedxml.ElementTree.parse(sumocfg.parent / "counted.rou.xml").getroot()
    return list(root.iter("vehicle"))


def test_counted_day_has_the_counted_volumes_and_lines_by_the_hour(town, tmp_path):
    found = vehicles(counted_day(town.sumocfg, town.counts, tmp_path / "day"))
    number = np.zeros((len(town.routes), HOURS))
    buses = [v for v in found if v.get("line")]
    for vehicle in found:
        if not vehicle.get("line"):
            k, hour = int(vehicle.get("route").split(".")[1]), int(float(vehicle.get("depart")) // 3600)
            number[k, hour] += 1
            assert vehicle.get("id").startswith(f"h{hour:02d}.")
            assert vehicle.get("departLane") == "best"
    true = town.passes @ town.flows
    order = [list(dict.fromkeys(town.routes)).index(route) for route in town.routes]
    assert (geh(town.passes @ number[order], true) < 5).all()
    assert [float(bus.get("depart")) for bus in buses] == [3600.0 * hour + 60 for hour in range(5, 24)]
    departs = [float(v.get("depart")) for v in found]
    assert departs == sorted(departs)


def test_vehicles_of_a_whole_city_depart_before_the_hour_in_which_they_are_counted(town, tmp_path):
    plain, whole = (
        {
            v.get("id"): float(v.get("depart"))
            for v in vehicles(counted_day(town.sumocfg, town.counts, folder, greens=g))
        }
        for folder, g in ((tmp_path / "plain", False), (tmp_path / "whole", True))
    )
    assert plain.keys() == whole.keys()  # no street is full
    cars = [name for name in plain if name.startswith("h")]
    early_s = np.array([(plain[name] - whole[name]) % 86_400 for name in cars])
    net = read_net(town.net, programs=True)
    time_s = times_to(net, list(dict.fromkeys(town.routes)), town.edges)
    expected = np.array([time_s[int(name.split(".")[1])] for name in cars])
    assert np.abs(early_s - expected).max() < 0.11
    assert early_s.min() >= 0
    assert early_s.mean() > 30


def test_day_of_a_whole_city_has_no_more_on_a_street_than_it_carries(town, tmp_path, monkeypatch):
    _, _, pool, located = read_scenario(town.sumocfg, town.counts, tmp_path)
    routes, free = list(pool.routes), day_flows(pool, located)
    busy = (town.passes @ free).sum(axis=1).argmax()
    narrow = town.edges[busy]
    # not counted: a counted street carries what was counted
    without = replace(
        located, edges=located.edges[:busy] + located.edges[busy + 1 :], flow=np.delete(located.flow, busy, 0)
    )
    limit = 0.7 * (town.passes @ free)[busy].max()
    monkeypatch.setattr(day, "capacities", lambda net: {narrow: limit / SATURATED})
    volume = passing(routes, [narrow]) @ day_flows(pool, without, read_net(town.net))
    assert (passing(routes, [narrow]) @ day_flows(pool, without)).max() > 1.2 * limit
    assert volume.max() <= limit + 1e-6


@pytest.mark.parametrize(("begin_h", "last_h"), [(0, 23.9), (0, 17.6), (6, 20)])
def test_lines_of_a_whole_day_run_once_at_their_own_time(town, tmp_path, begin_h, last_h):
    edges = " ".join(town.routes[0])
    cars = [(f"c{k}", 3600 * h, "") for k, h in enumerate(np.linspace(begin_h, last_h, 60))]
    buses = [(f"b{h}", 3600 * h + 60, ' line="7"') for h in range(max(begin_h, 5), 24)]
    text = "".join(
        f'<vehicle id="{name}" depart="{t:.1f}"{line}><route edges="{edges}"/>'
        + (f'<stop edge="{town.routes[0][0]}" until="{t + 30:.1f}"/>' if line else "")
        + "</vehicle>"
        for name, t, line in sorted(cars + buses, key=lambda row: row[1])
    )
    (tmp_path / "day.rou.xml").write_text(f"<routes>{text}</routes>")
    sumocfg = tmp_path / "day.sumocfg"
    sumocfg.write_text(
        f'<configuration><net-file value="{town.net}"/><route-files value="day.rou.xml"/>'
        f'<begin value="{3600 * begin_h}"/></configuration>'
    )
    counts = town.write("day.csv", [np.full(HOURS, 10.0)], [town.routes[0][0]])
    found = [v for v in vehicles(counted_day(sumocfg, counts, tmp_path / "day")) if v.get("line")]
    assert [float(v.get("depart")) for v in found] == [t for _, t, _ in buses]
    assert [float(v.find("stop").get("until")) for v in found] == [t + 30 for _, t, _ in buses]


def test_same_seed_gives_the_same_bytes_and_another_count_keeps_other_vehicles(town, tmp_path):
    first, again, other = (
        counted_day(town.sumocfg, counts, tmp_path / name).with_name("counted.rou.xml").read_bytes()
        for name, counts in [
            ("a", town.counts),
            ("b", town.counts),
            ("c", town.write("more.csv", 1.01 * town.passes @ town.flows)),
        ]
    )
    assert first == again != other
    before, after = (set(re.findall(rb'id="(\S+)" depart', text)) for text in (first, other))
    assert len(before - after) < 0.01 * len(before)
    assert (
        counted_day(town.sumocfg, town.counts, tmp_path / "d", seed=1).with_name("counted.rou.xml").read_bytes()
        != first
    )


def test_counted_edge_without_a_route_gets_the_quickest_one_through_it(town):
    net = read_net(town.net)
    configuration = read_configuration(town.sumocfg)
    pool = read_pool(configuration, scenario_files(configuration))
    pool = replace(pool, routes=dict(itertools.islice(pool.routes.items(), 10)))
    passed = {edge for route in pool.routes for edge in route}
    missing = next(edge for edge in town.edges if edge not in passed)
    more = with_routes_through(pool, [missing, *passed], net)
    (route,) = more.routes.keys() - pool.routes.keys()
    assert missing in route
    assert all(net.getEdge(b) in net.getEdge(a).getOutgoing() for a, b in itertools.pairwise(route))
    assert len(more.routes[route]) == int(np.median(pool.prior))


def test_vehicles_without_routes_are_refused(town, tmp_path):
    (tmp_path / "t.rou.xml").write_text(
        f'<routes><trip id="t" depart="0" from="{town.edges[0]}" to="{town.edges[1]}"/></routes>'
    )
    config = tmp_path / "t.sumocfg"
    config.write_text(f'<configuration><net-file value="{town.net}"/><route-files value="t.rou.xml"/></configuration>')
    with pytest.raises(CosimError, match=r"trip 't' without a route of its own.*duarouter"):
        counted_day(config, town.counts, tmp_path / "day")


def test_twin_with_counts_drives_their_day_at_its_time(town):
    city = bologna.build(
        sumocfg=town.sumocfg, counts=town.counts, start="2025-01-15T07:00", hours=2, buildings=10, chargers=0
    ).model
    departs = [float(v.get("depart")) for v in vehicles(city.sumocfg)]
    assert 7 * 3600 <= min(departs) <= max(departs) < 9 * 3600
    with pytest.raises(CosimError, match=r"hours is 3 from .*: counts are of one day, end by midnight"):
        bologna.build(sumocfg=town.sumocfg, counts=town.counts, start="2025-01-15T22:00", hours=3)


def test_command_prints_and_writes_the_agreement(town, tmp_path):
    arguments = ["counts", "--sumocfg", town.sumocfg, "--counts", town.counts, "--json", tmp_path / "c.json"]
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code == 0, done.output
    assert "held out, 5 folds" in done.output
    assert "Schweizer" in done.output
    written = json.loads((tmp_path / "c.json").read_text())
    assert written["fitted"]["all"]["r2"] > 0.99
    assert len(written["held_out"]["by hour"]) == HOURS
    assert len(written["edges"]) == len(town.edges)


def test_command_takes_messages_by_the_hours_of_a_zone(town, tmp_path):
    edges = [edge for edge in town.edges if len(read_net(town.net).getEdge(edge).getLanes()) > 1][:4]
    entities = [
        {
            "id": f"urn:{edge}:{hour}",
            "type": "TrafficFlowObserved",
            "dateObserved": f"2024-02-01T{hour:02d}:00:00Z/2024-02-01T{hour:02d}:30:00Z",
            "intensity": 251.0 if hour == 12 else 50.0,
            "location": {"type": "Point", "coordinates": place_of(town, edge)[0]},
            "refRoadSegment": f"urn:{edge}",
            "laneId": 1,
        }
        for edge in edges
        for hour in range(HOURS)
    ]
    (tmp_path / "c.json").write_text(json.dumps(entities))
    for zone, hour in (("UTC", 12), ("Europe/Rome", 13)):
        arguments = ["counts", "--sumocfg", town.sumocfg, "--counts", tmp_path / "c.json", "--zone", zone]
        done = CliRunner().invoke(app, [str(argument) for argument in [*arguments, "--folds", 2]])
        assert done.exit_code == 0, done.output
        [busiest] = [line for line in done.output.splitlines() if re.search(r"\b502\b", line)]
        assert re.search(r"\d+", busiest).group() == str(hour)
    done = CliRunner().invoke(app, [str(argument) for argument in [*arguments[:-1], "Europe/Bologna"]])
    assert done.exit_code != 0
    assert "Europe/Bologna" in done.output


@pytest.mark.skipif(not LOOPS.is_file(), reason="needs the counts of Bologna in ../shared/data/counts")
def test_bologna_meets_its_goals_on_fitted_and_held_out_loops():
    found = agreement(BOLOGNA / "joined" / "run.sumocfg", LOOPS)
    assert len(found.counts.edges) >= 45
    assert found.fit("fitted").geh_below_5 >= 0.85
    assert found.fit("fitted", found.counts.wide).geh_below_5 >= 0.85
    assert found.fit("held_out").r2 >= 0.75
    assert found.fit("held_out", found.counts.wide).r2 >= 0.75
    assert "a34" in found.contradicting
    assert found.unreached == ()
