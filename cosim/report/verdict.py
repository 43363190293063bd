"""The verdict on plans at the top of a report: what changes, how sure that is, who bears it and where it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from cosim.results.comparison import Comparison
from cosim.results.cost_effect import cost_effects
from cosim.results.notebook import environment
from cosim.results.statistics import SMALLEST_BOOTSTRAP
from cosim.results.tables import number
from cosim.results.verdict import Reason, lines, percent, reasons

from .scene import Scene


def verdicts_html(comparisons: Mapping[str, Comparison], scenes: Mapping[str, Scene]) -> Markup:
    """Return the verdicts on all plans by case as HTML; empty if no plan changes anything."""
    found = [
        {
            "name": f"{case}: {plan}" if case else plan,
            "lines": told,
            "n": len(comparison.seeds),
            "borne": _borne(comparison, plan),
            "reasons": [_in_words(reason, scenes[case]) for reason in reasons(comparison, plan)],
        }
        for case, comparison in comparisons.items()
        for plan in comparison.plans
        if (told := lines(comparison, plan))
    ]
    if not found:
        return Markup()
    template = environment("cosim.report").get_template("verdict.html")
    return Markup(template.render(verdicts=found, fewest=SMALLEST_BOOTSTRAP))


def _borne(comparison: Comparison, plan: str) -> str:
    effect = next((effect for effect in cost_effects(comparison) if effect.plan == plan), None)
    if effect is None:
        return ""
    return "; ".join(
        f"{payer} {'pay' if eur > 0 else 'gain'} {number(abs(eur))} EUR a year" for payer, eur in effect.borne.items()
    )


def _in_words(reason: Reason, scene: Scene) -> dict[str, Any]:
    view = next((view for view in scene.views if view.layer.port == reason.port), None)
    names = view.layer.names if view else {}
    return {
        "what": view.layer.title if view else reason.port,
        "change": percent(reason.relative, sign=True),
        "source": reason.source,
        "targets": ", ".join(reason.targets),
        "hour": f"{reason.hour} to {reason.hour + 1} h",
        "places": ", ".join(f"{names.get(label, label)} ({percent(part)})" for label, part in reason.places),
    }
