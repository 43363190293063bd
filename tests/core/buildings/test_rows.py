"""The compiled zone kernel counts columns of coefficients as Python does."""

import re
from importlib import resources

from cosim.core.buildings.rows import Column


def test_columns_of_coefficients_are_those_of_the_header():
    header = resources.files("cosim.core.buildings").joinpath("zones.h").read_text(encoding="utf-8")
    body = header.partition("enum {")[2].partition("};")[0]
    counted = {name: int(number) for name, number in re.findall(r"(\w+) = (\d+)", body)}
    assert counted == {column.name: int(column) for column in Column}
