"""Exceptions for every error that a user can cause."""

from __future__ import annotations

from collections.abc import Sequence


class CosimError(Exception):
    """An error that a user can act on; the message gives the object, the value received, the rule and the remedy."""


class PortError(CosimError):
    """A value, unit or label that a port does not accept."""


class UnitError(PortError):
    """An unknown unit, or two units that cannot be converted into each other."""


class InputFileError(CosimError):
    """A file that is missing, malformed or not trusted."""


class ScenarioError(CosimError):
    """All problems of a scenario, collected while it is built.

    >>> print(ScenarioError(["a is wrong", "b is wrong"]))
    2 problems:
      a is wrong
      b is wrong
    """

    def __init__(self, problems: Sequence[str] | str) -> None:
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        text = self.problems[0]
        if len(self.problems) > 1:
            text = f"{len(self.problems)} problems:\n  " + "\n  ".join(self.problems)
        super().__init__(text)
