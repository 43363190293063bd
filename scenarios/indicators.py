"""By which numbers is a city's day judged? Across traffic, buildings, grid and emissions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pandas as pd

from cosim import Indicator, Result

from .carbon import GAS_CO2, GAS_SUPPLY, account
from .indicators_cells import overload_minutes
from .indicators_households import household_indicators
from .indicators_storage import storage_indicators
from .intervals import J_PER_KWH, energy
from .reinforcement import cost_eur, upgrades

if TYPE_CHECKING:
    from .city import City


def city_indicators(city: City) -> Callable[[Result], dict[str, Indicator]]:
    """Return the indicators of a run of a city, as a scenario takes them."""

    def indicators(result: Result) -> dict[str, Indicator]:
        return (
            traffic_indicators(result)
            | building_indicators(result)
            | grid_indicators(result)
            | network_indicators(result, city)
            | storage_indicators(result, city)
            | household_indicators(result, city)
            | carbon_indicators(result, city)
        )

    return indicators


def carbon_indicators(result: Result, city: City) -> dict[str, Indicator]:
    """Return the greenhouse gas of a run by sector, and its sum where every sector was recorded."""
    sectors = account(result, city.carbon, city.country, city.zone)
    found = {f"CO2e: {sector}": Indicator(kg, "kg", "lower", _ABOUT_CARBON[sector]) for sector, kg in sectors.items()}
    if {"traffic, tailpipe", "buildings, gas", "buildings, electricity", "grid losses"} <= sectors.keys():
        about = "sum of all sectors; CH4 and N2O of exhaust are left out"
        found["total CO2e"] = Indicator(sum(sectors.values()), "kg", "lower", about)
    return found


_ABOUT_CARBON = {
    "traffic, tailpipe": "CO2 of exhaust, HBEFA as in SUMO",
    "traffic, fuel supply": "from the well to the tank, for classes that say petrol or diesel",
    "traffic, charging": "electricity at its hour's intensity",
    "buildings, gas": f"fuel × {GAS_CO2} kg/kWh (IPCC 2006)",
    "buildings, gas supply": f"fuel × {GAS_SUPPLY} kg/kWh (assumption)",
    "buildings, electricity": "drawn less fed in, at its hour's intensity",
    "grid losses": "electricity at its hour's intensity",
}


def traffic_indicators(result: Result) -> dict[str, Indicator]:
    """Return distance, speed, delay, trips and tailpipe emissions of a run."""
    if "traffic.travel" not in result.ports:
        return {}
    metres = float(result.integral("traffic.travel").sum())
    seconds = float(result.integral("traffic.vehicles").sum())
    counts = ("inserted", "arrived", "running", "waiting", "cancelled", "teleports", "collisions")
    backlog_h = float(energy(result, "traffic.waiting").sum()) / 3600
    last = {name: float(result.total(f"traffic.{name}").iloc[-1]) for name in counts}
    return {
        "vehicle-kilometres": Indicator(metres / 1000, "km", None, "driven by all vehicles"),
        "mean speed": Indicator(
            metres / seconds * 3.6 if seconds else float("nan"), "km/h", "higher", "distance over time spent"
        ),
        "vehicle-hours": Indicator(
            seconds / 3600, "h", "lower", "spent on the road by all vehicles, driving or standing; not parked"
        ),
        "travel time per trip": Indicator(
            seconds / last["inserted"] / 60 if last["inserted"] else float("nan"),
            "min",
            "lower",
            "vehicle-hours over trips begun; those under way at the end count with their time so far",
        ),
        "travel time per kilometre": Indicator(
            seconds / metres * 1000 / 60 if metres else float("nan"), "min/km", "lower", "time spent over distance"
        ),
        "waiting to start": Indicator(
            backlog_h, "h", "lower", "of vehicles that find no room to begin their trip; not in the vehicle-hours"
        ),
        "time loss": Indicator(
            float(result.integral("traffic.time_loss").sum()) / 3600, "h", "lower", "of all vehicles against free flow"
        ),
        "trips begun": Indicator(last["inserted"], "vehicles", None, "vehicles inserted"),
        "trips completed": Indicator(last["arrived"], "vehicles", "higher", "vehicles arrived"),
        "on the road at the end": Indicator(last["running"], "vehicles", None, "including parked ones"),
        "waiting to start at the end": Indicator(last["waiting"], "vehicles", "lower", "insertion backlog"),
        "trips cancelled": Indicator(last["cancelled"], "vehicles", "lower", "a measure left them no way to begin"),
        "collisions": Indicator(last["collisions"], "vehicles", "lower", "vehicles that overlapped"),
        "teleports": Indicator(last["teleports"], "vehicles", "lower", "jams that SUMO resolved by moving a vehicle"),
        "tailpipe CO2": Indicator(float(result.integral("traffic.co2").sum()), "kg", "lower", "HBEFA, as in SUMO"),
        "tailpipe NOx": Indicator(float(result.integral("traffic.nox").sum()) * 1000, "g", "lower", "as CO2"),
        "tailpipe PM": Indicator(float(result.integral("traffic.pmx").sum()) * 1000, "g", "lower", "exhaust only"),
    } | charging_indicators(result)


def charging_indicators(result: Result) -> dict[str, Indicator]:
    """Return energy and peak of charging, and the trips that batteries did not allow."""
    names = [name for name in ("traffic.charging_power", "fleet.charging_power") if name in result.ports]
    powers = [power for name in names if len(power := result.total(name))]
    if not names:
        return {}
    power = sum(powers[1:], start=powers[0]) if powers else pd.Series([0.0])
    kwh = sum(float(result.integral(name).sum()) for name in names) / J_PER_KWH
    found = {
        "charging energy": Indicator(kwh, "kWh", None, "drawn from the grid within the run"),
        "charging peak": Indicator(
            float(power.max()) / 1000, "kW", None, "highest mean over an exchange step, whatever else is drawn then"
        ),
    }
    if "fleet.energy" in result.ports:
        stored = result.series("fleet.energy", ["stored"]).iloc[[0, -1], 0].diff().iloc[-1] / J_PER_KWH
        about = "energy in the cars' batteries at the end less at the beginning; what is missing is charged later"
        found["charge of batteries"] = Indicator(float(stored), "kWh", None, about)
    if "fleet.failed_trips" in result.ports:
        failed = float(result.series("fleet.failed_trips", ["no charge", "ran empty"]).iloc[-1].sum())
        found["failed trips"] = Indicator(failed, "vehicles", "lower", "electric trips that lacked charge")
        late, delay_s, drives, way_m, there_s = (
            float(result.series(f"fleet.{port}").iloc[-1, 0])
            for port in ("delayed_trips", "delay", "detours", "detour_distance", "detour_time")
        )
        found["delayed trips"] = Indicator(late, "vehicles", "lower", f"{delay_s / 60:.0f} min late in all")
        found["detours"] = Indicator(drives, "vehicles", "lower", f"by fast chargers, {there_s / 3600:.1f} h there")
        found["way of detours"] = Indicator(way_m / 1000, "km", "lower", "expected, beyond the straight way")
    return found


def building_indicators(result: Result) -> dict[str, Indicator]:
    """Return heat, electricity by use, gas and discomfort of a run."""
    if "buildings.electric_power" not in result.ports:
        return {}

    def kwh(port: str) -> float:
        return float(result.integral(f"buildings.{port}").sum()) / J_PER_KWH

    unmet = result.integral("buildings.unmet_degree")
    return {
        "heat delivered": Indicator(kwh("heating_heat"), "kWh", None, "space heating"),
        "electricity of buildings": Indicator(kwh("electric_power"), "kWh", "lower", "all uses"),
        "– appliances and lighting": Indicator(kwh("appliance_power"), "kWh", "lower"),
        "– heat pumps": Indicator(kwh("heat_pump_power"), "kWh", "lower", "with back-up heaters"),
        "– hot water": Indicator(kwh("hot_water_power"), "kWh", "lower"),
        "– cooling": Indicator(kwh("cooling_power"), "kWh", "lower"),
        "– solar panels": Indicator(-kwh("pv_power"), "kWh", "lower", "generated, negative"),
        "peak of buildings": Indicator(
            float(result.total("buildings.electric_power").max()) / 1000, "kW", "lower", "highest mean over a step"
        ),
        "gas": Indicator(kwh("gas_power"), "kWh", "lower", "fuel of boilers, lower heating value"),
        "unmet degree-hours": Indicator(
            float(unmet.mean()) / 3600, "K h", "lower", "outside the comfort band, mean over buildings"
        ),
    }


def grid_indicators(result: Result) -> dict[str, Indicator]:
    """Return import, losses, peak, voltage quality and loading of a run."""
    if "grid.voltage" not in result.ports:
        return {}
    imported = result.total("grid.grid_import")
    voltage = result.series("grid.voltage").iloc[1:]  # the first row is the grid at no load, before the run
    means = ten_minute_means(voltage)
    outside = ((means < 0.9) | (means > 1.1)).to_numpy()
    about = "EN 50160 limits (95 % of a week's 10-minute means within ±10 %) applied to one day, all buses"
    return {
        "grid import": Indicator(
            float(result.integral("grid.grid_import").sum()) / J_PER_KWH, "kWh", "lower", "active energy"
        ),
        "grid losses": Indicator(
            float(result.integral("grid.losses").sum()) / J_PER_KWH, "kWh", "lower", "cables and transformers"
        ),
        "peak import": Indicator(float(imported.max()) / 1000, "kW", "lower", "highest mean over a step of the grid"),
        "lowest voltage": Indicator(float(voltage.min().min()), "pu", "higher", "of all buses and steps"),
        "highest voltage": Indicator(float(voltage.max().max()), "pu", "lower", "of all buses and steps"),
        "10-minute voltages outside ±10 %": Indicator(float(outside.mean()) * 100, "%", "lower", about),
        "highest transformer loading": Indicator(
            float(result.series("grid.transformer_loading").max().max()) * 100, "%", "lower"
        ),
        "highest line loading": Indicator(float(result.series("grid.line_loading").max().max()) * 100, "%", "lower"),
    }


def network_indicators(result: Result, city: City) -> dict[str, Indicator]:
    """Return overload, the quality of supply by bus and what reinforcement would cost."""
    ports = set(result.ports)
    if not {"grid.voltage", "grid.transformer_loading", "grid.line_loading", "grid.grid_import"} <= ports:
        return {}
    means = ten_minute_means(result.series("grid.voltage").iloc[1:])
    poor = ((means < 0.9) | (means > 1.1)).mean() > 0.05
    needed = upgrades(result, city.grid.net)
    return {
        "buses outside EN 50160": Indicator(
            float(poor.mean()) * 100, "%", "lower", "more than 5 % of the run's 10-minute means beyond ±10 %"
        ),
        "transformer overload": Indicator(
            float(overload_minutes(result, "grid.transformer_loading").sum()), "min", "lower", "above 100 %, summed"
        ),
        "cable overload": Indicator(
            float(overload_minutes(result, "grid.line_loading").sum()), "min", "lower", "above 100 %, summed"
        ),
        "transformers to reinforce": Indicator(
            sum(upgrade.units for upgrade in needed if upgrade.kind == "transformer"), "", "lower", "further units"
        ),
        "cost of reinforcement": Indicator(
            cost_eur(needed), "EUR", "lower", "parallel transformers and cables that would end every overload"
        ),
    }


def ten_minute_means(voltage: pd.DataFrame) -> pd.DataFrame:
    """Return means over whole 10-minute intervals; a value counts for the step that ends at its time.

    Examples
    --------
    >>> index = pd.date_range("2025-01-15 00:05", periods=4, freq="5min")
    >>> ten_minute_means(pd.DataFrame({"bus": [1.0, 0.9, 1.0, 1.1]}, index=index))["bus"].tolist()
    [0.95, 1.05]
    """
    return voltage.resample("10min", closed="right", label="right").mean()
