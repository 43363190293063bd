"""Yearly cost of what is installed in a city, by payer, from published unit costs."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from cosim import Indicator, Result
from cosim.core.quantities import J_PER_KWH
from cosim.results.indicator import Role
from cosim.scenarios.buildings.stock import make_stock
from cosim.scenarios.buildings.tabula import tabula_types
from cosim.scenarios.costs.unit_costs import PAYERS, PRICES_OF
from cosim.scenarios.grid.reinforcement import upgrades
from cosim.scenarios.indicators.exposure import residents
from cosim.scenarios.measures import ROAD_SURFACES
from cosim.scenarios.model import City

COSTS = "costs"
"""Key of the city's `CostAssumptions` in ``city.sectors``."""
YEARLY = "yearly cost of measures"
ENDS: Mapping[str, Role] = {"low": "yearly cost, low", "high": "yearly cost, high"}
_SAVES = "owners"  # whose measures lower energy bills
LANE_M = 3.2
"""Width of a lane without one in the network, as in SUMO. [m]"""


def cost_indicators(result: Result, city: City) -> dict[str, Indicator]:
    """Return what is installed, and its investment and yearly cost by payer; none without cost assumptions.

    Compared with a base that has them too, the differences are the cost of a plan. Reinforcement that the grid would
    need is counted as if it were built.
    """
    assumptions = city.sectors.get(COSTS)
    if assumptions is None:
        return {}
    amounts = inventory(city)
    for kind, amount in needed_reinforcement(result, city).items():
        amounts[kind] += amount
    found: dict[str, Indicator] = {}
    invested, paid = dict.fromkeys(PAYERS, 0.0), dict.fromkeys(PAYERS, 0.0)
    low = high = 0.0
    for measure, amount in amounts.items():
        cost = assumptions.unit_cost(measure)
        price = f"{cost.at(assumptions.position):,.0f} EUR/{cost.unit} in prices of {PRICES_OF}"
        found[f"installed: {measure}"] = Indicator(
            amount, cost.unit, None, f"{price}, from those of {cost.price_year}: {cost.source}"
        )
        invested[cost.payer] += amount * cost.at(assumptions.position)
        paid[cost.payer] += amount * cost.yearly(assumptions.rate, assumptions.position)
        low += amount * cost.yearly(assumptions.rate, -1.0)
        high += amount * cost.yearly(assumptions.rate, 1.0)
    for payer in PAYERS:
        role: Role = "saving investment" if payer == _SAVES else ""
        about = f"of all measures, in prices of {PRICES_OF}"
        found[f"investment: {payer}"] = Indicator(invested[payer], "EUR", None, about, role=role)
        about = f"annuity at {100 * assumptions.rate:g} % and running cost without energy"
        found[f"yearly cost: {payer}"] = Indicator(paid[payer], "EUR/year", "lower", about, role="cost of a payer")
    about = "of all payers; where unit costs stand in their ranges is a parameter of UnitCosts"
    found[YEARLY] = Indicator(math.fsum(paid.values()), "EUR/year", "lower", about, role="yearly cost")
    for end, value in (("low", low), ("high", high)):
        about = f"with all unit costs at the {end} end of their ranges"
        found[f"{YEARLY}, {end}"] = Indicator(value, "EUR/year", "lower", about, role=ENDS[end])
    people = float(residents(city).sum())
    found["residents"] = Indicator(people, "persons", None, "by whom effects on people are counted", role="people")
    dwellings = float(city.stock.dwellings.sum())
    found["dwellings"] = Indicator(dwellings, "1", None, "by which household cost is counted", role="households")
    return found


def inventory(city: City) -> dict[str, float]:
    """Return how much of every measure stands in a city, in the units of `unit_costs`.

    Bus lanes are not among them: a city does not say how long they are.
    """
    stock, public = city.stock, city.chargers[city.chargers["kind"] != "building"] if len(city.chargers) else None
    pumps = np.array(stock.heating) == "heat_pump"
    area = retrofitted_area(city)
    net = city.grid.net
    kinds = {} if public is None else public.groupby("kind")["points"].sum().to_dict()
    private = 0.0 if public is None else float(city.chargers["points"].sum() - public["points"].sum())
    closed = _edges(city, "traffic.permission", "|passenger", lambda value: value == 0)
    slowed = _edges(city, "traffic.speed_limit", "", lambda value: True) - closed
    return {
        "heat pump": float(stock.heat_pump_capacity[pumps].sum()) / 1e3,
        "gas boiler": float(stock.heating_capacity[~pumps].sum()) / 1e3,
        "usual retrofit": area[2],
        "advanced retrofit": area[3],
        "solar panels": float(stock.pv_capacity.sum()) / 1e3,
        "home battery": float(stock.battery_capacity.sum()) / J_PER_KWH,
        "community battery": float(net.storage["max_e_mwh"].sum()) * 1e3 if len(net.storage) else 0.0,
        "charger of a building": private,
        "public charger": float(kinds.get("street", 0)),
        "fast charger": float(kinds.get("fast", 0)),
        "electric car": float(len(city.fleet.vehicle_ids)) if city.fleet else 0.0,
        "superblock street": _street_km(city, closed),
        "30 km/h signs": float(bool(slowed)),
        "quiet road surface": _surface_m2(city, city.sectors.get(ROAD_SURFACES, {})),
        "transformer": float(net.trafo["parallel"].sum()),
        "cable": float((net.line["length_km"] * net.line["parallel"]).sum()) * 1e3,
    }


def retrofitted_area(city: City) -> dict[int, float]:
    """Return the floor area at refurbishment levels 2 and 3 of the TABULA types, by the envelopes' heat loss. [m²]"""
    stock, sites, published = city.stock, city.sites, tabula_types()
    now = stock.zones.loss_coefficient[stock.archetype]
    level = np.ones(len(stock), int)
    for wanted in (2, 3):
        levels = [max(k for k in range(1, wanted + 1) if (kind, k) in published) for kind in stock.types]
        new = make_stock(
            stock.ids,
            stock.types,
            stock.floor_area,
            stock.storeys,
            sites["attached"].to_numpy(float),
            sites["azimuth_deg"].to_numpy(float),
            levels,
            emission=stock.emission,
        )
        alike = np.isclose(now, new.zones.loss_coefficient[new.archetype]) & (np.array(levels) == wanted)
        level[alike] = wanted
    return {wanted: float(stock.floor_area[level == wanted].sum()) for wanted in (2, 3)}


def needed_reinforcement(result: Result, city: City) -> dict[str, float]:
    """Return the further transformers, and metres of cable, that would end every overload of a run."""
    if not {"grid.transformer_loading", "grid.line_loading"} <= set(result.ports):
        return {}
    lengths = city.grid.net.line.set_index("name")["length_km"]
    needed = {"transformer": 0.0, "cable": 0.0}
    for upgrade in upgrades(result, city.grid.net):
        metres = 1.0 if upgrade.kind == "transformer" else 1e3 * float(lengths[upgrade.element])
        needed[upgrade.kind] += upgrade.units * metres
    return needed


def _edges(city: City, port: str, suffix: str, holds: object) -> set[str]:
    """Return the edges whose scheduled value holds throughout the day."""
    days = city.measures.inputs.get(port, {})
    return {
        label.removesuffix(suffix)
        for label, day in days.items()
        if label.endswith(suffix) and all(holds(value) for _, value in day)  # type: ignore[operator]
    }


def _street_km(city: City, edges: set[str]) -> float:
    """Return the length of the streets of edges, both directions counted once. [km]"""
    network = city.network
    lengths = {
        frozenset((start, end)): float(metres)
        for edge, start, end, metres in zip(network.labels, network.from_node, network.to_node, network.length_m)
        if edge in edges
    }
    return math.fsum(lengths.values()) / 1e3


def _surface_m2(city: City, surfaces: Mapping[str, str]) -> float:
    network = city.network
    return math.fsum(
        float(metres) * int(lanes) * LANE_M
        for edge, metres, lanes in zip(network.labels, network.length_m, network.lanes)
        if edge in surfaces
    )
