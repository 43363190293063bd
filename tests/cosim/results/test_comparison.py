"""Comparisons: pairing by seed, verdicts, tables, and runs that cannot be compared."""

import json
import re

import numpy as np
import pytest
from typer.testing import CliRunner

from cosim import Clock, CosimError, Indicator, ScenarioError, compare
from cosim.cli.app import app
from cosim.results.statistics import paired_difference
from cosim.results.tables import difference_cells
from cosim.study.repeats import with_repeats
from tests.cosim.cli.test_app import SCENARIO
from tests.support.districts import district
from tests.support.toys import Fault


def energies(runs):
    return np.array([run.indicators["energy"].value for run in runs])


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    base = [district(seed).run(folder / f"base-{seed}") for seed in range(4)]
    plan = [district(seed, draw=seed + 100).run(folder / f"plan-{seed}") for seed in range(4)]
    return base, plan


def change(comparison, name, plan=None):
    changes = comparison.changes[plan or next(iter(comparison.plans))]
    return next(c for c in changes if c.indicator == name)


def test_pairs_have_the_same_seed_in_any_order(runs):
    base, plan = runs
    found = change(compare(base, plan[::-1]), "energy")
    assert found.difference == paired_difference(energies(base), energies(plan))
    assert found.difference.n == 4
    assert found.base == pytest.approx(energies(base).mean())


def test_runs_without_a_partner_are_left_out(runs):
    base, plan = runs
    found = change(compare(base, plan[1:3]), "energy")
    assert found.difference.n == 2
    assert found.base == pytest.approx(energies(base[1:3]).mean())


def test_map_shows_runs_with_the_same_seed(runs):
    base, plan = runs
    shown = compare(base, plan[2:], base[1:]).runs
    assert [[run.provenance["seed"] for run in group] for group in shown] == [[2, 3]] * 3
    with pytest.raises(ScenarioError, match="the base and the plans have no common seed: base has 0, 1; one has 0"):
        compare(base[:2], plan[:1], plan[1:2], names=["base", "one", "two"])


def test_one_pair_shows_a_difference_but_no_uncertainty(runs):
    base, plan = runs
    found = change(compare(base[0], plan[0]), "energy")
    assert found.verdict == "one pair: inconclusive"
    assert found.plan - found.base == pytest.approx(energies(plan)[0] - energies(base)[0])


def test_interval_that_holds_zero_shows_no_effect(runs):
    base, plan = runs
    found = change(compare(base, plan), "energy")
    assert found.difference.t.low < 0 < found.difference.t.high
    assert found.verdict == "no effect shown"


def test_indicator_that_does_not_change_is_the_same(runs):
    assert change(compare(*runs), "steps").verdict == "the same"


def test_indicator_without_values_has_no_difference(runs):
    found = change(compare(*runs), "unknown")
    assert found.difference is None
    assert found.verdict == "no values to compare"


def test_table_names_the_runs_the_pairs_and_the_verdict(runs):
    text = str(compare(*runs, names=["today", "tomorrow"]))
    for words in ("tomorrow against today", "95 % by t", "95 % by BCa", "no effect shown", "kWh"):
        assert words in text
    assert re.search(r"energy .* 4 ", text)


def test_table_as_data_has_a_row_for_each_plan_and_indicator(runs):
    base, plan = runs
    table = compare(base, plan, base, names=["base", "one", "two"]).table
    assert table.groupby("plan").size().to_dict() == {"one": 3, "two": 3}
    assert table.set_index(["plan", "indicator"]).loc[("two", "energy"), "difference"] == 0


def test_notebook_shows_run_and_comparison_as_escaped_html(runs):
    base, plan = runs
    assert "of the &lt;source&gt;" in base[0]._repr_html_()
    page = compare(base, plan)._repr_html_()
    assert "Mean differences of 4 pairs" in page
    assert "<source>" not in page


def other_step(folder):
    scenario = district()
    scenario.clock = Clock("2025-06-01", hours=3, step_s=120, zone="Europe/Madrid")
    return scenario.run(folder)


def failed(folder):
    scenario = district()
    fault = Fault("raise", labels=scenario.adapters["source"].power.labels)
    scenario._register("source", fault, scenario.steps["source"])
    with pytest.raises(CosimError):
        scenario.run(folder)
    from cosim import Result

    return Result.open(folder)


def silent(folder):
    scenario = district()
    scenario.indicators = None
    return scenario.run(folder)


def in_joules(folder):
    result = district().run(folder)
    path = folder / "indicators.json"
    path.write_text(path.read_text().replace('"kWh"', '"J"'))
    return result


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (other_step, "the exchange step of plan is 120 s, that of base-0 60 s"),
        (
            lambda folder: district(hours=2).run(folder),
            "the length of plan is 7200 s, that of base-0 10800 s: run both over one length",
        ),
        (lambda folder: district(7).run(folder), "base-0 has the seeds 0, plan has 7: run both with the same seeds"),
        (failed, "is failed: only finished runs have indicators"),
        (silent, "has no indicators: pass indicators= to its scenario"),
        (in_joules, "energy is in kWh in base-0 and in J in plan"),
    ],
)
def test_runs_that_cannot_be_compared_are_refused_with_the_reason(runs, tmp_path, make, words):
    with pytest.raises(ScenarioError, match=re.escape(words)):
        compare(runs[0][0], make(tmp_path / "plan"))


def test_duplicate_seed_is_refused(runs):
    base, plan = runs
    with pytest.raises(ScenarioError, match="has 2 runs with seed 0: pass one run per seed"):
        compare([base[0], base[0]], plan)


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        (1, {}, "needs a base and at least one plan"),
        (2, {"names": ["one"]}, "got the names one for 2 groups"),
        (2, {"names": ["one", "one"]}, "pass a different name for each"),
    ],
)
def test_invalid_arguments_are_refused(runs, arguments, options, words):
    with pytest.raises(CosimError, match=words):
        compare(*runs[:arguments], **options)
    with pytest.raises(CosimError, match="got an empty list of runs"):
        compare(runs[0], [])


@pytest.fixture
def cli(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "toy.py").write_text(SCENARIO)

    def call(*arguments):
        return CliRunner().invoke(app, [str(a) for a in arguments])

    for name, size in (("base", "2,3"), ("plan", "4,4")):
        assert call("run", "toy.py", "--no-report", "--set", f"size={size}", "--out", name).exit_code == 0
    return call


def test_command_repeats_the_runs_with_the_same_seeds(cli, tmp_path):
    done = cli("compare", "base", "plan", "--seeds", "3")
    assert done.exit_code == 0, done.output
    assert "plan against base" in done.output
    assert "the same" in done.output  # the toy's size changes nothing
    for name, size in (("base", [2, 3]), ("plan", [4, 4])):
        for seed in (1, 2):
            about = json.loads((tmp_path / name / "seeds" / str(seed) / "run.json").read_text())
            assert (about["seed"], about["parameters"]["size"], about["status"]) == (seed, size, "finished")


def test_finished_repeats_are_reused_and_interrupted_ones_are_not(cli, tmp_path):
    cli("compare", "base", "plan", "--seeds", "2")
    first = (tmp_path / "base" / "seeds" / "1" / "run.json").stat().st_mtime_ns
    (tmp_path / "base" / "seeds" / "2.part").mkdir()
    (tmp_path / "base" / "seeds" / "2.part" / "run.json").write_text("{")
    assert cli("compare", "base", "plan", "--seeds", "3").exit_code == 0
    assert (tmp_path / "base" / "seeds" / "1" / "run.json").stat().st_mtime_ns == first
    from cosim import Result

    assert sorted(run.provenance["seed"] for run in with_repeats(Result.open(tmp_path / "base"))) == [0, 1, 2]


def test_runs_given_a_relative_path_are_repeated_from_another_folder(cli, tmp_path, monkeypatch):
    (tmp_path / "reading.py").write_text(
        SCENARIO.replace('fault: str = "")', "weather: Path)")
        .replace(
            "    source = Fault(fault, at_s=600) if fault else Source(seed=seed)",
            "    assert weather.read_text() == 'cold'\n    source = Source(seed=seed)",
        )
        .replace("from cosim import", "from pathlib import Path\nfrom cosim import", 1)
    )
    (tmp_path / "weather.epw").write_text("cold")
    for name in ("one", "two"):
        assert cli("run", "reading.py", "--no-report", "--set", "weather=weather.epw", "--out", name).exit_code == 0
    (tmp_path / "away").mkdir()
    monkeypatch.chdir(tmp_path / "away")
    done = cli("compare", "../one", "../two", "--seeds", "2")
    assert done.exit_code == 0, done.output
    (tmp_path / "weather.epw").unlink()
    refused = cli("compare", "../one", "../two", "--seeds", "3")
    assert refused.exit_code == 1
    assert "build() of reading failed: FileNotFoundError" in " ".join(refused.output.split())
    assert not list(tmp_path.glob("*/seeds/2*"))


def test_report_includes_the_repeats(cli, tmp_path):
    cli("compare", "base", "plan", "--seeds", "3")
    assert cli("report", "base", "plan").exit_code == 0
    assert "Mean differences of 3 pairs" in (tmp_path / "plan" / "comparison.html").read_text()


def test_run_of_another_version_is_not_repeated(cli, tmp_path):
    path = tmp_path / "base" / "run.json"
    about = json.loads(path.read_text())
    about["versions"]["cosim"] = "0.0.1"
    path.write_text(json.dumps(about))
    done = cli("compare", "base", "plan", "--seeds", "2")
    assert done.exit_code == 1
    assert "cannot be repeated, run it again: versions 'cosim' was 0.0.1" in " ".join(done.stderr.split())
    assert not list((tmp_path / "base" / "seeds").glob("*"))


def test_run_whose_builder_has_changed_since_is_not_repeated(cli, tmp_path):
    (tmp_path / "toy.py").write_text(SCENARIO.replace("Source(seed=seed)", 'Source(("a", "b", "c"), seed=seed)'))
    done = cli("compare", "base", "plan", "--seeds", "2")
    assert done.exit_code == 1
    assert "cannot be repeated, run it again" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["compare", "base"], "needs the folders of a base and at least one plan"),
        (["compare", "base", "nowhere"], "nowhere holds no run"),
        (["compare", "base", "script", "--seeds", "2"], "was run by a script: run its scenario with every seed"),
    ],
)
def test_command_answers_mistakes_in_one_line(cli, tmp_path, arguments, words):
    about = json.loads((tmp_path / "plan" / "run.json").read_text())
    (tmp_path / "plan").rename(tmp_path / "script")
    (tmp_path / "script" / "run.json").write_text(json.dumps(about | {"builder": None}))
    done = cli(*arguments)
    assert done.exit_code == 1
    assert words in " ".join(done.stderr.split())
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(("given", "named"), [("a/b", "'a/b'"), (3, "3"), (None, "None"), (["a/b"], "'a/b'")])
def test_arguments_that_are_not_results_are_refused(runs, given, named):
    with pytest.raises(CosimError, match=rf"compare\(\) got {named}.*pass results"):
        compare(runs[0][0], given)


def test_a_difference_of_percentages_is_in_percentage_points(tmp_path):
    runs = []
    for k, value in enumerate((40.0, 50.0)):
        scenario = district(draw=k)
        scenario.indicators = lambda result, value=value: {"loading": Indicator(value, "%", "lower")}
        runs.append(scenario.run(tmp_path / str(k)))
    found = compare(*runs)
    assert difference_cells(change(found, "loading"))[0] == "+10 pp"
    assert "pp: percentage points" in str(found)
    assert "+10 pp" in found._repr_html_()
    assert "pp: percentage points" in found._repr_html_()
