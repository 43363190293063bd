"""Tests of the twins with residents' cars that drive in SUMO with their own batteries and charge from the grid."""

import copy
import dataclasses

import numpy as np
import pytest

from cosim.core.fleet.climate import climate_share
from cosim.core.fleet.model import LEDGER
from cosim.core.quantities import J_PER_KWH
from cosim.core.trips import TripState
from cosim.scenarios import bologna, eixample
from cosim.scenarios.policies import RooftopPv
from cosim.scenarios.policies.policy import Policy
from tests.support.paths import BOLOGNA
from tests.support.traffic_runs import rows

ACOSTA = BOLOGNA / "acosta" / "run.sumocfg"


CARS_ALONE = {"blocks": (2, 2), "services": 0.0, "through_traffic": 0.0}


@pytest.fixture(scope="module")
def morning(tmp_path_factory):
    scenario = eixample.build(
        **CARS_ALONE, hours=4, begin_hour=6, ev_share=0.5, charging="grid-limited", grid_step_s=300
    )
    return scenario.run(tmp_path_factory.mktemp("twin") / "run", double=True)


def ledger(result):
    return dict(result.series("fleet.energy").iloc[-1][list(LEDGER)])


def test_driving_energy_is_that_of_sumo_plus_the_ways_beyond_the_border(morning):
    plan_driven = morning.series("traffic.trip_energy").iloc[-1].sum()
    assert plan_driven > 5 * J_PER_KWH
    assert ledger(morning)["driven"] > plan_driven
    assert ledger(morning)["without charge"] == 0


def test_charging_energy_arrives_in_the_grid(morning):
    sold = morning.integral("fleet.charging_power").sum()
    assert sold > 50 * J_PER_KWH
    assert ledger(morning)["drawn"] == pytest.approx(sold, rel=1e-9)
    loads = morning.total("buildings.electric_power") + morning.total("fleet.charging_power")
    means = loads.resample("5min", closed="right", label="right").mean()
    imported, losses = morning.total("grid.grid_import"), morning.total("grid.losses")
    assert np.abs(imported - losses - means).max() <= 1e-6 * means.max()
    assert (morning.ledger["residual"] < 1e-9).all()


def test_every_permitted_trip_is_made(morning):
    state = morning.series("traffic.trip_state").iloc[-1]
    allowed = morning.series("fleet.may_depart").iloc[-1]
    assert (state == 2).sum() > 100
    assert (allowed[state == 2] == 1).all()
    assert (state[allowed < 0] == 3).all()


class Batteries(Policy):
    """Every electric car begins with the same state of charge, not plugged in."""

    soc: float

    def change_city(self, city):
        if city.fleet is None:
            return city
        n = city.fleet.n_vehicles
        vehicles = city.fleet.vehicles | {"soc": np.full(n, self.soc), "plugged": np.zeros(n)}
        return dataclasses.replace(city, fleet=dataclasses.replace(city.fleet, vehicles=vehicles))


class WeakTransformers(Policy):
    """Every low-voltage transformer has a fraction of its rating."""

    share: float

    def change_city(self, city):
        net = copy.deepcopy(city.grid.net)
        net.trafo["sn_mva"] *= self.share
        fleet = dataclasses.replace(city.fleet, rating_w=city.fleet.rating_w * self.share)
        return dataclasses.replace(city, grid=dataclasses.replace(city.grid, net=net), fleet=fleet)


class Fussy(Policy):
    """The stations of one transformer charge at no less than 1.1 times the nominal voltage."""

    def change_city(self, city):
        plan = city.fleet
        least = np.where(plan.transformer == plan.transformer[0], 1.1, 0.85)
        stations = plan.stations | {"least_voltage": least}
        return dataclasses.replace(city, fleet=dataclasses.replace(plan, stations=stations))


def test_car_short_of_charge_detours_via_a_fast_charger_in_sumo_and_charges_there_from_the_grid(tmp_path):
    scenario = eixample.build(
        **CARS_ALONE,
        hours=2,
        begin_hour=7,
        ev_share=0.2,
        charging="plain",
        building_charger_share=0.0,
        street_chargers_per_block=0.0,
        policies=[Batteries(soc=0.055)],
    )
    result = scenario.run(tmp_path / "run", double=True)
    via, state = result.series("fleet.via"), result.series("traffic.trip_state")
    led, stood = (via >= 0).any(), (state == 4).any()
    assert led.sum() == result.series("fleet.detours").iloc[-1, 0] > 10
    assert (led & stood).sum() > 5
    assert not (stood & ~led).any()
    done = led & stood & (state.iloc[-1] == 2)
    made = {trip["id"]: trip for trip in rows(tmp_path / "run" / "adapters" / "traffic" / "tripinfos.xml")}
    assert done.sum() > 2  # two points charge some four cars an hour
    for trip in done.index[done]:
        assert float(made[trip]["stopTime"]) > 60
    sold = result.integral("fleet.charging_power").sum()
    assert sold > 20 * J_PER_KWH
    assert ledger(result)["drawn"] == pytest.approx(sold, rel=1e-9)
    assert ledger(result)["without charge"] == 0
    found = result.indicators
    assert found["detours"].value == led.sum()
    assert found["way of detours"].value > 0


def by_transformer(result, plan):
    """Return the charging power behind each transformer, shape (n_steps, n_transformers). [W]"""
    power = result.series("fleet.charging_power")[list(plan.station_ids)].to_numpy()
    found = np.zeros((len(power), len(plan.transformer_ids)))
    np.add.at(found.T, plan.transformer, power.T)
    return found


def test_grid_limited_fleet_stays_within_the_headroom_published_one_exchange_step_before(tmp_path):
    loading = {}
    for charging in ("plain", "grid-limited"):
        scenario = eixample.build(
            **CARS_ALONE,
            day="2025-05-14",  # heaters switch whole kilowatts from one minute to the next
            hours=1,
            begin_hour=19.5,
            ev_share=1.0,
            charging=charging,
            building_charger_share=0.5,
            policies=[Batteries(soc=0.3), WeakTransformers(share=0.2)],
        )
        result = scenario.run(tmp_path / charging, double=True)
        plan = scenario.model.fleet
        names = list(plan.transformer_ids)
        loading[charging] = result.series("grid.transformer_loading")[names].to_numpy()
    power, left = by_transformer(result, plan), result.series("grid.transformer_headroom")[names].to_numpy()
    given = np.maximum(left[-len(power) : -1] + power[:-1], 0.0)
    assert (power[1:] <= given * (1 + 1e-9)).all()
    assert (power[1:] > 0.999 * given).mean() > 0.3
    # Without a limit most are overloaded; with it only as far as households draw more than the minute before.
    assert (loading["plain"] > 1).mean() > 0.5
    assert loading["plain"].max() > 1.5
    assert np.median(loading["grid-limited"][1:].max(axis=1)) < 1.05


def test_chargers_out_of_service_or_with_too_little_voltage_stop(tmp_path):
    scenario = eixample.build(
        **CARS_ALONE,
        hours=2,
        begin_hour=19,
        ev_share=1.0,
        charging="plain",
        building_charger_share=0.5,
        policies=[Fussy()],
    )
    plan = scenario.model.fleet
    usable = [s for s, t in zip(plan.station_ids, plan.transformer) if t != plan.transformer[0]]
    scenario.schedule("fleet.available", {"20:00": dict.fromkeys(usable[::2], 0.0)})
    result = scenario.run(tmp_path / "run", double=True)
    power = result.series("fleet.charging_power")
    refused = [s for s in plan.station_ids if s not in usable]
    # From the second exchange on they know the grid's voltage.
    assert power[refused].iloc[2:].to_numpy().max() == 0
    assert power[usable[::2]].iloc[:59].to_numpy().max() > 0
    assert power[usable[::2]].iloc[61:].to_numpy().max() == 0
    assert power[usable[1::2]].iloc[61:].to_numpy().max() > 0


def test_fleet_that_follows_photovoltaics_charges_with_the_buildings_feed_in(tmp_path):
    scenario = eixample.build(
        **CARS_ALONE,
        hours=2,
        begin_hour=11,
        day="2025-06-11",
        ev_share=1.0,
        charging="pv",
        building_charger_share=0.5,
        policies=[RooftopPv(share=1.0)],
    )
    result = scenario.run(tmp_path / "run", double=True)
    plan = scenario.model.fleet
    charged = by_transformer(result, plan)
    behind = connection(scenario, "fleet.pv_surplus")
    drawn = result.series("buildings.electric_power")[list(scenario.model.stock.ids)].to_numpy()
    surplus = np.zeros((len(drawn), len(plan.transformer_ids)))
    np.add.at(surplus.T, plan.transformer, behind @ drawn.T)
    assert (surplus > 0).mean() > 0.5
    # Each exchange takes at most what was fed in during the one before, and what a car needs that leaves soon.
    beyond = np.maximum(charged[1:] - np.maximum(surplus[:-1], 0.0), 0.0)
    # Cars begin as the days before left them: at one transformer several may need charge for a trip that is near.
    assert beyond.sum() < 0.02 * charged.sum()
    assert charged.sum() * 60 > 20 * J_PER_KWH


def connection(scenario, target):
    """Return the matrix of the connection into a port."""
    return next(c.mapping.matrix for c in scenario.connections if f"{c.target}.{c.input}" == target)


def flow(result_folder):
    """Return the trips without the columns on kind of vehicle and energy."""
    kind = ("vType", "devices")
    return [{k: v for k, v in trip.items() if k not in kind} for trip in rows(result_folder)]


@pytest.mark.slow
def test_electric_cars_leave_the_traffic_of_the_eixample_unchanged(tmp_path):
    flows, co2 = {}, {}
    for share in (0.0, 0.4):
        scenario = eixample.build(
            **CARS_ALONE, hours=2, begin_hour=6, ev_share=share, charging="plain", policies=[Batteries(soc=1.0)]
        )
        result = scenario.run(tmp_path / f"{share}")
        flows[share] = flow(tmp_path / f"{share}" / "adapters" / "traffic" / "tripinfos.xml")
        co2[share] = result.integral("traffic.co2").sum()
    assert result.series("fleet.failed_trips").iloc[-1].sum() == 0
    assert result.series("fleet.delayed_trips").iloc[-1, 0] == 0
    assert (result.series("traffic.trip_state").iloc[-1] == TripState.ARRIVED).sum() > 50
    assert co2[0.4] < 0.8 * co2[0.0]
    assert flows[0.4] == flows[0.0]


@pytest.mark.slow
@pytest.mark.skipif(not ACOSTA.is_file(), reason="the scenario of Bologna is not at ../shared/data")
def test_electric_cars_leave_the_traffic_of_bologna_unchanged(tmp_path):
    flows = {}
    for share in (0.0, 0.4):
        scenario = bologna.build(sumocfg=ACOSTA, hours=0.25, ev_share=share, buildings=50, chargers=10, seed=1)
        result = scenario.run(tmp_path / f"{share}")
        found = list((tmp_path / f"{share}" / "adapters" / "traffic").glob("*tripinfo*.xml"))
        flows[share] = flow(found[0])
    assert result.series("fleet.failed_trips").iloc[-1].sum() == 0
    assert len(flows[0.4]) > 500
    assert flows[0.4] == flows[0.0]


@pytest.mark.slow
@pytest.mark.skipif(not ACOSTA.is_file(), reason="the scenario of Bologna is not at ../shared/data")
def test_cars_of_bologna_become_electric_and_charge_where_they_park(tmp_path):
    scenario = bologna.build(sumocfg=ACOSTA, hours=0.5, ev_share=0.1, buildings=100, chargers=30, seed=1)
    result = scenario.run(tmp_path / "run", double=True)
    warmth = climate_share(float(result.series("weather.temperature").mean().iloc[0]))
    seen = result.series("traffic.trip_energy").iloc[-1].sum()
    # Beside what the traffic says there is heating; what a car recuperates cools nobody.
    assert (1 + warmth) * seen * 0.99 < ledger(result)["driven"] < (1 + warmth) * seen * 1.05
    assert result.integral("fleet.charging_power").sum() > 0
