"""The coupling error, against a closed form and without convergence."""

import math

import numpy as np
import pytest

from cosim import Adapter, Clock, Indicator, Input, Output, Scenario, ScenarioError
from cosim.study.coupling_error import IndicatorError, coupling_error
from tests.support.toys import Echo, Source

LEVEL = 5.0


class Side(Adapter):
    """One of two vessels that exchange heat: dT/dt = (other - T) / tau, solved exactly over a step for a constant
    temperature of the other. With explicit coupling, the pair is of first order in the exchange step."""

    def __init__(self, start, tau_s=3600.0):
        self.other = Input("degC", ["x"])
        self.temperature = Output("degC", ["x"], "end")
        self.start, self.tau_s = start, tau_s

    def open(self):
        self.temperature.value = self.start

    def advance(self, step):
        kept = math.exp(-step.length_s / self.tau_s)
        self.temperature.value = self.other.value + (self.temperature.value - self.other.value) * kept


def final(result):
    return {
        "hot": Indicator(float(result.series("hot.temperature").iloc[-1, 0]), "°C"),
        "sum": Indicator(float(result.series("hot.temperature").iloc[0, 0]), "°C"),
    }


def vessels(step_s=600):
    scenario = Scenario(Clock("2025-01-15", hours=2, step_s=step_s), indicators=final, hot=Side(80.0), cold=Side(20.0))
    scenario.connect("hot.temperature", "cold.other", delay=1, initial=80.0)
    scenario.connect("cold.temperature", "hot.other", delay=1, initial=20.0)
    return scenario


def test_smooth_deterministic_coupling_shows_its_order_and_its_error(tmp_path):
    found = coupling_error(vessels(), tmp_path / "coupling")
    hot = found.indicators["hot"]
    exact = 50.0 + 30.0 * math.exp(-2 * 7200 / 3600)
    assert hot.order == pytest.approx(1.0, abs=0.1)
    assert hot.error == pytest.approx(hot.values[0] - exact, rel=0.1)
    assert "converges with order 1." in hot.verdict
    assert found.indicators["sum"].verdict == "does not depend on the step"


def test_scenario_is_not_modified(tmp_path):
    scenario = vessels()
    coupling_error(scenario, tmp_path / "coupling", hours=1)
    assert scenario.clock.step_s == 600
    assert scenario.run(tmp_path / "run").provenance["clock"]["n_steps"] == 12


class Noisy(Source):
    """Draws new values at every step, so that every exchange step gives a different day."""


def noisy(seed):
    scenario = Scenario(
        Clock("2025-01-15", hours=2),
        source=Noisy(seed=seed),
        echo=Echo(),
        indicators=lambda r: {"energy": Indicator(float(r.integral("source.power").sum()), "J")},
    )
    scenario.connect("source.power", "echo.load")
    return scenario


def test_chaotic_coupling_is_judged_by_the_spread_over_seeds(tmp_path):
    found = coupling_error(noisy(0), tmp_path / "coupling", others=[noisy(k) for k in range(1, 6)])
    energy = found.indicators["energy"]
    assert found.n_seeds == 6
    runs = [float(noisy(k).run(tmp_path / f"{k}").integral("source.power").sum()) for k in range(6)]
    assert energy.spread == pytest.approx(np.std(runs, ddof=1), rel=1e-6)
    assert energy.verdict == "within the spread over seeds"
    assert "within the spread over seeds" in " ".join(str(found).split())


@pytest.mark.parametrize(
    "values", [(1.0, 2.0, 1.5), (1.0, 2.0, 2.99), (1.0, 1.1, 1.5), (1.0, 1.0, 2.0), (1.0, 2.0, 2.0)]
)
def test_values_that_do_not_converge_have_no_order(values):
    row = IndicatorError("1", values, None)
    assert row.order is None
    assert row.error is None
    assert row.verdict == "no convergence"


@pytest.mark.parametrize("hours", [3, 0, -1])
def test_window_outside_the_run_is_refused_before_anything_is_written(hours, tmp_path):
    with pytest.raises(ScenarioError, match=f"a window of {hours} h lies outside the run of 2 h"):
        coupling_error(vessels(), tmp_path / "coupling", hours=hours)
    assert not (tmp_path / "coupling").exists()


def test_scenario_without_indicators_is_refused(tmp_path):
    with pytest.raises(ScenarioError, match="no indicators to compare"):
        coupling_error(Scenario(Clock("2025-01-15", hours=1), source=Source()), tmp_path / "coupling")
