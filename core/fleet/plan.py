"""Validated arrays of a fleet's vehicles, trips, places and charging stations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cosim.core.errors import CosimError, ScenarioError
from cosim.core.quantities import DAY_S, Array, Flags, Indices, Indices32

UNLIMITED_W = 1e12
"""Rating of a transformer that never binds. [W]"""

# Column: (default, least, most); default None: the column is required.
_RULES: dict[str, dict[str, tuple[float | None, float, float]]] = {
    "vehicles": {
        "capacity_j": (None, 1.0, np.inf),
        "soc": (0.8, 0.0, 1.0),
        "plugged": (0.0, 0.0, 1.0),
        "ac_w": (11_000.0, 0.0, np.inf),
        "dc_w": (100_000.0, 0.0, np.inf),
        "discharge_w": (0.0, 0.0, np.inf),
        "plug_in_soc": (1.0, 0.0, 1.0),
        "target_soc": (1.0, 0.0, 1.0),
        "target_after_s": (0.0, 0.0, np.inf),
        "reserve_soc": (0.05, 0.0, 0.9),
        "drive_j_per_m": (540.0, 0.0, np.inf),
        "persons": (1.0, 0.0, np.inf),
        "managed": (1.0, 0.0, 1.0),
        "detours": (1.0, 0.0, 1.0),
    },
    "trips": {
        "depart_s": (None, 0.0, np.inf),
        "duration_s": (None, 1e-3, np.inf),
        "energy_j": (None, 0.0, np.inf),
        "approach_j": (0.0, 0.0, np.inf),
        "outside_j": (0.0, 0.0, np.inf),
    },
    "places": {"x": (0.0, -np.inf, np.inf), "y": (0.0, -np.inf, np.inf)},
    "stations": {
        "power_w": (None, 0.0, np.inf),
        "points": (1.0, 1.0, 1e6),
        "efficiency": (0.9, 0.01, 1.0),
        "fast": (0.0, 0.0, 1.0),
        "public": (1.0, 0.0, 1.0),
        "least_voltage": (0.85, 0.0, 2.0),
        "x": (0.0, -np.inf, np.inf),
        "y": (0.0, -np.inf, np.inf),
    },
}


@dataclass(frozen=True, kw_only=True)
class FleetPlan:
    """A fleet, its trips, and its parking places and charging stations.

    Built by `from_tables`; arrays of one element per vehicle, trip, place, station or transformer. Trips are sorted by
    vehicle and departure: those of vehicle ``i`` are ``first_trip[i]:first_trip[i + 1]``. The stations offered at
    place ``i``, in order of preference, are ``offers[first_offer[i]:first_offer[i + 1]]``.
    """

    vehicle_ids: tuple[str, ...]
    trip_ids: tuple[str, ...]
    place_ids: tuple[str, ...]
    station_ids: tuple[str, ...]
    transformer_ids: tuple[str, ...]
    zone_ids: tuple[str, ...]
    vehicles: dict[str, Array]
    """Columns of the table of vehicles."""
    home: Indices32
    first_trip: Indices32
    trip_vehicle: Indices32
    depart_s: Array
    duration_s: Array
    energy_j: Array
    approach_j: Array
    outside_j: Array
    ahead_j: Array
    """Energy of this trip and the following ones, up to the first destination with a charging station. [J]"""
    origin: Indices32
    destination: Indices32
    zone: Indices32
    place_xy: Array
    first_offer: Indices32
    offers: Indices32
    stations: dict[str, Array]
    """Columns of the table of stations."""
    transformer: Indices32
    rating_w: Array

    @classmethod
    def from_tables(
        cls,
        vehicles: pd.DataFrame,
        trips: pd.DataFrame,
        places: pd.DataFrame,
        stations: pd.DataFrame,
        transformers: Mapping[str, float] | None = None,
    ) -> FleetPlan:
        """Validate the tables and convert them into arrays.

        Parameters
        ----------
        vehicles
            One row per vehicle by its label: ``capacity_j`` of the battery and ``home``, the place where it is parked
            at the start. Optional: ``soc`` at the start; ``plugged``, whether it is plugged in then, regardless of its
            charge and before others; ``ac_w`` and ``dc_w``, its maximum power at slow and
            fast stations, and ``discharge_w``, its maximum power fed back, all on the grid side [W];
            ``plug_in_soc``, below which its driver plugs in; ``target_soc``, guaranteed at departure from
            stays of at least ``target_after_s``, while shorter stays guarantee the energy of the next trips;
            ``reserve_soc``, below which it neither departs nor feeds back; ``drive_j_per_m`` for detours [J/m];
            ``persons`` in it; ``managed``, whether it follows the strategy; ``detours``, whether it drives to a fast
            charger if necessary.
        trips
            One row per trip by its label: ``vehicle``, ``depart_s``, ``duration_s`` and ``energy_j`` as planned,
            ``origin`` and ``destination`` among the places; optional ``approach_j`` and ``outside_j``, the parts of
            the energy used outside the network that the traffic simulates, before the trip enters it and after it has
            reached the network's border.
        places
            Where vehicles park: ``zone`` (the label itself by default), ``x``, ``y`` [m], and ``stations``, a tuple
            of stations within walking distance in order of preference (empty by default).
        stations
            Charging stations: ``power_w`` of each point, on the grid side; optional ``points``, ``efficiency``
            (energy into the battery over energy from the grid), ``fast`` (direct current: a vehicle leaves the point
            once charged sufficiently), ``public`` (any vehicle short of charge may detour via a fast one),
            ``transformer``, ``least_voltage`` below which it stops [pu], ``x``, ``y``.
        transformers
            Rating of each transformer [W]; by default one that never binds.

        Raises
        ------
        ScenarioError
            With every value that is missing, out of range, unknown or out of order.
        """
        given = {"vehicles": vehicles, "trips": trips, "places": places, "stations": stations}
        ratings = {"grid": UNLIMITED_W} if transformers is None else {str(k): float(v) for k, v in transformers.items()}
        problems: list[str] = []
        columns = {name: _numbers(name, table, problems) for name, table in given.items()}
        ids = {name: tuple(map(str, table.index)) for name, table in given.items()}
        for name, labels in ids.items():
            if len(set(labels)) != len(labels):
                problems.append(f"{name} has duplicate labels: every row needs a label of its own")
        if not ids["vehicles"]:
            problems.append("vehicles is empty: a fleet needs at least one vehicle")
        for label, rating in ratings.items():
            if not rating > 0:
                problems.append(f"transformers[{label!r}] is {rating} W: a rating must be positive")
        home = _places(vehicles, "vehicles", "home", ids["places"], problems)
        driver = _places(trips, "trips", "vehicle", ids["vehicles"], problems)
        origin = _places(trips, "trips", "origin", ids["places"], problems)
        destination = _places(trips, "trips", "destination", ids["places"], problems)
        transformer = np.zeros(len(stations), dtype=np.int32)
        if "transformer" in stations:
            transformer = _places(stations, "stations", "transformer", tuple(ratings), problems)
        first_offer, offers = _offers(places, ids["stations"], problems)
        if problems:
            raise ScenarioError(problems)
        zones = [str(zone) for zone in _with_defaults("places", places)["zone"]]
        zone_ids = tuple(dict.fromkeys(zones))
        order = np.lexsort((columns["trips"]["depart_s"], driver))
        driver = driver[order]
        depart, duration, energy, approach, outside = (
            columns["trips"][c][order] for c in ("depart_s", "duration_s", "energy_j", "approach_j", "outside_j")
        )
        first_trip = np.searchsorted(driver, np.arange(len(vehicles) + 1)).astype(np.int32)
        return cls(
            vehicle_ids=ids["vehicles"],
            trip_ids=tuple(ids["trips"][k] for k in order),
            place_ids=ids["places"],
            station_ids=ids["stations"],
            transformer_ids=tuple(ratings),
            zone_ids=zone_ids,
            vehicles=columns["vehicles"],
            home=home,
            first_trip=first_trip,
            trip_vehicle=driver,
            depart_s=depart,
            duration_s=duration,
            energy_j=energy,
            approach_j=approach,
            outside_j=outside,
            ahead_j=_ahead(energy, driver, (np.diff(first_offer) > 0)[destination[order]]),
            origin=origin[order],
            destination=destination[order],
            zone=_index(zones, zone_ids),
            place_xy=np.stack([columns["places"]["x"], columns["places"]["y"]], axis=1),
            first_offer=first_offer,
            offers=offers,
            stations=columns["stations"],
            transformer=transformer,
            rating_w=np.array(list(ratings.values())),
        )

    @property
    def n_vehicles(self) -> int:
        """Number of vehicles."""
        return len(self.vehicle_ids)

    @property
    def first_of_vehicle(self) -> Indices:
        """The first trip of each vehicle, or -1 if it makes none, shape (n_vehicles,)."""
        return np.where(np.diff(self.first_trip) > 0, self.first_trip[:-1], -1)

    def begins_day(self, begin_s: float) -> Flags:
        """Return which trips are their vehicle's first on a civil day, shape (n_trips,).

        The first trip of all is one only where the run begins at midnight.

        Parameters
        ----------
        begin_s
            Second of the civil day at time 0.
        """
        day = (begin_s + self.depart_s) // DAY_S
        found: Flags = np.diff(day, prepend=0.0) != 0
        found[self.first_of_vehicle[self.first_of_vehicle >= 0]] = begin_s == 0
        return found

    @property
    def n_stations(self) -> int:
        """Number of charging stations."""
        return len(self.station_ids)


def join_plans(one: FleetPlan, other: FleetPlan) -> FleetPlan:
    """Return the plan of two fleets together, which must not share labels.

    Raises
    ------
    CosimError
        If they share a label.
    """
    names = ("vehicle_ids", "trip_ids", "place_ids", "station_ids", "transformer_ids", "zone_ids")
    ids = {name: (getattr(one, name), getattr(other, name)) for name in names}
    for name, (first, second) in ids.items():
        if shared := sorted(set(first) & set(second)):
            raise CosimError(f"two fleets have {name[:-4]} {shared[0]!r} in common: rename it in one of them")
    # Indices of the second fleet count on from the first one's.
    begins = {
        "home": "place_ids",
        "trip_vehicle": "vehicle_ids",
        "origin": "place_ids",
        "destination": "place_ids",
        "zone": "zone_ids",
        "offers": "station_ids",
        "transformer": "transformer_ids",
    }
    columns: dict[str, Any] = {name: first + second for name, (first, second) in ids.items()}
    for name, label in begins.items():
        shifted = getattr(other, name) + np.int32(len(ids[label][0]))
        columns[name] = np.concatenate([getattr(one, name), shifted])
    for name in ("first_trip", "first_offer"):
        first, second = getattr(one, name), getattr(other, name)
        columns[name] = np.concatenate([first, second[1:] + first[-1]])
    for name in ("depart_s", "duration_s", "energy_j", "approach_j", "outside_j", "ahead_j", "place_xy", "rating_w"):
        columns[name] = np.concatenate([getattr(one, name), getattr(other, name)])
    for name in ("vehicles", "stations"):
        first, second = getattr(one, name), getattr(other, name)
        columns[name] = {column: np.concatenate([first[column], second[column]]) for column in first}
    return FleetPlan(**columns)


def _with_defaults(name: str, table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of a fleet with the optional columns that it has not.

    Parameters
    ----------
    name
        ``"vehicles"``, ``"trips"``, ``"places"`` or ``"stations"``.
    table
        See `FleetPlan.from_tables`.
    """
    absent = {c: default for c, (default, *_) in _RULES[name].items() if default is not None and c not in table}
    full = table.assign(**absent)
    if name == "places":
        if "zone" not in table:
            full["zone"] = [str(label) for label in table.index]
        if "stations" not in table:
            full["stations"] = [()] * len(table)
    return full


def _numbers(name: str, table: pd.DataFrame, problems: list[str]) -> dict[str, Array]:
    found = {}
    table = _with_defaults(name, table)
    for column, (_, least, most) in _RULES[name].items():
        if column not in table:
            problems.append(f"{name} has no column {column!r}")
            found[column] = np.zeros(len(table))
            continue
        try:
            values = table[column].to_numpy(dtype=np.float64)
        except (TypeError, ValueError):
            problems.append(f"{name}[{column!r}] has a value that is not a number")
            values = np.zeros(len(table))
        good = np.isfinite(values) & (values >= least) & (values <= most)
        if not good.all():
            first = int(np.argmin(good))
            also = f" (and {(~good).sum() - 1} more)" if (~good).sum() > 1 else ""
            problems.append(
                f"{name}[{column!r}] of {str(table.index[first])!r} is {values[first]:g}{also}: "
                f"it must be finite and from {least:g} to {most:g}"
            )
        found[column] = values.copy()
    return found


def _index(labels: list[str], among: tuple[str, ...]) -> Indices32:
    number = {label: i for i, label in enumerate(among)}
    return np.array([number.get(label, -1) for label in labels], dtype=np.int32)


def _places(table: Any, name: str, column: str, among: tuple[str, ...], problems: list[str]) -> Indices32:
    if column not in table:
        problems.append(f"{name} has no column {column!r}")
        return np.zeros(len(table), dtype=np.int32)
    labels = [str(label) for label in table[column]]
    found = _index(labels, among)
    if (found < 0).any():
        first = int(np.argmin(found))
        problems.append(f"{name}[{column!r}] of {str(table.index[first])!r} is {labels[first]!r}: unknown label")
    return found


def _offers(places: Any, stations: tuple[str, ...], problems: list[str]) -> tuple[Indices32, Indices32]:
    lists = [tuple(offer) for offer in _with_defaults("places", places)["stations"]]
    first = np.concatenate([[0], np.cumsum([len(offer) for offer in lists])]).astype(np.int32)
    labels = [str(label) for offer in lists for label in offer]
    found = _index(labels, stations)
    if (found < 0).any():
        problems.append(f"places['stations'] names {labels[int(np.argmin(found))]!r}: unknown station")
    return first, found


def _ahead(energy: Array, driver: Indices32, offered: Flags) -> Array:
    """Return the energy of each trip and the following ones, up to the first destination with a charger."""
    n = len(energy)
    if n == 0:
        return energy
    stops = offered.copy()
    stops[-1] = True
    stops[:-1] |= driver[1:] != driver[:-1]
    until = np.minimum.accumulate(np.where(stops, np.arange(n), n)[::-1])[::-1]
    total = np.concatenate([[0.0], np.cumsum(energy)])
    found: Array = total[until + 1] - total[:-1]
    return found
