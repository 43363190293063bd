"""Departures and arrivals of trips, counted by zone, and checks of the places that a run names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cosim.core import CosimError
from cosim.core.quantities import Vector

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from cosim.adapters.traffic.network import Network


def check_places(
    network: Network, zones: Mapping[str, str], stops: Sequence[tuple[str, float]], net: str, *, is_meso: bool
) -> None:
    """Refuse zones and stops of edges that the network does not have, and stops in a mesoscopic run.

    Raises
    ------
    CosimError
        With the first of them.
    """
    edges = set(network.labels)
    if lost := sorted(zones.keys() - edges):
        raise CosimError(f"zones names edge {lost[0]!r}, which {net} does not have")
    if stops and is_meso:
        raise CosimError("stops are for fidelity='micro': SUMO's mesoscopic model cannot end a stop early")
    if astray := [lane for lane, _ in stops if lane.rpartition("_")[0] not in edges]:
        raise CosimError(f"stops names lane {astray[0]!r}, whose edge {net} does not have")


class ZoneCounts:
    """Counts who departs from and arrives in each zone.

    Parameters
    ----------
    zones
        The zone of every edge that counts.
    labels
        The zones, in the order of the counts.
    """

    def __init__(self, zones: Mapping[str, str], labels: Sequence[str]) -> None:
        self._zones = zones
        self._row = {zone: i for i, zone in enumerate(labels)}

    def origins(self, api: Any, departed: Iterable[str]) -> dict[str, str]:
        """Return where those departed from who are still on their way."""
        if not self._row:
            return {}
        present = set(api.vehicle.getIDList())
        return {v: api.vehicle.getRoute(v)[0] for v in departed if v in present}

    def count(
        self, departed: Iterable[str], origins: Mapping[str, str], ended: Iterable[Element]
    ) -> tuple[Vector, Vector]:
        """Return the departures and arrivals of a step, shape (n_zones,) each.

        Parameters
        ----------
        departed, origins
            Who departed, and the edges where those began who are still on their way.
        ended
            SUMO's information on the trips that have ended.
        """
        left, reached = np.zeros(len(self._row)), np.zeros(len(self._row))
        if self._row:
            known = dict(origins)
            for trip in ended:
                known.setdefault(trip.get("id", ""), trip.get("departLane", "").rpartition("_")[0])
                zone = self._zones.get(trip.get("arrivalLane", "").rpartition("_")[0])
                if zone is not None and not trip.get("vaporized") and not trip.get("arrival", "").startswith("-"):
                    reached[self._row[zone]] += 1
            for v in departed:
                if (zone := self._zones.get(known.get(v, ""))) is not None:
                    left[self._row[zone]] += 1
        return left, reached
