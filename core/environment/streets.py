"""Streets as their environment sees them: two façades at some distance, buildings of some height, a bearing."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from cosim.core.errors import CosimError
from cosim.core.quantities import Array, Vector

from .ospm import check_streets

SIDES = ("left", "right")


@dataclass(frozen=True)
class Streets:
    """Geometry of streets; a street has a façade on the left and one on the right, seen along its bearing.

    Attributes
    ----------
    labels
        Name of each street.
    length, bearing : shape (n_streets,)
        Length of the axis [m] and its direction, clockwise from north. [°]
    distance : shape (n_streets, 2)
        From the axis to the façade on the left and on the right. [m]
    height : shape (n_streets, 2)
        Of the buildings there; 0 where the side is open. [m]
    axis
        Corners of each axis, in the network's coordinates. [m]
    tree_factor : shape (n_streets,)
        SRM1's factor for trees along the street: 1, 1.25 or 1.5; 1 by default.

    Raises
    ------
    CosimError
        If a length or width is not positive, a bearing missing, a distance negative, a height missing or negative, or a
        tree factor below 1.
    """

    labels: tuple[str, ...]
    length: Vector
    bearing: Vector
    distance: Array
    height: Array
    axis: tuple[Array, ...] = ()
    tree_factor: Vector = field(default_factory=lambda: np.ones(0))

    def __post_init__(self) -> None:
        n = len(self.labels)
        if not len(self.tree_factor):
            object.__setattr__(self, "tree_factor", np.ones(n))
        shapes = {"length": (n,), "bearing": (n,), "distance": (n, 2), "height": (n, 2), "tree_factor": (n,)}
        for name, shape in shapes.items():
            if np.shape(getattr(self, name)) != shape:
                raise CosimError(f"{name} of streets expects shape {shape}, got {np.shape(getattr(self, name))}")
        if n and not (self.length > 0).all():
            raise CosimError(
                f"street {self.labels[int(np.argmin(self.length))]!r} is {self.length.min():g} m long: leave it out"
            )
        if n and not (self.tree_factor >= 1).all():
            raise CosimError(f"a tree factor is {self.tree_factor.min():g}: SRM1 has 1, 1.25 and 1.5")
        check_streets(self.labels, self.width, self.height)
        if n and not (np.isfinite(self.bearing).all() and (self.distance >= 0).all()):
            k = int(np.argmin(np.isfinite(self.bearing) & (self.distance >= 0).all(axis=1)))
            where = f"the bearing {self.bearing[k]:g}° and façades at {self.distance[k].tolist()} m"
            raise CosimError(f"street {self.labels[k]!r} has {where}: give a direction, and distances of 0 or more")

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def width(self) -> Vector:
        """Distance between the façades, shape (n_streets,). [m]"""
        return np.asarray(self.distance.sum(axis=1))

    @property
    def facades(self) -> tuple[str, ...]:
        """Name of every façade, ``street|left`` and ``street|right`` in turn."""
        return tuple(f"{label}|{side}" for label in self.labels for side in SIDES)

    def facade_points(self) -> Array:
        """Return the façades' positions beside the middles of the axes, shape (n_streets, 2, 2). [m]"""
        middle = np.array([_middle(axis) for axis in self.axis]).reshape(-1, 2)
        turned = np.radians(self.bearing)
        to_right = np.stack([np.cos(turned), -np.sin(turned)], axis=1)
        away = np.stack([-self.distance[:, 0], self.distance[:, 1]], axis=1)
        return np.asarray(middle[:, None, :] + away[:, :, None] * to_right[:, None, :])

    def facade_normals(self) -> Array:
        """Return the directions in which the façades look, towards the axis, shape (n_streets, 2, 2)."""
        turned = np.radians(self.bearing)
        to_right = np.stack([np.cos(turned), -np.sin(turned)], axis=1)
        return np.stack([to_right, -to_right], axis=1)

    def with_trees(self, factor: float, chosen: set[str]) -> Streets:
        """Return the streets with trees along those that are chosen."""
        planted = np.array([label in chosen for label in self.labels])
        return replace(self, tree_factor=np.where(planted, np.maximum(self.tree_factor, factor), self.tree_factor))


def _middle(axis: Array) -> Vector:
    """Return the point halfway along a line. [m]"""
    steps = np.hypot(*np.diff(axis, axis=0).T)
    along = np.concatenate(([0.0], np.cumsum(steps)))
    return np.array([np.interp(along[-1] / 2, along, axis[:, k]) for k in range(2)])
