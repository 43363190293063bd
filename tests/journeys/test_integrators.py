"""Does what docs/integrators.md says work, word by word, from the first command to the plug-in?"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from cosim.testing.checks import CHECKS

ROOT = Path(__file__).parents[2]
TUTORIAL = (ROOT / "docs" / "integrators.md").read_text(encoding="utf-8")
PIP = ["pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--target"]


def plain(text):
    return " ".join(re.sub(r"[│┃]", " ", text).split())


class Reader:
    """Does what a reader does with each block: writes files, types commands, compares what is answered."""

    def __init__(self, home: Path) -> None:
        self.here, self.site = home, home / "site"

    def follow(self, language: str, way: str, name: str, text: str) -> None:
        if language == "console":
            for command in re.split(r"^\$ ", text, flags=re.M)[1:]:
                self.type(*command.split("\n", 1))
        elif way == "file":
            (self.here / name).write_text(text)
        elif way == "add":
            [modules] = re.findall(r"`(py-modules = .*?)`", TUTORIAL)
            before = re.sub("^py-modules = .*$", modules, (self.here / name).read_text(), flags=re.M)
            (self.here / name).write_text(before + "\n" + text)
        else:
            self.run("python", "-c", text)

    def type(self, command: str, expected: str) -> None:
        words = shlex.split(command)
        if words[0] == "cd":
            self.here = self.here / words[1]
            return
        done = self.run(*words)
        lines = [line for line in expected.splitlines() if line.strip()]
        code = int(lines.pop()[1:-1]) if lines and re.fullmatch(r"\[\d+\]", lines[-1]) else 0
        assert done.returncode == code, done.stdout + done.stderr
        said = plain(done.stdout)
        for piece in (piece for line in lines for piece in line.split("…")):
            assert plain(piece) in said, f"{piece!r} is not in what {command!r} says:\n{done.stdout}"

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        python = [sys.executable]
        programs = {
            "cosim": [*python, "-c", "from cosim.cli import main; main()"],
            "python": python,
            "pip": [*python, "-m", *PIP, str(self.site)],
        }
        done = subprocess.run(
            [*programs[program], *arguments[program == "pip" :]], cwd=self.here, capture_output=True, text=True,
            timeout=300,
            env=os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{self.site}", "COLUMNS": "102"},
        )  # fmt: skip
        if program != "cosim":
            assert done.returncode == 0, done.stdout + done.stderr
        return done


@pytest.mark.slow
def test_tutorial_leads_from_an_empty_folder_to_a_plugin(tmp_path):
    reader = Reader(tmp_path)
    blocks = re.findall(r"^```(\w+)(?: (file|add)=(\S+))?\n(.*?)^```$", TUTORIAL, re.M | re.S)
    assert [language for language, *_ in blocks].count("console") == 6
    for block in blocks:
        reader.follow(*block)


def test_tutorial_lists_every_check_with_its_demand():
    rows = re.findall(r"^\| ([a-z ]+) \| (.*) \|$", TUTORIAL, re.M)
    assert rows[1:] == [(check.name, check.demand) for check in CHECKS.values()]


def test_tutorial_names_only_what_the_checks_and_the_contract_know():
    for link in re.findall(r"\]\((?!http)([^)#]+)\)", TUTORIAL):
        assert (ROOT / "docs" / link).exists(), link
