# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Fixed-point iteration of bus voltages, and branch loadings; `cosim.core.grid.powerflow` prepares the arrays.

Complex numbers are pairs of doubles here: C's own complex product checks for NaN first, at several times the cost.
"""

from libc.math cimport INFINITY, sqrt
from libc.stdint cimport int32_t

# A change below ROUNDING is rounding error; above LOST the iteration has diverged.
cdef double ROUNDING = 1e-14
cdef double LOST = 1e6


cdef inline void _current(const double* s, const double* drop, const double* v, double* i) noexcept nogil:
    """Current of a constant power s plus a constant current of power ``drop`` at 1 pu: conj((s + drop |v|) / v)."""
    cdef double m2 = v[0] * v[0] + v[1] * v[1]
    cdef double p = s[0], q = s[1], m
    if drop != NULL:
        m = sqrt(m2)
        p = p + drop[0] * m
        q = q + drop[1] * m
    i[0] = (p * v[0] + q * v[1]) / m2
    i[1] = (p * v[1] - q * v[0]) / m2


cdef inline void _take(double* x, const double* factor, double b0, double b1) noexcept nogil:
    """Subtract factor times b from x."""
    x[0] -= factor[0] * b0 - factor[1] * b1
    x[1] -= factor[0] * b1 + factor[1] * b0


cdef inline void _scale(double* x, const double* factor) noexcept nogil:
    """Multiply x by a factor."""
    cdef double b0 = x[0], b1 = x[1]
    x[0] = factor[0] * b0 - factor[1] * b1
    x[1] = factor[0] * b1 + factor[1] * b0


cdef inline void _move(double* v, const double* rest, const double* x, double* furthest) noexcept nogil:
    """Set v to rest + x; ``furthest`` is the largest squared change so far, and NaN persists."""
    cdef double new0 = rest[0] + x[0], new1 = rest[1] + x[1]
    cdef double d0 = new0 - v[0], d1 = new1 - v[1]
    cdef double square = d0 * d0 + d1 * d1
    v[0] = new0
    v[1] = new1
    if square > furthest[0] or square != square:
        furthest[0] = square


cdef inline int _verdict(double furthest, double* change, double tolerance) noexcept nogil:
    """Store the change and return whether the iteration has converged (1), diverged (-1) or continues (0).

    It has converged once the remaining distance, a geometric series at the current rate, is within the tolerance.
    """
    cdef double before = change[0], now = sqrt(furthest)
    change[0] = now
    if not now < LOST:
        return -1
    if now <= ROUNDING:
        return 1
    return now < before and now <= 100.0 * tolerance and now * now <= tolerance * (before - now)


cdef enum:  # columns of a tree's factors, each re and im
    LOWER = 0
    INVERSE = 2
    UPPER = 4


def tree(
    const int32_t[::1] parent,
    const double[:, ::1] factors,
    const double[:, ::1] rest,
    const double[:, ::1] power,
    const double[:, ::1] drop,
    double[:, ::1] voltage,
    double[:, ::1] work,
    int max_iterations,
    double tolerance,
):
    """Iterate v = rest + Y⁻¹ conj(s / v) on a forest whose buses follow their parents.

    A row of ``factors`` is an elimination step of the LDU factors: lower, inverse of the diagonal, upper.
    Returns the number of iterations, negative if they do not converge.
    """
    cdef Py_ssize_t n = parent.shape[0], i, p
    cdef int k = 0, verdict = 0
    cdef bint varies = drop.shape[0] > 0
    cdef double change = INFINITY, furthest
    cdef double current[2]
    with nogil:
        voltage[:, :] = rest
        for k in range(1, max_iterations + 1):  # no-cython-lint: returned
            work[:, :] = 0.0
            for i in range(n - 1, -1, -1):
                if varies or power[i, 0] != 0.0 or power[i, 1] != 0.0:
                    _current(&power[i, 0], &drop[i, 0] if varies else NULL, &voltage[i, 0], current)
                    work[i, 0] += current[0]
                    work[i, 1] += current[1]
                p = parent[i]
                if p >= 0:
                    _take(&work[p, 0], &factors[i, LOWER], work[i, 0], work[i, 1])
            furthest = 0.0
            for i in range(n):
                p = parent[i]
                _scale(&work[i, 0], &factors[i, INVERSE])
                if p >= 0:
                    _take(&work[i, 0], &factors[i, UPPER], work[p, 0], work[p, 1])
                _move(&voltage[i, 0], &rest[i, 0], &work[i, 0], &furthest)
            verdict = _verdict(furthest, &change, tolerance)
            if verdict != 0:
                break
    return k if verdict > 0 else -k


def mesh(
    const int32_t[::1] lower_start, const int32_t[::1] lower_row, const double[:, ::1] lower,
    const int32_t[::1] upper_start, const int32_t[::1] upper_row, const double[:, ::1] upper,
    const double[:, ::1] inverse,
    const int32_t[::1] row_of, const int32_t[::1] column_of,
    const double[:, ::1] rest,
    const double[:, ::1] power,
    const double[:, ::1] drop,
    double[:, ::1] voltage,
    double[:, ::1] work,
    int max_iterations,
    double tolerance,
):
    """Iterate v = rest + Y⁻¹ conj(s / v) with sparse LU factors, stored by columns without their diagonals.

    ``inverse`` is one over the diagonal of the upper factor, ``row_of`` and ``column_of`` the permutations.
    Returns the number of iterations, negative if they do not converge.
    """
    cdef Py_ssize_t n = rest.shape[0], i, j, e
    cdef int k = 0, verdict = 0
    cdef bint varies = drop.shape[0] > 0
    cdef double change = INFINITY, furthest, x0, x1
    with nogil:
        voltage[:, :] = rest
        for k in range(1, max_iterations + 1):  # no-cython-lint: returned
            for i in range(n):
                _current(&power[i, 0], &drop[i, 0] if varies else NULL, &voltage[i, 0], &work[row_of[i], 0])
            for j in range(n):
                x0 = work[j, 0]
                x1 = work[j, 1]
                if x0 == 0.0 and x1 == 0.0:
                    continue
                for e in range(lower_start[j], lower_start[j + 1]):
                    _take(&work[lower_row[e], 0], &lower[e, 0], x0, x1)
            for j in range(n - 1, -1, -1):
                _scale(&work[j, 0], &inverse[j, 0])
                x0 = work[j, 0]
                x1 = work[j, 1]
                for e in range(upper_start[j], upper_start[j + 1]):
                    _take(&work[upper_row[e], 0], &upper[e, 0], x0, x1)
            furthest = 0.0
            for i in range(n):
                _move(&voltage[i, 0], &rest[i, 0], &work[column_of[i], 0], &furthest)
            verdict = _verdict(furthest, &change, tolerance)
            if verdict != 0:
                break
    return k if verdict > 0 else -k


def rate(
    const int32_t[::1] from_bus,
    const int32_t[::1] to_bus,
    const double[:, ::1] admittance,
    const double[:, ::1] limit,
    const double[:, ::1] voltage,
    double[::1] loading,
    double[::1] losses,
    double[::1] sent,
):
    """Compute loading (the larger current over its limit), losses and power entering at the from-end of every branch.

    A row of ``admittance`` is (ff, ft, tf, tt), each re and im; a row of ``limit`` is the current limits at both ends.
    """
    cdef Py_ssize_t k
    cdef const double* y
    cdef const double* f
    cdef const double* t
    cdef double f0, f1, t0, t1, at_from, at_to
    with nogil:
        for k in range(from_bus.shape[0]):
            y = &admittance[k, 0]
            f = &voltage[from_bus[k], 0]
            t = &voltage[to_bus[k], 0]
            f0 = y[0] * f[0] - y[1] * f[1] + y[2] * t[0] - y[3] * t[1]
            f1 = y[0] * f[1] + y[1] * f[0] + y[2] * t[1] + y[3] * t[0]
            t0 = y[4] * f[0] - y[5] * f[1] + y[6] * t[0] - y[7] * t[1]
            t1 = y[4] * f[1] + y[5] * f[0] + y[6] * t[1] + y[7] * t[0]
            sent[k] = f[0] * f0 + f[1] * f1
            losses[k] = sent[k] + t[0] * t0 + t[1] * t1
            at_from = sqrt(f0 * f0 + f1 * f1) / limit[k, 0]
            at_to = sqrt(t0 * t0 + t1 * t1) / limit[k, 1]
            loading[k] = at_from if at_from > at_to else at_to
