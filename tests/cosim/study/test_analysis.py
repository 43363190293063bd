"""The analysis of studies, against closed forms and with missing runs."""

import numpy as np
import pytest
from scipy import stats

from cosim import Clock, CosimError, Scenario, Study
from cosim.study.factors import StudyError
from tests.support.toys import Source


def build(
    x1: float = 0.0, x2: float = 0.0, x3: float = 0.0, mode: str = "a", seed: int = 0, **others: float
) -> Scenario:
    return Scenario(Clock("2025-01-15", hours=1), source=Source(seed=seed))


def filled(study, function, leave_out=()):
    """Mark every run of a study as done, with indicators computed by a function of its factors."""
    for (k, seed), key in study.runs.items():
        if k in leave_out:
            continue
        values = {name: level.value for name, level in study.points.points[k].items()}
        folder = study.run_folder(key)
        folder.path.mkdir(parents=True, exist_ok=True)
        indicators = {
            name: {"value": None if np.isnan(value) else float(value), "unit": "kWh", "better": "lower", "about": ""}
            for name, value in function(seed=seed, **values).items()
        }
        folder.mark_done({"inputs": {}, "indicators": indicators, "wall_s": 0.0})
    return study


def ishigami(x1, x2, x3, seed):
    return {"y": np.sin(x1) + 7 * np.sin(x2) ** 2 + 0.1 * x3**4 * np.sin(x1)}


def noise(seed, x1=0.0):
    return np.random.default_rng([seed, 5]).normal(100, 20)


def test_sobol_indices_of_the_ishigami_function_are_its_closed_form(tmp_path):
    # a = 7, b = 0.1: Ishigami and Homma (1990); the variances as in Saltelli et al., Global Sensitivity Analysis (2008)
    a, b, pi = 7.0, 0.1, np.pi
    total = a**2 / 8 + b * pi**4 / 5 + b**2 * pi**8 / 18 + 0.5
    v1, v2, v13 = 0.5 * (1 + b * pi**4 / 5) ** 2, a**2 / 8, b**2 * pi**8 * (1 / 18 - 1 / 50)
    angle = stats.uniform(-pi, 2 * pi)
    study = Study(build, design="sobol", samples=512, out=tmp_path, x1=angle, x2=angle, x3=angle)
    found = filled(study, ishigami).sensitivity().set_index("factor")
    for factor, first, whole in (("x1", v1, v1 + v13), ("x2", v2, v2), ("x3", 0.0, v13)):
        # SALib's intervals cover 95 %; three half widths are missed once in some hundred millions
        assert abs(found.S1[factor] - first / total) < 3 * found.S1_conf[factor]
        assert abs(found.ST[factor] - whole / total) < 3 * found.ST_conf[factor]
        assert found.ST_conf[factor] < 0.12


def test_morris_finds_the_slopes_of_a_linear_function_over_the_range_of_each_factor(tmp_path):
    factors = {"x1": stats.uniform(0, 2), "x2": stats.uniform(-1, 1), "x3": 1.0}
    study = Study(build, design="morris", samples=4, out=tmp_path, **factors)
    found = filled(study, lambda x1, x2, x3, seed: {"y": 3 * x1 - 5 * x2 + x3}).sensitivity().set_index("factor")
    assert found.mu["x1"] == pytest.approx(6.0)
    assert found.mu["x2"] == pytest.approx(-5.0)
    assert found.mu_star["x2"] == pytest.approx(5.0)
    assert found.sigma.to_numpy() == pytest.approx(0, abs=1e-12)


def test_indices_of_an_incomplete_design_are_refused_with_the_missing_runs(tmp_path):
    study = Study(build, design="sobol", samples=4, out=tmp_path, x1=stats.uniform(0, 1), mode=["a", "b"])
    filled(study, lambda x1, mode, seed: {"y": x1}, leave_out=(3,))
    with pytest.raises(StudyError, match=r"1 of 16 runs are not done, but sobol indices need all of them: x1=0\.\d+, "):
        study.sensitivity()
    filled(study, lambda x1, mode, seed: {"y": x1, "z": np.nan if x1 > 0.5 else 1.0})
    with pytest.raises(StudyError, match=r"'z' has no value in \d+ runs: choose other indicators"):
        study.sensitivity()
    assert len(study.sensitivity("y")) == 2


def test_a_constant_indicator_is_sensitive_to_no_factor(tmp_path):
    study = Study(build, design="sobol", samples=4, out=tmp_path, x1=stats.uniform(0, 1), x2=stats.uniform(0, 1))
    found = filled(study, lambda x1, x2, seed: {"y": 5.0}).sensitivity()
    assert (found[["S1", "ST"]] == 0).all(axis=None)


def test_effects_are_paired_by_seed_and_averaged_over_the_other_factors(tmp_path):
    study = Study(build, x1=[0.0, 1.0], mode=["a", "b"], seeds=8, out=tmp_path)
    filled(study, lambda x1, mode, seed: {"y": noise(seed) + x1 * (1 + 2 * (mode == "b")) + 0.01 * seed * x1})
    found = study.effects().set_index("factor")
    assert found.difference["x1"] == pytest.approx(2 + 0.035)
    assert found.n["x1"] == 8  # seeds, not points
    assert found.verdict["x1"] == "higher"
    assert found["t low"]["x1"] < 2.035 < found["t high"]["x1"]
    assert found.difference["mode"] == pytest.approx(1.0)
    by_mode = study.effects("x1", within="mode").set_index("mode")
    assert by_mode.difference["a"] == pytest.approx(1.035)
    assert by_mode.difference["b"] == pytest.approx(3.035)


def test_a_seed_with_a_missing_run_is_excluded_from_an_effect(tmp_path):
    study = Study(build, x1=[0.0, 1.0], mode=["a", "b"], seeds=4, out=tmp_path)
    filled(study, lambda x1, mode, seed: {"y": noise(seed) + x1 + seed * x1})
    (study.run_folder(study.runs[0, 3]).path / "done.json").unlink()
    assert study.effects("x1").iloc[0].n == 3
    assert study.effects("x1").iloc[0].difference == pytest.approx(2.0)
    for seed in range(3):
        (study.run_folder(study.runs[1, seed]).path / "done.json").unlink()
    assert study.effects("x1").iloc[0].verdict == "no complete pair"


def test_noise_without_effect_shows_no_effect(tmp_path):
    study = Study(build, mode=["a", "b"], seeds=10, out=tmp_path)
    filled(study, lambda mode, seed: {"y": np.random.default_rng([seed, mode == "b"]).normal()})
    assert study.effects().iloc[0].verdict == "no effect shown"


def test_the_interval_narrows_with_the_root_of_the_number_of_seeds(tmp_path):
    study = Study(build, mode=["a", "b"], seeds=64, out=tmp_path)
    filled(study, lambda mode, seed: {"y": noise(seed) + (mode == "b") * (1 + np.random.default_rng(seed).normal())})
    found = study.convergence("y", "mode").set_index("n")
    assert list(found.index) == list(range(2, 65))
    last = study.effects("mode").iloc[0]
    assert found["t low"][64] == pytest.approx(last["t low"])
    # half width = t s / sqrt(n): s of 16 and of 64 values differ by chance, by less than half of one
    assert found["half width"][16] / found["half width"][64] == pytest.approx(2.13 / 2.0 * 2.0, rel=0.5)
    assert set(study.convergence("y").columns) == set(found.reset_index().columns)


def test_the_table_is_one_row_per_run_with_units(tmp_path):
    study = Study(build, x1=[0.0, 1.0], seeds=[4, 5], out=tmp_path)
    table = filled(study, lambda x1, seed: {"energy": x1 + seed}).table()
    assert list(table.columns) == ["run", "point", "x1", "seed", "energy"]
    assert table.energy.tolist() == [4, 5, 5, 6]
    assert table.attrs["units"] == {"energy": "kWh"}


def test_an_indicator_must_not_have_the_name_of_a_factor(tmp_path):
    study = filled(Study(build, x1=[0.0, 1.0], out=tmp_path), lambda x1, seed: {"x1": 1.0})
    with pytest.raises(StudyError, match="'x1' names both an indicator and a column"):
        study.table()


@pytest.mark.parametrize(
    ("design", "ask", "words"),
    [
        ("lhs", lambda s: s.effects(), "the lhs design has no pairs that differ in one factor: use a grid"),
        ("lhs", lambda s: s.sensitivity(), "the lhs design has no sensitivity indices"),
        ("grid", lambda s: s.effects("x2"), "'x2' is not varied; varied factors: x1"),
        ("grid", lambda s: s.convergence("z"), "unknown indicator 'z'; available: y"),
        ("grid", lambda s: s.convergence("y"), "uncertainty needs at least two seeds, got 1"),
        ("grid", lambda s: s.plot("z"), "unknown indicator 'z'"),
        ("grid", lambda s: s.plot(x="z"), "'z' is not varied"),
    ],
)
def test_analysis_that_a_design_does_not_support_is_refused(tmp_path, design, ask, words):
    study = Study(build, design=design, samples=3 if design == "lhs" else None, out=tmp_path, x1=[0.0, 1.0])
    filled(study, lambda x1, seed: {"y": x1})
    with pytest.raises(StudyError, match=words):
        ask(study)


def test_many_indicators_are_split_into_figures_and_those_left_out_are_said(tmp_path):
    study = Study(build, seeds=2, out=tmp_path, x1=[0.0, 1.0])
    values = {f"y{k}": k + 1.0 for k in range(14)}
    filled(study, lambda x1, seed: {n: v * x1 for n, v in values.items()} | {"zero": 0.0, "same": 3.0})
    page = study.write().read_text()
    assert page.count("<svg") == 2
    names = {path.name for path in (tmp_path / "figures").iterdir()}
    assert names == {f"indicators{n}.{kind}" for n in ("", "-2") for kind in ("png", "svg")}
    assert "Not drawn, 0 in every run: zero; not changed by the factors: same." in page
    study.write(["y0"])
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {"indicators.png", "indicators.svg"}


@pytest.mark.parametrize("design", ["grid", "sobol", "morris", "lhs"])
def test_the_page_is_one_file_without_network_access(tmp_path, design):
    factors = {"x1": [0.0, 1.0], "mode": ["<a>", "b"]}
    samples = {"grid": None, "sobol": 8, "morris": 4, "lhs": 6}[design]
    study = Study(build, design=design, samples=samples, seeds=3, out=tmp_path, **factors)
    filled(study, lambda x1, mode, seed: {"y & z": noise(seed) + x1})
    page = study.write().read_text()
    links = {word for word in page.replace("'", '"').split('"') if word.startswith("http")}
    # names of vocabularies in the SVG's metadata, which browsers do not load
    known = ("w3.org", "purl.org", "creativecommons.org", "matplotlib.org")
    assert all(any(name in link for name in known) for link in links)
    assert "<script" not in page
    assert "&lt;a&gt;" in page
    assert "y &amp; z" in page
    assert page.count("<svg") == 1
    assert (tmp_path / "figures" / "indicators.svg").stat().st_size > 1000
    assert (tmp_path / "table.csv").is_file()
    assert {"grid": "effects.csv", "lhs": "table.csv"}.get(design, "sensitivity.csv") in {
        p.name for p in tmp_path.iterdir()
    }


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Study(lambda seed: build(seed=seed)), "cannot be imported"),
        (lambda: Study("nowhere"), "unknown scenario 'nowhere'"),
        (lambda: Study("nowhere.py"), "nowhere.py does not exist"),
        (lambda: Study(build, x1=["much"]), "x1=much does not fit"),
        (lambda: Study(build, seeds=0), "seeds are 0: pass different non-negative whole numbers"),
        (lambda: Study(build, seeds=[1, 1]), r"seeds are \[1, 1\]"),
        (lambda: Study("eixample", evshare=[0.1], ev_share=[2.0]), "2 problems:\n  eixample has no parameter 'evsh"),
        (lambda: Study(build).run(workers=0), "workers is 0"),
        (lambda: Study(build).run(record="all"), "record is 'all': write 'indicators', 'everything'"),
        (lambda: Study(build).run(timeout="soon"), "'soon' is not a duration"),
        (lambda: Study(build).run(memory="much"), "memory is 'much': write it as '4GB'"),
        (lambda: Study(build).run(retries=-1), "retries is -1"),
    ],
)
def test_an_invalid_study_is_refused_before_anything_runs(make, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CosimError, match=words):
        make()
    assert not (tmp_path / "studies").exists()
