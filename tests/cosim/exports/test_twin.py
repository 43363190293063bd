"""A ready twin in every format: what a city's sectors record fits the standards as the toy town does."""

import json

import pytest
from compliance_checker.runner import CheckSuite, ComplianceChecker

from cosim.exports.export import export
from cosim.scenarios import eixample
from cosim.scenarios.vocabulary import VOCABULARY

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return eixample.build(blocks=(2, 2), hours=1, begin_hour=8).run(tmp_path_factory.mktemp("twin") / "run")


def test_every_file_of_netcdf_passes_the_compliance_checker(run, tmp_path):
    folder = export(run.folder, "cf-netcdf", tmp_path / "nc").folder
    CheckSuite.load_all_available_checkers()
    files = sorted(folder.iterdir())
    written = {name for name, about in run.provenance["outputs"].items() if about["recorded"] and about["n_labels"]}
    assert {path.stem for path in files} == written
    report = tmp_path / "report.txt"
    for path in files:
        passed, failed = ComplianceChecker.run_checker(str(path), ["cf:1.8"], 0, "strict", output_filename=str(report))
        assert passed, report.read_text()
        assert not failed


def test_every_type_of_entity_comes_from_the_twin_and_every_term_from_one_of_its_ports(run, tmp_path):
    folder = export(run.folder, "ngsi-ld", tmp_path / "entities").folder
    [file] = folder.iterdir()
    entities = json.loads(file.read_text())
    assert {entity["type"] for entity in entities} == VOCABULARY.types.keys()
    assert len({entity["id"] for entity in entities}) == len(entities)
    elsewhere = {"traffic.charging_power"}  # of configurations with stations of their own
    assert VOCABULARY.terms.keys() - elsewhere <= run.provenance["outputs"].keys()


def test_places_are_those_of_barcelona(run, tmp_path):
    for file in export(run.folder, "geojson", tmp_path / "geojson").folder.iterdir():
        west, south, east, north = json.loads(file.read_text())["bbox"]
        assert 2.15 < west <= east < 2.18
        assert 41.38 < south <= north < 41.41
