"""Tests of policies that travellers answer to by their mode: each has its documented effect and no other."""

import types
from typing import Any

import numpy as np
import pytest

from cosim import CosimError
from cosim.scenarios.mobility.choice import BICYCLE, CAR, PUBLIC, STAYS, Frequency, respond
from cosim.scenarios.mobility.costs import TravelChanges, utility_changes
from cosim.scenarios.policies import (
    BusLanes,
    CordonPrice,
    CycleLanes,
    DistancePrice,
    FuelPrice,
    Parking,
    SpeedLimit,
    Superblocks,
    TransitService,
)
from cosim.scenarios.policies.policy import Policies
from cosim.scenarios.streets.eixample import eixample_streets

SHARES = np.array([[0.3, 0.1, 0.35, 0.05, 0.2]])


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    return eixample_streets(tmp_path_factory.mktemp("net"), 4, 4)


def moved(net, *policies):
    """Return the change of each alternative's share under policies."""
    changes = Policies(policies).change_travel(TravelChanges(), net)
    change = utility_changes(changes, np.array([6.0]), pays_parking=np.array([True]))
    return (respond(SHARES, change, Frequency(0.8)) - np.append(SHARES, [[0.0]], axis=1))[0]


def test_dearer_fuel_takes_trips_from_the_car(net):
    shift = moved(net, FuelPrice(0.5))
    assert shift[CAR] < 0 < shift[PUBLIC]
    assert shift[STAYS] > 0
    assert moved(net, FuelPrice(-0.5))[CAR] > 0


def test_more_frequent_and_cheaper_service_draws_passengers(net):
    both, frequent, cheap = (moved(net, TransitService(*v)) for v in ((0.5, 0.5), (0.5, 1.0), (1.0, 0.5)))
    assert both[PUBLIC] > max(frequent[PUBLIC], cheap[PUBLIC]) > 0
    assert both[CAR] < 0
    assert (moved(net, TransitService(1.0, 1.0)) == 0).all()


def test_bus_lanes_draw_passengers_by_the_time_they_save(net):
    assert moved(net, BusLanes(0.3))[PUBLIC] > moved(net, BusLanes(0.1))[PUBLIC] > 0


def test_cycle_lanes_draw_cyclists_within_what_cities_measured(net):
    more = moved(net, CycleLanes())[BICYCLE] / SHARES[0, BICYCLE]
    assert 0.11 < more < 0.60


def test_parking_binds_by_price_and_by_spaces(net):
    assert moved(net, Parking(increase=1.0))[CAR] < 0
    changes = Parking(increase=0.0, removed=0.4, occupancy=0.8).change_travel(TravelChanges(), net)
    assert changes.spaces == pytest.approx(0.75)
    answered: Any = types.SimpleNamespace(answers="modes")
    assert Parking(increase=1.0).change_city(answered) is answered


def test_tolls_limits_and_closures_reach_the_costs_of_travel(net):
    assert len(CordonPrice(3.0).change_travel(TravelChanges(), net).toll) > 2
    by_length = DistancePrice(1.0).change_travel(TravelChanges(), net)
    assert 0.05 < by_length.toll_at(next(iter(by_length.toll)), 0.0) < 0.4
    slow = SpeedLimit(30).change_travel(TravelChanges(), net)
    assert set(slow.speed_limit.values()) == {30 / 3.6}
    block = Superblocks(cells=1).change_travel(TravelChanges(), net)
    assert block.closed == set(block.speed_limit)
    assert max(block.speed_limit.values()) <= 20 / 3.6 + 1e-9


@pytest.mark.parametrize("policy", [FuelPrice(), TransitService(), BusLanes(), CycleLanes()], ids=str)
def test_policies_that_need_an_answer_are_refused_without_one(policy):
    with pytest.raises(CosimError, match="build the scenario with answers=modes"):
        policy.change_city(types.SimpleNamespace(answers="routes"))
