"""Choice of the mode, and of whether to travel, by an incremental (pivot-point) nested logit.

The model starts from the shares of the base case and changes them by what a policy changes in generalised cost [1]_:
constants, habits and tastes that nobody has measured are in the shares and drop out. Where no cost changes, no share
does, exactly.

.. [1] Department for Transport (UK): TAG Unit M2, Variable Demand Modelling, May 2019, appendix E.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd

from cosim.core import CosimError
from cosim.core.quantities import Vector

MODES = ("car", "motorcycle and passenger", "public", "bicycle", "walk")
"""Modes of travel, the columns of all tables of shares."""
CAR, RIDE, PUBLIC, BICYCLE, WALK = range(len(MODES))
STAYS = len(MODES)
"""Column of trips that are not made, or to places elsewhere."""

Shares = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Tastes:
    """Marginal utilities of time and money.

    Times are per minute, money per euro at the reference distance. The set was estimated as one from the household
    travel survey of Île-de-France [2]_; ``money`` alone is changed, by `MONEY_SCALE`.

    Attributes
    ----------
    money, money_distance, reference_km
        Of a euro at the reference distance, and the exponent by which its weight falls with distance.
    car, public, waiting, access, transfer, bicycle, walk
        Of a minute in a car, in a bus or train, waiting for it, walking to it; of a transfer; of a minute by bicycle
        and on foot.

    References
    ----------
    .. [2] eqasim-org/eqasim-java, ``IDFModeParameters.java`` in the state that the models of Bavaria quote; S. Hörl,
       M. Balac: Synthetic population and travel demand for Paris and Île-de-France. Transportation Research Part C
       130 (2021) 103291.
    """

    money: float = -0.310998
    money_distance: float = -0.257501
    reference_km: float = 4.4
    car: float = -0.042431
    public: float = -0.025501
    waiting: float = -0.021801
    access: float = -0.031239
    transfer: float = -0.417658
    bicycle: float = -0.093485
    walk: float = -0.162285

    def of_euro(self, distance_km: Vector, scale: float) -> Vector:
        """Return the utility of a euro by the length of the trip, shape (n_trips,). [1/EUR]

        Trips shorter than a kilometre weigh money as those of a kilometre do, an assumption.
        """
        weight: Vector = scale * self.money * (np.maximum(distance_km, 1.0) / self.reference_km) ** self.money_distance
        return weight


def pivot(shares: Shares, change: Shares) -> Shares:
    """Return the shares after a change of utilities.

    Parameters
    ----------
    shares : shape (n_trips, n_modes)
        Shares of the base case; each row sums to 1.
    change : shape (n_trips, n_modes)
        Change of each mode's utility; minus infinity where it is no longer possible.

    Returns
    -------
    shape (n_trips, n_modes)
        P exp(dV), normalised; rows without any change are those given, bit by bit.

    Examples
    --------
    >>> pivot(np.array([[0.25, 0.75]]), np.array([[-0.505, 0.0]])).round(3)
    array([[0.167, 0.833]])
    """
    weight = shares * np.exp(change)
    total = weight.sum(axis=1, keepdims=True)
    moved = (change != 0).any(axis=1, keepdims=True)
    found: Shares = np.where(moved, weight / np.where(total > 0, total, 1.0), shares)
    return found


@dataclass(frozen=True)
class Frequency:
    """How firmly trips are made.

    Parameters
    ----------
    firm
        Of all trips that are considered, the share that is made in the base case, by trip or for all.
    scale
        Ratio of the sensitivity of this choice to that of the mode; above 0 and at most 1, as utility theory demands.

    Raises
    ------
    CosimError
        If a value is out of range.
    """

    firm: float | Vector = 1.0
    scale: float = 1.0

    def __post_init__(self) -> None:
        if not (np.all(np.asarray(self.firm) > 0) and np.all(np.asarray(self.firm) <= 1)):
            raise CosimError("firm must be above 0 and at most 1: give the share of considered trips that are made")
        if not 0 < self.scale <= 1:
            raise CosimError(f"scale is {self.scale}: it must be above 0 and at most 1, or the nest is inconsistent")


def respond(shares: Shares, change: Shares, frequency: Frequency | None = None) -> Shares:
    """Return the shares by mode and of trips not made, relative to the trips of the base case.

    The lower nest is the mode; the upper one is whether the trip is made, by the logsum of the modes.

    Parameters
    ----------
    shares, change
        See `pivot`.
    frequency
        How firmly the trips are made; by default all are made whatever they cost.

    Returns
    -------
    shape (n_trips, n_modes + 1)
        Shares by mode, and last the share of base trips that are not made: negative where more trips are made.
    """
    frequency = frequency or Frequency()
    modes = pivot(shares, change)
    moved = (change != 0).any(axis=1)
    sum_of = (shares * np.exp(change)).sum(axis=1)
    with np.errstate(divide="ignore"):
        logsum = np.where(moved, np.log(np.where(moved, sum_of, 1.0)), 0.0)
    firm = np.broadcast_to(np.asarray(frequency.firm, float), logsum.shape)
    # q'/q with q' = q exp(θΔ) / (q exp(θΔ) + 1 - q); a certain trip that has lost all modes is not made either
    lifted = np.exp(frequency.scale * logsum)
    made = np.where(moved, lifted / np.where(lifted > 0, firm * lifted + (1 - firm), 1.0), 1.0)
    return np.column_stack([modes * made[:, None], 1 - made])


def redraw(modes: npt.NDArray[np.intp], before: Shares, after: Shares, draws: Vector) -> npt.NDArray[np.intp]:
    """Return each trip's new alternative, such that as few as possible change and all meet the new shares.

    A trip leaves its mode only if that mode has lost, with the chance by which it has lost, and goes to those that
    have gained, in proportion. With ``before == after`` nobody moves, whatever the draw.

    Parameters
    ----------
    modes : shape (n_trips,)
        Alternative of the base case, a column of ``before``.
    before, after : shape (n_trips, n_alternatives)
        Shares; rows sum to 1.
    draws : shape (n_trips,)
        Uniform numbers in [0, 1), one per trip.
    """
    row = np.arange(len(modes))
    old, new = before[row, modes], after[row, modes]
    keeps = np.where(new >= old, 1.0, new / np.where(old > 0, old, 1.0))
    gain = np.maximum(after - before, 0.0)
    leaves = (draws >= keeps) & (gain.sum(axis=1) > 0)
    bounds = np.cumsum(gain, axis=1)
    # what remains of the draw is uniform again
    rest = (draws - keeps) / np.where(keeps < 1, 1 - keeps, 1.0)
    there = (rest[:, None] * bounds[:, -1:] >= bounds).sum(axis=1).clip(max=before.shape[1] - 1)
    return np.where(leaves, there, modes)


@dataclass(frozen=True)
class Answer:
    """What travellers do after a change.

    Attributes
    ----------
    tours
        Those of `travellers.Travellers`, with ``before`` and ``mode``, columns of `MODES` (`STAYS` where the tour is
        not made), ``car_min_before`` and ``car_min``, minutes per trip by car through the network.
    gaps
        Relative gap after each round; empty where nothing changes.
    headway
        Headway of public transport over that of the base case.
    shifts
        Drive → change of its departure, of all drives that would leave at another time than in the base case. [s]
    driven
        Drives of the tours that are made by car.
    tour_of, shares
        Tour of every drive that is or may be made, and shares of the base case by tour, as in `travellers.Travellers`.
    """

    tours: pd.DataFrame
    gaps: tuple[float, ...]
    headway: float = 1.0
    shifts: Mapping[str, float] = field(default_factory=dict)
    driven: frozenset[str] = frozenset()
    tour_of: Mapping[str, str] = field(default_factory=dict, repr=False)
    shares: Shares = field(default_factory=lambda: np.zeros((0, len(MODES))), repr=False)

    @property
    def moved(self) -> dict[str, float]:
        """The changes of departure of the drives that are made. [s]"""
        return {leg: shift for leg, shift in self.shifts.items() if leg in self.driven}

    @property
    def gap(self) -> float:
        """The last round's gap; 0 where nothing had to be iterated."""
        return self.gaps[-1] if self.gaps else 0.0

    def trips(self, column: str = "mode") -> dict[str, float]:
        """Return the number of trips by mode; of the base case by ``column="before"``."""
        found = self.tours["trips"].groupby(self.tours[column]).sum()
        return {name: float(found.get(k, 0.0)) for k, name in enumerate(MODES)}
