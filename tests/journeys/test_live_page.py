"""docs/live.md works as printed."""

import json
import re

import pytest

from cosim.adapters.feed.specification import Rule, Stream
from tests.support.paths import ROOT
from tests.support.reader import Reader

PAGE = (ROOT / "docs" / "live.md").read_text(encoding="utf-8")
yaml = pytest.importorskip("yaml")


@pytest.mark.slow
def test_the_example_leads_to_what_is_printed(tmp_path):
    Reader(PAGE.partition("## Streams")[0], tmp_path).read()
    rows = [json.loads(line) for line in (tmp_path / "street/forecasts/forecasts.jsonl").read_text().splitlines()]
    base, saving = rows[:2]
    assert saving["indicators"]["heat"]["value"] == pytest.approx(base["indicators"]["heat"]["value"] - 0.6, rel=1e-3)


def test_the_page_names_every_key_of_streams_and_rules():
    for model in (Stream, Rule):
        for name in model.model_fields:
            assert re.search(rf"`{name}\b", PAGE), name
