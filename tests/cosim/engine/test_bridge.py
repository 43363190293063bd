"""The concurrency of adapters and the memory bounds of connections."""

import threading

import numpy as np
import pytest

from cosim import Adapter, Clock, Input, Output, Scenario
from cosim.engine.exchange import Channel
from tests.support.toys import Echo, Source


class Meeting(Adapter):
    """Waits in its step until another adapter has reached a given step."""

    placement = "thread"

    def __init__(self, barrier, skip_first=0):
        self.received = Input("1", ["x"], default=0.0)
        self.published = Output("1", ["x"], "mean")
        self.barrier, self.skip_first, self.step_number = barrier, skip_first, 0

    def advance(self, step):
        self.step_number += 1
        if self.skip_first < self.step_number <= self.skip_first + 5:
            self.barrier.wait(timeout=90)
        self.published.value = 1.0


def test_adapters_that_need_nothing_from_each_other_run_at_the_same_time(tmp_path):
    barrier = threading.Barrier(2)
    Scenario(Clock("2025-01-15", hours=1), one=Meeting(barrier), two=Meeting(barrier)).run(tmp_path / "run")


def test_delayed_loop_runs_both_at_the_same_time(tmp_path):
    barrier = threading.Barrier(2)
    scenario = Scenario(Clock("2025-01-15", hours=1), one=Meeting(barrier), two=Meeting(barrier))
    scenario.connect("one.published", "two.received", delay=1, initial=0.0)
    scenario.connect("two.published", "one.received", delay=1, initial=0.0)
    scenario.run(tmp_path / "run")


def test_source_may_be_one_step_ahead_of_its_target(tmp_path):
    # step k + 1 of the source runs beside step k of the target: a pipeline without any delay
    barrier = threading.Barrier(2)
    scenario = Scenario(Clock("2025-01-15", hours=1), one=Meeting(barrier, skip_first=1), two=Meeting(barrier))
    scenario.connect("one.published", "two.received")
    scenario.run(tmp_path / "run")


def test_progress_is_reported_from_the_start_to_the_end(tmp_path):
    calls = []
    scenario = Scenario(Clock("2025-01-15", hours=1), one=Source(), two=Source())
    scenario.run(tmp_path / "run", progress=lambda done, total: calls.append((done, total)))
    assert calls == sorted(calls)
    assert (calls[0], calls[-1]) == ((0, 3600), (3600, 3600))


@pytest.mark.parametrize(("source_step", "target_step"), [(1, 30), (30, 1), (2, 3)])
def test_fast_source_and_slow_target_keep_a_bounded_number_of_arrays(source_step, target_step, tmp_path, monkeypatch):
    most = 0
    send = Channel.send

    def counting(self, end, values):
        nonlocal most
        send(self, end, values)
        most = max(most, len(self._whole) + len(self._sums), len(self._states))

    monkeypatch.setattr(Channel, "send", counting)
    steps = {"source": source_step * 60, "echo": target_step * 60}
    scenario = Scenario(Clock("2025-01-15", hours=12), steps=steps, source=Source(), echo=Echo())
    delay = {"delay": source_step, "initial": 0.0} if target_step % source_step else {}
    scenario.connect("source.power", "echo.load", **delay)
    scenario.connect("source.count", "echo.state", **delay)
    scenario.run(tmp_path / "run")
    # a slow source fills the windows of its own step at once; nothing else may accumulate
    assert most <= 2 * max(source_step // target_step, 1) + target_step // source_step + 3


def test_vectors_pass_by_reference_in_process(tmp_path):
    class Big(Adapter):
        def __init__(self):
            self.power = Output("W", range(1000), "mean")
            self.seen = []

        def advance(self, step):
            self.power.value = np.zeros(1000)
            self.seen.append(self.power.value)

    class Taker(Adapter):
        def __init__(self):
            self.load = Input("W", range(1000))
            self.total = Output("W", ["x"], "mean")

        def advance(self, step):
            self.total.value = self.load.value.sum()

    big, taken = Big(), []
    monkey = Channel.receive

    def watch(self, end):
        taken.append(monkey(self, end))
        return taken[-1]

    Channel.receive = watch
    try:
        scenario = Scenario(Clock("2025-01-15", hours=1), big=big, taker=Taker())
        scenario.connect("big.power", "taker.load")
        scenario.run(tmp_path / "run")
    finally:
        Channel.receive = monkey
    assert all(one is two for one, two in zip(big.seen, taken, strict=True))
