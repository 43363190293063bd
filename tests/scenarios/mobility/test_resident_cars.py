"""Tests of residents' cars: each drives its own chain of trips, on routes that the network can carry."""

import itertools
from pathlib import Path

import defusedxml.ElementTree
import numpy as np
import pandas as pd
import pytest

from cosim.adapters.traffic.installation import run_sumo_script, run_sumo_tool
from cosim.core import CosimError, InputFileError
from cosim.scenarios import eixample
from cosim.scenarios.mobility.cars import ELECTRIC, FLEET
from cosim.scenarios.mobility.counts.sampling import calibrate, detector_edges
from cosim.scenarios.mobility.population import Habits, activity_chains
from cosim.scenarios.mobility.resident_cars import OUTSIDE, city_demand
from cosim.scenarios.mobility.routing import equilibrium_routes, gates, write_xml
from cosim.scenarios.streets.eixample import building_sites, eixample_streets
from cosim.scenarios.streets.network import read_net, sites_along
from tests.support.paths import BOLOGNA

JOINED = BOLOGNA / "joined"
needs_bologna = pytest.mark.skipif(not JOINED.is_dir(), reason="the scenario of Bologna is not at ../shared/data")


@pytest.fixture(scope="module")
def district(tmp_path_factory):
    net = eixample_streets(tmp_path_factory.mktemp("district"), 3, 3)
    return net, building_sites(3, 3).assign(persons=12.0)


@pytest.fixture(scope="module")
def day(district, tmp_path_factory):
    return city_demand(*district, tmp_path_factory.mktemp("day"), 4, ev_share=0.4)


def test_trips_of_a_car_follow_each_other(day):
    cars = day.vehicles.sort_values("depart_s").groupby("car")
    assert len(cars) > 300
    for _, trips in cars:
        assert (trips["origin"].iloc[1:].to_numpy() == trips["destination"].iloc[:-1].to_numpy()).all()
        assert trips["electric"].nunique() == 1
        assert trips["type"].nunique() == 1
        assert trips["origin"].iloc[0] == trips["car"].iloc[0].rsplit(".p", 1)[0]
        assert trips["destination"].iloc[-1] == trips["origin"].iloc[0]


def test_residents_make_the_car_trips_of_their_day_at_their_time(district, day):
    sites = district[1]
    chains = activity_chains(sites, 4)
    chains = chains[chains["mode"] == "car"]
    made = day.vehicles[day.vehicles["purpose"] == "home"]
    pd.testing.assert_series_equal(made["depart_s"], chains.loc[made.index, "depart_s"].astype(float))
    left = chains.drop(made.index)
    # On foot, or between two places that the network does not hold.
    street = {"": "outside", **sites["edge"].to_dict()}
    same_street = left["origin"].map(street) == left["destination"].map(street)
    assert same_street.all()
    assert 0 < len(left) < 0.2 * len(chains)


def test_distance_beyond_the_border_is_kept_with_its_trip(day):
    outside = (day.vehicles["origin"] == OUTSIDE) | (day.vehicles["destination"] == OUTSIDE)
    assert (day.vehicles.loc[outside, "outside_km"] > 0).all()
    assert (day.vehicles.loc[~outside, "outside_km"] == 0).all()


def routes_of(demand):
    roots = [defusedxml.ElementTree.parse(path).getroot() for path in demand.routes]
    return {v.get("id"): v.find("route").get("edges") for root in roots for v in root.iter("vehicle")}


def test_more_electric_cars_leave_trips_and_routes_unchanged(district, day, tmp_path):
    demands = [city_demand(*district, tmp_path / str(share), 4, ev_share=share) for share in (0.0, 0.2)]
    none, few = (demand.vehicles for demand in demands)
    many = day.vehicles
    assert routes_of(demands[0]) == routes_of(demands[1]) == routes_of(day)
    assert not none["electric"].any()
    columns = ["car", "purpose", "depart_s", "origin", "destination", "outside_km"]
    for other in (none, few):
        pd.testing.assert_frame_equal(other[columns], many.loc[other.index, columns])
    assert set(few.loc[few["electric"], "car"]) < set(many.loc[many["electric"], "car"])
    same = many[many["electric"] == few["electric"]]
    assert len(same) > 300
    pd.testing.assert_frame_equal(same, few.loc[same.index])
    cars = many.drop_duplicates("car").set_index("car")["electric"]
    others = cars[~cars.index.str.endswith(".car")]
    assert others.sum() == int(0.4 * len(others) + 0.5)
    assert cars.mean() == pytest.approx(0.4, abs=0.06)  # of the residents' cars only those that drive that day


def test_same_seed_gives_the_same_bytes_and_another_seed_does_not(district, day, tmp_path, monkeypatch):
    monkeypatch.setenv("COSIM_BUILT", "off")
    again, other = (city_demand(*district, tmp_path / str(seed), seed, ev_share=0.4) for seed in (4, 5))
    for first, second in zip(day.routes + day.additional, again.routes + again.additional, strict=True):
        assert first.read_bytes() == second.read_bytes()
    assert day.routes[0].read_bytes() != other.routes[0].read_bytes()


def test_all_types_follow_the_car_ahead_alike(day):
    types = list(defusedxml.ElementTree.parse(day.additional[0]).iter("vType"))
    assert {t.get("id") for t in types} == {name.split("/")[1] for name in FLEET} | set(ELECTRIC)
    ours = [{k: v for k, v in t.attrib.items() if k not in ("id", "emissionClass", "mass")} for t in types]
    assert all(one == ours[0] for one in ours)
    assert {"accel", "decel", "sigma", "tau", "length", "minGap", "vClass"} <= set(ours[0])


def test_visitors_and_through_traffic_are_added(district, tmp_path):
    vehicles = city_demand(*district, tmp_path, 4, visitor_trips_per_person=0.1, through_trips_per_person=0.1).vehicles
    number = vehicles["purpose"].value_counts()
    assert number["through"] == pytest.approx(0.1 * 12 * 216, abs=1)
    assert number["visit"] == pytest.approx(0.1 * 12 * 216, rel=0.2)
    assert (vehicles.loc[vehicles["purpose"] != "home", "origin"] == "").all()


def test_sumo_inserts_the_whole_day(district, day, tmp_path):
    statistic = tmp_path / "statistic.xml"
    run_sumo_tool(
        "sumo",
        "--net-file",
        district[0],
        "--route-files",
        day.routes[0],
        "--additional-files",
        day.additional[0],
        "--mesosim",
        "--no-step-log",
        "--statistic-output",
        statistic,
    )
    root = defusedxml.ElementTree.parse(statistic).getroot()
    assert int(root.find("vehicles").get("inserted")) == len(day.vehicles)
    assert int(root.find("teleports").get("total")) == 0


@pytest.mark.slow
def test_a_full_size_day_does_not_jam(tmp_path):
    net, sites = eixample_streets(tmp_path, 4, 4), building_sites(4, 4).assign(persons=25.0)
    visits, through = eixample.VISITOR_TRIPS, 0.2
    demand = city_demand(
        net,
        sites,
        tmp_path,
        1,
        habits=eixample.HABITS,
        ev_share=0.3,
        visitor_trips_per_person=visits,
        through_trips_per_person=through,
    )
    residents = 25 * len(sites)
    most = residents * (eixample.HABITS.trips_per_person * eixample.HABITS.modes["car"] + visits + through)
    # What residents drive between two places outside or go next door is not in the traffic.
    assert 0.85 * most < len(demand.vehicles) < 1.02 * most
    outputs = {name: tmp_path / f"{name}.xml" for name in ("statistic", "tripinfo")}
    run_sumo_tool(
        "sumo",
        "--net-file",
        net,
        "--route-files",
        demand.routes[0],
        "--additional-files",
        demand.additional[0],
        "--no-step-log",
        "--duration-log.statistics",
        "true",
        *itertools.chain.from_iterable((f"--{name}-output", path) for name, path in outputs.items()),
    )
    statistic, trips = (defusedxml.ElementTree.parse(path).getroot() for path in outputs.values())
    assert int(statistic.find("vehicles").get("inserted")) == len(demand.vehicles)
    assert int(statistic.find("teleports").get("total")) < 0.005 * len(demand.vehicles)
    metres, seconds = (sum(float(t.get(k)) for t in trips.iter("tripinfo")) for k in ("routeLength", "duration"))
    assert 15 < metres / seconds * 3.6 < 35
    assert float(statistic.find("vehicleTripStatistics").get("departDelay")) < 1


def narrow(tmp_path, kmh=50.0, n=1500):
    """Return a network with a short narrow route and a longer wide one, and trips through it."""
    nodes = {"a": (0, 0), "b": (200, 0), "m": (1100, 0), "c": (1200, 0), "d": (700, 400), "e": (1400, 0)}
    ways = {
        "in": ("a", "b", 3),
        "short": ("b", "m", 3),
        "narrow": ("m", "c", 1),
        "up": ("b", "d", 3),
        "down": ("d", "c", 3),
        "out": ("c", "e", 3),
    }
    lines = [f'<node id="{k}" x="{x}" y="{y}"/>' for k, (x, y) in nodes.items()]
    (tmp_path / "n.nod.xml").write_text("\n".join(["<nodes>", *lines, "</nodes>"]))
    lines = [
        f'<edge id="{k}" from="{a}" to="{b}" numLanes="{lanes}" speed="{kmh / 3.6:.3f}"/>'
        for k, (a, b, lanes) in ways.items()
    ]
    (tmp_path / "n.edg.xml").write_text("\n".join(["<edges>", *lines, "</edges>"]))
    net = tmp_path / "narrow.net.xml"
    run_sumo_tool("netconvert", "-n", tmp_path / "n.nod.xml", "-e", tmp_path / "n.edg.xml", "-o", net)
    trips = pd.DataFrame({"depart_s": np.arange(n) * 1.2, "start": "in", "end": "out"})
    return net, trips.set_axis([f"v{k}" for k in range(n)])


def times_of(net, trips, routes, folder):
    """Return the duration of each trip in the mesoscopic model, including the wait to enter. [s]"""
    lines = [
        f'<vehicle id="{v}" depart="{depart}" departLane="best"><route edges="{" ".join(routes[v])}"/></vehicle>'
        for v, depart in trips["depart_s"].items()
    ]
    run_sumo_tool(
        "sumo",
        "-n",
        net,
        "-r",
        write_xml(folder / "ways.rou.xml", "routes", lines),
        "--mesosim",
        "--meso-junction-control",
        "--no-step-log",
        "--tripinfo-output",
        folder / "trips.xml",
    )
    found = {e.get("id"): e for e in defusedxml.ElementTree.parse(folder / "trips.xml").iter("tripinfo")}
    return np.array([float(found[v].get("duration")) + float(found[v].get("departDelay")) for v in trips.index])


def test_both_routes_are_used_in_equilibrium_and_take_about_as_long(tmp_path):
    net, trips = narrow(tmp_path)
    first = equilibrium_routes(net, trips, tmp_path, 1, iterations=1)
    assert all("short" in route for route in first.values())
    found = equilibrium_routes(net, trips, tmp_path, 1, iterations=8)
    times = times_of(net, trips, found, tmp_path)
    round_about = np.array(["up" in found[v] for v in trips.index])
    assert 0.1 < round_about.mean() < 0.95
    # All on the short way wait at its narrow end; in equilibrium nobody gains by the other way.
    assert times.mean() < 0.5 * times_of(net, trips, first, tmp_path).mean()
    assert times[round_about].mean() == pytest.approx(times[~round_about].mean(), rel=0.2)
    assert not (tmp_path / "equilibrium").exists()


def test_same_seed_gives_the_same_equilibrium(tmp_path):
    net, trips = narrow(tmp_path)
    one, two = (equilibrium_routes(net, trips.iloc[:500], tmp_path, 1, iterations=3) for _ in range(2))
    assert one == two


def test_demand_that_the_network_does_not_carry_is_refused(tmp_path):
    net, trips = narrow(tmp_path, kmh=0.5, n=50)
    with pytest.raises(CosimError, match="the network carries 0 of 50 vehicles"):
        equilibrium_routes(net, trips, tmp_path, 1, iterations=1)


def test_zero_iterations_are_refused(tmp_path):
    with pytest.raises(CosimError, match="give at least 1"):
        equilibrium_routes(Path("net.xml"), pd.DataFrame(), tmp_path, iterations=0, seed=0)


def test_failing_tool_is_quoted(tmp_path):
    with pytest.raises(CosimError, match=r"assign/duaIterate.py failed: .*nowhere"):
        run_sumo_script("assign/duaIterate.py", "-n", "nowhere.net.xml", "-t", "nowhere.xml", "-l", "1", cwd=tmp_path)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"ev_share": 1.2}, "ev_share is 1.2"),
        ({"visitor_trips_per_person": -1}, "visitor_trips_per_person is -1"),
        ({"through_trips_per_person": 21}, "through_trips_per_person is 21: it must lie between 0 and 20"),
        ({"habits": Habits()}, "sites stand at edge 'nowhere'"),
    ],
)
def test_impossible_demand_is_refused(settings, words, district, tmp_path):
    net, sites = district
    if "habits" in settings:
        sites = sites.assign(edge="nowhere")
    with pytest.raises(CosimError, match=words):
        city_demand(net, sites, tmp_path, **settings)


def test_sites_without_residents_are_refused(district, tmp_path):
    net, sites = district
    with pytest.raises(CosimError, match="no column 'persons'"):
        city_demand(net, sites.drop(columns="persons"), tmp_path)


def counts_of(routes, edges, hour_s=3600.0):
    rows = {}
    for _, element in defusedxml.ElementTree.iterparse(routes):
        if element.tag == "vehicle":
            begin = float(element.get("depart")) // hour_s * hour_s
            for edge in set(element.find("route").get("edges").split()) & edges:
                rows[begin, edge] = rows.get((begin, edge), 0) + 1
    table = [(begin, begin + hour_s, edge, n) for (begin, edge), n in sorted(rows.items())]
    return pd.DataFrame(table, columns=["begin_s", "end_s", "edge", "count"])


@needs_bologna
def test_calibration_matches_counts_at_bolognas_detectors(tmp_path):
    # The scenario has the places of the detectors but no counts: these are taken from its own routes, and a fifth more
    # traffic is asked for than they hold.
    edges = set(detector_edges(JOINED / "joined_detectors.add.xml").values())
    assert len(edges) > 40
    counts = counts_of(JOINED / "joined.rou.xml", edges)
    counts["count"] = (counts["count"] * 1.2).round()
    found = calibrate(JOINED / "joined.rou.xml", counts, tmp_path / "calibrated.rou.xml", 1, vehicle_type="private")
    assert (found["geh"] < 5).mean() > 0.85
    assert found["sampled"].sum() == pytest.approx(counts["count"].sum(), rel=0.05)
    written = defusedxml.ElementTree.parse(tmp_path / "calibrated.rou.xml").getroot()
    assert {v.get("type") for v in written.iter("vehicle")} == {"private"}


@needs_bologna
def test_residents_day_works_on_a_network_cut_out_of_a_city(tmp_path):
    path = JOINED / "joined_buslanes.net.xml"
    net = read_net(path)
    entries, exits = gates(net)
    assert len(entries) > 10
    assert len(exits) > 10
    sites = sites_along(net, 150).assign(persons=10.0)
    demand = city_demand(path, sites, tmp_path, 2, ev_share=0.3)
    assert len(demand.vehicles) > 500
    statistic = tmp_path / "statistic.xml"
    run_sumo_tool(
        "sumo",
        "--net-file",
        path,
        "--route-files",
        demand.routes[0],
        "--additional-files",
        f"{demand.additional[0]},{JOINED / 'joined_vtypes.add.xml'}",
        "--mesosim",
        "--no-step-log",
        "--no-warnings",
        "--statistic-output",
        statistic,
    )
    root = defusedxml.ElementTree.parse(statistic).getroot()
    assert int(root.find("vehicles").get("inserted")) == len(demand.vehicles)


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        (pd.DataFrame({"edge": ["a"]}), "no column 'begin_s'"),
        (pd.DataFrame({"begin_s": [0], "end_s": [60], "edge": ["a"], "count": [-1]}), "negative or not finite"),
    ],
)
def test_invalid_counts_are_refused(counts, words, tmp_path):
    with pytest.raises(CosimError, match=words):
        calibrate(tmp_path / "none.xml", counts, tmp_path / "out.xml")


def test_unreadable_detectors_are_refused(tmp_path):
    bomb = tmp_path / "bomb.xml"
    bomb.write_text('<!DOCTYPE a [<!ENTITY b "c">]><additional>&b;</additional>')
    for path in (bomb, tmp_path / "none.xml"):
        with pytest.raises(InputFileError, match="cannot be read as detectors"):
            detector_edges(path)
