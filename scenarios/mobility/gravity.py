"""Destinations by distance: the gravity law with exponential deterrence, for cities in which distances differ.

In a district of some blocks all places are about as near. In a city they are not: residents go to near places rather
than to far ones, and cross the border where it is near, so that trips grow less than the city does.

.. [1] M. Lenormand, A. Bassolas and J. J. Ramasco: Systematic comparison of trip distribution laws and models. Journal
   of Transport Geography 51 (2016) 158-169; figure 8, with the coefficients of the authors' package TDLM
   (``calib_param``).
"""

from __future__ import annotations

import math

import numpy as np
import shapely

from cosim.core.quantities import Array, Indices, Vector

CELL_M = 533.2
"""Side of the cells between which distances count: four of the Eixample's blocks. [m] Their 0.28 km² are about the area
of the smallest units in [1]_, 4,664 of London."""

_WITHIN = (2 + math.sqrt(2) + 5 * math.asinh(1.0)) / 15
"""Mean distance of two points in a square over its side."""


def deterrence(area_km2: float) -> float:
    """Return the rate at which the choice of a unit of area falls with its distance [1]_. [1/km]

    It was fitted to the commuting of eight countries and cities, by all modes, and stands here for all purposes.

    Parameters
    ----------
    area_km2
        Mean area of the units. [km²]

    Examples
    --------
    >>> round(deterrence(0.284), 3)
    0.373
    """
    return 0.3028016 * math.pow(area_km2, -0.1665103)


class Gravity:
    """Cells of a city, and what is chosen from each of them.

    Parameters
    ----------
    places
        Positions of the places, shape (n_places, 2). [m] The city is their convex hull.

    Attributes
    ----------
    cell
        Cell of each place, shape (n_places,).
    rate
        See `deterrence`. [1/km]
    """

    def __init__(self, places: Array) -> None:
        low = places.min(axis=0)
        extent = np.maximum(places.max(axis=0) - low, 1.0)
        number = np.maximum(np.rint(extent / CELL_M), 1).astype(int)
        side = extent / number
        column, row = np.minimum((places - low) // side, number - 1).astype(int).T
        self.cell: Indices = column * number[1] + row
        across = np.stack(np.meshgrid(*map(np.arange, number), indexing="ij"), axis=-1).reshape(-1, 2)
        self._middle: Array = low + (across + 0.5) * side
        area_km2 = float(side.prod()) / 1e6
        self.rate = deterrence(area_km2)
        cells = shapely.box(*(self._middle - side / 2).T, *(self._middle + side / 2).T)
        city = shapely.convex_hull(shapely.multipoints(places)).buffer(1.0)
        self._city_km2: Vector = shapely.area(shapely.intersection(cells, city)) / 1e6
        km = _distances_km(self._middle, self._middle)
        np.fill_diagonal(km, _WITHIN * math.sqrt(area_km2))
        self._near: Array = np.exp(-self.rate * km)

    def inside_share(self, surroundings: float = 1.0) -> Vector:
        """Return the share of the destinations inside, as if the city went on alike around it, shape (n_cells,).

        Parameters
        ----------
        surroundings
            Density of the destinations around the city over that inside; below 1 by the sea or at the foot of hills.
        """
        inside = self._near @ self._city_km2
        around = 2 * math.pi / self.rate**2 - inside
        share: Vector = inside / (inside + surroundings * around)
        return share

    def choose_places(self, home: Indices, drawn: Vector, weight: Vector) -> Indices:
        """Return the place that each chooses, in proportion to its weight and nearness.

        Parameters
        ----------
        home, drawn
            Place from where each goes, and a uniform number, shape (n,).
        weight
            Attraction of the places, shape (n_places,).
        """
        by_cell = np.argsort(self.cell, kind="stable")
        first = np.searchsorted(self.cell[by_cell], np.arange(len(self._middle) + 1))
        within = np.concatenate([[0.0], np.cumsum(weight[by_cell])])
        of_cell = np.diff(within[first])
        chosen = np.zeros(len(home), np.int64)
        for cell, mine in self._from_cells(home):
            bounds = np.concatenate([[0.0], np.cumsum(self._near[cell] * of_cell)])
            at = drawn[mine] * bounds[-1]
            goal = (np.searchsorted(bounds, at, "right") - 1).clip(max=np.flatnonzero(of_cell)[-1])
            part = (at - bounds[goal]) / np.diff(bounds)[goal]
            found = np.searchsorted(within, within[first[goal]] + part * of_cell[goal], "right") - 1
            chosen[mine] = by_cell[found.clip(first[goal], first[goal + 1] - 1)]
        return chosen

    def choose_gates(self, place: Indices, drawn: Vector, gates: Array, weight: Vector) -> Indices:
        """Return the gate of the border that each takes on the way to or from a place.

        The city beyond is reached by near gates rather than by far ones, at the same rate as places inside.

        Parameters
        ----------
        place, drawn
            Place of each, and a uniform number, shape (n,).
        gates, weight
            Positions [m] and relative traffic of the gates, shapes (n_gates, 2) and (n_gates,).
        """
        near = np.exp(-self.rate * _distances_km(self._middle, gates)) * weight
        chosen = np.zeros(len(place), np.int64)
        for cell, mine in self._from_cells(place):
            bounds = np.cumsum(near[cell])
            chosen[mine] = np.searchsorted(bounds, drawn[mine] * bounds[-1], "right").clip(max=len(weight) - 1)
        return chosen

    def _from_cells(self, place: Indices) -> list[tuple[int, Indices]]:
        """Return each cell of the places, and the rows of those that are in it."""
        cell = self.cell[place]
        order = np.argsort(cell, kind="stable")
        cells, first = np.unique(cell[order], return_index=True)
        return list(zip(cells.tolist(), np.split(order, first[1:])))


def _distances_km(a: Array, b: Array) -> Array:
    """Return the distances between points given in metres, shape (len(a), len(b)). [km]"""
    across = a[:, np.newaxis] - b
    km: Array = np.hypot(across[..., 0], across[..., 1]) / 1e3
    return km
