"""The verdict on a plan: changes in words, and the exchanged quantities behind them."""

import numpy as np
import pytest

from cosim import Clock, Indicator, Scenario, compare
from cosim.report import write_report
from cosim.results.verdict import Line, Reason, lines, reasons
from tests.support.toys import Echo, Source

LABELS = ("a", "b", "c")


class Shifted(Source):
    """A source whose element ``b`` gives more in the second hour."""

    def __init__(self, extra, seed):
        super().__init__(LABELS, seed=seed)
        self.extra = extra

    def advance(self, step):
        super().advance(step)
        late = step.start_s >= 3600
        self.power.value = 1000.0 + 0.01 * self.power.value + np.array([0.0, self.extra * late, 0.0])


def run(folder, *, extra=0.0, seed=0, scale=1.0):
    def indicators(result):
        mean = float(result.integral("source.power").sum()) / 7200
        return {
            "power": Indicator(scale * mean, "W", "lower"),
            "– of which b": Indicator(2 * mean, "W", "lower"),
            "CO2e: power": Indicator(2 * mean, "W", "lower"),
            "size": Indicator(mean, "W"),
            "nothing": Indicator(1.0, "W", "lower"),
        }

    scenario = Scenario(
        Clock("2025-01-15T10:00", hours=2, zone="Europe/Madrid"),
        indicators=indicators,
        source=Shifted(extra, seed),
        echo=Echo(LABELS),
    )
    scenario.connect("source.power", "echo.load")
    scenario.name, scenario.seed = "district", seed
    return scenario.run(folder, progress=False)


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    base = [run(folder / f"base-{seed}", seed=seed) for seed in range(3)]
    plan = [run(folder / f"plan-{seed}", seed=seed, extra=500.0) for seed in range(3)]
    return compare(base, plan, names=["base", "more"])


def test_changes_that_are_sure_stand_in_words_without_parts_of_sums(compared):
    (line,) = lines(compared, "more")
    assert line.direction == "worse"
    assert line.text.startswith("power rises by ")
    assert "(95 %: +" in line.text


def test_reason_names_quantity_hour_and_element(compared):
    (reason,) = reasons(compared, "more")
    before = sum(float(r.integral("source.power").sum()) for r in compared.base) / 3
    assert reason == Reason(
        "source.power", "source", ("echo",), pytest.approx(500.0 * 3600 / before), 11, (("b", pytest.approx(1.0)),)
    )


def test_one_pair_is_told_and_not_judged(tmp_path):
    compared = compare(run(tmp_path / "base"), run(tmp_path / "plan", extra=500.0), names=["base", "more"])
    (line,) = lines(compared, "more")
    assert line.direction is None
    assert "95 %" not in line.text
    page = write_report(compared, tmp_path / "page.html").read_text("utf-8")
    assert "with which nothing is sure" in page
    assert "most from 11 to 12 h; of the change, b (100 %)" in page


def test_plan_that_changes_nothing_has_no_verdict(tmp_path):
    compared = compare(run(tmp_path / "base"), run(tmp_path / "plan"), names=["base", "same"])
    assert lines(compared, "same") == []
    assert 'id="verdict"' not in write_report(compared, tmp_path / "page.html").read_text("utf-8")


def test_fall_for_the_better_is_told_with_its_size(tmp_path):
    base = [run(tmp_path / f"base-{seed}", seed=seed) for seed in range(3)]
    plan = [run(tmp_path / f"plan-{seed}", seed=seed, scale=0.9) for seed in range(3)]
    (line,) = lines(compare(base, plan, names=["base", "less"]), "less")
    assert isinstance(line, Line)
    assert line.direction == "better"
    assert "falls by 10 %" in line.text
