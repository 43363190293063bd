"""Tests of policies in Bologna's morning peak against the direction and magnitude of observed effects."""

import dataclasses
import importlib.util
import re
from collections import Counter

import numpy as np
import pytest

from cosim import CosimError
from cosim.adapters.traffic.files import root_of
from cosim.core.fleet.plan import join_plans
from cosim.scenarios import bologna
from cosim.scenarios.mobility.cars import car_fleet, euro_standard
from cosim.scenarios.policies import BusElectrification, CarFleet, DistancePrice, EvShare, LowEmissionZone
from cosim.scenarios.policies.trips import trips_of
from tests.support.paths import BOLOGNA, ROOT
from tests.support.policy_runs import run_traffic

ACOSTA = BOLOGNA / "acosta"
SCRIPT = ROOT / "tests" / "benchmarks" / "bologna_policies.py"
needs_data = pytest.mark.skipif(not ACOSTA.is_dir(), reason="needs ../shared/data/bologna")
DAY = {"sumocfg": ACOSTA / "run.sumocfg", "hours": 0.25, "buildings": 20}
BUSES = ("HBEFA2/HDV_6_2", "HBEFA4/UBus_Electric_Std_gt15-18t")


@pytest.fixture(scope="module")
def plain():
    return bologna.build(**DAY, chargers=2).model


@needs_data
@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_traffic_of_a_closed_superblock_reappears_around_it():
    spec = importlib.util.spec_from_file_location("bologna_policies", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = module.main("joined", seeds=1, blocks=3, at_most=1)
    cell = found["cell 0"]
    before, after = cell["before"], cell["after"]
    # Nobody begins or ends inside, so that less is left than in Barcelona's Sant Antoni (-82 %).
    assert after["inside_km"] < 0.1 * before["inside_km"]
    assert after["border_km"] > 1.17 * before["border_km"]
    assert 1.0 < after["around_km"] / before["around_km"] < 1.3
    lost = before["inside_km"] - after["inside_km"]
    elsewhere = sum(after[f"{place}_km"] - before[f"{place}_km"] for place in ("border", "around", "rest"))
    assert elsewhere > lost  # ways round are longer
    assert after["arrived"] + after["cancelled"] == before["arrived"]
    assert after["cancelled"] == 0
    base, slow = found["base"], found["30 km/h"]
    assert 0.6 < slow["speed_kmh"] / base["speed_kmh"] < 0.9
    assert slow["km"] == pytest.approx(base["km"], rel=0.02)  # nobody gives a trip up


@needs_data
def test_zone_for_emission_classes_without_a_euro_standard_is_refused(plain):
    with pytest.raises(CosimError, match="names no Euro standard; put CarFleet before it"):
        LowEmissionZone().change_city(plain)


@needs_data
def test_cars_of_bologna_get_the_euro_standards_of_the_italian_fleet(plain):
    trips = trips_of(CarFleet().change_city(plain))
    counts = Counter(trip.emission_class for trip in trips if trip.vehicle_class != "bus")
    n, fleet = counts.total(), car_fleet("IT")
    assert n > 8000
    assert counts.keys() <= fleet.keys()
    for name, share in fleet.items():
        assert counts[name] / n == pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / n)), name


@needs_data
def test_zone_in_bologna_replaces_banned_cars(plain, tmp_path):
    base = CarFleet().change_city(plain)
    zone = LowEmissionZone(replaced=1.0).change_city(base)
    banned = [
        name
        for name in car_fleet("IT")
        if (standard := euro_standard(name)) and standard[1] < {"petrol": 4, "diesel": 6}[standard[0]]
    ]
    before, after = (run_traffic(city, tmp_path / name, hours=0.2) for name, city in (("base", base), ("zone", zone)))
    assert float(before.integral("traffic.co2_by_class")[banned].sum()) > 0
    assert float(after.integral("traffic.co2_by_class")[banned].sum()) == 0
    assert float(after.total("traffic.inserted").iloc[-1]) == pytest.approx(
        float(before.total("traffic.inserted").iloc[-1]), rel=0.02
    )
    # Old diesels emit most of the oxides of nitrogen.
    assert float(after.integral("traffic.nox").sum()) < 0.7 * float(before.integral("traffic.nox").sum())


@needs_data
def test_price_by_distance_shortens_routes(plain, tmp_path):
    ways = [
        {
            trip.get("id"): float(trip.get("routeLength"))
            for trip in root_of(result.folder / "adapters" / "traffic" / "tripinfos.xml").iter("tripinfo")
        }
        for result in (
            run_traffic(city, tmp_path / name, hours=0.2)
            for name, city in (("free", plain), ("priced", DistancePrice(1.0).change_city(plain)))
        )
    ]
    both = ways[0].keys() & ways[1].keys()
    free, priced = (sum(way[trip] for trip in both) / len(both) for way in ways)
    assert len(both) > 300
    assert priced < 0.99 * free


@needs_data
def test_car_fleet_of_a_country_without_figures_is_refused(plain):
    with pytest.raises(CosimError, match="no country 'ES': it has IT"):
        CarFleet().change_city(dataclasses.replace(plain, country="ES"))


@needs_data
def test_electric_buses_emit_nothing_and_charge_from_the_grid(tmp_path):
    day = {**DAY, "chargers": 0}
    result = bologna.build(**day, policies=[BusElectrification()]).run(tmp_path / "run")
    plain = bologna.build(**day).run(tmp_path / "plain")
    driven = result.series("traffic.trip_energy").iloc[-1] / 3.6e6
    assert (driven > 0).sum() > 20
    assert float(plain.integral("traffic.co2_by_class")[BUSES[0]]) > 50
    assert float(result.integral("traffic.co2_by_class")[list(BUSES)].sum()) < 1e-6
    assert float(result.total("fleet.charging_power").max()) > 0
    assert (result.ledger["residual"] < 1e-6).all()
    assert any(name.startswith("transformer of ") for name in result.series("grid.transformer_loading").columns)


@needs_data
def test_electric_buses_and_cars_charge_as_one_fleet(tmp_path):
    day = {**DAY, "chargers": 20}
    both = bologna.build(**day, policies=[EvShare(0.3), BusElectrification()])
    cars, buses = (
        bologna.build(**day, policies=[policy]).model.fleet for policy in (EvShare(0.3), BusElectrification())
    )
    fleet = both.model.fleet
    assert fleet.vehicle_ids == cars.vehicle_ids + buses.vehicle_ids
    assert fleet.energy_j.sum() == pytest.approx(cars.energy_j.sum() + buses.energy_j.sum())
    result = both.run(tmp_path / "run")
    driven = result.series("traffic.trip_energy").iloc[-1]
    assert (driven[list(cars.trip_ids)] > 0).sum() > 100
    assert (driven[list(buses.trip_ids)] > 0).sum() > 20
    assert float(result.integral("traffic.co2_by_class")[list(BUSES)].sum()) < 1e-6
    power = result.series("fleet.charging_power")
    assert float(power[list(buses.station_ids)].max().max()) > 0
    assert (result.ledger["residual"] < 1e-6).all()


@needs_data
def test_each_vehicle_of_two_fleets_keeps_its_trips_places_and_chargers():
    build = {"sumocfg": ACOSTA / "run.sumocfg", "hours": 0.1, "buildings": 20, "chargers": 5}
    cars, buses = (
        bologna.build(**build, policies=[policy]).model.fleet for policy in (EvShare(0.1), BusElectrification())
    )
    both = join_plans(cars, buses)

    def tale(plan, i):
        trips = range(plan.first_trip[i], plan.first_trip[i + 1])
        assert all(plan.trip_vehicle[k] == i for k in trips)
        places = [plan.place_ids[p] for k in trips for p in (plan.origin[k], plan.destination[k])]
        home = plan.home[i]
        offers = plan.offers[plan.first_offer[home] : plan.first_offer[home + 1]]
        behind = [(plan.station_ids[s], plan.transformer_ids[plan.transformer[s]]) for s in offers]
        return [plan.trip_ids[k] for k in trips], places, plan.place_ids[home], plan.zone_ids[plan.zone[home]], behind

    for part, first in ((cars, 0), (buses, len(cars.vehicle_ids))):
        for i in range(part.n_vehicles):
            assert tale(both, first + i) == tale(part, i)
    with pytest.raises(CosimError, match=re.escape("in common: rename it")):
        join_plans(cars, cars)


@needs_data
def test_a_low_emission_zone_survives_cars_that_leave_as_they_are_turned_away(tmp_path):
    day = {**DAY, "hours": 0.05, "chargers": 2}
    result = bologna.build(**day, policies=[CarFleet(), LowEmissionZone()]).run(tmp_path / "run")
    assert result.status == "finished"
    assert result.indicators["trips cancelled"].value > 0
