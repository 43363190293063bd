"""What acts on a grid by itself: tap changers under load, and inverters that watch their voltage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cosim.core import ScenarioError

Vector = npt.NDArray[np.float64]


@dataclass(frozen=True)
class TapControl:
    """A transformer's tap changer under load.

    When the voltage has been further than ``dead_band_pu`` from ``voltage_pu`` for ``delay_s``, the tap moves by one;
    after that, while the voltage stays outside, by one more every ``delay_s``.

    Parameters
    ----------
    voltage_pu
        Voltage to keep at the low-voltage side. [pu]
    dead_band_pu
        Half the width of the band in which nothing happens; at least the effect of half a tap, or it will hunt. [pu]
    delay_s
        Time outside the band before the tap moves. [s]
    """

    voltage_pu: float = 1.0
    dead_band_pu: float = 0.015
    delay_s: float = 60.0

    def __post_init__(self) -> None:
        if not (self.voltage_pu > 0 and self.dead_band_pu > 0 and self.delay_s > 0):
            raise ScenarioError(f"{self}: voltage, dead band and delay must be positive")


@dataclass(frozen=True)
class Inverter:
    """An inverter that answers to the voltage at its connection point.

    It feeds in what the point is given as negative power, never beyond its rating; while the point draws, its
    power and reactive power pass unchanged.

    Parameters
    ----------
    rating_va
        Apparent power; active power goes before reactive power. [VA]
    cos_phi
        Displacement factor of what it feeds in, in [-1, 1] without 0: positive draws reactive power (voltage falls),
        negative feeds it in. Not together with ``reactive_curve``.
    reactive_curve
        Q(U): points (voltage [pu], reactive power drawn over the rating), by rising voltage, linear between them.
    power_curve
        P(U): points (voltage [pu], largest active power fed in over the rating), likewise.
    """

    rating_va: float
    cos_phi: float | None = None
    reactive_curve: Sequence[tuple[float, float]] = ()
    power_curve: Sequence[tuple[float, float]] = ()

    def __post_init__(self) -> None:
        if not self.rating_va > 0:
            raise ScenarioError(f"an inverter's rating_va is {self.rating_va}: it must be positive")
        if self.cos_phi is not None and (self.reactive_curve or not 0 < abs(self.cos_phi) <= 1):
            raise ScenarioError(
                f"an inverter's cos_phi is {self.cos_phi}: it must lie in [-1, 1], not be 0, and stand alone or with "
                "a power_curve"
            )
        for name in ("reactive_curve", "power_curve"):
            curve = np.array(getattr(self, name), float).reshape(-1, 2)
            low = -1.0 if name == "reactive_curve" else 0.0
            if not np.isfinite(curve).all() or (np.diff(curve[:, 0]) <= 0).any() or (
                (curve[:, 1] < low) | (curve[:, 1] > 1)
            ).any():  # fmt: skip
                raise ScenarioError(
                    f"an inverter's {name} is {list(map(tuple, curve.tolist()))}: voltages must rise and values lie "
                    f"between {low:g} and 1"
                )


class Inverters:
    """All inverters of a grid, as vectors.

    Parameters
    ----------
    at
        Place of each inverter's connection point in the grid's vectors.
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
        """Return what is drawn (negative: fed in) at given voltages, from what was asked for; shape (n,) each."""
        most = self._most.copy()
        for who, curve in self._power:
            most[who] = np.minimum(most[who], self.rating_va[who] * np.interp(voltage_pu[who], *curve))
        feed = np.clip(-power_w, 0.0, most)
        reactive = np.where(self._fixed & (power_w < 0), feed * self._tan_phi, reactive_var)
        for who, curve in self._reactive:
            reactive[who] = self.rating_va[who] * np.interp(voltage_pu[who], *curve)
        room = np.sqrt(np.maximum(self.rating_va**2 - feed**2, 0.0))
        reactive = np.where(power_w > 0, reactive_var, np.clip(reactive, -room, room))
        return np.where(power_w > 0, power_w, -feed), reactive


def _curves(curves: Sequence[Sequence[tuple[float, float]]]) -> list[tuple[npt.NDArray[np.int64], Vector]]:
    """Group equal curves: who follows each, and its points, shape (2, n_points)."""
    who: dict[tuple[tuple[float, float], ...], list[int]] = {}
    for k, curve in enumerate(curves):
        if len(curve):
            who.setdefault(tuple((float(x), float(y)) for x, y in curve), []).append(k)
    return [(np.array(members), np.array(curve).T) for curve, members in who.items()]


class TapChangers:
    """The waiting times and positions of a net's controlled tap changers.

    Parameters
    ----------
    controls
        The controls, in the order of the vectors below.
    lowest, highest, neutral : shape (n,)
        Range of positions, and where they stand at first.
    raises : shape (n,)
        +1 where a higher position raises the controlled voltage, −1 where it lowers it.
    """

    def __init__(
        self, controls: Sequence[TapControl], lowest: Vector, highest: Vector, position: Vector, raises: Vector
    ) -> None:
        self.position = np.array(position, float)
        self._lowest, self._highest, self._raises = lowest, highest, raises
        self._aim = np.array([control.voltage_pu for control in controls])
        self._band = np.array([control.dead_band_pu for control in controls])
        self._delay = np.array([control.delay_s for control in controls])
        self._waited = np.zeros(len(controls))

    def wait(self, voltage_pu: Vector, seconds: float) -> None:
        """Let time pass at given controlled voltages."""
        self._waited = np.where(self._outside(voltage_pu), self._waited + seconds, 0.0)

    def move(self, voltage_pu: Vector) -> npt.NDArray[np.bool_]:
        """Move every tap whose delay has passed, by one, and return which moved."""
        outside = self._outside(voltage_pu)
        self._waited[~outside] = 0.0
        due = outside & (self._waited >= self._delay)
        way = np.where(voltage_pu < self._aim, 1.0, -1.0) * self._raises
        target = np.clip(self.position + way, self._lowest, self._highest)
        moves = due & (target != self.position)
        self._waited[due] -= self._delay[due]
        self.position[moves] = target[moves]
        return np.array(moves, np.bool_)

    def _outside(self, voltage_pu: Vector) -> npt.NDArray[np.bool_]:
        return np.array(np.abs(voltage_pu - self._aim) > self._band, np.bool_)  # False where it is NaN
