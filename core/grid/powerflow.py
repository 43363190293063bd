"""Power flow of balanced networks under changing injections.

`PowerFlow` takes the admittance matrix and the bus types once; afterwards only injections change. Without
voltage-controlled buses the voltages are the fixed point of v = v₀ + Y⁻¹ conj(s/v), v₀ being the no-load
voltages [1]_; Y⁻¹ is applied by a tree's LDU factors in radial networks (no fill-in [2]_) and by cached sparse LU
factors in meshed ones. Networks with voltage-controlled buses, and cases where the fixed point does not converge, are
solved by Newton's method in polar form [3]_.

References
----------
.. [1] T.-H. Chen, M.-S. Chen, K.-J. Hwang, P. Kotas, E. A. Chebli, Distribution system power flow analysis: a rigid
   approach, IEEE Transactions on Power Delivery 6(3), 1991, doi:10.1109/61.85860.
.. [2] A tree eliminated from its leaves has no fill-in: D. J. Rose, Triangulated graphs and the elimination process,
   Journal of Mathematical Analysis and Applications 32(3), 1970, doi:10.1016/0022-247X(70)90282-9.
.. [3] W. F. Tinney, C. E. Hart, Power flow solution by Newton's method, IEEE Transactions on Power Apparatus and
   Systems PAS-86(11), 1967, doi:10.1109/TPAS.1967.291823.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse.csgraph import breadth_first_order, connected_components
from scipy.sparse.linalg import splu

from cosim.core.grid import _powerflow
from cosim.core.processes import CPUS, threads
from cosim.core.quantities import Complex, Indices, Vector

from .newton import Newton

Method: TypeAlias = Literal["tree", "mesh", "newton"]

TOLERANCE = 1e-11
"""Distance to the solution at which the iterations stop. [pu]"""
_MAX_ITERATIONS = 60


@dataclass(frozen=True, slots=True)
class Solution:
    """Bus voltages of one power flow, with the method and iterations used.

    ``voltage`` has shape (n_buses,) [pu]; ``iterations`` counts sweeps of ``method``.
    """

    voltage: Complex
    method: Method
    iterations: int


class Branches:
    """Two-port elements between buses, rated at both ends.

    Parameters
    ----------
    from_bus, to_bus : shape (n,)
        Buses at both ends.
    admittance : shape (n, 4)
        Entries ff, ft, tf, tt of each two-port's admittance matrix. [pu]
    limit : shape (n, 2)
        Current limit at each end; infinite for no limit. [pu]
    """

    def __init__(
        self, from_bus: npt.ArrayLike, to_bus: npt.ArrayLike, admittance: npt.ArrayLike, limit: npt.ArrayLike
    ) -> None:
        self._from = np.ascontiguousarray(from_bus, np.int32)
        self._to = np.ascontiguousarray(to_bus, np.int32)
        n = len(self._from)
        self._admittance = _pairs(np.ascontiguousarray(admittance, np.complex128).reshape(n, 4)).reshape(n, 8)
        self._limit = np.ascontiguousarray(limit, np.float64).reshape(n, 2)

    def rate(self, voltage: Complex) -> tuple[Vector, Vector, Vector]:
        """Compute loading, losses and power of every branch at given bus voltages.

        Returns
        -------
        Loading [1], active losses [pu] and the active power entering at the from-end [pu], shape (n,) each.
        """
        n = len(self._from)
        loading, losses, sent = np.empty((3, n))
        _powerflow.rate(
            from_bus=self._from,
            to_bus=self._to,
            admittance=self._admittance,
            limit=self._limit,
            voltage=_pairs(voltage),
            loading=loading,
            losses=losses,
            sent=sent,
        )
        return loading, losses, sent


class PowerFlow:
    """The power flow of one network, solved for successive sets of injections.

    Every solution starts from the same voltages and is therefore bit-identical whatever was solved before.

    Parameters
    ----------
    admittance : shape (n, n)
        Bus admittance matrix, shunts included. [pu]
    slack
        Buses with fixed voltage magnitude and angle; at least one on every island.
    generators
        Buses that hold their voltage magnitude by reactive power.
    start : shape (n,)
        The fixed voltages, and a first guess of the others. [pu]
    drop : shape (n,), optional
        Power injected in proportion to the voltage magnitude, given at 1 pu (negative: constant-current loads). [pu]
    base : shape (n,), optional
        Injections around which networks with generators are linearised, default none. [pu]

    Raises
    ------
    ValueError
        If there is no slack bus, or the shapes of the arrays do not match.

    Examples
    --------
    A line of impedance 0.1 pu with a load of 0.5 pu: v² − v + 0.05 = 0 at its end.

    >>> y = 1 / 0.1
    >>> network = PowerFlow(np.array([[y, -y], [-y, y]]), slack=[0])
    >>> solution = network.solve(np.array([0, -0.5]))
    >>> solution.method
    'tree'
    >>> round(float(solution.voltage[1].real), 6)
    0.947214
    """

    def __init__(
        self,
        admittance: Any,
        *,
        slack: npt.ArrayLike,
        generators: npt.ArrayLike = (),
        start: npt.ArrayLike | None = None,
        drop: npt.ArrayLike | None = None,
        base: npt.ArrayLike | None = None,
    ) -> None:
        self._y = sparse.csr_matrix(admittance, dtype=np.complex128)
        n = self._y.shape[0]
        self._slack = np.unique(np.asarray(slack, np.int64))
        self._generators = np.setdiff1d(np.asarray(generators, np.int64), self._slack)
        if self._y.shape != (n, n) or not len(self._slack):
            raise ValueError("a power flow needs a square admittance matrix and at least one slack bus")
        self._start = np.ones(n, np.complex128) if start is None else np.array(start, np.complex128)
        self._drop = np.zeros(n, np.complex128) if drop is None else np.array(drop, np.complex128)
        base_power = np.zeros(n, np.complex128) if base is None else np.array(base, np.complex128)
        if not (len(self._start) == len(self._drop) == len(base_power) == n):
            raise ValueError(f"start, drop and base must have {n} elements, one per bus")
        self._free = np.setdiff1d(np.arange(n), self._slack)
        self._sweep: _Tree | _Mesh | None = None
        self.method: Method = "newton"
        if not len(self._generators):
            self._choose_sweep()
        load = np.setdiff1d(self._free, self._generators)
        self._newton = Newton(
            admittance=self._y,
            generators=self._generators,
            loads=load,
            start=self._start,
            drop=self._drop,
            base=base_power,
            tolerance=TOLERANCE,
        )

    def _choose_sweep(self) -> None:
        """Factorise the network without its slack buses, and start from its no-load voltages."""
        inner = self._y[self._free][:, self._free].tocsc()
        held = self._y[self._free][:, self._slack] @ self._start[self._slack]
        rest: Complex = np.zeros(0, np.complex128)
        if len(self._free):
            try:
                factors = splu(inner)
            except RuntimeError:  # singular: Newton's method decides whether there is a solution
                return
            rest = factors.solve(-held)
            rest -= factors.solve(inner @ rest + held)
        if not (np.isfinite(rest).all() and (np.abs(rest) > 1e-3).all()):
            return
        self._start[self._free] = rest
        entry = inner.tocoo()
        apart = (entry.row != entry.col) & (entry.data != 0)
        row, column = entry.row[apart], entry.col[apart]
        both = np.concatenate([row, column]), np.concatenate([column, row])
        pattern = sparse.csr_matrix((np.ones(2 * len(row)), both), inner.shape)
        islands, _ = connected_components(pattern, directed=False)
        if pattern.nnz == 2 * (len(self._free) - islands):
            self.method, self._sweep = "tree", _Tree(inner, pattern, rest, self._drop[self._free])
        else:
            self.method, self._sweep = "mesh", _Mesh(inner, rest, self._drop[self._free])

    def solve(self, power: Complex) -> Solution:
        """Solve for the power injected at every bus, positive into the network. [pu]

        Parameters
        ----------
        power : shape (n_buses,)
            Injections; values at slack buses and the reactive power at generators are ignored.

        Raises
        ------
        ArithmeticError
            If no voltages were found. The next call is not affected.
        """
        if self._sweep is not None:
            inner, iterations = self._sweep.solve(power[self._free])
            if iterations > 0:
                voltage = self._start.copy()
                voltage[self._free] = inner
                return Solution(voltage, self.method, iterations)
        voltage, iterations = self._newton.solve(power)
        return Solution(voltage, "newton", iterations)

    def injected(self, voltage: Complex) -> Complex:
        """Return the power that every bus injects into the network at given voltages, shape (n_buses,). [pu]"""
        return voltage * np.conj(self._y @ voltage)


def carried(voltage_at: Callable[[float], Vector]) -> tuple[float, int]:
    """Find the largest share in [0, 1] with a solution, to within 1/256, and the bus with the lowest voltage there.

    Parameters
    ----------
    voltage_at
        Returns the voltage magnitudes at a share, or raises ArithmeticError.

    Returns
    -------
    Share and bus; 0 and -1 if there is no solution even at share 0.
    """
    try:
        share, weakest = 0.0, int(np.nanargmin(voltage_at(0.0)))
    except ArithmeticError:
        return 0.0, -1
    step, refined = 1.0, 0
    while refined < 9 and step > 1e-9:
        with contextlib.suppress(ArithmeticError):
            weakest = int(np.nanargmin(voltage_at(share + step)))
            share += step
        if share == 1.0:
            break
        step /= 2
        refined += share > 0
    return share, weakest


class _Tree:
    """Sweeps over a forest: eliminate from the leaves, substitute from the roots.

    The trees of a large forest, such as the feeders of a substation, are shared out to `SHARES` that are solved at the
    same time; the shares follow from the network alone, so that results do not depend on the machine.
    """

    def __init__(self, inner: Any, pattern: Any, rest: Complex, drop: Complex) -> None:
        n = len(rest)
        n_islands, island = connected_components(pattern, directed=False)
        _, roots = np.unique(island, return_index=True)
        # A node added above all roots makes the forest a tree, so that a single search orders it by depth.
        above = sparse.csr_matrix((np.ones(n_islands), (np.zeros(n_islands, int), roots)), shape=(1, n))
        order, before = breadth_first_order(sparse.block_array([[pattern, above.T], [above, None]]).tocsr(), n)
        share = _shared_out(np.bincount(island, minlength=n_islands))
        self._order = order[1:][np.argsort(share[island[order[1:]]], kind="stable")].astype(np.int64)
        place = np.full(n + 1, -1, np.int64)
        place[self._order] = np.arange(n)
        up = before[self._order].astype(np.int64)
        parent = place[up]  # -1 above the roots
        inner = inner.tocsr()
        diagonal = inner.diagonal()[self._order]
        child = np.flatnonzero(parent >= 0)
        down, back = np.zeros(n, np.complex128), np.zeros(n, np.complex128)
        down[child] = np.asarray(inner[up[child], self._order[child]]).ravel()
        back[child] = np.asarray(inner[self._order[child], up[child]]).ravel()
        lower = np.zeros(n, np.complex128)
        for i in range(n - 1, -1, -1):
            p = parent[i]
            if p >= 0:
                lower[i] = down[i] / diagonal[i]
                diagonal[p] -= lower[i] * back[i]
        self._factors = _pairs(np.stack([lower, 1 / diagonal, back / diagonal], axis=1)).reshape(n, 6)
        self._rest = _pairs(rest[self._order])
        self._drop = _pairs(drop[self._order]) if drop.any() else np.empty((0, 2))
        ends = [0, *np.cumsum(np.bincount(share[island], minlength=1)).tolist()]
        self._shares = [slice(*pair) for pair in pairwise(ends)]
        self._parents = [np.maximum(parent[s] - s.start, -1).astype(np.int32) for s in self._shares]

    def solve(self, power: Complex) -> tuple[Complex, int]:
        n = len(self._order)
        found, work, given = np.empty((n, 2)), np.empty((n, 2)), _pairs(power[self._order])

        def sweep(k: int) -> int:
            rows = self._shares[k]
            iterations: int = _powerflow.tree(
                parent=self._parents[k],
                factors=self._factors[rows],
                rest=self._rest[rows],
                power=given[rows],
                drop=self._drop[rows] if len(self._drop) else self._drop,
                voltage=found[rows],
                work=work[rows],
                max_iterations=_MAX_ITERATIONS,
                tolerance=TOLERANCE,
            )
            return iterations

        shares = range(len(self._shares))
        counts = [sweep(0)] if len(shares) == 1 else list(threads(min(CPUS, len(shares))).map(sweep, shares))
        voltage = np.empty(n, np.complex128)
        voltage[self._order] = found.view(np.complex128)[:, 0]
        return voltage, max(counts, key=lambda count: (count < 0, abs(count)))


SHARES = 8
"""Parts of a large forest that are solved at the same time."""
_LEAST_PER_SHARE = 4096  # number of buses below which a thread costs more than it saves


def _shared_out(sizes: Indices) -> Indices:
    """Return the share of each tree by its number of buses: one for all, or `SHARES` at most of about the same size."""
    number = max(1, min(SHARES, len(sizes), int(sizes.sum()) // _LEAST_PER_SHARE))
    share, filled = np.zeros(len(sizes), np.int64), np.zeros(number)
    for tree in np.argsort(-sizes, kind="stable").tolist():
        share[tree] = np.argmin(filled)
        filled[share[tree]] += sizes[tree]
    return share


class _Mesh:
    """Sweeps with the sparse LU factors of a meshed network."""

    def __init__(self, inner: Any, rest: Complex, drop: Complex) -> None:
        # Minimum degree on the structurally symmetric matrix leaves trees without fill-in.
        symmetric = {"SymmetricMode": True}
        factors = splu(inner.tocsc(), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.1, options=symmetric)
        lower, upper = factors.L.tocsc(), factors.U.tocsc()
        inverse: Any = 1 / upper.diagonal()
        parts: list[Any] = []
        for part in (sparse.tril(lower, -1).tocsc(), sparse.triu(upper, 1).tocsc()):
            parts += [part.indptr.astype(np.int32), part.indices.astype(np.int32), _pairs(part.data)]
        parts += [_pairs(inverse), factors.perm_r.astype(np.int32), factors.perm_c.astype(np.int32), _pairs(rest)]
        self._factors = parts
        self._drop = _pairs(drop) if drop.any() else np.empty((0, 2))

    def solve(self, power: Complex) -> tuple[Complex, int]:
        n = len(power)
        found, work = np.empty((n, 2)), np.empty((n, 2))
        given: Any = (*self._factors, _pairs(power), self._drop, found, work, _MAX_ITERATIONS, TOLERANCE)
        iterations: int = _powerflow.mesh(*given)
        return found.view(np.complex128)[:, 0], iterations


def _pairs(values: Complex) -> Vector:
    """Return complex numbers as rows of real and imaginary parts, shape (n, 2)."""
    return np.ascontiguousarray(values, np.complex128).view(np.float64).reshape(-1, 2)
