"""Validation of the building kernel against published test cases."""

from cosim.scenarios.validation.commands import app

__all__ = ["app"]
