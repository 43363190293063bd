"""The inspection of one adapter: a verdict for every check."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from cosim.core.conformance import Finding
from cosim.core.errors import CosimError

from . import continuation, placement  # noqa: F401  registers their checks, in this order
from .checks import CHECKS, DoesNotApply
from .rig import ConformanceError, Factory, Rig

CheckStatus: TypeAlias = Literal["passed", "failed", "excused", "skipped"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict of one check; ``reason`` states why it was skipped, or why its failure is excused."""

    check: str
    status: CheckStatus
    findings: tuple[Finding, ...] = ()
    reason: str = ""
    cause: BaseException | None = None


class Inspection:
    """All checks of one adapter; each runs once, and only if the checks that it depends on have passed.

    Parameters
    ----------
    rig
        Builds and drives the adapter.

    Raises
    ------
    CosimError
        If the rig expects a failure of an unknown check.
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
    """The checks in the order of execution."""

    def verdicts(self) -> Iterator[Verdict]:
        """Yield the verdict of every check, as it completes."""
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
                    "make it satisfy this check: " + check.demand,
                ),
            )
            cause = error
        else:
            if not excuse:
                return Verdict(name, "passed")
            findings = (Finding("passes, although expected_failures excuses it", f"remove {name!r} from it"),)
            return Verdict(name, "failed", findings)
        return Verdict(name, "excused" if excuse else "failed", findings, excuse, cause)

    def test(self, name: str) -> Callable[[], None]:
        """Return a function that runs one check under pytest: it fails, xfails, skips or passes."""

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
