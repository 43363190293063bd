"""A day of traffic: published profile, paired cars, sound reservations, and what SUMO makes of it."""

import itertools

import defusedxml.ElementTree
import numpy as np
import pandas as pd
import pytest

from cosim.core import CosimError
from cosim.scenarios.chargers import DELAY_S, place_chargers
from cosim.scenarios.demand import DAY_S, HOURLY_SHARE, eixample_demand
from cosim.scenarios.demand_cars import ELECTRIC, FLEET
from cosim.scenarios.streets import run_sumo_tool
from cosim.scenarios.streets_eixample import building_sites, eixample_streets


@pytest.fixture(scope="module")
def district(tmp_path_factory):
    net = eixample_streets(tmp_path_factory.mktemp("district"), 3, 3)
    sites = building_sites(3, 3).assign(persons=8.0)
    return net, sites, place_chargers(net, sites, 18, 36, seed=5)


def _demand(district, folder, **changes):
    net, sites, chargers = district
    return eixample_demand(net, sites, folder, **{"seed": 5, "chargers": chargers, "ev_share": 0.2, **changes})


@pytest.fixture(scope="module")
def day(district, tmp_path_factory):
    return _demand(district, tmp_path_factory.mktemp("day"))


def test_departures_follow_the_published_profile(district, tmp_path):
    vehicles = _demand(district, tmp_path, chargers=None, ev_share=0.0).vehicles
    assert not vehicles["electric"].any()
    count = np.histogram(vehicles["depart_s"], np.arange(25) * 3600)[0]
    expected = len(vehicles) * np.array(HOURLY_SHARE) / sum(HOURLY_SHARE)
    # Stays of at least half an hour are asked for, which shifts a little from hour to hour.
    assert (np.abs(count - expected) < 4 * np.sqrt(expected) + 0.003 * len(vehicles)).all()


def test_number_of_trips_is_that_asked_for(district, tmp_path):
    vehicles = _demand(district, tmp_path, chargers=None).vehicles
    persons = 8.0 * len(district[1])
    number = vehicles["purpose"].value_counts()
    assert number["home"] == pytest.approx(0.35 * persons, rel=0.1)
    assert number["visit"] == pytest.approx(0.15 * persons, rel=0.15)
    assert number["through"] == pytest.approx(0.4 * 0.5 * persons / 0.6, abs=1)


def test_more_electric_cars_leave_the_others_exactly_as_they_were(district, day, tmp_path):
    few, many = day.vehicles, _demand(district, tmp_path, ev_share=0.6).vehicles
    assert set(few.loc[few["electric"], "car"]) < set(many.loc[many["electric"], "car"])
    burning = many[~many["electric"]]
    assert len(burning) > 300
    pd.testing.assert_frame_equal(burning, few.loc[burning.index])


def test_an_electric_car_that_does_not_plug_in_drives_as_a_burner_would(district, day, tmp_path):
    none = _demand(district, tmp_path, ev_share=0.0).vehicles
    plugged = set(day.vehicles.loc[day.vehicles["charger"] != "", "car"])
    same = day.vehicles[day.vehicles["electric"] & ~day.vehicles["car"].isin(plugged)]
    assert len(same) > 50
    columns = ["depart_s", "edges"]
    pd.testing.assert_frame_equal(same[columns], none.loc[same.index, columns])


def test_same_seed_gives_the_same_bytes_and_another_seed_does_not(district, day, tmp_path):
    again, other = _demand(district, tmp_path / "a"), _demand(district, tmp_path / "b", seed=6)
    for first, second in zip(day.routes + day.additional, again.routes + again.additional, strict=True):
        assert first.read_bytes() == second.read_bytes()
    assert day.routes[0].read_bytes() != other.routes[0].read_bytes()


def test_no_station_is_reserved_beyond_its_points(district, tmp_path):
    vehicles = _demand(district, tmp_path, ev_share=1.0, plug_ins_per_week=7.0).vehicles
    stays = vehicles[(vehicles["charger"] != "") & (vehicles["plug_in_s"] > 0)]
    assert len(stays) > 50
    for charger, group in stays.groupby("charger"):
        use = np.zeros(1440, dtype=int)
        for begin, end in zip(group["plug_in_s"], group["plug_out_s"], strict=True):
            use[np.arange(int(begin // 60), int(end // 60)) % 1440] += 1
        assert use.max() <= district[2].loc[charger, "points"]


def test_who_stays_overnight_stands_there_at_midnight_unless_full(day):
    vehicles = day.vehicles
    evening = vehicles[vehicles["plug_out_s"] > DAY_S]
    assert len(evening) > 10
    morning = vehicles[(vehicles["charger"] != "") & (vehicles["plug_in_s"] == 0)].set_index("car")
    assert 0 < len(morning) < len(evening)
    for car in evening.itertuples():
        if car.car in morning.index:
            before = morning.loc[car.car]
            assert before["charger"] == car.charger
            assert before["plug_out_s"] + DAY_S == car.plug_out_s
            assert car.charge_wh < before["charge_wh"]


def test_all_types_follow_the_car_ahead_alike(day):
    types = list(defusedxml.ElementTree.parse(day.additional[0]).iter("vType"))
    assert {t.get("id") for t in types} == {name.split("/")[1] for name in FLEET} | set(ELECTRIC)
    ours = [{k: v for k, v in t.attrib.items() if k not in ("id", "emissionClass", "mass")} for t in types]
    assert all(one == ours[0] for one in ours)
    assert {"accel", "decel", "sigma", "tau", "length", "minGap", "vClass"} <= set(ours[0])


def test_wrong_shares_and_lost_sites_are_refused(district, tmp_path):
    with pytest.raises(CosimError, match=r"ev_share is 1\.5: it must lie between 0 and 1"):
        _demand(district, tmp_path, ev_share=1.5)
    net, sites, _ = district
    with pytest.raises(CosimError, match="sites stand at edge 'nowhere'"):
        eixample_demand(net, sites.assign(edge="nowhere"), tmp_path)


def _run(net, demand, folder):
    outputs = {name: folder / f"{name}.xml" for name in ("statistic", "chargingstations", "tripinfo")}
    run_sumo_tool(
        "sumo", "--net-file", net, "--route-files", *demand.routes, "--end", "86400", "--no-step-log",
        "--additional-files",
        ",".join(map(str, demand.additional)), "--chargingstations-output.aggregated", "true",
        "--chargingstations-output.aggregated.write-unfinished", "true", "--duration-log.statistics", "true",
        *itertools.chain.from_iterable((f"--{name}-output", path) for name, path in outputs.items()),
    )  # fmt: skip
    return {name: defusedxml.ElementTree.parse(path).getroot() for name, path in outputs.items()}


@pytest.mark.slow
def test_sumo_drives_the_day_and_every_reserved_car_charges(district, day, tmp_path):
    net, _, chargers = district
    found = _run(net, day, tmp_path)
    assert int(found["statistic"].find("vehicles").get("inserted")) == len(day.vehicles)
    assert int(found["statistic"].find("teleports").get("total")) == 0
    events = {e.get("vehicle"): e for e in found["chargingstations"].iter("chargingEvent")}
    plugged = day.vehicles[day.vehicles["charger"] != ""]
    assert set(events) >= set(plugged.index)
    # Cars that only queue beside a station get nothing.
    assert all(float(e.get("totalEnergyChargedIntoVehicle")) == 0 for n, e in events.items() if n not in plugged.index)
    for name, row in plugged.iterrows():
        event, station = events[name], chargers.loc[row["charger"]]
        assert event.get("chargingStationId") == row["charger"]
        begin, end = float(event.get("chargingBegin")), float(event.get("chargingEnd") or DAY_S)
        assert begin - row["plug_in_s"] < 900
        energy, capacity = (float(event.get(k)) for k in ("totalEnergyChargedIntoVehicle", "maximumBatteryCapacity"))
        rate = min(station["power_w"], 11_000.0) * station["efficiency"]  # from the grid, at most 11 kW a car
        whole = rate * (min(row["plug_out_s"], DAY_S) - begin - DELAY_S) / 3600
        # Into the battery goes what the point gives until it is full; driving there took less than 0.6 kWh.
        assert energy == pytest.approx(min(whole, capacity - row["charge_wh"]), abs=600)
        assert energy <= rate * (end - begin + 2) / 3600 + 1e-6


@pytest.mark.slow
def test_a_full_size_day_does_not_jam(tmp_path):
    net, sites = eixample_streets(tmp_path, 4, 4), building_sites(4, 4)
    demand = eixample_demand(net, sites, tmp_path, 1, chargers=place_chargers(net, sites, 32, 64, 1), ev_share=0.3)
    assert 6_000 < len(demand.vehicles) < 10_000
    found = _run(net, demand, tmp_path)
    vehicles, trips = found["statistic"].find("vehicles"), found["statistic"].find("vehicleTripStatistics")
    assert int(vehicles.get("inserted")) == len(demand.vehicles)
    assert int(found["statistic"].find("teleports").get("total")) < 0.005 * len(demand.vehicles)
    moving = [t for t in found["tripinfo"].iter("tripinfo") if float(t.get("stopTime")) == 0]
    speed = sum(float(t.get("routeLength")) for t in moving) / sum(float(t.get("duration")) for t in moving)
    assert 15 < speed * 3.6 < 35
    assert float(trips.get("departDelay")) < 1
