"""Do measures in Bologna's morning peak act in the direction and order of magnitude of what was observed?"""

import importlib.util
from pathlib import Path

import pytest

from cosim import CosimError
from cosim.scenarios import bologna
from cosim.scenarios.policies import BusElectrification, EvShare, LowEmissionZone

DATA = Path(__file__).parents[3] / "shared" / "data" / "bologna" / "acosta"
SCRIPT = Path(__file__).parents[1] / "benchmarks" / "bologna_policies.py"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="needs ../shared/data/bologna")


@needs_data
@pytest.mark.slow
def test_thirty_and_a_closed_cell_in_acosta():
    spec = importlib.util.spec_from_file_location("bologna_policies", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = module.main("acosta", hours=0.5, seeds=1, blocks=4)
    base, slow, closed = found["base"], found["30 km/h"], found["superblock"]
    assert 0.6 < slow["speed_kmh"] / base["speed_kmh"] < 1
    # Barcelona's Sant Antoni lost 82 % of the traffic inside.
    assert closed["inside_km"] < 0.7 * base["inside_km"]
    # Neighbouring streets of Barcelona's superblocks carry up to 17 % more.
    assert 1.0 < closed["border_km"] / base["border_km"] < 1.4
    assert 0.95 < closed["co2_g_per_km"] / base["co2_g_per_km"] < 1.15


@needs_data
def test_zone_for_classes_without_a_standard_is_refused():
    city = bologna.build(sumocfg=DATA / "run.sumocfg", hours=0.1, buildings=20, chargers=2).model
    with pytest.raises(CosimError, match="names no Euro standard"):
        LowEmissionZone().change_city(city)


@needs_data
def test_electric_buses_emit_nothing_and_charge_from_the_grid(tmp_path):
    day = {"sumocfg": DATA / "run.sumocfg", "hours": 0.5, "buildings": 20, "chargers": 0}
    result = bologna.build(**day, policies=[BusElectrification()]).run(tmp_path / "run")
    plain = bologna.build(**day).run(tmp_path / "plain")
    driven = result.series("traffic.trip_energy").iloc[-1] / 3.6e6
    assert (driven > 0).sum() > 50
    diesel, electric = "HBEFA2/HDV_6_2", "HBEFA4/UBus_Electric_Std_gt15-18t"
    assert float(plain.integral("traffic.co2_by_class")[diesel]) > 100
    assert float(result.integral("traffic.co2_by_class")[[diesel, electric]].sum()) < 1e-6
    assert float(result.total("fleet.charging_power").max()) > 0
    assert (result.ledger["residual"] < 1e-6).all()
    assert any(name.startswith("transformer of ") for name in result.series("grid.transformer_loading").columns)


@needs_data
def test_electric_buses_beside_electric_cars_are_refused():
    day = {"sumocfg": DATA / "run.sumocfg", "hours": 0.1, "buildings": 20, "chargers": 2}
    with pytest.raises(CosimError, match="cannot be combined with electric cars"):
        bologna.build(**day, policies=[EvShare(0.2), BusElectrification()])
