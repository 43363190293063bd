"""Who drives what, when and from where to where, and where can it charge? A fleet's day as arrays, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from .errors import ScenarioError

Array: TypeAlias = npt.NDArray[np.float64]
Index: TypeAlias = npt.NDArray[np.int32]
Flags: TypeAlias = npt.NDArray[np.bool_]

UNLIMITED_W = 1e12
"""Rating of a transformer that never binds. [W]"""

# Column: (default, least, most); no default: the table must have it.
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


@dataclass(frozen=True)
class FleetPlan:
    """A fleet, its trips, and where it parks and charges.

    Built by `from_tables`; arrays of one element per vehicle, trip, place, station or transformer. Trips stand vehicle
    by vehicle in order of departure: those of vehicle ``i`` are ``first_trip[i]:first_trip[i + 1]``. The stations that
    place ``i`` offers, in order of preference, are ``offers[first_offer[i]:first_offer[i + 1]]``.
    """

    vehicle_ids: tuple[str, ...]
    trip_ids: tuple[str, ...]
    place_ids: tuple[str, ...]
    station_ids: tuple[str, ...]
    transformer_ids: tuple[str, ...]
    zone_ids: tuple[str, ...]
    vehicles: dict[str, Array]
    """Columns of the table of vehicles."""
    home: Index
    first_trip: Index
    trip_vehicle: Index
    depart_s: Array
    duration_s: Array
    energy_j: Array
    approach_j: Array
    outside_j: Array
    ahead_j: Array
    """Energy of this trip and of those after it, to the first destination that offers a charging station. [J]"""
    origin: Index
    destination: Index
    zone: Index
    place_xy: Array
    first_offer: Index
    offers: Index
    stations: dict[str, Array]
    """Columns of the table of stations."""
    transformer: Index
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
        """Check the tables and turn them into arrays.

        Parameters
        ----------
        vehicles
            One row per vehicle by its label: ``capacity_j`` of the battery and ``home``, the place where it stands at
            the start. Optional: ``soc`` at the start; ``plugged``, whether it is plugged in then, whatever its charge,
            and before others; ``ac_w`` and ``dc_w``, what it takes at most at a slow and a
            fast station, and ``discharge_w``, what it gives back at most, all at the grid's side [W];
            ``plug_in_soc``, below which its driver plugs in; ``target_soc`` that is guaranteed at departure from
            stays of at least ``target_after_s``, while a shorter stay guarantees what the next trips need;
            ``reserve_soc``, below which nobody sets off or gives back; ``drive_j_per_m`` for detours [J/m];
            ``persons`` in it; ``managed``, whether it obeys the strategy; ``detours``, whether it drives to a fast
            charger when it must.
        trips
            One row per trip by its label: ``vehicle``, ``depart_s``, ``duration_s`` and ``energy_j`` as planned,
            ``origin`` and ``destination`` among the places; optional ``approach_j`` and ``outside_j``, the parts of
            the energy that it uses beyond the network that the traffic simulates, before it comes in and after it has
            arrived at the network's border.
        places
            Where vehicles park: ``zone`` (the label itself by default), ``x``, ``y`` [m], and ``stations``, a tuple
            of stations in walking distance in order of preference (empty by default).
        stations
            Charging stations: ``power_w`` of each point, at the grid's side; optional ``points``, ``efficiency``
            (energy into the battery over energy from the grid), ``fast`` (direct current: a vehicle leaves the point
            when it has what it needs), ``public`` (whoever lacks charge may drive by a fast one), ``transformer``,
            ``least_voltage`` below which it stops [pu], ``x``, ``y``.
        transformers
            Rating of each transformer [W]; by default one that never binds.

        Raises
        ------
        ScenarioError
            With everything that is missing, out of range, unknown or out of order.
        """
        given = {"vehicles": vehicles, "trips": trips, "places": places, "stations": stations}
        ratings = {"grid": UNLIMITED_W} if transformers is None else {str(k): float(v) for k, v in transformers.items()}
        problems: list[str] = []
        columns = {name: _numbers(name, table, problems) for name, table in given.items()}
        ids = {name: tuple(map(str, table.index)) for name, table in given.items()}
        for name, labels in ids.items():
            if len(set(labels)) != len(labels):
                problems.append(f"{name} has a label twice: every row needs one of its own")
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
        zones = [str(zone) for zone in with_defaults("places", places)["zone"]]
        zone_ids = tuple(dict.fromkeys(zones))
        order = np.lexsort((columns["trips"]["depart_s"], driver))
        driver = driver[order]
        depart, duration, energy, approach, outside = (
            columns["trips"][c][order] for c in ("depart_s", "duration_s", "energy_j", "approach_j", "outside_j")
        )
        first_trip = np.searchsorted(driver, np.arange(len(vehicles) + 1)).astype(np.int32)
        return cls(
            ids["vehicles"], tuple(ids["trips"][k] for k in order), ids["places"], ids["stations"], tuple(ratings),
            zone_ids, columns["vehicles"], home, first_trip, driver, depart, duration, energy, approach,
            outside,
            _ahead(energy, driver, (np.diff(first_offer) > 0)[destination[order]]),
            origin[order], destination[order], _index(zones, zone_ids),
            np.stack([columns["places"]["x"], columns["places"]["y"]], axis=1), first_offer, offers,
            columns["stations"], transformer, np.array(list(ratings.values())),
        )  # fmt: skip

    @property
    def n_vehicles(self) -> int:
        """Number of vehicles."""
        return len(self.vehicle_ids)

    @property
    def n_stations(self) -> int:
        """Number of charging stations."""
        return len(self.station_ids)


def with_defaults(name: str, table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of a fleet with the optional columns that it has not, so that it can be joined with another.

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
    table = with_defaults(name, table)
    for column, (_, least, most) in _RULES[name].items():
        if column not in table:
            problems.append(f"{name} has no column {column!r}")
            found[column] = np.zeros(len(table))
            continue
        try:
            values = table[column].to_numpy(dtype=np.float64)
        except (TypeError, ValueError):
            problems.append(f"{name}[{column!r}] holds something that is not a number")
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


def _index(labels: list[str], among: tuple[str, ...]) -> Index:
    number = {label: i for i, label in enumerate(among)}
    return np.array([number.get(label, -1) for label in labels], dtype=np.int32)


def _places(table: Any, name: str, column: str, among: tuple[str, ...], problems: list[str]) -> Index:
    if column not in table:
        problems.append(f"{name} has no column {column!r}")
        return np.zeros(len(table), dtype=np.int32)
    labels = [str(label) for label in table[column]]
    found = _index(labels, among)
    if (found < 0).any():
        first = int(np.argmin(found))
        problems.append(f"{name}[{column!r}] of {str(table.index[first])!r} is {labels[first]!r}: there is none such")
    return found


def _offers(places: Any, stations: tuple[str, ...], problems: list[str]) -> tuple[Index, Index]:
    lists = [tuple(offer) for offer in with_defaults("places", places)["stations"]]
    first = np.concatenate([[0], np.cumsum([len(offer) for offer in lists])]).astype(np.int32)
    labels = [str(label) for offer in lists for label in offer]
    found = _index(labels, stations)
    if (found < 0).any():
        problems.append(f"places['stations'] names {labels[int(np.argmin(found))]!r}: there is no such station")
    return first, found


def _ahead(energy: Array, driver: Index, offered: Flags) -> Array:
    """Return each trip's energy and that of the trips after it, up to the first that ends where one can charge."""
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
