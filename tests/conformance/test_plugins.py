"""Installed plug-ins, and the isolation of broken ones."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.support.paths import ROOT

PLANT = '''
"""A plant and a scenario with it."""
from cosim import Adapter, Clock, Output, Scenario


class Plant(Adapter):
    """Heats a district. Heat delivered is positive."""

    replays = True

    def __init__(self, heat_w: float = 5e4):
        self.heat = Output("W", ["plant"], "mean")
        self.heat_w = heat_w

    def advance(self, step):
        self.heat.value = self.heat_w


def build(*, hours: float = 1, seed: int = 0) -> Scenario:
    return Scenario(Clock("2025-01-15", hours=hours), plant=Plant())
'''


def install(folder, package, entry_points, **modules):
    """Create what an installer would: modules, and the package's metadata with its entry points."""
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text)
    info = folder / f"{package}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "".join(f"[cosim.{group}]\n{line}\n" for group, line in entry_points.items())
    )


def cosim(folder, *arguments):
    return subprocess.run(
        [sys.executable, "-c", "from cosim.cli.app import main; main()", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}", "COLUMNS": "200"},
    )


@pytest.fixture
def plant(tmp_path):
    install(
        tmp_path,
        "heatworks",
        {"adapters": "plant = heat_plant:Plant", "scenarios": "heating = heat_plant"},
        heat_plant=PLANT,
    )
    return tmp_path


@pytest.fixture
def among_broken_ones(plant):
    install(
        plant,
        "needy",
        {"adapters": "needy = needy:Needy", "scenarios": "needy = needy"},
        needy="import nowhere_to_be_found\n",
    )
    install(plant, "lost", {"adapters": "lost = lost_module:Lost", "scenarios": "lost = lost_package.lost_module"})
    install(plant, "garbled", {"adapters": "garbled = garbled:Garbled"}, garbled="def (:\n")
    install(plant, "renamed", {"adapters": "renamed = renamed:Old"}, renamed="class New: pass\n")
    install(plant, "leaver", {"scenarios": "leaver = leaver"}, leaver="raise SystemExit(3)\n")
    install(plant, "tool", {"commands": "tool = tool:app"}, tool="1 / 0\n")
    return plant


def test_plugins_are_listed_with_description_and_package(plant):
    done = cosim(plant, "list")
    assert done.returncode == 0, done.stderr
    rows = [" ".join(line.replace("│", " ").split()) for line in done.stdout.splitlines()]
    assert "heating A plant and a scenario with it. heatworks" in rows
    assert "plant Heats a district. Heat delivered is positive. heatworks" in rows
    assert any(row.startswith("eixample A Barcelona") and row.endswith("cosim-city") for row in rows)
    assert any(row.startswith("grid A distribution grid") for row in rows)


def test_scenario_and_adapter_of_a_plugin_are_found_by_name(plant):
    done = cosim(plant, "run", "heating", "--set", "hours=2", "--out", "out", "--no-report")
    assert done.returncode == 0, done.stderr
    assert "results in out" in done.stdout
    done = cosim(plant, "check", "plant", "--set", "heat_w=4e4")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "18 passed, 1 skipped" in done.stdout


def test_broken_plugins_are_named_with_the_reason_and_the_rest_is_listed(among_broken_ones):
    done = cosim(among_broken_ones, "list")
    assert done.returncode == 0, done.stderr
    output = " ".join(done.stdout.replace("│", " ").split())
    for words in (
        "needy cannot be loaded: ModuleNotFoundError: No module named 'nowhere_to_be_found' needy",
        "lost cannot be loaded: ModuleNotFoundError: No module named 'lost_module' lost",
        "lost cannot be loaded: ModuleNotFoundError: No module named 'lost_package' lost",
        "garbled cannot be loaded: SyntaxError: ",
        "renamed cannot be loaded: AttributeError: module 'renamed' has no attribute 'Old' renamed",
        "leaver cannot be loaded: SystemExit: 3 leaver",
        "plant Heats a district.",
        "eixample A Barcelona",
    ):
        assert words in output
    assert "cosim tool is unavailable, cannot load its plug-in: ZeroDivisionError: division by zero" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["run", "needy"],
            "error: cannot load the scenario 'needy' of needy: ModuleNotFoundError: No module named "
            "'nowhere_to_be_found'; fix or uninstall needy",
        ),
        (["check", "renamed"], "error: cannot load the adapter 'renamed' of renamed: AttributeError"),
        (["show", "leaver"], "error: cannot load the scenario 'leaver' of leaver: SystemExit: 3"),
    ],
)
def test_use_of_a_broken_plugin_is_answered_in_one_line(among_broken_ones, arguments, words):
    done = cosim(among_broken_ones, *arguments)
    assert done.returncode == 1
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_duplicate_plugin_names_are_listed_and_refused(plant):
    install(plant, "coldworks", {"adapters": "plant = heat_plant:Plant"})
    assert cosim(plant, "list").stdout.count("Heats a district.") == 2
    done = cosim(plant, "check", "plant")
    assert done.returncode == 1
    assert "coldworks and heatworks both register the adapter 'plant': uninstall one of them" in done.stderr


def test_command_of_a_package_is_loaded_when_it_is_listed_or_used(tmp_path):
    install(
        tmp_path,
        "tool",
        {"commands": "tool = tool:app"},
        tool="""
import typer

print("tool is loaded")
app = typer.Typer(help="A tool of one's own.")


@app.command()
def measure() -> None:
    print("measured")


@app.command()
def compare() -> None:
    print("compared")
""",
    )
    assert "A tool of one's own." in cosim(tmp_path, "--help").stdout
    assert cosim(tmp_path, "tool", "measure").stdout.split("\n")[:2] == ["tool is loaded", "measured"]
    assert "tool is loaded" not in cosim(tmp_path, "run", "--help").stdout


def test_use_of_a_broken_command_names_the_reason(among_broken_ones):
    done = cosim(among_broken_ones, "tool")
    assert done.returncode == 2
    assert "cosim tool is unavailable, cannot load its plug-in: ZeroDivisionError: division by zero" in done.stderr
    assert "Traceback" not in done.stderr
