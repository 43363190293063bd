"""Use of local solar generation, and throughput of batteries at home, at stations and in cars."""

from __future__ import annotations

from cosim import Indicator, Result
from cosim.core.quantities import J_PER_KWH
from cosim.scenarios.intervals import energy, energy_by_label
from cosim.scenarios.model import City


def storage_indicators(result: Result, city: City) -> dict[str, Indicator]:
    """Return use of solar power in the city and behind the meter, and energy discharged by each kind of battery."""
    ports = set(result.ports)
    found: dict[str, Indicator] = {}
    if {"buildings.pv_power", "grid.grid_import", "grid.losses"} <= ports:
        found |= _city_use(result)
    if {"buildings.pv_power", "buildings.electric_power"} <= ports:
        found |= _behind_the_meter(result)
    return found | _throughput(result, city)


def _city_use(result: Result) -> dict[str, Indicator]:
    sources = energy(result, "grid.grid_import")
    drawn, fed = float(sources.clip(lower=0).sum()), float(-sources.clip(upper=0).sum())
    generated = float(energy(result, "buildings.pv_power").sum())
    if generated <= 0:
        return {"self-sufficiency": Indicator(0.0, "%", "higher", "nothing is generated in the city")}
    return {
        "self-sufficiency": Indicator(
            100 * (generated - fed) / (generated - fed + drawn),
            "%",
            "higher",
            "generation used in the city over all that is used, losses included",
        ),
        "self-consumption": Indicator(
            100 * (1 - fed / generated), "%", "higher", "share of the generation that is used in the city"
        ),
    }


def _behind_the_meter(result: Result) -> dict[str, Indicator]:
    generated = float(energy(result, "buildings.pv_power").sum())
    if generated <= 0:
        return {}
    taken = energy_by_label(result, "buildings.electric_power").to_numpy()
    drawn, fed = float(taken.clip(min=0).sum()), -float(taken.clip(max=0).sum())
    return {
        "– behind the meter, self-sufficiency": Indicator(
            100 * (1 - drawn / (drawn + generated - fed)),
            "%",
            "higher",
            "share of all buildings' use that they do not draw from the grid",
        ),
        "– behind the meter, self-consumption": Indicator(
            100 * (1 - fed / generated),
            "%",
            "higher",
            "share of the generation that its own building uses or stores",
        ),
    }


def _throughput(result: Result, city: City) -> dict[str, Indicator]:
    found = {}
    capacity_j = float(city.stock.battery_capacity.sum())
    if capacity_j and "buildings.battery_power" in result.ports:
        given = _discharged_j(result, "buildings.battery_power")
        found["home batteries, energy given back"] = Indicator(given / J_PER_KWH, "kWh", None, "discharged, summed")
        found["home batteries, full cycles"] = Indicator(
            given / capacity_j, "1", "lower", "energy given back over usable capacity"
        )
    if "grid.stored_energy" in result.ports:
        given = -float(result.series("grid.stored_energy").diff().clip(upper=0).iloc[1:].to_numpy().sum())
        found["community batteries, energy given back"] = Indicator(
            given / J_PER_KWH, "kWh", None, "fall of the stored energy, summed"
        )
    gives = city.fleet is not None and bool(city.fleet.vehicles["discharge_w"].any())
    if gives and "fleet.charging_power" in result.ports:
        found["cars, energy given back"] = Indicator(
            _discharged_j(result, "fleet.charging_power") / J_PER_KWH,
            "kWh",
            None,
            "fed in by charging stations, summed",
        )
    return found


def _discharged_j(result: Result, port: str) -> float:
    """Return the energy that flows opposite to charging. [J]"""
    return -float(energy_by_label(result, port).to_numpy().clip(max=0).sum())
