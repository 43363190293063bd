"""Does a study show what a factor's levels change, case by case, and do its pages lead to each other?"""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cosim.cli import app, one_line
from cosim.study import command

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
        ("x 0.0", ["a", "b", "c"]), ("x 1.0", ["a", "b", "c"])
    ]  # fmt: skip
    assert "x 0.0, n = 2" in page
    assert 'href="study.html"' in page
    assert 'href="report.html"' in (folder / "study.html").read_text()


def test_only_the_first_seeds_are_run_if_that_is_asked(place):
    place.study(STUDY)
    done = place.cosim("study", "study.py", "--seeds", 1, "--report", "x")
    assert done.returncode == 0, done.stderr
    assert len(place.attempts()) == 6
    assert [case["name"] for case in content((place.folder / "studies/toy/report.html").read_text())] == ["a", "b", "c"]
    assert "6 done" in done.stdout
    assert place.cosim("study", "study.py", "--status").stdout.split("\n")[0] == "6 done, 6 missing"


def test_what_cannot_be_reported_is_refused_before_anything_runs(place):
    place.study("Study(build, x=[0.0, 1.0], mode='a')")
    for factor in ("mode", "colour"):
        done = place.cosim("study", "study.py", "--report", factor)
        assert done.returncode == 1
        assert f"'{factor}' has none: there are x" in done.stderr
    assert place.attempts() == []


def test_runs_that_kept_no_series_have_no_report(place):
    place.study("Study(build, x=[0.0, 1.0])")
    assert place.cosim("study", "study.py").returncode == 0
    done = place.cosim("study", "study.py", "--report", "x")
    assert done.returncode == 1
    assert "have kept no series to draw: remove its folder runs/ and run it again" in done.stderr.replace("\n", " ")


def test_interrupted_study_says_how_it_goes_on_wherever_it_was(monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "_read", interrupted)
    done = CliRunner().invoke(app, ["study", "some.py"])
    assert done.exit_code == 130
    assert done.stderr.strip() == "interrupted: what is done is kept, cosim study some.py goes on"


def test_report_that_is_interrupted_speaks_of_no_checkpoint(capsys):
    with pytest.raises(Exception, match="130"), one_line(False):
        raise KeyboardInterrupt
    assert capsys.readouterr().err.strip() == "interrupted"


def test_study_of_which_runs_are_missing_is_not_compared(place):
    place.study("Study(build, x=[0.0, 1.0])")
    done = place.python("study = Study(build, x=[0.0, 1.0], seeds=2)\n"
                        "try:\n    study.report('x')\nexcept Exception as error:\n    print(error)")  # fmt: skip
    assert "4 of 4 runs are not done, so that pairs would be missing" in done.stdout, done.stderr


def test_documented_study_is_sound(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    script = Path(__file__).parents[2] / "docs" / "superblocks_heat_pumps.py"
    done = CliRunner().invoke(app, ["study", str(script), "--seeds", "3", "--status"])
    assert done.stdout == "18 missing\n", done.output


def test_run_of_a_study_says_its_policies_not_only_what_they_are_called(place):
    script = """
from cosim.scenarios import eixample
from cosim.scenarios.policies import HeatPumps

study = Study(eixample.build, policies={"none": (), "warm": (HeatPumps(0.5),)}, blocks=(2, 2), hours=0.05)
study.run()
for (k, _), key in study.runs.items():
    print(Result.open(study.run_folder(key).result).provenance["parameters"]["policies"])
"""
    done = place.python("from cosim import Result\n" + script)
    assert done.stdout.split("\n")[:2] == ["none", "['HeatPumps:share=0.5']"], done.stderr
