"""The page that puts an adapter into a ready twin works word by word."""

import pytest

from tests.support.paths import ROOT
from tests.support.reader import Reader

PAGE = (ROOT / "docs" / "ready_twin.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_an_adapter_joins_a_ready_twin_at_an_old_and_at_a_new_point(tmp_path):
    assert Reader(PAGE, tmp_path).read().count("console") == 3
