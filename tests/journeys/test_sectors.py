"""The page that adds a sector works word by word, from the adapter to the policy on the command line."""

import pytest

from tests.support.paths import ROOT
from tests.support.reader import Reader

PAGE = (ROOT / "docs" / "sectors.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_sector_is_added_by_new_files_alone(tmp_path):
    assert Reader(PAGE, tmp_path).read().count("console") == 3
