"""Functional mock-up units (FMI 2 and 3) as adapters."""

from .adapter import Fmu, Variable

__all__ = [
    "Fmu",
    "Variable",
]
