"""pyproject.toml names every package and data file of the tree, and the locks hold what it asks for."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path

import pytest

from tests.support.paths import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SETUPTOOLS = PROJECT["tool"]["setuptools"]
FOLDERS = {
    package: ROOT / SETUPTOOLS["package-dir"].get(package, package.replace(".", "/"))
    for package in SETUPTOOLS["packages"]
}


def tree():
    """Yield every file of the four folders but C sources and compiled files; links are not followed."""
    for top in ("cosim", "core", "adapters", "scenarios"):
        for folder, _, names in os.walk(ROOT / top):
            for path in (Path(folder, name) for name in names):
                if "__pycache__" not in path.parts and path.suffix not in {".c", ".so", ".pyc"}:
                    yield path


def packaged():
    """Yield every file that an installed package has."""
    for folder in FOLDERS.values():
        yield from folder.glob("*.py")
    for package, patterns in SETUPTOOLS["package-data"].items():
        for pattern in patterns:
            yield from FOLDERS[package].glob(pattern)


def names(requirements):
    return {re.split(r"[^A-Za-z0-9_.-]", line)[0].lower().replace("_", "-") for line in requirements}


def locked(lock):
    return names(line for line in (ROOT / lock).read_text().splitlines() if line[:1].isalnum())


def test_every_file_of_the_tree_is_packaged():
    assert {str(path.relative_to(ROOT)) for path in set(tree()) - set(packaged())} == set()


def test_every_pattern_of_package_data_finds_a_file():
    for package, patterns in SETUPTOOLS["package-data"].items():
        for pattern in patterns:
            assert list(FOLDERS[package].glob(pattern)), f"{package}: {pattern}"


def test_lock_for_running_holds_the_dependencies_and_no_tool():
    assert names(PROJECT["project"]["dependencies"]) <= locked("requirements.lock")
    tools = names(PROJECT["project"]["optional-dependencies"]["dev"]) | names(PROJECT["build-system"]["requires"])
    assert not locked("requirements.lock") & (tools - names(PROJECT["project"]["dependencies"]))


def test_locks_for_running_and_compiling_hold_what_a_build_needs():
    assert names(PROJECT["build-system"]["requires"]) <= locked("requirements.lock") | locked("requirements-build.lock")


@pytest.mark.parametrize("extra", ["dev", "docs", "figures", "fmu", "grids", "study"])
def test_lock_for_development_holds_every_extra(extra):
    assert names(PROJECT["project"]["optional-dependencies"][extra]) <= locked("requirements-dev.lock")


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-build.lock"])
def test_lock_for_development_keeps_the_versions_of_the_smaller_ones(lock):
    pins = {line.rstrip(" \\") for line in (ROOT / lock).read_text().splitlines() if "==" in line}
    assert pins <= {line.rstrip(" \\") for line in (ROOT / "requirements-dev.lock").read_text().splitlines()}
