# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The parts of a fleet's step that go through elements one by one; `cosim.core.fleet` prepares the arrays."""

from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport free as release, malloc


def take_points(
    const int64_t[::1] queue,
    const int32_t[::1] aim,
    const int32_t[::1] place,
    const int32_t[::1] first_offer,
    const int32_t[::1] offers,
    int32_t[::1] free,
    int32_t[::1] station,
):
    """Give each vehicle of the queue, in turn, the first station it may use that has a free point; in place."""
    cdef Py_ssize_t n = queue.shape[0], j, k
    cdef int64_t i
    cdef int32_t s
    with nogil:
        for j in range(n):
            i = queue[j]
            if aim[i] >= 0:
                s = aim[i]
                if free[s] > 0:
                    free[s] -= 1
                    station[i] = s
                continue
            for k in range(first_offer[place[i]], first_offer[place[i] + 1]):
                s = offers[k]
                if free[s] > 0:
                    free[s] -= 1
                    station[i] = s
                    break


def fill_valleys(const double[:, ::1] base, const double[:, ::1] due, double[::1] level):
    """Find the level up to which each row's first valley must be filled; see `fleet_reference.fill_valleys`."""
    cdef Py_ssize_t n_rows = base.shape[0], n_slots = base.shape[1], g, d, k
    cdef double energy, total, b, found
    cdef double* low = <double*> malloc(n_slots * sizeof(double))
    if low == NULL:
        raise MemoryError
    with nogil:
        for g in range(n_rows):
            level[g] = base[g, 0]
            energy = 0.0
            for d in range(n_slots):
                b = base[g, d]
                k = d
                while k > 0 and low[k - 1] > b:
                    low[k] = low[k - 1]
                    k -= 1
                low[k] = b
                if due[g, d] <= 0.0:
                    continue
                energy += due[g, d]
                total = energy
                found = 0.0
                for k in range(d + 1):
                    total += low[k]
                    found = total / (k + 1)
                    if k == d or found <= low[k + 1]:
                        break
                if found > level[g]:
                    level[g] = found
    release(low)
