"""Share of a façade and its windows that the sun reaches past overhangs and fins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from cosim.core.quantities import Array, Flags

_POINTS = 10
"""Points along each edge of a rectangle from which rays are traced."""
_SKY = 40
"""Number of directions from horizon to zenith in the integral over the sky; twice as many from side to side."""


@dataclass(frozen=True)
class Window:
    """Equal windows spread evenly over one wall, with their shades.

    Parameters
    ----------
    orientation
        Orientation of the outward normal.
    width, height, count
        Size of each window [m], and number of windows.
    overhang
        Depth, and height above the windows' top [m]; it is as wide as the wall, at roof height.
    fins
        Depth of the fins at both edges of each window, from ground to roof. [m]
    """

    orientation: str
    width: float
    height: float
    count: int = 1
    overhang: tuple[float, float] | None = None
    fins: float | None = None

    @property
    def area(self) -> float:
        """Total area of the windows. [m²]"""
        return self.width * self.height * self.count

    @property
    def shaded(self) -> bool:
        """Whether anything shades it."""
        return self.overhang is not None or self.fins is not None

    def edges(self, wall_width: float) -> Array:
        """Left edges along the wall, shape (count,). [m]"""
        space = (wall_width - self.count * self.width) / (self.count + 1)
        return np.asarray(space + (space + self.width) * np.arange(self.count))

    def top(self, wall_height: float) -> float:
        """Return the distance from the roof to the window's top: the overhang's height, or else centred. [m]"""
        return (wall_height - self.height) / 2 if self.overhang is None else self.overhang[1]

    def sees_past_shades(self, x: float, below: float, wall_width: float, height: Array, turn: Array) -> Flags:
        """Return whether a point of the wall sees directions past the shades.

        Parameters
        ----------
        x, below
            Position of the point, along the wall and below the roof. [m]
        wall_width
            Width of the wall. [m]
        height, turn : shape (n,)
            Elevation of the direction, negative below the horizon, and its azimuth relative to the wall's. [rad]
        """
        normal, side, up = np.cos(height) * np.cos(turn), np.cos(height) * np.sin(turn), np.sin(height)
        sees = np.asarray(normal > 1e-9)
        with np.errstate(divide="ignore", invalid="ignore"):
            if self.fins is not None:
                left = self.edges(wall_width)
                for fin in (*left, *(left + self.width)):
                    away = (fin - x) / side  # along the ray; NaN at the fin itself
                    sees &= ~((away > 0) & (away * normal < self.fins))
            if self.overhang is not None:
                rise = below / up
                end = x + rise * side
                sees &= ~((up > 0) & (rise * normal <= self.overhang[0]) & (end >= 0) & (end <= wall_width))
        return sees


def window_share(window: Window, wall_width: float, wall_height: float, height: Array, turn: Array) -> Array:
    """Return the share of the windows' area that sees each direction, shape (n,); see `Window.sees_past_shades`."""
    middle = (np.arange(_POINTS) + 0.5) / _POINTS
    points = [
        (edge + window.width * a, window.top(wall_height) + window.height * b)
        for edge in window.edges(wall_width)
        for a in middle
        for b in middle
    ]
    return _mean(points, [window], wall_width, height, turn)


def wall_share(windows: Sequence[Window], wall_width: float, wall_height: float, height: Array, turn: Array) -> Array:
    """Return the share of the wall around its windows that sees each direction past all their shades, shape (n,)."""
    middle = (np.arange(2 * _POINTS) + 0.5) / (2 * _POINTS)
    points = [
        (x, below)
        for x in wall_width * middle
        for below in wall_height * middle
        if not any(_inside(w, x, below, wall_width, wall_height) for w in windows)
    ]
    return _mean(points, windows, wall_width, height, turn)


def _inside(window: Window, x: float, below: float, wall_width: float, wall_height: float) -> bool:
    along = x - window.edges(wall_width)
    down = below - window.top(wall_height)
    return bool(((along >= 0) & (along <= window.width)).any() and 0 <= down <= window.height)


def _mean(
    points: Sequence[tuple[float, float]], windows: Sequence[Window], wall_width: float, height: Array, turn: Array
) -> Array:
    seen = np.zeros(len(height))
    for x, below in points:
        seen += np.logical_and.reduce([w.sees_past_shades(x, below, wall_width, height, turn) for w in windows])
    return seen / max(len(points), 1)


def diffuse_views(share: partial[Array]) -> tuple[float, float]:
    """Return the shares of isotropic radiation from sky and ground that pass, given the share by direction."""
    quarter = (np.arange(_SKY) + 0.5) / _SKY * np.pi / 2
    up, side = np.meshgrid(quarter, np.concatenate([-quarter, quarter]))
    weight = (np.cos(up) ** 2 * np.cos(side)).ravel()
    sky, ground = (float(share(sign * up.ravel(), side.ravel()) @ weight / weight.sum()) for sign in (1, -1))
    return sky, ground
