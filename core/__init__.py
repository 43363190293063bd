"""The contract that simulators meet, and the numerics: no mosaik, no SUMO."""

from .adapter import Adapter, Event, Placement, Step
from .clock import Clock
from .errors import CosimError, InputFileError, PortError, ScenarioError, UnitError
from .ports import Input, Output, Port

__all__ = [
    "Adapter",
    "Clock",
    "CosimError",
    "Event",
    "Input",
    "InputFileError",
    "Output",
    "Placement",
    "Port",
    "PortError",
    "ScenarioError",
    "Step",
    "UnitError",
]
