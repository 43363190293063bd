"""Newton's method for power flows with voltage-controlled buses, or where the fixed-point iteration fails.

Polar form with the Jacobian factorised by KLU [1]_: its pivots are chosen once and reused as long as they work, which
makes a factorisation 3 to 4 times cheaper.

References
----------
.. [1] T. A. Davis, E. Palamadai Natarajan, Algorithm 907: KLU, a direct sparse solver for circuit simulation problems,
   ACM Transactions on Mathematical Software 37(3), 2010, doi:10.1145/1824801.1824814.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import nbklu
import numpy as np
from scipy import sparse

from cosim.core.quantities import Complex, Indices, Vector

_MAX_ITERATIONS = 30
# A change below ROUNDING is rounding error; above LOST the iteration has diverged.
_ROUNDING, _LOST = 1e-13, 1e6


class Newton:
    """Newton's method from a fixed starting point, so that solutions do not depend on each other.

    Parameters
    ----------
    admittance
        Bus admittance matrix in CSR form, shape (n, n). [pu]
    generators, loads
        Buses with known magnitude and buses with known power; all others are slack.
    start : shape (n,)
        Known voltages at slack buses, known magnitudes at generators, guesses elsewhere; the angles fit the base.
        [pu]
    drop : shape (n,)
        Power injected in proportion to the voltage magnitude. [pu]
    base : shape (n,)
        Injections whose solution, if it exists, is the starting point of every other. [pu]
    tolerance
        Distance to the solution at which to stop. [pu, rad]
    """

    def __init__(
        self,
        admittance: Any,
        generators: Indices,
        loads: Indices,
        start: Complex,
        drop: Complex,
        base: Complex,
        tolerance: float,
    ) -> None:
        self._y, self._start, self._drop, self._base = admittance, start, drop, base
        self._turns, self._loads = np.concatenate([generators, loads]), loads
        self._tolerance = tolerance
        self._slope: _Factors | None = None
        self._jacobian: _Jacobian | None = None
        self._anchor: Complex | None = None

    def solve(self, power: Complex) -> tuple[Complex, int]:
        """Return the voltages and the number of steps.

        Raises
        ------
        ArithmeticError
            If the iteration converges from neither the base's solution nor a linear guess.
        """
        with np.errstate(all="ignore"):  # a diverging iteration overflows before it is abandoned
            if self._jacobian is None:
                self._settle()
            try:
                return self._iterate(power, self._guess(power) if self._anchor is None else self._anchor, self._kept)
            except ArithmeticError:
                return self._iterate(power, self._guess(power))

    def _settle(self) -> None:
        """Solve for the base, the later starting point, and choose the pivots there or at the start."""
        self._jacobian = _Jacobian(self._y, self._turns, self._loads, self._drop)
        self._fresh, self._kept = _Factors(self._jacobian.matrix), _Factors(self._jacobian.matrix)
        with contextlib.suppress(ArithmeticError):
            self._anchor, _ = self._iterate(self._base, self._guess(self._base))
        voltage = self._start if self._anchor is None else self._anchor
        self._kept.choose(self._jacobian.at(voltage, np.abs(voltage), voltage * np.conj(self._y @ voltage)))

    def _guess(self, power: Complex) -> Complex:
        """Return the start with its angles moved to match the active power to first order (a DC power flow)."""
        if self._slope is None:
            entry = sparse.coo_matrix(self._y)
            apart = entry.row != entry.col
            row, column, stiffness = entry.row[apart], entry.col[apart], np.abs(entry.data[apart])
            n = len(self._start)
            total = np.bincount(row, stiffness, n)
            slope = sparse.coo_matrix((-stiffness, (row, column)), (n, n)) + sparse.diags(total)
            matrix = slope.tocsr()[self._turns][:, self._turns].tocsc()
            self._slope = _Factors(matrix)
            self._slope.choose(matrix)
        turn = np.angle(self._start)
        turn[self._turns] += self._slope.solve((power - self._base).real[self._turns])
        voltage: Complex = np.abs(self._start) * np.exp(1j * turn)
        return voltage

    def _iterate(self, power: Complex, voltage: Complex, kept: _Factors | None = None) -> tuple[Complex, int]:
        assert self._jacobian is not None
        n_turns = len(self._turns)
        turn, size = np.angle(voltage), np.abs(voltage)
        before = 0.0
        for step in range(1, _MAX_ITERATIONS + 1):
            injected = voltage * np.conj(self._y @ voltage)
            matrix = self._jacobian.at(voltage, size, injected)
            if kept is None:
                self._fresh.choose(matrix)
            else:
                kept.renew(matrix)
            miss = injected - power - self._drop * size
            way = (kept or self._fresh).solve(np.concatenate([miss.real[self._turns], miss.imag[self._loads]]))
            turn[self._turns] -= way[:n_turns]
            size[self._loads] -= way[n_turns:]
            voltage = size * np.exp(1j * turn)
            change = float(np.abs(way).max(initial=0.0))
            if not change < _LOST or (size[self._loads] <= 0).any():
                break
            # Remaining distance under quadratic convergence: change³/before².
            if change <= _ROUNDING or (change < before and change * (change / before) ** 2 <= self._tolerance):
                return voltage, step
            before = change
        raise ArithmeticError("Newton's method found no voltages")


class _Factors:
    """KLU factors of matrices of one sparsity pattern, in sorted columns."""

    def __init__(self, matrix: Any) -> None:
        self._klu = nbklu.KLUSolver32Real(singular_as_error=True)
        with _singular():
            self._klu.analyze(matrix.shape[0], matrix.indptr, matrix.indices)

    def choose(self, matrix: Any) -> None:
        """Factorise with pivots chosen for this matrix."""
        with _singular():
            self._klu.factor(matrix.data)

    def renew(self, matrix: Any) -> None:
        """Factorise with the pivots already chosen."""
        with _singular():
            self._klu.refactor(matrix.data)

    def solve(self, right: Vector) -> Vector:
        """Solve for one right-hand side."""
        return self._klu.solve(right)  # type: ignore[no-any-return]


@contextlib.contextmanager
def _singular() -> Iterator[None]:
    try:
        yield
    except nbklu.KLUException as error:
        raise ArithmeticError(f"the power flow's equations are singular: {error}") from error


class _Jacobian:
    """The derivatives of the power mismatch by angles and magnitudes, in sparse columns."""

    def __init__(self, admittance: Any, turns: Indices, loads: Indices, drop: Complex) -> None:
        y = sparse.csr_matrix(admittance)
        n = y.shape[0]
        # Every diagonal entry must exist to hold the derivatives by the bus's own voltage.
        y = (y + sparse.csr_matrix((np.full(n, 1e-300), (np.arange(n), np.arange(n))), shape=(n, n))).tocoo()
        self._drop = drop
        self._row, self._column, self._data = y.row, y.col, y.data
        self._diagonal = np.flatnonzero(y.row == y.col)
        self._diagonal = self._diagonal[np.argsort(y.row[self._diagonal])]
        turn_at, load_at = np.full(n, -1), np.full(n, -1)
        turn_at[turns], load_at[loads] = np.arange(len(turns)), np.arange(len(loads)) + len(turns)
        rows, columns, sources = [], [], []
        for block, (row_at, column_at) in enumerate(
            ((turn_at, turn_at), (turn_at, load_at), (load_at, turn_at), (load_at, load_at))
        ):
            here = np.flatnonzero((row_at[y.row] >= 0) & (column_at[y.col] >= 0))
            rows.append(row_at[y.row[here]])
            columns.append(column_at[y.col[here]])
            sources.append(here + block * len(y.data))
        size = len(turns) + len(loads)
        numbered = sparse.csc_matrix(
            (np.arange(1, sum(map(len, rows)) + 1), (np.concatenate(rows), np.concatenate(columns))), (size, size)
        )
        self._source = np.concatenate(sources)[numbered.data - 1]
        empty = np.zeros(len(numbered.data))
        self.matrix = sparse.csc_matrix((empty, numbered.indices, numbered.indptr), (size, size))

    def at(self, voltage: Complex, size: Vector, injected: Complex) -> Any:
        """Return the matrix at given voltages, their magnitudes and injections; the next call overwrites it."""
        mutual = voltage[self._row] * np.conj(self._data * voltage[self._column])
        by_turn = -1j * mutual
        by_turn[self._diagonal] += 1j * injected
        by_size = mutual / size[self._column]
        by_size[self._diagonal] += injected / size - self._drop
        entries = np.concatenate([by_turn.real, by_size.real, by_turn.imag, by_size.imag])
        self.matrix.data = entries[self._source]
        return self.matrix
