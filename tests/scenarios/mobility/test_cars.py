"""Types of cars: what SUMO computes for them at every speed that a map may allow."""

import re

import numpy as np
import pytest

from cosim.adapters.traffic.installation import run_sumo_tool
from cosim.core import InputFileError
from cosim.scenarios.mobility import cars
from cosim.scenarios.mobility.cars import ACCEL, ELECTRIC, accel_by_power, vehicle_types
from cosim.scenarios.mobility.routing import write_xml

E208 = {
    "rollDragCoefficient": "0.01", "airDragCoefficient": "0.3", "frontSurfaceArea": "2.0", "rotatingMass": "10",
    "wheelRadius": "0.3", "gearEfficiency": "1", "maximumPower": "100000",
}  # fmt: skip


def test_acceleration_takes_the_power_of_the_motor():
    speeds = [0.0, 20.0, 40.0]
    low, mid, high = accel_by_power(speeds, 1600.0, E208)
    assert low == ACCEL
    for v, a in ((20.0, mid), (40.0, high)):
        end = v + ACCEL
        force = a * (1600 + 10 / 0.09) + 0.01 * 1600 * 9.81 + 0.5 * 1.2041 * 0.3 * 2.0 * end**2
        assert force * end == pytest.approx(100_000)
    assert accel_by_power([100.0], 1600.0, E208)[0] == pytest.approx(0.05)


@pytest.mark.parametrize("kmh", [100, 142, 200])
def test_no_electric_car_lacks_an_energy_on_a_motorway(tmp_path, kmh):
    nodes = write_xml(tmp_path / "n.nod.xml", "nodes", ['<node id="a" x="0" y="0"/>', '<node id="b" x="4000" y="0"/>'])
    edge = f'<edge id="e" from="a" to="b" numLanes="3" speed="{kmh / 3.6:.2f}"/>'
    edges, net = write_xml(tmp_path / "e.edg.xml", "edges", [edge]), tmp_path / "net.xml"
    run_sumo_tool("netconvert", "--node-files", nodes, "--edge-files", edges, "--output-file", net)
    drives = [
        f'<vehicle id="{kind}.{factor}" type="{kind}" depart="{k}" departLane="{k % 3}" speedFactor="{factor}">'
        '<route edges="e"/></vehicle>'
        for k, (kind, factor) in enumerate((kind, factor) for kind in ELECTRIC for factor in (0.7, 1.0, 1.3))
    ]
    routes = write_xml(tmp_path / "r.rou.xml", "routes", [*vehicle_types()["xml"], *drives])
    out = tmp_path / "battery.xml"
    run_sumo_tool("sumo", "--net-file", net, "--route-files", routes, "--battery-output", out)
    used = re.findall(r'energyConsumed="([^"]*)"', out.read_text())
    assert len(used) > 9 * 20
    assert np.isfinite(np.array(used, float)).all()


def test_an_electric_model_without_a_mass_is_refused(tmp_path, monkeypatch):
    folder = tmp_path / "data" / "emissions" / "MMPEVEM"
    folder.mkdir(parents=True)
    for model in ELECTRIC:
        (folder / f"{model}.xml").write_text(f'<additional><vType id="{model}"/></additional>')
    monkeypatch.setattr(cars, "sumo_home", lambda: tmp_path)
    with pytest.raises(InputFileError, match="gives no mass"):
        vehicle_types()
