"""Policies described by text: by name, file or module, with parameters by name or position."""

import json

import pytest
from typer.testing import CliRunner

from cosim import CosimError
from cosim.cli.app import app
from cosim.registry.parameters import load_policy
from cosim.scenarios.policies import EvShare, HeatPumps, Retrofit, SpeedLimit
from tests.cosim.cli.test_app import SCENARIO

TREES = '''
"""Policies of a user."""
from cosim.scenarios.policies import Policy


class Trees(Policy):
    """Plants trees.

    Parameters
    ----------
    share
        Share of the streets.
    """

    share: float = 0.5


class Broken(Policy):
    def __init__(self):
        self.missing
'''


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("policies")
    (path / "trees_of_mine.py").write_text(TREES)
    (path / "toy.py").write_text(SCENARIO)
    (path / "plans.py").write_text(
        SCENARIO.replace("*, seed: int = 0,", "*, seed: int = 0, policies=(),").replace(
            "    scenario.layers",
            "    scenario.parameters = {'policies': [str(p) for p in policies]}\n    scenario.layers",
        )
    )
    return path


@pytest.fixture
def cli(folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))

    def call(*arguments):
        done = CliRunner().invoke(app, [str(a) for a in arguments])
        return done.exit_code, " ".join(done.output.split())

    return call


def test_a_policy_is_found_in_a_file_or_module_with_its_parameters(cli):
    for text in ("trees_of_mine.py:Trees", "trees_of_mine:Trees"):
        assert str(load_policy(text)) == "Trees:share=0.5"
        assert str(load_policy(f"{text}:share=0.25")) == "Trees:share=0.25"
        assert str(load_policy(f"{text}:0.75")) == "Trees:share=0.75"


def test_the_first_parameters_need_no_names():
    assert load_policy("HeatPumps:0.5") == HeatPumps(0.5)
    assert load_policy("EvShare:0.4") == load_policy("EvShare:share=0.4") == EvShare(0.4)
    assert load_policy("Retrofit:3,0.5") == load_policy("Retrofit:3,share=0.5") == Retrofit(3, 0.5)
    assert load_policy("SpeedLimit:30") == SpeedLimit(30)


def test_a_mistyped_parameter_in_python_is_answered_with_what_was_meant():
    with pytest.raises(CosimError, match=r"EvShare: there is no parameter 'shar', did you mean share\?"):
        EvShare(shar=0.4)  # type: ignore[call-arg]


def test_a_run_with_a_policy_of_a_file_records_and_repeats_it(cli, folder):
    code, text = cli("run", "plans.py", "--policy", "trees_of_mine.py:Trees:0.3", "--out", "planned", "--no-report")
    assert code == 0, text
    assert json.loads((folder / "planned" / "run.json").read_text())["parameters"]["policies"] == ["Trees:share=0.3"]
    assert cli("run", "plans.py", "--out", "base", "--no-report")[0] == 0
    code, text = cli("compare", "base", "planned", "--seeds", "2")
    assert code == 0, text
    again = json.loads((folder / "planned" / "seeds" / "1" / "run.json").read_text())
    assert again["parameters"]["policies"] == ["Trees:share=0.3"]


def test_parameters_of_a_policy_are_listed(cli):
    code, text = cli("run", "eixample", "--policy", "HeatPumps", "--policy", "trees_of_mine.py:Trees", "--parameters")
    assert code == 0
    assert "HeatPumps" in text
    assert "Share of the streets." in text
    assert "street_chargers_per_block" not in text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Heatpump:0.5", "unknown policy 'Heatpump', did you mean HeatPumps?; available: "),
        ("Chargin:valley", "unknown policy 'Chargin', did you mean Charging?; available: "),
        ("nowhere.plans:Trees", "unknown policy 'nowhere.plans'; available: "),
        ("json:Trees", "json has no 'Trees'; available classes and functions: "),
        ("EvShare:shar=0.4", "EvShare has no parameter 'shar', did you mean share?; available: share"),
        ("nowhere.py:Trees", "nowhere.py does not exist"),
        ("trees_of_mine.py:Tree", "trees_of_mine.py has no 'Tree'; available classes and functions: Broken, Trees"),
        ("EvShare:0.4,0.5", "--policy EvShare:0.4,0.5: 2 values for share"),
        ("LowEmissionZone:4,6,0.5,0,24,9", "polygon is a list: write polygon=…"),
        ("EvShare:2", "--policy EvShare:share=2 is out of range: it must be ≥ 0 and ≤ 1"),
        ("trees_of_mine.py:Broken", "--policy trees_of_mine.py:Broken failed: AttributeError"),
    ],
)
def test_a_policy_that_cannot_be_loaded_is_refused_with_the_remedy(cli, text, words):
    with pytest.raises(CosimError) as raised:
        load_policy(text)
    assert words in str(raised.value)


def test_mistakes_in_settings_are_answered_with_what_was_meant(cli):
    assert "has no parameter 'block', did you mean blocks?" in cli("run", "eixample", "--set", "block=3,3")[1]
    assert "is not tuple[int, int]" in cli("run", "eixample", "--set", "blocks=3x3")[1]
    assert "; write 2 values, as in 4,4" in cli("run", "eixample", "--set", "blocks=4")[1]
    assert "is none of micro, meso, did you mean micro?" in cli("run", "eixample", "--set", "fidelity=mcro")[1]
    assert "; write 3,3" in cli("run", "eixample", "--set", "blocks=3x3")[1]
    assert "unknown scenario 'eixampel', did you mean eixample?" in cli("run", "eixampel")[1]
    code, text = cli("run", "toy.py", "--policy", "EvShare:0.4")
    assert code == 1
    assert "build() of toy has no parameter policies: add 'policies=()' to it and hand them on" in text
