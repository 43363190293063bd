"""The validation of study files, and their JSON Schema."""

import json

import pytest
from typer.testing import CliRunner

from cosim import CosimError
from cosim.cli.app import app
from cosim.study.slurm import Slurm, read_slurm, slurm_client
from cosim.study.specification import SCHEMA, read_study, schema

GOOD = """
builder: eixample
name: plans
design: lhs
samples: 3
seeds: [1, 2]
factors:
  ev_share: {distribution: uniform, loc: 0.1, scale: 0.3}
  blocks: {levels: {small: [2, 2], large: [3, 3]}}
  weather: barcelona
  hours: {value: 2}
run: {workers: 2, memory: 4GB, record: ["grid.*"]}
"""


def test_a_study_file_supports_everything_that_python_does(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text(GOOD)
    study, run = read_study(path, tmp_path / "out")
    assert study.name == "plans"
    assert study.folder == tmp_path / "out"
    assert len(study.runs) == 6
    for point in study.points.points:
        assert 0.1 <= point["ev_share"].value <= 0.4
        assert point["blocks"].value in ((2, 2), (3, 3))  # tuples, as the builder's annotation asks
        assert point["blocks"].label in ("small", "large")
    assert run.memory == "4GB"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("builder: [", "is not YAML"),
        ("builder: eixample\nseeds: 3\nseeds: 4", "study.yaml, line 3: duplicate key 'seeds': write it once"),
        ("builder: eixample\nfactors: {ev_share: 0.1, ev_share: 0.2}", "line 2: duplicate key 'ev_share'"),
        ("- 1", "holds a list: a study must be a mapping"),
        ("", "holds nothing: a study must be a mapping"),
        ("seeds: 3", "builder: field required"),
        ("builder: eixample\nsedes: 3", "sedes: unknown key"),
        ("builder: eixample\nrun: {worker: 2}", "run.worker: unknown key"),
        ("builder: eixample\nrun: {workers: 0}", "run.workers: input should be greater than or equal to 1"),
        ("builder: eixample\nseeds: -1", "seeds are -1: pass different non-negative whole numbers"),
        ("builder: eixample\nseeds: [1, a]", "seeds[1]: input should be a valid integer, unable to parse"),
        ("builder: eixample\nfactors: {ev_share: {distribution: os.system}}", "ev_share.distribution: input should be"),
        ("builder: eixample\nfactors: {ev_share: {distribution: uniform, widths: 2}}", "uniform: "),
        ("builder: eixample\nfactors: {ev_share: !!python/object:os.system {}}", "is not YAML"),
        ("builder: eixample\nfactors: {ev_share: [0.1, 2]}", "ev_share=2 does not fit eixample"),
        ("builder: nowhere.py", "nowhere.py does not exist"),
    ],
)
def test_mistakes_are_reported_with_file_and_key(tmp_path, text, words):
    path = tmp_path / "study.yaml"
    path.write_text(text)
    with pytest.raises(CosimError) as caught:
        read_study(path)
    assert words in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CosimError, match=r"cannot read .*none\.yaml: No such file"):
        read_study(tmp_path / "none.yaml")


def test_the_shipped_schema_is_up_to_date():
    assert SCHEMA.read_text() == schema()
    assert json.loads(schema())["properties"]["builder"]["description"]


def test_a_slurm_file_is_checked_too(tmp_path):
    path = tmp_path / "slurm.yaml"
    path.write_text("jobs: 0\nmemory: 8GB\nwalltime: 2h\ninterfaces: ib0\n")
    with pytest.raises(CosimError) as caught:
        read_slurm(path)
    for words in (
        "jobs: input should be greater than or equal to 1, not 0",
        "walltime: '2h' is no time limit: write hours, minutes and seconds in quotes, as in '02:00:00'",
        "interface: field required",
        "interfaces: unknown key",
    ):
        assert words in str(caught.value)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("jobs: true", "jobs: input should be a valid integer, not True"),
        ("memory: -4GB", "memory: '-4GB' is no amount of memory: write as in '16GB'"),
        ("memory: lots", "memory: 'lots' is no amount of memory"),
        ("coordinator: {memory: lots}", "coordinator.memory: 'lots' is no amount of memory"),
        ("walltime: 90", "walltime: input should be a valid string, not 90"),
        ('walltime: "25:99:99"', "walltime: '25:99:99' is no time limit"),
        ('walltime: "00:00:00"', "walltime: '00:00:00' is no time limit"),
        ('partition: "a\\nb"', "partition: 'a\\nb' is no name: write one word"),
        ("directives: [rm -rf]", "directives[0]: 'rm -rf' is no option of sbatch: write as in '--constraint=rome'"),
        ('directives: ["-a\\nb"]', "directives[0]: '-a\\nb' is more than a line: write one line"),
    ],
)
def test_what_slurm_would_misunderstand_is_refused_with_its_place_and_a_remedy(tmp_path, line, words):
    path = tmp_path / "slurm.yaml"
    good = {"jobs": "1", "memory": "8 GB", "walltime": '"1-02:00:00"', "interface": "ib0"}
    path.write_text("\n".join(f"{key}: {value}" for key, value in good.items()))
    assert read_slurm(path).cores == 1
    key, _, value = line.partition(": ")
    path.write_text("\n".join(f"{k}: {v}" for k, v in (good | {key: value}).items()))
    with pytest.raises(CosimError) as caught:
        read_slurm(path)
    assert f"{path}: {words}" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "holds nothing: a configuration of SLURM is a mapping, of which jobs, memory, walltime and"),
        ("[1]", "holds a list: a configuration of SLURM is a mapping"),
        ("[" * 20_000, "nested too deeply"),
    ],
)
def test_a_file_that_configures_nothing_is_refused_with_what_it_should_hold(tmp_path, text, words):
    path = tmp_path / "slurm.yaml"
    path.write_text(text)
    with pytest.raises(CosimError, match=words):
        read_slurm(path)


def test_slurm_without_its_programs_is_refused_at_once(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    config = Slurm(jobs=1, memory="1GB", walltime="01:00:00", interface="lo")
    with (
        pytest.raises(CosimError, match="--slurm needs SLURM's sbatch and scancel and squeue, not found on the path"),
        slurm_client(config, tmp_path / "study"),
    ):
        pass
    assert not (tmp_path / "study").exists()


def test_a_study_is_detached_only_into_a_job(tmp_path):
    (tmp_path / "study.yaml").write_text("builder: eixample\nfactors: {ev_share: [0.1]}\n")
    done = CliRunner().invoke(app, ["study", str(tmp_path / "study.yaml"), "--detach"])
    assert done.exit_code == 1
    assert "--detach makes the study a SLURM job: add --slurm CONFIG" in done.output
