"""Nets as other people have them: what pandapower itself computes for them, or a refusal by element."""

from __future__ import annotations

import copy
import json
import re
from importlib.metadata import version

import numpy as np
import pandapower as pp
import pandapower.control as pc
import pandas as pd
import pytest
from pandapower.control.util.characteristic import Characteristic
from pandapower.timeseries.data_sources.frame_data import DFData

from cosim.adapters.grid import Grid, TapControl, read_net
from cosim.core import InputFileError, ScenarioError
from cosim.core.adapter import take_events
from tests.support.grids import drive, opened

ENGINES = ("auto", "pandapower")


def network():
    """110 kV, a transformer with taps, a cable of 5 km, a station, two loads."""
    net = pp.create_empty_network()
    a, b, c = (pp.create_bus(net, kv, name=name) for name, kv in (("a", 110.0), ("b", 20.0), ("c", 20.0)))
    d = pp.create_bus(net, 0.4, name="d")
    pp.create_ext_grid(net, a, name="up")
    pp.create_transformer(net, a, b, "25 MVA 110/20 kV", name="main")
    pp.create_line(net, b, c, 5.0, "NA2XS2Y 1x240 RM/25 12/20 kV", name="cable")
    pp.create_transformer(net, c, d, "0.63 MVA 20/0.4 kV", name="station")
    pp.create_load(net, c, 3.0, 1.0, name="town")
    pp.create_load(net, d, 0.2, 0.05, name="street")
    return net


def events(grid):
    return {(event.kind, event.element) for event in take_events(grid)}


def agree(net, engine="auto", *, oracle=None, slack=()):
    """Compare with pandapower on the net, or on one that means the same."""
    oracle = net if oracle is None else oracle
    grid = opened(net, engine=engine)
    drive(grid)
    pp.runpp(oracle, numba=False, tolerance_mva=1e-10)
    rows = [dict(zip(oracle.bus.name, oracle.bus.index))[name] for name in grid.voltage.labels]
    np.testing.assert_allclose(grid.voltage.value, oracle.res_bus.vm_pu[rows], rtol=0, atol=1e-9)
    loading = np.concatenate([oracle.res_trafo.loading_percent, oracle.res_trafo3w.loading_percent]) / 100
    np.testing.assert_allclose(grid.transformer_loading.value, loading, rtol=0, atol=1e-8)
    imported = oracle.res_ext_grid.p_mw.sum() + oracle.res_gen.p_mw[list(slack)].sum()
    assert grid.grid_import.value.sum() == pytest.approx(imported * 1e6, abs=1.0)
    return grid


@pytest.mark.parametrize("engine", ENGINES)
def test_a_slack_generator_alone_supplies_the_net_and_its_power_is_an_import(engine):
    net = network()
    net.ext_grid["in_service"] = False
    slack = pp.create_gen(net, 0, 0.0, vm_pu=1.02, slack=True, name="works")
    grid = agree(net, engine, slack=[slack])
    assert "works" in grid.grid_import.labels
    assert ("slack generator", "works") in events(grid)


@pytest.mark.parametrize("engine", ENGINES)
def test_what_a_slack_generator_takes_beside_an_external_grid_is_an_import(engine):
    net = network()
    net.trafo["shift_degree"] = 0.0
    slack = pp.create_gen(net, 2, 0.0, vm_pu=1.0, slack=True, name="works")
    agree(net, engine, slack=[slack])


def test_a_net_without_any_source_is_refused_with_both_remedies():
    net = network()
    net.ext_grid["in_service"] = False
    with pytest.raises(ScenarioError, match=r"no external grid in service: .*create_ext_grid, or .* slack=True"):
        Grid(net)


def steer(net, low=0.985, high=1.005):
    net.trafo.loc[0, "tap_pos"] = 5
    pc.DiscreteTapControl(net, 0, low, high)
    return net


def test_a_discrete_tap_control_of_the_net_reaches_pandapower_s_position():
    net = steer(network())
    grid = opened(net)
    assert ("controller translated", "main") in events(grid)
    for _ in range(20):
        drive(grid)
    pp.runpp(net, numba=False, run_control=True, tolerance_mva=1e-10)
    assert net.trafo.tap_pos[0] != 5
    assert grid.tap_position.value.tolist() == [net.trafo.tap_pos[0]]
    assert grid.voltage.value[1] == pytest.approx(net.res_bus.vm_pu[1], abs=1e-9)


def test_a_discrete_tap_control_survives_a_file(tmp_path):
    pp.to_json(steer(network()), str(tmp_path / "net.json"))
    assert opened(read_net(tmp_path / "net.json")).tap_position.labels == ("main",)


def test_controllers_that_are_not_translated_are_named():
    net = steer(network())
    pc.ContinuousTapControl(net, 1, 1.0)
    data = DFData(pd.DataFrame({"town": [4.0, 5.0]}))
    pc.ConstControl(net, "load", "p_mw", [0], profile_name=["town"], data_source=data)
    grid = opened(net, controls=[TapControl("main")])
    left = {event.element: event.text for event in take_events(grid) if event.kind == "controller left out"}
    assert left["controller 0"] == "DiscreteTapControl of 'main', which has another control"
    assert left["controller 1"].startswith("ContinuousTapControl of net.trafo")
    assert left["controller 2"].startswith("ConstControl of net.load p_mw")


def curved(net, ids=(0, pd.NA)):
    """Give transformers a table over the tap position: ratio 1.25 % a step, impedance 13 to 10 %."""
    steps = np.arange(-9, 10)
    rows = {"step": steps, "voltage_ratio": 1 + 0.0125 * steps, "angle_deg": 0.0}
    rows |= {"vk_percent": 11.5 - steps / 6, "vkr_percent": 0.4}
    net["trafo_characteristic_table"] = pd.DataFrame({"id_characteristic": 0, **rows})
    net.trafo["tap_dependency_table"] = [not pd.isna(each) for each in ids]
    net.trafo["id_characteristic_table"] = pd.array(ids, dtype="Int64")
    net.trafo["tap_changer_type"] = ["Tabular", "Ratio" if pd.isna(ids[1]) else "Tabular"]
    return net


@pytest.mark.parametrize("engine", ENGINES)
def test_a_table_over_the_tap_position_gives_pandapower_s_numbers(engine):
    net = curved(network())
    net.trafo.loc[0, "tap_pos"] = 4
    agree(net, engine)


def test_transformers_that_share_a_table_each_have_their_own_position_s_impedance():
    net = curved(network(), ids=(0, 0))
    net.trafo["tap_pos"] = [4, -6]
    net.trafo["vk_percent"] = 99.0  # to be overwritten
    other = network()  # the same without tables
    other.trafo["tap_changer_type"] = None
    other.trafo["vn_hv_kv"] *= [1 + 0.0125 * 4, 1 - 0.0125 * 6]
    other.trafo["vk_percent"] = [11.5 - 4 / 6, 11.5 + 1]
    other.trafo["vkr_percent"] = 0.4
    other.trafo["tap_side"] = None
    grid = opened(net)
    drive(grid)
    pp.runpp(other, numba=False, tolerance_mva=1e-10)
    np.testing.assert_allclose(grid.voltage.value, other.res_bus.vm_pu, rtol=0, atol=1e-9)


def test_a_position_outside_its_table_is_refused_by_element():
    net = curved(network())
    net.trafo.loc[0, "tap_pos"] = 10
    # pandapower takes an impedance of 1 % and a ratio of 1 there
    with pytest.raises(ScenarioError, match=r"net.trafo 'main' depends on a tap table without its tap_pos = 10"):
        Grid(net)
    net.trafo.loc[0, ["tap_pos", "tap_max"]] = [0, 12]
    with pytest.raises(
        ScenarioError, match=r"transformer 'main' depends on a tap table without the positions 10, 11, 12"
    ):
        Grid(net, controls=[TapControl("main")])
    net.trafo_characteristic_table = net.trafo_characteristic_table.drop(columns="vk_percent")
    with pytest.raises(ScenarioError, match=r"net.trafo 'main' depends on a tap table, which lacks vk_percent"):
        Grid(net)


@pytest.mark.parametrize("before_version_3", [True, False])
def test_an_impedance_that_depends_on_the_tap_in_older_nets_still_does(before_version_3):
    net = network()
    net.trafo.loc[0, "tap_pos"] = 4
    Characteristic(net, [-9, 9], [13.0, 10.0])
    net.trafo["tap_dependent_impedance"] = [True, False]
    net.trafo["vk_percent_characteristic"] = pd.array([0, pd.NA], dtype="Int64")
    other = network()
    other.trafo.loc[0, ["tap_pos", "vk_percent"]] = [4, 11.5 - 4 / 6]
    if before_version_3:
        net.trafo = net.trafo.drop(columns="tap_dependency_table")
    grid = agree(net, oracle=other)
    assert ("repaired", "main") in events(grid)


@pytest.mark.parametrize("side", ["hv", "lv"])
@pytest.mark.parametrize(
    ("kind", "percent", "degree"),
    [("Ratio", 1.5, 60.0), ("Symmetrical", 1.5, 90.0), ("Ideal", 0.0, 2.0), ("Ideal", 1.0, 0.0)],
)
def test_an_impedance_over_the_tap_position_holds_with_a_tap_changer_that_turns(kind, percent, degree, side):
    net, other = network(), network()
    for each in (net, other):
        # A loop around the transformer, so that its angle drives a flow.
        pp.create_transformer(each, 0, 1, "25 MVA 110/20 kV", name="beside")
        each.trafo.loc[0, ["tap_side", "tap_changer_type"]] = side, kind
        each.trafo.loc[0, ["tap_pos", "tap_step_percent", "tap_step_degree"]] = 4, percent, degree
    Characteristic(net, [-9, 9], [13.0, 10.0])
    net.trafo["tap_dependent_impedance"] = [True, False, False]
    net.trafo["vk_percent_characteristic"] = pd.array([0, pd.NA, pd.NA], dtype="Int64")
    other.trafo.loc[0, "vk_percent"] = 11.5 - 4 / 6
    grid = agree(net, oracle=other)
    assert ("repaired", "main") in events(grid)


def test_an_impedance_over_the_tap_position_without_a_characteristic_is_refused_by_element():
    net = network()
    net.trafo["tap_dependent_impedance"] = [True, False]
    with pytest.raises(ScenarioError, match=r"net\.trafo 'main' has tap_dependent_impedance without a characteristic"):
        Grid(net)


def furnished():
    """A net with every element that the balance knows, each with values that matter."""
    net = network()
    e, f, g, h = (pp.create_bus(net, kv, name=name) for name, kv in zip("efgh", (20.0, 10.0, 20.0, 20.0)))
    net.ext_grid[["vm_pu", "va_degree"]] = 1.01, 3.0
    net.trafo.loc[0, "tap_pos"] = 2
    pp.create_line(net, 2, g, 2.0, "NA2XS2Y 1x240 RM/25 12/20 kV", name="more", g_us_per_km=3.0)
    pp.create_transformer3w(net, 0, e, f, "63/25/38 MVA 110/20/10 kV", name="three", tap_pos=1)
    pp.create_impedance(net, g, h, 0.01, 0.02, 10.0, gf_pu=0.001, bf_pu=0.002, gt_pu=0.001, bt_pu=0.002, name="link")
    shares = {f"const_{kind}_{part}_percent": 10.0 for kind in "zi" for part in "pq"}
    net.load.loc[0, list(shares)] = list(shares.values())
    pp.create_load(net, f, 5.0, 1.0, name="works")
    pp.create_sgen(net, e, 2.0, 0.5, name="pv")
    pp.create_storage(net, e, 0.4, max_e_mwh=1.0, q_mvar=0.1, name="battery")
    pp.create_asymmetric_load(net, g, 0.1, 0.2, 0.3, 0.01, 0.02, 0.03, name="one phase")
    pp.create_asymmetric_sgen(net, g, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01, name="roof")
    pp.create_motor(net, g, 0.5, 0.9, efficiency_percent=90.0, loading_percent=80.0, name="pump")
    pp.create_shunt(net, g, 0.3, 0.1, vn_kv=20.0, step=2, max_step=4, name="coil")
    pp.create_ward(net, h, 0.1, 0.1, 0.1, 0.1, name="ward")
    pp.create_xward(net, g, 0.1, 0.1, 0.1, 0.1, 0.5, 1.0, 1.0, name="xward")
    pp.create_gen(net, h, 0.5, vm_pu=1.0, name="plant")
    pp.create_dcline(net, e, h, 0.5, 1.0, 0.01, 1.0, 1.0, name="dc")
    pp.create_switch(net, 2, 1, "l", name="breaker")
    return net


FURNISHED = (
    "line", "trafo", "trafo3w", "impedance", "load", "asymmetric_load", "motor", "sgen", "asymmetric_sgen", "storage",
    "gen", "ext_grid", "shunt", "ward", "xward", "dcline",
)  # fmt: skip


@pytest.mark.parametrize("table", [None, *FURNISHED])
def test_every_number_of_every_element_counts_as_in_pandapower(table):
    net = furnished()
    if table is not None:
        frame = net[table]
        for column in frame.select_dtypes("number").columns.difference(["element"]):
            if column in ("vm_pu", "vm_to_pu") and table in ("gen", "dcline"):
                continue  # they hold one bus
            if not re.search("bus$|_min$|_max$|table$|parallel", column) and not column.startswith(("max_", "min_")):
                frame[column] = frame[column] * (1 if frame[column].dtype.kind in "iu" else 1.02)
        if "parallel" in frame:
            frame["parallel"] = 2
    agree(net)


@pytest.mark.parametrize("table", ["line", "trafo3w"])
def test_an_island_behind_a_dc_line_has_no_reference_and_is_left_out(table):
    net = furnished()
    net[table].loc[0, "in_service"] = False
    grid = opened(net, connection_points={"up": "a"})
    drive(grid)
    pp.runpp(net, numba=False, tolerance_mva=1e-10)
    dead = set(net.bus.name[net.res_bus.vm_pu.isna()])
    assert len(dead) > 0
    assert not dead & set(grid.voltage.labels)
    assert {name for kind, name in events(grid) if kind == "isolated"} == dead


def test_time_series_of_a_net_are_named_as_left_out():
    net = network()
    net["profiles"] = {"load": pd.DataFrame({"town": [1.0]})}
    assert ("left out", "profiles") in events(opened(net))


@pytest.mark.parametrize("tap", ["tap", "tap2"])
def test_a_phase_shifter_of_older_nets_still_shifts(tap):
    net, other = network(), network()
    data = {f"{tap}_side": "hv", f"{tap}_pos": 4.0, f"{tap}_neutral": 0.0, f"{tap}_step_percent": 0.0}
    data |= {f"{tap}_step_degree": 2.0}
    for each in (net, other):
        # A loop around the transformer, so that its angle drives a flow.
        pp.create_transformer(each, 0, 1, "25 MVA 110/20 kV", name="beside")
        for column, value in data.items():
            each.trafo[column] = each.trafo[column].astype(object) if column in each.trafo else None
            each.trafo.loc[0, column] = value
    other.trafo[f"{tap}_changer_type"] = pd.Series(["Ideal", None, None], dtype=object)
    net.trafo = net.trafo.drop(columns=[f"{tap}_changer_type"], errors="ignore")
    net.trafo[f"{tap}_phase_shifter"] = [True, False, False]
    for each in (net, other):
        each.trafo["tap_dependency_table"] = False
        numbers = [column for column in data if not column.endswith("side")]
        each.trafo[numbers] = each.trafo[numbers].astype(float)
    agree(net, oracle=other)


def test_an_ideal_phase_shifter_with_both_steps_is_refused_by_element():
    net = network()
    net.trafo.loc[0, ["tap_pos", "tap_step_degree", "tap_changer_type"]] = [3, 2.0, "Ideal"]
    with pytest.raises(ScenarioError, match=r"net.trafo 'main' has an ideal phase shifter with tap_step_percent and"):
        Grid(net)


ELEMENTS = {
    "ward": lambda net: pp.create_ward(net, 2, 0.5, 0.1, 0.2, 0.1),
    "xward": lambda net: pp.create_xward(net, 2, 0.5, 0.1, 0.2, 0.1, 0.5, 1.0, 1.0),
    "asymmetric load": lambda net: pp.create_asymmetric_load(net, 3, 0.01, 0.02, 0.03, 0.001, 0.002, 0, scaling=0.5),
    "asymmetric sgen": lambda net: pp.create_asymmetric_sgen(net, 3, 0.01, 0.02, 0.03, 0.001, 0.002, 0.003),
    "motor": lambda net: pp.create_motor(net, 3, 0.05, 0.9, efficiency_percent=90, loading_percent=80, scaling=0.5),
    "shunt of two steps": lambda net: pp.create_shunt(net, 2, -0.5, 0.1, vn_kv=21, step=2, max_step=3),
}  # fmt: skip


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", ELEMENTS)
def test_a_rarer_element_gives_pandapower_s_numbers(name, engine):
    net = network()
    ELEMENTS[name](net)
    agree(net, engine)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", ["impedance", "dcline", "resistive switch"])
def test_a_rarer_branch_gives_pandapower_s_numbers(kind, engine):
    net = network()
    e = pp.create_bus(net, 20.0, name="e")
    if kind == "impedance":
        pp.create_impedance(net, 2, e, 0.01, 0.03, 10, rtf_pu=0.02, xtf_pu=0.04, gf_pu=0.01, bf_pu=0.02)
    elif kind == "dcline":
        pp.create_line(net, 1, e, 5.0, "NA2XS2Y 1x240 RM/25 12/20 kV", name="beside")
        pp.create_dcline(net, 2, e, 1.0, 1.0, 0.01, 1.0, 1.0)
    else:
        pp.create_switch(net, 2, e, "b", z_ohm=0.3)
    pp.create_load(net, e, 1.0, 0.1, name="village")
    agree(net, engine)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("star", [False, True])
@pytest.mark.parametrize("side", ["hv", "mv", "lv"])
def test_a_three_winding_transformer_with_taps_gives_pandapower_s_numbers(side, star, engine):
    net = network()
    m, low = pp.create_bus(net, 20.0, name="m"), pp.create_bus(net, 10.0, name="low")
    electrical = (110, 20, 10, 40, 25, 15, 10, 11, 12, 0.3, 0.31, 0.32, 30, 0.1)
    taps = {"tap_step_percent": 1.25, "tap_pos": 3, "tap_neutral": 0, "tap_min": -9, "tap_max": 9}
    pp.create_transformer3w_from_parameters(
        net, 0, m, low, *electrical, tap_side=side, tap_at_star_point=star, tap_changer_type="Ratio", **taps
    )
    net.trafo3w["name"] = "three"
    pp.create_load(net, m, 5.0, 1.0)
    pp.create_load(net, low, 3.0, 1.0)
    if star:
        net.trafo3w["tap_step_degree"] = np.nan  # pandapower then computes NaN and loses the tap
    other = copy.deepcopy(net)
    other.trafo3w["tap_step_degree"] = 0.0
    grid = agree(net, engine, oracle=other)
    assert (("repaired", "three") in events(grid)) == star
    other.trafo3w["tap_pos"] = 0
    pp.runpp(other, numba=False)
    assert abs(grid.voltage.value[4:] - other.res_bus.vm_pu[4:]).max() > 0.01


@pytest.mark.parametrize("engine", ENGINES)
def test_options_of_the_net_that_state_its_equations_are_honoured(engine):
    net = network()
    net.load["const_z_p_percent"] = 40.0
    net.line["temperature_degree_celsius"], net.line["alpha"] = 80.0, 0.004
    net.user_pf_options = {"voltage_depend_loads": False, "consider_line_temperature": True, "trafo_model": "pi"}
    assert ("option", "voltage_depend_loads") in events(agree(net, engine))


@pytest.mark.parametrize("engine", ENGINES)
def test_options_that_change_only_the_way_to_the_solution_break_nothing_and_others_are_named(engine):
    net = network()
    net.user_pf_options = {
        "init": "results",
        "max_iteration": 1,
        "only_v_results": True,
        "trafo_loading": "power",
        "x": 1,
    }
    grid = opened(net, engine=engine)
    drive(grid)
    same = opened(network(), engine=engine)
    drive(same)
    np.testing.assert_array_equal(grid.transformer_loading.value, same.transformer_loading.value)
    assert {("option", "trafo_loading"), ("option", "x")} <= events(grid)


def test_an_element_that_a_newer_pandapower_added_is_refused_and_a_table_of_one_s_own_is_named():
    net = network()
    net["flywheel"] = pd.DataFrame({"bus": [2], "p_mw": [5.0], "in_service": [True]})
    with pytest.raises(ScenarioError, match="the net has 1 flywheel in service, which this version"):
        Grid(net)
    net.flywheel["in_service"] = False
    net["owners"] = pd.DataFrame({"bus": [2], "who": ["me"]})
    assert ("left out", "owners") in events(opened(net))


def test_tables_that_are_not_one_row_an_element_are_refused():
    net = network()
    net.load.index = [4, 4]
    with pytest.raises(ScenarioError, match=r"net.load has index 4 more than once"):
        Grid(net)
    net.load.index = pd.MultiIndex.from_tuples([("north", 0), ("south", 0)])
    with pytest.raises(ScenarioError, match=r"net.load has an index or columns of several levels"):
        Grid(net)


def test_a_table_with_an_index_of_several_levels_survives_a_file(tmp_path):
    net = network()
    index = pd.MultiIndex.from_product([["winter", "summer"], [0, 1]], names=["season", "hour"])
    net["profiles"] = pd.DataFrame({"town": [1.0, 2.0, 3.0, 4.0]}, index=index)
    pp.to_json(net, str(tmp_path / "net.json"))
    again = read_net(tmp_path / "net.json")
    assert again.profiles.index.nlevels == 2
    agree(again)


def with_format(net, number):
    net.version = net.format_version = number
    return net


def test_a_net_of_an_older_version_is_converted_and_said(tmp_path):
    net = with_format(network(), "2.14.0")
    net.load["const_z_percent"], net.load["const_i_percent"] = 30.0, 0.0
    net.load = net.load.drop(columns=list(net.load.filter(regex="^const_._._percent")))
    net.trafo = net.trafo.drop(columns=["tap_changer_type", "tap_dependency_table"])
    net.trafo["tap_phase_shifter"] = False
    net.trafo.loc[0, "tap_pos"] = 4
    other = network()
    other.load[["const_z_p_percent", "const_z_q_percent"]] = 30.0
    other.trafo.loc[0, "tap_pos"] = 4
    grid = agree(net, oracle=other)
    assert ("converted", "") in events(grid)
    pp.to_json(net, str(tmp_path / "net.json"))
    agree(read_net(tmp_path / "net.json"), oracle=other)


def test_a_net_of_a_newer_version_is_refused_with_both_versions(tmp_path):
    with pytest.raises(ScenarioError, match=r"net is of format 99\.0\.0, which pandapower .* cannot convert"):
        Grid(with_format(network(), "99.0.0"))
    net = network()
    path = tmp_path / "net.json"
    pp.to_json(net, str(path))
    content = json.loads(path.read_text())
    content["_object"]["version"] = content["_object"]["format_version"] = "99.0.0"
    path.write_text(json.dumps(content))
    with pytest.raises(InputFileError, match=r"pandapower cannot read the grid .*99\.0\.0 is newer"):
        read_net(path)
    assert version("pandapower") == pp.__version__
