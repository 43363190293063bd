"""How close is the building kernel to the published cases?"""

from cosim.scenarios.validation.commands import app

__all__ = ["app"]
