"""Heat needs of the TABULA types beside the published ones, as the stock simulates them and as it did before.

A season at TABULA's mean outdoor temperature with its solar and internal gains, held at 20 °C. Before, heat went to the
air alone and floors lost it to outdoor air; now radiators warm surfaces too, and the ground is as warm as a season of
that length and mean has it: the yearly wave of outdoor temperature that crosses TABULA's base of 12 °C at the season's
ends, but no higher than 12 K, damped as at 1 m depth (Kusuda and Achenbach). Prints Markdown, and JSON last.
"""

from __future__ import annotations

import json
import sys

import numpy as np

from cosim.core.buildings.zones import Zones
from cosim.scenarios.buildings import tabula

BASE, AMPLITUDE = 12.0, 12.0  # °C, K
DAMPING = 1.0 / np.sqrt(6e-7 * 365 * 86400 / np.pi)  # of the wave at 1 m, as `cosim.adapters.weather` has it
KINDS = list(tabula.tabula_types().values())


def column(name: str) -> np.ndarray:
    return np.array([getattr(kind, name) for kind in KINDS])


def ground() -> np.ndarray:
    """Return the mean ground temperature of each type's heating season. [°C]"""
    half = np.pi * np.minimum(column("heating_days"), 364) / 365
    mean = np.sin(half) / half  # of the wave over the season, over its amplitude
    outdoor = column("heating_outdoor")
    amplitude = np.clip((BASE - outdoor) / (mean - np.cos(half)), 0.0, AMPLITUDE)
    year = outdoor + amplitude * mean
    return np.asarray(year - amplitude * mean * np.exp(-DAMPING) * np.cos(DAMPING))


def needs(radiant: float, boundary: np.ndarray) -> np.ndarray:
    """Return the seasonal need of every type, given the radiant share of radiators. [kWh/(m² a)]"""
    usual, tabula.RADIANT["radiators"] = tabula.RADIANT["radiators"], radiant
    first, *others = (kind.zone_of(kind.published_areas) for kind in KINDS)
    tabula.RADIANT["radiators"] = usual
    area, season = column("reference_area"), 0.024 * column("heating_days")
    zones = Zones(sum(others, start=first), np.arange(len(KINDS)), area, 20.0)
    gain = (column("q_sol") + column("q_int")) * area / season
    for _ in range(24 * 90):
        step = zones.step(
            3600,
            column("heating_outdoor"),
            equivalent=boundary,
            gain_air=gain,
            heating_setpoint=20.0,
            cooling_capacity=0,
        )
    return np.asarray(step.power * season / area)


def main() -> None:
    outdoor, published = column("heating_outdoor"), column("q_h_nd")
    weight = np.array([float(kind.on_ground(kind.published_areas)) for kind in KINDS])
    found = {
        "before": needs(0.0, outdoor),
        "radiators": needs(tabula.RADIANT["radiators"], outdoor),
        "now": needs(tabula.RADIANT["radiators"], outdoor + weight * (ground() - outdoor)),
    }
    countries = [*sorted({kind.type[:2] for kind in KINDS}), ""]
    result = {}
    print("| country | types | published | " + " | ".join(f"{name}: median / mean off" for name in found) + " |")
    print("|---|---|---|" + "---|" * len(found))
    for country in countries:
        mine = np.array([kind.type.startswith(country) for kind in KINDS]) & (published > 0)
        off = {name: need[mine] / published[mine] - 1 for name, need in found.items()}
        cells = " | ".join(f"{100 * np.median(d):+.0f} / {100 * np.abs(d).mean():.0f} %" for d in off.values())
        print(f"| {country or 'all'} | {mine.sum()} | {np.median(published[mine]):.0f} kWh/(m² a) | {cells} |")
        result[country or "all"] = {
            name: {"median": float(np.median(d)), "mean_absolute": float(np.abs(d).mean())} for name, d in off.items()
        }
    json.dump(result, sys.stdout)
    print()


if __name__ == "__main__":
    main()
