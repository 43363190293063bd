"""Indicators of the grid: import, losses, voltage quality, overload and reinforcement."""

from __future__ import annotations

import pandas as pd

from cosim import Indicator, Result
from cosim.core.quantities import J_PER_KWH
from cosim.scenarios.grid.reinforcement import cost_eur, upgrades
from cosim.scenarios.model import City

from .cells import overload_minutes


def grid_indicators(result: Result) -> dict[str, Indicator]:
    """Return import, losses, peak, voltage quality and loading of a run."""
    if "grid.voltage" not in result.ports:
        return {}
    imported = result.total("grid.grid_import")
    voltage = result.series("grid.voltage").iloc[1:]  # the first row is the grid at no load, before the run
    means = ten_minute_means(voltage)
    outside = ((means < 0.9) | (means > 1.1)).to_numpy()
    about = "EN 50160 limits (95 % of a week's 10-minute means within ±10 %) applied to the run, all buses"
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
    """Return overload, quality of supply by bus and cost of reinforcement."""
    ports = set(result.ports)
    if not {"grid.voltage", "grid.transformer_loading", "grid.line_loading", "grid.grid_import"} <= ports:
        return {}
    voltage = result.series("grid.voltage").iloc[1:]
    means = ten_minute_means(voltage)
    poor = ((means < 0.9) | (means > 1.1)).mean() > 0.05
    needed = upgrades(result, city.grid.net)
    lowest, said = _customer_voltage(voltage, city)
    return lowest | {
        "transformer overload": Indicator(
            float(overload_minutes(result, "grid.transformer_loading").sum()),
            "min",
            "lower",
            "above 100 %, summed",
            headline=_overload(result, city),
        ),
        "cable overload": Indicator(
            float(overload_minutes(result, "grid.line_loading").sum()), "min", "lower", "above 100 %, summed"
        ),
        "buses outside EN 50160": Indicator(
            float(poor.mean()) * 100,
            "%",
            "lower",
            "more than 5 % of the run's 10-minute means beyond ±10 %",
            headline=said,
        ),
        "transformers to reinforce": Indicator(
            sum(upgrade.units for upgrade in needed if upgrade.kind == "transformer"), "", "lower", "further units"
        ),
        "cost of reinforcement": Indicator(
            cost_eur(needed), "EUR", "lower", "parallel transformers and cables that would end every overload"
        ),
    }


def _overload(result: Result, city: City) -> str:
    """Return whether a transformer is overloaded, which is loaded most and when, in words."""
    loading = result.series("grid.transformer_loading").iloc[1:]
    if loading.empty:
        return ""
    worst = str(loading.max().idxmax())
    when = _moment(loading[worst].idxmax(), loading.index, city)
    most = f"{worst} with {100 * float(loading[worst].max()):.0f} % of its rating, {when}"
    over = int((loading.max() > 1).sum())
    if not over:
        return f"Overload: no. The transformer loaded most is {most}."
    minutes = float(overload_minutes(result, "grid.transformer_loading").sum())
    number = f"{over} of {loading.shape[1]} transformers"
    return f"Overload: yes, of {number}, for {minutes:,.0f} min in all. The worst is {most}."


def _customer_voltage(voltage: pd.DataFrame, city: City) -> tuple[dict[str, Indicator], str]:
    """Return the lowest voltage at a connection point, rather than at any bus, and where and when, in words."""
    names = {str(name): int(bus) for bus, name in city.grid.net.bus["name"].items()}
    points = {bus: point for point, bus in reversed(city.grid.bus_of.items())}
    supplied = voltage[[bus for bus in voltage.columns if names.get(bus) in points]]
    if supplied.empty or supplied.isna().all(axis=None):
        return {}, ""
    bus = str(supplied.min().idxmin())
    low, when = float(supplied[bus].min()), _moment(supplied[bus].idxmin(), supplied.index, city)
    limit = ", below the limit of EN 50160 (90 %)" if low < 0.9 else ""
    headline = f"Lowest voltage at a customer: {100 * low:.1f} % of nominal at {points[names[bus]]}, {when}{limit}."
    return {"lowest voltage": Indicator(low, "pu", "higher", "of all connection points and steps")}, headline


def _moment(time: pd.Timestamp, times: pd.Index, city: City) -> str:
    """Return the end of a step in the city's time; with the day if the run covers several."""
    local = time.tz_convert(city.zone)
    several = times[-1] - times[0] > pd.Timedelta("1D")
    return f"{local:%H:%M}" + (f" on {local:%A}, {local.day} {local:%B}" if several else "")


def ten_minute_means(voltage: pd.DataFrame) -> pd.DataFrame:
    """Return means over whole 10-minute intervals; a value covers the step that ends at its time.

    Intervals without a value, between rows that are further apart, are left out.

    Examples
    --------
    >>> index = pd.date_range("2025-01-15 00:05", periods=4, freq="5min")
    >>> ten_minute_means(pd.DataFrame({"bus": [1.0, 0.9, 1.0, 1.1]}, index=index))["bus"].tolist()
    [0.95, 1.05]
    >>> index = pd.date_range("2025-01-15 00:30", periods=2, freq="30min")
    >>> ten_minute_means(pd.DataFrame({"bus": [0.8, 1.0]}, index=index))["bus"].tolist()
    [0.8, 1.0]
    """
    intervals = voltage.resample("10min", closed="right", label="right")
    return intervals.mean().loc[intervals.size() > 0]
