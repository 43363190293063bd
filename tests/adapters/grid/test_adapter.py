"""The grid adapter: agreement with pandapower, balance, controls and errors."""

from __future__ import annotations

import copy
import pickle
from typing import Any, ClassVar

import numpy as np
import pandapower as pp
import pandapower.networks as pn
import pandapower.toolbox
import pytest

from cosim.adapters.grid import Grid, Inverter, TapControl
from cosim.adapters.grid.net import labels
from cosim.adapters.grid.pandapower_solver import NewtonRaphson
from cosim.adapters.grid.solvers import FastSolver
from cosim.core import CosimError, ScenarioError
from cosim.core.adapter import outputs, take_events
from cosim.core.random import generator
from tests.support.grids import (
    STEP,
    case118,
    case1354,
    closed_rings,
    drive,
    multivoltage,
    oberrhein,
    on_load,
    opened,
    synthetic,
    tapped,
    two_buses,
    two_grids,
)

NETS = {
    "tree": [pn.create_cigre_network_mv, pn.create_cigre_network_lv, oberrhein, synthetic, two_grids, tapped],
    "mesh": [closed_rings],
    "newton": [case118, case1354, multivoltage],
}


@pytest.mark.parametrize(
    ("make", "method"),
    [(make, method) for method, nets in NETS.items() for make in nets],
    ids=[make.__name__ for nets in NETS.values() for make in nets],
)
def test_steps_agree_with_a_plain_power_flow_to_1e_9(make, method):
    net = make()
    grid = opened(net)
    assert [e.element for e in take_events(grid) if e.kind == "engine"] == [method]
    bus_of = dict(zip(labels(net.bus, "bus"), net.bus.index))
    buses = [bus_of[label] for label in grid.power.labels]
    ours = pp.create_loads(net, buses, p_mw=0.0)
    rng = generator(0, "demand")
    size_w = 2e3 if net.bus.vn_kv.min() < 1 else 5e4
    flows = 1e-6 * max(net.sn_mva, 1.0)
    for _ in range(3 if method == "newton" else 5):
        power, reactive = rng.uniform(-0.5, 2, len(buses)) * size_w, rng.uniform(-0.5, 1, len(buses)) * size_w
        drive(grid, power, reactive)
        net.load.loc[ours, "p_mw"], net.load.loc[ours, "q_mvar"] = power * 1e-6, reactive * 1e-6
        pp.runpp(net, numba=False, tolerance_mva=1e-10)
        np.testing.assert_allclose(grid.voltage.value, net.res_bus.vm_pu.dropna(), rtol=0, atol=1e-9)
        loading = net.res_line.loading_percent.fillna(0) / 100
        np.testing.assert_allclose(grid.line_loading.value, loading, rtol=0, atol=1e-8)
        loading = np.concatenate([net.res_trafo.loading_percent, net.res_trafo3w.loading_percent]) / 100
        np.testing.assert_allclose(grid.transformer_loading.value, loading, rtol=0, atol=1e-8)
        for port, column in ((grid.grid_import, "p_mw"), (grid.reactive_import, "q_mvar")):
            np.testing.assert_allclose(port.value * 1e-6, net.res_ext_grid[column], rtol=1e-9, atol=flows)
        in_trafos = net.res_trafo.pl_mw.sum() + net.res_trafo3w.pl_mw.sum()
        np.testing.assert_allclose(grid.losses.value, (net.res_line.pl_mw.sum() + in_trafos) * 1e6, rtol=1e-6)


@pytest.mark.parametrize("make", [oberrhein, closed_rings, case118, multivoltage], ids=lambda f: f.__name__)
def test_the_reference_engine_gives_the_same_numbers(make):
    fast, reference = opened(make()), opened(make(), engine="pandapower")
    assert take_events(reference)[-1].element == "pandapower"
    for power in (4e3, -2e3):
        for grid in (fast, reference):
            drive(grid, power, 0.3 * power)
        for name, port in outputs(fast).items():
            atol = {"pu": 1e-8, "1": 1e-6}.get(port.unit, 1.0)
            np.testing.assert_allclose(port.value, outputs(reference)[name].value, rtol=1e-6, atol=atol, err_msg=name)


def test_two_buses_match_the_closed_form():
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


def test_generation_flows_back_and_raises_the_voltage():
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
    for right in (FastSolver, NewtonRaphson):

        class Forgetful(right):  # type: ignore[valid-type]
            def solve(self, power_w, reactive_var):
                return super().solve(power_w * 0.999, reactive_var)

        class Wrong(Grid):
            engines: ClassVar = {"auto": Forgetful}

        grid = Wrong(two_buses(), connection_points={"house": 1})
        grid.open()
        with pytest.raises(CosimError, match=r"residual of -15 W"):
            drive(grid, 15e3)


def test_each_load_keeps_its_own_dependence_on_the_voltage():
    net = two_buses()
    pp.create_load(net, 1, 0.02, 0.01, const_z_p_percent=100, const_z_q_percent=100)
    pp.create_load(net, 1, 0.01, 0.004, const_i_p_percent=60, const_i_q_percent=30)
    grid = opened(net, connection_points={"house": 1})
    drive(grid, 5e3, 1e3)
    v = grid.voltage.value[1]
    drawn = 5e3 + 20e3 * v**2 + 10e3 * (0.4 + 0.6 * v)
    assert grid.grid_import.value[0] - grid.losses.value[0] == pytest.approx(drawn, rel=1e-9)
    drawn = 1e3 + 10e3 * v**2 + 4e3 * (0.7 + 0.3 * v)
    line = pp.create_empty_network()  # losses of the line itself, from a plain power flow of constant loads
    pp.create_buses(line, 2, 0.4)
    pp.create_ext_grid(line, 0)
    pp.create_line_from_parameters(line, 0, 1, 1.0, 0.5, 0.3, 0.0, 0.2)
    pp.create_load(line, 1, (grid.grid_import.value[0] - grid.losses.value[0]) * 1e-6, drawn * 1e-6)
    pp.runpp(line, numba=False, tolerance_mva=1e-10)
    assert line.res_bus.vm_pu[1] == pytest.approx(v, abs=1e-9)
    with pytest.raises(ScenarioError, match=r"voltage-dependent loads.*engine='auto'"):
        opened(net, connection_points={"house": 1}, engine="pandapower")


def test_headroom_is_the_active_power_that_fills_the_transformer():
    net = on_load()
    grid = opened(net, connection_points={"town": 1})
    assert grid.transformer_headroom.value[0] == pytest.approx(25e6, rel=1e-3)  # its no-load losses flow already
    drive(grid, 10e6, 4e6)
    loading, free = grid.transformer_loading.value[0], grid.transformer_headroom.value[0]
    into_w = grid.grid_import.value[0]
    assert free == pytest.approx(into_w * (1 / loading - 1))
    drive(grid, (10e6) * (1 + free / into_w), 4e6 * (1 + free / into_w))
    assert grid.transformer_loading.value[0] == pytest.approx(1.0, abs=0.04)  # the voltage falls as it fills
    drive(grid, 40e6)
    assert grid.transformer_headroom.value[0] < 0
    drive(grid, -40e6)
    assert grid.transformer_headroom.value[0] < 0


def test_a_step_without_solution_is_one_clear_error_and_leaves_no_trace():
    net = pn.create_cigre_network_lv()
    grid, fresh = opened(net), opened(net)
    drive(grid, 1e3)
    demand = np.full(len(grid.power), 1e6)
    demand[3] = 5e8
    before = grid.voltage.value
    take_events(grid)
    message = rf"no solution: 514 MW .* at '{grid.power.labels[3]}' \(500 MVA\).*be supplied"
    with pytest.raises(CosimError, match=message):
        drive(grid, demand)
    (event,) = take_events(grid)
    assert event.kind == "no solution"
    assert event.element in grid.voltage.labels
    assert grid.voltage.value is before
    for power in (2e3, 1e3):
        drive(grid, power)
        drive(fresh, power)
        np.testing.assert_allclose(grid.voltage.value, fresh.voltage.value, rtol=0, atol=1e-11)


def test_a_step_without_solution_may_be_missing_or_shed():
    maximum = 0.16e6 / (2 * (0.5 + np.hypot(0.5, 0.3)))  # V²/(2(R+|Z|)): capability of the line at cos φ = 1 [W]
    lost = opened(two_buses(), connection_points={"a": 1, "b": 1}, on_divergence="hold")
    drive(lost, maximum)
    assert all(np.isnan(port.value).all() for port in outputs(lost).values())
    drive(lost, 1e3)
    assert all(np.isfinite(port.value).all() for port in outputs(lost).values())
    shed = opened(two_buses(), connection_points={"a": 1, "b": 1}, on_divergence="shed")
    take_events(shed)
    drive(shed, maximum)
    event, cut, low = take_events(shed)
    assert (event.kind, event.element, cut.kind) == ("no solution", "b", "shed")
    assert (low.kind, low.element) == ("voltage limit", "b")
    served = 2 * maximum - shed.unserved_power.value.sum()
    assert served == pytest.approx(0.95 * maximum, rel=0.01)
    assert shed.grid_import.value[0] == pytest.approx(served + shed.losses.value[0], rel=1e-6)


def test_a_change_of_method_is_reported():
    grid = opened(two_buses(), connection_points={"house": 1})
    take_events(grid)
    maximum = 0.16e6 / (2 * (0.5 + np.hypot(0.5, 0.3)))
    methods = []
    for power in (1e3, 0.9999 * maximum, 0.9999 * maximum, 1e3):
        drive(grid, power)
        methods.append([event.element for event in take_events(grid) if event.kind == "engine"])
    assert methods == [[], ["newton"], [], ["tree"]]


@pytest.mark.parametrize("engine", ["auto", "pandapower"])
def test_switches_cut_off_and_restore_supply(engine):
    net = two_buses()
    net.switch = net.switch.iloc[:0]
    far = pp.create_bus(net, 0.4, name="far")
    spur = pp.create_line_from_parameters(net, 1, far, 0.1, 0.5, 0.3, 0, 0.2, name="spur")
    pp.create_switch(net, far, spur, "l", closed=False, name="breaker")
    grid = opened(net, connection_points={"house": 1, "hut": far}, switchable=["breaker"], engine=engine)
    assert grid.voltage.labels == ("a", "b", "far")
    take_events(grid)
    drive(grid, 2e3)
    np.testing.assert_allclose(grid.unserved_power.value, [0, 2e3])
    assert np.isnan(grid.voltage.value).tolist() == [False, False, True]
    assert take_events(grid) == []
    grid.switch_closed.deliver(1.0)
    drive(grid, 2e3)
    assert next((e.kind, e.element, e.text[:6]) for e in take_events(grid)) == ("switched", "breaker", "closed")
    np.testing.assert_array_equal(grid.unserved_power.value, 0)
    assert grid.grid_import.value[0] == pytest.approx(4e3 + grid.losses.value[0], rel=1e-9)
    net.switch["closed"] = True
    pp.create_loads(net, [1, far], 2e-3)
    pp.runpp(net, numba=False, tolerance_mva=1e-10)
    np.testing.assert_allclose(grid.voltage.value, net.res_bus.vm_pu, atol=1e-9)
    with pytest.raises(ScenarioError, match="switch 'fuse' is not in the net"):
        Grid(net, switchable=["fuse"])


def test_a_tap_changer_waits_its_delay_and_brings_the_voltage_into_the_band():
    control = TapControl("main", voltage_pu=1.0, dead_band_pu=0.012, delay_s=120)
    grid = opened(on_load(), connection_points={"town": 1}, controls=[control])
    seen = []
    for _ in range(8):
        drive(grid, 15e6, 8e6)
        seen.append((grid.tap_position.value[0], grid.voltage.value[1]))
    positions = [position for position, _ in seen]
    assert positions[:4] == [0, -1, -1, -2]
    assert abs(seen[-1][1] - 1) <= control.dead_band_pu
    settled = int(positions[-1])
    net = on_load()
    net.trafo["tap_pos"] = settled
    pp.create_load(net, 1, 15, 8)
    pp.runpp(net, numba=False, tolerance_mva=1e-10)
    assert grid.voltage.value[1] == pytest.approx(net.res_bus.vm_pu[1], abs=1e-9)
    assert len([e for e in take_events(grid) if e.kind == "tap moved"]) == -settled
    with pytest.raises(ScenarioError, match="'spare', which is not a transformer"):
        Grid(on_load(), connection_points={"town": 1}, controls=[TapControl("spare")])


def test_inverters_lie_on_their_curves_at_the_resulting_voltage():
    q_of_u: Any = ((0.97, -0.4), (0.99, 0.0), (1.01, 0.0), (1.05, 0.4))
    p_of_u: Any = ((1.03, 1.0), (1.06, 0.5))
    roof = Inverter("roof", 30e3, reactive_curve=q_of_u, power_curve=p_of_u)
    grid = opened(two_buses(r_ohm=0.5), connection_points={"roof": 1}, controls=[roof])
    drive(grid, -25e3)
    v = grid.voltage.value[1]
    fed = 25e3 - grid.curtailed_power.value[0]
    assert fed == pytest.approx(min(25e3, 30e3 * np.interp(v, *np.transpose(p_of_u))), rel=1e-5)
    assert grid.grid_import.value[0] == pytest.approx(grid.losses.value[0] - fed, rel=1e-6)
    drawn = 30e3 * np.interp(v, *np.transpose(q_of_u))
    x_over_r = 0.3 / 0.5
    in_line = x_over_r * grid.losses.value[0]
    assert grid.reactive_import.value[0] == pytest.approx(drawn + in_line, rel=1e-4)
    plain = opened(two_buses(r_ohm=0.5), connection_points={"roof": 1})
    drive(plain, -25e3)
    assert 1.03 < v < plain.voltage.value[1]
    fixed = opened(two_buses(), connection_points={"roof": 1}, controls=[Inverter("roof", 10e3, cos_phi=0.9)])
    drive(fixed, -20e3)
    assert fixed.curtailed_power.value[0] == pytest.approx(11e3)
    assert fixed.grid_import.value[0] == pytest.approx(fixed.losses.value[0] - 9e3)
    with pytest.raises(ScenarioError, match="voltages must rise"):
        Inverter("roof", 1e3, reactive_curve=((1.0, 0.0), (0.9, 0.1)))


def test_a_step_does_not_depend_on_previous_steps():
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
    assert [e.kind for e in take_events(grid)] == ["repaired", "repaired", "engine"]
    net.trafo["tap_changer_type"] = "Ratio"
    pp.runpp(net, numba=False)
    np.testing.assert_allclose(grid.voltage.value, net.res_bus.vm_pu, atol=1e-9)


def test_isolated_buses_are_reported_and_refused_as_connection_points():
    net = two_buses()
    pp.create_bus(net, 0.4, name="island")
    grid = opened(net, connection_points={"house": 1})
    assert [(e.kind, e.element) for e in take_events(grid)] == [("isolated", "island"), ("engine", "tree")]
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
        (lambda net: net.__setitem__("sn_mva", float("nan")), r"the net has sn_mva = nan: it must be a positive"),
        (lambda net: net.__setitem__("f_hz", -50.0), r"the net has f_hz = -50.0: it must be a positive number"),
        (lambda net: net.line.__setitem__("max_i_ka", 0.0), r"max_i_ka = 0.0 \(1 such\): it must be positive or empty"),
        (lambda net: net.line.__setitem__("r_ohm_per_km", np.nan), "r_ohm_per_km = nan .* zero or positive"),
        (lambda net: pp.create_load(net, 1, np.nan), "net.load 'load 0' has p_mw = nan .* finite"),
        (lambda net: pp.create_impedance(net, 0, 1, -0.1, 0.1, 1.0), "net.impedance 'impedance 0' has rft_pu = -0.1"),
        (lambda net: net.line.__setitem__(["r_ohm_per_km", "x_ohm_per_km"], 0.0), "'cable' has no impedance"),
        (lambda net: net.line.__setitem__("to_bus", 7), "net.line 0 has to_bus = 7: unknown bus"),
        (lambda net: pp.create_svc(net, 1, 1, -10, 1.0, 90), "1 svc in service: the grid supports"),
        (lambda net: net.line.__setitem__("x_ohm_per_km", -0.1), "x_ohm_per_km = -0.1"),
        (lambda net: (pp.create_load(net, 1, 0.1), net.load.__setitem__("bus", 9)), "net.load 0 has bus = 9: unknown"),
        (lambda net: pp.create_ext_grid(net, 0, vm_pu=1.02), "hold bus 0 at 1 and 1.02 pu"),
        (lambda net: net.__setitem__("line", net.line.drop(columns="df")), "net.line has no column df"),
        (lambda net: pp.set_user_pf_options(net, enforce_q_lims=True), "pandapower's enforce_q_lims"),
    ],
)
def test_an_impossible_net_is_refused(spoil, message):
    net = two_buses()
    spoil(net)
    with pytest.raises(ScenarioError, match=message):
        Grid(net, connection_points={"house": 1})


def test_all_problems_are_reported_at_once():
    with pytest.raises(ScenarioError, match=r"bus 9, which the net does not have") as caught:
        Grid(two_buses(), connection_points={"x": 9, "y": "nowhere"})
    assert len(caught.value.problems) == 2
    with pytest.raises(ScenarioError, match="no connection point"):
        Grid(two_buses())
    with pytest.raises(ScenarioError, match=r"net is a str: pass a pandapower net"):
        Grid("net.json")
    with pytest.raises(ScenarioError, match="tolerance_mva is 0"):
        Grid(two_buses(), tolerance_mva=0)


def test_a_grid_says_what_its_elements_are_and_what_stands_behind_each_transformer():
    grid = Grid(pn.create_cigre_network_lv())
    behind = {point: text.partition(", behind ")[2] for point, text in grid.describe("power").items()}
    stations = grid.describe("transformer_loading")
    assert set(behind.values()) == set(stations) == set(grid.transformer_loading.labels)
    for name, text in stations.items():
        assert text.partition("supplies ")[2].split(", ") == [point for point, at in behind.items() if at == name]
    assert grid.describe("grid_import") == {}
    assert Grid(two_buses(), connection_points={"house": "b"}).describe("power") == {"house": "bus b"}
    assert Grid(two_buses(), connection_points={"house": "b"}).describe("line_losses") == {"cable": "a – b, 1000 m"}
