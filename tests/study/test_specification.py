"""Is a study file checked word by word, and does its schema say the same to an editor?"""

import json

import pytest

from cosim import CosimError
from cosim.study.slurm import read_slurm
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


def test_a_study_file_says_all_that_python_can(tmp_path):
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
        ("builder: [", "is no YAML"),
        ("builder: eixample\nseeds: 3\nseeds: 4", "study.yaml, line 3: 'seeds' is given twice: give it once"),
        ("builder: eixample\nfactors: {ev_share: 0.1, ev_share: 0.2}", "line 2: 'ev_share' is given twice"),
        ("- 1", "holds a list: a study is a mapping"),
        ("", "holds nothing: a study is a mapping"),
        ("seeds: 3", "builder: field required"),
        ("builder: eixample\nsedes: 3", "sedes: there is no such word"),
        ("builder: eixample\nrun: {worker: 2}", "run.worker: there is no such word"),
        ("builder: eixample\nrun: {workers: 0}", "run.workers: input should be greater than or equal to 1"),
        ("builder: eixample\nseeds: -1", "seeds are -1: give different whole numbers from 0 on"),
        ("builder: eixample\nfactors: {ev_share: {distribution: os.system}}", "ev_share.distribution: input should be"),
        ("builder: eixample\nfactors: {ev_share: {distribution: uniform, widths: 2}}", "uniform: "),
        ("builder: eixample\nfactors: {ev_share: !!python/object:os.system {}}", "is no YAML"),
        ("builder: eixample\nfactors: {ev_share: [0.1, 2]}", "ev_share=2 does not fit eixample"),
        ("builder: nowhere.py", "there is no file"),
    ],
)
def test_mistakes_are_told_with_file_and_place(tmp_path, text, words):
    path = tmp_path / "study.yaml"
    path.write_text(text)
    with pytest.raises(CosimError) as caught:
        read_study(path)
    assert words in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CosimError, match=r"cannot read .*none\.yaml: No such file"):
        read_study(tmp_path / "none.yaml")


def test_the_schema_that_is_shipped_is_that_of_the_code():
    assert SCHEMA.read_text() == schema()
    assert json.loads(schema())["properties"]["builder"]["description"]


def test_a_slurm_file_is_checked_too(tmp_path):
    path = tmp_path / "slurm.yaml"
    path.write_text("jobs: 0\nmemory: 8GB\nwalltime: 2h\ninterfaces: ib0\n")
    with pytest.raises(CosimError) as caught:
        read_slurm(path)
    for words in ("jobs: input should be greater", "walltime: string should match", "interface: field required",
                  "interfaces: there is no such word"):  # fmt: skip
        assert words in str(caught.value)
