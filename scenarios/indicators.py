"""By which numbers is a city's day judged? Across traffic, buildings, grid and emissions."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from cosim import Indicator, Result

GRID_CO2E = {"ES": 0.174, "IT": 0.331}
"""Carbon intensity of a country's electricity in 2023. [kg CO2e/kWh] Ember, Yearly Electricity Data 2024, as
reproduced by Our World in Data, "Carbon intensity of electricity generation"."""

GAS_CO2 = 0.202
"""Natural gas burnt, by lower heating value. [kg CO2/kWh] 56,100 kg/TJ, IPCC 2006 Guidelines, vol. 2, table 2.2."""

_J_PER_KWH = 3.6e6


def city_indicators(country: str) -> Callable[[Result], dict[str, Indicator]]:
    """Return the indicators of a run of a city in a country, as a scenario takes them."""

    def indicators(result: Result) -> dict[str, Indicator]:
        found = traffic_indicators(result) | building_indicators(result) | grid_indicators(result)
        recorded = all(name in found for name in ("tailpipe CO2", "gas", "grid import"))
        if recorded:
            total = found["tailpipe CO2"].value
            total += found["gas"].value * GAS_CO2 + found["grid import"].value * GRID_CO2E[country]
            about = (
                f"tailpipe CO2 + gas × {GAS_CO2} kg/kWh (IPCC 2006) + import × {GRID_CO2E[country]} kg/kWh "
                "(grid mean of 2023); CH4 and N2O of exhaust and fuel supply are left out"
            )
            found["total CO2e"] = Indicator(total, "kg", "lower", about)
        return found

    return indicators


def traffic_indicators(result: Result) -> dict[str, Indicator]:
    """Return distance, speed, delay, trips and tailpipe emissions of a run."""
    if "traffic.travel" not in result.ports:
        return {}
    metres = float(result.integral("traffic.travel").sum())
    seconds = float(result.integral("traffic.vehicles").sum())
    counts = ("inserted", "arrived", "running", "waiting", "cancelled", "teleports", "collisions")
    last = {name: float(result.total(f"traffic.{name}").iloc[-1]) for name in counts}
    return {
        "vehicle-kilometres": Indicator(metres / 1000, "km", None, "driven by all vehicles"),
        "mean speed": Indicator(
            metres / seconds * 3.6 if seconds else float("nan"), "km/h", "higher", "distance over time spent"
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
        "charging energy": Indicator(
            float(result.integral("traffic.charging_power").sum()) / _J_PER_KWH, "kWh", None, "drawn from the grid"
        ),
    }


def building_indicators(result: Result) -> dict[str, Indicator]:
    """Return heat, electricity by use, gas and discomfort of a run."""
    if "buildings.electric_power" not in result.ports:
        return {}

    def kwh(port: str) -> float:
        return float(result.integral(f"buildings.{port}").sum()) / _J_PER_KWH

    unmet = result.integral("buildings.unmet_degree")
    return {
        "heat delivered": Indicator(kwh("heating_heat"), "kWh", None, "space heating"),
        "electricity of buildings": Indicator(kwh("electric_power"), "kWh", "lower", "all uses"),
        "– appliances and lighting": Indicator(kwh("appliance_power"), "kWh", "lower"),
        "– heat pumps": Indicator(kwh("heat_pump_power"), "kWh", "lower", "with back-up heaters"),
        "– hot water": Indicator(kwh("hot_water_power"), "kWh", "lower"),
        "– cooling": Indicator(kwh("cooling_power"), "kWh", "lower"),
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
            float(result.integral("grid.grid_import").sum()) / _J_PER_KWH, "kWh", "lower", "active energy"
        ),
        "grid losses": Indicator(
            float(result.integral("grid.losses").sum()) / _J_PER_KWH, "kWh", "lower", "cables and transformers"
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


def ten_minute_means(voltage: pd.DataFrame) -> pd.DataFrame:
    """Return means over whole 10-minute intervals; a value counts for the step that ends at its time.

    Examples
    --------
    >>> index = pd.date_range("2025-01-15 00:05", periods=4, freq="5min")
    >>> ten_minute_means(pd.DataFrame({"bus": [1.0, 0.9, 1.0, 1.1]}, index=index))["bus"].tolist()
    [0.95, 1.05]
    """
    return voltage.resample("10min", closed="right", label="right").mean()
