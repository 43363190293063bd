"""Tests of the command ``cosim validate vdi6007``, and of the reduction of layers."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from cosim.core import CosimError
from cosim.core.buildings.envelope import Component, MaterialLayer, chain_matrix, parallel
from cosim.scenarios.validation import app
from cosim.scenarios.validation.vdi6007_file import read_case
from tests.support.paths import DATA

VDI, MORE = DATA / "vdi6007", DATA / "vdi6007_more"
CONCRETE = MaterialLayer(0.1, 0.51, 1400.0, 1000.0)
FOAM = MaterialLayer(0.0615, 0.04, 10.0, 1400.0)


@pytest.mark.slow
@pytest.mark.parametrize(("folder", "cases"), [(VDI, range(1, 7)), (MORE, (7, 8, 10, 12))])
def test_every_case_is_within_its_threshold_at_every_step(tmp_path, folder, cases):
    if not folder.exists():
        pytest.skip(f"the VDI 6007 cases are not at {folder}")
    result = CliRunner().invoke(app, ["vdi6007", "--cases", str(folder), "--json", str(tmp_path / "out.json")])
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "out.json").read_text())
    assert {(row["case"], row["step_s"]) for row in found["cases"]} == {
        (str(case), step) for case in cases for step in (60.0, 900.0, 3600.0)
    }
    assert all(row["largest_error"] <= row["threshold"] for row in found["cases"]), found["cases"]


@pytest.mark.parametrize(
    ("case", "change", "message"),
    [
        (8, lambda d: d["tables"].update(tabsPower=d["tables"]["intGai"]), "asks for tabsPower, which cannot be"),
        (8, lambda d: d.update(zone_model="FourElements"), "only zones of two elements"),
        (8, lambda d: d["zone"].update(AWin=[7.0, 7.0]), "AWin must be 0"),
        (8, lambda d: d["zone"].update(ATransparent=[7.0]), "it needs 2 areas, one per exterior wall"),
        (8, lambda d: d["tables"].update(tableSolRadWall=d["tables"]["intGai"]), "3 columns of values: it needs 2"),
        (10, lambda d: d["zone"].update(AExt=[10.5, 15.0], ATransparent=[7.0, 7.0]), "case 10 has 1 exterior walls"),
    ],
)
def test_what_a_case_asks_and_cannot_be_simulated_is_said(tmp_path, case, change, message):
    if not MORE.exists():
        pytest.skip(f"the VDI 6007 cases are not at {MORE}")
    definition = json.loads((MORE / f"case{case:02}.json").read_text())
    change(definition)
    (tmp_path / "case.json").write_text(json.dumps(definition))
    result = CliRunner().invoke(app, ["vdi6007", "--cases", str(tmp_path)])
    assert result.exit_code == 1
    assert message in " ".join(result.output.split())


def test_long_wave_radiation_and_a_cooling_ceiling_are_read(tmp_path):
    if not MORE.exists():
        pytest.skip(f"the VDI 6007 cases are not at {MORE}")
    sky = json.loads((MORE / "case08.json").read_text())
    before = read_case(MORE / "case08.json").equivalent
    sky["case"] = 9
    sky["tables"]["HSky"] = {"rows": [[0, 400.0], [86400, 400.0]]}
    (tmp_path / "case09.json").write_text(json.dumps(sky))
    cooled = before.mean([6e4], [6.1e4]) - read_case(tmp_path / "case09.json").equivalent.mean([6e4], [6.1e4])
    # Sun is above 100 W/m2 on the second window only: its blind is closed, and the others exchange fully.
    outdoor = 273.15 + read_case(MORE / "case08.json").outdoor.mean([6e4], [6.1e4])
    weights = 0.05796831135677373 + 0.13249899738691134 + 0.4047663456281575 * (1 + 0.15)
    assert cooled == pytest.approx((outdoor - 65.99081593 * 400**0.25) / 5 * weights)

    panel = json.loads((MORE / "case07.json").read_text())
    panel["case"], panel["doc"] = 11, panel["doc"] + " but with a cooling ceiling"
    for row in panel["tables"]["reference"]["rows"]:
        row[1:] = [22.0, row[1], 0.0]
    (tmp_path / "case11.json").write_text(json.dumps(panel))
    read = read_case(tmp_path / "case11.json")
    assert read.zone.cooling_interior == 1.0
    assert read.limit == 500.0
    assert read.reference == read_case(MORE / "case07.json").reference


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "is not JSON"), ("[]", "must be an object"), ('{"tables": {}}', "has no 'zone'")],
)
def test_malformed_case_gives_one_line_that_names_the_file(tmp_path, content, message):
    (tmp_path / "case01.json").write_text(content)
    result = CliRunner().invoke(app, ["vdi6007", "--cases", str(tmp_path)])
    assert result.exit_code == 1
    assert message in result.output
    assert "case01.json" in result.output
    assert "Traceback" not in result.output


def test_folder_without_cases_is_refused(tmp_path):
    result = CliRunner().invoke(app, ["vdi6007", "--cases", str(tmp_path)])
    assert result.exit_code == 1
    assert "has no case*.json" in result.output


def test_chain_matrix_has_determinant_one_and_thin_layers_equal_one_thick_layer():
    whole = chain_matrix([CONCRETE], 86400.0)
    thin = chain_matrix([MaterialLayer(0.01, 0.51, 1400.0, 1000.0)] * 10, 86400.0)
    np.testing.assert_allclose(thin, whole, rtol=1e-12)
    assert np.linalg.det(whole) == pytest.approx(1.0)


def test_insulated_slab_has_all_of_its_capacity_and_a_third_of_its_resistance():
    r, c = Component(20.0, (CONCRETE,), adiabatic=True).room_side()
    assert c == pytest.approx(20 * CONCRETE.capacity, rel=0.01)
    assert r == pytest.approx(CONCRETE.resistance / 3 / 20, rel=0.01)


def test_mass_couples_to_the_room_with_insulation_outside_and_not_inside():
    outside = Component(10.0, (CONCRETE, FOAM)).room_side()[1]
    inside = Component(10.0, (FOAM, CONCRETE)).room_side()[1]
    assert inside < 0.3 * outside < 0.3 * 10 * CONCRETE.capacity


def test_equal_components_in_parallel_equal_one_of_their_total_area():
    one = parallel([Component(30.0, (CONCRETE, FOAM))])
    assert parallel([Component(10.0, (CONCRETE, FOAM)), Component(20.0, (CONCRETE, FOAM))]) == pytest.approx(one)


def test_impossible_layers_are_refused():
    with pytest.raises(CosimError, match=r"conductivity = 0"):
        MaterialLayer(0.1, 0.0, 1000.0, 1000.0)
    with pytest.raises(CosimError, match="no heat capacity"):
        Component(1.0, (MaterialLayer(1.0, 0.04, 0.0, 0.0),)).room_side()
