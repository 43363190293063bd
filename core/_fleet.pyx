# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Hand out free charging points in the order of arrival; `cosim.core.fleet` prepares and checks the arrays."""

from libc.stdint cimport int32_t, int64_t


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
