"""What SUMO makes of the charging stations that are written for it."""

from xml.sax.saxutils import quoteattr

import defusedxml.ElementTree
import numpy as np
import pytest

from cosim.adapters.traffic.installation import run_sumo_tool
from cosim.scenarios.mobility.cars import ONBOARD_W, vehicle_types
from cosim.scenarios.mobility.chargers import DELAY_S, _nearest_free, place_chargers, write_chargers
from cosim.scenarios.mobility.drives import CarDay
from cosim.scenarios.mobility.routing import write_xml
from cosim.scenarios.streets.eixample import building_sites, eixample_streets

STAYS_S = 3_600


def test_who_parks_at_a_station_charges_and_who_queues_beside_it_does_not(tmp_path):
    net, sites = eixample_streets(tmp_path, 3, 3), building_sites(3, 3).assign(persons=8.0)
    stations, day = place_chargers(net, sites, 18, 36, seed=5), CarDay(net, sites, 5)
    types = vehicle_types()
    kinds = types.index[types["capacity_wh"] > 0]
    gates = list(zip(day.entries, reversed(day.exits), strict=True))
    routes = list(types["xml"])
    for k, (station, row) in enumerate(stations.iterrows()):
        start, end = gates[k % len(gates)]
        battery = f'<param key="device.battery.chargeLevel" value="{0.6 * types.loc[kinds[k % 3], "capacity_wh"]}"/>'
        stop = f'<stop chargingStation={quoteattr(str(station))} parking="true" until="{600 + STAYS_S}"/>'
        routes.append(
            f'<trip id="parks.{k}" type="{kinds[k % 3]}" depart="{k}" from="{start}" to="{end}" via="{row["edge"]}">'
            f"{battery}{stop}</trip>"
        )
    # Ten times as many electric cars pass, and wait at red lights beside the stations.
    for k in range(10 * len(stations)):
        start, end = gates[k % len(gates)]
        routes.append(
            f'<trip id="passes.{k}" type="{kinds[k % 3]}" depart="{600 + 2 * k}" from="{start}" to="{end}">'
            f'<param key="device.battery.chargeLevel" value="20000"/></trip>'
        )
    output = tmp_path / "charged.xml"
    run_sumo_tool(
        "sumo",
        "--net-file",
        net,
        "--route-files",
        write_xml(tmp_path / "cars.rou.xml", "routes", routes),
        "--additional-files",
        write_chargers(stations, tmp_path / "chargers.add.xml"),
        "--chargingstations-output",
        output,
        "--chargingstations-output.aggregated",
        "true",
        "--chargingstations-output.aggregated.write-unfinished",
        "true",
        "--no-step-log",
    )
    events = list(defusedxml.ElementTree.parse(output).getroot().iter("chargingEvent"))
    found = {(e.get("vehicle"), e.get("chargingStationId")): e for e in events}
    energy = {key: float(event.get("totalEnergyChargedIntoVehicle")) for key, event in found.items()}
    parked = {(f"parks.{k}", str(station)) for k, station in enumerate(stations.index)}
    queued = energy.keys() - parked
    assert len(queued) > 10
    assert all(energy[key] == 0 for key in queued)
    for name, station in parked:
        begin = float(found[name, station].get("chargingBegin"))
        capacity = float(found[name, station].get("maximumBatteryCapacity"))
        # Into the battery goes what the point gives from the grid, at most what a car takes, until it is full.
        rate = min(stations.loc[station, "power_w"] * stations.loc[station, "efficiency"], ONBOARD_W)
        whole = rate * (600 + STAYS_S - begin - DELAY_S) / 3600
        # Driving there took less than 0.6 kWh.
        assert energy[name, station] == pytest.approx(min(whole, 0.4 * capacity), abs=600)


def test_nearest_free_stretches_are_those_of_a_search_over_all():
    random = np.random.default_rng(0)
    doors, middle = random.uniform(0, 100, (60, 2)).round(), random.uniform(0, 100, (80, 2)).round()
    doors[30:] = doors[0]  # all around are taken
    free, expected = np.ones(len(middle), bool), []
    for door in doors:
        expected.append(int(np.argmin(np.where(free, np.hypot(*(middle - door).T), np.inf))))
        free[expected[-1]] = False
    assert _nearest_free(doors, middle) == expected
