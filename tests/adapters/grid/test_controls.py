"""Grid controls (storages, caps, shedding, fuses, limits) and resumed grids."""

from __future__ import annotations

import numpy as np
import pandapower as pp
import pandapower.networks as pn
import pytest

from cosim.adapters.grid import Fuse, Grid, Inverter, PowerCap, Shedding, TapControl
from cosim.core import ScenarioError, Step
from cosim.core.adapter import outputs, take_events
from tests.support.grids import STEP, drive, on_load, opened, two_buses


def two_stations():
    """A 20 kV busbar with two 0.4 MVA stations, the second with a neighbour behind its own 160 kVA transformer."""
    net = pp.create_empty_network()
    a = pp.create_bus(net, 20.0, name="mv")
    pp.create_ext_grid(net, a, name="up")
    low = [pp.create_bus(net, 0.4, name=name) for name in ("east", "west")]
    for bus, name in zip(low, ("T east", "T west")):
        pp.create_transformer(net, a, bus, "0.4 MVA 20/0.4 kV", name=name)
    return net


def station_grid(**options):
    points = {"east house": "east", "east charger": "east", "west house": "west", "west charger": "west"}
    return opened(two_stations(), connection_points=points, **options)


def charge(grid, houses, rating=500e3, steps=6):
    """Let chargers draw up to their cap, and return the loading after each step."""
    draw = {name: rating for name in grid.power.labels if "charger" in name}
    seen = []
    for _ in range(steps):
        caps = dict(zip(grid.power_cap.labels, grid.power_cap.value))
        power = [houses.get(name, min(draw.get(name, 0.0), caps.get(name, np.inf))) for name in grid.power.labels]
        drive(grid, power)
        seen.append(grid.transformer_loading.value)
    return np.array(seen)


def test_chargers_under_a_cap_fill_their_own_transformer_to_its_limit():
    grid = station_grid(controls=[PowerCap("east charger", 500e3), PowerCap("west charger", 500e3)])
    loading = charge(grid, {"east house": 250e3, "west house": 50e3})
    np.testing.assert_allclose(loading[-1], 1.0, atol=0.01)
    caps = dict(zip(grid.power_cap.labels, grid.power_cap.value))
    assert caps["east charger"] == pytest.approx(140e3, rel=0.06)
    assert caps["west charger"] == pytest.approx(340e3, rel=0.03)
    loading = charge(grid, {"east house": 390e3, "west house": 50e3})
    assert loading[0, 0] > 1.3  # the cap was published before the house drew more
    np.testing.assert_allclose(loading[-1], 1.0, atol=0.01)
    loading = charge(grid, {"east house": 450e3, "west house": 50e3})
    assert dict(zip(grid.power_cap.labels, grid.power_cap.value))["east charger"] == 0
    assert loading[-1, 0] > 1


def test_a_cap_aims_at_its_own_loading_and_never_exceeds_the_rating():
    grid = station_grid(controls=[PowerCap("east charger", 100e3), PowerCap("west charger", 500e3, loading=0.6)])
    loading = charge(grid, {})
    assert dict(zip(grid.power_cap.labels, grid.power_cap.value))["east charger"] == 100e3
    assert loading[-1, 1] == pytest.approx(0.6, abs=0.005)


def test_chargers_behind_two_transformers_respect_both():
    net = on_load()
    low = pp.create_bus(net, 0.4, name="street")
    pp.create_transformer(net, 1, low, "0.63 MVA 20/0.4 kV", name="station")
    points = {"town": 1, "street": low}
    grid = opened(net, connection_points=points, controls=[PowerCap("street", 1e6)])
    drive(grid, [0.0, 0.0])
    assert grid.power_cap.value[0] == pytest.approx(0.63e6, rel=0.02)
    drive(grid, [24.7e6, 0.0])
    assert 0 <= grid.power_cap.value[0] < 0.3e6


def test_interruptible_points_are_shed_until_their_transformer_fits():
    grid = station_grid(controls=[Shedding("east charger")])
    take_events(grid)
    drive(grid, [300e3, 200e3, 100e3, 300e3])
    unserved = dict(zip(grid.unserved_power.labels, grid.unserved_power.value))
    assert unserved["east charger"] == pytest.approx(110e3, rel=0.1)
    assert [unserved[name] for name in ("east house", "west house", "west charger")] == [0, 0, 0]
    assert grid.transformer_loading.value[0] == pytest.approx(1.0, abs=0.02)
    assert grid.transformer_loading.value[0] <= 1.0
    assert [(e.kind, e.element) for e in take_events(grid) if e.kind == "shed"] == [("shed", "east charger")]
    served = 900e3 - grid.unserved_power.value.sum()
    assert grid.grid_import.value[0] == pytest.approx(served + grid.losses.value[0], rel=1e-6)
    drive(grid, [600e3, 100e3, 0.0, 0.0])  # more than may be shed
    assert grid.unserved_power.value[1] == pytest.approx(100e3)
    assert grid.transformer_loading.value[0] > 1


def test_without_a_solution_only_interruptible_points_are_cut_if_there_are_any():
    maximum = 0.16e6 / (2 * (0.5 + np.hypot(0.5, 0.3)))
    points = {"firm": 1, "loose": 1}
    grid = opened(two_buses(), connection_points=points, controls=[Shedding("loose")], on_divergence="shed")
    drive(grid, 0.6 * maximum)
    firm, loose = grid.unserved_power.value
    assert firm == 0
    assert loose == pytest.approx(0.6 * maximum - 0.95 * 0.4 * maximum, rel=0.02)


def test_a_fuse_opens_after_the_time_of_its_curve_and_stays_open():
    curve = ((2.0, 600.0), (4.0, 60.0))
    grid = opened(two_buses(), connection_points={"house": 1}, controls=[Fuse("cable", 30.0, curve)])
    amperes = 75.0
    power = np.sqrt(3) * 400 * amperes * 0.85
    opens, seen = [], []
    for _ in range(20):
        take_events(grid)
        drive(grid, power)
        seen.append(grid.line_loading.value[0] * 200)
        opens.append(any(e.kind == "fuse opened" for e in take_events(grid)))
        if opens[-1]:
            break
    multiple = seen[0] / 30
    slope = np.log(60 / 600) / np.log(2)
    due_s = 600 * (multiple / 2) ** slope
    assert len(opens) == int(np.ceil(due_s / 60))
    drive(grid, power)
    assert np.isnan(grid.voltage.value[1])
    assert grid.unserved_power.value[0] == power
    assert grid.grid_import.value[0] == pytest.approx(0, abs=1e-3)


def test_a_fuse_below_its_curve_never_opens_and_cools():
    fuse = Fuse("cable", 30.0, ((2.0, 600.0), (4.0, 60.0)))
    grid = opened(two_buses(), connection_points={"house": 1}, controls=[fuse])
    for high in [True] * 5 + [False] * 12:
        drive(grid, 36e3 if high else 25e3)
    assert grid._damage.damage[0] == 0
    assert not np.isnan(grid.voltage.value[1])


def test_the_default_fuse_follows_its_conventional_time():
    assert Fuse("x", 63).melting[0] == (1.6, 3600.0)
    assert Fuse("x", 250).melting[0] == (1.6, 3 * 3600.0)
    with pytest.raises(ScenarioError, match="currents must rise"):
        Fuse("x", 63, ((2.0, 10.0), (1.0, 20.0)))


def test_limits_are_events_when_they_begin_and_end():
    grid = opened(two_buses(), connection_points={"house": 1}, voltage_band_pu=(0.95, 1.05))
    take_events(grid)
    seen = []
    for power in (1e3, 17e3, 17e3, 1e3, -30e3):
        drive(grid, power)
        seen.append([(e.kind, e.element) for e in take_events(grid)])
    assert seen == [
        [],
        [("voltage limit", "b")],
        [],
        [("voltage limit ended", "b")],
        [("voltage limit", "b")],
    ]
    grid = station_grid()
    take_events(grid)
    drive(grid, 300e3)
    (event, other) = take_events(grid)
    assert (event.kind, event.element, other.element) == ("overload", "T east", "T west")
    assert event.text.startswith("transformer loading 15")


def stored():
    net = two_buses(r_ohm=0.05)
    options = {"max_e_mwh": 0.01, "soc_percent": 50.0, "min_e_mwh": 0.001, "max_p_mw": 0.02, "min_p_mw": -0.02}
    pp.create_storage(net, 1, 0.006, name="battery", **options)
    return net


def test_a_storage_of_the_net_fills_and_empties_within_its_bounds():
    grid = opened(stored(), connection_points={"house": 1})
    assert grid.stored_energy.value[0] == pytest.approx(0.005 * 3.6e9)
    drive(grid, 1e3)  # without a setpoint it charges at the net's value, 6 kW
    assert grid.stored_energy.value[0] == pytest.approx(0.005 * 3.6e9 + 6e3 * 60)
    assert grid.grid_import.value[0] == pytest.approx(7e3 + grid.losses.value[0], rel=1e-9)
    grid.storage_setpoint.deliver([1e6])
    before = grid.stored_energy.value[0]
    drive(grid, 1e3)
    assert grid.stored_energy.value[0] - before == pytest.approx(20e3 * 60)  # max_p_mw
    for _ in range(60):
        drive(grid, 1e3)
    assert grid.stored_energy.value[0] == pytest.approx(0.01 * 3.6e9)
    assert grid.grid_import.value[0] == pytest.approx(1e3 + grid.losses.value[0], rel=1e-6)
    grid.storage_setpoint.deliver([-1e6])
    for _ in range(60):
        drive(grid, 1e3)
    assert grid.stored_energy.value[0] == pytest.approx(0.001 * 3.6e9)


def test_unknown_and_duplicate_elements_of_controls_are_refused():
    with pytest.raises(ScenarioError) as caught:
        station_grid(
            controls=[
                TapControl("T north"),
                Inverter("roof", 1e3),
                PowerCap("pole", 1e3),
                Shedding("x"),
                Fuse("cable", 10.0),
                PowerCap("east charger", 1e3),
                PowerCap("east charger", 2e3),
                "nonsense",
            ]
        )
    text = str(caught.value)
    for message in (
        "TapControl names 'T north', which is not a transformer",
        "Inverter names 'roof', which is not a connection point",
        "PowerCap names 'pole'",
        "Shedding names 'x'",
        "Fuse names 'cable', which is not a line or two-winding",
        "duplicate PowerCap of 'east charger'",
        "'nonsense' is not a control",
    ):
        assert message in text
    with pytest.raises(ScenarioError, match=r"PowerCap of 'a' has rating_w = -1: it must be positive"):
        PowerCap("a", -1)
    with pytest.raises(ScenarioError, match="voltage_band_pu is"):
        Grid(two_stations(), voltage_band_pu=(1.1, 0.9), connection_points={"a": 1})


def everything():
    """A grid with every stateful element: taps, a fuse, a storage, caps, switches, an inverter."""
    net = on_load()
    low = pp.create_bus(net, 0.4, name="street")
    pp.create_transformer(net, 1, low, "0.63 MVA 20/0.4 kV", name="station")
    end = pp.create_bus(net, 0.4, name="end")
    line = pp.create_line(net, low, end, 0.2, "NAYY 4x150 SE", name="cable")
    pp.create_switch(net, low, line, "l", name="breaker")
    pp.create_storage(net, low, 0.05, max_e_mwh=0.02, soc_percent=20.0, name="battery")
    curve = ((0.97, -0.4), (0.99, 0.0), (1.01, 0.0), (1.05, 0.4))
    return {
        "net": net,
        "connection_points": {"town": 1, "street": low, "roof": end},
        "controls": [
            TapControl("main", 1.0, 0.012, 150),
            PowerCap("street", 2e5),
            Fuse("cable", 40.0, ((1.2, 700.0), (3.0, 30.0))),
            Inverter("roof", 8e4, reactive_curve=curve),
            Shedding("street", 1.1),
        ],
        "switchable": ["breaker"],
    }


@pytest.mark.parametrize("engine", ["auto", "pandapower"])
def test_a_grid_continues_bit_for_bit_from_a_saved_state(tmp_path, engine):
    rng = np.random.default_rng(3)
    demand = np.stack([rng.uniform(5e6, 20e6, 24), rng.uniform(0, 6e5, 24), rng.uniform(-9e4, 4e4, 24)], 1)

    def go_on(grid, steps):
        seen = []
        for k in steps:
            grid.switch_closed.deliver(float(not 5 <= k < 8))
            grid.power.deliver(demand[k])
            grid.reactive_power.deliver(0.3 * demand[k])
            grid.advance(Step(60 * k, 60))
            seen.append({name: port.value for name, port in outputs(grid).items()} | {"events": take_events(grid)})
        return seen

    options = everything()
    whole = opened(**options, engine=engine)
    expected = go_on(whole, range(24))
    for at in (3, 6, 14, 20):
        first = opened(**options, engine=engine)
        go_on(first, range(at))
        folder = tmp_path / f"{at}"
        folder.mkdir()
        first.save(folder)
        second = opened(**options, engine=engine)
        take_events(second)
        second.load(folder)
        for name, port in outputs(first).items():
            np.testing.assert_array_equal(outputs(second)[name].value, port.value)
        for k, (got, want) in enumerate(zip(go_on(second, range(at, 24)), expected[at:])):
            assert got.pop("events") == want["events"], k
            for name, value in got.items():
                np.testing.assert_array_equal(value, want[name], err_msg=f"{name} at {at + k}")
    assert any(event.kind == "tap moved" for step in expected for event in step["events"])
    assert any(event.kind == "fuse opened" for step in expected for event in step["events"])


def test_a_held_step_leaves_storages_and_caps_defined():
    net = stored()
    grid = opened(net, connection_points={"house": 1}, controls=[PowerCap("house", 1e3)], on_divergence="hold")
    energy = grid.stored_energy.value[0]
    drive(grid, 1e9)
    assert np.isnan(grid.voltage.value).all()
    assert grid.stored_energy.value[0] == energy
    np.testing.assert_array_equal(grid.power_cap.value, 0.0)
    drive(grid, 1e3)
    assert np.isfinite(grid.voltage.value).all()


def test_mosaik_gets_a_child_for_every_element():
    from cosim.mosaik_export import as_mosaik

    net = pn.create_cigre_network_lv()
    sim = as_mosaik(Grid(net))()
    sim.init("grid-0", step_s=60)
    (whole,) = sim.create(1, "Vector")
    children = {child["eid"] for child in whole["children"]}
    grid = Grid(net)
    assert {*grid.voltage.labels, *grid.line_loading.labels, *grid.transformer_loading.labels} <= children
    load, far = grid.power.labels[0], grid.voltage.labels[-1]
    inputs = {label: {"power": {"source": 2e3}} for label in grid.power.labels}
    assert sim.step(0, inputs, 60) == 60
    same = opened(net)
    drive(same, 2e3)
    data = sim.get_data({far: ["voltage"], load: ["voltage"], grid.line_loading.labels[3]: ["line_loading"]})
    assert data[far]["voltage"] == same.voltage.value[-1]
    assert data[grid.line_loading.labels[3]]["line_loading"] == same.line_loading.value[3]
    sim.finalize()
    assert STEP.length_s == 60
