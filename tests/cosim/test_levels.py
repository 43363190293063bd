"""A level in dB is averaged and summed by energy, wherever it is averaged (ISO 1996-1, equivalent continuous level)."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.sparse as sp

from cosim import Adapter, Clock, CosimError, Indicator, Input, Layer, Output, Result, Scenario, Study, compare
from cosim.core import UnitError, units
from cosim.report import write_report
from cosim.report.charts import coupled_quantities, course, thinned
from cosim.report.scene import make_scene
from cosim.results.statistics import additive, t_interval
from cosim.testing import check_adapter
from tests.cosim.study.test_analysis import build, filled

MINUTES = 12
LABELS = ("a", "b")


class Street(Adapter):
    """Publishes 70 and 60 dB in turn on one street, and a constant level on another."""

    def __init__(self) -> None:
        self.noise = Output("dB", LABELS, "mean")

    def advance(self, step) -> None:
        self.noise.value = [70.0 if round(step.start_s / 60) % 2 == 0 else 60.0, 65.0]


class Ear(Adapter):
    def __init__(self, labels=LABELS) -> None:
        self.heard = Input("dB", labels)
        self.noise = Output("dB", labels, "mean")

    def advance(self, step) -> None:
        self.noise.value = self.heard.value


def level(*parts: float) -> float:
    """Return the equivalent level of parts of equal length."""
    return float(10 * np.log10(np.mean(10 ** (np.array(parts) / 10))))


def run(folder, *, every=None, ear=None, **connection) -> Result:
    scenario = Scenario(
        Clock("2025-01-15", hours=MINUTES / 60), steps={"ear": 120.0}, street=Street(), ear=ear or Ear()
    )
    scenario.connect("street.noise", "ear.heard", **connection)
    if every:
        scenario.record("street.noise", every=every)
    scenario.layers.append(Layer("Noise", "street.noise", "point", {k: [(i, 0.0)] for i, k in enumerate(LABELS)}, "dB"))
    return scenario.run(folder, double=True)


@pytest.fixture(scope="module")
def result(tmp_path_factory) -> Result:
    return run(tmp_path_factory.mktemp("levels") / "run")


def test_a_slow_target_receives_the_equivalent_level(result):
    assert result.series("ear.noise")["a"].to_numpy() == pytest.approx(level(70, 60))
    assert level(70, 60) == pytest.approx(67.40, abs=0.01)


def test_a_delayed_level_is_averaged_with_its_initial_value_by_energy(tmp_path):
    found = run(tmp_path / "late", delay=1, initial=50.0).series("ear.noise")["a"].to_numpy()
    assert found[0] == pytest.approx(level(50, 70))
    assert found[1:] == pytest.approx(level(60, 70))


def test_mapped_levels_add_up_by_energy(tmp_path):
    both = run(tmp_path / "both", ear=Ear(("square",)), via=sp.csr_array([[1.0, 1.0]])).series("ear.noise")
    assert both["square"].to_numpy() == pytest.approx(
        level(70, 60) + 10 * np.log10(1 + 10 ** (6.5 - level(70, 60) / 10))
    )


def test_levels_of_several_connections_add_up_by_energy(tmp_path):
    scenario = Scenario(Clock("2025-01-15", hours=0.1), one=Street(), two=Street(), ear=Ear())
    scenario.connect("one.noise", "ear.heard")
    scenario.connect("two.noise", "ear.heard")
    found = scenario.run(tmp_path / "run", double=True).series("ear.noise")
    assert found["b"].to_numpy() == pytest.approx(65 + 10 * np.log10(2))


@pytest.mark.parametrize("every", ["2min", "5min"])
def test_recorded_means_of_levels_are_equivalent_levels(tmp_path, every):
    found = run(tmp_path / "thin", every=every).series("street.noise")
    first = [70, 60, 70, 60, 70][: int(every[0])]
    assert found["a"].iloc[0] == pytest.approx(level(*first))
    assert found["a"].iloc[-1] == pytest.approx(level(70, 60))
    assert found["b"].to_numpy() == pytest.approx(65)


def test_means_totals_and_spreads_of_levels_are_by_energy(result):
    assert result.means("street.noise", 240)["a"].to_numpy() == pytest.approx(level(70, 60))
    spread = result.spread("street.noise")
    assert spread["mean"].iloc[0] == pytest.approx(level(70, 65))
    assert spread["sum"].iloc[0] == pytest.approx(level(70, 65) + 10 * np.log10(2))
    assert result.total("street.noise").iloc[0] == pytest.approx(spread["sum"].iloc[0])
    with pytest.raises(CosimError, match=r"street\.noise is a level in dB, which has no integral: use means\(\)"):
        result.integral("street.noise")


def test_a_report_averages_levels_by_energy(result, monkeypatch):
    scene = make_scene([[result]], ["run"])
    view = scene.views[0]
    assert scene.means(view, 0, 240)[1][:, 0] == pytest.approx(level(70, 60))
    mean = course(view, np.array([[70.0, 60.0], [np.nan, 60.0]]))["mean"]
    assert mean == pytest.approx([level(70, 60), 60.0], rel=1e-4)
    (chart,) = coupled_quantities(scene)
    assert chart["runs"][0]["values"][0] == pytest.approx(level(70, 65), rel=1e-4)
    monkeypatch.setattr("cosim.report.charts.POINTS", MINUTES // 2)
    series = result.series("street.noise")["a"]
    assert thinned(series, scene.start, 60.0, level=True)["values"] == pytest.approx([level(70, 60)] * 6, rel=1e-4)


def with_indicator(folder, seed: int, value: float) -> Result:
    def indicators(result: Result) -> dict[str, Indicator]:
        return {"noise": Indicator(value, "dB(A)", "lower"), "power": Indicator(value, "W", "lower")}

    clock = Clock("2025-01-15", hours=0.05)
    scenario = Scenario(clock, indicators=indicators, street=Street())
    scenario.seed = seed
    return scenario.run(folder)


def test_compared_means_of_levels_over_seeds_are_by_energy(tmp_path):
    base = [with_indicator(tmp_path / f"a{k}", k, value) for k, value in enumerate([70.0, 60.0, 65.0])]
    plan = [with_indicator(tmp_path / f"b{k}", k, value) for k, value in enumerate([66.0, 58.0, 64.0])]
    noise, power = compare(base, plan).changes["b0"]
    assert noise.base == pytest.approx(level(70, 60, 65))
    assert noise.plan == pytest.approx(level(66, 58, 64))
    assert noise.difference.mean == pytest.approx(noise.plan - noise.base)
    assert noise.difference.t.low < noise.difference.mean < noise.difference.t.high
    assert math.isnan(noise.relative)
    assert power.base == pytest.approx(65.0)
    assert power.difference.mean == pytest.approx(-7 / 3)
    assert power.relative == pytest.approx(-7 / 3 / 65)


def test_interval_of_a_mean_level_is_that_of_the_energy_where_levels_differ_little():
    levels = 60 + np.random.default_rng(1).normal(0, 0.01, 30)
    about, plain = (t_interval(additive(levels, unit)) for unit in ("dB", "W"))
    assert (about.low, about.high) == pytest.approx((plain.low, plain.high), abs=1e-4)


@pytest.mark.parametrize("n", [2, 30])
def test_interval_of_a_mean_level_covers_the_level_of_the_mean_energy(n):
    # lognormal energies: the level of their expectation in closed form is mu + s² ln(10)/20
    rng, sigma = np.random.default_rng(2), 2.0
    truth = 60 + sigma**2 * math.log(10) / 20
    found = [t_interval(additive(rng.normal(60, sigma, n), "dB")) for _ in range(1000)]
    assert np.mean([interval.holds(truth) for interval in found]) == pytest.approx(0.95, abs=0.05)


def test_means_of_levels_in_studies_are_by_energy(tmp_path):
    def noise(seed, x1, mode="a"):
        return {"noise": 60.0 + 10 * seed + x1 + (5 if mode == "b" else 0), "energy": 1.0 + seed + x1}

    study = filled(Study(build, seeds=3, x1=[0.0, 3.0], mode=["a", "b"], out=tmp_path / "study"), noise)
    in_kwh = study.effects("x1")
    for key in set(study.runs.values()):
        marker = study.run_folder(key).path / "done.json"
        marker.write_text(marker.read_text().replace('"unit": "kWh"', '"unit": "dB"', 1))
    in_db = study.effects("x1")
    levels = [level(60 + 10 * seed, 65 + 10 * seed) for seed in range(3)]
    row = in_db[in_db.indicator == "noise"].iloc[0]
    assert row["base mean"] == pytest.approx(level(*levels))
    assert row["difference"] == pytest.approx(3.0)
    assert in_kwh[in_kwh.indicator == "noise"].iloc[0]["base mean"] == pytest.approx(72.5)
    assert in_db[in_db.indicator == "energy"].iloc[0]["base mean"] == pytest.approx(2.0)
    means = study.convergence("noise")["mean"].to_numpy()
    every = [level(*(60 + 10 * s + x + m for x in (0, 3) for m in (0, 5))) for s in range(3)]
    assert means == pytest.approx([level(*every[:2]), level(*every)])
    panel = study.plot("noise", x="x1").axes[0]
    assert panel.lines[0].get_ydata() == pytest.approx([level(60, 70, 80), level(63, 73, 83)])


class Halves(Street):
    """Publishes 70 dB in the first half of a minute, and 60 dB in the second."""

    step_tolerance = 1e-9

    def advance(self, step) -> None:
        first, second = (step.start_s % 60 < 30, step.end_s % 60 == 0)
        self.noise.value = [level(*[70.0] * first, *[60.0] * second), 65.0]


def test_half_steps_of_a_level_are_compared_by_energy():
    check_adapter(Halves, step_s=60.0)


def test_units_of_levels_do_not_convert_and_other_logarithmic_units_are_refused():
    assert Output("dB(A)", ["a"], "mean").unit == "dB(A)"
    assert units.factor("dB(A)", "dB") == 1.0
    with pytest.raises(UnitError, match="dB and 1 are different quantities"):
        units.factor("dB", "1")
    for unit, name in (("dBm", "decibelmilliwatt"), ("Np", "neper")):
        with pytest.raises(UnitError, match=f"'{unit}' has the logarithmic unit {name}: only levels in 'dB' are known"):
            units.parse(unit)


def test_pages_and_figures_tell_a_level_from_other_layers(result, tmp_path):
    text = write_report(result, tmp_path / "page.html").read_text(encoding="utf-8")
    assert '"level":true' in text.replace(" ", "")
