"""How does a city's demand become a fleet that drives in its traffic and charges from its grid?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import networkx as nx
import numpy as np
import pandas as pd

from cosim import CosimError, Scenario
from cosim.core.fleet import FleetModel
from cosim.core.fleet_detours import CIRCUITY, is_on_the_way
from cosim.core.fleet_plan import Array, FleetPlan, with_defaults
from cosim.core.fleet_state import Signals
from cosim.core.fleet_strategies import (
    DayProfile,
    Delayed,
    GridLimited,
    Plain,
    PvFollowing,
    Strategy,
    ValleyFilling,
)
from cosim.core.mappings import link
from cosim.core.random import uniform
from cosim.scenarios.chargers import EFFICIENCY
from cosim.scenarios.demand import Demand
from cosim.scenarios.demand_cars import ELECTRIC, ONBOARD_W, vehicle_types
from cosim.scenarios.demand_city import OUTSIDE
from cosim.scenarios.population import DAY_S, Habits, activity_chains
from cosim.scenarios.streets import Net

STRATEGIES: dict[str, Callable[[], Strategy]] = {
    "plain": Plain, "delayed": Delayed, "valley": ValleyFilling, "pv": PvFollowing, "grid-limited": GridLimited,
}  # fmt: skip
"""Charging strategies by name; those that follow a price need one and are made in Python."""
WALK_M = 300.0
"""From a public charger to the door. [m] Assumption."""
OFFERS = 5
"""Chargers that a driver tries at most at one place. Assumption."""
J_PER_M = 0.18 * 3600
"""Driving energy that a plan expects: 180 Wh/km, a medium car of the year round with heating. Assumption. [J/m]"""
MPS = 25 / 3.6
"""Speed that a plan expects. [m/s] Assumption."""
TARGET_AFTER_S = 4 * 3600.0
"""Drivers want a full battery after a stay of this length, and from a shorter one what the next trips need. [s]
Assumption."""
PLUG_IN_SOC = (0.5, 0.95)
"""State of charge below which drivers plug in, drawn evenly between these for each. Chosen so that they plug in about
three times a week from a battery more than half full, as in the Electric Nation trial (Western Power Distribution and
EA Technology, results of February 2019); (1, 1): whenever it is not full. [1]"""


def fleet_plan(
    demand: Demand,
    net: Net,
    sites: pd.DataFrame,
    chargers: pd.DataFrame,
    seed: int = 0,
    *,
    begin_s: float = 0.0,
    transformer_of: Mapping[str, str] | None = None,
    ratings: Mapping[str, float] | None = None,
    plug_in_soc: tuple[float, float] = PLUG_IN_SOC,
    cars: Mapping[str, Any] | None = None,
    settle_days: int = 3,
    strategy: Strategy | None = None,
    base_load: Array | None = None,
) -> FleetPlan:
    """Return the electric cars of residents with their trips over the day, and where they park and charge.

    Parameters
    ----------
    demand
        As of `city_demand`: its electric vehicles' trips are what the traffic simulates.
    net
        The network, for the lengths of the routes.
    sites
        Buildings with ``x``, ``y`` [m]: the places where cars park, each a zone of its own.
    chargers
        As of `place_chargers`; a row of ``kind`` "fast" is a fast charger. A building's cars use its own charger
        first, then the public ones within 300 m.
    begin_s
        Second of the day at which the run begins; earlier trips have been made as planned.
    transformer_of, ratings
        The transformer behind each charger, and their ratings [W], as of `transformers`.
    plug_in_soc
        Between which states of charge each driver's habit of plugging in lies; see `PLUG_IN_SOC`.
    cars
        Further columns of the table of vehicles, e.g. ``{"discharge_w": 7400.0}``.
    settle_days
        Days before this one that bring the states of charge into their usual order; see `settle`.
    strategy, base_load
        How cars charge in these days, plainly by default, and what the transformers carry without them [W]; see
        `settle`.

    Raises
    ------
    CosimError
        If the demand has no places, a charger has no transformer, or anything in the plan is out of range.
    """
    if "origin" not in demand.vehicles:
        raise CosimError("the demand says not from where to where its cars go: make it with city_demand")
    rows = demand.vehicles[demand.vehicles["electric"] & (demand.vehicles["origin"] != "")]
    length = {edge.getID(): edge.getLength() for edge in net.getEdges(withInternal=False)}
    inside_m = np.array([sum(length[edge] for edge in edges.split()) for edges in rows["edges"]])
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
    day = FleetPlan.from_tables(vehicles, trips, places, stations, ratings)
    settled = settle(day, settle_days, begin_s, strategy=strategy, base_load=base_load)
    later = trips[trips["depart_s"] > begin_s] if begin_s else trips
    return FleetPlan.from_tables(
        vehicles.assign(**settled), later.assign(depart_s=later["depart_s"] - begin_s), places, stations,
        ratings,
    )  # fmt: skip


def settle(
    plan: FleetPlan,
    days: int,
    until_s: float = 0.0,
    step_s: float = 300.0,
    *,
    strategy: Strategy | None = None,
    base_load: Array | None = None,
) -> dict[str, Any]:
    """Return how vehicles begin after some days like the planned one.

    A fleet that begins with charges drawn at random would all plug in at the first midnight. After a few days, each
    beginning with what the day before has left, about as many charge then as on any other night. What the strategy of
    the run puts off until after midnight is put off in these days too: over a day about as much is charged as driven.

    Parameters
    ----------
    plan
        A whole day from midnight on.
    days
        Number of days before the one that is to be simulated; 0: the charges stay as planned.
    until_s
        Second of that day at which it is to begin.
    step_s
        Step of these days. [s]
    strategy
        How vehicles charge; plainly by default.
    base_load : shape (n_transformers, n_slots)
        What transformers carry without the fleet, in slots of equal length from midnight on; nothing by default. [W]

    Returns
    -------
    dict
        Columns ``soc``, ``plugged`` and ``home`` (where a vehicle is, or is driving to) of the table of vehicles.
    """
    strategy = Plain() if strategy is None else strategy
    base = DayProfile(len(plan.transformer_ids), np.zeros(1) if base_load is None else base_load)
    calm = Signals.calm(plan)
    model = FleetModel(plan, strategy, notice_s=step_s)
    kept: dict[str, Array] = {}
    for end_s in [DAY_S] * days + [until_s]:
        model = FleetModel(replace(plan, vehicles=plan.vehicles | kept), strategy, notice_s=step_s)
        for k in range(round(end_s / step_s)):
            model.advance(k * step_s, step_s, replace(calm, base_w=base.ahead(k * step_s)[:, 0]))
        kept = {"soc": np.clip(model.soc, 0.0, 1.0), "plugged": (model.state.station >= 0).astype(float)}
    driven, place = model.state.driven_trip, model.state.place.copy()
    away = np.flatnonzero(driven >= 0)
    away = away[plan.depart_s[driven[away]] <= until_s]  # who is only about to leave is not
    place[away] = plan.destination[driven[away]]
    return {**kept, "home": [plan.place_ids[i] for i in place]}


def plugs_in_below(labels: Sequence[str], seed: int, between: tuple[float, float] = PLUG_IN_SOC) -> Array:
    """Return the state of charge below which each driver plugs in, shape (n_labels,).

    Raises
    ------
    CosimError
        If the range is not one within 0 and 1.
    """
    low, high = between
    if not 0 <= low <= high <= 1:
        raise CosimError(f"plug_in_soc is {between}: give two states of charge from 0 to 1, the lower one first")
    below: Array = low + (high - low) * uniform(seed, "plugs in below", labels)
    return below


def charging_stations(chargers: pd.DataFrame, transformer_of: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Return charging stations as a fleet takes them, each behind its transformer."""
    stations = chargers[["power_w", "points", "efficiency", "x", "y"]].assign(fast=chargers["kind"] == "fast")
    if transformer_of is None:
        return stations
    if lost := [c for c in stations.index if c not in transformer_of]:
        raise CosimError(f"charger {lost[0]!r} is behind no transformer: add it to the city's grid")
    return stations.assign(transformer=[transformer_of[str(c)] for c in stations.index])


def parking_places(sites: pd.DataFrame, chargers: pd.DataFrame) -> pd.DataFrame:
    """Return a place to park at every building, with the chargers in walking distance, and one outside."""
    public = chargers[chargers["kind"] == "street"]
    own: dict[str, list[str]] = {}
    for charger, row in chargers[chargers["kind"] == "building"].iterrows():
        own.setdefault(str(row["site"]), []).append(str(charger))
    away = np.hypot(*(sites[[c]].to_numpy(float) - public[c].to_numpy(float)[None, :] for c in ("x", "y")))
    nearest = np.argsort(away, axis=1, kind="stable")
    offers = []
    for i, site in enumerate(sites.index):
        near = [str(public.index[k]) for k in nearest[i] if away[i, k] <= WALK_M]
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
    """Return all cars of a district's residents as electric ones with a charger at home each, without a traffic.

    Every trip goes as planned: for studies of charging alone.

    Parameters
    ----------
    sites, seed, habits
        See `activity_chains`.
    days
        Number of working days.
    charger_w
        Power of the charger at home. [W]
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
        return [f"{p} at home" if h else place or OUTSIDE for p, h, place in
                zip(chains["person"], at_home, chains[column])]  # fmt: skip

    trips = pd.DataFrame(
        {"vehicle": chains["person"], "depart_s": chains["day"] * DAY_S + chains["depart_s"], "duration_s": duration,
         "energy_j": metres * J_PER_M, "origin": named("origin"), "destination": named("destination")}
    )  # fmt: skip
    trips.index = [f"{trip} day {day}" for trip, day in zip(chains["trip"], chains["day"])]
    models = np.array([vehicle_types()["capacity_wh"][model] for model in ELECTRIC])
    vehicles = pd.DataFrame(
        {"capacity_j": 3600 * models[(uniform(seed, "electric model", labels) * len(models)).astype(int)],
         "soc": 0.5 + 0.45 * uniform(seed, "charge", labels), "home": [f"{p} at home" for p in labels],
         "plug_in_soc": plugs_in_below(labels, seed, plug_in_soc), "drive_j_per_m": J_PER_M,
         "target_after_s": TARGET_AFTER_S, **(cars or {})},
        index=labels,
    )  # fmt: skip
    at_home = pd.DataFrame(
        {"zone": [home[p] for p in labels], "stations": [(f"charger of {p}",) for p in labels]},
        index=vehicles["home"].tolist(),
    )
    elsewhere = sorted((set(trips["origin"]) | set(trips["destination"])) - set(at_home.index))
    others = pd.DataFrame({"zone": elsewhere, "stations": [()] * len(elsewhere)}, index=elsewhere)
    stations = pd.DataFrame(
        {"power_w": charger_w, "efficiency": EFFICIENCY}, index=[f"charger of {p}" for p in labels]
    )
    return FleetPlan.from_tables(vehicles, trips, pd.concat([at_home, others]), stations)


def transformers(net: Any, bus_of: Mapping[str, int], points: Iterable[str]) -> tuple[dict[str, str], dict[str, float]]:
    """Return the transformer that each point hangs on, and the rating of these transformers [W].

    Parameters
    ----------
    net
        A pandapower net whose transformers have names.
    bus_of
        Point → index of its bus.

    Raises
    ------
    CosimError
        If a point hangs on no transformer.
    """
    import pandapower.topology as topology  # takes as long to import as everything else here

    graph = topology.create_nxgraph(net, include_trafos=False, respect_switches=True)
    of_bus: dict[int, str] = {}
    for name, bus in zip(net.trafo["name"], net.trafo["lv_bus"], strict=True):
        of_bus |= dict.fromkeys(nx.node_connected_component(graph, bus), str(name))
    found: dict[str, str] = {}
    for point in points:
        if bus_of.get(point) not in of_bus:
            raise CosimError(f"{point!r} hangs on no transformer of the net: give it a low-voltage bus")
        found[point] = of_bus[bus_of[point]]
    rated = net.trafo["sn_mva"] * net.trafo["parallel"] * 1e6
    ratings = {str(name): float(w) for name, w in zip(net.trafo["name"], rated, strict=True)}
    return found, {name: ratings[name] for name in dict.fromkeys(found.values())}


def connect_fleet(
    scenario: Scenario, plan: FleetPlan, bus_of: Mapping[str, int], bus_names: Mapping[int, str], *,
    transformer_of: Mapping[str, str] | None = None, traffic: str = "traffic", fleet: str = "fleet",
    grid: str = "grid", buildings: str = "buildings",
) -> None:  # fmt: skip
    """Wire a fleet between traffic and grid.

    Driving energy and the state of trips go from traffic to fleet, permission to depart and the fast charger by way of
    which to drive come back one exchange later; charging power goes to the grid, headroom and voltage come back one
    exchange later. Visitors who have parked go to the buildings, if there are any: residents are counted there already.
    To a strategy that follows photovoltaics go the buildings' surpluses behind each transformer, one exchange late.

    Parameters
    ----------
    scenario
        With the adapters under the names given.
    plan
        The fleet's plan.
    bus_of
        Connection point of the grid → index of its bus; every charging station is one.
    bus_names
        Index of a bus → its label in the grid's ``voltage``.
    transformer_of
        The transformer behind each building, for a strategy that follows photovoltaics.

    Raises
    ------
    CosimError
        If the strategy follows photovoltaics and it is not said where those of buildings are.
    """
    scenario.connect(f"{traffic}.trip_energy", f"{fleet}.trip_energy")
    scenario.connect(f"{traffic}.trip_state", f"{fleet}.trip_state")
    scenario.connect(f"{fleet}.may_depart", f"{traffic}.may_depart", delay=1, initial=1.0,
                     because="a car leaves with the charge that it had")  # fmt: skip
    if _has_detours(plan):
        scenario.connect(f"{fleet}.via", f"{traffic}.via", delay=1, initial=-1.0,
                         because="a driver decides before the trip")  # fmt: skip
    stations = plan.station_ids
    to_grid = link(stations, bus_of, {station: station for station in stations})
    scenario.connect(f"{fleet}.charging_power", f"{grid}.power", via=to_grid)
    supply: Any = scenario.adapters[grid]
    headroom = link(supply.transformer_headroom.labels, plan.transformer_ids, {t: t for t in plan.transformer_ids})
    rating = dict(zip(plan.transformer_ids, plan.rating_w, strict=True))
    scenario.connect(
        f"{grid}.transformer_headroom", f"{fleet}.transformer_headroom", via=headroom, delay=1,
        initial=[rating.get(t, 0.0) for t in supply.transformer_headroom.labels], if_missing=0.0,
        because="chargers react to what the grid measured last",
    )  # fmt: skip
    at: dict[str, dict[str, float]] = {}
    for station in stations:
        at.setdefault(bus_names[bus_of[station]], {})[station] = 1.0
    # Without supply there is no voltage, and nobody charges.
    scenario.connect(
        f"{grid}.voltage", f"{fleet}.voltage", via=link(supply.voltage.labels, stations, at), delay=1, initial=1.0,
        if_missing=0.0, because="chargers react to what the grid measured last",
    )  # fmt: skip
    if buildings in scenario.adapters:
        sites = scenario.adapters[buildings].occupancy.labels  # type: ignore[attr-defined]
        inside = {zone: zone for zone in plan.zone_ids if zone in set(sites)}
        scenario.connect(f"{fleet}.visitors", f"{buildings}.occupancy", via=link(plan.zone_ids, sites, inside))
    if scenario.adapters[fleet].strategy.follows_pv:  # type: ignore[attr-defined]
        if buildings not in scenario.adapters or transformer_of is None:
            raise CosimError(f"the strategy of {fleet!r} follows photovoltaics: give buildings and their transformers")
        # What a building feeds in is the negative of what it draws; stations of one transformer share it.
        first = {plan.transformer_ids[t]: s for s, t in reversed(list(zip(stations, plan.transformer)))}
        labels = scenario.adapters[buildings].electric_power.labels  # type: ignore[attr-defined]
        surplus = {b: {first[t]: -1.0} for b in labels if (t := transformer_of[b]) in first}
        scenario.connect(
            f"{buildings}.electric_power", f"{fleet}.pv_surplus", via=link(labels, stations, surplus), delay=1,
            initial=0.0, partial=True, because="chargers react to what was fed in last",
        )  # fmt: skip


def charger_stops(plan: FleetPlan, chargers: pd.DataFrame) -> list[tuple[str, float]]:
    """Return lane and position of a fleet's stations for `Traffic` to lead trips by; none if nobody drives by one.

    Parameters
    ----------
    plan
        The fleet's plan.
    chargers
        As of `place_chargers`, with every fast charger of the plan.
    """
    if not _has_detours(plan):
        return []
    places = chargers.reindex(plan.station_ids)
    # A stop has the number of its station, so that those which nobody drives by need a place too.
    places = places.fillna(places[is_on_the_way(plan)].iloc[0])
    return list(zip(places["lane"].astype(str), places["end_m"].astype(float)))


def _has_detours(plan: FleetPlan) -> bool:
    return bool(is_on_the_way(plan).any() and (plan.vehicles["detours"] > 0.5).any())


def combine(*tables: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Return one set of tables for `FleetPlan.from_tables` from several, e.g. of cars and of buses."""
    names: Sequence[str] = ("vehicles", "trips", "places", "stations")
    return {name: pd.concat([with_defaults(name, table[name]) for table in tables]) for name in names}
