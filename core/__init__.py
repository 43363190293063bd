"""The contract that adapters implement, and the numerics; neither mosaik nor SUMO is imported here."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .adapter import Adapter as Adapter
    from .adapter import Event as Event
    from .adapter import Placement as Placement
    from .adapter import Step as Step
    from .clock import Clock as Clock
    from .errors import CosimError as CosimError
    from .errors import InputFileError as InputFileError
    from .errors import PortError as PortError
    from .errors import ScenarioError as ScenarioError
    from .errors import UnitError as UnitError
    from .ports import Input as Input
    from .ports import Output as Output
    from .ports import Port as Port

# Loaded when first asked for: the command line's help needs the errors, not the ports' numpy.
_HOME = {
    "Adapter": "adapter",
    "Clock": "clock",
    "CosimError": "errors",
    "Event": "adapter",
    "Input": "ports",
    "InputFileError": "errors",
    "Output": "ports",
    "Placement": "adapter",
    "Port": "ports",
    "PortError": "errors",
    "ScenarioError": "errors",
    "Step": "adapter",
    "UnitError": "errors",
}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'cosim.core' has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)
