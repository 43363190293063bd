"""The house stands: floors, circles, sizes; and the contracts that guard it can fail."""

import ast
import os
import shutil
import subprocess
import sys

import pytest

from tests.support.paths import ROOT

ROOMS = ("core", "adapters", "scenarios", "cosim")
MOST_LINES = 460
MOST_MODULES = 16


def modules():
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            if not (room == "cosim" and (ROOT / room / path.relative_to(ROOT / room).parts[0]).is_symlink()):
                yield path


def lint(folder):
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()", "--no-cache"]
    done = subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(folder), "COLUMNS": "300"},
    )
    return done.stdout


@pytest.fixture
def copy(tmp_path):
    """A copy of the package, the rooms under their import names, that a test may spoil."""
    ignored = shutil.ignore_patterns("*.so", "*.c", "__pycache__", *ROOMS[:3])
    shutil.copytree(ROOT / "cosim", tmp_path / "cosim", ignore=ignored)
    for room in ROOMS[:3]:
        shutil.copytree(ROOT / room, tmp_path / "cosim" / room, ignore=shutil.ignore_patterns("*.so", "*.c"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def spoil(folder, module, line):
    with (folder / module).open("a", encoding="utf-8") as file:
        file.write(f"\n{line}\n")


def broken(output):
    return {line.partition(" BROKEN")[0] for line in output.splitlines() if " BROKEN" in line}


def test_every_contract_fails_where_it_is_broken(copy):
    assert not broken(lint(copy))
    spoil(copy, "cosim/core/clock.py", "def late():\n    import cosim.registry.plugins")
    spoil(copy, "cosim/scenarios/model.py", "from cosim.scenarios.policies.policy import Policy")
    spoil(copy, "cosim/core/fleet/plan.py", "import cosim.core.grid.powerflow")
    spoil(copy, "cosim/adapters/tariff.py", "import cosim.adapters.weather")
    spoil(
        copy,
        "cosim/engine/wire.py",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from cosim.engine.hosts import Host",
    )
    spoil(copy, "cosim/report/scene.py", "import mosaik")
    found = broken(lint(copy))
    assert len(found) == 6, found


def test_a_new_module_without_a_floor_fails(copy):
    for place in ("cosim/attic.py", "cosim/scenarios/attic.py", "cosim/core/attic.py", "cosim/adapters/attic.py"):
        (copy / place).write_text('"""Nobody has said where this stands."""\n')
    assert len(broken(lint(copy))) == 4


def test_modules_and_folders_stay_small():
    sizes = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in modules()}
    assert {str(path): n for path, n in sizes.items() if n > MOST_LINES} == {}
    folders = [path.parent for path in sizes if path.name != "__init__.py"]
    assert {str(folder): n for folder in folders if (n := folders.count(folder)) > MOST_MODULES} == {}


def test_our_own_modules_are_imported_at_the_top_except_in_the_command_line():
    late = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in modules()
        if "cli" not in path.parts and path.name != "commands.py"
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.ImportFrom | ast.Import)
        and (getattr(node, "level", 0) or (getattr(node, "module", None) or node.names[0].name).startswith("cosim"))
    ]
    assert late == []
