"""Tests of the command ``cosim validate bestest``, of solar radiation through windows, and of the optics."""

import csv
import json

import numpy as np
import pytest
from typer.testing import CliRunner

from cosim.core import CosimError, InputFileError
from cosim.core.buildings.convection import SEA_LEVEL_DENSITY
from cosim.core.weather.epw import read_epw
from cosim.core.weather.glazing import Glazing
from cosim.core.weather.normals import synthetic_year
from cosim.scenarios.validation import app
from cosim.scenarios.validation.bestest import LEAD_H, STEP_S, Suite
from cosim.scenarios.validation.bestest_file import course, read_fan
from cosim.scenarios.validation.cases import read_json
from cosim.scenarios.validation.document import course_table
from cosim.scenarios.validation.shading import Window, wall_share, window_share
from tests.support.paths import DATA

CASES, WEATHER = DATA / "bestest", DATA / "weather/725650TYCST.epw"
CLEAR = Glazing(2, 0.003048, 1.0, 0.834, 0.075)
needs_data = pytest.mark.skipif(not CASES.exists(), reason=f"the Standard 140 cases are not at {CASES}")


@pytest.mark.slow
@pytest.mark.parametrize(("folder", "count"), [(CASES, 23), (DATA / "bestest_more", 11)])
def test_every_figure_is_in_the_range_of_the_reference_programs(tmp_path, folder, count):
    if not folder.exists():
        pytest.skip(f"the Standard 140 cases are not at {folder}")
    out = tmp_path / "out.json"
    result = CliRunner().invoke(app, ["bestest", "--cases", str(folder), "--weather", str(WEATHER), "--json", str(out)])
    assert result.exit_code == 0, result.output
    figures = json.loads(out.read_text())["figures"]
    assert len(figures) == count
    assert [row for row in figures if not row["inside"]] == []
    assert all(row["inside"] == (row["ref_min"] <= row["value"] <= row["ref_max"]) for row in figures)


@pytest.mark.parametrize(
    ("flow", "expected"),
    [
        ({"m3_per_h": 1409}, 1409 * SEA_LEVEL_DENSITY / 0.99),
        ({"flow_m3_h": 1700}, 1700),
        ({"altitude_adjusted_m3_h": 1409}, 1409 * SEA_LEVEL_DENSITY / 0.99),
        ({"m3_per_h": 1700, "altitude_adjusted_m3_h": 1409}, 1700),
        ({"flow_m3_s": 0.4}, 1440 * SEA_LEVEL_DENSITY / 0.99),
    ],
)
def test_flow_of_a_fan_is_read_at_the_density_it_is_given_at(tmp_path, flow, expected):
    (tmp_path / "fan.json").write_text(json.dumps({"from_h": 18, "to_h": 7, **flow}))
    found, blows = read_fan(read_json(tmp_path / "fan.json"), np.arange(24.0), 129.6, 0.99)
    assert found * 3600 == pytest.approx(expected)
    assert blows.sum() == 13


@pytest.fixture(scope="module")
def suite():
    if not CASES.exists():
        pytest.skip(f"the Standard 140 cases are not at {CASES}")
    return Suite(CASES, read_epw(WEATHER))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("row", "orientation", "overhang", "fins"),
    [
        ("600 South", "S", None, None),
        ("620 West", "W", None, None),
        ("610 South", "S", (1.0, 0.5), None),
        ("630 West", "W", (1.0, 0.5), 1.0),
    ],
)
def test_transmitted_solar_radiation_is_in_the_range_of_the_reference_programs(suite, row, orientation, overhang, fins):
    with (CASES / "solar.csv").open() as file:
        known = [r for r in csv.DictReader(file) if "Transmitted" in r["table"] and r["surface"] == row]
    beam, diffuse, _ = suite._sun_through(Window(orientation, 3.0, 2.0, 2 if orientation == "S" else 1, overhang, fins))
    total = (beam + diffuse)[round(LEAD_H * 3600 / STEP_S) :].sum() * STEP_S / 3.6e6
    assert float(known[0]["min"]) <= total <= float(known[0]["max"])


@pytest.mark.slow
def test_single_pane_transmits_as_in_the_reference_programs(tmp_path):
    if not CASES.exists():
        pytest.skip(f"the Standard 140 cases are not at {CASES}")
    definitions = json.loads((CASES / "case_definitions.json").read_text())
    definitions["glass"]["panes"] = 1
    (tmp_path / "case_definitions.json").write_text(json.dumps(definitions))
    (tmp_path / "reference.csv").write_text((CASES / "reference.csv").read_text())
    single = Suite(tmp_path, read_epw(WEATHER))
    test_transmitted_solar_radiation_is_in_the_range_of_the_reference_programs(single, "670 South", "S", None, None)


def changed(tmp_path, change, *options):
    definitions = json.loads((CASES / "case_definitions.json").read_text())
    change(definitions)
    (tmp_path / "case_definitions.json").write_text(json.dumps(definitions))
    (tmp_path / "reference.csv").write_text((CASES / "reference.csv").read_text())
    return CliRunner().invoke(app, ["bestest", "--cases", str(tmp_path), "--weather", str(WEATHER), *options])


@needs_data
@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d["cases"]["600"].update(mass="wood"), "600 → mass"),
        (lambda d: d["cases"]["600"]["windows"][0].update(width_m=9), "do not fit into a wall"),
        (lambda d: d["cases"]["600"]["windows"][0].update(orientation="up"), "one of N, S, E, W"),
        (lambda d: d["cases"]["600"].update(heating_setpoint=[[0, 28], [24, 28]]), "must not be above the cooling"),
        (lambda d: d["cases"]["600"].update(heating_setpoint=[[0, 20], [20, 20]]), "from hour 0 to hour 24"),
        (lambda d: d["cases"]["600"].update(ventilation_fan={"from_h": 18, "to_h": 7}), "give its air flow"),
        (lambda d: d["glass"].update(tau_sol=0.2, rho_sol=0.7), "no clear pane has both"),
        (lambda d: d.pop("geometry"), "has no 'geometry'"),
        (lambda d: d["layers_out_to_in"]["light"]["wall"].append([0, 1, 1, 1]), "thickness = 0"),
    ],
)
def test_malformed_case_gives_one_clear_error(tmp_path, change, message):
    result = changed(tmp_path, change)
    assert result.exit_code == 1
    assert message in result.output.replace("\n", " ")


@needs_data
@pytest.mark.slow
def test_other_cases_are_run_and_reported_with_and_without_a_reference(tmp_path):
    def change(d):
        base = d["cases"]["600"]
        west = {"orientation": "W", "width_m": 3, "height_m": 2, "count": 1, "overhang": None, "fins": {"depth_m": 1}}
        night = [{"from_h": 7, "to_h": 18, "C": 27}]
        fan = {"from_h": 18, "to_h": 7, "flow_m3_h": 1700}
        d["cases"] = {
            "600": base,
            "W": {**base, "windows": [west]},
            "650": {**base, "heating_setpoint": None, "cooling_setpoint": night, "ventilation_fan": fan},
            "blind": {**base, "windows": []},
        }

    out = tmp_path / "out.json"
    result = changed(tmp_path, change, "--json", str(out))
    assert result.exit_code == 0, result.output
    assert "no reference" in result.output
    assert "610, 640, 900, 940" in result.output
    assert "of 24 months and hours inside the range" in result.output
    value = {(f["case"], f["metric"]): f["value"] for f in json.loads(out.read_text())["figures"]}
    assert value["650", "annual_heating_MWh"] == 0
    assert 4.5 < value["650", "annual_cooling_MWh"] < value["600", "annual_cooling_MWh"]
    assert value["650", "Tmin_C"] < -15
    assert value["blind", "annual_cooling_MWh"] < value["W", "annual_cooling_MWh"] < value["600", "annual_cooling_MWh"]


def test_courses_stand_beside_the_programs_months_and_hours():
    loads = {("600", "heating"): np.full(12, 700.0), ("W", "cooling"): np.full(12, 1.0)}
    hours = np.full(8760, -10.0)
    hours[31 * 24 + 14] = 47.0  # 14 to 15 h on 1 February
    found = course(loads, {"600FF": hours})
    months, hourly = [m for m in found if not m.hour], [m for m in found if m.hour]
    assert [m.month for m in months if m.inside] == [1, 2, 12]
    assert len(hourly) == 24
    assert [m.hour for m in hourly if m.inside] == [15]
    assert (hourly[14].low, hourly[14].high) == (46.07, 48.81)
    assert str(months[2]) == "heating of case 600 in month 3: 700.0 kWh (433.5 to 495.0)"
    assert str(hourly[0]) == "temperature of case 600FF in hour 1 of day 1 of month 2: -10.0 °C (4.5 to 7.3)"
    table = course_table(hourly)
    assert "| 15 | 47.0 (46.1 to 48.8) |" in table
    assert "| 1 | -10.0 (4.5 to 7.3) **outside** |" in table


def test_panes_conserve_solar_radiation_at_every_angle():
    tau, absorbed = CLEAR.optics(np.cos(np.radians([0, 30, 60, 80, 89.9])))
    assert (np.diff(tau) < 0).all()
    assert tau[-1] < 0.01
    assert ((tau + absorbed.sum(axis=0)) < 1).all()
    one = Glazing(1, 0.003048, 1.0, 0.834, 0.075)
    tau, absorbed = one.optics(1.0)
    assert tau[0] == pytest.approx(0.834)
    assert absorbed[0, 0] == pytest.approx(1 - 0.834 - 0.075)
    assert CLEAR.optics(-0.3)[0][0] == 0


def test_double_pane_equals_the_series_of_reflections_at_normal_incidence():
    tau, rho = 0.834, 0.075
    assert CLEAR.optics(1.0)[0][0] == pytest.approx(tau**2 / (1 - rho**2))
    # The outer pane absorbs what arrives and what the inner one sends back.
    assert CLEAR.optics(1.0)[1][0, 0] == pytest.approx((1 - tau - rho) * (1 + tau * rho / (1 - rho**2)))


def test_coated_or_impossible_pane_is_refused():
    with pytest.raises(CosimError, match="no clear pane has both"):
        Glazing(2, 0.003, 1.0, 0.452, 0.359)
    with pytest.raises(CosimError, match="together they must be below 1"):
        Glazing(2, 0.003, 1.0, 0.9, 0.1)
    with pytest.raises(CosimError, match=r"transmittance = 1\.2"):
        Glazing(2, 0.003, 1.0, 1.2, 0.1)


def test_shadow_of_an_overhang_equals_the_closed_form():
    window = Window("S", 3.0, 2.0, 1, (1.0, 0.5), None)
    height = np.radians([10.0, 45.0, 60.0, 80.0])
    expected = np.clip(1 - (np.tan(height) - 0.5) / 2, 0, 1)
    np.testing.assert_allclose(window_share(window, 1000.0, 2.7, height, np.zeros(4)), expected, atol=0.051)


def test_shadow_of_a_fin_equals_the_closed_form_and_sun_behind_the_wall_reaches_no_point():
    window = Window("S", 3.0, 2.0, 1, None, 1.0)
    turn = np.radians([-60.0, -30.0, 0.0, 45.0, 80.0, 120.0])
    expected = np.where(np.cos(turn) > 0, np.clip(1 - abs(np.tan(turn)) / 3, 0, 1), 0)
    np.testing.assert_allclose(window_share(window, 8.0, 2.7, np.full(6, 0.1), turn), expected, atol=0.051)


def test_overhang_shades_the_wall_around_the_window_from_the_roof_down():
    blind = Window("S", 0.01, 0.01, 1, (1.0, 0.5), None)
    height = np.radians([0.0, 45.0, 60.0])
    expected = np.clip(1 - np.tan(height) / 2.7, 0, 1)
    np.testing.assert_allclose(wall_share([blind], 1000.0, 2.7, height, np.zeros(3)), expected, atol=0.026)


@pytest.mark.parametrize("command", [["bestest", "--weather", __file__], ["vdi6007"]])
def test_missing_folder_of_cases_is_named_at_once(command):
    done = CliRunner().invoke(app, [*command, "--cases", "nosuch"])
    assert done.exit_code == 2
    assert "Invalid value for '--cases': dir 'nosuch' does not exist" in " ".join(done.output.split())


def test_folder_without_cases_is_named(tmp_path):
    with pytest.raises(InputFileError, match=r"case_definitions.json cannot be read \(No such file"):
        Suite(tmp_path, synthetic_year("barcelona"))
