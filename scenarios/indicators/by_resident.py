"""Cities beside each other, by resident: what each city's base case is, and what one policy does in each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd
from rich.markup import escape
from rich.table import Table

from cosim.core.errors import CosimError, ScenarioError
from cosim.results.result import Result
from cosim.results.tables import number, percent, signed

OF_THE_CITY = ("kWh", "kW", "kg", "g", "EUR", "km", "trips", "vehicles")
"""Units of what grows with a city, and is divided by its residents; all other indicators are shown as they are."""


def by_resident(runs: Sequence[Result]) -> pd.DataFrame:
    """Return the indicators of runs in several cities, by resident where they grow with the city.

    Parameters
    ----------
    runs
        Finished runs of ``place`` of the same length and local start: of each city its base case first, then plans.

    Returns
    -------
    One row for each indicator and run, with the columns ``indicator``, ``unit``, ``city``, ``plan`` (empty for a base
    case), ``value``, ``difference`` from the city's base case (nan for that itself).

    Raises
    ------
    ScenarioError
        If a run is unfinished or not of a city with residents, there are fewer than two cities, their runs differ in
        time or seed, or their policies differ.
    """
    problems = [f"{run.folder} is {run.status}, or has no indicators" for run in runs if not run.indicators]
    problems += [
        f"{run.folder} is no run of a city with residents: run cosim run place --set city=…"
        for run in runs
        if not run.provenance["parameters"].get("residents")
    ]
    if not problems:
        problems = _differences(runs)
    cities: dict[str, list[Result]] = {}
    for run in runs:
        cities.setdefault(run.name, []).append(run)
    if len(cities) < 2 and not problems:
        problems = [f"all runs are of {runs[0].name}: use cosim compare, or give the runs of a second city"]
    told = {city: [_plan(run) for run in group] for city, group in cities.items()}
    first, *others = told.items()
    problems += [
        f"{city} has the plans {plans[1:] or 'none'}, {first[0]} has {first[1][1:] or 'none'}: run the same policies"
        for city, plans in others
        if plans[1:] != first[1][1:]
    ]
    problems += [
        f"the first run of {city}, {group[0].folder}, has policies: give its base case first"
        for city, group in cities.items()
        if len(group) > 1 and told[city][0]
    ]
    if problems:
        raise ScenarioError([f"cannot compare: {problem}" for problem in problems])
    shared = [name for name in runs[0].indicators if all(name in run.indicators for run in runs)]
    rows: list[dict[str, Any]] = []
    for name in shared:
        for city, group in cities.items():
            base = _value(group[0], name)
            for k, run in enumerate(group):
                unit = run.indicators[name].unit
                rows.append(
                    {
                        "indicator": name,
                        "unit": f"{unit} by resident" if unit in OF_THE_CITY else unit,
                        "city": city,
                        "plan": told[city][k],
                        "value": _value(run, name),
                        "difference": _value(run, name) - base if k else math.nan,
                    }
                )
    return pd.DataFrame(rows)


def _plan(run: Result) -> str:
    return " + ".join(run.provenance["parameters"].get("policies", ()))


def _value(run: Result, name: str) -> float:
    found = run.indicators[name]
    return found.value / (run.provenance["parameters"]["residents"] if found.unit in OF_THE_CITY else 1.0)


def _differences(runs: Sequence[Result]) -> list[str]:
    """Return in what runs of different cities differ that must be equal."""
    about = [
        {
            "local start": str(run.provenance["clock"]["start"])[:19],
            "exchange step": f"{run.provenance['clock']['step_s']:g} s",
            "length": f"{run.provenance['simulated_s']:g} s",
            "seed": str(run.provenance["seed"]),
        }
        for run in runs
    ]
    return [
        f"the {key} of {run.folder} is {these[key]}, that of {runs[0].folder} {about[0][key]}: run both alike"
        for run, these in zip(runs[1:], about[1:])
        for key in these
        if these[key] != about[0][key]
    ]


def resident_table(runs: Sequence[Result]) -> Table:
    """Return the indicators of several cities by resident as a table, with the change by each plan."""
    if len(runs) < 2:
        raise CosimError("cosim city compare needs runs of two cities")
    found = by_resident(runs)
    columns = list(dict.fromkeys(zip(found["city"], found["plan"])))
    table = Table(title="cities by resident", title_justify="left")
    table.add_column("indicator")
    for city, plan in columns:
        table.add_column(escape(f"{city}: {plan}" if plan else city), justify="right")
    table.add_column("unit")
    for name, rows in found.groupby("indicator", sort=False):
        at = {(row.city, row.plan): row for row in rows.itertuples()}
        cells = []
        for key in columns:
            row = at[key]
            text = number(row.value)
            if math.isfinite(row.difference):
                base = row.value - row.difference
                share = f" ({percent(row.difference / abs(base))})" if base and row.difference else ""
                text += f"\n{signed(row.difference)}{share}"
            cells.append(text)
        table.add_row(escape(str(name)), *cells, escape(rows["unit"].iloc[0]))
    return table
