"""With what power does each plugged-in vehicle charge, now that it could charge fully?

A strategy names a power for every session under way. The fleet hands it the range within which the departure
guarantee holds: from `Sessions.least_w`, below which the vehicle could no longer reach its target by the time it
leaves, to `Sessions.full_w`. Powers are at the grid's side, positive when drawn, negative when given back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from . import _fleet
from .errors import CosimError
from .fleet_plan import Array, Index

DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Sessions:
    """The managed charging sessions of a step, shape (n,) each, and what is known at its start."""

    day_s: float
    """Second of the civil day at the start of the step."""
    step_s: float
    need_j: Array
    """What the battery still lacks to its target at departure. [J]"""
    left_s: Array
    """Time until the vehicle is unplugged. [s]"""
    least_w: Array
    """Least power that keeps the departure guarantee; negative where the vehicle may give back. [W]"""
    full_w: Array
    """Greatest power that point and vehicle take and the battery has room for. [W]"""
    rate_w: Array
    """Greatest power of point and vehicle. [W]"""
    efficiency: Array
    station: Index
    transformer: Index
    price: float
    """[EUR/J]"""
    pv_surplus_w: Array
    """Surplus of the photovoltaics behind each transformer, shape (n_transformers,). [W]"""
    base_w: Array
    """Load of each transformer without the fleet, shape (n_transformers,). [W]"""
    spare_w: Array
    """What each transformer has left for these sessions, shape (n_transformers,). [W]"""

    def only(self, chosen: npt.NDArray[np.bool_], spare_w: Array) -> Sessions:
        """Return some of them, with what the others leave of the transformers."""
        names = ("need_j", "left_s", "least_w", "full_w", "rate_w", "efficiency", "station", "transformer")
        return replace(self, spare_w=spare_w, **{name: getattr(self, name)[chosen] for name in names})


class DayProfile:
    """What was seen at each time of the day: the forecast for the day ahead.

    Parameters
    ----------
    n_rows
        Number of quantities.
    expected : shape (n_rows, n_slots) or (n_slots,)
        What to expect before a time of the day has been seen, in slots of equal length from midnight on.

    Examples
    --------
    >>> profile = DayProfile(1, [1.0, 2.0, 3.0, 4.0])
    >>> profile.learn(6 * 3600, [20.0])
    >>> profile.ahead(6 * 3600)
    array([[20.,  3.,  4.,  1.]])
    """

    def __init__(self, n_rows: int, expected: npt.ArrayLike) -> None:
        values = np.atleast_2d(np.array(expected, dtype=np.float64))
        if values.shape[0] == 1:
            values = np.repeat(values, n_rows, axis=0)
        if values.shape[0] != n_rows or not np.isfinite(values).all():
            raise CosimError(
                f"a forecast has shape {np.shape(expected)}: it must be finite, one row, or one for each of {n_rows}"
            )
        self.values = values
        self.slot_s = DAY_S / values.shape[1]

    def learn(self, day_s: float, values: npt.ArrayLike) -> None:
        """Keep what is seen at a time of the day, shape (n_rows,)."""
        self.values[:, self._slot(day_s)] = values

    def ahead(self, day_s: float) -> Array:
        """Return the day ahead from the present slot on, shape (n_rows, n_slots)."""
        found: Array = np.roll(self.values, -self._slot(day_s), axis=1)
        return found

    def _slot(self, day_s: float) -> int:
        return int(day_s % DAY_S // self.slot_s)


class Strategy:
    """Decides the power of the sessions under way; subclasses write `wish`."""

    counted_on = 1.0
    """Share of the power in later steps that a vehicle counts upon when it gives back energy below its target."""
    follows_pv = False
    """Whether it asks for the surplus of photovoltaics."""

    @property
    def profile(self) -> DayProfile | None:
        """What the strategy has learned, kept in checkpoints."""
        return None

    def start(self, n_transformers: int) -> None:
        """Forget what was learned: called when a run begins."""

    def observe(self, day_s: float, price: float, base_w: Array) -> None:
        """Learn from what is known at the start of a step."""

    def wish(self, sessions: Sessions) -> Array:
        """Return the wished power, shape (n,); what lies outside the guarantee is cut off. [W]"""
        raise NotImplementedError

    def power(self, sessions: Sessions) -> Array:
        """Return the power, shape (n,). [W]"""
        wished: Array = np.clip(self.wish(sessions), sessions.least_w, sessions.full_w)
        return wished


class Plain(Strategy):
    """Charges with all it can from the moment it is plugged in."""

    def wish(self, sessions: Sessions) -> Array:
        """Return the full power."""
        return sessions.full_w


class Delayed(Strategy):
    """Charges within a window of the day only, as a timer does, unless it would be late.

    Parameters
    ----------
    from_h, to_h
        Civil hours between which it charges; the window may span midnight.
    """

    def __init__(self, from_h: float = 23.0, to_h: float = 7.0) -> None:
        if not (0 <= from_h <= 24 and 0 <= to_h <= 24 and from_h != to_h):
            raise CosimError(f"the charging window is from {from_h} to {to_h} o'clock: give two hours from 0 to 24")
        self.from_h, self.to_h = from_h, to_h

    def wish(self, sessions: Sessions) -> Array:
        """Return the full power inside the window."""
        hour = sessions.day_s % DAY_S / 3600
        after, before = hour >= self.from_h, hour < self.to_h
        inside = after and before if self.from_h < self.to_h else after or before
        return sessions.full_w if inside else np.zeros_like(sessions.full_w)


class ValleyFilling(Strategy):
    """Fills the valleys of each transformer's load up to one level, as vehicles' times of departure allow.

    At every step the level is found up to which the valleys of the day ahead must be filled now: the highest of those
    at which the valleys until each slot hold the energy that is due by then, if every vehicle charges as late as its
    own power lets it. That is optimal for any convex cost of load, as in [1]_, as far as the forecast holds and no
    vehicle's own power binds; what the present valley takes is shared by need over time left.

    Parameters
    ----------
    base_load : shape (n_transformers, n_slots) or (n_slots,)
        Expected load without the fleet, in slots of equal length from midnight on [W]; what is seen replaces it.

    References
    ----------
    .. [1] F. Yao, A. Demers, S. Shenker: A scheduling model for reduced CPU energy. FOCS 1995: the critical interval.
    """

    def __init__(self, base_load: npt.ArrayLike | None = None) -> None:
        self.base_load = np.zeros(48) if base_load is None else base_load
        self._base: DayProfile | None = None

    @property
    def profile(self) -> DayProfile | None:
        """Loads of the transformers by time of the day."""
        return self._base

    def start(self, n_transformers: int) -> None:
        """Begin with the expected load."""
        self._base = DayProfile(n_transformers, self.base_load)

    def observe(self, day_s: float, price: float, base_w: Array) -> None:
        """Learn the transformers' loads; before the grid has told them all are zero."""
        if self._base is not None and base_w.any():
            self._base.learn(day_s, base_w)

    def wish(self, sessions: Sessions) -> Array:
        """Return the share of the present valley."""
        assert self._base is not None, "start() comes first"
        base = self._base.ahead(sessions.day_s)
        level = np.empty(len(base))
        _fleet.fill_valleys(np.ascontiguousarray(base), _due(sessions, base.shape, self._base.slot_s), level)
        weight = sessions.need_j / np.maximum(sessions.left_s, sessions.step_s)
        return share_out(np.maximum(level - base[:, 0], 0.0), weight, sessions.full_w, sessions.transformer)


def _due(sessions: Sessions, shape: tuple[int, ...], slot_s: float) -> Array:
    """Return what each slot brings if every vehicle charges as late as it can, shape (n_transformers, n_slots). [W]"""
    n_slots = shape[1]
    due = np.zeros(shape[0] * n_slots)
    slot = np.minimum(sessions.left_s // slot_s, n_slots - 1).astype(np.int64)
    first = sessions.transformer * n_slots
    power, rate = sessions.need_j / (sessions.efficiency * slot_s), sessions.rate_w
    room = rate * np.clip(sessions.left_s / slot_s - slot, 0.0, 1.0)
    while len(power):
        part = np.where(slot > 0, np.minimum(power, room), power)
        due += np.bincount(first + slot, part, due.size)
        power = power - part
        more = power > 0
        first, slot, power = first[more], slot[more] - 1, power[more]
        room = rate = rate[more]
    return due.reshape(shape)


class PriceFollowing(Strategy):
    """Charges in the cheapest hours before departure.

    Parameters
    ----------
    day_ahead : shape (n_slots,)
        Prices of the day in slots of equal length from midnight on [EUR/J]; what is heard replaces them.
    """

    def __init__(self, day_ahead: Sequence[float] | Array | None = None) -> None:
        self.day_ahead = np.zeros(96) if day_ahead is None else day_ahead
        self._prices = DayProfile(1, self.day_ahead)

    @property
    def profile(self) -> DayProfile | None:
        """Prices by time of the day."""
        return self._prices

    def start(self, n_transformers: int) -> None:
        """Begin with the prices given."""
        self._prices = DayProfile(1, self.day_ahead)

    def observe(self, day_s: float, price: float, base_w: Array) -> None:
        """Learn the price."""
        self._prices.learn(day_s, price)

    def wish(self, sessions: Sessions) -> Array:
        """Return the full power where the present slot is among the cheapest that are needed."""
        ahead, slot_s = self._prices.ahead(sessions.day_s)[0], self._prices.slot_s
        n = len(ahead)
        # Row j: the first j + 1 slots, sorted. Who has j + 1 slots left and needs m pays up to element m - 1.
        dearest = np.full((n, n), np.inf)
        for j in range(n):
            dearest[j, : j + 1] = np.sort(ahead[: j + 1])
        window = np.clip(np.ceil(sessions.left_s / slot_s), 1, n).astype(np.int64)
        rate = np.maximum(sessions.efficiency * sessions.rate_w, 1e-9)
        needed = np.clip(np.ceil(sessions.need_j / (rate * slot_s)), 1, window).astype(np.int64)
        cheap = (sessions.need_j > 0) & (ahead[0] <= dearest[window - 1, needed - 1])
        return np.where(cheap, sessions.full_w, 0.0)


class PvFollowing(Strategy):
    """Charges with the surplus of the photovoltaics behind its transformer, and from the grid only when it must."""

    follows_pv = True

    def wish(self, sessions: Sessions) -> Array:
        """Return each session's part of its transformer's surplus."""
        surplus = np.maximum(sessions.pv_surplus_w, 0.0)
        return share_out(surplus, sessions.full_w, sessions.full_w, sessions.transformer)


class V2G(PriceFollowing):
    """Buys when the day ahead is cheap and gives back when it is dear, and is charged at departure all the same.

    Parameters
    ----------
    day_ahead
        See `PriceFollowing`.
    low, high
        Quantiles of the day ahead's prices below which it charges and above which it gives back.
    counted_on
        Share of the charging power in later steps that it counts upon while it gives back: with 1 it may discharge
        below its target as far as it can recharge in time if the point keeps working; with 0 it never goes below its
        target, which holds through outages too.
    """

    def __init__(
        self,
        day_ahead: Sequence[float] | Array | None = None,
        low: float = 0.25,
        high: float = 0.75,
        counted_on: float = 1.0,
    ) -> None:
        super().__init__(day_ahead)
        if not (0 <= low <= high <= 1 and 0 <= counted_on <= 1):
            raise CosimError(
                f"V2G has low {low}, high {high} and counted_on {counted_on}: all lie from 0 to 1, low below high"
            )
        self.low, self.high, self.counted_on = low, high, counted_on

    def wish(self, sessions: Sessions) -> Array:
        """Return full power when cheap, the greatest allowed discharge when dear, else nothing."""
        ahead = self._prices.ahead(sessions.day_s)[0]
        low, high = np.quantile(ahead, [self.low, self.high])
        if ahead[0] <= low:
            return sessions.full_w
        # What is given back now is bought again at the low price, through the charger's losses both ways.
        pays = (ahead[0] >= high) & (ahead[0] * sessions.efficiency**2 > low)
        return np.where(pays, sessions.least_w, 0.0)


class GridLimited(Strategy):
    """Lets another strategy decide and cuts its power to what each transformer has left.

    What the departure guarantee asks for is served first; if even that is too much, all of it is cut alike, and the
    fleet reports who leaves with less than its target.

    Parameters
    ----------
    inner
        The strategy that decides within the limit.
    """

    def __init__(self, inner: Strategy | None = None) -> None:
        self.inner = Plain() if inner is None else inner
        # A limit may take away the power that energy given back is to be replaced with.
        self.counted_on = 0.0
        self.follows_pv = self.inner.follows_pv

    @property
    def profile(self) -> DayProfile | None:
        """What the inner strategy has learned."""
        return self.inner.profile

    def start(self, n_transformers: int) -> None:
        """Start the inner strategy."""
        self.inner.start(n_transformers)

    def observe(self, day_s: float, price: float, base_w: Array) -> None:
        """Let the inner strategy learn."""
        self.inner.observe(day_s, price, base_w)

    def power(self, sessions: Sessions) -> Array:
        """Return the inner strategy's power within the limits."""
        return within(
            self.inner.power(sessions), np.maximum(sessions.least_w, 0.0), sessions.transformer, sessions.spare_w
        )


def within(power: Array, first: Array, group: Index, cap: Array) -> Array:
    """Cut powers so that each group's sum stays below its cap.

    Parameters
    ----------
    power, first : shape (n,)
        Wished powers, and the part of each that is served first; ``first`` ≤ ``power`` where that is positive. [W]
    group : shape (n,)
        The group of each.
    cap : shape (n_groups,)
        [W] A group that gives back as a whole may have a negative one; drawing stops at zero.

    Returns
    -------
    shape (n,)
    """
    n = len(cap)
    drawn, given = np.maximum(power, 0.0), np.minimum(power, 0.0)
    first = np.minimum(first, drawn)
    room = np.maximum(cap - np.bincount(group, given, n), 0.0)
    must, rest = np.bincount(group, first, n), np.bincount(group, drawn - first, n)
    cut_rest = np.clip(np.divide(room - must, rest, out=np.ones(n), where=rest > 0), 0.0, 1.0)
    cut_must = np.clip(np.divide(room, must, out=np.ones(n), where=must > 0), 0.0, 1.0)
    served: Array = given + first * cut_must[group] + (drawn - first) * cut_rest[group]
    return served


def share_out(total: Array, weight: Array, most: Array, group: Index, passes: int = 3) -> Array:
    """Share each group's total by weight, nobody above their most, and share again what that leaves over.

    Parameters
    ----------
    total : shape (n_groups,)
    weight, most, group : shape (n,)

    Returns
    -------
    shape (n,)
        What each gets. After ``passes`` a rest may remain with nobody.
    """
    n = len(total)
    got = np.zeros_like(most)
    for _ in range(passes):
        rest = np.maximum(total - np.bincount(group, got, n), 0.0)
        open_weight = np.where(got < most, weight, 0.0)
        weights = np.bincount(group, open_weight, n)
        per_weight = np.divide(rest, weights, out=np.zeros(n), where=weights > 0)
        got = np.minimum(got + open_weight * per_weight[group], most)
    return got
