"""A federation of HELICS as an adapter."""

from .adapter import HelicsFederation
from .description import Publication, Receiver, Sender, Subscription

__all__ = [
    "HelicsFederation",
    "Publication",
    "Receiver",
    "Sender",
    "Subscription",
]
