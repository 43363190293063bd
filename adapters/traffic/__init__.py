"""SUMO traffic: the adapter with its session, files, network, demand, controls and measures."""

from .adapter import Traffic
from .options import Fidelity

__all__ = [
    "Fidelity",
    "Traffic",
]
