"""Do ``cosim check`` and ``cosim new adapter`` serve an integrator, also one who mistypes?"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cosim.cli import app

ROOT = Path(__file__).parents[2]
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
EXCUSED = Rig(lambda: Lamp(["a"], float("nan")), expected_failures={"outputs are told": "no bulb yet"})
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
    code, said = call("check", "lamp.py:Lamp", "--set", "labels=a,b", "--set", "power_w=40", "--set", "dim=0.5")
    assert code == 0, said
    assert "placement does not matter │ passed" in said
    assert "it declares no step_tolerance" in said
    assert "18 passed, 1 skipped" in said


def test_check_says_first_that_it_runs_the_code(lamp):
    assert call("check", "lamp.py:two")[1].startswith("note: this imports and runs lamp.py:two, check only")


def test_check_of_a_broken_adapter_fails_and_prints_the_fix():
    code, said = call("check", "tests.conformance.broken:EarlyMean", "--step", "900")
    assert code == 1
    assert "states are known at the start │ FAILED │ power is a mean over a step" in said
    assert "fix: assign self.power.value in advance() only" in said
    assert "18 passed, 1 failed" in said


def test_check_finds_a_file_inside_a_package_with_its_relative_imports(lamp):
    code, said = call("check", "pack/inner/deep.py:two")
    assert code == 0, said


def test_check_takes_a_rig_and_nested_names(lamp):
    assert call("check", "lamp.py:RIG")[0] == 0
    code, said = call("check", "lamp.py:EXCUSED")
    assert code == 0
    assert "outputs are told │ excused │ no bulb yet" in said
    code, said = call("check", "cosim.adapters.grid:Grid.from_json", "--set", "path=nowhere.json")
    assert code == 1
    assert "cannot be built" in said
    assert "nowhere.json" in said


def test_check_with_debug_shows_where_it_happened():
    said = call("check", f"{BROKEN}:Raises", "--debug")[1]
    assert 'raise ZeroDivisionError("division by zero")' in said


@pytest.mark.parametrize(
    ("kind", "words"), [("Hangs", "Timeout (0:00:02)!"), ("Crashes", "Fatal Python error: Segmentation fault")]
)
def test_check_of_an_adapter_that_hangs_or_crashes_ends_and_shows_where(kind, words):
    done = subprocess.run(
        [sys.executable, "-c", "from cosim.cli import main; main()", "check", f"{BROKEN}:{kind}", "--timeout", "2"],
        capture_output=True, text=True, timeout=120, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode != 0
    assert words in done.stderr
    assert re.search(rf'broken.py", line \d+ in {"advance" if kind == "Hangs" else "open"}', done.stderr)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], "there is no adapter 'nowhere': there are buildings, fleet, fmu, grid, mosaik_sim, tariff,"),
        (["nowhere:Lamp"], "there is no module 'nowhere': install it, or name the file"),
        (["cosim.nowhere:Lamp"], "there is no module 'cosim.nowhere'"),
        (["nowhere.py:Lamp"], "there is no file nowhere.py"),
        (["lamp.py:Lantern"], "lamp.py has no 'Lantern': its classes and functions are Lamp, two"),
        (["lamp.py:"], "'lamp.py:' names nothing to check: write module:Class"),
        (["lamp.py:NUMBER"], "lamp.py:NUMBER is a int: name a class, a function that builds one, or a Rig"),
        (["lamp.py:Lamp"], "lamp.py:Lamp needs labels: pass --set labels=…; or name a function without arguments"),
        (["lamp.py:Lamp", "--set", "labels=a,b", "--set", "watts=3"], "has no parameter 'watts': there are labels"),
        (["lamp.py:Lamp", "--set", "labels=a,b", "--set", "power_w=much"], "power_w=much is not float"),
        (["lamp.py:Lamp", "--set", "labels=a,b", "--set", "model=x"], "which no text can give: build it in a function"),
        (["lamp.py:RIG", "--step", "5"], "leave --set and --step out"),
        (["lamp.py:two", "--step", "0"], "steps of 0.0 s: a check needs at least 2 steps of positive length"),
        (["shadow/json.py:Lamp"], "json.py cannot be imported as 'json'"),
        (["needy.py:Lamp"], "needy.py does not load: No module named 'nowhere_to_be_found'; install what it imports"),
        (["leaver.py:Lamp"], "leaver.py does not load: SystemExit: 0"),
    ],
)  # fmt: skip
def test_wrong_target_is_answered_in_one_clear_line(lamp, arguments, words):
    code, said = call("check", *arguments)
    assert code == 1
    _, _, error = said.partition("error: ")
    assert words in error, said
    assert "Traceback" not in said


@pytest.fixture(scope="module")
def skeleton(tmp_path_factory):
    out = tmp_path_factory.mktemp("new")
    assert call("new", "adapter", "community_battery", "--out", out)[0] == 0
    return out / "community_battery"


def test_new_adapter_passes_its_own_tests_as_written(skeleton):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error"],
        cwd=skeleton, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert " skipped" not in done.stdout
    assert " failed" not in done.stdout


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
        ("class", "'class' is a word of Python or an installed module"),
        ("json", "'json' is a word of Python or an installed module"),
        ("numpy", "'numpy' is a word of Python or an installed module"),
        ("cosim", "'cosim' is a word of Python or an installed module"),
        ("taken", "exists: choose another name, or another folder with --out"),
    ],
)
def test_new_refuses_names_that_cannot_be_and_folders_that_are(tmp_path, name, words):
    (tmp_path / "taken").mkdir()
    code, said = call("new", "adapter", name, "--out", tmp_path)
    assert code == 1
    assert words in said
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_new_says_where_it_cannot_write(tmp_path):
    (tmp_path / "file").write_text("")
    code, said = call("new", "adapter", "heat_plant", "--out", tmp_path / "file")
    assert code == 1
    assert "cannot write into" in said
    assert "choose another folder with --out" in said
