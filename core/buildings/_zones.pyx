# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Exact steps of two-mass zones; `cosim.core.buildings.zones` prepares the coefficients and checks the arrays."""

from libc.stddef cimport ptrdiff_t
from libc.stdint cimport int32_t

cdef extern from "zones.h" nogil:
    ctypedef void (*cosim_lockstep_function)(
        const double*, ptrdiff_t, ptrdiff_t, ptrdiff_t, const double*, const double*, const double*, double*, double*,
        double*,
    ) noexcept nogil
    ctypedef void (*cosim_mixed_function)(
        const double*, ptrdiff_t, const int32_t*, ptrdiff_t, ptrdiff_t, ptrdiff_t, const double*, const double*,
        const double*, double*, double*, double*,
    ) noexcept nogil
    ctypedef void (*cosim_shared_function)(
        const double*, const double*, ptrdiff_t, ptrdiff_t, ptrdiff_t, const double*, double*, double*,
    ) noexcept nogil
    const cosim_lockstep_function (*cosim_lockstep_for)[2]
    const cosim_mixed_function (*cosim_mixed_for)[2]
    const cosim_shared_function (*cosim_shared_for)[2]
    int cosim_best_target()
    enum:
        EMITS

cdef enum:
    BLOCK = 256  # zones whose states and totals, 12 rows, stay in 24 kB of first-level cache
    GROUP = 8  # zones compared at once: a branch for each costs more than the arithmetic where runs are short
    ALIKE = 32  # neighbours of one archetype from which on it is worthwhile to treat them apart

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
    cdef Py_ssize_t i = first, j, k, n = archetype.shape[0]
    cdef int emits = 0
    with nogil:
        for k in range(coefficients.shape[0]):
            if coefficients[k, EMITS] != 0:
                emits = 1
        while i < last:
            j = i
            while j < last and archetype[j] == archetype[i] and _alike(archetype, j, last):
                j += GROUP
            if j - i >= ALIKE:
                while j < last and archetype[j] == archetype[i]:
                    j += 1
                cosim_lockstep_for[target][coefficients[archetype[i], EMITS] != 0](
                    &coefficients[archetype[i], 0], i, j, n, &scale[0], &drive[0, 0], &control[0, 0], &state[0, 0],
                    &mean[0, 0], &flow[0, 0],
                )
            else:
                j = min(i + ALIKE, last)
                while j < last and not _run_begins(archetype, j, last):
                    j = min(j + ALIKE, last)
                cosim_mixed_for[target][emits](
                    &coefficients[0, 0], coefficients.shape[1], &archetype[0], i, j, n, &scale[0], &drive[0, 0],
                    &control[0, 0], &state[0, 0], &mean[0, 0], &flow[0, 0],
                )
            i = j


cdef inline bint _alike(const int32_t[::1] archetype, Py_ssize_t i, Py_ssize_t last) noexcept nogil:
    """Return whether the next zones are a whole group of one archetype, without a branch for each of them."""
    cdef int32_t differ = 0
    cdef int k
    if i + GROUP > last:
        return False
    for k in range(1, GROUP):
        differ |= archetype[i + k] ^ archetype[i]
    return differ == 0


cdef inline bint _run_begins(const int32_t[::1] archetype, Py_ssize_t i, Py_ssize_t last) noexcept nogil:
    """Return whether the next `ALIKE` zones share an archetype."""
    cdef Py_ssize_t j = i
    while j - i < ALIKE and _alike(archetype, j, last) and archetype[j] == archetype[i]:
        j += GROUP
    return j - i >= ALIKE


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
    cdef int emits
    with nogil:
        while begin < last:
            end = min(begin + BLOCK, last)
            for t in range(steps):
                i = begin
                while i < end:
                    j = i + 1
                    while j < end and archetype[j] == archetype[i] and profile[j] == profile[i]:
                        j += 1
                    emits = coefficients[archetype[i] + variant[t, profile[i]], EMITS] != 0
                    cosim_shared_for[target][emits](
                        &coefficients[archetype[i] + variant[t, profile[i]], 0], &drives[t, profile[i], 0], i, j, n,
                        &capacity[0, 0], &state[0, 0], &totals[0, 0],
                    )
                    i = j
            begin = end
