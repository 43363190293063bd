"""Agreement of the engine on published networks with pandapower and with an independent solver."""

from __future__ import annotations

import contextlib
import copy
import warnings

import numpy as np
import pandapower as pp
import pandapower.networks as pn
import pytest
from power_grid_model import LoadGenType, PowerGridModel, attribute_dtype, initialize_array

from cosim.adapters.grid.net import labels
from cosim.core.adapter import take_events
from cosim.core.random import generator
from tests.support.grids import drive, oberrhein, opened, synthetic, tapped, two_buses, with_tables

NETWORKS = [
    "case4gs", "case5", "case6ww", "case9", "case14", "case24_ieee_rts", "case30", "case_ieee30", "case33bw", "case39",
    "case57", "case89pegase", "case145", "case_illinois200", "case300", "case2869pegase", "GBreducednetwork", "iceland",
    "create_cigre_network_hv", "create_kerber_dorfnetz", "create_kerber_landnetz_freileitung_1",
    "create_kerber_vorstadtnetz_kabel_1", "kb_extrem_vorstadtnetz_trafo_2", "example_simple", "example_multivoltage",
    "four_loads_with_branches_out", "ieee_european_lv_asymmetric", "lv_schutterwald", "simple_four_bus_system",
    "simple_mv_open_ring_net",
]  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_published_networks_agree_with_a_plain_power_flow(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # some files lack tap_dependency_table
        net = with_tables(getattr(pn, name)())
    grid = opened(net)
    rows = dict(zip(labels(net.bus, "bus"), net.bus.index))
    buses = [rows[label] for label in grid.power.labels]
    ours = pp.create_loads(net, buses, p_mw=0.0)
    total = max(net.load.p_mw.abs().sum(), net.asymmetric_load.p_a_mw.abs().sum())
    rng = generator(1, "demand", name)
    for _ in range(2):
        p, q = rng.uniform(-0.5, 1.0, (2, len(buses))) * 0.003 * total / len(buses)
        net.load.loc[ours, "p_mw"], net.load.loc[ours, "q_mvar"] = p, 0.3 * q
        run_tightly(net)
        drive(grid, p * 1e6, 0.3 * q * 1e6)
        expected = net.res_bus.vm_pu[[rows[label] for label in grid.voltage.labels]]
        np.testing.assert_allclose(grid.voltage.value, expected, rtol=0, atol=1e-8)
        loading = net.res_line.loading_percent[net.line.max_i_ka.notna()] / 100
        np.testing.assert_allclose(grid.line_loading.value, loading.fillna(0.0), rtol=0, atol=1e-6)
        if len(net.trafo) + len(net.trafo3w):
            loading = np.concatenate([net.res_trafo.loading_percent, net.res_trafo3w.loading_percent]) / 100
            np.testing.assert_allclose(grid.transformer_loading.value, np.nan_to_num(loading), rtol=0, atol=1e-6)
        assert grid.grid_import.value.sum() == pytest.approx(net.res_ext_grid.p_mw.sum() * 1e6, rel=1e-7, abs=1.0)


def run_tightly(net):
    """Solve to 1e-10 MVA, or to the tightest tolerance that rounding allows pandapower."""
    for tolerance in (1e-10, 1e-9, 1e-8):
        with contextlib.suppress(pp.LoadflowNotConverged):
            return pp.runpp(net, numba=False, tolerance_mva=tolerance, max_iteration=30)
    raise AssertionError("pandapower finds no solution")


def power_grid_model(net):
    """Voltages by power-grid-model on a net of lines, two-winding transformers, loads, generators and shunts. [pu]"""

    def array(kind, columns):
        columns = {name: np.asarray(values) for name, values in columns.items()}
        filled = initialize_array("input", kind, len(columns["id"]))
        for name, values in columns.items():
            filled[name] = values.astype(attribute_dtype("input", kind, name))
        return filled

    def ids(table, offset):
        return np.arange(len(table)) + offset * 100_000

    node = dict(zip(net.bus.index, range(len(net.bus))))

    def at(buses):
        return buses.map(node).to_numpy()

    line, trafo, grid = net.line, net.trafo, net.ext_grid
    opened_at = {(s.bus, s.et, s.element) for s in net.switch.itertuples() if not s.closed}
    assert not (net.switch.et == "b").any()

    def status(table, side, kind):
        return [
            int(on and (bus, kind, i) not in opened_at)
            for i, bus, on in zip(table.index, table[side], table.in_service)
        ]

    omega = 2 * np.pi * net.f_hz
    c = line.c_nf_per_km * 1e-9 * line.length_km * line.parallel
    loads = [(net.load, 1.0), (net.sgen, -1.0)]
    sym = [
        (
            table.bus,
            sign * table.p_mw * table.scaling * table.in_service,
            sign * table.q_mvar * table.scaling * table.in_service,
        )
        for table, sign in loads
    ]
    bus, p, q = (np.concatenate([np.asarray(each[k]) for each in sym]) for k in range(3))
    ratio = np.where(trafo.tap_changer_type == "Ratio", trafo.tap_pos - trafo.tap_neutral, 0.0)
    step = np.nan_to_num(ratio * trafo.tap_step_percent.fillna(0.0)) / 100
    high = trafo.tap_side.fillna("hv") == "hv"
    u1 = trafo.vn_hv_kv * np.where(high, 1 + step, 1.0) * 1e3
    u2 = trafo.vn_lv_kv * np.where(high, 1.0, 1 + step) * 1e3
    data = {
        "node": {"id": range(len(node)), "u_rated": net.bus.vn_kv * 1e3},
        "line": {"id": ids(line, 1), "from_node": at(line.from_bus), "to_node": at(line.to_bus),
                 "from_status": status(line, "from_bus", "l"), "to_status": status(line, "to_bus", "l"),
                 "r1": line.r_ohm_per_km * line.length_km / line.parallel,
                 "x1": line.x_ohm_per_km * line.length_km / line.parallel, "c1": c,
                 "tan1": line.g_us_per_km.fillna(0.0) * 1e-6 * line.length_km * line.parallel / (omega * c + 1e-300)},
        "source": {"id": ids(grid, 2), "node": at(grid.bus), "status": grid.in_service.astype(int),
                   "u_ref": grid.vm_pu, "u_ref_angle": np.radians(grid.va_degree), "sk": np.full(len(grid), 1e20)},
        "sym_load": {"id": ids(bus, 3), "node": [node[b] for b in bus], "status": np.ones(len(bus)),
                     "type": np.full(len(bus), LoadGenType.const_power), "p_specified": p * 1e6,
                     "q_specified": q * 1e6},
    }  # fmt: skip
    base = (u2.to_numpy() * 1e-3) ** 2  # ohm per pu of 1 MVA on the low side
    rated = trafo.sn_mva.to_numpy()
    share = base / rated / trafo.parallel.to_numpy() / 100
    r = trafo.vkr_percent.to_numpy() * share
    z = r + 1j * np.sqrt((trafo.vk_percent.to_numpy() * share) ** 2 - r**2)
    iron = trafo.pfe_kw.to_numpy() * 1e-3
    magnetising = np.sqrt(np.maximum((trafo.i0_percent.to_numpy() / 100 * rated) ** 2 - iron**2, 0.0))
    y = (iron - 1j * magnetising) * trafo.parallel.to_numpy() / base
    # pandapower's T model as a pi: both halves of z, with y between them.
    z, y = z * (1 + z * y / 4), y / (1 + z * y / 4)
    nominal = net.bus.vn_kv.loc[trafo.hv_bus].to_numpy() / net.bus.vn_kv.loc[trafo.lv_bus].to_numpy()
    data["generic_branch"] = {  # pandapower's pi model, referred to the low side
        "id": ids(trafo, 4), "from_node": at(trafo.hv_bus), "to_node": at(trafo.lv_bus),
        "from_status": status(trafo, "hv_bus", "t"), "to_status": status(trafo, "lv_bus", "t"),
        "r1": z.real, "x1": z.imag, "g1": y.real, "b1": y.imag, "k": (u1 / u2).to_numpy() / nominal,
        "theta": np.radians(trafo.shift_degree.to_numpy()), "sn": trafo.sn_mva * 1e6,
    }  # fmt: skip
    model = PowerGridModel(
        {kind: array(kind, columns) for kind, columns in data.items() if len(columns["id"])}, system_frequency=net.f_hz
    )
    found = model.calculate_power_flow(error_tolerance=1e-12, max_iterations=100)["node"]
    return np.where(found["energized"] > 0, found["u_pu"], np.nan)


@pytest.mark.parametrize(
    "make",
    [two_buses, pn.create_cigre_network_mv, pn.create_cigre_network_lv, oberrhein, synthetic, tapped],
    ids=lambda make: make.__name__,
)
def test_an_independent_solver_finds_the_same_voltages(make):
    net = make()
    buses = list(net.load.bus.unique()) if len(net.load) else [1]
    net = without_bus_switches(net)
    rng = generator(2, "demand")
    size = 1e-3 if net.bus.vn_kv.min() < 1 else 0.1
    grid = opened(net, connection_points={f"p{bus}": int(bus) for bus in buses})
    p, q = rng.uniform(-0.5, 2, (2, len(buses))) * size
    drive(grid, p * 1e6, 0.3 * q * 1e6)
    loaded = copy.deepcopy(net)
    pp.create_loads(loaded, buses, p_mw=p, q_mvar=0.3 * q)
    rows = dict(zip(labels(net.bus, "bus"), range(len(net.bus))))
    expected = power_grid_model(loaded)[[rows[label] for label in grid.voltage.labels]]
    np.testing.assert_allclose(grid.voltage.value, expected, rtol=0, atol=1e-9)


def without_bus_switches(net):
    """Merge buses joined by closed bus-bus switches, drop open ones: power-grid-model would use impedances."""
    joins = net.switch[(net.switch.et == "b")]
    for join in joins[joins.closed].itertuples():
        pp.toolbox.fuse_buses(net, join.bus, join.element)
    net.switch = net.switch[net.switch.et != "b"]
    return net


def extended(net):
    """Add elements found in planning models and converted nets: a DC link, a resistive switch, wards, a motor."""
    far = pp.create_bus(net, 20.0, name="far")
    pp.create_line_from_parameters(net, 5, far, 1.0, 0.5, 0.3, 200, 0.2)
    pp.create_load(net, far, 0.2, 0.05)
    near = pp.create_bus(net, 20.0, name="near")
    pp.create_switch(net, 6, near, "b", z_ohm=0.5)
    pp.create_load(net, near, 0.3, 0.1)
    pp.create_dcline(net, 3, 8, p_mw=0.5, loss_percent=2.0, loss_mw=0.01, vm_from_pu=0.99, vm_to_pu=0.98)
    pp.create_xward(net, 9, 0.1, 0.05, 0.05, 0.02, 0.5, 1.0, 0.99)
    pp.create_ward(net, 10, 0.1, 0.05, 0.05, 0.02)
    pp.create_impedance(net, 4, 11, 0.01, 0.02, 10.0)
    pp.create_motor(net, 7, 0.2, 0.9)
    return net


@pytest.mark.parametrize("engine", ["auto", "pandapower"])
def test_every_accepted_element_is_solved_as_by_pandapower(engine):
    net = extended(pn.create_cigre_network_mv())
    grid = opened(net, engine=engine)
    drive(grid, 5e4, 1e4)
    rows = dict(zip(labels(net.bus, "bus"), net.bus.index))
    pp.create_loads(net, [rows[label] for label in grid.power.labels], p_mw=0.05, q_mvar=0.01)
    pp.runpp(net, numba=False, tolerance_mva=1e-10)
    np.testing.assert_allclose(grid.voltage.value, net.res_bus.vm_pu, rtol=0, atol=1e-8)
    np.testing.assert_allclose(grid.line_loading.value, net.res_line.loading_percent / 100, rtol=0, atol=1e-6)
    np.testing.assert_allclose(grid.grid_import.value, net.res_ext_grid.p_mw * 1e6, rtol=1e-7)


def test_lines_without_a_rating_have_no_loading_and_are_reported():
    net = two_buses()
    net.line["max_i_ka"] = np.nan
    grid = opened(net, connection_points={"house": 1})
    assert "no rating" in {event.kind for event in take_events(grid)}
    assert not hasattr(grid, "line_loading")
    drive(grid, 1e3)
    assert grid.line_losses.value[0] > 0


def test_negative_reactances_are_accepted_in_transmission_grids_only_and_reported():
    grid = opened(pn.case300())
    assert ("negative impedance", "line") in {(event.kind, event.element) for event in take_events(grid)}


def test_a_grid_of_one_bus_imports_its_demand():
    net = pp.create_empty_network()
    pp.create_bus(net, 20.0, name="only")
    pp.create_ext_grid(net, 0)
    grid = opened(net, connection_points={"all": 0})
    assert [event.element for event in take_events(grid)] == ["pandapower"]
    drive(grid, 1e6, 2e5)
    assert grid.grid_import.value[0] == pytest.approx(1e6)
    assert grid.reactive_import.value[0] == pytest.approx(2e5)
    assert grid.voltage.value[0] == 1.0
