"""Do installed plug-ins take part, and do broken ones disturb nobody else?"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
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
    """Leave behind what an installer does: modules, and the package's metadata with its entry points."""
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
        [sys.executable, "-c", "from cosim.cli import main; main()", *arguments], cwd=folder, capture_output=True,
        text=True, timeout=300,
        env=os.environ | {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}", "COLUMNS": "200"},
    )  # fmt: skip


@pytest.fixture
def plant(tmp_path):
    install(tmp_path, "heatworks", {"adapters": "plant = heat_plant:Plant", "scenarios": "heating = heat_plant"},
            heat_plant=PLANT)  # fmt: skip
    return tmp_path


@pytest.fixture
def among_broken_ones(plant):
    install(plant, "needy", {"adapters": "needy = needy:Needy", "scenarios": "needy = needy"},
            needy="import nowhere_to_be_found\n")  # fmt: skip
    install(plant, "lost", {"adapters": "lost = lost_module:Lost", "scenarios": "lost = lost_package.lost_module"})
    install(plant, "garbled", {"adapters": "garbled = garbled:Garbled"}, garbled="def (:\n")
    install(plant, "renamed", {"adapters": "renamed = renamed:Old"}, renamed="class New: pass\n")
    install(plant, "leaver", {"scenarios": "leaver = leaver"}, leaver="raise SystemExit(3)\n")
    install(plant, "tool", {"commands": "tool = tool:app"}, tool="1 / 0\n")
    return plant


def test_plugins_are_listed_with_what_they_say_of_themselves_and_their_package(plant):
    done = cosim(plant, "list")
    assert done.returncode == 0, done.stderr
    rows = [" ".join(line.replace("│", " ").split()) for line in done.stdout.splitlines()]
    assert "heating A plant and a scenario with it. heatworks" in rows
    assert "plant Heats a district. Heat delivered is positive. heatworks" in rows
    assert any(row.startswith("eixample A Barcelona") and row.endswith("cosim") for row in rows)
    assert any(row.startswith("grid A distribution grid") for row in rows)


def test_plugged_in_scenario_runs_and_plugged_in_adapter_is_checked_by_name(plant):
    done = cosim(plant, "run", "heating", "--set", "hours=2", "--out", "out", "--no-report")
    assert done.returncode == 0, done.stderr
    assert "results in out" in done.stdout
    done = cosim(plant, "check", "plant", "--set", "heat_w=4e4")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "18 passed, 1 skipped" in done.stdout


def test_broken_plugins_are_named_with_the_reason_and_the_rest_is_listed(among_broken_ones):
    done = cosim(among_broken_ones, "list")
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stdout.replace("│", " ").split())
    for words in (
        "needy does not load: ModuleNotFoundError: No module named 'nowhere_to_be_found' needy",
        "lost does not load: ModuleNotFoundError: No module named 'lost_module' lost",
        "lost does not load: ModuleNotFoundError: No module named 'lost_package' lost",
        "garbled does not load: SyntaxError: ",
        "renamed does not load: AttributeError: module 'renamed' has no attribute 'Old' renamed",
        "leaver does not load: SystemExit: 3 leaver",
        "plant Heats a district.",
        "eixample A Barcelona",
    ):
        assert words in said
    assert "cosim tool is left out, its plug-in does not load: ZeroDivisionError: division by zero" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "needy"], "error: the scenario 'needy' of needy does not load: ModuleNotFoundError: No module named "
         "'nowhere_to_be_found'; mend or uninstall needy"),
        (["check", "renamed"], "error: the adapter 'renamed' of renamed does not load: AttributeError"),
        (["show", "leaver"], "error: the scenario 'leaver' of leaver does not load: SystemExit: 3"),
    ],
)  # fmt: skip
def test_use_of_a_broken_plugin_is_answered_in_one_line(among_broken_ones, arguments, words):
    done = cosim(among_broken_ones, *arguments)
    assert done.returncode == 1
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_two_packages_of_one_name_are_both_listed_and_neither_is_taken_by_chance(plant):
    install(plant, "coldworks", {"adapters": "plant = heat_plant:Plant"})
    assert cosim(plant, "list").stdout.count("Heats a district.") == 2
    done = cosim(plant, "check", "plant")
    assert done.returncode == 1
    assert "coldworks and heatworks both register the adapter 'plant': uninstall one of them" in done.stderr
