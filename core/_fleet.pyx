# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The parts of a fleet's step that go through elements one by one; `cosim.core.fleet` prepares the arrays."""

from libc.math cimport floor
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


def session_ranges(
    const int64_t[::1] vehicles,
    const int32_t[::1] station,
    const int32_t[::1] trip,
    const double[:, ::1] cars,
    const double[:, ::1] stations,
    const double[:, ::1] trips,
    const double[:, ::1] state,
    const double[::1] setting,
    double[:, ::1] found,
):
    """Find what each charging session may draw; see `fleet_reference.session_ranges`."""
    cdef Py_ssize_t n = vehicles.shape[0], j
    cdef int64_t i
    cdef int32_t s, k
    cdef double time = setting[0], step = setting[1], notice = setting[2], margin = setting[3]
    cdef double counted_on = setting[4], fast_soc = setting[5], day = setting[6]
    cdef double charge, capacity, reserve, rate, taper, leaves, target, needs, lacking, into, full, later, must, given
    with nogil:
        for j in range(n):
            i = vehicles[j]
            s = station[i]
            k = trip[i]
            charge = state[0, i]
            capacity = cars[0, i]
            reserve = cars[1, i]
            rate = cars[3, i] if stations[2, s] > 0.5 else cars[2, i]
            if stations[0, s] < rate:
                rate = stations[0, s]
            if stations[2, s] > 0.5:
                taper = (1.0 - charge / capacity) / (1.0 - fast_soc)
                rate = rate * (0.05 if taper < 0.05 else 1.0 if taper > 1.0 else taper)
            if k >= 0:
                leaves = trips[0, k] - notice
                needs = margin * state[2, i] * trips[1, k] + reserve
            else:
                leaves = cars[7, i] - notice - time
                leaves = time + leaves - floor(leaves / day) * day
                needs = 0.0
            target = cars[5, i] if leaves - state[1, i] >= cars[6, i] else 0.0
            if needs > target:
                target = needs
            if target > capacity:
                target = capacity
            lacking = target - charge
            leaves = leaves - time if leaves > time else 0.0
            into = stations[1, s] * step
            full = (capacity - charge) / into if capacity > charge else 0.0
            if rate < full:
                full = rate
            later = stations[1, s] * rate * (leaves - step) if leaves > step else 0.0
            must = lacking - later
            found[0, j] = lacking if lacking > 0.0 else 0.0
            found[1, j] = leaves
            if must > 0.0:
                found[2, j] = must / into if must / into < full else full
            else:
                given = lacking - counted_on * later
                if must > given:
                    given = must
                if reserve - charge > given:
                    given = reserve - charge
                if given > 0.0:
                    given = 0.0
                given = -given * stations[1, s] / step
                found[2, j] = -(given if given < cars[4, i] else cars[4, i])
            found[3, j] = full
            found[4, j] = rate
            found[5, j] = stations[1, s]
