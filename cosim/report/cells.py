"""Square cells that a map shows in place of elements too many to draw one by one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cosim.core import units

MOST_CELLS = 10_000
"""Largest number of cells of a layer."""

_SIDES_M = tuple(digits * 10.0**power for power in range(1, 7) for digits in (1, 2, 2.5, 5))


@dataclass(frozen=True, eq=False)
class Cells:
    """Square cells of a layer, in place of its elements.

    Parameters
    ----------
    side_m
        Side of a cell. [m]
    members
        Labels of the elements.
    cell
        Number of the cell that each element counts for, shape (n_elements,).
    labels
        Labels of the cells that hold elements: column and row from the origin of the coordinates.
    squares
        Corners of each cell, shape (4, 2). [m]
    """

    side_m: float
    members: tuple[str, ...]
    cell: NDArray[np.intp]
    labels: tuple[str, ...]
    squares: tuple[NDArray[np.float64], ...]

    @property
    def counts(self) -> NDArray[np.intp]:
        """Number of elements of each cell, shape (n_cells,)."""
        return np.bincount(self.cell, minlength=len(self.labels))

    def summarized(self, values: NDArray[np.float64], *, adds_up: bool, level: bool) -> NDArray[np.float64]:
        """Return the values of cells from those of their elements.

        Parameters
        ----------
        values : shape (n_frames, n_elements)
            NaN where missing; a cell is missing where all its elements are.
        adds_up
            Whether a cell has the sum of its elements; otherwise it has their mean.
        level
            Whether values are levels, averaged by energy.

        Returns
        -------
        shape (n_frames, n_cells)
        """
        return np.array([self._row(row, adds_up=adds_up, level=level) for row in values]).reshape(
            len(values), len(self.labels)
        )

    def _row(self, values: NDArray[np.float64], *, adds_up: bool, level: bool) -> NDArray[np.float64]:
        known = np.isfinite(values)
        cell, n = self.cell[known], len(self.labels)
        counts = np.bincount(cell, minlength=n)
        sums = np.bincount(cell, units.energies(values[known]) if level else values[known], minlength=n)
        found = np.where(counts > 0, sums if adds_up else sums / np.maximum(counts, 1), np.nan)
        return units.levels(found) if level else found


def make_cells(points: Mapping[str, NDArray[np.float64]], *, lines: bool) -> Cells:
    """Return the smallest cells of a round side of which at most `MOST_CELLS` hold elements.

    An element counts for the cell of its middle: a line's is halfway along it, any other's the mean of its corners.

    Parameters
    ----------
    points
        An array of shape (n_points, 2) for each element. [m]
    lines
        Whether the elements are lines.
    """
    middles = np.array([_halfway(path) if lines else path.mean(axis=0) for path in points.values()])
    for side in _SIDES_M:
        columns, rows = np.floor(middles / side).astype(int).T
        least, height = rows.min(), np.ptp(rows) + 1
        # of one number per cell, np.unique is ten times as fast as of pairs
        numbers, cell = np.unique(columns * height + (rows - least), return_inverse=True)
        if len(numbers) <= MOST_CELLS:
            break
    places = np.column_stack([numbers // height, numbers % height + least])
    square = np.array([(0, 0), (1, 0), (1, 1), (0, 1)])
    return Cells(
        side,
        tuple(points),
        cell,
        tuple(f"cell {column}, {row}" for column, row in places.tolist()),
        tuple((place + square) * side for place in places),
    )


def _halfway(path: NDArray[np.float64]) -> NDArray[np.float64]:
    along = np.concatenate([[0.0], np.hypot(*np.diff(path, axis=0).T).cumsum()])
    return np.array([np.interp(along[-1] / 2, along, path[:, axis]) for axis in (0, 1)])
