"""One run of a town, exported once in each format."""

import pytest

from cosim.exports.export import export
from cosim.exports.formats import FORMATS
from tests.support.town import town


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    return town().run(tmp_path_factory.mktemp("town") / "run")


@pytest.fixture(scope="session")
def exported(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exports")
    return {to: export(run.folder, to, folder / to, every_s=180.0) for to in FORMATS}
