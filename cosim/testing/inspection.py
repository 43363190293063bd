"""What does each check say of one adapter: passed, failed with a fix, or beside the point?"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from cosim.core.conformance import Finding
from cosim.core.errors import CosimError

from . import continuation, placement  # noqa: F401  in the order in which their checks are made
from .checks import CHECKS, DoesNotApply
from .rig import ConformanceError, Factory, Rig

Status: TypeAlias = Literal["passed", "failed", "excused", "skipped"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one check says of an adapter; ``reason`` tells why it was skipped, or why its failure is excused."""

    check: str
    status: Status
    findings: tuple[Finding, ...] = ()
    reason: str = ""
    cause: BaseException | None = None


class Inspection:
    """All checks on one adapter; each is made once, and not where what it rests on has failed.

    Parameters
    ----------
    rig
        Builds and drives the adapter.

    Raises
    ------
    CosimError
        If the rig expects a failure of a check that does not exist.
    """

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self._verdicts: dict[str, Verdict] = {}
        if unknown := rig.expected_failures.keys() - CHECKS.keys():
            raise CosimError(
                f"expected_failures names {', '.join(map(repr, sorted(unknown)))}: the checks are {', '.join(CHECKS)}"
            )

    @classmethod
    def of(cls, factory: Factory | Rig, **options: Any) -> Inspection:
        """Return the inspection of what a factory builds, or of a rig."""
        return cls(factory if isinstance(factory, Rig) else Rig(factory, **options))

    names = tuple(CHECKS)
    """The checks in the order in which they are made."""

    def verdicts(self) -> Iterator[Verdict]:
        """Yield the verdict of every check, as it is made."""
        return (self.verdict(name) for name in self.names)

    def verdict(self, name: str) -> Verdict:
        """Return the verdict of one check."""
        if name not in self._verdicts:
            self._verdicts[name] = self._make(name)
        return self._verdicts[name]

    def _make(self, name: str) -> Verdict:
        check, excuse = CHECKS[name], self.rig.expected_failures.get(name, "")
        for needed in check.after:
            if self.verdict(needed).status != "passed":
                return Verdict(name, "skipped", reason=f"needs {needed!r}")
        findings: tuple[Finding, ...]
        cause: BaseException
        try:
            check.function(self.rig)
        except DoesNotApply as reason:
            return Verdict(name, "skipped", reason=str(reason))
        except ConformanceError as error:
            findings, cause = tuple(error.findings), error
        except (Exception, SystemExit) as error:
            frame = traceback.extract_tb(error.__traceback__)[-1]
            findings = (
                Finding(
                    f"raised {type(error).__name__}: {error} ({Path(frame.filename).name}, line {frame.lineno})",
                    "make it work under the demand of this check: " + check.demand,
                ),
            )
            cause = error
        else:
            if not excuse:
                return Verdict(name, "passed")
            findings = (Finding("passes, although expected_failures excuses it", f"take {name!r} out of it"),)
            return Verdict(name, "failed", findings)
        return Verdict(name, "excused" if excuse else "failed", findings, excuse, cause)

    def test(self, name: str) -> Callable[[], None]:
        """Return a function that makes one check under pytest: it raises, is expected to fail, skips or returns."""

        def check() -> None:
            import pytest

            verdict = self.verdict(name)
            if verdict.status == "failed":
                raise ConformanceError(verdict.findings) from verdict.cause
            if verdict.status == "excused":
                pytest.xfail(verdict.reason)
            if verdict.status == "skipped":
                pytest.skip(verdict.reason)

        return check
