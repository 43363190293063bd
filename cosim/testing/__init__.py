"""Conformance checks for any adapter, run from a test, from Python, or by ``cosim check``.

In a test module there is one test per adapter and check, and every failure states the fix::

    from cosim.testing import parametrize_with_checks

    @parametrize_with_checks([MyAdapter, lambda: MyAdapter(buses=3)])
    def test_my_adapter_keeps_the_contract(check):
        check()
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from cosim.core.conformance import Finding

from .inspection import Inspection, Verdict
from .rig import ConformanceError, Factory, Rig

if TYPE_CHECKING:
    import pytest

__all__ = ["ConformanceError", "Finding", "Inspection", "Rig", "Verdict", "check_adapter", "parametrize_with_checks"]


def check_adapter(factory: Factory | Rig, **options: Any) -> None:
    """Check an adapter and report all failures together.

    Parameters
    ----------
    factory
        Builds the adapter: a class or function without required arguments, or a `Rig`.
    **options
        Options of the `Rig`: ``step_s``, ``n_steps``, ``inputs``, ``seed``, ``expected_failures``.

    Raises
    ------
    ConformanceError
        If a check fails; it lists every finding with its fix.
    """
    inspection = Inspection.of(factory, **options)
    failed = [v for v in inspection.verdicts() if v.status == "failed"]
    if failed:
        findings = [Finding(f"{v.check}: {f.problem}", f.fix) for v in failed for f in v.findings]
        raise ConformanceError(findings, f"{inspection.rig.name} fails {len(failed)} checks:")


def parametrize_with_checks(factories: Iterable[Factory | Rig], **options: Any) -> pytest.MarkDecorator:
    """Return the pytest decorator that turns a test of one argument, ``check``, into one test per adapter and check.

    Parameters
    ----------
    factories
        Builds each adapter: a class or function without required arguments, or a `Rig`.
    **options
        Options of the `Rig`, for factories that are not a `Rig` already.
    """
    import pytest

    inspections = [Inspection.of(factory, **options) for factory in factories]
    return pytest.mark.parametrize(
        "check",
        [
            pytest.param(inspection.test(name), id=f"{inspection.rig.name}-{name.replace(' ', '_')}")
            for inspection in inspections
            for name in inspection.names
        ],
    )
