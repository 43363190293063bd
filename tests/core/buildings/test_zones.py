"""The zone kernel against closed forms, conservation and its NumPy reference."""

import pickle

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.linalg import expm

from cosim.core import CosimError
from cosim.core.buildings import _zones, zones_reference
from cosim.core.buildings.zone_network import _exact, coefficients
from cosim.core.buildings.zones import TARGETS, ZoneParameters, Zones

# A flat of 100 m2, heavy: all values absolute.
FLAT = {
    "air_capacity": 1e6,
    "exterior_capacity": 8e6,
    "interior_capacity": 2e7,
    "r_exterior": 1e-3,
    "r_interior": 4e-4,
    "r_rest": 1.5e-2,
    "exterior_area": 90.0,
    "interior_area": 300.0,
    "outdoor_conductance": 80.0,
}
WINDOWS = {"window_area": 15.0, "window_conductance": 50.0}


SHARES = ("heating_exterior", "heating_interior", "cooling_exterior", "cooling_interior")


def emission(rng, n):
    """Shares of power at the surfaces, in half of the archetypes."""
    return {name: rng.uniform(0, 0.5, n) * (np.arange(n) % 2) for name in SHARES}


def flat(**changes):
    return ZoneParameters(**{**FLAT, **changes})


def random_zones(n, seed=1):
    rng = np.random.default_rng(seed)
    spread = {name: value * rng.uniform(0.3, 3, 40) for name, value in {**FLAT, **WINDOWS}.items()}
    spread |= emission(rng, 40)
    zones = Zones(ZoneParameters(**spread), rng.integers(0, 40, n), rng.uniform(0.5, 20, n), 20.0)
    zones.state[:] = rng.uniform(10, 32, (3, n))
    return zones, rng


def random_drive(rng, n):
    return {
        "outdoor": rng.uniform(-10, 38, n), "equivalent": rng.uniform(-12, 50, n),
        "window": rng.uniform(-12, 40, n),
        "gain_air": rng.uniform(0, 2000, n), "gain_exterior": rng.uniform(0, 900, n),
        "gain_interior": rng.uniform(0, 3000, n),
        "heating_setpoint": rng.uniform(16, 23, n).round(),
        "cooling_setpoint": rng.uniform(23, 27, n).round(),
        "heating_capacity": rng.choice([0, 2e3, 2e4, np.inf], n),
        "cooling_capacity": rng.choice([0, 3e3, np.inf], n),
    }  # fmt: skip


def test_air_alone_decays_exponentially():
    tau = 1e6 / 80
    no_walls = flat(interior_capacity=1e16, exterior_capacity=1e16, exterior_area=1e-9, interior_area=1e-9)
    zones = Zones(no_walls, [0])
    zones.state[:] = 20.0
    step = zones.step(3600, 0.0, heating_capacity=0)
    assert zones.state[0, 0] == pytest.approx(20 * np.exp(-3600 / tau), rel=1e-9)
    assert step.air[0] == pytest.approx(20 * tau / 3600 * (1 - np.exp(-3600 / tau)), rel=1e-9)


def test_steady_heating_power_is_loss_coefficient_times_temperature_difference():
    parameters = flat()
    zones = Zones(parameters, [0], 1.0, 20.0)
    for _ in range(3000):
        power = zones.step(3600, -5.0, heating_setpoint=20.0).power
    assert power[0] == pytest.approx(parameters.loss_coefficient[0] * 25, rel=1e-9)


@pytest.mark.parametrize("step_s", [1.0, 60.0, 900.0, 3600.0])
def test_energy_balance_of_every_step_closes(step_s):
    n = 500
    zones, rng = random_zones(n)
    for _ in range(20):
        drive = random_drive(rng, n)
        before = zones.stored_heat
        step = zones.step(step_s, drive.pop("outdoor"), **drive)
        gains = drive["gain_air"] + drive["gain_exterior"] + drive["gain_interior"]
        # At 1 s the change is a small difference of large stores, so 1e-4 of the store is added to the scale.
        residual = zones.stored_heat - before - step_s * (step.power + gains - step.loss)
        scale = step_s * (abs(step.power) + gains + abs(step.loss)) + 1e-4 * zones.stored_heat
        assert (abs(residual) / scale).max() < 1e-9


@pytest.mark.parametrize("step_s", [1.0, 300.0, 3600.0])
def test_compiled_kernel_equals_numpy_reference(step_s):
    n = 2000
    zones, rng = random_zones(n)
    rows = coefficients(zones.parameters, step_s)
    scale = rng.uniform(0.5, 20, n)
    drive, control = np.empty((6, n)), np.empty((4, n))
    modes = set()
    state, other = zones.state.copy(), zones.state.copy()
    for _ in range(10):
        values = list(random_drive(rng, n).values())
        drive[:], control[:] = values[:6], values[6:]
        mean, flow, mean2, flow2 = (np.empty((rows_, n)) for rows_ in (3, 2, 3, 2))
        _zones.step(rows, zones.archetype, scale, drive, control, state, mean, flow, 0, n, len(TARGETS) - 1)
        zones_reference.step(rows, zones.archetype, scale, drive, control, other, mean2, flow2)
        for ours, theirs in ((state, other), (mean, mean2), (flow, flow2)):
            np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12 * np.abs(theirs).max())
        modes |= set(np.sign(flow[0]))
    assert modes == {-1, 0, 1}


@pytest.mark.parametrize("surface", ["exterior", "interior"])
def test_limited_power_at_a_surface_equals_a_gain_there(surface):
    heated = Zones(flat(**{f"heating_{surface}": 1.0}, **WINDOWS), [0], 1.0, 10.0)
    gained = Zones(flat(**WINDOWS), [0], 1.0, 10.0)
    for _ in range(5):
        power = heated.step(3600, -5.0, heating_setpoint=20.0, heating_capacity=900.0)
        gain = gained.step(3600, -5.0, heating_capacity=0.0, **{f"gain_{surface}": 900.0})
        assert power.power[0] == 900.0
        assert power.loss[0] == pytest.approx(gain.loss[0], rel=1e-12)
        np.testing.assert_allclose(heated.state, gained.state, rtol=1e-12)


@pytest.mark.parametrize("share", [0.3, 1.0])
def test_power_at_surfaces_holds_the_air_or_brings_it_to_the_setpoint_at_the_end(share):
    zones = Zones(flat(heating_interior=share, cooling_exterior=share, **WINDOWS), [0, 0], 1.0, [15.0, 30.0])
    for _ in range(4):
        step = zones.step(900, 10.0, heating_setpoint=20.0, cooling_setpoint=26.0)
        np.testing.assert_allclose(zones.state[0], [20.0, 26.0], rtol=1e-12)
        assert step.power[0] > 0 > step.power[1]


def test_hourly_steps_of_a_heated_floor_need_the_energy_of_short_ones():
    energy = {}
    for step_s in (300.0, 3600.0):
        zones = Zones(flat(heating_interior=0.9, **WINDOWS), [0], 1.0, 20.0)
        hours = np.arange(0, 20 * 24, step_s / 3600)
        outdoor = 2 - 5 * np.cos(2 * np.pi * (hours + step_s / 7200) / 24)
        sun = 2000 * np.maximum(-np.cos(2 * np.pi * hours.astype(int) / 24), 0)
        powers = [
            zones.step(step_s, t, gain_interior=g, heating_setpoint=20.0).power[0]
            for t, g in zip(outdoor, sun, strict=True)
        ]
        energy[step_s] = np.mean(powers)
    assert energy[3600.0] == pytest.approx(energy[300.0], rel=0.002)


def test_shares_of_power_beyond_the_whole_are_refused():
    with pytest.raises(CosimError, match=r"heating_exterior and heating_interior of archetype 0 sum to 1\.3"):
        flat(heating_exterior=0.7, heating_interior=0.6)
    with pytest.raises(CosimError, match=r"cooling_interior of archetype 0 is -0\.1"):
        flat(cooling_interior=-0.1)


def test_exact_step_equals_scipy_exponential_and_integral():
    rng = np.random.default_rng(3)
    root = rng.normal(size=(3, 3))
    conductance, capacity, dt = 50 * root @ root.T, np.array([1e5, 3e6, 2e7]), 1800.0
    e, f, g, h = (m[0] for m in _exact(conductance[None], capacity[None], dt))
    a = -conductance / capacity[:, None]
    # Van Loan: one exponential of a block matrix holds the exponential and its two integrals.
    block = np.zeros((9, 9))
    block[:3, :3], block[:3, 3:6], block[3:6, 6:] = a, np.eye(3), np.eye(3)
    big = expm(block * dt)
    np.testing.assert_allclose(e, big[:3, :3], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(f, big[:3, 3:6] / dt, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(g, big[:3, 3:6] / capacity, rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(h, big[:3, 6:] / dt / capacity, rtol=1e-9, atol=1e-15)


def test_free_float_equals_numerical_integration_of_the_network_with_its_surfaces():
    p = flat()
    h1, h2, hr = 2.7 * 90, 2.24 * 300, 5.0 * 90
    gains = (500.0, 300.0, 700.0)

    def rates(_, x):
        air, ext, inner = x
        matrix = [[1 / 1e-3 + h1 + hr, -hr], [-hr, 1 / 4e-4 + h2 + hr]]
        known = [ext / 1e-3 + h1 * air + gains[1], inner / 4e-4 + h2 * air + gains[2]]
        s1, s2 = np.linalg.solve(matrix, known)
        return [
            (h1 * (s1 - air) + h2 * (s2 - air) + 80 * (5 - air) + gains[0]) / 1e6,
            ((s1 - ext) / 1e-3 + (9 - ext) / 1.5e-2) / 8e6,
            (s2 - inner) / 4e-4 / 2e7,
        ]

    zones = Zones(p, [0])
    zones.state[:, 0] = 18, 15, 22
    zones.step(
        3600,
        5.0,
        equivalent=9.0,
        gain_air=500,
        gain_exterior=300,
        gain_interior=700,
        heating_capacity=0,
        cooling_capacity=0,
    )
    expected = solve_ivp(rates, (0, 3600), [18, 15, 22], method="LSODA", rtol=1e-11, atol=1e-11).y[:, -1]
    np.testing.assert_allclose(zones.state[:, 0], expected, atol=1e-8)


def test_free_float_does_not_depend_on_the_step_length():
    ends = []
    for step_s in (60, 3600):
        zones = Zones(flat(), [0], 1.0, 21.0)
        for hour in range(48):
            for _ in range(3600 // step_s):
                zones.step(step_s, 10 + 8 * np.sin(hour / 4), gain_air=400.0, heating_capacity=0)
        ends.append(zones.state.copy())
    np.testing.assert_allclose(ends[0], ends[1], atol=1e-10)


def test_heating_energy_hardly_depends_on_the_step_length():
    energy = []
    for step_s in (60, 3600):
        zones = Zones(flat(), [0], 1.0, 20.0)
        total = 0.0
        for hour in range(24 * 14):
            setpoint = 20.0 if 7 <= hour % 24 < 23 else 17.0
            outdoor = 5 + 5 * np.sin(2 * np.pi * (hour % 24 - 9) / 24)
            gain = 3000.0 if 11 <= hour % 24 < 15 else 200.0
            for _ in range(3600 // step_s):
                step = zones.step(
                    step_s,
                    outdoor,
                    gain_air=gain,
                    heating_setpoint=setpoint,
                    heating_capacity=6000,
                    cooling_capacity=0,
                )
                total += step.power[0] * step_s
        energy.append(total)
    # The setpoint of a step is decided at the end of its free float: an hour of setback ends up to a step apart.
    assert energy[1] == pytest.approx(energy[0], rel=0.01)


def test_limited_capacity_is_used_fully_and_leaves_the_air_below_the_setpoint():
    zones = Zones(flat(), [0], 1.0, 15.0)
    step = zones.step(600, -5.0, heating_setpoint=21.0, heating_capacity=1500.0)
    assert step.power[0] == 1500.0
    assert zones.state[0, 0] < 21.0


def test_air_warmer_than_a_new_setpoint_drifts_down_to_it_and_not_below():
    zones = Zones(flat(), [0], 1.0, 18.0)
    zones.state[0] = 21.0
    step = zones.step(3600, -15.0, heating_setpoint=17.5)
    assert step.power[0] >= 0
    assert zones.state[0, 0] == pytest.approx(17.5, abs=1e-9)


def test_cooling_is_negative_and_holds_the_upper_setpoint():
    zones = Zones(flat(), [0], 1.0, 27.0)
    step = zones.step(3600, 35.0, cooling_setpoint=26.0)
    assert step.power[0] < 0
    assert zones.state[0, 0] == 26.0


def test_between_the_setpoints_the_air_floats():
    zones = Zones(flat(), [0], 1.0, 23.0)
    assert zones.step(60, 15.0, heating_setpoint=20, cooling_setpoint=26).power[0] == 0


def test_scale_multiplies_power_and_leaves_temperatures_unchanged():
    small, large = Zones(flat(), [0], 1.0, 18.0), Zones(flat(), [0], 7.0, 18.0)
    a = small.step(600, 0.0, gain_air=100.0, heating_setpoint=20)
    b = large.step(600, 0.0, gain_air=700.0, heating_setpoint=20)
    assert b.power[0] == pytest.approx(7 * a.power[0], rel=1e-13)
    np.testing.assert_allclose(small.state, large.state, rtol=1e-14)


def test_adiabatic_zone_keeps_its_heat():
    zones = Zones(flat(r_rest=np.inf, outdoor_conductance=0.0), [0], 1.0, 20.0)
    zones.state[:, 0] = 25, 18, 21
    before = zones.stored_heat[0]
    for _ in range(100):
        zones.step(3600, -10.0, heating_capacity=0, cooling_capacity=0)
    assert zones.stored_heat[0] == pytest.approx(before, rel=1e-12)
    assert np.ptp(zones.state) < 1e-6


def test_a_zone_may_change_its_archetype_between_steps():
    shut, aired = Zones(flat() + flat(outdoor_conductance=400.0), [0], 1.0, 26.0), Zones(flat(), [0], 1.0, 26.0)
    aired.step(60, 18.0, heating_capacity=0)
    shut.step(60, 18.0, heating_capacity=0)
    np.testing.assert_array_equal(shut.state, aired.state)
    shut.archetype = [1]
    assert shut.step(60, 18.0, heating_capacity=0).loss[0] > 2 * aired.step(60, 18.0, heating_capacity=0).loss[0]
    with pytest.raises(CosimError, match="1 whole numbers from 0 to 1"):
        shut.archetype = [0.5]


def test_zones_survive_pickling():
    zones, _ = random_zones(5)
    zones.step(60, 3.0)
    copy = pickle.loads(pickle.dumps(zones))
    np.testing.assert_array_equal(copy.step(60, 3.0).air, zones.step(60, 3.0).air)


def test_impossible_parameters_are_refused_by_name():
    with pytest.raises(CosimError, match=r"r_rest of archetype 0 is -1\.0"):
        flat(r_rest=-1.0)
    with pytest.raises(CosimError, match="air_capacity of archetype 1 is nan"):
        flat(air_capacity=[1e6, np.nan])
    with pytest.raises(CosimError, match="give one value per archetype"):
        flat(air_capacity=[1.0, 2.0], r_rest=[1.0, 2.0, 3.0])


def test_impossible_zones_and_steps_are_refused():
    with pytest.raises(CosimError, match="from 0 to 0"):
        Zones(flat(), [1])
    with pytest.raises(CosimError, match=r"scale of zone 0 is 0\.0"):
        Zones(flat(), [0], 0.0)
    zones = Zones(flat(), [0])
    with pytest.raises(CosimError, match="step is 0"):
        zones.step(0, 5.0)
    with pytest.raises(CosimError, match="outdoor of zone 0 is nan"):
        zones.step(60, np.nan)
    with pytest.raises(CosimError, match="must not be above the cooling setpoint"):
        zones.step(60, 5.0, heating_setpoint=27, cooling_setpoint=26)
    with pytest.raises(CosimError, match=r"heating_capacity of zone 0 is -1\.0"):
        zones.step(60, 5.0, heating_capacity=-1.0)


def test_windows_with_a_surface_node_lose_heat_according_to_the_network():
    p = flat(**WINDOWS)
    h1, h2, h3, hr = 2.7 * 90, 2.24 * 300, 2.7 * 15, 5.0 * 90 * 300 / 315
    r1, r2 = 5.0 * 15 * 90 / 390, 5.0 * 15 * 300 / 390
    gains = (500.0, 300.0, 700.0)

    def rates(_, x):
        air, ext, inner = x
        matrix = [
            [1 / 1e-3 + h1 + hr + r1, -hr, -r1],
            [-hr, 1 / 4e-4 + h2 + hr + r2, -r2],
            [-r1, -r2, 50 + h3 + r1 + r2],
        ]
        known = [ext / 1e-3 + h1 * air + gains[1], inner / 4e-4 + h2 * air + gains[2], 50 * 2.0 + h3 * air]
        s1, s2, s3 = np.linalg.solve(matrix, known)
        return [
            (h1 * (s1 - air) + h2 * (s2 - air) + h3 * (s3 - air) + 80 * (5 - air) + gains[0]) / 1e6,
            ((s1 - ext) / 1e-3 + (9 - ext) / 1.5e-2) / 8e6,
            (s2 - inner) / 4e-4 / 2e7,
        ]

    zones = Zones(p, [0])
    zones.state[:, 0] = 18, 15, 22
    zones.step(
        3600,
        5.0,
        equivalent=9.0,
        window=2.0,
        gain_air=500,
        gain_exterior=300,
        gain_interior=700,
        heating_capacity=0,
        cooling_capacity=0,
    )
    expected = solve_ivp(rates, (0, 3600), [18, 15, 22], method="LSODA", rtol=1e-11, atol=1e-11).y[:, -1]
    np.testing.assert_allclose(zones.state[:, 0], expected, atol=1e-8)


def test_heat_flows_balance_at_the_surface_temperatures():
    p = flat(**WINDOWS)
    known = np.array([20.0, 17.0, 21.0, 2.0, 300.0, 700.0])
    s1, s2, s3 = p.surface_matrix[0] @ known
    to_room = 2.7 * 90 * (s1 - 20) + 2.24 * 300 * (s2 - 20) + 2.7 * 15 * (s3 - 20)
    assert to_room == pytest.approx((17 - s1) / 1e-3 + (21 - s2) / 4e-4 + 50 * (2 - s3) + 1000)


def test_a_window_area_without_conductance_is_refused():
    with pytest.raises(CosimError, match="only one of window_area and window_conductance"):
        flat(window_area=10.0)
