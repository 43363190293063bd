"""What went wrong, where, by which rule, and what to do about it: every error a user can cause."""

from __future__ import annotations

from collections.abc import Sequence


class CosimError(Exception):
    """An error whose message a user can act on: object, what was got, the rule, the remedy."""


class PortError(CosimError):
    """A value, unit or label that a port does not take."""


class UnitError(PortError):
    """A unit that is unknown, or two units that do not convert into each other."""


class InputFileError(CosimError):
    """A file that is missing, malformed or not to be trusted."""


class ScenarioError(CosimError):
    """Everything that is wrong with a scenario, collected while it is built.

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
