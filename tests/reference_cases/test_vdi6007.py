"""The test cases of VDI 6007 Part 1 through the command that a user types."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from cosim.core import CosimError
from cosim.core.envelope import Component, Layer, chain_matrix, parallel
from cosim.scenarios.validation import app

VDI = Path(__file__).parents[3] / "shared/data/vdi6007"
CONCRETE = Layer(0.1, 0.51, 1400.0, 1000.0)
FOAM = Layer(0.0615, 0.04, 10.0, 1400.0)


@pytest.mark.slow
def test_every_case_is_within_its_threshold_at_every_step(tmp_path):
    if not VDI.exists():
        pytest.skip(f"the VDI 6007 cases are not at {VDI}")
    result = CliRunner().invoke(app, ["vdi6007", "--cases", str(VDI), "--json", str(tmp_path / "out.json")])
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "out.json").read_text())
    assert {(row["case"], row["step_s"]) for row in found["cases"]} == {
        (str(case), step) for case in range(1, 7) for step in (60.0, 900.0, 3600.0)
    }
    assert all(row["largest_error"] <= row["threshold"] for row in found["cases"]), found["cases"]


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "is not JSON"), ("[]", "must be a table"), ('{"tables": {}}', "has no 'zone'")],
)
def test_a_malformed_case_is_one_line_that_names_the_file(tmp_path, content, message):
    (tmp_path / "case01.json").write_text(content)
    result = CliRunner().invoke(app, ["vdi6007", "--cases", str(tmp_path)])
    assert result.exit_code == 1
    assert message in result.output
    assert "case01.json" in result.output
    assert "Traceback" not in result.output


def test_a_folder_without_cases_is_refused(tmp_path):
    result = CliRunner().invoke(app, ["vdi6007", "--cases", str(tmp_path)])
    assert result.exit_code == 1
    assert "has no case*.json" in result.output


def test_a_chain_matrix_has_determinant_one_and_many_thin_layers_equal_one():
    whole = chain_matrix([CONCRETE], 86400.0)
    thin = chain_matrix([Layer(0.01, 0.51, 1400.0, 1000.0)] * 10, 86400.0)
    np.testing.assert_allclose(thin, whole, rtol=1e-12)
    assert np.linalg.det(whole) == pytest.approx(1.0)


def test_an_insulated_slab_shows_all_its_heat_and_a_third_of_its_resistance():
    r, c = Component(20.0, (CONCRETE,), adiabatic=True).room_side()
    assert c == pytest.approx(20 * CONCRETE.capacity, rel=0.01)
    assert r == pytest.approx(CONCRETE.resistance / 3 / 20, rel=0.01)


def test_insulation_outside_leaves_the_mass_to_the_room_and_inside_takes_it():
    outside = Component(10.0, (CONCRETE, FOAM)).room_side()[1]
    inside = Component(10.0, (FOAM, CONCRETE)).room_side()[1]
    assert inside < 0.3 * outside < 0.3 * 10 * CONCRETE.capacity


def test_equal_components_side_by_side_are_one_of_their_whole_area():
    one = parallel([Component(30.0, (CONCRETE, FOAM))])
    assert parallel([Component(10.0, (CONCRETE, FOAM)), Component(20.0, (CONCRETE, FOAM))]) == pytest.approx(one)


def test_impossible_layers_are_refused():
    with pytest.raises(CosimError, match=r"conductivity = 0"):
        Layer(0.1, 0.0, 1000.0, 1000.0)
    with pytest.raises(CosimError, match="no heat capacity"):
        Component(1.0, (Layer(1.0, 0.04, 0.0, 0.0),)).room_side()
