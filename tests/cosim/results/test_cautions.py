"""Cautions: what two runs differ in beyond the plan whose effect they are to show."""

import json

import pytest
from typer.testing import CliRunner

from cosim import Result, compare
from cosim.cli.app import app
from tests.cosim.cli.test_app import SCENARIO
from tests.support.districts import district


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("cautions")
    (path / "toy.py").write_text(SCENARIO)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        for name, settings in (("base", []), ("one", ["size=4,4"]), ("two", ["size=4,4", "hours=2.0"])):
            chosen = [part for setting in settings for part in ("--set", setting)]
            assert CliRunner().invoke(app, ["run", "toy.py", "--no-report", *chosen, "--out", name]).exit_code == 0
    return path


def altered(source, target, **changes):
    """Return a copy of a run with another provenance."""
    about = json.loads((source / "run.json").read_text())
    target.mkdir()
    (target / "run.json").write_text(json.dumps(about | changes))
    (target / "indicators.json").write_bytes((source / "indicators.json").read_bytes())
    return Result.open(target)


def cautions(base, plan):
    return compare(base, plan, names=["base", "plan"]).cautions["plan"]


def parameters(run, **changes):
    return run.provenance["parameters"] | changes


def test_one_parameter_that_differs_is_the_plan_even_if_others_are_given_their_defaults(folder):
    base, one, two = (Result.open(folder / name) for name in ("base", "one", "two"))
    assert cautions(base, one) == cautions(base, two) == []


def test_several_parameters_that_differ_are_named(folder, tmp_path):
    base = Result.open(folder / "base")
    other = altered(folder / "one", tmp_path / "plan", parameters=parameters(base, size=[4, 4], fault="x"))
    assert cautions(base, other) == [
        "the difference is that of 2 parameters together: size is [2, 3] in base and [4, 4] in plan; fault is  in base "
        "and x in plan"
    ]


def test_a_parameter_that_differs_beside_the_policies_is_named(folder, tmp_path):
    base = Result.open(folder / "base")
    values = parameters(base, charging="valley", policies=["EvShare:share=0.4"])
    other = altered(folder / "base", tmp_path / "plan", parameters=values)
    assert cautions(base, other) == ["beside the policies, charging is not recorded in base and valley in plan"]
    only = altered(folder / "base", tmp_path / "only", parameters=parameters(base, policies=["EvShare:share=0.4"]))
    assert cautions(base, only) == []


def test_another_model_is_named(folder, tmp_path):
    base = Result.open(folder / "base")
    about = base.provenance
    adapters = {
        "source": about["adapters"]["source"] | {"step_s": 120.0},
        "fleet": {"class": "x:Fleet", "step_s": 60.0},
    }
    lines = [about["connections"][0] | {"delay": 3}]
    other = altered(folder / "base", tmp_path / "plan", adapters=adapters, connections=lines)
    found = cautions(base, other)
    assert len(found) == 4
    assert "another model: only base has the adapter echo" in found
    assert "another model: only plan has the adapter fleet" in found
    assert any("source is tests.support.toys:Source with a step of 60 s in base and" in text for text in found)
    assert any("delay of source.power → echo.load is 0 in base and 3 in plan" in text for text in found)


def test_a_policy_may_add_an_adapter_but_not_replace_one(folder, tmp_path):
    base = Result.open(folder / "base")
    policies = parameters(base, policies=["DynamicTariff"])
    more = base.provenance["adapters"] | {"tariff": {"class": "x:Tariff", "step_s": 60.0}}
    assert cautions(base, altered(folder / "base", tmp_path / "a", adapters=more, parameters=policies)) == []
    other = more | {"source": {"class": "x:Stops", "step_s": 60.0}}
    found = cautions(base, altered(folder / "base", tmp_path / "b", adapters=other, parameters=policies))
    assert len(found) == 1
    assert "source is" in found[0]


def test_another_version_another_builder_and_another_input_are_named(folder, tmp_path):
    versions = Result.open(folder / "base").provenance["versions"]
    one = altered(folder / "base", tmp_path / "one", inputs={"/a/city.epw": "1"}, versions=versions | {"sumo": "1.28"})
    builder = one.provenance["builder"] | {"target": "other.py"}
    two = altered(
        folder / "base",
        tmp_path / "two",
        inputs={"/b/city.epw": "2"},
        versions=versions | {"sumo": "1.20"},
        builder=builder,
    )
    found = cautions(one, two)
    assert "the version of sumo is 1.28 in base and 1.20 in plan" in found
    assert "no parameter differs, but the content of the input file city.epw does" in found
    assert any(text.startswith("base was built by ") and text.endswith("plan by other.py") for text in found)


def test_runs_of_one_side_that_differ_in_more_than_the_seed_are_named(folder, tmp_path):
    base = Result.open(folder / "base")
    second = {"seed": 1, "parameters": parameters(base, seed=1)}
    longer = base.provenance["adapters"] | {
        name: about | {"settings": {"warm_up": "9 days"}} for name, about in base.provenance["adapters"].items()
    }
    again = altered(folder / "base", tmp_path / "again", adapters=longer, **second)
    other = altered(folder / "base", tmp_path / "other", **(second | {"parameters": parameters(base, hours=3.0)}))
    found = cautions([base, again], [base, other])
    assert found == ["the runs of plan differ in more than the seed: hours is 2 in seed 0 and 3.0 in seed 1"]


def test_one_run_whose_parameters_are_unknown_is_named(folder, tmp_path):
    other = altered(folder / "base", tmp_path / "plan", parameters={})
    assert "the parameters of plan are not recorded" in cautions(Result.open(folder / "base"), other)[0]


def test_table_notebook_and_command_print_the_cautions(folder, tmp_path, monkeypatch):
    base = Result.open(folder / "base")
    other = altered(folder / "one", tmp_path / "plan", parameters=parameters(base, size=[4, 4], fault="<x>"))
    found = compare(base, other, names=["base", "plan"])
    assert "caution: the difference is that of 2 parameters together" in " ".join(str(found).split())
    assert "<strong>Caution:</strong> plan against base: the difference is" in found._repr_html_()
    assert "&lt;x&gt;" in found._repr_html_()
    monkeypatch.chdir(folder)
    printed = CliRunner().invoke(app, ["compare", "base", str(other.folder)]).output
    assert "caution: the difference is that of 2 parameters together" in " ".join(printed.split())


def test_scripts_that_record_no_parameters_are_compared_without_caution(tmp_path):
    base, plan = district().run(tmp_path / "base"), district(draw=100).run(tmp_path / "plan")
    assert cautions(base, plan) == []
