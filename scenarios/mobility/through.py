"""Traffic of others than residents: through traffic in counted numbers, kinds of vehicles."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from cosim.core.quantities import DAY_S, HOUR_S, Flags
from cosim.scenarios.mobility.drives import HOURLY_SHARE, CarDay
from cosim.scenarios.mobility.kinds import CAR, draw_kinds
from cosim.scenarios.streets.classes import StreetClass
from cosim.scenarios.streets.eixample import street_ways


@dataclass(frozen=True)
class Others:
    """Traffic of others than residents, where it is known better than per resident.

    Attributes
    ----------
    flows
        Through traffic: columns ``entry``, ``exit`` (edges), ``per_day`` (vehicles of a working day) and ``edges``
        (route, or empty for the shortest).
    mix
        Share of others' vehicles by kind, see `kinds`; cars only by default. Visitors come by all kinds but buses.
    by_hour
        Share of a working day's departures by hour.
    window_s
        Through traffic that departs outside this time from the first midnight on is left out. [s]
    first
        The first day.
    """

    flows: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=["entry", "exit", "per_day", "edges"]))
    mix: Mapping[str, float] = field(default_factory=lambda: {CAR: 1.0})
    by_hour: Sequence[float] = HOURLY_SHARE
    window_s: tuple[float, float] = (0.0, math.inf)
    first: dt.date | int = 0

    @property
    def ways(self) -> tuple[str, ...]:
        """Edges of the routes of flows, each once."""
        return tuple(dict.fromkeys(way for way in self.flows["edges"] if way))

    def legs(
        self, purpose: str, day: CarDay, trips_per_person: float, date: int | dt.date, factor: float = 1.0
    ) -> pd.DataFrame:
        """Return the drives of a purpose, ``"visit"`` or ``"through"``; by a factor more begin with the same."""
        if purpose == "visit":
            return day.visits(factor * trips_per_person, date)
        crossing = day.crossings(factor * trips_per_person, date)
        if self.flows.empty:
            return crossing
        flows = self.flows.assign(per_day=self.flows["per_day"] * factor)
        ago = date - self.first  # type: ignore[operator]
        begun_s = DAY_S * (ago.days if isinstance(ago, dt.timedelta) else ago)
        # an hour more on each side: summer time may begin or end
        between_s = self.window_s[0] - begun_s - HOUR_S, self.window_s[1] - begun_s + HOUR_S
        return pd.concat([crossing, day.flows(flows, date, between_s)])

    def cars(
        self, purpose: str, day: CarDay, trips_per_person: float, date: int | dt.date, factor: float = 1.0
    ) -> pd.DataFrame:
        """Return the drives of cars among `legs`."""
        found = self.legs(purpose, day, trips_per_person, date, factor)
        return found[is_car(found, self.kinds(found, day.seed))]

    def within(self, drives: pd.DataFrame) -> pd.DataFrame:
        """Return the drives without through traffic outside the window."""
        return drives[(drives["purpose"] != "through") | drives["depart_s"].between(*self.window_s)]

    def routes(self, drives: pd.DataFrame) -> dict[str, str]:
        """Return the edges of those drives whose flow has a route, separated by blanks."""
        ways = {(row.entry, row.exit): str(row.edges) for row in self.flows.itertuples() if row.edges}
        through = drives[drives["purpose"] == "through"]
        ends = zip(through.index, through["start"], through["end"], strict=True)
        return {vehicle: way for vehicle, start, end in ends if (way := ways.get((start, end)))}

    def kinds(self, drives: pd.DataFrame, seed: int) -> dict[str, str]:
        """Return the kind of every vehicle of others, by car."""
        if list(self.mix) == [CAR]:
            return {}
        each = drives.drop_duplicates("car")
        visit, through = (each["car"][each["purpose"] == purpose].tolist() for purpose in ("visit", "through"))
        private = {kind: share for kind, share in self.mix.items() if kind != "bus"}
        return draw_kinds(visit, seed, private) | draw_kinds(through, seed, self.mix)


def is_car(drives: pd.DataFrame, kinds: Mapping[str, str]) -> Flags:
    """Return which drives are those of cars, by the kinds of others' vehicles, shape (n_drives,)."""
    return np.array([kinds.get(car, CAR) == CAR for car in drives["car"]], bool)


TURNING = 0.2
"""Share of the through traffic that leaves by a crossing street. Assumption."""


def through_flows(n: int, m: int, classes: Mapping[str, StreetClass], share: float = 1.0) -> pd.DataFrame:
    """Return flows along every street and from street to street.

    Parameters
    ----------
    n, m, classes
        As in `eixample_streets`.
    share
        Traffic over that of the classes.

    Returns
    -------
    Columns ``entry``, ``exit``, ``per_day`` and ``edges``, as in `resident_cars.Others`. Those who turn do so at a
    crossing within the district, where and whereto in proportion to the traffic of the streets that they turn into.
    """
    ways = street_ways(n, m)
    both = {street: sum(1 for other, _ in ways if other == street) for street, _ in ways}
    volume = [classes[street].through_per_day / both[street] for street, _ in ways]
    rows = []
    for (street, way), vehicles in zip(ways, volume, strict=True):
        rows.append((way[0], way[-1], vehicles * (1 - TURNING), " ".join(way)))
        turns = {}
        for (other, further), into in zip(ways, volume, strict=True):
            if other[0] == street[0]:
                continue
            ends = {edge.split("-")[1]: k for k, edge in enumerate(way)}
            starts = {edge.split("-")[0]: k for k, edge in enumerate(further)}
            for crossing in ends.keys() & starts.keys():
                route = (*way[: ends[crossing] + 1], *further[starts[crossing] :])
                turns[route] = into
        for route, into in sorted(turns.items()):
            rows.append((route[0], route[-1], vehicles * TURNING * into / sum(turns.values()), " ".join(route)))
    found = pd.DataFrame(rows, columns=["entry", "exit", "per_day", "edges"])
    return found.assign(per_day=share * found["per_day"])[: None if share else 0]
