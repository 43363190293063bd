"""Co-simulation of traffic, buildings and the electric grid for urban digital twins."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .bridge import RunError as RunError
    from .comparison import compare as compare
    from .core import Adapter as Adapter
    from .core import Clock as Clock
    from .core import CosimError as CosimError
    from .core import Input as Input
    from .core import Output as Output
    from .core import ScenarioError as ScenarioError
    from .core import Step as Step
    from .layers import Layer as Layer
    from .mosaik_export import as_mosaik as as_mosaik
    from .results import Indicator as Indicator
    from .results import Result as Result
    from .scenario import Scenario as Scenario
    from .study.campaign import Study as Study

# Loaded when first asked for: a worker process needs the contract, not the engine's pandas, DuckDB and mosaik.
_HOME = {
    "Adapter": "core",
    "Clock": "core",
    "CosimError": "core",
    "Indicator": "results",
    "Input": "core",
    "Layer": "layers",
    "Output": "core",
    "Result": "results",
    "RunError": "bridge",
    "Scenario": "scenario",
    "ScenarioError": "core",
    "Step": "core",
    "Study": "study.campaign",
    "as_mosaik": "mosaik_export",
    "compare": "comparison",
}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'cosim' has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)
