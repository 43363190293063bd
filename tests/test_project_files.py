"""Files at the root that must agree with each other."""

import ast
import importlib
import re
import tomllib

import pytest

from tests.support.paths import ROOT

yaml = pytest.importorskip("yaml")


def read_yaml(name):
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def test_citation_agrees_with_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    citation = read_yaml("CITATION.cff")
    assert citation["cff-version"] == "1.2.0"
    assert citation["title"] == "cosim"  # the software; its distribution has another name, as `cosim` is taken
    assert citation["version"] == project["version"]
    assert citation["license"] == project["license"]
    assert citation["abstract"] == project["description"]


def test_the_distribution_is_called_by_its_name_wherever_it_is_installed_or_looked_up():
    name = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["name"]
    assert name == "cosim-city"  # `cosim` belongs to another project on the public index
    files = [
        path for top in ("cosim", "docs") for kind in ("py", "md", "txt") for path in (ROOT / top).rglob(f"*.{kind}")
    ]
    files += [path for top in ("core", "adapters", "scenarios") for path in (ROOT / top).rglob("*.py")]
    files += [ROOT / "README.md", ROOT / "noxfile.py"]
    uses = r"""pip install ['"]?(cosim[\w-]*)|\b(cosim[\w-]*)\[[a-z,]+\]['"`]|(?:version|requires)\(['"](cosim[\w-]*)|
        dependencies\ =\ \["(cosim[\w-]*)|dist/(cosim_?[\w]*)-"""
    found = {
        (path.name, "".join(use).replace("_", "-"))
        for path in files
        for use in re.findall(uses.replace("\n        ", ""), path.read_text(encoding="utf-8"))
    }
    assert {used for _, used in found} == {name}, found
    assert {"app.py", "identity.py", "pyproject.txt", "noxfile.py", "description.py", "README.md"} <= {
        f for f, _ in found
    }


def test_hooks_before_a_commit_check_what_nox_checks():
    nodes = ast.parse((ROOT / "noxfile.py").read_text(encoding="utf-8")).body
    folders = next(
        ast.literal_eval(node.value)
        for node in nodes
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "CODE"
    )
    hooks = {hook["id"]: hook for hook in read_yaml(".pre-commit-config.yaml")["repos"][0]["hooks"]}
    assert hooks["ruff-check"]["entry"].split() == ["ruff", "check", *folders]
    assert hooks["ruff-format"]["entry"].split() == ["ruff", "format", *folders]
    assert all(hook["language"] == "system" for hook in hooks.values())


def test_every_decision_record_is_listed_by_its_title():
    folder = ROOT / "docs/decisions"
    listed = (folder / "README.md").read_text(encoding="utf-8")
    records = sorted(folder.glob("[0-9]*.md"))
    for number, record in enumerate(records, 1):
        title = record.read_text(encoding="utf-8").splitlines()[0].removeprefix(f"# {number}. ")
        assert f"- [{title}]({record.name})" in listed


@pytest.mark.parametrize("folder", ["docs", "tests/benchmarks"])
def test_scripts_that_no_test_runs_import_only_what_there_is(folder):
    missing = []
    for path in sorted((ROOT / folder).glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in ("cosim", "tests"):
                for name in (alias.name for alias in node.names):
                    if not hasattr(importlib.import_module(node.module), name):
                        try:
                            importlib.import_module(f"{node.module}.{name}")
                        except ImportError:
                            missing.append(f"{path.name}: {node.module} has no {name}")
    assert missing == []
