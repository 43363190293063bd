"""Connections of a fleet to traffic, grid and buildings, its transformers, and its stops for detours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from cosim import CosimError, Scenario
from cosim.adapters.grid.areas import supplying
from cosim.core.fleet.detours import is_on_the_way
from cosim.core.fleet.plan import FleetPlan
from cosim.core.mappings import link


def transformers(net: Any, bus_of: Mapping[str, int], points: Iterable[str]) -> tuple[dict[str, str], dict[str, float]]:
    """Return the transformer that supplies each point, and the ratings of these transformers [W].

    Parameters
    ----------
    net
        A pandapower net whose transformers have names.
    bus_of
        Point → index of its bus.

    Raises
    ------
    CosimError
        If a point is not supplied by any transformer.
    """
    of_bus = supplying(net, net.trafo["name"].astype(str).tolist())
    found: dict[str, str] = {}
    for point in points:
        if bus_of.get(point) not in of_bus:
            raise CosimError(f"{point!r} is not supplied by any transformer: give it a low-voltage bus")
        found[point] = of_bus[bus_of[point]]
    rated = net.trafo["sn_mva"] * net.trafo["parallel"] * 1e6
    ratings = {str(name): float(w) for name, w in zip(net.trafo["name"], rated, strict=True)}
    return found, {name: ratings[name] for name in dict.fromkeys(found.values())}


def connect_fleet(
    scenario: Scenario,
    plan: FleetPlan,
    bus_of: Mapping[str, int],
    bus_names: Mapping[int, str],
    *,
    transformer_of: Mapping[str, str] | None = None,
    traffic: str = "traffic",
    fleet: str = "fleet",
    grid: str = "grid",
    buildings: str = "buildings",
) -> None:
    """Connect a fleet to traffic, grid and buildings.

    The fleet receives driving energy and the state of trips from the traffic, which receives permissions to depart and
    the fast chargers of detours one exchange step later. The grid receives charging power; the fleet receives headroom
    and voltage one exchange step later. The buildings, if there are any, receive visitors who have parked: residents
    are counted there already. A strategy that follows photovoltaics receives the buildings' surplus behind each
    transformer, one exchange step late.

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
        The transformer that supplies each building, for a strategy that follows photovoltaics.

    Raises
    ------
    CosimError
        If the strategy follows photovoltaics and there are no buildings, or their transformers are not given.
    """
    scenario.connect(f"{traffic}.trip_energy", f"{fleet}.trip_energy")
    scenario.connect(f"{traffic}.trip_state", f"{fleet}.trip_state")
    scenario.connect(
        f"{fleet}.may_depart",
        f"{traffic}.may_depart",
        delay=1,
        because="a car leaves with the charge that it had",
    )
    if _has_detours(plan):
        scenario.connect(f"{fleet}.via", f"{traffic}.via", delay=1, because="a driver decides before the trip")
    stations = plan.station_ids
    to_grid = link(stations, bus_of, {station: station for station in stations})
    scenario.connect(f"{fleet}.charging_power", f"{grid}.power", via=to_grid)
    supply: Any = scenario.adapters[grid]
    headroom = link(supply.transformer_headroom.labels, plan.transformer_ids, {t: t for t in plan.transformer_ids})
    scenario.connect(
        f"{grid}.transformer_headroom",
        f"{fleet}.transformer_headroom",
        via=headroom,
        delay=1,
        if_missing=0.0,
        because="chargers react to what the grid measured last",
    )
    at: dict[str, dict[str, float]] = {}
    for station in stations:
        at.setdefault(bus_names[bus_of[station]], {})[station] = 1.0
    # Without supply there is no voltage, and no car charges.
    scenario.connect(
        f"{grid}.voltage",
        f"{fleet}.voltage",
        via=link(supply.voltage.labels, stations, at),
        delay=1,
        if_missing=0.0,
        because="chargers react to what the grid measured last",
    )
    if buildings in scenario.adapters:
        sites = scenario.adapters[buildings].occupancy.labels  # type: ignore[attr-defined]
        known = set(sites)
        inside = {zone: zone for zone in plan.zone_ids if zone in known}
        scenario.connect(f"{fleet}.visitors", f"{buildings}.occupancy", via=link(plan.zone_ids, sites, inside))
    if scenario.adapters[fleet].strategy.follows_pv:  # type: ignore[attr-defined]
        if buildings not in scenario.adapters or transformer_of is None:
            raise CosimError(f"the strategy of {fleet!r} follows photovoltaics: give buildings and transformer_of")
        # Feed-in is the negative of a building's power; the stations of one transformer share it.
        first = {plan.transformer_ids[t]: s for s, t in reversed(list(zip(stations, plan.transformer)))}
        labels = scenario.adapters[buildings].electric_power.labels  # type: ignore[attr-defined]
        surplus = {b: {first[t]: -1.0} for b in labels if (t := transformer_of[b]) in first}
        scenario.connect(
            f"{buildings}.electric_power",
            f"{fleet}.pv_surplus",
            via=link(labels, stations, surplus),
            delay=1,
            initial=0.0,
            partial=True,
            because="chargers react to what was fed in last",
        )


def charger_stops(plan: FleetPlan, chargers: pd.DataFrame) -> list[tuple[str, float]]:
    """Return lane and position of a fleet's stations, as stops of `Traffic`; empty if no vehicle makes detours.

    Parameters
    ----------
    plan
        The fleet's plan.
    chargers
        As returned by `place_chargers`, with every fast charger of the plan.
    """
    if not _has_detours(plan):
        return []
    places = chargers.reindex(plan.station_ids)
    # A stop has the number of its station, so stations without detours need a position too.
    places = places.fillna(places[is_on_the_way(plan)].iloc[0])
    return list(zip(places["lane"].astype(str), places["end_m"].astype(float)))


def _has_detours(plan: FleetPlan) -> bool:
    return bool(is_on_the_way(plan).any() and (plan.vehicles["detours"] > 0.5).any())
