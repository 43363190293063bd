"""Does the grid adapter solve the power flow that pandapower solves, keep its balance and never lie?"""

from __future__ import annotations

import copy
import json
import pickle
import sys
import warnings

import networkx as nx
import numpy as np
import pandapower as pp
import pandapower.networks as pn
import pandapower.toolbox
import pytest

from cosim.adapters.grid import Grid, NewtonRaphson, read_net
from cosim.core import CosimError, InputFileError, ScenarioError, Step
from cosim.core.adapter import outputs, take_events
from cosim.core.random import generator
from cosim.scenarios.grid_synthesis import ServicePoint, synthesize_grid

STEP = Step(0, 60)


def oberrhein():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the file lacks tap_dependency_table
        net = pn.mv_oberrhein()
    net.trafo["tap_dependency_table"] = False
    return net


def synthetic():
    streets = nx.grid_2d_graph(3, 3)
    for (i, j), d in streets.nodes(data=True):
        d.update(x=133.3 * i, y=133.3 * j)
    nx.set_edge_attributes(streets, 133.3, "length")
    services = [ServicePoint(f"b{k}", 20 + 37.0 * (k % 7), 15 + 33.0 * (k // 7), 8) for k in range(49)]
    return synthesize_grid(streets, services, country="ES").net


def two_buses(r_ohm=0.5, x_ohm=0.3):
    net = pp.create_empty_network()
    a, b = pp.create_bus(net, 0.4, name="a"), pp.create_bus(net, 0.4, name="b")
    pp.create_ext_grid(net, a, name="up")
    pp.create_line_from_parameters(net, a, b, 1.0, r_ohm, x_ohm, 0.0, 0.2, name="cable")
    return net


def drive(grid, power=0.0, reactive=0.0):
    grid.power.deliver(power)
    grid.reactive_power.deliver(reactive)
    grid.advance(STEP)


def opened(net, **options):
    grid = Grid(net, **options)
    grid.open()
    return grid


@pytest.mark.parametrize(
    "make", [pn.create_cigre_network_mv, pn.create_cigre_network_lv, oberrhein, synthetic], ids=lambda f: f.__name__
)
def test_steps_agree_with_a_plain_power_flow_to_1e_9(make):
    net = make()
    grid = opened(net)
    buses = [net.bus.index[net.bus.name == label][0] for label in grid.power.labels]
    ours = pp.create_loads(net, buses, p_mw=0.0)
    rng = generator(0, "demand")
    size_w = 2e3 if net.bus.vn_kv.min() < 1 else 5e4
    for _ in range(5):
        power, reactive = rng.uniform(-0.5, 2, len(buses)) * size_w, rng.uniform(-0.5, 1, len(buses)) * size_w
        drive(grid, power, reactive)
        net.load.loc[ours, "p_mw"], net.load.loc[ours, "q_mvar"] = power * 1e-6, reactive * 1e-6
        pp.runpp(net, numba=False, tolerance_mva=1e-10)
        np.testing.assert_allclose(grid.voltage.value, net.res_bus.vm_pu, rtol=0, atol=1e-9)
        np.testing.assert_allclose(grid.line_loading.value, net.res_line.loading_percent / 100, rtol=0, atol=1e-9)
        np.testing.assert_allclose(
            grid.transformer_loading.value, net.res_trafo.loading_percent / 100, rtol=0, atol=1e-9
        )
        imported = net.res_ext_grid.p_mw.to_numpy() * 1e6
        np.testing.assert_allclose(grid.grid_import.value, imported, rtol=1e-9, atol=1e-2)
        np.testing.assert_allclose(grid.losses.value, (net.res_line.pl_mw.sum() + net.res_trafo.pl_mw.sum()) * 1e6)


def test_two_buses_meet_the_closed_form():
    grid = opened(two_buses(), connection_points={"house": 1})
    drive(grid, 20e3, 5e3)
    r, x, p, q = 0.5 / 0.16, 0.3 / 0.16, 0.02, 0.005  # per unit of 1 MVA and 400 V
    b = 2 * (r * p + x * q) - 1
    u2 = (-b + np.sqrt(b * b - 4 * (r * r + x * x) * (p * p + q * q))) / 2
    loss = r * (p * p + q * q) / u2
    assert grid.voltage.value[1] == pytest.approx(np.sqrt(u2), abs=1e-10)
    assert grid.line_losses.value[0] == pytest.approx(loss * 1e6, rel=1e-9)
    assert grid.grid_import.value[0] == pytest.approx(20e3 + loss * 1e6, rel=1e-9)
    current_ka = np.hypot(p, q) / np.sqrt(u2) / (np.sqrt(3) * 0.4)
    assert grid.line_loading.value[0] == pytest.approx(current_ka / 0.2, rel=1e-9)


def test_generation_flows_back_and_lifts_the_voltage():
    grid = opened(two_buses(), connection_points={"roof": "b"})
    drive(grid, -10e3)
    assert grid.grid_import.value[0] < 0
    assert grid.voltage.value[1] > 1
    assert grid.losses.value[0] == pytest.approx(grid.grid_import.value[0] + 10e3, rel=1e-6)


def test_every_kind_of_own_element_enters_the_balance():
    net = two_buses(r_ohm=0.05)
    pp.create_load(net, 1, 0.01, const_z_p_percent=30, const_i_p_percent=20)
    pp.create_sgen(net, 1, 0.004)
    pp.create_storage(net, 1, 0.002, max_e_mwh=1)
    pp.create_shunt(net, 1, q_mvar=-0.001, p_mw=0.001)
    pp.create_ward(net, 1, 0.001, 0, 0.001, 0)
    pp.create_gen(net, 1, p_mw=0.003, vm_pu=1.0)
    pp.create_load(net, 1, 0.5, in_service=False)
    grid = opened(net, connection_points={"house": 1})
    for power in (1e3, 5e3, -2e3):
        drive(grid, power)
    fixed = 2e3 + 1e3 + 1e3 + 1e3 + 10e3 - 4e3 - 3e3 - 2e3
    assert grid.grid_import.value[0] == pytest.approx(fixed + grid.losses.value[0], abs=200)


def test_a_result_that_breaks_the_balance_names_its_residual():
    class Forgetful(NewtonRaphson):
        def solve(self, power_w, reactive_var):
            return super().solve(power_w * 0.999, reactive_var)

    class Wrong(Grid):
        solver = Forgetful

    grid = Wrong(two_buses(), connection_points={"house": 1})
    grid.open()
    with pytest.raises(CosimError, match=r"residual of -15 W"):
        drive(grid, 15e3)


def test_no_solution_is_one_clear_error_and_leaves_nothing_behind():
    net = pn.create_cigre_network_lv()
    grid, fresh = opened(net), opened(net)
    drive(grid, 1e3)
    demand = np.full(len(grid.power), 1e6)
    demand[3] = 5e8
    before = grid.voltage.value
    with pytest.raises(CosimError, match=rf"no solution: 514 MW .* at '{grid.power.labels[3]}' \(500 MVA\)"):
        drive(grid, demand)
    assert grid.voltage.value is before
    for power in (2e3, 1e3):
        drive(grid, power)
        drive(fresh, power)
        np.testing.assert_allclose(grid.voltage.value, fresh.voltage.value, rtol=0, atol=1e-11)


def test_a_step_does_not_depend_on_the_steps_before_it():
    one, other = opened(pn.create_cigre_network_mv()), opened(pn.create_cigre_network_mv())
    for power in (1e4, 9e5, 3e5):
        drive(one, power)
    drive(other, 3e5)
    for name, port in outputs(one).items():
        assert np.array_equal(port.value, outputs(other)[name].value), name


def test_opening_gives_the_voltages_without_demand_and_keeps_the_net_of_the_user():
    net = pn.create_cigre_network_mv()
    before = copy.deepcopy(net)
    grid = Grid(net)
    assert not grid.voltage.has_value
    grid.open()
    drive(grid, 1e5)
    assert pandapower.toolbox.nets_equal(net, before)
    pp.runpp(net, numba=False)
    again = opened(net)
    np.testing.assert_allclose(again.voltage.value, net.res_bus.vm_pu, atol=1e-9)
    assert again.own_load_w == pytest.approx(net.load.p_mw.sum() * 1e6)


def test_it_pickles_before_and_after_opening_and_closes_twice():
    grid = pickle.loads(pickle.dumps(Grid(two_buses(), connection_points={"house": 1})))
    grid.open()
    drive(grid, 1e3)
    again = pickle.loads(pickle.dumps(grid))
    again.open()
    drive(again, 1e3)
    assert np.array_equal(again.voltage.value, grid.voltage.value)
    grid.close()
    grid.close()
    with pytest.raises(CosimError, match="not open"):
        grid.advance(STEP)


def test_points_on_one_bus_add_up():
    apart = opened(two_buses(), connection_points={"x": 1, "y": 1})
    together = opened(two_buses(), connection_points={"xy": 1})
    drive(apart, [3e3, 4e3])
    drive(together, 7e3)
    np.testing.assert_allclose(apart.voltage.value, together.voltage.value, rtol=0, atol=1e-12)


def test_unnamed_and_repeated_names_become_unique():
    net = two_buses()
    net.bus["name"] = ["bus", "bus"]
    net.line["name"] = None
    grid = Grid(net, connection_points={"house": 1})
    assert grid.voltage.labels == ("bus", "bus (1)")
    assert grid.line_loading.labels == ("line 0",)


def test_a_silent_tap_changer_is_repaired_and_reported():
    net = pn.create_cigre_network_mv()
    net.trafo[["tap_side", "tap_neutral", "tap_step_percent", "tap_pos"]] = ["hv", 0, 1.5, -3]
    net.trafo["tap_changer_type"] = None
    grid = opened(net)
    assert [e.kind for e in take_events(grid)] == ["repaired", "repaired"]
    net.trafo["tap_changer_type"] = "Ratio"
    pp.runpp(net, numba=False)
    np.testing.assert_allclose(grid.voltage.value, net.res_bus.vm_pu, atol=1e-9)


def test_isolated_buses_are_reported_and_refused_as_connection_points():
    net = two_buses()
    pp.create_bus(net, 0.4, name="island")
    grid = opened(net, connection_points={"house": 1})
    assert [(e.kind, e.element) for e in take_events(grid)] == [("isolated", "island")]
    assert "island" not in grid.voltage.labels
    drive(grid, 1e3)
    with pytest.raises(ScenarioError, match=r"'hut' is at bus 'island', which no external grid supplies"):
        Grid(net, connection_points={"hut": 2})


def test_an_open_switch_leaves_the_rest_supplied():
    net = two_buses()
    far = pp.create_bus(net, 0.4, name="far")
    spur = pp.create_line_from_parameters(net, 1, far, 0.1, 0.5, 0.3, 0, 0.2, name="spur")
    pp.create_switch(net, far, spur, "l", closed=False)
    grid = opened(net, connection_points={"house": 1})
    drive(grid, 1e3)
    assert grid.line_loading.value[1] == pytest.approx(0, abs=1e-9)
    assert grid.voltage.labels == ("a", "b")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda net: net.ext_grid.drop(net.ext_grid.index, inplace=True), "no external grid in service"),
        (lambda net: net.line.__setitem__("length_km", -1.0), r"net.line 'cable' has length_km = -1.0 \(1 such\)"),
        (lambda net: net.line.__setitem__("max_i_ka", np.nan), "max_i_ka = nan .* finite and positive"),
        (lambda net: net.line.__setitem__(["r_ohm_per_km", "x_ohm_per_km"], 0.0), "'cable' has no impedance"),
        (lambda net: net.line.__setitem__("to_bus", 7), "net.line 0 has to_bus = 7: there is no such bus"),
        (lambda net: pp.create_motor(net, 1, 0.01, 0.9), "1 motor in service: the grid knows bus, ext_grid"),
        (lambda net: pp.create_switch(net, 0, 1, "b", z_ohm=0.1), "z_ohm > 0"),
    ],
)
def test_an_impossible_net_is_refused(spoil, message):
    net = two_buses()
    spoil(net)
    with pytest.raises(ScenarioError, match=message):
        Grid(net, connection_points={"house": 1})


def test_everything_wrong_is_said_at_once():
    with pytest.raises(ScenarioError, match=r"bus 9, which the net does not have") as caught:
        Grid(two_buses(), connection_points={"x": 9, "y": "nowhere"})
    assert len(caught.value.problems) == 2
    with pytest.raises(ScenarioError, match="no connection point"):
        Grid(two_buses())
    with pytest.raises(ScenarioError, match="tolerance_mva is 0"):
        Grid(two_buses(), tolerance_mva=0)


def test_a_net_goes_through_json(tmp_path):
    net = pn.create_cigre_network_mv()
    path = tmp_path / "net.json"
    pp.to_json(net, str(path))
    grid = Grid.from_json(path)
    grid.open()
    same = opened(net)
    np.testing.assert_allclose(grid.voltage.value, same.voltage.value, atol=1e-12)
    assert grid.files == (path,)
    assert grid.versions() == {"pandapower": pp.__version__}


def hostile(tmp_path, change):
    text = pp.to_json(two_buses())
    path = tmp_path / "net.json"
    path.write_text(change(text))
    return path


MARK = "this_module_must_not_be_imported"
FOREIGN = {"_module": MARK, "_class": "Thing", "_object": "{}"}


@pytest.mark.parametrize(
    "payload",
    [
        json.dumps(FOREIGN),
        json.dumps(FOREIGN).replace("_module", "\\u005fmodule"),
        json.dumps([json.dumps(FOREIGN)]),
        json.dumps({"_module": "pandapower.auxiliary", "_class": "pandapowerNet", "_object": json.dumps([FOREIGN])}),
        json.dumps({"_module": "pandas", "_class": "DataFrame", "_object": json.dumps({"data": [[FOREIGN]]})}),
        f'{{"_module": "{MARK}", "_module": "pandas", "_class": "DataFrame", "_object": "{{}}"}}',
        json.dumps({"_module": "pandas", "_class": "DataFrame", "_object": "/etc/other.json"}),
        json.dumps({"_module": "pandapower.file_io", "_class": "function", "_object": "from_pickle"}),
        json.dumps({"_module": "builtins", "_class": "eval", "_object": "1"}),
        json.dumps({"_module": "pandapowerx", "_class": "Thing", "_object": "1"}),
    ],
)
def test_a_file_that_names_anything_foreign_is_refused_unread(tmp_path, payload):
    path = hostile(tmp_path, lambda text: text.replace('"_object": {', '"_object": {"evil": ' + payload + ",", 1))
    with pytest.raises(InputFileError, match=r"may only name classes of pandapower.*nothing was loaded"):
        read_net(path)
    assert MARK not in sys.modules


def test_a_file_that_is_no_net_is_refused(tmp_path):
    with pytest.raises(InputFileError, match="cannot read"):
        read_net(tmp_path / "none.json")
    with pytest.raises(InputFileError, match="is not JSON"):
        read_net(hostile(tmp_path, lambda text: text[: len(text) // 2]))
    with pytest.raises(InputFileError, match="holds no pandapower net"):
        read_net(hostile(tmp_path, lambda text: "{}"))
