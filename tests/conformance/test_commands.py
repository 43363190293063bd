"""The commands ``cosim check`` and ``cosim new adapter``, and their answers to mistakes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib

import pytest
from typer.testing import CliRunner

from cosim.cli.app import app
from tests.support.paths import ROOT

BROKEN = ROOT / "tests" / "conformance" / "broken.py"
SIMPLE = '''
"""A module of its own."""
from cosim import Adapter, Output
from cosim.testing import Rig


class Lamp(Adapter):
    """Lamps. Consumption is positive."""

    replays = True

    def __init__(self, labels: list[str], power_w: float = 60.0, dim=1.0, model: Adapter | None = None):
        self.power = Output("W", labels, "mean")
        self.power_w = power_w * dim

    def advance(self, step):
        self.power.value = self.power_w


def two():
    return Lamp(["a", "b"])


RIG = Rig(two, n_steps=2, step_s=900.0)
EXCUSED = Rig(lambda: Lamp(["a"], float("nan")), expected_failures={"outputs are assigned": "no bulb yet"})
NUMBER = 3
'''


def call(*arguments):
    done = CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "220"})
    return done.exit_code, " ".join(done.output.split())


@pytest.fixture
def lamp(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    (tmp_path / "lamp.py").write_text(SIMPLE)
    (tmp_path / "shadow").mkdir()
    (tmp_path / "shadow" / "json.py").write_text(SIMPLE)
    (tmp_path / "needy.py").write_text("import nowhere_to_be_found\n")
    (tmp_path / "leaver.py").write_text("raise SystemExit(0)\n")
    (tmp_path / "pack" / "inner").mkdir(parents=True)
    (tmp_path / "pack" / "__init__.py").touch()
    (tmp_path / "pack" / "inner" / "__init__.py").touch()
    (tmp_path / "pack" / "part.py").write_text(SIMPLE)
    (tmp_path / "pack" / "inner" / "deep.py").write_text("from ..part import Lamp, two\n")
    yield
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def test_check_prints_a_table_of_verdicts_and_succeeds(lamp):
    code, output = call("check", "lamp.py:Lamp", "--set", "labels=a,b", "--set", "power_w=40", "--set", "dim=0.5")
    assert code == 0, output
    assert "placement does not matter │ passed" in output
    assert "it declares no step_tolerance" in output
    assert "18 passed, 1 skipped" in output


def test_check_warns_first_that_it_runs_the_code(lamp):
    assert call("check", "lamp.py:two")[1].startswith("note: this imports and runs lamp.py:two, check only")


def test_check_of_a_broken_adapter_fails_and_prints_the_fix():
    code, output = call("check", "tests.conformance.broken:EarlyMean", "--step", "900")
    assert code == 1
    assert "states are known at the start │ FAILED │ power is a mean over a step" in output
    assert "fix: assign self.power.value only in advance()" in output
    assert "18 passed, 1 failed" in output


def test_check_finds_a_file_inside_a_package_with_its_relative_imports(lamp):
    code, output = call("check", "pack/inner/deep.py:two")
    assert code == 0, output


def test_check_accepts_a_rig_and_nested_names(lamp):
    assert call("check", "lamp.py:RIG")[0] == 0
    code, output = call("check", "lamp.py:EXCUSED")
    assert code == 0
    assert "outputs are assigned │ excused │ no bulb yet" in output
    code, output = call("check", "cosim.adapters.grid:Grid.from_json", "--set", "path=nowhere.json")
    assert code == 1
    assert "cannot be built" in output
    assert "nowhere.json" in output


def test_check_with_debug_shows_the_traceback():
    output = call("check", f"{BROKEN}:Raises", "--debug")[1]
    assert 'raise ZeroDivisionError("division by zero")' in output


@pytest.mark.parametrize(
    ("kind", "words"), [("Hangs", "Timeout (0:00:02)!"), ("Crashes", "Fatal Python error: Segmentation fault")]
)
def test_check_of_an_adapter_that_hangs_or_crashes_ends_with_a_traceback(kind, words):
    done = subprocess.run(
        [sys.executable, "-c", "from cosim.cli.app import main; main()", "check", f"{BROKEN}:{kind}", "--timeout", "2"],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode != 0
    assert words in done.stderr
    assert re.search(rf'broken.py", line \d+ in {"advance" if kind == "Hangs" else "open"}', done.stderr)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["nowhere"],
            "unknown adapter 'nowhere'; available: buildings, demand, environment, feed, fleet, fmu, grid, helics,",
        ),
        (["nowhere:Lamp"], "unknown module 'nowhere': install it, or name the file"),
        (["cosim.nowhere:Lamp"], "unknown module 'cosim.nowhere'"),
        (["nowhere.py:Lamp"], "nowhere.py does not exist"),
        (["lamp.py:Lantern"], "lamp.py has no 'Lantern'; available classes and functions: Lamp, two"),
        (["lamp.py:"], "'lamp.py:' is not a target: write module:Class"),
        (["lamp.py:NUMBER"], "lamp.py:NUMBER is of type int: name a class, a function or a Rig"),
        (["lamp.py:Lamp"], "lamp.py:Lamp needs labels: pass --set labels=…; or name a function without required"),
        (["lamp.py:Lamp", "--set", "labels=a,b", "--set", "watts=3"], "has no parameter 'watts'; available: labels"),
        (["lamp.py:Lamp", "--set", "labels=a,b", "--set", "power_w=much"], "power_w=much is not float"),
        (["lamp.py:Lamp", "--set", "labels=a,b", "--set", "model=x"], "cannot be set by text: pass it in a function"),
        (["lamp.py:RIG", "--step", "5"], "omit --set and --step"),
        (["lamp.py:two", "--step", "0"], "steps of 0.0 s: a check needs at least 2 steps of positive length"),
        (["shadow/json.py:Lamp"], "json.py cannot be imported as 'json'"),
        (["needy.py:Lamp"], "cannot load needy.py: No module named 'nowhere_to_be_found'; install the missing module"),
        (["leaver.py:Lamp"], "cannot load leaver.py: SystemExit: 0"),
    ],
)
def test_wrong_target_is_answered_in_one_clear_line(lamp, arguments, words):
    code, output = call("check", *arguments)
    assert code == 1
    _, _, error = output.partition("error: ")
    assert words in error, output
    assert "Traceback" not in output


MAIN = "import sys; sys.path.pop(0); from cosim.cli.app import main; main()"
"""As the console script starts: the present folder is not on the path."""


def test_check_finds_a_module_in_the_present_folder_also_in_its_worker(tmp_path):
    (tmp_path / "lamp.py").write_text(SIMPLE.replace("replays = True", "replays = True; placement = 'process'"))
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; sys.path.pop(0); from cosim.cli.app import main; main()",
            "check",
            "lamp:two",
        ],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_module_that_an_installed_one_hides_is_refused(lamp, tmp_path):
    (tmp_path / "json.py").write_text(SIMPLE)
    code, said = call("check", "json:Lamp")
    assert code == 1
    assert "which hides json.py in this folder: give the file another name" in said


@pytest.fixture(scope="module")
def skeleton(tmp_path_factory):
    out = tmp_path_factory.mktemp("new")
    assert call("new", "adapter", "community_battery", "--out", out)[0] == 0
    return out / "community_battery"


def test_new_adapter_passes_its_own_tests_as_written(skeleton):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error"],
        cwd=skeleton,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " skipped" not in done.stdout
    assert " failed" not in done.stdout


def test_the_skeleton_s_english_fits_a_name_that_begins_with_a_vowel(tmp_path):
    assert call("new", "adapter", "electrolyser", "--out", tmp_path)[0] == 0
    for path in (tmp_path / "electrolyser").rglob("*.*"):
        text = path.read_text()
        assert not re.search(r"\b[Aa] electrolyser", text), path
        assert not text.startswith(('"""What', '"""Does')), path


def test_new_adapter_is_short_and_registers_itself(skeleton):
    lines = (skeleton / "community_battery.py").read_text().splitlines()
    assert len(lines) < 50
    project = tomllib.loads((skeleton / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["cosim.adapters"] == {"community_battery": "community_battery:CommunityBattery"}
    assert not any("$" in path.read_text() for path in skeleton.rglob("*.*") if path.suffix in (".py", ".toml", ".md"))


def test_commands_in_the_skeletons_readme_work(skeleton, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    line = next(li for li in (skeleton / "README.md").read_text().splitlines() if li.startswith("cosim check"))
    monkeypatch.chdir(skeleton)
    assert line.split()[2] == "community_battery.py:CommunityBattery"
    assert call("check", line.split()[2], "--set", 'labels=["a", "b"]')[0] == 0


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("community-battery", "lower-case words joined by underscores"),
        ("Battery", "lower-case words joined by underscores"),
        ("2stores", "lower-case words joined by underscores"),
        ("_hidden", "lower-case words joined by underscores"),
        ("../up", "lower-case words joined by underscores"),
        ("", "lower-case words joined by underscores"),
        ("class", "'class' is a Python keyword or would shadow an installed module"),
        ("json", "'json' is a Python keyword or would shadow an installed module"),
        ("numpy", "'numpy' is a Python keyword or would shadow an installed module"),
        ("cosim", "'cosim' is a Python keyword or would shadow an installed module"),
        ("taken", "exists: choose another name, or another folder with --out"),
    ],
)
def test_new_refuses_invalid_names_and_existing_folders(tmp_path, name, words):
    (tmp_path / "taken").mkdir()
    code, output = call("new", "adapter", name, "--out", tmp_path)
    assert code == 1
    assert words in output
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_new_names_the_folder_that_it_cannot_write(tmp_path):
    (tmp_path / "file").write_text("")
    code, output = call("new", "adapter", "heat_plant", "--out", tmp_path / "file")
    assert code == 1
    assert "cannot write into" in output
    assert "choose another folder with --out" in output
