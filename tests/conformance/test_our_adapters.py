"""The conformance checks of the adapters of this project."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pandapower as pp

from cosim.adapters.buildings import Buildings
from cosim.adapters.environment import Environment
from cosim.adapters.fleet import Fleet
from cosim.adapters.grid import Grid
from cosim.adapters.premises import Premises
from cosim.adapters.tariff import Tariff
from cosim.adapters.traffic import Traffic
from cosim.adapters.weather import Weather, load
from cosim.core import Clock, Input
from cosim.core.environment.streets import Streets
from cosim.core.fleet.plan import FleetPlan
from cosim.engine.timetable import Timetable
from cosim.scenarios.buildings.stock import make_stock
from cosim.scenarios.environment.sound import paths_of
from cosim.testing import Rig, parametrize_with_checks
from tests.support.fleet_tables import one_car

CLOCK = Clock("2025-01-15T12:00", hours=2, step_s=60, zone="Europe/Madrid")


year = functools.cache(load)


def weather():
    return Weather(CLOCK, year("barcelona"))


def buildings():
    stock = make_stock(
        ["a", "b", "c"],
        ["ES.ME.AB.03"] * 3,
        floor_area=1500.0,
        storeys=6,
        attached=2,
        azimuths=45.0,
        heat_pump_share=0.5,
    )
    return Buildings(stock, CLOCK, seed=3)


def grid():
    net = pp.create_empty_network()
    a, b, c = (pp.create_bus(net, 0.4, name=name) for name in "abc")
    pp.create_ext_grid(net, a, name="up")
    for start, end in ((a, b), (b, c)):
        pp.create_line_from_parameters(net, start, end, 0.2, 0.13, 0.08, 0.0, 0.3, name=f"cable {start}")
    return Grid(net, connection_points={"flat": b, "shop": c})


@functools.cache
def town() -> Path:
    """Return a SUMO configuration: crossroads and some cars, one of which is electric and charges."""
    home = Path(str(__import__("sumo").SUMO_HOME))
    folder = Path(tempfile.mkdtemp(prefix="cosim-town-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    subprocess.run(
        [
            home / "bin" / "netgenerate",
            "--grid",
            "--grid.number",
            "3",
            "--grid.length",
            "150",
            "-o",
            "town.net.xml",
            "--no-turnarounds",
            "true",
        ],
        cwd=folder,
        check=True,
        capture_output=True,
        env=os.environ | {"PROJ_DATA": str(home / "data" / "proj")},
    )
    (folder / "stations.add.xml").write_text(
        '<additional><chargingStation id="kerb" lane="A1A2_0" startPos="40" endPos="100" power="22000"'
        ' efficiency="0.9"/></additional>'
    )
    cars = "".join(
        f'<trip id="t{i}" type="car" depart="{4 * i}" from="A0A1" to="{("C1C2", "B2C2", "C1C0")[i % 3]}"/>'
        for i in range(1, 40)
    )
    (folder / "trips.rou.xml").write_text(
        '<routes><vType id="car" emissionClass="HBEFA4/PC_petrol_Euro-4"/>'
        '<vType id="ev" emissionClass="Energy/unknown">'
        '<param key="has.battery.device" value="true"/><param key="device.battery.capacity" value="40000"/>'
        '<param key="device.battery.chargeLevel" value="9000"/></vType>'
        '<trip id="electric" type="ev" depart="0" from="A0A1" to="A2B2">'
        f'<stop chargingStation="kerb" duration="100"/></trip>{cars}</routes>'
    )
    configuration = folder / "town.sumocfg"
    configuration.write_text(
        '<configuration><net-file value="town.net.xml"/><route-files value="trips.rou.xml"/>'
        '<additional-files value="stations.add.xml"/></configuration>'
    )
    return configuration


def traffic():
    return Traffic(town(), seed=5)


def traffic_that_ends():
    return Traffic(town(), seed=5, extra_options=("--end", "200"))


def fleet():
    return Fleet(FleetPlan.from_tables(**one_car(trips=((12.1, "home", "work"), (12.6, "work", "home")))), CLOCK)


def quiet_evening(step):
    """Return valid inputs of a fleet: trip states that follow from their times, and no curtailment."""
    return {"trip_state": -1.0, "trip_energy": 0.0, "voltage": 1.0, "available": 1.0}


def tariff():
    return Tariff(CLOCK, [0.1, 0.3, 0.2])


def premises():
    return Premises(
        ["office", "shop"],
        CLOCK,
        schedules=[range(168), [2.0] * 168],
        use_index=[0, 1],
        floor_area=[100.0, 50.0],
        fuel_base=[10.0, 0.0],
        fuel_per_kelvin=[5.0, 1.0],
        base_temperature=15.5,
    )


def environment():
    axis = np.array([[0.0, 0.0], [0.0, 80.0]])
    one = np.array([80.0])
    streets = Streets(("street",), one, np.zeros(1), np.full((1, 2), 9.0), np.array([[15.0, 0.0]]), (axis,))
    shares = {"HBEFA4/PC_petrol_Euro-4": 0.06}
    return Environment(
        streets,
        ("car", "electric car"),
        exhaust_shares=shares,
        primary_no2_shares=shares,
        background=np.array([20.0, 30.0, 50.0, 22.0, 13.0]) * 1e-9,
        paths=paths_of(streets, []),
    )


def clean_air(step):
    """Return a background that can be, which generated numbers are not."""
    return {"background": np.array([20.0, 30.0, 50.0, 22.0, 13.0]) * 1e-9, "vehicles": 10.0}


def hot_day(step):
    """Return weather for which buildings accept the generated setpoint shifts and gains."""
    return {"outdoor_temperature": 5 + step.start_s / 60, "irradiance": 100.0}


def timetable():
    return Timetable(Input("1", ["edge 1", "edge 2"], default=0.0), CLOCK, {"12:02": {"edge 2": 1.0}}, step_s=60.0)


@parametrize_with_checks(
    [
        timetable,
        weather,
        Rig(buildings, inputs=hot_day),
        Rig(buildings, name="buildings_hourly", step_s=3600.0),
        grid,
        Rig(fleet, inputs=quiet_evening),
        tariff,
        Rig(environment, inputs=clean_air, step_s=3600.0),
        premises,
        Rig(premises, name="premises_hourly", step_s=3600.0),
        traffic,
        traffic_that_ends,
    ]
)
def test_adapter_keeps_the_contract(check):
    check()
