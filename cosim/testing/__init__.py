"""Does an adapter keep the contract? Checks for any adapter, from a test, from Python, or by ``cosim check``.

In a test module, one test per adapter and check, in which every failure says how to mend it::

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
    """Check an adapter and report everything that fails together.

    Parameters
    ----------
    factory
        What builds the adapter: a class or function that needs no arguments, or a `Rig`.
    **options
        Of the `Rig`: ``step_s``, ``n_steps``, ``inputs``, ``seed``, ``expected_failures``.

    Raises
    ------
    ConformanceError
        With every finding and its fix.
    """
    inspection = Inspection.of(factory, **options)
    failed = [v for v in inspection.verdicts() if v.status == "failed"]
    if failed:
        findings = [Finding(f"{v.check}: {f.problem}", f.fix) for v in failed for f in v.findings]
        raise ConformanceError(findings, f"{inspection.rig.name} fails {len(failed)} of the checks:")


def parametrize_with_checks(factories: Iterable[Factory | Rig], **options: Any) -> pytest.MarkDecorator:
    """Return the pytest decorator that turns a test of one argument, ``check``, into one test per adapter and check.

    Parameters
    ----------
    factories
        What builds each adapter, or a `Rig`.
    **options
        Of the `Rig`, for those that are not one already.
    """
    import pytest

    inspections = [Inspection.of(factory, **options) for factory in factories]
    return pytest.mark.parametrize("check", [
        pytest.param(inspection.test(name), id=f"{inspection.rig.name}-{name.replace(' ', '_')}")
        for inspection in inspections
        for name in inspection.names
    ])  # fmt: skip
