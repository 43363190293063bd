"""Drivers of route files who answer by their mode."""

import numpy as np
import pytest

from cosim.adapters.traffic.files import read_configuration, root_of
from cosim.scenarios import bologna
from cosim.scenarios.measures import always
from cosim.scenarios.mobility.choice import CAR
from cosim.scenarios.mobility.costs import TravelChanges
from cosim.scenarios.policies import DistancePrice
from cosim.scenarios.policies.drivers import answered
from cosim.scenarios.streets.eixample import eixample_streets
from cosim.scenarios.streets.network import read_net


@pytest.fixture(scope="module")
def scenario(tmp_path_factory):
    """Cars on trips, on routes and in a flow, and a bus, on a small grid."""
    folder = tmp_path_factory.mktemp("files")
    net = eixample_streets(folder, 2, 2)
    edges = [e for e in read_net(net).getEdges(withInternal=False) if e.getOutgoing()]
    ways = [(e.getID(), next(iter(e.getOutgoing())).getID()) for e in edges]
    lines = ['<vType id="car" vClass="passenger"/>', '<vType id="bus" vClass="bus"/>']
    for k in range(200):
        start, end = ways[k % len(ways)]
        way = f'from="{start}" to="{end}"/>' if k % 2 else f'><route edges="{start} {end}"/></vehicle>'
        lines.append(f'<{"trip" if k % 2 else "vehicle"} id="v{k}" type="car" depart="{k * 5}" {way}')
    start, end = ways[0]
    lines.append(f'<vehicle id="bus" type="bus" depart="1000"><route edges="{start} {end}"/></vehicle>')
    lines.append(f'<flow id="f" type="car" begin="1001" end="1100" number="10" from="{start}" to="{end}"/>')
    (folder / "r.rou.xml").write_text("<routes>\n" + "\n".join(lines) + "\n</routes>\n")
    config = folder / "small.sumocfg"
    config.write_text(
        f'<configuration><input><net-file value="{net.name}"/><route-files value="r.rou.xml"/></input>'
        '<time><begin value="0"/><end value="1800"/></time></configuration>'
    )
    return config, [edge.getID() for edge in edges]


def vehicles(sumocfg):
    roots = [root_of(path) for path in read_configuration(sumocfg).demand]
    return {v.get("id"): v.attrib for root in roots for v in root.iter() if v.tag in ("trip", "vehicle", "flow")}


def test_without_a_change_files_stay_where_they_are(scenario, tmp_path):
    config, _ = scenario
    same, answer = answered(config, TravelChanges(), tmp_path, 0)
    assert same == config
    assert answer.gaps == ()
    assert len(answer.tours) == 200
    assert (answer.tours["mode"] == CAR).all()


def test_a_toll_takes_cars_out_and_leaves_the_others_as_they_are(scenario, tmp_path):
    config, edges = scenario
    written, answer = answered(config, TravelChanges(toll=dict.fromkeys(edges, always(2.0))), tmp_path, 0)
    old, new = vehicles(config), vehicles(written)
    assert len(answer.tours) == 210
    left = np.sum(answer.tours["mode"] == CAR)
    assert 0.2 * 210 < left < 0.9 * 210
    assert len(new) == left + 1
    assert "bus" in new
    kept = [label for label in new if label in old]
    assert len(kept) > 50
    assert all(float(new[label]["depart"]) == float(old[label]["depart"]) for label in kept)


def test_twin_of_any_configuration_answers_by_mode(scenario):
    config, _ = scenario
    built = bologna.build(
        sumocfg=config, buildings=4, chargers=0, answers="modes", policies=[DistancePrice(5.0)], hours=0.5
    )
    assert built.model.answers == "modes"
    answer = built.model.sectors["travel"]
    assert answer.trips()["car"] < answer.trips("before")["car"]
    assert len(vehicles(built.model.sumocfg)) == answer.trips()["car"] + 1
