"""Data that arrive while a run goes on: feeds from MQTT topics and growing files, and outputs published."""

from .adapter import Feed
from .measured import Measured
from .publisher import Publisher

__all__ = [
    "Feed",
    "Measured",
    "Publisher",
]
