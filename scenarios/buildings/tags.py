"""Numbers of storeys from the words of building files: levels and heights in any of their spellings."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

STOREY = 3.0  # m from floor to floor, where a file gives a height and no storeys. Assumption.
_LEAST_HEIGHT = 2.0  # m, below which a height is a mistake
_MOST_LEVELS, _MOST_HEIGHT = 200.0, 1000.0  # no building is higher

_FOOT = 0.3048
_NUMBER = r"\d+(?:\.\d+)?"
_PLAIN = re.compile(_NUMBER)
_UNITS = {"": 1.0, "m": 1.0, "metre": 1.0, "metres": 1.0, "meter": 1.0, "meters": 1.0, "cm": 0.01,
          "ft": _FOOT, "foot": _FOOT, "feet": _FOOT, "'": _FOOT, "′": _FOOT}  # fmt: skip
_LENGTH = re.compile(rf"({_NUMBER})\s*([a-z'′]*)")
_FEET_AND_INCHES = re.compile(rf"({_NUMBER})\s*['′]\s*({_NUMBER})\s*(?:\"|″|'')")


@dataclass(frozen=True)
class Storeys:
    """Storeys above ground as a file gives them.

    Attributes
    ----------
    number
        None where the file gives none.
    lowest
        Storeys below which there is nothing: a bridge, or a part upon another.
    problem
        What was written instead of a number, or why there is no storey.
    """

    number: float | None
    lowest: float = 0.0
    problem: str = ""


def levels(text: object) -> float | None:
    """Return the greatest of the numbers in a text; None if there is none, or an impossible one.

    Examples
    --------
    >>> [levels(text) for text in ("3;4", "1,2", 3.5, "0", "<4", "-2", "many", float("nan"))]
    [4.0, 2.0, 3.5, 0.0, 4.0, None, None, None]
    """
    words = str(text).strip()
    numbers = [float(number) for number in re.findall(_NUMBER, words)]
    if not numbers or words.startswith("-") or re.search(r"[;,]\s*-", words) or not max(numbers) <= _MOST_LEVELS:
        return None
    return max(numbers)


def length_m(text: object) -> float | None:
    """Return a length, the greatest of several; None if it has no number or an unknown unit. [m]

    Examples
    --------
    >>> [length_m(text) for text in ("12.13 m", 9, "12,5", "40 ft", "10;12 m", "-3", "3 storeys")]
    [12.13, 9.0, 12.5, 12.192, 12.0, None, None]
    >>> round(length_m("6'6\\""), 3)
    1.981
    """
    found = []
    for part in str(text).strip().lower().split(";"):
        words = re.sub(r"(?<=\d),(?=\d)", ".", part.strip())
        if both := _FEET_AND_INCHES.fullmatch(words):
            found.append((float(both[1]) + float(both[2]) / 12) * _FOOT)
        elif (one := _LENGTH.fullmatch(words)) and one[2] in _UNITS:
            found.append(float(one[1]) * _UNITS[one[2]])
        else:
            return None
    longest = max(found)
    return longest if math.isfinite(longest) else None


def storeys_of(properties: Mapping[str, Any]) -> Storeys:
    """Return the storeys that the tags of OpenStreetMap give a building.

    ``building:levels`` counts, and where it is missing, no number or 0, ``height`` over a storey of 3 m. A height below
    2 m is a mistake and counts as missing; decimals of levels are kept.
    """
    problems = []
    number: float | None = None
    zero = False
    if (text := properties.get("building:levels")) is not None:
        number = levels(text)
        zero = number == 0
        if number is None or not (zero or _PLAIN.fullmatch(str(text).strip())):
            problems.append(f"building:levels is {text!r}")
    if not number and (text := properties.get("height")) is not None:
        height = length_m(text)
        if height is None or not _LEAST_HEIGHT <= height <= _MOST_HEIGHT:
            problems.append(f"height is {text!r}")
        else:
            number = of_height(height)
    if zero:
        problems.append("building:levels is 0" + ("" if number else ", so nothing is heated"))
    lowest = levels(properties.get("building:min_level", 0)) or 0.0
    if not lowest and (text := properties.get("min_height")) is not None:
        lowest = round((length_m(text) or 0.0) / STOREY)
    return Storeys(max(1.0, number) if number else 0.0 if zero else None, lowest, ", ".join(problems))


def of_height(height_m: float) -> float:
    """Return the storeys of a height, at least one."""
    return max(1.0, float(round(height_m / STOREY)))
