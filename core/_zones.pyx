# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Advance two-mass zones by exact steps; `cosim.core.zones` prepares the coefficients and checks the arrays."""

from libc.stddef cimport ptrdiff_t
from libc.stdint cimport int32_t

cdef extern from "zones.h" nogil:
    ctypedef void (*cosim_lockstep_function)(
        const double*, ptrdiff_t, ptrdiff_t, ptrdiff_t, const double*, const double*, const double*, double*, double*,
        double*,
    ) noexcept nogil
    ctypedef void (*cosim_shared_function)(
        const double*, const double*, ptrdiff_t, ptrdiff_t, ptrdiff_t, const double*, double*, double*,
    ) noexcept nogil
    int cosim_best_target()
    cosim_lockstep_function cosim_lockstep_for(int)
    cosim_shared_function cosim_shared_for(int)

cdef enum:
    BLOCK = 256  # zones whose states and totals, 12 rows, stay in 24 kB of first-level cache

TARGETS = ("baseline", "avx2", "avx512")[:cosim_best_target() + 1]


def step(
    const double[:, ::1] coefficients,
    const int32_t[::1] archetype,
    const double[::1] scale,
    const double[:, ::1] drive,
    const double[:, ::1] control,
    double[:, ::1] state,
    double[:, ::1] mean,
    double[:, ::1] flow,
    Py_ssize_t first,
    Py_ssize_t last,
    int target,
):
    """Advance zones ``first`` to ``last`` by the step that the coefficients were prepared for, in place."""
    cdef Py_ssize_t i = first, j, n = archetype.shape[0]
    cdef cosim_lockstep_function advance = cosim_lockstep_for(target)
    with nogil:
        while i < last:
            j = i + 1
            while j < last and archetype[j] == archetype[i]:
                j += 1
            advance(
                &coefficients[archetype[i], 0], i, j, n, &scale[0], &drive[0, 0], &control[0, 0], &state[0, 0],
                &mean[0, 0], &flow[0, 0],
            )
            i = j


def run(
    const double[:, ::1] coefficients,
    const int32_t[::1] archetype,
    const int32_t[::1] profile,
    const double[:, :, ::1] drives,
    const int32_t[:, ::1] variant,
    const double[:, ::1] capacity,
    double[:, ::1] state,
    double[:, ::1] totals,
    Py_ssize_t first,
    Py_ssize_t last,
    int target,
):
    """Advance zones ``first`` to ``last`` through all steps of their profiles, block by block, in place."""
    cdef Py_ssize_t begin = first, end, i, j, t, n = archetype.shape[0], steps = drives.shape[0]
    cdef cosim_shared_function advance = cosim_shared_for(target)
    with nogil:
        while begin < last:
            end = min(begin + BLOCK, last)
            for t in range(steps):
                i = begin
                while i < end:
                    j = i + 1
                    while j < end and archetype[j] == archetype[i] and profile[j] == profile[i]:
                        j += 1
                    advance(
                        &coefficients[archetype[i] + variant[t, profile[i]], 0], &drives[t, profile[i], 0], i, j, n,
                        &capacity[0, 0], &state[0, 0], &totals[0, 0],
                    )
                    i = j
            begin = end
