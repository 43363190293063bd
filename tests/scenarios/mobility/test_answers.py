"""Demand that answers by mode: travellers, costs, skims and the equilibrium with the streets."""

import numpy as np
import pytest

from cosim.core import CosimError
from cosim.scenarios.indicators.travel import travel_indicators
from cosim.scenarios.measures import always, between
from cosim.scenarios.mobility.choice import BICYCLE, CAR, MODES, PUBLIC, RIDE, STAYS
from cosim.scenarios.mobility.costs import (
    FARE_EUR,
    FUEL_EUR_KM,
    MONEY_SCALE,
    PARKING_EUR,
    TASTES,
    TravelChanges,
    utility_changes,
)
from cosim.scenarios.mobility.population import Habits
from cosim.scenarios.mobility.resident_cars import city_demand, plan_day
from cosim.scenarios.mobility.skims import StreetTimes
from cosim.scenarios.mobility.travellers import FIRM, OUTSIDERS
from cosim.scenarios.streets.eixample import building_sites, eixample_streets
from cosim.scenarios.streets.network import read_net

RATES = {"visitor_trips_per_person": 0.3, "through_trips_per_person": 0.3}
HABITS = Habits(modes={"car": 0.15, "motorcycle and passenger": 0.10, "public": 0.22, "active": 0.53})


@pytest.fixture(scope="module")
def district(tmp_path_factory):
    folder = tmp_path_factory.mktemp("district")
    return eixample_streets(folder, 2, 2), building_sites(2, 2).assign(persons=8.0), folder


@pytest.fixture(scope="module")
def plans(district):
    net, sites, folder = district
    edges = [edge.getID() for edge in read_net(net).getEdges(withInternal=False)]
    changes = {
        "fixed": None,
        "same": TravelChanges(),
        "charge": TravelChanges(toll=dict.fromkeys(edges, between(7, 20, 1.0, 0.0))),
        "service": TravelChanges(headway=0.5, fare=0.5),
        "free charge": TravelChanges(toll=dict.fromkeys(edges, always(0.0))),
    }
    return {
        name: plan_day(net, sites, folder / name, 5, habits=HABITS, changes=change, **RATES)
        for name, change in changes.items()
    }


def test_each_cost_changes_the_mode_that_pays_it():
    km = np.array([4.4])
    euro = TASTES.money * MONEY_SCALE
    none = utility_changes(TravelChanges(), km)
    assert (none == 0).all()
    assert not np.signbit(none).any()
    fuel = utility_changes(TravelChanges(fuel=2.0), km)[0]
    assert fuel[CAR] == pytest.approx(euro * FUEL_EUR_KM * 4.4)
    assert fuel[RIDE] == pytest.approx(fuel[CAR] / 2)
    assert fuel[PUBLIC] == 0
    fare = utility_changes(TravelChanges(fare=1.5), km)[0]
    assert np.flatnonzero(fare).tolist() == [PUBLIC]
    assert fare[PUBLIC] == pytest.approx(euro * FARE_EUR / 2)
    waiting = utility_changes(TravelChanges(headway=2.0), km)[0]
    assert waiting[PUBLIC] == pytest.approx(2.85 * -0.025501 * 5)
    assert utility_changes(TravelChanges(bus_time=0.8), km)[0, PUBLIC] > 0
    assert np.flatnonzero(utility_changes(TravelChanges(cycling=0.8), km)[0]).tolist() == [BICYCLE]
    stay = utility_changes(TravelChanges(parking=2.0), np.array([4.4, 4.4]), pays_parking=np.array([True, False]))
    assert stay[:, CAR] == pytest.approx([euro * PARKING_EUR / 2, 0])
    time = utility_changes(TravelChanges(), km, car_min=2.0, toll_eur=1.0)[0]
    assert time[CAR] == pytest.approx(2 * TASTES.car + euro)


def test_changes_add_up_and_refuse_what_cannot():
    both = TravelChanges().slower({"a": 10.0}).slower({"a": 8.0, "b": 5.0}).slower({"a": 9.0})
    assert both.speed_limit == {"a": 8.0, "b": 5.0}
    assert TravelChanges(fuel=1.5).scaled(fuel=2.0).fuel == 3.0
    tolled = TravelChanges().tolled({"a": between(7, 20, 2.0, 0.0)})
    assert (tolled.toll_at("a", 8 * 3600), tolled.toll_at("a", 86_400 + 21 * 3600), tolled.toll_at("b", 0)) == (2, 0, 0)
    with pytest.raises(CosimError, match="two policies charge a toll on edge 'a'"):
        tolled.tolled({"a": always(1.0)})
    with pytest.raises(CosimError, match="the factor of fare is 0"):
        TravelChanges().scaled(fare=0.0)


def test_without_a_change_everybody_stays_bit_by_bit(plans):
    assert plans["same"].legs.equals(plans["fixed"].legs)
    tours = plans["same"].answer.tours
    assert (tours["mode"] == tours["before"]).all()
    assert plans["same"].answer.gaps == ()


def test_a_toll_of_nothing_moves_nobody(plans):
    """The streets are simulated again, and give the same times."""
    assert plans["free charge"].legs.equals(plans["fixed"].legs)
    answered = plans["free charge"].answer
    assert answered.gap == 0.0
    assert (answered.tours["car_min"] == answered.tours["car_min_before"]).all()


def test_a_charge_takes_cars_off_the_road_and_nobody_else_moves(plans):
    tours = plans["charge"].answer.tours
    moved = tours[tours["mode"] != tours["before"]]
    assert len(moved) > 20
    # streets have become faster for the few who pay nothing: they may come back to the car
    assert (moved["before"] == CAR).mean() > 0.9
    assert {PUBLIC, STAYS} <= set(moved["mode"])
    night = tours[(tours["kind"] == "through") & ~tours["depart_s"].between(7 * 3600, 20 * 3600)]
    assert (night["mode"] == night["before"]).mean() > 0.98
    assert len(plans["charge"].legs) < len(plans["fixed"].legs)


def test_those_who_keep_driving_keep_their_trips_and_routes_and_some_their_times(plans):
    """Departures move away from a toll's beginning and end; everything else stays."""
    kept = plans["charge"].legs.index.intersection(plans["fixed"].legs.index)
    assert len(kept) > 100
    moved = plans["charge"].answer.moved
    now, before = plans["charge"].legs.loc[kept], plans["fixed"].legs.loc[kept]
    assert now.drop(columns="depart_s").equals(before.drop(columns="depart_s"))
    shift = (now["depart_s"] - before["depart_s"]).to_numpy()
    assert (shift == [moved.get(label, 0.0) for label in kept]).all()
    early = shift < 0
    assert 0 < early.sum() < 0.1 * len(kept)
    assert before["depart_s"][early].between(7 * 3600, 8 * 3600).all()
    told = travel_indicators(plans["charge"].answer)["car trips at another time"]
    assert told.value == len(moved) > 0
    assert "min in the mean" in told.about
    assert travel_indicators(plans["same"].answer)["car trips at another time"].value == 0


def test_better_service_draws_from_all_modes(plans):
    answered = plans["service"].answer
    change = {name: answered.trips()[name] - answered.trips("before")[name] for name in MODES}
    assert change["public"] > 0
    assert change["car"] < 0
    assert change["walk"] < 0


def test_the_gap_is_closed_and_told(plans):
    gaps = plans["charge"].answer.gaps
    assert len(gaps) > 1
    assert gaps[-1] <= 0.002 < gaps[0]


def test_shares_of_the_base_case_are_those_of_the_day(district, plans):
    tours = plans["same"].answer.tours
    assert set(tours["purpose"]) == set(FIRM)
    others = tours[tours["kind"] != "home"]
    share = OUTSIDERS["car"] / sum(OUTSIDERS.values())
    assert (others["before"] == CAR).mean() == pytest.approx(share, abs=0.04)
    assert tours["distance_km"][tours["before"] == 4].mean() < 3 < tours["distance_km"][tours["before"] == CAR].mean()


def test_same_seed_gives_the_same_day(district, plans, monkeypatch):
    monkeypatch.setenv("COSIM_BUILT", "off")
    net, sites, folder = district
    changes = TravelChanges(headway=0.5, fare=0.5)
    again = plan_day(net, sites, folder / "again", 5, habits=HABITS, changes=changes, **RATES)
    assert again.legs.equals(plans["service"].legs)
    assert again.answer.tours.equals(plans["service"].answer.tours)


def test_demand_carries_the_answer(district):
    net, sites, folder = district
    demand = city_demand(
        net, sites, folder / "demand", 5, habits=HABITS, ev_share=0.0, changes=TravelChanges(), **RATES
    )
    assert demand.answer is not None
    assert city_demand(net, sites, folder / "fixed demand", 5, habits=HABITS, ev_share=0.0).answer is None


def test_scarce_spaces_are_rationed_by_price(district, plans):
    net, sites, folder = district
    plan = plan_day(net, sites, folder / "spaces", 5, habits=HABITS, changes=TravelChanges(spaces=0.6), **RATES)
    tours = plan.answer.tours[plan.answer.tours["pays_parking"]]
    assert (tours["mode"] == CAR).sum() == pytest.approx(0.6 * (tours["before"] == CAR).sum(), rel=0.12)
    elsewhere = plan.answer.tours[~plan.answer.tours["pays_parking"]]
    assert (elsewhere["mode"] == elsewhere["before"]).mean() > 0.98


def test_limits_closures_and_tolls_change_times_and_routes(district):
    net, _, folder = district
    network = read_net(net)
    edges = [edge.getID() for edge in network.getEdges(withInternal=False)]
    slow = StreetTimes(net, folder / "slow", TravelChanges(speed_limit=dict.fromkeys(edges, 5.0)), 0)
    fast = StreetTimes(net, folder / "fast", TravelChanges(), 0)
    assert all(slow.free_s[edge] > fast.free_s[edge] for edge in edges)
    first = edges[0]
    after = str(next(iter(network.getEdge(first).getOutgoing())).getID())
    route = [first, after]
    skims = fast.simulate([("car", 100.0, route)])
    assert 0 < skims.time_s(route, 100.0) < 200
    assert fast.simulate([]).time_s(route, 0.0) == pytest.approx(fast.free_s[first] + fast.free_s[after])
    closed = StreetTimes(net, folder / "closed", TravelChanges(closed=frozenset([after])), 0)
    beyond = str(next(iter(network.getEdge(after).getOutgoing())).getID())
    assert closed.barred([first, after, beyond])
    assert not closed.barred(route)
    around = closed.detours({"car": (0.0, [first, after, beyond])}, skims)
    assert all(after not in edges for edges in around.values())
    charged = StreetTimes(net, folder / "charged", TravelChanges(toll={after: between(7, 20, 2.0, 0.0)}), 0)
    assert charged.detours({"car": (8 * 3600.0, [first, after, beyond])}, skims).keys() <= {"car"}
    assert charged.detours({"car": (0.0, [first, after, beyond])}, skims) == {}
    assert (charged.tolls_eur(route, 8 * 3600.0), charged.tolls_eur(route, 0.0)) == (2.0, 0.0)
    assert charged.length_km(route) > 0.2


def test_unknown_modes_are_refused(district):
    net, sites, folder = district
    habits = Habits(modes={"car": 0.2, "boat": 0.8})
    with pytest.raises(CosimError, match="does not know the mode 'boat'"):
        plan_day(net, sites, folder / "boat", 0, habits=habits, changes=TravelChanges())
