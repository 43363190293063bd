"""Tests of through traffic in counted numbers, and of kinds of vehicles."""

import itertools
from collections import Counter, defaultdict

import defusedxml.ElementTree
import numpy as np
import pytest

from cosim.core import CosimError
from cosim.scenarios.mobility.cars import vehicle_types
from cosim.scenarios.mobility.drives import BOLOGNA_BY_HOUR, CarDay
from cosim.scenarios.mobility.kinds import BARCELONA, SUMO_TYPES, draw_kinds
from cosim.scenarios.mobility.resident_cars import city_demand
from cosim.scenarios.mobility.through import TURNING, Others, through_flows
from cosim.scenarios.streets.classes import CALM, MAIN, ORDINARY, class_named, street_classes
from cosim.scenarios.streets.eixample import building_sites, eixample_streets, street_ways
from cosim.scenarios.streets.network import read_net

CLASSES = street_classes(3, 3)


@pytest.fixture(scope="module")
def district(tmp_path_factory):
    net = eixample_streets(tmp_path_factory.mktemp("district"), 3, 3, classes=CLASSES)
    return net, building_sites(3, 3).assign(persons=1.0)


@pytest.fixture(scope="module")
def day(district):
    return CarDay(*district, seed=5, by_hour=BOLOGNA_BY_HOUR)


def test_flows_follow_existing_connections_and_sum_to_the_traffic_of_the_classes(district):
    net, flows = read_net(district[0]), through_flows(3, 3, CLASSES)
    for row in flows.itertuples():
        way = row.edges.split()
        assert (way[0], way[-1]) == (row.entry, row.exit)
        for a, b in itertools.pairwise(way):
            assert net.getEdge(b) in net.getEdge(a).getOutgoing()
    assert not flows.duplicated(["entry", "exit"]).any()
    assert flows["per_day"].sum() == pytest.approx(sum(kind.through_per_day for kind in CLASSES.values()))
    straight = {(way[0], way[-1]) for _, way in street_ways(3, 3)}
    on = [(row.entry, row.exit) in straight for row in flows.itertuples()]
    assert flows["per_day"][on].sum() == pytest.approx((1 - TURNING) * flows["per_day"].sum())


def test_streets_carry_about_the_traffic_of_their_class():
    passed = defaultdict(float)
    for row in through_flows(6, 6, street_classes(6, 6)).itertuples():
        for edge in row.edges.split():
            passed[frozenset(edge.split("-"))] += row.per_day
    street = {frozenset(e.split("-")): name for name, way in street_ways(6, 6) for e in way}
    by_class = defaultdict(list)
    for section, vehicles in passed.items():
        by_class[street_classes(6, 6)[street[section]].name].append(vehicles)
    means = {name: np.mean(values) for name, values in by_class.items()}
    assert means["main"] == pytest.approx(MAIN.through_per_day, rel=0.1)
    assert means["ordinary"] == pytest.approx(ORDINARY.through_per_day, rel=0.2)
    assert CALM.through_per_day < means["calm"] < 2 * CALM.through_per_day  # those who turn into it


def test_larger_flows_keep_the_vehicles_of_smaller_ones(day):
    flows = through_flows(3, 3, CLASSES, 0.01)
    few = day.flows(flows)["depart_s"].to_dict()
    more = day.flows(flows.assign(per_day=1.5 * flows["per_day"]))["depart_s"].to_dict()
    assert len(few) == pytest.approx(flows["per_day"].sum(), abs=4 * len(flows) ** 0.5)
    assert few.items() <= more.items()


def test_departures_follow_bologna_s_profile(day):
    drives = day.flows(through_flows(3, 3, CLASSES, 0.1))
    count = np.histogram(drives["depart_s"], np.arange(25) * 3600)[0]
    expected = len(drives) * np.array(BOLOGNA_BY_HOUR) / sum(BOLOGNA_BY_HOUR)
    assert (np.abs(count - expected) < 4 * np.sqrt(expected) + 1).all()
    assert expected.argmax() == 8


def test_kinds_have_their_published_shares_and_stay_with_their_vehicle():
    labels = [f"v{k}" for k in range(20_000)]
    kinds = draw_kinds(labels, 3, BARCELONA)
    found = Counter(kinds.values())
    assert sum(BARCELONA.values()) == pytest.approx(1)
    for kind, share in BARCELONA.items():
        assert found[kind] / len(labels) == pytest.approx(share, abs=4 * (share / len(labels)) ** 0.5)
    assert draw_kinds(labels[7:9], 3, BARCELONA) == {label: kinds[label] for label in labels[7:9]}


def test_unknown_kinds_and_shares_that_are_none_are_refused():
    with pytest.raises(CosimError, match="unknown kind of vehicle 'tram'"):
        draw_kinds(["a"], 0, {"car": 0.5, "tram": 0.5})
    with pytest.raises(CosimError, match="shares of the kinds"):
        draw_kinds(["a"], 0, {"car": 0.0})
    with pytest.raises(CosimError, match="unknown street class 'highway'"):
        class_named("highway")


def test_demand_has_all_kinds_in_the_window_only_and_electric_ones_among_cars(district, tmp_path):
    others = Others(through_flows(3, 3, CLASSES, 0.02), BARCELONA, BOLOGNA_BY_HOUR, (8 * 3600, 12 * 3600))
    demand = city_demand(
        *district, tmp_path, 2, ev_share=0.5, visitor_trips_per_person=2.0, others=others, settle_days=1
    )
    through = demand.vehicles[demand.vehicles["purpose"] == "through"]
    assert through["depart_s"].between(8 * 3600, 12 * 3600).all()
    assert set(through["type"]) >= SUMO_TYPES.keys()
    visits = demand.vehicles[demand.vehicles["purpose"] == "visit"]
    assert "van" in set(visits["type"])
    assert "bus" not in set(visits["type"])
    electric = demand.vehicles[demand.vehicles["electric"]]
    assert not electric["type"].isin(SUMO_TYPES).any()
    written = defusedxml.ElementTree.parse(demand.additional[0]).getroot()
    classes = {kind.get("id"): kind.get("vClass") for kind in written.iter("vType")}
    assert {name: kind.vehicle_class for name, kind in SUMO_TYPES.items()}.items() <= classes.items()


def test_types_of_other_kinds_are_written_only_where_they_drive():
    assert not set(vehicle_types().index) & SUMO_TYPES.keys()
    assert {"bus", "van"} <= set(vehicle_types(["bus", "car", "van"]).index)
