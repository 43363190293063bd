"""The report of a study: comparisons of a factor's levels by case, and links between its pages."""

import json

import pytest
from typer.testing import CliRunner

from cosim.cli import study as command
from cosim.cli.app import app, one_line
from tests.support.paths import ROOT

STUDY = "Study(build, mode=['a', 'b', 'c'], x=[0.0, 1.0], seeds=2)"


def content(page):
    return json.loads(page.partition('id="content">')[2].partition("</script>")[0])["cases"]


def test_report_has_a_case_for_each_combination_of_the_other_factors(place):
    place.study(STUDY)
    done = place.cosim("study", "study.py", "--report", "mode")
    assert done.returncode == 0, done.stderr
    folder = place.folder / "studies" / "toy"
    assert f"report in {folder / 'report.html'}" in done.stdout.replace("\n", "")
    page = (folder / "report.html").read_text()
    assert [(case["name"], case["names"]) for case in content(page)] == [
        ("x 0.0", ["a", "b", "c"]),
        ("x 1.0", ["a", "b", "c"]),
    ]
    assert "x 0.0, n = 2" in page
    assert 'href="study.html"' in page
    assert 'href="report.html"' in (folder / "study.html").read_text()


def test_only_the_first_seeds_are_run_on_request(place):
    place.study(STUDY)
    done = place.cosim("study", "study.py", "--seeds", 1, "--report", "x")
    assert done.returncode == 0, done.stderr
    assert len(place.attempts()) == 6
    assert [case["name"] for case in content((place.folder / "studies/toy/report.html").read_text())] == ["a", "b", "c"]
    assert "6 done" in done.stdout
    assert place.cosim("study", "study.py", "--status").stdout.split("\n")[0] == "6 done, 6 missing"


def test_factor_that_cannot_be_reported_is_refused_before_anything_runs(place):
    place.study("Study(build, x=[0.0, 1.0], mode='a')")
    for factor in ("mode", "colour"):
        done = place.cosim("study", "study.py", "--report", factor)
        assert done.returncode == 1
        assert f"'{factor}' is not varied, so a report cannot compare its levels; varied factors: x" in done.stderr
    assert place.attempts() == []


def test_runs_that_kept_no_series_have_no_report(place):
    place.study("Study(build, x=[0.0, 1.0])")
    assert place.cosim("study", "study.py").returncode == 0
    done = place.cosim("study", "study.py", "--report", "x")
    assert done.returncode == 1
    assert "have kept no series to draw: remove its folder runs/ and run it again" in done.stderr.replace("\n", " ")


def test_interrupted_study_prints_how_to_continue(monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "_read", interrupted)
    done = CliRunner().invoke(app, ["study", "some.py"])
    assert done.exit_code == 130
    assert done.stderr.strip() == "interrupted: finished runs are kept, cosim study some.py continues"


def test_interrupted_report_mentions_no_checkpoint(capsys):
    with pytest.raises(Exception, match="130"), one_line(False):
        raise KeyboardInterrupt
    assert capsys.readouterr().err.strip() == "interrupted"


def test_study_with_missing_runs_is_not_compared(place):
    place.study("Study(build, x=[0.0, 1.0])")
    done = place.python(
        "study = Study(build, x=[0.0, 1.0], seeds=2)\n"
        "try:\n    study.report('x')\nexcept Exception as error:\n    print(error)"
    )
    assert "4 of 4 runs are not done, so pairs would be missing" in done.stdout, done.stderr


def test_documented_study_is_valid(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    script = ROOT / "docs" / "superblocks_heat_pumps.py"
    done = CliRunner().invoke(app, ["study", str(script), "--seeds", "3", "--status"])
    assert done.stdout == "18 missing\n", done.output


def test_run_of_a_study_records_its_policies_with_parameters(place):
    script = """
from cosim.scenarios import eixample
from cosim.scenarios.policies import HeatPumps

study = Study(eixample.build, policies={"none": (), "warm": (HeatPumps(0.5),)}, blocks=(2, 2), hours=0.05)
study.run()
for (k, _), key in study.runs.items():
    print(Result.open(study.run_folder(key).result).provenance["parameters"]["policies"])
"""
    done = place.python("from cosim import Result\n" + script)
    assert done.stdout.split("\n")[:2] == ["none", "['HeatPumps:share=0.5,floor_heating=0.0']"], done.stderr


def test_limits_records_and_indicators_are_options_of_the_command(place):
    place.study("Study(build, x=[0.0, 1.0], seeds=2)")
    done = place.cosim(
        "study", "study.py", "--timeout", "20", "--record", "echo.*", "--record", "source.count", faults="hang:1,1"
    )
    assert done.returncode == 1
    assert "timeout: took longer than 20 s" in done.stdout
    (folder, *_) = place.folder.glob("studies/toy/runs/*/result/series")
    assert {path.name for path in folder.iterdir()} == {"echo.received", "echo.seen", "source.count"}
    again = place.cosim("study", "study.py", "--resume", "--indicators", "energy", "--checkpoint-every", "180")
    assert again.returncode == 0, again.stderr
    nothing = place.cosim("study", "study.py", "--out", "other", "--record", "echos.*")
    assert "record: no output matches 'echos.*': write names or patterns of source.power, " in nothing.stdout
    wrong = place.cosim("study", "study.py", "--indicators", "energies")
    assert wrong.returncode == 1
    assert "unknown indicator 'energies'; available: energy" in " ".join(wrong.stderr.split())
    assert "memory is 'much': write it as" in place.cosim("study", "study.py", "--memory", "much").stderr
