"""Adapters and connections from the command line, in a scenario that is built already."""

import json

import pytest
from typer.testing import CliRunner

from cosim import Clock, Result, Scenario, ScenarioError
from cosim.cli.app import app
from tests.cosim.cli.test_app import SCENARIO
from tests.support.toys import Echo, Source

PUMP = '''
"""A pump."""
from cosim import Adapter, Input, Output


class Pump(Adapter):
    """Draws power."""

    replays = True

    def __init__(self, label: str, watts: float = 5.0):
        self.power = Output("W", [label], "mean")
        self.state = Input("1", [label], default=0.0)
        self.watts = watts

    def advance(self, step):
        self.power.value = self.watts
'''


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One for all tests: a process imports one module called pump."""
    path = tmp_path_factory.mktemp("home")
    (path / "toy.py").write_text(SCENARIO)
    (path / "pump.py").write_text(PUMP)
    return path


@pytest.fixture
def cli(folder, monkeypatch):
    monkeypatch.chdir(folder)

    def call(*arguments):
        return CliRunner().invoke(app, list(map(str, arguments)))

    return call


ADD = ["--add", "pump=pump.py:Pump,label=b,watts=7.5", "--connect", "pump.power=echo.load"]


def test_added_adapter_runs_and_feeds_the_element_of_its_name(cli):
    assert cli("run", "toy.py", "--out", "plain", "--no-report").exit_code == 0
    done = cli("run", "toy.py", *ADD, "--out", "more", "--no-report")
    assert done.exit_code == 0, done.output
    more = Result.open("more").series("echo.received") - Result.open("plain").series("echo.received")
    assert more["a"].abs().max() == 0
    assert more["b"].to_numpy() == pytest.approx(7.5, abs=1e-3)  # float32 beside some thousand watts


def test_run_with_additions_is_repeated_with_them_from_another_folder(cli, folder, monkeypatch):
    for name, seed in (("base", 0), ("plan", 0)):
        extra = ADD if name == "plan" else []
        assert cli("run", "toy.py", *extra, "--seed", seed, "--out", name, "--no-report").exit_code == 0
    monkeypatch.chdir("/")
    done = cli("compare", folder / "base", folder / "plan", "--seeds", "2")
    assert done.exit_code == 0, done.output
    about = json.loads((folder / "plan" / "seeds" / "1" / "run.json").read_text())
    assert "pump" in about["adapters"]
    assert about["seed"] == 1


def test_nothing_is_simulated_before_a_refusal(cli, folder):
    assert cli("run", "toy.py", "--out", "first", "--no-report").exit_code == 0
    Scenario(Clock("2025-01-15", hours=2), source=Source(), indicators=lambda r: Result.open("first").indicators).run(
        "second"
    )
    done = cli("compare", "first", "second", "--seeds", "2")
    assert done.exit_code == 1
    assert "was run by a script" in " ".join(done.stderr.split())
    assert not (folder / "first" / "seeds").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--add", "pump"], "--add pump: write NAME=MODULE:CLASS"),
        (["--add", "pump=pump.py:Pumps,label=b"], "Pumps"),
        (["--add", "pump=pump.py:Pump"], "needs label"),
        (["--add", "pump=pump.py:Pump,label=b,watts=many"], "watts=many is not float"),
        (["--add", "source=pump.py:Pump,label=b"], "the scenario already has an adapter 'source'"),
        ([*ADD[:2], "--connect", "pump.power"], "--connect pump.power: write ADAPTER.OUTPUT=ADAPTER.INPUT"),
        ([*ADD[:2], "--connect", "pump.power=echo.nowhere"], "echo.nowhere"),
        ([*ADD[:2], "--connect", "pump.power=echo.load,delays=1"], "has no parameter 'delays'"),
        (["--add", "pump=pump.py:Pump,label=c", "--connect", "pump.power=echo.load"], "echo.load has no element 'c'"),
        ([*ADD, "--connect", "echo.seen=pump.state"], "pump.state has no element 'a'"),
    ],
)
def test_wrong_additions_are_refused_with_the_rule(cli, arguments, words):
    done = cli("run", "toy.py", *arguments, "--out", "out")
    assert done.exit_code == 1
    assert words in " ".join(done.output.split())


def test_elements_are_matched_by_name_in_python():
    scenario = Scenario(Clock("2025-01-15", hours=1), source=Source(), echo=Echo(("a", "b", "c")))
    scenario.connect("source.power", "echo.load", via="labels")
    scenario.connect("source.count", "echo.state", via="labels")
    with pytest.raises(ScenarioError, match=r"'c' of echo\.state would receive nothing"):
        scenario.check()


def test_adapters_are_added_once_and_under_names_of_their_own():
    scenario = Scenario(Clock("2025-01-15", hours=1), source=Source())
    echo = Echo()
    scenario.add(echo=echo, steps={"echo": "10min", "choir": 60})
    scenario.add(again=echo)
    scenario.add(source=Source())
    with pytest.raises(ScenarioError) as caught:
        scenario.check()
    for words in ("again and echo are the same object", "already has an adapter 'source'", "steps names 'choir'"):
        assert words in str(caught.value)
