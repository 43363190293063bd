"""How well the traffic of a counted day meets counts that it was fitted to, and counts that it was not."""

from __future__ import annotations

import math
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cosim.core.quantities import Array, Flags
from cosim.scenarios.mobility.counts.day import read_scenario
from cosim.scenarios.mobility.counts.loops import HOURS, Counts
from cosim.scenarios.mobility.counts.path_flows import geh, held_out, path_flows

ACCEPTED_GEH = 5.0
ANCHORS = (
    "Schweizer et al. 2021 (10.3390/ijgi10030165), Bologna, morning peak: R2 0.7 on roads wider than 7 m",
    "UK TAG M3.1: GEH below 5 on at least 85 % of links",
)


@dataclass(frozen=True)
class Fit:
    """Agreement of volumes with counts by edge and hour."""

    r2: float
    """Share of the counts' variance around their mean that is explained; NaN if all are equal."""
    geh_below_5: float
    """Share of edges and hours."""
    rmse: float
    """[veh/h]"""

    @classmethod
    def of(cls, volume: Array, count: Array) -> Fit:
        """Compare volumes with counts of the same shape. [veh/h]"""
        spread = ((count - count.mean()) ** 2).sum() if count.size else 0.0
        if not spread:
            return cls(math.nan, math.nan, math.nan)
        squares = (volume - count) ** 2
        accepted = (geh(volume, count) < ACCEPTED_GEH).mean()
        return cls(float(1 - squares.sum() / spread), float(accepted), float(np.sqrt(squares.mean())))

    def row(self) -> dict[str, float | None]:
        """Return the figures as JSON has them."""
        return {k: None if math.isnan(x) else round(x, 4) for k, x in vars(self).items()}


@dataclass(frozen=True)
class Agreement:
    """Counts of a scenario's edges beside the volumes of the estimated day, all of shape (n_edges, 24) [veh/h]."""

    counts: Counts
    prior: Array
    """The scenario's own traffic, scaled to the sum of the counts of every hour."""
    fitted: Array
    """From all counts."""
    held_out: Array
    """From the counts of other edges."""
    unreached: tuple[str, ...]
    """Edges that no route of the scenario passes."""

    def fit(self, what: str, where: Flags | None = None, hour: int | None = None) -> Fit:
        """Return the agreement of "prior", "fitted" or "held_out" volumes on some edges, in one hour or all."""
        rows = slice(None) if where is None else where
        columns = slice(None) if hour is None else [hour]
        return Fit.of(getattr(self, what)[rows][:, columns], self.counts.flow[rows][:, columns])

    @property
    def contradicting(self) -> dict[str, float]:
        """Edges whose counts the fitted flows miss by a GEH of 5 in the mean of the day, with that mean."""
        missed = geh(self.fitted, self.counts.flow).mean(axis=1)
        return {edge: float(m) for edge, m in zip(self.counts.edges, missed) if m > ACCEPTED_GEH}

    @property
    def agreeing(self) -> Flags:
        """Whether an edge is not `contradicting`, shape (n_edges,)."""
        return np.array([edge not in self.contradicting for edge in self.counts.edges])

    def as_json(self) -> dict[str, object]:
        """Return every figure."""
        figures = {
            what: {
                "all": self.fit(what).row(),
                "two lanes or more": self.fit(what, self.counts.wide).row(),
                "agreeing": self.fit(what, self.agreeing).row(),
                "agreeing, two lanes or more": self.fit(what, self.agreeing & self.counts.wide).row(),
                "by hour": [self.fit(what, hour=hour).row() for hour in range(HOURS)],
            }
            for what in ("prior", "fitted", "held_out")
        }
        edges = [
            {
                "edge": edge,
                "lanes": int(lanes),
                "counted": c.sum(),
                "fitted": f.sum().round(),
                "held_out": h.sum().round(),
            }
            for edge, lanes, c, f, h in zip(
                self.counts.edges, self.counts.lanes, self.counts.flow, self.fitted, self.held_out
            )
        ]
        return {
            **figures,
            "edges": edges,
            "contradicting": self.contradicting,
            "unreached": list(self.unreached),
            "left_out": dict(self.counts.left_out),
            "anchors": list(ANCHORS),
        }


def agreement(sumocfg: Path, counts: Path, folds: int = 5, seed: int = 0, zone: str = "UTC") -> Agreement:
    """Estimate the day of `counted_day`, from all counts and from those of the other folds.

    Parameters
    ----------
    sumocfg
        A SUMO scenario.
    counts, zone
        See `read_counts`.
    folds, seed
        See `held_out`.

    Raises
    ------
    CosimError
        See `counted_day` and `held_out`.
    """
    with tempfile.TemporaryDirectory(prefix="cosim-counts-") as place:
        _, _, pool, located = read_scenario(sumocfg, counts, Path(place), seed, zone)
    passes, prior = pool.passes(located.edges), pool.prior
    volume = passes @ prior
    outside = held_out(passes, prior, located.flow, folds, located.edges, seed)
    return Agreement(
        located,
        np.outer(volume, located.flow.sum(axis=0) / volume.sum()),
        passes @ path_flows(passes, prior, located.flow),
        outside,
        tuple(edge for edge, v in zip(located.edges, volume) if not v),
    )
