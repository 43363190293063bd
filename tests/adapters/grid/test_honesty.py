"""Steps without solution: reported with time and weakest bus, recorded as missing, and substituted as configured."""

from __future__ import annotations

import numpy as np
import pytest

from cosim import Clock, Result, RunError, Scenario
from cosim.adapters.grid import Grid
from cosim.core import Adapter, Input, Output
from tests.support.grids import two_buses


class Demand(Adapter):
    """Draws 2 kW, and in the third minute more than any cable can carry."""

    def __init__(self):
        self.power = Output("W", ["house"], kind="mean")

    def advance(self, step):
        self.power.value = [1e9 if step.start_s == 120 else 2e3]


class Listener(Adapter):
    """Publishes the voltage that it receives."""

    def __init__(self, labels):
        self.voltage = Input("pu", labels)
        self.received = Output("pu", labels, kind="end")

    def advance(self, step):
        self.received.value = self.voltage.value


def scenario(on_divergence, if_missing="stop"):
    grid = Grid(two_buses(), connection_points={"house": 1}, on_divergence=on_divergence)
    listener = Listener(grid.voltage.labels)
    run = Scenario(Clock("2025-01-15T18:00", hours=0.1, step_s=60), demand=Demand(), grid=grid, listener=listener)
    run.connect("demand.power", "grid.power")
    run.connect("grid.voltage", "listener.voltage", if_missing=if_missing)
    return run


def test_by_default_the_run_stops_with_time_place_and_reason(tmp_path):
    with pytest.raises(RunError) as caught:
        scenario("stop").run(tmp_path / "run")
    text = str(caught.value)
    assert "18:02" in text
    assert "no solution: 1000 MW" in text
    assert "lowest voltage at bus 'b'" in text
    before = Result.open(tmp_path / "run").series("grid.voltage")
    assert np.isfinite(before.to_numpy()).all()
    assert len(before) == 3  # the start and two minutes


def test_a_held_step_is_recorded_as_missing_and_held_for_receivers(tmp_path):
    result = scenario("hold", if_missing="hold").run(tmp_path / "run", double=True)
    voltage, received = result.series("grid.voltage"), result.series("listener.received")
    missing = np.isnan(voltage["b"].to_numpy())
    assert missing.tolist() == [False, False, False, True, False, False, False]
    assert received["b"].iloc[2] == voltage["b"].iloc[2]
    assert np.isfinite(received.to_numpy()).all()
    assert np.isnan(result.series("grid.losses").to_numpy()).sum() == 1
    events = result.events
    (event,) = events[events.kind == "no solution"].itertuples()
    assert (event.adapter, event.element) == ("grid", "b")
    assert event.time.strftime("%H:%M") == "18:03"


def test_a_receiver_without_if_missing_stops_the_run(tmp_path):
    with pytest.raises(RunError, match=r"voltage.*missing"):
        scenario("hold").run(tmp_path / "run")


def test_a_shed_step_is_solved_again_and_its_demand_unserved(tmp_path):
    result = scenario("shed").run(tmp_path / "run", double=True)
    assert np.isfinite(result.series("grid.voltage").to_numpy()).all()
    unserved = result.series("grid.unserved_power")["house"].to_numpy()
    assert (unserved > 0).sum() == 1
    maximum = 0.16e6 / (2 * (0.5 + np.hypot(0.5, 0.3)))
    assert 1e9 - unserved.max() < maximum
    assert {"no solution", "shed"} <= set(result.events.kind)
