"""Stored attenuation from streets to façades, which does not depend on the hour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from scipy.spatial import cKDTree

from cosim.core.arguments import shown
from cosim.core.errors import CosimError
from cosim.core.quantities import Array, Flags, Indices

from .noise_levels import A_WEIGHTING, energy
from .noise_propagation import RECEIVER_HEIGHT_M, SOURCE_HEIGHT_M, segment_view, transmission

_PIECE_M = 50.0  # longest piece of a street that is seen or hidden as a whole
_CHUNK = 20_000  # façades at a time, so that memory stays bounded
_BANDS = 8


@dataclass(frozen=True)
class Built:
    """Where buildings stand, as a raster.

    Attributes
    ----------
    cells : shape (n_columns, n_rows)
        Whether the middle of a cell is built over.
    origin
        The lower left corner. [m]
    side_m
        Side of a cell. [m]
    """

    cells: Flags
    origin: tuple[float, float]
    side_m: float = 2.0

    def hides(self, points: Array, targets: Array) -> Flags:
        """Return whether buildings stand between points and their targets, shape (n,); outside the raster is open."""
        hidden = np.zeros(len(points), bool)
        way = targets - points
        steps = np.ceil(np.hypot(way[:, 0], way[:, 1]) / self.side_m).astype(np.int64)
        highest = np.array(self.cells.shape) - 1
        open_rows = np.flatnonzero(steps > 1)
        for step in range(1, int(steps.max(initial=1))):
            open_rows = open_rows[(steps[open_rows] > step) & ~hidden[open_rows]]
            at = points[open_rows] + way[open_rows] * (step / steps[open_rows])[:, None]
            cell = np.floor((at - self.origin) / self.side_m).astype(np.int64)
            inside = ((cell >= 0) & (cell <= highest)).all(axis=1)
            cell = np.clip(cell, 0, highest)
            hidden[open_rows] = inside & self.cells[cell[:, 0], cell[:, 1]]
        return hidden


@dataclass(frozen=True)
class NoisePaths:
    """Energy at façades for each unit of sound power per metre of streets, by octave band.

    Attributes
    ----------
    factors : shape (n_facades, n_streets * 8)
        Streets by row of eight bands. [1/m]
    """

    factors: sp.csr_array[Any, tuple[int, int]]

    def received(self, power: npt.ArrayLike) -> Array:
        """Return the A-weighted energy at façades, shape (…, n_facades), relative to (20 µPa)².

        Parameters
        ----------
        power : shape (…, n_streets, 8)
            Sound power of streets per metre, relative to 1 pW/m, as `noise_emission.sound_power` returns it.

        Raises
        ------
        CosimError
            If the shape does not match the streets.
        """
        given = np.asarray(power, float)
        if given.shape[-1:] != (_BANDS,) or given.ndim < 2 or given.shape[-2] * _BANDS != self.factors.shape[1]:
            n = self.factors.shape[1] // _BANDS
            raise CosimError(f"sound power expects shape (…, {n}, {_BANDS}), got {given.shape}: give every street")
        rows = (given * energy(A_WEIGHTING)).reshape(-1, self.factors.shape[1]).astype(self.factors.dtype)
        found = np.asarray(self.factors @ rows.T, float).T
        return found.reshape(*given.shape[:-2], self.factors.shape[0])


def noise_paths(
    points: npt.ArrayLike,
    own: npt.ArrayLike,
    axes: Sequence[npt.ArrayLike],
    *,
    facing: npt.ArrayLike,
    built: Built | None = None,
    reflection: npt.ArrayLike = 0.0,
    reach_m: float = 150.0,
    ground: float = 0.0,
    favourable_share: float = 0.5,
    absorption: npt.ArrayLike | None = None,
) -> NoisePaths:
    """Return the attenuation from streets to façades.

    A street is a line source in straight pieces of at most 50 m. The divergence of a piece is exact; absorption by air
    and ground are those of the ray that halves the angle of view. A façade receives from its own street and from all
    pieces within reach that lie in front of it and that no building hides. Left out are sound over roofs and round
    corners, and the reflection of the façade itself, as in the assessment of Directive 2002/49/EC.

    Parameters
    ----------
    points : shape (n_facades, 2)
        Façades. [m]
    own : shape (n_facades,)
        Row of the street in front of each; -1 for none.
    axes
        Axis of each street, shape (n_points, 2) each. [m]
    facing : shape (n_facades, 2)
        Outward normals of the façades.
    built
        Where buildings stand; without it nothing is hidden.
    reflection : shape () or (n_streets,)
        How much reflections between its walls raise the level of each street, as `rls19.multiple_reflection` gives it.
        [dB]
    reach_m
        Distance beyond which pieces of other streets are left out. [m]
    ground, favourable_share, absorption
        As in `noise_propagation.transmission`.

    Raises
    ------
    CosimError
        If shapes do not match, or if a street has no length.
    """
    xy, mine, normal = np.asarray(points, float), np.asarray(own, np.int64), np.asarray(facing, float)
    if xy.ndim != 2 or xy.shape[1:] != (2,) or normal.shape != xy.shape or mine.shape != xy.shape[:1]:
        raise CosimError(
            f"façades: points {xy.shape}, own {mine.shape}, facing {normal.shape}: give shapes (n, 2), (n,), (n, 2)"
        )
    if not np.isfinite(xy).all():
        raise CosimError("a façade's place is not finite: give x and y in metres")
    if mine.size and (mine.min() < -1 or mine.max() >= len(axes)):
        raise CosimError(f"a façade's own street is {shown(int(mine.max()))}: there are {len(axes)} streets")
    starts, ends, street = _pieces(axes)
    louder = energy(np.broadcast_to(np.asarray(reflection, float), (len(axes),)))
    ahead = xy + normal / np.maximum(np.hypot(normal[:, 0], normal[:, 1]), 1e-9)[:, None] * (
        built.side_m if built else 0
    )
    tree = cKDTree((starts + ends) / 2)
    rows_of = _by_street(street, len(axes))
    blocks: list[sp.csr_array[Any, tuple[int, int]]] = []
    for first in range(0, len(xy), _CHUNK):
        part = slice(first, first + _CHUNK)
        facade, piece = _pairs(tree, xy[part], mine[part], street, rows_of, reach_m)
        at, far = xy[part][facade], (starts[piece] + ends[piece]) / 2
        seen = mine[part][facade] == street[piece]
        others = np.flatnonzero(~seen & (np.einsum("ij,ij->i", normal[part][facade], far - at) > 0))
        seen[others] = True if built is None else ~built.hides(ahead[part][facade[others]], far[others])
        facade, piece, at = facade[seen], piece[seen], at[seen]
        divergence, distance = segment_view(at, starts[piece], ends[piece], RECEIVER_HEIGHT_M - SOURCE_HEIGHT_M)
        by_band = transmission(
            np.maximum(distance, 0.1), ground=ground, favourable_share=favourable_share, absorption=absorption
        )
        values = by_band * (divergence * louder[street[piece]])[:, None]
        columns = street[piece][:, None] * _BANDS + np.arange(_BANDS)
        block = sp.coo_array(
            (values.ravel().astype(np.float32), (np.repeat(facade, _BANDS), columns.ravel())),
            shape=(len(xy[part]), len(axes) * _BANDS),
        )
        blocks.append(block.tocsr())
    if not blocks:
        blocks = [sp.csr_array(np.zeros((0, len(axes) * _BANDS), np.float32))]
    return NoisePaths(sp.vstack(blocks, format="csr"))


def _pieces(axes: Sequence[npt.ArrayLike]) -> tuple[Array, Array, Indices]:
    starts: list[Array] = []
    ends: list[Array] = []
    street: list[int] = []
    for row, axis in enumerate(axes):
        corners = np.asarray(axis, float)
        before = len(street)
        for a, b in pairwise(corners):
            length = float(np.hypot(*(b - a)))
            if length == 0:
                continue
            cuts = np.linspace(0.0, 1.0, max(1, int(np.ceil(length / _PIECE_M))) + 1)[:, None]
            line = a + (b - a) * cuts
            starts.extend(line[:-1])
            ends.extend(line[1:])
            street.extend([row] * (len(line) - 1))
        if len(street) == before:
            raise CosimError(f"the axis of street {row} has no length: give two different points")
    return np.array(starts).reshape(-1, 2), np.array(ends).reshape(-1, 2), np.array(street, np.int64)


def _by_street(street: Indices, n: int) -> Indices:
    """Return where the pieces of each street begin, shape (n + 1,); pieces are in the order of streets."""
    return np.searchsorted(street, np.arange(n + 1))


def _pairs(
    tree: cKDTree, points: Array, own: Indices, street: Indices, begins: Indices, reach_m: float
) -> tuple[Indices, Indices]:
    """Return pairs of façades and pieces: all pieces of the own street, and those of others within reach."""
    near: list[list[int]] = tree.query_ball_point(points, reach_m).tolist()  # type: ignore[attr-defined]
    counts = np.array([len(found) for found in near], np.int64)
    facade = np.repeat(np.arange(len(points)), counts)
    piece = np.concatenate([np.asarray(found, np.int64) for found in near]) if counts.sum() else facade
    other = own[facade] != street[piece]
    has = np.flatnonzero(own >= 0)
    lengths = begins[own[has] + 1] - begins[own[has]]
    ranges = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    mine = np.repeat(begins[own[has]], lengths) + ranges
    return np.concatenate([facade[other], np.repeat(has, lengths)]), np.concatenate([piece[other], mine])
