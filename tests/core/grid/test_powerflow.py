"""The power-flow engine against closed forms, its own equations and its choice of method."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from cosim.core.grid import powerflow
from cosim.core.grid.powerflow import Branches, PowerFlow, carried
from cosim.core.random import generator


def network(edges, n, shunt=0.0):
    """Bus admittance matrix of series impedances (from, to, z)."""
    y = np.zeros((n, n), complex)
    for a, b, z in edges:
        y[a, a] += 1 / z
        y[b, b] += 1 / z
        y[a, b] -= 1 / z
        y[b, a] -= 1 / z
    return sparse.csr_matrix(y + shunt * np.eye(n))


def random_tree(n, seed=0):
    rng = generator(seed, "tree")
    z = rng.uniform(0.5, 2.0, n) * (1 + 0.7j) * 0.02 / n
    return [(int(rng.integers(0, k)), k, z[k]) for k in range(1, n)]


def demand(n, seed=0, size=0.5):
    rng = generator(seed, "demand")
    return -(rng.uniform(-0.3, 1.0, n) + 1j * rng.uniform(0, 0.4, n)) * size


def residual(flow, power, buses, drop=0.0):
    voltage = flow.solve(power).voltage
    return np.abs(flow.injected(voltage) - power - drop * np.abs(voltage))[buses].max()


@pytest.mark.parametrize("p", [0.1, 0.5, 1.2, 2.0, 2.45])
def test_a_line_matches_its_closed_form_up_to_the_nose(p):
    r, x, q = 0.05, 0.08, 0.2 * p
    flow = PowerFlow(network([(0, 1, r + 1j * x)], 2), slack=[0])
    b = 2 * (r * p + x * q) - 1
    square = (-b + np.sqrt(b * b - 4 * (r * r + x * x) * (p * p + q * q))) / 2
    found = flow.solve(np.array([0, -p - 1j * q]))
    assert abs(found.voltage[1]) == pytest.approx(np.sqrt(square), abs=1e-9)


def test_demand_beyond_the_nose_fails_and_leaves_the_next_step_unaffected():
    flow = PowerFlow(network([(0, 1, 0.1j)], 2), slack=[0])
    before = flow.solve(np.array([0, -1.0])).voltage
    with pytest.raises(ArithmeticError):
        flow.solve(np.array([0, -5.1]))  # 1/(2x) = 5
    assert np.array_equal(flow.solve(np.array([0, -1.0])).voltage, before)
    share, weakest = carried(lambda share: np.abs(flow.solve(np.array([0, -10.0 * share])).voltage))
    assert share == pytest.approx(0.5, abs=1 / 128)
    assert weakest == 1


def test_close_to_the_nose_newton_takes_over():
    flow = PowerFlow(network([(0, 1, 0.1j)], 2), slack=[0])
    found = flow.solve(np.array([0, -4.999 + 0j]))
    assert flow.method == "tree"
    assert found.method == "newton"
    assert abs(found.voltage[1]) ** 2 == pytest.approx((1 + np.sqrt(1 - 4 * 0.4999**2)) / 2, abs=1e-8)


def test_trees_loops_and_generators_use_their_own_method_and_agree():
    n = 200
    edges = random_tree(n)
    tree = PowerFlow(network(edges, n), slack=[0])
    far = next(k for k in range(1, n) if (k, n - 1) not in {(a, b) for a, b, _ in edges})
    loop = PowerFlow(network([*edges, (far, n - 1, 1e9)], n), slack=[0])  # a loop without current
    newton = PowerFlow(network(edges, n), slack=[0])
    newton._sweep = None
    assert (tree.method, loop.method) == ("tree", "mesh")
    power = demand(n)
    expected = tree.solve(power).voltage
    for other in (loop, newton):
        np.testing.assert_allclose(other.solve(power).voltage, expected, atol=1e-10)
    held = PowerFlow(network(edges, n), slack=[0], generators=[50], start=np.where(np.arange(n) == 50, 1.01, 1.0))
    assert held.method == "newton"
    solution = held.solve(power)
    assert abs(solution.voltage[50]) == pytest.approx(1.01, abs=1e-12)
    missing = held.injected(solution.voltage) - power
    assert np.abs(np.delete(missing, [0, 50])).max() < 1e-9
    assert abs(missing[50].real) < 1e-9


@pytest.mark.parametrize("loops", [0, 4])
def test_the_compiled_sweeps_equal_a_plain_iteration(loops):
    n = 40
    rng = generator(4, "shape")
    pairs = rng.integers(1, n, (loops, 2)).tolist()
    y = network([*random_tree(n, 4), *((a, b, 0.02 + 0.01j) for a, b in pairs if a != b)], n, shunt=0.01j).toarray()
    drop = np.where(rng.random(n) < 0.3, -0.05 - 0.02j, 0)
    power = demand(n, 4)
    inverse = np.linalg.inv(y[1:, 1:])
    rest = -inverse @ y[1:, 0]
    expected = rest
    for _ in range(100):
        expected = rest + inverse @ np.conj((power[1:] + drop[1:] * np.abs(expected)) / expected)
    flow = PowerFlow(y, slack=[0], drop=drop)
    assert flow.method == ("mesh" if loops else "tree")
    found = flow.solve(power)
    assert found.method == flow.method
    np.testing.assert_allclose(found.voltage[1:], expected, rtol=0, atol=1e-11)


def test_a_loop_through_slack_buses_does_not_count_as_a_loop():
    flow = PowerFlow(network([(0, 1, 0.1j), (1, 2, 0.1j), (2, 3, 0.1j)], 4), slack=[0, 3], start=[1, 1, 1, 0.99])
    assert flow.method == "tree"
    assert residual(flow, demand(4), [1, 2]) < 1e-9


@pytest.mark.parametrize("seed", range(5))
def test_every_bus_draws_its_given_power(seed):
    n = 60
    rng = generator(seed, "shape")
    edges = random_tree(n, seed)
    if seed % 2:
        edges += [(int(a), int(b), 0.001 + 0.001j) for a, b in rng.integers(1, n, (5, 2)) if a != b]
    drop = np.where(rng.random(n) < 0.2, -0.1 - 0.05j, 0)
    flow = PowerFlow(network(edges, n, shunt=0.01 - 0.02j), slack=[0], drop=drop)
    assert residual(flow, demand(n, seed), np.arange(1, n), drop) < 1e-9


def test_a_constant_current_load_draws_in_proportion_to_the_voltage():
    flow = PowerFlow(network([(0, 1, 0.1)], 2), slack=[0], drop=[0, -0.5])
    assert flow.solve(np.zeros(2, complex)).voltage[1] == pytest.approx(0.95, abs=1e-11)  # v = 1 − 0.1·0.5


def test_solutions_do_not_depend_on_previous_ones():
    n = 100
    for generators in ([], [40]):
        one, other = (PowerFlow(network(random_tree(n), n), slack=[0], generators=generators) for _ in range(2))
        for seed in range(3):
            last = one.solve(demand(n, seed)).voltage
        assert np.array_equal(other.solve(demand(n, 2)).voltage, last)


def test_branch_losses_equal_slack_power_less_demand():
    n = 80
    edges = random_tree(n)
    flow = PowerFlow(network(edges, n), slack=[0])
    ends = np.array([(a, b) for a, b, _ in edges])
    y = np.array([[1 / z, -1 / z, -1 / z, 1 / z] for *_, z in edges])
    branches = Branches(ends[:, 0], ends[:, 1], y, np.full((n - 1, 2), 0.5))
    power = demand(n)
    voltage = flow.solve(power).voltage
    loading, losses, sent = branches.rate(voltage)
    given = flow.injected(voltage)[0].real
    assert losses.sum() == pytest.approx(given + power[1:].real.sum(), abs=1e-9)
    current = np.abs((voltage[ends[:, 0]] - voltage[ends[:, 1]]) * y[:, 0])
    np.testing.assert_allclose(loading, current / 0.5, rtol=1e-12, atol=1e-12)
    from_root = sent[ends[:, 0] == 0].sum()
    assert from_root == pytest.approx(given, abs=1e-9)


def test_each_island_is_solved_from_its_own_slack():
    flow = PowerFlow(network([(0, 1, 0.1), (2, 3, 0.2)], 4), slack=[0, 2])
    voltage = flow.solve(np.array([0, -0.5, 0, -0.25])).voltage
    assert flow.method == "tree"
    np.testing.assert_allclose(voltage[[1, 3]], (1 + np.sqrt(0.8)) / 2, atol=1e-10)


def test_feeders_solved_at_the_same_time_are_those_solved_one_by_one(monkeypatch):
    feeders = [random_tree(n, n) for n in (300, 40, 500, 200, 260, 330)]
    edges, buses = [], 1
    for feeder in feeders:
        number = [0, *range(buses, buses + len(feeder))]  # bus 0 of every feeder is the substation
        edges += [(number[a], number[b], z) for a, b, z in feeder]
        buses += len(feeder)
    y, power = network(edges, buses), demand(buses)
    together = PowerFlow(y, slack=[0]).solve(power)
    monkeypatch.setattr(powerflow, "_LEAST_PER_SHARE", 300)
    flow = PowerFlow(y, slack=[0])
    sizes = [rows.stop - rows.start for rows in flow._sweep._shares]
    assert len(sizes) == 5
    assert sum(sizes) == buses - 1
    found = flow.solve(power)
    assert found.method == "tree"
    np.testing.assert_allclose(found.voltage, together.voltage, rtol=0, atol=1e-11)
    beyond = power.copy()
    beyond[5] -= 1e6  # one feeder without a solution
    with pytest.raises(ArithmeticError):
        flow.solve(beyond)
    assert np.array_equal(flow.solve(power).voltage, found.voltage)


def test_a_network_of_slack_buses_only_is_already_solved():
    flow = PowerFlow(network([(0, 1, 0.1)], 2), slack=[0, 1], start=[1.0, 0.9])
    np.testing.assert_array_equal(flow.solve(np.zeros(2, complex)).voltage, [1.0, 0.9])


def test_arrays_of_mismatched_shape_are_refused():
    with pytest.raises(ValueError, match="at least one slack"):
        PowerFlow(network([(0, 1, 0.1)], 2), slack=[])
    with pytest.raises(ValueError, match="must have 2 elements"):
        PowerFlow(network([(0, 1, 0.1)], 2), slack=[0], start=[1, 1, 1])
