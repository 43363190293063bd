"""Indicators as HTML, for notebooks and pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import jinja2

from .indicator import Change, Compared, Indicator
from .tables import POINTS_ARE, difference_cells, number


def run_html(name: str, status: str, indicators: Mapping[str, Indicator]) -> str:
    """Return the indicators of one run as an HTML table."""
    rows = {label: indicator for label, indicator in indicators.items() if indicator.role != "bar"}
    template = environment("cosim.results").get_template("indicators.html")
    return template.render(run={"name": name, "status": status, "indicators": rows}, number=number)


def comparison_html(comparisons: Mapping[str, Compared]) -> str:
    """Return the changes by plans, by case, as HTML tables; several tables are preceded by an overview."""
    tables: list[dict[str, Any]] = [
        {
            "case": case,
            "plan": plan,
            "base": found.base_name,
            "unshared": found.unshared[plan],
            "cautions": found.cautions.get(plan, []),
            "n": most_pairs(changes),
            "rows": [(change, difference_cells(change)) for change in changes if change.role != "bar"],
        }
        for case, found in comparisons.items()
        for plan, changes in found.changes.items()
    ]
    overview = _overview(comparisons) if len(tables) > 1 else None
    template = environment("cosim.results").get_template("indicators.html")
    percentages = any(change.unit.startswith("%") for table in tables for change, _ in table["rows"])
    return template.render(tables=tables, overview=overview, number=number, points=POINTS_ARE if percentages else "")


def _overview(comparisons: Mapping[str, Compared]) -> dict[str, Any]:
    """Return a table with a row per indicator, and for each case its base and the change by every plan."""
    every = [c for found in comparisons.values() for changes in found.changes.values() for c in changes]
    about = {c.indicator: c for c in every if c.role != "bar"}
    by_plan = [
        [{c.indicator: c for c in changes} for changes in found.changes.values()] for found in comparisons.values()
    ]
    return {
        "heads": [
            (case, [found.base_name, *found.changes], max(map(most_pairs, found.changes.values())))
            for case, found in comparisons.items()
        ],
        "rows": [(one, [[plan.get(name) for plan in plans] for plans in by_plan]) for name, one in about.items()],
        "cells": difference_cells,
    }


def most_pairs(changes: Sequence[Change]) -> int:
    """Return the largest number of pairs of runs behind the differences."""
    return max((c.difference.n for c in changes if c.difference is not None), default=0)


@cache
def environment(package: str) -> jinja2.Environment:
    """Return the template environment of a package; everything not marked as safe is escaped."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader(package, "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
