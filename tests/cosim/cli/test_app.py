"""The command line: its output, and its answers to mistakes."""

import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cosim import Result
from cosim.cli.app import app
from cosim.registry.builder import build_again
from tests.support.paths import ROOT

SCENARIO = '''
"""A toy."""
from cosim import Clock, Indicator, Layer, Scenario
from tests.support.toys import Echo, Fault, Source


def build(*, seed: int = 0, hours: float = 2, size: tuple[int, int] = (2, 3), fault: str = "") -> Scenario:
    """Build it.

    Parameters
    ----------
    hours
        Length of the run. [h]
    size
        Rows and columns.
    """
    source = Fault(fault, at_s=600) if fault else Source(seed=seed)
    scenario = Scenario(
        Clock("2025-01-15", hours=hours),
        indicators=lambda r: {"energy": Indicator(float(r.integral("source.power").sum()) / 3.6e6, "kWh", "lower")},
        source=source, echo=Echo(),
    )
    scenario.connect("source.power", "echo.load")
    scenario.layers = [Layer("Power </script>", "source.power", "line", {"a": [(0, 0), (9, 0)], "b": [(0, 5), (9, 8)]},
                             "kW", 1e-3)]
    return scenario
'''


@pytest.fixture
def cli(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "toy.py").write_text(SCENARIO)

    def call(*arguments):
        return CliRunner().invoke(app, [str(a) for a in arguments])

    return call


def test_options_of_the_coupling_check_are_refused_without_it(cli):
    done = cli("run", "toy.py", "--hours", "2")
    assert done.exit_code == 1
    assert "--hours and --seeds need --coupling-check" in done.output
    done = cli("run", "toy.py", "--coupling-check", "--timeout", "2")
    assert done.exit_code == 1
    assert "omit --timeout and --checkpoint-every" in done.output


def test_coupling_check_prints_the_effect_of_the_step(cli):
    done = cli("run", "toy.py", "--coupling-check", "--hours", "1", "--seeds", "2", "--out", "out")
    assert done.exit_code == 0, done.output
    assert "Coupling error" in done.output
    assert "spread" in done.output


def test_run_is_not_compared_with_itself(cli):
    cli("run", "toy.py", "--out", "out", "--no-report")
    done = cli("compare", "out", "./out")
    assert done.exit_code == 1
    assert "duplicate folder out" in done.output


def test_file_that_exits_python_is_an_error(cli, tmp_path):
    (tmp_path / "leaver.py").write_text("import sys; sys.exit(0)")
    done = cli("run", "leaver.py")
    assert done.exit_code == 1
    assert f"cannot load {tmp_path / 'leaver.py'}: SystemExit: 0" in " ".join(done.output.split())


def test_run_prints_a_table_and_writes_results_and_report(cli, tmp_path):
    done = cli("run", "toy.py", "--set", "hours=3", "--set", "size=4,4", "--seed", "5", "--out", "out")
    assert done.exit_code == 0, done.output
    assert re.search(r"energy .* kWh", done.output)
    assert "results in out, report in out/report.html" in done.output
    assert re.search(r"time in simulators: \w+ [\d.]+ s \(\d+%\)", done.output)
    about = json.loads((tmp_path / "out" / "run.json").read_text())
    assert about["seed"] == 5
    assert about["parameters"] == {"hours": 3.0, "size": [4, 4], "fault": "", "seed": 5}
    assert about["name"] == "toy"


def test_run_and_show_say_that_recording_is_thinned(cli, monkeypatch):
    monkeypatch.setattr("cosim.engine.recorder.MOST_VALUES", 100)
    for command in (("run", "toy.py", "--out", "run"), ("show", "toy.py")):
        assert "recording: one row every 600 s instead of every step (96 values instead of 960)" in cli(*command).output
    assert "one row every 600 s" in Path("run/report.html").read_text()


def test_run_finds_a_module_in_the_present_folder(cli, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "hamlet.py").write_text(SCENARIO)
    try:
        done = cli("run", "hamlet:build", "--set", "hours=1", "--out", "run", "--no-report")
        assert done.exit_code == 0, done.output
        provenance = Result.open(tmp_path / "run").provenance
        assert provenance["builder"]["target"] == "hamlet:build"
        assert build_again(provenance["builder"], seed=3).seed == 3
    finally:
        sys.modules.pop("hamlet", None)
    done = cli("run", "village:build")
    assert done.exit_code == 1
    assert "there is no module 'village', neither installed nor in this folder" in " ".join(done.stderr.split())


def test_parameters_are_listed_with_type_default_and_meaning(cli):
    done = cli("run", "toy.py", "--parameters")
    assert done.exit_code == 0
    for words in ("hours", "float", "Length of the run. [h]", "tuple[int, int]", "(2, 3)"):
        assert words in done.output
    assert "seed" not in done.output
    assert "float ≥ 0 and < 24" in cli("run", "eixample", "--parameters").output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["run", "toy.py", "--set", "hour=3"],
            "toy has no parameter 'hour', did you mean hours?; available: hours, size, fault",
        ),
        (["run", "toy.py", "--set", "hours=three"], "hours=three is not float"),
        (["run", "toy.py", "--set", "size=4"], "size=4 is not tuple[int, int]"),
        (["run", "toy.py", "--set", "hours"], "--set hours: write NAME=VALUE"),
        (["run", "toy.py", "--set", "hours=0"], "must be a positive whole number of exchange steps"),
        (["run", "eixample", "--set", "hours=nan"], "--set hours=nan is out of range: it must be > 0"),
        (["run", "eixample", "--set", "hours=1e6"], "--set hours=1e6 is out of range: it must be > 0 and ≤ 8784"),
        (["run", "eixample", "--set", "street_chargers_per_block=inf"], "it must be ≥ 0"),
        (["run", "toy.py", "--set", "hours=inf"], "--set hours=inf is out of range: it must be a finite number"),
        (["run", "toy.py", "--set", "hours=1", "--set", "hours=2"], "duplicate setting --set hours: pass it once"),
        (["run", "eixample", "--policy", "EvShare:share=0,share=1"], "duplicate setting --policy EvShare:share"),
        (["run", "eixample", "--policy", "EvShare:share=2"], "EvShare:share=2 is out of range: it must be ≥ 0 and ≤ 1"),
        (["run", "eixample", "--set", "day=1600-01-01"], "the year must be 1678 to 2261"),
        (["run", "eixample", "--set", "ev_share=2"], "ev_share=2 is out of range: it must be ≥ 0 and ≤ 1"),
        (
            ["run", "unexpected.py"],
            "error: build() of unexpected failed: KeyError: 'x' (unexpected.py, line 1); --debug",
        ),
        (["run", "toy.py", "--add", "a=unexpected.py:Bad"], "--add a: unexpected.py:Bad failed: ZeroDivisionError: "),
        (["run", "toy.py", "--coupling-check", "--hours", "5"], "a window of 5 h lies outside the run of 2 h"),
        (["run", "nowhere"], "unknown scenario 'nowhere'; available: bologna, eixample, place; or name a file.py"),
        (["run", "nowhere.py"], "nowhere.py does not exist"),
        (["run", "plain.py"], "plain.py has no build(): move the code that creates the scenario into 'def build("),
        (["run", "broken.py"], "broken.py: NameError: name 'x' is not defined"),
        (["run", "none.py"], "build() of none returned a NoneType: it must return a Scenario"),
        (["run", "toy.py", "--set", "fault=raise"], "source failed at 2025-01-15 00:10:00: ZeroDivisionError"),
        (["run", "toy.py", "--set", "fault=nan"], "source.power['b'] is nan"),
        (["report", "."], "holds no run"),
        (["run", "toy.py", "--out", "toy.py"], "cannot write into toy.py"),
    ],
)
def test_mistakes_are_answered_in_one_clear_line_without_traceback(cli, tmp_path, arguments, words):
    (tmp_path / "plain.py").write_text("x = 1\n")
    (tmp_path / "broken.py").write_text("x\n")
    (tmp_path / "none.py").write_text("def build(*, seed=0): pass\n")
    (tmp_path / "unexpected.py").write_text(
        "def build(*, seed=0): return {}['x']\n\n\nclass Bad:\n    def __init__(self): 1 / 0\n"
    )
    done = cli(*arguments)
    assert done.exit_code == 1
    assert words in " ".join(done.output.split()), done.output
    assert "Traceback" not in done.output
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_fault_of_cosim_itself_is_still_to_be_reported(cli, monkeypatch):
    from cosim.scenarios import eixample

    def faulty(*_, **__):
        raise KeyError("x")

    monkeypatch.setattr(eixample, "eixample_streets", faulty)
    done = cli("run", "eixample")
    assert "error: KeyError: 'x'; this is unexpected: run again with --debug and report it" in done.output


def test_debug_shows_the_traceback(cli):
    done = cli("run", "toy.py", "--set", "fault=raise", "--debug", "--out", "out")
    assert done.exit_code != 0
    assert "division by zero in the model" in done.output
    assert "Traceback" in done.output


def test_version_is_printed_and_a_negative_seed_refused(cli):
    assert cli("--version").output.startswith("cosim ")
    done = cli("run", "toy.py", "--seed", "-1")
    assert done.exit_code == 2
    assert "Invalid value for '--seed'" in done.output


def test_required_parameter_is_named(cli):
    done = cli("run", "bologna")
    assert done.exit_code == 1
    assert "bologna needs sumocfg: pass --set sumocfg=…" in done.output


def test_show_prints_adapters_ports_units_and_connections(cli):
    done = cli("show", "toy.py")
    for words in ("source.power", "echo.load", "W", "mean", "inline", "same labels", "120 exchange steps"):
        assert words in done.output


def test_show_of_a_scenario_that_cannot_run_prints_it_and_fails(cli, tmp_path):
    (tmp_path / "toy.py").write_text(SCENARIO.replace('"echo.load"', '"echo.lood"'))
    done = cli("show", "toy.py")
    assert done.exit_code == 1
    assert "source.power" in done.output
    assert "error: unknown input 'echo.lood', did you mean echo.load?" in done.output


def test_list_names_the_registered_scenarios(cli):
    done = cli("list")
    assert "eixample" in done.output
    assert "bologna" in done.output


def test_report_of_a_failed_run_shows_the_error(cli, tmp_path):
    cli("run", "toy.py", "--set", "fault=raise", "--out", "out")
    assert cli("report", "out").exit_code == 0
    page = (tmp_path / "out" / "report.html").read_text()
    assert "failed: source failed at 2025-01-15 00:10:00" in page


def test_exit_code_reaches_the_shell(tmp_path):
    (tmp_path / "toy.py").write_text(textwrap.dedent(SCENARIO))
    done = subprocess.run(
        [sys.executable, "-c", "from cosim.cli.app import main; main()", "run", "toy.py", "--set", "fault=raise"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        timeout=120,
    )
    assert done.returncode == 1
    assert done.stderr.strip().startswith("error: source failed at")


def test_show_truncates_nothing_in_a_pipe(cli, tmp_path):
    name = "a_builder_with_a_very_long_name_and_a_port_" * 3
    (tmp_path / "toy.py").write_text(
        SCENARIO.replace("echo=Echo()", f"{name}=Echo()").replace("echo.load", f"{name}.load")
    )
    done = cli("show", "toy.py")
    assert f"{name}.received" in done.output
    assert "…" not in done.output


def test_show_prints_the_elements_of_ports_and_what_they_are_connected_to(cli):
    done = cli("show", "toy.py", "--labels", "echo.load", "--labels", "source.power")
    rows = [" ".join(line.split()) for line in done.output.splitlines()]
    assert "echo.load [W]" in rows
    assert "│ a │ │ source.power: a │" in rows
    assert "│ b │ │ echo.load: b │" in rows
    assert "Adapters" not in done.output
    assert (
        "--labels plant: no port matches; available: source.feedback, "
        in cli("show", "toy.py", "--labels", "plant").output
    )


def test_show_takes_the_folder_of_a_run(cli):
    assert cli("run", "toy.py", "--set", "hours=1", "--out", "run", "--no-report").exit_code == 0
    assert "60 exchange steps of 60 s" in cli("show", "run").output
    done = cli("show", "run", "--set", "hours=2")
    assert done.exit_code == 1
    assert "run is a run, shown as it was built: omit --set" in done.output


def test_show_writes_a_map_before_any_run(cli, tmp_path):
    done = cli("show", "toy.py", "--map", "twin.html")
    assert done.output.strip() == "map in twin.html"
    content = (tmp_path / "twin.html").read_text().partition('id="content">')[2].partition("</script>")[0]
    [layer] = json.loads(content)["cases"][0]["layers"]
    assert layer["title"] == "Power </script>"
    assert layer["runs"] == [None]
    assert "does not exist; create it first" in cli("show", "toy.py", "--map", "nowhere/twin.html").output
