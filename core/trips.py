"""States of a trip and answers to its departure, as traffic and fleet exchange them."""

from __future__ import annotations

from enum import IntEnum


class TripState(IntEnum):
    """What the traffic publishes of a trip."""

    AS_PLANNED = -1
    """Nothing is known: the trip goes as planned."""
    WAITING = 0
    """Not departed."""
    DRIVING = 1
    ARRIVED = 2
    REMOVED = 3
    """Removed on its way, or never inserted."""
    STANDING = 4
    """At the charger by way of which it is made."""


class MayDepart(IntEnum):
    """What the fleet answers to a trip that is due."""

    NEVER = -1
    NOT_YET = 0
    NOW = 1
