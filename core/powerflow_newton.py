"""Which voltages solve a power flow with voltage-controlled buses, or one that a fixed point does not solve?"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse.linalg import splu

Complex: TypeAlias = npt.NDArray[np.complex128]
Vector: TypeAlias = npt.NDArray[np.float64]
Index: TypeAlias = npt.NDArray[np.int64]

_MAX_ITERATIONS, _MAX_FACTORISATIONS = 80, 20
# Factors are kept while each step leaves at most this share of the way: a factorisation costs as much as about ten
# steps, and ten steps at this rate gain five digits.
_KEPT_RATE = 0.3


class Newton:
    """Newton's method in polar form, keeping the Jacobian's factors as long as they serve.

    Parameters
    ----------
    admittance
        Bus admittance matrix in CSR form, shape (n, n). [pu]
    generators, loads
        Buses with known magnitude and buses with known power; all others are slack.
    start : shape (n,)
        Known voltages at slack buses, known magnitudes at generators, guesses elsewhere; the angles carry the base. [pu]
    drop : shape (n,)
        Power injected in proportion to the voltage's magnitude. [pu]
    base : shape (n,)
        Injections whose solution, if there is one, every other solution starts from. [pu]
    tolerance
        Distance to the solution at which to stop. [pu, rad]
    """

    def __init__(
        self,
        admittance: Any,
        generators: Index,
        loads: Index,
        start: Complex,
        drop: Complex,
        base: Complex,
        tolerance: float,
    ) -> None:
        self._y, self._start, self._drop, self._base_power = admittance, start, drop, base
        self._turns, self._loads = np.concatenate([generators, loads]), loads
        self._tolerance = tolerance
        self._base: list[tuple[Complex, Any]] | None = None
        self._slope: Any = None
        self._pattern: _Pattern | None = None

    def solve(self, power: Complex) -> tuple[Complex, int]:
        """Return voltages and number of steps.

        Raises
        ------
        ArithmeticError
            If neither the base's solution nor a linear guess leads to one.
        """
        with np.errstate(all="ignore"):  # a diverging iteration overflows before it is given up
            if self._base is None:
                self._base = self._based()
            for voltage, factors in (*self._base, (self._guess(power), None)):
                try:
                    return self._iterate(power, voltage, factors)
                except ArithmeticError:
                    continue
            return self._iterate(power, self._guess(power), None, keep=0.0)

    def _based(self) -> list[tuple[Complex, Any]]:
        """Return where to start from, with the Jacobian's factors there; nothing if the base has no solution."""
        try:
            voltage, _ = self._iterate(self._base_power, self._guess(self._base_power), None, keep=0.0)
            return [(voltage, self._factorised(voltage))]
        except ArithmeticError:
            return []

    def _guess(self, power: Complex) -> Complex:
        """Return the start, its angles moved so that they carry the active power to first order (a DC power flow)."""
        if self._slope is None:
            entry = sparse.coo_matrix(self._y)
            apart = entry.row != entry.col
            row, column, stiffness = entry.row[apart], entry.col[apart], np.abs(entry.data[apart])
            n = len(self._start)
            total = np.bincount(row, stiffness, n)
            slope = sparse.coo_matrix((-stiffness, (row, column)), (n, n)) + sparse.diags(total)
            try:
                self._slope = splu(slope.tocsr()[self._turns][:, self._turns].tocsc(), permc_spec="MMD_AT_PLUS_A")
            except RuntimeError as error:
                raise ArithmeticError(f"the admittance matrix is singular: {error}") from error
        turn = np.angle(self._start)
        turn[self._turns] += self._slope.solve((power - self._base_power).real[self._turns])
        voltage: Complex = np.abs(self._start) * np.exp(1j * turn)
        return voltage

    def _iterate(self, power: Complex, voltage: Complex, factors: Any, keep: float = _KEPT_RATE) -> tuple[Complex, int]:
        n_turns = len(self._turns)
        turn, size = np.angle(voltage), np.abs(voltage)
        before, n_factorised = np.inf, 0
        for step in range(1, _MAX_ITERATIONS + 1):
            if factors is None:
                n_factorised += 1
                if n_factorised > _MAX_FACTORISATIONS:
                    break
                factors, before = self._factorised(voltage), np.inf
            miss = voltage * np.conj(self._y @ voltage) - power - self._drop * size
            way = factors.solve(np.concatenate([miss.real[self._turns], miss.imag[self._loads]]))
            turn[self._turns] -= way[:n_turns]
            size[self._loads] -= way[n_turns:]
            voltage = size * np.exp(1j * turn)
            change = float(np.abs(way).max(initial=0.0))
            if not change < 1e6 or (size[self._loads] <= 0).any():
                break
            if change <= 1e-13 or (
                change <= 100 * self._tolerance and change < before
                and change * change <= self._tolerance * (before - change)
            ):  # fmt: skip
                return voltage, step
            if change > keep * before or (keep == 0.0):
                factors = None
            before = change
        raise ArithmeticError("Newton's method found no voltages")

    def _factorised(self, voltage: Complex) -> Any:
        if self._pattern is None:
            self._pattern = _Pattern(self._y, self._turns, self._loads)
        try:
            return splu(self._pattern.jacobian(voltage, self._drop), permc_spec="MMD_AT_PLUS_A")
        except (RuntimeError, ValueError) as error:  # singular, or not finite
            raise ArithmeticError(f"the power flow's Jacobian is singular: {error}") from error


class _Pattern:
    """Where the derivatives of the injected power go in the Jacobian's sparse columns."""

    def __init__(self, admittance: Any, turns: Index, loads: Index) -> None:
        y = sparse.csr_matrix(admittance)
        n = y.shape[0]
        # Every diagonal entry must be there to take the derivatives by the bus's own voltage.
        y = (y + sparse.csr_matrix((np.full(n, 1e-300), (np.arange(n), np.arange(n))), shape=(n, n))).tocoo()
        self._admittance = admittance
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
        self._matrix = sparse.csc_matrix((empty, numbered.indices, numbered.indptr), (size, size))

    def jacobian(self, voltage: Complex, drop: Complex) -> Any:
        """Return the derivatives of the mismatch by angles and magnitudes, in columns."""
        size = np.abs(voltage)
        injected = voltage * np.conj(self._admittance @ voltage)
        mutual = voltage[self._row] * np.conj(self._data * voltage[self._column])
        by_turn = -1j * mutual
        by_turn[self._diagonal] += 1j * injected
        by_size = mutual / size[self._column]
        by_size[self._diagonal] += injected / size - drop
        entries = np.concatenate([by_turn.real, by_size.real, by_turn.imag, by_size.imag])
        self._matrix.data = entries[self._source]
        return self._matrix
