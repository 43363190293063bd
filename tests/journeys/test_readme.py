"""Tests that the code and commands of the README work as printed."""

import re
import shlex
import shutil

import pytest
from typer.testing import CliRunner

from cosim.cli.app import app
from tests.support.paths import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.S)


@pytest.mark.slow
def test_python_in_the_readme_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    first, second, third = blocks("python")
    names: dict = {}
    exec(compile(first, "README.md", "exec"), names)
    assert "total CO2e" in capsys.readouterr().out
    (run, *_) = sorted((tmp_path / "runs").iterdir())
    shutil.copytree(run, tmp_path / "runs" / "many-evs")
    exec(compile(second, "README.md", "exec"), names)
    exec(compile(third, "README.md", "exec"), names)
    assert "bus 1" in capsys.readouterr().out


def test_commands_in_the_readme_exist_with_their_parameters():
    lines = [line.split("#")[0] for block in blocks("sh") for line in block.splitlines() if "bin/cosim" in line]
    assert len(lines) >= 5
    listed = "".join(CliRunner().invoke(app, ["run", twin, "--parameters"]).output for twin in ("eixample", "place"))
    for line in lines:
        words = shlex.split(line)[1:]
        command = words[:2] if words[0] == "city" else words[:1]
        shown = CliRunner().invoke(app, [*command, "--help"])
        assert shown.exit_code == 0, words
        assert all(word in shown.output for word in words if word.startswith("--")), words
        for setting in re.findall(r"--set (\w+)=", line):
            assert setting in listed or setting == "sumocfg"


def test_readme_names_only_files_that_exist():
    for link in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / link).exists(), link
