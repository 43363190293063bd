"""Any mosaik 3 simulator as an adapter."""

from .adapter import MosaikSimulator
from .description import Call, Entity, InputAttribute, OutputAttribute

__all__ = [
    "Call",
    "Entity",
    "InputAttribute",
    "MosaikSimulator",
    "OutputAttribute",
]
