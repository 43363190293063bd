"""Local grid controls: on-load tap changers, voltage-dependent inverters, storages, fuses, shedding and power caps.

Every control is a dataclass that names its element; `cosim.adapters.grid.Grid` takes them as one list.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pandas as pd

from cosim.core import ScenarioError
from cosim.core.quantities import HOUR_S, Flags, Indices, Vector

from .solvers import Flow

Curve: TypeAlias = Sequence[tuple[float, float]]

_ROUNDS, _ON_CURVE = 60, 1e-7
"""Maximum solutions for inverters to settle on their curves, and the tolerance for it."""


@dataclass(frozen=True)
class TapControl:
    """A transformer's on-load tap changer.

    When the voltage has deviated by more than ``dead_band_pu`` from ``voltage_pu`` for ``delay_s``, the tap moves by
    one; while the voltage stays outside, it moves by one more every ``delay_s``.

    Parameters
    ----------
    transformer
        Name of the transformer.
    voltage_pu
        Voltage setpoint at the low-voltage side. [pu]
    dead_band_pu
        Half the width of the dead band; at least the effect of half a tap, otherwise the tap hunts. [pu]
    delay_s
        Time outside the band before the tap moves. [s]
    """

    transformer: str
    voltage_pu: float = 1.0
    dead_band_pu: float = 0.015
    delay_s: float = 60.0

    def __post_init__(self) -> None:
        _positive(self, "voltage_pu", "dead_band_pu", "delay_s")


@dataclass(frozen=True)
class Inverter:
    """An inverter that responds to the voltage at its connection point.

    It feeds in the point's negative power, limited to its rating; while the point draws, its power and reactive
    power pass unchanged.

    Parameters
    ----------
    point
        Label of the connection point.
    rating_va
        Apparent power; active power has priority over reactive power. [VA]
    cos_phi
        Displacement factor of the feed-in, in [-1, 1] without 0: positive draws reactive power (voltage falls),
        negative feeds it in. Excludes ``reactive_curve``.
    reactive_curve
        Q(U): points (voltage [pu], reactive power drawn over the rating), by rising voltage, linear between them.
    power_curve
        P(U): points (voltage [pu], largest active power fed in over the rating), likewise.
    """

    point: str
    rating_va: float
    cos_phi: float | None = None
    reactive_curve: Curve = ()
    power_curve: Curve = ()

    def __post_init__(self) -> None:
        _positive(self, "rating_va")
        if self.cos_phi is not None and (self.reactive_curve or not 0 < abs(self.cos_phi) <= 1):
            raise ScenarioError(
                f"{_named(self)} has cos_phi = {self.cos_phi}: it must lie in [-1, 1], not be 0, and be given alone or "
                "with a power_curve"
            )
        for name, low in (("reactive_curve", -1.0), ("power_curve", 0.0)):
            curve = np.array(getattr(self, name), float).reshape(-1, 2)
            inside = (curve[:, 1] >= low) & (curve[:, 1] <= 1)
            if not (np.isfinite(curve).all() and (np.diff(curve[:, 0]) > 0).all() and inside.all()):
                raise ScenarioError(
                    f"{_named(self)} has {name} = {list(map(tuple, curve.tolist()))}: voltages must rise and values "
                    f"must lie between {low:g} and 1"
                )


@dataclass(frozen=True)
class PowerCap:
    """A connection point, e.g. a charging station, whose power is capped to protect its transformers.

    The adapter that draws there receives the cap from ``power_cap`` and must not exceed it in the next step.

    Parameters
    ----------
    point
        Label of the connection point.
    rating_w
        Upper limit of the cap. [W]
    loading
        Maximum loading of the transformers that feed the point. [1]
    """

    point: str
    rating_w: float
    loading: float = 1.0

    def __post_init__(self) -> None:
        _positive(self, "rating_w", "loading")


@dataclass(frozen=True)
class Shedding:
    """A connection point that is curtailed, in part or entirely, when its transformers are overloaded.

    Parameters
    ----------
    point
        Label of the connection point.
    loading
        Loading of the transformers that feed the point above which it is shed. [1]
    """

    point: str
    loading: float = 1.0

    def __post_init__(self) -> None:
        _positive(self, "loading")


@dataclass(frozen=True)
class Fuse:
    """A fuse, or a relay with its breaker, that takes a line or transformer out of service for the rest of the run.

    The damage of a step is its length over the curve's time to open at its current; the fuse opens at the end of
    the step in which the damage reaches 1. Below the curve it cools over the curve's longest time.

    Parameters
    ----------
    element
        Name of a line, or of a two-winding transformer, whose high-voltage side is fused.
    rated_a
        Rated current. [A]
    curve
        Points (current over rated current, time to open [s]) by rising current, log-log linear between them; nothing
        opens below the first. By default a gG fuse: 1.6 times in its conventional time (IEC 60269-1, table 2), 5 times
        in 5 s (assumption: centre of the standard's gates).
    """

    element: str
    rated_a: float
    curve: Curve = ()

    def __post_init__(self) -> None:
        _positive(self, "rated_a")
        curve = np.array(self.melting, float).reshape(-1, 2)
        if not ((curve > 0).all() and np.isfinite(curve).all() and (np.diff(curve[:, 0]) > 0).all()):
            raise ScenarioError(
                f"{_named(self)} has curve = {list(map(tuple, curve.tolist()))}: currents must rise, and currents and "
                "times must be positive"
            )

    @property
    def melting(self) -> Curve:
        """The curve in force."""
        if len(self.curve):
            return self.curve
        hours = next(hours for most_a, hours in ((63, 1), (160, 2), (400, 3), (math.inf, 4)) if self.rated_a <= most_a)
        return ((1.6, hours * HOUR_S), (5.0, 5.0))


Control: TypeAlias = TapControl | Inverter | PowerCap | Shedding | Fuse


def _named(control: Control) -> str:
    element = next(iter(vars(control).values()))
    return f"{type(control).__name__} of {element!r}"


def _positive(control: Control, *names: str) -> None:
    for name in names:
        value = getattr(control, name)
        if not 0 < value < math.inf:
            raise ScenarioError(f"{_named(control)} has {name} = {value}: it must be positive")


class Inverters:
    """All inverters of a grid, as vectors.

    Parameters
    ----------
    at
        Index of each inverter's connection point in the grid's vectors.
    inverters
        The inverters in the same order.
    """

    def __init__(self, at: Sequence[int], inverters: Sequence[Inverter]) -> None:
        self.at = np.array(at, np.int64)
        self.rating_va = np.array([each.rating_va for each in inverters])
        cos_phi = np.array([1.0 if each.cos_phi is None else each.cos_phi for each in inverters])
        self._fixed = np.array([each.cos_phi is not None for each in inverters])
        self._tan_phi = np.copysign(np.tan(np.arccos(np.abs(cos_phi))), cos_phi)
        self._most = self.rating_va * np.abs(cos_phi)
        self._reactive = _curves([each.reactive_curve for each in inverters])
        self._power = _curves([each.power_curve for each in inverters])

    def answer(self, power_w: Vector, reactive_var: Vector, voltage_pu: Vector) -> tuple[Vector, Vector]:
        """Return the power drawn (negative: fed in) for setpoints at given voltages, shape (n,) each."""
        most = self._most.copy()
        for members, curve in self._power:
            most[members] = np.minimum(most[members], self.rating_va[members] * np.interp(voltage_pu[members], *curve))
        feed = np.clip(-power_w, 0.0, most)
        reactive = np.where(self._fixed & (power_w < 0), feed * self._tan_phi, reactive_var)
        for members, curve in self._reactive:
            reactive[members] = self.rating_va[members] * np.interp(voltage_pu[members], *curve)
        room = np.sqrt(np.maximum(self.rating_va**2 - feed**2, 0.0))
        reactive = np.where(power_w > 0, reactive_var, np.clip(reactive, -room, room))
        return np.where(power_w > 0, power_w, -feed), reactive

    def settle(
        self, solve: Callable[[Vector, Vector], Flow], power: Vector, reactive: Vector, rows: Indices
    ) -> tuple[Flow, Vector, float]:
        """Solve until all inverters lie on their curves at the resulting voltages.

        Parameters
        ----------
        solve
            Solves for active and reactive power at the connection points.
        power, reactive
            Setpoints at all connection points. [W, var]
        rows
            Row of every connection point's voltage.

        Returns
        -------
        The solution, the active power at all connection points, and the remaining distance of the inverters from their
        curves over their rating, 0 if settled.
        """
        at, rating = self.at, self.rating_va
        used = np.stack([power, reactive])
        used[:, at] = self.answer(power[at], reactive[at], np.ones(len(at)))
        share, before = np.ones((2, len(at))), np.zeros((2, len(at)))
        for _ in range(_ROUNDS):
            flow = solve(used[0], used[1])
            voltage = np.nan_to_num(flow.voltage_pu[rows[at]], nan=1.0)
            away = np.stack(self.answer(power[at], reactive[at], voltage)) - used[:, at]
            left = float(np.abs(away / rating).max())
            if left <= _ON_CURVE:
                return flow, used[0], 0.0
            # Steep curves overshoot: halve the step then, and increase it where convergence is slow.
            share[(away * before < 0) & (np.abs(away) > 0.3 * np.abs(before))] *= 0.5
            slow = (away * before > 0) & (np.abs(away) > 0.5 * np.abs(before))
            share[slow] = np.minimum(1.5 * share[slow], 1.0)
            before = away
            solved = used[0].copy()
            used[:, at] += share * away
        return flow, solved, left


def _curves(curves: Sequence[Curve]) -> list[tuple[Indices, Vector]]:
    """Group equal curves: the inverters that follow each, and its points, shape (2, n_points)."""
    groups: dict[tuple[tuple[float, float], ...], list[int]] = {}
    for k, curve in enumerate(curves):
        if len(curve):
            groups.setdefault(tuple((float(x), float(y)) for x, y in curve), []).append(k)
    return [(np.array(members), np.array(curve).T) for curve, members in groups.items()]


class Storages:
    """The charge of a net's storages, without charging and discharging losses.

    Parameters
    ----------
    table
        ``net.storage``; storages selected by `bounded` take part.
    """

    def __init__(self, table: pd.DataFrame) -> None:
        def column(name: str, default: float) -> Vector:
            return table[name].fillna(default).to_numpy(float) if name in table else np.full(len(table), default)

        self._most_j, self._least_j = column("max_e_mwh", 0.0) * 3.6e9, column("min_e_mwh", 0.0) * 3.6e9  # MWh -> J
        self._in_w, self._out_w = column("max_p_mw", np.inf) * 1e6, column("min_p_mw", -np.inf) * 1e6  # MW -> W
        charge = column("soc_percent", 50.0) / 100 * self._most_j  # half full where it is unknown (assumption)
        self.energy_j = np.clip(charge, self._least_j, self._most_j)

    @staticmethod
    def bounded(table: pd.DataFrame) -> Flags:
        """Return which storages have a capacity and are in service; the others draw their power in the table."""
        return np.array((table["max_e_mwh"] > 0) & table["in_service"].astype(bool), np.bool_)

    def answer(self, wanted_w: Vector, seconds: float) -> Vector:
        """Return the mean power over a step, charging positive: the setpoint, limited by the charge."""
        out = np.maximum((self._least_j - self.energy_j) / seconds, self._out_w)
        into = np.minimum((self._most_j - self.energy_j) / seconds, self._in_w)
        return np.clip(wanted_w, np.minimum(out, 0.0), np.maximum(into, 0.0))

    def charge(self, power_w: Vector, seconds: float) -> None:
        """Charge (negative: discharge) for some time."""
        # pandapower's storages have no efficiency, but a least charge: what is drawn is what is stored.
        self.energy_j = np.clip(self.energy_j + power_w * seconds, self._least_j, self._most_j)


class TapChangers:
    """Delay timers and positions of a net's controlled tap changers.

    Parameters
    ----------
    controls
        The controls, in the order of the vectors below.
    lowest, highest, position : shape (n,)
        Range of positions, and initial position.
    raises : shape (n,)
        +1 where a higher position raises the controlled voltage, −1 where it lowers it.
    """

    def __init__(
        self, controls: Sequence[TapControl], lowest: Vector, highest: Vector, position: Vector, raises: Vector
    ) -> None:
        self.position = np.array(position, float)
        self.waited_s = np.zeros(len(controls))
        self._lowest, self._highest, self._raises = lowest, highest, raises
        self._aim = np.array([control.voltage_pu for control in controls])
        self._band = np.array([control.dead_band_pu for control in controls])
        self._delay = np.array([control.delay_s for control in controls])

    def wait(self, voltage_pu: Vector, seconds: float) -> None:
        """Advance the delay timers at given controlled voltages."""
        self.waited_s = np.where(self._outside(voltage_pu), self.waited_s + seconds, 0.0)

    def move(self, voltage_pu: Vector) -> Flags:
        """Move every tap whose delay has passed by one, and return which moved."""
        outside = self._outside(voltage_pu)
        self.waited_s[~outside] = 0.0
        due = outside & (self.waited_s >= self._delay)
        way = np.where(voltage_pu < self._aim, 1.0, -1.0) * self._raises
        target = np.clip(self.position + way, self._lowest, self._highest)
        moves = due & (target != self.position)
        self.waited_s[due] -= self._delay[due]
        self.position[moves] = target[moves]
        return np.array(moves, np.bool_)

    def _outside(self, voltage_pu: Vector) -> Flags:
        return np.array(np.abs(voltage_pu - self._aim) > self._band, np.bool_)  # False where it is NaN


class Fuses:
    """Accumulated damage of a net's fuses.

    Parameters
    ----------
    fuses
        The fuses, in the order of the vectors below.
    """

    def __init__(self, fuses: Sequence[Fuse]) -> None:
        self.damage = np.zeros(len(fuses))
        self.blown = np.zeros(len(fuses), bool)
        self._rated_a = np.array([fuse.rated_a for fuse in fuses])
        self._curves = [np.log(np.array(fuse.melting, float)).T for fuse in fuses]

    def heat(self, current_a: Vector, seconds: float) -> Flags:
        """Apply a current for some time, and return which fuses open."""
        with np.errstate(divide="ignore"):
            multiple = np.log(current_a / self._rated_a)
        for k, (current, time) in enumerate(self._curves):
            if multiple[k] >= current[0]:
                self.damage[k] += seconds / math.exp(np.interp(multiple[k], current, time))
            else:
                self.damage[k] = max(0.0, self.damage[k] - seconds / math.exp(time.max()))
        opens = (self.damage >= 1 - 1e-9) & ~self.blown
        self.blown |= opens
        return opens
