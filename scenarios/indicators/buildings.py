"""Indicators of buildings: heat, electricity by use, gas, discomfort."""

from __future__ import annotations

from cosim import Indicator, Result
from cosim.core.quantities import J_PER_KWH


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
