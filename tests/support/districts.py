"""A small district of toys whose layers are a line, a polygon and a point each, for tests of what is shown."""

from __future__ import annotations

from typing import Any

from cosim import Clock, Indicator, Layer, Result, Scenario
from tests.support.toys import Echo, Source

LABELS = tuple(f"e{k}" for k in range(6))


def indicators(result: Result) -> dict[str, Indicator]:
    """Return an indicator that depends on chance, one that does not, and one without a value."""
    energy = float(result.integral("source.power").sum()) / 3.6e6
    return {
        "energy": Indicator(energy, "kWh", "lower", "of the <source>"),
        "steps": Indicator(float(result.total("source.count").iloc[-1]), "1", "higher"),
        "unknown": Indicator(float("nan"), "1"),
    }


def district(
    seed: int = 0,
    draw: int | None = None,
    hours: float = 3,
    labels: tuple[str, ...] = LABELS,
    day: str = "2025-06-01",
    **options: Any,
) -> Scenario:
    """Build the district; ``draw`` is what its source draws from, by default the seed."""
    scenario = Scenario(
        Clock(day, hours=hours, zone="Europe/Madrid"),
        indicators=indicators,
        source=Source(labels, seed=seed if draw is None else draw),
        echo=Echo(labels),
        **options,
    )
    scenario.connect("source.power", "echo.load")
    scenario.name, scenario.seed = "district", seed
    streets = {label: [(0.0, 40.0 * k), (200.0, 40.0 * k)] for k, label in enumerate(labels)}
    houses = {label: [(x, y) for x, y in ((0, 5), (30, 5), (30, 30), (0, 30))] for label in labels}
    houses = {label: [(x + 40.0 * k, y + 40.0 * k) for x, y in houses[label]] for k, label in enumerate(labels)}
    places = {label: [(100.0, 40.0 * k)] for k, label in enumerate(labels)}
    scenario.layers = [
        Layer("Power </script><b>", "source.power", "line", streets, "kW", 1e-3),
        Layer("Received", "echo.received", "polygon", houses, "kW", 1e-3),
        Layer("Count", "source.count", "point", places, "steps", scale=(0, 200)),
    ]
    return scenario
