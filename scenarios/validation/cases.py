"""JSON files of test cases, whose errors name the place in the file."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NoReturn

from cosim.core import InputFileError

_LARGEST = 10_000_000


class Entry:
    """A value in a JSON file with its path, which errors name."""

    def __init__(self, value: object, path: str) -> None:
        self._value, self._path = value, path

    def refuse(self, rule: str) -> NoReturn:
        """Raise an error that names the file and the place in it."""
        raise InputFileError(f"{self._path}: {rule}")

    def __contains__(self, name: object) -> bool:
        return isinstance(self._value, dict) and name in self._value

    def __iter__(self) -> Iterator[str]:
        return iter(self._table())

    def _table(self) -> dict[str, object]:
        if not isinstance(self._value, dict):
            self.refuse(f"is {self._value!r:.60}: it must be an object of names and values")
        return self._value

    def __getitem__(self, name: str) -> Entry:
        table = self._table()
        if name not in table:
            self.refuse(f"has no {name!r}; it has {', '.join(map(repr, table)) or 'nothing'}")
        return Entry(table[name], f"{self._path} → {name}")

    def get(self, name: str) -> Entry | None:
        """Return the entry, or None if it is absent or null."""
        return None if self._table().get(name) is None else self[name]

    @property
    def is_list(self) -> bool:
        """Whether the value is a list."""
        return isinstance(self._value, list)

    def items(self, length: int | None = None) -> list[Entry]:
        """Return the entries of a list, which must have the given length, if any."""
        if not isinstance(self._value, list) or (length is not None and len(self._value) != length):
            self.refuse(f"is {self._value!r:.60}: it must be a list" + (f" of {length}" if length is not None else ""))
        return [Entry(value, f"{self._path} → [{k}]") for k, value in enumerate(self._value)]

    def number(self, low: float = -math.inf, high: float = math.inf) -> float:
        """Return a finite number within the limits."""
        value = self._value
        if isinstance(value, bool) or not isinstance(value, int | float) or not (low <= value <= high):
            self.refuse(f"is {value!r:.60}: it must be a number in {low:g} to {high:g}")
        if not math.isfinite(value):
            self.refuse(f"is {value!r}: it must be finite")
        return float(value)

    def text(self) -> str:
        """Return a string."""
        if not isinstance(self._value, str):
            self.refuse(f"is {self._value!r:.60}: it must be a string")
        return self._value

    def one_of(self, names: Collection[str]) -> str:
        """Return a string that is one of these."""
        if not isinstance(self._value, str) or self._value not in names:
            self.refuse(f"is {self._value!r:.60}: it must be one of {', '.join(names)}")
        return self._value


def read_json(path: Path) -> Entry:
    """Read a JSON file of cases.

    Raises
    ------
    InputFileError
        If it cannot be read, is too large or is not JSON.
    """
    try:
        if path.stat().st_size > _LARGEST:
            raise InputFileError(f"{path} is larger than {_LARGEST} bytes: give a file of cases")
        return Entry(json.loads(path.read_text(encoding="utf-8-sig")), str(path))
    except OSError as error:
        raise InputFileError(f"{path} cannot be read ({error.strerror}): give the folder of the cases") from error
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise InputFileError(f"{path} is not JSON: {error}") from error
