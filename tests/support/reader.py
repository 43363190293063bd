"""A reader who follows a page of the documentation block by block."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from tests.support.paths import ROOT

PIP = ["pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--target"]


def plain(text):
    return " ".join(re.sub(r"[│┃]", " ", text).split())


class Reader:
    """Does what a reader does with each block: writes files, types commands, compares what is answered."""

    def __init__(self, page: str, home: Path) -> None:
        self.page, self.here, self.site = page, home, home / "site"

    def follow(self, language: str, way: str, name: str, text: str) -> None:
        if language == "console":
            for command in re.split(r"^\$ ", text, flags=re.M)[1:]:
                self.type(*command.split("\n", 1))
        elif way == "file":
            (self.here / name).write_text(text)
        elif way == "add":
            [modules] = re.findall(r"`(py-modules = .*?)`", self.page, re.S)
            before = re.sub("^py-modules = .*$", " ".join(modules.split()), (self.here / name).read_text(), flags=re.M)
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
        printed = plain(done.stdout)
        for piece in (piece for line in lines for piece in line.split("…")):
            assert plain(piece) in printed, f"{piece!r} is not in the output of {command!r}:\n{done.stdout}"

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        python = [sys.executable]
        programs = {
            "cosim": [*python, "-c", "from cosim.cli.app import main; main()"],
            "python": python,
            "pip": [*python, "-m", *PIP, str(self.site)],
        }
        done = subprocess.run(
            [*programs[program], *arguments[program == "pip" :]],
            cwd=self.here,
            capture_output=True,
            text=True,
            timeout=300,
            env=os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{self.site}", "COLUMNS": "102"},
        )
        if program != "cosim":
            assert done.returncode == 0, done.stdout + done.stderr
        return done

    def read(self) -> list[str]:
        """Follow every block of the page that is not plain text; return their languages."""
        blocks = re.findall(r"^```(\w+)(?: (file|add)=(\S+))?\n(.*?)^```$", self.page, re.M | re.S)
        for block in blocks:
            if block[0] != "text":
                self.follow(*block)
        return [language for language, *_ in blocks]
