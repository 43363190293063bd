"""Fleet plans from a city's demand: trips, parking places, chargers and initial states of charge."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from cosim import CosimError
from cosim.core.fleet.detours import CIRCUITY
from cosim.core.fleet.model import FleetModel
from cosim.core.fleet.plan import FleetPlan
from cosim.core.fleet.state import FleetSignals
from cosim.core.fleet.strategies import DayProfile, Delayed, GridLimited, Plain, PvFollowing, Strategy, ValleyFilling
from cosim.core.quantities import DAY_S, Array
from cosim.core.random import uniform
from cosim.scenarios.built import built_once
from cosim.scenarios.mobility.cars import ELECTRIC, ONBOARD_W, vehicle_types
from cosim.scenarios.mobility.chargers import EFFICIENCY, WALK_M
from cosim.scenarios.mobility.drives import Demand
from cosim.scenarios.mobility.population import Habits, activity_chains
from cosim.scenarios.mobility.resident_cars import OUTSIDE

STRATEGIES: dict[str, Callable[[], Strategy]] = {
    "plain": Plain,
    "delayed": Delayed,
    "valley": ValleyFilling,
    "pv": PvFollowing,
    "grid-limited": GridLimited,
}
"""Charging strategies by name; those that follow a price need one and are created in Python."""
OFFERS = 5
"""Maximum number of chargers that a driver tries at one place. Assumption."""
J_PER_M = 0.18 * 3600
"""Planned driving energy: 180 Wh/km, the annual mean of a medium-sized car with heating. Assumption. [J/m]"""
MPS = 25 / 3.6
"""Planned mean speed. [m/s] Assumption."""
TARGET_AFTER_S = 4 * 3600.0
"""A stay of at least this length has a full battery as its target, a shorter one what the next trips need. [s]
Assumption."""
PLUG_IN_SOC = (0.5, 0.95)
"""State of charge below which a driver plugs in, drawn uniformly from this range for each. Chosen so that drivers plug
in about three times a week from a battery more than half full, as in the Electric Nation trial (Western Power
Distribution and EA Technology, results of February 2019); (1, 1): whenever it is not full. [1]"""


def fleet_plan(
    demand: Demand,
    sites: pd.DataFrame,
    chargers: pd.DataFrame,
    seed: int = 0,
    *,
    begin_s: float = 0.0,
    transformer_of: Mapping[str, str] | None = None,
    ratings: Mapping[str, float] | None = None,
    plug_in_soc: tuple[float, float] = PLUG_IN_SOC,
    cars: Mapping[str, Any] | None = None,
    strategy: Strategy | None = None,
    base_load: Array | None = None,
) -> FleetPlan:
    """Return the electric cars of residents with their trips, and where they park and charge.

    Cars begin where and as charged as their drives on the days before, `Demand.before`, and this day's earlier ones
    have left them: about as many charge at the first midnight as at any other.

    Parameters
    ----------
    demand
        As returned by `city_demand`; the traffic simulates the trips of its electric vehicles.
    sites
        Buildings with ``x``, ``y`` [m]: the places where cars park, each a zone of its own.
    chargers
        As returned by `place_chargers`; rows of ``kind`` "fast" are fast chargers. A building's cars use its own
        charger first, then the public ones within 300 m.
    begin_s
        Time from the first midnight to the start of the run; earlier trips have been made as planned. [s]
    transformer_of, ratings
        The transformer that supplies each charger, and the ratings [W], as returned by `transformers`.
    plug_in_soc
        Range of the drivers' plug-in thresholds; see `PLUG_IN_SOC`.
    cars
        Further columns of the table of vehicles, e.g. ``{"discharge_w": 7400.0}``.
    strategy, base_load
        Charging strategy on the days before, plain by default, and the load of the transformers without cars [W]; see
        `settle`.

    Raises
    ------
    CosimError
        If the demand has no places, a charger has no transformer, or anything in the plan is out of range.
    """
    if "origin" not in demand.vehicles:
        raise CosimError("the demand has no origins and destinations: create it with city_demand")
    today = demand.vehicles[demand.vehicles["electric"] & (demand.vehicles["origin"] != "")]
    tables = [table for table in (demand.before, today) if len(table)]
    rows = pd.concat(tables or [today])
    inside_m = rows["inside_m"].to_numpy(float)
    outside_m = rows["outside_km"].to_numpy(float) * 1000
    comes_in = rows["origin"] == OUTSIDE
    trips = pd.DataFrame(
        {
            "vehicle": rows["car"],
            "depart_s": rows["depart_s"].astype(float),
            "duration_s": np.maximum((inside_m + outside_m) / MPS, 60.0),
            "energy_j": (inside_m + outside_m) * J_PER_M,
            "approach_j": np.where(comes_in, outside_m, 0.0) * J_PER_M,
            "outside_j": np.where(comes_in, 0.0, outside_m) * J_PER_M,
            "origin": rows["origin"],
            "destination": rows["destination"],
        },
        index=rows.index,
    ).sort_values("depart_s")
    first = rows.sort_values("depart_s").drop_duplicates("car").set_index("car")
    capacity = vehicle_types()["capacity_wh"]
    labels = [str(label) for label in first.index]
    vehicles = pd.DataFrame(
        {
            "capacity_j": [capacity[kind] * 3600 for kind in first["type"]],
            "soc": [wh / capacity[kind] for wh, kind in zip(first["charge_wh"], first["type"])],
            "home": first["origin"].to_numpy(),
            "ac_w": ONBOARD_W / EFFICIENCY,
            "plug_in_soc": plugs_in_below(labels, seed, plug_in_soc),
            "drive_j_per_m": J_PER_M,
            "target_after_s": TARGET_AFTER_S,
            **(cars or {}),
        },
        index=labels,
    )
    places, stations = parking_places(sites, chargers), charging_stations(chargers, transformer_of)
    early_s = -DAY_S * np.floor(trips["depart_s"].min() / DAY_S) if len(demand.before) else 0.0
    whole = FleetPlan.from_tables(
        vehicles, trips.assign(depart_s=trips["depart_s"] + early_s), places, stations, ratings
    )

    def settled() -> pd.DataFrame:
        return pd.DataFrame(settle(whole, early_s + begin_s, strategy=strategy, base_load=base_load))

    if strategy is None or (type(strategy) is Plain and not vars(strategy)):  # plain whatever the load
        state = built_once("state of charge", {"plan": whole, "until_s": early_s + begin_s}, settled)
    else:
        state = settled()
    later = trips[trips["depart_s"] > begin_s] if begin_s else trips[trips["depart_s"] >= 0]
    return FleetPlan.from_tables(
        vehicles.assign(**{name: column.to_numpy() for name, column in state.items()}),
        later.assign(depart_s=later["depart_s"] - begin_s),
        places,
        stations,
        ratings,
    )


def settle(
    plan: FleetPlan,
    until_s: float,
    step_s: float = 600.0,
    *,
    strategy: Strategy | None = None,
    base_load: Array | None = None,
) -> dict[str, Any]:
    """Return the state of vehicles after some time in which every trip went as planned.

    Charging that the run's strategy defers past midnight is deferred before the run too: over a day about as much is
    charged as driven.

    Parameters
    ----------
    plan
        Vehicles and trips from a midnight on.
    until_s
        Time from this midnight on. [s] With 0 the states of charge stay as planned.
    step_s
        Step. [s]
    strategy
        Charging strategy; plain by default.
    base_load : shape (n_transformers, n_slots)
        Load of the transformers without the fleet, in equal slots from midnight on; zero by default. [W]

    Returns
    -------
    dict
        Columns ``soc``, ``plugged`` and ``home`` (where a vehicle is or is driving to) of the vehicles' table.
    """
    strategy = Plain() if strategy is None else strategy
    base = DayProfile(len(plan.transformer_ids), np.zeros(1) if base_load is None else base_load)
    calm = FleetSignals.calm(plan)
    model = FleetModel(plan, strategy, notice_s=step_s)
    for k in range(round(until_s / step_s)):
        model.advance(k * step_s, step_s, replace(calm, base_w=base.ahead(k * step_s)[:, 0]))
    driven, place = model.state.driven_trip, model.state.place.copy()
    away = np.flatnonzero(driven >= 0)
    away = away[plan.depart_s[driven[away]] <= until_s]  # vehicles that are about to leave are not away
    place[away] = plan.destination[driven[away]]
    # Whoever is left behind by a failed trip has been fetched by the next morning.
    trip = model.state.trip
    fetched = (driven < 0) & (trip >= 0) & plan.begins_day(0.0)[trip]
    place[fetched] = plan.origin[trip[fetched]]
    return {
        "soc": np.clip(model.soc, 0.0, 1.0),
        "plugged": (model.state.station >= 0).astype(float),
        "home": [plan.place_ids[i] for i in place],
    }


def plugs_in_below(labels: Sequence[str], seed: int, between: tuple[float, float] = PLUG_IN_SOC) -> Array:
    """Return the state of charge below which each driver plugs in, shape (n_labels,).

    Raises
    ------
    CosimError
        If the range is not within 0 and 1.
    """
    low, high = between
    if not 0 <= low <= high <= 1:
        raise CosimError(f"plug_in_soc is {between}: give two states of charge from 0 to 1, the lower one first")
    below: Array = low + (high - low) * uniform(seed, "plugs in below", labels)
    return below


def charging_stations(chargers: pd.DataFrame, transformer_of: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Return the table of charging stations of a fleet plan, each with its transformer."""
    stations = chargers[["power_w", "points", "efficiency", "x", "y"]].assign(fast=chargers["kind"] == "fast")
    if transformer_of is None:
        return stations
    if lost := [c for c in stations.index if c not in transformer_of]:
        raise CosimError(f"charger {lost[0]!r} is not supplied by any transformer: add it to the city's grid")
    return stations.assign(transformer=[transformer_of[str(c)] for c in stations.index])


def parking_places(sites: pd.DataFrame, chargers: pd.DataFrame) -> pd.DataFrame:
    """Return a parking place at every building, with the chargers within walking distance, and one outside."""
    public = chargers[chargers["kind"] == "street"]
    own: dict[str, list[str]] = {}
    inside = chargers.loc[chargers["kind"] == "building", "site"]
    for charger, site in zip(inside.index, inside):
        own.setdefault(str(site), []).append(str(charger))
    doors, posts = sites[["x", "y"]].to_numpy(float), public[["x", "y"]].to_numpy(float)
    within = cKDTree(posts).query_ball_point(doors, WALK_M + 1e-6) if len(posts) else [[]] * len(doors)
    names = [str(label) for label in public.index]
    offers = []
    for site, door, reach in zip(sites.index, doors, within, strict=True):
        around = np.array(sorted(reach), np.int64)
        away = np.hypot(*(door - posts[around]).T)
        near = [names[k] for k in around[np.argsort(away, kind="stable")][: (away <= WALK_M).sum()]]
        offers.append(tuple([*own.get(str(site), []), *near][:OFFERS]))
    places = pd.DataFrame(
        {"x": sites["x"].to_numpy(float), "y": sites["y"].to_numpy(float), "stations": offers},
        index=[str(site) for site in sites.index],
    )
    middle = sites[["x", "y"]].to_numpy(float).mean(axis=0) if len(sites) else np.zeros(2)
    outside = pd.DataFrame({"x": middle[0], "y": middle[1], "stations": [()]}, index=[OUTSIDE])
    return pd.concat([places, outside])


def district_fleet(
    sites: pd.DataFrame,
    seed: int = 0,
    habits: Habits | None = None,
    *,
    days: int = 1,
    charger_w: float = 7_400.0,
    plug_in_soc: tuple[float, float] = PLUG_IN_SOC,
    cars: Mapping[str, Any] | None = None,
) -> FleetPlan:
    """Return a plan in which all cars of a district's residents are electric, each with a charger at home.

    It needs no traffic, as every trip goes as planned: for studies of charging alone.

    Parameters
    ----------
    sites, seed, habits
        See `activity_chains`.
    days
        Number of working days.
    charger_w
        Power of each home charger. [W]
    plug_in_soc
        See `fleet_plan`.
    cars
        Further columns of the table of vehicles.
    """
    chains = pd.concat({day: activity_chains(sites, seed, habits, day=day) for day in range(days)}, names=["day"])
    chains = chains[chains["mode"] == "car"].reset_index()
    labels = list(dict.fromkeys(chains["person"]))
    home = {person: person.rsplit(".p", 1)[0] for person in labels}
    xy = sites[["x", "y"]].to_numpy(float)
    row = {str(site): i for i, site in enumerate(sites.index)}
    metres = chains["outside_km"].to_numpy(float) * 1000
    inner = ((chains["origin"] != "") & (chains["destination"] != "")).to_numpy()
    start, end = (xy[[row[site] for site in chains.loc[inner, c]]] for c in ("origin", "destination"))
    metres[inner] = CIRCUITY * np.hypot(*(start - end).reshape(-1, 2).T)
    duration = np.maximum(metres / (2 * MPS), 120.0)  # most of it outside the city, where cars go twice as fast

    def named(column: str) -> list[str]:
        at_home = chains[column] == chains["person"].map(home)
        return [
            f"{p} at home" if h else place or OUTSIDE for p, h, place in zip(chains["person"], at_home, chains[column])
        ]

    trips = pd.DataFrame(
        {
            "vehicle": chains["person"],
            "depart_s": chains["day"] * DAY_S + chains["depart_s"],
            "duration_s": duration,
            "energy_j": metres * J_PER_M,
            "origin": named("origin"),
            "destination": named("destination"),
        }
    )
    trips.index = chains["trip"].tolist()
    models = np.array([vehicle_types()["capacity_wh"][model] for model in ELECTRIC])
    vehicles = pd.DataFrame(
        {
            "capacity_j": 3600 * models[(uniform(seed, "electric model", labels) * len(models)).astype(int)],
            "soc": 0.5 + 0.45 * uniform(seed, "charge", labels),
            "home": [f"{p} at home" for p in labels],
            "plug_in_soc": plugs_in_below(labels, seed, plug_in_soc),
            "drive_j_per_m": J_PER_M,
            "target_after_s": TARGET_AFTER_S,
            **(cars or {}),
        },
        index=labels,
    )
    at_home = pd.DataFrame(
        {"zone": [home[p] for p in labels], "stations": [(f"charger of {p}",) for p in labels]},
        index=vehicles["home"].tolist(),
    )
    elsewhere = sorted((set(trips["origin"]) | set(trips["destination"])) - set(at_home.index))
    others = pd.DataFrame({"zone": elsewhere, "stations": [()] * len(elsewhere)}, index=elsewhere)
    stations = pd.DataFrame({"power_w": charger_w, "efficiency": EFFICIENCY}, index=[f"charger of {p}" for p in labels])
    return FleetPlan.from_tables(vehicles, trips, pd.concat([at_home, others]), stations)
