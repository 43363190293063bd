"""The compiled kernels count rows and columns as Python does."""

import re
from importlib import resources

from cosim.core.buildings.rows import Balance, Column, Fixed, Given, Kept, ToZones


def counted(header):
    """Return the names and numbers of each enumeration of a header."""
    text = resources.files("cosim.core.buildings").joinpath(header).read_text(encoding="utf-8")
    bodies = re.findall(r"enum \{(.*?)\};", text, re.DOTALL)
    return [{name: int(number) for name, number in re.findall(r"(\w+) = (\d+)", body)} for body in bodies]


def test_columns_of_coefficients_are_those_of_the_header():
    assert counted("zones.h")[0] == {column.name: int(column) for column in Column}


def test_rows_of_systems_are_those_of_the_header():
    rows = [{row.name: int(row) for row in kind} for kind in (Fixed, Given, ToZones, Kept, Balance)]
    assert counted("systems.h")[1:] == rows
