"""Tests that docs/integrators.md works as printed, from the first command to the plug-in."""

from __future__ import annotations

import re

import pytest

from cosim.testing.checks import CHECKS
from tests.support.paths import ROOT
from tests.support.reader import Reader

TUTORIAL = (ROOT / "docs" / "integrators.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_tutorial_leads_from_an_empty_folder_to_a_plugin(tmp_path):
    assert Reader(TUTORIAL, tmp_path).read().count("console") == 6


def test_tutorial_lists_every_check_with_its_requirement():
    rows = re.findall(r"^\| ([a-z ]+) \| (.*) \|$", TUTORIAL, re.M)
    assert rows[1:] == [(check.name, check.demand) for check in CHECKS.values()]


def test_tutorial_names_only_existing_checks_and_members_of_the_contract():
    for link in re.findall(r"\]\((?!http)([^)#]+)\)", TUTORIAL):
        assert (ROOT / "docs" / link).exists(), link
