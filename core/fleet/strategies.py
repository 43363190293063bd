"""Charging strategies, which set the power of every plugged-in vehicle.

A strategy returns a power for every active session. The fleet passes the range within which the departure
guarantee holds: from `Sessions.least_w`, below which the vehicle could no longer reach its target by its
departure, to `Sessions.full_w`. Powers are on the grid side, positive when drawn, negative when fed back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from cosim.core.errors import CosimError
from cosim.core.fleet import _fleet
from cosim.core.quantities import DAY_S, HOUR_S, Array, Flags, Indices32

ROUNDS, LEAST_CHANGE_W = 10, 1.0
"""Rounds of planning of `ValleyFilling` at most, and the change of a power that ends them. [W] Chosen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sessions:
    """The managed charging sessions of a step, shape (n,) each, and the signals known at its start."""

    day_s: float
    """Second of the civil day at the start of the step."""
    step_s: float
    need_j: Array
    """Energy missing to the target at departure. [J]"""
    left_s: Array
    """Time until the vehicle is unplugged. [s]"""
    least_w: Array
    """Least power that keeps the departure guarantee; negative where the vehicle may feed back. [W]"""
    full_w: Array
    """Maximum power allowed by point, vehicle and free battery capacity. [W]"""
    rate_w: Array
    """Maximum power of point and vehicle. [W]"""
    efficiency: Array
    station: Indices32
    transformer: Indices32
    price: float
    """[EUR/J]"""
    pv_surplus_w: Array
    """Photovoltaic surplus behind each transformer, shape (n_transformers,). [W]"""
    base_w: Array
    """Load of each transformer without the fleet, shape (n_transformers,). [W]"""
    spare_w: Array
    """Power of each transformer available to these sessions, shape (n_transformers,). [W]"""

    def only(self, chosen: Flags, spare_w: Array) -> Sessions:
        """Return a subset of the sessions, with the transformer power that the others leave."""
        names = ("need_j", "left_s", "least_w", "full_w", "rate_w", "efficiency", "station", "transformer")
        return replace(self, spare_w=spare_w, **{name: getattr(self, name)[chosen] for name in names})


class DayProfile:
    """Last observed value at each time of day: a persistence forecast for the day ahead.

    Parameters
    ----------
    n_rows
        Number of quantities.
    expected : shape (n_rows, n_slots) or (n_slots,)
        Expected values before the first observation, in slots of equal length from midnight on.

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
                f"a forecast has shape {np.shape(expected)}: it must be finite, with one row or {n_rows} rows"
            )
        self.values = values
        self.slot_s = DAY_S / values.shape[1]

    def learn(self, day_s: float, values: npt.ArrayLike) -> None:
        """Store the values observed at a time of day, shape (n_rows,)."""
        self.values[:, self._slot(day_s)] = values

    def ahead(self, day_s: float) -> Array:
        """Return the day ahead from the current slot on, shape (n_rows, n_slots)."""
        found: Array = np.roll(self.values, -self._slot(day_s), axis=1)
        return found

    def _slot(self, day_s: float) -> int:
        return int(day_s % DAY_S // self.slot_s)


class Strategy:
    """Sets the power of the active sessions; subclasses implement `wish`."""

    counted_on = 1.0
    """Share of the power in later steps that a vehicle relies on when it feeds back energy below its target."""
    follows_pv = False
    """Whether it uses the photovoltaic surplus."""
    fills_short_stays = False
    """Whether it also charges up to the target on stays shorter than the vehicle's ``target_after_s``."""

    @property
    def profile(self) -> DayProfile | None:
        """The learned forecast, kept in checkpoints."""
        return None

    def start(self, n_transformers: int) -> None:
        """Reset the forecast: called when a run begins."""

    def observe(self, day_s: float, price: float, base_w: Array) -> None:
        """Update the forecast from the signals known at the start of a step."""

    def wish(self, sessions: Sessions) -> Array:
        """Return the desired power, shape (n,), which `power` clips to the range of the guarantee. [W]"""
        raise NotImplementedError

    def power(self, sessions: Sessions) -> Array:
        """Return the power, shape (n,). [W]"""
        wished: Array = np.clip(self.wish(sessions), sessions.least_w, sessions.full_w)
        return wished


class Plain(Strategy):
    """Charges at full power from the moment it is plugged in."""

    def wish(self, sessions: Sessions) -> Array:
        """Return the full power."""
        return sessions.full_w


class Delayed(Strategy):
    """Charges only within a window of the day, as a timer does, unless the departure guarantee requires more.

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
        hour = sessions.day_s % DAY_S / HOUR_S
        after, before = hour >= self.from_h, hour < self.to_h
        inside = after and before if self.from_h < self.to_h else after or before
        return sessions.full_w if inside else np.zeros_like(sessions.full_w)


class ValleyFilling(Strategy):
    """Fills the valleys of each transformer's load, as departure times and the power of every session allow.

    Every step plans all sessions over the day ahead so that the squares of the transformers' loads sum to the least
    possible, the decentralized protocol of [1]_ with the sessions taking turns, and charges with the power planned for
    the current slot. A vehicle is as full when it leaves as plain charging would have made it, also after short stays:
    what it lacked it would charge elsewhere in the peak.

    Parameters
    ----------
    base_load : shape (n_transformers, n_slots) or (n_slots,)
        Expected load without the fleet, in slots of equal length from midnight on [W]; observed values replace it.

    References
    ----------
    .. [1] L. Gan, U. Topcu, S. H. Low: Optimal decentralized protocol for electric vehicle charging. IEEE Transactions
       on Power Systems 28(2), 2013, doi:10.1109/TPWRS.2012.2210288.
    """

    fills_short_stays = True

    def __init__(self, base_load: npt.ArrayLike | None = None) -> None:
        self.base_load = np.zeros(48) if base_load is None else base_load
        self._base: DayProfile | None = None

    @property
    def profile(self) -> DayProfile | None:
        """Loads of the transformers by time of day."""
        return self._base

    def start(self, n_transformers: int) -> None:
        """Reset to the expected load."""
        self._base = DayProfile(n_transformers, self.base_load)

    def observe(self, day_s: float, price: float, base_w: Array) -> None:
        """Update the forecast of the transformers' loads, which are all zero before the grid publishes them."""
        if self._base is not None and base_w.any():
            self._base.learn(day_s, base_w)

    def wish(self, sessions: Sessions) -> Array:
        """Return each session's power in the current slot of the plan."""
        assert self._base is not None, "start() comes first"
        base, slot_s = self._base.ahead(sessions.day_s), self._base.slot_s
        length = np.full(base.shape[1], slot_s)
        length[0] -= sessions.day_s % slot_s
        power = np.zeros(len(sessions.need_j))
        _fleet.fill_valleys(
            np.ascontiguousarray(base),
            length,
            sessions.transformer.astype(np.int32),
            sessions.need_j / sessions.efficiency,
            np.maximum(sessions.left_s, sessions.step_s),
            sessions.rate_w,
            ROUNDS,
            LEAST_CHANGE_W,
            power,
        )
        return power


class PriceFollowing(Strategy):
    """Charges in the cheapest hours before departure.

    Parameters
    ----------
    day_ahead : shape (n_slots,)
        Prices of the day in slots of equal length from midnight on [EUR/J]; received values replace them.
    """

    def __init__(self, day_ahead: Sequence[float] | Array | None = None) -> None:
        self.day_ahead = np.zeros(96) if day_ahead is None else day_ahead
        self._prices = DayProfile(1, self.day_ahead)

    @property
    def profile(self) -> DayProfile | None:
        """Prices by time of day."""
        return self._prices

    def start(self, n_transformers: int) -> None:
        """Reset to the given prices."""
        self._prices = DayProfile(1, self.day_ahead)

    def observe(self, day_s: float, price: float, base_w: Array) -> None:
        """Update the price forecast."""
        self._prices.learn(day_s, price)

    def wish(self, sessions: Sessions) -> Array:
        """Return the full power where the current slot is among the cheapest slots needed."""
        ahead, slot_s = self._prices.ahead(sessions.day_s)[0], self._prices.slot_s
        n = len(ahead)
        # Row j: the first j + 1 slots, sorted. A session with j + 1 slots left that needs m pays up to element m - 1.
        dearest = np.full((n, n), np.inf)
        for j in range(n):
            dearest[j, : j + 1] = np.sort(ahead[: j + 1])
        window = np.clip(np.ceil(sessions.left_s / slot_s), 1, n).astype(np.int64)
        rate = np.maximum(sessions.efficiency * sessions.rate_w, 1e-9)
        needed = np.clip(np.ceil(sessions.need_j / (rate * slot_s)), 1, window).astype(np.int64)
        cheap = (sessions.need_j > 0) & (ahead[0] <= dearest[window - 1, needed - 1])
        return np.where(cheap, sessions.full_w, 0.0)


class PvFollowing(Strategy):
    """Charges with the photovoltaic surplus behind its transformer, and from the grid only when necessary."""

    follows_pv = True

    def wish(self, sessions: Sessions) -> Array:
        """Return each session's share of its transformer's surplus."""
        surplus = np.maximum(sessions.pv_surplus_w, 0.0)
        return share_out(surplus, sessions.full_w, sessions.full_w, sessions.transformer)


class V2G(PriceFollowing):
    """Charges when prices of the day ahead are low and feeds back when they are high; the departure guarantee holds.

    Parameters
    ----------
    day_ahead
        See `PriceFollowing`.
    low, high
        Quantiles of the day-ahead prices below which it charges and above which it feeds back.
    counted_on
        Share of the charging power in later steps that it relies on while it feeds back: with 1 it may discharge
        below its target as far as it can recharge in time if the point keeps working; with 0 it never discharges
        below its target, which makes the guarantee hold through outages.
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
                f"V2G has low {low}, high {high} and counted_on {counted_on}: all must be 0 to 1, low below high"
            )
        self.low, self.high, self.counted_on = low, high, counted_on

    def wish(self, sessions: Sessions) -> Array:
        """Return full power at low prices, the maximum allowed discharge at high prices, otherwise 0."""
        ahead = self._prices.ahead(sessions.day_s)[0]
        low, high = np.quantile(ahead, [self.low, self.high])
        if ahead[0] <= low:
            return sessions.full_w
        # Energy fed back now is bought again at the low price, with charger losses in both directions.
        pays = (ahead[0] >= high) & (ahead[0] * sessions.efficiency**2 > low)
        return np.where(pays, sessions.least_w, 0.0)


class GridLimited(Strategy):
    """Limits the power of another strategy to the capacity available at each transformer.

    Power required by the departure guarantee is served first; if even that exceeds the limit, it is cut by a common
    factor, and the fleet reports vehicles that depart below their target.

    Parameters
    ----------
    inner
        The strategy applied within the limit.
    """

    def __init__(self, inner: Strategy | None = None) -> None:
        self.inner = Plain() if inner is None else inner
        # A limit may leave no power to replace energy fed back.
        self.counted_on = 0.0
        self.follows_pv = self.inner.follows_pv
        self.fills_short_stays = self.inner.fills_short_stays

    @property
    def profile(self) -> DayProfile | None:
        """The forecast of the inner strategy."""
        return self.inner.profile

    def start(self, n_transformers: int) -> None:
        """Start the inner strategy."""
        self.inner.start(n_transformers)

    def observe(self, day_s: float, price: float, base_w: Array) -> None:
        """Update the inner strategy."""
        self.inner.observe(day_s, price, base_w)

    def power(self, sessions: Sessions) -> Array:
        """Return the inner strategy's power within the limits."""
        return within(
            self.inner.power(sessions), np.maximum(sessions.least_w, 0.0), sessions.transformer, sessions.spare_w
        )


def within(power: Array, first: Array, group: Indices32, cap: Array) -> Array:
    """Reduce powers so that each group's sum stays below its cap.

    Parameters
    ----------
    power, first : shape (n,)
        Desired powers, and the part of each that is served first; ``first`` ≤ ``power`` where that is positive. [W]
    group : shape (n,)
        Group of each element.
    cap : shape (n_groups,)
        [W] A group that feeds back in total may have a negative cap; powers drawn are not reduced below zero.

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


def share_out(total: Array, weight: Array, most: Array, group: Indices32, passes: int = 3) -> Array:
    """Share each group's total by weight, capping each share, and redistribute the remainder.

    Parameters
    ----------
    total : shape (n_groups,)
    weight, most, group : shape (n,)

    Returns
    -------
    shape (n,)
        Share of each element. A remainder may be left undistributed after ``passes``.
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
