"""The values that inputs receive for every pair of steps and every delay, against their definition."""

import itertools

import numpy as np
import pytest

from cosim import Clock, Scenario, ScenarioError
from tests.support.toys import Echo, Source

TICKS = 24
LABELS = ("a", "b")


def published_by_source(h, n, seed=1):
    """Return what a `Source` publishes in every tick, shape (n, 2)."""
    steps = [np.random.default_rng([seed, k * h * 60, h * 60]).normal(size=2) * 1000 for k in range(n // h)]
    return np.repeat(np.array(steps), h, axis=0)


def mean_received(h_source, h_target, delay, initial):
    """The definition, tick by tick: the mean over [t - d, t + h - d), with the initial value before 0."""
    published = np.vstack([np.full((delay, 2), initial), published_by_source(h_source, TICKS)])
    n = TICKS // h_target
    return np.array([published[k * h_target : (k + 1) * h_target].mean(axis=0) for k in range(n)])


def state_received(h_source, h_target, delay, initial):
    """The definition: the last state at or before t + h - d; until the source's first step has arrived, the initial."""
    states = [((k + 1) * h_target - delay) // h_source for k in range(TICKS // h_target)]
    return np.array([[initial if delay and state <= 0 else state] * 2 for state in states], float)


def couple(h_source, h_target, delay, *, loop=False):
    steps = {"source": h_source * 60, "echo": h_target * 60}
    scenario = Scenario(Clock("2025-01-15", hours=TICKS / 60), steps=steps, source=Source(), echo=Echo())
    late = {"delay": delay, "initial": 7.0} if delay else {}
    scenario.connect("source.power", "echo.load", **late)
    scenario.connect("source.count", "echo.state", **late)
    if loop:
        scenario.connect("echo.received", "source.feedback", delay=h_target, initial=0.0)
    return scenario


@pytest.mark.parametrize(("h_source", "h_target"), list(itertools.product([1, 2, 3, 4], repeat=2)))
def test_every_rate_and_shift_delivers_the_defined_values(h_source, h_target, tmp_path):
    for delay in range(7):
        legal = h_target % h_source == 0 or delay >= h_source
        scenario = couple(h_source, h_target, delay, loop=True)
        if not legal:
            with pytest.raises(ScenarioError, match=f"pass delay={h_source} or more"):
                scenario.run(tmp_path / f"{delay}")
            continue
        result = scenario.run(tmp_path / f"{delay}", double=True)
        np.testing.assert_allclose(
            result.series("echo.received").to_numpy(),
            mean_received(h_source, h_target, delay, 7.0),
            rtol=1e-13,
            atol=1e-10,
        )
        seen = result.series("echo.seen").to_numpy()[1:]
        np.testing.assert_array_equal(seen, state_received(h_source, h_target, delay, 7.0))
        assert (result.ledger["residual"] < 1e-12).all()


def test_delayed_connection_delivers_previous_step(tmp_path):
    result = couple(1, 1, 1).run(tmp_path / "run", double=True)
    published, received = result.series("source.power").to_numpy(), result.series("echo.received").to_numpy()
    np.testing.assert_array_equal(received[1:], published[:-1])
    np.testing.assert_array_equal(received[0], [7.0, 7.0])


def test_equal_steps_deliver_the_same_bits(tmp_path):
    result = couple(3, 3, 0).run(tmp_path / "run", double=True)
    np.testing.assert_array_equal(result.series("echo.received").to_numpy(), result.series("source.power").to_numpy())


def test_ledger_states_what_is_in_flight(tmp_path):
    result = couple(1, 1, 3).run(tmp_path / "run", double=True)
    (row,) = result.ledger.to_dict("records")
    published = result.series("source.power").to_numpy()
    assert row["sent"] == pytest.approx(published.sum() * 60, rel=1e-12)
    assert row["initial"] == 7.0 * 2 * 3 * 60
    assert row["received"] == pytest.approx((published[:-3].sum() + 7.0 * 2 * 3) * 60, rel=1e-12)
    assert row["in_flight"] == pytest.approx(published[-3:].sum() * 60, rel=1e-9)
    assert row["residual"] < 1e-12


@pytest.mark.parametrize("placement", ["thread", "process"])
def test_placement_does_not_change_a_bit(placement, tmp_path):
    inline = couple(1, 2, 2, loop=True).run(tmp_path / "inline", double=True)
    scenario = couple(1, 2, 2, loop=True)
    scenario.place(source=placement, echo=placement)
    placed = scenario.run(tmp_path / "placed", double=True)
    for port in inline.ports:
        np.testing.assert_array_equal(inline.series(port).to_numpy(), placed.series(port).to_numpy())


@pytest.mark.parametrize("h_target", [1, 3])
def test_a_state_known_at_the_start_needs_no_initial_value(h_target, tmp_path):
    scenario = couple(1, h_target, 0)
    scenario.connections = scenario.connections[:1]
    scenario.connect("source.count", "echo.state", delay=h_target)
    seen = scenario.run(tmp_path / "run", double=True).series("echo.seen").to_numpy()
    np.testing.assert_array_equal(seen[1:, 0], np.arange(TICKS // h_target) * h_target)


def test_a_delay_longer_than_the_step_needs_an_initial_state():
    scenario = couple(1, 1, 0)
    scenario.connect("source.count", "echo.state", delay=2)
    with pytest.raises(ScenarioError, match=r"source\.count → echo\.state is delayed: pass initial="):
        scenario.check()
