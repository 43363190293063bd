"""A small town from its map that drives a day of counts."""

import defusedxml.ElementTree
import numpy as np
import pytest
from typer.testing import CliRunner

from cosim.adapters.traffic.demand import scenario_files
from cosim.adapters.traffic.files import read_configuration
from cosim.core import CosimError, InputFileError
from cosim.scenarios.mobility.counts.loops import HOURS
from cosim.scenarios.places.folder import TRAFFIC
from cosim.scenarios.places.make import make_city
from cosim.scenarios.places.sources.options import Options
from cosim.scenarios.places.twin import build
from cosim.scenarios.policies.pricing import DistancePrice
from cosim.scenarios.sectors.traffic import COUNTS
from cosim.scenarios.validation import app
from tests.support.maps import degrees, town

BY_HOUR = np.round(100 + 300 * np.sin(np.pi * np.arange(HOURS) / HOURS))
HEADER = ",".join(["loop", "edge", "latitude", "longitude", *(f"h{h:02d}" for h in range(HOURS))])


@pytest.fixture(scope="module")
def city(tmp_path_factory):
    folder = tmp_path_factory.mktemp("counted")
    return make_city(Options(osm=town().write(folder / "town.osm")), folder / "town").city.path


@pytest.fixture(scope="module")
def busy(city):
    """The five edges of the town with most traffic, and how many drives pass them."""
    vehicles = defusedxml.ElementTree.parse(city / "cars.rou.xml").getroot().iter("route")
    passed = [edge for route in vehicles for edge in set(route.get("edges").split())]
    edges, number = np.unique(passed, return_counts=True)
    order = np.argsort(-number)[:5]
    return edges[order].tolist(), number[order]


def written(folder, *rows):
    path = folder / "counts.csv"
    path.write_text("\n".join([HEADER, *(",".join([*where, *map(str, flow)]) for where, flow in rows)]))
    return path


@pytest.fixture(scope="module")
def counts(busy, tmp_path_factory):
    edges, number = busy
    rows = [((f"loop {e}", e, "", ""), np.round(BY_HOUR * n / number[0])) for e, n in zip(edges, number)]
    return written(tmp_path_factory.mktemp("counts"), *rows)


def test_folder_has_a_configuration_of_its_day(city):
    root = defusedxml.ElementTree.parse(city / TRAFFIC).getroot()
    files = [name for kind in root.find("input") for name in kind.get("value").split(",")]
    assert all((city / name).is_file() for name in files)


def test_counted_streets_carry_what_was_counted(city, counts, busy):
    scenario = build(city=str(city), counts=counts, fidelity="meso", begin_hour=12, hours=1, ev_share=0.3)
    assert scenario.model.sectors[COUNTS].edges == tuple(busy[0])
    assert "--mesosim" in scenario.model.traffic_options
    assert scenario.model.fleet is not None
    root = defusedxml.ElementTree.parse(scenario.model.sumocfg.parent.parent / "counted" / "counted.rou.xml").getroot()
    edges = {route.get("id"): route.get("edges").split() for route in root.iter("route")}
    cars = list(root.iter("vehicle"))
    assert all(12 * 3600 <= float(car.get("depart")) < 13 * 3600 for car in cars)
    volume = sum(busy[0][0] in edges[car.get("route")] for car in cars)
    assert volume == pytest.approx(BY_HOUR[12], rel=0.1)


def test_counted_day_is_driven_by_the_queue_model(city, counts, busy, tmp_path):
    ran = build(city=str(city), counts=counts, fidelity="meso", begin_hour=12, hours=1, ev_share=0).run(tmp_path / "r")
    flow = ran.series("traffic.flow")
    assert float(flow[busy[0][0]].sum()) * 60 == pytest.approx(BY_HOUR[12], rel=0.2)


def cars_of(scenario):
    """The cars of a counted scenario, id → departure."""
    files = scenario_files(read_configuration(scenario.model.sumocfg))
    return {car.get("id"): car.get("depart") for root in files.values() for car in root.iter("vehicle")}


def test_drivers_of_a_counted_day_answer_with_their_mode(city, counts):
    given = {"city": str(city), "counts": counts, "begin_hour": 8, "hours": 1, "ev_share": 0}
    routes, same = (build(**given, answers=answers) for answers in ("routes", "modes"))
    priced = build(**given, answers="modes", policies=[DistancePrice(5.0)])
    assert cars_of(same) == cars_of(routes)
    assert "travel" in same.model.sectors
    stayed = cars_of(priced)
    assert 0 < len(stayed) < len(cars_of(same))
    assert stayed.items() <= cars_of(same).items()
    electric = build(**{**given, "ev_share": 0.5}, answers="modes", policies=[DistancePrice(5.0)])
    assert cars_of(electric).keys() == stayed.keys()


def test_validation_takes_the_city_s_configuration(city, counts, tmp_path):
    arguments = [
        "counts",
        "--sumocfg",
        str(city / TRAFFIC),
        "--counts",
        str(counts),
        "--json",
        str(tmp_path / "c.json"),
    ]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert "held out, 5 folds" in done.output


def test_counts_off_the_city_are_refused_by_name(city, tmp_path):
    latitude, longitude = 44.5, 11.3
    path = written(tmp_path, (("far", "", f"{latitude}", f"{longitude}"), BY_HOUR))
    with pytest.raises(InputFileError, match=r"far is at latitude 44.5, longitude 11.3, off the network"):
        build(city=str(city), counts=path)


def test_loops_of_which_none_is_on_a_street_are_refused_with_the_reason(city, tmp_path):
    longitude, latitude = degrees(60.0, 60.0)
    path = written(tmp_path, (("garden", "", f"{latitude}", f"{longitude}"), BY_HOUR))
    with pytest.raises(CosimError, match="none of 1 loops lies on an edge of the network"):
        build(city=str(city), counts=path)


def test_unknown_edge_and_missing_file_are_named(city, tmp_path):
    with pytest.raises(InputFileError, match="a is on 'nowhere', no edge of the network"):
        build(city=str(city), counts=written(tmp_path, (("a", "nowhere", "", ""), BY_HOUR)))
    with pytest.raises(InputFileError, match=r"absent\.csv cannot be read as counts"):
        build(city=str(city), counts=tmp_path / "absent.csv")
