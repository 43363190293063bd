"""Tests that a real SUMO configuration's traffic stays exactly as it is with buildings and a grid around it."""

import shutil
import subprocess

import defusedxml.ElementTree
import pytest

from cosim import CosimError
from cosim.adapters.traffic.installation import sumo_binary, sumo_home
from cosim.scenarios import bologna
from tests.support.paths import BOLOGNA

pytestmark = pytest.mark.skipif(not BOLOGNA.is_dir(), reason="needs the Bologna scenarios in ../shared/data/bologna")


def trips(path):
    return [dict(trip.attrib) for trip in defusedxml.ElementTree.parse(path).getroot().iter("tripinfo")]


def bare(name, folder, seed):
    """Run the sumo binary on a copy; return its trips, and its CO2 with internal edges. [kg]"""
    shutil.copytree(BOLOGNA / name, folder)
    for path in folder.iterdir():
        path.chmod(0o644)
    extra = folder / "edges.add.xml"
    edge_data = '<edgeData id="e" type="emissions" withInternal="true" file="edges.xml"/>'
    extra.write_text(f"<additional>{edge_data}</additional>")
    config = defusedxml.ElementTree.parse(folder / "run.sumocfg").getroot()
    additional = config.find("input/additional-files").get("value") + ",edges.add.xml"
    additional = ",".join(str(folder / file) for file in additional.split(","))
    environment = {"SUMO_HOME": str(sumo_home()), "PROJ_DATA": str(sumo_home() / "data" / "proj")}
    command = [sumo_binary("sumo"), "-c", folder / "run.sumocfg", "--seed", str(seed), "--additional-files", additional]
    subprocess.run(command, check=True, capture_output=True, env=environment)
    edges = defusedxml.ElementTree.parse(folder / "edges.xml").getroot()
    return trips(folder / "tripinfos.xml"), sum(float(e.get("CO2_abs", 0)) for e in edges.iter("edge")) * 1e-6


@pytest.mark.slow
def test_trips_equal_those_of_the_bare_binary_row_by_row(tmp_path):
    name, vehicles = "joined", 11176  # acosta's: tests/adapters/traffic/test_adapter.py
    before = {path: path.stat().st_mtime_ns for path in (BOLOGNA / name).iterdir()}
    scenario = bologna.build(sumocfg=BOLOGNA / name / "run.sumocfg", seed=7, grid_step_s=600)
    result = scenario.run(tmp_path / "run", double=True)
    assert {path: path.stat().st_mtime_ns for path in (BOLOGNA / name).iterdir()} == before
    expected, co2 = bare(name, tmp_path / "bare", seed=7)
    (file,) = (result.folder / "adapters" / "traffic").rglob("tripinfos.xml")
    assert trips(file) == expected
    assert result.indicators["trips begun"].value == vehicles == len(expected)
    assert result.indicators["waiting to start at the end"].value == 0
    # Both sum SUMO's own figures: per edge and exchange, rounded to 1e-6 mg, against per edge over the run, to 0.01 mg.
    assert result.indicators["tailpipe CO2"].value == pytest.approx(co2, rel=1e-6)
    assert result.provenance["simulated_s"] % 60 == 0
    assert (result.ledger["residual"] < 1e-9).all()


def test_configuration_that_is_missing_or_malformed_is_named(tmp_path):
    with pytest.raises(CosimError, match=r"nowhere\.sumocfg"):
        bologna.build(sumocfg=tmp_path / "nowhere.sumocfg")
    broken = tmp_path / "broken.sumocfg"
    broken.write_text("<configuration><input>")
    with pytest.raises(CosimError, match=r"broken\.sumocfg"):
        bologna.build(sumocfg=broken)


def test_malformed_route_file_is_named_before_the_run(tmp_path):
    folder = tmp_path / "acosta"
    shutil.copytree(BOLOGNA / "acosta", folder)
    for path in folder.iterdir():
        path.chmod(0o644)
    routes = folder / "acosta.rou.xml"
    routes.write_text(routes.read_text()[:5000])
    with pytest.raises(CosimError, match=r"acosta\.rou\.xml is not well-formed XML: unclosed token: line 27"):
        bologna.build(sumocfg=folder / "run.sumocfg", buildings=20, chargers=2)


def test_more_buildings_than_the_streets_have_room_for_are_refused():
    with pytest.raises(CosimError, match="have room for"):
        bologna.build(sumocfg=BOLOGNA / "acosta" / "run.sumocfg", buildings=100_000)
