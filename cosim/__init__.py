"""Co-simulation of traffic, buildings and the electric grid for urban digital twins."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cosim.engine.member import RunError as RunError
    from cosim.engine.remote import Remote as Remote
    from cosim.engine.scenario import Scenario as Scenario
    from cosim.results.comparison import compare as compare
    from cosim.results.indicator import Indicator as Indicator
    from cosim.results.layers import Layer as Layer
    from cosim.results.result import Result as Result
    from cosim.study.study import Study as Study

    from .core import Adapter as Adapter
    from .core import Clock as Clock
    from .core import CosimError as CosimError
    from .core import Input as Input
    from .core import Output as Output
    from .core import ScenarioError as ScenarioError
    from .core import Step as Step
    from .helics_export import as_helics as as_helics
    from .mosaik_export import as_mosaik as as_mosaik

# Loaded when first asked for: a worker process needs the contract, not the engine's pandas, pyarrow and mosaik.
_HOME = {
    "Adapter": "core",
    "Clock": "core",
    "CosimError": "core",
    "Indicator": "results.indicator",
    "Input": "core",
    "Layer": "results.layers",
    "Output": "core",
    "Remote": "engine.remote",
    "Result": "results.result",
    "RunError": "engine.member",
    "Scenario": "engine.scenario",
    "ScenarioError": "core",
    "Step": "core",
    "Study": "study.study",
    "as_helics": "helics_export",
    "as_mosaik": "mosaik_export",
    "compare": "results.comparison",
}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'cosim' has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)
