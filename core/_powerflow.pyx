# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Iterate bus voltages to a fixed point, and rate branches; `cosim.core.powerflow` prepares and checks the arrays.

Complex numbers are pairs of doubles here: C's own complex product first looks for NaN, at several times the cost.
"""

from libc.math cimport INFINITY, sqrt
from libc.stdint cimport int32_t

# A change below this is rounding, above that the iteration is lost.
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


cdef inline double _moved(double* v, const double* rest, double x0, double x1) noexcept nogil:
    """Put v at rest + x and return the square of the way."""
    cdef double new0 = rest[0] + x0, new1 = rest[1] + x1
    cdef double d0 = new0 - v[0], d1 = new1 - v[1]
    v[0] = new0
    v[1] = new1
    return d0 * d0 + d1 * d1


cdef inline bint _settled(double change, double before, double tolerance) noexcept nogil:
    """Whether the rest of the way, a geometric series at the present rate, is within the tolerance."""
    if change <= ROUNDING:
        return True
    if change >= before:
        return False
    return change <= 100.0 * tolerance and change * change <= tolerance * (before - change)


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
    """Iterate v = rest + Y⁻¹ conj(s / v) on a forest whose buses stand after their parents.

    A row of ``factors`` is an elimination step of the LDU factors: (lower, 1/diagonal, upper), each re and im.
    Returns the number of iterations, negative if they do not settle.
    """
    cdef Py_ssize_t n = parent.shape[0], i, p
    cdef int k = 0
    cdef bint varies = drop.shape[0] > 0
    cdef double change = INFINITY, before, square, b0, b1, x0, x1
    cdef double current[2]
    cdef const double* f
    with nogil:
        for i in range(n):
            voltage[i, 0] = rest[i, 0]
            voltage[i, 1] = rest[i, 1]
        for k in range(1, max_iterations + 1):
            for i in range(n):
                work[i, 0] = 0.0
                work[i, 1] = 0.0
            for i in range(n - 1, -1, -1):
                if varies or power[i, 0] != 0.0 or power[i, 1] != 0.0:
                    _current(&power[i, 0], &drop[i, 0] if varies else NULL, &voltage[i, 0], current)
                    work[i, 0] += current[0]
                    work[i, 1] += current[1]
                p = parent[i]
                if p >= 0:
                    f = &factors[i, 0]
                    b0 = work[i, 0]
                    b1 = work[i, 1]
                    work[p, 0] -= f[0] * b0 - f[1] * b1
                    work[p, 1] -= f[0] * b1 + f[1] * b0
            before = change
            change = 0.0
            for i in range(n):
                f = &factors[i, 0]
                b0 = work[i, 0]
                b1 = work[i, 1]
                x0 = f[2] * b0 - f[3] * b1
                x1 = f[2] * b1 + f[3] * b0
                p = parent[i]
                if p >= 0:
                    x0 = x0 - (f[4] * work[p, 0] - f[5] * work[p, 1])
                    x1 = x1 - (f[4] * work[p, 1] + f[5] * work[p, 0])
                work[i, 0] = x0
                work[i, 1] = x1
                square = _moved(&voltage[i, 0], &rest[i, 0], x0, x1)
                if square > change or square != square:  # a NaN stays
                    change = square
            change = sqrt(change)
            if not change < LOST:
                break
            if _settled(change, before, tolerance):
                with gil:
                    return k
    return -k


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
    Returns the number of iterations, negative if they do not settle.
    """
    cdef Py_ssize_t n = rest.shape[0], i, j, e
    cdef int k = 0
    cdef bint varies = drop.shape[0] > 0
    cdef double change = INFINITY, before, square, b0, b1, x0, x1
    cdef double current[2]
    with nogil:
        for i in range(n):
            voltage[i, 0] = rest[i, 0]
            voltage[i, 1] = rest[i, 1]
        for k in range(1, max_iterations + 1):
            for i in range(n):
                _current(&power[i, 0], &drop[i, 0] if varies else NULL, &voltage[i, 0], current)
                j = row_of[i]
                work[j, 0] = current[0]
                work[j, 1] = current[1]
            for j in range(n):
                x0 = work[j, 0]
                x1 = work[j, 1]
                if x0 == 0.0 and x1 == 0.0:
                    continue
                for e in range(lower_start[j], lower_start[j + 1]):
                    i = lower_row[e]
                    work[i, 0] -= lower[e, 0] * x0 - lower[e, 1] * x1
                    work[i, 1] -= lower[e, 0] * x1 + lower[e, 1] * x0
            for j in range(n - 1, -1, -1):
                b0 = work[j, 0]
                b1 = work[j, 1]
                x0 = inverse[j, 0] * b0 - inverse[j, 1] * b1
                x1 = inverse[j, 0] * b1 + inverse[j, 1] * b0
                work[j, 0] = x0
                work[j, 1] = x1
                for e in range(upper_start[j], upper_start[j + 1]):
                    i = upper_row[e]
                    work[i, 0] -= upper[e, 0] * x0 - upper[e, 1] * x1
                    work[i, 1] -= upper[e, 0] * x1 + upper[e, 1] * x0
            before = change
            change = 0.0
            for i in range(n):
                j = column_of[i]
                square = _moved(&voltage[i, 0], &rest[i, 0], work[j, 0], work[j, 1])
                if square > change or square != square:  # a NaN stays
                    change = square
            change = sqrt(change)
            if not change < LOST:
                break
            if _settled(change, before, tolerance):
                with gil:
                    return k
    return -k


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
    """Compute loading (the larger current over its limit), losses and power in at the from-end of every branch.

    A row of ``admittance`` is (ff, ft, tf, tt), each re and im; a row of ``limit`` the current limits at both ends.
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
