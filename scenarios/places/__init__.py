"""Any real city from an OpenStreetMap file: the folder that is made of it, and the twin that runs it."""

from cosim.scenarios.places.commands import app

__all__ = ["app"]
