"""Quantities of a twin's base state, measured from a run, from a year of its buildings, and from the city itself."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pandas as pd

from cosim import Result
from cosim.core.quantities import HOUR_S, J_PER_KWH
from cosim.scenarios.indicators.grid import ten_minute_means
from cosim.scenarios.intervals import interval_starts
from cosim.scenarios.mobility.counts.loops import Counts
from cosim.scenarios.mobility.kinds import SUMO_TYPES
from cosim.scenarios.mobility.population import WEEKEND_TRIPS, Habits, activity_chains
from cosim.scenarios.model import City
from cosim.scenarios.policies.trips import trips_of
from cosim.scenarios.sectors.traffic import AREA_M2, COUNTS, RESIDENTS
from cosim.scenarios.validation.base_year import building_year, inhabitants
from cosim.scenarios.validation.counts import Fit
from cosim.scenarios.validation.grid_distributions import grid_values

WORKDAYS = 365 / 7 * (5 + sum(WEEKEND_TRIPS.values()))
"""Working days whose traffic is that of a year: at weekends there is less."""
NIGHT_H = 5
"""Until this hour traffic is taken as free, for congestion."""
MORNING, EVENING, NIGHT, DAY_H = 8, 18, (22, 23, 0, 1, 2, 3, 4, 5), 24
"""Civil hours: the busiest ones, which begin at these, the night, and how many make a day."""
SEA = "street y"
"""Names of the Eixample's streets parallel to the sea begin so."""


def measure(city: City, result: Result) -> dict[str, float]:
    """Return all quantities that a city and its run have, by the keys of the published figures.

    Parameters
    ----------
    city
        The city.
    result
        Its run, of a whole day if volumes and speeds of a day are wanted.
    """
    found = traffic_figures(city, result) | count_figures(city, result) | mobility_figures(city)
    found |= grid_figures(city, result) | charging_figures(city, result)
    return found | {"degree days": degree_days(city)} | building_year(city).figures(city)


def traffic_figures(city: City, result: Result) -> dict[str, float]:
    """Return volumes, speeds, congestion, kinds of vehicles and greenhouse gas of traffic."""
    if "traffic.flow" not in result.ports:
        return {}
    net = city.network
    table = pd.DataFrame({"length": net.length_m, "kind": net.street_classes}, index=list(net.labels))
    for column, port in (("passed", "flow"), ("metres", "travel"), ("seconds", "vehicles")):
        table[column] = result.integral(f"traffic.{port}").reindex(table.index).fillna(0.0)
    hours = _hours(result)
    people = inhabitants(city)
    tailpipe = result.indicators.get("CO2e: traffic, tailpipe")  # cities' balances leave out the supply of fuels
    kg = tailpipe.value if tailpipe else 0.0
    found = _by_hour(city, result)
    found["km per inhabitant"] = float(table["metres"].sum()) / 1000 * 24 / hours / people
    found["CO2e traffic"] = kg / 1000 * 24 / hours * WORKDAYS / people
    found["speed"] = _kmh(table)
    if (table["kind"] != "").all() and net.street_names.keys() == set(net.labels):
        table["street"] = [net.street_names[label] for label in table.index]
        table["section"] = ["|".join(sorted(ends)) for ends in zip(net.from_node, net.to_node, strict=True)]
        sections = table.groupby(["street", "section"]).agg(kind=("kind", "first"), passed=("passed", "sum"))
        streets = sections.groupby("street").agg(kind=("kind", "first"), passed=("passed", "mean"))
        volume = streets["passed"] * 24 / hours
        found |= {f"volume {kind}": float(mine.mean()) for kind, mine in volume.groupby(streets["kind"])}
        found["volume busiest"] = float(volume.max())
        along = table["street"].str.startswith(SEA)
        found["speed sea"] = _kmh(table[along & (table["kind"] == "main")])
        found["speed mountain"] = _kmh(table[~along])
    return found | _congestion(city, result) | _kinds(city)


def _civil_hours(city: City, result: Result, port: str) -> pd.DataFrame:
    """Return the means of a traffic port by civil hour (index), all days of the run together."""
    series = result.series(f"traffic.{port}")
    starts = interval_starts(result, pd.DatetimeIndex(series.index)).tz_convert(city.zone)
    return series.groupby(starts.hour.to_numpy()).mean()


def _by_hour(city: City, result: Result) -> dict[str, float]:
    """Return volumes by edge of the busiest morning hour and of the day, the day's profile and the speed in rush hours.

    Those of hours that the run does not cover are missing.
    """
    flow = _civil_hours(city, result, "flow") * HOUR_S
    found: dict[str, float] = {}
    if MORNING in flow.index:
        found |= {f"volume hour {label}": float(v) for label, v in flow.loc[MORNING].items()}
    if len(flow) < DAY_H:
        return found
    found |= {f"volume day {label}": float(v) for label, v in flow.sum().items()}
    travel, vehicles = (_civil_hours(city, result, port).sum(axis=1) for port in ("travel", "vehicles"))
    share = 100 * travel / travel.sum()
    rush = [MORNING, EVENING]
    return found | {
        "share morning": float(share[MORNING]),
        "share evening": float(share[[EVENING - 1, EVENING]].sum()),
        "share night": float(share[list(NIGHT)].sum()),
        "speed rush": 3.6 * float(travel[rush].sum() / vehicles[rush].sum()),
    }


def count_figures(city: City, result: Result) -> dict[str, float]:
    """Return how the simulated day agrees with the counts that it was fitted to, edge by edge and hour by hour.

    Mean volumes of the counted edges of two lanes or more and of one lane [vehicles/day], R² of the former, and the
    share of edges and hours with a GEH below 5 [%]. Empty without counts, or if the run is shorter than a day.
    """
    counts = city.sectors.get(COUNTS)
    if not isinstance(counts, Counts) or "traffic.flow" not in result.ports:
        return {}
    flow = _civil_hours(city, result, "flow")
    if len(flow) < DAY_H:
        return {}
    volume = HOUR_S * flow[list(counts.edges)].to_numpy().T
    wide = counts.wide
    return {
        "volume wide": float(volume[wide].sum(axis=1).mean()),
        "volume narrow": float(volume[~wide].sum(axis=1).mean()),
        "counts R2": Fit.of(volume[wide], counts.flow[wide]).r2,
        "counts GEH": 100 * Fit.of(volume, counts.flow).geh_below_5,
    }


def degree_days(city: City) -> float:
    """Return the heating degree days of the city's weather by Italy's definition. [K d]

    What days are below 20 °C, from 15 October to 15 April (DPR 412/1993, climatic zone E).
    """
    hourly = np.asarray(city.weather.dry_bulb, float)
    daily = hourly[: len(hourly) // 24 * 24].reshape(-1, 24).mean(axis=1)
    return float(np.maximum(20.0 - np.concatenate([daily[:105], daily[287:]]), 0.0).sum())


def _kmh(table: pd.DataFrame) -> float:
    seconds = float(table["seconds"].sum())
    return 3.6 * float(table["metres"].sum()) / seconds if seconds else float("nan")


def _congestion(city: City, result: Result) -> dict[str, float]:
    """Return the time per kilometre by day over that at night, less one."""
    travel, vehicles = result.total("traffic.travel"), result.total("traffic.vehicles")
    night = interval_starts(result, travel.index).tz_convert(city.zone).hour.to_numpy() < NIGHT_H
    if night.all() or not float(travel[night].sum()):
        return {}
    by_day, by_night = (float(vehicles[mine].sum() / travel[mine].sum()) for mine in (~night, night))
    return {"congestion": 100 * (by_day / by_night - 1)}


def _kinds(city: City) -> dict[str, float]:
    """Return the shares of kinds of vehicles in the length of all routes, and of vehicles that are not residents'."""
    length = dict(zip(city.network.labels, city.network.length_m.tolist(), strict=True))
    kind_of = {kind.vehicle_class: name for name, kind in SUMO_TYPES.items()}
    metres: dict[str, float] = defaultdict(float)
    others = vehicles = 0
    for trip in trips_of(city):
        metres[kind_of.get(trip.vehicle_class, "car")] += sum(length.get(edge, 0.0) for edge in trip.way)
        vehicles += 1
        others += trip.id.startswith(("through", "visit"))
    if not others:
        return {}
    share = {name: 100 * m / sum(metres.values()) for name, m in metres.items()}
    found = {f"share {name}": share.get(name, 0.0) for name in ("car", "motorcycle", "taxi", "bus")}
    found["share goods"] = share.get("van", 0.0) + share.get("lorry", 0.0)
    return found | {"share others": 100 * others / vehicles}


def mobility_figures(city: City) -> dict[str, float]:
    """Return what residents do, and how densely they live, of a city whose traffic is made from its residents."""
    habits = city.sectors.get(RESIDENTS)
    if not isinstance(habits, Habits):
        return {}
    chains = activity_chains(city.sites, city.seed, habits)
    share = 100 * chains["mode"].value_counts(normalize=True)
    people = float(np.rint(city.sites["persons"]).sum())
    return {
        "trips per person": len(chains) / people,
        "share public": float(share["public"]),
        "share active": float(share["active"]),
        "share private": 100 - float(share["public"] + share["active"]),
        "cars per inhabitant": habits.cars_per_person,
        "density": people / (float(city.sectors[AREA_M2]) * 1e-6),
    }


def grid_figures(city: City, result: Result) -> dict[str, float]:
    """Return the grid's extent, utilisation, losses and voltages, and the peak of a dwelling."""
    values = grid_values(city.grid, dict(zip(city.stock.ids, city.stock.dwellings.tolist(), strict=True)))
    customers, metres = values["customers per feeder"], values["length of a feeder"]
    found = {
        "customers per station": sum(values["customers per station"]) / len(city.grid.stations),
        "station rating": float(np.median(values["transformer rating"])),
        "customers per feeder": float(np.median(customers)),
        "feeder length": float(np.median(metres)),
        "cable per customer": sum(metres) / sum(customers),
        "cables per station": float(np.median(values["cables of a station"])),
    }
    if "grid.voltage" in result.ports:
        means = ten_minute_means(result.series("grid.voltage").iloc[1:])
        lost, imported = (float(result.integral(f"grid.{port}").sum()) for port in ("losses", "grid_import"))
        found["voltages outside"] = 100 * float(((means < 0.9) | (means > 1.1)).to_numpy().mean())
        found["losses"] = 100 * lost / imported
        power = result.total("grid.grid_import")
        peak_at = power.iloc[1:].idxmax()
        found["losses at peak"] = 100 * float(result.total("grid.losses")[peak_at] / power[peak_at])
        found["utilisation"] = 100 * float(result.series("grid.transformer_loading").iloc[1:].max().median())
    if "buildings.electric_power" in result.ports:
        peak = float(result.total("buildings.electric_power").max())
        found["peak dwelling"] = peak / 1000 / float(city.stock.dwellings.sum())
    return found


def charging_figures(city: City, result: Result) -> dict[str, float]:
    """Return what a resident's electric car charges."""
    if city.fleet is None or "fleet.charging_power" not in result.ports:
        return {}
    cars = len(city.fleet.vehicle_ids)
    kwh = float(result.integral("fleet.charging_power").sum()) / J_PER_KWH
    return {
        "charging per car": kwh * 24 / _hours(result) / cars,
        "charging peak": float(result.total("fleet.charging_power").max()) / 1000 / cars,
    }


def _hours(result: Result) -> float:
    """Return the length of a run. [h]"""
    ends = result.total("traffic.flow").index
    return float((ends[-1] - interval_starts(result, ends)[0]).total_seconds()) / HOUR_S
