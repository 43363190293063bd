"""Drivers of route files who answer by their mode."""

import numpy as np
import pytest

from cosim.adapters.traffic.files import read_configuration, root_of
from cosim.core.buildings.households import mean_size
from cosim.scenarios import bologna
from cosim.scenarios.indicators.travel import travel_indicators
from cosim.scenarios.measures import always, between
from cosim.scenarios.mobility.choice import CAR, MODES, STAYS
from cosim.scenarios.mobility.costs import TravelChanges
from cosim.scenarios.policies import DistancePrice, LowEmissionZone
from cosim.scenarios.policies.drivers import answered
from cosim.scenarios.sectors import access
from cosim.scenarios.sectors.premises import NAME
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


def test_departures_leave_the_minutes_of_a_toll_and_files_stay_in_order(scenario, tmp_path):
    """The scenario begins 600 s before 7 h, when the toll begins."""
    config, edges = scenario
    toll = dict.fromkeys(edges, between(7, 8, 2.0, 0.0))
    midnight_s = 600.0 - 7 * 3600
    written, answer = answered(config, TravelChanges(toll=toll), tmp_path, 0, midnight_s=midnight_s)
    old, new = vehicles(config), vehicles(written)
    assert answer.moved
    for label in (label for label in new if label in old):
        shift = float(new[label]["depart"]) - float(old[label]["depart"])
        assert shift == pytest.approx(answer.moved.get(label, 0.0))
    assert all(float(new[label]["depart"]) < 600 for label in answer.moved)
    for path in read_configuration(written).demand:
        departs = [float(v.get("depart")) for v in root_of(path) if v.tag in ("trip", "vehicle")]
        assert departs == sorted(departs)


def test_twin_of_any_configuration_answers_by_mode(scenario):
    config, _ = scenario
    built = bologna.build(
        sumocfg=config, buildings=4, chargers=0, answers="modes", policies=[DistancePrice(5.0)], hours=0.5
    )
    assert built.model.answers == "modes"
    answer = built.model.sectors["travel"]
    assert answer.trips()["car"] < answer.trips("before")["car"]
    assert len(vehicles(built.model.sumocfg)) == answer.trips()["car"] + 1


def test_bologna_has_the_households_of_its_census_and_premises(scenario):
    config, _ = scenario
    city = bologna.build(sumocfg=config, buildings=8, chargers=0, hours=0.5).model
    stock, people = city.stock, city.sites["persons"].sum()
    assert people / stock.dwellings.sum() == pytest.approx(2.01)
    assert stock.floor_area.sum() / people == pytest.approx(44.2, rel=0.05)
    assert mean_size(stock.household_sizes) == pytest.approx(2.01)
    assert sum(end - begin for begin, end in stock.heated_hours) == pytest.approx(9.6)
    assert city.sectors[NAME].floor_area.sum() == pytest.approx(stock.floor_area.sum() * 0.1 / 0.8)
    without = bologna.build(sumocfg=config, buildings=8, chargers=0, hours=0.5, services=0.0).model
    assert not without.sectors[NAME].labels
    assert access.indicators(None, without) == {}
    assert set(access.indicators(None, city)) == {"15-minute access, on foot", "15-minute access, by bicycle"}


def test_drivers_that_a_zone_bars_take_another_mode_or_stay_and_nobody_else_moves(tmp_path):
    """Every other car is a diesel of an old standard; zones of half of the network and of some hours."""
    net = eixample_streets(tmp_path, 2, 2)
    edges = [e for e in read_net(net).getEdges(withInternal=False) if e.getOutgoing()]
    lines = [
        f'<vType id="{name}" vClass="passenger" emissionClass="HBEFA4/PC_diesel_{euro}"/>'
        for name, euro in (("old", "Euro-3"), ("new", "Euro-6d"))
    ]
    for k in range(120):
        start = edges[k % len(edges)]
        end = next(iter(start.getOutgoing()))
        way = f'<route edges="{start.getID()} {end.getID()}"/>'
        lines.append(f'<vehicle id="v{k}" type="{"old" if k % 2 else "new"}" depart="{k * 10}">{way}</vehicle>')
    (tmp_path / "r.rou.xml").write_text("<routes>\n" + "\n".join(lines) + "\n</routes>\n")
    config = tmp_path / "zone.sumocfg"
    config.write_text(
        f'<configuration><input><net-file value="{net.name}"/><route-files value="r.rou.xml"/></input>'
        '<time><begin value="0"/><end value="1800"/></time></configuration>'
    )

    def zoned(answers="modes", **zone):
        return bologna.build(
            sumocfg=config, buildings=4, chargers=0, answers=answers, policies=[LowEmissionZone(**zone)], hours=0.5
        ).model

    city = zoned(replaced=0.0)
    answer = city.sectors["travel"]
    moved = set(answer.tours.index[answer.tours["mode"] != answer.tours["before"]])
    assert moved == {f"v{k}" for k in range(1, 120, 2)}
    assert set(vehicles(city.sumocfg)) == {f"v{k}" for k in range(0, 120, 2)}
    assert {MODES.index("public"), STAYS} <= set(answer.tours["mode"]) - {CAR}
    told = travel_indicators(answer)["trips, public"]
    assert told.value > 0
    assert "against the base case" in told.about
    half = zoned(replaced=0.5)
    assert set(vehicles(city.sumocfg)) < set(vehicles(half.sumocfg)) < set(vehicles(config))
    # 0 h is when the files begin: the zone of the evening concerns nobody
    late = zoned(replaced=0.0, from_hour=20, to_hour=21)
    assert set(vehicles(late.sumocfg)) == set(vehicles(config))
    assert (late.sectors["travel"].tours["mode"] == CAR).all()
    assert "travel" not in zoned("routes").sectors
